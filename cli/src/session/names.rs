//! What the user calls a filter: by the names of contracts and events that the ledger decodes, or the
//! configuration has.

use super::{Look, health::told};
use crate::{command_error::CommandError, config_file::ContractConfig};
use alloy_primitives::Address;
use event::{AnyOf, EventSchema, Filter, Value};
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::ControlFlow,
};

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
    contracts: BTreeMap<Address, String>,
}

impl Names {
    pub(super) fn of(schemas: Vec<EventSchema>, configured: &[ContractConfig]) -> Self {
        let mut contracts = BTreeMap::new();
        for contract in configured {
            contracts.extend(contract.addresses.iter().map(|a| (*a, contract.name.clone())));
        }
        // What the ledger decodes goes before what a file says now.
        for schema in schemas.iter().rev() {
            if let AnyOf::Of(addresses) = &schema.addresses {
                contracts.extend(addresses.iter().map(|a| (*a, schema.contract.clone())));
            }
        }
        Self { schemas, contracts }
    }

    /// Names a filter: `usdc.Transfer`, `usdc, 2 events`, or its address where nobody named that.
    pub(super) fn told(&self, filter: &Filter) -> String {
        let AnyOf::Of(addresses) = &filter.addresses else { return told(filter) };
        let named: Option<BTreeSet<&str>> =
            addresses.iter().map(|a| self.contracts.get(a).map(String::as_str)).collect();
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
            columns: Vec::new(),
        };
        let weth_config = ContractConfig {
            name: "weth".into(),
            chain: None,
            addresses: vec![weth],
            events: Vec::new(),
            start: None,
        };
        let names = Names::of(vec![schema], &[weth_config]);
        let told = |addresses: &[Address], topics: &[B256]| {
            let topic0 = AnyOf::of(topics.iter().copied()).unwrap_or(AnyOf::Any);
            names.told(&Filter::new(AnyOf::of(addresses.iter().copied()).unwrap(), topic0))
        };
        assert_eq!(told(&[usdc], &[topic]), "usdc.Transfer");
        assert_eq!(told(&[usdc], &[topic, B256::ZERO]), "usdc, 2 events");
        assert_eq!(told(&[weth], &[]), "weth");
        assert_eq!(told(&[usdc, weth], &[topic]), "usdc, weth: Transfer");
        let other = Address::repeat_byte(9);
        assert_eq!(told(&[other], &[topic]), format!("contract {other}, 1 event"));
        assert_eq!(names.told(&Filter::any()), "any contract");
    }
}
