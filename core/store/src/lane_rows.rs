//! The tables that plugins declare: a physical table of versions, and a view of what holds now.

use crate::{
    arrow_columns::{constant, decoded, hashes, record_batch, u32s, u64s},
    error::{Result, statement_failed},
    few_rows::Rows,
    sql::{number, quoted, run, text},
    tables::PLUGIN_SCHEMA,
};
use duckdb::{
    Connection, OptionalExt,
    arrow::{
        array::{ArrayRef, BooleanArray, TimestampMicrosecondArray},
        compute::filter_record_batch,
    },
    params,
};
use event::{
    ColumnData, ColumnKind, Descriptor, LaneCommit, LaneId, LaneRows, LedgerError, PluginColumn,
    PluginTable,
};
use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
};

/// What every row carries beside the declared columns, in the physical table's order.
const OWN_COLUMNS: &str = "_chain_id UBIGINT NOT NULL, _generation UINTEGER NOT NULL, \
     _batch UBIGINT NOT NULL, _seq UBIGINT NOT NULL, _block_number UBIGINT NOT NULL, \
     _block_hash BLOB NOT NULL";

/// Names of [`OWN_COLUMNS`]; a plugin's own would be ambiguous.
const OWN_NAMES: [&str; 6] =
    ["_chain_id", "_generation", "_batch", "_seq", "_block_number", "_block_hash"];

/// Own columns that a view shows, after the declared ones.
pub(crate) const SHOWN_COLUMNS: &str = "_chain_id, _seq, _block_number, _block_hash";

const fn sql_type(kind: ColumnKind) -> &'static str {
    match kind {
        ColumnKind::Boolean => "BOOLEAN",
        ColumnKind::Int64 => "BIGINT",
        ColumnKind::Uint64 => "UBIGINT",
        ColumnKind::Uint256 => "BIGNUM",
        ColumnKind::Double => "DOUBLE",
        ColumnKind::Text | ColumnKind::Json => "VARCHAR",
        ColumnKind::Bytes | ColumnKind::Address | ColumnKind::Hash => "BLOB",
        ColumnKind::Timestamp => "TIMESTAMP",
    }
}

fn physical(plugin: &str, table: &PluginTable) -> String {
    format!("{plugin}.{}", table.name)
}

fn physical_quoted(plugin: &str, table: &PluginTable) -> String {
    format!("{PLUGIN_SCHEMA}.{}", quoted(&physical(plugin, table)))
}

/// Returns the tables of a plugin as they are stored.
pub(crate) fn stored_tables(conn: &Connection, plugin: &str) -> Result<Vec<PluginTable>> {
    let tables: Option<String> = conn
        .query_row("SELECT tables FROM plugins WHERE plugin = ?", [plugin], |row| row.get(0))
        .optional()
        .map_err(statement_failed)?;
    let Some(tables) = tables else { return Ok(Vec::new()) };
    serde_json::from_str(&tables)
        .map_err(|error| LedgerError::Internal(format!("stored tables of {plugin}: {error}")))
}

/// Makes tables and views that are missing; refuses a table that was made with other columns.
pub(crate) fn prepare(conn: &Connection, plugin: &str, descriptor: &Descriptor) -> Result<()> {
    let mut tables = stored_tables(conn, plugin)?;
    for table in &descriptor.tables {
        refuse_table(plugin, table)?;
        match tables.iter().find(|known| known.name.eq_ignore_ascii_case(&table.name)) {
            Some(known) if known == table => {}
            Some(known) => return Err(changed(plugin, known, table)),
            None => {
                run(conn, &statements(plugin, table))?;
                tables.push(table.clone());
            }
        }
    }
    let tables = as_json(plugin, &tables)?;
    let (version, logic) = (&descriptor.version, descriptor.logic_version);
    let updated = conn
        .execute(
            "UPDATE plugins SET version = ?, logic_version = ?, tables = ? WHERE plugin = ?",
            params![version, logic, tables, plugin],
        )
        .map_err(statement_failed)?;
    if updated == 0 {
        conn.execute(
            "INSERT INTO plugins VALUES (?, ?, ?, ?)",
            params![plugin, version, logic, tables],
        )
        .map_err(statement_failed)?;
    }
    Ok(())
}

