//! What a guest may use. Every limit has a name that its error message repeats.

use std::path::PathBuf;

/// What holding one column of one call costs beside its values: small pieces must not be free.
pub(crate) const COLUMN_BYTES: usize = 128;
/// What holding one key and value of the state costs beside them.
pub(crate) const ENTRY_BYTES: usize = 64;
/// What holding one field of a log line costs beside its texts.
pub(crate) const FIELD_BYTES: usize = 48;
/// Longest name of a metric; longer ones are not counted.
pub(crate) const METRIC_NAME_BYTES: usize = 128;

/// Settings of the sandbox as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostConfig {
    /// Largest component that is compiled: compiling is the one thing no deadline stops.
    pub component_bytes: usize,
    /// Where compiled components are kept for the next start, under a digest of their content, of
    /// wasmtime's version and of this machine's kind. What is in there is run as it is: it must be the
    /// user's own. `None`: nothing is kept.
    pub cache_folder: Option<PathBuf>,
}

impl Default for HostConfig {
    fn default() -> Self {
        Self { component_bytes: 64 << 20, cache_folder: None }
    }
}

/// Limits of one plugin, per batch where nothing else is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest run, in milliseconds; kept to about 10 ms.
    pub deadline_ms: u64,
    /// Linear memory, over all memories of the component.
    pub memory_bytes: usize,
    /// Elements of its function tables, over all tables of the component.
    pub table_elements: usize,
    /// What one call between guest and host may hand over, in either direction.
    pub call_bytes: usize,
    /// Rows over all tables.
    pub output_rows: usize,
    /// Bytes of those rows, roughly, with [`COLUMN_BYTES`] for each column of each call.
    pub output_bytes: usize,
    /// Bytes of all keys and values, with [`ENTRY_BYTES`] for each, over all batches. Held in memory.
    pub state_bytes: usize,
    /// Bytes of keys and values that one batch writes, counted likewise.
    pub state_write_bytes: usize,
    /// Bytes of one key.
    pub state_key_bytes: usize,
    /// Bytes of one value.
    pub state_value_bytes: usize,
    /// Messages to sinks.
    pub outbox_messages: usize,
    /// Bytes of those messages, with [`ENTRY_BYTES`] for each.
    pub outbox_bytes: usize,
    /// Bytes of the body of one message.
    pub outbox_message_bytes: usize,
    /// Requests over HTTP.
    pub http_calls: usize,
    /// Longest wait for the whole answer to one request, in milliseconds. `None`: what is left of the
    /// batch's time, which no request has more of.
    pub http_timeout_ms: Option<u64>,
    /// Bytes of URL and body of one request.
    pub http_request_bytes: usize,
    /// Bytes of the body of one answer.
    pub http_response_bytes: usize,
    /// Headers of one request, and of one answer.
    pub http_headers: usize,
    /// Bytes of those headers.
    pub http_header_bytes: usize,
    /// Log lines.
    pub log_lines: usize,
    /// Bytes of those lines, with [`FIELD_BYTES`] for each field.
    pub log_bytes: usize,
    /// Metrics that can be counted.
    pub metrics: usize,
    /// Tail of standard error that is kept for the message of a trap.
    pub console_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            deadline_ms: 5_000,
            memory_bytes: 64 << 20,
            table_elements: 100_000,
            call_bytes: 32 << 20,
            output_rows: 100_000,
            output_bytes: 64 << 20,
            state_bytes: 512 << 20,
            state_write_bytes: 64 << 20,
            state_key_bytes: 1 << 10,
            state_value_bytes: 1 << 20,
            outbox_messages: 1_000,
            outbox_bytes: 16 << 20,
            outbox_message_bytes: 256 << 10,
            http_calls: 16,
            http_timeout_ms: None,
            http_request_bytes: 1 << 20,
            http_response_bytes: 4 << 20,
            http_headers: 100,
            http_header_bytes: 64 << 10,
            log_lines: 1_000,
            log_bytes: 64 << 10,
            metrics: 100,
            console_bytes: 8 << 10,
        }
    }
}
