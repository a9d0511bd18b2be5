//! When the small questions are due: head, finalized block, chain.

/// Polls of the head for each one of the finalized and of the safe block: they move once in 32 slots.
const FINALIZED_EVERY: u64 = 4;
/// Time between two checks that the node is still on the chain, in milliseconds.
const CHAIN_CHECK_MS: u64 = 300_000;
/// First wait for a node that answers nothing, in milliseconds; doubles with each try.
const LOST_WAIT_MS: u64 = 500;
/// Longest wait for a node that answers nothing, in milliseconds. There is no last try.
const LOST_WAIT_MS_MAX: u64 = 30_000;

/// Times of one follower, with a jitter of one eighth to each side, so that many of them do not
/// ask at the same instant.
#[derive(Debug)]
pub(crate) struct Schedule {
    poll_interval_ms: u64,
    seed: u64,
    polls: u64,
    pub(crate) poll_due_ms: u64,
    pub(crate) check_due_ms: u64,
    pub(crate) is_finalized_due: bool,
    pub(crate) is_safe_due: bool,
}

impl Schedule {
    /// Everything is due at once.
    pub(crate) fn new(poll_interval_ms: u64, seed: u64) -> Self {
        Self {
            poll_interval_ms: poll_interval_ms.max(1),
            seed,
            polls: 0,
            poll_due_ms: 0,
            check_due_ms: 0,
            is_finalized_due: false,
            is_safe_due: false,
        }
    }

    pub(crate) fn on_poll(&mut self, now_ms: u64) {
        let is_due = self.polls.is_multiple_of(FINALIZED_EVERY);
        self.is_finalized_due |= is_due;
        self.is_safe_due |= is_due;
        self.polls += 1;
        self.poll_due_ms = now_ms.saturating_add(self.jittered(self.poll_interval_ms));
    }

    pub(crate) const fn on_check(&mut self, now_ms: u64) {
        self.check_due_ms = now_ms.saturating_add(CHAIN_CHECK_MS);
    }

    /// Returns when a node is tried again that answered nothing `tries` times.
    pub(crate) fn lost_until_ms(&mut self, tries: u32, now_ms: u64) -> u64 {
        let wait = (LOST_WAIT_MS << tries.min(16)).min(LOST_WAIT_MS_MAX);
        now_ms.saturating_add(self.jittered(wait))
    }

    fn jittered(&mut self, wait_ms: u64) -> u64 {
        let spread = wait_ms / 4;
        wait_ms - spread / 2 + self.random() % (spread + 1)
    }

    /// SplitMix64: small, and the same everywhere for the same seed.
    fn random(&mut self) -> u64 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.seed;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
