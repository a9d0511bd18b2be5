//! Every number that a verdict depends on, with what it means.

/// Blocks behind the others from which a node is not the first choice for the head. Two are
/// usual: nodes hear of a block within a slot, and one slot may be missed.
pub const LAG_SOFT_BLOCKS: u64 = 2;
/// Blocks behind the others from which a node is of no use for what is not final yet.
pub const LAG_OUT_BLOCKS: u64 = 8;
/// Blocks for which two branches are usual while a slot is contested.
pub const BRANCH_USUAL_BLOCKS: u64 = 3;
/// Age of the newest block, in usual block times, from which the chain stands still. Three missed
/// slots in a row are no stall.
pub const STALL_SLOTS: u64 = 5;
/// Least age for a stall, in milliseconds: timestamps are whole seconds, and a probe takes time.
pub const STALL_MIN_MS: u64 = 30_000;
/// Blocks between head and finalized block from which finality stands still; 64 to 96 are usual
/// on mainnet.
pub const FINALITY_STALL_BLOCKS: u64 = 160;
/// The same in milliseconds, 160 slots of mainnet: a chain with fast blocks has more of them
/// between its head and a finalized block that is as old.
pub const FINALITY_STALL_MS: u64 = 160 * 12_000;
/// Nodes that must agree on what is final, where there are several.
pub const FINAL_NODES: usize = 2;
/// How long what the nodes call final may be ahead of what counts as final, in milliseconds, where too few
/// of them are there to agree on it.
pub const FINAL_BEHIND_MS: u64 = 30_000;
/// Usual age of the finalized block, in milliseconds: what is added to the deadline where no node
/// says what is final.
pub const FINALITY_USUAL_MS: u64 = 96 * 12_000;
/// How long a final block may stay uncovered, in milliseconds, where nobody says otherwise. A
/// `replay` every ten minutes may miss one run, and the finalized block moves by six minutes at once.
pub const DEADLINE_DEFAULT_MS: u64 = 30 * 60_000;
/// Seconds by which a head may be ahead of our clock.
pub const CLOCK_SKEW_S: u64 = 15;
/// Blocks by which an announced head may be ahead of what the same node answers.
pub const ANNOUNCED_AHEAD_BLOCKS: u64 = 2;
/// Wait for an answer, in milliseconds, that is slow where the others are three times as fast.
pub const SLOW_MS: u64 = 3_000;
/// How many times slower than the median of the others.
pub const SLOW_TIMES: u64 = 3;
/// Wait for an answer, in milliseconds, that is slow whatever the others do.
pub const SLOW_ALWAYS_MS: u64 = 10_000;
/// Blocks below the finalized one in which a wrong answer is recent: a day on mainnet. The ledger
/// does not know when it was given.
pub const RECENT_BLOCKS: u64 = 7_200;
/// Wrong answers of one kind from every node that speak against the check and not the nodes.
pub const SUSPECT_CHECK_COUNT: u64 = 10;
/// Failures, each success taking one off, at which a node is out.
pub const FAILURES_OUT: u32 = 3;
/// Good probes in a row before a node is taken back.
pub const GOOD_PROBES_BACK: u32 = 3;
/// Shortest time for which a node stays out, in milliseconds; doubled each time.
pub const HOLD_MIN_MS: u64 = 30_000;
/// Longest time for which a node stays out, in milliseconds. One that was in for as long starts
/// at the shortest again.
pub const HOLD_MAX_MS: u64 = 15 * 60_000;
/// Probes in a row that say `syncing` before it counts: nodes say it for a moment.
pub const SYNCING_PROBES: u32 = 4;
/// Blocks by which a head may go back: a reorg of that depth or another machine behind the URL.
pub const HEAD_BACK_BLOCKS: u64 = 64;
/// Open ranges that a verdict names, at most; the rest is counted.
pub const OPEN_RANGES_MAX: usize = 64;
