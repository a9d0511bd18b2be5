//! What the owner has just written, kept in memory for the lanes: at the head a plugin is handed
//! its events without the ledger being read back.
//!
//! It answers only where it is sure to say what the ledger would. For each chain there is a floor:
//! every event of a block at or above it was seen to be written. A block that leaves the chain,
//! a refuted event, or more events than are worth keeping raise the floor above everything known,
//! and the ledger answers again.
//!
//! What is about to be written may be shown ahead of that ([`Recent::show_ahead`]): then whatever is
//! not here is asked of the ledger only once it is written, so that the ledger never answers for less.

use event::{
    BatchBlock, BlockRow, ChainId, ChainState, Commit, EventPage, EventQuery, Filter, FilterId,
    JournalRow, LedgerError, LogRef, Logs, Reader,
};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

/// Events kept of a chain, at most: some hundred blocks of a busy contract, about a megabyte.
const EVENTS_MAX: usize = 4_096;
/// Blocks kept of a chain, at most.
const BLOCKS_MAX: usize = 1_024;
/// Journal rows kept of a chain, at most.
const JOURNAL_MAX: usize = 4_096;

/// The newest part of a ledger, shared by its owner and the lanes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recent(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    kept: Mutex<Kept>,
    written: Condvar,
}

#[derive(Debug, Default)]
struct Kept {
    chains: BTreeMap<ChainId, Chain>,
    /// Some of it is not in the ledger yet.
    is_ahead: bool,
}

/// Lasts as long as something is shown that is not in the ledger yet.
#[derive(Debug)]
pub(crate) struct Ahead(Recent);

impl Drop for Ahead {
    fn drop(&mut self) {
        self.0.lock().is_ahead = false;
        self.0.0.written.notify_all();
    }
}

/// One chain's part.
#[derive(Debug)]
struct Chain {
    /// Every event of this block and of those above it is here.
    floor: u64,
    /// Highest block that the ledger was told of.
    top: u64,
    blocks: BTreeMap<u64, Block>,
    events: usize,
    /// Every journal row after this one is here.
    journal_after: u64,
    journal: VecDeque<JournalRow>,
}

/// A block at one height; there is one only, or the floor is above.
#[derive(Debug)]
struct Block {
    header: BatchBlock,
    logs: Logs,
    occurrence: Vec<u32>,
}

impl Recent {
    /// Begins with a chain as the ledger has it: above everything that it knows.
    pub(crate) fn open(&self, chain: ChainId, state: &ChainState) {
        let covered = state.coverage.iter().flat_map(|(_, intervals)| intervals);
        let top = covered
            .map(|interval| interval.range.last())
            .chain(state.blocks.iter().map(|block| block.number))
            .chain(state.finalized)
            .max();
        let kept = Chain {
            floor: top.map_or(0, |top| top.saturating_add(1)),
            top: top.unwrap_or(0),
            blocks: BTreeMap::new(),
            events: 0,
            journal_after: state.journal_seq,
            journal: VecDeque::new(),
        };
        self.lock().chains.insert(chain, kept);
    }

    /// Takes what was written, `with_events` or after they went out of memory.
    pub(crate) fn on_commits(&self, commits: &[Commit], with_events: bool) {
        self.lock().take(commits, with_events);
    }

    /// Takes what is about to be written; the value returned is dropped once it is.
    pub(crate) fn show_ahead(&self, commits: &[Commit]) -> Ahead {
        let mut kept = self.lock();
        kept.is_ahead = true;
        kept.take(commits, true);
        Ahead(self.clone())
    }

