//! What each node gave for each block that can still change, by filter: the ballots.
//!
//! Remembers and forgets; what follows from it is said in `agreement` and `missed`. Knows neither
//! coverage nor the chain. Everything here is a set, so the order of reports leaves no trace.

use crate::{coverage::merge_nodes, sightings::digest};
use alloy_primitives::B256;
use event::{BlockRange, Content, EventId, FilterId, NodeId, Via};
use std::collections::{BTreeMap, BTreeSet};

/// Ballots held per chain. The unfinalized window of mainnet is about 100 blocks, so this is days
/// without finality; beyond it the lowest are forgotten and need their nodes asked again.
const BALLOTS_MAX: usize = 32_768;
/// Ids held over all ballots, about 100 bytes each; beyond it only digest and count are kept.
const IDS_HELD_MAX: usize = 200_000;
/// Votes of one ballot: all ways of a dozen nodes, with some answers that differ.
const VOTES_PER_BALLOT_MAX: usize = 64;

/// Bounds, smaller in tests.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) ballots: usize,
    pub(crate) ids: usize,
}

/// What was given for one block and filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct BallotKey {
    pub(crate) number: u64,
    pub(crate) hash: B256,
    pub(crate) filter: FilterId,
}

/// A set of ids that at least one node gave.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// Sorted; `None` beyond the bound.
    pub(crate) ids: Option<Vec<EventId>>,
    pub(crate) count: u64,
    pub(crate) digest: B256,
}

/// One node gave one answer by one way.
#[derive(Clone, Debug)]
pub(crate) struct Vote {
    pub(crate) node: NodeId,
    pub(crate) via: Via,
    /// Index into the ballot's answers.
    pub(crate) answer: usize,
    /// Strongest content shown with it.
    pub(crate) content: Content,
    /// Whether each time it came nothing showed that all is there: the node may not be ready yet.
    pub(crate) is_doubtful: bool,
}

/// All votes for one block and filter.
#[derive(Debug, Default)]
pub(crate) struct Ballot {
    pub(crate) answers: Vec<Answer>,
    pub(crate) votes: Vec<Vote>,
    /// What receipts show, once they do; sorted.
    pub(crate) shown: Option<Vec<EventId>>,
    /// Whether the policy's demand is met.
    pub(crate) is_closed: bool,
    /// Nodes whose loss was told.
    pub(crate) told_missing: BTreeSet<NodeId>,
    /// Nodes whose addition was told.
    pub(crate) told_forged: BTreeSet<NodeId>,
}

/// Ballots of one chain, and who reported which block at all.
#[derive(Debug)]
pub(crate) struct Votes {
    ballots: BTreeMap<BallotKey, Ballot>,
    seen: BTreeMap<(u64, B256), Vec<NodeId>>,
    ids_held: usize,
    bounds: Bounds,
}

impl Default for Votes {
    fn default() -> Self {
        Self::new(Bounds { ballots: BALLOTS_MAX, ids: IDS_HELD_MAX })
    }
}

impl Votes {
    pub(crate) const fn new(bounds: Bounds) -> Self {
        Self { ballots: BTreeMap::new(), seen: BTreeMap::new(), ids_held: 0, bounds }
    }

    /// Whether nodes already voted on the block, for any filter.
    pub(crate) fn has_block(&self, number: u64, hash: B256) -> bool {
        self.seen.contains_key(&(number, hash))
    }

    /// Notes that nodes reported this very block.
    pub(crate) fn see(&mut self, number: u64, hash: B256, nodes: &[NodeId]) {
        merge_nodes(self.seen.entry((number, hash)).or_default(), nodes);
    }

    /// Returns blocks of the range with the nodes that reported them, lowest first.
    pub(crate) fn seen_in(
        &self,
        range: BlockRange,
    ) -> impl Iterator<Item = (u64, &B256, &[NodeId])> {
        let ends = (range.first(), B256::ZERO)..=(range.last(), B256::repeat_byte(0xff));
        self.seen.range(ends).map(|((number, hash), nodes)| (*number, hash, &nodes[..]))
    }

    pub(crate) fn get(&self, key: &BallotKey) -> Option<&Ballot> {
        self.ballots.get(key)
    }

    pub(crate) fn get_mut(&mut self, key: &BallotKey) -> Option<&mut Ballot> {
        self.ballots.get_mut(key)
    }

    /// Adds a vote with its ids (sorted).
    pub(crate) fn cast(&mut self, key: BallotKey, vote: Vote, ids: Vec<EventId>) {
        let (count, digest) = (ids.len() as u64, digest(&ids));
        let room = self.bounds.ids.saturating_sub(self.ids_held);
        let ids = (ids.len() <= room).then_some(ids);
        self.put(key, vote, Answer { ids, count, digest });
    }

