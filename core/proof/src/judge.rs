//! The verdict on one report: shape, then headers, then each block by bloom and receipts.

use crate::{
    bloom::{FilterBits, LogBits},
    columns::{RowsByBlock, well_formed},
    header::header_hash,
    receipts::{check_root, check_shape},
    reconcile::{misnumbered, reconcile},
};
use event::{
    BlockVerdict, ChainProfile, Content, Flaw, Header, Judgement, Links, Logs, Receipt, Report,
    ReportedBlock,
};
use std::collections::{BTreeMap, BTreeSet};

pub(crate) fn judge(report: &Report, profile: &ChainProfile) -> Judgement {
    let head = report.head_before.min(report.head_after);
    if report.range.last() > head {
        return beyond_head(report, profile, head);
    }
    let mut flaws = Flaws::default();
    let empty = Logs::default();
    let count = report.logs.block.len();
    // A report from elsewhere may hold columns that do not fit; none of its logs can be read.
    let readable = well_formed(&report.logs, report.blocks.len());
    if !readable {
        let told = || "the columns of the logs do not fit together".to_owned();
        flaws.add(None, Flaw::WrongBlock, count as u64, told);
    }
    let logs = if readable { &report.logs } else { &empty };
    let headers = check_headers(report, profile, &mut flaws);
    let mut case = Case {
        report,
        profile,
        logs,
        rows: RowsByBlock::new(logs, report.blocks.len()),
        bits: FilterBits::new(&report.filter),
        log_bits: LogBits::new(),
        admit: vec![readable; count],
        recovered: Logs::default(),
        flaws,
    };
    let mut blocks: Vec<BlockVerdict> =
        headers.iter().enumerate().map(|(i, state)| case.block(i, *state)).collect();
    let linked = case.check_links(&headers, &mut blocks);
    let complete_headers = linked && covers_range(report, &headers);
    Judgement {
        links: complete_headers.then(|| links(report)).flatten(),
        admit: case.admit,
        blocks,
        complete_headers,
        recovered: event::Recovered(case.recovered),
        flaws: case.flaws.into_list(),
    }
}

/// An answer for blocks that the node does not have yet is unknown, never empty (F32).
fn beyond_head(report: &Report, profile: &ChainProfile, head: u64) -> Judgement {
    let last = report.range.last();
    let detail = format!("the range ends at {last}, the node's head was {head}");
    Judgement {
        admit: vec![false; report.logs.block.len()],
        blocks: vec![unshown(profile); report.blocks.len()],
        flaws: vec![(None, Flaw::BeyondHead, last - head, detail)],
        ..Judgement::default()
    }
}

/// Nothing is shown. Where blooms mean nothing there is no next step to take.
fn unshown(profile: &ChainProfile) -> BlockVerdict {
    BlockVerdict { content: Content::Claimed, doubt: profile.check_bloom.decides() }
}

/// What is known of a reported block before its logs are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HeaderState {
    /// Not a block of this report: outside the range, or a second one at its height.
    Misplaced,
    /// Given without a header.
    Absent,
    /// Its header does not belong to it.
    Bad,
    /// Its header does not hash to its hash where that is only observed: nothing is read from it.
    Observed,
    /// Its header hashes to its hash, as far as the chain's profile lets that be checked.
    Good,
}

fn check_headers(report: &Report, profile: &ChainProfile, flaws: &mut Flaws) -> Vec<HeaderState> {
    let blocks = &report.blocks;
    let mut highest = None;
    let mut state = |(i, block): (usize, &ReportedBlock)| {
        let number = block.number;
        let misplaced = !report.range.contains(number)
            || highest.is_some_and(|highest| highest >= number)
            || blocks.get(i + 1).is_some_and(|next| next.number == number);
        highest = highest.max(Some(number));
        if misplaced {
            return HeaderState::Misplaced;
        }
        let Some(header) = &block.header else { return HeaderState::Absent };
        match header_flaw(block, header, profile) {
            None => HeaderState::Good,
            Some((flaw, detail)) => {
                flaws.add(Some(i), flaw, 1, || detail);
                let is_observed = header.number == number && profile.observes(flaw);
                if is_observed { HeaderState::Observed } else { HeaderState::Bad }
            }
        }
    };
    blocks.iter().enumerate().map(&mut state).collect()
}

