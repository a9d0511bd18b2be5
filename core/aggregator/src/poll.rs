//! How the votes of a report are taken, and what they lead to: levels, labels, incidents.
//!
//! Blocks at or below the finalized one cost nothing here, unless the policy asks nodes to agree
//! and they are still open. Does not admit events.

use crate::{
    admission::Decided,
    aggregator::{Admission, Aggregator},
    agreement::{Admitted, Tally},
    coverage::adjacent,
    cut::{Cut, flawed, spoils_receipts},
    extend::hash_at,
    known::Known,
    missed::{Call, Missed},
    rows::Rows,
    sightings::given_ids,
    votes::{BallotKey, Vote},
};
use event::{
    Anchor, BlockRange, BlockRanges, Content, EventId, Flaw, Incident, Judgement, NodeId, Report,
    Sighting, Verify,
};
use std::collections::BTreeMap;

/// Nodes that make a loss sure where one node's word admits an event.
const SURE_NODES_MIN: usize = 2;

/// The ballots that a report votes on.
#[derive(Debug, Default)]
pub(crate) struct Polled {
    /// Per block of the report; empty where no votes are kept.
    keys: Vec<Option<BallotKey>>,
}

impl Polled {
    /// Returns the ballot of a block of the report, where its votes are kept.
    pub(crate) fn key(&self, block: usize) -> Option<BallotKey> {
        self.keys.get(block).copied().flatten()
    }
}

impl Aggregator {
    /// Takes back what nodes gave before a restart, of blocks above the finalized one, so that
    /// they need not be asked again to agree. Rows of other blocks are ignored.
    pub(crate) fn recall(&mut self, sightings: Vec<Sighting>) {
        for sighting in sightings {
            let Sighting { number, hash, filter, node, via, logs, digest } = sighting;
            if self.canonical.is_settled(number) {
                continue;
            }
            self.votes.see(number, hash, std::slice::from_ref(&node));
            let covering = self.coverage.of(filter).map(|c| c.touching(BlockRange::one(number)));
            let is_covering = covering
                .and_then(<[_]>::first)
                .is_some_and(|interval| interval.nodes.binary_search(&node).is_ok());
            // Nothing given and nothing covered: it was in doubt.
            let is_doubtful = logs == 0 && !is_covering;
            let content = Content::Claimed;
            let vote = Vote { node, via, answer: 0, content, is_doubtful };
            self.votes.recall(BallotKey { number, hash, filter }, vote, logs, digest);
        }
        self.votes.prune();
    }

    /// Returns the ballots of the report's blocks whose votes are kept.
    pub(crate) fn polled(&self, report: &Report, refused: &[bool]) -> Polled {
        let agree = matches!(self.policy.verify, Verify::Agree(_));
        if self.canonical.is_settled(report.range.last()) && !agree {
            return Polled::default();
        }
        // Where nodes must agree, each block is voted on until so many have it: also one without logs,
        // and one that a header's bloom excludes.
        let open = self.open_for_agreement(report);
        let mut keys = vec![None; report.blocks.len()];
        let filter = report.filter.id();
        for (i, block) in report.blocks.iter().enumerate().filter(|(i, _)| !refused[*i]) {
            let (number, hash) = (block.number, block.hash);
            let key = BallotKey { number, hash, filter };
            let can_change = !self.canonical.is_settled(number)
                && (!self.canonical.is_final(number) || self.votes.has_block(number, hash));
            let is_open = open.contains(number) || (agree && self.votes.get(&key).is_some());
            keys[i] = (can_change || is_open).then_some(key);
        }
        Polled { keys }
    }

    /// Returns the blocks of the report that so many nodes have to have before they are closed.
    pub(crate) fn open_for_agreement(&self, report: &Report) -> BlockRanges {
        if !matches!(self.policy.verify, Verify::Agree(_)) {
            return BlockRanges::default();
        }
        let missing = self.missing(&report.filter, report.range, self.policy.verify);
        missing.into_iter().map(|(range, _)| range).collect()
    }