    /// Adds a vote of which only count and digest are known.
    pub(crate) fn recall(&mut self, key: BallotKey, vote: Vote, count: u64, digest: B256) {
        self.put(key, vote, Answer { ids: None, count, digest });
    }

    fn put(&mut self, key: BallotKey, vote: Vote, answer: Answer) {
        let ballot = self.ballots.entry(key).or_default();
        let same = ballot.answers.iter().position(|a| a.digest == answer.digest);
        let held = same.map_or(ballot.votes.len(), |same| {
            let is_same = |v: &Vote| v.answer == same && v.node == vote.node && v.via == vote.via;
            ballot.votes.iter().position(is_same).unwrap_or(ballot.votes.len())
        });
        if held >= VOTES_PER_BALLOT_MAX {
            return;
        }
        let index = same.unwrap_or(ballot.answers.len());
        if same.is_none() {
            self.ids_held += answer.ids.as_ref().map_or(0, Vec::len);
            ballot.answers.push(answer);
        } else if ballot.answers[index].ids.is_none() {
            // Only its digest was known, from before a restart or while memory was full.
            self.ids_held += answer.ids.as_ref().map_or(0, Vec::len);
            ballot.answers[index].ids = answer.ids;
        }
        match ballot.votes.get_mut(held) {
            Some(held) => {
                held.content = held.content.max(vote.content);
                held.is_doubtful &= vote.is_doubtful;
            }
            None => ballot.votes.push(Vote { answer: index, ..vote }),
        }
    }

    /// Takes what receipts show (sorted). They cannot show two things of one block.
    pub(crate) fn show(&mut self, key: &BallotKey, ids: Vec<EventId>) {
        let room = self.bounds.ids.saturating_sub(self.ids_held);
        let Some(ballot) = self.ballots.get_mut(key) else { return };
        if ballot.shown.is_none() && ids.len() <= room {
            self.ids_held += ids.len();
            ballot.shown = Some(ids);
        }
    }

    /// Forgets ballots up to `number`, except those that `stays`; returns the forgotten ones.
    pub(crate) fn forget_through(
        &mut self,
        number: u64,
        stays: impl Fn(&BallotKey, &Ballot) -> bool,
    ) -> Vec<(BallotKey, Ballot)> {
        self.seen.retain(|(seen, _), _| *seen > number);
        let low: Vec<BallotKey> = (self.ballots.iter())
            .take_while(|(key, _)| key.number <= number)
            .filter(|(key, ballot)| !stays(key, ballot))
            .map(|(key, _)| *key)
            .collect();
        low.into_iter().filter_map(|key| self.forget(key)).collect()
    }

    /// Forgets what is beyond the bound, lowest first: the newest blocks matter most.
    pub(crate) fn prune(&mut self) {
        while self.ballots.len() > self.bounds.ballots
            && let Some(key) = self.ballots.first_key_value().map(|(key, _)| *key)
        {
            self.forget(key);
        }
        while self.seen.len() > self.bounds.ballots {
            self.seen.pop_first();
        }
    }

    pub(crate) fn forget(&mut self, key: BallotKey) -> Option<(BallotKey, Ballot)> {
        let ballot = self.ballots.remove(&key)?;
        let ids = ballot.answers.iter().filter_map(|answer| answer.ids.as_ref());
        let ids = ids.chain(&ballot.shown);
        self.ids_held -= ids.map(Vec::len).sum::<usize>();
        Some((key, ballot))
    }

    /// Returns how many ballots, blocks seen and ids are held.
    pub(crate) fn held(&self) -> (usize, usize, usize) {
        (self.ballots.len(), self.seen.len(), self.ids_held)
    }
}

impl Ballot {
    /// Returns the nodes that gave the answer, sorted; those in doubt each time only if wanted.
    pub(crate) fn nodes_of(&self, answer: usize, with_doubtful: bool) -> BTreeSet<&NodeId> {
        let votes = self.votes.iter().filter(|vote| vote.answer == answer);
        votes.filter(|v| with_doubtful || !v.is_doubtful).map(|vote| &vote.node).collect()
    }

    /// Returns the nodes that gave an answer without this log, and not in doubt.
    pub(crate) fn lacked_by(&self, id: &EventId) -> impl Iterator<Item = &NodeId> {
        let lacks = move |vote: &&Vote| {
            let ids = &self.answers[vote.answer].ids;
            !vote.is_doubtful && ids.as_ref().is_some_and(|ids| ids.binary_search(id).is_err())
        };
        self.votes.iter().filter(lacks).map(|vote| &vote.node)
    }

    /// Whether the answer is the one that receipts show.
    pub(crate) fn is_shown(&self, answer: &Answer) -> bool {
        self.shown.as_ref().is_some_and(|shown| match &answer.ids {
            Some(ids) => ids == shown,
            None => digest(shown) == answer.digest,
        })
    }
}
