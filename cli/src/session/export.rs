//! Which rows an export has, whether its blocks are all covered, and the statement that gives them.
//!
//! Coverage is read before the rows are: what is said to be complete is.

mod select;

use super::{Look, ledger::known_of};
use crate::{
    command_error::{CommandError, ErrorKind},
    range::{Bounds, RangeSpec},
    suggest::closest,
    summary::{RangeSummary, UndecodedSummary},
};
use alloy_primitives::Address;
use event::{
    AnyOf, BlockRange, ChainId, ChainState, EventSchema, Evidence, FileForm, Filter, Value, Verify,
};
use std::{fmt, ops::ControlFlow, sync::Arc};

/// Name of the raw logs among the tables.
pub(crate) const RAW: &str = "events";

/// Ranges that are spelt out.
const RANGES_SHOWN: usize = 5;

/// What the user wants of a ledger.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// `CONTRACT.EVENT`, or [`RAW`].
    pub(crate) table: String,
    /// Chain; `None` = the only one.
    pub(crate) chain: Option<ChainId>,
    /// Blocks; `None` = all that is covered.
    pub(crate) range: Option<RangeSpec>,
    /// Contracts; none = all.
    pub(crate) addresses: Vec<Address>,
    /// SQL condition on the table's columns.
    pub(crate) condition: Option<String>,
    /// Whether a column says how well each event's block is known.
    pub(crate) with_evidence: bool,
    /// Form of the file.
    pub(crate) form: FileForm,
    /// Level at which every block has to be covered.
    pub(crate) require: Option<Verify>,
}

/// What is exported.
#[derive(Clone, Debug)]
pub(crate) struct Export {
    /// Statement.
    pub(crate) select: String,
    /// What is known of its blocks.
    pub(crate) completeness: Completeness,
    /// Where it has fewer blocks than were asked for.
    pub(crate) shortened: Option<String>,
    /// The event, where it has no row although logs of it are there.
    pub(crate) undecoded: Option<UndecodedSummary>,
}

/// Whether every block of a range is covered.
#[derive(Clone, Debug)]
pub(crate) struct Completeness {
    /// Blocks; `None` where nothing is covered, and no range was given.
    range: Option<BlockRange>,
    level: Verify,
    missing: Vec<BlockRange>,
    evidence: Option<Evidence>,
    finalized: Option<u64>,
}

/// What is exported of a ledger that has it.
#[derive(Clone, Debug)]
pub(crate) enum Table {
    /// Decoded events.
    Typed(Box<EventSchema>),
    /// Raw logs.
    Raw,
}

/// Looks at the ledger, and refuses a range that is not covered as it has to be.
pub(crate) fn prepare(ledger: &mut Look, wanted: &Wanted) -> Result<Export, CommandError> {
    let table = find(ledger, &wanted.table)?;
    let chain = chain_of(ledger, wanted.chain)?;
    let state = ledger.load(chain)?;
    let filters = judged(&table, &wanted.addresses, &state);
    let covering: Vec<Arc<Filter>> =
        state.coverage.iter().map(|(filter, _)| filter.clone()).collect();
    let completeness = completeness(chain, state, &filters, wanted)?;
    if let (Some(level), false) = (wanted.require, completeness.is_complete()) {
        let range = completeness
            .range
            .map_or_else(String::new, |range| format!(" -b {}:{}", range.first(), range.last()));
        return Err(CommandError::new(ErrorKind::CheckFailed, completeness.to_string())
            .context(format!("nothing is exported: --require {level} is not met"))
            .hint(format!("read what is missing: headcount replay --verify {level}{range}")));
    }
    let relation = select::relation(&table);
    if let Some(condition) = &wanted.condition {
        let probe = format!("SELECT 1 FROM {relation} WHERE (\n{condition}\n) LIMIT 0");
        ledger.query(&probe, &mut |_, _| ControlFlow::Continue(())).map_err(|error| {
            let table = relation.replace('"', "");
            error
                .context(format!("--where is no condition on {table}"))
                .hint(format!("its columns: headcount query \"describe {table}\""))
        })?;
    }
    let undecoded = undecoded(ledger, &table, chain, completeness.range)?;
    let select = select::statement(&table, chain, completeness.range, wanted, &covering);
    let shortened = wanted.range.zip(completeness.range);
    let shortened = shortened.and_then(|(wanted, range)| wanted.shortened(range));
    Ok(Export { select, completeness, shortened, undecoded })
}

