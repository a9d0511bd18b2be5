//! Which ranges each filter is covered for: an interval map per filter, and questions across them.
//!
//! Per block, evidence only rises and nodes only add up, so the order of arrival leaves no trace.
//! Does not know why a range is covered or what a reorg is; it is told what to add and to cut.

use crate::boxes;
use alloy_primitives::B256;
use event::{
    Anchor, BlockRange, Content, CoverageChange, Evidence, Filter, FilterId, Interval, Links,
    LogRef, NodeId,
};
use std::{collections::BTreeMap, sync::Arc};

/// Coverage of every filter of one chain.
#[derive(Debug, Default)]
pub(crate) struct Coverage {
    filters: BTreeMap<FilterId, FilterCoverage>,
}

/// Intervals of one filter: sorted, disjoint, joined where they can be.
#[derive(Debug)]
pub(crate) struct FilterCoverage {
    pub(crate) filter: Arc<Filter>,
    pub(crate) intervals: Vec<Interval>,
}

/// What adding intervals did.
#[derive(Debug, Default)]
pub(crate) struct Added {
    /// Hull of what changed, if anything did.
    pub(crate) changed: Option<BlockRange>,
    /// First blocks of intervals whose parent is not the last block of the interval before.
    pub(crate) unlinked: Vec<u64>,
}

impl Coverage {
    pub(crate) fn new(coverage: Vec<(Arc<Filter>, Vec<Interval>)>) -> Self {
        let filters = coverage
            .into_iter()
            .map(|(filter, mut intervals)| {
                intervals.sort_by_key(|interval| interval.range.first());
                (filter.id(), FilterCoverage { filter, intervals })
            })
            .collect();
        Self { filters }
    }

    /// Returns the filters whose box meets `filter` and which have an interval in `range`.
    pub(crate) fn overlapping(
        &self,
        filter: &Filter,
        range: BlockRange,
    ) -> impl Iterator<Item = &FilterCoverage> {
        self.filters.values().filter(move |covered| {
            !covered.touching(range).is_empty() && covered.filter.meets(filter)
        })
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &FilterCoverage> {
        self.filters.values()
    }

    /// Whether any filter is read at the block.
    pub(crate) fn holds(&self, number: u64) -> bool {
        self.all().any(|filter| filter.holds(number))
    }

    pub(crate) fn of(&self, filter: FilterId) -> Option<&FilterCoverage> {
        self.filters.get(&filter)
    }

    /// Returns which parts of `range` need which boxes so that `filter` is covered with at least
    /// `content`, in order; neighbours that need the same are one entry.
    pub(crate) fn missing(
        &self,
        filter: &Filter,
        range: BlockRange,
        content: Content,
    ) -> Vec<(BlockRange, Vec<Filter>)> {
        let mut missing: Vec<(BlockRange, Vec<Filter>)> = Vec::new();
        for (segment, covering) in self.segments(filter, range, content) {
            let boxes = boxes::difference(filter, covering);
            match missing.last_mut() {
                Some((last, same)) if *same == boxes && adjacent(last, &segment) => {
                    *last = last.hull(segment);
                }
                _ if boxes.is_empty() => {}
                _ => missing.push((segment, boxes)),
            }
        }
        missing
    }

    /// Returns the highest block up to which, from `from` on, all filters are covered.
    pub(crate) fn covered_through(
        &self,
        filters: &[Arc<Filter>],
        from: u64,
        content: Content,
    ) -> Option<u64> {
        let everything = BlockRange::new(from, u64::MAX)?;
        filters
            .iter()
            .map(|filter| {
                let mut through = None;
                for (segment, covering) in self.segments(filter, everything, content) {
                    if !boxes::difference(filter, covering).is_empty() {
                        break;
                    }
                    through = Some(segment.last());
                }
                through
            })
            // None is less than any block: one filter without coverage holds all back.
            .min()
            .flatten()
    }

    /// Cuts `range` into segments over which the same filters cover, with those filters.
    fn segments<'a>(
        &'a self,
        filter: &Filter,
        range: BlockRange,
        content: Content,
    ) -> Vec<(BlockRange, Vec<&'a Filter>)> {
        // (first block of a change, filter, whether it starts to cover)
        let mut changes: Vec<(u64, usize, bool)> = Vec::new();
        let covering: Vec<&FilterCoverage> = self.overlapping(filter, range).collect();
        for (index, covered) in covering.iter().enumerate() {
            for interval in covered.touching(range) {
                if interval.evidence.content < content {
                    continue;
                }
                changes.push((interval.range.first().max(range.first()), index, true));
                if interval.range.last() < range.last() {
                    changes.push((interval.range.last() + 1, index, false));
                }
            }
        }
        // A filter's end sorts before its next beginning at the same block.
        changes.sort_unstable();
        let mut segments = Vec::new();
        let mut active = vec![false; covering.len()];
        let mut first = range.first();
        for same in changes.chunk_by(|a, b| a.0 == b.0) {
            let before = active.clone();
            for (_, index, starts) in same {
                active[*index] = *starts;
            }
            if before == active {
                continue;
            }
            let at = same[0].0;
            if let Some(range) = at.checked_sub(1).and_then(|last| BlockRange::new(first, last)) {
                segments.push((range, select(&covering, &before)));
                first = at;
            }
        }
        if let Some(range) = BlockRange::new(first, range.last()) {
            segments.push((range, select(&covering, &active)));
        }
        segments
    }