fn header_flaw(
    block: &ReportedBlock,
    header: &Header,
    profile: &ChainProfile,
) -> Option<(Flaw, String)> {
    let number = block.number;
    if header.number != number {
        let detail = format!("the header of block {number} says it is {}", header.number);
        return Some((Flaw::HeaderHash, detail));
    }
    if profile.check_header_hash.is_made() {
        let hash = header_hash(header);
        if hash != block.hash {
            let detail =
                format!("the header of block {number} hashes to {hash}, not {}", block.hash);
            return Some((Flaw::HeaderHash, detail));
        }
    }
    if block.parent.is_some_and(|parent| parent != header.parent_hash) {
        let detail = format!("block {number} is said to have another parent than its header has");
        return Some((Flaw::ParentLink, detail));
    }
    None
}

/// A report under judgement.
struct Case<'a> {
    report: &'a Report,
    profile: &'a ChainProfile,
    logs: &'a Logs,
    rows: RowsByBlock,
    bits: FilterBits,
    log_bits: LogBits,
    admit: Vec<bool>,
    recovered: Logs,
    flaws: Flaws,
}

impl Case<'_> {
    fn block(&mut self, i: usize, state: HeaderState) -> BlockVerdict {
        let block = &self.report.blocks[i];
        if state == HeaderState::Misplaced {
            self.refuse_misplaced(i);
            return unshown(self.profile);
        }
        let is_odd = self.check_rows(i);
        let header = match state {
            HeaderState::Good => block.header.as_deref(),
            HeaderState::Bad => return unshown(self.profile),
            HeaderState::Absent | HeaderState::Observed | HeaderState::Misplaced => None,
        };
        let mut receipts_failed = false;
        if self.profile.check_receipts_root.is_made()
            && let Some(receipts) = &block.receipts
        {
            match self.by_receipts(i, header, receipts) {
                Some(true) => return BlockVerdict { content: Content::Receipts, doubt: false },
                Some(false) => receipts_failed = self.profile.check_receipts_root.decides(),
                None => {}
            }
        }
        match header {
            Some(header) if self.profile.check_bloom.decides() => {
                let mut verdict = self.by_bloom(i, header);
                // What was noticed has to lead somewhere: without receipts nothing decides.
                verdict.doubt |=
                    (receipts_failed || is_odd) && verdict.content != Content::Receipts;
                verdict
            }
            header => {
                if let Some(header) = header.filter(|_| self.profile.check_bloom.is_made()) {
                    self.note_excluded(i, header);
                }
                let doubt = receipts_failed && self.profile.check_bloom.decides();
                BlockVerdict { content: Content::Claimed, doubt }
            }
        }
    }

    fn refuse_misplaced(&mut self, i: usize) {
        let block = &self.report.blocks[i];
        let rows = self.rows.of(i);
        rows.iter().for_each(|row| self.admit[*row as usize] = false);
        let (range, count) = (self.report.range, (rows.len() as u64).max(1));
        let inside = range.contains(block.number);
        self.flaws.add(Some(i), Flaw::WrongBlock, count, || match inside {
            true => format!("block {} appears twice or out of order", block.number),
            false => format!("block {} lies outside {range}", block.number),
        });
    }

    /// Drops what the filter does not match (F38) and names odd log indexes, which lose nothing but
    /// are wrong (F37). Returns whether there are any.
    fn check_rows(&mut self, i: usize) -> bool {
        let number = self.report.blocks[i].number;
        let mut foreign = 0;
        for &row in self.rows.of(i) {
            if !self.report.filter.matches(self.logs.row(row as usize)) {
                self.admit[row as usize] = false;
                foreign += 1;
            }
        }
        let told = || format!("{foreign} logs of block {number} that were not asked for");
        self.flaws.add(Some(i), Flaw::WrongFilter, foreign, told);
        let mut unordered = self.unordered(self.rows.of(i).iter());
        let is_odd = unordered > 0;
        if is_odd {
            let repeated = self.refuse_repeated(i);
            let once = self.rows.of(i).iter().filter(|row| !repeated.contains(row));
            unordered = self.unordered(once);
        }
        let told = || format!("{unordered} log indexes of block {number} do not increase");
        self.flaws.add(Some(i), Flaw::LogIndex, unordered, told);
        is_odd
    }

    /// Counts the rows whose log index is not above that of the row before.
    fn unordered<'r>(&self, rows: impl Iterator<Item = &'r u32>) -> u64 {
        let mut last = None;
        let is_late = |row: &&u32| {
            let index = self.logs.row(**row as usize).log_index;
            last.replace(index).is_some_and(|last| index <= last)
        };
        rows.filter(is_late).count() as u64
    }

    /// Refuses rows that are the same to the log index as one before them: no node has two logs of
    /// one transaction at one index, so the answer says one log twice. Returns them.
    fn refuse_repeated(&mut self, i: usize) -> BTreeSet<u32> {
        let mut seen = BTreeSet::new();
        let mut repeated = BTreeSet::new();
        for &row in self.rows.of(i) {
            let log = self.logs.row(row as usize);
            let same = (log.tx_hash, log.log_index, log.address, log.topics, log.data);
            if !seen.insert(same) {
                self.admit[row as usize] = false;
                repeated.insert(row);
            }
        }
        let (number, count) = (self.report.blocks[i].number, repeated.len() as u64);
        let told = || format!("{count} logs of block {number} are given twice");
        self.flaws.add(Some(i), Flaw::LogIndex, count, told);
        repeated
    }

    fn admitted(&self, i: usize) -> impl Iterator<Item = u32> + '_ {
        self.rows.of(i).iter().copied().filter(|row| self.admit[*row as usize])
    }

    /// Whether the receipts are the truth about the block, in which case they decide; `None`
    /// where there is no header to hold them against.
    fn by_receipts(
        &mut self,
        i: usize,
        header: Option<&Header>,
        receipts: &[Receipt],
    ) -> Option<bool> {
        let number = self.report.blocks[i].number;
        let checked = check_shape(&self.report.blocks[i], receipts);
        let bits = &mut self.log_bits;
        let checked =
            checked.and_then(|()| header.map(|h| check_root(h, receipts, bits)).transpose());
        let bloom = match checked {
            Ok(bloom) => bloom?,
            Err((flaw, count, detail)) => {
                self.flaws.add(Some(i), flaw, count, || detail);
                return Some(false);
            }
        };
        if self.profile.check_bloom.is_made()
            && header.is_some_and(|h| !h.logs_bloom.contains(&bloom))
        {
            let told = || format!("the bloom of block {number} lacks logs that its receipts have");
            self.flaws.add(Some(i), Flaw::BloomExcludes, 1, told);
        }
        let misnumbered = misnumbered(receipts);
        let told = || format!("{misnumbered} logs in the receipts of {number} are misnumbered");
        self.flaws.add(Some(i), Flaw::LogIndex, misnumbered, told);
        let found = reconcile(&self.report.filter, self.logs, self.admitted(i), receipts);
        for row in found.forged.iter().chain(&found.misplaced) {
            self.admit[*row as usize] = false;
        }
        for truth in &found.recovered {
            self.recovered.push(truth.row(i as u32, receipts));
        }
        let (forged, missing) = (found.forged.len() as u64, found.missing);
        let misplaced = found.misplaced.len() as u64;
        let told = || format!("{forged} logs of block {number} that no receipt has");
        self.flaws.add(Some(i), Flaw::Forged, forged, told);
        let told = || format!("{missing} logs of block {number} kept back");
        self.flaws.add(Some(i), Flaw::Missing, missing, told);
        let told = || format!("{misplaced} logs of block {number} with wrong indexes");
        self.flaws.add(Some(i), Flaw::Attributes, misplaced, told);
        Some(true)
    }

    /// Names the logs that the bloom excludes, and returns their rows.
    fn note_excluded(&mut self, i: usize, header: &Header) -> Vec<u32> {
        let bloom = &header.logs_bloom;
        let possible = self.bits.admit(bloom);
        let mut excluded: Vec<u32> = self.admitted(i).collect();
        excluded.retain(|row| {
            let log = self.logs.row(*row as usize);
            !possible || !self.log_bits.admit(bloom, log.address, log.topics)
        });
        let (count, number) = (excluded.len() as u64, header.number);
        let told = || format!("the bloom of block {number} excludes {count} logs");
        self.flaws.add(Some(i), Flaw::BloomExcludes, count, told);
        excluded
    }

    fn by_bloom(&mut self, i: usize, header: &Header) -> BlockVerdict {
        let excluded = self.note_excluded(i, header);
        if !excluded.is_empty() {
            excluded.iter().for_each(|row| self.admit[*row as usize] = false);
            return unshown(self.profile);
        }
        if !self.bits.admit(&header.logs_bloom) {
            return BlockVerdict { content: Content::Receipts, doubt: false };
        }
        match self.admitted(i).next() {
            Some(_) => BlockVerdict { content: Content::Bloom, doubt: false },
            None => unshown(self.profile),
        }
    }

    /// Whether neighbours link. Where two do not, one of them left the chain while the range was
    /// read, and nothing is claimed for either.
    fn check_links(&mut self, headers: &[HeaderState], blocks: &mut [BlockVerdict]) -> bool {
        let mut linked = true;
        for (i, pair) in self.report.blocks.windows(2).enumerate() {
            let sound = |at: usize| headers[at] != HeaderState::Misplaced;
            if !sound(i) || !sound(i + 1) || pair[0].number.checked_add(1) != Some(pair[1].number) {
                continue;
            }
            // What is wrong with one header is said there; it says nothing of the blocks beside it.
            if headers[i] == HeaderState::Bad || headers[i + 1] == HeaderState::Bad {
                linked = false;
                continue;
            }
            let parent = pair[1].header.as_ref().map(|h| h.parent_hash).or(pair[1].parent);
            if parent.is_some_and(|parent| parent != pair[0].hash) {
                linked = false;
                blocks[i] = unshown(self.profile);
                blocks[i + 1] = unshown(self.profile);
                let (child, before) = (pair[1].number, pair[0].number);
                let told = || format!("the parent of block {child} is not block {before}");
                self.flaws.add(Some(i + 1), Flaw::ParentLink, 1, told);
            }
        }
        linked
    }
}

