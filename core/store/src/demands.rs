//! What was demanded of blocks and is owed: a row of `meta` for each filter and level, so that programs
//! of before can still use the file. Does not decide what is owed.

use crate::{
    error::{Result, statement_failed},
    sql::{execute_cached, wrong_text},
};
use duckdb::{Connection, params};
use event::{ChainId, Commit, Demand};

/// First word of the key of such a row.
pub(crate) const KEY: &str = "demanded";

fn prefix(chain: ChainId) -> String {
    format!("{KEY}:{}:", chain.0)
}

/// Writes what the commit says in place of what was there.
pub(crate) fn write(conn: &Connection, commit: &Commit) -> Result<()> {
    for demand in &commit.demands {
        let key = format!("{}{}:{}", prefix(commit.chain), demand.filter.id().0, demand.verify);
        execute_cached(conn, "DELETE FROM meta WHERE key = ?", params![key])?;
        if demand.blocks.is_empty() {
            continue;
        }
        let value = serde_json::to_string(demand).map_err(|error| {
            statement_failed(wrong_text(1, format!("a demand has no text: {error}")))
        })?;
        execute_cached(conn, "INSERT INTO meta VALUES (?, ?)", params![key, value])?;
    }
    Ok(())
}

/// Returns what is owed of the chain, in order of filter and level.
pub(crate) fn read(conn: &Connection, chain: ChainId) -> Result<Vec<Demand>> {
    let sql = "SELECT value FROM meta WHERE starts_with(key, ?) ORDER BY key";
    let mut statement = conn.prepare(sql).map_err(statement_failed)?;
    let rows = statement.query_map([prefix(chain)], |row| {
        let value: String = row.get(0)?;
        serde_json::from_str(&value).map_err(|error| wrong_text(0, error))
    });
    rows.and_then(Iterator::collect).map_err(statement_failed)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use event::Filter;

    #[test]
    fn a_demand_is_read_as_it_was_written_until_it_is_met() {
        let conn = Connection::open_in_memory().unwrap();
        conn.execute_batch("CREATE TABLE meta (key VARCHAR NOT NULL, value VARCHAR NOT NULL)")
            .unwrap();
        let demand = |verify: &str, blocks: &str| Demand {
            filter: Filter::any(),
            verify: verify.parse().unwrap(),
            since_s: 7,
            blocks: blocks.parse().unwrap(),
        };
        let commit = |demands| Commit { demands, ..Commit::empty(ChainId(5)) };
        let (one, other) = (demand("prove", "3:4"), demand("agree:2", "1:9"));
        write(&conn, &commit(vec![one.clone(), other.clone()])).unwrap();
        assert_eq!(read(&conn, ChainId(5)).unwrap(), [other.clone(), one]);
        assert_eq!(read(&conn, ChainId(55)).unwrap(), []);
        write(&conn, &commit(vec![demand("prove", "")])).unwrap();
        assert_eq!(read(&conn, ChainId(5)).unwrap(), [other]);
    }
}
