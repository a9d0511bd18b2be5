//! Lanes: what plugins wrote, as versions tagged with their batch, in one transaction with the
//! cursor. Undoing is deleting the newer versions.
//!
//! Several generations of a lane may be stored while a rebuild runs: the oldest is the one that
//! views show, the newest the one that is written.
//!
//! Where nothing of a lane's row changes but how far it is, the row stays as it is and the newest batch carries
//! the cursor; the view `lanes` shows the newer of both.

use crate::{
    arrow_columns::{self, append, constant, u32s},
    components,
    error::{Result, statement_failed},
    failing,
    failpoint::Failpoints,
    lane_rows, outbox,
    sql::{atomically, execute_cached, number, run, text},
    tables::RESERVED_SCHEMAS,
};
use duckdb::{
    Connection, OptionalExt, ToSql,
    arrow::array::{ArrayRef, BinaryArray, UInt32Array, UInt64Array},
    params, params_from_iter,
};
use event::{
    BlockRange, Cursor, DeadLetter, Descriptor, LaneCommit, LaneId, LaneState, LedgerError,
    PluginState, PluginTable, Writer,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Superseded versions are looked for once so many versions were written, or as many as were
/// left the last time, whichever is more: so the work stays proportional to what is written.
const COMPACT_AFTER_VERSIONS: u64 = 200_000;

/// Who writes the lanes of a plugin, as it was let in.
#[derive(Debug)]
pub(crate) struct Opened {
    tables: Vec<PluginTable>,
    version: String,
    logic_version: u32,
    /// Digest of the component, in hex.
    component: Option<String>,
}

/// What the writer remembers of the lanes it opened.
#[derive(Debug, Default)]
pub(crate) struct Lanes {
    plugins: BTreeMap<String, Opened>,
    /// The newest row of each lane as it was last written: there is no other writer.
    rows: LaneRows,
    versions_since_compaction: u64,
    versions_left: u64,
}

impl Lanes {
    /// Forgets the rows of a plugin's lanes: they were changed beside it.
    pub(crate) fn forget_plugin(&mut self, plugin: &str) {
        self.rows.retain(|lane, _| lane.plugin != plugin);
    }

    /// Forgets a plugin whose lanes are gone.
    pub(crate) fn close_plugin(&mut self, plugin: &str) {
        self.forget_plugin(plugin);
        self.plugins.remove(plugin);
    }
}

/// The stored row of a lane.
#[derive(Clone, Debug)]
pub(crate) struct LaneRow {
    generation: u32,
    start_block: u64,
    undo_floor: u64,
    cursor: Cursor,
    last_batch: u64,
    halted: Option<String>,
    retry_from: Option<u64>,
    /// Whether the cursor may be with the newest batch, and not in the lane's record.
    is_carried: bool,
}

/// Makes the tables of a plugin and returns its lane as it stands.
pub(crate) fn open(
    conn: &Connection,
    lanes: &mut Lanes,
    lane: &LaneId,
    descriptor: &Descriptor,
) -> Result<LaneState> {
    prepare(conn, lanes, lane, (descriptor, None))?;
    as_it_stands(conn, lane)
}

/// Opens a lane for this writer, or says why it is held.
pub(crate) fn open_for(
    conn: &Connection,
    lanes: &mut Lanes,
    lane: &LaneId,
    writer: &Writer,
) -> Result<LaneState> {
    let held = atomically(conn, || components::admit(conn, lane, writer))?;
    // Those of other chains may be handled anew, too.
    lanes.forget_plugin(&lane.plugin);
    if held.is_some() {
        return Ok(LaneState { held, ..as_it_stands(conn, lane)? });
    }
    let component = writer.component.as_ref().map(alloy_primitives::hex::encode);
    prepare(conn, lanes, lane, (&writer.descriptor, component))?;
    as_it_stands(conn, lane)
}

fn prepare(
    conn: &Connection,
    lanes: &mut Lanes,
    lane: &LaneId,
    (descriptor, component): (&Descriptor, Option<String>),
) -> Result<()> {
    atomically(conn, || {
        refuse_name(conn, &lane.plugin)?;
        lane_rows::prepare(conn, &lane.plugin, descriptor)
    })?;
    let opened = Opened {
        tables: descriptor.tables.clone(),
        version: descriptor.version.clone(),
        logic_version: descriptor.logic_version,
        component,
    };
    lanes.plugins.insert(lane.plugin.clone(), opened);
    lanes.rows.remove(lane);
    Ok(())
}

fn as_it_stands(conn: &Connection, lane: &LaneId) -> Result<LaneState> {
    let failing = failing::read(conn, lane)?;
    let Some(row) = newest(conn, lane)? else {
        return Ok(LaneState { generation: 1, failing, ..LaneState::default() });
    };
    // What begins anew does so in a generation of its own, also where its rows could be undone: they are
    // shown until then, and tables that another component has no longer are left behind with them.
    let begins_anew = row.retry_from.is_some_and(|block| block <= row.start_block);
    let undo_floor = if begins_anew { row.start_block.saturating_add(1) } else { 0 };
    Ok(LaneState {
        cursor: Some(row.cursor),
        generation: row.generation,
        start_block: row.start_block,
        undo_floor: row.undo_floor.max(undo_floor),
        batches: batches(conn, lane, row.generation)?,
        state: state(conn, lane, row.generation)?,
        halted: row.halted,
        retry_from: row.retry_from,
        held: None,
        failing,
    })
}

fn refuse_name(conn: &Connection, plugin: &str) -> Result<()> {
    let schema = lane_rows::schema_of(plugin);
    if plugin.is_empty() || RESERVED_SCHEMAS.iter().any(|name| name.eq_ignore_ascii_case(&schema)) {
        return Err(LedgerError::Sql(format!("a plugin cannot be called `{plugin}`")));
    }
    let sql = "SELECT min(contract) FROM schemas WHERE lower(contract) = lower(?)";
    let contract: Option<String> =
        conn.query_row(sql, [&schema], |row| row.get(0)).map_err(statement_failed)?;
    if let Some(contract) = contract {
        let clash = format!("plugin `{plugin}` has the name of contract `{contract}`: rename one");
        return Err(LedgerError::Sql(clash));
    }
    let sql = "SELECT min(plugin) FROM plugins
        WHERE lower(replace(plugin, '-', '_')) = lower(?) AND plugin <> ?";
    let other: Option<String> = conn
        .query_row(sql, [schema.as_str(), plugin], |row| row.get(0))
        .map_err(statement_failed)?;
    match other {
        Some(other) => {
            let clash =
                format!("plugins `{plugin}` and `{other}` would have the same tables: rename one");
            Err(LedgerError::Sql(clash))
        }
        None => Ok(()),
    }
}

fn newest(conn: &Connection, lane: &LaneId) -> Result<Option<LaneRow>> {
    stored(conn, lane, "ORDER BY generation DESC LIMIT 1")
}

fn stored(conn: &Connection, lane: &LaneId, which: &str) -> Result<Option<LaneRow>> {
    let sql = format!(
        "SELECT generation, start_block, undo_floor, next_block, next_seq, next_batch, journal_seq,
            last_batch, halted, retry_from FROM lanes WHERE plugin = ? AND chain = ? {which}"
    );
    conn.query_row(&sql, params![lane.plugin, lane.chain.0], |row| {
        Ok(LaneRow {
            generation: row.get(0)?,
            start_block: row.get(1)?,
            undo_floor: row.get(2)?,
            cursor: Cursor {
                next_block: row.get(3)?,
                next_seq: row.get(4)?,
                next_batch: row.get(5)?,
                journal_seq: row.get(6)?,
            },
            last_batch: row.get(7)?,
            halted: row.get(8)?,
            retry_from: row.get(9)?,
            is_carried: true,
        })
    })
    .optional()
    .map_err(statement_failed)
}

/// SQL that picks the rows of one generation of a lane from a table that counts them.
pub(crate) fn of_lane(lane: &LaneId, generation: u32) -> String {
    let (plugin, chain) = (text(&lane.plugin), lane.chain);
    format!("plugin = {plugin} AND chain = {chain} AND generation = {generation}")
}

fn batches(conn: &Connection, lane: &LaneId, generation: u32) -> Result<Vec<BlockRange>> {
    let sql = format!(
        "SELECT first_block, last_block FROM lane_batches WHERE {} ORDER BY batch",
        of_lane(lane, generation)
    );
    let mut statement = conn.prepare(&sql).map_err(statement_failed)?;
    let rows = statement.query_map([], |row| {
        BlockRange::try_from((row.get(0)?, row.get(1)?))
            .map_err(|error| crate::sql::wrong_text(0, error))
    });
    rows.and_then(Iterator::collect).map_err(statement_failed)
}

fn state(conn: &Connection, lane: &LaneId, generation: u32) -> Result<PluginState> {
    let sql = format!(
        "SELECT key, value FROM (SELECT key, value FROM plugin_state WHERE {}
            QUALIFY row_number() OVER (PARTITION BY key ORDER BY batch DESC) = 1)
        WHERE value IS NOT NULL",
        of_lane(lane, generation)
    );
    let mut statement = conn.prepare(&sql).map_err(statement_failed)?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
    rows.and_then(Iterator::collect).map_err(statement_failed)
}

