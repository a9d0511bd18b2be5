//! Where the history of a node begins that has pruned it from below. One refusal says that the first block of a
//! range is gone; how far that goes is found by asking for single blocks, the highest first and then by halves:
//! a million pruned blocks cost twenty questions, and no header.

use event::{BlockRange, BlockRanges, Fault, FaultClass, Filter};
use std::{collections::VecDeque, sync::Arc};

/// Ranges to read.
type Work = VecDeque<(Arc<Filter>, BlockRange)>;

/// What is known of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    /// Nothing up to this block is there, and what said so.
    gone: Option<(u64, Fault)>,
    /// A block above that which was given.
    given: Option<u64>,
    /// The lowest that ever was.
    lowest: Option<u64>,
}

impl History {
    /// Returns up to which block there is none.
    pub(crate) fn gone_through(&self) -> Option<u64> {
        self.gone.as_ref().map(|(through, _)| *through)
    }

    /// Whether a refusal of this range can be because history begins above its first block: the node gave
    /// nothing below it. Else it is a hole, or a backend of several that has less than the others.
    pub(crate) fn may_begin_above(&self, range: BlockRange) -> bool {
        self.lowest.is_none_or(|lowest| lowest > range.first())
    }

    /// The node refused a range because it has pruned a part of it.
    pub(crate) fn on_pruned(&mut self, range: BlockRange, fault: Fault) {
        let said = match fault.class {
            FaultClass::Pruned { earliest: Some(earliest) } => earliest.saturating_sub(1),
            _ => 0,
        };
        let through = said.clamp(range.first(), range.last());
        if self.gone_through().is_none_or(|before| before < through) {
            self.gone = Some((through, fault));
            self.given = self.given.filter(|given| *given > through);
        }
    }

    /// The node gave a range.
    pub(crate) fn on_given(&mut self, range: BlockRange) {
        self.lowest = Some(self.lowest.map_or(range.first(), |lowest| lowest.min(range.first())));
        if self.gone_through().is_some_and(|through| through < range.first()) {
            self.given = Some(self.given.map_or(range.first(), |given| given.min(range.first())));
        }
    }

    /// Takes what is gone out of the work; returns it, with what said so.
    pub(crate) fn take_gone(&self, work: &mut Work) -> Vec<(Arc<Filter>, BlockRange, Fault)> {
        let Some((through, fault)) = &self.gone else { return Vec::new() };
        let mut gone = Vec::new();
        for (filter, range) in std::mem::take(work) {
            let below = BlockRange::new(range.first(), range.last().min(*through));
            let first = range.first().max(through.saturating_add(1));
            let above = BlockRange::new(first, range.last());
            gone.extend(below.map(|below| (filter.clone(), below, fault.clone())));
            work.extend(above.map(|above| (filter, above)));
        }
        gone
    }

    /// Takes the block out of the work whose answer tells most of where history begins, if that is not known.
    pub(crate) fn take_probe(&self, work: &mut Work) -> Option<(Arc<Filter>, BlockRange)> {
        let first = self.gone_through()?.checked_add(1)?;
        let last = match self.given {
            Some(given) => given.checked_sub(1)?,
            None => work.iter().map(|(_, range)| range.last()).max()?,
        };
        let open = BlockRange::new(first, last)?;
        let wanted = if self.given.is_some() { first + (last - first) / 2 } else { last };
        // The nearest that is still to be asked for: the middle may be under way, or nobody's.
        let near = |(place, (_, range)): (usize, &(Arc<Filter>, BlockRange))| {
            let part = range.intersection(&open)?;
            let block = wanted.clamp(part.first(), part.last());
            Some((block.abs_diff(wanted), place, block))
        };
        let (_, place, block) = work.iter().enumerate().filter_map(near).min()?;
        let (filter, range) = work.remove(place)?;
        let probe = BlockRange::one(block);
        let probed: BlockRanges = [probe].into_iter().collect();
        for (at, part) in (place..).zip(probed.outside(range)) {
            work.insert(at, (filter.clone(), part));
        }
        Some((filter, probe))
    }
}
