//! Coverage, filters and sightings as they are written: changes of one transaction are folded
//! first, so that many small reports cost as many statements as filters.

use crate::{
    append::Known,
    arrow_columns::{append, fixed, texts, u64s},
    error::{Result, statement_failed},
    sql::{execute_cached, run, text, top},
};
use alloy_primitives::B256;
use duckdb::{Connection, params};
use event::{ChainId, Commit, CoverageChange, Filter, Interval, LedgerError, NodeId, Sighting};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Stands between node names where a list travels as one text: no name holds it.
pub(crate) const NODE_SEPARATOR: char = '\u{1f}';

/// Sightings replaced one by one, at most; more of them are compared as a table.
const FEW_SIGHTINGS_MAX: usize = 8;

/// Returns node names as one text.
pub(crate) fn joined(nodes: &[NodeId]) -> String {
    let names: Vec<&str> = nodes.iter().map(|node| &*node.0).collect();
    names.join(&NODE_SEPARATOR.to_string())
}

/// What the changes of one filter come to.
struct Folded {
    filter: Arc<Filter>,
    /// Stored intervals that touch one of these go; sorted, disjoint.
    replaced: Vec<(u64, u64)>,
    /// By first block.
    intervals: BTreeMap<u64, Interval>,
}

impl Folded {
    fn take(&mut self, change: &CoverageChange) {
        let (first, last) = (change.range.first(), change.range.last());
        self.intervals.retain(|_, interval| interval.range.intersection(&change.range).is_none());
        for interval in &change.intervals {
            self.intervals.insert(interval.range.first(), interval.clone());
        }
        let (mut first, mut last) = (first, last);
        self.replaced.retain(|(other_first, other_last)| {
            let apart = *other_last < first || last < *other_first;
            if !apart {
                first = first.min(*other_first);
                last = last.max(*other_last);
            }
            apart
        });
        self.replaced.push((first, last));
    }
}

/// Writes the coverage changes of all commits, in order.
pub(crate) fn write(
    conn: &Connection,
    interned: &mut BTreeSet<B256>,
    commits: &[Commit],
) -> Result<()> {
    let mut folded: BTreeMap<(ChainId, B256), Folded> = BTreeMap::new();
    // Hashing a wide filter for each of many reports would show.
    let mut ids: Vec<(Arc<Filter>, B256)> = Vec::new();
    for commit in commits {
        for change in &commit.coverage {
            let known = ids.iter().find(|(filter, _)| Arc::ptr_eq(filter, &change.filter));
            let id = known.map(|(_, id)| *id).unwrap_or_else(|| change.filter.id().0);
            if known.is_none() {
                ids.push((change.filter.clone(), id));
            }
            folded
                .entry((commit.chain, id))
                .or_insert_with(|| Folded {
                    filter: change.filter.clone(),
                    replaced: Vec::new(),
                    intervals: BTreeMap::new(),
                })
                .take(change);
        }
    }
    for ((chain, id), folded) in &folded {
        if !interned.contains(id) {
            intern(conn, *id, &folded.filter)?;
            interned.insert(*id);
        }
        replace(conn, *chain, *id, folded)?;
    }
    Ok(())
}

fn intern(conn: &Connection, id: B256, filter: &Filter) -> Result<()> {
    let spec = serde_json::to_string(filter)
        .map_err(|error| LedgerError::Internal(format!("filter: {error}")))?;
    let sql = "INSERT INTO filters SELECT ?, ? WHERE NOT EXISTS (FROM filters WHERE filter = ?)";
    execute_cached(conn, sql, params![id.as_slice(), spec, id.as_slice()]).map(|_| ())
}

fn replace(conn: &Connection, chain: ChainId, id: B256, folded: &Folded) -> Result<()> {
    for (first, last) in &folded.replaced {
        let sql = "DELETE FROM coverage WHERE chain = ? AND filter = ?
            AND first_block <= ? AND last_block >= ?";
        execute_cached(conn, sql, params![chain.0, id.as_slice(), last, first])?;
    }
    for interval in folded.intervals.values() {
        let (range, evidence) = (interval.range, interval.evidence);
        let (content, anchor) = (evidence.content.to_string(), evidence.anchor.to_string());
        let nodes: Vec<String> = interval.nodes.iter().map(|node| text(&node.0)).collect();
        // As text they are the same for every block: one plan serves all.
        let columns = format!(
            "?, ?, ?, ?, {}, {}, [{}]::VARCHAR[]",
            text(&content),
            text(&anchor),
            nodes.join(", ")
        );
        let (id, first, last) = (id.as_slice(), range.first(), range.last());
        match interval.links {
            Some(links) => {
                let sql = format!("INSERT INTO coverage VALUES ({columns}, ?, ?)");
                let (parent, hash) = (links.first_parent.as_slice(), links.last_hash.as_slice());
                execute_cached(conn, &sql, params![chain.0, id, first, last, parent, hash])?;
            }
            None => {
                let sql = format!("INSERT INTO coverage VALUES ({columns}, NULL, NULL)");
                execute_cached(conn, &sql, params![chain.0, id, first, last])?;
            }
        }
    }
    Ok(())
}

