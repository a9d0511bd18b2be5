//! Expectations held against what an audit found: counts, SQL, and what contracts say of themselves.

use super::{
    super::{Look, nodes::OpenNode},
    ledger::apart,
};
use crate::{
    audit_report::{ExpectationReport, Held},
    command_error::CommandError,
    complaint::undecodable,
    environment::Environment,
    expectations::{Checks, CountCheck, SqlCheck, SqlWanted, StateCheck, StateWanted},
    secret::redacted,
    summary::UndecodedSummary,
};
use ::audit::Status;
use alloy_primitives::{Bytes, hex};
use event::{Answer, Ask, Value};
use pipeline::{AuditOutcome, Timer, ask, block_at};
use std::{ops::ControlFlow, path::Path};

/// Rows of a statement that are shown, at most.
const ROWS_SHOWN: usize = 5;

/// The ledger on which statements run.
#[derive(Clone, Copy)]
pub(super) struct Sql<'a> {
    pub(super) path: &'a Path,
    pub(super) environment: &'a Environment,
}

/// Checks everything. Wrong SQL is an error.
pub(super) async fn check(
    checks: &Checks,
    outcome: &AuditOutcome,
    counts: &[u64],
    sql_on: Option<Sql<'_>>,
    nodes: &[OpenNode],
    timer: &dyn Timer,
) -> Result<Vec<ExpectationReport>, CommandError> {
    let mut reports = Vec::new();
    let is_whole = outcome.verdict.blocks(Status::Undecided) == 0;
    for check in &checks.counts {
        reports.push(count(check, counts.get(check.schema).copied().unwrap_or(0), is_whole));
    }
    for check in &checks.sql {
        if let Some(ledger) = sql_on {
            reports.push(sql(check, ledger, is_whole)?);
        }
    }
    for check in &checks.state {
        let wanted = match (&check.wanted, sql_on) {
            (StateWanted::Value(value), _) => value.clone(),
            (StateWanted::Sql(query), Some(ledger)) => {
                let (rows, _) = rows_of(ledger, query)?;
                match rows.first().map(Vec::as_slice) {
                    Some([one]) if rows.len() == 1 => one.clone(),
                    _ => {
                        return Err(CommandError::usage("it does not return one value")
                            .context(format!("`equals_sql` of state `{}`", check.name))
                            .hint("as in `select sum(value) from usdc.Transfer`"));
                    }
                }
            }
            (StateWanted::Sql(_), None) => continue,
        };
        reports.push(state(check, wanted, outcome, is_whole, nodes, timer).await);
    }
    Ok(reports)
}

/// Whoever counts events expects that they decode: one declared otherwise than it is logged, mostly without
/// `indexed`, would pass as an event that never happens.
pub(super) fn undecoded(event: &UndecodedSummary) -> ExpectationReport {
    let UndecodedSummary { contract, signature, count, .. } = event;
    let name = format!("{contract}.{} decodes", signature.split('(').next().unwrap_or_default());
    ExpectationReport {
        expected: format!("{count} events"),
        found: "0".to_owned(),
        detail: undecodable(event),
        ..report(&name, "decode", Held::Failed)
    }
}

/// What nobody can be asked about.
pub(super) fn unknown(checks: &Checks) -> Vec<ExpectationReport> {
    let counts = checks.counts.iter().map(|check| count(check, 0, false));
    let sql = checks.sql.iter().map(|check| of_sql(check, Held::Undecided));
    let state = checks.state.iter().map(|check| ExpectationReport {
        expected: check.wanted.to_string(),
        ..report(&check.name, "state", Held::Undecided)
    });
    counts.chain(sql).chain(state).collect()
}

fn report(name: &str, kind: &'static str, held: Held) -> ExpectationReport {
    ExpectationReport {
        name: name.to_owned(),
        kind,
        status: held,
        expected: String::new(),
        found: String::new(),
        detail: String::new(),
    }
}

/// While blocks are undecided the count is a lower bound.
fn count(check: &CountCheck, found: u64, is_whole: bool) -> ExpectationReport {
    let CountCheck { name, least, most, .. } = check;
    let held = match (found < *least, found > *most, is_whole) {
        (_, true, _) | (true, _, true) => Held::Failed,
        (false, false, true) => Held::Passed,
        (false, false, false) if *most == u64::MAX => Held::Passed,
        _ => Held::Undecided,
    };
    let expected = match (least, most) {
        (least, most) if least == most => format!("exactly {least}"),
        (least, &u64::MAX) => format!("at least {least}"),
        (0, most) => format!("at most {most}"),
        (least, most) => format!("{least} to {most}"),
    };
    let detail = match () {
        () if found < *least => format!("{} too few", least - found),
        () if found > *most => format!("{} too many", found - most),
        () => String::new(),
    };
    ExpectationReport { expected, found: found.to_string(), detail, ..report(name, "count", held) }
}

