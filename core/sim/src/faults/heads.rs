//! Lies about heads, headers and receipts, and backends that see another head than the one asked.

use crate::{
    Trouble,
    chain::View,
    faults::{Active, forge::altered},
    rng::hash,
};
use alloy_primitives::{B256, Bloom, keccak256};
use event::{BlockAnswer, BlockNumHash, Head, Receipt};

/// Moves the view to what the answering backend sees.
pub(crate) fn tamper_view(view: &mut View<'_>, active: &[Active]) {
    for active in active {
        match active.trouble() {
            Trouble::HeadLags { blocks } => view.lag(*blocks),
            Trouble::FinalizedGoesBack { blocks } => {
                view.finalized = view.finalized.map(|number| number.saturating_sub(*blocks));
            }
            _ => {}
        }
    }
}

/// Tampers with a head.
pub(crate) fn tamper_head(head: &mut Head, active: &[Active]) {
    if active.iter().any(|active| *active.trouble() == Trouble::HeightZero) {
        *head = Head { block: BlockNumHash { number: 0, hash: B256::ZERO }, timestamp: 0 };
    }
}

/// Tampers with headers.
pub(crate) fn tamper_headers(headers: &mut [BlockAnswer], active: &[Active]) {
    for block in headers.iter_mut() {
        let number = block.header.number;
        for active in active.iter().filter(|active| active.hits(number)) {
            match active.trouble() {
                Trouble::ZeroBloom => block.header.logs_bloom = Bloom::ZERO,
                Trouble::WrongNumber => block.header.number = number.saturating_add(1),
                Trouble::WrongHash => block.hash = keccak256(block.hash),
                Trouble::OtherHeader => {
                    block.header.state_root = keccak256(block.header.state_root);
                    block.hash = proof::header_hash(&block.header);
                }
                _ => {}
            }
        }
    }
}

/// Tampers with the receipts of a block.
pub(crate) fn tamper_receipts(
    receipts: &mut Vec<Receipt>,
    block: BlockNumHash,
    view: &View<'_>,
    active: &[Active],
) {
    for active in active.iter().filter(|active| active.hits(block.number)) {
        match active.trouble() {
            Trouble::EmptyReceipts => receipts.clear(),
            Trouble::ReceiptShort => {
                receipts.pop();
            }
            Trouble::LostLog | Trouble::AlteredLog => tamper_log_of(receipts, active),
            Trouble::ReceiptsOfOtherBlock => {
                let sibling = view.tree().siblings(block).into_iter().next();
                let below = || block.number.checked_sub(1).and_then(|number| view.at(number));
                if let Some(other) = sibling.or_else(below) {
                    receipts.clone_from(&other.receipts);
                }
            }
            _ => {}
        }
    }
}

/// Leaves out or alters a log of the receipts of a block.
fn tamper_log_of(receipts: &mut [Receipt], active: &Active) {
    let Some(logs) = receipts.iter_mut().map(|r| &mut r.logs).find(|logs| !logs.is_empty()) else {
        return;
    };
    let number = logs[0].block_number;
    let picked = active.pick(number, logs.len());
    if *active.trouble() == Trouble::LostLog {
        logs.remove(picked);
    } else {
        logs[picked] = altered(&logs[picked], hash(active.key, &[3, number]));
    }
}
