//! Typed tables: one physical table per decoded event, and a view that shows only what is
//! canonical and not refuted.

use crate::{
    arrow_columns::{RawLogs, decoded, fixed, u32s, u64s},
    error::{Result, statement_failed},
    events,
    sql::{atomically, number, quoted, run},
    tables::{RESERVED_SCHEMAS, TYPED_SCHEMA},
};
use duckdb::{Connection, OptionalExt, arrow::array::ArrayRef, params};
use event::{AnyOf, ColumnType, Decoder, EventSchema, LedgerError, TypedRows};

/// Events decoded at once, and per transaction, when a typed table came later than its events.
const DECODED_AT_ONCE_ROWS: u64 = 100_000;

/// Number of the newest event.
const LAST_EVENT: &str = "(SELECT coalesce(max(id), 0) FROM events)";

/// What every typed row carries of its event: name and SQL type, in the table's order.
pub(crate) const OWN_COLUMNS: [(&str, &str); 9] = [
    ("_event", "UBIGINT"),
    ("_chain", "UBIGINT"),
    ("_block", "UBIGINT"),
    ("_block_hash", "BLOB"),
    ("_tx_hash", "BLOB USING COMPRESSION uncompressed"),
    ("_tx_index", "UINTEGER"),
    ("_log_index", "UINTEGER"),
    ("_address", "BLOB"),
    ("_occurrence", "UINTEGER"),
];

/// Name of the physical table behind a view.
pub(crate) fn physical(schema: &EventSchema) -> String {
    format!("{}.{}", schema.contract, schema.table)
}

/// Returns the SQL type of a decoded column.
pub(crate) const fn sql_type(ty: ColumnType) -> &'static str {
    match ty {
        ColumnType::Bool => "BOOLEAN",
        ColumnType::U64 => "UBIGINT",
        ColumnType::I64 => "BIGINT",
        ColumnType::Bignum => "BIGNUM",
        ColumnType::F64 => "DOUBLE",
        ColumnType::Blob => "BLOB",
        ColumnType::Text | ColumnType::Json => "VARCHAR",
    }
}

/// Makes what is missing; refuses a name that stands for something else already.
pub(crate) fn prepare(conn: &Connection, schemas: &[EventSchema]) -> Result<()> {
    atomically(conn, || prepare_all(conn, schemas))
}

/// Makes what is missing and decodes stored events into it; returns the number of rows added. Whoever reads
/// meanwhile sees no table that lacks rows: all of it is one transaction, also for many events (DuckDB writes
/// the rows of a large one to the file before it ends).
pub(crate) fn prepare_and_decode(conn: &Connection, decoder: &dyn Decoder) -> Result<u64> {
    atomically(conn, || {
        prepare_all(conn, decoder.schemas())?;
        decode_stored(conn, decoder)
    })
}

fn prepare_all(conn: &Connection, schemas: &[EventSchema]) -> Result<()> {
    for schema in schemas {
        let reserved =
            RESERVED_SCHEMAS.iter().any(|name| name.eq_ignore_ascii_case(&schema.contract));
        if reserved {
            let name = &schema.contract;
            return Err(LedgerError::Sql(format!("a contract cannot be called `{name}` here")));
        }
    }
    schemas.iter().try_for_each(|schema| prepare_one(conn, schema))
}

fn prepare_one(conn: &Connection, schema: &EventSchema) -> Result<()> {
    let plugins = "SELECT count(*) FROM plugins WHERE lower(replace(plugin, '-', '_')) = lower(?)";
    let clashes: u64 =
        conn.query_row(plugins, [&schema.contract], |row| row.get(0)).map_err(statement_failed)?;
    if clashes > 0 {
        let name = &schema.contract;
        return Err(LedgerError::Sql(format!("contract `{name}` has the name of a plugin")));
    }
    let spec = serialized(schema)?;
    let stored: Option<String> = conn
        .query_row(
            "SELECT spec FROM schemas WHERE lower(contract) = lower(?) AND lower(event) = lower(?)",
            [&schema.contract, &schema.table],
            |row| row.get(0),
        )
        .optional()
        .map_err(statement_failed)?;
    let Some(stored) = stored else { return make(conn, schema, &spec) };
    let stored: EventSchema = serde_json::from_str(&stored)
        .map_err(|error| LedgerError::Internal(format!("stored schema: {error}")))?;
    let wanted = merged(&stored, schema);
    if wanted.as_ref() == Some(&stored) {
        return Ok(());
    }
    let Some(wanted) = wanted else {
        let (table, view) = places(&stored);
        if number(conn, &format!("SELECT count(*) FROM (FROM {table} LIMIT 1)"))? > 0 {
            return Err(changed(&stored, schema));
        }
        // A table that never had a row was declared otherwise than its events are logged, mostly
        // without `indexed`: it stands in the way of nothing.
        run(conn, &format!("DROP VIEW {view}; DROP TABLE {table};"))?;
        let sql = "DELETE FROM schemas WHERE contract = ? AND event = ?";
        conn.execute(sql, [&stored.contract, &stored.table]).map_err(statement_failed)?;
        return make(conn, schema, &spec);
    };
    if stored.chains.is_empty() && !wanted.chains.is_empty() {
        // What a configuration without chains, or an older program, decoded of others. It stays raw, and is
        // decoded into the table that it belongs to when that is prepared.
        let bound: Vec<String> = wanted.chains.keys().map(ToString::to_string).collect();
        let (table, _) = places(&stored);
        run(conn, &format!("DELETE FROM {table} WHERE _chain NOT IN ({});", bound.join(", ")))?;
    }
    let spec = serialized(&wanted)?;
    let sql = format!(
        "UPDATE schemas SET spec = ?, missing_through = {LAST_EVENT} WHERE contract = ? AND event = ?"
    );
    conn.execute(&sql, params![spec, stored.contract, stored.table])
        .map(|_| ())
        .map_err(statement_failed)
}

