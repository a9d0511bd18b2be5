//! What an audit is to do.

use super::{
    chain::{ChainPlan, chain},
    time_of,
};
use crate::{
    audit_report::AuditFormat, command_error::CommandError, commands::audit::AuditArgs,
    config_file::Config, environment::Environment, expectations::Expectations,
    ledger_path::LedgerPath, proof_level::check_verify_of_many, range::RangeSpec,
    record_path::check_record_path,
};
use event::{AnchorPolicy, Verify};
use std::{num::NonZeroU16, path::PathBuf, time::Duration};

/// An audit, decided.
#[derive(Clone, Debug)]
pub(crate) struct AuditPlan {
    /// Chain, nodes and what is looked for.
    pub(crate) chain: ChainPlan,
    /// Which blocks.
    pub(crate) range: RangeSpec,
    /// What must be shown.
    pub(crate) require: Verify,
    /// Why headers are believed; `None` = by the number of nodes.
    pub(crate) anchor: Option<AnchorPolicy>,
    /// What must hold of the events.
    pub(crate) expectations: Option<Expectations>,
    /// Fewest events that are no failure.
    pub(crate) min_events: Option<u64>,
    /// Whether an address without code is accepted.
    pub(crate) allow_no_code: bool,
    /// Ledger file; `None` = is not compared.
    pub(crate) ledger: Option<LedgerPath>,
    /// File to record answers to.
    pub(crate) record: Option<PathBuf>,
    /// Requests in flight per node.
    pub(crate) concurrency: NonZeroU16,
    /// When to stop.
    pub(crate) max_time: Option<Duration>,
    /// Form of the report.
    pub(crate) format: AuditFormat,
    /// Whether to be silent where nothing is wrong.
    pub(crate) quiet: bool,
}

impl AuditPlan {
    /// Decides what `args` mean here. Files that somebody named have to be there.
    pub(crate) fn resolve(
        args: &AuditArgs,
        environment: &Environment,
    ) -> Result<Self, CommandError> {
        let config = Config::load(args.place.config.as_deref(), environment)?;
        let range = RangeSpec::parse(&args.blocks).map_err(|error| {
            let hint = error.hint();
            CommandError::usage(error).context("wrong block range at -b").hint(hint)
        })?;
        let source = args.source();
        let chain_config = chain(args.chain.as_deref(), &config, !args.nodes.is_empty())?;
        let ledger = LedgerPath::resolve(
            args.place.ledger.as_deref(),
            config.ledger.as_deref(),
            environment,
        );
        let record = args.record.as_deref().map(|path| environment.resolve(path));
        if let Some(path) = &record {
            check_record_path(path, &ledger)?;
        }
        if ledger.is_explicit && !args.no_ledger {
            ledger.check_exists()?;
        }
        let expect = args.expect.as_deref().map(|path| environment.resolve(path));
        let chain = ChainPlan::resolve(&source, &config, chain_config, environment)?;
        let require = args.require.unwrap_or(Verify::Prove);
        check_verify_of_many("--require", require, chain.nodes.len())?;
        if let (Some(AnchorPolicy::Agreed(wanted)), given) = (args.anchor, chain.nodes.len())
            && usize::from(wanted) > given
        {
            return Err(CommandError::usage(format!("{given} nodes can never agree as {wanted}"))
                .context("--anchor cannot be that")
                .hint("name more nodes with -r, or the NUMBER:HASH of a block that you know"));
        }
        if let (Verify::Off, Some(AnchorPolicy::Checkpoint(_))) = (require, args.anchor) {
            return Err(CommandError::usage("no header is read under --require off")
                .context("--anchor NUMBER:HASH needs headers that lead to that block")
                .hint("leave --anchor out, or choose another --require"));
        }
        Ok(Self {
            chain,
            range,
            require,
            anchor: args.anchor.or(chain_config.and_then(|chain| chain.anchor)),
            expectations: expect.map(|path| Expectations::read(&path)).transpose()?,
            min_events: args.min_events,
            allow_no_code: args.allow_no_code,
            ledger: (!args.no_ledger).then_some(ledger),
            record,
            concurrency: args.concurrency,
            max_time: time_of("--max-time", args.max_time.as_deref())?,
            format: args.format,
            quiet: args.quiet,
        })
    }
}
