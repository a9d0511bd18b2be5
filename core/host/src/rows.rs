//! Checks emitted columns against the declared table and turns them into ledger columns.

use crate::bindings::headcount::plugin::output::{Column, ColumnData as Wire, EmitError};
use alloy_primitives::U256;
use event::{ColumnData, ColumnKind, Packed, PluginTable, TableRows};
use std::{borrow::Cow, collections::BTreeSet};

/// Characters of a name that a message repeats.
const MAX_SHOWN: usize = 64;
/// A timestamp is nearer than this to 1970, in seconds: what SQL can hold in microseconds.
const TIMESTAMP_BOUND_S: u64 = 9_223_372_022_400;
/// Digits of the longest integer that is taken.
const MAX_DIGITS: usize = 1_000;

/// Returns the rows in the table's order of columns.
pub(crate) fn table_rows(
    (index, table): (usize, &PluginTable),
    seqs: Vec<u64>,
    columns: Vec<Column>,
) -> Result<TableRows, EmitError> {
    let mut given: Vec<Option<Column>> = columns.into_iter().map(Some).collect();
    let known: BTreeSet<&str> = table.columns.iter().map(|column| column.name.as_str()).collect();
    if let Some(column) = given.iter().flatten().find(|c| !known.contains(c.name.as_str())) {
        return Err(mismatch(table, &column.name, "is not declared"));
    }
    let mut rows = TableRows { table: index, seq: seqs, columns: Vec::new(), nulls: Vec::new() };
    for declared in &table.columns {
        let fail = |why: &str| mismatch(table, &declared.name, why);
        let mut own = given
            .iter_mut()
            .filter(|column| column.as_ref().is_some_and(|c| c.name == declared.name));
        let column = own.next().and_then(Option::take).ok_or_else(|| fail("is missing"))?;
        if own.next().is_some() {
            return Err(fail("is there twice"));
        }
        if !column.nulls.is_empty() && !declared.nullable {
            return Err(fail("must not be NULL"));
        }
        let is_rising = column.nulls.windows(2).all(|pair| pair[0] < pair[1]);
        if !is_rising || column.nulls.last().is_some_and(|last| *last as usize >= rows.seq.len()) {
            return Err(fail("has row numbers of NULLs that do not rise or do not exist"));
        }
        let data = data(declared.kind, column.data, &column.nulls).map_err(|why| fail(&why))?;
        if data.len() != rows.seq.len() {
            return Err(fail(&format!("has {} values for {} rows", data.len(), rows.seq.len())));
        }
        rows.columns.push(data);
        rows.nulls.push(column.nulls);
    }
    Ok(rows)
}

fn mismatch(table: &PluginTable, column: &str, why: &str) -> EmitError {
    let column: String = column.chars().take(MAX_SHOWN).collect();
    EmitError::Mismatch(format!("table {}: column {column} {why}", table.name))
}

fn data(kind: ColumnKind, wire: Wire, nulls: &[u32]) -> Result<ColumnData, String> {
    match (kind, wire) {
        (ColumnKind::Boolean, Wire::Boolean(values)) => Ok(ColumnData::Bool(values)),
        (ColumnKind::Int64, Wire::Signed(values)) => Ok(ColumnData::I64(values)),
        (ColumnKind::Timestamp, Wire::Signed(values)) => timestamps(values, nulls),
        (ColumnKind::Uint64, Wire::Unsigned(values)) => Ok(ColumnData::U64(values)),
        (ColumnKind::Double, Wire::Double(values)) => Ok(ColumnData::F64(values)),
        (ColumnKind::Text | ColumnKind::Json, Wire::Text(values)) => {
            Ok(ColumnData::Text(packed(values.iter().map(String::as_bytes))?))
        }
        (ColumnKind::Bytes, Wire::Bytes((offsets, bytes))) => {
            Ok(ColumnData::Blob(variable(&offsets, bytes)?))
        }
        (ColumnKind::Address, Wire::Fixed((20, bytes))) => {
            Ok(ColumnData::Blob(packed(exact(&bytes, 20)?)?))
        }
        (ColumnKind::Hash, Wire::Fixed((32, bytes))) => {
            Ok(ColumnData::Blob(packed(exact(&bytes, 32)?)?))
        }
        (ColumnKind::Uint256, Wire::Fixed((32, bytes))) => {
            let text = exact(&bytes, 32)?.map(|word| U256::from_be_slice(word).to_string());
            let mut values = Packed::default();
            text.for_each(|text| values.push(text.as_bytes()));
            Ok(ColumnData::Text(values))
        }
        (ColumnKind::Uint256, Wire::Text(values)) => integers(&values, nulls),
        (kind, wire) => Err(format!(
            "is declared as {}, which takes {}; {} came",
            kind.word(),
            takes(kind),
            name(&wire)
        )),
    }
}

