//! Applies the aggregator's commits: one transaction, one appender per table and call, no loop
//! over rows of events.

use crate::{
    arrow_columns::{
        addresses, append, constant, data, decoded, fixed, fixed_or_null, hashes, record_batch,
        texts, topics, u32s, u64s,
    },
    blocks, candidates, coverage, demands,
    error::{Result, statement_failed},
    few_rows::{FEW_ROWS_MAX, append_batch},
    lanes,
    ledger::DuckLedger,
    looked,
    sql::{self, execute_cached},
    tables::TYPED_SCHEMA,
    typed,
};
use alloy_primitives::B256;
use duckdb::{
    Appender, Connection,
    arrow::{array::ArrayRef, record_batch::RecordBatch},
    params,
};
use event::{ChainId, Commit, EventBatch, LaneCommit, LedgerError, Op, TypedRows};
use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    iter,
    sync::mpsc,
    thread,
};

/// What the one writer remembers of the file, so that it need not look.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// Filters that the file can name.
    pub(crate) filters: BTreeSet<B256>,
    /// Height above which there is no row in `blocks`, by chain.
    pub(crate) tops: BTreeMap<ChainId, u64>,
    /// Height above which there is no row in `sightings`, by chain.
    pub(crate) sighted: BTreeMap<ChainId, u64>,
    /// The highest interval of `coverage`, by chain and filter.
    pub(crate) highest: BTreeMap<(ChainId, B256), coverage::Highest>,
}

/// Appends the events of the commits, and takes them out of memory; the transaction stays open.
pub(crate) fn stage(ledger: &mut DuckLedger, commits: &mut [Commit]) -> Result<()> {
    let first = begun(ledger)?;
    let next = sql::or_rolled_back(&ledger.conn, write_events(ledger, commits, first))?;
    for batch in commits.iter_mut().flat_map(|commit| &mut commit.events) {
        (batch.logs, batch.occurrence, batch.typed) = Default::default();
    }
    ledger.staged = Some(next);
    ledger.failpoints.pass("store.apply.after_stage");
    Ok(())
}

/// Goes on in the open transaction, or begins one; returns the number of its next event.
fn begun(ledger: &mut DuckLedger) -> Result<u64> {
    if let Some(next) = ledger.staged.take() {
        return Ok(next);
    }
    sql::begin(&ledger.conn)?;
    Ok(ledger.next_event)
}

/// What is remembered of a transaction once it is in the file.
#[derive(Debug)]
pub(crate) struct Begun {
    next_event: u64,
    known: Known,
}

/// Writes commits into the open transaction, or begins one. After an error there is none.
pub(crate) fn begin(ledger: &mut DuckLedger, commits: &[Commit]) -> Result<()> {
    if ledger.staged.is_none() {
        lanes::compact_when_due(&ledger.conn, &mut ledger.lanes)?;
    }
    let failpoints = ledger.failpoints.clone();
    failpoints.pass("store.apply.before_begin");
    // After an error nothing is remembered: it is not in the file.
    let mut known = std::mem::take(&mut ledger.known);
    let first = begun(ledger)?;
    let written = write(ledger, &mut known, commits, first);
    let next_event = sql::or_rolled_back(&ledger.conn, written)?;
    failpoints.pass("store.apply.after_append");
    ledger.begun = Some(Begun { next_event, known });
    Ok(())
}

/// Writes commits; returns the next free event number.
fn write(ledger: &DuckLedger, known: &mut Known, commits: &[Commit], first: u64) -> Result<u64> {
    let next = write_events(ledger, commits, first)?;
    blocks::write(&ledger.conn, known, commits)?;
    write_journal(&ledger.conn, commits)?;
    coverage::write(&ledger.conn, known, commits)?;
    coverage::write_sightings(&ledger.conn, known, commits)?;
    candidates::write(&ledger.conn, commits)?;
    for commit in commits {
        write_refuted(&ledger.conn, commit)?;
        write_finalized(&ledger.conn, commit)?;
        looked::write(&ledger.conn, commit)?;
        demands::write(&ledger.conn, commit)?;
    }
    write_incidents(&ledger.conn, commits)?;
    Ok(next)
}

/// Adds what lanes wrote, and commits: all of it takes effect or nothing.
pub(crate) fn finish(ledger: &mut DuckLedger, lane_commits: &[LaneCommit]) -> Result<()> {
    let Some(begun) = ledger.begun.take() else {
        return Err(LedgerError::Internal("no transaction was begun".into()));
    };
    let failpoints = ledger.failpoints.clone();
    let rows = ledger.lanes.take_rows();
    let of_lanes = sql::committed(&ledger.conn, || {
        let of_lanes = lanes::write(&ledger.conn, &ledger.lanes, rows, &failpoints, lane_commits)?;
        failpoints.pass("store.apply.before_commit");
        Ok(of_lanes)
    })?;
    (ledger.next_event, ledger.known) = (begun.next_event, begun.known);
    ledger.lanes.on_written(of_lanes);
    failpoints.pass("store.apply.after_commit");
    if !lane_commits.is_empty() {
        failpoints.pass("store.lane.after_commit");
    }
    Ok(())
}

