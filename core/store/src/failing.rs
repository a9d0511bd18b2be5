//! Why lanes do not get on although nobody halted them: a row of `meta` for each, so that programs of before can
//! still use the file. Nothing depends on it; it is there to be looked at.

use crate::{
    error::{Result, statement_failed},
    sql::{execute_cached, wrong_text},
};
use duckdb::{Connection, OptionalExt, params};
use event::{Failing, LaneId};

/// First word of the key of such a row; chain and plugin follow. No name of a plugin has a colon.
const KEY: &str = "failing";

fn key(lane: &LaneId) -> String {
    format!("{KEY}:{}:{}", lane.chain.0, lane.plugin)
}

/// Writes it in place of what was there.
pub(crate) fn note(conn: &Connection, lane: &LaneId, failing: Option<&Failing>) -> Result<()> {
    execute_cached(conn, "DELETE FROM meta WHERE key = ?", params![key(lane)])?;
    let Some(failing) = failing else { return Ok(()) };
    let value = serde_json::to_string(failing).map_err(|error| {
        statement_failed(wrong_text(1, format!("what a plugin failed with has no text: {error}")))
    })?;
    execute_cached(conn, "INSERT INTO meta VALUES (?, ?)", params![key(lane), value]).map(|_| ())
}

/// Returns what was noted of a lane.
pub(crate) fn read(conn: &Connection, lane: &LaneId) -> Result<Option<Failing>> {
    let sql = "SELECT value FROM meta WHERE key = ?";
    let found = conn.query_row(sql, [key(lane)], |row| {
        let value: String = row.get(0)?;
        serde_json::from_str(&value).map_err(|error| wrong_text(0, error))
    });
    found.optional().map_err(statement_failed)
}

/// Forgets what was noted of a plugin, on every chain.
pub(crate) fn forget(conn: &Connection, plugin: &str) -> Result<()> {
    let sql = "DELETE FROM meta WHERE split_part(key, ':', 1) = ? AND split_part(key, ':', 3) = ?";
    execute_cached(conn, sql, params![KEY, plugin]).map(|_| ())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use event::ChainId;

    #[test]
    fn what_was_noted_last_of_a_lane_is_read_until_it_gets_on_or_is_removed() {
        let conn = Connection::open_in_memory().unwrap();
        conn.execute_batch("CREATE TABLE meta (key VARCHAR NOT NULL, value VARCHAR NOT NULL)")
            .unwrap();
        let lane = |plugin: &str, chain| LaneId { plugin: plugin.into(), chain: ChainId(chain) };
        let failing = |reason: &str| Failing { next_block: 7, reason: reason.to_owned() };
        let (one, other) = (lane("p", 1), lane("p-q", 1));
        note(&conn, &one, Some(&failing("a"))).unwrap();
        note(&conn, &one, Some(&failing("b"))).unwrap();
        note(&conn, &other, Some(&failing("c"))).unwrap();
        assert_eq!(read(&conn, &one).unwrap(), Some(failing("b")));
        assert_eq!(read(&conn, &lane("p", 11)).unwrap(), None);
        note(&conn, &one, None).unwrap();
        assert_eq!(read(&conn, &one).unwrap(), None);
        note(&conn, &one, Some(&failing("d"))).unwrap();
        forget(&conn, "p").unwrap();
        assert_eq!(
            (read(&conn, &one).unwrap(), read(&conn, &other).unwrap()),
            (None, Some(failing("c")))
        );
    }
}
