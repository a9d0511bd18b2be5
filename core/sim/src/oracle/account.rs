//! The reckoning at the end, in the four classes of a queue checker: what went in must come out.

use crate::{
    BALANCES, Cell, HELD, Image, MOVED, StoredEvent, Violation, balances_in_state,
    chain::{Tree, balances, expected, parties, wanted},
};
use alloy_primitives::Address;
use event::{BlockRange, EventId, Filter, LaneId, Op};
use std::collections::{BTreeMap, BTreeSet};

/// The part of I7 that rests on log indexes: an event that came with a wrong one keeps it, and rows
/// follow what is stored. Rows in any other order are a plain violation.
pub const ORDER_INSIDE_A_BLOCK: &str = "I7 order inside a block";

/// What became of the events of a range.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// On the chain, and not in the ledger (I1).
    pub lost: Vec<(u64, EventId)>,
    /// In the ledger as canonical, and not on the chain (I2).
    pub unexpected: Vec<(u64, EventId)>,
    /// In the ledger more than once (I3).
    pub duplicated: Vec<(u64, EventId)>,
    /// Found later in a range that was covered already.
    pub recovered: u64,
    /// On the chain and in the ledger.
    pub found: u64,
}

impl Account {
    /// Whether nothing is lost, unexpected or duplicated.
    pub const fn is_balanced(&self) -> bool {
        self.lost.is_empty() && self.unexpected.is_empty() && self.duplicated.is_empty()
    }

    /// Returns what is wrong, in sentences.
    pub fn problems(&self) -> Vec<Violation> {
        let classes = [
            ("I1 no loss", "lost", &self.lost),
            ("I2 no phantom", "unexpected", &self.unexpected),
            ("I3 dedup", "duplicated", &self.duplicated),
        ];
        let wrong = classes.into_iter().filter(|(_, _, events)| !events.is_empty());
        wrong
            .map(|(invariant, class, events)| {
                let blocks: BTreeSet<u64> = events.iter().map(|(number, _)| *number).collect();
                let text = format!("{} events {class} in blocks {blocks:?}", events.len());
                Violation { invariant, text }
            })
            .collect()
    }
}

/// Holds the canonical events of the ledger against those of the chain's canonical branch.
pub fn account(image: &Image, tree: &Tree, filters: &[Filter], range: BlockRange) -> Account {
    let wanted: BTreeMap<EventId, u64> = filters
        .iter()
        .flat_map(|filter| expected(tree, filter, range))
        .map(|(number, id)| (id, number))
        .collect();
    let mut account = Account::default();
    let mut stored: BTreeSet<EventId> = BTreeSet::new();
    let of_range = image.events.iter().filter(|event| {
        event.id.chain == tree.chain()
            && range.contains(event.number)
            && filters.iter().any(|filter| filter.matches(event.row()))
    });
    for event in of_range {
        let of_event = (event.number, event.id);
        if !stored.insert(event.id) {
            account.duplicated.push(of_event);
        } else if image.is_canonical(event) && !wanted.contains_key(&event.id) {
            account.unexpected.push(of_event);
        } else if !image.is_canonical(event) {
            stored.remove(&event.id);
        }
    }
    for (id, number) in &wanted {
        if stored.contains(id) {
            account.found += 1;
        } else {
            account.lost.push((*number, *id));
        }
    }
    let late = image.journal.iter().filter(|row| row.op == Op::Late);
    account.recovered = late.map(|row| row.events).sum();
    account
}

/// Returns where rows and state of the balances plugin differ from the canonical branch, up to the
/// block that its lane has come to.
pub fn lane_problems(image: &Image, tree: &Tree, filter: &Filter, first: u64) -> Vec<Violation> {
    let lane = LaneId { plugin: BALANCES.into(), chain: tree.chain() };
    let Some(shown) = image.lanes.shown(&lane) else { return Vec::new() };
    let Some(range) =
        (shown.cursor.next_block.checked_sub(1)).and_then(|last| BlockRange::new(first, last))
    else {
        return Vec::new();
    };
    let truth = balances(tree, filter, range);
    let mut problems = Vec::new();
    let mut wrong = |what: &str| {
        let text = format!("{what} differ from the chain up to block {}", range.last());
        problems.push(Violation { invariant: "I4 dispatch", text });
    };
    let held: BTreeMap<(Address, Address), i64> = (image.lanes.rows(&lane, HELD).iter())
        .filter_map(|row| match &row.cells[..] {
            [Cell::Bytes(token), Cell::Bytes(holder), Cell::Int(balance)] => {
                Some(((Address::from_slice(token), Address::from_slice(holder)), *balance))
            }
            _ => None,
        })
        .collect();
    if held != truth {
        wrong("balances in rows");
    }
    if balances_in_state(&shown.plugin_state()) != truth {
        wrong("balances in the state");
    }
    let blocks = (range.first()..=range.last()).filter_map(|number| tree.at(number));
    let truth: Vec<(u64, i64)> = blocks
        .flat_map(|block| wanted(block, filter).map(|log| (block.number, log)))
        .filter_map(|(number, log)| Some((number, parties(&log.topics, &log.data)?.2)))
        .collect();
    let moved: Vec<(u64, i64)> = (image.lanes.rows(&lane, MOVED).iter())
        .filter_map(|row| match row.cells.last() {
            Some(Cell::Int(value)) => Some((row.block_number, *value)),
            _ => None,
        })
        .collect();
    if !by_block(&moved) || sorted(&moved) != sorted(&truth) {
        wrong("appended rows");
    } else if moved != truth {
        let is_as_stored = moved == as_stored(image, tree, filter, range);
        let invariant = if is_as_stored { ORDER_INSIDE_A_BLOCK } else { "I7 order" };
        let text = "appended rows are out of order inside a block".to_owned();
        problems.push(Violation { invariant, text });
    }
    problems
}

/// Returns the transfers of the canonical branch in the order that the ledger's positions give.
fn as_stored(image: &Image, tree: &Tree, filter: &Filter, range: BlockRange) -> Vec<(u64, i64)> {
    let blocks = (range.first()..=range.last()).filter_map(|number| tree.at(number));
    let of_block = |block: &std::sync::Arc<crate::chain::Block>| {
        let stored = image.events_at(tree.chain(), block.number);
        let mut stored: Vec<&StoredEvent> = stored
            .filter(|event| event.id.block_hash == block.hash && image.is_canonical(event))
            .filter(|event| filter.matches(event.row()))
            .collect();
        stored.sort_by_key(|event| (event.tx_index, event.log_index, event.id.occurrence));
        let transfers = stored
            .into_iter()
            .filter_map(|event| Some((event.number, parties(&event.topics, &event.data)?.2)));
        transfers.collect::<Vec<_>>()
    };
    blocks.flat_map(of_block).collect()
}

fn by_block(moved: &[(u64, i64)]) -> bool {
    moved.is_sorted_by_key(|(number, _)| *number)
}

fn sorted(moved: &[(u64, i64)]) -> Vec<(u64, i64)> {
    let mut sorted = moved.to_vec();
    sorted.sort_unstable();
    sorted
}
