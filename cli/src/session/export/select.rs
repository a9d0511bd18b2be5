//! The statement of an export: canonical events in the order of the chain, exact in every form.
//!
//! A Parquet file keeps binary values as they are; text has them as 0x and hex. Integers wider than
//! 64 bit are decimal text everywhere, because no form of file has a number that wide; in NDJSON so
//! are those that a JSON reader would round.

use super::{Table, Wanted};
use alloy_primitives::{Address, B256, hex};
use event::{AnyOf, BlockRange, ChainId, ColumnType, EventSchema, FileForm, Filter, SchemaColumn};
use std::sync::Arc;

/// Bits of the widest integer that every JSON reader has exactly, in whole bytes.
const JSON_EXACT_BITS: u32 = 48;

/// What a table calls what every event has.
struct Own {
    chain: &'static str,
    block: &'static str,
    address: &'static str,
    evidence: &'static str,
    /// Name, and whether it is binary.
    columns: &'static [(&'static str, bool)],
    order: &'static str,
}

const TYPED: Own = Own {
    chain: "_chain",
    block: "_block",
    address: "_address",
    evidence: "_evidence",
    columns: &[
        ("_chain", false),
        ("_block", false),
        ("_block_hash", true),
        ("_tx_hash", true),
        ("_tx_index", false),
        ("_log_index", false),
        ("_address", true),
        ("_occurrence", false),
    ],
    order: "_block, _log_index, _tx_index, _tx_hash, _occurrence",
};

const RAW: Own = Own {
    chain: "chain",
    block: "block_number",
    address: "address",
    evidence: "evidence",
    columns: &[
        ("chain", false),
        ("block_number", false),
        ("block_hash", true),
        ("tx_hash", true),
        ("tx_index", false),
        ("log_index", false),
        ("address", true),
        ("topic0", true),
        ("topic1", true),
        ("topic2", true),
        ("topic3", true),
        ("data", true),
        ("occurrence", false),
    ],
    order: "block_number, log_index, tx_index, tx_hash, occurrence",
};

/// Returns the view of a table, quoted.
pub(super) fn relation(table: &Table) -> String {
    match table {
        Table::Typed(schema) => format!("{}.{}", quoted(&schema.contract), quoted(&schema.table)),
        Table::Raw => "main.events_canonical".to_owned(),
    }
}

/// Returns the statement; of `covering` every filter tells what is known of an event.
pub(super) fn statement(
    table: &Table,
    chain: ChainId,
    range: Option<BlockRange>,
    wanted: &Wanted,
    covering: &[Arc<Filter>],
) -> String {
    let own = match table {
        Table::Typed(_) => &TYPED,
        Table::Raw => &RAW,
    };
    let as_text = wanted.form != FileForm::Parquet;
    let binary = |name: &str| match as_text {
        true => format!("main.hex0x(e.{name}) AS {name}"),
        false => format!("e.{name}"),
    };
    let mut columns: Vec<String> = own
        .columns
        .iter()
        .map(|(name, is_binary)| if *is_binary { binary(name) } else { format!("e.{name}") })
        .collect();
    if let Table::Typed(schema) = table {
        columns.extend(schema.columns.iter().map(|column| {
            let name = quoted(&column.name);
            match column.ty {
                ColumnType::Blob => binary(&name),
                _ if is_wide(column, wanted.form) => format!("CAST(e.{name} AS VARCHAR) AS {name}"),
                _ => format!("e.{name}"),
            }
        }));
    }
    if wanted.with_evidence {
        columns.push(format!("{} AS {}", evidence(table, own, covering), own.evidence));
    }
    let mut conditions = vec![format!("e.{} = {chain}", own.chain)];
    match range {
        Some(range) => conditions.push(format!(
            "e.{} BETWEEN {} AND {}",
            own.block,
            range.first(),
            range.last()
        )),
        None => conditions.push("false".to_owned()),
    }
    if let Some(addresses) = AnyOf::of(wanted.addresses.iter().copied()) {
        conditions.extend(allowed(&format!("e.{}", own.address), &addresses, |a| &a.0[..]));
    }
    // A line of its own, so that a comment at its end swallows nothing.
    conditions.extend(wanted.condition.iter().map(|condition| format!("(\n{condition}\n)")));
    format!(
        "SELECT {} FROM {} AS e WHERE {} ORDER BY {}",
        columns.join(", "),
        relation(table),
        conditions.join(" AND "),
        own.order.split(", ").map(|name| format!("e.{name}")).collect::<Vec<_>>().join(", ")
    )
}

