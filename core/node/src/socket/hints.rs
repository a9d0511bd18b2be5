//! The newest sign of life of a connection, for whoever waits for one. A slot, not a queue: what
//! nobody waited for is overtaken by what came after it.

use event::{BlockNumHash, Fault, Hint};
use std::sync::{Mutex, PoisonError};
use tokio::sync::Notify;

/// What happened since a hint was last taken, in the order it is told.
#[derive(Debug, Default)]
struct Slot {
    lost: Option<Fault>,
    is_connected: bool,
    head: Option<BlockNumHash>,
}

/// Hints of one node.
#[derive(Debug, Default)]
pub(super) struct Hints {
    slot: Mutex<Slot>,
    changed: Notify,
}

impl Hints {
    pub(super) fn head(&self, block: BlockNumHash) {
        self.change(|slot| slot.head = Some(block));
    }

    /// Announcements of the connection before are worth nothing now.
    pub(super) fn connected(&self) {
        self.change(|slot| {
            slot.is_connected = true;
            slot.head = None;
        });
    }

    pub(super) fn lost(&self, fault: Fault) {
        self.change(|slot| *slot = Slot { lost: Some(fault), ..Slot::default() });
    }

    /// Waits for the next hint; one that is not waited for to the end is not lost.
    pub(super) async fn next(&self) -> Hint {
        loop {
            if let Some(hint) = self.take() {
                return hint;
            }
            self.changed.notified().await;
        }
    }

    fn change(&self, change: impl FnOnce(&mut Slot)) {
        change(&mut self.slot.lock().unwrap_or_else(PoisonError::into_inner));
        // Kept for the next who waits when nobody does now.
        self.changed.notify_one();
    }

    fn take(&self) -> Option<Hint> {
        let mut slot = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(fault) = slot.lost.take() {
            return Some(Hint::Lost(fault));
        }
        if std::mem::take(&mut slot.is_connected) {
            return Some(Hint::Connected);
        }
        slot.head.take().map(Hint::Head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::B256;
    use event::{FaultClass, NodeId};

    fn block(number: u64) -> BlockNumHash {
        BlockNumHash { number, hash: B256::ZERO }
    }

    fn lost(text: &str) -> Fault {
        Fault {
            node: NodeId::new("n"),
            method: "connect".into(),
            class: FaultClass::Dropped,
            text: text.into(),
        }
    }

    #[test]
    fn f69_of_many_announcements_the_newest_is_told_once() {
        let hints = Hints::default();
        hints.connected();
        (1..=1_000).for_each(|number| hints.head(block(number)));
        assert_eq!(hints.take(), Some(Hint::Connected));
        assert_eq!(hints.take(), Some(Hint::Head(block(1_000))));
        assert_eq!(hints.take(), None);
    }

    #[test]
    fn what_was_announced_before_a_loss_is_not_told_after_it() {
        let hints = Hints::default();
        hints.connected();
        hints.head(block(1));
        hints.lost(lost("first"));
        hints.lost(lost("second"));
        hints.connected();
        assert_eq!(hints.take(), Some(Hint::Lost(lost("second"))));
        assert_eq!(hints.take(), Some(Hint::Connected));
        assert_eq!(hints.take(), None);
        hints.connected();
        hints.head(block(2));
        hints.lost(lost("third"));
        assert_eq!(hints.take(), Some(Hint::Lost(lost("third"))));
        assert_eq!(hints.take(), None);
    }
}
