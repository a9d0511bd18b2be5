//! Lies about logs, block by block, and the answer as it goes out.

use crate::{
    Trouble,
    chain::{Block, View, wanted},
    faults::{
        Active,
        forge::{altered, invented},
    },
    rng::hash,
};
use alloy_primitives::B256;
use event::{Filter, Log, LogRef, Logs, LogsAnswer};
use std::{collections::BTreeMap, sync::Arc};

/// What a log weighs on the wire, in bytes, about.
const LOG_BYTES: u64 = 640;

/// The logs of one block on their way into an answer.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) block: Arc<Block>,
    /// As the node will say it.
    pub(crate) timestamp: Option<u64>,
    pub(crate) logs: Vec<Log>,
}

impl Part {
    /// Returns what is true.
    pub(crate) fn honest(block: &Arc<Block>, filter: &Filter) -> Self {
        Self {
            block: block.clone(),
            timestamp: Some(block.header.timestamp),
            logs: wanted(block, filter).cloned().collect(),
        }
    }
}

/// Tampers with the logs of an answer.
pub(crate) fn tamper_logs(
    parts: &mut Vec<Part>,
    filter: &Filter,
    view: &View<'_>,
    now_ms: u64,
    active: &[Active],
) {
    // A log that comes twice comes the same, whatever its index is made to be: repeated last.
    let repeats = |active: &&Active| *active.trouble() == Trouble::RepeatedLogs;
    let ordered = active.iter().filter(|active| !repeats(active));
    for active in ordered.chain(active.iter().filter(repeats)) {
        if *active.trouble() == Trouble::LogsOfOtherBlock {
            let below = |part: &Part| {
                let number = part.block.number.checked_sub(1)?;
                active.hits(part.block.number).then(|| view.at(number)).flatten()
            };
            // Beside an answer that has no such block yet.
            let first = parts.first().and_then(below);
            parts.extend(first.map(|block| Part::honest(block, &Filter::any())));
            continue;
        }
        if *active.trouble() == Trouble::MovedLog {
            move_logs(parts, active);
            continue;
        }
        for part in parts.iter_mut().filter(|part| active.hits(part.block.number)) {
            tamper_part(part, filter, now_ms, active);
        }
    }
}

/// Moves a log of each block hit into the next block of the answer, by name and hash.
fn move_logs(parts: &mut [Part], active: &Active) {
    for at in 1..parts.len() {
        let [.., from, to] = &mut parts[..=at] else { continue };
        let number = from.block.number;
        if from.logs.is_empty() || !active.hits(number) {
            continue;
        }
        let moved = from.logs.remove(active.pick(number, from.logs.len()));
        let (block_number, block_hash) = (to.block.number, to.block.hash);
        to.logs.push(Log { block_number, block_hash, log_index: moved.log_index + 1_000, ..moved });
    }
}

fn tamper_part(part: &mut Part, filter: &Filter, now_ms: u64, active: &Active) {
    let number = part.block.number;
    let count = part.logs.len();
    let picked = active.pick(number, count);
    let key = hash(active.key, &[3, number]);
    match active.trouble() {
        Trouble::NoLogs => part.logs.clear(),
        Trouble::LogsLate { after_ms }
            if now_ms < part.block.mined_at_ms.saturating_add(*after_ms) =>
        {
            part.logs.clear();
        }
        Trouble::AddressFilterBroken if !filter.addresses.is_any() => part.logs.clear(),
        Trouble::LostLog if count > 0 => {
            part.logs.remove(picked);
        }
        Trouble::AlteredLog if count > 0 => part.logs[picked] = altered(&part.logs[picked], key),
        Trouble::AddedLog if count > 0 => {
            let forged = if key.is_multiple_of(2) {
                altered(&part.logs[picked], key)
            } else {
                invented(&part.logs[picked], key)
            };
            part.logs.push(Log { log_index: forged.log_index.max(10_000), ..forged });
        }
        Trouble::LogIndexPerTransaction => {
            let mut counts: BTreeMap<u32, u32> = BTreeMap::new();
            for log in &mut part.logs {
                let count = counts.entry(log.tx_index).or_default();
                log.log_index = *count;
                *count += 1;
            }
        }
        Trouble::LogIndexShifted { by } => {
            part.logs.iter_mut().for_each(|log| log.log_index += by);
        }
        Trouble::RepeatedLogs => {
            part.logs = part.logs.iter().flat_map(|log| [log.clone(), log.clone()]).collect();
        }
        Trouble::UnaskedLogs => {
            let others = part.block.logs().filter(|log| !filter.matches(LogRef::from(*log)));
            let others: Vec<Log> = others.cloned().collect();
            part.logs.extend(others);
            part.logs.sort_by_key(|log| log.log_index);
        }
        Trouble::RemovedLogs => part.logs.iter_mut().for_each(|log| log.removed = true),
        Trouble::TimestampMissing => part.timestamp = None,
        _ => {}
    }
}

/// Returns the answer that says this, as a node's transport hands it on, and the logs that it said
/// were removed.
pub(crate) fn answer_of(parts: Vec<Part>, active: &[Active]) -> (LogsAnswer, Vec<Log>) {
    let most = active.iter().filter_map(|active| match active.trouble() {
        Trouble::CutSilently { most } => Some(*most),
        _ => None,
    });
    let mut room = most.min().unwrap_or(u64::MAX);
    let (mut answer, mut removed) = (LogsAnswer::default(), Vec::new());
    let mut indexes: BTreeMap<B256, u32> = BTreeMap::new();
    let mut logs = Logs::default();
    for part in parts {
        for log in &part.logs {
            if room == 0 {
                break;
            }
            room -= 1;
            answer.bytes += LOG_BYTES;
            if log.removed {
                answer.removed += 1;
                removed.push(log.clone());
                continue;
            }
            let index = *indexes.entry(log.block_hash).or_insert_with(|| {
                answer.blocks.push((log.block_number, log.block_hash, part.timestamp));
                answer.blocks.len() as u32 - 1
            });
            logs.push_log(index, log);
        }
    }
    answer.logs = logs;
    (answer, removed)
}
