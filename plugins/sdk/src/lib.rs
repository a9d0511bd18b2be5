//! What a plugin for Headcount is written with.
//!
//! Implement [`Plugin`] and call [`export_plugin!`]. The logic reaches the host only through
//! [`Host`], so that it runs in a plain `cargo test` against a [`FakeHost`]: the generated import
//! functions exist in the sandbox only.

/// Generated from the contract in `wit/`.
#[allow(
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    unsafe_code,
    clippy::all,
    clippy::use_self,
    reason = "generated: memory of the sandbox is handed over by pointer, and nothing has docs"
)]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "event-fetcher",
        pub_export_macro: true,
        default_bindings_module: "headcount_plugin_sdk::bindings",
    });
}

mod describe;
mod fake;
mod guest;
mod http;
mod outbox;
mod rows;

pub use bindings::exports::headcount::plugin::meta::{
    Column as ColumnSpec, ColumnType, Descriptor, Subscription, Table as TableSpec, Visibility,
};
pub use bindings::headcount::plugin::log::Level;
pub use bindings::headcount::plugin::types::{Batch, Block, Failure, Phase, Rejection, RetryHint};
pub use describe::Describe;
pub use fake::{FakeEvent, FakeHost};
pub use guest::Adapter;
pub use http::{Http, HttpError, Nowhere, Reach, Request, Response, may_fetch};
pub use outbox::{Message, event_key, hex, is_granted};
pub use rows::{Event, Rows, events};

/// What a plugin may do during a call.
pub trait Host {
    /// Returns the values of many keys; one call is much cheaper than many.
    fn get_many(&mut self, keys: &[Vec<u8>]) -> Vec<Option<Vec<u8>>>;

    /// Sets many keys.
    fn set_many(&mut self, items: &[(Vec<u8>, Vec<u8>)]) -> Result<(), Failure>;

    /// Emits rows for one table.
    fn emit(&mut self, rows: Rows) -> Result<(), Failure>;

    /// Enqueues a message to a sink that the operator granted. It is sent after the batch was committed,
    /// at least once, unless its block has left the chain before; a key that comes again is dropped.
    fn enqueue(&mut self, message: Message) -> Result<(), Failure>;

    /// Asks a host that the operator granted, and waits for its answer, whatever its status. Redirects are
    /// not followed. Needs `export_plugin!(Plugin, http)`. With `?` an error becomes a [`Failure`].
    fn fetch(&mut self, request: &Request) -> Result<Response, HttpError>;

    /// Logs a line.
    fn log(&mut self, level: Level, message: &str);
}

/// A plugin. A fresh one is made for every batch: what it has to remember belongs into the state.
pub trait Plugin: Sized + 'static {
    /// Returns name, subscriptions and tables.
    fn describe() -> Descriptor;

    /// Takes the operator's configuration, as JSON.
    fn new(config: &str) -> Result<Self, String>;

    /// Handles one batch; returns the events that it sets aside.
    fn handle(&mut self, host: &mut dyn Host, batch: &Batch) -> Result<Vec<Rejection>, Failure>;
}

/// Exports a type that implements [`Plugin`] from the component; with `http` behind it one that fetches,
/// and is loaded only where the operator grants it hosts.
#[macro_export]
macro_rules! export_plugin {
    ($plugin:ty) => {
        $crate::export_plugin!(@ $plugin, $crate::Nowhere);
    };
    ($plugin:ty, http) => {
        $crate::export_plugin!(@ $plugin, $crate::Http);
    };
    (@ $plugin:ty, $reach:ty) => {
        #[cfg(target_family = "wasm")]
        type HeadcountGuest = $crate::Adapter<$plugin, $reach>;
        #[cfg(target_family = "wasm")]
        $crate::bindings::export!(HeadcountGuest with_types_in $crate::bindings);
    };
}
