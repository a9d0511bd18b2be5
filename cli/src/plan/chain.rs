//! One chain: its nodes, what is wanted of it, and what must be shown.

use super::ContractPlan;
use crate::{
    command_error::CommandError,
    commands::SourceArgs,
    config_file::{ChainConfig, Config, ContractConfig},
    contract_spec::{ANY_CONTRACT, ContractSpec},
    environment::Environment,
    event_spec::{EventSpec, EventSpecError},
    node_spec::{NodeSpec, check_apart, nodes_of_flags, wrong_node},
    second_look::SecondLookPlan,
    suggest::closest,
};
use alloy_primitives::Address;
use event::{AnyOf, ChainId, Check, Finality, Verify};
use std::collections::BTreeMap;

/// A chain, decided.
#[derive(Clone, Debug)]
pub(crate) struct ChainPlan {
    /// Name of the chain in the configuration, where it has one.
    pub(crate) chain_name: Option<String>,
    /// Chain that every node must have; `None` = that of the first node.
    pub(crate) expected_chain: Option<u64>,
    /// Nodes, at least one, with unique names.
    pub(crate) nodes: Vec<NodeSpec>,
    /// What to read, at least one entry.
    pub(crate) contracts: Vec<ContractPlan>,
    /// Where an empty ledger starts: the first block that any contract is wanted from.
    pub(crate) start_block: Option<u64>,
    /// What must be shown.
    pub(crate) verify: Verify,
    /// When a block is final; `None` = as the chain's profile says.
    pub(crate) finality: Option<Finality>,
    /// What a watch reads again through another node.
    pub(crate) second_look: SecondLookPlan,
    /// Usual time between blocks, in milliseconds; `None` = as the chain's profile says.
    pub(crate) block_time_ms: Option<u64>,
    /// Checks that refuse nothing here and are only recorded.
    pub(crate) observe: Vec<Check>,
}

impl ChainPlan {
    /// Decides what the flags mean for this chain of the configuration.
    pub(super) fn resolve(
        args: &SourceArgs,
        config: &Config,
        chain: Option<&ChainConfig>,
        environment: &Environment,
    ) -> Result<Self, CommandError> {
        let contracts = contracts(args, config, chain, environment)?;
        let starts: Option<Vec<u64>> = contracts.iter().map(|contract| contract.start).collect();
        Ok(Self {
            chain_name: chain.map(|chain| chain.name.clone()),
            expected_chain: expected_chain(args.chain_id, chain)?,
            nodes: nodes(&args.nodes, chain, environment)?,
            start_block: starts.and_then(|starts| starts.into_iter().min()),
            verify: args.verify.or(chain.and_then(|chain| chain.verify)).unwrap_or(Verify::Bloom),
            finality: chain.and_then(|chain| chain.finality),
            second_look: SecondLookPlan::of(
                chain.and_then(|chain| chain.second_look),
                chain.and_then(|chain| chain.second_look_requests_per_second),
            ),
            block_time_ms: None,
            observe: chain.map(|chain| chain.observe.clone()).unwrap_or_default(),
            contracts,
        })
    }
}

impl ChainPlan {
    /// Binds the contracts that the configuration has for this chain to its id, once that is known.
    pub(crate) fn bound_to(self, chain: ChainId) -> Self {
        let contracts = self.contracts.into_iter().map(|contract| contract.bound_to(chain));
        Self { contracts: contracts.collect(), ..self }
    }

    /// Demands what the configuration says of the command alone, unless a flag says something else.
    pub(super) fn demanding(self, flag: Option<Verify>, of_command: Option<Verify>) -> Self {
        Self { verify: flag.or(of_command).unwrap_or(self.verify), ..self }
    }
}

/// Returns the chain of the configuration that is meant, if it has any.
pub(super) fn chain<'a>(
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

pub(super) fn expected_chain(
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
pub(super) fn nodes(
    flags: &[String],
    chain: Option<&ChainConfig>,
    environment: &Environment,
) -> Result<Vec<NodeSpec>, CommandError> {
    if !flags.is_empty() {
        let nodes = nodes_of_flags(flags, environment)?;
        check_apart(&nodes)?;
        return Ok(nodes);
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
    args: &SourceArgs,
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
            is_of_chain: false,
            chains: BTreeMap::new(),
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

pub(super) fn plan_of(contract: &ContractConfig) -> ContractPlan {
    ContractPlan {
        schema: contract.name.clone(),
        addresses: AnyOf::of(contract.addresses.iter().copied()).unwrap_or(AnyOf::Any),
        events: contract.events.clone(),
        start: contract.start,
        is_of_chain: contract.chain.is_some(),
        chains: BTreeMap::new(),
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
            is_of_chain: false,
            chains: BTreeMap::new(),
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

/// Returns the contracts of the configuration that may be on this chain.
pub(super) fn contracts_on<'a>(
    config: &'a Config,
    chain: Option<&ChainConfig>,
) -> Vec<&'a ContractConfig> {
    let is_on = |contract: &&ContractConfig| match (&contract.chain, chain) {
        (Some(of), Some(chain)) => *of == chain.name,
        _ => true,
    };
    config.contracts.iter().filter(is_on).collect()
}
