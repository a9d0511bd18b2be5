//! Contracts and their events on the way to another process: as they were declared, with the text of
//! ABI files, which the other process may not be able to read.

use crate::plan::joined_chains;
use abi::{ContractSpec, EventSource};
use relay::{Contract, EventDeclaration};

/// Returns them as they travel.
pub(crate) fn as_contracts(specs: Vec<ContractSpec>) -> Vec<Contract> {
    let declared = |event| match event {
        EventSource::Signature(text) => EventDeclaration::Signature(text),
        EventSource::Abi { json, wanted } => EventDeclaration::Abi { json, wanted },
    };
    let contract = |spec: ContractSpec| Contract {
        schema: spec.schema_name(),
        addresses: spec.addresses,
        chains: spec.chains,
        events: spec.events.into_iter().map(declared).collect(),
    };
    specs.into_iter().map(contract).collect()
}

/// Returns them as they are parsed.
pub(super) fn as_specs(contracts: Vec<Contract>) -> Vec<ContractSpec> {
    let source = |event| match event {
        EventDeclaration::Signature(text) => EventSource::Signature(text),
        EventDeclaration::Abi { json, wanted } => EventSource::Abi { json, wanted },
    };
    let spec = |contract: Contract| ContractSpec {
        name: Some(contract.schema),
        addresses: contract.addresses,
        chains: contract.chains,
        events: contract.events.into_iter().map(source).collect(),
    };
    contracts.into_iter().map(spec).collect()
}

/// Adds to `known` what is new in `more`; returns whether anything was. A contract of the same name
/// with other events is an error that names it: its tables cannot be both.
pub(super) fn merge(
    known: &mut Vec<ContractSpec>,
    more: Vec<ContractSpec>,
) -> Result<bool, String> {
    let mut is_new = false;
    for spec in more {
        let name = spec.schema_name();
        let Some(own) = known.iter_mut().find(|own| own.schema_name() == name) else {
            known.push(spec);
            is_new = true;
            continue;
        };
        if own.events != spec.events {
            return Err(name);
        }
        let before = (own.addresses.clone(), own.chains.clone());
        own.addresses = own.addresses.joined(&spec.addresses);
        own.chains = joined_chains(&own.chains, &spec.chains);
        is_new |= before != (own.addresses.clone(), own.chains.clone());
    }
    Ok(is_new)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use alloy_primitives::Address;
    use event::{AnyOf, ChainId};

    fn spec(name: &str, address: u8, event: &str) -> ContractSpec {
        ContractSpec {
            name: Some(name.into()),
            addresses: AnyOf::one(Address::repeat_byte(address)),
            chains: Default::default(),
            events: vec![EventSource::Signature(event.into())],
        }
    }

    #[test]
    fn what_a_client_decodes_joins_what_the_owner_does() {
        let mut known = vec![spec("gold", 1, "A()")];
        let same = as_specs(as_contracts(vec![spec("gold", 1, "A()")]));
        assert_eq!(merge(&mut known, same), Ok(false));
        let more = vec![spec("gold", 2, "A()"), spec("silver", 3, "B()")];
        assert_eq!(merge(&mut known, more), Ok(true));
        assert_eq!(known.len(), 2);
        assert!(known[0].addresses.allows(&Address::repeat_byte(2)));
        assert_eq!(merge(&mut known, vec![spec("silver", 3, "C()")]), Err("silver".into()));
    }

    #[test]
    fn what_is_bound_to_another_chain_joins_with_that_chain() {
        let of = |chain: u64| {
            let spec = spec("gold", 1, "A()");
            let chains = [(ChainId(chain), spec.addresses.clone())].into();
            abi::ContractSpec { chains, ..spec }
        };
        let mut known = vec![of(1)];
        assert_eq!(merge(&mut known, as_specs(as_contracts(vec![of(1)]))), Ok(false));
        assert_eq!(merge(&mut known, as_specs(as_contracts(vec![of(7)]))), Ok(true));
        assert_eq!(known[0].chains.keys().copied().collect::<Vec<_>>(), [ChainId(1), ChainId(7)]);
        // Whoever names no chain means any.
        assert_eq!(merge(&mut known, vec![spec("gold", 1, "A()")]), Ok(true));
        assert!(known[0].chains.is_empty());
    }
}
