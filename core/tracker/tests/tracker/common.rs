//! What scripted nodes are made of: blocks, logs, receipts, faults, and a prover that knows blooms.

use alloy_primitives::{Address, B256, keccak256};
use event::*;
use std::collections::BTreeSet;

pub(crate) fn hash(number: u64) -> B256 {
    keccak256(number.to_be_bytes())
}

pub(crate) fn block(number: u64, hash: B256) -> BlockNumHash {
    BlockNumHash { number, hash }
}

pub(crate) fn log(of: BlockNumHash) -> Log {
    Log {
        address: Address::ZERO,
        topics: vec![],
        data: Default::default(),
        log_index: 0,
        tx_index: 0,
        tx_hash: of.hash,
        block_number: of.number,
        block_hash: of.hash,
        removed: false,
    }
}

pub(crate) fn logs_answer(of: impl IntoIterator<Item = BlockNumHash>) -> LogsAnswer {
    let mut answer = LogsAnswer::default();
    for block in of {
        answer.logs.push_log(answer.blocks.len() as u32, &log(block));
        answer.blocks.push((block.number, block.hash, None));
    }
    answer
}

pub(crate) fn receipt(of: BlockNumHash) -> Receipt {
    Receipt {
        tx_type: 2,
        tx_hash: of.hash,
        tx_index: 0,
        block_hash: of.hash,
        block_number: of.number,
        outcome: Outcome::Status(true),
        cumulative_gas_used: 0,
        logs: vec![log(of)],
        deposit_nonce: None,
        deposit_receipt_version: None,
    }
}

pub(crate) fn header(of: BlockNumHash, parent_hash: B256) -> BlockAnswer {
    let header = Header { number: of.number, parent_hash, ..Header::default() };
    BlockAnswer { hash: of.hash, header: Box::new(header), transactions: vec![] }
}

pub(crate) fn fault(class: FaultClass) -> Fault {
    Fault {
        node: NodeId::new("scripted"),
        method: "eth_getLogs".into(),
        class,
        text: "as scripted".into(),
    }
}

/// Knows the true blooms: a block admits the filter when it has a log, or is a false positive.
#[derive(Clone, Default)]
pub(crate) struct Blooms {
    pub(crate) admitting: BTreeSet<B256>,
    /// Stays in doubt until it was asked for by hash.
    pub(crate) doubted: Option<u64>,
}

impl Prover for Blooms {
    fn judge(&self, report: &Report, _: &ChainProfile) -> Judgement {
        let mut judgement = Judgement {
            admit: vec![true; report.logs.len()],
            complete_headers: report.blocks.len() as u64 == report.range.count(),
            ..Judgement::default()
        };
        for (index, block) in report.blocks.iter().enumerate() {
            let index = index as u32;
            let rows = report.logs.block.iter().filter(|row| **row == index).count();
            let true_rows = block.receipts.iter().flatten().map(|receipt| receipt.logs.len());
            let true_rows: usize = true_rows.sum();
            if block.receipts.is_some() && true_rows > rows {
                let told = "kept back".to_owned();
                judgement.flaws.push((Some(index), Flaw::Missing, (true_rows - rows) as u64, told));
            }
            let doubted = self.doubted == Some(block.number) && block.via == Via::Range;
            let (content, doubt) = match (block.receipts.is_some(), rows > 0) {
                _ if doubted => (Content::Claimed, true),
                (true, _) => (Content::Receipts, false),
                (false, true) => (Content::Bloom, false),
                (false, false) if self.admitting.contains(&block.hash) => (Content::Claimed, true),
                (false, false) => (Content::Receipts, false),
            };
            judgement.blocks.push(BlockVerdict { content, doubt });
        }
        judgement
    }

    /// Scripted blocks are named by their numbers.
    fn header_hash(&self, header: &Header) -> B256 {
        hash(header.number)
    }
}
