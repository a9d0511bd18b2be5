//! Whether a lane's plugin gets on: with what it fails, and what the ledger says of that to whoever looks.

use event::Failing;

/// A plugin that gets on again before this is no news to anybody; nor is another reason.
const NOTED_AFTER_MS: u64 = 1_000;

/// What is known of it.
#[derive(Debug, Default)]
pub(crate) struct GettingOn {
    /// Since when it fails in a row.
    since_ms: Option<u64>,
    /// With what.
    reason: String,
    /// Whether what it did last was to handle something.
    is_well: bool,
    /// What the ledger says, and since when.
    noted: Option<Failing>,
    noted_ms: u64,
}

impl GettingOn {
    /// `noted` is what an earlier run left in the ledger.
    pub(crate) fn new(noted: Option<Failing>) -> Self {
        Self { noted, ..Self::default() }
    }

    /// The plugin was handed something at `begun_ms` and has to be called again.
    pub(crate) fn fails(&mut self, reason: String, begun_ms: u64) {
        self.since_ms.get_or_insert(begun_ms);
        (self.reason, self.is_well) = (reason, false);
    }

    /// It handled what it was handed.
    pub(crate) const fn is_well(&mut self) {
        (self.since_ms, self.is_well) = (None, true);
    }

    /// There is nothing left that it has failed on.
    pub(crate) const fn has_nothing_in_hand(&mut self) {
        if self.since_ms.is_some() {
            self.is_well();
        }
    }

    /// Returns why it does not get on, if it does not.
    pub(crate) fn reason(&self) -> Option<&str> {
        self.since_ms.map(|_| self.reason.as_str())
    }

    /// Returns what the ledger is to say from now on, where it says something else.
    pub(crate) fn news(
        &mut self,
        next_block: u64,
        now_ms: u64,
        is_end: bool,
    ) -> Option<Option<Failing>> {
        let is_new = match (self.since_ms, &self.noted) {
            (None, noted) => self.is_well && noted.is_some(),
            (Some(since_ms), None) => is_end || now_ms.saturating_sub(since_ms) >= NOTED_AFTER_MS,
            (Some(_), Some(noted)) => {
                (noted.reason != self.reason || noted.next_block != next_block)
                    && (is_end || now_ms.saturating_sub(self.noted_ms) >= NOTED_AFTER_MS)
            }
        };
        if !is_new {
            return None;
        }
        self.noted = self.reason().map(|reason| Failing { next_block, reason: reason.to_owned() });
        self.noted_ms = now_ms;
        Some(self.noted.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failing(next_block: u64, reason: &str) -> Option<Failing> {
        Some(Failing { next_block, reason: reason.to_owned() })
    }

    #[test]
    fn what_passes_at_once_is_no_news_and_what_lasts_is_told_until_it_is_over() {
        let mut plugin = GettingOn::default();
        plugin.fails("later".to_owned(), 100);
        assert_eq!(plugin.news(5, 1_099, false), None);
        plugin.is_well();
        assert_eq!(plugin.news(5, 9_000, true), None);
        plugin.fails("later".to_owned(), 10_000);
        plugin.fails("much later".to_owned(), 10_900);
        assert_eq!(plugin.news(5, 11_000, false), Some(failing(5, "much later")));
        assert_eq!(plugin.news(5, 20_000, false), None);
        // Another reason each time is not told each time.
        plugin.fails("once more".to_owned(), 20_000);
        assert_eq!(plugin.news(5, 20_001, false), Some(failing(5, "once more")));
        plugin.fails("still".to_owned(), 20_100);
        assert_eq!(plugin.news(5, 21_000, false), None);
        assert_eq!(plugin.news(5, 21_001, false), Some(failing(5, "still")));
        assert_eq!(plugin.reason(), Some("still"));
        plugin.is_well();
        assert_eq!(plugin.news(6, 22_000, false), Some(None));
        assert_eq!(plugin.reason(), None);
        // The end waits for nothing.
        plugin.fails("later".to_owned(), 23_000);
        assert_eq!(plugin.news(6, 23_001, true), Some(failing(6, "later")));
    }

    #[test]
    fn what_an_earlier_run_noted_stands_until_this_one_has_handled_something() {
        let mut plugin = GettingOn::new(failing(5, "later"));
        plugin.has_nothing_in_hand();
        assert_eq!(plugin.news(5, 9_000, true), None);
        assert_eq!(plugin.reason(), None);
        plugin.fails("later".to_owned(), 9_000);
        assert_eq!(plugin.news(5, 20_000, true), None);
        // The block that it failed on left the chain.
        plugin.has_nothing_in_hand();
        assert_eq!(plugin.news(5, 20_001, false), Some(None));
    }
}
