//! Subscriptions of one connection: new heads, and logs with those that a reorg takes back.
//!
//! They tell the truth of the chain; what is withheld of them is decided before, where a node's
//! announcements are lost.

use crate::{
    Words,
    call::{Call, filter, quantity, wrong},
    json,
};
use alloy_primitives::B256;
use event::{BlockNumHash, Filter};
use serde_json::{Value, json};
use sim::{
    World,
    chain::{Block, Tree, wanted},
};
use std::{collections::BTreeMap, sync::Arc};

/// Subscriptions of one connection, at most.
const SUBSCRIPTIONS_MAX: usize = 1_000;
/// Blocks that a subscription to logs tells of at once, at most.
const BLOCKS_TOLD_MAX: usize = 1_000;

enum Topic {
    Heads,
    Logs {
        filter: Box<Filter>,
        /// Block up to which it was told.
        tip: B256,
    },
}

/// What a connection has subscribed to.
#[derive(Default)]
pub(crate) struct Subscriptions {
    topics: BTreeMap<u64, Topic>,
    made: u64,
}

impl Subscriptions {
    /// Returns the answer to a call that is about subscriptions; `None` to any other.
    pub(crate) fn call(&mut self, call: &Call, world: &World) -> Option<Value> {
        let outcome = match call.method.as_str() {
            "eth_subscribe" => self.subscribe(call, world),
            "eth_unsubscribe" => Ok(json!(self.unsubscribe(call.param(0)))),
            _ => return None,
        };
        Some(match outcome {
            Ok(result) => json!({"jsonrpc": "2.0", "id": call.id, "result": result}),
            Err(words) => json!({
                "jsonrpc": "2.0", "id": call.id,
                "error": {"code": words.code, "message": words.message},
            }),
        })
    }

    fn subscribe(&mut self, call: &Call, world: &World) -> Result<Value, Words> {
        if self.topics.len() >= SUBSCRIPTIONS_MAX {
            return Err(Words::new(-32000, "too many subscriptions"));
        }
        let topic = match call.param(0).as_str() {
            Some("newHeads") => Topic::Heads,
            Some("logs") => Topic::Logs {
                filter: Box::new(filter(call.param(1))?),
                tip: world.tree(|tree| tree.head().hash),
            },
            _ => return Err(wrong("no such subscription")),
        };
        self.made += 1;
        self.topics.insert(self.made, topic);
        Ok(quantity(self.made))
    }

    fn unsubscribe(&mut self, name: &Value) -> bool {
        let id = name.as_str().and_then(|name| name.strip_prefix("0x"));
        let id = id.and_then(|digits| u64::from_str_radix(digits, 16).ok());
        id.is_some_and(|id| self.topics.remove(&id).is_some())
    }

    /// Returns what a new head leads to, in order.
    pub(crate) fn notifications(&mut self, head: BlockNumHash, world: &World) -> Vec<String> {
        let mut notifications = Vec::new();
        if self.topics.is_empty() {
            return notifications;
        }
        let Some(block) = world.tree(|tree| tree.block(&head.hash).cloned()) else {
            return notifications;
        };
        for (id, topic) in &mut self.topics {
            let mut tell = |result: Value| {
                let params = json!({"subscription": quantity(*id), "result": result});
                let method = "eth_subscription";
                let message = json!({"jsonrpc": "2.0", "method": method, "params": params});
                notifications.push(message.to_string());
            };
            match topic {
                Topic::Heads => tell(Value::Object(json::header(block.hash, &block.header))),
                Topic::Logs { filter, tip } => {
                    let (left, joined) = world.tree(|tree| between(tree, *tip, head.hash));
                    for block in left {
                        // As geth sends them: the newest block first, each log as it was.
                        for log in wanted(&block, filter) {
                            tell(json::log(&event::Log { removed: true, ..log.clone() }));
                        }
                    }
                    for block in joined {
                        wanted(&block, filter).for_each(|log| tell(json::log(log)));
                    }
                    *tip = head.hash;
                }
            }
        }
        notifications
    }
}

/// Returns the blocks that lead from one tip down to where both meet, newest first, and those that
/// lead from there up to the other, oldest first.
fn between(tree: &Tree, from: B256, to: B256) -> (Vec<Arc<Block>>, Vec<Arc<Block>>) {
    let (mut left, mut joined) = (Vec::new(), Vec::new());
    let (mut down, mut up) = (tree.block(&from), tree.block(&to));
    while let (Some(old), Some(new)) = (down, up) {
        if old.hash == new.hash || left.len() + joined.len() > BLOCKS_TOLD_MAX {
            break;
        }
        // The higher one steps down; of two at one height both do.
        if old.number >= new.number {
            left.push(old.clone());
            down = tree.block(&old.header.parent_hash);
        }
        if new.number >= old.number {
            joined.push(new.clone());
            up = tree.block(&new.header.parent_hash);
        }
    }
    joined.reverse();
    (left, joined)
}
