//! How often a call is tried and how long is waited in between: the same for every tracker.

use event::{Fault, FaultClass};

/// Tries of one call before it is given up.
pub(crate) const ATTEMPTS_MAX: u32 = 5;
/// Tries of a call that times out: each takes as long as the operator lets it, so one more is
/// enough to tell a hiccup from a node that hangs.
const TIMEOUTS_MAX: u32 = 2;
/// Tries of a call that is told to come later, without a word of when: half a minute of waits, as
/// some limits count per minute.
const RATED_MAX: u32 = 8;
/// First wait after a fault that may pass, in milliseconds; doubles with each attempt.
const BACKOFF_MS: u64 = 250;
/// Longest wait between attempts, in milliseconds.
const BACKOFF_MS_MAX: u64 = 8_000;

/// Returns the wait before the next try, in milliseconds.
pub(crate) fn backoff_ms(attempts: u32) -> u64 {
    (BACKOFF_MS << attempts.min(16)).min(BACKOFF_MS_MAX)
}

/// Whether a call that failed `attempts` times, last by `fault`, is tried again.
pub(crate) fn is_tried_again(fault: &Fault, attempts: u32) -> bool {
    let attempts_max = match fault.class {
        FaultClass::TimedOut => TIMEOUTS_MAX,
        FaultClass::Rate { retry_after_ms: None } => RATED_MAX,
        _ => ATTEMPTS_MAX,
    };
    fault.class.is_retryable() && attempts < attempts_max
}

/// Whether the fault speaks of these blocks, or of how much was asked: other ranges may be had.
pub(crate) const fn is_of_the_range(class: &FaultClass) -> bool {
    class.is_splittable()
        || matches!(
            class,
            FaultClass::Filter
                | FaultClass::Pruned { .. }
                | FaultClass::Unknown
                | FaultClass::NotYet { .. }
                | FaultClass::NotRecorded
        )
}

/// Whether the node answered, and wrongly, what may be so of one block only.
pub(crate) const fn is_of_one_block(class: &FaultClass) -> bool {
    matches!(class, FaultClass::Unknown | FaultClass::Malformed)
}

/// Whether the fault says that the node, not this question, is the trouble.
pub(crate) const fn is_absent(class: &FaultClass) -> bool {
    matches!(
        class,
        FaultClass::Unreachable
            | FaultClass::Dropped
            | FaultClass::TimedOut
            | FaultClass::Auth
            | FaultClass::Quota
    )
}