/// Says which stored table a plugin declares otherwise now, if any.
pub(crate) fn changed_table(
    conn: &Connection,
    plugin: &str,
    descriptor: &Descriptor,
) -> Result<Option<String>> {
    let stored = stored_tables(conn, plugin)?;
    let other = stored.iter().find_map(|known| {
        let table = declared_as(known, descriptor)?;
        (known != table).then_some((known, table))
    });
    Ok(other.map(|(known, table)| {
        format!(
            "table `{}` is stored as {}, and this component has {}",
            known.name,
            described(known),
            described(table)
        )
    }))
}

/// Drops the tables that a plugin declares otherwise now, with their rows: they can hold no others.
pub(crate) fn drop_changed(conn: &Connection, plugin: &str, descriptor: &Descriptor) -> Result<()> {
    drop_where(conn, plugin, |known| {
        Ok(declared_as(known, descriptor).is_some_and(|table| table != known))
    })
}

/// Deletes rows of a lane, which `condition` picks, from tables that the plugin declares no longer, and drops
/// those tables that nothing is left in.
pub(crate) fn drop_undeclared(
    conn: &Connection,
    declared: &[PluginTable],
    lane: &LaneId,
    condition: &str,
) -> Result<()> {
    drop_where(conn, &lane.plugin, |known| {
        if declared.iter().any(|table| table.name.eq_ignore_ascii_case(&known.name)) {
            return Ok(false);
        }
        delete(conn, std::slice::from_ref(known), lane, condition)?;
        let stored = physical_quoted(&lane.plugin, known);
        Ok(number(conn, &format!("SELECT count(*)::UBIGINT FROM {stored}"))? == 0)
    })
}

/// Drops all tables and views of a plugin.
pub(crate) fn drop_all(conn: &Connection, plugin: &str) -> Result<()> {
    drop_where(conn, plugin, |_| Ok(true))?;
    run(conn, &format!("DROP SCHEMA IF EXISTS {}", quoted(&schema_of(plugin))))
}

fn drop_where(
    conn: &Connection,
    plugin: &str,
    mut is_wanted: impl FnMut(&PluginTable) -> Result<bool>,
) -> Result<()> {
    let stored = stored_tables(conn, plugin)?;
    let count = stored.len();
    let mut left = Vec::new();
    for table in stored {
        if !is_wanted(&table)? {
            left.push(table);
            continue;
        }
        let view = format!("{}.{}", quoted(&schema_of(plugin)), quoted(&table.name));
        let stored = physical_quoted(plugin, &table);
        run(conn, &format!("DROP VIEW IF EXISTS {view}; DROP TABLE IF EXISTS {stored}"))?;
    }
    if left.len() == count {
        return Ok(());
    }
    let left = as_json(plugin, &left)?;
    conn.execute("UPDATE plugins SET tables = ? WHERE plugin = ?", params![left, plugin])
        .map(|_| ())
        .map_err(statement_failed)
}

fn declared_as<'a>(known: &PluginTable, descriptor: &'a Descriptor) -> Option<&'a PluginTable> {
    descriptor.tables.iter().find(|table| table.name.eq_ignore_ascii_case(&known.name))
}

fn as_json(plugin: &str, tables: &[PluginTable]) -> Result<String> {
    serde_json::to_string(tables)
        .map_err(|error| LedgerError::Internal(format!("tables of {plugin}: {error}")))
}

