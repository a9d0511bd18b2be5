//! Whose headers are believed: asks every node for one block of the range before anything is read.

use super::{AuditRequest, block_at};
use crate::Timer;
use event::{AnchorPolicy, BlockNumHash, BlockRange, NodeId};
use futures_util::future::join_all;
use std::collections::BTreeSet;

/// Nodes that must agree on the block where there are so many and nobody demands another number.
const AGREED_DEFAULT: u8 = 2;

/// What one node has at the anchor's height.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seat {
    /// Who.
    pub node: NodeId,
    /// Its block; `None` where it did not say.
    pub block: Option<BlockNumHash>,
    /// Why it did not.
    pub reason: String,
}

/// The block that the headers of the range must lead to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AnchorFound {
    /// The block; `None` where nobody could say.
    pub block: Option<BlockNumHash>,
    /// What is demanded.
    pub policy: Option<AnchorPolicy>,
    /// Whether that is met.
    pub is_met: bool,
    /// Whether more than one node's word stands behind it.
    pub is_demanded: bool,
    /// What each node has there, in the order of nodes.
    pub seats: Vec<Seat>,
}

impl AnchorFound {
    /// Returns the nodes that have this block.
    pub fn trusted(&self) -> BTreeSet<NodeId> {
        let has_it = |seat: &&Seat| seat.block.is_some() && seat.block == self.block;
        self.seats.iter().filter(has_it).map(|seat| seat.node.clone()).collect()
    }

    /// Says why it is not met.
    pub(super) fn reason(&self) -> String {
        let told = self.seats.iter().map(|seat| match seat.block {
            Some(block) => format!("{} has {}", seat.node, block.hash),
            None => format!("{}: {}", seat.node, seat.reason),
        });
        let told = told.collect::<Vec<_>>().join("; ");
        match self.policy {
            Some(AnchorPolicy::Agreed(wanted)) => {
                format!("fewer than {wanted} nodes agree on the anchor's block: {told}")
            }
            Some(AnchorPolicy::Checkpoint(block)) => format!("no node has block {block}: {told}"),
            _ => format!("no node told the last block: {told}"),
        }
    }
}

/// Asks all nodes for their block at the anchor's height, which is the end of the range or that of
/// the block the operator knows.
pub(super) async fn find(
    request: &AuditRequest,
    known: BlockRange,
    timer: &dyn Timer,
) -> AnchorFound {
    let policy = request.anchor.unwrap_or(match request.nodes.len() {
        0 | 1 => AnchorPolicy::OneNode,
        _ => AnchorPolicy::Agreed(AGREED_DEFAULT),
    });
    let number = match policy {
        AnchorPolicy::Checkpoint(block) => block.number,
        AnchorPolicy::OneNode | AnchorPolicy::Agreed(_) => known.last(),
    };
    let asked = request.nodes.iter().map(|node| async move {
        let said = match node.status.head.number {
            head if head < number => Err(format!("it is at block {head} only")),
            _ => block_at(&*node.node, number, timer).await,
        };
        let reason = said.as_ref().err().cloned().unwrap_or_default();
        Seat { node: node.status.node.clone(), block: said.ok(), reason }
    });
    let seats = join_all(asked).await;
    let block = match policy {
        AnchorPolicy::Checkpoint(block) => Some(block),
        AnchorPolicy::OneNode | AnchorPolicy::Agreed(_) => most(&seats),
    };
    let votes = block.map_or(0, |_| seats.iter().filter(|seat| seat.block == block).count());
    let needed = match policy {
        AnchorPolicy::Agreed(needed) => usize::from(needed),
        AnchorPolicy::OneNode | AnchorPolicy::Checkpoint(_) => 1,
    };
    AnchorFound {
        block,
        policy: Some(policy),
        is_met: votes >= needed,
        is_demanded: policy != AnchorPolicy::OneNode,
        seats,
    }
}

/// Returns the block that most nodes have; of equally many the one that comes first.
fn most(seats: &[Seat]) -> Option<BlockNumHash> {
    let mut best: Option<(BlockNumHash, usize)> = None;
    for block in seats.iter().filter_map(|seat| seat.block) {
        let votes = seats.iter().filter(|seat| seat.block == Some(block)).count();
        if best.is_none_or(|(_, most)| votes > most) {
            best = Some((block, votes));
        }
    }
    best.map(|(block, _)| block)
}
