//! The sandbox: runs one plugin's component against one batch at a time.
//!
//! A batch goes in as columns, rows, state writes and messages come out as [`event::Effects`]; nothing is
//! written here, and when and what to deliver is the dispatcher's business. Every call gets a
//! fresh guest with its own memory, so a batch that comes again meets the same computation: clocks
//! stand still at the batch's last block, randomness is seeded by the batch, there are no files,
//! no sockets and no environment. What reaches out of the process at all is HTTP, to hosts that the operator
//! granted to this plugin. A guest that trapped, ran too long or wanted too much is thrown away whole.

mod addresses;
mod answers;
mod authorities;
mod bindings;
mod call;
mod console;
mod describe;
mod engine;
mod fence;
mod fetching;
mod grants;
mod guests;
mod host_grant;
mod http;
mod limits;
mod load;
mod misfit;
mod network;
mod outbox;
mod plugin;
mod pool;
mod rows;
mod said;
mod usage;
mod wasi;
mod wire;
mod writes;

pub use answers::{Answer, Answers, Said};
pub use authorities::Authorities;
pub use engine::Host;
pub use grants::Grants;
pub use host_grant::HostGrant;
pub use limits::{HostConfig, Limits};
pub use load::LoadError;
pub use plugin::LoadedPlugin;
pub use usage::Usage;
