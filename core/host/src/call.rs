//! One call of a guest: what it may use, and what it staged.

use crate::{
    Grants, Limits, Usage,
    bindings::headcount::plugin::{log, output, state, types},
    console::Console,
    fence::Fence,
    fetching::Fetcher,
    http::Fetches,
    limits::{COLUMN_BYTES, ENTRY_BYTES, FIELD_BYTES, METRIC_NAME_BYTES},
    outbox::Staged,
    rows, wasi,
    writes::Writes,
};
use event::{ColumnData, Effects, LogLevel, LogLine, PluginState, PluginTable, TableRows};
use std::{collections::BTreeMap, mem::take, ops::Bound, sync::Arc};
use wasmtime::component::ResourceTable;
use wasmtime_wasi::WasiCtx;

/// Entries that one `scan` returns at most.
const SCAN_LIMIT: usize = 1_000;
/// Handles of WASI, such as streams, that a guest has open at a time.
const RESOURCES: usize = 1_000;

/// Everything behind the imports during one call.
pub(crate) struct Call {
    pub(crate) wasi: WasiCtx,
    pub(crate) table: ResourceTable,
    pub(crate) console: Console,
    pub(crate) fence: Fence,
    limits: Arc<Limits>,
    tables: Arc<[PluginTable]>,
    state: Arc<PluginState>,
    /// Delivery numbers of the batch, rising without gaps; empty outside of `handle`.
    seqs: std::ops::Range<u64>,
    rows: Vec<TableRows>,
    row_count: usize,
    row_bytes: usize,
    /// Writes of this call, over `state`.
    writes: Writes,
    /// Bytes of the state with those writes.
    pub(crate) state_bytes: usize,
    /// Bytes of the writes.
    written_bytes: usize,
    pub(crate) outbox: Staged,
    pub(crate) http: Fetches,
    lines: Vec<LogLine>,
    line_bytes: usize,
    suppressed: usize,
    counts: BTreeMap<String, u64>,
}

/// What a call is about.
pub(crate) struct Subject<'a> {
    pub(crate) unix_seconds: u64,
    pub(crate) seed: &'a [u8; 32],
    pub(crate) tables: Arc<[PluginTable]>,
    pub(crate) state: Arc<PluginState>,
    pub(crate) seqs: std::ops::Range<u64>,
}

impl Call {
    /// Stands behind a guest that is being made: about nothing yet, and the same for all of a component.
    pub(crate) fn new(
        limits: &Arc<Limits>,
        seed: &[u8; 32],
        (grants, fetcher): (Arc<Grants>, Arc<Fetcher>),
    ) -> Self {
        let console = Console::new(limits.console_bytes);
        let mut table = ResourceTable::new();
        table.set_max_capacity(RESOURCES);
        Self {
            wasi: wasi::context(0, seed, console.clone()),
            table,
            console,
            fence: Fence::new(limits),
            limits: Arc::clone(limits),
            tables: Arc::new([]),
            state: Arc::default(),
            seqs: 0..0,
            rows: Vec::new(),
            row_count: 0,
            row_bytes: 0,
            writes: Writes::default(),
            state_bytes: 0,
            written_bytes: 0,
            outbox: Staged::new(limits, Arc::clone(&grants)),
            http: Fetches::new(limits, grants, fetcher),
            lines: Vec::new(),
            line_bytes: 0,
            suppressed: 0,
            counts: BTreeMap::new(),
        }
    }

    /// From now on the call is about this.
    pub(crate) fn begin(&mut self, subject: Subject<'_>) {
        self.wasi = wasi::context(subject.unix_seconds, subject.seed, self.console.clone());
        self.tables = subject.tables;
        self.state_bytes = state_bytes(&subject.state);
        self.state = subject.state;
        self.seqs = subject.seqs;
        self.http.begin();
    }

    /// Returns what the call has used so far; its time is for the caller to measure.
    pub(crate) const fn usage(&self) -> Usage {
        Usage {
            elapsed_us: 0,
            memory_bytes: self.fence.peak_bytes(),
            output_rows: self.row_count,
            output_bytes: self.row_bytes,
            state_bytes: self.state_bytes,
            outbox_messages: self.outbox.len(),
            outbox_bytes: self.outbox.bytes(),
            http_calls: self.http.len(),
            log_lines: self.lines.len(),
            log_bytes: self.line_bytes,
        }
    }

