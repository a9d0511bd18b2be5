//! Reads the next events of a lane while its plugin is busy with those before: a lane that catches up waits
//! for the ledger no longer than its plugin does.
//!
//! One page is read ahead, by a thread that has the lane's reader meanwhile. It is handed out only for the
//! blocks that the lane then asks for, and not once the journal told anything about these. What is written
//! after that is a matter of the journal, as with any page that the lane has in hand.

use event::{BlockRange, EventPage, EventQuery, JournalRow, LedgerError, Reader};
use std::thread::JoinHandle;

/// Blocks that are read ahead.
struct Ahead {
    query: EventQuery,
    /// `None` while they are being read.
    page: Option<Result<EventPage, LedgerError>>,
}

type Reading = JoinHandle<(Box<dyn Reader>, Result<EventPage, LedgerError>)>;

/// A reader, or the thread that has it.
enum Held {
    Here(Box<dyn Reader>),
    Away(Reading),
    /// The thread panicked, and the reader is gone with it.
    Lost,
}

/// A lane's reader.
pub(crate) struct ReadAhead {
    held: Held,
    ahead: Option<Ahead>,
}

impl ReadAhead {
    pub(crate) const fn new(reader: Box<dyn Reader>) -> Self {
        Self { held: Held::Here(reader), ahead: None }
    }

    /// Returns the reader, once it is back.
    pub(crate) fn reader(&mut self) -> Result<&mut dyn Reader, LedgerError> {
        if matches!(self.held, Held::Away(_))
            && let Held::Away(thread) = std::mem::replace(&mut self.held, Held::Lost)
            && let Ok((reader, page)) = thread.join()
        {
            self.held = Held::Here(reader);
            if let Some(ahead) = &mut self.ahead {
                ahead.page = Some(page);
            }
        }
        match &mut self.held {
            Held::Here(reader) => Ok(&mut **reader),
            Held::Away(_) | Held::Lost => {
                Err(LedgerError::Internal("the thread that reads ahead is gone".to_owned()))
            }
        }
    }

    /// Reads events, and goes on with those behind them where the range has more than were asked for.
    pub(crate) fn events(&mut self, query: &EventQuery) -> Result<EventPage, LedgerError> {
        self.reader()?;
        let ahead = self.ahead.take().filter(|ahead| is_start_of(&ahead.query, query));
        let page = match ahead.and_then(|ahead| ahead.page) {
            // The range may have become shorter: then the page tells too much.
            Some(Ok(page)) if page.through <= query.range.last() => page,
            // A fault may be over.
            _ => self.reader()?.events(query)?,
        };
        self.begin(query, page.through)?;
        Ok(page)
    }

    /// Forgets what was read ahead where one of these rows, which the lane is told now, is about it.
    pub(crate) fn on_journal(&mut self, rows: &[JournalRow]) {
        self.ahead = self.ahead.take().filter(|ahead| {
            let first = ahead.query.range.first();
            let through = match &ahead.page {
                Some(Ok(page)) => page.through,
                _ => ahead.query.range.last(),
            };
            !rows.iter().any(|row| row.range.first() <= through && row.range.last() >= first)
        });
    }

    /// Begins to read what is behind a page.
    fn begin(&mut self, query: &EventQuery, through: u64) -> Result<(), LedgerError> {
        let first = through.saturating_add(1);
        let Some(range) = BlockRange::new(first, query.range.last()) else { return Ok(()) };
        let query = EventQuery { range, ..query.clone() };
        if let Held::Here(mut reader) = std::mem::replace(&mut self.held, Held::Lost) {
            let asked = query.clone();
            let read = move || {
                let page = reader.events(&asked);
                (reader, page)
            };
            let thread = std::thread::Builder::new().name("lane reads ahead".to_owned());
            let started = thread.spawn(read).map_err(|error| LedgerError::Io(error.to_string()))?;
            self.held = Held::Away(started);
            self.ahead = Some(Ahead { query, page: None });
        }
        Ok(())
    }
}

