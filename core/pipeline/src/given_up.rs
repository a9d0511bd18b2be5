//! What one node could not give, told in one line for each reason however many blocks it is about.
//!
//! Where each block stays open is told elsewhere; this is for whoever asks why a node is of no use.

use event::{BlockRange, Fault, FaultClass};

/// What is said of an answer that was of no use in every try: asking once more is in vain.
pub const IN_EVERY_TRY: &str = "in every try";

/// Why a range is open that a node did not give.
pub(crate) fn reason(fault: &Fault) -> String {
    match fault.class {
        FaultClass::Malformed | FaultClass::Unknown => format!("{fault}, {IN_EVERY_TRY}"),
        _ => fault.to_string(),
    }
}

/// Ranges given up for the same reason: the same method and class of fault.
#[derive(Debug)]
struct Group {
    fault: Fault,
    first: u64,
    last: u64,
    blocks: u64,
}

/// Ranges given up at one node. There are no more groups than methods and classes.
#[derive(Debug, Default)]
pub(crate) struct GivenUp(Vec<Group>);

impl GivenUp {
    pub(crate) fn add(&mut self, range: BlockRange, fault: &Fault) {
        let class = |fault: &Fault| std::mem::discriminant(&fault.class);
        let is_same = |group: &&mut Group| {
            group.fault.method == fault.method && class(&group.fault) == class(fault)
        };
        match self.0.iter_mut().find(is_same) {
            Some(group) => {
                group.first = group.first.min(range.first());
                group.last = group.last.max(range.last());
                group.blocks = group.blocks.saturating_add(range.count());
            }
            None => self.0.push(Group {
                fault: fault.clone(),
                first: range.first(),
                last: range.last(),
                blocks: range.count(),
            }),
        }
    }

    /// Says all of it; the words are those of the first fault of each reason.
    pub(crate) fn tell(&self) {
        for Group { fault, first, last, blocks } in &self.0 {
            tracing::warn!("{fault}: {blocks} blocks in {first}:{last} given up");
        }
    }
}
