//! What goes wrong between a node and whoever asks: rules of the server, tried in order.

use event::FaultClass;
use sim::rng::Rng;

/// Names the chance by which calls are drawn.
const DRAWN: u64 = 0xd4a;

/// Something that a line, a gateway or a server does to an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WireTrouble {
    /// The connection stays open and nothing comes (F3).
    HalfOpen,
    /// The connection ends before the answer.
    Closed,
    /// The connection ends in the middle of the answer (F8).
    Cut,
    /// A gateway's page under HTTP 200; over a socket an answer without result (F7).
    Html,
    /// JSON that ends in the middle, as a whole answer (F7).
    TruncatedJson,
    /// HTTP 429 with `Retry-After` (F4); over a socket an error that names the wait.
    RateLimited {
        /// Wait asked for.
        retry_after_s: u64,
    },
    /// A gateway that lets some calls through only, and refuses a whole batch for one of its calls (F14):
    /// each call is drawn anew, by its number and not by chance.
    SomeRefused {
        /// How many of a thousand calls.
        per_mille: u32,
        /// What is said.
        class: FaultClass,
    },
    /// The answer has another id than the question (F9).
    WrongId,
    /// The answer, or the first of a batch, comes twice (F9).
    DuplicateIds,
}

/// A trouble and when it strikes. Everything must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WireRule {
    /// JSON-RPC method of the request, of a batch that of its first call; `None` is any.
    pub method: Option<String>,
    /// First and last of the matching requests, counted from 1; `None` is always.
    pub calls: Option<(u64, u64)>,
    /// What.
    pub then: WireTrouble,
}

impl WireRule {
    /// Returns the rule that every request is struck.
    pub const fn always(then: WireTrouble) -> Self {
        Self { method: None, calls: None, then }
    }

    /// Only requests of this method.
    #[must_use]
    pub fn on(mut self, method: &str) -> Self {
        self.method = Some(method.to_owned());
        self
    }

    /// Only these of the matching requests, counted from 1.
    #[must_use]
    pub const fn for_calls(mut self, first: u64, last: u64) -> Self {
        self.calls = Some((first, last));
        self
    }
}

/// Rules with how many requests each has seen.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    rules: Vec<(WireRule, u64)>,
    /// Calls drawn so far.
    drawn: u64,
}

impl Rules {
    pub(crate) fn new(rules: Vec<WireRule>) -> Self {
        Self { rules: rules.into_iter().map(|rule| (rule, 0)).collect(), drawn: 0 }
    }

    /// Counts the request, and returns the first trouble that strikes it.
    pub(crate) fn strike(&mut self, method: &str) -> Option<WireTrouble> {
        let mut struck = None;
        for (rule, seen) in &mut self.rules {
            if rule.method.as_deref().is_some_and(|own| own != method) {
                continue;
            }
            *seen += 1;
            let holds = rule.calls.is_none_or(|(first, last)| (first..=last).contains(seen));
            if holds && struck.is_none() {
                struck = Some(rule.then.clone());
            }
        }
        struck
    }

    /// Whether one of so many calls is among those that are refused.
    pub(crate) fn draw(&mut self, calls: usize, per_mille: u32) -> bool {
        let from = self.drawn;
        self.drawn = from.saturating_add(calls as u64);
        (from..self.drawn).any(|call| Rng::keyed(DRAWN, &[call]).chance(per_mille))
    }
}
