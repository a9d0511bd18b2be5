//! From a head to a branch: when a head is walked, and what its branch takes the place of.

use super::{Branch, Follow, FollowAction};
use crate::follow::{
    calls::Purpose,
    walk::{Walk, WalkStep, Walked},
};
use event::{Ask, BlockAnswer, BlockNumHash, Head};

impl Follow {
    pub(super) fn on_head(&mut self, head: Head, now_ms: u64) {
        let number = head.block.number;
        if number == 0 && self.window.newest().is_some_and(|newest| newest > 0) {
            // No value but a node that does not know better yet (faults.md F47).
            return;
        }
        if number > self.highest || self.head.is_none() {
            self.highest = self.highest.max(number);
            self.view.last_progress_ms = now_ms;
        }
        self.head = Some(head);
        self.context.status.head = head.block;
        self.finalized.on_head(number);
        self.abandoned = None;
        let is_outdated = |walk: &Walk| walk.is_fresh() && walk.head() != head.block;
        if self.walk.as_ref().is_some_and(is_outdated) {
            self.walk = None;
            self.calls.forget(|purpose| purpose == Purpose::Walk);
        }
        self.begin_walk(now_ms);
        let is_reading = self.round.is_some() || !self.unread.is_empty();
        if !is_reading && self.walk.is_none() && self.unruled.is_none() {
            self.context.status.finalized = self.finalized.of_head();
        }
    }

    /// Walks to a head that is new, once what was found before is read. A head that contradicts
    /// what is being read does not wait.
    pub(super) fn begin_walk(&mut self, now_ms: u64) {
        let Some(Head { block: head, .. }) = self.head else { return };
        let is_known = self.window.contains(head) || self.abandoned == Some(head.hash);
        let is_behind = self.window.first().is_some_and(|first| head.number < first);
        let is_reading = self.round.is_some() || !self.unread.is_empty();
        let is_busy = self.walk.is_some() || self.unruled.is_some();
        if is_known || is_behind || is_busy || (is_reading && !self.window.contradicts(head)) {
            return;
        }
        self.walk = Some(Walk::new(head, &self.window, self.finalized.of_head()));
        self.go_on_walking(now_ms);
    }

    /// Asks for the next header of the walk, or takes it from those that were announced.
    pub(super) fn go_on_walking(&mut self, now_ms: u64) {
        let Some(hash) = self.walk.as_ref().map(Walk::next) else { return };
        if let Some(block) = self.announced.remove(&hash) {
            self.calls.forget(|purpose| purpose == Purpose::Walk);
            return self.on_header(block, now_ms);
        }
        let is_coming = |p| p == Purpose::Walk || p == Purpose::Announced(hash);
        if self.calls.count(is_coming) == 0 {
            self.calls.enqueue(Purpose::Walk, Ask::HeaderByHash { hash }, now_ms);
        }
    }

    pub(super) fn on_header(&mut self, block: BlockAnswer, now_ms: u64) {
        let Some(walk) = &mut self.walk else { return };
        let (finalized, is_fork) = (walk.finalized, walk.is_fork);
        match walk.on_header(block, &self.window) {
            WalkStep::Ask => self.go_on_walking(now_ms),
            WalkStep::Astray => self.give_walk_up(now_ms),
            WalkStep::Done(walked) => {
                self.walk = None;
                self.on_walked(walked, is_fork);
                // What is read from here on is of this head's branch.
                self.context.status.finalized = finalized;
            }
        }
    }

    pub(super) fn give_walk_up(&mut self, now_ms: u64) {
        self.abandoned = self.walk.take().map(|walk| walk.head().hash);
        self.begin_walk(now_ms);
    }

    fn on_walked(&mut self, walked: Walked, is_fork: bool) {
        self.announced.clear();
        let named =
            |block: &BlockAnswer| BlockNumHash { number: block.header.number, hash: block.hash };
        let blocks: Vec<BlockNumHash> = walked.blocks.iter().map(named).collect();
        let Some(first) = walked.blocks.first() else { return };
        let number = first.header.number;
        let below = number.checked_sub(1);
        let parent = below.map(|number| BlockNumHash { number, hash: first.header.parent_hash });
        self.drop_from(number);
        if !walked.is_whole && !walked.has_gap {
            self.window.forget_below(number);
        }
        self.window.adopt(parent, &blocks);
        let branch = Branch {
            node: self.context.status.node.clone(),
            blocks,
            parent: parent.map(|parent| parent.hash),
            is_whole: walked.is_whole,
        };
        // What goes on from blocks of the chain is of the chain, whoever told it.
        let goes_on = walked.is_whole && !is_fork && branch.parent.is_some();
        let is_head = self.head.is_some_and(|head| branch.blocks.last() == Some(&head.block));
        if !goes_on {
            self.window_said = self.confirm.note();
        } else if is_head && self.confirm.is_confirmed(self.window_said) {
            self.note_standing();
            self.telling.confirm_head();
        }
        self.unruled = Some(walked);
        self.out.push_back((self.window_said, FollowAction::Branch(branch)));
    }
}