/// Values of each row as text, the first rows only, and how many rows there are.
fn rows_of(ledger: Sql<'_>, query: &str) -> Result<(Vec<Vec<String>>, u64), CommandError> {
    apart(|| rows(&mut Look::open(ledger.path, ledger.environment)?, query))
}

fn rows(ledger: &mut Look, query: &str) -> Result<(Vec<Vec<String>>, u64), CommandError> {
    let (mut shown, mut count) = (Vec::new(), 0u64);
    ledger.query(query, &mut |_, row| {
        count += 1;
        if shown.len() < ROWS_SHOWN {
            shown.push(row.iter().map(worded).collect());
        }
        ControlFlow::Continue(())
    })?;
    Ok((shown, count))
}

fn worded(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Float(value) => value.to_string(),
        Value::Blob(bytes) => hex::encode_prefixed(bytes),
        Value::Number(text) | Value::Text(text) | Value::Time(text) | Value::Other(text) => {
            text.clone()
        }
    }
}

fn sql(
    check: &SqlCheck,
    ledger: Sql<'_>,
    is_whole: bool,
) -> Result<ExpectationReport, CommandError> {
    let (shown, count) = rows_of(ledger, &check.query)
        .map_err(|error| error.context(format!("sql `{}` of the expectations", check.name)))?;
    let listed = || shown.iter().map(|row| row.join(", ")).collect::<Vec<_>>().join("\n");
    let (holds, found) = match &check.wanted {
        SqlWanted::Value(value) => match shown.as_slice() {
            [row] if row.len() == 1 && count == 1 => (row[0] == *value, row[0].clone()),
            _ => (false, format!("{count} rows:\n{}", listed())),
        },
        SqlWanted::Rows(rows) => {
            let more = if count > 0 { format!(":\n{}", listed()) } else { String::new() };
            (count == *rows, format!("{count} rows{more}"))
        }
    };
    let held = match (holds, is_whole) {
        (true, true) => Held::Passed,
        (false, true) => Held::Failed,
        (_, false) => Held::Undecided,
    };
    Ok(ExpectationReport { found, ..of_sql(check, held) })
}

fn of_sql(check: &SqlCheck, held: Held) -> ExpectationReport {
    ExpectationReport {
        expected: check.wanted.to_string(),
        detail: check.query.clone(),
        ..report(&check.name, "sql", held)
    }
}

/// A call cannot be proved: every node that is on the chain is asked, and all must say the same.
async fn state(
    check: &StateCheck,
    expected: String,
    outcome: &AuditOutcome,
    is_whole: bool,
    nodes: &[OpenNode],
    timer: &dyn Timer,
) -> ExpectationReport {
    let trusted = outcome.anchor.trusted();
    let is_believed = |open: &&OpenNode| outcome.anchor.is_met && trusted.contains(open.node.id());
    let mut said: Vec<(String, Result<String, String>)> = Vec::new();
    for open in nodes.iter().filter(is_believed) {
        let answer = call(check, open, outcome, timer).await;
        said.push((open.node.id().to_string(), answer));
    }
    let told: Vec<String> = said
        .iter()
        .map(|(node, answer)| match answer {
            Ok(value) => format!("{node} says {value}"),
            Err(reason) => format!("{node}: {reason}"),
        })
        .collect();
    let values: Vec<&String> = said.iter().filter_map(|(_, answer)| answer.as_ref().ok()).collect();
    let rests_on_sql = matches!(check.wanted, StateWanted::Sql(_));
    let (held, found) = match values.split_first() {
        None => (Held::Undecided, "no answer".to_owned()),
        Some((first, rest)) if rest.iter().any(|other| other != first) => {
            (Held::Undecided, "nodes differ".to_owned())
        }
        Some((first, _)) => {
            let held = match (**first == expected, is_whole || !rests_on_sql) {
                (_, false) => Held::Undecided,
                (true, true) => Held::Passed,
                (false, true) => Held::Failed,
            };
            (held, (*first).clone())
        }
    };
    let detail = redacted(&told.join("; "));
    ExpectationReport { expected, found, detail, ..report(&check.name, "state", held) }
}

async fn call(
    check: &StateCheck,
    open: &OpenNode,
    outcome: &AuditOutcome,
    timer: &dyn Timer,
) -> Result<String, String> {
    let end = outcome.verdict.last.or(outcome.anchor.block);
    let block = match (check.block, end) {
        (None, Some(end)) => end,
        (Some(number), Some(end)) if number == end.number => end,
        (Some(number), _) => block_at(&*open.node, number, timer).await?,
        (None, None) => return Err("the last block is not known".to_owned()),
    };
    let data = Bytes::copy_from_slice(check.call.data());
    let question = Ask::Call { to: check.contract, data, block };
    match ask(&*open.node, question, timer).await {
        Ok(Answer::Bytes(returned)) => check.call.decode(&returned).ok_or_else(|| {
            format!("it returned {returned}, which is no such value: is that the contract?")
        }),
        Ok(_) => Err("it answered another question".to_owned()),
        Err(fault) => Err(format!("{}: {}", fault.method, fault.text)),
    }
}