fn serialized(schema: &EventSchema) -> Result<String> {
    serde_json::to_string(schema).map_err(|error| LedgerError::Internal(format!("schema: {error}")))
}

/// What a table is for when `schema` is decoded into it, too; `None` where it cannot be.
///
/// Of each chain that is spoken of it may become more, never less. A run over one chain says nothing of the
/// others that a contract is on.
fn merged(stored: &EventSchema, schema: &EventSchema) -> Option<EventSchema> {
    let (addresses, chains) = (schema.addresses.clone(), schema.chains.clone());
    let same = EventSchema { addresses, chains, ..stored.clone() };
    if same != *schema {
        return None;
    }
    match (stored.chains.is_empty(), schema.chains.is_empty()) {
        (false, false) => {
            let mut chains = stored.chains.clone();
            for (chain, more) in &schema.chains {
                let known = chains.insert(*chain, more.clone());
                if known.is_some_and(|known| !widens(&known, more)) {
                    return None;
                }
            }
            let all = chains.values().cloned().reduce(|all, more| all.joined(&more));
            Some(EventSchema { addresses: all.unwrap_or(AnyOf::Any), chains, ..same })
        }
        // From any chain to some, or from some to any.
        _ => widens(&stored.addresses, &schema.addresses).then_some(same),
    }
}

/// Makes table and view; the events that are there already are decoded later.
fn make(conn: &Connection, schema: &EventSchema, spec: &str) -> Result<()> {
    run(conn, &statements(schema))?;
    let sql = format!("INSERT INTO schemas VALUES (?, ?, ?, ?, {LAST_EVENT})");
    let row = params![schema.contract, schema.table, schema.signature, spec];
    conn.execute(&sql, row).map(|_| ()).map_err(statement_failed)
}

/// Whether every contract of `old` is among `new`.
fn widens<T: Ord>(old: &AnyOf<T>, new: &AnyOf<T>) -> bool {
    match (old, new) {
        (_, AnyOf::Any) => true,
        (AnyOf::Any, AnyOf::Of(_)) => false,
        (AnyOf::Of(old), _) => old.iter().all(|address| new.allows(address)),
    }
}

fn changed(stored: &EventSchema, schema: &EventSchema) -> LedgerError {
    LedgerError::Sql(format!(
        "table {}.{} holds {}, not {}: use another contract name",
        stored.contract,
        stored.table,
        described(stored),
        described(schema)
    ))
}

/// `Transfer(address indexed from, ...) of 2 contracts`.
fn described(schema: &EventSchema) -> String {
    let columns: Vec<String> = schema
        .columns
        .iter()
        .map(|column| {
            let indexed = if column.indexed { " indexed" } else { "" };
            format!("{}{indexed} {}", column.solidity, column.name)
        })
        .collect();
    let name = schema.signature.split('(').next().unwrap_or_default();
    let contracts = match &schema.addresses {
        AnyOf::Any => "any contract".to_owned(),
        AnyOf::Of(one) if one.len() == 1 => one[0].to_string(),
        AnyOf::Of(many) => format!("{} contracts from {}", many.len(), many[0]),
    };
    format!("{name}({}) of {contracts}", columns.join(", "))
}

/// Returns table and view of an event, quoted.
fn places(schema: &EventSchema) -> (String, String) {
    let table = format!("{TYPED_SCHEMA}.{}", quoted(&physical(schema)));
    (table, format!("{}.{}", quoted(&schema.contract), quoted(&schema.table)))
}

