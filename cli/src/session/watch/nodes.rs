//! The nodes of a watch: opened, and asked for their chain until one of them says it.

use super::super::nodes::open_node;
use crate::{command_error::CommandError, plan::ChainPlan};
use event::{ChainId, Fault, Finality, Node};
use futures_util::future::join_all;
use pipeline::{Timer, greet};
use std::sync::Arc;

/// Nodes of one chain.
pub(super) struct Opened {
    pub(super) chain: ChainId,
    pub(super) nodes: Vec<Arc<dyn Node>>,
}

/// Opens every node. Which chain it is the plan says, or the first node that answers: one of them
/// has to, the others may be down, and are greeted again as long as it runs.
pub(super) async fn open(plan: &ChainPlan, timer: &dyn Timer) -> Result<Opened, CommandError> {
    let nodes = plan.nodes.iter().map(open_node).collect::<Result<Vec<_>, _>>()?;
    let expected = plan.expected_chain.map(ChainId);
    if let Some(chain) = expected {
        return Ok(Opened { chain, nodes });
    }
    let finality = plan.finality.unwrap_or(Finality::Tag);
    let greetings = join_all(nodes.iter().map(|node| greet(&**node, None, finality, timer))).await;
    let mut chain: Option<ChainId> = None;
    let mut failed: Option<Fault> = None;
    for (node, greeting) in nodes.iter().zip(greetings) {
        match (greeting, chain) {
            (Ok(greeting), None) => chain = Some(greeting.chain),
            (Ok(greeting), Some(chain)) if greeting.chain != chain => {
                return Err(CommandError::usage(format!(
                    "it is on chain {}, the first node is on chain {chain}",
                    greeting.chain
                ))
                .context(format!("node {} cannot be used", node.id()))
                .hint("watch one chain, or name both in headcount.toml"));
            }
            (Ok(_), Some(_)) => {}
            (Err(fault), _) => failed = Some(fault),
        }
    }
    match (chain, failed) {
        (Some(chain), _) => Ok(Opened { chain, nodes }),
        (None, Some(fault)) => {
            let context = match plan.nodes.as_slice() {
                [one] => format!("node {} cannot be used", one.name),
                all => format!("none of {} nodes can be used", all.len()),
            };
            Err(CommandError::from(fault)
                .context(context)
                .hint("with --chain-id, or `id` in headcount.toml, it waits for them"))
        }
        (None, None) => Err(CommandError::usage("no node to watch")),
    }
}
