//! One plugin on one chain: where it is, what it may see next, what a fault or a reorg does to it.

use crate::{
    Action, LanePolicy, Poison, Ready,
    breaker::Breaker,
    canonical_signature,
    cut::{self, Cut, Frame},
    group::{Group, Written},
    journal::Interest,
};
use alloy_primitives::{B256, keccak256};
use event::{
    BlockRange, Cursor, DeadLetter, Decoder, Descriptor, Effects, EventId, EventPage, EventQuery,
    Filter, Held, JournalRow, LaneCommit, LaneId, LaneState, PluginFault, PluginState, Visibility,
    content_digest,
};
use std::sync::Arc;

/// The state machine of a lane. See [`Action`] for the dialogue.
///
/// Three positions: `base`, which the ledger has; `done`, up to which batches were handled and
/// wait in `group` for their commit; and the `cut` in hand. A failed commit, or a reload, throws
/// away everything after `base`.
#[allow(missing_debug_implementations, reason = "holds a decoder, which is not Debug")]
pub struct Lane {
    id: LaneId,
    descriptor: Descriptor,
    policy: LanePolicy,
    interest: Interest,
    signatures: Vec<(B256, String)>,
    decoder: Option<Arc<dyn Decoder>>,

    /// What the ledger has; `None` before the first commit.
    committed: Option<Cursor>,
    base: Cursor,
    generation: u32,
    start_block: u64,
    undo_floor: u64,
    batches: Vec<BlockRange>,
    state: Arc<PluginState>,
    halted: Option<String>,
    /// Why it is to be halted; not written yet.
    halting: Option<String>,
    /// An older generation is still there, to be dropped when this one has caught up.
    has_older: bool,

    /// The newest word of the ledger, and the one that the journal was read for.
    ready: Option<Ready>,
    horizon: Option<Ready>,
    journal_read: u64,
    /// First block touched by journal rows that were read but not acted on.
    rewind_to: Option<u64>,

    done: Cursor,
    group: Group,
    page: Option<EventPage>,
    page_row: usize,
    cut: Option<Cut>,
    wait_until: Option<u64>,
    breaker: Breaker,
    awaiting: Awaiting,
    must_reload: bool,
}

/// What the driver was asked to do.
#[derive(Debug)]
enum Awaiting {
    Nothing,
    /// Journal rows, asked for when the ledger had this one as its last.
    Journal(u64, usize),
    Events(BlockRange),
    Effects,
    Commit(Box<Committing>),
    Reload,
}

/// What a commit changes in the lane once it took effect.
#[derive(Debug)]
struct Committing {
    after: Cursor,
    generation: u32,
    undo_from: Option<u64>,
    undo_floor: u64,
    batches: Vec<BlockRange>,
    halted: Option<String>,
    drop_older: bool,
    is_rebuild: bool,
    is_rewind: bool,
}

/// Returns the last block that may be seen.
fn visible_through(visibility: Visibility, horizon: Ready) -> Option<u64> {
    let through = horizon.through?;
    let is_final = through.min(horizon.finalized);
    match visibility {
        Visibility::Latest => Some(through),
        Visibility::Safe => Some(through.min(horizon.safe).max(is_final)),
        Visibility::Finalized => Some(is_final),
        Visibility::Depth(depth) => {
            Some(through.checked_sub(depth).map_or(is_final, |deep| deep.max(is_final)))
        }
    }
}

impl Lane {
    /// Returns the lane as the ledger has it. `start_block` counts for a lane that never ran; one
    /// that began later than that is rebuilt from there.
    pub fn new(
        id: LaneId,
        descriptor: Descriptor,
        stored: LaneState,
        policy: LanePolicy,
        filters: Vec<Filter>,
        start_block: u64,
    ) -> Self {
        let signatures = signatures(&descriptor);
        let mut lane = Self {
            id,
            descriptor,
            policy,
            interest: Interest::new(filters.into_iter().map(Arc::new).collect()),
            signatures,
            decoder: None,
            committed: None,
            base: Cursor::default(),
            generation: 1,
            start_block,
            undo_floor: 0,
            batches: Vec::new(),
            state: Arc::default(),
            halted: None,
            halting: None,
            has_older: false,
            ready: None,
            horizon: None,
            journal_read: 0,
            rewind_to: None,
            done: Cursor::default(),
            group: Group::default(),
            page: None,
            page_row: 0,
            cut: None,
            wait_until: None,
            breaker: Breaker::default(),
            awaiting: Awaiting::Nothing,
            must_reload: false,
        };
        lane.take(stored);
        if lane.committed.is_some() && start_block < lane.start_block {
            lane.start_block = start_block;
            lane.rewind_to = Some(start_block);
            // Below every floor: only a rebuild gets there.
            lane.undo_floor = lane.undo_floor.max(start_block + 1);
        } else if lane.committed.is_none() {
            lane.start_block = start_block;
            lane.base.next_block = start_block;
            lane.done = lane.base;
        }
        lane
    }

