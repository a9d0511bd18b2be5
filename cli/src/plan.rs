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
use event::AnyOf;
use std::time::Duration;

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
}

/// Contracts of all chains as one list: a contract of the same name on another chain shares its
/// tables, in which every row says its chain.
pub(crate) fn merged_contracts(chains: &[ChainPlan]) -> Result<Vec<ContractPlan>, CommandError> {
    let mut merged: Vec<ContractPlan> = Vec::new();
    for contract in chains.iter().flat_map(|chain| &chain.contracts) {
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
        match (&mut known.addresses, &contract.addresses) {
            (AnyOf::Of(addresses), AnyOf::Of(more)) => {
                addresses.extend(more);
                addresses.sort_unstable();
                addresses.dedup();
            }
            (any, _) => *any = AnyOf::Any,
        }
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
