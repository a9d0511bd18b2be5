//! What becomes of an announcement on its way: when it arrives, how often, or never.

use crate::{Trouble, faults::Active};
use event::{BlockNumHash, Fault, FaultClass, Hint, NodeId};

/// How long a connection takes to be made anew, in milliseconds.
const RECONNECT_MS: u64 = 400;
/// Time within which a flood comes, in milliseconds.
const FLOOD_MS: u64 = 2_000;
/// How late an announcement out of order is: more than a slot of mainnet, in milliseconds.
const LATE_MS: u64 = 13_000;

/// Returns the hints that a node's new head leads to, with when each arrives.
pub(crate) fn announcements(
    node: &NodeId,
    head: BlockNumHash,
    now_ms: u64,
    active: &[Active],
) -> Vec<(u64, Hint)> {
    let mut hints = vec![(now_ms, Hint::Head(head))];
    for active in active {
        match active.trouble() {
            Trouble::HintsLost | Trouble::Unreachable | Trouble::NeverAnswers => hints.clear(),
            Trouble::HintsDoubled => {
                hints.extend(hints.clone().into_iter().map(|(due, hint)| (due + 50, hint)));
            }
            Trouble::HintsOutOfOrder if head.number.is_multiple_of(2) => {
                hints.iter_mut().for_each(|(due, _)| *due += LATE_MS);
            }
            Trouble::HintsFlood { times } => {
                let flood = (1..*times).map(|n| (now_ms + n * FLOOD_MS / times, Hint::Head(head)));
                hints.extend(flood);
            }
            Trouble::HintsHeld => {
                let until = active.rule.when.window_ms.map_or(now_ms, |(_, until)| until);
                hints.iter_mut().for_each(|(due, _)| *due = (*due).max(until));
            }
            Trouble::ConnectionFlaps => {
                let lost = Fault {
                    node: node.clone(),
                    method: "connect".into(),
                    class: FaultClass::Dropped,
                    text: "closed after 60 s without data".into(),
                };
                hints = vec![(now_ms, Hint::Lost(lost)), (now_ms + RECONNECT_MS, Hint::Connected)];
            }
            _ => {}
        }
    }
    hints
}