    /// Lets go of the state, and returns what the call staged.
    pub(crate) fn end(&mut self) -> Effects {
        self.state = Arc::default();
        if self.suppressed > 0 {
            let message = format!("{} more lines were suppressed", self.suppressed);
            self.lines.push(LogLine { level: LogLevel::Warn, message, fields: vec![] });
        }
        Effects {
            rows: take(&mut self.rows),
            state: take(&mut self.writes).into_list(),
            messages: self.outbox.take_messages(),
            rejected: Vec::new(),
            log: take(&mut self.lines),
            counts: take(&mut self.counts).into_iter().collect(),
        }
    }

    fn read(&self, key: &[u8]) -> Option<&Vec<u8>> {
        match self.writes.get(key) {
            Some(written) => written,
            None => self.state.get(key),
        }
    }

    fn write(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) -> Result<(), state::StateError> {
        let Limits { state_key_bytes, state_value_bytes, state_bytes, .. } = *self.limits;
        let value_len = value.as_ref().map_or(0, Vec::len);
        check("state_key_bytes", key.len(), state_key_bytes)?;
        check("state_value_bytes", value_len, state_value_bytes)?;
        let key_len = key.len();
        let cost = |value: &Vec<u8>| key_len + value.len() + ENTRY_BYTES;
        let written = self.writes.get(&key).map(|written| written.map_or(0, cost));
        let stored = || self.state.get(&key).map_or(0, cost);
        let before = written.unwrap_or_else(stored);
        let after = value.as_ref().map_or(0, cost);
        if before == 0 && after == 0 {
            // Deleted where nothing is: to keep that in mind would cost memory without end.
            return Ok(());
        }
        let total = self.state_bytes.saturating_sub(before) + after;
        if after > before {
            check("state_bytes", total, state_bytes)?;
        }
        let overwritten = written.unwrap_or(0);
        let written = self.written_bytes - overwritten + after;
        if after > overwritten {
            check("state_write_bytes", written, self.limits.state_write_bytes)?;
        }
        self.written_bytes = written;
        self.state_bytes = total;
        self.writes.insert(key, value);
        Ok(())
    }
}

/// What the entries of a state count.
pub(crate) fn state_bytes(state: &PluginState) -> usize {
    state.bytes() + state.len() * ENTRY_BYTES
}

fn check(limit: &str, wanted: usize, allowed: usize) -> Result<(), state::StateError> {
    if wanted > allowed {
        let text = format!("limit `{limit}` of {allowed} exceeded: {wanted}");
        return Err(state::StateError::Quota(text));
    }
    Ok(())
}

impl types::Host for Call {}

impl log::Host for Call {
    fn log(&mut self, level: log::Level, message: String, fields: Vec<(String, String)>) {
        let bytes = message.len()
            + fields
                .iter()
                .map(|(name, value)| name.len() + value.len() + FIELD_BYTES)
                .sum::<usize>();
        if self.lines.len() >= self.limits.log_lines
            || self.line_bytes + bytes > self.limits.log_bytes
        {
            self.suppressed += 1;
            return;
        }
        self.line_bytes += bytes;
        let level = match level {
            log::Level::Trace => LogLevel::Trace,
            log::Level::Debug => LogLevel::Debug,
            log::Level::Info => LogLevel::Info,
            log::Level::Warn => LogLevel::Warn,
            log::Level::Error => LogLevel::Error,
        };
        self.lines.push(LogLine { level, message, fields });
    }

    fn count(&mut self, metric: String, delta: u64) {
        let is_known = self.counts.contains_key(&metric);
        let is_room = self.counts.len() < self.limits.metrics && metric.len() <= METRIC_NAME_BYTES;
        if is_known || is_room {
            let count = self.counts.entry(metric).or_default();
            *count = count.saturating_add(delta);
        }
    }
}

