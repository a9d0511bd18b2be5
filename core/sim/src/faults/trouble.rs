//! Everything that can be wrong with a node, by what it does.

use event::ChainId;

/// One way in which a node fails or lies. A [`crate::Rule`] says when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// No connection can be made (F1; at every node at once F2).
    Unreachable,
    /// The connection is open and nothing ever comes (F3).
    NeverAnswers,
    /// What the transport makes of that: its deadline passes (F3, F11).
    TimesOut {
        /// The deadline.
        after_ms: u64,
    },
    /// The answer comes, but late (F11).
    Slow {
        /// Later than usual by this.
        by_ms: u64,
    },
    /// Too many requests, as a status or as JSON under HTTP 200 (F4, F5).
    RateLimited {
        /// Wait that the node names.
        retry_after_ms: Option<u64>,
    },
    /// The plan is used up (F6).
    QuotaUsedUp,
    /// HTML, broken JSON, another id, a missing member of a batch (F7, F9).
    Malformed,
    /// The connection ends in the middle of the answer (F8).
    Dropped,
    /// Credentials are refused (F15).
    Unauthorized,
    /// Another chain is at the other end, and everything is answered from it (F12).
    OtherChain(ChainId),
    /// The method does not exist there (F13).
    MethodMissing,
    /// What is asked of these blocks is refused: their history is pruned (F34).
    Pruned,
    /// Batches of more than so many headers are refused (F14).
    BatchRefused {
        /// Most headers in one question.
        most: u64,
    },
    /// Ranges wider than this are refused, with the number (F17 to F19); 0 refuses every one (F20).
    RangeRefused {
        /// Blocks.
        width_max: u64,
    },
    /// Answers with more logs than this are refused (F10, F23).
    ResultsRefused {
        /// Logs.
        most: u64,
    },
    /// Answers with more logs than this are cut there, and nothing says so (F21).
    CutSilently {
        /// Logs.
        most: u64,
    },

    /// The backend that answers is so many blocks behind (F30: the head is another backend's).
    HeadLags {
        /// Blocks.
        blocks: u64,
    },
    /// Height 0 under HTTP 200 (F47).
    HeightZero,
    /// No peers (F47).
    NoPeers,
    /// The node says that it is catching up.
    SaysSyncing,
    /// `finalized` and `safe` are not supported (F61).
    NoFinalizedTag,
    /// `finalized` goes back by so many blocks (F60).
    FinalizedGoesBack {
        /// Blocks.
        blocks: u64,
    },
    /// `null` for a block that was announced (F49); whatever the rule's blocks are.
    NullBlock,
    /// The header's number is that of the block after it, and its hash what it was (F49).
    WrongNumber,
    /// The hash that is given with the header is not the header's (F39).
    WrongHash,
    /// The header is another one, whole in itself: its hash is its own, its parent that of the true one.
    OtherHeader,
    /// A range that reaches beyond the head is answered with what there is (F32).
    EmptyBeyondHead,
    /// A hash that the node does not know is answered with `[]` (F33).
    EmptyUnknownHash,

    /// Logs of a block younger than this are not in the index yet: `[]` (F31).
    LogsLate {
        /// Age at which they appear.
        after_ms: u64,
    },
    /// `[]` for the rule's blocks: over ranges only (F25), also by hash (F26), a hole of the index
    /// (F35), history that is gone (F34). The rule's methods say which ways are blind.
    NoLogs,
    /// One log of each of the rule's blocks is left out, always the same one (F28); of receipts any.
    LostLog,
    /// One log of each of the rule's blocks has another value, also in receipts.
    AlteredLog,
    /// One log more in each of the rule's blocks that has any, made so that the bloom admits it.
    AddedLog,
    /// One log of each of the rule's blocks is said to be of the block after it.
    MovedLog,
    /// `[]` wherever the filter names addresses (F36).
    AddressFilterBroken,
    /// Log indexes start at 0 in each transaction (F37).
    LogIndexPerTransaction,
    /// Log indexes are off by so much (F37).
    LogIndexShifted {
        /// Off by.
        by: u32,
    },
    /// Every log comes twice (F37).
    RepeatedLogs,
    /// Logs of the block below, in its name, beside those asked for (F38).
    LogsOfOtherBlock,
    /// Logs that the filter does not match, beside those asked for (F38).
    UnaskedLogs,
    /// The logs are marked `removed` (F48).
    RemovedLogs,
    /// `blockTimestamp` is absent (F46).
    TimestampMissing,

    /// `null` instead of receipts (F34).
    NullReceipts,
    /// `[]` instead of receipts (F27).
    EmptyReceipts,
    /// Receipts of the block that was at this height on another branch, else of its parent (F39).
    ReceiptsOfOtherBlock,
    /// The last receipt is missing (F40).
    ReceiptShort,
    /// The header's bloom is zeroed; the hash is left as it was (F41, F45).
    ZeroBloom,

    /// Announcements are lost (F66: the subscription is silent, requests are answered).
    HintsLost,
    /// Announcements come twice (F71).
    HintsDoubled,
    /// An announcement comes after the next one (F71).
    HintsOutOfOrder,
    /// Every announcement comes so often within a slot (F72).
    HintsFlood {
        /// Times.
        times: u64,
    },
    /// Announcements are kept until the rule's window ends, and then come at once (F72).
    HintsHeld,
    /// The connection is lost and made anew with each announcement (F65).
    ConnectionFlaps,
}

