//! What the user calls a filter: by the names of contracts and events that the ledger decodes, or the
//! configuration has.

use super::{Look, health::told};
use crate::{command_error::CommandError, config_file::Config};
use alloy_primitives::Address;
use event::{AnyOf, ChainId, EventSchema, Filter, Value};
use std::{collections::BTreeSet, ops::ControlFlow};

/// Contracts of a filter that are named one by one.
const NAMES_SHOWN: usize = 3;

/// The schemas of a ledger's typed tables, in order of their names.
pub(super) fn schemas(ledger: &mut Look) -> Result<Vec<EventSchema>, CommandError> {
    let mut schemas: Vec<EventSchema> = Vec::new();
    let sql = "SELECT spec FROM main.schemas ORDER BY contract, event";
    ledger.query(sql, &mut |_, row| {
        if let [Value::Text(spec)] = row.as_slice() {
            schemas.extend(serde_json::from_str::<EventSchema>(spec));
        }
        ControlFlow::Continue(())
    })?;
    Ok(schemas)
}

/// Names that are known.
pub(super) struct Names {
    schemas: Vec<EventSchema>,
    configured: Vec<Configured>,
}

/// A contract of the configuration.
struct Configured {
    name: String,
    addresses: Vec<Address>,
    /// Its chain, where the file says which; `None` = any.
    chain: Option<ChainId>,
}

impl Names {
    pub(super) fn of(schemas: Vec<EventSchema>, config: &Config) -> Self {
        let id = |name: &String| config.chains.iter().find(|chain| chain.name == *name)?.id;
        let configured = config.contracts.iter().map(|contract| Configured {
            name: contract.name.clone(),
            addresses: contract.addresses.clone(),
            chain: contract.chain.as_ref().and_then(id).map(ChainId),
        });
        let configured = configured.collect();
        Self { schemas, configured }
    }

    /// What a contract of a chain is called: what the ledger decodes goes before what a file says now, and
    /// what is said of that chain before what is said of any.
    fn contract(&self, chain: ChainId, address: &Address) -> Option<&str> {
        let decoded = |is_bound: bool| {
            let of_ledger = self.schemas.iter().filter(move |schema| {
                schema.chains.is_empty() != is_bound && !schema.addresses.is_any()
            });
            let mut named = of_ledger.filter(|schema| schema.is_for(chain, address));
            named.next().map(|schema| schema.contract.as_str())
        };
        let configured = |of: Option<ChainId>| {
            // Of several the last, as it always was.
            let mut named = self.configured.iter().rev().filter(|contract| contract.chain == of);
            let named = named.find(|contract| contract.addresses.contains(address));
            named.map(|contract| contract.name.as_str())
        };
        decoded(true)
            .or_else(|| configured(Some(chain)))
            .or_else(|| decoded(false))
            .or_else(|| configured(None))
    }

    /// Names a filter of a chain: `usdc.Transfer`, `usdc, 2 events`, or its address where nobody named that.
    pub(super) fn told(&self, chain: ChainId, filter: &Filter) -> String {
        let AnyOf::Of(addresses) = &filter.addresses else { return told(filter) };
        let named: Option<BTreeSet<&str>> =
            addresses.iter().map(|address| self.contract(chain, address)).collect();
        let Some(named) = named.filter(|named| named.len() <= NAMES_SHOWN) else {
            return told(filter);
        };
        let contracts = named.iter().copied().collect::<Vec<_>>().join(", ");
        let AnyOf::Of(topics) = &filter.topics[0] else { return contracts };
        let event = match topics.as_slice() {
            [topic0] => self.schemas.iter().find(|schema| {
                schema.topic0.as_ref() == Some(topic0) && named.contains(schema.contract.as_str())
            }),
            _ => None,
        };
        match (event, named.len()) {
            (Some(event), 1) => format!("{contracts}.{}", event.table),
            (Some(event), _) => format!("{contracts}: {}", event.table),
            (None, _) if topics.len() == 1 => format!("{contracts}, 1 event"),
            (None, _) => format!("{contracts}, {} events", topics.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::config_file::{ChainConfig, ContractConfig};
    use alloy_primitives::B256;

    #[test]
    fn a_filter_is_called_what_its_contract_and_event_are_called() {
        let (usdc, weth) = (Address::repeat_byte(1), Address::repeat_byte(2));
        let topic = B256::repeat_byte(7);
        let schema = EventSchema {
            contract: "usdc".into(),
            table: "Transfer".into(),
            signature: "Transfer()".into(),
            topic0: Some(topic),
            addresses: AnyOf::one(usdc),
            chains: Default::default(),
            columns: Vec::new(),
        };
        let weth_config = ContractConfig {
            name: "weth".into(),
            chain: None,
            addresses: vec![weth],
            events: Vec::new(),
            start: None,
        };
        let config = Config { contracts: vec![weth_config], ..Config::default() };
        let names = Names::of(vec![schema], &config);
        let told = |addresses: &[Address], topics: &[B256]| {
            let topic0 = AnyOf::of(topics.iter().copied()).unwrap_or(AnyOf::Any);
            names.told(
                ChainId(1),
                &Filter::new(AnyOf::of(addresses.iter().copied()).unwrap(), topic0),
            )
        };
        assert_eq!(told(&[usdc], &[topic]), "usdc.Transfer");
        assert_eq!(told(&[usdc], &[topic, B256::ZERO]), "usdc, 2 events");
        assert_eq!(told(&[weth], &[]), "weth");
        assert_eq!(told(&[usdc, weth], &[topic]), "usdc, weth: Transfer");
        let other = Address::repeat_byte(9);
        assert_eq!(told(&[other], &[topic]), format!("contract {other}, 1 event"));
        assert_eq!(names.told(ChainId(1), &Filter::any()), "any contract");
    }

    #[test]
    fn one_address_has_the_name_that_its_chain_gives_it() {
        let address = Address::repeat_byte(1);
        let topic = B256::repeat_byte(7);
        let filter = Filter::new(AnyOf::one(address), AnyOf::one(topic));
        let schema = |name: &str, chains: &[u64]| EventSchema {
            contract: name.into(),
            table: "Transfer".into(),
            signature: "Transfer()".into(),
            topic0: Some(topic),
            addresses: AnyOf::one(address),
            chains: chains.iter().map(|id| (ChainId(*id), AnyOf::one(address))).collect(),
            columns: Vec::new(),
        };
        let contract = ContractConfig {
            name: "c".into(),
            chain: Some("three".into()),
            addresses: vec![address],
            events: Vec::new(),
            start: None,
        };
        let three = ChainConfig { name: "three".into(), id: Some(3), ..ChainConfig::default() };
        let config = Config { chains: vec![three], contracts: vec![contract], ..Config::default() };
        let names = Names::of(vec![schema("a", &[1]), schema("b", &[2])], &config);
        assert_eq!(names.told(ChainId(1), &filter), "a.Transfer");
        assert_eq!(names.told(ChainId(2), &filter), "b.Transfer");
        assert_eq!(names.told(ChainId(3), &filter), "c, 1 event");
        let of_older = Names::of(vec![schema("old", &[])], &Config::default());
        assert_eq!(of_older.told(ChainId(2), &filter), "old.Transfer");
    }
}
