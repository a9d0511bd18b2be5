//! What a node answers: the truth of its view first, then what its troubles make of that.

use crate::{
    Trouble,
    chain::{Block, View, parties},
    faults::{
        Active, Part, answer_of, fault, tamper_head, tamper_headers, tamper_logs, tamper_receipts,
        tamper_view,
    },
};
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use event::{
    Answer, Ask, BlockAnswer, BlockRange, Fault, FaultClass, Filter, Head, Log, NodeId, Tag,
};
use std::sync::Arc;

/// What contracts are said to consist of.
const CODE: [u8; 2] = [0x60, 0x80];

/// Peers of a node without trouble.
const PEERS: u64 = 25;

/// An answer as it goes out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// What a transport makes of it.
    pub answer: Answer,
    /// The logs that it marks `removed`, which a transport counts and leaves out.
    pub removed: Vec<Log>,
    /// For a question about logs: those that the blocks asked for really have, as far as the node
    /// knows these blocks. What the answer lacks of them it withholds, what it has beside them is
    /// made up.
    pub truth: Vec<Log>,
}

impl From<Answer> for Told {
    fn from(answer: Answer) -> Self {
        Self { answer, removed: Vec::new(), truth: Vec::new() }
    }
}

/// A question on its way to an answer.
pub(crate) struct Answering<'a> {
    pub(crate) node: &'a NodeId,
    pub(crate) client: &'a str,
    pub(crate) view: View<'a>,
    pub(crate) active: &'a [Active],
    pub(crate) now_ms: u64,
    /// Whether the truth is told beside.
    pub(crate) tells_truth: bool,
}

