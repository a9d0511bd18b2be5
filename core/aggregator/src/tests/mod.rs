//! Tests of the whole stage: a small world of blocks and logs, and a judge that believes it.
#![allow(clippy::unwrap_used, reason = "tests")]

mod admission;
mod agreement;
mod algebra;
mod chain;
mod demands;
mod disputes;
mod finality;
mod missed;
mod order;
mod second_look;
mod several;

use crate::{Admission, Aggregator, JournalCounter, Outcome, Policy};
use alloy_primitives::{Address, B256, keccak256};
use event::{
    AnchorPolicy, AnyOf, BatchBlock, BlockRange, BlockVerdict, ChainId, ChainProfile, ChainState,
    Content, EventId, EventPage, Filter, Flaw, Header, Incident, Interval, JournalRow, Judgement,
    Links, Log, LogRef, Logs, NodeId, Op, Outcome as ReceiptOutcome, REPORT_VERSION, Receipt,
    Report, ReportedBlock, Sighting, Verify, Via,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

pub(crate) const CHAIN: ChainId = ChainId(1);

pub(crate) fn address(n: u8) -> Address {
    Address::repeat_byte(n)
}

pub(crate) fn topic(n: u8) -> B256 {
    B256::repeat_byte(n)
}

pub(crate) fn range(first: u64, last: u64) -> BlockRange {
    BlockRange::new(first, last).unwrap()
}

pub(crate) fn filter(addresses: &[u8], topics: &[u8]) -> Arc<Filter> {
    let addresses = AnyOf::of(addresses.iter().map(|n| address(*n))).unwrap_or(AnyOf::Any);
    let topics = AnyOf::of(topics.iter().map(|n| topic(*n))).unwrap_or(AnyOf::Any);
    Arc::new(Filter::new(addresses, topics))
}

/// Block `number` of branch `branch`; branches part above `fork`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Branch {
    pub(crate) name: u8,
    pub(crate) fork: u64,
}

pub(crate) const A: Branch = Branch { name: b'A', fork: 0 };

impl Branch {
    pub(crate) fn hash(self, number: u64) -> B256 {
        let name = if number <= self.fork { b'A' } else { self.name };
        keccak256([&[name][..], &number.to_be_bytes()].concat())
    }
}

/// A log by block, transaction in it, contract and data; topic 0 is always 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct L(pub(crate) u64, pub(crate) u8, pub(crate) u8, pub(crate) u8);

/// A report under construction, with what the judge will say.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    pub(crate) node: &'static str,
    pub(crate) filter: Arc<Filter>,
    pub(crate) range: BlockRange,
    pub(crate) branch: Branch,
    pub(crate) logs: Vec<L>,
    pub(crate) headers: bool,
    pub(crate) content: Content,
    pub(crate) doubt: Vec<u64>,
    pub(crate) receipts: Vec<(u64, Vec<L>)>,
    pub(crate) flaws: Vec<(Option<u64>, Flaw)>,
    pub(crate) head: u64,
    pub(crate) via: Via,
    pub(crate) finalized: Option<u64>,
    pub(crate) is_second_look: bool,
}

pub(crate) fn said(node: &'static str, first: u64, last: u64, logs: &[L]) -> Said {
    Said {
        node,
        filter: filter(&[], &[1]),
        range: range(first, last),
        branch: A,
        logs: logs.to_vec(),
        headers: true,
        content: Content::Bloom,
        doubt: vec![],
        receipts: vec![],
        flaws: vec![],
        head: u64::MAX,
        via: Via::Range,
        finalized: None,
        is_second_look: false,
    }
}

fn tx(number: u64, hash: B256, n: u8) -> B256 {
    keccak256([&hash[..], &number.to_be_bytes(), &[n]].concat())
}

impl Said {
    pub(crate) fn on(mut self, branch: Branch) -> Self {
        self.branch = branch;
        self
    }

    pub(crate) fn of(mut self, filter: Arc<Filter>) -> Self {
        self.filter = filter;
        self
    }

    pub(crate) fn bare(mut self) -> Self {
        self.headers = false;
        self.content = Content::Claimed;
        self
    }

    pub(crate) fn by(mut self, via: Via) -> Self {
        self.via = via;
        self
    }

    /// Asked to be compared with what others said before; the node calls all of it final.
    pub(crate) fn again(mut self) -> Self {
        self.is_second_look = true;
        self.finalized = Some(self.range.last());
        self
    }

    /// In these blocks nothing shows that all is there.
    pub(crate) fn in_doubt(mut self, numbers: &[u64]) -> Self {
        self.doubt = numbers.to_vec();
        self
    }

