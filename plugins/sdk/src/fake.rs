//! A host for tests of a plugin's logic, outside of the sandbox.

use crate::{
    Batch, Block, Failure, Host, HttpError, Level, Message, Phase, Request, Response, Rows,
};
use std::collections::{BTreeMap, VecDeque};

/// Keeps state, rows and messages in memory.
#[derive(Debug, Default)]
pub struct FakeHost {
    /// Key-value state.
    pub state: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Everything emitted, in order.
    pub rows: Vec<Rows>,
    /// Messages enqueued, in order.
    pub messages: Vec<Message>,
    /// Answers to requests, in order; where there is none left, nobody answers in time.
    pub answers: VecDeque<Response>,
    /// Requests made, in order.
    pub requests: Vec<Request>,
    /// Lines logged.
    pub lines: Vec<String>,
}

impl Host for FakeHost {
    fn get_many(&mut self, keys: &[Vec<u8>]) -> Vec<Option<Vec<u8>>> {
        keys.iter().map(|key| self.state.get(key).cloned()).collect()
    }

    fn set_many(&mut self, items: &[(Vec<u8>, Vec<u8>)]) -> Result<(), Failure> {
        self.state.extend(items.iter().cloned());
        Ok(())
    }

    fn emit(&mut self, rows: Rows) -> Result<(), Failure> {
        self.rows.push(rows);
        Ok(())
    }

    fn enqueue(&mut self, message: Message) -> Result<(), Failure> {
        self.messages.push(message);
        Ok(())
    }

    fn fetch(&mut self, request: &Request) -> Result<Response, HttpError> {
        self.requests.push(request.clone());
        self.answers.pop_front().ok_or(HttpError::Timeout)
    }

    fn log(&mut self, _: Level, message: &str) {
        self.lines.push(message.to_owned());
    }
}

/// An event of a test: address, topics and data.
pub type FakeEvent = ([u8; 20], Vec<[u8; 32]>, Vec<u8>);

impl FakeHost {
    /// Returns a batch of one block, its events numbered from `first_seq`.
    pub fn batch(first_seq: u64, events: &[FakeEvent]) -> Batch {
        let len = events.len() as u32;
        let (mut topic_off, mut data_off) = (vec![0], vec![0]);
        let (mut topics, mut data) = (Vec::new(), Vec::new());
        for (_, event_topics, event_data) in events {
            topics.extend(event_topics.concat());
            data.extend(event_data);
            topic_off.push(topics.len() as u32 / 32);
            data_off.push(data.len() as u32);
        }
        Batch {
            id: 1,
            attempt: 1,
            phase: Phase::Backfill,
            chain_id: 1,
            finalized: 0,
            blocks: vec![Block { number: 1, time: None, hash: vec![0; 32], parent_hash: vec![] }],
            len,
            seq: (first_seq..first_seq + u64::from(len)).collect(),
            block: vec![0; events.len()],
            tx_index: vec![0; events.len()],
            log_index: (0..len).collect(),
            tx_hash: vec![0; 32 * events.len()],
            address: events.iter().flat_map(|(address, ..)| *address).collect(),
            topic_off,
            topics,
            data_off,
            data,
            signature: vec![u32::MAX; events.len()],
            signatures: vec![],
            decoded: vec![],
        }
    }
}