/// Writes who reported which block: the last word of a node by one way replaces the one before.
pub(crate) fn write_sightings(
    conn: &Connection,
    known: &mut Known,
    commits: &[Commit],
) -> Result<()> {
    let mut rows: BTreeMap<_, (&Sighting, String)> = BTreeMap::new();
    for commit in commits {
        for row in &commit.sightings {
            let via = row.via.to_string();
            let key =
                (commit.chain, row.number, row.hash, row.filter, row.node.0.clone(), via.clone());
            rows.insert(key, (row, via));
        }
    }
    if rows.is_empty() {
        return Ok(());
    }
    let len = rows.len();
    let tops = tops(conn, known, rows.iter().map(|(key, (row, _))| (key.0, row.number)))?;
    if len <= FEW_SIGHTINGS_MAX {
        for (key, (row, via)) in &rows {
            if tops.get(&key.0).is_some_and(|top| row.number > *top) {
                // The first word on a new head.
                continue;
            }
            let sql = "DELETE FROM sightings WHERE chain = ? AND number = ? AND hash = ?
                AND filter = ? AND node = ? AND via = ?";
            let (hash, filter) = (row.hash.as_slice(), row.filter.0.as_slice());
            let node = &*row.node.0;
            execute_cached(conn, sql, params![key.0.0, row.number, hash, filter, node, via])?;
        }
    }
    let columns = vec![
        u64s(rows.keys().map(|key| key.0.0).collect()),
        u64s(rows.values().map(|(row, _)| row.number).collect()),
        fixed(len, rows.values().map(|(row, _)| &row.hash.0)),
        fixed(len, rows.values().map(|(row, _)| &row.filter.0.0)),
        texts(rows.values().map(|(row, _)| &*row.node.0)),
        texts(rows.values().map(|(_, via)| via.as_str())),
        u64s(rows.values().map(|(row, _)| row.logs).collect()),
        fixed(len, rows.values().map(|(row, _)| &row.digest.0)),
    ];
    if len <= FEW_SIGHTINGS_MAX {
        return append(conn, "main", "sightings", columns);
    }
    let first = rows.values().map(|(row, _)| row.number).min().unwrap_or_default();
    let last = rows.values().map(|(row, _)| row.number).max().unwrap_or_default();
    run(
        conn,
        "CREATE TEMP TABLE IF NOT EXISTS new_sightings AS FROM main.sightings LIMIT 0;
         DELETE FROM temp.new_sightings",
    )?;
    let mut staged = conn
        .appender_to_catalog_and_db("new_sightings", "temp", "main")
        .map_err(statement_failed)?;
    staged
        .append_record_batch(crate::arrow_columns::record_batch(columns)?)
        .and_then(|()| staged.flush())
        .map_err(statement_failed)?;
    run(
        conn,
        &format!(
            "DELETE FROM main.sightings USING temp.new_sightings AS new
                WHERE sightings.number BETWEEN {first} AND {last}
                AND sightings.chain = new.chain AND sightings.number = new.number
                AND sightings.hash = new.hash AND sightings.filter = new.filter
                AND sightings.node = new.node AND sightings.via = new.via;
             INSERT INTO main.sightings FROM temp.new_sightings"
        ),
    )
}

/// Returns the height above which there was no sighting on each chain, and raises what is
/// remembered of it.
fn tops(
    conn: &Connection,
    known: &mut Known,
    rows: impl Iterator<Item = (ChainId, u64)>,
) -> Result<BTreeMap<ChainId, u64>> {
    let mut tops = BTreeMap::new();
    for (chain, number) in rows {
        let remembered = match known.sighted.get(&chain) {
            Some(top) => *top,
            None => top(conn, "sightings", chain)?,
        };
        tops.entry(chain).or_insert(remembered);
        known.sighted.insert(chain, remembered.max(number));
    }
    Ok(tops)
}
