//! Whose headers are believed: asks every node for one block of the range before anything is read.

use super::{AuditRequest, header_at};
use crate::Timer;
use event::{AnchorPolicy, BlockAnswer, BlockNumHash, BlockRange, Flaw, NodeId, Prover, Verify};
use futures_util::future::join_all;
use std::collections::BTreeSet;

/// Why nobody is named for what all nodes do.
const SUSPECT: &str = "the headers of every node fail the same check, which is itself suspect";
/// Nodes that must agree on the block where there are so many and nobody demands another number.
const AGREED_DEFAULT: u8 = 2;

/// What one node has at the anchor's height.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seat {
    /// Who.
    pub node: NodeId,
    /// Its block; `None` where it did not say, or gave a header that is not that block's.
    pub block: Option<BlockNumHash>,
    /// Why it has none.
    pub reason: String,
    /// The block for which it gave the header of none.
    pub wrong: Option<BlockNumHash>,
}

impl Seat {
    /// Takes what a node said. Where that is checked, only what a header's fields give is its hash.
    fn new(node: NodeId, said: Result<BlockAnswer, String>, check: Option<&dyn Prover>) -> Self {
        let header = match said {
            Ok(header) => header,
            Err(reason) => return Self { node, block: None, reason, wrong: None },
        };
        let block = BlockNumHash { number: header.header.number, hash: header.hash };
        match check.map(|prover| prover.header_hash(&header.header)) {
            Some(hash) if hash != block.hash => {
                let reason =
                    format!("{}: its header of block {block} hashes to {hash}", Flaw::HeaderHash);
                Self { node, block: None, reason, wrong: Some(block) }
            }
            _ => Self { node, block: Some(block), reason: String::new(), wrong: None },
        }
    }
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
    /// Whether nodes have different blocks there, each with a header of its own, and nothing says which
    /// is right: two may have made up one as well as one.
    pub is_contested: bool,
    /// What each node has there, in the order of nodes.
    pub seats: Vec<Seat>,
}

impl AnchorFound {
    /// Returns the nodes that have this block.
    pub fn trusted(&self) -> BTreeSet<NodeId> {
        let has_it = |seat: &&Seat| seat.block.is_some() && seat.block == self.block;
        self.seats.iter().filter(has_it).map(|seat| seat.node.clone()).collect()
    }

    /// Whether no node gave a header that hashes to its hash, and several gave one: then the check may
    /// not be one for this chain.
    fn is_check_suspect(&self) -> bool {
        self.seats.iter().all(|seat| seat.block.is_none())
            && self.seats.iter().filter(|seat| seat.wrong.is_some()).count() > 1
    }

    /// Returns the nodes whose header is that of no block, and which one it was for. Who alone gives
    /// headers, or what all of them give, shows as well that the check is none for this chain.
    pub(super) fn wrong(&self) -> impl Iterator<Item = (&Seat, BlockNumHash)> {
        let has_right = self.seats.iter().any(|seat| seat.block.is_some());
        let seats = self.seats.iter().filter(move |_| has_right);
        seats.filter_map(|seat| seat.wrong.map(|block| (seat, block)))
    }

    /// Says why it is not met.
    pub(super) fn reason(&self) -> String {
        let told = self.seats.iter().map(|seat| match seat.block {
            Some(block) => format!("{} has {}", seat.node, block.hash),
            None => format!("{}: {}", seat.node, seat.reason),
        });
        let told = told.collect::<Vec<_>>().join("; ");
        match self.policy {
            _ if self.is_check_suspect() => format!("{SUSPECT}: {told}"),
            _ if self.is_contested => format!(
                "nodes differ on the anchor's block, and nothing decides but the NUMBER:HASH of a \
                 block that you know (--anchor): {told}"
            ),
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
    prover: &dyn Prover,
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
    let is_checked = request.require != Verify::Off && request.profile.check_header_hash.decides();
    let check = is_checked.then_some(prover);
    let asked = request.nodes.iter().map(|node| async move {
        let said = match node.status.head.number {
            head if head < number => Err(format!("it is at block {head} only")),
            _ => header_at(&*node.node, number, timer).await,
        };
        Seat::new(node.status.node.clone(), said, check)
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
    let is_decided = matches!(policy, AnchorPolicy::Checkpoint(_));
    let is_contested =
        !is_decided && seats.iter().any(|seat| seat.block.is_some() && seat.block != block);
    AnchorFound {
        block,
        policy: Some(policy),
        is_met: votes >= needed && !is_contested,
        is_demanded: policy != AnchorPolicy::OneNode,
        is_contested,
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
