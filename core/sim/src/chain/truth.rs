//! What is true of a chain: which events it has for a filter, and who holds how much. Counted
//! independently of every stage under test.

use crate::chain::{Block, Tree, transfer_topic};
use alloy_primitives::{Address, B256, U256};
use event::{BlockRange, ChainId, EventId, Filter, Log, LogRef, content_digest};
use std::collections::BTreeMap;

/// Returns the logs of a block that the filter matches, in order.
pub fn wanted<'a>(block: &'a Block, filter: &'a Filter) -> impl Iterator<Item = &'a Log> {
    block.logs().filter(|log| filter.matches(LogRef::from(*log)))
}

/// Returns the identities of these logs, in order.
pub fn wanted_ids(chain: ChainId, block: &Block, filter: &Filter) -> Vec<EventId> {
    let mut seen: BTreeMap<(B256, B256), u32> = BTreeMap::new();
    let identify = |log: &Log| {
        let digest = content_digest(LogRef::from(log));
        let count = seen.entry((log.tx_hash, digest)).or_default();
        *count += 1;
        let (block_hash, tx_hash) = (block.hash, log.tx_hash);
        EventId { chain, block_hash, tx_hash, digest, occurrence: *count - 1 }
    };
    wanted(block, filter).map(identify).collect()
}

/// Returns every event that the canonical branch has for the filter, with its height, in order.
pub fn expected(tree: &Tree, filter: &Filter, range: BlockRange) -> Vec<(u64, EventId)> {
    let last = range.last().min(tree.head().number);
    let blocks = (range.first()..=last).filter_map(|number| tree.at(number));
    blocks
        .flat_map(|block| {
            let ids = wanted_ids(tree.chain(), block, filter);
            ids.into_iter().map(|id| (block.number, id))
        })
        .collect()
}

/// Returns who gave whom how much, where the log is a transfer.
pub fn parties(topics: &[B256], data: &[u8]) -> Option<(Address, Address, i64)> {
    let [topic0, from, to] = topics else { return None };
    if *topic0 != transfer_topic() || data.len() != 32 {
        return None;
    }
    let value = i64::try_from(U256::from_be_slice(data)).ok()?;
    Some((Address::from_word(*from), Address::from_word(*to), value))
}

/// Returns what each holder has of each token at the end of the range, on the canonical branch,
/// counted over the transfers of the range that the filter matches.
pub fn balances(
    tree: &Tree,
    filter: &Filter,
    range: BlockRange,
) -> BTreeMap<(Address, Address), i64> {
    let last = range.last().min(tree.head().number);
    let blocks = (range.first()..=last).filter_map(|number| tree.at(number));
    balances_of(blocks.flat_map(|block| wanted(block, filter)))
}

/// Returns what each holder has of each token after these logs.
pub fn balances_of<'a>(
    logs: impl IntoIterator<Item = &'a Log>,
) -> BTreeMap<(Address, Address), i64> {
    let mut balances = BTreeMap::new();
    for log in logs {
        let Some((from, to, value)) = parties(&log.topics, &log.data) else { continue };
        *balances.entry((log.address, from)).or_default() -= value;
        *balances.entry((log.address, to)).or_default() += value;
    }
    balances
}