/// Finds the table by its name, whatever the case.
fn find(ledger: &mut Look, name: &str) -> Result<Table, CommandError> {
    if name.eq_ignore_ascii_case(RAW) || name.eq_ignore_ascii_case("events_canonical") {
        return Ok(Table::Raw);
    }
    let schemas = super::names::schemas(ledger)?;
    let called = |schema: &EventSchema| format!("{}.{}", schema.contract, schema.table);
    let names: Vec<String> = schemas.iter().map(called).collect();
    let same = |schema: &&EventSchema| called(schema).eq_ignore_ascii_case(name);
    if let Some(schema) = schemas.iter().find(same) {
        return Ok(Table::Typed(Box::new(schema.clone())));
    }
    let failed = CommandError::usage(format!("the ledger has no event table `{name}`"));
    Err(match closest(name, names.iter().map(String::as_str)) {
        Some(other) => failed.hint(format!("did you mean {other}?")),
        None if names.is_empty() => failed.hint("it has raw logs only: headcount export events"),
        None => failed.hint(format!("it has {RAW} (raw logs), {}", names.join(", "))),
    }
    .hint("other tables: headcount query --format csv \"select ...\""))
}

/// Says where none of an event's logs decoded: what is exported of it is empty for no better reason.
fn undecoded(
    ledger: &mut Look,
    table: &Table,
    chain: ChainId,
    range: Option<BlockRange>,
) -> Result<Option<UndecodedSummary>, CommandError> {
    let (Table::Typed(schema), Some(range)) = (table, range) else { return Ok(None) };
    let Some(statement) = select::undecoded(schema, chain, range) else { return Ok(None) };
    let mut found = None;
    ledger.query(&statement, &mut |_, row| {
        if let [Value::Int(count), Value::Int(indexed)] = row.as_slice() {
            found = u64::try_from(*count).ok().zip(usize::try_from(*indexed).ok());
        }
        ControlFlow::Continue(())
    })?;
    Ok(found.filter(|(count, _)| *count > 0).map(|(count, indexed_found)| UndecodedSummary {
        contract: schema.contract.clone(),
        signature: schema.signature.clone(),
        count,
        indexed_declared: schema.columns.iter().filter(|column| column.indexed).count(),
        indexed_found,
    }))
}

fn chain_of(ledger: &mut Look, wanted: Option<ChainId>) -> Result<ChainId, CommandError> {
    let chains = ledger.chains()?;
    let named =
        |chains: &[ChainId]| chains.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    match (wanted, chains.as_slice()) {
        (Some(wanted), chains) if chains.contains(&wanted) => Ok(wanted),
        (None, [one]) => Ok(*one),
        (_, []) => Err(CommandError::usage("the ledger covers nothing yet")
            .hint("fill it with `headcount replay` or `headcount watch`")),
        (Some(wanted), chains) => {
            Err(CommandError::usage(format!("the ledger holds nothing of chain {wanted}"))
                .hint(format!("it holds chain {}", named(chains))))
        }
        (None, chains) => {
            Err(CommandError::usage(format!("the ledger holds chains {}", named(chains)))
                .hint("say which with --chain-id"))
        }
    }
}

