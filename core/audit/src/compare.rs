//! What was told against what is true: two multisets of logs, and the pairs among what differs.

use crate::{Finding, Kind, Told, Who};
use alloy_primitives::B256;
use std::collections::BTreeMap;

/// What one of them lacks of the truth, and what it has beside it.
#[derive(Debug, Default)]
pub(crate) struct Difference<'a> {
    pub(crate) missing: Vec<&'a Told>,
    pub(crate) extra: Vec<&'a Told>,
}

impl Difference<'_> {
    pub(crate) const fn is_none(&self) -> bool {
        self.missing.is_empty() && self.extra.is_empty()
    }
}

/// Compares logs of the same blocks. Order and log indexes differ honestly and are not looked at.
pub(crate) fn difference<'a>(
    told: impl IntoIterator<Item = &'a Told>,
    truth: impl IntoIterator<Item = &'a Told>,
) -> Difference<'a> {
    let mut left: BTreeMap<(B256, B256, B256), Vec<&Told>> = BTreeMap::new();
    for log in told {
        left.entry(log.identity()).or_default().push(log);
    }
    let mut missing = Vec::new();
    for log in truth {
        if left.get_mut(&log.identity()).and_then(Vec::pop).is_none() {
            missing.push(log);
        }
    }
    let mut extra: Vec<&Told> = left.into_values().flatten().collect();
    extra.sort_by_key(|log| (log.block.number, log.log_index, log.identity()));
    Difference { missing, extra }
}

/// Names what differs. A log that is told of another block was moved, one that is told otherwise
/// was altered; what has no counterpart is missing or forged.
pub(crate) fn findings(filter: usize, who: &Who, found: Difference<'_>) -> Vec<Finding> {
    let Difference { missing, mut extra } = found;
    let finding = |kind, log: &Told, detail: String| Finding {
        filter,
        kind,
        who: who.clone(),
        block: log.block,
        log: Some(log.clone()),
        count: 1,
        detail,
    };
    let mut found = Vec::new();
    let mut unpaired = Vec::new();
    for log in missing {
        let is_moved = |other: &&Told| {
            (other.tx_hash, other.digest) == (log.tx_hash, log.digest) && other.block != log.block
        };
        match extra.iter().position(is_moved) {
            Some(at) => {
                let detail = format!("told as of block {}", extra.remove(at).block);
                found.push(finding(Kind::Moved, log, detail));
            }
            None => unpaired.push(log),
        }
    }
    for log in unpaired {
        let is_altered = |other: &&&Told| {
            other.block == log.block
                && (other.digest == log.digest
                    || (other.tx_hash == log.tx_hash && other.address == log.address))
        };
        // Of several in one transaction the one at the same place.
        let same_place = |other: &&&Told| is_altered(other) && other.log_index == log.log_index;
        let at = extra.iter().position(|other| same_place(&other));
        let at = at.or_else(|| extra.iter().position(|other| is_altered(&other)));
        match at {
            Some(at) => {
                let told = extra.remove(at);
                let detail = match told.digest == log.digest {
                    true => format!("told of transaction {}", told.tx_hash),
                    false => "told with other topics or data".to_owned(),
                };
                found.push(finding(Kind::Altered, log, detail));
            }
            None => found.push(finding(Kind::Missing, log, String::new())),
        }
    }
    found.extend(extra.into_iter().map(|log| finding(Kind::Forged, log, String::new())));
    found
}
