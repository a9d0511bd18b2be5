//! Where a node says that it stands, as far as it is known to be said of its chain.

use event::{BlockNumHash, Head};

/// Its head, what was final before it, and what it calls safe.
type Standing = (Option<Head>, Option<u64>, Option<BlockNumHash>);

#[derive(Debug)]
pub(crate) struct Telling {
    /// As it says, with how often it said something else.
    said: (u64, Standing),
    /// As it said when the chain was asked for.
    asked: (u64, Standing),
    /// As it is known to have said.
    told: (u64, Standing),
}

impl Telling {
    /// Begins with what was final when it was greeted.
    pub(crate) const fn new(finalized: Option<u64>) -> Self {
        let first = (0, (None, finalized, None));
        Self { said: first, asked: first, told: first }
    }

    /// Takes what it says; returns whether these are other blocks than before.
    pub(crate) fn say(&mut self, standing: Standing) -> bool {
        let blocks =
            |(head, finalized, safe): Standing| (head.map(|head| head.block), finalized, safe);
        let is_other = blocks(self.said.1) != blocks(standing);
        self.said = (self.said.0 + u64::from(is_other), standing);
        is_other
    }

    /// The chain is asked for.
    pub(crate) const fn on_ask(&mut self) {
        self.asked = self.said;
    }

    /// The chain was the right one.
    pub(crate) const fn on_right(&mut self) {
        if self.asked.0 >= self.told.0 {
            self.told = self.asked;
        }
    }

    /// What it says now is of its chain.
    pub(crate) const fn confirm(&mut self) {
        self.told = self.said;
    }

    /// Its head is of its chain: it descends from a block that is.
    pub(crate) const fn confirm_head(&mut self) {
        let (number, (head, ..)) = self.said;
        let (_, finalized, safe) = self.told.1;
        self.told = (number, (head, finalized, safe));
    }

    /// Returns head, finalized and safe block.
    pub(crate) const fn told(&self) -> Standing {
        self.told.1
    }
}
