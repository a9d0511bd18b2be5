//! Which blocks of each filter were read through a second node: a row of `meta` each, so that programs
//! of before can still use the file. Does not decide which these are.

use crate::{
    error::{Result, statement_failed},
    sql::{execute_cached, wrong_text},
};
use alloy_primitives::B256;
use duckdb::{Connection, params};
use event::{BlockRange, BlockRanges, ChainId, Commit, FilterId};
use std::collections::BTreeMap;

/// Before the filter, in the key of a row with ranges.
fn prefix(chain: ChainId) -> String {
    format!("looked_at:{}:", chain.0)
}

/// The same in rows of before, which have a block below which everything was passed.
fn old_prefix(chain: ChainId) -> String {
    format!("looked_again:{}:", chain.0)
}

/// Writes what the commit says in place of what was there.
pub(crate) fn write(conn: &Connection, commit: &Commit) -> Result<()> {
    for (filter, looked) in &commit.looked {
        let key = format!("{}{}", prefix(commit.chain), filter.0);
        execute_cached(conn, "DELETE FROM meta WHERE key = ?", params![key])?;
        execute_cached(conn, "INSERT INTO meta VALUES (?, ?)", params![key, looked.to_string()])?;
    }
    Ok(())
}

/// Returns which blocks of each filter of the chain were read again, in order of the filters.
pub(crate) fn read(conn: &Connection, chain: ChainId) -> Result<Vec<(FilterId, BlockRanges)>> {
    let mut all: BTreeMap<FilterId, BlockRanges> = BTreeMap::new();
    for (filter, value) in rows(conn, &prefix(chain))? {
        let looked =
            value.parse().map_err(|error: String| statement_failed(wrong_text(1, error)))?;
        all.insert(filter, looked);
    }
    for (filter, value) in rows(conn, &old_prefix(chain))? {
        let next: u64 = value.parse().map_err(|error| statement_failed(wrong_text(1, error)))?;
        let below = next.checked_sub(1).and_then(|last| BlockRange::new(0, last));
        below.into_iter().for_each(|below| all.entry(filter).or_default().add(below));
    }
    Ok(all.into_iter().collect())
}

fn rows(conn: &Connection, prefix: &str) -> Result<Vec<(FilterId, String)>> {
    let sql = "SELECT key, value FROM meta WHERE starts_with(key, ?) ORDER BY key";
    let mut statement = conn.prepare(sql).map_err(statement_failed)?;
    let rows = statement.query_map([prefix], |row| {
        let (key, value): (String, String) = (row.get(0)?, row.get(1)?);
        let filter = key[prefix.len()..].parse::<B256>().map_err(|error| wrong_text(0, error))?;
        Ok((FilterId(filter), value))
    });
    rows.and_then(Iterator::collect).map_err(statement_failed)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn what_was_looked_at_is_read_as_it_was_written_and_rows_of_before_count_too() {
        let conn = Connection::open_in_memory().unwrap();
        conn.execute_batch("CREATE TABLE meta (key VARCHAR NOT NULL, value VARCHAR NOT NULL)")
            .unwrap();
        let (one, two) = (FilterId(B256::repeat_byte(1)), FilterId(B256::repeat_byte(2)));
        let ranges = |text: &str| text.parse::<BlockRanges>().unwrap();
        let commit = |looked| Commit { looked, ..Commit::empty(ChainId(5)) };
        write(&conn, &commit(vec![(two, ranges("3:4")), (one, ranges("8:9"))])).unwrap();
        write(&conn, &commit(vec![(two, ranges("3:4,7:9"))])).unwrap();
        let old = format!("INSERT INTO meta VALUES ('looked_again:5:{}', '8')", one.0);
        conn.execute_batch(&old).unwrap();
        let read_again = read(&conn, ChainId(5)).unwrap();
        assert_eq!(read_again, [(one, ranges("0:9")), (two, ranges("3:4,7:9"))]);
        assert_eq!(read(&conn, ChainId(55)).unwrap(), []);
    }
}
