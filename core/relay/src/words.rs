//! What is asked of an owner, and what it answers.

use crate::{frame::FRAME_BYTES_MAX, sound::unsound, split::halves};
use alloy_primitives::{Address, B256};
use event::{
    Ack, AnchorPolicy, AnyOf, BlockRange, ChainId, ChainProfile, ChainState, Claimed, Column,
    EventPage, EventQuery, Evidence, FileForm, Filter, FilterId, LedgerError, NodeId, Remedy,
    Report, ToLook, Value, Verify,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{collections::BTreeMap, sync::Arc};

/// What a client asks.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Request {
    /// Take this report; the answer comes after its transaction.
    Submit(Box<Report>),
    /// Write now what was gathered.
    Flush,
    /// What is still to be fetched?
    Missing {
        /// Chain.
        chain: ChainId,
        /// What is wanted.
        filter: Filter,
        /// Where.
        range: BlockRange,
        /// As what.
        verify: Verify,
    },
    /// What may this client fetch, which then nobody else does?
    Claim {
        /// Counts the client's claims: a new one with the same number replaces the old.
        run: u64,
        /// Chain.
        chain: ChainId,
        /// What is wanted.
        filters: Vec<Filter>,
        /// Where.
        range: BlockRange,
        /// As what.
        verify: Verify,
    },
    /// Which blocks may this client read through a second node, which then nobody else does?
    ClaimLook {
        /// Counted with the other claims.
        run: u64,
        /// Chain.
        chain: ChainId,
        /// Of which filter.
        filter: Filter,
        /// Where.
        range: BlockRange,
        /// As what they have to be covered.
        verify: Verify,
        /// Nodes that the client has.
        nodes: Vec<NodeId>,
        /// So many, at most.
        blocks_max: u64,
    },
    /// A claim is done with.
    Release {
        /// Its number.
        run: u64,
    },
    /// What is shown of the whole range for all filters?
    Evidence {
        /// Chain.
        chain: ChainId,
        /// Filters.
        filters: Vec<Filter>,
        /// Where.
        range: BlockRange,
    },
    /// Which final blocks have logs that only some nodes told?
    Undecided {
        /// Chain.
        chain: ChainId,
        /// Filters.
        filters: Vec<Filter>,
        /// Where.
        range: BlockRange,
    },
    /// This was demanded of blocks: what is missing of it is owed.
    Demand {
        /// Chain.
        chain: ChainId,
        /// Filters.
        filters: Vec<Filter>,
        /// Where.
        range: BlockRange,
        /// What was to be shown.
        verify: Verify,
        /// The time, in Unix seconds.
        now_s: u64,
    },
    /// These blocks of a filter were read through a second node.
    Looked {
        /// Chain.
        chain: ChainId,
        /// Filter.
        filter: FilterId,
        /// Blocks.
        range: BlockRange,
    },
    /// Before the first report: what is going to be reported.
    Join(Box<Joining>),
    /// Which chains is something covered of?
    Chains,
    /// What is known of a chain?
    Load(ChainId),
    /// Rows of a statement that only reads.
    Query(String),
    /// The digest of the ledger.
    Digest,
    /// What is inconsistent in it.
    Check,
    /// Canonical events.
    Events(EventQuery),
    /// Write the rows of a statement into a file.
    Export {
        /// Statement that only reads.
        select: String,
        /// Form of the file.
        form: FileForm,
        /// File, by its whole path; replaced when all is written.
        to: String,
    },
    /// Copy the ledger into a file.
    Snapshot {
        /// File, by its whole path; replaced when all is copied.
        to: String,
        /// Whether the digest of what is copied is wanted.
        with_digest: bool,
    },
    /// Do what an operator decided.
    Remedy(Remedy),
    /// Which plugins run?
    Plugins,
    /// Which of them have not handled yet what there is for them on this chain?
    Busy(ChainId),
    /// Read the configuration again.
    Reload {
        /// The file that was changed, by its whole path.
        config: String,
    },
}

/// What a client is going to report.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Joining {
    /// Chain, and what holds there as the client has it.
    pub profile: ChainProfile,
    /// What must be shown.
    pub verify: Verify,
    /// Why headers are believed.
    pub anchor: AnchorPolicy,
    /// How many nodes it reads through.
    pub nodes: u64,
    /// Events to decode.
    pub contracts: Vec<Contract>,
}

