//! The first words with a node: which chain, which client, how far.

use crate::Timer;
use event::{Answer, Ask, ChainId, Fault, FaultClass, Finality, Head, Node, Tag};
use std::sync::Arc;
use tracker::NodeStatus;

/// Tries before a node counts as absent.
const ATTEMPTS: u32 = 3;
/// Wait between them, in milliseconds.
const RETRY_MS: u64 = 500;

/// What a node said of itself.
#[derive(Clone, Debug)]
pub struct Greeting {
    /// Its chain.
    pub chain: ChainId,
    /// Its name, client and head.
    pub status: NodeStatus,
}

/// Asks a node who and where it is. A node on another chain than `expected` is a fault.
///
/// A node without the `finalized` tag has nothing final unless `finality` is a depth; the head is
/// never taken for final by accident.
pub async fn greet(
    node: &dyn Node,
    expected: Option<ChainId>,
    finality: Finality,
    timer: &dyn Timer,
) -> Result<Greeting, Fault> {
    let chain = chain(node, expected, timer).await?;
    let client = match ask(node, Ask::ClientVersion, timer).await {
        Ok(Answer::ClientVersion(version)) => Some(Arc::from(version)),
        _ => None,
    };
    let head = head(node, Tag::Latest, timer).await?;
    let finalized = match finality {
        Finality::Depth(depth) => head.block.number.checked_sub(depth),
        Finality::Tag => match self::head(node, Tag::Finalized, timer).await {
            Ok(finalized) => Some(finalized.block.number.min(head.block.number)),
            Err(fault) if fault.class.is_retryable() && fault.class != FaultClass::Unknown => {
                return Err(fault);
            }
            Err(_) => None,
        },
    };
    if !node.keeps_chain() {
        // Somebody else may have said where it stands.
        self::chain(node, Some(chain), timer).await?;
    }
    let status = NodeStatus { node: node.id().clone(), client, head: head.block, finalized };
    Ok(Greeting { chain, status })
}

async fn chain(
    node: &dyn Node,
    expected: Option<ChainId>,
    timer: &dyn Timer,
) -> Result<ChainId, Fault> {
    let Answer::ChainId(found) = ask(node, Ask::ChainId, timer).await? else {
        return Err(unexpected(node, "eth_chainId"));
    };
    match expected.filter(|expected| *expected != found) {
        Some(expected) => Err(Fault::wrong_chain(node.id().clone(), expected, found)),
        None => Ok(found),
    }
}

async fn head(node: &dyn Node, tag: Tag, timer: &dyn Timer) -> Result<Head, Fault> {
    match ask(node, Ask::Head(tag), timer).await? {
        Answer::Head(head) => Ok(head),
        _ => Err(unexpected(node, "eth_getBlockByNumber")),
    }
}

/// Asks until there is an answer, or a fault that waiting does not mend; a bounded number of times.
pub async fn ask(node: &dyn Node, ask: Ask, timer: &dyn Timer) -> Result<Answer, Fault> {
    let mut attempt = 1;
    loop {
        match node.ask(ask.clone()).await {
            Err(fault)
                if attempt < ATTEMPTS
                    && matches!(
                        fault.class,
                        // A timeout was wait enough: the next node is asked instead.
                        FaultClass::Rate { .. } | FaultClass::Busy | FaultClass::Dropped
                    ) =>
            {
                attempt += 1;
                timer.sleep_until(timer.now_ms() + RETRY_MS).await;
            }
            answer => return answer,
        }
    }
}

fn unexpected(node: &dyn Node, method: &str) -> Fault {
    Fault {
        node: node.id().clone(),
        method: method.into(),
        class: FaultClass::Malformed,
        text: "the answer is for another question".into(),
    }
}