fn timestamps(values: Vec<i64>, nulls: &[u32]) -> Result<ColumnData, String> {
    let is_bad = |(row, seconds): &(usize, &i64)| {
        seconds.unsigned_abs() >= TIMESTAMP_BOUND_S && nulls.binary_search(&(*row as u32)).is_err()
    };
    match values.iter().enumerate().find(is_bad) {
        Some((_, seconds)) => Err(format!("has {seconds} s, which is no time")),
        None => Ok(ColumnData::I64(values)),
    }
}

fn integers(values: &[String], nulls: &[u32]) -> Result<ColumnData, String> {
    let mut kept = Packed::default();
    for (row, text) in values.iter().enumerate() {
        if nulls.binary_search(&(row as u32)).is_ok() {
            kept.push(b"0");
            continue;
        }
        let digits = text.strip_prefix('-').unwrap_or(text);
        if digits.is_empty()
            || digits.len() > MAX_DIGITS
            || !digits.bytes().all(|b| b.is_ascii_digit())
        {
            let shown: String = text.chars().take(40).collect();
            return Err(format!("has `{shown}`, which is no decimal integer"));
        }
        let digits = digits.trim_start_matches('0');
        match (digits.is_empty(), text.starts_with('-')) {
            (true, _) => kept.push(b"0"),
            (false, false) => kept.push(digits.as_bytes()),
            (false, true) => kept.push(format!("-{digits}").as_bytes()),
        }
    }
    Ok(ColumnData::Text(kept))
}

fn exact(bytes: &[u8], width: usize) -> Result<std::slice::ChunksExact<'_, u8>, String> {
    if !bytes.len().is_multiple_of(width) {
        return Err(format!("has {} bytes, no multiple of {width}", bytes.len()));
    }
    Ok(bytes.chunks_exact(width))
}

fn variable(offsets: &[u32], bytes: Vec<u8>) -> Result<Packed, String> {
    let is_sound = offsets.first() == Some(&0)
        && offsets.windows(2).all(|pair| pair[0] <= pair[1])
        && offsets.last().is_some_and(|last| *last as usize == bytes.len())
        && i32::try_from(bytes.len()).is_ok();
    if !is_sound {
        return Err("has offsets that do not fit its bytes".to_owned());
    }
    Ok(Packed { offsets: offsets.iter().map(|offset| *offset as i32).collect(), bytes })
}

fn packed<'a>(values: impl Iterator<Item = &'a [u8]>) -> Result<Packed, String> {
    let mut kept = Packed::default();
    for value in values {
        if kept.bytes.len() + value.len() > i32::MAX as usize {
            return Err("has more than 2 GiB".to_owned());
        }
        kept.push(value);
    }
    Ok(kept)
}

/// What a column of this type is given as, in the words of the interface.
const fn takes(kind: ColumnKind) -> &'static str {
    match kind {
        ColumnKind::Boolean => "boolean",
        ColumnKind::Int64 | ColumnKind::Timestamp => "signed",
        ColumnKind::Uint64 => "unsigned",
        ColumnKind::Uint256 => "fixed of 32 bytes or text",
        ColumnKind::Double => "double",
        ColumnKind::Text | ColumnKind::Json => "text",
        ColumnKind::Bytes => "bytes",
        ColumnKind::Address => "fixed of 20 bytes",
        ColumnKind::Hash => "fixed of 32 bytes",
    }
}