/// Events of one schema.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contract {
    /// SQL schema.
    pub schema: String,
    /// Contracts.
    pub addresses: AnyOf<Address>,
    /// Those of each chain that they are bound to; none = any chain.
    pub chains: BTreeMap<ChainId, AnyOf<Address>>,
    /// Events.
    pub events: Vec<EventDeclaration>,
}

/// An event as it was declared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EventDeclaration {
    /// A signature with argument names.
    Signature(String),
    /// The text of an ABI file, and the events wanted of it; none = all.
    Abi {
        /// Text.
        json: String,
        /// Names or signatures.
        wanted: Vec<String>,
    },
}

/// Under what a client's reports are taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Joined {
    /// What the owner demands on that chain.
    pub verify: Verify,
    /// Why it believes headers there.
    pub anchor: AnchorPolicy,
    /// Plugins that it runs.
    pub plugins: Vec<String>,
}

/// What became of a request to read the configuration again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reloaded {
    /// It is taken over.
    Taken {
        /// What changed, in words.
        changes: Vec<String>,
        /// Plugins that run since.
        plugins: Vec<String>,
    },
    /// It is refused whole, for this reason; the one from before stays in force.
    Refused(String),
    /// The owner does not read that file while it runs: why.
    Unread(String),
}

/// What the owner answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Reply {
    /// To `Submit`.
    Ack(Ack),
    /// To what asks for nothing.
    Done,
    /// To `Missing` and `Undecided`.
    Missing(Vec<(BlockRange, Vec<Filter>)>),
    /// To `Claim`.
    Claimed(Claimed),
    /// To `ClaimLook`.
    ToLook(ToLook),
    /// To `Evidence`.
    Evidence(Option<Evidence>),
    /// To `Join`.
    Joined(Joined),
    /// To `Chains`.
    Chains(Vec<ChainId>),
    /// To `Load`.
    State(Box<ChainState>),
    /// To `Query`, any number of times, each with the columns.
    Rows(Vec<Column>, Vec<Vec<Value>>),
    /// To `Query`, at the end.
    Columns(Vec<Column>),
    /// To `Digest`.
    Digest(B256),
    /// To `Check`.
    Problems(Vec<String>),
    /// To `Events`.
    Page(Box<EventPage>),
    /// To `Export`: so many rows.
    Exported(u64),
    /// To `Snapshot`: the digest, where it was wanted.
    Copied(Option<B256>),
    /// To `Remedy`: how many events, messages or lanes it concerned.
    Count(u64),
    /// To `Plugins` and `Busy`.
    Plugins(Vec<String>),
    /// To `Reload`.
    Reloaded(Reloaded),
}

/// Why the owner does not answer.
#[derive(Clone, Debug, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// The ledger's own error.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The request makes no sense; sending it again makes none either.
    #[error("{0}")]
    Unsound(String),
    /// The owner cannot do this beside what it does, and says why.
    #[error("{0}")]
    Cannot(String),
    /// The owner is ending: ask the next one.
    #[error("the owner of the ledger is ending")]
    Ending,
}

/// What travels to the owner.
#[derive(Debug, Deserialize)]
pub(crate) struct Asked {
    pub(crate) id: u64,
    pub(crate) request: Request,
}

/// What travels back.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Answered {
    pub(crate) id: u64,
    /// Whether more comes for this id.
    pub(crate) more: bool,
    pub(crate) reply: Result<Reply, Refusal>,
}

/// A request in the form in which it travels: to be sent again to another owner, or read here.
#[derive(Clone, Debug)]
pub struct Encoded(Arc<[u8]>);

impl Encoded {
    /// Encodes a request; one that is longer than a frame is refused.
    pub fn new(request: &Request) -> Result<Self, Refusal> {
        let bytes = postcard::to_allocvec(request);
        let bytes = bytes.map_err(|error| Refusal::Unsound(error.to_string()))?;
        // Room for the number that is put before it.
        match bytes.len() + size_of::<u128>() <= FRAME_BYTES_MAX {
            true => Ok(Self(bytes.into())),
            false => Err(Refusal::Unsound(format!(
                "it has {} bytes, more than {FRAME_BYTES_MAX}: read fewer blocks at once",
                bytes.len()
            ))),
        }
    }

