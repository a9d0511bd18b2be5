//! One filter over some blocks: what everybody said of it, what was shown of it, and what has to be
//! read again.

mod truth;

use crate::{Kind, Told, Who, links::Headers};
use alloy_primitives::B256;
use event::{
    BlockNumHash, BlockRange, BlockVerdict, Content, Fault, Filter, Flaw, Judgement, LogRef, Logs,
    NodeId, Report, Verify, Via,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// By which method headers are asked for, as faults name it.
const HEADER_METHOD: &str = "eth_getBlockByNumber";

/// What is demanded, and whose headers are believed.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What must be shown of a block.
    pub require: Verify,
    /// Nodes on the chain that is believed. What others say is evidence of nothing.
    pub trusted: BTreeSet<NodeId>,
}

/// Blocks to read again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// Not shown as demanded.
    pub unshown: Vec<BlockRange>,
    /// Told differently, or with evidence that does not hold, and not proved.
    pub unproven: Vec<BlockRange>,
}

impl Due {
    /// Whether nothing is to be read again.
    pub const fn is_empty(&self) -> bool {
        self.unshown.is_empty() && self.unproven.is_empty()
    }
}

/// What somebody said of a block, for the filter or for a part of it.
#[derive(Clone, Debug)]
struct Part {
    filter: Arc<Filter>,
    /// Over a range, as programs ask, or after a doubt in another way.
    via: Via,
    logs: Vec<Told>,
}

/// What was shown of a block, for the filter or for a part of it.
#[derive(Clone, Debug)]
struct Shown {
    filter: Arc<Filter>,
    hash: B256,
    content: Content,
    logs: Vec<Told>,
}

/// One filter over some blocks.
#[derive(Clone, Debug)]
pub struct Window {
    pub(crate) index: usize,
    filter: Arc<Filter>,
    range: BlockRange,
    settings: Settings,
    words: BTreeMap<Who, BTreeMap<u64, Vec<Part>>>,
    shown: BTreeMap<u64, Vec<Shown>>,
    pub(crate) headers: Headers,
    /// Who gave them.
    givers: BTreeMap<u64, BTreeSet<NodeId>>,
    /// Blocks whose header a node was asked for and did not give.
    headerless: BTreeSet<u64>,
    /// Blocks about which a node said something that does not hold.
    suspect: BTreeSet<u64>,
    /// Evidence that does not hold, by node, block and flaw.
    flaws: BTreeMap<(NodeId, u64, Flaw), (BlockNumHash, u64, String)>,
    reasons: BTreeMap<NodeId, Vec<(BlockRange, String)>>,
}

impl Window {
    /// Returns a window of which nothing is known. `index` is the filter's.
    pub const fn new(
        index: usize,
        filter: Arc<Filter>,
        range: BlockRange,
        settings: Settings,
    ) -> Self {
        Self {
            index,
            filter,
            range,
            settings,
            words: BTreeMap::new(),
            shown: BTreeMap::new(),
            headers: BTreeMap::new(),
            givers: BTreeMap::new(),
            headerless: BTreeSet::new(),
            suspect: BTreeSet::new(),
            flaws: BTreeMap::new(),
            reasons: BTreeMap::new(),
        }
    }

    /// Returns the blocks.
    pub const fn range(&self) -> BlockRange {
        self.range
    }

    /// Returns what is looked for.
    pub const fn filter(&self) -> &Arc<Filter> {
        &self.filter
    }

    /// Returns the number of logs that everybody told, a measure of what it takes to hold.
    pub fn logs(&self) -> usize {
        let parts = self.words.values().flat_map(BTreeMap::values).flatten();
        parts.map(|part| part.logs.len()).sum()
    }

