//! A commit and its answer in the making, and the flaws that come with a report.

use crate::{aggregator::Outcome, coverage::Coverage, withdrawn::Refuted};
use event::{
    Ack, BlockRange, Commit, Content, Fault, FaultClass, Filter, FilterId, Flaw, Incident,
    Judgement, NodeId, Report,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// A commit in the making.
pub(crate) struct Cut {
    pub(crate) commit: Commit,
    pub(crate) ack: Ack,
    pub(crate) node: NodeId,
    pub(crate) changed: Vec<(Arc<Filter>, BlockRange)>,
    pub(crate) refuted: Vec<Refuted>,
    /// Blocks of the report whose headers are not theirs.
    pub(crate) refused_headers: BTreeSet<u64>,
}

impl Cut {
    pub(crate) fn incident(&mut self, range: BlockRange, flaw: Flaw, count: u64, detail: String) {
        self.incident_of(self.node.clone(), range, flaw, count, detail);
    }

    /// Tells of another node than the report's.
    pub(crate) fn incident_of(
        &mut self,
        node: NodeId,
        range: BlockRange,
        flaw: Flaw,
        count: u64,
        detail: String,
    ) {
        let chain = self.commit.chain;
        self.commit.incidents.push(Incident { chain, node, range, flaw, count, detail });
    }

    /// Whether this commit tells such a flaw of a node already.
    pub(crate) fn has_told(&self, node: &NodeId, flaw: Flaw, range: BlockRange) -> bool {
        let mut told = self.commit.incidents.iter();
        told.any(|told| (&told.node, told.flaw, told.range) == (node, flaw, range))
    }

    /// Takes the judgement's flaws, without losses of blocks that were `told` already.
    pub(crate) fn flaws(
        &mut self,
        report: &Report,
        judgement: &Judgement,
        told: impl Fn(u32) -> bool,
    ) {
        for (block, flaw, count, detail) in &judgement.flaws {
            if *flaw == Flaw::Missing && block.is_some_and(&told) {
                continue;
            }
            let block = block.and_then(|i| report.blocks.get(i as usize));
            let range = block.map_or(report.range, |block| BlockRange::one(block.number));
            self.incident(range, *flaw, *count, detail.clone());
        }
    }

    /// Names the node for headers of final blocks that it does not give although it gives others: in their
    /// place came `null`, or that of another block.
    pub(crate) fn headers_not_given(&mut self, report: &Report) {
        let is_final = report.finalized.is_some_and(|finalized| report.range.last() <= finalized);
        let of_headers = report.faults.iter().filter(|fault| {
            fault.method == "eth_getBlockByNumber"
                && matches!(fault.class, FaultClass::Unknown | FaultClass::Malformed)
        });
        let faults: Vec<&Fault> = of_headers.collect();
        if !is_final || faults.is_empty() {
            return;
        }
        let given: BTreeSet<u64> = (report.blocks.iter())
            .filter(|block| block.header.is_some())
            .map(|block| block.number)
            .collect();
        // As many faults as blocks, in the same order.
        let lacking = (report.range.first()..=report.range.last()).filter(|n| !given.contains(n));
        for (number, fault) in lacking.zip(faults) {
            self.incident(BlockRange::one(number), Flaw::HeaderHash, 1, fault.text.clone());
        }
    }

    /// Nothing of the report is taken, and its range stays open.
    pub(crate) fn refused(mut self, report: &Report, reason: &str) -> Outcome {
        self.ack.open = vec![(report.range, reason.to_owned())];
        self.ack.unshared = vec![report.range];
        self.outcome(&Coverage::default())
    }

    pub(crate) fn outcome(mut self, coverage: &Coverage) -> Outcome {
        let mut changed: BTreeMap<FilterId, (Arc<Filter>, BlockRange)> = BTreeMap::new();
        for (filter, range) in self.changed {
            changed
                .entry(filter.id())
                .and_modify(|(_, all)| *all = all.hull(range))
                .or_insert((filter, range));
        }
        let changes = changed.values().map(|(filter, range)| coverage.change(filter, *range));
        self.commit.coverage = changes.collect();
        self.ack.incidents = self.commit.incidents.len() as u64;
        self.ack.open.sort();
        Outcome { commit: self.commit, ack: self.ack, refuted: self.refuted }
    }
}

/// Returns per block whether one of its flaws is meant.
pub(crate) fn flawed(
    report: &Report,
    judgement: &Judgement,
    meant: impl Fn(Flaw) -> bool,
) -> Vec<bool> {
    let mut flawed = vec![false; report.blocks.len()];
    for (block, flaw, ..) in &judgement.flaws {
        if let Some(flawed) = block.and_then(|i| flawed.get_mut(i as usize)) {
            *flawed |= meant(*flaw);
        }
    }
    flawed
}

/// Returns per block whether all of it is shown: by its receipts, or by its bloom that nothing is there.
pub(crate) fn shown(report: &Report, judgement: &Judgement) -> Vec<bool> {
    let spoiled = flawed(report, judgement, spoils_receipts);
    let blocks = judgement.blocks.iter().zip(spoiled);
    blocks.map(|(block, spoiled)| block.content == Content::Receipts && !spoiled).collect()
}

/// Returns per block whether its receipts were read and show all of it.
pub(crate) fn shown_by_receipts(report: &Report, judgement: &Judgement) -> Vec<bool> {
    let shown = shown(report, judgement);
    report
        .blocks
        .iter()
        .zip(shown)
        .map(|(block, shown)| shown && block.receipts.is_some())
        .collect()
}

/// Whether the receipts of a block with this flaw show nothing.
pub(crate) const fn spoils_receipts(flaw: Flaw) -> bool {
    matches!(flaw, Flaw::HeaderHash | Flaw::ReceiptCount | Flaw::ReceiptBlock | Flaw::ReceiptsRoot)
}
