//! How many headers one question asks for: a few JSON-RPC batches, so that they overlap; fewer where a node
//! refuses so many for its rate, and more again while it answers. Many limits count every header.

/// Headers asked for in one go, at most, in blocks.
pub(crate) const SEGMENT_MAX: u64 = 250;
/// Tries of one question that are refused for the rate, before fewer headers are asked for in one.
pub(crate) const REFUSALS_MIN: u32 = 2;

/// Adapts by what the node refuses and gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment(u64);

impl Segment {
    pub(crate) const fn new() -> Self {
        Self(SEGMENT_MAX)
    }

    /// Headers to ask for next, at least 1.
    pub(crate) const fn blocks(self) -> u64 {
        self.0
    }

    /// Learns from an answer of so many headers.
    pub(crate) fn on_answer(&mut self, asked: u64) {
        if asked >= self.0 {
            self.0 = (self.0 + self.0 / 8 + 1).min(SEGMENT_MAX);
        }
    }

    /// Learns from a refusal of so many.
    pub(crate) fn on_refusal(&mut self, asked: u64) {
        self.0 = self.0.min((asked / 2).max(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_halves_what_is_refused_down_to_one_and_grows_with_what_is_given() {
        let mut segment = Segment::new();
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
        assert_eq!(segment, Segment::new());
    }
}