    /// Encodes a report, in as many parts as it takes; one block that is longer than a frame is
    /// refused.
    pub fn of_report(report: Box<Report>) -> Result<Vec<Self>, Refusal> {
        let request = Request::Submit(report);
        let refusal = match Self::new(&request) {
            Ok(encoded) => return Ok(vec![encoded]),
            Err(refusal) => refusal,
        };
        let Request::Submit(report) = request else { return Err(refusal) };
        let Some((lower, upper)) = halves(&report) else { return Err(refusal) };
        drop(report);
        let mut parts = Self::of_report(Box::new(lower))?;
        parts.extend(Self::of_report(Box::new(upper))?);
        Ok(parts)
    }

    /// Returns the report, where it is one.
    pub fn report(&self) -> Option<Box<Report>> {
        match postcard::from_bytes(&self.0) {
            Ok(Request::Submit(report)) => Some(report),
            _ => None,
        }
    }

    /// Returns the frame that asks for it under a number.
    pub(crate) fn frame(&self, id: u64) -> Vec<u8> {
        // A struct is its members, one after the other.
        let mut frame = postcard::to_allocvec(&id).unwrap_or_default();
        frame.extend_from_slice(&self.0);
        frame
    }
}

/// Reads what was asked; a report that is not whole is refused, with its number.
pub(crate) fn asked(frame: &[u8]) -> Result<Asked, (u64, Refusal)> {
    let asked: Asked = whole(frame).map_err(|error| {
        let id = postcard::take_from_bytes::<u64>(frame).map_or(0, |(id, _)| id);
        (id, Refusal::Unsound(error))
    })?;
    match &asked.request {
        Request::Submit(report) => match unsound(report) {
            Some(why) => {
                Err((asked.id, Refusal::Unsound(format!("a report that is not whole: {why}"))))
            }
            None => Ok(asked),
        },
        _ => Ok(asked),
    }
}

