//! What nodes say, step by step.

use crate::{
    chain::{Block, Chain, token, transfer},
    ledger::Bench,
};
use event::{
    AnyOf, BlockRange, Filter, Log, Logs, NodeId, REPORT_VERSION, Report, ReportedBlock, Via,
};
use std::{collections::BTreeMap, sync::Arc};

/// What is followed.
pub(crate) fn wanted() -> Arc<Filter> {
    Arc::new(Filter::new(AnyOf::one(token()), AnyOf::one(transfer())))
}

/// One node speaks once.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    node: &'static str,
    chain: Chain,
    range: BlockRange,
    finalized: Option<u64>,
    without: Option<u64>,
}

impl Step {
    pub(crate) fn said(node: &'static str, chain: &Chain, first: u64, last: u64) -> Self {
        let range = BlockRange::new(first, last).unwrap();
        Self { node, chain: chain.clone(), range, finalized: None, without: None }
    }

    pub(crate) fn finalized(mut self, number: u64) -> Self {
        self.finalized = Some(number);
        self
    }

    /// Keeps back the first log of that block.
    pub(crate) fn without(mut self, block: u64) -> Self {
        self.without = Some(block);
        self
    }

    pub(crate) fn is_on(&self, branch: u8) -> bool {
        self.chain.branch == branch
    }

    fn logs_of(&self, block: &Block) -> Vec<Log> {
        let mut logs = block.wanted();
        if self.without == Some(block.number) {
            logs.remove(0);
        }
        if self.node == "beta" {
            let mut counts: BTreeMap<u32, u32> = BTreeMap::new();
            for log in &mut logs {
                let count = counts.entry(log.tx_index).or_default();
                log.log_index = *count;
                *count += 1;
            }
        }
        logs
    }

    pub(crate) fn report(&self, seq: u64) -> Report {
        let blocks = self.chain.blocks(self.range.first(), self.range.last());
        let mut logs = Logs::default();
        for (i, block) in blocks.iter().enumerate() {
            self.logs_of(block).iter().for_each(|log| logs.push_log(i as u32, log));
        }
        let head = self.chain.top().number;
        Report {
            version: REPORT_VERSION,
            reporter: "test".into(),
            seq,
            chain: self.chain.id,
            node: NodeId::new(self.node),
            client: None,
            filter: wanted(),
            range: self.range,
            head_before: head,
            head_after: head,
            finalized: self.finalized,
            blocks: blocks.into_iter().map(reported).collect(),
            logs,
            faults: vec![],
            is_second_look: false,
            judged: None,
        }
    }
}

fn reported(block: &Block) -> ReportedBlock {
    ReportedBlock {
        number: block.number,
        hash: block.hash,
        parent: None,
        timestamp: None,
        header: Some(Box::new(block.header.clone())),
        transactions: Some(block.transactions.clone()),
        receipts: None,
        via: Via::Range,
    }
}

/// Returns the ledger after all steps, with the lanes led along after each.
pub(crate) fn replayed(steps: &[Step]) -> Bench {
    let mut bench = Bench::new();
    for step in steps {
        bench.take(step);
        bench.run_lanes();
    }
    bench
}