    /// Adds intervals (sorted, disjoint) of one filter. `hash_at` gives the hashes of blocks, where
    /// known, so that a cut interval keeps its links.
    pub(crate) fn add(
        &mut self,
        filter: &Arc<Filter>,
        pieces: &[Interval],
        hash_at: &dyn Fn(u64) -> Option<B256>,
    ) -> Added {
        let covered = self.filters.entry(filter.id()).or_insert_with(|| FilterCoverage {
            filter: Arc::clone(filter),
            intervals: Vec::new(),
        });
        covered.add(pieces, hash_at)
    }

    /// Raises the anchor of what is covered in the range; returns what changed.
    pub(crate) fn raise(
        &mut self,
        range: BlockRange,
        anchor: Anchor,
        hash_at: &dyn Fn(u64) -> Option<B256>,
    ) -> Vec<(Arc<Filter>, BlockRange)> {
        let mut changes = Vec::new();
        for covered in self.filters.values_mut() {
            let lower = covered.touching(range).iter().filter(|i| i.evidence.anchor < anchor);
            let raised: Vec<Interval> = lower
                .filter_map(|interval| {
                    let mut part = part(interval, interval.range.intersection(&range)?, hash_at);
                    part.evidence.anchor = anchor;
                    Some(part)
                })
                .collect();
            if let Some(changed) = covered.add(&raised, hash_at).changed {
                changes.push((Arc::clone(&covered.filter), changed));
            }
        }
        changes
    }

    /// Whether all of a block that is like this log is proved.
    pub(crate) fn is_proved(&self, number: u64, log: LogRef<'_>) -> bool {
        let block = BlockRange::one(number);
        self.all().filter(|covered| covered.filter.matches(log)).any(|covered| {
            let mut touching = covered.touching(block).iter();
            touching.any(|interval| interval.evidence.content == Content::Receipts)
        })
    }

    /// Returns the nodes by whose word the block is covered, for any filter; sorted.
    pub(crate) fn nodes_at(&self, number: u64) -> Vec<NodeId> {
        let mut nodes = Vec::new();
        let intervals = self.all().flat_map(|covered| covered.touching(BlockRange::one(number)));
        intervals.for_each(|interval| merge_nodes(&mut nodes, &interval.nodes));
        nodes
    }

    /// Removes `void` from every filter; returns what changed.
    pub(crate) fn cut(
        &mut self,
        void: BlockRange,
        hash_at: &dyn Fn(u64) -> Option<B256>,
    ) -> Vec<(Arc<Filter>, BlockRange)> {
        let mut changes = Vec::new();
        for covered in self.filters.values_mut() {
            let intervals = &mut covered.intervals;
            let start = intervals.partition_point(|i| i.range.last() < void.first());
            let end = intervals.partition_point(|i| i.range.first() <= void.last()).max(start);
            let (Some(first), Some(last)) = (intervals.get(start), intervals[..end].last()) else {
                continue;
            };
            if start == end {
                continue;
            }
            changes.push((Arc::clone(&covered.filter), first.range.hull(last.range)));
            let below = (void.first().checked_sub(1))
                .and_then(|last| BlockRange::new(first.range.first(), last))
                .map(|range| part(first, range, hash_at));
            let above = (void.last().checked_add(1))
                .and_then(|first| BlockRange::new(first, last.range.last()))
                .map(|range| part(last, range, hash_at));
            let left: Vec<Interval> = below.into_iter().chain(above).collect();
            intervals.splice(start..end, left);
        }
        changes
    }

