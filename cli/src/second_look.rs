//! When a running watch reads blocks again through another node, and how fast. Does not do it.

use std::num::NonZeroU32;

/// Calls a second where the user says nothing: less than the free plan of any provider allows, and a
/// day of mainnet in a quarter of an hour.
const DEFAULT_REQUESTS_PER_SECOND: NonZeroU32 = NonZeroU32::new(10).expect("10 is not 0");

/// What is read again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum SecondLook {
    /// Every block that became final, once
    #[default]
    Finalized,
    /// Nothing
    Off,
}

impl SecondLook {
    /// Returns how the user writes it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Finalized => "finalized",
            Self::Off => "off",
        }
    }

    /// Reads what the user wrote.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut all = <Self as clap::ValueEnum>::value_variants().iter().copied();
        all.find(|look| look.name() == text)
            .ok_or_else(|| format!("`{text}` is none of finalized, off"))
    }
}

/// The second look of a watch, decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SecondLookPlan {
    /// What is read again.
    pub(crate) look: SecondLook,
    /// Calls a second, at most, over all nodes of a chain.
    pub(crate) requests_per_second: NonZeroU32,
}

impl SecondLookPlan {
    /// Decides between what the user says and what holds where nothing is said.
    pub(crate) fn of(look: Option<SecondLook>, requests_per_second: Option<NonZeroU32>) -> Self {
        Self {
            look: look.unwrap_or_default(),
            requests_per_second: requests_per_second.unwrap_or(DEFAULT_REQUESTS_PER_SECOND),
        }
    }

    /// Returns the calls a second; `None` where nothing is read again.
    pub(crate) fn budget(&self) -> Option<NonZeroU32> {
        (self.look == SecondLook::Finalized).then_some(self.requests_per_second)
    }
}
