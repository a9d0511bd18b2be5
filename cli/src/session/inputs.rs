//! What to look for and whom to hand it to: typed tables, filters, plugins.

use super::lanes::Hosted;
use crate::{
    command_error::{CommandError, ErrorKind},
    compiling::Compiling,
    config_file::{PluginConfig, read_authorities},
    event_spec::EventSpec,
    ledger_path::LedgerPath,
    plan::ContractPlan,
};
use abi::Schemas;
use alloy_primitives::{B256, hex};
use dispatcher::LanePolicy;
use event::{AnyOf, Batch, Descriptor, Effects, Filter, Plugin, PluginFault, PluginState};
use host::{Grants, Host, Limits, LoadError, LoadedPlugin};
use sha2::Digest;
use std::{collections::BTreeMap, path::Path, sync::Arc};

/// Turns contracts into typed tables. A contract without events stays raw.
pub(super) fn schemas(contracts: &[ContractPlan]) -> Result<Schemas, CommandError> {
    Schemas::parse(&specs(contracts)?).map_err(|error| {
        let hint = error.hint();
        CommandError::usage(error)
            .context("an event cannot be decoded as it is declared")
            .hint(hint)
    })
}

/// Reads what contracts declare, with the text of ABI files.
pub(super) fn specs(contracts: &[ContractPlan]) -> Result<Vec<abi::ContractSpec>, CommandError> {
    let mut specs = Vec::new();
    for contract in contracts.iter().filter(|contract| !contract.events.is_empty()) {
        let mut events = Vec::new();
        for spec in &contract.events {
            events.push(match spec {
                EventSpec::Signature(signature) => abi::EventSource::Signature(signature.clone()),
                EventSpec::Abi { path, event } => abi::EventSource::Abi {
                    json: std::fs::read_to_string(path).map_err(|error| {
                        CommandError::unread(
                            format!("reading the ABI file {}", path.display()),
                            error,
                        )
                    })?,
                    wanted: event.iter().cloned().collect(),
                },
            });
        }
        specs.push(abi::ContractSpec {
            name: Some(contract.schema.clone()),
            addresses: contract.addresses.clone(),
            chains: contract.chains.clone(),
            events,
        });
    }
    Ok(specs)
}

/// What to ask nodes for: the decoded events, and every log of contracts without events.
pub(super) fn filters(contracts: &[ContractPlan], schemas: &Schemas) -> Vec<Filter> {
    let mut filters = schemas.filters();
    for contract in contracts.iter().filter(|contract| contract.events.is_empty()) {
        filters.push(Filter::new(contract.addresses.clone(), AnyOf::Any));
    }
    filters
}

pub(super) fn load_plugins(
    configs: &[PluginConfig],
    contracts: &[ContractPlan],
    ledger: &LedgerPath,
    compiling: &Compiling,
) -> Result<Vec<Hosted>, CommandError> {
    if configs.is_empty() {
        return Ok(Vec::new());
    }
    let host = compiling.host().map_err(CommandError::bug)?;
    let mut plugins: Vec<Hosted> = Vec::new();
    for config in configs {
        let plugin = load_plugin(&host, config, compiling)?;
        check_name(&plugin.descriptor().name, &plugins, contracts, ledger)?;
        plugins.push((plugin, lane_policy(config)));
    }
    Ok(plugins)
}

fn lane_policy(config: &PluginConfig) -> LanePolicy {
    let defaults = LanePolicy::default();
    LanePolicy {
        batch_events: config.batch_events.unwrap_or(defaults.batch_events),
        poison: config.poison,
        on_change: config.on_change,
        ..defaults
    }
}

/// A plugin's tables are in a schema of its name, so nothing else may have that name.
fn check_name(
    name: &str,
    before: &[Hosted],
    contracts: &[ContractPlan],
    ledger: &LedgerPath,
) -> Result<(), CommandError> {
    let schema = |name: &str| name.replace('-', "_").to_ascii_lowercase();
    let is_same = |other: &str| schema(other) == schema(name);
    let what = if before.iter().any(|(plugin, _)| is_same(&plugin.descriptor().name)) {
        "another plugin"
    } else if contracts.iter().any(|contract| is_same(&contract.schema)) {
        "a contract"
    } else if is_same(&ledger.catalog()) {
        "the ledger file"
    } else {
        return Ok(());
    };
    Err(CommandError::usage(format!("{what} is named `{name}` too"))
        .context(format!("the tables of plugin `{name}` would be ambiguous in SQL"))
        .hint("give the plugin another name: --plugin NAME=FILE"))
}

/// A plugin under the name that the operator gave it, as two of one file are kept apart by it, and
/// with the finality that the operator wants for it.
struct SetUp {
    plugin: Box<dyn Plugin>,
    descriptor: Descriptor,
    component: B256,
}