fn name(wire: &Wire) -> Cow<'static, str> {
    Cow::Borrowed(match wire {
        Wire::Boolean(_) => "boolean",
        Wire::Signed(_) => "signed",
        Wire::Unsigned(_) => "unsigned",
        Wire::Double(_) => "double",
        Wire::Text(_) => "text",
        Wire::Fixed((width, _)) => return format!("fixed of {width} bytes").into(),
        Wire::Bytes(_) => "bytes",
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use event::PluginColumn;

    fn table(kind: ColumnKind, nullable: bool) -> PluginTable {
        let column = PluginColumn { name: "x".to_owned(), kind, nullable };
        PluginTable { name: "t".to_owned(), columns: vec![column], key: vec![] }
    }

    fn emit(kind: ColumnKind, data: Wire, nulls: Vec<u32>) -> Result<ColumnData, String> {
        let column = Column { name: "x".to_owned(), data, nulls };
        match table_rows((0, &table(kind, true)), vec![1, 2], vec![column]) {
            Ok(rows) => Ok(rows.columns[0].clone()),
            Err(EmitError::Mismatch(why)) => Err(why),
            Err(_) => panic!(),
        }
    }

    #[test]
    fn integers_of_any_size_and_sign_arrive_as_plain_decimals() {
        let mut word = vec![0xff; 32];
        word.extend([0; 32]);
        let ColumnData::Text(values) =
            emit(ColumnKind::Uint256, Wire::Fixed((32, word)), vec![]).unwrap()
        else {
            panic!()
        };
        assert_eq!(values.get(0), U256::MAX.to_string().as_bytes());
        assert_eq!(values.get(1), b"0");
        let text = Wire::Text(vec!["-007".to_owned(), "-0".to_owned()]);
        let ColumnData::Text(values) = emit(ColumnKind::Uint256, text, vec![]).unwrap() else {
            panic!()
        };
        assert_eq!((values.get(0), values.get(1)), (&b"-7"[..], &b"0"[..]));
    }

    #[test]
    fn what_does_not_fit_is_refused_by_name() {
        let text = |a: &str| Wire::Text(vec![a.to_owned(), String::new()]);
        assert_eq!(
            emit(ColumnKind::Uint256, text("1e5"), vec![1]).unwrap_err(),
            "table t: column x has `1e5`, which is no decimal integer"
        );
        assert_eq!(
            emit(ColumnKind::Address, Wire::Fixed((20, vec![0; 39])), vec![]).unwrap_err(),
            "table t: column x has 39 bytes, no multiple of 20"
        );
        assert_eq!(
            emit(ColumnKind::Address, Wire::Fixed((20, vec![0; 60])), vec![]).unwrap_err(),
            "table t: column x has 3 values for 2 rows"
        );
        assert_eq!(
            emit(ColumnKind::Int64, text("1"), vec![]).unwrap_err(),
            "table t: column x is declared as int64, which takes signed; text came"
        );
        assert_eq!(
            emit(ColumnKind::Uint256, Wire::Fixed((31, vec![])), vec![]).unwrap_err(),
            "table t: column x is declared as bignum, which takes fixed of 32 bytes or text; \
             fixed of 31 bytes came"
        );
        assert_eq!(
            emit(ColumnKind::Bytes, Wire::Bytes((vec![0, 9, 1], vec![0])), vec![]).unwrap_err(),
            "table t: column x has offsets that do not fit its bytes"
        );
        assert_eq!(
            emit(ColumnKind::Int64, Wire::Signed(vec![1, 2]), vec![2]).unwrap_err(),
            "table t: column x has row numbers of NULLs that do not rise or do not exist"
        );
        let rows = table_rows((0, &table(ColumnKind::Int64, true)), vec![], vec![]);
        assert!(
            matches!(rows, Err(EmitError::Mismatch(why)) if why == "table t: column x is missing")
        );
    }
}