const fn is_whole(state: &HeaderState) -> bool {
    matches!(state, HeaderState::Good | HeaderState::Observed)
}

/// Whether every block of the range is there with a good header. Misplaced blocks are not good,
/// so that equal counts leave no hole.
fn covers_range(report: &Report, headers: &[HeaderState]) -> bool {
    headers.len() as u64 == report.range.count() && headers.iter().all(is_whole)
}

fn links(report: &Report) -> Option<Links> {
    let first_parent = report.blocks.first()?.header.as_ref()?.parent_hash;
    Some(Links { first_parent, last_hash: report.blocks.last()?.hash })
}

/// Flaws by block and kind, at most one entry for each; the first sentence stays.
#[derive(Default)]
struct Flaws(BTreeMap<(Option<u32>, Flaw), (u64, String)>);

impl Flaws {
    fn add(&mut self, at: Option<usize>, flaw: Flaw, count: u64, told: impl FnOnce() -> String) {
        if count > 0 {
            let key = (at.map(|i| i as u32), flaw);
            self.0.entry(key).or_insert_with(|| (0, told())).0 += count;
        }
    }

    fn into_list(self) -> Vec<(Option<u32>, Flaw, u64, String)> {
        self.0.into_iter().map(|((at, flaw), (n, told))| (at, flaw, n, told)).collect()
    }
}
