//! What a health check is to look at: flags over configuration over defaults.

use super::{
    ContractPlan,
    chain::{chain, contracts_on, expected_chain, nodes, plan_of},
    time_of,
};
use crate::{
    command_error::CommandError,
    commands::health::HealthArgs,
    config_file::{ChainConfig, Config},
    environment::Environment,
    ledger_path::LedgerPath,
    node_spec::NodeSpec,
};
use event::{Check, Finality, Verify};
use std::{
    collections::BTreeSet,
    path::Path,
    time::{Duration, UNIX_EPOCH},
};

/// Longest wait for one answer, where the user says nothing: a node that takes longer is of no use.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// A health check, decided.
#[derive(Clone, Debug)]
pub(crate) struct HealthPlan {
    /// Name of the chain in the configuration, where it has one.
    pub(crate) chain_name: Option<String>,
    /// Chain that every node must have; `None` = that of the ledger, else of most nodes.
    pub(crate) expected_chain: Option<u64>,
    /// When a block is final; `None` = as the chain's profile says.
    pub(crate) finality: Option<Finality>,
    /// Checks that are no mark against a node.
    pub(crate) observe: Vec<Check>,
    /// What must be shown of a covered block; `None` = anything.
    pub(crate) verify: Option<Verify>,
    /// Nodes, at least one, with unique names.
    pub(crate) nodes: Vec<NodeSpec>,
    /// What should be covered; none = what the ledger covers.
    pub(crate) contracts: Vec<ContractPlan>,
    /// When they were written down last, in Unix seconds: what of them was never read, or was asked for and not
    /// shown, is owed for no longer than that.
    pub(crate) wanted_since_s: Option<u64>,
    /// Names of the plugins that count; `None` = all of the ledger.
    pub(crate) plugins: Option<BTreeSet<String>>,
    /// Ledger file.
    pub(crate) ledger: LedgerPath,
    /// How long a final block may stay uncovered.
    pub(crate) deadline: Duration,
    /// Age of the newest block that is a stall; `None` = by the chain's block time.
    pub(crate) stall: Option<Duration>,
}

impl HealthPlan {
    /// Decides what `args` mean here, for each chain that they mean: all of the configuration, where nothing
    /// says one. A ledger that somebody named has to be there.
    pub(crate) fn resolve(
        args: &HealthArgs,
        environment: &Environment,
    ) -> Result<Vec<Self>, CommandError> {
        let config = Config::load(args.place.config.as_deref(), environment)?;
        let deadline = time_of("--deadline", args.deadline.as_deref())?;
        let stall = time_of("--stall", args.stall.as_deref())?;
        let timeout = time_of("--timeout", args.timeout.as_deref())?;
        let is_one = args.chain.is_some() || !args.nodes.is_empty() || config.chains.len() < 2;
        if !is_one && args.chain_id.is_some() {
            return Err(CommandError::usage("the configuration has several chains")
                .context("--chain-id speaks of one chain")
                .hint("choose one with --chain"));
        }
        let chains: Vec<Option<&ChainConfig>> = match is_one {
            true => vec![chain(args.chain.as_deref(), &config, !args.nodes.is_empty())?],
            false => config.chains.iter().map(Some).collect(),
        };
        let ledger = LedgerPath::resolve(
            args.place.ledger.as_deref(),
            config.ledger.as_deref(),
            environment,
        );
        if ledger.is_explicit {
            ledger.check_exists()?;
        }
        let plan = |chain: Option<&ChainConfig>| -> Result<Self, CommandError> {
            let mut nodes = nodes(&args.nodes, chain, environment)?;
            for node in &mut nodes {
                node.timeout = timeout.or(node.timeout).or(Some(DEFAULT_TIMEOUT));
            }
            Ok(Self {
                chain_name: chain.map(|chain| chain.name.clone()),
                expected_chain: expected_chain(args.chain_id, chain)?,
                finality: chain.and_then(|chain| chain.finality),
                observe: chain.map(|chain| chain.observe.clone()).unwrap_or_default(),
                verify: chain.and_then(|chain| chain.watch_verify.or(chain.verify)),
                nodes,
                contracts: contracts_on(&config, chain).into_iter().map(plan_of).collect(),
                wanted_since_s: config.path.as_deref().and_then(written_s),
                plugins: plugins(&config),
                ledger: ledger.clone(),
                deadline: deadline.unwrap_or(Duration::from_millis(health::DEADLINE_DEFAULT_MS)),
                stall,
            })
        };
        chains.into_iter().map(plan).collect()
    }
}

fn written_s(path: &Path) -> Option<u64> {
    let written = path.metadata().ok()?.modified().ok()?;
    Some(written.duration_since(UNIX_EPOCH).ok()?.as_secs())
}

/// Those of the configuration, where it has any and all have names: one that was taken out of it does not
/// run, and nobody minds that it is halted.
fn plugins(config: &Config) -> Option<BTreeSet<String>> {
    let names: Option<BTreeSet<String>> =
        config.plugins.iter().map(|plugin| plugin.name.clone()).collect();
    names.filter(|names| !names.is_empty())
}
