//! Floor 3, for development and drills: nodes of a simulated world over real transports.
//!
//! A [`FakeNode`] serves one [`sim::SimNode`] over HTTP, WebSocket and a Unix socket of this
//! machine: the same rules that make the node fail or lie in process do so over the wire, in the
//! words of a real client or provider ([`Dialect`]). What goes wrong on the way and not at the node
//! is a [`WireRule`] of the server. [`Drive`] lets the world's time pass as real time does.
//! It decides nothing: what is answered is the simulated node's business.

mod call;
mod dialect;
mod drive;
mod http;
mod json;
mod pipe;
mod server;
mod socket;
mod subscription;
mod tally;
mod trouble;
mod voice;

pub use dialect::{Asked, Dialect, Words};
pub use drive::Drive;
pub use server::{FakeNode, FakeSettings};
pub use tally::{Tally, event_ids};
pub use trouble::{WireRule, WireTrouble};