fn refuse_table(plugin: &str, table: &PluginTable) -> Result<()> {
    let refuse = |what: String| {
        Err(LedgerError::Sql(format!("table `{}` of plugin `{plugin}` {what}", table.name)))
    };
    let mut names = BTreeSet::new();
    for column in &table.columns {
        let name = column.name.to_lowercase();
        if OWN_NAMES.contains(&name.as_str()) {
            return refuse(format!("declares `{name}`, which every table has"));
        }
        if !names.insert(name) {
            return refuse(format!("declares `{}` twice", column.name));
        }
    }
    if names.is_empty() {
        return refuse("declares no column".into());
    }
    match table.key.iter().find(|key| !table.columns.iter().any(|column| column.name == **key)) {
        Some(key) => refuse(format!("has `{key}` in its key but not among its columns")),
        None => Ok(()),
    }
}

fn described(table: &PluginTable) -> String {
    let columns: Vec<String> = table
        .columns
        .iter()
        .map(|column| format!("{} {}", column.name, sql_type(column.kind)))
        .collect();
    format!("({}) with key ({})", columns.join(", "), table.key.join(", "))
}

fn changed(plugin: &str, known: &PluginTable, table: &PluginTable) -> LedgerError {
    LedgerError::Sql(format!(
        "table `{}` of plugin `{plugin}` is stored as {}, not {}: give it another name",
        known.name,
        described(known),
        described(table)
    ))
}

fn statements(plugin: &str, table: &PluginTable) -> String {
    let stored = physical_quoted(plugin, table);
    let declared: Vec<String> = table.columns.iter().map(declaration).collect();
    let names: Vec<String> =
        table.columns.iter().map(|column| format!("t.{}", quoted(&column.name))).collect();
    let keys: Vec<String> = table.key.iter().map(|key| format!("t.{}", quoted(key))).collect();
    let newest = if keys.is_empty() {
        String::new()
    } else {
        format!(
            "QUALIFY row_number() OVER (PARTITION BY t._chain_id, {} ORDER BY t._batch DESC) = 1",
            keys.join(", ")
        )
    };
    let schema = quoted(&schema_of(plugin));
    format!(
        "CREATE TABLE {stored} ({OWN_COLUMNS}, {});
         CREATE SCHEMA IF NOT EXISTS {schema};
         CREATE VIEW {schema}.{} AS SELECT {}, {SHOWN_COLUMNS} FROM {stored} t
            JOIN (SELECT chain, min(generation) AS active FROM main.lanes
                WHERE plugin = {} GROUP BY chain) l
            ON l.chain = t._chain_id AND l.active = t._generation {newest};",
        declared.join(", "),
        quoted(&table.name),
        names.join(", "),
        text(plugin)
    )
}

/// Returns the SQL schema of a plugin's views: its name, with `_` for `-`, so that nobody has to
/// quote it.
pub(crate) fn schema_of(plugin: &str) -> String {
    plugin.replace('-', "_")
}

fn declaration(column: &PluginColumn) -> String {
    let null = if column.nullable { "" } else { " NOT NULL" };
    format!("{} {}{null}", quoted(&column.name), sql_type(column.kind))
}

/// Appends the rows of a commit, whose first batch gets the number after `before`. Returns how
/// many. Of rows of one batch with the same key only the last is a version.
pub(crate) fn write(
    conn: &Connection,
    tables: &[PluginTable],
    commit: &LaneCommit,
    before: u64,
) -> Result<u64> {
    let mut written = 0;
    for (number, table) in tables.iter().enumerate() {
        let own: Vec<&LaneRows> =
            commit.rows.iter().filter(|rows| rows.rows.table == number).collect();
        if own.iter().all(|rows| rows.rows.seq.is_empty()) {
            continue;
        }
        let kept = last_of_each_key(table, &own)?;
        let stored = physical(&commit.lane.plugin, table);
        let count = own.iter().map(|rows| rows.rows.seq.len()).sum();
        let mut appending = Rows::to(conn, PLUGIN_SCHEMA, &stored, count)?;
        for (rows, kept) in own.iter().zip(kept) {
            let batch = record_batch(columns(table, commit, rows, before)?)?;
            let batch = if kept.iter().all(|keep| *keep) {
                batch
            } else {
                filter_record_batch(&batch, &BooleanArray::from(kept))
                    .map_err(|error| LedgerError::Internal(format!("plugin rows: {error}")))?
            };
            written += batch.num_rows() as u64;
            appending.append(batch)?;
        }
        appending.finish()?;
    }
    match commit.rows.iter().find(|rows| rows.rows.table >= tables.len()) {
        Some(rows) => misfit(&commit.lane.plugin, &format!("has no table {}", rows.rows.table)),
        None => Ok(written),
    }
}