    /// Returns a reader that asks the ledger only for what is not here.
    pub(crate) fn reader(&self, ledger: Box<dyn Reader>) -> Box<dyn Reader> {
        Box::new(RecentReader { recent: self.clone(), ledger })
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_until_written(&self) {
        let kept = self.0.written.wait_while(self.lock(), |kept| kept.is_ahead);
        drop(kept.unwrap_or_else(PoisonError::into_inner));
    }
}

impl Kept {
    fn take(&mut self, commits: &[Commit], with_events: bool) {
        for commit in commits {
            if let Some(chain) = self.chains.get_mut(&commit.chain) {
                chain.on_commit(commit, with_events);
            }
        }
    }
}

impl Chain {
    fn on_commit(&mut self, commit: &Commit, with_events: bool) {
        self.journal.extend(commit.journal.iter().cloned());
        while self.journal.len() > JOURNAL_MAX {
            let gone = self.journal.pop_front();
            self.journal_after = gone.map_or(self.journal_after, |row| row.seq);
        }
        let numbers = commit.blocks.iter().map(|block| block.number);
        let of_events = commit.events.iter().flat_map(|batch| &batch.blocks).map(|block| block.0);
        let covered = commit.coverage.iter().map(|change| change.range.last());
        let top = numbers.chain(of_events).chain(covered).max();
        self.top = self.top.max(top.unwrap_or(0));
        let is_plain = commit.refuted.is_empty() && commit.blocks.iter().all(|row| row.canonical);
        let is_much = !with_events || commit.event_count() > EVENTS_MAX;
        if !is_plain || is_much || !self.take_blocks(commit) {
            return self.forget();
        }
        self.take_events(commit);
        while self.blocks.len() > BLOCKS_MAX || self.events > EVENTS_MAX {
            let Some((number, block)) = self.blocks.pop_first() else { break };
            self.events -= block.logs.len();
            self.floor = number.saturating_add(1);
        }
    }

    /// Leaves everything known to the ledger.
    fn forget(&mut self) {
        self.blocks.clear();
        self.events = 0;
        self.floor = self.top.saturating_add(1);
    }

    /// Returns whether there is one block at each height.
    fn take_blocks(&mut self, commit: &Commit) -> bool {
        let with_events = commit.events.iter().flat_map(|batch| &batch.blocks);
        let bare = |(number, hash): &(u64, _)| BlockRow {
            number: *number,
            hash: *hash,
            parent: None,
            timestamp: None,
            canonical: true,
        };
        let rows = commit.blocks.iter().cloned().chain(with_events.map(bare));
        for row in rows.filter(|row| row.number >= self.floor) {
            let BlockRow { number, hash, parent, timestamp, .. } = row;
            let header = BatchBlock { number, hash, parent, timestamp };
            let fresh = || Block { header, logs: Logs::default(), occurrence: Vec::new() };
            let block = self.blocks.entry(number).or_insert_with(fresh);
            if block.header.hash != hash {
                return false;
            }
            // What was known of a block stays known.
            block.header.parent = parent.or(block.header.parent);
            block.header.timestamp = timestamp.or(block.header.timestamp);
        }
        true
    }

    fn take_events(&mut self, commit: &Commit) {
        for batch in &commit.events {
            for (log, occurrence) in batch.logs.rows().zip(&batch.occurrence) {
                let number = batch.blocks.get(log.block as usize).map(|block| block.0);
                let block = number.and_then(|number| self.blocks.get_mut(&number));
                if let Some(block) = block {
                    block.logs.push(LogRef { block: 0, ..log });
                    block.occurrence.push(*occurrence);
                    self.events += 1;
                }
            }
        }
    }

    fn events(&self, query: &EventQuery) -> Option<EventPage> {
        let range = query.range;
        if range.first() < self.floor {
            return None;
        }
        let mut page = EventPage { through: range.last(), ..EventPage::default() };
        for (number, block) in self.blocks.range(range.first()..=range.last()) {
            block.read(&query.filters, &mut page);
            if page.logs.len() >= query.limit.max(1) {
                page.through = *number;
                break;
            }
        }
        Some(page)
    }

    fn journal(&self, after: u64, limit: usize) -> Option<Vec<JournalRow>> {
        let rows = || self.journal.iter().filter(|row| row.seq > after).take(limit);
        (after >= self.journal_after).then(|| rows().cloned().collect())
    }
}

impl Block {
    /// Appends what is wanted, in the order of the ledger's pages.
    fn read(&self, filters: &[Arc<Filter>], page: &mut EventPage) {
        let wanted = |row: &usize| filters.iter().any(|f| f.matches(self.logs.row(*row)));
        let mut rows: Vec<usize> = (0..self.logs.len()).filter(wanted).collect();
        if rows.is_empty() {
            return;
        }
        // By transaction first: some nodes count log indexes in each transaction anew.
        rows.sort_by_key(|row| {
            (self.logs.tx_index[*row], self.logs.log_index[*row], self.occurrence[*row])
        });
        let block = page.blocks.len() as u32;
        page.blocks.push(self.header);
        for row in rows {
            page.logs.push(LogRef { block, ..self.logs.row(row) });
            page.occurrence.push(self.occurrence[row]);
        }
    }
}

struct RecentReader {
    recent: Recent,
    ledger: Box<dyn Reader>,
}

impl RecentReader {
    fn ledger(&mut self) -> &mut dyn Reader {
        self.recent.wait_until_written();
        &mut *self.ledger
    }
}

impl Reader for RecentReader {
    fn filter(&mut self, id: FilterId) -> Result<Option<Filter>, LedgerError> {
        self.ledger().filter(id)
    }

