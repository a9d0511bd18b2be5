//! JSON-RPC on the wire: questions as bytes, answers parsed in one pass into what the stages use.
//!
//! Nothing is parsed twice and nothing is kept that the event does not need: an envelope's
//! `result` is handed straight to the seed that fills columns. A wrong value anywhere fails the
//! whole answer; half an answer is never returned.

pub(crate) mod block;
pub(crate) mod envelope;
pub(crate) mod logs;
pub(crate) mod receipt;
pub(crate) mod request;
