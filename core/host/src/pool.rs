//! A pool of memories for the guests of one plugin. What a guest wrote to is written over with how it began
//! when it is gone, and stays there for the next one: mapping it anew, page by page as it is touched, costs a
//! fresh guest more than all the rest of it.
//!
//! A component that does not fit is run without one. No limit of a guest is kept here; `fence` does that.

use crate::Limits;
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

/// Guests of a plugin at a time: one is made while the one before is still there.
const GUESTS: u32 = 2;
/// What one guest may be made of, at most: a component in Python has one memory, two tables and 14 modules.
const MEMORIES: u32 = 2;
const TABLES: u32 = 8;
const MODULES: u32 = 64;
/// What the host keeps of a guest beside its memory and tables, in bytes.
const CONTEXT_BYTES: usize = 16 << 20;
/// Memory of a guest that stays for the next one, in bytes; what it wrote beyond that is given back.
const RESIDENT_BYTES: usize = 32 << 20;
/// The same of its tables.
const TABLE_RESIDENT_BYTES: usize = 1 << 20;

/// Makes an engine whose guests have memories of a pool. `None` where this machine cannot tell what a guest
/// wrote to (Linux can, since 6.7), or has no room for it: some gigabytes of addresses.
pub(crate) fn engine(limits: &Limits, base: Config) -> Option<Engine> {
    if !PoolingAllocationConfig::is_pagemap_scan_available() {
        return None;
    }
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(GUESTS)
        .total_core_instances(GUESTS * MODULES)
        .total_memories(GUESTS * MEMORIES)
        .total_tables(GUESTS * TABLES)
        .max_core_instances_per_component(MODULES)
        .max_memories_per_component(MEMORIES)
        .max_tables_per_component(TABLES)
        .max_memories_per_module(MEMORIES)
        .max_tables_per_module(TABLES)
        .max_component_instance_size(CONTEXT_BYTES)
        .max_core_instance_size(CONTEXT_BYTES)
        .max_memory_size(limits.memory_bytes)
        .table_elements(limits.table_elements)
        .pagemap_scan(Enabled::Yes)
        .linear_memory_keep_resident(RESIDENT_BYTES)
        .table_keep_resident(TABLE_RESIDENT_BYTES);
    let mut settings = base;
    settings.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    Engine::new(&settings).ok()
}
