//! What an answer, a fault or a hint changes: whom it is for, whether it is asked for again, and
//! whether the node is there at all.

use super::{ANNOUNCED_MAX, Follow, Lost, Trust};
use crate::{
    Ticket,
    backoff::{ATTEMPTS_MAX, backoff_ms, is_absent, is_tried_again},
    follow::{
        calls::{Call, Purpose},
        early::Early,
        live_block::is_not_ready,
        round::Part,
        unread::Unread,
    },
};
use event::{Answer, Ask, BlockNumHash, Fault, FaultClass, Hint, Verify};

impl Follow {
    /// Takes a hint: a reason to look now.
    pub fn on_hint(&mut self, hint: Hint, now_ms: u64) {
        if self.trust == Trust::Ended {
            return;
        }
        match hint {
            Hint::Head(block) => {
                if self.head.is_some_and(|head| head.block == block) {
                    return;
                }
                self.schedule.poll_due_ms = now_ms;
                self.read_announced(block, now_ms);
            }
            Hint::Connected => {
                self.distrust();
                self.receipts_off = None;
                self.schedule.poll_due_ms = now_ms;
                if let Some(lost) = &mut self.lost {
                    lost.until_ms = now_ms;
                }
            }
            Hint::Lost(fault) => self.on_lost(fault, now_ms),
        }
    }

    /// Reads an announced header while the head is asked for: most often it is the head.
    fn read_announced(&mut self, block: BlockNumHash, now_ms: u64) {
        let hash = block.hash;
        let coming = self.calls.count(|purpose| matches!(purpose, Purpose::Announced(_)));
        let is_asked = |p| matches!(p, Purpose::Announced(h) if h == hash) || p == Purpose::Walk;
        if self.announced.len() + coming < ANNOUNCED_MAX
            && !self.window.contains(block)
            && !self.announced.contains_key(&hash)
            && self.calls.count(is_asked) == 0
        {
            self.calls.enqueue(Purpose::Announced(hash), Ask::HeaderByHash { hash }, now_ms);
            if self.context.verify == Verify::Bloom {
                for ask in self.early.asks(block) {
                    self.calls.enqueue(Purpose::Early(hash), ask, now_ms);
                }
            }
        }
    }

    /// Takes the answer to a ticket. One that is no longer waited for is dropped.
    pub fn on_answer(&mut self, ticket: Ticket, answer: Result<Answer, Fault>, now_ms: u64) {
        let Some(call) = self.calls.answered(ticket) else { return };
        if self.trust == Trust::Ended {
            return;
        }
        match answer {
            Ok(answer) => self.on_success(call, answer, now_ms),
            Err(fault) => self.on_fault(call, fault, now_ms),
        }
    }

    fn on_success(&mut self, call: Call, answer: Answer, now_ms: u64) {
        match (call.purpose, answer) {
            (Purpose::ChainId, Answer::ChainId(chain)) => {
                let expected = self.context.profile.chain;
                if chain != expected {
                    let node = self.context.status.node.clone();
                    return self.end(Fault::wrong_chain(node, expected, chain));
                }
                self.trust = Trust::Good;
                self.confirm.on_right();
                self.telling.on_right();
                self.schedule.on_check(now_ms);
                if self.lost.is_some() {
                    self.schedule.poll_due_ms = now_ms;
                }
            }
            (Purpose::Latest, Answer::Head(head)) => {
                self.lost = None;
                self.on_head(head, now_ms);
            }
            (Purpose::Finalized, Answer::Head(finalized)) => {
                let head = self.context.status.head.number;
                if self.finalized.on_said(finalized.block.number.min(head)) {
                    self.confirm.note();
                }
            }
            (Purpose::Safe, Answer::Head(safe)) => {
                // One above its head is no value.
                let head = self.context.status.head.number;
                self.safe = Some(safe.block).filter(|safe| safe.number <= head);
            }
            (Purpose::Announced(hash), Answer::Headers(mut blocks)) => {
                let block = blocks.pop().filter(|block| block.hash == hash);
                self.announced.extend(block.map(|block| (hash, block)));
                self.go_on_walking(now_ms);
            }
            (Purpose::Early(_), answer @ Answer::Logs(_)) => self.early.on_answer(call.ask, answer),
            (Purpose::Walk, Answer::Headers(mut blocks)) => {
                if let Some(block) = blocks.pop() {
                    return self.on_header(block, now_ms);
                }
                self.give_walk_up(now_ms);
            }
            (Purpose::Header(hash), Answer::Headers(mut blocks)) => {
                self.unread.on_header(hash, blocks.pop());
                self.read(now_ms);
            }
            (Purpose::Round(id, part), answer) => {
                if let Some((_, round)) = self.round.as_mut().filter(|(own, _)| *own == id)
                    && round.on_answer(part, answer)
                {
                    // What the node calls removed is no longer on its chain (faults.md F48).
                    self.schedule.poll_due_ms = now_ms;
                }
                self.step_round(now_ms);
            }
            // A node that answers another question is caught by its transport; a fake that does
            // has not answered.
            (_, _) => {
                let fault = Fault {
                    node: self.context.status.node.clone(),
                    method: method(&call.ask).into(),
                    class: FaultClass::Malformed,
                    text: "the answer is for another question".into(),
                };
                self.on_fault(call, fault, now_ms);
            }
        }
    }

