//! Checks of each commit by itself: one row per event, nothing leaves without a word, in order.

use crate::{
    Oracle,
    chain::{Tree, wanted_ids},
};
use alloy_primitives::B256;
use event::{Commit, Content, EventId, Filter, Log, LogRef, Op, content_digest};
use std::collections::BTreeSet;

impl Oracle {
    pub(super) fn check_transitions(&mut self, commit: &Commit, tree: &Tree) {
        self.check_events(commit);
        self.check_positions(commit, tree);
        self.check_journal(commit);
        self.check_blocks(commit);
        self.check_refuted(commit, tree);
        if let Some(finalized) = commit.finalized {
            if self.finalized.is_some_and(|before| finalized < before) {
                self.violated("I13 halt", format!("finalized went back to {finalized}"));
            }
            self.finalized = self.finalized.max(Some(finalized));
        }
    }

    /// I3: one row per event, whatever the number of nodes, replays and restarts.
    fn check_events(&mut self, commit: &Commit) {
        for batch in &commit.events {
            for (log, occurrence) in batch.logs.rows().zip(&batch.occurrence) {
                let (number, block_hash) = batch.blocks[log.block as usize];
                let id = EventId {
                    chain: self.chain,
                    block_hash,
                    tx_hash: *log.tx_hash,
                    digest: content_digest(log),
                    occurrence: *occurrence,
                };
                if !self.stored.insert(id) {
                    self.violated("I3 dedup", format!("stored twice in block {number}: {id:?}"));
                }
            }
        }
    }

    /// I7: an event that comes with the receipts of its block has the place that they show. What is
    /// added to a block that was proved before came without them.
    fn check_positions(&mut self, commit: &Commit, tree: &Tree) {
        let intervals = commit.coverage.iter().flat_map(|change| &change.intervals);
        let proved = intervals.filter(|interval| interval.evidence.content == Content::Receipts);
        let proved: Vec<u64> = proved.flat_map(|i| i.range.first()..=i.range.last()).collect();
        let proved: BTreeSet<u64> = proved.into_iter().filter(|n| self.proved.insert(*n)).collect();
        for batch in &commit.events {
            for log in batch.logs.rows() {
                let (number, hash) = batch.blocks[log.block as usize];
                let Some(block) = tree.block(&hash).filter(|_| proved.contains(&number)) else {
                    continue;
                };
                let is_there = |truth: &Log| {
                    (truth.tx_index, truth.log_index) == (log.tx_index, log.log_index)
                        && truth.tx_hash == *log.tx_hash
                        && content_digest(LogRef::from(truth)) == content_digest(log)
                };
                if !block.logs().any(is_there) {
                    let text = format!("block {number} has no such log at {}", log.log_index);
                    self.violated("I7 order", text);
                }
            }
        }
    }

    /// I7: reverts come first and newest first, then what comes back, oldest first, then the rest.
    fn check_journal(&mut self, commit: &Commit) {
        let rank = |op: Op| match op {
            Op::Revert => 0,
            Op::Reinstate => 1,
            Op::Refute | Op::Extend | Op::Late => 2,
        };
        for row in &commit.journal {
            // Chains of one ledger share the count, so that one chain's rows may leave some out.
            if row.seq <= self.last_seq {
                let text = format!("journal row {} follows {}", row.seq, self.last_seq);
                self.violated("I7 order", text);
            }
            self.last_seq = row.seq;
            let height = row.range.first();
            if row.op == Op::Revert && self.finalized.is_some_and(|finalized| height <= finalized) {
                self.violated("I13 halt", format!("final block {height} was reverted"));
            }
        }
        for pair in commit.journal.windows(2) {
            let (a, b) = (&pair[0], &pair[1]);
            let heights = (a.range.first(), b.range.first());
            let is_ordered = rank(a.op) < rank(b.op)
                || (rank(a.op) == rank(b.op)
                    && match a.op {
                        Op::Revert => heights.0 > heights.1,
                        Op::Reinstate => heights.0 < heights.1,
                        Op::Refute | Op::Extend | Op::Late => true,
                    });
            if !is_ordered {
                let text =
                    format!("{:?} of {} before {:?} of {}", a.op, heights.0, b.op, heights.1);
                self.violated("I7 order", text);
            }
        }
    }

    /// I6: a block leaves the chain, or comes back onto it, only with a journal row.
    fn check_blocks(&mut self, commit: &Commit) {
        let told = |op: Op| -> BTreeSet<B256> {
            let rows = commit.journal.iter().filter(|row| row.op == op);
            rows.filter_map(|row| row.block_hash).collect()
        };
        let (reverted, reinstated) = (told(Op::Revert), told(Op::Reinstate));
        for block in &commit.blocks {
            let before = self.is_canonical.insert((block.number, block.hash), block.canonical);
            let is_told = match (before, block.canonical) {
                (Some(true), false) => reverted.contains(&block.hash),
                (Some(false), true) => reinstated.contains(&block.hash),
                // New on the chain, or kept beside it where most nodes left what is final.
                (Some(true) | None, true) | (Some(false) | None, false) => true,
            };
            if !is_told {
                let text = format!("block {} changed sides without a word", block.number);
                self.violated("I6 replace-not-delete", text);
            }
        }
    }

    /// I6: no true event is ever refuted.
    fn check_refuted(&mut self, commit: &Commit, tree: &Tree) {
        for id in &commit.refuted {
            let Some(block) = tree.block(&id.block_hash) else { continue };
            if wanted_ids(self.chain, block, &Filter::any()).contains(id) {
                let text = format!("a true event of block {} was refuted", block.number);
                self.violated("I6 replace-not-delete", text);
            }
        }
    }
}