    /// Uses this decoder for batches, where a subscription asks for decoded arguments.
    #[must_use]
    pub fn with_decoder(mut self, decoder: Arc<dyn Decoder>) -> Self {
        if self.descriptor.subscriptions.iter().any(|subscription| subscription.decode) {
            self.decoder = Some(decoder);
        }
        self
    }

    /// Learns a filter that journal rows may name, so that rows which cannot concern the plugin
    /// do not rewind it.
    pub fn learn_filter(&mut self, filter: &Filter) {
        self.interest.learn(filter);
    }

    /// Returns the key-value state that the batch in hand is to be handled against. Drop every
    /// copy of the `Arc` before [`Self::on_handled`], or the whole state is copied.
    pub const fn state(&self) -> &Arc<PluginState> {
        &self.state
    }

    /// Returns the lane's name.
    pub const fn id(&self) -> &LaneId {
        &self.id
    }

    /// Returns how far the lane has come in the ledger; everything later is not written yet.
    pub const fn cursor(&self) -> &Cursor {
        &self.base
    }

    /// Returns the first block the lane handles: where coverage has to begin for it.
    pub const fn start_block(&self) -> u64 {
        self.start_block
    }

    /// Returns which filters have to be covered for the lane to advance.
    pub fn filters(&self) -> &[Arc<Filter>] {
        &self.interest.filters
    }

    /// Returns why the plugin is halted, if it is.
    pub fn halted(&self) -> Option<&str> {
        self.halted.as_deref()
    }

    /// Whether the next block is covered, and the plugin does not want to see it before it is more final.
    pub fn waits_for_finality(&self) -> bool {
        let next = self.base.next_block;
        self.ready.is_some_and(|ready| {
            let seen = visible_through(self.descriptor.visibility, ready);
            ready.through.is_some_and(|through| through >= next)
                && seen.is_none_or(|seen| seen < next)
        })
    }

    /// Returns the number of entries of everything that is held; of these only the plugin's state may
    /// grow with the chain.
    pub fn held(&self) -> Held {
        vec![
            ("batches of a lane", self.batches.len()),
            ("work of a lane", self.group.held()),
            ("dead letters of a lane", self.breaker.held()),
            ("filters of a lane", self.interest.held()),
            ("events of a lane", self.page.as_ref().map_or(0, |page| page.logs.len())),
            ("keys of a plugin", self.state.len()),
        ]
    }

    /// Takes the newest word of the ledger.
    pub fn on_ready(&mut self, ready: Ready) {
        let finalized = self.ready.map_or(0, |old| old.finalized).max(ready.finalized);
        self.ready = Some(Ready { finalized, ..ready });
    }

    /// Returns what to do next; `now_ms` is on any clock that only goes forward.
    pub fn next(&mut self, now_ms: u64) -> Action {
        if !matches!(self.awaiting, Awaiting::Nothing) {
            return Action::Idle;
        }
        if self.must_reload {
            self.awaiting = Awaiting::Reload;
            return Action::Reload;
        }
        if let Some(reason) = &self.halted {
            return Action::Halted(reason.clone());
        }
        if self.halting.is_some() {
            return self.commit(false);
        }
        if let Some(target) = self.rewind_to {
            if self.has_work() {
                return self.commit(false);
            }
            if let Some(action) = self.rewind(target) {
                return action;
            }
        }
        let Some(ready) = self.ready else { return Action::Idle };
        let is_waiting = self.wait_until.is_some_and(|until| now_ms < until);
        if self.cut.is_none() || (is_waiting && self.cut.as_ref().is_some_and(Cut::is_whole)) {
            if self.committed.is_none() && self.done == self.base && self.page.is_none() {
                // Nothing was read yet, so the journal tells nothing new.
                self.journal_read = self.journal_read.max(ready.journal_seq);
            }
            if self.journal_read < ready.journal_seq {
                let (after, limit) = (self.journal_read, self.policy.journal_rows);
                self.awaiting = Awaiting::Journal(ready.journal_seq, limit);
                return Action::ReadJournal { after, limit };
            }
            self.horizon = Some(ready);
        }
        if let (true, Some(until_ms)) = (is_waiting, self.wait_until) {
            // What is done need not wait along.
            let is_whole = self.cut.as_ref().is_none_or(Cut::is_whole);
            return if is_whole && self.has_work() {
                self.commit(false)
            } else {
                Action::Wait { until_ms }
            };
        }
        self.wait_until = None;
        self.advance()
    }

