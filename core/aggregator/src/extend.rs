//! What a report adds to journal and coverage, once its rows are decided.
//!
//! Does not decide on rows or branches.

use crate::{
    admission::Decided,
    aggregator::{Aggregator, JournalCounter},
    canonical::Canonical,
    coverage::adjacent,
    cut::Cut,
    pieces::{Pieces, parent, reported},
    rows::Rows,
};
use alloy_primitives::B256;
use event::{BlockRange, BlockRow, Flaw, JournalRow, Op, Report, ReportedBlock};
use std::{collections::BTreeSet, sync::Arc};

impl Aggregator {
    /// Journals what becomes covered with its events, and events found where it was covered.
    pub(crate) fn extend(
        &mut self,
        report: &Report,
        rows: Rows,
        decided: Decided,
        pieces: &Pieces,
        journal: &mut JournalCounter,
        cut: &mut Cut,
    ) {
        let filter = report.filter.id();
        for (i, decision) in decided.blocks.iter().enumerate() {
            cut.ack.new_events += decision.entered;
            cut.ack.known_events += decision.known;
            let block = &report.blocks[i];
            if decision.entered > 0 && decision.known == 0 && self.canonical.is_final(block.number)
            {
                let row = block_row(block);
                self.canonical.note_final(&row);
                cut.commit.blocks.push(row);
            }
        }
        let new = self.newly_covered(report, pieces);
        let row_of = |seq, op, range, events| JournalRow {
            seq,
            chain: report.chain,
            op,
            filter: Some(filter),
            range,
            block_hash: None,
            events,
        };
        let covered: Vec<_> = self.coverage.overlapping(&report.filter, report.range).collect();
        let entered = cut.ack.new_events;
        if covered.is_empty() && new.len() == 1 && entered == rows.logs.len() as u64 {
            let seq = journal.next();
            cut.commit.journal.push(row_of(seq, Op::Extend, new[0], entered));
            if entered > 0 {
                cut.commit.events.push(rows.into_batch(&report.blocks, seq));
            }
            return;
        }
        let mut extends: Vec<Vec<u32>> = vec![Vec::new(); new.len()];
        let mut late: Vec<u32> = Vec::new();
        for row in (0..rows.logs.len()).filter(|row| decided.enter[*row]) {
            let log = rows.logs.row(row);
            let number = report.blocks[log.block as usize].number;
            let is_late = covered.iter().any(|c| c.holds(number) && c.filter.matches(log));
            let at = new.partition_point(|range| range.last() < number);
            match new.get(at).filter(|range| !is_late && range.contains(number)) {
                Some(_) => extends[at].push(row as u32),
                None => late.push(row as u32),
            }
        }
        for (range, events) in new.iter().zip(&extends) {
            let seq = journal.next();
            cut.commit.journal.push(row_of(seq, Op::Extend, *range, events.len() as u64));
            if !events.is_empty() {
                cut.commit.events.push(rows.batch(events, &report.blocks, seq));
            }
        }
        let number = |row: &u32| report.blocks[rows.logs.block[*row as usize] as usize].number;
        let found = late.iter().map(|row| BlockRange::one(number(row))).reduce(BlockRange::hull);
        if let Some(range) = found {
            let seq = journal.next();
            cut.commit.journal.push(row_of(seq, Op::Late, range, late.len() as u64));
            cut.commit.events.push(rows.batch(&late, &report.blocks, seq));
        }
    }

    /// Returns the runs that this report covers and that its filter was not covered for.
    fn newly_covered(&self, report: &Report, pieces: &Pieces) -> Vec<BlockRange> {
        let covered = self.coverage.of(report.filter.id());
        let mut new: Vec<BlockRange> = Vec::new();
        let mut push = |range: BlockRange| match new.last_mut() {
            Some(last) if adjacent(last, &range) => *last = last.hull(range),
            _ => new.push(range),
        };
        for piece in &pieces.intervals {
            let mut first = Some(piece.range.first());
            for old in covered.map_or(&[][..], |covered| covered.touching(piece.range)) {
                if let (Some(from), Some(last)) = (first, old.range.first().checked_sub(1))
                    && let Some(range) = BlockRange::new(from, last)
                {
                    push(range);
                }
                first = old.range.last().checked_add(1);
            }
            if let Some(range) = first.and_then(|from| BlockRange::new(from, piece.range.last())) {
                push(range);
            }
        }
        new
    }

    /// Writes what the report covers.
    pub(crate) fn cover(&mut self, report: &Report, pieces: Pieces, cut: &mut Cut) {
        let refused = cut.refused_headers.clone();
        let hash_at = hash_at(report, &refused, &self.canonical);
        let added = self.coverage.add(&report.filter, &pieces.intervals, &hash_at);
        cut.ack.open.extend(pieces.open);
        let Some(range) = added.changed else { return };
        cut.changed.push((Arc::clone(&report.filter), range));
        for number in added.unlinked {
            // Both sides stay as they are, unjoined: the seam is what has to be looked at.
            let Some(seam) = BlockRange::new(number.saturating_sub(1), number) else { continue };
            let detail = format!("the parent of block {number} is not the covered block below");
            cut.incident(seam, Flaw::ParentLink, 1, detail);
            cut.ack.open.push((seam, "headers do not link here".to_owned()));
        }
    }
}

pub(crate) fn block_row(block: &ReportedBlock) -> BlockRow {
    BlockRow {
        number: block.number,
        hash: block.hash,
        parent: parent(block),
        timestamp: (block.header.as_ref().map(|header| header.timestamp)).or(block.timestamp),
        canonical: true,
    }
}

/// `refused` are blocks of the report whose headers are not theirs: their hashes are nobody's.
pub(crate) fn hash_at<'a>(
    report: &'a Report,
    refused: &'a BTreeSet<u64>,
    canonical: &'a Canonical,
) -> impl Fn(u64) -> Option<B256> + 'a {
    let told = |number| reported(report, number).filter(|_| !refused.contains(&number));
    move |number| {
        let above = || number.checked_add(1).and_then(told);
        (told(number).map(|block| block.hash))
            .or_else(|| above().and_then(parent))
            .or_else(|| canonical.hash_at(number))
    }
}