    /// With the receipts of one block.
    pub(crate) fn showing(mut self, number: u64, logs: &[L]) -> Self {
        self.receipts.push((number, logs.to_vec()));
        self
    }

    fn log(&self, log: L, index: u32) -> Log {
        let hash = self.branch.hash(log.0);
        Log {
            address: address(log.2),
            topics: vec![topic(1)],
            data: vec![log.3].into(),
            log_index: index,
            tx_index: u32::from(log.1),
            tx_hash: tx(log.0, hash, log.1),
            block_number: log.0,
            block_hash: hash,
            removed: false,
        }
    }

    pub(crate) fn make(&self) -> (Report, Judgement) {
        let mut numbers: Vec<u64> = self.logs.iter().map(|log| log.0).collect();
        if self.headers {
            numbers.extend(self.range.first()..=self.range.last());
        }
        numbers.extend(self.receipts.iter().map(|(number, _)| *number));
        numbers.sort_unstable();
        numbers.dedup();
        let mut logs = Logs::default();
        for (i, log) in self.logs.iter().enumerate() {
            let block = numbers.binary_search(&log.0).unwrap() as u32;
            logs.push_log(block, &self.log(*log, i as u32));
        }
        let mut recovered = Logs::default();
        let mut admit = vec![true; logs.len()];
        for (number, there) in &self.receipts {
            let mut left = there.clone();
            for (row, log) in self.logs.iter().enumerate().filter(|(_, log)| log.0 == *number) {
                match left.iter().position(|l| l == log) {
                    Some(at) => drop(left.remove(at)),
                    None => admit[row] = false,
                }
            }
            let block = numbers.binary_search(number).unwrap() as u32;
            left.iter().for_each(|log| recovered.push_log(block, &self.log(*log, 99)));
        }
        let block = |number: &u64| {
            let parent = self.branch.hash(number - 1);
            let header = Header { parent_hash: parent, number: *number, ..Header::default() };
            let receipts = self.receipts.iter().find(|(n, _)| n == number).map(|(_, logs)| {
                (logs.iter().enumerate().map(|(i, log)| self.receipt(*log, i))).collect()
            });
            ReportedBlock {
                number: *number,
                hash: self.branch.hash(*number),
                parent: None,
                timestamp: None,
                header: self.headers.then(|| Box::new(header)),
                transactions: None,
                receipts: merge_receipts(receipts),
                via: self.via,
            }
        };
        let verdict = |number: &u64| {
            let has_receipts = self.receipts.iter().any(|(n, _)| n == number);
            let content = if has_receipts { Content::Receipts } else { self.content };
            let doubt = self.doubt.contains(number);
            BlockVerdict { content: if doubt { Content::Claimed } else { content }, doubt }
        };
        let judgement = Judgement {
            admit,
            blocks: numbers.iter().map(verdict).collect(),
            complete_headers: self.headers,
            links: self.headers.then(|| Links {
                first_parent: self.branch.hash(self.range.first() - 1),
                last_hash: self.branch.hash(self.range.last()),
            }),
            recovered: event::Recovered(recovered),
            flaws: (self.flaws.iter())
                .map(|(number, flaw)| {
                    let at = number.map(|n| numbers.binary_search(&n).unwrap() as u32);
                    (at, *flaw, 1, "said".to_owned())
                })
                .collect(),
        };
        let report = Report {
            version: REPORT_VERSION,
            reporter: "test".into(),
            seq: 1,
            chain: CHAIN,
            node: NodeId::new(self.node),
            client: None,
            filter: Arc::clone(&self.filter),
            range: self.range,
            head_before: self.head,
            head_after: self.head,
            finalized: self.finalized,
            blocks: numbers.iter().map(block).collect(),
            logs,
            faults: vec![],
            is_second_look: self.is_second_look,
            judged: None,
        };
        (report, judgement)
    }

    fn receipt(&self, log: L, index: usize) -> Receipt {
        let log = self.log(log, index as u32);
        Receipt {
            tx_type: 2,
            tx_hash: log.tx_hash,
            tx_index: log.tx_index,
            block_hash: log.block_hash,
            block_number: log.block_number,
            outcome: ReceiptOutcome::Status(true),
            cumulative_gas_used: 0,
            logs: vec![log],
            deposit_nonce: None,
            deposit_receipt_version: None,
        }
    }
}