/// What a transaction wrote, to be remembered once it is in the file.
#[derive(Default)]
pub(crate) struct Written {
    rows: LaneRows,
    versions: u64,
}

/// The newest row of each lane.
pub(crate) type LaneRows = BTreeMap<LaneId, LaneRow>;

impl Lanes {
    /// Returns what is remembered, for a transaction: after an error it is read from the file again.
    pub(crate) fn take_rows(&mut self) -> LaneRows {
        std::mem::take(&mut self.rows)
    }

    /// Remembers what is in the file now.
    pub(crate) fn on_written(&mut self, written: Written) {
        self.rows = written.rows;
        self.versions_since_compaction += written.versions;
    }
}

/// Applies what lanes wrote, all of it or nothing.
pub(crate) fn apply(
    conn: &Connection,
    lanes: &mut Lanes,
    failpoints: &Failpoints,
    commits: &[LaneCommit],
) -> Result<()> {
    if commits.is_empty() {
        return Ok(());
    }
    compact_when_due(conn, lanes)?;
    let rows = lanes.take_rows();
    let written = atomically(conn, || write(conn, lanes, rows, failpoints, commits))?;
    lanes.on_written(written);
    failpoints.pass("store.lane.after_commit");
    Ok(())
}

/// Drops old versions where many were written, in a transaction of its own.
pub(crate) fn compact_when_due(conn: &Connection, lanes: &mut Lanes) -> Result<()> {
    let is_due = lanes.versions_since_compaction > COMPACT_AFTER_VERSIONS.max(lanes.versions_left);
    if is_due { compact(conn, lanes) } else { Ok(()) }
}

