//! Where messages of plugins go: one HTTP endpoint a sink, one attempt a call.
//!
//! When a message is sent, and how often, is not decided here. What a sink answers is not shown to
//! anybody but its status: a body could repeat the keys that it was sent.

mod answer;
mod http;
mod signature;

pub use http::{HttpSink, SinkConfig, SinkError};
pub use signature::signature;
