//! Which nodes kept back what others gave, once it is sure that it was there.
//!
//! Sure is what enough nodes gave or receipts show; logs that still wait neither excuse nor blame
//! anybody. Does not decide what is admitted, and writes nothing itself.

use crate::votes::{Ballot, Vote};
use event::{EventId, NodeId};
use std::collections::{BTreeMap, BTreeSet};

/// One node lacked logs of a block.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Missed {
    pub(crate) node: NodeId,
    /// Logs, at least one.
    pub(crate) count: u64,
    /// Others that had some of them, sorted; empty when only receipts show them.
    pub(crate) had: BTreeSet<NodeId>,
}

/// When doubtful votes are looked at too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// The block can still be asked for: a node in doubt is not blamed, it may not be ready yet.
    Open,
    /// The block is final: what a node has not given by now it kept back.
    Last,
}

impl Ballot {
    /// Returns who missed what and was not told yet, and takes it as told. `needed` nodes make an
    /// id sure.
    ///
    /// A node is excused where it gave the same logs by the same way another time, and a doubtful
    /// answer where it gave them by any way.
    pub(crate) fn missed(&mut self, needed: usize, call: Call) -> Vec<Missed> {
        let is_unanimous = match &self.shown {
            None => self.answers.len() < 2,
            Some(_) => self.answers.iter().all(|answer| self.is_shown(answer)),
        };
        if is_unanimous {
            return Vec::new();
        }
        let sure = self.sure(needed);
        let most = self.most(needed);
        let mut missed: BTreeMap<&NodeId, (u64, BTreeSet<NodeId>)> = BTreeMap::new();
        for vote in &self.votes {
            if self.told_missing.contains(&vote.node) || (vote.is_doubtful && call == Call::Open) {
                continue;
            }
            let (count, had) = self.lacks(vote, &sure, most);
            if count > 0 {
                let all = missed.entry(&vote.node).or_default();
                all.0 = all.0.max(count);
                all.1.extend(had.into_iter().filter(|node| **node != vote.node).cloned());
            }
        }
        let missed: Vec<Missed> = (missed.into_iter())
            .map(|(node, (count, had))| Missed { node: node.clone(), count, had })
            .collect();
        self.told_missing.extend(missed.iter().map(|missed| missed.node.clone()));
        missed
    }

    /// Returns the ids that were there for sure, with the nodes that gave them.
    fn sure(&self, needed: usize) -> BTreeMap<&EventId, BTreeSet<&NodeId>> {
        let mut ids: BTreeMap<&EventId, BTreeSet<&NodeId>> = BTreeMap::new();
        for (index, answer) in self.answers.iter().enumerate() {
            let nodes = self.nodes_of(index, true);
            for id in answer.ids.iter().flatten() {
                ids.entry(id).or_default().extend(&nodes);
            }
        }
        let Some(shown) = &self.shown else {
            ids.retain(|_, nodes| nodes.len() >= needed);
            return ids;
        };
        for id in shown {
            ids.entry(id).or_default();
        }
        ids.retain(|id, _| shown.binary_search(id).is_ok());
        ids
    }

    /// Returns how many logs there were at least, by answers whose ids are not held.
    fn most(&self, needed: usize) -> Option<(u64, usize)> {
        let agreed = self.answers.iter().enumerate().filter(|(index, answer)| {
            answer.ids.is_none() && self.nodes_of(*index, true).len() >= needed
        });
        agreed.map(|(index, answer)| (answer.count, index)).max()
    }

    fn lacks<'a>(
        &'a self,
        vote: &Vote,
        sure: &BTreeMap<&EventId, BTreeSet<&'a NodeId>>,
        most: Option<(u64, usize)>,
    ) -> (u64, BTreeSet<&'a NodeId>) {
        let excuses =
            |other: &&Vote| other.node == vote.node && (other.via == vote.via || vote.is_doubtful);
        // The vote itself among them.
        let given = || self.votes.iter().filter(excuses).map(|vote| &self.answers[vote.answer]);
        let lacking = |ids: &[EventId]| -> Vec<&BTreeSet<&'a NodeId>> {
            let lacking = sure.iter().filter(|(id, _)| ids.binary_search(id).is_err());
            lacking.map(|(_, nodes)| nodes).collect()
        };
        let held = given().filter_map(|answer| answer.ids.as_deref()).map(lacking);
        if let Some(least) = held.min_by_key(Vec::len)
            && (most.is_none() || !least.is_empty())
        {
            let had = least.iter().flat_map(|nodes| nodes.iter().copied()).collect();
            return (least.len() as u64, had);
        }
        // Counts are all there is to compare.
        let count = given().map(|answer| answer.count).max().unwrap_or(0);
        let shown = self.shown.as_ref().map(|shown| (shown.len() as u64, BTreeSet::new()));
        let by_nodes = most.map(|(most, index)| (most, self.nodes_of(index, true)));
        let by_ids = (sure.len() as u64, sure.values().flatten().copied().collect());
        let all = shown.or(by_nodes).unwrap_or(by_ids);
        (all.0.saturating_sub(count), all.1)
    }
}