    /// Hands on the cut, cuts the next one, reads on, or commits.
    fn advance(&mut self) -> Action {
        if self.cut.is_some() {
            return self.deliver();
        }
        let Some(horizon) = self.horizon else { return Action::Idle };
        if self.group.events >= self.policy.group_events
            || self.group.bytes >= self.policy.group_bytes
        {
            return self.commit(false);
        }
        if let Some(page) = &self.page {
            if self.page_row < page.logs.len() {
                let ids = (self.done.next_seq, self.done.next_batch);
                let cut = Cut::take(page, self.page_row, horizon.finalized, ids, &self.policy);
                self.cut = Some(cut);
                return self.deliver();
            }
            self.done.next_block = self.done.next_block.max(page.through.saturating_add(1));
            self.page = None;
        }
        let last = visible_through(self.descriptor.visibility, horizon);
        match last.and_then(|last| BlockRange::new(self.done.next_block, last)) {
            Some(range) => {
                self.awaiting = Awaiting::Events(range);
                Action::ReadEvents(EventQuery {
                    chain: self.id.chain,
                    filters: self.interest.filters.clone(),
                    range,
                    limit: self.policy.page_events,
                })
            }
            None => {
                let drop_older = self.has_older && last.is_some();
                if self.has_work() || drop_older { self.commit(drop_older) } else { Action::Idle }
            }
        }
    }

    fn deliver(&mut self) -> Action {
        let (Some(page), Some(cut), Some(horizon)) = (&self.page, &self.cut, self.horizon) else {
            return Action::Idle;
        };
        let Some(unit) = cut.work.last() else { return Action::Idle };
        let frame = Frame {
            chain: self.id.chain,
            finalized: horizon.finalized,
            signatures: &self.signatures,
            decoder: self.decoder.as_ref(),
        };
        let batch = cut::batch(&frame, page, cut, unit);
        self.awaiting = Awaiting::Effects;
        Action::Handle(batch)
    }

    /// Takes journal rows after the one asked for, in order.
    pub fn on_journal(&mut self, rows: &[JournalRow]) {
        let Awaiting::Journal(last, limit) = self.awaiting else { return };
        self.awaiting = Awaiting::Nothing;
        let mut drop_page = false;
        for row in rows {
            self.journal_read = self.journal_read.max(row.seq);
            if row.range.last() < self.start_block {
                continue;
            }
            let Some(touched) = self.interest.touched(row) else { continue };
            let touched = touched.max(self.start_block);
            drop_page |= self.page.as_ref().is_some_and(|page| touched <= page.through);
            if touched < self.done.next_block {
                self.rewind_to = Some(self.rewind_to.map_or(touched, |to| to.min(touched)));
            }
        }
        if rows.len() < limit {
            self.journal_read = self.journal_read.max(last);
        }
        if drop_page {
            self.drop_page();
        }
    }

    /// Takes events as they were asked for.
    pub fn on_events(&mut self, page: EventPage) {
        let Awaiting::Events(range) = self.awaiting else { return };
        self.awaiting = Awaiting::Nothing;
        let through = page.through.min(range.last());
        self.page = Some(EventPage { through, ..page });
        self.page_row = 0;
    }

