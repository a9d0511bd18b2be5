//! A plugin in plain Rust whose output is easy to know: who holds how much of what. It reads its
//! state, writes a keyed table and an append-only one, and fails when it is told to.

use crate::chain::parties;
use alloy_primitives::Address;
use event::{
    Batch, ColumnData, ColumnKind, Descriptor, Effects, Packed, Plugin, PluginColumn, PluginFault,
    PluginState, PluginTable, Subscription, TableRows, Visibility,
};
use std::{collections::BTreeMap, sync::Arc};

/// Name of the plugin.
pub const BALANCES: &str = "balances";
/// Index of its keyed table: token, holder, balance.
pub const HELD: usize = 0;
/// Index of its append-only table: token, giver, taker, value.
pub const MOVED: usize = 1;

/// Keeps the balance of every holder of the given tokens.
#[derive(Clone, Debug)]
pub struct Balances {
    descriptor: Descriptor,
    /// One call in so many asks to be called again; 0 is none.
    retry_every: u64,
    calls: u64,
}

impl Balances {
    /// Returns the plugin for transfers of these contracts from block 1 on.
    pub fn of(tokens: &[Address], visibility: Visibility) -> Self {
        let column = |name: &str, kind| PluginColumn { name: name.into(), kind, nullable: false };
        let address = |name: &str| column(name, ColumnKind::Address);
        let amount = |name: &str| column(name, ColumnKind::Int64);
        let held = PluginTable {
            name: "held".into(),
            columns: vec![address("token"), address("holder"), amount("balance")],
            key: vec!["token".into(), "holder".into()],
        };
        let moved = PluginTable {
            name: "moved".into(),
            columns: vec![address("token"), address("giver"), address("taker"), amount("value")],
            key: Vec::new(),
        };
        let subscription = Subscription {
            addresses: tokens.iter().map(|token| format!("{token:#x}")).collect(),
            events: vec!["Transfer(address,address,uint256)".into()],
            start_block: Some(1),
            ..Subscription::default()
        };
        let descriptor = Descriptor {
            name: BALANCES.into(),
            version: "1".into(),
            logic_version: 1,
            visibility,
            subscriptions: vec![subscription],
            tables: vec![held, moved],
        };
        Self { descriptor, retry_every: 0, calls: 0 }
    }

    /// Returns it with another first block.
    #[must_use]
    pub fn from_block(mut self, block: u64) -> Self {
        for subscription in &mut self.descriptor.subscriptions {
            subscription.start_block = Some(block);
        }
        self
    }

    /// Has one call in so many ask to be called again.
    #[must_use]
    pub const fn hesitating(mut self, retry_every: u64) -> Self {
        self.retry_every = retry_every;
        self
    }
}

impl Plugin for Balances {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    fn handle(&mut self, batch: &Batch, state: &Arc<PluginState>) -> Result<Effects, PluginFault> {
        self.calls += 1;
        if self.retry_every > 0 && self.calls.is_multiple_of(self.retry_every) {
            return Err(PluginFault::Retry { after_ms: 500, reason: "not now".into() });
        }
        let mut changed: BTreeMap<Vec<u8>, i64> = BTreeMap::new();
        let (mut held, mut moved) = (Columns::new(2), Columns::new(3));
        for (seq, log) in batch.seq.iter().zip(batch.logs.rows()) {
            let Some((giver, taker, value)) = parties(log.topics, log.data) else { continue };
            for (party, change) in [(giver, -value), (taker, value)] {
                let key = [log.address.as_slice(), party.as_slice()].concat();
                let balance = changed
                    .entry(key.clone())
                    .or_insert_with(|| state.get(&key).map_or(0, |bytes| amount(bytes)));
                *balance += change;
                held.push(*seq, &[*log.address, party], *balance);
            }
            moved.push(*seq, &[*log.address, giver, taker], value);
        }
        let state = changed.into_iter().map(|(key, held)| (key, Some(held.to_be_bytes().to_vec())));
        let rows = vec![held.into_rows(HELD), moved.into_rows(MOVED)];
        Ok(Effects { rows, state: state.collect(), ..Effects::default() })
    }
}

fn amount(bytes: &[u8]) -> i64 {
    bytes.try_into().map_or(0, i64::from_be_bytes)
}

/// Returns what the state says: who holds how much of which token.
pub fn balances_in_state(state: &PluginState) -> BTreeMap<(Address, Address), i64> {
    let whole = state.iter().filter(|(key, _)| key.len() == 40);
    whole
        .map(|(key, held)| {
            ((Address::from_slice(&key[..20]), Address::from_slice(&key[20..])), amount(held))
        })
        .collect()
}

struct Columns {
    seq: Vec<u64>,
    addresses: Vec<Packed>,
    amounts: Vec<i64>,
}

impl Columns {
    fn new(addresses: usize) -> Self {
        Self { seq: vec![], addresses: vec![Packed::default(); addresses], amounts: vec![] }
    }

    fn push(&mut self, seq: u64, addresses: &[Address], amount: i64) {
        self.seq.push(seq);
        self.amounts.push(amount);
        for (column, address) in self.addresses.iter_mut().zip(addresses) {
            column.push(address.as_slice());
        }
    }

    fn into_rows(self, table: usize) -> TableRows {
        let mut columns: Vec<ColumnData> =
            self.addresses.into_iter().map(ColumnData::Blob).collect();
        columns.push(ColumnData::I64(self.amounts));
        TableRows { table, seq: self.seq, nulls: vec![vec![]; columns.len()], columns }
    }
}