/// Whether what is read for one query begins what another one asks for.
fn is_start_of(ahead: &EventQuery, asked: &EventQuery) -> bool {
    ahead.range.first() == asked.range.first()
        && (ahead.chain, ahead.limit, &ahead.filters) == (asked.chain, asked.limit, &asked.filters)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use event::{BatchBlock, ChainId, Filter, FilterId, Op};
    use std::sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    };

    /// Has one block a page; each has the hash of the reading that it came with.
    struct Pages {
        readings: Arc<AtomicU64>,
        done: mpsc::Sender<u64>,
    }

    impl Reader for Pages {
        fn filter(&mut self, _: FilterId) -> Result<Option<Filter>, LedgerError> {
            Ok(None)
        }

        fn events(&mut self, query: &EventQuery) -> Result<EventPage, LedgerError> {
            let first = query.range.first();
            assert!(first != 13, "a reader that dies");
            let reading = self.readings.fetch_add(1, Ordering::Relaxed) + 1;
            let hash = alloy_primitives::B256::with_last_byte(reading as u8);
            let block = BatchBlock { number: first, hash, parent: None, timestamp: None };
            let _ = self.done.send(first);
            Ok(EventPage { blocks: vec![block], through: first, ..EventPage::default() })
        }

        fn journal(
            &mut self,
            _: ChainId,
            _: u64,
            _: usize,
        ) -> Result<Vec<JournalRow>, LedgerError> {
            Ok(Vec::new())
        }
    }

    fn reader() -> (ReadAhead, Arc<AtomicU64>, mpsc::Receiver<u64>) {
        let readings = Arc::<AtomicU64>::default();
        let (done, read) = mpsc::channel();
        let pages = Pages { readings: readings.clone(), done };
        (ReadAhead::new(Box::new(pages)), readings, read)
    }

    fn query(first: u64, last: u64) -> EventQuery {
        let range = BlockRange::new(first, last).unwrap();
        EventQuery { chain: ChainId(1), filters: vec![Arc::new(Filter::any())], range, limit: 1 }
    }

    fn row(first: u64, last: u64) -> JournalRow {
        let range = BlockRange::new(first, last).unwrap();
        let chain = ChainId(1);
        JournalRow { seq: 1, chain, op: Op::Late, filter: None, range, block_hash: None, events: 1 }
    }

    /// Block and reading of a page.
    fn told(page: &EventPage) -> (u64, u8) {
        (page.blocks[0].number, page.blocks[0].hash[31])
    }

    #[test]
    fn the_next_page_is_read_while_nobody_waits_for_it_and_handed_out_once() {
        let (mut reader, readings, read) = reader();
        assert_eq!(told(&reader.events(&query(1, 3)).unwrap()), (1, 1));
        assert_eq!([read.recv().unwrap(), read.recv().unwrap()], [1, 2], "without being asked");
        // Coverage has grown meanwhile, and the page still begins what is asked for.
        assert_eq!(told(&reader.events(&query(2, 9)).unwrap()), (2, 2));
        assert_eq!(told(&reader.events(&query(3, 3)).unwrap()), (3, 3));
        reader.reader().unwrap();
        assert_eq!(readings.load(Ordering::Relaxed), 3, "nothing is behind the end of a range");
        assert_eq!(told(&reader.events(&query(2, 2)).unwrap()), (2, 4), "read anew");
    }

    #[test]
    fn what_the_journal_or_another_range_says_otherwise_is_read_anew() {
        for (rows, is_kept) in
            [(vec![row(1, 1), row(3, 9)], true), (vec![row(2, 2)], false), (vec![row(1, 4)], false)]
        {
            let (mut reader, ..) = reader();
            reader.events(&query(1, 9)).unwrap();
            reader.reader().unwrap();
            reader.on_journal(&rows);
            let expected = if is_kept { 2 } else { 3 };
            assert_eq!(told(&reader.events(&query(2, 9)).unwrap()), (2, expected), "{rows:?}");
        }
        // Told while it is still being read: of which blocks it is is not known yet.
        let (mut reader, ..) = reader();
        reader.events(&query(1, 9)).unwrap();
        reader.on_journal(&[row(7, 7)]);
        assert_eq!(told(&reader.events(&query(2, 9)).unwrap()), (2, 3));
        // A lane that goes back asks for something else.
        assert_eq!(told(&reader.events(&query(1, 9)).unwrap()).0, 1);
        // Other filters, as after another configuration.
        let other = EventQuery { filters: Vec::new(), ..query(2, 9) };
        let before = told(&reader.events(&query(1, 9)).unwrap()).1;
        assert!(told(&reader.events(&other).unwrap()).1 > before + 1);
    }

    #[test]
    fn a_reader_that_dies_is_an_error_and_no_hang() {
        let (mut reader, ..) = reader();
        assert_eq!(told(&reader.events(&query(12, 14)).unwrap()).0, 12);
        let error = reader.events(&query(13, 14)).unwrap_err().to_string();
        assert!(error.contains("the thread that reads ahead is gone"), "{error}");
    }
}
