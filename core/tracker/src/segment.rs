//! How many headers one question asks for: a few JSON-RPC batches, so that they overlap; fewer where a node
//! refuses so many for its rate or takes long for them, and more again while it answers soon. Many limits count
//! every header.

/// Headers asked for in one go, at most, in blocks.
pub(crate) const SEGMENT_MAX: u64 = 250;
/// Headers asked for in one go at first, and at least of a node that is slow: what is under way delays every
/// other question, also the last one of a run that is stopped.
const SEGMENT_MIN: u64 = 10;
/// An answer that took so long, in milliseconds, is one of a slow node.
const SLOW_MS: u64 = 2_000;
/// Tries of one question that are refused for the rate, before fewer headers are asked for in one.
pub(crate) const REFUSALS_MIN: u32 = 2;

/// Adapts by what the node refuses and gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    blocks: u64,
    /// It has refused none yet and was not slow: what is asked for doubles.
    is_fresh: bool,
}

impl Segment {
    pub(crate) const fn new() -> Self {
        Self { blocks: SEGMENT_MIN, is_fresh: true }
    }

    /// Headers to ask for next, at least 1.
    pub(crate) const fn blocks(self) -> u64 {
        self.blocks
    }

    /// Learns from an answer of so many headers, which took so long.
    pub(crate) fn on_answer(&mut self, asked: u64, took_ms: u64) {
        if took_ms > SLOW_MS {
            self.blocks = self.blocks.min((asked / 2).max(SEGMENT_MIN));
            self.is_fresh = false;
        } else if asked >= self.blocks {
            let more = if self.is_fresh { self.blocks } else { self.blocks / 8 + 1 };
            self.blocks = (self.blocks + more).min(SEGMENT_MAX);
        }
    }

    /// Learns from a refusal of so many.
    pub(crate) fn on_refusal(&mut self, asked: u64) {
        self.blocks = self.blocks.min((asked / 2).max(1));
        self.is_fresh = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_halves_what_is_refused_down_to_one_and_grows_with_what_is_given() {
        let mut segment = Segment::new();
        for more in [20, 40, 80, 160, 250, 250] {
            segment.on_answer(segment.blocks(), SLOW_MS);
            assert_eq!(segment.blocks(), more);
        }
        for left in [125, 62, 31, 15, 7, 3, 1, 1] {
            segment.on_refusal(segment.blocks());
            assert_eq!(segment.blocks(), left);
        }
        // What was asked when it was wider tells nothing of this width.
        segment.on_refusal(250);
        assert_eq!(segment.blocks(), 1);
        for more in [2, 3, 4, 5] {
            segment.on_answer(segment.blocks(), 0);
            assert_eq!(segment.blocks(), more);
        }
        segment.on_answer(4, 0);
        assert_eq!(segment.blocks(), 5);
        (0..99).for_each(|_| segment.on_answer(segment.blocks(), 0));
        assert_eq!(segment.blocks(), SEGMENT_MAX);
        // What a slow node takes long for is not refused, and does not get as few as that.
        for left in [125, 62, 31, 15, 10, 10] {
            segment.on_answer(segment.blocks(), SLOW_MS + 1);
            assert_eq!(segment.blocks(), left);
        }
    }
}
