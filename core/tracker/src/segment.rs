//! How many headers one question asks for: a few JSON-RPC batches, so that they overlap; fewer where a node
//! refuses so many for its rate, and more again while it answers. Many limits count every header.

/// Headers asked for in one go, at most, in blocks.
pub(crate) const SEGMENT_MAX: u64 = 250;
/// Headers asked for in one go at first: a node that is slow gives some of them soon, and a run that is stopped
/// keeps those.
const SEGMENT_FIRST: u64 = 50;
/// Tries of one question that are refused for the rate, before fewer headers are asked for in one.
pub(crate) const REFUSALS_MIN: u32 = 2;

/// Adapts by what the node refuses and gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    blocks: u64,
    /// It has refused none yet: what is asked for doubles.
    is_fresh: bool,
}

impl Segment {
    pub(crate) const fn new() -> Self {
        Self { blocks: SEGMENT_FIRST, is_fresh: true }
    }

    /// Headers to ask for next, at least 1.
    pub(crate) const fn blocks(self) -> u64 {
        self.blocks
    }

    /// Learns from an answer of so many headers.
    pub(crate) fn on_answer(&mut self, asked: u64) {
        if asked >= self.blocks {
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
        for more in [100, 200, 250, 250] {
            segment.on_answer(segment.blocks());
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
            segment.on_answer(segment.blocks());
            assert_eq!(segment.blocks(), more);
        }
        segment.on_answer(4);
        assert_eq!(segment.blocks(), 5);
        (0..99).for_each(|_| segment.on_answer(segment.blocks()));
        assert_eq!(segment.blocks(), SEGMENT_MAX);
    }
}