/// Record batches made ahead of the appender, at most: the one being appended, and the next.
const PREPARED_MAX: usize = 1;

/// Rows of one table, ready to be appended.
struct Prepared {
    /// Of the decoded rows of this schema; `None` is `events`.
    schema: Option<u32>,
    rows: RecordBatch,
}

/// Appends events and their decoded rows, and returns the next free event number. Columns are
/// made on a second thread while DuckDB takes the ones before.
fn write_events(ledger: &DuckLedger, commits: &[Commit], first: u64) -> Result<u64> {
    let count: usize = commits.iter().map(Commit::event_count).sum();
    if count == 0 {
        return Ok(first);
    }
    if count <= FEW_ROWS_MAX {
        return insert_events(ledger, commits, first);
    }
    let (sender, prepared) = mpsc::sync_channel(PREPARED_MAX);
    thread::scope(|scope| {
        scope.spawn(move || prepare(commits, first, &sender));
        // Takes the receiver, so that an error here ends the other thread too.
        append_events(ledger, prepared)
    })?;
    Ok(first + count as u64)
}

/// Writes a handful of events without threads and appenders; returns the next free number.
fn insert_events(ledger: &DuckLedger, commits: &[Commit], mut next: u64) -> Result<u64> {
    for commit in commits {
        for batch in commit.events.iter().filter(|batch| !batch.logs.is_empty()) {
            for prepared in prepare_batch(commit.chain.0, next, batch)? {
                let Prepared { schema, rows } = prepared?;
                let (schema, table) = table(ledger, schema)?;
                append_batch(&ledger.conn, schema, &table, rows)?;
            }
            next += batch.logs.len() as u64;
        }
    }
    Ok(next)
}

/// Returns SQL schema and name of the table of [`Prepared`] rows.
fn table(ledger: &DuckLedger, schema: Option<u32>) -> Result<(&'static str, String)> {
    let Some(number) = schema else { return Ok(("main", "events".to_owned())) };
    let schema = ledger.schemas.get(number as usize);
    let schema =
        schema.ok_or_else(|| LedgerError::Internal(format!("no schema {number} was prepared")))?;
    Ok((TYPED_SCHEMA, typed::physical(schema)))
}

/// Makes the columns of each batch, in order, until one does not fit or nobody wants more.
fn prepare(commits: &[Commit], mut next: u64, sender: &mpsc::SyncSender<Result<Prepared>>) {
    for commit in commits {
        for batch in commit.events.iter().filter(|batch| !batch.logs.is_empty()) {
            let prepared = match prepare_batch(commit.chain.0, next, batch) {
                Ok(prepared) => prepared,
                Err(error) => return drop(sender.send(Err(error))),
            };
            for prepared in prepared {
                let is_last = prepared.is_err();
                if sender.send(prepared).is_err() || is_last {
                    return;
                }
            }
            next += batch.logs.len() as u64;
        }
    }
}

/// Returns the batch's rows of `events`, then those of each typed table, made when asked for:
/// DuckDB takes the first while the others are made.
fn prepare_batch(
    chain: u64,
    first_id: u64,
    batch: &EventBatch,
) -> Result<impl Iterator<Item = Result<Prepared>>> {
    let columns = raw_columns(chain, first_id, batch)?;
    let raw = record_batch(columns.clone()).map(|rows| Prepared { schema: None, rows });
    let decoded = batch.typed.iter().filter(|rows| !rows.row.is_empty());
    Ok(iter::once(raw).chain(decoded.map(move |rows| {
        let schema = Some(rows.schema);
        Ok(Prepared { schema, rows: record_batch(typed_columns(&columns, rows)?)? })
    })))
}

fn append_events(ledger: &DuckLedger, prepared: mpsc::Receiver<Result<Prepared>>) -> Result<()> {
    let mut tables: BTreeMap<Option<u32>, Appender<'_>> = BTreeMap::new();
    for prepared in prepared {
        let Prepared { schema, rows } = prepared?;
        let appender = match tables.entry(schema) {
            Entry::Occupied(appender) => appender.into_mut(),
            Entry::Vacant(place) => {
                let (schema, table) = table(ledger, schema)?;
                let appender = ledger.conn.appender_to_db(&table, schema);
                place.insert(appender.map_err(statement_failed)?)
            }
        };
        appender.append_record_batch(rows).map_err(statement_failed)?;
    }
    // `events` first: `None` is before every schema.
    for appender in tables.values_mut() {
        appender.flush().map_err(statement_failed)?;
    }
    Ok(())
}