/// One receipt per transaction.
fn merge_receipts(receipts: Option<Vec<Receipt>>) -> Option<Vec<Receipt>> {
    let mut merged: Vec<Receipt> = Vec::new();
    for receipt in receipts? {
        match merged.iter_mut().find(|r| r.tx_hash == receipt.tx_hash) {
            Some(same) => same.logs.extend(receipt.logs),
            None => merged.push(receipt),
        }
    }
    Some(merged)
}

/// An aggregator with a ledger that only remembers.
pub(crate) struct World {
    pub(crate) aggregator: Aggregator,
    pub(crate) journal: JournalCounter,
    pub(crate) events: Vec<(EventId, u64)>,
    pub(crate) blocks: BTreeMap<(u64, B256), bool>,
    pub(crate) coverage: BTreeMap<Filter, Vec<Interval>>,
    pub(crate) rows: Vec<JournalRow>,
    pub(crate) incidents: Vec<Incident>,
    /// Events as they were told.
    logs: BTreeMap<EventId, Logs>,
    refuted: BTreeSet<EventId>,
    sightings: Vec<Sighting>,
    /// Logs that wait, by id.
    pub(crate) waiting: BTreeMap<EventId, Vec<NodeId>>,
    /// Heads at which nodes made their claims, so far.
    pub(crate) head: u64,
}

pub(crate) fn policy(verify: Verify) -> Policy {
    Policy { verify, anchor: AnchorPolicy::OneNode, admission: Admission::OneNode }
}

impl World {
    pub(crate) fn new(policy: Policy) -> Self {
        Self {
            aggregator: Aggregator::new(
                ChainProfile::ethereum(CHAIN),
                policy,
                ChainState::default(),
            ),
            journal: JournalCounter::default(),
            events: vec![],
            blocks: BTreeMap::new(),
            coverage: BTreeMap::new(),
            rows: vec![],
            incidents: vec![],
            logs: BTreeMap::new(),
            refuted: BTreeSet::new(),
            sightings: vec![],
            waiting: BTreeMap::new(),
            head: 0,
        }
    }

    pub(crate) fn take(&mut self, said: &Said) -> Outcome {
        let (report, judgement) = said.make();
        let known = self.aggregator.known_range(&report).map(|range| self.known(range));
        if self.aggregator.is_second_look(&report) {
            let stored = self.stored(&report.filter, report.range);
            self.aggregator.compare_with(stored);
        }
        if self.aggregator.wants_heard(&report) {
            let in_range = self.sightings.iter().filter(|s| report.range.contains(s.number));
            let of_filter = in_range.filter(|s| s.filter == report.filter.id()).cloned();
            let heard = crate::Heard::new(of_filter.collect(), self.losses(report.range));
            self.aggregator.hear(heard);
        }
        let mut outcome = self.aggregator.on_report(report, judgement, known, &mut self.journal);
        for refuted in &outcome.refuted {
            let sightings: Vec<_> = (self.sightings.iter())
                .filter(|s| refuted.block().contains(s.number) && s.filter == refuted.filter())
                .cloned()
                .collect();
            let losses = self.losses(refuted.block());
            outcome.commit.incidents.extend(refuted.told(
                &sightings,
                &losses,
                &outcome.commit.incidents,
            ));
        }
        self.apply(&outcome);
        outcome
    }

    /// What a store gives of a range and filter.
    fn stored(&self, filter: &Filter, range: BlockRange) -> crate::Stored {
        let mut page = EventPage::default();
        for (id, number) in &self.events {
            let is_meant = range.contains(*number) && filter.matches(self.logs[id].row(0));
            if !is_meant || self.refuted.contains(id) {
                continue;
            }
            let block = page.blocks.len() as u32;
            let (number, hash) = (*number, id.block_hash);
            page.blocks.push(BatchBlock { number, hash, parent: None, timestamp: None });
            page.logs.push(LogRef { block, ..self.logs[id].row(0) });
            page.occurrence.push(id.occurrence);
        }
        crate::Stored::new(CHAIN, page)
    }

    fn losses(&self, range: BlockRange) -> Vec<Incident> {
        let is_loss = |told: &&Incident| {
            matches!(told.flaw, Flaw::Missing | Flaw::Withdrawn)
                && told.range.count() == 1
                && range.covers(&told.range)
        };
        self.incidents.iter().filter(is_loss).cloned().collect()
    }

    /// Takes what the aggregator has to say without a report.
    pub(crate) fn flush(&mut self) {
        let commit = self.aggregator.flush();
        self.incidents.extend(commit.into_iter().flat_map(|commit| commit.incidents));
    }

