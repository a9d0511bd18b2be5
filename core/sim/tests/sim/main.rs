//! The simulation tests itself first, then backfills over many seeds.

#![allow(clippy::unwrap_used, reason = "tests")]

mod audits;
mod backfill;
mod behind;
mod finality;
mod happenings;
mod ledgers;
mod levels;
mod liars;
mod looks;
mod oracle;
mod repeat;
mod scenes;
mod seeds;
mod shipped;
mod slow;
mod soak;
mod spread;
mod watches;
mod watching;
mod worlds;