/// Columns of `events`, in the table's order.
fn raw_columns(chain: u64, first_id: u64, batch: &EventBatch) -> Result<Vec<ArrayRef>> {
    let logs = &batch.logs;
    let len = logs.len();
    let known = batch.blocks.len();
    if batch.occurrence.len() != len || logs.block.iter().any(|block| *block as usize >= known) {
        return Err(LedgerError::Internal("an event batch with columns that do not fit".into()));
    }
    let block = |row: &u32| &batch.blocks[*row as usize];
    Ok(vec![
        u64s((first_id..first_id + len as u64).collect()),
        constant(chain, len),
        u64s(logs.block.iter().map(|row| block(row).0).collect()),
        fixed(len, logs.block.iter().map(|row| &block(row).1.0)),
        hashes(&logs.tx_hash),
        u32s(logs.tx_index.clone()),
        u32s(logs.log_index.clone()),
        addresses(&logs.address),
        topics(logs, 0),
        topics(logs, 1),
        topics(logs, 2),
        topics(logs, 3),
        data(logs),
        u32s(batch.occurrence.clone()),
        constant(batch.journal_seq, len),
    ])
}

/// Positions in `events` of what a typed row carries of its event, in the typed table's order.
const CARRIED: [usize; 9] = [0, 1, 2, 3, 4, 5, 6, 7, 13];

fn typed_columns(raw: &[ArrayRef], rows: &TypedRows) -> Result<Vec<ArrayRef>> {
    let len = raw[0].len();
    let is_every_row =
        rows.row.len() == len && rows.row.iter().enumerate().all(|(i, row)| i == *row as usize);
    let picked = duckdb::arrow::array::UInt32Array::from(rows.row.clone());
    let mut columns = Vec::with_capacity(CARRIED.len() + rows.columns.len());
    for position in CARRIED {
        columns.push(if is_every_row {
            raw[position].clone()
        } else {
            duckdb::arrow::compute::take(&raw[position], &picked, None)
                .map_err(|error| LedgerError::Internal(format!("typed rows: {error}")))?
        });
    }
    for column in &rows.columns {
        columns.push(decoded(column, &[])?);
    }
    Ok(columns)
}

fn write_journal(conn: &Connection, commits: &[Commit]) -> Result<()> {
    let rows: Vec<_> = commits.iter().flat_map(|commit| &commit.journal).collect();
    let len = rows.len();
    let filters = rows.iter().map(|row| row.filter.as_ref().map(|filter| &filter.0.0));
    let columns = vec![
        u64s(rows.iter().map(|row| row.seq).collect()),
        u64s(rows.iter().map(|row| row.chain.0).collect()),
        texts(rows.iter().map(|row| op_name(row.op))),
        fixed_or_null(len, filters),
        u64s(rows.iter().map(|row| row.range.first()).collect()),
        u64s(rows.iter().map(|row| row.range.last()).collect()),
        fixed_or_null(len, rows.iter().map(|row| row.block_hash.as_ref().map(|hash| &hash.0))),
        u64s(rows.iter().map(|row| row.events).collect()),
    ];
    append(conn, "main", "journal", columns)
}

/// Returns the word of the `op` column.
pub(crate) const fn op_name(op: Op) -> &'static str {
    match op {
        Op::Extend => "extend",
        Op::Revert => "revert",
        Op::Reinstate => "reinstate",
        Op::Late => "late",
        Op::Refute => "refute",
    }
}

fn write_refuted(conn: &Connection, commit: &Commit) -> Result<()> {
    for id in &commit.refuted {
        let event = crate::events::number_of(conn, id)?;
        conn.execute(
            "INSERT INTO refuted VALUES (?, ?, ?, ?, ?, ?)",
            params![
                id.chain.0,
                id.block_hash.as_slice(),
                id.tx_hash.as_slice(),
                id.digest.as_slice(),
                id.occurrence,
                event
            ],
        )
        .map_err(statement_failed)?;
    }
    Ok(())
}

fn write_incidents(conn: &Connection, commits: &[Commit]) -> Result<()> {
    let rows: Vec<_> = commits.iter().flat_map(|commit| &commit.incidents).collect();
    let flaws: Vec<String> = rows.iter().map(|row| row.flaw.to_string()).collect();
    let columns = vec![
        u64s(rows.iter().map(|row| row.chain.0).collect()),
        texts(rows.iter().map(|row| &*row.node.0)),
        u64s(rows.iter().map(|row| row.range.first()).collect()),
        u64s(rows.iter().map(|row| row.range.last()).collect()),
        texts(flaws.iter().map(String::as_str)),
        u64s(rows.iter().map(|row| row.count).collect()),
        texts(rows.iter().map(|row| row.detail.as_str())),
    ];
    append(conn, "main", "incidents", columns)
}

/// The finalized block only rises.
fn write_finalized(conn: &Connection, commit: &Commit) -> Result<()> {
    let Some(finalized) = commit.finalized else { return Ok(()) };
    let chain = commit.chain.0;
    let sql = "UPDATE chains SET finalized = greatest(finalized, ?::UBIGINT) WHERE chain = ?";
    let updated = execute_cached(conn, sql, params![finalized, chain])?;
    if updated == 0 {
        conn.execute("INSERT INTO chains VALUES (?, ?)", params![chain, finalized])
            .map_err(statement_failed)?;
    }
    Ok(())
}
