//! What a command is to do: flags over configuration over defaults, and nothing left as typed.
//!
//! A plan is plain data. Whoever runs it asks no flag, no variable and no file of configuration.

mod audit;
mod chain;
mod drill;
mod health;
mod plugins;
mod replay;
mod watch;

pub(crate) use self::{audit::AuditPlan, health::HealthPlan};
pub(crate) use chain::ChainPlan;
pub(crate) use drill::DrillPlan;
pub(crate) use plugins::plugin;
pub(crate) use replay::{DEFAULT_CONCURRENCY, IfBusy, ReplayPlan, block_range};
pub(crate) use watch::{Emit, WatchPlan};

use crate::{
    command_error::CommandError, config_file::Config, duration::parse_duration,
    event_spec::EventSpec, ledger_path::LedgerPath,
};
use alloy_primitives::Address;
use event::{AnyOf, ChainId};
use std::{collections::BTreeMap, time::Duration};

/// Events of one schema: input of `abi`, and of the filter to ask nodes with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ContractPlan {
    /// SQL schema of the typed tables.
    pub(crate) schema: String,
    /// Contracts.
    pub(crate) addresses: AnyOf<Address>,
    /// Events; none = every log of the addresses, raw.
    pub(crate) events: Vec<EventSpec>,
    /// Block of deployment, where known.
    pub(crate) start: Option<u64>,
    /// Whether the configuration says that it is on this chain, and so not on another one.
    pub(crate) is_of_chain: bool,
    /// The contracts of each chain that it is bound to, once it is; none = any chain.
    pub(crate) chains: ContractChains,
}

/// Contracts by chain.
pub(crate) type ContractChains = BTreeMap<ChainId, AnyOf<Address>>;

impl ContractPlan {
    /// Binds it to the chain that it is read on, where the configuration says so.
    fn bound_to(self, chain: ChainId) -> Self {
        let chains = match self.is_of_chain {
            true => BTreeMap::from([(chain, self.addresses.clone())]),
            false => BTreeMap::new(),
        };
        Self { chains, ..self }
    }
}

/// Joins what two contracts of one name are bound to; one that is bound to no chain is for any.
pub(crate) fn joined_chains(one: &ContractChains, other: &ContractChains) -> ContractChains {
    if one.is_empty() || other.is_empty() {
        return BTreeMap::new();
    }
    let mut both = one.clone();
    for (chain, more) in other {
        both.entry(*chain)
            .and_modify(|own| *own = own.joined(more))
            .or_insert_with(|| more.clone());
    }
    both
}

/// Contracts of all chains as one list: a contract of the same name on another chain shares its
/// tables, in which every row says its chain.
pub(crate) fn merged_contracts<'a>(
    chains: impl IntoIterator<Item = &'a ChainPlan>,
) -> Result<Vec<ContractPlan>, CommandError> {
    let mut merged: Vec<ContractPlan> = Vec::new();
    for contract in chains.into_iter().flat_map(|chain| &chain.contracts) {
        let known = merged.iter_mut().find(|known| known.schema == contract.schema);
        let Some(known) = known else {
            merged.push(contract.clone());
            continue;
        };
        if known.events != contract.events {
            let name = &contract.schema;
            return Err(CommandError::usage(format!("contract `{name}` has other events there"))
                .context(format!("`{name}` is named on two chains"))
                .hint("give both the same events, or give one another name"));
        }
        known.addresses = known.addresses.joined(&contract.addresses);
        known.chains = joined_chains(&known.chains, &contract.chains);
        known.is_of_chain &= contract.is_of_chain;
    }
    Ok(merged)
}

/// Contracts of a configuration, of all its chains.
pub(crate) fn contracts_of(config: &Config) -> Vec<ContractPlan> {
    config.contracts.iter().map(chain::plan_of).collect()
}

fn time_of(flag: &str, text: Option<&str>) -> Result<Option<Duration>, CommandError> {
    text.map(parse_duration).transpose().map_err(|error| {
        CommandError::usage(error)
            .context(format!("wrong time at {flag}"))
            .hint("write numbers with units, largest first: 90s, 10m, 1h30m")
    })
}

/// DuckDB knows a file by its name without the extension: a schema of the same name would make
/// every `name.table` ambiguous for everybody who opens the file.
fn check_schema_names(contracts: &[ContractPlan], ledger: &LedgerPath) -> Result<(), CommandError> {
    let catalog = ledger.catalog();
    match contracts.iter().find(|contract| contract.schema.eq_ignore_ascii_case(&catalog)) {
        None => Ok(()),
        Some(contract) => {
            let name = &contract.schema;
            Err(CommandError::usage(format!("contract and ledger file are both named `{name}`"))
                .context(format!("`{name}.Table` would be ambiguous in SQL"))
                .hint("give the ledger or the contract another name"))
        }
    }
}

#[cfg(test)]
mod tests;
