//! What an operator lets one plugin do beyond reading its batch and writing its own rows and state.

use std::collections::BTreeSet;

/// The sinks that a plugin may send to; by default none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    sinks: Sinks,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Sinks {
    Named(BTreeSet<String>),
    Any,
}

impl Default for Sinks {
    fn default() -> Self {
        Self::Named(BTreeSet::new())
    }
}

impl Grants {
    /// Grants these sinks.
    pub fn sinks(names: impl IntoIterator<Item = String>) -> Self {
        Self { sinks: Sinks::Named(names.into_iter().collect()) }
    }

    /// Grants whatever is asked for: for a run that sends nothing.
    pub const fn any() -> Self {
        Self { sinks: Sinks::Any }
    }

    pub(crate) fn has_sink(&self, name: &str) -> bool {
        match &self.sinks {
            Sinks::Named(names) => names.contains(name),
            Sinks::Any => true,
        }
    }
}