impl Trouble {
    /// Returns its name, under which [`crate::Sometimes`] counts it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::NeverAnswers => "never answers",
            Self::TimesOut { .. } => "times out",
            Self::Slow { .. } => "slow",
            Self::RateLimited { .. } => "rate limited",
            Self::QuotaUsedUp => "quota used up",
            Self::Malformed => "malformed",
            Self::Dropped => "dropped",
            Self::Unauthorized => "unauthorized",
            Self::OtherChain(_) => "other chain",
            Self::MethodMissing => "method missing",
            Self::Pruned => "pruned",
            Self::BatchRefused { .. } => "batch refused",
            Self::RangeRefused { .. } => "range refused",
            Self::ResultsRefused { .. } => "results refused",
            Self::CutSilently { .. } => "cut silently",
            Self::HeadLags { .. } => "head lags",
            Self::HeightZero => "height zero",
            Self::NoPeers => "no peers",
            Self::SaysSyncing => "says syncing",
            Self::NoFinalizedTag => "no finalized tag",
            Self::FinalizedGoesBack { .. } => "finalized goes back",
            Self::NullBlock => "null block",
            Self::WrongNumber => "wrong number",
            Self::WrongHash => "wrong hash",
            Self::OtherHeader => "other header",
            Self::EmptyBeyondHead => "empty beyond head",
            Self::EmptyUnknownHash => "empty unknown hash",
            Self::LogsLate { .. } => "logs late",
            Self::NoLogs => "no logs",
            Self::LostLog => "lost log",
            Self::AlteredLog => "altered log",
            Self::AddedLog => "added log",
            Self::MovedLog => "moved log",
            Self::AddressFilterBroken => "address filter broken",
            Self::LogIndexPerTransaction => "log index per transaction",
            Self::LogIndexShifted { .. } => "log index shifted",
            Self::RepeatedLogs => "repeated logs",
            Self::LogsOfOtherBlock => "logs of other block",
            Self::UnaskedLogs => "unasked logs",
            Self::RemovedLogs => "removed logs",
            Self::TimestampMissing => "timestamp missing",
            Self::NullReceipts => "null receipts",
            Self::EmptyReceipts => "empty receipts",
            Self::ReceiptsOfOtherBlock => "receipts of other block",
            Self::ReceiptShort => "receipt short",
            Self::ZeroBloom => "zero bloom",
            Self::HintsLost => "hints lost",
            Self::HintsDoubled => "hints doubled",
            Self::HintsOutOfOrder => "hints out of order",
            Self::HintsFlood { .. } => "hints flood",
            Self::HintsHeld => "hints held",
            Self::ConnectionFlaps => "connection flaps",
        }
    }
}