    fn on_fault(&mut self, mut call: Call, fault: Fault, now_ms: u64) {
        if matches!(fault.class, FaultClass::WrongChain { .. }) {
            return self.end(fault);
        }
        if let FaultClass::Rate { retry_after_ms } = fault.class {
            let wait_ms = retry_after_ms.unwrap_or_else(|| backoff_ms(call.attempts));
            self.paused_until_ms = self.paused_until_ms.max(now_ms.saturating_add(wait_ms));
        }
        // A rate limit is no absence: the same is asked again after the pause.
        let is_rated = match fault.class {
            FaultClass::Rate { retry_after_ms } => {
                retry_after_ms.is_some() || call.purpose == Purpose::Latest
            }
            _ => false,
        };
        let is_poll = matches!(call.purpose, Purpose::ChainId | Purpose::Latest);
        if is_absent(&fault.class) || (is_poll && !is_rated) {
            self.on_lost(fault.clone(), now_ms);
        }
        call.attempts += 1;
        let patience_ms = self.patience_ms();
        match call.purpose {
            Purpose::ChainId => self.distrust(),
            Purpose::Latest | Purpose::Finalized | Purpose::Safe | Purpose::Early(_) => {}
            Purpose::Announced(_) => self.go_on_walking(now_ms),
            Purpose::Walk | Purpose::Header(_) if is_not_ready(&fault) => {
                let until_ms = call.since_ms.saturating_add(patience_ms);
                if now_ms >= until_ms {
                    return self.give_up(call.purpose, &fault, now_ms);
                }
                let due_ms = now_ms.saturating_add(backoff_ms(call.attempts)).min(until_ms);
                self.calls.enqueue_at(due_ms, call);
            }
            Purpose::Round(..) if is_not_ready(&fault) => {
                self.give_up(call.purpose, &fault, now_ms);
            }
            // A node that went away may be back before the question is worth less.
            purpose @ (Purpose::Walk | Purpose::Header(_) | Purpose::Round(..)) => {
                let is_away = is_absent(&fault.class) && call.attempts < ATTEMPTS_MAX;
                if is_tried_again(&fault, call.attempts) || is_away {
                    let due_ms = now_ms.saturating_add(backoff_ms(call.attempts));
                    return self.calls.enqueue_at(due_ms, call);
                }
                self.give_up(purpose, &fault, now_ms);
            }
        }
    }

    fn give_up(&mut self, purpose: Purpose, fault: &Fault, now_ms: u64) {
        match purpose {
            Purpose::Walk => self.give_walk_up(now_ms),
            Purpose::Header(hash) => {
                self.view.blocks_unread += self.unread.drop_block(hash);
                self.read(now_ms);
            }
            Purpose::Round(id, part) => {
                if matches!(part, Part::Receipts { .. }) && fault.class == FaultClass::Off {
                    self.receipts_off = Some(fault.clone());
                }
                let Some((_, round)) = self.round.as_mut().filter(|(own, _)| *own == id) else {
                    return;
                };
                round.on_loss(part, fault, is_not_ready(fault));
                self.step_round(now_ms);
            }
            Purpose::ChainId
            | Purpose::Latest
            | Purpose::Finalized
            | Purpose::Safe
            | Purpose::Announced(_)
            | Purpose::Early(_) => {}
        }
    }

    fn on_lost(&mut self, fault: Fault, now_ms: u64) {
        self.distrust();
        let tries = self.lost.as_ref().map_or(0, |lost| lost.tries.saturating_add(1));
        let until_ms = match &self.lost {
            // Several calls under way fail at once: that is one try.
            Some(lost) if now_ms < lost.until_ms => return,
            _ => self.schedule.lost_until_ms(tries, now_ms),
        };
        self.lost = Some(Lost { fault, tries, until_ms });
    }

    /// The node's chain has to be looked at again before anything is believed.
    fn distrust(&mut self) {
        if self.trust != Trust::Ended {
            self.trust = Trust::Due;
            self.confirm.on_loss();
            self.calls.forget(|purpose| purpose == Purpose::ChainId);
        }
    }

    /// Another chain: nothing of what was asked since the last good check is reported.
    fn end(&mut self, fault: Fault) {
        self.trust = Trust::Ended;
        self.wrong_chain = Some(fault);
        self.lost = None;
        self.out.clear();
        self.calls.forget(|_| true);
        self.unread = Unread::default();
        (self.round, self.walk, self.unruled) = (None, None, None);
        self.announced.clear();
        self.early = Early::default();
    }
}

/// Returns the JSON-RPC method of the questions that a follower asks.
const fn method(ask: &Ask) -> &'static str {
    match ask {
        Ask::ChainId => "eth_chainId",
        Ask::LogsByHash { .. } => "eth_getLogs",
        Ask::Receipts { .. } | Ask::ReceiptsOf { .. } => "eth_getBlockReceipts",
        Ask::HeaderByHash { .. } => "eth_getBlockByHash",
        _ => "eth_getBlockByNumber",
    }
}