impl SetUp {
    fn new(plugin: Box<dyn Plugin>, component: B256, config: &PluginConfig) -> Self {
        let own = plugin.descriptor();
        let descriptor = Descriptor {
            name: config.name.clone().unwrap_or_else(|| own.name.clone()),
            visibility: config.finality.unwrap_or(own.visibility),
            ..own.clone()
        };
        Self { plugin, descriptor, component }
    }
}

impl Plugin for SetUp {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    fn component(&self) -> Option<B256> {
        Some(self.component)
    }

    fn handle(&mut self, batch: &Batch, state: &Arc<PluginState>) -> Result<Effects, PluginFault> {
        self.plugin.handle(batch, state)
    }
}

fn load_plugin(
    host: &Host,
    config: &PluginConfig,
    compiling: &Compiling,
) -> Result<Box<dyn Plugin>, CommandError> {
    let grants = with_hosts(Grants::sinks(config.sinks.iter().cloned()), config)?;
    let bytes = read_component(config)?;
    let loaded = load_component(host, config, &bytes, (compiling, grants))?;
    let loaded = loaded.map_err(|error| refused(&config.wasm, error))?;
    Ok(Box::new(SetUp::new(Box::new(loaded), digest_of(&bytes), config)))
}

/// Grants the hosts that the configuration does, with whose word on their names is believed.
pub(super) fn with_hosts(grants: Grants, config: &PluginConfig) -> Result<Grants, CommandError> {
    let authorities = config.http_ca_file.as_deref().map(read_authorities).transpose()?;
    let grants = grants.with_hosts(config.hosts.clone());
    Ok(grants.with_authorities(authorities.unwrap_or_default()))
}

/// Loads a component, or says why it is no plugin here.
pub(super) fn load_one(
    host: &Host,
    config: &PluginConfig,
    how: (&Compiling, Grants),
) -> Result<LoadedPlugin, CommandError> {
    let bytes = read_component(config)?;
    let loaded = load_component(host, config, &bytes, how)?;
    loaded.map_err(|error| refused(&config.wasm, error))
}

/// The digest by which a component is known.
pub(crate) fn digest_of(component: &[u8]) -> B256 {
    B256::from_slice(&sha2::Sha256::digest(component))
}

/// Reads a component, which has to be the one that was pinned.
pub(super) fn read_component(config: &PluginConfig) -> Result<Vec<u8>, CommandError> {
    let path = &config.wasm;
    let bytes = std::fs::read(path).map_err(|error| {
        CommandError::unread(format!("reading the plugin {}", path.display()), error)
    })?;
    if let Some(expected) = &config.sha256 {
        let found = hex::encode(digest_of(&bytes));
        if !found.eq_ignore_ascii_case(expected.trim_start_matches("0x")) {
            return Err(CommandError::usage(format!("its sha256 is {found}, not {expected}"))
                .context(format!("plugin {} is not the one you pinned", path.display()))
                .hint("get the pinned file, or look at the change and write the new sha256"));
        }
    }
    Ok(bytes)
}

/// Compiles a component under the operator's limits.
pub(super) fn load_component(
    host: &Host,
    config: &PluginConfig,
    bytes: &[u8],
    (compiling, grants): (&Compiling, Grants),
) -> Result<Result<LoadedPlugin, LoadError>, CommandError> {
    let defaults = Limits::default();
    let limits = Limits {
        memory_bytes: config.memory_mib.map_or(defaults.memory_bytes, |mib| (mib as usize) << 20),
        deadline_ms: config.deadline_ms.unwrap_or(defaults.deadline_ms),
        ..defaults
    };
    let limits = config.http_limits.over(limits);
    let json = config_json(config)?;
    let load = || host.load_granted(bytes, &json, limits, grants);
    Ok(compiling.during(host, (&config.wasm, bytes), load))
}

/// Says of a file why it is no plugin here.
pub(super) fn refused(path: &Path, error: LoadError) -> CommandError {
    let (kind, hint) = match &error {
        LoadError::Engine(_) | LoadError::Unreadable(_) => {
            (ErrorKind::LocalIo, "this machine has no room for it: look at disk, memory, limits")
        }
        LoadError::Config(_) => (
            ErrorKind::Usage,
            "write what it wants under `config` of its [[plugin]], or `sinks`, or `http`",
        ),
        LoadError::NoHostGranted { .. } => (
            ErrorKind::Usage,
            "where it may reach one, `plugin add --http HOST` names it, or under its [[plugin]]: \
             http = [\"api.example.com\"]",
        ),
        _ => (
            ErrorKind::Usage,
            "build it for wasm32-wasip2 against the interface in wit/ of this version",
        ),
    };
    CommandError::new(kind, error)
        .context(format!("plugin {} cannot be used", path.display()))
        .hint(hint)
}

/// What the operator wrote under `[plugin.config]`, as the JSON object that the plugin is given.
fn config_json(config: &PluginConfig) -> Result<String, CommandError> {
    let entries: BTreeMap<&str, &str> =
        config.config.iter().map(|(key, value)| (key.as_str(), value.expose())).collect();
    serde_json::to_string(&entries).map_err(CommandError::bug)
}
