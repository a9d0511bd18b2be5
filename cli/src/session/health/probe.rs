//! The questions of a health check: all of them, to all nodes, at once. Nothing is asked twice, so
//! that a node that is slow or asks to wait is seen as that.

use event::{Answer, Ask, BlockRange, ChainId, Fault, FaultClass, Head, Node, Tag};
use health::{Answered, NodeSample};
use std::{collections::BTreeSet, sync::Arc, time::Instant};
use tokio::task::JoinSet;

/// A node and what it said.
pub(super) struct Probed {
    pub(super) node: Arc<dyn Node>,
    pub(super) sample: NodeSample,
}

/// Asks every node; the answers are in the order of the nodes.
pub(super) async fn probe_all(nodes: Vec<Arc<dyn Node>>) -> Vec<Probed> {
    let mut probes = JoinSet::new();
    for (position, node) in nodes.iter().cloned().enumerate() {
        probes.spawn(async move { (position, probe(&*node).await) });
    }
    let mut samples: Vec<NodeSample> =
        nodes.iter().map(|node| NodeSample::new(node.id().clone())).collect();
    while let Some(probed) = probes.join_next().await {
        // A probe that panicked has said so; what it asked stays unknown.
        if let Ok((position, sample)) = probed {
            samples[position] = sample;
        }
    }
    let all = nodes.into_iter().zip(samples);
    all.map(|(node, sample)| Probed { node, sample }).collect()
}

async fn probe(node: &dyn Node) -> NodeSample {
    let started = Instant::now();
    let chain = async {
        let chain = asked(node, Ask::ChainId, chain_of).await;
        (chain, u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX))
    };
    let ((chain, waited_ms), client, head, finalized, syncing, peers) = tokio::join!(
        chain,
        asked(node, Ask::ClientVersion, |answer| match answer {
            Answer::ClientVersion(version) => Some(version),
            _ => None,
        }),
        asked(node, Ask::Head(Tag::Latest), head_of),
        asked(node, Ask::Head(Tag::Finalized), head_of),
        asked(node, Ask::Syncing, |answer| match answer {
            Answer::Syncing(syncing) => Some(syncing),
            _ => None,
        }),
        asked(node, Ask::PeerCount, |answer| match answer {
            Answer::PeerCount(peers) => Some(peers),
            _ => None,
        }),
    );
    NodeSample {
        client: client.value().map(|client| Arc::from(client.as_str())),
        latency_ms: chain.value().map(|_| waited_ms),
        chain,
        head,
        finalized,
        syncing,
        peers,
        ..NodeSample::new(node.id().clone())
    }
}

fn chain_of(answer: Answer) -> Option<ChainId> {
    match answer {
        Answer::ChainId(chain) => Some(chain),
        _ => None,
    }
}

fn head_of(answer: Answer) -> Option<Head> {
    match answer {
        Answer::Head(head) => Some(head),
        _ => None,
    }
}

async fn asked<T>(
    node: &dyn Node,
    ask: Ask,
    take: impl FnOnce(Answer) -> Option<T>,
) -> Answered<T> {
    let other = Fault {
        node: node.id().clone(),
        method: "health".into(),
        class: FaultClass::Malformed,
        text: "the answer is for another question".into(),
    };
    Answered::from(node.ask(ask).await.and_then(|answer| take(answer).ok_or(other)))
}

/// Asks every node that has a head for the hashes of these heights, as far as it has them, and for the block
/// that it calls final.
pub(super) async fn ask_hashes(probed: &mut [Probed], heights: &BTreeSet<u64>) {
    let mut questions = JoinSet::new();
    for (position, probed) in probed.iter().enumerate() {
        let Some(head) = probed.sample.head.value().map(|head| head.block.number) else { continue };
        let finalized = probed.sample.finalized.value().map(|finalized| finalized.block.number);
        let heights: BTreeSet<u64> = heights.iter().copied().chain(finalized).collect();
        for height in heights.into_iter().filter(|height| *height <= head) {
            let node = probed.node.clone();
            questions.spawn(async move {
                let range = BlockRange::one(height);
                (position, height, node.ask(Ask::Headers { range }).await)
            });
        }
    }
    while let Some(answered) = questions.join_next().await {
        let Ok((position, height, answer)) = answered else { continue };
        let sample = &mut probed[position].sample;
        match answer {
            Ok(Answer::Headers(blocks)) => {
                if let [block] = blocks.as_slice()
                    && block.header.number == height
                {
                    sample.hashes.insert(height, block.hash);
                }
            }
            Err(fault) if fault.class == FaultClass::Unknown => {
                let finalized = sample.finalized.value().map(|finalized| finalized.block.number);
                if finalized == Some(height) {
                    sample.withheld = Some(fault);
                }
            }
            _ => {}
        }
    }
}
