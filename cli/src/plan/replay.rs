//! What a replay is to do.

use super::{
    chain::{ChainPlan, chain},
    check_schema_names,
    plugins::plugins,
    time_of,
};
use crate::{
    command_error::CommandError,
    commands::replay::ReplayArgs,
    compiling::Compiling,
    config_file::{Config, PluginConfig},
    environment::Environment,
    ledger_path::LedgerPath,
    proof_level::check_levels,
    range::RangeSpec,
    record_path::check_record_path,
    sink_spec::SinkSpec,
    summary::ReplayFormat,
};
use event::AnchorPolicy;
use std::{num::NonZeroU16, path::PathBuf, time::Duration};

/// Requests in flight per node, at most, where the user says nothing.
pub(crate) const DEFAULT_CONCURRENCY: NonZeroU16 = NonZeroU16::new(8).expect("8 is not 0");

/// What a replay does where another process owns the ledger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum IfBusy {
    /// Read for that process, and take its place when it ends
    #[default]
    Join,
    /// Wait until it has ended, with --max-time no longer than that: then exit code 75
    Wait,
    /// Say so in one line and end with exit code 0
    Skip,
}

/// A replay, decided.
#[derive(Clone, Debug)]
pub(crate) struct ReplayPlan {
    /// Chain, nodes and what is wanted.
    pub(crate) chain: ChainPlan,
    /// Which blocks.
    pub(crate) range: RangeSpec,
    /// Why headers are believed.
    pub(crate) anchor: AnchorPolicy,
    /// Ledger file.
    pub(crate) ledger: LedgerPath,
    /// Plugins, in order.
    pub(crate) plugins: Vec<PluginConfig>,
    /// Where they are kept when they are compiled.
    pub(crate) compiling: Compiling,
    /// Where messages of plugins go.
    pub(crate) sinks: Vec<SinkSpec>,
    /// File to record answers to.
    pub(crate) record: Option<PathBuf>,
    /// Whether coverage is ignored.
    pub(crate) refetch: bool,
    /// Whether what is covered is read again through other nodes, from where the last run stopped.
    pub(crate) second_look: bool,
    /// Whether an incident makes the exit code 1.
    pub(crate) fail_on_incident: bool,
    /// Requests in flight per node, at most.
    pub(crate) concurrency: NonZeroU16,
    /// What to do where another process owns the ledger.
    pub(crate) if_busy: IfBusy,
    /// When to stop.
    pub(crate) max_time: Option<Duration>,
    /// Form of the summary.
    pub(crate) format: ReplayFormat,
    /// Whether to be silent where nothing is wrong.
    pub(crate) quiet: bool,
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
        let range = block_range(args.blocks.as_deref())?;
        let max_time = time_of("--max-time", args.max_time.as_deref())?;
        let has_own_nodes = !args.source.nodes.is_empty();
        let chain = chain(args.source.chain.as_deref(), config, has_own_nodes)?;
        let ledger = LedgerPath::resolve(
            args.place.ledger.as_deref(),
            config.ledger.as_deref(),
            environment,
        );
        let anchor = args.anchor.or(chain.and_then(|chain| chain.anchor));
        let anchor = anchor.unwrap_or(AnchorPolicy::OneNode);
        let of_replay = chain.and_then(|chain| chain.replay_verify);
        let chain = ChainPlan::resolve(&args.source, config, chain, environment)?
            .demanding(args.source.verify, of_replay);
        check_schema_names(&chain.contracts, &ledger)?;
        check_levels(chain.verify, anchor, chain.nodes.len())?;
        let record = args.record.as_deref().map(|path| environment.resolve(path));
        if let Some(path) = &record {
            check_record_path(path, &ledger)?;
        }
        Ok(Self {
            chain,
            range,
            anchor,
            ledger,
            plugins: plugins(&args.plugins, config, environment)?,
            compiling: Compiling::of(environment, args.quiet),
            sinks: config.sinks.clone(),
            record,
            refetch: args.refetch,
            second_look: args.blocks.is_none() && !args.refetch,
            fail_on_incident: args.fail_on_incident,
            concurrency: args.concurrency,
            if_busy: args.if_busy,
            max_time,
            format: args.format,
            quiet: args.quiet,
        })
    }
}

/// Reads the range of `-b`.
pub(crate) fn block_range(text: Option<&str>) -> Result<RangeSpec, CommandError> {
    let Some(text) = text else { return Ok(RangeSpec::NEW) };
    RangeSpec::parse(text).map_err(|error| {
        let hint = error.hint();
        CommandError::usage(error).context("wrong block range at -b").hint(hint)
    })
}
