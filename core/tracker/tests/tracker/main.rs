//! The tracker's machines, stepped against scripted nodes.

#![allow(clippy::unwrap_used, reason = "tests")]

mod backfill;
mod common;
mod council;
mod follow;