    /// Takes what a node said, with what its evidence shows.
    pub fn hear(&mut self, report: &Report, judgement: &Judgement) {
        self.hear_words(report);
        self.hear_flaws(report, judgement);
        if !self.settings.trusted.contains(&report.node) {
            return;
        }
        self.hear_headers(report, judgement);
        for (i, block) in report.blocks.iter().enumerate() {
            let number = block.number;
            if !self.range.contains(number) {
                continue;
            }
            let Some(verdict) = judgement.blocks.get(i) else { continue };
            // A bloom that admits the filter where no log came is a reason to ask for receipts.
            if verdict.doubt && self.settings.require != Verify::Off {
                self.suspect.insert(number);
            }
            if verdict.content == Content::Claimed || verdict.doubt {
                continue;
            }
            let id = BlockNumHash { number, hash: block.hash };
            let shown = Shown {
                filter: report.filter.clone(),
                hash: block.hash,
                content: verdict.content,
                logs: shown_logs(report, judgement, i, id),
            };
            self.show(number, shown);
        }
    }

    /// Takes the headers that hold, and of which blocks there should be one and is none.
    fn hear_headers(&mut self, report: &Report, judgement: &Judgement) {
        let Some(heard) = report.range.intersection(&self.range) else { return };
        let mut given = BTreeSet::new();
        let blocks = report.blocks.iter().enumerate();
        for (i, block) in blocks.filter(|(_, block)| heard.contains(block.number)) {
            let is_shown = |verdict: &BlockVerdict| verdict.content > Content::Claimed;
            let is_good =
                judgement.complete_headers || judgement.blocks.get(i).is_some_and(is_shown);
            if let (Some(header), true) = (&block.header, is_good) {
                self.headers.entry(block.number).or_insert((block.hash, header.parent_hash));
                self.givers.entry(block.number).or_default().insert(report.node.clone());
                given.insert(block.number);
            }
        }
        let was_asked = report.blocks.iter().any(|block| block.header.is_some())
            || report.faults.iter().any(|fault| fault.method == HEADER_METHOD);
        if was_asked {
            let numbers = (heard.first()..=heard.last()).filter(|number| !given.contains(number));
            self.headerless.extend(numbers);
        }
    }

    /// Keeps the strongest that was shown for each part, the first of equals.
    fn show(&mut self, number: u64, shown: Shown) {
        let all = self.shown.entry(number).or_default();
        match all.iter_mut().find(|known| known.filter == shown.filter) {
            Some(known) if known.content < shown.content => *known = shown,
            Some(_) => {}
            None => all.push(shown),
        }
    }

    fn hear_words(&mut self, report: &Report) {
        let Some(heard) = report.range.intersection(&self.range) else { return };
        let mut by_block: BTreeMap<u64, Vec<Told>> = BTreeMap::new();
        for log in report.logs.rows() {
            let Some(block) = report.blocks.get(log.block as usize) else { continue };
            if heard.contains(block.number) && report.filter.matches(log) {
                let id = BlockNumHash { number: block.number, hash: block.hash };
                by_block.entry(block.number).or_default().push(Told::new(id, log));
            }
        }
        let vias: BTreeMap<u64, Via> =
            report.blocks.iter().map(|block| (block.number, block.via)).collect();
        let words = self.words.entry(Who::Node(report.node.clone())).or_default();
        for number in heard.first()..=heard.last() {
            let logs = by_block.remove(&number).unwrap_or_default();
            let via = vias.get(&number).copied().unwrap_or(Via::Range);
            let part = Part { filter: report.filter.clone(), via, logs };
            let parts = words.entry(number).or_default();
            match parts.iter_mut().find(|known| known.filter == part.filter) {
                // What a node says over a range is what programs get of it.
                Some(known) if known.via == Via::Range && part.via != Via::Range => {}
                Some(known) => *known = part,
                None => parts.push(part),
            }
        }
    }

    fn hear_flaws(&mut self, report: &Report, judgement: &Judgement) {
        for (at, flaw, count, sentence) in &judgement.flaws {
            let block = at.and_then(|at| report.blocks.get(at as usize));
            let id = block.map(|block| BlockNumHash { number: block.number, hash: block.hash });
            if let Some(id) = id.filter(|id| self.range.contains(id.number) && is_doubtful(*flaw)) {
                self.suspect.insert(id.number);
            }
            let unknown = BlockNumHash { number: report.range.first(), hash: B256::ZERO };
            let id = id.unwrap_or(unknown);
            if kind_of(*flaw).is_some() {
                let key = (report.node.clone(), id.number, *flaw);
                self.flaws.entry(key).or_insert_with(|| (id, *count, sentence.clone()));
            }
            self.refuse(&report.node, BlockRange::one(id.number), sentence);
        }
        if let Some(fault) = report.faults.last() {
            self.refuse(&report.node, report.range, &format!("{}: {}", fault.method, fault.text));
        }
    }

