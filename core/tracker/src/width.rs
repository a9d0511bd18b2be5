//! How many blocks one `eth_getLogs` may span at one node for one filter: learned, never assumed.

use event::FaultClass;

/// First width tried, in blocks. Small enough for most free plans to answer with a hint, and a
/// prime, so that evenly filled blocks do not add up to a round result cap.
pub(crate) const FIRST_WIDTH: u64 = 499;
/// The same where receipts are read of every block.
pub(crate) const FIRST_PROVED: u64 = 101;
/// Widest range ever asked, in blocks: about two weeks of mainnet.
pub(crate) const WIDTH_MAX: u64 = 100_000;
/// Answers above this size are made smaller, in bytes: parsing one must not hold up the others.
const ANSWER_BYTES_MAX: u64 = 8 << 20;
/// Answers below this size let the width grow, in bytes.
const ANSWER_BYTES_LOW: u64 = 4 << 20;
/// After so many answers at a learned ceiling, one wider range is tried again: plans change.
const REPROBE_AFTER: u32 = 200;

/// Widths in a row, without an answer in between, that are halved at a refusal which names no limit.
/// The next question is for one block: it tells a narrow limit from a node in trouble.
const HALVINGS_MAX: u32 = 2;

/// Adapts a width by what the node says and by what its answers weigh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Width {
    current: u64,
    ceiling: u64,
    at_ceiling: u32,
    halvings: u32,
}

impl Width {
    /// Starts at `first` blocks and never exceeds `ceiling`.
    pub(crate) fn new(first: u64, ceiling: u64) -> Self {
        let ceiling = ceiling.clamp(1, WIDTH_MAX);
        Self { current: first.clamp(1, ceiling), ceiling, at_ceiling: 0, halvings: 0 }
    }

    /// Blocks to ask for next, at least 1.
    pub(crate) fn blocks(&self) -> u64 {
        self.current
    }

    /// Learns from an answer of `bytes` over `asked` blocks.
    pub(crate) fn on_answer(&mut self, asked: u64, bytes: u64) {
        self.halvings = 0;
        if bytes > ANSWER_BYTES_MAX && asked > 1 {
            let fitting = asked.saturating_mul(ANSWER_BYTES_MAX) / bytes;
            self.current = self.current.min(fitting.max(1));
        } else if asked >= self.current && bytes < ANSWER_BYTES_LOW {
            self.grow();
        }
    }

    fn grow(&mut self) {
        if self.current < self.ceiling {
            self.current = (self.current * 8 / 5 + 1).min(self.ceiling);
        } else {
            self.at_ceiling += 1;
            if self.at_ceiling >= REPROBE_AFTER && self.ceiling < WIDTH_MAX {
                self.at_ceiling = 0;
                self.ceiling = (self.ceiling * 5 / 4 + 1).min(WIDTH_MAX);
            }
        }
    }

    /// Learns from a refusal of `asked` blocks. A suggested width counts only when it is narrower
    /// than what was refused: providers have sent hints that were wider or inverted (B.7.4).
    pub(crate) fn on_refusal(&mut self, asked: u64, class: &FaultClass) {
        let half = (asked / 2).max(1);
        let narrower = match class {
            FaultClass::Hint { width } | FaultClass::MaxWidth { width } if *width < asked => {
                (*width).max(1)
            }
            _ => half,
        };
        if matches!(class, FaultClass::Hint { .. } | FaultClass::MaxWidth { .. }) {
            self.ceiling = self.ceiling.min(narrower);
            self.at_ceiling = 0;
        }
        if narrower >= self.current {
            // Another question of the width that was refused already.
            return;
        }
        self.current = narrower;
        if matches!(class, FaultClass::Split | FaultClass::Busy) {
            self.halvings += 1;
            if self.halvings > HALVINGS_MAX {
                self.current = 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f18_a_hint_gives_its_width_and_a_wider_one_halves() {
        let mut width = Width::new(1_000, WIDTH_MAX);
        width.on_refusal(1_000, &FaultClass::Hint { width: 257 });
        assert_eq!(width.blocks(), 257);
        width.on_refusal(257, &FaultClass::Hint { width: 9_999 });
        assert_eq!(width.blocks(), 128);
    }

    #[test]
    fn a_known_limit_is_not_exceeded_again_until_it_is_probed() {
        let mut width = Width::new(1_000, WIDTH_MAX);
        width.on_refusal(1_000, &FaultClass::MaxWidth { width: 500 });
        for _ in 0..REPROBE_AFTER {
            assert_eq!(width.blocks(), 500);
            width.on_answer(500, 10);
        }
        width.on_answer(500, 10);
        assert_eq!(width.blocks(), 626);
    }

    #[test]
    fn sizes_halve_and_light_answers_grow() {
        let mut width = Width::new(1_000, WIDTH_MAX);
        width.on_refusal(1_000, &FaultClass::Size);
        assert_eq!(width.blocks(), 500);
        width.on_answer(500, 1_000);
        assert_eq!(width.blocks(), 801);
        width.on_answer(801, 16 << 20);
        assert_eq!(width.blocks(), 400);
    }

    #[test]
    fn refusals_without_a_limit_and_without_an_answer_end_in_one_block() {
        let mut width = Width::new(1_000, WIDTH_MAX);
        for (asked, left) in [(1_000, 500), (1_000, 500), (500, 250), (500, 250), (250, 1)] {
            width.on_refusal(asked, &FaultClass::Split);
            assert_eq!(width.blocks(), left);
        }
        width.on_answer(1, 100);
        assert_eq!(width.blocks(), 2);
        width.on_refusal(2, &FaultClass::Split);
        width.on_answer(1, 100);
        width.on_refusal(100, &FaultClass::Split);
        assert_eq!(width.blocks(), 2, "an answer starts the count anew");
    }

    #[test]
    fn width_never_falls_below_one() {
        let mut width = Width::new(1, WIDTH_MAX);
        width.on_refusal(1, &FaultClass::Split);
        width.on_refusal(1, &FaultClass::MaxWidth { width: 0 });
        assert_eq!(width.blocks(), 1);
    }
}
