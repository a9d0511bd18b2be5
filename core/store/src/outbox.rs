//! Messages of plugins: enqueued with the commit of their batch, cancelled with its undo, taken and
//! settled by whoever sends.
//!
//! A message is known for good by its key, so that one that comes again, after a rebuild say, is not
//! sent again; its body is dropped once nobody can want it.

use crate::{
    arrow_columns::{append, constant, texts, u32s, u64s},
    error::{Result, statement_failed},
    failpoint::Failpoints,
    sql::{atomically, number, run, text},
};
use alloy_primitives::hex;
use duckdb::{
    Connection,
    arrow::array::{BinaryArray, BooleanArray, StringArray},
    params,
};
use event::{Fate, LaneCommit, LaneId, LedgerError, Message, OutboxLine, OutboxStep, Outgoing};
use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Keys that one statement looks for, at most.
const KEYS_AT_ONCE: usize = 1_000;
/// Bytes of a digest that make a key: as good as unique.
const KEY_BYTES: usize = 16;

/// What is known of a key that comes again.
struct Known {
    id: u64,
    is_cancelled: bool,
    is_reverted: bool,
}

/// Enqueues the messages of a commit, whose first batch gets the number after `before`.
pub(crate) fn write(conn: &Connection, commit: &LaneCommit, before: u64) -> Result<()> {
    let mut new: Vec<(u64, String, &Message)> = Vec::new();
    let mut seen = BTreeSet::new();
    for (batch, messages) in &commit.messages {
        if *batch as usize >= commit.batches.len() {
            let what = format!("lane {} sends for a batch that is not there", commit.lane.plugin);
            return Err(LedgerError::Internal(what));
        }
        for message in messages {
            let key = idempotency_key(&commit.lane, message);
            if seen.insert(key.clone()) {
                new.push((before + 1 + u64::from(*batch), key, message));
            }
        }
    }
    if new.is_empty() {
        return Ok(());
    }
    let known = known(conn, new.iter().map(|(_, key, _)| key.as_str()))?;
    let (mut gone, mut wanted_again) = (Vec::new(), Vec::new());
    new.retain(|(batch, key, _)| match known.get(key) {
        None => true,
        Some(known) if known.is_cancelled => {
            gone.push(known.id);
            true
        }
        Some(known) => {
            if known.is_reverted {
                wanted_again.push((known.id, *batch));
            }
            false
        }
    });
    if !gone.is_empty() {
        run(conn, &format!("DELETE FROM outbox WHERE id IN ({})", list(&gone)))?;
    }
    for (id, batch) in wanted_again {
        let generation = commit.generation;
        run(
            conn,
            &format!(
                "UPDATE outbox SET is_reverted = false, generation = {generation}, batch = {batch}
                    WHERE id = {id}"
            ),
        )?;
    }
    insert(conn, commit, &new)
}

fn insert(conn: &Connection, commit: &LaneCommit, new: &[(u64, String, &Message)]) -> Result<()> {
    let last = number(conn, "SELECT coalesce(max(id), 0)::UBIGINT FROM outbox")?;
    let len = new.len();
    let columns = vec![
        u64s((last + 1..=last + len as u64).collect()),
        texts(std::iter::repeat_n(commit.lane.plugin.as_str(), len)),
        constant(commit.lane.chain.0, len),
        u32s(vec![commit.generation; len]),
        u64s(new.iter().map(|(batch, ..)| *batch).collect()),
        texts(new.iter().map(|(_, _, message)| message.sink.as_str())),
        texts(new.iter().map(|(_, _, message)| message.key.as_str())),
        texts(new.iter().map(|(_, key, _)| key.as_str())),
        texts(new.iter().map(|(_, _, message)| message.content_type.as_str())),
        Arc::new(BinaryArray::from_iter_values(new.iter().map(|(_, _, m)| m.body.as_slice()))),
        texts(std::iter::repeat_n("pending", len)),
        Arc::new(BooleanArray::from(vec![false; len])),
        u32s(vec![0; len]),
        Arc::new(StringArray::new_null(len)),
    ];
    append(conn, "main", "outbox", columns)
}

/// Returns the key that a sink is given: it says nothing of what it is made of.
fn idempotency_key(lane: &LaneId, message: &Message) -> String {
    let mut hasher = Sha256::new();
    for part in [&lane.plugin, &lane.chain.0.to_string(), &message.sink, &message.key] {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    hex::encode(&hasher.finalize()[..KEY_BYTES])
}

fn known<'a>(
    conn: &Connection,
    keys: impl Iterator<Item = &'a str>,
) -> Result<BTreeMap<String, Known>> {
    let keys: Vec<String> = keys.map(text).collect();
    let mut known = BTreeMap::new();
    for keys in keys.chunks(KEYS_AT_ONCE) {
        let sql = format!(
            "SELECT idempotency_key, id, status = 'cancelled', is_reverted FROM outbox
                WHERE idempotency_key IN ({})",
            keys.join(", ")
        );
        let mut statement = conn.prepare(&sql).map_err(statement_failed)?;
        let rows = statement.query_map([], |row| {
            let found =
                Known { id: row.get(1)?, is_cancelled: row.get(2)?, is_reverted: row.get(3)? };
            Ok((row.get::<_, String>(0)?, found))
        });
        let rows = rows.and_then(Iterator::collect::<duckdb::Result<Vec<_>>>);
        known.extend(rows.map_err(statement_failed)?);
    }
    Ok(known)
}