fn misfit<T>(plugin: &str, what: &str) -> Result<T> {
    Err(LedgerError::Internal(format!("plugin {plugin} {what}")))
}

fn columns(
    table: &PluginTable,
    commit: &LaneCommit,
    rows: &LaneRows,
    before: u64,
) -> Result<Vec<ArrayRef>> {
    let len = rows.rows.seq.len();
    let own_fit = rows.block_number.len() == len
        && rows.block_hash.len() == len
        && (rows.batch as usize) < commit.batches.len()
        && rows.rows.columns.len() == table.columns.len()
        && rows.rows.columns.iter().all(|column| column.len() == len);
    if !own_fit {
        return misfit(&commit.lane.plugin, "wrote rows whose columns do not fit");
    }
    let mut columns = vec![
        constant(commit.lane.chain.0, len),
        u32s(vec![commit.generation; len]),
        constant(before + 1 + u64::from(rows.batch), len),
        u64s(rows.rows.seq.clone()),
        u64s(rows.block_number.clone()),
        hashes(&rows.block_hash),
    ];
    for (position, (declared, values)) in table.columns.iter().zip(&rows.rows.columns).enumerate() {
        let nulls = rows.rows.nulls.get(position).map_or(&[][..], Vec::as_slice);
        columns.push(declared_column(declared, values, nulls)?);
    }
    Ok(columns)
}

fn declared_column(
    declared: &PluginColumn,
    values: &ColumnData,
    nulls: &[u32],
) -> Result<ArrayRef> {
    let fits = matches!(
        (declared.kind, values),
        (ColumnKind::Boolean, ColumnData::Bool(_))
            | (ColumnKind::Int64 | ColumnKind::Timestamp, ColumnData::I64(_))
            | (ColumnKind::Uint64, ColumnData::U64(_))
            | (ColumnKind::Double, ColumnData::F64(_))
            | (ColumnKind::Uint256 | ColumnKind::Text | ColumnKind::Json, ColumnData::Text(_))
            | (ColumnKind::Bytes | ColumnKind::Address | ColumnKind::Hash, ColumnData::Blob(_))
    );
    let name = &declared.name;
    if !fits {
        return Err(LedgerError::Internal(format!("column {name} got values of another kind")));
    }
    match (declared.kind, values) {
        (ColumnKind::Timestamp, ColumnData::I64(seconds)) => {
            let nulls: HashSet<u32> = nulls.iter().copied().collect();
            let mut micros = Vec::with_capacity(seconds.len());
            for (row, seconds) in seconds.iter().enumerate() {
                let value = seconds.checked_mul(1_000_000);
                let is_null = nulls.contains(&(row as u32));
                if value.is_none() && !is_null {
                    let what = format!("column {name}: {seconds} s is no time");
                    return Err(LedgerError::Internal(what));
                }
                micros.push(value.filter(|_| !is_null));
            }
            Ok(Arc::new(TimestampMicrosecondArray::from(micros)))
        }
        // The cast of an empty text to BIGNUM fails even where the row is NULL.
        (ColumnKind::Uint256, ColumnData::Text(values)) if !nulls.is_empty() => {
            let nulls: HashSet<u32> = nulls.iter().copied().collect();
            let texts = (0..values.len()).map(|row| {
                let text = std::str::from_utf8(values.get(row)).unwrap_or("not UTF-8");
                (!nulls.contains(&(row as u32))).then_some(text)
            });
            Ok(Arc::new(texts.collect::<duckdb::arrow::array::StringArray>()))
        }
        _ => decoded(values, nulls),
    }
}

