//! A plugin in plain Rust: balances in its state, one keyed and one append-only table, and a message for
//! each event.

use crate::{
    chain::{parties, token},
    sending::{OPS, key},
};
use alloy_primitives::Address;
use event::{
    Batch, ColumnData, ColumnKind, Descriptor, Effects, EventId, Message, Packed, Plugin,
    PluginColumn, PluginFault, PluginState, PluginTable, Subscription, TableRows, Visibility,
    content_digest,
};
use std::{collections::BTreeMap, sync::Arc};

pub(crate) struct Balances {
    descriptor: Descriptor,
}

impl Balances {
    pub(crate) fn new() -> Self {
        let column = |name: &str, kind| PluginColumn { name: name.into(), kind, nullable: false };
        let table = |name: &str, columns, key: &[&str]| PluginTable {
            name: name.into(),
            columns,
            key: key.iter().map(|key| (*key).to_owned()).collect(),
        };
        let holder = column("holder", ColumnKind::Address);
        let balances = vec![holder, column("balance", ColumnKind::Int64)];
        let moves = vec![
            column("giver", ColumnKind::Address),
            column("taker", ColumnKind::Address),
            column("value", ColumnKind::Int64),
        ];
        let subscription = Subscription {
            addresses: vec![format!("{:#x}", token())],
            events: vec!["Transfer(address,address,uint256)".into()],
            start_block: Some(1),
            ..Subscription::default()
        };
        Self {
            descriptor: Descriptor {
                name: "guard".into(),
                version: "1".into(),
                logic_version: 1,
                visibility: Visibility::Latest,
                subscriptions: vec![subscription],
                tables: vec![table("balances", balances, &["holder"]), table("moves", moves, &[])],
            },
        }
    }
}

impl Plugin for Balances {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    fn handle(&mut self, batch: &Batch, state: &Arc<PluginState>) -> Result<Effects, PluginFault> {
        let mut held: BTreeMap<Address, i64> = BTreeMap::new();
        let mut rows: [(Vec<u64>, Vec<Packed>, Vec<i64>); 2] = [
            (vec![], vec![Packed::default()], vec![]),
            (vec![], vec![Packed::default(), Packed::default()], vec![]),
        ];
        for (seq, log) in batch.seq.iter().zip(batch.logs.rows()) {
            let (giver, taker, value) = parties(log.topics, log.data);
            for (party, change) in [(giver, -value), (taker, value)] {
                let stored = || balance(state.get(party.as_slice()));
                let balance = held.entry(party).or_insert_with(stored);
                *balance += change;
                rows[0].0.push(*seq);
                rows[0].1[0].push(party.as_slice());
                rows[0].2.push(*balance);
            }
            rows[1].0.push(*seq);
            rows[1].1[0].push(giver.as_slice());
            rows[1].1[1].push(taker.as_slice());
            rows[1].2.push(value);
        }
        let tables = rows.into_iter().enumerate().map(|(table, (seq, parties, values))| {
            let mut columns: Vec<ColumnData> = parties.into_iter().map(ColumnData::Blob).collect();
            columns.push(ColumnData::I64(values));
            TableRows { table, seq, nulls: vec![vec![]; columns.len()], columns }
        });
        let state = held
            .iter()
            .map(|(party, balance)| (party.to_vec(), Some(balance.to_be_bytes().to_vec())));
        let (rows, state) = (tables.collect(), state.collect());
        Ok(Effects { rows, state, messages: messages(batch), ..Effects::default() })
    }
}

fn messages(batch: &Batch) -> Vec<Message> {
    let mut seen: BTreeMap<EventId, u32> = BTreeMap::new();
    let messages = batch.logs.rows().map(|log| {
        let mut event = EventId {
            chain: batch.chain,
            block_hash: batch.blocks[log.block as usize].hash,
            tx_hash: *log.tx_hash,
            digest: content_digest(log),
            occurrence: 0,
        };
        let count = seen.entry(event).or_default();
        event.occurrence = *count;
        *count += 1;
        let (sink, key) = (OPS.to_owned(), key(&event));
        Message { sink, key, content_type: "text/plain".into(), body: b"moved".to_vec() }
    });
    messages.collect()
}

/// Reads a balance of the state.
pub(crate) fn balance(stored: Option<&Vec<u8>>) -> i64 {
    stored.map_or(0, |bytes| i64::from_be_bytes(bytes.as_slice().try_into().unwrap()))
}