    /// Returns the change that makes the ledger say what is held here over `range`.
    pub(crate) fn change(&self, filter: &Arc<Filter>, range: BlockRange) -> CoverageChange {
        let intervals = self.of(filter.id()).map_or(&[][..], |covered| covered.touching(range));
        let range = intervals.iter().fold(range, |range, interval| range.hull(interval.range));
        CoverageChange { filter: Arc::clone(filter), range, intervals: intervals.to_vec() }
    }
}

impl FilterCoverage {
    /// Returns the intervals that have a block in `range`.
    pub(crate) fn touching(&self, range: BlockRange) -> &[Interval] {
        let first = self.intervals.partition_point(|i| i.range.last() < range.first());
        let end = self.intervals.partition_point(|i| i.range.first() <= range.last());
        &self.intervals[first..end.max(first)]
    }

    /// Whether the block is covered, with whatever evidence.
    pub(crate) fn holds(&self, number: u64) -> bool {
        !self.touching(BlockRange::one(number)).is_empty()
    }

    fn add(&mut self, pieces: &[Interval], hash_at: &dyn Fn(u64) -> Option<B256>) -> Added {
        let (Some(first), Some(last)) = (pieces.first(), pieces.last()) else {
            return Added::default();
        };
        // With the neighbours that touch: they may join.
        let below = first.range.first().saturating_sub(1);
        let above = last.range.last().saturating_add(1);
        let mut start = self.intervals.partition_point(|i| i.range.last() < below);
        let end = self.intervals.partition_point(|i| i.range.first() <= above).max(start);
        let mut merged = overlay(&self.intervals[start..end], pieces, hash_at);
        anchor_downwards(&mut merged);
        join(&mut merged);
        // Newly anchored headers anchor what they link to, as far down as they link.
        while let (Some(lower), Some(upper)) =
            (start.checked_sub(1).map(|i| &self.intervals[i]), merged.first())
        {
            if !(adjacent(&lower.range, &upper.range)
                && (raises(upper, lower) || joins(lower, upper)))
            {
                break;
            }
            merged.insert(0, lower.clone());
            start -= 1;
            anchor_downwards(&mut merged);
            join(&mut merged);
        }
        let unlinked = merged
            .windows(2)
            .filter(|pair| contradicts(&pair[0], &pair[1]))
            .map(|pair| pair[1].range.first())
            .collect();
        let changed = changed_hull(&self.intervals[start..end], &merged);
        if changed.is_some() {
            self.intervals.splice(start..end, merged);
        }
        Added { changed, unlinked }
    }
}

/// Returns the union: where both speak of a block, the stronger evidence and all nodes.
fn overlay(
    old: &[Interval],
    new: &[Interval],
    hash_at: &dyn Fn(u64) -> Option<B256>,
) -> Vec<Interval> {
    let mut cuts: Vec<u64> = Vec::with_capacity(2 * (old.len() + new.len()));
    for interval in old.iter().chain(new) {
        cuts.push(interval.range.first());
        // A range that ends at the last block of all needs no cut behind it.
        cuts.extend(interval.range.last().checked_add(1));
    }
    cuts.sort_unstable();
    cuts.dedup();
    let (mut o, mut n) = (0, 0);
    let mut merged = Vec::new();
    for (i, first) in cuts.iter().enumerate() {
        let last = cuts.get(i + 1).map_or(u64::MAX, |next| next - 1);
        let Some(range) = BlockRange::new(*first, last) else { continue };
        while old.get(o).is_some_and(|interval| interval.range.last() < range.first()) {
            o += 1;
        }
        while new.get(n).is_some_and(|interval| interval.range.last() < range.first()) {
            n += 1;
        }
        let of = |interval: Option<&Interval>| {
            interval.filter(|i| i.range.covers(&range)).map(|i| part(i, range, hash_at))
        };
        match (of(old.get(o)), of(new.get(n))) {
            (Some(old), Some(new)) => merged.push(both(old, new)),
            (Some(one), None) | (None, Some(one)) => merged.push(one),
            (None, None) => {}
        }
    }
    merged
}