impl output::Host for Call {
    fn emit(
        &mut self,
        table: String,
        seqs: Vec<u64>,
        columns: Vec<output::Column>,
    ) -> Result<(), output::EmitError> {
        let tables = Arc::clone(&self.tables);
        let declared = tables.iter().enumerate().find(|(_, declared)| declared.name == table);
        let Some(declared) = declared else {
            let shown: String = table.chars().take(64).collect();
            return Err(output::EmitError::Mismatch(format!("table {shown} is not declared")));
        };
        if let Some(seq) = seqs.iter().find(|seq| !self.seqs.contains(seq)) {
            return Err(output::EmitError::UnknownSeq(*seq));
        }
        let count = self.row_count + seqs.len();
        quota("output_rows", count, self.limits.output_rows)?;
        let rows = rows::table_rows(declared, seqs, columns)?;
        let nulls = 4 * rows.nulls.iter().map(Vec::len).sum::<usize>();
        let columns: usize = rows.columns.iter().map(|c| column_bytes(c) + COLUMN_BYTES).sum();
        let bytes = self.row_bytes + 8 * rows.seq.len() + columns + nulls;
        quota("output_bytes", bytes, self.limits.output_bytes)?;
        (self.row_count, self.row_bytes) = (count, bytes);
        if !rows.seq.is_empty() {
            self.rows.push(rows);
        }
        Ok(())
    }
}

fn quota(limit: &str, wanted: usize, allowed: usize) -> Result<(), output::EmitError> {
    if wanted > allowed {
        let text = format!("limit `{limit}` of {allowed} exceeded: {wanted}");
        return Err(output::EmitError::Quota(text));
    }
    Ok(())
}

const fn column_bytes(column: &ColumnData) -> usize {
    match column {
        ColumnData::Bool(values) => values.len(),
        ColumnData::U64(values) => 8 * values.len(),
        ColumnData::I64(values) => 8 * values.len(),
        ColumnData::F64(values) => 8 * values.len(),
        ColumnData::Text(values) | ColumnData::Blob(values) => {
            values.bytes.len() + 4 * values.offsets.len()
        }
    }
}

impl state::Host for Call {
    fn get(&mut self, key: Vec<u8>) -> Option<Vec<u8>> {
        self.read(&key).cloned()
    }

    fn get_many(&mut self, keys: Vec<Vec<u8>>) -> wasmtime::Result<Vec<Option<Vec<u8>>>> {
        // One large value asked for a million times would fill the memory of the host.
        let found: Vec<Option<&Vec<u8>>> = keys.iter().map(|key| self.read(key)).collect();
        let bytes: usize = found.iter().flatten().map(|value| value.len()).sum();
        if bytes > self.limits.call_bytes {
            return Err(self.fence.over("call_bytes", self.limits.call_bytes));
        }
        Ok(found.into_iter().map(Option::<&_>::cloned).collect())
    }

    fn set(&mut self, key: Vec<u8>, value: Vec<u8>) -> Result<(), state::StateError> {
        self.write(key, Some(value))
    }

    fn set_many(&mut self, items: Vec<(Vec<u8>, Vec<u8>)>) -> Result<(), state::StateError> {
        items.into_iter().try_for_each(|(key, value)| self.write(key, Some(value)))
    }

    fn delete(&mut self, key: Vec<u8>) {
        // Deleting only ever makes the state smaller; a key that is too long is not there.
        let _ = self.write(key, None);
    }

    fn scan(
        &mut self,
        prefix: Vec<u8>,
        after: Option<Vec<u8>>,
        limit: u32,
    ) -> wasmtime::Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let limit = (limit as usize).min(SCAN_LIMIT);
        let from = match &after {
            Some(after) if *after >= prefix => Bound::Excluded(after.as_slice()),
            _ => Bound::Included(prefix.as_slice()),
        };
        self.writes.order();
        let mut stored = self.state.entries_from(from).peekable();
        let mut written = self.writes.entries_from(from).peekable();
        let mut found: Vec<(&Vec<u8>, &Vec<u8>)> = Vec::new();
        while found.len() < limit {
            let key = match (stored.peek(), written.peek()) {
                (Some((a, _)), Some((b, _))) => (*a).min(*b),
                (Some((a, _)), None) => *a,
                (None, Some((b, _))) => *b,
                (None, None) => break,
            };
            if !key.starts_with(&prefix) {
                break;
            }
            let old = stored.next_if(|(a, _)| *a == key).map(|(_, value)| value);
            let new = written.next_if(|(b, _)| *b == key).map(|(_, value)| value);
            if let Some(value) = new.unwrap_or(old) {
                found.push((key, value));
            }
        }
        let bytes: usize = found.iter().map(|(key, value)| key.len() + value.len()).sum();
        if bytes > self.limits.call_bytes {
            return Err(self.fence.over("call_bytes", self.limits.call_bytes));
        }
        Ok(found.into_iter().map(|(key, value)| (key.clone(), value.clone())).collect())
    }
}
