//! The first frame of each side: who speaks, and which protocol.
//!
//! It is JSON and stays so, whatever comes after it: a program of any age can read who it met. Members
//! that are not known are passed over.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Version of everything after the hello. Counts up with every change of a word on the wire, which
/// a test in `words.rs` notices.
pub const PROTOCOL: u32 = 10;

/// What a process does with the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Follows heads until it is ended.
    Watch,
    /// Reads a range and ends.
    Replay,
    /// Looks and ends; never an owner.
    Reader,
    /// Of another version, with a role that is not known here.
    #[serde(other)]
    Other,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Watch => "watch",
            Self::Replay => "replay",
            Self::Reader => "reader",
            Self::Other => "of another version",
        })
    }
}

/// Who speaks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`PROTOCOL`] of the speaker.
    pub protocol: u32,
    /// Version of the ledger's tables that it knows.
    pub schema: u32,
    /// What it does.
    pub role: Role,
    /// Its program's version, for people.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// Why the owner takes no more, if it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

impl Hello {
    /// Returns the hello of this process.
    pub fn of_this_process(role: Role, schema: u32) -> Self {
        Self {
            protocol: PROTOCOL,
            schema,
            role,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            refused: None,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_hello_of_any_other_version_can_be_read() {
        let text = r#"{"protocol":7,"schema":9,"role":"audit","version":"9.1","pid":5,"x":[1]}"#;
        let hello: Hello = serde_json::from_str(text).unwrap();
        assert_eq!((hello.protocol, hello.role, hello.pid), (7, Role::Other, 5));
        let own = Hello::of_this_process(Role::Watch, 1);
        assert_eq!(
            serde_json::from_str::<Hello>(&serde_json::to_string(&own).unwrap()).unwrap(),
            own
        );
    }
}