    /// Takes the votes of a report. `given` holds the ids of all its rows in polled blocks.
    pub(crate) fn vote(
        &mut self,
        report: &Report,
        judgement: &Judgement,
        polled: &Polled,
        mut given: BTreeMap<usize, Vec<EventId>>,
    ) {
        let is_polled = |i: usize| polled.key(i).is_some();
        let rows = report.logs.block.iter().zip(&judgement.admit);
        if rows.into_iter().any(|(block, admit)| !admit && is_polled(*block as usize)) {
            given = given_ids(report, Some(&judgement.admit), is_polled);
        }
        for (i, key) in polled.keys.iter().enumerate() {
            let (Some(key), Some(ids)) = (*key, given.remove(&i)) else { continue };
            let verdict = judgement.blocks[i];
            let vote = Vote {
                node: report.node.clone(),
                via: report.blocks[i].via,
                answer: 0,
                content: verdict.content,
                is_doubtful: verdict.doubt && verdict.content == Content::Claimed,
            };
            if !self.canonical.is_settled(key.number) {
                self.votes.see(key.number, key.hash, std::slice::from_ref(&report.node));
            }
            self.votes.cast(key, vote, ids);
        }
        for (block, flaw, ..) in &judgement.flaws {
            if *flaw == Flaw::Missing
                && let Some(key) = block.and_then(|i| polled.key(i as usize))
                && let Some(ballot) = self.votes.get_mut(&key)
            {
                ballot.told_missing.insert(report.node.clone());
            }
        }
    }

    /// Whether it was told already that the report's node kept back logs of this block.
    pub(crate) fn told_missing(&self, report: &Report, block: u32) -> bool {
        let Some(block) = report.blocks.get(block as usize) else { return false };
        let (number, hash) = (block.number, block.hash);
        let key = BallotKey { number, hash, filter: report.filter.id() };
        self.votes.get(&key).is_some_and(|ballot| ballot.told_missing.contains(&report.node))
    }

    /// Returns what receipts showed earlier of the report's blocks.
    pub(crate) fn shown_before(&self, polled: &Polled) -> BTreeMap<u32, Vec<EventId>> {
        let shown = |key: &Option<BallotKey>| self.votes.get(&(*key)?)?.shown.clone();
        let all = polled.keys.iter().enumerate();
        all.filter_map(|(i, key)| Some((i as u32, shown(key)?))).collect()
    }

    /// Remembers what the report's receipts and blooms show.
    pub(crate) fn show(
        &mut self,
        report: &Report,
        judgement: &Judgement,
        polled: &Polled,
        rows: &Rows,
    ) {
        let spoiled = flawed(report, judgement, spoils_receipts);
        let is_shown = |i: usize| {
            judgement.blocks[i].content == Content::Receipts
                && !spoiled[i]
                && polled.key(i).is_some()
        };
        let mut shown: BTreeMap<usize, Vec<EventId>> =
            (0..report.blocks.len()).filter(|i| is_shown(*i)).map(|i| (i, Vec::new())).collect();
        if shown.is_empty() {
            return;
        }
        for (row, block) in rows.logs.block.iter().enumerate() {
            if let Some(ids) = shown.get_mut(&(*block as usize)) {
                ids.push(rows.id(report.chain, report.blocks[*block as usize].hash, row));
            }
        }
        for (i, mut ids) in shown {
            ids.sort_unstable();
            if let Some(key) = polled.key(i) {
                self.votes.show(&key, ids);
            }
        }
    }

    /// Counts the votes of the report's blocks.
    pub(crate) fn tallies(
        &self,
        polled: &Polled,
        decided: &Decided,
        known: &Known,
    ) -> Vec<Option<Tally>> {
        let tally = |(i, key): (usize, &Option<BallotKey>)| {
            let ballot = self.votes.get(key.as_ref()?)?;
            let word = match self.policy.admission {
                Admission::OneNode => {
                    return Some(ballot.tally(&Admitted { word: 1, id: &|_| true }));
                }
                Admission::OneOfSeveral => 1,
                Admission::Agree(word) => word,
            };
            let here = decided.ids.get(&(i as u32)).map_or(&[][..], |ids| ids);
            let id = |id: &EventId| {
                known.has(id) || (here.binary_search(id).is_ok() && !decided.waiting.contains(id))
            };
            Some(ballot.tally(&Admitted { word: usize::from(word), id: &id }))
        };
        polled.keys.iter().enumerate().map(tally).collect()
    }

