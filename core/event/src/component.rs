//! Who writes a lane: which component, and what becomes of the lane where it is another one than wrote it
//! before.

use crate::Descriptor;
use alloy_primitives::B256;
use serde::{Deserialize, Serialize};

/// What becomes of a lane whose component is another one than the one that wrote it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnChange {
    /// It is handed nothing until an operator has decided.
    #[default]
    Hold,
    /// It goes on where it is.
    Continue,
    /// It is handed everything again.
    Rebuild,
}

impl OnChange {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Hold, Self::Continue, Self::Rebuild];

    /// Its word, in configurations and in the ledger.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::Continue => "continue",
            Self::Rebuild => "rebuild",
        }
    }

    /// Returns the one of this word.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|on_change| on_change.word() == word)
    }
}

/// Who is going to write a lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Writer {
    /// What the plugin says of itself.
    pub descriptor: Descriptor,
    /// SHA-256 of its component; `None` for a plugin that is none.
    pub component: Option<B256>,
    /// What the operator wants where that is another one.
    pub on_change: OnChange,
}

/// A writer of which no component is known: it is let in whoever wrote before.
impl From<&Descriptor> for Writer {
    fn from(descriptor: &Descriptor) -> Self {
        Self { descriptor: descriptor.clone(), component: None, on_change: OnChange::Hold }
    }
}