/// Writes what lanes wrote into the open transaction.
pub(crate) fn write(
    conn: &Connection,
    lanes: &Lanes,
    rows: LaneRows,
    failpoints: &Failpoints,
    commits: &[LaneCommit],
) -> Result<Written> {
    let mut written = Written { rows, versions: 0 };
    for commit in commits {
        let opened = lanes.plugins.get(&commit.lane.plugin);
        let opened = opened.ok_or_else(|| fault(&commit.lane, "was not opened"))?;
        let stored = match written.rows.remove(&commit.lane) {
            Some(row) => Some(row),
            None => newest(conn, &commit.lane)?,
        };
        let (row, versions) = apply_one(conn, opened, commit, stored)?;
        written.rows.insert(commit.lane.clone(), row);
        written.versions += versions;
    }
    if !commits.is_empty() {
        failpoints.pass("store.lane.before_commit");
    }
    Ok(written)
}

fn fault(lane: &LaneId, what: &str) -> LedgerError {
    LedgerError::Internal(format!("lane {} on chain {} {what}", lane.plugin, lane.chain))
}

/// Returns the row of the lane as it stands then, and the number of versions written.
fn apply_one(
    conn: &Connection,
    opened: &Opened,
    commit: &LaneCommit,
    newest: Option<LaneRow>,
) -> Result<(LaneRow, u64)> {
    let (lane, tables) = (&commit.lane, opened.tables.as_slice());
    let generation = commit.generation;
    if newest.as_ref().map(|row| row.cursor) != commit.before {
        return Err(fault(lane, "was moved by someone else"));
    }
    // The first commit of a rebuild opens a generation of its own, which has nothing yet.
    if newest.as_ref().is_some_and(|row| row.generation < generation) {
        // It enqueues again what still holds.
        outbox::cancel(conn, lane, &format!("generation < {generation}"))?;
    }
    let row = newest.filter(|row| row.generation == generation);
    let before = row.as_ref().map_or(0, |row| row.last_batch);
    let old_floor = row.as_ref().map_or(0, |row| row.undo_floor);
    if let Some(from) = commit.undo_from {
        if from < old_floor {
            return Err(fault(lane, &format!("cannot go back to {from}: below {old_floor}")));
        }
        undo(conn, tables, lane, generation, from)?;
    }
    let mut written = lane_rows::write(conn, tables, commit, before)?;
    written += write_state(conn, commit, before)?;
    let mut written_row = LaneRow {
        generation,
        start_block: row.as_ref().map_or(commit.start_block, |row| row.start_block),
        undo_floor: old_floor.max(commit.undo_floor),
        cursor: commit.after,
        last_batch: before + commit.batches.len() as u64,
        halted: commit.halted.clone(),
        // What was asked for is done once the lane has gone back that far.
        retry_from: (row.as_ref().and_then(|row| row.retry_from))
            .filter(|from| *from < commit.after.next_block),
        is_carried: false,
    };
    written_row.is_carried = can_carry(commit, row.as_ref(), &written_row);
    write_batches(conn, commit, before, written_row.is_carried)?;
    if commit.undo_floor > old_floor {
        drop_final_batches(conn, commit)?;
    }
    outbox::write(conn, commit, before)?;
    for letter in &commit.dead_letters {
        write_letter(conn, lane, generation, letter)?;
    }
    if !written_row.is_carried {
        write_lane(conn, commit, opened, (row.as_ref(), &written_row))?;
    }
    if commit.drop_older {
        drop_older(conn, tables, lane, generation)?;
    }
    Ok((written_row, written))
}