impl Answering<'_> {
    /// Returns what the node says.
    pub(crate) fn told(mut self, ask: &Ask) -> Result<Told, Fault> {
        tamper_view(&mut self.view, self.active);
        let answer = match ask {
            Ask::ChainId => Ok(Answer::ChainId(self.view.tree().chain())),
            Ask::ClientVersion => Ok(Answer::ClientVersion(self.client.to_owned())),
            Ask::Head(tag) => self.head(ask, *tag),
            Ask::Logs { filter, range } => return self.logs(ask, filter, *range),
            Ask::LogsByHash { filter, block } => {
                let parts = match self.view.by_hash(&block.hash) {
                    Some(block) => vec![Part::honest(block, filter)],
                    None if self.has(&Trouble::EmptyUnknownHash) => Vec::new(),
                    None => return Err(self.unknown(ask, "unknown block")),
                };
                return self.finish_logs(ask, filter, parts);
            }
            Ask::Headers { range } => {
                let numbers = range.first()..=range.last();
                let blocks: Option<Vec<_>> = numbers.map(|number| self.view.at(number)).collect();
                self.headers(ask, blocks)
            }
            Ask::HeaderByHash { hash } => {
                self.headers(ask, self.view.by_hash(hash).map(|block| vec![block]))
            }
            Ask::Receipts { block } => {
                let Some(found) = self.view.by_hash(&block.hash) else {
                    return Err(self.unknown(ask, "null"));
                };
                let mut receipts = found.receipts.clone();
                tamper_receipts(&mut receipts, found.id(), &self.view, self.active);
                Ok(Answer::Receipts(receipts))
            }
            // A batch is as many questions, of which the node asks itself one after the other.
            Ask::ReceiptsOf { .. } => Err(self.unknown(ask, "a batch")),
            Ask::Syncing => Ok(Answer::Syncing(self.has(&Trouble::SaysSyncing))),
            Ask::PeerCount => {
                Ok(Answer::PeerCount(if self.has(&Trouble::NoPeers) { 0 } else { PEERS }))
            }
            Ask::Code { address, block } => match self.view.by_hash(&block.hash) {
                Some(_) if self.view.tree().has_token(*address) => {
                    Ok(Answer::Bytes(Bytes::from_static(&CODE)))
                }
                Some(_) => Ok(Answer::Bytes(Bytes::new())),
                None => Err(self.unknown(ask, "header not found")),
            },
            Ask::Call { to, data, block } => {
                let moved = self.moved(*to, data, block.hash);
                moved.map(Answer::Bytes).ok_or_else(|| self.unknown(ask, "execution reverted"))
            }
        };
        answer.map(Told::from)
    }

    /// The one function that tokens have, `moved()`: the sum of all transfers of the token up to
    /// the block.
    fn moved(&self, token: Address, data: &[u8], at: B256) -> Option<Bytes> {
        let is_call = data == &keccak256("moved()")[..4] && self.view.tree().has_token(token);
        let last = self.view.by_hash(&at).filter(|_| is_call)?.number;
        let blocks = (0..=last).filter_map(|number| self.view.at(number));
        let logs = blocks.flat_map(|block| block.logs()).filter(|log| log.address == token);
        let values = logs.filter_map(|log| parties(&log.topics, &log.data));
        let sum: i64 = values.map(|(_, _, value)| value).sum();
        Some(U256::from(u64::try_from(sum).ok()?).to_be_bytes::<32>().into())
    }

    fn has(&self, trouble: &Trouble) -> bool {
        self.active.iter().any(|active| active.trouble() == trouble)
    }

    fn unknown(&self, ask: &Ask, text: &str) -> Fault {
        fault(self.node, ask, FaultClass::Unknown, text)
    }

    fn head(&self, ask: &Ask, tag: Tag) -> Result<Answer, Fault> {
        let number = match tag {
            Tag::Latest => Some(self.view.head),
            // Half way, as justified blocks are.
            Tag::Safe => self.view.finalized.map(|number| number.midpoint(self.view.head)),
            Tag::Finalized => self.view.finalized,
        };
        let Some(block) = number.and_then(|number| self.view.at(number)) else {
            return Err(self.unknown(ask, "null"));
        };
        let mut head = Head { block: block.id(), timestamp: block.header.timestamp };
        tamper_head(&mut head, self.active);
        Ok(Answer::Head(head))
    }

    fn headers(&self, ask: &Ask, blocks: Option<Vec<&Arc<Block>>>) -> Result<Answer, Fault> {
        // One member that is null spoils the whole question.
        let blocks = blocks.ok_or_else(|| self.unknown(ask, "null"))?;
        let header = |block: &Arc<Block>| BlockAnswer {
            hash: block.hash,
            header: Box::new(block.header.clone()),
            transactions: block.transactions.clone(),
        };
        let mut headers: Vec<BlockAnswer> = blocks.into_iter().map(header).collect();
        tamper_headers(&mut headers, self.active);
        Ok(Answer::Headers(headers))
    }

    fn logs(&self, ask: &Ask, filter: &Filter, range: BlockRange) -> Result<Told, Fault> {
        let head = self.view.head;
        if range.last() > head && !self.has(&Trouble::EmptyBeyondHead) {
            let class = FaultClass::NotYet { head: Some(head) };
            return Err(fault(self.node, ask, class, "block range extends beyond current head"));
        }
        let blocks = (range.first()..=range.last().min(head)).filter_map(|n| self.view.at(n));
        self.finish_logs(ask, filter, blocks.map(|block| Part::honest(block, filter)).collect())
    }

    fn finish_logs(&self, ask: &Ask, filter: &Filter, mut parts: Vec<Part>) -> Result<Told, Fault> {
        let truth = match self.tells_truth {
            true => parts.iter().flat_map(|part| part.logs.clone()).collect(),
            false => Vec::new(),
        };
        tamper_logs(&mut parts, filter, &self.view, self.now_ms, self.active);
        let (answer, removed) = answer_of(parts, self.active);
        let most = self.active.iter().filter_map(|active| match active.trouble() {
            Trouble::ResultsRefused { most } => Some(*most),
            _ => None,
        });
        match most.min() {
            Some(most) if answer.logs.len() as u64 > most => {
                Err(fault(self.node, ask, FaultClass::Size, "query returned more results"))
            }
            _ => Ok(Told { answer: Answer::Logs(answer), removed, truth }),
        }
    }
}
