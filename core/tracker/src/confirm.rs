//! Whether what a node said is known to be of its chain: once its chain was asked for after it.
//!
//! Behind one address another node may answer from one call to the next. What the node says is
//! numbered, and a question for its chain confirms what had come when it was asked. A node that is
//! led elsewhere and back between an answer and the very next question is not found out by this.

/// What of a node's words is confirmed.
#[derive(Debug)]
pub(crate) struct Confirm {
    /// Nothing has to be: the node sees to it itself.
    is_kept: bool,
    /// Number of what was said last.
    said: u64,
    /// Everything up to here is confirmed by the answer that is on its way.
    asked: Option<u64>,
    confirmed: u64,
}

impl Confirm {
    pub(crate) const fn new(is_kept: bool) -> Self {
        Self { is_kept, said: 0, asked: None, confirmed: 0 }
    }

    /// Whether nothing has to be confirmed.
    pub(crate) const fn is_kept(&self) -> bool {
        self.is_kept
    }

    /// Something was said: returns its number.
    pub(crate) const fn note(&mut self) -> u64 {
        self.said += 1;
        self.said
    }

    pub(crate) const fn is_confirmed(&self, said: u64) -> bool {
        self.is_kept || said <= self.confirmed
    }

    /// Whether the chain is to be asked for.
    pub(crate) const fn is_due(&self) -> bool {
        !self.is_kept && self.asked.is_none() && self.said > self.confirmed
    }

    /// The chain is asked for.
    pub(crate) const fn on_ask(&mut self) {
        self.asked = Some(self.said);
    }

    /// It is the right one.
    pub(crate) const fn on_right(&mut self) {
        if let Some(asked) = self.asked.take() {
            self.confirmed = asked;
        }
    }

    /// The question was lost.
    pub(crate) const fn on_loss(&mut self) {
        self.asked = None;
    }
}