/// Whether nothing changes of a lane's record but how far it is, and the newest batch is there to carry that.
fn can_carry(commit: &LaneCommit, before: Option<&LaneRow>, row: &LaneRow) -> bool {
    let Some(before) = before else { return false };
    let newest = commit.batches.last();
    let same = (row.start_block, row.undo_floor, &row.halted, row.retry_from);
    same == (before.start_block, before.undo_floor, &before.halted, before.retry_from)
        && commit.undo_from.is_none()
        && newest.is_some_and(|batch| batch.first() >= row.undo_floor)
}

/// Deletes everything that derives from blocks at or above `from`.
fn undo(
    conn: &Connection,
    tables: &[PluginTable],
    lane: &LaneId,
    generation: u32,
    from: u64,
) -> Result<()> {
    let own = of_lane(lane, generation);
    let sql = format!(
        "SELECT batch, first_block FROM lane_batches WHERE {own} AND last_block >= {from}
            ORDER BY batch LIMIT 1"
    );
    let found: Option<(u64, u64)> = conn
        .query_row(&sql, [], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()
        .map_err(statement_failed)?;
    run(conn, &format!("DELETE FROM dead_letters WHERE {own} AND block_number >= {from}"))?;
    let Some((batch, first)) = found else { return Ok(()) };
    if first < from {
        return Err(fault(lane, &format!("cannot undo half of the batch from block {first}")));
    }
    run(
        conn,
        &format!(
            "DELETE FROM lane_batches WHERE {own} AND batch >= {batch};
             DELETE FROM plugin_state WHERE {own} AND batch >= {batch}"
        ),
    )?;
    outbox::cancel(conn, lane, &format!("generation = {generation} AND batch >= {batch}"))?;
    lane_rows::delete(
        conn,
        tables,
        lane,
        &format!("_generation = {generation} AND _batch >= {batch}"),
    )
}

/// Batch and key, and what is written there.
type KeyWrite<'a> = ((u32, &'a [u8]), Option<&'a [u8]>);

fn write_state(conn: &Connection, commit: &LaneCommit, before: u64) -> Result<u64> {
    let mut rows: Vec<KeyWrite<'_>> = Vec::new();
    for (batch, writes) in &commit.state {
        if *batch as usize >= commit.batches.len() {
            return Err(fault(&commit.lane, "wrote state for a batch that is not there"));
        }
        rows.extend(writes.iter().map(|(key, value)| ((*batch, key.as_slice()), value.as_deref())));
    }
    // The last write of a key in a batch wins. A lane has them in order already.
    rows.reverse();
    rows.sort_by_key(|(key, _)| *key);
    rows.dedup_by_key(|(key, _)| *key);
    let len = rows.len();
    let columns = vec![
        arrow_columns::texts(std::iter::repeat_n(commit.lane.plugin.as_str(), len)),
        constant(commit.lane.chain.0, len),
        Arc::new(UInt32Array::from(vec![commit.generation; len])),
        arrow_columns::u64s(
            rows.iter().map(|((batch, _), _)| before + 1 + u64::from(*batch)).collect(),
        ),
        Arc::new(BinaryArray::from_iter_values(rows.iter().map(|((_, key), _)| *key))),
        Arc::new(rows.iter().map(|(_, value)| *value).collect::<BinaryArray>()),
    ];
    append(conn, "main", "plugin_state", columns)?;
    Ok(len as u64)
}

