//! How near a plugin came to its limits. Nothing is decided by it: the limits themselves stop a guest.

/// The most that any one call of a plugin has used since it was loaded, also of calls that failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Time of a call, in microseconds: start of the guest, `init` and `handle`.
    pub elapsed_us: u64,
    /// Linear memory, in bytes.
    pub memory_bytes: usize,
    /// Rows over all tables.
    pub output_rows: usize,
    /// Bytes of those rows, as the limit counts them.
    pub output_bytes: usize,
    /// Bytes of all keys and values after a call.
    pub state_bytes: usize,
    /// Messages to sinks.
    pub outbox_messages: usize,
    /// Bytes of those messages, as the limit counts them.
    pub outbox_bytes: usize,
    /// Requests over HTTP, also those that were denied.
    pub http_calls: usize,
    /// Log lines.
    pub log_lines: usize,
    /// Bytes of those lines.
    pub log_bytes: usize,
}

impl Usage {
    /// Keeps of each the larger.
    pub(crate) fn raise(&mut self, other: Self) {
        self.elapsed_us = self.elapsed_us.max(other.elapsed_us);
        self.memory_bytes = self.memory_bytes.max(other.memory_bytes);
        self.output_rows = self.output_rows.max(other.output_rows);
        self.output_bytes = self.output_bytes.max(other.output_bytes);
        self.state_bytes = self.state_bytes.max(other.state_bytes);
        self.outbox_messages = self.outbox_messages.max(other.outbox_messages);
        self.outbox_bytes = self.outbox_bytes.max(other.outbox_bytes);
        self.http_calls = self.http_calls.max(other.http_calls);
        self.log_lines = self.log_lines.max(other.log_lines);
        self.log_bytes = self.log_bytes.max(other.log_bytes);
    }
}