    /// Takes what the plugin did with the batch in hand.
    pub fn on_handled(&mut self, result: Result<Effects, PluginFault>, now_ms: u64) {
        if !matches!(self.awaiting, Awaiting::Effects) {
            return;
        }
        self.awaiting = Awaiting::Nothing;
        match result {
            Ok(effects) => match self.check(&effects) {
                Ok(()) => self.apply(effects),
                Err(fault) => self.fault(&fault, now_ms),
            },
            Err(fault) => self.fault(&fault, now_ms),
        }
        self.finish_cut();
    }

    /// A row or rejection must name an event of its batch, and a table that was declared.
    fn check(&self, effects: &Effects) -> Result<(), PluginFault> {
        let Some((cut, unit)) = self.cut.as_ref().and_then(|cut| Some((cut, cut.work.last()?)))
        else {
            return Ok(());
        };
        let row_seqs = effects.rows.iter().flat_map(|rows| &rows.seq);
        let mut seqs = row_seqs.chain(effects.rejected.iter().map(|rejection| &rejection.seq));
        if let Some(seq) = seqs.find(|seq| cut.row_of(**seq, &unit.rows).is_none()) {
            return Err(PluginFault::Reject(format!("event {seq} is not in the batch")));
        }
        let declared = &self.descriptor.tables;
        let is_declared = |rows: &&event::TableRows| {
            declared.get(rows.table).is_some_and(|table| {
                table.columns.len() == rows.columns.len()
                    && rows.columns.iter().all(|column| column.len() == rows.seq.len())
            })
        };
        match effects.rows.iter().find(|rows| !is_declared(rows)) {
            Some(rows) => Err(PluginFault::Reject(format!(
                "rows for table {} do not fit its declaration",
                rows.table
            ))),
            None => Ok(()),
        }
    }

    fn apply(&mut self, effects: Effects) {
        let (Some(page), Some(cut)) = (&self.page, &mut self.cut) else { return };
        let Some(unit) = cut.work.pop() else { return };
        cut.open(&mut self.group);
        let block = |seq: &u64| {
            let row = cut.row_of(*seq, &unit.rows).unwrap_or(unit.rows.start);
            &page.blocks[page.logs.block[row] as usize]
        };
        for rows in effects.rows {
            let numbers = rows.seq.iter().map(|seq| block(seq).number).collect();
            let hashes = rows.seq.iter().map(|seq| block(seq).hash).collect();
            self.group.rows(&self.descriptor, rows, numbers, hashes);
        }
        self.group.state(&mut self.state, effects.state);
        self.group.messages(effects.messages);
        for rejection in effects.rejected {
            let row = cut.row_of(rejection.seq, &unit.rows).unwrap_or(unit.rows.start);
            let letter =
                letter(&self.id, page, cut, row, ("reject", rejection.reason), unit.attempt);
            self.group.dead_letters.push(letter);
        }
    }

    fn fault(&mut self, fault: &PluginFault, now_ms: u64) {
        let (Some(page), Some(cut)) = (&self.page, &mut self.cut) else { return };
        let Some(unit) = cut.work.last_mut() else { return };
        let (is_one, attempt) = (unit.rows.len() == 1, unit.attempt);
        match fault {
            PluginFault::Halt(reason) => {
                let reason = reason.clone();
                return self.halt(reason);
            }
            PluginFault::Retry { after_ms, .. } => {
                let wait = if *after_ms > 0 {
                    u64::from(*after_ms)
                } else {
                    self.policy.backoff_ms(attempt)
                };
                unit.attempt += 1;
                self.wait_until = Some(now_ms.saturating_add(wait));
                return;
            }
            PluginFault::Deadline { .. } if is_one && attempt < self.policy.deadline_tries => {
                unit.attempt += 1;
                self.wait_until = Some(now_ms.saturating_add(self.policy.backoff_ms(attempt)));
                return;
            }
            _ if !is_one => return cut.split(page),
            _ => {}
        }
        // One bad event, found.
        let row = unit.rows.start;
        cut.work.pop();
        cut.dead += 1;
        let letter = letter(&self.id, page, cut, row, (class(fault), fault.to_string()), attempt);
        let (seq, block) = (letter.seq, letter.block);
        if self.policy.poison == Poison::Halt {
            return self.halt(format!("event {seq} of block {block}: {fault}"));
        }
        self.group.dead_letters.push(letter);
        if self.breaker.letter(seq, &self.policy) {
            let (letters, window) = (self.policy.breaker_letters, self.policy.breaker_window);
            self.halt(format!(
                "{letters} of the last {window} events failed, the last one in block {block}: {fault}"
            ));
        }
    }

