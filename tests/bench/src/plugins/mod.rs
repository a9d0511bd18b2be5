//! How fast a plugin that is new to a finished ledger catches up, next to what that takes at least.
//!
//! A ledger is filled once; then [`runner`] starts the built program on a copy of it with one plugin
//! after the other and notes when the lane starts and commits ([`program`]). No node is read for that.
//! Next to it stand the same guest called without the program around it ([`guest`]), the rows of the
//! ledger read and dropped ([`events`]), and the rows that the plugin wrote appended to an empty table
//! ([`rows`]). All of them run on the same events, one after the other.

mod batches;
mod events;
mod guest;
mod program;
mod rows;
pub mod runner;
mod state;
pub mod summary;
