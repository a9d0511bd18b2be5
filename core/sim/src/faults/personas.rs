//! Nodes as they are met in the field: several rules under one name.

use crate::{Methods, Rule, Trouble};
use event::BlockRange;

/// The rules of a node, in order.
pub type Persona = Vec<Rule>;

/// A node that does all it can.
pub const fn honest() -> Persona {
    Vec::new()
}

/// Headers are there, logs and receipts below `below` are gone, and only the receipts say so (F34).
pub fn pruned(below: u64) -> Persona {
    let Some(gone) = below.checked_sub(1).and_then(|last| BlockRange::new(0, last)) else {
        return honest();
    };
    vec![
        Rule::on(Methods::LOGS, Trouble::NoLogs).in_blocks(gone),
        Rule::on(Methods::RECEIPTS, Trouble::NullReceipts).in_blocks(gone),
    ]
}

/// Heads come from one backend, logs and receipts often from one that lags, which answers what it
/// does not have with `[]` (F30, F32, F33).
pub fn load_balanced(lag_blocks: u64, per_mille: u32) -> Persona {
    let behind = Methods::LOGS.and(Methods::RECEIPTS);
    vec![
        Rule::on(behind, Trouble::HeadLags { blocks: lag_blocks }).sometimes(per_mille),
        Rule::on(Methods::LOGS, Trouble::EmptyBeyondHead),
        Rule::on(Methods::LOGS, Trouble::EmptyUnknownHash),
    ]
}

/// Some blocks are lost over ranges and found by hash (F25).
pub fn loses_ranges(per_mille: u32) -> Persona {
    vec![Rule::on(Methods::RANGE_LOGS, Trouble::NoLogs).for_some_blocks(per_mille)]
}

/// Some blocks are lost over ranges and by hash; receipts are honest (F26).
pub fn loses_some(per_mille: u32) -> Persona {
    vec![Rule::on(Methods::LOGS, Trouble::NoLogs).for_some_blocks(per_mille)]
}

/// Logs and receipts of a range are lost together (F27).
pub fn loses_everything(range: BlockRange) -> Persona {
    vec![
        Rule::on(Methods::LOGS, Trouble::NoLogs).in_blocks(range),
        Rule::on(Methods::RECEIPTS, Trouble::EmptyReceipts).in_blocks(range),
    ]
}

/// Filters with addresses find nothing (F36).
pub fn blind_to_addresses() -> Persona {
    vec![Rule::on(Methods::LOGS, Trouble::AddressFilterBroken)]
}

/// Drops, alters and adds logs in some blocks.
pub fn forger(per_mille: u32) -> Persona {
    let lie = |trouble| Rule::on(Methods::LOGS, trouble).for_some_blocks(per_mille);
    vec![lie(Trouble::LostLog), lie(Trouble::AlteredLog), lie(Trouble::AddedLog)]
}