    /// Moves on when nothing of the cut is left.
    fn finish_cut(&mut self) {
        let Some(mut cut) = self.cut.take_if(|cut| cut.work.is_empty()) else { return };
        cut.open(&mut self.group);
        self.group.events += cut.rows.len();
        self.done.next_block = cut.last.saturating_add(1);
        self.done.next_seq += cut.rows.len() as u64;
        self.done.next_batch = cut.next_id;
        self.page_row = cut.rows.end;
        let all_bad = cut.dead == cut.rows.len();
        if self.breaker.batch(all_bad, &self.policy) {
            let batches = self.policy.breaker_batches;
            self.halt(format!("{batches} batches in a row had no event that it could handle"));
        }
    }

    /// Throws away what is not written, so that resuming begins where the ledger is.
    fn halt(&mut self, reason: String) {
        self.roll_back();
        self.halting = Some(reason);
    }

    fn has_work(&self) -> bool {
        self.done.next_block != self.base.next_block
    }

    fn drop_page(&mut self) {
        if self.cut.as_ref().is_some_and(|cut| !cut.is_whole()) {
            // Parts of it have left effects that cannot be told apart any more.
            return self.roll_back();
        }
        (self.page, self.page_row, self.cut, self.wait_until) = (None, 0, None, None);
    }

    /// Back to what the ledger has.
    fn roll_back(&mut self) {
        self.group.roll_back(&mut self.state);
        self.breaker.forget_from(self.base.next_seq);
        self.done = self.base;
        (self.page, self.page_row, self.cut, self.wait_until) = (None, 0, None, None);
    }

    /// Cuts a commit of everything that is done, or of nothing but the halt.
    fn commit(&mut self, drop_older: bool) -> Action {
        let mut after = self.done;
        // Rows that ask for a rewind stay unread until the rewind itself is written.
        after.journal_seq =
            if self.rewind_to.is_none() { self.journal_read } else { self.base.journal_seq };
        if self.halting.is_some() {
            after = self.base;
        }
        let finalized = self.horizon.map_or(0, |horizon| horizon.finalized);
        let committing = Committing {
            after,
            generation: self.generation,
            undo_from: None,
            undo_floor: self.undo_floor.max(finalized.saturating_add(1).min(after.next_block)),
            batches: Vec::new(),
            halted: self.halting.clone(),
            drop_older,
            is_rebuild: false,
            is_rewind: false,
        };
        self.send(committing)
    }

    /// Goes back to `target`, or gives up on this generation; `None` when nothing was done there.
    fn rewind(&mut self, target: u64) -> Option<Action> {
        if target >= self.base.next_block {
            self.rewind_to = None;
            return None;
        }
        let first = self.batches.iter().find(|batch| batch.last() >= target).map(BlockRange::first);
        let next_block = first.map_or(target, |first| first.min(target));
        let is_rebuild = next_block < self.undo_floor;
        let after = Cursor {
            next_block: if is_rebuild { self.start_block } else { next_block },
            journal_seq: self.journal_read,
            ..self.base
        };
        let committing = Committing {
            after,
            generation: self.generation + u32::from(is_rebuild),
            undo_from: first.filter(|_| !is_rebuild),
            undo_floor: if is_rebuild { self.start_block } else { self.undo_floor },
            batches: Vec::new(),
            halted: None,
            drop_older: false,
            is_rebuild,
            is_rewind: true,
        };
        Some(self.send(committing))
    }

    fn send(&mut self, mut committing: Committing) -> Action {
        let is_batches = !committing.is_rewind && committing.halted.is_none();
        let written = if is_batches { self.group.write() } else { Written::default() };
        committing.batches.clone_from(&written.batches);
        let commit = LaneCommit {
            lane: self.id.clone(),
            generation: committing.generation,
            before: self.committed,
            after: committing.after,
            start_block: self.start_block,
            undo_from: committing.undo_from,
            batches: written.batches,
            undo_floor: committing.undo_floor,
            rows: written.rows,
            state: written.state,
            messages: written.messages,
            dead_letters: written.dead_letters,
            halted: committing.halted.clone(),
            drop_older: committing.drop_older,
        };
        self.awaiting = Awaiting::Commit(Box::new(committing));
        Action::Commit(Box::new(commit))
    }

