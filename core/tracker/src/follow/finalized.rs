//! What a node calls final, held against the heads it tells: which of both it said first.
//!
//! A head descends from what its node called final before it. What the node calls final later may
//! lie on another branch than a head that is still being read, so nothing of that head is shown
//! to be final by it. Does not know of blocks.

use event::Finality;

#[derive(Debug)]
pub(crate) struct Finalized {
    finality: Finality,
    /// As last said.
    said: Option<u64>,
    /// As it was said before the head was asked for that is on its way.
    asked: Option<u64>,
    /// As it was said before the head that is known.
    of_head: Option<u64>,
}

impl Finalized {
    /// Begins with what the node said when it was greeted.
    pub(crate) const fn new(finality: Finality, said: Option<u64>) -> Self {
        Self { finality, said, asked: said, of_head: said }
    }

    /// The node called this final; returns whether it called something else so before.
    pub(crate) fn on_said(&mut self, number: u64) -> bool {
        self.said.replace(number) != Some(number)
    }

    /// The head is asked for.
    pub(crate) const fn on_ask_head(&mut self) {
        self.asked = self.said;
    }

    /// The head that was asked for is there.
    pub(crate) const fn on_head(&mut self, number: u64) {
        self.of_head = match self.finality {
            Finality::Tag => self.asked,
            Finality::Depth(depth) => number.checked_sub(depth),
        };
    }

    /// Returns what was final for the node before it told its head, or what lies so deep below it.
    pub(crate) const fn of_head(&self) -> Option<u64> {
        self.of_head
    }
}