/// Returns what has to be covered so that nothing is missing: of raw logs, what the ledger follows.
fn judged(table: &Table, addresses: &[Address], state: &ChainState) -> Vec<Arc<Filter>> {
    let addresses = AnyOf::of(addresses.iter().copied()).unwrap_or(AnyOf::Any);
    let chosen = Filter::new(addresses, AnyOf::Any);
    let of_table = match table {
        Table::Typed(schema) => {
            let topic0 = schema.topic0.map_or(AnyOf::Any, AnyOf::one);
            vec![Filter::new(schema.addresses.clone(), topic0)]
        }
        Table::Raw => state.coverage.iter().map(|(filter, _)| (**filter).clone()).collect(),
    };
    of_table.iter().filter_map(|filter| filter.intersection(&chosen)).map(Arc::new).collect()
}

fn completeness(
    chain: ChainId,
    state: ChainState,
    filters: &[Arc<Filter>],
    wanted: &Wanted,
) -> Result<Completeness, CommandError> {
    let finalized = state.finalized;
    let meeting = state
        .coverage
        .iter()
        .filter(|(stored, _)| filters.iter().any(|filter| filter.meets(stored)));
    let hull = meeting
        .flat_map(|(_, intervals)| intervals.iter().map(|interval| interval.range))
        .reduce(BlockRange::hull);
    let range = match &wanted.range {
        None => hull,
        Some(spec) => {
            let bounds = Bounds {
                start: hull.map(|hull| hull.first()),
                finalized,
                latest: hull.map(|hull| hull.last()),
            };
            let range = spec.resolve(&bounds).map_err(|error| {
                let hint = "an export reads the ledger only: name both ends, as in -b 100:200";
                CommandError::usage(error).context("wrong range at -b").hint(hint)
            })?;
            Some(range.ok_or_else(|| {
                CommandError::usage(format!("the range {spec} has no blocks of the ledger"))
                    .hint("see what it covers: headcount coverage")
            })?)
        }
    };
    let level = wanted.require.unwrap_or(Verify::Off);
    let known = known_of(chain, level, state);
    let (mut missing, mut evidence) = (event::BlockRanges::default(), None);
    if let Some(range) = range {
        let open = filters.iter().flat_map(|filter| known.missing(filter, range, level));
        open.for_each(|(range, _)| missing.add(range));
        if filters.is_empty() {
            missing.add(range);
        }
        evidence = known.evidence(filters, range);
    }
    let missing = missing.iter().collect();
    Ok(Completeness { range, level, missing, evidence, finalized })
}

impl Completeness {
    /// Whether nothing is missing, as far as its level can see.
    pub(crate) const fn is_complete(&self) -> bool {
        self.range.is_some() && self.missing.is_empty()
    }

    /// Returns the blocks of the range that a reorg may still change.
    pub(crate) fn not_final(&self) -> Option<RangeSummary> {
        let range = self.range?;
        let first = self.finalized.map_or(Some(range.first()), |last| last.checked_add(1))?;
        BlockRange::new(first.max(range.first()), range.last()).map(Into::into)
    }
}

/// `blocks 1:9 (9 blocks): complete, receipts on one-node`.
impl fmt::Display for Completeness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(range) = self.range else { return f.write_str("nothing of it is covered") };
        let range = RangeSummary::from(range);
        if self.missing.is_empty() {
            write!(f, "blocks {range}: complete")?;
            return match self.evidence {
                Some(Evidence { content, anchor }) => write!(f, ", {content} on {anchor}"),
                None => Ok(()),
            };
        }
        let count: u64 = self.missing.iter().map(BlockRange::count).sum();
        let level = match self.level {
            Verify::Off => String::new(),
            level => format!(" as {level}"),
        };
        let are = if count == 1 { "is" } else { "are" };
        write!(f, "blocks {range}: not complete, {count} {are} not covered{level}: ")?;
        for (i, missing) in self.missing.iter().take(RANGES_SHOWN).enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            match missing.count() {
                1 => write!(f, "{comma}{}", missing.first())?,
                _ => write!(f, "{comma}{}:{}", missing.first(), missing.last())?,
            }
        }
        match self.missing.len().saturating_sub(RANGES_SHOWN) {
            0 => Ok(()),
            more => write!(f, " and {more} more ranges"),
        }
    }
}
