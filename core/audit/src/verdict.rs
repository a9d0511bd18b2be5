//! All windows of an audit put together: what is known of every block, and who said what wrong.

use crate::{
    Break, EventKey, Finding, Kind, Status, Told, Who, Window,
    compare::Difference,
    links::{Headers, Links},
};
use event::{BlockNumHash, BlockRange, Content, NodeId};
use std::collections::BTreeMap;

/// Findings that are kept one by one; further ones are only counted.
pub const FINDINGS_MAX: usize = 1_000;
/// Spans of equal status that are kept for a filter; in what comes after them only blocks count.
pub const SPANS_MAX: usize = 10_000;

/// Blocks in a row of which the same is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// Blocks.
    pub range: BlockRange,
    /// What is known.
    pub status: Status,
    /// Why it is undecided; empty where it is not.
    pub reason: String,
}

/// What is known for one filter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FilterVerdict {
    /// In order.
    pub spans: Vec<Span>,
    /// Blocks by status.
    pub blocks: BTreeMap<Status, u64>,
    /// Blocks by what was shown of them.
    pub shown: BTreeMap<Content, u64>,
    /// Events of the blocks that are shown.
    pub events: u64,
}

/// Blocks of which a node did not answer what logs there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unheard {
    /// How many, summed over filters.
    pub blocks: u64,
    /// Why, of the first.
    pub reason: String,
}

/// What an audit comes to.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// For each filter.
    pub filters: Vec<FilterVerdict>,
    /// In the order found.
    pub findings: Vec<Finding>,
    /// All findings, by who and kind, with those that are not kept.
    pub counts: BTreeMap<(Who, Kind), u64>,
    /// Trusted nodes that were not heard of all blocks that were read.
    pub unheard: BTreeMap<NodeId, Unheard>,
    /// Events of the blocks that are shown, by [`EventKey`].
    pub events: Vec<u64>,
    /// First and last block, where their headers were read.
    pub first: Option<BlockNumHash>,
    /// The same.
    pub last: Option<BlockNumHash>,
    /// Where the headers do not hang together, the highest such place.
    pub broken: Option<Break>,
}

impl Verdict {
    /// Returns the number of blocks of this status, summed over filters.
    pub fn blocks(&self, status: Status) -> u64 {
        self.filters.iter().filter_map(|filter| filter.blocks.get(&status)).sum()
    }

    /// Whether anything was left out or made up.
    pub fn has_findings(&self) -> bool {
        !self.counts.is_empty()
    }

    /// Returns what it comes to.
    pub fn status(&self) -> Status {
        let is_loss = |(_, kind): &(Who, Kind)| kind.is_loss();
        match () {
            () if self.counts.keys().any(is_loss) => Status::Missing,
            () if self.has_findings() => Status::Forged,
            () if self.blocks(Status::Undecided) > 0 => Status::Undecided,
            () => Status::Complete,
        }
    }
}

/// Puts windows together.
#[derive(Clone, Debug)]
pub struct Audit {
    verdict: Verdict,
    events: Vec<EventKey>,
    links: Links,
    /// Whether blocks that do not lead to the anchor are shown all the same.
    is_anchor_demanded: bool,
}

impl Audit {
    /// Returns an audit of this many filters. `events` are counted by themselves; a log is counted
    /// for the first that fits. With an `anchor` that is demanded only blocks whose headers lead to
    /// it are shown.
    pub fn new(
        filters: usize,
        events: Vec<EventKey>,
        anchor: Option<BlockNumHash>,
        is_anchor_demanded: bool,
    ) -> Self {
        let verdict = Verdict {
            filters: vec![FilterVerdict::default(); filters],
            events: vec![0; events.len()],
            ..Verdict::default()
        };
        Self { verdict, events, links: Links::new(anchor), is_anchor_demanded }
    }

    /// Takes the windows of all filters over the same blocks, which follow those taken before.
    pub fn close(&mut self, windows: Vec<Window>) {
        let mut headers = Headers::new();
        let mut range = None;
        for window in windows {
            self.close_one(&window);
            range = range.or(Some(window.range()));
            for (number, ids) in window.headers {
                headers.entry(number).or_insert(ids);
            }
        }
        if let Some(range) = range {
            self.links.take(range.first(), range.last(), &headers);
        }
    }