/// Returns the statement for how many logs of an event there are, and how many indexed arguments the
/// first has, where none of them is in its table. An anonymous event says nothing of whose logs are its.
pub(super) fn undecoded(schema: &EventSchema, chain: ChainId, range: BlockRange) -> Option<String> {
    let (first, last) = (range.first(), range.last());
    let table = relation(&Table::Typed(Box::new(schema.clone())));
    let mut conditions = vec![format!("e.chain = {chain}")];
    conditions.push(format!("e.block_number BETWEEN {first} AND {last}"));
    conditions.push(format!("e.topic0 = {}", blob(schema.topic0?.as_slice())));
    conditions.extend(allowed("e.address", &schema.addresses, |a: &Address| &a.0[..]));
    conditions.push(format!(
        "NOT EXISTS (SELECT 1 FROM {table} AS t WHERE t._chain = {chain} \
         AND t._block BETWEEN {first} AND {last})"
    ));
    Some(format!(
        "SELECT count(*)::UBIGINT, coalesce(min((e.topic1 IS NOT NULL)::INT \
         + (e.topic2 IS NOT NULL)::INT + (e.topic3 IS NOT NULL)::INT), 0)::UBIGINT \
         FROM main.events_canonical AS e WHERE {}",
        conditions.join(" AND ")
    ))
}

/// Whether a form of file has no number for every value of the column.
fn is_wide(column: &SchemaColumn, form: FileForm) -> bool {
    match column.ty {
        ColumnType::Bignum => true,
        ColumnType::U64 | ColumnType::I64 => {
            let digits = column.solidity.trim_start_matches(|c: char| !c.is_ascii_digit());
            let bits = digits.parse().unwrap_or(u32::MAX);
            form == FileForm::Ndjson && bits > JSON_EXACT_BITS
        }
        _ => false,
    }
}

/// Returns the expression for the strongest that is known of an event's block, of all filters that the
/// event lies in.
fn evidence(table: &Table, own: &Own, covering: &[Arc<Filter>]) -> String {
    let cases: Vec<String> = covering
        .iter()
        .filter_map(|filter| {
            let mut conditions = vec![format!("c.filter = {}", blob(&filter.id().0[..]))];
            let address = format!("e.{}", own.address);
            conditions.extend(allowed(&address, &filter.addresses, |a: &Address| &a.0[..]));
            match table {
                Table::Typed(schema) => {
                    let [first, rest @ ..] = &filter.topics;
                    let has_first = match &schema.topic0 {
                        Some(topic0) => first.allows(topic0),
                        None => first.is_any(),
                    };
                    // Of the others a decoded event does not say which topic they were.
                    (has_first && rest.iter().all(AnyOf::is_any)).then_some(())?;
                }
                Table::Raw => {
                    for (i, topics) in filter.topics.iter().enumerate() {
                        let topic = format!("e.topic{i}");
                        conditions.extend(allowed(&topic, topics, |t: &B256| &t.0[..]));
                    }
                }
            }
            Some(format!("({})", conditions.join(" AND ")))
        })
        .collect();
    if cases.is_empty() {
        return "CAST(NULL AS VARCHAR)".to_owned();
    }
    format!(
        "(SELECT max_by(c.content, CASE c.content WHEN 'claimed' THEN 0 WHEN 'bloom' THEN 1 \
         WHEN 'receipts' THEN 1000 ELSE TRY_CAST(split_part(c.content, ':', 2) AS INTEGER) END) \
         FROM main.coverage AS c WHERE c.chain = e.{} \
         AND e.{} BETWEEN c.first_block AND c.last_block AND ({}))",
        own.chain,
        own.block,
        cases.join(" OR ")
    )
}

/// Returns the condition that a column is among a set, where there is one.
fn allowed<T>(column: &str, set: &AnyOf<T>, bytes: impl Fn(&T) -> &[u8]) -> Option<String> {
    match set {
        AnyOf::Any => None,
        AnyOf::Of(values) => {
            let values: Vec<String> = values.iter().map(|value| blob(bytes(value))).collect();
            Some(format!("{column} IN ({})", values.join(", ")))
        }
    }
}

fn blob(bytes: &[u8]) -> String {
    format!("from_hex('{}')", hex::encode(bytes))
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_a_reader_would_round_are_text() {
        let column = |solidity: &str, ty| SchemaColumn {
            name: "n".into(),
            argument: "n".into(),
            solidity: solidity.into(),
            indexed: false,
            ty,
        };
        let wide = |solidity, ty, form| is_wide(&column(solidity, ty), form);
        assert!(wide("uint256", ColumnType::Bignum, FileForm::Parquet));
        assert!(wide("uint64", ColumnType::U64, FileForm::Ndjson));
        assert!(!wide("uint64", ColumnType::U64, FileForm::Csv));
        assert!(!wide("int48", ColumnType::I64, FileForm::Ndjson));
        assert!(!wide("string", ColumnType::Text, FileForm::Ndjson));
    }
}
