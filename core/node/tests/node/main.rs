//! The stage from outside: a server that plays faults, recordings, and the specification's cases.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

mod execapis;
mod faults;
mod recordings;
mod server;
mod socket_server;
mod sockets;
