//! What a replay is to do: flags over configuration over defaults, and nothing left as typed.
//!
//! A plan is plain data. Whoever runs it asks no flag, no variable and no file of configuration.

mod health;

pub(crate) use self::health::HealthPlan;

use crate::{
    command_error::CommandError,
    commands::replay::ReplayArgs,
    config_file::{ChainConfig, Config, ContractConfig, PluginConfig},
    contract_spec::{ANY_CONTRACT, ContractSpec},
    duration::parse_duration,
    environment::Environment,
    event_spec::{EventSpec, EventSpecError},
    ledger_path::LedgerPath,
    node_spec::{NodeSpec, nodes_of_flags, wrong_node},
    plugin_name::{self, check_plugin_name},
    proof_level::check_levels,
    range::RangeSpec,
    record_path::check_record_path,
    suggest::closest,
    summary::SummaryFormat,
};
use alloy_primitives::Address;
use event::{AnchorPolicy, AnyOf, Finality, Verify};
use std::{
    num::NonZeroU16,
    path::{Path, PathBuf},
    time::Duration,
};

/// Requests in flight per node, at most, where the user says nothing.
pub(crate) const DEFAULT_CONCURRENCY: NonZeroU16 = NonZeroU16::new(8).expect("8 is not 0");

/// A replay, decided.
#[derive(Clone, Debug)]
pub(crate) struct ReplayPlan {
    /// Name of the chain in the configuration, where it has one.
    pub(crate) chain_name: Option<String>,
    /// Chain that every node must have; `None` = that of the first node.
    pub(crate) expected_chain: Option<u64>,
    /// Nodes, at least one, with unique names.
    pub(crate) nodes: Vec<NodeSpec>,
    /// What to read, at least one entry.
    pub(crate) contracts: Vec<ContractPlan>,
    /// Which blocks.
    pub(crate) range: RangeSpec,
    /// Where an empty ledger starts: the first block that any contract is wanted from.
    pub(crate) start_block: Option<u64>,
    /// What must be shown.
    pub(crate) verify: Verify,
    /// Why headers are believed.
    pub(crate) anchor: AnchorPolicy,
    /// When a block is final; `None` = as the chain's profile says.
    pub(crate) finality: Option<Finality>,
    /// Ledger file.
    pub(crate) ledger: LedgerPath,
    /// Plugins, in order.
    pub(crate) plugins: Vec<PluginConfig>,
    /// File to record answers to.
    pub(crate) record: Option<PathBuf>,
    /// Whether coverage is ignored.
    pub(crate) refetch: bool,
    /// Whether an incident makes the exit code 1.
    pub(crate) fail_on_incident: bool,
    /// Requests in flight per node, at most.
    pub(crate) concurrency: NonZeroU16,
    /// When to stop.
    pub(crate) max_time: Option<Duration>,
    /// Form of the summary.
    pub(crate) format: SummaryFormat,
    /// Whether to be silent where nothing is wrong.
    pub(crate) quiet: bool,
}

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

impl ReplayPlan {
    /// Decides what `args` mean here.
    pub(crate) fn resolve(
        args: &ReplayArgs,
        environment: &Environment,
    ) -> Result<Self, CommandError> {
        let config = Config::load(args.place.config.as_deref(), environment)?;
        Self::resolve_with(args, &config, environment)
    }

    /// Decides what `args` mean over this configuration.
    pub(crate) fn resolve_with(
        args: &ReplayArgs,
        config: &Config,
        environment: &Environment,
    ) -> Result<Self, CommandError> {
        let range = range(args.blocks.as_deref())?;
        let max_time = time_of("--max-time", args.max_time.as_deref())?;
        let chain = chain(args.chain.as_deref(), config, !args.nodes.is_empty())?;
        let ledger = LedgerPath::resolve(
            args.place.ledger.as_deref(),
            config.ledger.as_deref(),
            environment,
        );
        let contracts = contracts(args, config, chain, environment)?;
        check_schema_names(&contracts, &ledger)?;
        let nodes = nodes(&args.nodes, chain, environment)?;
        let anchor = args.anchor.or(chain.and_then(|chain| chain.anchor));
        let verify = args.verify.or(chain.and_then(|chain| chain.verify)).unwrap_or(Verify::Bloom);
        let anchor = anchor.unwrap_or(AnchorPolicy::OneNode);
        check_levels(verify, anchor)?;
        let record = args.record.as_deref().map(|path| environment.resolve(path));
        if let Some(path) = &record {
            check_record_path(path, &ledger)?;
        }
        let starts: Option<Vec<u64>> = contracts.iter().map(|contract| contract.start).collect();
        Ok(Self {
            chain_name: chain.map(|chain| chain.name.clone()),
            expected_chain: expected_chain(args.chain_id, chain)?,
            start_block: starts.and_then(|starts| starts.into_iter().min()),
            range,
            verify,
            anchor,
            nodes,
            contracts,
            finality: chain.and_then(|chain| chain.finality),
            ledger,
            plugins: plugins(&args.plugins, config, environment)?,
            record,
            refetch: args.refetch,
            fail_on_incident: args.fail_on_incident,
            concurrency: args.concurrency,
            max_time,
            format: args.format,
            quiet: args.quiet,
        })
    }
}

