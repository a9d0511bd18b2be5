//! From a branch to reports: rulings, releases, and one round after the other.

use super::{Follow, FollowAction, Ruling, Trust};
use crate::follow::{
    calls::{Call, Purpose},
    round::Round,
};
use event::{Ask, BlockNumHash};

impl Follow {
    /// Stops reading from a height on, and takes back reports that were not handed out yet.
    pub(super) fn drop_from(&mut self, number: u64) {
        self.unread.drop_from(number);
        let holds = |round: &Round| {
            round.blocks().last().is_some_and(|block| block.header.number >= number)
        };
        if self.round.as_ref().is_some_and(|(_, round)| holds(round))
            && let Some((_, round)) = self.round.take()
        {
            self.calls.forget(|purpose| matches!(purpose, Purpose::Round(..)));
            let mut blocks = round.into_blocks();
            blocks.retain(|block| block.header.number < number);
            self.unread.put_back(blocks);
        }
        self.out.retain(|(_, action)| match action {
            FollowAction::Submit(report) => report.range.last() < number,
            _ => true,
        });
    }

    /// Takes the ruling on the branch last given out. `Hold` at any other time stops reading: the
    /// chain is another one now. A branch that is not given out yet still waits for its own.
    pub fn on_ruling(&mut self, ruling: Ruling, now_ms: u64) {
        let is_given_out =
            !self.out.iter().any(|(_, action)| matches!(action, FollowAction::Branch(_)));
        match (ruling, self.unruled.take_if(|_| is_given_out)) {
            (Ruling::Follow, Some(walked)) => {
                self.unread.add(walked.blocks);
                self.read(now_ms);
            }
            (Ruling::Hold, None) => self.drop_from(0),
            // What the branch was cut from is read on: it was under way when the head came.
            (Ruling::Hold, Some(_)) => self.read(now_ms),
            (Ruling::Follow, None) => {}
        }
        self.begin_walk(now_ms);
    }

    /// This node's branch is the chain now: reads its blocks from a height on, also those that
    /// were reported before, because the ledger has left them since.
    pub fn release(&mut self, from: u64, now_ms: u64) {
        if self.trust == Trust::Ended {
            return;
        }
        let under_way = |block: &BlockNumHash| {
            let round = self.round.iter().flat_map(|(_, round)| round.blocks());
            let unruled = self.unruled.iter().flat_map(|walked| &walked.blocks);
            round.chain(unruled).any(|known| known.hash == block.hash)
        };
        let blocks = self.window.from(from).filter(|block| !under_way(block));
        self.unread.add_names(blocks);
        self.read(now_ms);
    }

    /// Goes on reading: headers that are not at hand first, then a round over them.
    pub(super) fn read(&mut self, now_ms: u64) {
        if self.round.is_some() {
            return;
        }
        for hash in self.unread.headers_due() {
            self.calls.enqueue(Purpose::Header(hash), Ask::HeaderByHash { hash }, now_ms);
        }
        let blocks = self.unread.take_run();
        if blocks.is_empty() {
            return self.begin_walk(now_ms);
        }
        let deadline_ms = now_ms.saturating_add(self.patience_ms());
        let off = self.receipts_off.clone();
        let round = Round::new(blocks, &self.filters, off, deadline_ms, &self.context);
        self.rounds += 1;
        self.round = Some((self.rounds, round));
        self.step_round(now_ms);
    }

    pub(super) fn step_round(&mut self, now_ms: u64) {
        let Some((id, round)) = &mut self.round else { return };
        let step = round.step(&self.context, now_ms);
        let mut is_answered = false;
        for (due_ms, part, ask) in step.asks {
            let purpose = Purpose::Round(*id, part);
            if let Some(answer) = self.early.take(&ask) {
                is_answered = true;
                if round.on_answer(part, answer) {
                    self.schedule.poll_due_ms = now_ms;
                }
            } else if !self.calls.adopt(&ask, purpose) {
                let call = Call { purpose, ask, attempts: 0, since_ms: now_ms };
                self.calls.enqueue_at(due_ms, call);
            }
        }
        for mut report in step.reports {
            self.early.on_report(&report);
            self.seq += 1;
            report.seq = self.seq;
            report.head_after = report.head_after.max(self.context.status.head.number);
            let said = self.confirm.note();
            self.out.push_back((said, FollowAction::Submit(Box::new(report))));
        }
        if is_answered {
            return self.step_round(now_ms);
        }
        if round.is_over() {
            self.early.forget_answers();
            let (all, unread) = (round.blocks().len() as u64, round.unread() as u64);
            self.view.blocks_reported += all - unread;
            self.view.blocks_unread += unread;
            self.round = None;
            self.read(now_ms);
        }
    }
}