/// Returns the statements that make table and view.
fn statements(schema: &EventSchema) -> String {
    let own = OWN_COLUMNS.iter().map(|(name, ty)| format!("{} {ty} NOT NULL", quoted(name)));
    let decoded = schema
        .columns
        .iter()
        .map(|column| format!("{} {}", quoted(&column.name), sql_type(column.ty)));
    let columns: Vec<String> = own.chain(decoded).collect();
    let (table, view) = places(schema);
    let contract = quoted(&schema.contract);
    format!(
        "CREATE TABLE {table} ({});
         CREATE SCHEMA IF NOT EXISTS {contract};
         CREATE VIEW {view} AS SELECT t.* EXCLUDE (_event) FROM {table} t
            WHERE NOT EXISTS (SELECT 1 FROM main.blocks b WHERE NOT b.canonical
                AND b.chain = t._chain AND b.number = t._block AND b.hash = t._block_hash)
            AND NOT EXISTS (SELECT 1 FROM main.refuted r WHERE r.event = t._event);",
        columns.join(", ")
    )
}

/// Decodes stored events into the tables that lack them; returns the number of rows added.
fn decode_stored(conn: &Connection, decoder: &dyn Decoder) -> Result<u64> {
    let missing = number(conn, "SELECT coalesce(max(missing_through), 0)::UBIGINT FROM schemas")?;
    let chains = if missing > 0 { events::chains(conn)? } else { Vec::new() };
    let mut added = 0;
    let mut after = 0;
    while after < missing {
        for chain in &chains {
            let rows = events::numbered(conn, *chain, after, DECODED_AT_ONCE_ROWS)?;
            let (typed, _) = decoder.decode(*chain, &rows.logs);
            for typed in &typed {
                added += add_missing(conn, decoder, &rows, typed)?;
            }
        }
        after = after.saturating_add(DECODED_AT_ONCE_ROWS);
    }
    // Only the tables that this decoder speaks of are whole now.
    for schema in decoder.schemas() {
        conn.execute(
            "UPDATE schemas SET missing_through = 0
                WHERE missing_through > 0 AND contract = ? AND event = ?",
            params![schema.contract, schema.table],
        )
        .map_err(statement_failed)?;
    }
    Ok(added)
}

/// Adds those of the decoded rows that the table lacks: one that another contract was added to has some.
fn add_missing(
    conn: &Connection,
    decoder: &dyn Decoder,
    rows: &RawLogs,
    typed: &TypedRows,
) -> Result<u64> {
    let schema = decoder
        .schemas()
        .get(typed.schema as usize)
        .ok_or_else(|| LedgerError::Internal("decoded rows without a schema".into()))?;
    let missing: Option<u64> = conn
        .query_row(
            "SELECT missing_through FROM schemas WHERE contract = ? AND event = ?",
            [&schema.contract, &schema.table],
            |row| row.get(0),
        )
        .optional()
        .map_err(statement_failed)?;
    if missing.unwrap_or(0) == 0 || typed.row.is_empty() {
        return Ok(0);
    }
    let physical = physical(schema);
    let table = format!("{TYPED_SCHEMA}.{}", quoted(&physical));
    run(conn, &format!("CREATE OR REPLACE TEMP TABLE decoded_late AS FROM {table} LIMIT 0"))?;
    let mut appender = conn
        .appender_to_catalog_and_db("decoded_late", "temp", "main")
        .map_err(statement_failed)?;
    let batch = crate::arrow_columns::record_batch(columns(rows, typed)?)?;
    appender
        .append_record_batch(batch)
        .and_then(|()| appender.flush())
        .map_err(statement_failed)?;
    drop(appender);
    let sql = format!(
        "INSERT INTO {table} FROM temp.decoded_late late
            WHERE NOT EXISTS (FROM {table} t WHERE t._event = late._event) ORDER BY late._event"
    );
    conn.execute(&sql, []).map(|added| added as u64).map_err(statement_failed)
}

fn columns(rows: &RawLogs, typed: &TypedRows) -> Result<Vec<ArrayRef>> {
    let picked = || typed.row.iter().map(|row| *row as usize);
    let len = typed.row.len();
    let logs = &rows.logs;
    let block = |row: usize| &rows.blocks[logs.block[row] as usize];
    let mut columns = vec![
        u64s(picked().map(|row| rows.ids[row]).collect()),
        u64s(picked().map(|row| rows.chains[row]).collect()),
        u64s(picked().map(|row| block(row).0).collect()),
        fixed(len, picked().map(|row| &block(row).1.0)),
        fixed(len, picked().map(|row| &logs.tx_hash[row].0)),
        u32s(picked().map(|row| logs.tx_index[row]).collect()),
        u32s(picked().map(|row| logs.log_index[row]).collect()),
        fixed(len, picked().map(|row| &logs.address[row].0.0)),
        u32s(picked().map(|row| rows.occurrence[row]).collect()),
    ];
    for column in &typed.columns {
        columns.push(decoded(column, &[])?);
    }
    Ok(columns)
}
