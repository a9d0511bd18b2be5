//! I5, the key property: no coverage interval ever claims more than is true, also while everything
//! goes wrong. A claim is held against the branch that its links name.

use crate::{
    Image, Oracle,
    chain::{Block, Tree, wanted_ids},
    oracle::Agreement,
};
use event::{Content, EventId, Filter, FilterId, Interval};
use std::sync::Arc;

/// What a level of evidence promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Promise {
    /// Nothing.
    Nothing,
    /// No block with events is without any.
    NoTotalLoss,
    /// Every event is there.
    NoLoss,
}

impl Oracle {
    pub(super) fn check_claims(&mut self, image: &Image, tree: &Tree) {
        for (filter, intervals) in image.coverage_of(self.chain) {
            let id = filter.id();
            for interval in &intervals {
                let promise = self.promise(interval.evidence.content);
                if promise == Promise::Nothing {
                    continue;
                }
                self.check_interval(&filter, id, interval, promise, image, tree);
            }
        }
    }

    const fn promise(&self, content: Content) -> Promise {
        match (content, self.agreement) {
            (Content::Claimed, _) => Promise::Nothing,
            (Content::Bloom, _) => Promise::NoTotalLoss,
            (Content::Receipts, _) | (Content::Agreed(_), Agreement::HoldsHonest) => {
                Promise::NoLoss
            }
            // Ranked above bloom, it holds what a bloom holds.
            (Content::Agreed(_), Agreement::MayBeBlind) => Promise::Nothing,
        }
    }

    fn check_interval(
        &mut self,
        filter: &Filter,
        id: FilterId,
        interval: &Interval,
        promise: Promise,
        image: &Image,
        tree: &Tree,
    ) {
        let Some(blocks) = blocks_of(interval, image, tree, self.chain) else {
            let text = format!("{} is covered on a branch that never was", interval.range);
            return self.violated("I5 coverage honest", text);
        };
        for block in blocks {
            let chain = self.chain;
            let truth = self
                .truth
                .entry((block.hash, id))
                .or_insert_with(|| wanted_ids(chain, block, filter).into());
            if truth.is_empty() {
                continue;
            }
            let truth = truth.clone();
            let is_there =
                |id: &&EventId| self.stored.contains(*id) && !image.refuted.contains(*id);
            let there = truth.iter().filter(is_there).count();
            // A forged log in place of a true one is not seen by a bloom.
            let any = || {
                let stored = image.events_at(chain, block.number);
                let mut own = stored.filter(|event| event.id.block_hash == block.hash);
                own.any(|event| filter.matches(event.row()))
            };
            let holds = match promise {
                Promise::Nothing => true,
                Promise::NoTotalLoss => there > 0 || any(),
                Promise::NoLoss => there == truth.len(),
            };
            if !holds {
                let text = format!(
                    "{} is covered with {} through {:?}, and of block {} ({}) {there} of {} \
                     events are there",
                    interval.range,
                    interval.evidence.content,
                    interval.nodes,
                    block.number,
                    block.hash,
                    truth.len()
                );
                self.violated("I5 coverage honest", text);
            }
        }
    }
}

/// Returns the blocks that an interval speaks of; `None` when it names a block that never was.
/// Without links that is what the ledger calls canonical, or what is final; else nobody can say.
fn blocks_of<'a>(
    interval: &Interval,
    image: &Image,
    tree: &'a Tree,
    chain: event::ChainId,
) -> Option<Vec<&'a Arc<Block>>> {
    let (first, last) = (interval.range.first(), interval.range.last());
    let Some(links) = interval.links else {
        let block = |number: u64| {
            let rows = image.blocks.range(
                (chain, number, alloy_primitives::B256::ZERO)
                    ..=(chain, number, alloy_primitives::B256::repeat_byte(0xff)),
            );
            let canonical = rows.map(|(_, row)| row).find(|row| row.canonical);
            match canonical {
                Some(row) => tree.block(&row.hash),
                None => tree.at(number).filter(|_| number <= tree.finalized()),
            }
        };
        return Some((first..=last.min(tree.head().number)).filter_map(block).collect());
    };
    let mut blocks = Vec::new();
    let mut at = Some(tree.block(&links.last_hash).filter(|block| block.number == last)?);
    while let Some(block) = at.filter(|block| block.number >= first) {
        if tree.is_canonical(block.id()) {
            blocks.extend((first..=block.number).rev().filter_map(|number| tree.at(number)));
            break;
        }
        blocks.push(block);
        at = tree.block(&block.header.parent_hash);
    }
    let lowest = blocks.last()?;
    (lowest.header.parent_hash == links.first_parent).then_some(blocks)
}
