//! What a plugin wrote, as its tables would show it, and what it would send: one JSON object a line, in an order that does not
//! depend on how the events were cut into batches.

use alloy_primitives::hex;
use event::{ColumnData, ColumnKind, DeadLetter, LaneRows, Message, PluginTable};
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// Integers beyond this are strings: readers of JSON would round them.
const EXACT_MAX: u64 = (1 << 53) - 1;

/// One row of a table, one message, or one event that was set aside.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Line(pub(crate) String);

/// Returns the rows table by table: by key where it has one, of each key the last; else by event. Then
/// messages in their order, and the events that were set aside.
pub(crate) fn lines(
    tables: &[PluginTable],
    rows: &[LaneRows],
    messages: &[Message],
    letters: &[DeadLetter],
) -> Vec<Line> {
    let mut sorted: BTreeMap<(usize, Place), Line> = BTreeMap::new();
    let mut count = 0;
    for written in rows {
        let Some(table) = tables.get(written.rows.table) else { continue };
        for row in 0..written.rows.seq.len() {
            let line = line(table, written, row);
            let of_key = |key: &String| line.0.iter().find(|(name, _)| name == key);
            let key = table.key.iter().filter_map(of_key).map(|(_, value)| value.to_string());
            let key: Vec<String> = key.collect();
            let text = line.to_text();
            let place = match table.key.is_empty() {
                true => Place::Event(written.rows.seq[row], text.clone(), count),
                false => Place::Key(key),
            };
            sorted.insert((written.rows.table, place), Line(text));
            count += 1;
        }
    }
    let aside = letters.iter().map(|letter| {
        let fields = Fields(vec![
            ("_set_aside".into(), letter.class.clone().into()),
            ("reason".into(), letter.reason.clone().into()),
            ("_block_number".into(), unsigned(letter.block)),
        ]);
        Line(fields.to_text())
    });
    let messages = messages.iter().map(|message| Line(sent(message).to_text()));
    sorted.into_values().chain(messages).chain(aside).collect()
}

fn sent(message: &Message) -> Fields {
    let body = match std::str::from_utf8(&message.body) {
        Ok(text) => text.into(),
        Err(_) => format!("0x{}", hex::encode(&message.body)).into(),
    };
    Fields(vec![
        ("_sink".into(), message.sink.clone().into()),
        ("key".into(), message.key.clone().into()),
        ("content_type".into(), message.content_type.clone().into()),
        ("body".into(), body),
    ])
}

/// Where a row stands in its table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Key(Vec<String>),
    /// Delivery number, then the row itself; the count keeps equal rows apart.
    Event(u64, String, usize),
}

/// The fields of a line in the order of the table's columns, which a JSON object would not keep.
struct Fields(Vec<(String, Json)>);

impl Fields {
    fn to_text(&self) -> String {
        let fields = self.0.iter().map(|(name, value)| format!("{}:{value}", Json::from(&**name)));
        format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
    }
}

fn line(table: &PluginTable, written: &LaneRows, row: usize) -> Fields {
    let mut line = vec![("_table".to_owned(), Json::from(&*table.name))];
    for (i, column) in table.columns.iter().enumerate() {
        let is_null = written.rows.nulls.get(i);
        let is_null = is_null.is_some_and(|nulls| nulls.binary_search(&(row as u32)).is_ok());
        let value = match written.rows.columns.get(i).filter(|_| !is_null) {
            Some(data) => value(column.kind, data, row),
            None => Json::Null,
        };
        line.push((column.name.clone(), value));
    }
    line.push(("_block_number".to_owned(), unsigned(written.block_number[row])));
    Fields(line)
}

fn value(kind: ColumnKind, data: &ColumnData, row: usize) -> Json {
    match (kind, data) {
        (_, ColumnData::Bool(values)) => values[row].into(),
        (_, ColumnData::U64(values)) => unsigned(values[row]),
        (_, ColumnData::I64(values)) => match values[row].unsigned_abs() <= EXACT_MAX {
            true => values[row].into(),
            false => values[row].to_string().into(),
        },
        (_, ColumnData::F64(values)) => match serde_json::Number::from_f64(values[row]) {
            Some(number) => Json::Number(number),
            None => values[row].to_string().into(),
        },
        (_, ColumnData::Text(values)) => String::from_utf8_lossy(values.get(row)).into(),
        (_, ColumnData::Blob(values)) => format!("0x{}", hex::encode(values.get(row))).into(),
    }
}

fn unsigned(value: u64) -> Json {
    if value <= EXACT_MAX { value.into() } else { value.to_string().into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use event::{Packed, PluginColumn, TableRows};

    fn table(key: &[&str]) -> PluginTable {
        let column =
            |name: &str, kind, nullable| PluginColumn { name: name.into(), kind, nullable };
        PluginTable {
            name: "t".into(),
            columns: vec![
                column("who", ColumnKind::Address, false),
                column("n", ColumnKind::Uint256, true),
            ],
            key: key.iter().map(|part| (*part).to_owned()).collect(),
        }
    }

    fn rows(block: u64, seq: u64, who: u8, n: Option<&str>) -> LaneRows {
        let packed = |value: &[u8]| {
            let mut packed = Packed::default();
            packed.push(value);
            packed
        };
        LaneRows {
            batch: 0,
            rows: TableRows {
                table: 0,
                seq: vec![seq],
                columns: vec![
                    ColumnData::Blob(packed(&[who; 20])),
                    ColumnData::Text(packed(n.unwrap_or("0").as_bytes())),
                ],
                nulls: vec![vec![], if n.is_none() { vec![0] } else { vec![] }],
            },
            block_number: vec![block],
            block_hash: vec![alloy_primitives::B256::ZERO],
        }
    }

    #[test]
    fn of_a_key_the_last_row_counts_and_without_a_key_all_do() {
        let written = [rows(1, 1, 9, Some("5")), rows(1, 2, 1, None), rows(2, 3, 9, Some("6"))];
        let keyed = lines(&[table(&["who"])], &written, &[], &[]);
        let keyed: Vec<&str> = keyed.iter().map(|line| line.0.as_str()).collect();
        let who = |n: u8| format!("0x{}", hex::encode([n; 20]));
        assert_eq!(keyed.len(), 2);
        assert!(keyed[0].contains(&who(1)) && keyed[0].contains("null"), "{keyed:?}");
        assert!(
            keyed[1].contains("\"6\"") && keyed[1].contains("\"_block_number\":2"),
            "{keyed:?}"
        );
        assert_eq!(lines(&[table(&[])], &written, &[], &[]).len(), 3);
    }

    #[test]
    fn a_message_is_a_line_with_its_sink() {
        let message = |body: &[u8]| Message {
            sink: "ops".into(),
            key: "k".into(),
            content_type: "text/plain".into(),
            body: body.to_vec(),
        };
        let told = lines(&[], &[], &[message(b"hi"), message(&[0xff])], &[]);
        assert_eq!(
            told[0].0,
            r#"{"_sink":"ops","key":"k","content_type":"text/plain","body":"hi"}"#
        );
        assert!(told[1].0.ends_with(r#""body":"0xff"}"#), "{}", told[1].0);
    }

    #[test]
    fn equal_rows_of_one_event_are_both_there() {
        let written = [rows(1, 1, 9, Some("5")), rows(1, 1, 9, Some("5"))];
        assert_eq!(lines(&[table(&[])], &written, &[], &[]).len(), 2);
    }
}
