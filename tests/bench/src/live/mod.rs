//! How long after a node announces its head a plugin has committed it, next to what a user would
//! write without us.
//!
//! A local node ([`node`]) announces one block of the synthetic chain after the other over
//! WebSocket; [`runner`] starts one [`contender`] at a time against it and notes when each block is
//! done: the built program, or a loop of this crate ([`bare`]). All of them are child processes that
//! say so on a pipe, so that one clock measures everybody in the same way.

pub mod bare;
pub mod contender;
pub mod node;
mod rows;
pub mod runner;
pub mod summary;
