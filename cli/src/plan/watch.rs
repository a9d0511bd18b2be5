//! What a watch is to do.

use super::{
    ChainPlan, chain::chain, check_schema_names, merged_contracts, plugins::plugins, time_of,
};
use crate::{
    command_error::CommandError,
    commands::watch::WatchArgs,
    compiling::Compiling,
    config_file::{ChainConfig, Config, PluginConfig},
    environment::Environment,
    ledger_path::LedgerPath,
    proof_level::check_verify_of_many,
    sink_spec::SinkSpec,
};
use std::{num::NonZeroU16, path::PathBuf, time::Duration};

/// How long the other nodes are waited for, where the user says nothing: long enough for a node
/// that is a block behind on most chains.
pub(crate) const DEFAULT_AGREE_WAIT: Duration = Duration::from_secs(6);

/// What is written to stdout while it runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Emit {
    /// Every change of the ledger: events, retractions, incidents
    #[default]
    Events,
    /// What each node reported, as it came
    Reports,
    /// Nothing: stdout is somebody else's.
    #[value(skip)]
    Nothing,
}

/// A watch, decided.
#[derive(Clone, Debug)]
pub(crate) struct WatchPlan {
    /// Chains, at least one.
    pub(crate) chains: Vec<ChainPlan>,
    /// First block to have, where the user says so.
    pub(crate) from_block: Option<u64>,
    /// Last block to have.
    pub(crate) until_block: Option<u64>,
    /// The configuration file, where there is one.
    pub(crate) config: Option<PathBuf>,
    /// Ledger file.
    pub(crate) ledger: LedgerPath,
    /// Plugins, in order.
    pub(crate) plugins: Vec<PluginConfig>,
    /// Where they are kept when they are compiled.
    pub(crate) compiling: Compiling,
    /// Where messages of plugins go.
    pub(crate) sinks: Vec<SinkSpec>,
    /// How long the other nodes are waited for.
    pub(crate) agree_wait: Duration,
    /// How often nodes are asked for their head; `None` = half a block time, a second at most.
    pub(crate) poll_interval: Option<Duration>,
    /// Requests in flight per node while a gap is filled, at most.
    pub(crate) concurrency: NonZeroU16,
    /// When to stop.
    pub(crate) max_time: Option<Duration>,
    /// What is written to stdout.
    pub(crate) emit: Emit,
    /// Whether stdout is for programs, whatever it is.
    pub(crate) is_json: bool,
    /// Whether to be silent where nothing is wrong.
    pub(crate) quiet: bool,
}

impl WatchPlan {
    /// Decides what `args` mean here.
    pub(crate) fn resolve(
        args: &WatchArgs,
        environment: &Environment,
    ) -> Result<Self, CommandError> {
        let config = Config::load(args.place.config.as_deref(), environment)?;
        let ledger = LedgerPath::resolve(
            args.place.ledger.as_deref(),
            config.ledger.as_deref(),
            environment,
        );
        let mut chains = chains(args, &config, environment)?;
        for look in chains.iter_mut().map(|chain| &mut chain.second_look) {
            look.look = args.second_look.unwrap_or(look.look);
            let calls = args.second_look_requests_per_second;
            look.requests_per_second = calls.unwrap_or(look.requests_per_second);
        }
        check_schema_names(&merged_contracts(&chains)?, &ledger)?;
        for chain in &chains {
            check_verify_of_many("--verify", chain.verify, chain.nodes.len())?;
        }
        Ok(Self {
            from_block: block(args.from_block.as_deref(), "--from-block")?,
            until_block: block(args.until_block.as_deref(), "--until-block")?,
            plugins: plugins(&args.plugins, &config, environment)?,
            compiling: Compiling::of(environment, args.quiet),
            sinks: config.sinks.clone(),
            config: config.path.clone(),
            agree_wait: time_of("--agree-wait", args.agree_wait.as_deref())?
                .unwrap_or(DEFAULT_AGREE_WAIT),
            poll_interval: time_of("--poll-interval", args.poll_interval.as_deref())?,
            concurrency: args.concurrency,
            max_time: time_of("--max-time", args.max_time.as_deref())?,
            emit: args.emit,
            is_json: args.json,
            quiet: args.quiet,
            chains,
            ledger,
        })
    }
}

/// All chains of the configuration, unless flags mean one.
fn chains(
    args: &WatchArgs,
    config: &Config,
    environment: &Environment,
) -> Result<Vec<ChainPlan>, CommandError> {
    let source = &args.source;
    let is_one = source.chain.is_some() || !source.nodes.is_empty() || config.chains.len() < 2;
    let resolve = |chain: Option<&ChainConfig>| -> Result<ChainPlan, CommandError> {
        let plan = ChainPlan::resolve(source, config, chain, environment)?;
        Ok(plan.demanding(source.verify, chain.and_then(|chain| chain.watch_verify)))
    };
    if is_one {
        let chain = chain(source.chain.as_deref(), config, !source.nodes.is_empty())?;
        return Ok(vec![resolve(chain)?]);
    }
    if source.chain_id.is_some() || !source.contracts.is_empty() || !source.events.is_empty() {
        return Err(CommandError::usage("the configuration has several chains")
            .context("-c, -e and --chain-id speak of one chain")
            .hint("choose one with --chain"));
    }
    config.chains.iter().map(|chain| resolve(Some(chain))).collect()
}

fn block(text: Option<&str>, flag: &str) -> Result<Option<u64>, CommandError> {
    let parsed = text.map(crate::range::parse_count).transpose();
    parsed.map_err(|error| {
        CommandError::usage(error)
            .context(format!("wrong block at {flag}"))
            .hint("write a number: 18_000_000, 18M or 18.1M")
    })
}