/// Notes the batches that the lane may have to go back to; the last one perhaps with the cursor.
fn write_batches(conn: &Connection, commit: &LaneCommit, before: u64, carries: bool) -> Result<()> {
    let numbered = (before + 1..).zip(&commit.batches);
    let rows: Vec<(u64, &BlockRange)> =
        numbered.filter(|(_, batch)| batch.first() >= commit.undo_floor).collect();
    let len = rows.len();
    let carried = |value: u64| -> ArrayRef {
        let of_row = |row: usize| (carries && row + 1 == len).then_some(value);
        Arc::new((0..len).map(of_row).collect::<UInt64Array>())
    };
    let Cursor { next_block, next_seq, next_batch, journal_seq } = commit.after;
    let columns = vec![
        arrow_columns::texts(std::iter::repeat_n(commit.lane.plugin.as_str(), len)),
        constant(commit.lane.chain.0, len),
        u32s(vec![commit.generation; len]),
        arrow_columns::u64s(rows.iter().map(|(number, _)| *number).collect()),
        arrow_columns::u64s(rows.iter().map(|(_, batch)| batch.first()).collect()),
        arrow_columns::u64s(rows.iter().map(|(_, batch)| batch.last()).collect()),
        carried(next_block),
        carried(next_seq),
        carried(next_batch),
        carried(journal_seq),
    ];
    append(conn, "main", "lane_batches", columns)
}

/// Forgets the batches that are final: nothing goes back to them.
fn drop_final_batches(conn: &Connection, commit: &LaneCommit) -> Result<()> {
    let sql = "DELETE FROM lane_batches
        WHERE plugin = ? AND chain = ? AND generation = ? AND first_block < ?";
    let LaneId { plugin, chain } = &commit.lane;
    execute_cached(conn, sql, params![plugin, chain.0, commit.generation, commit.undo_floor])
        .map(|_| ())
}

fn write_letter(
    conn: &Connection,
    lane: &LaneId,
    generation: u32,
    letter: &DeadLetter,
) -> Result<()> {
    let seq = letter.seq;
    let own = of_lane(lane, generation);
    run(conn, &format!("DELETE FROM dead_letters WHERE {own} AND seq = {seq}"))?;
    conn.execute(
        "INSERT INTO dead_letters VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        params![
            lane.plugin,
            lane.chain.0,
            generation,
            seq,
            letter.block,
            letter.event.block_hash.as_slice(),
            letter.event.tx_hash.as_slice(),
            letter.event.digest.as_slice(),
            letter.event.occurrence,
            letter.class,
            letter.reason,
            letter.attempts
        ],
    )
    .map(|_| ())
    .map_err(statement_failed)
}

/// Writes what changed of a lane's row: an `UPDATE` takes its time for each column.
fn write_lane(
    conn: &Connection,
    commit: &LaneCommit,
    opened: &Opened,
    (before, row): (Option<&LaneRow>, &LaneRow),
) -> Result<()> {
    let (lane, generation) = (&commit.lane, row.generation);
    let changed = match before {
        None => {
            // Delivery numbers go on over generations; this one begins here.
            let first_seq = commit.before.map_or(1, |before| before.next_seq);
            let sql =
                "INSERT INTO lane_records (plugin, chain, generation, start_block, undo_floor,
                next_block, next_seq, next_batch, journal_seq, last_batch, halted, retry_from,
                component, version, logic_version, first_seq)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
            let Cursor { next_block, next_seq, next_batch, journal_seq } = row.cursor;
            conn.execute(
                sql,
                params![
                    lane.plugin,
                    lane.chain.0,
                    generation,
                    row.start_block,
                    row.undo_floor,
                    next_block,
                    next_seq,
                    next_batch,
                    journal_seq,
                    row.last_batch,
                    row.halted,
                    row.retry_from,
                    opened.component,
                    opened.version,
                    opened.logic_version,
                    first_seq
                ],
            )
            .map_err(statement_failed)?
        }
        Some(before) => {
            let (old, new) = (numbers(before), numbers(row));
            // A cursor that came with its batch is not in the record yet.
            let moved = old.iter().zip(&new).filter(|(old, new)| before.is_carried || old != new);
            let (mut columns, values): (Vec<String>, Vec<u64>) =
                moved.map(|(_, (column, value))| (format!("{column} = ?"), *value)).unzip();
            // In the text: a parameter that is NULL is planned anew.
            if before.halted != row.halted {
                let halted = row.halted.as_deref().map_or_else(|| "NULL".to_owned(), text);
                columns.push(format!("halted = {halted}"));
            }
            if before.retry_from != row.retry_from {
                columns.push("retry_from = NULL".to_owned());
            }
            if columns.is_empty() {
                return Ok(());
            }
            let sql = format!(
                "UPDATE lane_records SET {} WHERE plugin = ? AND chain = ? AND generation = ?",
                columns.join(", ")
            );
            let (plugin, chain) = (&lane.plugin, lane.chain.0);
            let values = values.iter().map(|value| value as &dyn ToSql);
            let all = values.chain([plugin as &dyn ToSql, &chain, &generation]);
            execute_cached(conn, &sql, params_from_iter(all))?
        }
    };
    if changed == 1 { Ok(()) } else { Err(fault(lane, &format!("is stored {changed} times"))) }
}