/// The events of these messages left the chain: what is pending is cancelled, what is just being sent
/// is not tried again. `which` picks among the lane's batches.
pub(crate) fn cancel(conn: &Connection, lane: &LaneId, which: &str) -> Result<()> {
    let own = format!("plugin = {} AND chain = {} AND {which}", text(&lane.plugin), lane.chain);
    run(
        conn,
        &format!(
            "UPDATE outbox SET is_reverted = true WHERE {own} AND status = 'sending';
             UPDATE outbox SET status = 'cancelled', body = ''::BLOB
                WHERE {own} AND status = 'pending'"
        ),
    )
}

/// Takes back what a process that is gone was sending.
pub(crate) fn reopen(conn: &Connection) -> Result<()> {
    if number(conn, "SELECT count(*)::UBIGINT FROM outbox WHERE status = 'sending'")? == 0 {
        return Ok(());
    }
    atomically(conn, || back(conn, "", "true"))
}

/// Makes messages that were being sent pending again, or cancelled where nobody wants them any more.
fn back(conn: &Connection, also: &str, which: &str) -> Result<()> {
    run(
        conn,
        &format!(
            "UPDATE outbox SET {also}
                status = CASE WHEN is_reverted THEN 'cancelled' ELSE 'pending' END,
                body = CASE WHEN is_reverted THEN ''::BLOB ELSE body END, is_reverted = false
                WHERE status = 'sending' AND {which}"
        ),
    )
}

/// Writes what became of messages and takes the next ones.
pub(crate) fn step(
    conn: &Connection,
    failpoints: &Failpoints,
    step: &OutboxStep,
) -> Result<Vec<Outgoing>> {
    let taken = atomically(conn, || {
        settle(conn, &step.settled)?;
        let taken = next(conn, step)?;
        let ids: Vec<u64> = taken.iter().map(|message| message.id).collect();
        if !ids.is_empty() {
            let ids = list(&ids);
            run(
                conn,
                &format!(
                    "UPDATE outbox SET status = 'sending', attempts = attempts + 1
                        WHERE id IN ({ids})"
                ),
            )?;
        }
        if !(taken.is_empty() && step.settled.is_empty()) {
            failpoints.pass("store.outbox.before_commit");
        }
        Ok(taken)
    })?;
    if !(taken.is_empty() && step.settled.is_empty()) {
        failpoints.pass("store.outbox.after_commit");
    }
    Ok(taken)
}

fn settle(conn: &Connection, settled: &[(u64, Fate)]) -> Result<()> {
    let of = |fate: &Fate| {
        let same = settled.iter().filter(|(_, other)| other == fate);
        list(&same.map(|(id, _)| *id).collect::<Vec<_>>())
    };
    let (sent, untried) = (of(&Fate::Sent), of(&Fate::Untried));
    if !sent.is_empty() {
        run(
            conn,
            &format!(
                "UPDATE outbox SET status = 'sent', body = ''::BLOB, reason = NULL,
                    is_reverted = false WHERE status = 'sending' AND id IN ({sent})"
            ),
        )?;
    }
    if !untried.is_empty() {
        back(conn, "attempts = attempts - 1,", &format!("id IN ({untried})"))?;
    }
    for (id, fate) in settled {
        match fate {
            Fate::Again(reason) => {
                back(conn, &format!("reason = {},", text(reason)), &format!("id = {id}"))?;
            }
            Fate::Dead(reason) => run(
                conn,
                &format!(
                    "UPDATE outbox SET status = 'dead', reason = {}, is_reverted = false
                        WHERE status = 'sending' AND id = {id}",
                    text(reason)
                ),
            )?,
            Fate::Sent | Fate::Untried => {}
        }
    }
    Ok(())
}

fn next(conn: &Connection, step: &OutboxStep) -> Result<Vec<Outgoing>> {
    if step.limit == 0 {
        return Ok(Vec::new());
    }
    let not_of: Vec<String> = step.not_of.iter().map(|plugin| text(plugin)).collect();
    let not_of = match not_of.is_empty() {
        true => String::new(),
        false => format!("AND plugin NOT IN ({})", not_of.join(", ")),
    };
    let sql = format!(
        "SELECT id, plugin, key, idempotency_key, content_type, body, attempts + 1 FROM outbox
            WHERE status = 'pending' AND sink = ? {not_of} ORDER BY id LIMIT {}",
        step.limit
    );
    let mut statement = conn.prepare(&sql).map_err(statement_failed)?;
    let rows = statement.query_map(params![step.sink], |row| {
        Ok(Outgoing {
            id: row.get(0)?,
            plugin: row.get(1)?,
            key: row.get(2)?,
            idempotency_key: row.get(3)?,
            content_type: row.get(4)?,
            body: row.get(5)?,
            attempts: row.get(6)?,
        })
    });
    rows.and_then(Iterator::collect).map_err(statement_failed)
}

/// Returns what is left, by sink.
pub(crate) fn lines(conn: &Connection) -> Result<Vec<OutboxLine>> {
    let sql = "SELECT sink, count(*) FILTER (status <> 'dead')::UBIGINT,
            count(*) FILTER (status = 'dead')::UBIGINT,
            first(reason ORDER BY id) FILTER (status <> 'dead') FROM outbox
            WHERE status IN ('pending', 'sending', 'dead') GROUP BY sink ORDER BY sink";
    let mut statement = conn.prepare(sql).map_err(statement_failed)?;
    let rows = statement.query_map([], |row| {
        Ok(OutboxLine {
            sink: row.get(0)?,
            pending: row.get(1)?,
            dead: row.get(2)?,
            reason: row.get(3)?,
        })
    });
    rows.and_then(Iterator::collect).map_err(statement_failed)
}

fn list(ids: &[u64]) -> String {
    ids.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")
}