    /// The commit took effect.
    pub fn on_committed(&mut self) {
        let Awaiting::Commit(done) = std::mem::replace(&mut self.awaiting, Awaiting::Nothing)
        else {
            return;
        };
        self.committed = Some(done.after);
        self.base = done.after;
        self.generation = done.generation;
        self.undo_floor = done.undo_floor;
        self.halting = None;
        self.halted = done.halted;
        self.has_older &= !done.drop_older;
        if done.is_rewind {
            self.roll_back();
            self.rewind_to = None;
        } else {
            self.group.settle();
        }
        if done.is_rebuild {
            self.has_older = true;
            self.batches.clear();
            self.state = Arc::default();
        }
        if let Some(from) = done.undo_from {
            self.batches.retain(|batch| batch.first() < from);
            self.must_reload = true;
        }
        self.batches.extend(done.batches);
        self.batches.retain(|batch| batch.first() >= done.undo_floor);
    }

    /// The commit had no effect: everything since the last one is delivered again. Whether to go
    /// on at all (a full disk, a second process) is the driver's decision.
    pub fn on_commit_failed(&mut self) {
        if matches!(self.awaiting, Awaiting::Commit(_)) {
            self.awaiting = Awaiting::Nothing;
            self.roll_back();
        }
    }

    /// Takes the lane as the ledger has it after an undo.
    pub fn on_reloaded(&mut self, stored: LaneState) {
        if matches!(self.awaiting, Awaiting::Reload) {
            self.awaiting = Awaiting::Nothing;
            self.must_reload = false;
            let has_older = self.has_older;
            self.take(stored);
            self.has_older = has_older;
        }
    }

    /// The lane was changed in the ledger, by an operator say: what is not written is thrown away, and
    /// the lane opened again. Call it between two actions.
    pub fn reload(&mut self) {
        if matches!(self.awaiting, Awaiting::Nothing) && self.halting.is_none() {
            self.roll_back();
            self.must_reload = true;
        }
    }

    fn take(&mut self, stored: LaneState) {
        self.committed = stored.cursor;
        self.base =
            stored.cursor.unwrap_or(Cursor { next_seq: 1, next_batch: 1, ..Cursor::default() });
        self.done = self.base;
        self.journal_read = self.base.journal_seq;
        self.generation = stored.generation.max(1);
        self.has_older = self.generation > 1;
        self.start_block = stored.start_block;
        self.undo_floor = stored.undo_floor;
        self.batches = stored.batches;
        self.state = Arc::new(stored.state);
        self.halted = stored.halted.or(stored.held);
        if let Some(block) = stored.retry_from {
            self.rewind_to = Some(self.rewind_to.map_or(block, |to| to.min(block)));
        }
    }
}

const fn class(fault: &PluginFault) -> &'static str {
    match fault {
        PluginFault::Trap(_) => "trap",
        PluginFault::Deadline { .. } => "deadline",
        PluginFault::Limit { .. } => "limit",
        PluginFault::Reject(_) | PluginFault::Retry { .. } | PluginFault::Halt(_) => "reject",
    }
}

fn letter(
    lane: &LaneId,
    page: &EventPage,
    cut: &Cut,
    row: usize,
    (class, reason): (&str, String),
    attempts: u32,
) -> DeadLetter {
    let log = page.logs.row(row);
    let block = &page.blocks[log.block as usize];
    DeadLetter {
        seq: cut.seq_of(row),
        event: EventId {
            chain: lane.chain,
            block_hash: block.hash,
            tx_hash: *log.tx_hash,
            digest: content_digest(log),
            occurrence: page.occurrence.get(row).copied().unwrap_or(0),
        },
        block: block.number,
        class: class.to_owned(),
        reason,
        attempts,
    }
}

/// Returns topic 0 and canonical form of every event that the plugin names by signature.
fn signatures(descriptor: &Descriptor) -> Vec<(B256, String)> {
    let named = descriptor.subscriptions.iter().flat_map(|subscription| &subscription.events);
    let mut signatures: Vec<(B256, String)> = named
        .filter_map(|event| canonical_signature(event))
        .map(|signature| (keccak256(&signature), signature))
        .collect();
    signatures.sort();
    signatures.dedup();
    signatures
}
