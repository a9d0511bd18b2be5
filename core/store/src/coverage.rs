//! Coverage, filters and sightings as they are written: changes of one transaction are folded
//! first, so that many small reports cost as many statements as filters.
//!
//! Where the highest interval of a filter only goes on, as at the head of a chain, a row is added that goes on
//! from it; the view `coverage` shows one interval.

use crate::{
    append::Known,
    arrow_columns::{append, fixed, texts, u64s},
    error::{Result, statement_failed},
    load,
    sql::{execute_cached, run, text, top},
};
use alloy_primitives::B256;
use duckdb::{Connection, params};
use event::{
    BlockRange, ChainId, Commit, CoverageChange, Filter, Interval, LedgerError, Links, NodeId,
    Sighting,
};
use std::{collections::BTreeMap, sync::Arc};

/// Stands between node names where a list travels as one text: no name holds it.
pub(crate) const NODE_SEPARATOR: char = '\u{1f}';

/// Rows in which an interval goes on, at most: then they become one.
const PARTS_MAX: u64 = 64;

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

/// The highest interval of a filter, as it is stored.
#[derive(Clone, Debug)]
pub(crate) struct Highest {
    pub(crate) interval: Interval,
    /// Rows in which it goes on.
    pub(crate) parts: u64,
}

impl Highest {
    /// Returns what is to be added where a change says only that the interval goes on.
    fn going_on(&self, folded: &Folded) -> Option<Interval> {
        let (_, longer) = folded.intervals.first_key_value()?;
        let within = |(first, last): &(u64, u64)| {
            longer.range.first() <= *first && *last <= longer.range.last()
        };
        let (old, new) = (self.interval.links?, longer.links?);
        let is_longer = self.interval.range.first() == longer.range.first()
            && self.interval.range.last() < longer.range.last()
            && self.interval.evidence == longer.evidence
            && self.interval.nodes == longer.nodes
            && old.first_parent == new.first_parent;
        let is_all = folded.intervals.len() == 1 && folded.replaced.iter().all(within);
        if !is_longer || !is_all || self.parts >= PARTS_MAX {
            return None;
        }
        let range = BlockRange::new(self.interval.range.last() + 1, longer.range.last())?;
        let links = Some(Links { first_parent: old.last_hash, last_hash: new.last_hash });
        Some(Interval { range, links, ..longer.clone() })
    }

    /// Returns which interval is the highest after a change; `None` where only the file can say.
    fn after(highest: Option<Self>, folded: &Folded) -> Option<Self> {
        let (first, last) = *folded.replaced.iter().max_by_key(|(_, last)| *last)?;
        if let Some(highest) = highest
            && last < highest.interval.range.last()
        {
            return (last < highest.interval.range.first()).then_some(highest);
        }
        let (_, interval) = folded.intervals.last_key_value()?;
        let is_of_change = first <= interval.range.first() && interval.range.last() <= last;
        is_of_change.then(|| Self { interval: interval.clone(), parts: 0 })
    }
}

/// Writes the coverage changes of all commits, in order.
pub(crate) fn write(conn: &Connection, known: &mut Known, commits: &[Commit]) -> Result<()> {
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
        if !known.filters.contains(id) {
            intern(conn, *id, &folded.filter)?;
            known.filters.insert(*id);
        }
        let highest = match known.highest.remove(&(*chain, *id)) {
            Some(highest) => Some(highest),
            None => load::highest_interval(conn, *chain, *id)?,
        };
        let highest = write_one(conn, (*chain, *id), folded, highest)?;
        known.highest.extend(highest.map(|highest| ((*chain, *id), highest)));
    }
    Ok(())
}

fn intern(conn: &Connection, id: B256, filter: &Filter) -> Result<()> {
    let spec = serde_json::to_string(filter)
        .map_err(|error| LedgerError::Internal(format!("filter: {error}")))?;
    let sql = "INSERT INTO filters SELECT ?, ? WHERE NOT EXISTS (FROM filters WHERE filter = ?)";
    execute_cached(conn, sql, params![id.as_slice(), spec, id.as_slice()]).map(|_| ())
}

/// Writes what changed of one filter; returns its highest interval then, where that is known.
fn write_one(
    conn: &Connection,
    of: (ChainId, B256),
    folded: &Folded,
    highest: Option<Highest>,
) -> Result<Option<Highest>> {
    if let Some(stored) = &highest
        && let Some(part) = stored.going_on(folded)
    {
        insert(conn, of, &part, true)?;
        let interval = folded.intervals.values().next().cloned();
        return Ok(interval.map(|interval| Highest { interval, parts: stored.parts + 1 }));
    }
    for (first, last) in &folded.replaced {
        if highest.as_ref().is_none_or(|highest| highest.interval.range.last() < *first) {
            // Nothing is stored there.
            continue;
        }
        let sql = "DELETE FROM coverage_parts WHERE chain = ? AND filter = ?
            AND first_block <= ? AND last_block >= ?";
        execute_cached(conn, sql, params![of.0.0, of.1.as_slice(), last, first])?;
    }
    folded.intervals.values().try_for_each(|interval| insert(conn, of, interval, false))?;
    Ok(Highest::after(highest, folded))
}

fn insert(
    conn: &Connection,
    (chain, id): (ChainId, B256),
    interval: &Interval,
    goes_on: bool,
) -> Result<()> {
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
            let sql = format!("INSERT INTO coverage_parts VALUES ({columns}, ?, ?, {goes_on})");
            let (parent, hash) = (links.first_parent.as_slice(), links.last_hash.as_slice());
            execute_cached(conn, &sql, params![chain.0, id, first, last, parent, hash])?;
        }
        None => {
            let sql =
                format!("INSERT INTO coverage_parts VALUES ({columns}, NULL, NULL, {goes_on})");
            execute_cached(conn, &sql, params![chain.0, id, first, last])?;
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
