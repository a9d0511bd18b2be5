//! Signatures and ABI files become typed tables; logs become their rows.
//!
//! Pure. Reads no file (the caller reads ABI files), stores nothing, and never drops a log: what
//! does not decode stays raw and is counted.
//!
//! # Names
//!
//! - A contract without a name is `c_<first 8 hex digits of its address>`, or `any`.
//! - A table is the event's name. Where events of one contract share a name (upper and lower case
//!   alike, for SQL), they are ordered by signature; the first keeps the plain name, the others
//!   get `_` and the first 4 hex digits of the signature's hash, or where that is taken too (one
//!   signature, other `indexed` arguments) of the hash of the whole declaration.
//! - A column is the argument's name; `arg<position>` where it has none. A name that begins with
//!   `_`, as the ledger's own columns do, gets a trailing `_`. Where an earlier argument has the
//!   same name but for case, `_2`, `_3` and so on follow.
//! - Names have at most 63 characters of `A-Z a-z 0-9 _ $`; others become `_`.

mod call;
mod decimal;
mod error;
mod filters;
mod naming;
mod plan;
mod schemas;
mod shape;
mod source;

pub use call::Call;
pub use error::AbiError;
pub use schemas::Schemas;
pub use source::{ContractSpec, EventSource};
