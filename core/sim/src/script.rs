//! What happens to the chain, and when: mined blocks by themselves, everything else by a script.

use event::NodeId;

/// Something that happens to the chain or to who sees which part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happening {
    /// So many blocks at once (F64).
    Burst(u64),
    /// The newest `depth` blocks are left for a branch that is `extra` blocks longer (F50, F51, F53,
    /// and F54 where the depth goes below what is final).
    Reorg {
        /// Blocks left.
        depth: u64,
        /// Blocks that the new branch is longer by.
        extra: u64,
    },
    /// The branch that was left last becomes canonical again, longer by so many blocks than what it
    /// replaces (F52).
    Return {
        /// Blocks.
        extra: u64,
    },
    /// These nodes follow another branch for a while (F57), each its own where it is secret (F42).
    Part {
        /// Who.
        nodes: Vec<NodeId>,
        /// Blocks below the head at which they leave.
        depth: u64,
        /// Whether nobody else has these blocks.
        is_secret: bool,
        /// Whether they call their own branch final, in conflict with everybody else.
        finalizes: bool,
        /// For how long, in milliseconds.
        for_ms: u64,
    },
    /// No block is mined for so long (F58, F62).
    Stall {
        /// Milliseconds.
        for_ms: u64,
    },
    /// Nothing becomes final for so long (F59).
    FinalityStall {
        /// Milliseconds.
        for_ms: u64,
    },
    /// Nodes come back from their own branches, and every rule of every node ends.
    Heal,
}

/// What the world itself has on its calendar.
#[derive(Clone, Debug)]
pub(crate) enum Entry {
    Happening(Happening),
    Mine,
    /// A node hears of the canonical head, or of its own branch.
    Arrival(NodeId, alloy_primitives::B256),
    Rejoin(Vec<NodeId>),
}
