//! How many nodes say the same of a block, and what that is worth.
//!
//! An answer counts for a node once it was given without doubt, also when the node gave another
//! one before or after, and only when all of it is admitted: a block is never called agreed while
//! an event of the agreed answer is not in the ledger. Does not blame anybody.

use crate::votes::{Answer, Ballot};
use event::{Content, EventId};
use std::borrow::Cow;

/// What a ballot comes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Strongest content shown with an answer that is admitted, agreement included.
    pub(crate) content: Option<Content>,
    /// Most nodes that gave one and the same admitted answer.
    pub(crate) nodes: usize,
    /// Whether nodes gave different answers without doubt.
    pub(crate) differs: bool,
}

/// Tells what is admitted.
pub(crate) struct Admitted<'a> {
    /// Nodes whose word admits an id.
    pub(crate) word: usize,
    /// Whether an id is an event now.
    pub(crate) id: &'a dyn Fn(&EventId) -> bool,
}

impl Ballot {
    pub(crate) fn tally(&self, admitted: &Admitted<'_>) -> Tally {
        let mut tally = Tally::default();
        let mut answers = 0;
        for (index, answer) in self.answers.iter().enumerate() {
            let nodes = self.nodes_of(index, false).len();
            answers += usize::from(nodes > 0);
            if nodes == 0 || !self.is_admitted(answer, nodes, admitted) {
                continue;
            }
            tally.nodes = tally.nodes.max(nodes);
            let votes = self.votes.iter().filter(|v| v.answer == index && !v.is_doubtful);
            tally.content = tally.content.max(votes.map(|vote| vote.content).max());
        }
        if tally.nodes >= 2 {
            let agreed = Content::Agreed(u8::try_from(tally.nodes).unwrap_or(u8::MAX));
            tally.content = tally.content.max(Some(agreed));
        }
        tally.differs = answers > 1;
        tally
    }

    fn is_admitted(&self, answer: &Answer, nodes: usize, admitted: &Admitted<'_>) -> bool {
        match (&self.shown, &answer.ids) {
            (Some(shown), Some(ids)) => ids.iter().all(|id| shown.binary_search(id).is_ok()),
            (Some(_), None) => self.is_shown(answer),
            (None, Some(ids)) => ids.iter().all(|id| (admitted.id)(id)),
            (None, None) => nodes >= admitted.word,
        }
    }
}

/// Returns in words how far a block is from the agreement of `needed` nodes.
pub(crate) fn lacks_agreement(tally: Tally, needed: u8) -> Cow<'static, str> {
    let said = match tally.nodes {
        0 => "none",
        1 => "one",
        2 => "two",
        3 => "three",
        _ => "some",
    };
    let have = if tally.nodes > 1 { "have" } else { "has" };
    let differ = if tally.differs { "nodes differ: " } else { "" };
    format!("{differ}{said} of {needed} nodes {have} said so").into()
}