    fn events(&mut self, query: &EventQuery) -> Result<EventPage, LedgerError> {
        let kept = |kept: &Kept| kept.chains.get(&query.chain)?.events(query);
        let recent = kept(&self.recent.lock());
        recent.map_or_else(|| self.ledger().events(query), Ok)
    }

    fn journal(
        &mut self,
        chain: ChainId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<JournalRow>, LedgerError> {
        let kept = |kept: &Kept| kept.chains.get(&chain)?.journal(after, limit);
        let recent = kept(&self.recent.lock());
        recent.map_or_else(|| self.ledger().journal(chain, after, limit), Ok)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use alloy_primitives::{Address, B256};
    use event::{BlockRange, EventBatch, Op};
    use std::sync::atomic::{AtomicBool, Ordering};

    const CHAIN: ChainId = ChainId(1);

    /// A ledger that must not be asked, and says so; or not before it may be.
    #[derive(Default)]
    struct Asked {
        may_be: Arc<AtomicBool>,
    }

    impl Asked {
        fn answer<T: Default>(&self) -> Result<T, LedgerError> {
            match self.may_be.load(Ordering::Acquire) {
                true => Ok(T::default()),
                false => Err(LedgerError::Internal("asked".into())),
            }
        }
    }

    impl Reader for Asked {
        fn filter(&mut self, _: FilterId) -> Result<Option<Filter>, LedgerError> {
            self.answer()
        }

        fn events(&mut self, _: &EventQuery) -> Result<EventPage, LedgerError> {
            self.answer()
        }

        fn journal(
            &mut self,
            _: ChainId,
            _: u64,
            _: usize,
        ) -> Result<Vec<JournalRow>, LedgerError> {
            self.answer()
        }
    }

    fn hash(number: u64) -> B256 {
        B256::from(alloy_primitives::U256::from(number))
    }

    /// A block with so many events, as its commit.
    fn block(number: u64, events: u32) -> Commit {
        let mut logs = Logs::default();
        for index in (0..events).rev() {
            logs.push(LogRef {
                block: 0,
                tx_hash: &hash(number),
                tx_index: 0,
                log_index: index,
                address: &Address::repeat_byte(7),
                topics: &[],
                data: &[],
            });
        }
        let occurrence = vec![0; logs.len()];
        let row = BlockRow {
            number,
            hash: hash(number),
            parent: Some(hash(number - 1)),
            timestamp: Some(number),
            canonical: true,
        };
        let journal = JournalRow {
            seq: number,
            chain: CHAIN,
            op: Op::Extend,
            filter: None,
            range: BlockRange::new(number, number).unwrap(),
            block_hash: None,
            events: u64::from(events),
        };
        let blocks = vec![(number, hash(number))];
        let batch = EventBatch { blocks, logs, occurrence, journal_seq: number, typed: vec![] };
        Commit {
            blocks: vec![row],
            events: vec![batch],
            journal: vec![journal],
            ..Commit::empty(CHAIN)
        }
    }

    fn above(top: u64) -> (Recent, Box<dyn Reader>) {
        let recent = Recent::default();
        let state = ChainState { finalized: Some(top), journal_seq: top, ..ChainState::default() };
        recent.open(CHAIN, &state);
        let reader = recent.reader(Box::<Asked>::default());
        (recent, reader)
    }

    fn query(first: u64, last: u64, limit: usize) -> EventQuery {
        let range = BlockRange::new(first, last).unwrap();
        EventQuery { chain: CHAIN, filters: vec![Arc::new(Filter::any())], range, limit }
    }

    #[test]
    fn what_was_just_written_is_read_from_memory_in_the_order_of_the_ledger() {
        let (recent, mut reader) = above(9);
        recent.on_commits(&[block(11, 2), block(10, 3)], true);
        let page = reader.events(&query(10, 12, 100)).unwrap();
        assert_eq!(page.through, 12);
        assert_eq!(page.logs.block, [0, 0, 0, 1, 1]);
        assert_eq!(page.logs.log_index, [0, 1, 2, 0, 1]);
        assert_eq!(page.blocks[1].parent, Some(hash(10)));
        assert_eq!(page.blocks[1].timestamp, Some(11));
        // Whole blocks, up to the one in which the limit is reached.
        let page = reader.events(&query(10, 12, 2)).unwrap();
        assert_eq!((page.through, page.logs.len()), (10, 3));
        let seqs = |rows: Vec<JournalRow>| rows.iter().map(|row| row.seq).collect::<Vec<_>>();
        assert_eq!(seqs(reader.journal(CHAIN, 10, 10).unwrap()), [11]);
    }

    #[test]
    fn what_was_there_before_is_asked_of_the_ledger() {
        let (recent, mut reader) = above(9);
        recent.on_commits(&[block(10, 1)], true);
        reader.events(&query(9, 10, 100)).unwrap_err();
        reader.journal(CHAIN, 8, 10).unwrap_err();
        reader.events(&EventQuery { chain: ChainId(2), ..query(10, 10, 1) }).unwrap_err();
    }

    #[test]
    fn after_a_block_left_the_chain_the_ledger_is_asked_until_there_are_newer_ones() {
        let (recent, mut reader) = above(9);
        recent.on_commits(&[block(10, 1), block(11, 1)], true);
        let mut reverted = Commit::empty(CHAIN);
        reverted.blocks = block(11, 0).blocks;
        reverted.blocks[0].canonical = false;
        recent.on_commits(&[reverted], true);
        reader.events(&query(11, 11, 100)).unwrap_err();
        recent.on_commits(&[block(12, 1)], true);
        assert_eq!(reader.events(&query(12, 12, 100)).unwrap().logs.len(), 1);
    }

    #[test]
    fn two_blocks_at_one_height_and_a_flood_are_left_to_the_ledger() {
        let (recent, mut reader) = above(9);
        let mut other = block(10, 1);
        other.blocks[0].hash = hash(77);
        recent.on_commits(&[block(10, 1), other], true);
        reader.events(&query(10, 10, 100)).unwrap_err();
        recent.on_commits(&[block(20, EVENTS_MAX as u32 + 1)], true);
        reader.events(&query(20, 20, 100)).unwrap_err();
    }

    #[test]
    fn memory_is_bounded_and_the_oldest_goes_first() {
        let (recent, mut reader) = above(9);
        for number in 10..10 + 3 * EVENTS_MAX as u64 {
            recent.on_commits(&[block(number, 2)], true);
        }
        let kept = recent.lock();
        let chain = &kept.chains[&CHAIN];
        assert!(chain.events <= EVENTS_MAX && chain.blocks.len() <= BLOCKS_MAX);
        assert!(chain.journal.len() <= JOURNAL_MAX);
        let top = chain.top;
        drop(kept);
        assert_eq!(reader.events(&query(top, top, 100)).unwrap().logs.len(), 2);
        reader.events(&query(10, 10, 100)).unwrap_err();
        reader.journal(CHAIN, 9, 10).unwrap_err();
    }

    #[test]
    fn what_is_shown_ahead_is_read_at_once_and_the_ledger_is_asked_only_afterwards() {
        let (recent, mut reader) = above(9);
        let ahead = recent.show_ahead(&[block(10, 2)]);
        assert_eq!(reader.events(&query(10, 10, 100)).unwrap().logs.len(), 2);
        let is_written = Arc::new(AtomicBool::new(false));
        let may_be = is_written.clone();
        let mut reader = recent.reader(Box::new(Asked { may_be }));
        let (asking, asks) = std::sync::mpsc::channel();
        let older = std::thread::spawn(move || {
            asking.send(()).unwrap();
            reader.events(&query(9, 10, 100)).unwrap()
        });
        asks.recv().unwrap();
        is_written.store(true, Ordering::Release);
        drop(ahead);
        older.join().unwrap();
    }
}
