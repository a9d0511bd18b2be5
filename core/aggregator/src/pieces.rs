//! What a report covers: runs of blocks with equal evidence, and what stays open with why.
//!
//! Reads the judgement, never the evidence itself. Does not know what was covered before.

use crate::{
    coverage::{adjacent, merge_nodes},
    standing::Standing,
};
use event::{
    Anchor, BlockNumHash, BlockRange, Evidence, Interval, Judgement, Links, NodeId, Report,
    ReportedBlock,
};
use std::collections::BTreeMap;

/// Runs of one report beyond which neighbours are covered with the weaker of their evidence, so
/// that a report cannot cut coverage to dust.
const RUNS_MAX: usize = 1_024;

/// Coverage of a report.
#[derive(Debug, Default)]
pub(crate) struct Pieces {
    /// Sorted, disjoint.
    pub(crate) intervals: Vec<Interval>,
    /// Sorted, disjoint.
    pub(crate) open: Vec<(BlockRange, String)>,
}

/// How the blocks of a report's range stand.
pub(crate) struct Stands<'a> {
    /// One per reported block.
    pub(crate) reported: &'a [Standing],
    /// Blocks that the report does not have and that differ in how they stand from others such.
    pub(crate) apart: &'a BTreeMap<u64, Standing>,
    /// All others.
    pub(crate) unreported: &'a Standing,
}

/// Cuts the report's range.
pub(crate) fn pieces(
    report: &Report,
    judgement: &Judgement,
    stands: &Stands<'_>,
    checkpoint: Option<BlockNumHash>,
) -> Pieces {
    let linked = judgement.complete_headers && judgement.links.is_some();
    let anchored_to = checkpoint.filter(|c| linked && report.range.contains(c.number));
    let mut cutter = Cutter { report, anchored_to, pieces: Pieces::default() };
    let mut next = Some(report.range.first());
    let Stands { reported, apart, unreported } = stands;
    let reported = report.blocks.iter().map(|block| block.number).zip(*reported);
    let mut told: Vec<(u64, &Standing)> = reported.collect();
    if !apart.is_empty() {
        told.extend(apart.iter().map(|(number, standing)| (*number, standing)));
        told.sort_by_key(|(number, _)| *number);
    }
    for (number, standing) in told {
        if let (Some(first), Some(last)) = (next, number.checked_sub(1))
            && let Some(gap) = BlockRange::new(first, last)
        {
            cutter.push(gap, unreported);
        }
        cutter.push(BlockRange::one(number), standing);
        next = number.checked_add(1);
    }
    if let Some(gap) = next.and_then(|first| BlockRange::new(first, report.range.last())) {
        cutter.push(gap, unreported);
    }
    let mut pieces = cutter.pieces;
    if pieces.intervals.len() > RUNS_MAX {
        coarsen(&mut pieces.intervals);
    }
    if linked {
        for interval in &mut pieces.intervals {
            interval.links = links(report, judgement, interval.range);
        }
    }
    pieces
}

struct Cutter<'a> {
    report: &'a Report,
    anchored_to: Option<BlockNumHash>,
    pieces: Pieces,
}

impl Cutter<'_> {
    fn push(&mut self, range: BlockRange, standing: &Standing) {
        if let Some(reason) = &standing.open {
            match self.pieces.open.last_mut() {
                Some((last, same)) if same == reason && adjacent(last, &range) => {
                    *last = last.hull(range);
                }
                _ => self.pieces.open.push((range, reason.to_string())),
            }
        }
        let Some(content) = standing.content else { return };
        let anchor = match self.anchored_to {
            Some(checkpoint) if range.last() <= checkpoint.number => Anchor::Checkpoint,
            _ => standing.anchor,
        };
        let evidence = Evidence { content, anchor };
        let nodes = match standing.is_by_report {
            true => with(&self.report.node, &standing.nodes),
            false => standing.nodes.clone(),
        };
        if let Some(last) = self.pieces.intervals.last_mut()
            && adjacent(&last.range, &range)
            && last.evidence == evidence
            && last.nodes == nodes
        {
            last.range = last.range.hull(range);
            return;
        }
        self.pieces.intervals.push(Interval { range, evidence, nodes, links: None });
    }
}

fn with(node: &NodeId, more: &[NodeId]) -> Vec<NodeId> {
    let mut nodes = vec![node.clone()];
    merge_nodes(&mut nodes, more);
    nodes
}

fn coarsen(intervals: &mut Vec<Interval>) {
    let mut coarse: Vec<Interval> = Vec::new();
    for interval in intervals.drain(..) {
        match coarse.last_mut() {
            Some(last) if adjacent(&last.range, &interval.range) => {
                last.range = last.range.hull(interval.range);
                last.evidence.content = last.evidence.content.min(interval.evidence.content);
                last.evidence.anchor = last.evidence.anchor.min(interval.evidence.anchor);
                last.nodes.retain(|node| interval.nodes.contains(node));
            }
            _ => coarse.push(interval),
        }
    }
    *intervals = coarse;
}

fn links(report: &Report, judgement: &Judgement, range: BlockRange) -> Option<Links> {
    if range == report.range {
        return judgement.links;
    }
    Some(Links {
        first_parent: parent(reported(report, range.first())?)?,
        last_hash: reported(report, range.last())?.hash,
    })
}

/// Returns the report's block of this height.
pub(crate) fn reported(report: &Report, number: u64) -> Option<&ReportedBlock> {
    let at = report.blocks.binary_search_by_key(&number, |block| block.number).ok()?;
    report.blocks.get(at)
}

/// Returns the parent hash, from the header where it is there.
pub(crate) fn parent(block: &ReportedBlock) -> Option<alloy_primitives::B256> {
    block.header.as_ref().map(|header| header.parent_hash).or(block.parent)
}
