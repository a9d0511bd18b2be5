//! How many nodes say the same of a block, and what that is worth.
//!
//! An answer counts for a node once it was given without doubt, also when the node gave another
//! one before or after, and only when all of it is admitted: a block is never called agreed while
//! an event of the agreed answer is not in the ledger. That so many nodes have the block at all is asked
//! besides: one node's header, whatever its bloom or receipts show, is one node's word. Does not blame
//! anybody.

use crate::votes::{Answer, Ballot, Vote};
use event::{Content, EventId, NodeId};
use std::{borrow::Cow, collections::BTreeSet};

/// What a ballot comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Strongest content shown with an answer that is admitted, agreement included.
    pub(crate) content: Option<Content>,
    /// Most nodes that gave one and the same admitted answer.
    pub(crate) nodes: usize,
    /// Whether nodes gave different answers without doubt.
    pub(crate) differs: bool,
    /// Nodes that have this very block, whatever they said of its logs.
    pub(crate) headers: usize,
    /// Nodes that gave the answer that counts: what receipts show, or what most gave; sorted.
    pub(crate) by: Vec<NodeId>,
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
        tally.headers = self.votes.iter().map(|vote| &vote.node).collect::<BTreeSet<_>>().len();
        tally.by = self.supporters(admitted).into_iter().cloned().collect();
        tally
    }

    /// Returns the nodes by whose word the block is closed.
    fn supporters(&self, admitted: &Admitted<'_>) -> BTreeSet<&NodeId> {
        if self.shown.is_some() {
            let said_it = |vote: &&Vote| {
                vote.content == Content::Receipts || self.is_shown(&self.answers[vote.answer])
            };
            return self.votes.iter().filter(said_it).map(|vote| &vote.node).collect();
        }
        let answers = self.answers.iter().enumerate().filter_map(|(index, answer)| {
            let nodes = self.nodes_of(index, false);
            self.is_admitted(answer, nodes.len(), admitted).then_some(nodes)
        });
        answers.max_by_key(BTreeSet::len).unwrap_or_default()
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
pub(crate) fn lacks_agreement(tally: &Tally, needed: u8) -> Cow<'static, str> {
    let differ = if tally.differs { "nodes differ: " } else { "" };
    format!("{differ}{} said so", some_of(tally.nodes, needed)).into()
}

/// Returns in words that fewer than `needed` nodes have the block.
pub(crate) fn lacks_headers(tally: &Tally, needed: u8) -> Cow<'static, str> {
    format!("{} shown this block", some_of(tally.headers, needed)).into()
}

fn some_of(nodes: usize, needed: u8) -> String {
    let said = match nodes {
        0 => "none",
        1 => "one",
        2 => "two",
        3 => "three",
        _ => "some",
    };
    let have = if nodes > 1 { "have" } else { "has" };
    format!("{said} of {needed} nodes {have}")
}