    /// Node, flaw, block and count of every incident so far, sorted.
    pub(crate) fn blamed(&self) -> Vec<(&str, Flaw, u64, u64)> {
        let mut all: Vec<(&str, Flaw, u64, u64)> = (self.incidents.iter())
            .map(|i| (&*i.node.0, i.flaw, i.range.first(), i.count))
            .collect();
        all.sort_by_key(|(node, flaw, number, count)| {
            (node.to_string(), flaw.to_string(), *number, *count)
        });
        all
    }

    /// The evidence of one block for a filter.
    pub(crate) fn evidence_at(&self, filter: &Filter, number: u64) -> Option<event::Evidence> {
        let mut all = self.coverage.get(filter)?.iter();
        all.find(|i| i.range.contains(number)).map(|i| i.evidence)
    }

    fn known(&self, range: BlockRange) -> Vec<EventId> {
        self.events.iter().filter(|(_, n)| range.contains(*n)).map(|(id, _)| *id).collect()
    }

    fn apply(&mut self, outcome: &Outcome) {
        let commit = &outcome.commit;
        for batch in &commit.events {
            let row = commit.journal.iter().find(|row| row.seq == batch.journal_seq).unwrap();
            assert_eq!(row.events, batch.logs.len() as u64);
            for (i, log) in batch.logs.rows().enumerate() {
                let (number, hash) = batch.blocks[log.block as usize];
                let id = crate::rows::event_id(CHAIN, hash, log, batch.occurrence[i]);
                assert!(!self.events.iter().any(|(known, _)| *known == id), "stored twice");
                assert!(row.range.contains(number));
                self.events.push((id, number));
                let mut one = Logs::default();
                one.push(LogRef { block: 0, ..log });
                self.logs.insert(id, one);
            }
        }
        self.refuted.extend(commit.refuted.iter().copied());
        for sighting in &commit.sightings {
            let key = |s: &Sighting| (s.number, s.hash, s.filter, s.node.clone(), s.via);
            self.sightings.retain(|known| key(known) != key(sighting));
            self.sightings.push(sighting.clone());
        }
        commit.candidates_closed.iter().for_each(|id| drop(self.waiting.remove(id)));
        let waiting = commit.candidates.iter();
        self.waiting.extend(waiting.map(|candidate| (candidate.id, candidate.nodes.clone())));
        self.incidents.extend(commit.incidents.iter().cloned());
        for block in &commit.blocks {
            self.blocks.insert((block.number, block.hash), block.canonical);
        }
        for (id, number) in &self.events {
            assert!(self.blocks.contains_key(&(*number, id.block_hash)), "event without block");
        }
        for change in &commit.coverage {
            let intervals = self.coverage.entry((*change.filter).clone()).or_default();
            intervals.retain(|i| i.range.intersection(&change.range).is_none());
            assert!(change.intervals.iter().all(|i| change.range.covers(&i.range)));
            intervals.extend(change.intervals.iter().cloned());
            intervals.sort_by_key(|i| i.range.first());
            let disjoint = intervals.windows(2).all(|w| w[0].range.last() < w[1].range.first());
            assert!(disjoint, "overlapping coverage");
        }
        for row in &commit.journal {
            assert_eq!(row.seq, self.rows.last().map_or(0, |row| row.seq) + 1);
            self.rows.push(row.clone());
        }
        // What is held in memory is what the ledger was told.
        for covered in self.aggregator.coverage_for_tests() {
            let told = self.coverage.get(&covered.0).cloned().unwrap_or_default();
            assert_eq!(told, covered.1);
        }
    }

    pub(crate) fn canonical_events(&self) -> Vec<(u64, EventId)> {
        let mut events: Vec<(u64, EventId)> = (self.events.iter())
            .filter(|(id, number)| self.blocks[&(*number, id.block_hash)])
            .map(|(id, number)| (*number, *id))
            .collect();
        events.sort();
        events
    }

    pub(crate) fn intervals(&self, filter: &Filter) -> Vec<(u64, u64, Content)> {
        let all = self.coverage.get(filter).map_or(&[][..], |all| all);
        all.iter().map(|i| (i.range.first(), i.range.last(), i.evidence.content)).collect()
    }
}

pub(crate) fn ops(outcome: &Outcome) -> Vec<(Op, u64, u64, u64)> {
    let row = |r: &JournalRow| (r.op, r.range.first(), r.range.last(), r.events);
    outcome.commit.journal.iter().map(row).collect()
}

pub(crate) fn log_ref<'a>(
    address: &'a Address,
    topics: &'a [B256],
    data: &'a [u8],
    tx_hash: &'a B256,
) -> LogRef<'a> {
    LogRef { block: 0, tx_hash, tx_index: 0, log_index: 0, address, topics, data }
}