    /// Names who missed what in the report's blocks, and forgets what is final and closed.
    pub(crate) fn settle_votes(&mut self, polled: &Polled, closed: &[bool], cut: &mut Cut) {
        for (key, closed) in polled.keys.iter().zip(closed) {
            let Some(key) = key else { continue };
            let needed = self.sure_nodes();
            let Some(ballot) = self.votes.get_mut(key) else { continue };
            ballot.is_closed |= *closed;
            let is_settled = self.canonical.is_settled(key.number);
            let is_over = ballot.is_closed && is_settled;
            if is_settled && ballot.shown.is_none() {
                // Of a final block receipts can be had: until then it is kept who said what, and nobody is
                // named because two others said the same.
                cut.commit.sightings.extend(self.sightings.of_ballot(key, ballot));
            } else {
                let call = if is_over { Call::Last } else { Call::Open };
                let missed = ballot.missed(needed, call);
                self.tell_missed(key.number, missed);
            }
            if is_over {
                self.votes.forget(*key);
            }
        }
        self.votes.prune();
    }

    /// Forgets the votes of what became final. A block that is still open where nodes must agree
    /// keeps them, so that a slow node can close it.
    pub(crate) fn forget_final(&mut self) {
        let Some(finalized) = self.canonical.finalized() else { return };
        self.sightings.forget_through(finalized);
        let agree = matches!(self.policy.verify, Verify::Agree(_));
        let canonical = &self.canonical;
        // Nobody asks for a block again that left for good: what waits in it would wait for ever.
        let is_left = |number, hash: &_| number <= finalized && canonical.is_orphan(number, hash);
        self.dropped.extend(self.candidates.drop_blocks(is_left));
        let gone = self.votes.forget_through(finalized, |key, ballot| {
            agree && !ballot.is_closed && !canonical.is_orphan(key.number, &key.hash)
        });
        let needed = self.sure_nodes();
        for (key, mut ballot) in gone {
            // Of a branch that was left nobody asks again: who was in doubt stays unblamed.
            let is_left = self.canonical.is_orphan(key.number, &key.hash);
            let call = if is_left { Call::Open } else { Call::Last };
            self.tell_missed(key.number, ballot.missed(needed, call));
        }
    }

    fn sure_nodes(&self) -> usize {
        match self.policy.admission {
            Admission::OneNode | Admission::OneOfSeveral => SURE_NODES_MIN,
            Admission::Agree(needed) => SURE_NODES_MIN.max(usize::from(needed)),
        }
    }

    fn tell_missed(&mut self, number: u64, missed: Vec<Missed>) {
        for Missed { node, count, had } in missed {
            let had: Vec<&str> = had.iter().map(|node| &*node.0).collect();
            let by = match had.as_slice() {
                [] => "receipts show".to_owned(),
                [one] => format!("{one} gave"),
                [most @ .., last] => format!("{} and {last} gave", most.join(", ")),
            };
            let logs = if count == 1 { "log" } else { "logs" };
            self.incidents.push(Incident {
                chain: self.profile.chain,
                node,
                range: BlockRange::one(number),
                flaw: Flaw::Missing,
                count,
                detail: format!("{count} {logs} of block {number} kept back that {by}"),
            });
        }
    }

    /// Labels blocks that can still change with the number of nodes that reported their hash and
    /// whose answer covers them, for all filters.
    pub(crate) fn raise_anchors(&mut self, report: &Report, cut: &mut Cut) {
        let mut runs: Vec<(BlockRange, u8)> = Vec::new();
        for (number, hash, nodes) in self.votes.seen_in(report.range) {
            if nodes.len() < 2 || !self.canonical.is_canonical(number, hash) {
                continue;
            }
            let covering = self.coverage.nodes_at(number);
            let agreed = nodes.iter().filter(|node| covering.binary_search(node).is_ok()).count();
            let agreed = u8::try_from(agreed).unwrap_or(u8::MAX);
            let block = BlockRange::one(number);
            match runs.last_mut() {
                Some((run, same)) if *same == agreed && adjacent(run, &block) => {
                    *run = run.hull(block);
                }
                _ if agreed < 2 => {}
                _ => runs.push((block, agreed)),
            }
        }
        let refused = cut.refused_headers.clone();
        let hash_at = hash_at(report, &refused, &self.canonical);
        for (run, agreed) in runs {
            cut.changed.extend(self.coverage.raise(run, Anchor::AgreedHash(agreed), &hash_at));
        }
    }

    /// Notes who reported the blocks that can still change, as far as coverage tells.
    pub(crate) fn see_covered(&mut self, blocks: &[(u64, alloy_primitives::B256)]) {
        for (number, hash) in blocks {
            let nodes: Vec<NodeId> = self.coverage.nodes_at(*number);
            if !self.canonical.is_settled(*number) && !nodes.is_empty() {
                self.votes.see(*number, *hash, &nodes);
            }
        }
        self.votes.prune();
    }
}
