//! How clients and providers say no: status, code and text for each class of fault.
//!
//! The texts are those of `fixtures/rpc-errors.tsv`, with the numbers of the question at hand. What
//! a dialect has no words of its own for it says as geth does, which most of them run.

use event::FaultClass;
use serde_json::{Value, json};

/// Whose words a server uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// go-ethereum.
    #[default]
    Geth,
    /// reth: names the head, the earliest block and narrower ranges.
    Reth,
    /// Nethermind.
    Nethermind,
    /// Besu: -32005 for nearly everything, and never a number.
    Besu,
    /// Erigon: drops the connection when a batch is too large.
    Erigon,
    /// Infura.
    Infura,
    /// Alchemy: suggests ranges.
    Alchemy,
    /// QuickNode: texts decide, its HTTP status is 413 for a range.
    Quicknode,
    /// A public endpoint over a pruned node.
    PrunedPublic,
}

/// What the question was, for texts that name numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// JSON-RPC method.
    pub method: String,
    /// First block.
    pub first: u64,
    /// Last block.
    pub last: u64,
}

/// An error as it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words {
    /// HTTP status; sockets have none.
    pub status: u16,
    /// JSON-RPC code.
    pub code: i64,
    /// Message.
    pub message: String,
    /// `data`, where there is any.
    pub data: Option<Value>,
}

impl Words {
    pub(crate) fn new(code: i64, message: impl Into<String>) -> Self {
        Self { status: 200, code, message: message.into(), data: None }
    }

    fn under(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    fn with(mut self, data: Value) -> Self {
        self.data = Some(data);
        self
    }
}

impl Dialect {
    /// Every dialect.
    pub const ALL: [Self; 9] = [
        Self::Geth,
        Self::Reth,
        Self::Nethermind,
        Self::Besu,
        Self::Erigon,
        Self::Infura,
        Self::Alchemy,
        Self::Quicknode,
        Self::PrunedPublic,
    ];