/// Reads a value that is all of the bytes.
pub(crate) fn whole<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    match postcard::take_from_bytes(bytes) {
        Ok((value, [])) => Ok(value),
        Ok((_, more)) => Err(format!("{} bytes too many", more.len())),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use alloy_primitives::{B64, Bloom, U256, keccak256};
    use event::{
        BlockNumHash, Fault, FaultClass, Header, Log, Logs, OnChange, Outcome, REPORT_VERSION,
        Receipt, ReportedBlock, Seen, Via,
    };

    /// A report with something in every member.
    pub(crate) fn report() -> Report {
        let log = Log {
            address: Address::repeat_byte(1),
            topics: vec![B256::repeat_byte(2), B256::repeat_byte(3)],
            data: vec![4; 40].into(),
            log_index: 5,
            tx_index: 6,
            tx_hash: B256::repeat_byte(7),
            block_number: 8,
            block_hash: B256::repeat_byte(9),
            removed: false,
        };
        let header = Header {
            difficulty: U256::MAX,
            logs_bloom: Bloom::repeat_byte(1),
            nonce: B64::repeat_byte(2),
            extra_data: vec![1, 2, 3].into(),
            base_fee_per_gas: Some(7),
            ..Header::default()
        };
        let receipt = Receipt {
            tx_type: 2,
            tx_hash: log.tx_hash,
            tx_index: 6,
            block_hash: log.block_hash,
            block_number: 8,
            outcome: Outcome::Status(true),
            cumulative_gas_used: 10,
            logs: vec![log.clone()],
            deposit_nonce: None,
            deposit_receipt_version: Some(1),
        };
        let block = |number| ReportedBlock {
            number,
            hash: log.block_hash,
            parent: Some(B256::repeat_byte(8)),
            timestamp: None,
            header: Some(Box::new(header.clone())),
            transactions: Some(vec![log.tx_hash]),
            receipts: Some(vec![receipt.clone()]),
            via: Via::BlockHash,
        };
        let mut logs = Logs::default();
        logs.push_log(1, &log);
        Report {
            version: REPORT_VERSION,
            reporter: "r".into(),
            seq: 3,
            chain: ChainId(1),
            node: NodeId::new("a"),
            client: Some("Geth".into()),
            filter: Arc::new(Filter::new(AnyOf::one(log.address), AnyOf::Any)),
            range: BlockRange::new(7, 8).unwrap(),
            head_before: 9,
            head_after: 9,
            finalized: Some(2),
            blocks: vec![block(7), block(8)],
            logs,
            faults: vec![Fault {
                node: NodeId::new("a"),
                method: "eth_getLogs".into(),
                class: FaultClass::Hint { width: 5 },
                text: "too wide".into(),
            }],
            is_second_look: false,
            judged: None,
        }
    }

    #[test]
    fn a_report_travels_unchanged_and_its_wire_form_does_not_change_unseen() {
        let encoded = Encoded::new(&Request::Submit(Box::new(report()))).unwrap();
        let frame = encoded.frame(300);
        let asked = asked(&frame).unwrap();
        assert_eq!(asked.id, 300);
        let Request::Submit(read) = asked.request else { panic!("another request") };
        assert_eq!(format!("{read:?}"), format!("{:?}", Box::new(report())));
        assert_eq!(encoded.report().unwrap().logs, report().logs);
        let replies = [
            Reply::Ack(Ack { seq: 1, open: vec![(report().range, "o".into())], ..Ack::default() }),
            Reply::Claimed(Claimed { work: vec![], held: vec![(report().range, 9)] }),
            Reply::ToLook(ToLook {
                seen: vec![Seen {
                    range: report().range,
                    nodes: vec![NodeId::new("a")],
                    leads_to: Some(BlockNumHash { number: 8, hash: B256::repeat_byte(8) }),
                }],
                without_other: vec![],
                held: vec![(report().range, 7)],
                through: 8,
            }),
            Reply::State(Box::default()),
            Reply::Rows(vec![], vec![vec![Value::Int(-1), Value::Float(0.5), Value::Null]]),
            Reply::Problems(vec!["p".into()]),
            Reply::Exported(3),
            Reply::Copied(None),
            Reply::Plugins(vec!["p".into()]),
            Reply::Reloaded(Reloaded::Taken { changes: vec![], plugins: vec!["p".into()] }),
            Reply::Reloaded(Reloaded::Unread("u".into())),
        ];
        let replies = replies.map(|reply| Answered { id: 1, more: true, reply: Ok(reply) });
        let mut wire = frame;
        wire.extend(replies.iter().flat_map(|reply| postcard::to_allocvec(reply).unwrap()));
        let look = Request::ClaimLook {
            run: 1,
            chain: ChainId(1),
            filter: Filter::any(),
            range: report().range,
            verify: Verify::Bloom,
            nodes: vec![NodeId::new("a")],
            blocks_max: 9,
        };
        let filter = Filter::any().id();
        let looked = Request::Looked { chain: ChainId(1), filter, range: report().range };
        let to = String::from("/f");
        let export = Request::Export { select: "s".into(), form: FileForm::Csv, to: to.clone() };
        let snapshot = Request::Snapshot { to, with_digest: true };
        let remedy = Request::Remedy(Remedy::Resume("balances".into()));
        let last = [Request::Digest, Request::Check, Request::Release { run: 1 }, look, looked];
        let digest = B256::repeat_byte(4);
        let decide = Request::Remedy(Remedy::Decide("p".into(), digest, OnChange::Continue));
        let remove = Request::Remedy(Remedy::Remove("p".into()));
        let reload = Request::Reload { config: "/c".into() };
        let operator =
            [remedy, decide, remove, reload, Request::Plugins, Request::Busy(ChainId(1))];
        let join = Request::Join(Box::new(Joining {
            profile: ChainProfile::ethereum(ChainId(1)),
            verify: Verify::Bloom,
            anchor: AnchorPolicy::OneNode,
            nodes: 2,
            contracts: vec![Contract {
                schema: "s".into(),
                addresses: AnyOf::Any,
                chains: BTreeMap::new(),
                events: vec![EventDeclaration::Signature("E()".into())],
            }],
        }));
        for request in last.into_iter().chain([export, snapshot, join]).chain(operator) {
            wire.extend(Encoded::new(&request).unwrap().frame(1));
        }
        // Another digest is another PROTOCOL: an old and a new program must not take each other's
        // bytes for their own.
        let digest = keccak256(&wire).to_string();
        assert_eq!(
            (digest.as_str(), crate::PROTOCOL),
            ("0x676ac6e0002b8976963255e11679967ee513ec96718b0a6e6821fd097fb13f7a", 10)
        );
    }

    #[test]
    fn torn_and_padded_frames_are_refused_with_their_number() {
        let frame = Encoded::new(&Request::Submit(Box::new(report()))).unwrap().frame(7);
        for end in 0..frame.len() {
            let (id, _) = asked(&frame[..end]).unwrap_err();
            assert!(id == 7 || end == 0);
        }
        assert!(asked(&[&frame[..], &[0]].concat()).is_err());
    }
}
