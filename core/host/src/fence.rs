//! Stops a guest that wants more than it may have, and remembers which limit it was.

use crate::Limits;
use wasmtime::ResourceLimiter;

/// Core instances, memories and tables of one component; a standard guest has about five.
const INSTANCES: usize = 100;

/// Counts over all memories and tables of a component: many small ones are a large one.
#[derive(Debug)]
pub(crate) struct Fence {
    memory: Share,
    tables: Share,
    /// The limit that was hit, and its value.
    pub(crate) hit: Option<(&'static str, u64)>,
}

/// What is used of one limit. Guests are thrown away whole, so it only ever rises.
#[derive(Debug)]
struct Share {
    limit: &'static str,
    allowed: usize,
    used: usize,
}

impl Fence {
    pub(crate) const fn new(limits: &Limits) -> Self {
        let memory = Share { limit: "memory_bytes", allowed: limits.memory_bytes, used: 0 };
        let tables = Share { limit: "table_elements", allowed: limits.table_elements, used: 0 };
        Self { memory, tables, hit: None }
    }

    /// Returns the most memory that was granted, in bytes.
    pub(crate) const fn peak_bytes(&self) -> usize {
        self.memory.used
    }

    /// Ends the guest for going over a limit: the error is for the engine, the limit for the message.
    pub(crate) fn over(&mut self, limit: &'static str, allowed: usize) -> wasmtime::Error {
        self.hit = Some((limit, allowed as u64));
        wasmtime::Error::msg("over a limit")
    }
}

impl Share {
    /// Takes note of growth; false where it is too much.
    const fn grow(&mut self, current: usize, desired: usize) -> bool {
        let used = self.used.saturating_add(desired.saturating_sub(current));
        let is_granted = used <= self.allowed;
        if is_granted {
            self.used = used;
        }
        is_granted
    }
}

impl ResourceLimiter for Fence {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if self.memory.grow(current, desired) {
            return Ok(true);
        }
        // A refusal would only make the guest's allocator abort without a reason.
        Err(self.over(self.memory.limit, self.memory.allowed))
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if self.tables.grow(current, desired) {
            return Ok(true);
        }
        Err(self.over(self.tables.limit, self.tables.allowed))
    }

    fn instances(&self) -> usize {
        INSTANCES
    }

    fn tables(&self) -> usize {
        INSTANCES
    }

    fn memories(&self) -> usize {
        INSTANCES
    }
}
