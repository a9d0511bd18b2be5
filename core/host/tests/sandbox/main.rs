//! The sandbox from outside: real guests, hand-made ones that try to escape, and the frozen interface.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

mod escapes;
mod frozen;
mod guests;
mod http;
mod kept;
mod made;
mod misdeeds;
mod tls;