fn range(text: Option<&str>) -> Result<RangeSpec, CommandError> {
    let Some(text) = text else { return Ok(RangeSpec::NEW) };
    RangeSpec::parse(text).map_err(|error| {
        let hint = error.hint();
        CommandError::usage(error).context("wrong block range at -b").hint(hint)
    })
}

fn time_of(flag: &str, text: Option<&str>) -> Result<Option<Duration>, CommandError> {
    text.map(parse_duration).transpose().map_err(|error| {
        CommandError::usage(error)
            .context(format!("wrong time at {flag}"))
            .hint("write numbers with units, largest first: 90s, 10m, 1h30m")
    })
}

/// Returns the chain of the configuration that is meant, if it has any.
fn chain<'a>(
    wanted: Option<&str>,
    config: &'a Config,
    has_own_nodes: bool,
) -> Result<Option<&'a ChainConfig>, CommandError> {
    let names = || config.chains.iter().map(|chain| chain.name.as_str());
    let listed = || names().collect::<Vec<_>>().join(", ");
    match (wanted, config.chains.as_slice()) {
        (Some(wanted), chains) => match chains.iter().find(|chain| chain.name == wanted) {
            Some(chain) => Ok(Some(chain)),
            None => {
                let error =
                    CommandError::usage(format!("the configuration has no chain `{wanted}`"));
                Err(match closest(wanted, names()) {
                    Some(name) => error.hint(format!("did you mean --chain {name}?")),
                    None if chains.is_empty() => error
                        .hint(format!("write a section [chain.{wanted}], or leave --chain out")),
                    None => error.hint(format!("it has {}", listed())),
                })
            }
        },
        (None, []) => Ok(None),
        (None, [one]) => Ok(Some(one)),
        (None, _) if has_own_nodes => Ok(None),
        (None, _) => Err(CommandError::usage("the configuration has several chains")
            .hint(format!("choose one with --chain: {}", listed()))),
    }
}

fn expected_chain(
    flag: Option<u64>,
    chain: Option<&ChainConfig>,
) -> Result<Option<u64>, CommandError> {
    match (flag, chain.and_then(|chain| Some((chain.id?, &chain.name)))) {
        (Some(flag), Some((id, name))) if flag != id => Err(CommandError::usage(format!(
            "--chain-id {flag} is not the id of chain {name}, {id}"
        ))
        .hint("leave --chain-id out, or choose another --chain")),
        (flag, configured) => Ok(flag.or(configured.map(|(id, _)| id))),
    }
}

/// Flags, else the chain's nodes, else `ETH_RPC_URL`.
fn nodes(
    flags: &[String],
    chain: Option<&ChainConfig>,
    environment: &Environment,
) -> Result<Vec<NodeSpec>, CommandError> {
    if !flags.is_empty() {
        return nodes_of_flags(flags, environment);
    }
    if let Some(chain) = chain.filter(|chain| !chain.nodes.is_empty()) {
        return Ok(chain.nodes.clone());
    }
    if let Some(url) = environment.variable("ETH_RPC_URL") {
        let node = NodeSpec::parse(url, &environment.current_dir);
        return Ok(vec![node.map_err(|error| wrong_node(error, "ETH_RPC_URL"))?]);
    }
    Err(CommandError::usage("no node to read from")
        .hint("name one with -r URL (or a recording file), ETH_RPC_URL, or in headcount.toml"))
}

/// Contracts of `-c` with the events of `-e`; without both, those of the configuration.
fn contracts(
    args: &ReplayArgs,
    config: &Config,
    chain: Option<&ChainConfig>,
    environment: &Environment,
) -> Result<Vec<ContractPlan>, CommandError> {
    let on_chain = contracts_on(config, chain);
    let events = events(&args.events, environment)?;
    let mut plans: Vec<ContractPlan> = Vec::new();
    for text in &args.contracts {
        let spec = ContractSpec::parse(text).map_err(|error| {
            let hint = error.hint();
            CommandError::usage(error).context("wrong contract at -c").hint(hint)
        })?;
        match spec {
            ContractSpec::Configured(name) => plans.push(configured(&name, &on_chain)?),
            ContractSpec::Address { name, address } => add(&mut plans, name, address),
        }
    }
    if plans.is_empty() && events.is_empty() {
        plans = on_chain.into_iter().map(plan_of).collect();
    } else if plans.is_empty() {
        plans.push(ContractPlan {
            schema: ANY_CONTRACT.to_owned(),
            addresses: AnyOf::Any,
            events: Vec::new(),
            start: None,
        });
    }
    if !events.is_empty() {
        for plan in &mut plans {
            plan.events.clone_from(&events);
        }
    }
    if plans.is_empty() {
        return Err(CommandError::usage("nothing to look for")
            .hint("name a contract with -c, an event with -e, or both in headcount.toml"));
    }
    check_addresses_once(&plans)?;
    Ok(plans)
}