    /// Returns what is said for this class; `None` where nothing is said at all because the
    /// connection is the answer.
    pub fn words(self, class: &FaultClass, asked: &Asked) -> Option<Words> {
        let own = match self {
            Self::Geth => None,
            Self::Reth => reth(class, asked),
            Self::Nethermind => nethermind(class, asked),
            Self::Besu => besu(class, asked),
            Self::Erigon => return erigon(class, asked),
            Self::Infura => infura(class, asked),
            Self::Alchemy => alchemy(class, asked),
            Self::Quicknode => quicknode(class),
            Self::PrunedPublic => pruned_public(class),
        };
        own.or_else(|| geth(class, asked))
    }
}

fn geth(class: &FaultClass, asked: &Asked) -> Option<Words> {
    Some(match class {
        FaultClass::Hint { width } => retry_with(*width, asked),
        FaultClass::MaxWidth { width } => {
            Words::new(-32602, format!("exceed maximum block range {width}"))
        }
        FaultClass::Split => Words::new(-32600, "block range is too wide"),
        FaultClass::Size => Words::new(-32003, "response too large"),
        FaultClass::Filter => {
            Words::new(-32000, "exceed max addresses or topics per search position")
        }
        FaultClass::Rate { .. } => Words::new(429, "too many requests").under(429),
        FaultClass::Quota => Words::new(-32000, "monthly capacity limit exceeded").under(402),
        FaultClass::Off => {
            let method = &asked.method;
            Words::new(-32601, format!("the method {method} does not exist/is not available"))
        }
        FaultClass::NotYet { .. } => {
            Words::new(-32602, "block range extends beyond current head block")
        }
        FaultClass::Unknown => Words::new(-32000, "unknown block"),
        FaultClass::Pruned { .. } => Words::new(4444, "pruned history unavailable"),
        FaultClass::Indexing => Words::new(-32000, "transaction indexing is in progress"),
        FaultClass::Tag => Words::new(-32000, "finalized header not found"),
        FaultClass::Gone => Words::new(-32000, "filter not found"),
        FaultClass::Busy => Words::new(-32002, "request timed out"),
        FaultClass::Batch => Words::new(-32600, "batch too large"),
        FaultClass::Auth => Words::new(-32000, "unauthorized").under(401),
        FaultClass::Unreachable
        | FaultClass::Dropped
        | FaultClass::TimedOut
        | FaultClass::Malformed
        | FaultClass::WrongChain { .. }
        | FaultClass::NotRecorded => return None,
    })
}

fn retry_with(width: u64, asked: &Asked) -> Words {
    let (first, last) = narrower(width, asked);
    let text = format!("query exceeds max results 20000, retry with the range {first}-{last}");
    Words::new(-32602, text)
}

const fn narrower(width: u64, asked: &Asked) -> (u64, u64) {
    (asked.first, asked.first.saturating_add(width.saturating_sub(1)))
}

fn reth(class: &FaultClass, asked: &Asked) -> Option<Words> {
    Some(match class {
        FaultClass::MaxWidth { width } => {
            Words::new(-32602, format!("query exceeds max block range {width}"))
        }
        FaultClass::Size => {
            Words::new(-32008, "Response is too big").with(json!("Exceeded max limit of 167772160"))
        }
        FaultClass::NotYet { head: Some(head) } => {
            let text = "block range extends beyond current head block";
            Words::new(-32602, format!("{text}: requested {}, head {head}", asked.last))
        }
        FaultClass::Unknown => Words::new(-32000, "block not found"),
        FaultClass::Pruned { earliest: Some(earliest) } => {
            let text = "pruned history unavailable";
            let (requested, code) = (asked.first, 4444);
            Words::new(
                code,
                format!("{text}: requested {requested}, earliest available {earliest}"),
            )
        }
        FaultClass::Busy => Words::new(-32604, "Server is busy, try again later"),
        _ => return None,
    })
}

fn nethermind(class: &FaultClass, asked: &Asked) -> Option<Words> {
    Some(match class {
        FaultClass::Size => {
            Words::new(-32005, "Too many logs requested. Max logs per response is 20000.")
        }
        FaultClass::NotYet { .. } => Words::new(
            -32000,
            "One of the blocks specified in filter (fromBlock, toBlock or blockHash) cannot be found",
        ),
        FaultClass::Unknown => Words::new(-32001, "Block not found"),
        FaultClass::Pruned { .. } => {
            let text = format!("Receipt not available for From block {}.", asked.first);
            Words::new(-32000, text)
        }
        _ => return None,
    })
}

fn besu(class: &FaultClass, asked: &Asked) -> Option<Words> {
    Some(match class {
        FaultClass::MaxWidth { .. } | FaultClass::Split | FaultClass::Hint { .. } => {
            Words::new(-32005, "Requested range exceeds maximum RPC range limit")
        }
        FaultClass::Batch => Words::new(-32005, "Number of requests exceeds max batch size"),
        FaultClass::NotYet { head: Some(head) } => {
            let reason = format!("toBlock ({}) is greater than latest block ({head})", asked.last);
            Words::new(-32602, "Invalid params").with(json!(reason))
        }
        FaultClass::Pruned { .. } => Words::new(4444, "Pruned history unavailable"),
        FaultClass::Unknown => Words::new(-32000, "Block not found"),
        // The class depends on who asked: for a tag it means that there is none.
        FaultClass::Tag => Words::new(-39001, "Unknown block"),
        FaultClass::Gone => Words::new(-32000, "Logs filter not found"),
        FaultClass::Busy => Words::new(-32603, "Timeout expired"),
        _ => return None,
    })
}

fn erigon(class: &FaultClass, asked: &Asked) -> Option<Words> {
    Some(match class {
        FaultClass::Batch => return None,
        FaultClass::MaxWidth { width } => {
            let count = asked.last.saturating_sub(asked.first).saturating_add(1);
            let text = "requested blockCount exceeds server limit";
            Words::new(-32602, format!("{text}: requested {count}, maximum {width}"))
        }
        FaultClass::Split => {
            let text = "query block range exceeds server limit, narrow your filter: 1000";
            Words::new(-32602, text)
        }
        FaultClass::Size => {
            Words::new(-32602, "query returns too many logs, narrow your filter: 20000")
        }
        FaultClass::Indexing => {
            let (block, text) = (asked.last, "exists but transaction indexing is not yet complete");
            Words::new(-32000, format!("block {block} {text}, please try again later"))
        }
        FaultClass::Unknown => Words::new(-32000, format!("block not found {}", asked.last)),
        other => return geth(other, asked),
    })
}

fn infura(class: &FaultClass, asked: &Asked) -> Option<Words> {
    Some(match class {
        FaultClass::Hint { width } => {
            let (first, last) = narrower(*width, asked);
            let text = "query returned more than 10000 results. Try with this block range";
            Words::new(-32005, format!("{text} [{first:#x}, {last:#x}]."))
        }
        FaultClass::MaxWidth { width } => {
            let count = asked.last.saturating_sub(asked.first).saturating_add(1);
            Words::new(-32602, format!("range {count} exceeds limit of {width}"))
        }
        FaultClass::Size => Words::new(-32005, "query returned more than 10000 results"),
        FaultClass::Filter => {
            Words::new(-32000, "This query contains 6000 filters. The current limit is 5000.")
        }
        FaultClass::Rate { retry_after_ms } => {
            let mut rate = json!({"allowed_rps": 1, "current_rps": 1.4});
            if let Some(wait_ms) = retry_after_ms {
                rate["backoff_seconds"] = json!(wait_ms.div_ceil(1_000));
            }
            let text = "project ID request rate exceeded";
            Words::new(-32005, text).under(429).with(json!({"rate": rate}))
        }
        FaultClass::Quota => {
            let text = "daily request count exceeded, request rate limited";
            Words::new(-32005, text).under(429)
        }
        FaultClass::Unknown => Words::new(-32000, "header not found"),
        _ => return None,
    })
}

fn alchemy(class: &FaultClass, asked: &Asked) -> Option<Words> {
    let range = "You can make eth_getLogs requests with up to a";
    Some(match class {
        FaultClass::Hint { width } => {
            let (first, last) = narrower(*width, asked);
            let based = "Based on your parameters, this block range should work";
            let text = format!("{range} {width} block range. {based}: [{first:#x}, {last:#x}]");
            Words::new(-32600, text).under(400)
        }
        FaultClass::MaxWidth { width } => {
            Words::new(-32600, format!("{range} {width} block range.")).under(400)
        }
        FaultClass::Size => Words::new(-32602, "Log response size exceeded."),
        FaultClass::Rate { .. } => {
            // Inside HTTP 200.
            Words::new(429, "Your app has exceeded its compute units per second capacity")
        }
        FaultClass::Quota => Words::new(429, "Monthly capacity limit exceeded").under(429),
        FaultClass::Batch => Words::new(
            32600,
            "Sorry, the maximum batch request size is 1000. Please reduce the size of your request \
             and try again.",
        ),
        _ => return None,
    })
}

fn quicknode(class: &FaultClass) -> Option<Words> {
    Some(match class {
        FaultClass::MaxWidth { width } => {
            let text = format!("eth_getLogs is limited to a {} range", with_commas(*width));
            Words::new(-32614, text).under(413)
        }
        FaultClass::Rate { .. } => Words::new(
            -32007,
            "100/second request limit reached - reduce calls per second or upgrade your account at \
             quicknode.com",
        )
        .under(429),
        _ => return None,
    })
}

fn pruned_public(class: &FaultClass) -> Option<Words> {
    Some(match class {
        FaultClass::MaxWidth { width } => {
            Words::new(-32701, format!("exceed maximum block range: {width}"))
        }
        FaultClass::Filter => Words::new(
            -32701,
            "Please specify an address in your request or, to remove restrictions, order a \
             dedicated full node here",
        )
        .under(403),
        FaultClass::Busy => {
            Words::new(-32011, "no backend is currently healthy to serve traffic").under(503)
        }
        _ => return None,
    })
}

/// As the provider writes numbers: 10,000.
fn with_commas(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
