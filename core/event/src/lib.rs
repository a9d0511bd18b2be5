//! Floor 0: the words of Headcount and the seams between its stages.
//!
//! Data and constructors, one file per idea, no engine and no policy. Every stage imports this
//! crate and never another stage; what two stages have to agree on is a type or a trait here.
//! In the order an event meets them: a [`Node`] answers an [`Ask`] with [`Logs`] and headers, a
//! tracker puts them into a [`Report`], a [`Prover`] passes a [`Judgement`] on it, the aggregator
//! turns it into a [`Commit`], the [`Store`] applies that, and a [`Plugin`] is handed a [`Batch`].

mod ask;
mod batch;
mod chain;
mod check;
mod commit;
mod component;
mod coverage;
mod demand;
mod evidence;
mod fault;
mod filter;
mod header;
mod held;
mod identity;
mod judgement;
mod ledger;
mod logs;
mod outbox;
mod profiles;
mod ranges;
mod report;
mod rows;
mod sample;
mod schema;
mod state;

pub use ask::{
    Answer, AnswerFuture, Ask, BlockAnswer, Head, Hint, HintFuture, LogsAnswer, Node, Tag,
};
pub use batch::{
    Batch, BatchBlock, ColumnKind, Descriptor, Effects, LogLevel, LogLine, Phase, Plugin,
    PluginColumn, PluginFault, PluginTable, Rejection, StateWrite, Subscription, TableRows,
    UNKNOWN_SIGNATURE, Visibility,
};
pub use chain::{BlockNumHash, BlockRange, ChainId, ChainProfile, Finality};
pub use check::{Check, Checking};
pub use commit::{
    BlockRow, Candidate, Commit, CoverageChange, EventBatch, JournalRow, Op, Sighting,
};
pub use component::{OnChange, Writer};
pub use coverage::{Interval, Links};
pub use demand::Demand;
pub use evidence::{Anchor, AnchorPolicy, Content, Evidence, Verify};
pub use fault::{Fault, FaultClass, Flaw, Incident};
pub use filter::{AnyOf, Filter, FilterId};
pub use header::{Header, Outcome, Receipt};
pub use held::Held;
pub use identity::{EventId, content_digest};
pub use judgement::{BlockVerdict, Judgement, Prover, Recovered};
pub use ledger::{
    Ack, ChainState, Claimed, Cursor, DeadLetter, EventPage, EventQuery, Failing, LaneCommit,
    LaneId, LaneRows, LaneState, Ledger, LedgerError, Reader, Remedy, Seen, Store, ToLook,
};
pub use logs::{Log, LogRef, Logs};
pub use outbox::{Delivery, DeliveryFuture, Fate, Message, OutboxLine, OutboxStep, Outgoing, Sink};
pub use ranges::BlockRanges;
pub use report::{NodeId, REPORT_VERSION, Report, ReportedBlock, Via};
pub use rows::{Column, FileForm, Value};
pub use sample::Sample;
pub use schema::{
    ColumnData, ColumnType, DecodeStats, Decoder, EventSchema, Packed, SchemaColumn, TypedRows,
};
pub use state::PluginState;
