//! The commands with real engines: opens what the plan names, runs the pipeline, tells what came of it.
//!
//! The only place that knows every engine. It decides nothing about events.

mod access;
mod audit;
mod clock;
mod coverage;
mod drill;
mod export;
mod health;
mod inputs;
mod lanes;
mod ledger;
mod names;
mod nodes;
mod plugin;
mod replay;
mod sinks;
mod snapshot;
mod telling;
mod watch;

pub(crate) use self::{
    access::{Look, amend},
    audit::audit,
    coverage::coverage,
    drill::drill,
    export::{Wanted, prepare},
    health::health,
    plugin::{
        Asking, OwnerTold, PluginRun, check_component, check_plugin, compile_plugin,
        component_digest, configured_names, dead, fill_in, list_plugins, load_all, other_table,
        place_of, reload_owner, test_plugin,
    },
    replay::replay,
    snapshot::snapshot,
    watch::watch_plan as watch,
};