/// Says of each row whether it is the last of its batch with its key.
fn last_of_each_key(table: &PluginTable, rows: &[&LaneRows]) -> Result<Vec<Vec<bool>>> {
    let mut kept: Vec<Vec<bool>> =
        rows.iter().map(|rows| vec![true; rows.rows.seq.len()]).collect();
    if table.key.is_empty() {
        return Ok(kept);
    }
    let positions: Vec<usize> = table
        .columns
        .iter()
        .enumerate()
        .filter(|(_, column)| table.key.contains(&column.name))
        .map(|(position, _)| position)
        .collect();
    let mut seen: HashSet<Vec<u8>> = HashSet::new();
    for (rows, kept) in rows.iter().zip(&mut kept).rev() {
        for row in (0..rows.rows.seq.len()).rev() {
            let mut key = rows.batch.to_be_bytes().to_vec();
            for position in &positions {
                let Some(values) = rows.rows.columns.get(*position) else {
                    return misfit(&table.name, "wrote rows without a key");
                };
                let nulls = rows.rows.nulls.get(*position);
                push_key(&mut key, values, nulls.is_some_and(|n| n.contains(&(row as u32))), row);
            }
            kept[row] = seen.insert(key);
        }
    }
    Ok(kept)
}

/// Appends one value of a key so that no two keys run into each other.
fn push_key(key: &mut Vec<u8>, values: &ColumnData, is_null: bool, row: usize) {
    key.push(u8::from(is_null));
    if is_null || row >= values.len() {
        return;
    }
    match values {
        ColumnData::Bool(values) => key.push(u8::from(values[row])),
        ColumnData::U64(values) => key.extend(values[row].to_be_bytes()),
        ColumnData::I64(values) => key.extend(values[row].to_be_bytes()),
        ColumnData::F64(values) => key.extend(values[row].to_be_bytes()),
        ColumnData::Text(values) | ColumnData::Blob(values) => {
            key.extend((values.get(row).len() as u64).to_be_bytes());
            key.extend_from_slice(values.get(row));
        }
    }
}

/// Deletes the rows of a lane that `condition` picks.
pub(crate) fn delete(
    conn: &Connection,
    tables: &[PluginTable],
    lane: &LaneId,
    condition: &str,
) -> Result<()> {
    tables.iter().try_for_each(|table| {
        let (stored, chain) = (physical_quoted(&lane.plugin, table), lane.chain);
        run(conn, &format!("DELETE FROM {stored} WHERE _chain_id = {chain} AND {condition}"))
    })
}

/// Drops versions that a newer one, at or below batch `floor`, supersedes.
pub(crate) fn compact(
    conn: &Connection,
    tables: &[PluginTable],
    lane: &LaneId,
    generation: u32,
    floor: u64,
) -> Result<()> {
    for table in tables.iter().filter(|table| !table.key.is_empty()) {
        let stored = physical_quoted(&lane.plugin, table);
        let chain = lane.chain;
        let own =
            format!("_chain_id = {chain} AND _generation = {generation} AND _batch <= {floor}");
        let keys: Vec<String> = table.key.iter().map(|key| quoted(key)).collect();
        let same: Vec<String> =
            keys.iter().map(|key| format!("t.{key} IS NOT DISTINCT FROM n.{key}")).collect();
        let keys = keys.join(", ");
        run(
            conn,
            &format!(
                "DELETE FROM {stored} AS t USING
                    (SELECT {keys}, max(_batch) AS newest FROM {stored} WHERE {own}
                        GROUP BY {keys} HAVING count(*) > 1) AS n
                    WHERE {own} AND {} AND t._batch < n.newest",
                same.join(" AND ")
            ),
        )?;
    }
    Ok(())
}

/// Returns the number of versions stored for a plugin.
pub(crate) fn count(conn: &Connection, plugin: &str) -> Result<u64> {
    let mut versions = 0;
    for table in stored_tables(conn, plugin)? {
        let stored = physical_quoted(plugin, &table);
        versions += number(conn, &format!("SELECT count(*)::UBIGINT FROM {stored}"))?;
    }
    Ok(versions)
}