    fn close_one(&mut self, window: &Window) {
        for (node, (blocks, reason)) in window.unheard() {
            let unheard = self.verdict.unheard.entry(node);
            unheard.or_insert_with(|| Unheard { blocks: 0, reason }).blocks += blocks;
        }
        let range = window.range();
        let mut found: BTreeMap<&Who, Difference<'_>> = BTreeMap::new();
        for number in range.first()..=range.last() {
            let truth = window.truth(number);
            let shown = truth.as_ref().filter(|truth| !window.is_unproven(number, truth));
            let Some(truth) = shown else {
                let reason = window.reason(number);
                self.note(window.index, BlockRange::one(number), Status::Undecided, reason);
                continue;
            };
            let mut status = Status::Complete;
            for (who, difference) in window.differences(number, truth) {
                let of_block = match difference.missing.is_empty() {
                    true => Status::Forged,
                    false => Status::Missing,
                };
                status = status.min(of_block);
                let all = found.entry(who).or_default();
                all.missing.extend(difference.missing);
                all.extra.extend(difference.extra);
            }
            self.note(window.index, BlockRange::one(number), status, String::new());
            self.count(window.index, truth.content, &truth.logs);
        }
        let found = window.findings(found);
        found.into_iter().chain(window.evidence_findings()).for_each(|finding| self.add(finding));
    }

    /// Takes blocks that nobody could be asked for.
    pub fn undecided(&mut self, range: BlockRange, reason: &str) {
        for index in 0..self.verdict.filters.len() {
            self.note(index, range, Status::Undecided, reason.to_owned());
        }
    }

    /// Takes what was wrong with a node before a window was read.
    pub fn of_node(&mut self, kind: Kind, node: &NodeId, block: BlockNumHash, detail: String) {
        let who = Who::Node(node.clone());
        self.add(Finding { filter: 0, kind, who, block, log: None, count: 1, detail });
    }

    fn count(&mut self, index: usize, content: Content, logs: &[&Told]) {
        if let Some(filter) = self.verdict.filters.get_mut(index) {
            *filter.shown.entry(content).or_default() += 1;
            filter.events += logs.len() as u64;
        }
        for log in logs {
            if let Some(at) = self.events.iter().position(|event| event.fits(log)) {
                self.verdict.events[at] += 1;
            }
        }
    }

    fn add(&mut self, finding: Finding) {
        *self.verdict.counts.entry((finding.who.clone(), finding.kind)).or_default() +=
            finding.count;
        if self.verdict.findings.len() < FINDINGS_MAX {
            self.verdict.findings.push(finding);
        }
    }

    fn note(&mut self, index: usize, range: BlockRange, status: Status, reason: String) {
        let Some(filter) = self.verdict.filters.get_mut(index) else { return };
        *filter.blocks.entry(status).or_default() += range.count();
        let has_room = filter.spans.len() < SPANS_MAX;
        match filter.spans.last_mut() {
            Some(last)
                if last.status == status
                    && last.reason == reason
                    && last.range.last().checked_add(1) == Some(range.first()) =>
            {
                last.range =
                    BlockRange::new(last.range.first(), range.last()).unwrap_or(last.range);
            }
            _ if has_room => filter.spans.push(Span { range, status, reason }),
            _ => {}
        }
    }

    /// Returns what it comes to.
    pub fn verdict(self) -> Verdict {
        let Self { mut verdict, links, is_anchor_demanded, .. } = self;
        (verdict.first, verdict.last) = (links.first, links.last());
        verdict.broken = links.broken;
        if let (Some(cut), true) = (&verdict.broken, is_anchor_demanded) {
            let reason = format!("its header does not lead to the anchor: {}", cut.reason);
            verdict.filters.iter_mut().for_each(|filter| take_back(filter, cut.below, &reason));
        }
        verdict
    }
}

/// Takes back that blocks up to this one are complete.
fn take_back(filter: &mut FilterVerdict, through: u64, reason: &str) {
    let mut spans = Vec::with_capacity(filter.spans.len() + 1);
    for span in std::mem::take(&mut filter.spans) {
        let (first, last) = (span.range.first(), span.range.last());
        let below = BlockRange::new(first, last.min(through));
        let Some(below) = below.filter(|_| span.status == Status::Complete) else {
            spans.push(span);
            continue;
        };
        *filter.blocks.entry(Status::Undecided).or_default() += below.count();
        if let Some(complete) = filter.blocks.get_mut(&Status::Complete) {
            *complete = complete.saturating_sub(below.count());
        }
        let reason = reason.to_owned();
        spans.push(Span { range: below, status: Status::Undecided, reason });
        if let Some(above) = BlockRange::new(below.last().saturating_add(1), last) {
            spans.push(Span { range: above, ..span });
        }
    }
    filter.spans = spans;
    filter.blocks.retain(|_, blocks| *blocks > 0);
}