/// The columns of a lane's row that count something.
const fn numbers(row: &LaneRow) -> [(&'static str, u64); 7] {
    let Cursor { next_block, next_seq, next_batch, journal_seq } = row.cursor;
    [
        ("start_block", row.start_block),
        ("undo_floor", row.undo_floor),
        ("next_block", next_block),
        ("next_seq", next_seq),
        ("next_batch", next_batch),
        ("journal_seq", journal_seq),
        ("last_batch", row.last_batch),
    ]
}

fn drop_older(
    conn: &Connection,
    tables: &[PluginTable],
    lane: &LaneId,
    generation: u32,
) -> Result<()> {
    let (plugin, chain) = (text(&lane.plugin), lane.chain);
    for table in ["lane_records", "lane_batches", "plugin_state", "dead_letters"] {
        run(
            conn,
            &format!(
                "DELETE FROM {table} WHERE plugin = {plugin} AND chain = {chain}
                    AND generation < {generation}"
            ),
        )?;
    }
    let older = format!("_generation < {generation}");
    lane_rows::delete(conn, tables, lane, &older)?;
    lane_rows::drop_undeclared(conn, tables, lane, &older)
}

/// Drops versions that a newer one supersedes and that no undo can bring back.
pub(crate) fn compact(conn: &Connection, lanes: &mut Lanes) -> Result<()> {
    let mut statement = conn
        .prepare(
            "SELECT l.plugin, l.chain, l.generation, l.last_batch, min(b.batch)
            FROM lanes l LEFT JOIN lane_batches b USING (plugin, chain, generation)
            GROUP BY ALL ORDER BY ALL",
        )
        .map_err(statement_failed)?;
    let rows = statement.query_map([], |row| {
        let last: u64 = row.get(3)?;
        let undoable: Option<u64> = row.get(4)?;
        let floor = undoable.map_or(last, |batch| batch.saturating_sub(1));
        let lane = LaneId { plugin: row.get(0)?, chain: event::ChainId(row.get(1)?) };
        Ok((lane, row.get::<_, u32>(2)?, floor))
    });
    let floors: Vec<(LaneId, u32, u64)> =
        rows.and_then(Iterator::collect).map_err(statement_failed)?;
    if floors.is_empty() {
        return Ok(());
    }
    let left = atomically(conn, || {
        let mut plugins = BTreeSet::new();
        for (lane, generation, floor) in &floors {
            let tables = lane_rows::stored_tables(conn, &lane.plugin)?;
            lane_rows::compact(conn, &tables, lane, *generation, *floor)?;
            compact_state(conn, lane, *generation, *floor)?;
            plugins.insert(lane.plugin.clone());
        }
        let mut left = number(conn, "SELECT count(*)::UBIGINT FROM plugin_state")?;
        for plugin in plugins {
            left += lane_rows::count(conn, &plugin)?;
        }
        Ok(left)
    })?;
    lanes.versions_since_compaction = 0;
    lanes.versions_left = left;
    Ok(())
}

fn compact_state(conn: &Connection, lane: &LaneId, generation: u32, floor: u64) -> Result<()> {
    let own = of_lane(lane, generation);
    run(
        conn,
        &format!(
            "DELETE FROM plugin_state USING
                (SELECT key, max(batch) AS newest FROM plugin_state
                    WHERE {own} AND batch <= {floor} GROUP BY key HAVING count(*) > 1) AS n
                WHERE {own} AND plugin_state.key = n.key AND plugin_state.batch < n.newest;
             DELETE FROM plugin_state WHERE {own} AND batch <= {floor} AND value IS NULL"
        ),
    )
}