    /// Takes that a node was given up for these blocks.
    pub fn give_up(&mut self, range: BlockRange, fault: &Fault) {
        if fault.method == HEADER_METHOD
            && let Some(range) = range.intersection(&self.range)
        {
            self.headerless.extend(range.first()..=range.last());
        }
        self.refuse(&fault.node, range, &format!("{}: {}", fault.method, fault.text));
    }

    /// Takes why a node did not give these blocks, or not as it should.
    pub fn refuse(&mut self, node: &NodeId, range: BlockRange, reason: &str) {
        let reasons = self.reasons.entry(node.clone()).or_default();
        reasons.push((range, reason.to_owned()));
    }

    /// Takes what the ledger has of these blocks; `logs.block` indexes `blocks`.
    pub fn hear_ledger(&mut self, blocks: &[BlockNumHash], logs: &Logs) {
        let mut by_block: BTreeMap<u64, Vec<Told>> = BTreeMap::new();
        for log in logs.rows() {
            if let Some(block) = blocks.get(log.block as usize) {
                by_block.entry(block.number).or_default().push(Told::new(*block, log));
            }
        }
        let words = self.words.entry(Who::Ledger).or_default();
        for number in self.range.first()..=self.range.last() {
            let logs = by_block.remove(&number).unwrap_or_default();
            let part = Part { filter: self.filter.clone(), via: Via::Range, logs };
            words.insert(number, vec![part]);
        }
    }

    /// Returns what is to be read again, in order.
    pub fn due(&self) -> Due {
        let mut due = Due::default();
        for number in self.range.first()..=self.range.last() {
            match self.truth(number) {
                // So many spoke that they could agree, and they do not.
                None if self.is_contested(number) => push(&mut due.unproven, number),
                None => push(&mut due.unshown, number),
                Some(truth) if self.is_unproven(number, &truth) => push(&mut due.unproven, number),
                Some(_) => {}
            }
        }
        due
    }
}

/// What is admitted of a block's logs, and what receipts add.
fn shown_logs(
    report: &Report,
    judgement: &Judgement,
    index: usize,
    block: BlockNumHash,
) -> Vec<Told> {
    let at = index as u32;
    let admitted = report.logs.rows().zip(&judgement.admit).filter(|(_, admit)| **admit);
    let admitted = admitted.map(|(log, _)| log);
    let of_block = |log: &LogRef<'_>| log.block == at;
    let all = admitted.filter(of_block).chain(judgement.recovered.0.rows().filter(of_block));
    let mut logs: Vec<Told> = all.map(|log| Told::new(block, log)).collect();
    logs.sort_by_key(|log| log.log_index);
    logs
}

/// Whether a flaw of a block leaves open what is in it.
const fn is_doubtful(flaw: Flaw) -> bool {
    !matches!(flaw, Flaw::LogIndex | Flaw::Attributes)
}

/// What a flaw is that no log stands for.
const fn kind_of(flaw: Flaw) -> Option<Kind> {
    match flaw {
        Flaw::WrongBlock | Flaw::WrongFilter => Some(Kind::Foreign),
        Flaw::HeaderHash
        | Flaw::ParentLink
        | Flaw::ReceiptCount
        | Flaw::ReceiptBlock
        | Flaw::ReceiptsRoot => Some(Kind::Evidence),
        _ => None,
    }
}

fn push(ranges: &mut Vec<BlockRange>, number: u64) {
    match ranges.last_mut() {
        Some(last) if last.last().checked_add(1) == Some(number) => {
            *last = BlockRange::new(last.first(), number).unwrap_or(*last);
        }
        _ => ranges.push(BlockRange::one(number)),
    }
}
