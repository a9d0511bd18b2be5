//! What a guest may use. Every limit has a name that its error message repeats.

/// Settings of the sandbox as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostConfig {
    /// Largest component that is compiled: compiling is the one thing no deadline stops.
    pub component_bytes: usize,
}

impl Default for HostConfig {
    fn default() -> Self {
        Self { component_bytes: 64 << 20 }
    }
}

/// Limits of one plugin, per batch where nothing else is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest run, in milliseconds; kept to about 10 ms.
    pub deadline_ms: u64,
    /// Linear memory.
    pub memory_bytes: usize,
    /// What one call of the guest may hand to the host.
    pub call_bytes: usize,
    /// Rows over all tables.
    pub output_rows: usize,
    /// Bytes of those rows, roughly.
    pub output_bytes: usize,
    /// Bytes of all keys and values, over all batches. Held in memory.
    pub state_bytes: usize,
    /// Bytes of one key.
    pub state_key_bytes: usize,
    /// Bytes of one value.
    pub state_value_bytes: usize,
    /// Log lines.
    pub log_lines: usize,
    /// Bytes of those lines.
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
            call_bytes: 32 << 20,
            output_rows: 100_000,
            output_bytes: 64 << 20,
            state_bytes: 512 << 20,
            state_key_bytes: 1 << 10,
            state_value_bytes: 1 << 20,
            log_lines: 1_000,
            log_bytes: 64 << 10,
            metrics: 100,
            console_bytes: 8 << 10,
        }
    }
}