fn both(old: Interval, new: Interval) -> Interval {
    let mut nodes = old.nodes;
    merge_nodes(&mut nodes, &new.nodes);
    // One report's content and another's anchor add up only when both speak of linked headers:
    // contradicting ones never come this far.
    let evidence = if old.links.is_some() && new.links.is_some() {
        Evidence {
            content: old.evidence.content.max(new.evidence.content),
            anchor: old.evidence.anchor.max(new.evidence.anchor),
        }
    } else {
        old.evidence.max(new.evidence)
    };
    Interval { range: old.range, evidence, nodes, links: new.links.or(old.links) }
}

/// Adds nodes to a sorted list without repeats.
pub(crate) fn merge_nodes(nodes: &mut Vec<NodeId>, more: &[NodeId]) {
    for node in more {
        if let Err(at) = nodes.binary_search(node) {
            nodes.insert(at, node.clone());
        }
    }
}

/// Returns the interval cut to `range`, which lies in it.
fn part(interval: &Interval, range: BlockRange, hash_at: &dyn Fn(u64) -> Option<B256>) -> Interval {
    let links = interval.links.and_then(|links| {
        let first_parent = if range.first() == interval.range.first() {
            Some(links.first_parent)
        } else {
            hash_at(range.first() - 1)
        };
        let last_hash = if range.last() == interval.range.last() {
            Some(links.last_hash)
        } else {
            hash_at(range.last())
        };
        Some(Links { first_parent: first_parent?, last_hash: last_hash? })
    });
    Interval { range, links, evidence: interval.evidence, nodes: interval.nodes.clone() }
}

fn linked(lower: &Interval, upper: &Interval) -> bool {
    match (lower.links, upper.links) {
        (Some(lower), Some(upper)) => lower.last_hash == upper.first_parent,
        _ => false,
    }
}

fn contradicts(lower: &Interval, upper: &Interval) -> bool {
    adjacent(&lower.range, &upper.range)
        && lower.links.is_some()
        && upper.links.is_some()
        && !linked(lower, upper)
}

fn joins(lower: &Interval, upper: &Interval) -> bool {
    adjacent(&lower.range, &upper.range)
        && lower.evidence == upper.evidence
        && lower.nodes == upper.nodes
        && (linked(lower, upper) || (lower.links.is_none() && upper.links.is_none()))
}

fn raises(upper: &Interval, lower: &Interval) -> bool {
    upper.evidence.anchor == Anchor::Checkpoint
        && lower.evidence.anchor < Anchor::Checkpoint
        && adjacent(&lower.range, &upper.range)
        && linked(lower, upper)
}

fn anchor_downwards(intervals: &mut [Interval]) {
    for i in (1..intervals.len()).rev() {
        if raises(&intervals[i], &intervals[i - 1]) {
            intervals[i - 1].evidence.anchor = Anchor::Checkpoint;
        }
    }
}

fn join(intervals: &mut Vec<Interval>) {
    let mut joined: Vec<Interval> = Vec::with_capacity(intervals.len());
    for interval in intervals.drain(..) {
        match joined.last_mut() {
            Some(last) if joins(last, &interval) => {
                last.range = last.range.hull(interval.range);
                if let (Some(links), Some(upper)) = (&mut last.links, interval.links) {
                    links.last_hash = upper.last_hash;
                }
            }
            _ => joined.push(interval),
        }
    }
    *intervals = joined;
}

/// Returns the hull of what differs between two lists, or `None` when they are equal.
fn changed_hull(old: &[Interval], new: &[Interval]) -> Option<BlockRange> {
    let prefix = old.iter().zip(new).take_while(|(old, new)| old == new).count();
    let (old, new) = (&old[prefix..], &new[prefix..]);
    let suffix = old.iter().rev().zip(new.iter().rev()).take_while(|(old, new)| old == new).count();
    let (old, new) = (&old[..old.len() - suffix], &new[..new.len() - suffix]);
    old.iter().chain(new).map(|interval| interval.range).reduce(BlockRange::hull)
}

fn select<'a>(covering: &[&'a FilterCoverage], active: &[bool]) -> Vec<&'a Filter> {
    covering.iter().zip(active).filter(|(_, on)| **on).map(|(c, _)| &*c.filter).collect()
}

pub(crate) fn adjacent(lower: &BlockRange, upper: &BlockRange) -> bool {
    lower.last().checked_add(1) == Some(upper.first())
}
