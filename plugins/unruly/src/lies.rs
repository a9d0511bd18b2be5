//! Misdeeds that say one thing and do another: rows that are not as declared, names that are SQL.

use headcount_plugin_sdk::{
    Batch, ColumnSpec, ColumnType, Failure, Rejection, TableSpec,
    bindings::headcount::plugin::{
        output::{self, Column, ColumnData, EmitError},
        state,
    },
};

/// What a statement would be broken out of with.
const EVIL: [&str; 6] = [
    "'; DROP TABLE main.events; --",
    "\"; DROP SCHEMA unruly CASCADE; --",
    "\\'); DELETE FROM main.lanes; --",
    "a\0b",
    "$$; ATTACH '/tmp/x' AS x; --",
    "\u{1b}[2J\n\u{202e}",
];

/// The only table.
pub(crate) fn facts() -> TableSpec {
    let column = |name: &str, ty, nullable| ColumnSpec { name: name.to_owned(), ty, nullable };
    TableSpec {
        name: "facts".to_owned(),
        columns: vec![
            column("word", ColumnType::Text, false),
            column("number", ColumnType::Bignum, true),
            column("at", ColumnType::Timestamp, true),
            column("raw", ColumnType::Bytes, false),
        ],
        key: Vec::new(),
    }
}

/// Columns that are as declared.
pub(crate) fn columns(words: &[&str]) -> Vec<Column> {
    let all: Vec<u32> = (0..words.len() as u32).collect();
    let column = |name: &str, data, nulls: &[u32]| Column {
        name: name.to_owned(),
        data,
        nulls: nulls.to_vec(),
    };
    let mut ends = vec![0];
    ends.extend(words.iter().scan(0, |end, word| {
        *end += word.len() as u32;
        Some(*end)
    }));
    vec![
        column("word", ColumnData::Text(words.iter().map(|w| (*w).to_owned()).collect()), &[]),
        column("number", ColumnData::Text(vec![String::new(); words.len()]), &all),
        column("at", ColumnData::Signed(vec![0; words.len()]), &all),
        column("raw", ColumnData::Bytes((ends, words.concat().into_bytes())), &[]),
    ]
}

/// Emits them; what the host says is the reason.
pub(crate) fn emit(seqs: Vec<u64>, words: &[&str]) -> Result<(), Failure> {
    said(output::emit("facts", &seqs, &columns(words)))
}

fn said(result: Result<(), EmitError>) -> Result<(), Failure> {
    result.map_err(|error| {
        Failure::Reject(match error {
            EmitError::Mismatch(what) | EmitError::Quota(what) => what,
            EmitError::UnknownSeq(seq) => format!("no event {seq}"),
        })
    })
}

/// Does it, where `misdeed` is one of these.
pub(crate) fn commit(misdeed: &str, batch: &Batch) -> Result<Vec<Rejection>, Failure> {
    let seq = batch.seq[0];
    let mut one = columns(&["x"]);
    let set_aside = |seq, reason: &str| Rejection { seq, reason: reason.to_owned() };
    match misdeed {
        "inject" => {
            for evil in EVIL {
                // Names are refused, values are values.
                for (table, name) in [(evil, "word"), ("facts", evil)] {
                    let mut columns = columns(&["x"]);
                    columns[0].name = name.to_owned();
                    if output::emit(table, &[seq], &columns).is_ok() {
                        return Err(Failure::Halt(format!("{evil} was taken for a name")));
                    }
                }
                emit(vec![seq], &[evil])?;
                let _ = state::set(evil.as_bytes(), evil.as_bytes());
            }
            return Ok(vec![set_aside(seq, &EVIL.concat())]);
        }
        "inject by halting" => return Err(Failure::Halt(EVIL.concat())),
        "say very much" => return Err(Failure::Halt("word ".repeat(1 << 20))),
        "another table" => said(output::emit("lanes", &[seq], &one))?,
        "a column too many" => {
            let column = Column { name: "more".to_owned(), ..one[0].clone() };
            one.push(column);
            said(output::emit("facts", &[seq], &one))?;
        }
        "a column too few" => {
            one.pop();
            said(output::emit("facts", &[seq], &one))?;
        }
        "a column twice" => {
            one.push(one[0].clone());
            said(output::emit("facts", &[seq], &one))?;
        }
        "another type" => {
            one[0].data = ColumnData::Unsigned(vec![1]);
            said(output::emit("facts", &[seq], &one))?;
        }
        "more rows than events" => said(output::emit("facts", &[seq, seq], &one))?,
        "absurd width" => {
            one[1].data = ColumnData::Fixed((u32::MAX, vec![0]));
            said(output::emit("facts", &[seq], &one))?;
        }
        "absurd offsets" => {
            one[3].data = ColumnData::Bytes((vec![0, u32::MAX], vec![0]));
            said(output::emit("facts", &[seq], &one))?;
        }
        "null where none may be" => {
            one[0].nulls = vec![0];
            said(output::emit("facts", &[seq], &one))?;
        }
        "an absurd time" => {
            one[2].data = ColumnData::Signed(vec![i64::MAX]);
            one[2].nulls.clear();
            said(output::emit("facts", &[seq], &one))?;
        }
        "an absurd number" => {
            one[1].data = ColumnData::Text(vec!["9".repeat(5_000)]);
            one[1].nulls.clear();
            said(output::emit("facts", &[seq], &one))?;
        }
        "an event of others" => said(output::emit("facts", &[u64::MAX], &one))?,
        "set aside what is not there" => return Ok(vec![set_aside(u64::MAX, "gone")]),
        "set aside twice" => return Ok(vec![set_aside(seq, "once"), set_aside(seq, "twice")]),
        _ => {}
    }
    Ok(Vec::new())
}
