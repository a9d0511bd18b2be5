//! How many blocks are asked for at once, in all questions under way: as many as a node answers without letting
//! them wait for one another. More would be given no sooner, and would delay every other question to the node,
//! also the last one of a run that is stopped.
//!
//! It goes by how much longer an answer takes than it would alone (as TCP Vegas does): a node that is far away
//! takes long for one block too, and is asked for many.

/// Blocks under way at first.
const FIRST: u64 = 40;
/// Blocks of one question, at least, where the node refuses no such number.
const QUESTION_MIN: u64 = 10;
/// An answer that took so much longer, in milliseconds, than one alone waited for others.
const WAITED_MS: u64 = 2_000;

/// Adapts by how long answers take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    blocks: u64,
    blocks_max: u64,
    /// No answer has waited yet: what is asked for doubles from round to round.
    is_fresh: bool,
    /// What an answer about few blocks takes alone, as far as is known, in milliseconds, of each kind.
    alone_ms: [u64; 2],
    /// When it shrank last. What was sent before tells nothing of how it is now.
    shrank_ms: u64,
}

/// What is asked for of many blocks. A node may have the one at hand and compute the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Headers,
    Receipts,
}

/// When a question went under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sent {
    /// In milliseconds.
    pub(crate) at_ms: u64,
    /// Whether nothing else was under way.
    pub(crate) is_alone: bool,
}

impl Window {
    pub(crate) fn new(blocks_max: u64) -> Self {
        Self {
            blocks: FIRST.min(blocks_max),
            blocks_max,
            is_fresh: true,
            alone_ms: [u64::MAX; 2],
            shrank_ms: 0,
        }
    }

    /// Whether more may be asked for while so many blocks are.
    pub(crate) const fn has_room(self, under_way: u64) -> bool {
        under_way < self.blocks
    }

    /// Returns how many blocks one of so many questions asks for.
    pub(crate) fn question(self, asks_max: usize) -> u64 {
        self.blocks.div_ceil(asks_max as u64).max(QUESTION_MIN)
    }

    /// Learns from an answer about so many blocks, while so many were under way, these among them.
    pub(crate) fn on_answer(
        &mut self,
        (kind, asked): (Kind, u64),
        under_way: u64,
        sent: Sent,
        now_ms: u64,
    ) {
        let took_ms = now_ms.saturating_sub(sent.at_ms);
        let is_least = sent.is_alone && asked <= QUESTION_MIN;
        let alone_ms = &mut self.alone_ms[kind as usize];
        *alone_ms = if is_least { took_ms } else { took_ms.min(*alone_ms) };
        if took_ms - *alone_ms > WAITED_MS {
            return self.shrink(sent, now_ms);
        }
        // What is not made use of is not found to be enough.
        if under_way >= self.blocks / 2 {
            let more = if self.is_fresh { asked } else { asked / 8 + 1 };
            self.blocks = (self.blocks + more).min(self.blocks_max);
        }
    }

    /// Asks for less at once: an answer waited, or did not come in time.
    pub(crate) fn shrink(&mut self, sent: Sent, now_ms: u64) {
        if sent.at_ms >= self.shrank_ms {
            self.blocks = (self.blocks / 2).max(QUESTION_MIN.min(self.blocks_max));
            self.shrank_ms = now_ms;
            self.is_fresh = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A node that answers after `far_ms`, and takes `each_ms` for every block, one after the other.
    fn settled(window: &mut Window, far_ms: u64, each_ms: u64, from_ms: u64) -> u64 {
        let (mut now_ms, mut free_ms) = (from_ms, from_ms);
        let mut waiting = std::collections::VecDeque::<(u64, Sent, u64)>::new();
        for _ in 0..2_000 {
            let mut under_way: u64 = waiting.iter().map(|(asked, ..)| asked).sum();
            while waiting.len() < 32 && window.has_room(under_way) {
                let sent = Sent { at_ms: now_ms, is_alone: waiting.is_empty() };
                let asked = window.question(32);
                free_ms = free_ms.max(now_ms) + asked * each_ms;
                waiting.push_back((asked, sent, free_ms + far_ms));
                under_way += asked;
            }
            let Some((asked, sent, at_ms)) = waiting.pop_front() else { break };
            now_ms = at_ms;
            window.on_answer((Kind::Headers, asked), under_way, sent, now_ms);
        }
        now_ms
    }

    #[test]
    fn a_node_far_away_is_asked_for_all_that_may_be_and_a_slow_one_for_what_it_does_in_two_seconds()
    {
        let mut window = Window::new(8_000);
        settled(&mut window, 4_000, 0, 0);
        assert_eq!((window.blocks, window.question(32)), (8_000, 250));
        // 40 blocks a second: 80 wait for two seconds.
        let mut window = Window::new(8_000);
        let now_ms = settled(&mut window, 10, 25, 0);
        assert!((40..=120).contains(&window.blocks), "{window:?}");
        assert_eq!(window.question(32), QUESTION_MIN);
        // It is quick.
        let now_ms = settled(&mut window, 10, 0, now_ms);
        assert_eq!(window.blocks, 8_000);
        // It went far away: alone it takes as long.
        settled(&mut window, 5_000, 0, now_ms);
        assert_eq!(window.blocks, 8_000);
    }

    #[test]
    fn what_takes_longer_than_another_kind_did_not_wait() {
        let mut window = Window::new(8_000);
        let sent = Sent { at_ms: 0, is_alone: false };
        for kind in [Kind::Headers, Kind::Receipts, Kind::Headers, Kind::Receipts] {
            let now_ms = if kind == Kind::Headers { 10 } else { 3_000 };
            window.on_answer((kind, 10), 40, sent, now_ms);
        }
        assert_eq!(window.blocks, FIRST + 40);
        window.on_answer((Kind::Headers, 10), 40, sent, 3_000);
        assert_eq!(window.blocks, FIRST);
    }

    #[test]
    fn one_round_of_answers_that_waited_halves_it_once() {
        let mut window = Window::new(8_000);
        let sent = Sent { at_ms: 100, is_alone: false };
        window.on_answer((Kind::Headers, 10), 40, sent, 150);
        assert_eq!(window.blocks, 50);
        window.on_answer((Kind::Headers, 10), 20, sent, 150);
        assert_eq!(window.blocks, 50, "not half of it was under way");
        (0..3).for_each(|_| window.on_answer((Kind::Headers, 10), 50, sent, 3_000));
        assert_eq!(window.blocks, 25);
        window.shrink(Sent { at_ms: 3_000, is_alone: false }, 9_000);
        assert_eq!(window.blocks, 12);
        (1..5).for_each(|n| window.shrink(Sent { at_ms: n * 9_000, is_alone: true }, n * 9_000));
        assert_eq!(window.blocks, QUESTION_MIN);
    }
}