/// Returns the contracts of the configuration that may be on this chain.
fn contracts_on<'a>(config: &'a Config, chain: Option<&ChainConfig>) -> Vec<&'a ContractConfig> {
    let is_on = |contract: &&ContractConfig| match (&contract.chain, chain) {
        (Some(of), Some(chain)) => *of == chain.name,
        _ => true,
    };
    config.contracts.iter().filter(is_on).collect()
}

fn events(flags: &[String], environment: &Environment) -> Result<Vec<EventSpec>, CommandError> {
    let parse = |text: &String| {
        EventSpec::parse(text, &environment.current_dir).map_err(|error| {
            CommandError::usage(error).context("wrong event at -e").hint(EventSpecError::HINT)
        })
    };
    flags.iter().map(parse).collect()
}

fn configured(name: &str, contracts: &[&ContractConfig]) -> Result<ContractPlan, CommandError> {
    if let Some(contract) = contracts.iter().find(|contract| contract.name == name) {
        return Ok(plan_of(contract));
    }
    let error = CommandError::usage(format!("no contract is named `{name}`"));
    let names = contracts.iter().map(|contract| contract.name.as_str());
    Err(match closest(name, names) {
        Some(known) => error.hint(format!("did you mean -c {known}?")),
        None => {
            error.hint(format!("give its address, -c {name}=0x…, or a [[contract]] of that name"))
        }
    })
}

fn plan_of(contract: &ContractConfig) -> ContractPlan {
    ContractPlan {
        schema: contract.name.clone(),
        addresses: AnyOf::of(contract.addresses.iter().copied()).unwrap_or(AnyOf::Any),
        events: contract.events.clone(),
        start: contract.start,
    }
}

/// Adds an address; the same name again is one contract with another address.
fn add(plans: &mut Vec<ContractPlan>, name: String, address: Address) {
    let known = plans.iter_mut().find(|plan| plan.schema.eq_ignore_ascii_case(&name));
    match known.map(|plan| &mut plan.addresses) {
        Some(AnyOf::Of(addresses)) => {
            addresses.push(address);
            addresses.sort_unstable();
            addresses.dedup();
        }
        _ => plans.push(ContractPlan {
            schema: name,
            addresses: AnyOf::one(address),
            events: Vec::new(),
            start: None,
        }),
    }
}

/// An event has one typed table: an address belongs to one contract.
fn check_addresses_once(plans: &[ContractPlan]) -> Result<(), CommandError> {
    for (i, plan) in plans.iter().enumerate() {
        let AnyOf::Of(addresses) = &plan.addresses else { continue };
        for other in &plans[..i] {
            if let Some(twice) = addresses.iter().find(|a| other.addresses.allows(a)) {
                let (first, second) = (&other.schema, &plan.schema);
                return Err(CommandError::usage(format!(
                    "{twice} is named twice, as {first} and as {second}"
                ))
                .hint("keep one of the names"));
            }
        }
    }
    Ok(())
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

/// Plugins of `--plugin`, else those of the configuration.
fn plugins(
    flags: &[String],
    config: &Config,
    environment: &Environment,
) -> Result<Vec<PluginConfig>, CommandError> {
    if flags.is_empty() {
        return Ok(config.plugins.clone());
    }
    flags.iter().map(|flag| plugin(flag, config, environment)).collect()
}

/// A file; with the name of a configured plugin it keeps that plugin's settings.
fn plugin(
    flag: &str,
    config: &Config,
    environment: &Environment,
) -> Result<PluginConfig, CommandError> {
    let named = |name: &str| {
        config.plugins.iter().find(|plugin| plugin.name.as_deref() == Some(name)).cloned()
    };
    let (name, file) = match flag.split_once('=') {
        Some((name, file)) if !name.contains('/') => (Some(name), file),
        _ => (None, flag),
    };
    if let Some(name) = name {
        check_plugin_name(name).map_err(|error| {
            CommandError::usage(error).context("wrong name at --plugin").hint(plugin_name::HINT)
        })?;
    }
    if name.is_none()
        && let Some(plugin) = named(file)
    {
        return Ok(plugin);
    }
    let wasm = environment.resolve(Path::new(file));
    if !wasm.is_file() {
        return Err(CommandError::usage(format!("there is no plugin file {}", wasm.display()))
            .hint(
                "give the path of a component: --plugin target/wasm32-wasip2/release/NAME.wasm",
            ));
    }
    match name.and_then(named) {
        // The digest was that of the configured file.
        Some(plugin) => Ok(PluginConfig { wasm, sha256: None, ..plugin }),
        None => Ok(PluginConfig { name: name.map(str::to_owned), wasm, ..Default::default() }),
    }
}

#[cfg(test)]
mod tests;
