//! The lines of a recording. Logs are in the shape of JSON-RPC, so that the parser of the wire
//! reads them; headers and receipts in the shape of [`event`].

use crate::wire::logs::LogsSeed;
use alloy_primitives::{Address, B256, Bytes, hex};
use event::{BlockAnswer, BlockNumHash, BlockRange, Filter, Header, LogsAnswer, Receipt};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer, de::DeserializeSeed, ser::SerializeSeq,
};
use std::{borrow::Cow, sync::Arc};

/// First line.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Opening {
    /// Format version.
    pub(super) headcount_recording: u32,
    pub(super) chain: u64,
    pub(super) client: Option<String>,
    pub(super) node: String,
}

/// A line between the first and the last, or the last.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Line<'a> {
    Head(HeadFact),
    Header(Box<HeaderFact<'a>>),
    Logs(LogsFact<'a>),
    LogsByHash(LogsByHashFact<'a>),
    Receipts(ReceiptsFact<'a>),
    Code(CodeFact<'a>),
    Call(CallFact<'a>),
    End(End),
}

/// Last line: what came before it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct End {
    /// All lines before this one, with the first.
    pub(super) lines: u64,
    /// keccak256 of their uncompressed bytes, with line ends.
    pub(super) keccak256: B256,
}

#[derive(Serialize, Deserialize)]
pub(super) struct HeadFact {
    pub(super) tag: Cow<'static, str>,
    pub(super) block: BlockNumHash,
    pub(super) timestamp: u64,
}

#[derive(Serialize, Deserialize)]
pub(super) struct HeaderFact<'a> {
    pub(super) hash: B256,
    pub(super) header: Cow<'a, Header>,
    pub(super) transactions: Cow<'a, [B256]>,
}

impl<'a> From<&'a BlockAnswer> for HeaderFact<'a> {
    fn from(block: &'a BlockAnswer) -> Self {
        Self {
            hash: block.hash,
            header: Cow::Borrowed(&block.header),
            transactions: Cow::Borrowed(&block.transactions),
        }
    }
}

impl From<HeaderFact<'_>> for BlockAnswer {
    fn from(fact: HeaderFact<'_>) -> Self {
        Self {
            hash: fact.hash,
            header: Box::new(fact.header.into_owned()),
            transactions: fact.transactions.into_owned(),
        }
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct LogsFact<'a> {
    pub(super) filter: Arc<Filter>,
    pub(super) range: BlockRange,
    pub(super) removed: u64,
    pub(super) bytes: u64,
    pub(super) logs: Rows<'a>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct LogsByHashFact<'a> {
    pub(super) filter: Arc<Filter>,
    pub(super) block: BlockNumHash,
    pub(super) removed: u64,
    pub(super) bytes: u64,
    pub(super) logs: Rows<'a>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct ReceiptsFact<'a> {
    pub(super) block: BlockNumHash,
    pub(super) receipts: Cow<'a, [Receipt]>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct CodeFact<'a> {
    pub(super) address: Address,
    pub(super) block: BlockNumHash,
    pub(super) code: Cow<'a, Bytes>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct CallFact<'a> {
    pub(super) to: Address,
    pub(super) data: Cow<'a, Bytes>,
    pub(super) block: BlockNumHash,
    pub(super) returned: Cow<'a, Bytes>,
}

/// Logs as a list of JSON-RPC logs.
pub(super) struct Rows<'a>(pub(super) Cow<'a, LogsAnswer>);

impl<'de> Deserialize<'de> for Rows<'_> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        LogsSeed.deserialize(deserializer).map(|answer| Self(Cow::Owned(answer)))
    }
}

impl Serialize for Rows<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.0.logs.len()))?;
        for row in self.0.logs.rows() {
            let (number, hash, timestamp) = self.0.blocks[row.block as usize];
            list.serialize_element(&Row {
                address: row.address,
                topics: row.topics,
                data: hex::encode_prefixed(row.data),
                block_number: quantity(number),
                block_hash: hash,
                block_timestamp: timestamp.map(quantity),
                transaction_hash: row.tx_hash,
                transaction_index: quantity(row.tx_index.into()),
                log_index: quantity(row.log_index.into()),
            })?;
        }
        list.end()
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row<'a> {
    address: &'a alloy_primitives::Address,
    topics: &'a [B256],
    data: String,
    block_number: String,
    block_hash: B256,
    #[serde(skip_serializing_if = "Option::is_none")]
    block_timestamp: Option<String>,
    transaction_hash: &'a B256,
    transaction_index: String,
    log_index: String,
}

fn quantity(value: u64) -> String {
    format!("0x{value:x}")
}
