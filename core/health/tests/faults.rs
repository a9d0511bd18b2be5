//! The table of faults: for each what the probes say, and which state, reason and exit code follow.

#![allow(clippy::unwrap_used, reason = "tests")]

use alloy_primitives::B256;
use event::{
    BlockNumHash, BlockRange, ChainId, ChainProfile, Check, Fault, FaultClass, Finality, Flaw,
    Head, NodeId,
};
use health::{
    Answered, Axis, ChainSample, ChainVerdict, FilterCoverage, Footing, Health, HintSample,
    IncidentCount, LedgerSample, LedgerState, LedgerVerdict, NodeSample, NodeState, Reason,
    heights_to_compare, judge, route,
};

const NOW_S: u64 = 1_800_000_000;
const HEAD: u64 = 20_000_000;
const FINALIZED: u64 = HEAD - 70;

/// The chain's hash of a block, or that of another branch.
fn hash(branch: u8, number: u64) -> B256 {
    let mut bytes = [branch; 32];
    bytes[24..].copy_from_slice(&number.to_be_bytes());
    bytes.into()
}

/// A block of a branch, made so that block [`HEAD`] is two seconds old.
fn block(branch: u8, number: u64) -> Head {
    let block = BlockNumHash { number, hash: hash(branch, number) };
    let timestamp = (NOW_S - 2 + 12 * number).saturating_sub(12 * HEAD);
    Head { block, timestamp }
}

fn fault(name: &str, method: &str, class: FaultClass, text: &str) -> Fault {
    Fault { node: NodeId::new(name), method: method.into(), class, text: text.into() }
}

/// A node with which nothing is wrong, at this head.
fn at(name: &str, head: u64) -> NodeSample {
    NodeSample {
        client: Some(format!("{name}/v1").into()),
        chain: Answered::Value(ChainId(1)),
        head: Answered::Value(block(0, head)),
        finalized: Answered::Value(block(0, FINALIZED.min(head))),
        syncing: Answered::Value(false),
        peers: Answered::Value(40),
        latency_ms: Some(80),
        ..NodeSample::new(NodeId::new(name))
    }
}

fn good(name: &str) -> NodeSample {
    at(name, HEAD)
}

/// A node that answers every question with this fault.
fn failing(name: &str, class: FaultClass) -> NodeSample {
    let fault = fault(name, "eth_chainId", class, "no use");
    NodeSample {
        chain: Answered::Fault(fault.clone()),
        head: Answered::Fault(fault.clone()),
        finalized: Answered::Fault(fault.clone()),
        syncing: Answered::Fault(fault.clone()),
        peers: Answered::Fault(fault),
        ..NodeSample::new(NodeId::new(name))
    }
}

/// A node on branch `branch` from `fork` on, asked for the heights that are to be compared.
fn forked(name: &str, branch: u8, fork: u64) -> NodeSample {
    let of = |number: u64| if number >= fork { branch } else { 0 };
    let mut node = good(name);
    node.head = Answered::Value(block(of(HEAD), HEAD));
    let finalized = FINALIZED;
    node.finalized = Answered::Value(block(of(finalized), finalized));
    let heights = heights_to_compare(&chain(vec![node.clone()]));
    node.hashes = heights.into_iter().map(|number| (number, hash(of(number), number))).collect();
    node
}

fn chain(nodes: Vec<NodeSample>) -> ChainSample {
    ChainSample::new(ChainProfile::ethereum(ChainId(1)), NOW_S, nodes)
}

fn range(first: u64, last: u64) -> BlockRange {
    BlockRange::new(first, last).unwrap()
}

/// A ledger that covers one filter through `last`.
fn covered(ranges: &[(u64, u64)]) -> LedgerState {
    let covered = ranges.iter().map(|(first, last)| range(*first, *last)).collect();
    let last = ranges.last().map_or(0, |(_, last)| *last);
    LedgerState::Read(LedgerSample {
        coverage: vec![FilterCoverage {
            filter: "usdc".into(),
            start: None,
            wanted_since_s: None,
            covered,
            owed: vec![],
        }],
        final_block: Some(block(0, last).block),
        dated: Some((last, block(0, last).timestamp)),
        finalized: Some(last),
        plugins: Vec::new(),
        halted: None,
        lacks_other_node: 0,
        stopped_plugins: Vec::new(),
    })
}

/// State and reason of each node, and the exit code.
#[track_caller]
fn expect(health: &Health, nodes: &[(NodeState, Reason)], reason: &str, exit: u8) {
    let found: Vec<(NodeState, Reason)> =
        health.nodes.iter().map(|node| (node.state, node.reason)).collect();
    assert_eq!(found, nodes, "{health:#?}");
    assert_eq!(health.outcome.reason, reason, "{health:#?}");
    assert_eq!(health.outcome.kind.exit_code(), exit, "{health:#?}");
}

const OK: (NodeState, Reason) = (NodeState::Ok, Reason::Ok);
const SILENT: (NodeState, Reason) = (NodeState::Degraded, Reason::NoFinalized);

#[test]
fn everything_in_order_is_exit_0() {
    let mut sample = chain(vec![good("a"), good("b"), at("c", HEAD - 1)]);
    sample.ledger = covered(&[(18_000_000, FINALIZED)]);
    let health = judge(&sample);
    expect(&health, &[OK, OK, OK], "ok", 0);
    assert_eq!(health.chain, ChainVerdict::Ok);
    assert_eq!(health.nodes[2].sentence, "block 19999999, 14 s old, 1 block behind, 40 peers");
    let through = Some(FINALIZED);
    assert_eq!(health.ledger, LedgerVerdict::Ok { filters: 1, through, open: vec![] });
    assert!(health.warnings.is_empty());
}

#[test]
fn f1_a_node_that_cannot_be_reached_is_out_and_the_others_go_on() {
    for (class, reason) in [
        (FaultClass::Unreachable, Reason::Unreachable),
        (FaultClass::TimedOut, Reason::TimedOut),
        (FaultClass::Dropped, Reason::Dropped),
        (FaultClass::Malformed, Reason::Malformed),
        (FaultClass::Busy, Reason::Failing),
        (FaultClass::Auth, Reason::Auth),
    ] {
        let health = judge(&chain(vec![failing("a", class), good("b"), good("c")]));
        expect(&health, &[(NodeState::Out, reason), OK, OK], reason.code(), 1);
        assert_eq!(health.nodes[0].axis, Some(Axis::Reachability));
        assert_eq!(route(&health.nodes).order, [NodeId::new("b"), NodeId::new("c")]);
    }
}

#[test]
fn f2_all_nodes_down_is_undecided_and_after_the_deadline_a_failure() {
    let down = || vec![failing("a", FaultClass::Unreachable), failing("b", FaultClass::TimedOut)];
    let states = [(NodeState::Out, Reason::Unreachable), (NodeState::Out, Reason::TimedOut)];
    let health = judge(&chain(down()));
    assert_eq!(health.chain, ChainVerdict::Down);
    expect(&health, &states, "down", 3);

    let mut sample = chain(down());
    sample.ledger = covered(&[(18_000_000, FINALIZED)]);
    expect(&judge(&sample), &states, "down", 3);
    sample.now_s += 3_600;
    expect(&judge(&sample), &states, "coverage-old", 1);
    // A hole is one, whatever nodes say.
    sample.now_s = NOW_S;
    sample.ledger = covered(&[(18_000_000, 18_000_010), (18_000_500, FINALIZED)]);
    expect(&judge(&sample), &states, "coverage-late", 1);
}

#[test]
fn f3_a_node_that_stopped_while_the_others_go_on_is_behind_and_no_stall() {
    for (head, state, reason) in [
        (HEAD - 2, NodeState::Ok, Reason::Ok),
        (HEAD - 3, NodeState::Degraded, Reason::Lagging),
        (HEAD - 8, NodeState::Degraded, Reason::Lagging),
        (HEAD - 9, NodeState::Out, Reason::FarBehind),
        (HEAD - 900_000, NodeState::Out, Reason::FarBehind),
    ] {
        for others in [1, 2, 3] {
            let mut nodes = vec![at("old", head)];
            nodes.extend(["a", "b", "c"].iter().take(others).map(|name| good(name)));
            let mut expected = vec![OK; others + 1];
            expected[0] = (state, reason);
            let exit = u8::from(state != NodeState::Ok);
            let health = judge(&chain(nodes));
            expect(&health, &expected, reason.code(), exit);
            assert_eq!(health.nodes[0].lag_blocks, Some(HEAD - head));
        }
    }
}

#[test]
fn f4_f5_a_node_that_asks_to_wait_is_throttled_and_nothing_is_wrong() {
    for retry_after_ms in [None, Some(30_000)] {
        let throttled = failing("a", FaultClass::Rate { retry_after_ms });
        let health = judge(&chain(vec![throttled, good("b")]));
        expect(&health, &[(NodeState::Throttled, Reason::Throttled), OK], "ok", 0);
    }
    // With its head known it is not even that.
    let mut node = good("a");
    let rate = FaultClass::Rate { retry_after_ms: None };
    node.finalized = Answered::Fault(fault("a", "eth_getBlockByNumber", rate, "slow down"));
    let health = judge(&chain(vec![node, good("b")]));
    expect(&health, &[OK, OK], "ok", 0);
    assert!(health.nodes[0].notes.iter().any(|note| note == "it asked to wait"));
    // And when nobody said anything else, nothing is known.
    let all = chain(vec![failing("a", FaultClass::Rate { retry_after_ms: None })]);
    expect(&judge(&all), &[(NodeState::Throttled, Reason::Throttled)], "down", 3);
}

#[test]
fn f6_a_plan_used_up_puts_the_node_out_with_the_reason() {
    let health = judge(&chain(vec![good("a"), failing("b", FaultClass::Quota)]));
    expect(&health, &[OK, (NodeState::Out, Reason::Quota)], "quota", 1);
    assert!(health.nodes[1].sentence.starts_with("its plan is used up"));
}

#[test]
fn f12_a_node_on_another_chain_is_used_for_nothing_and_moves_nothing() {
    let mut other = at("other", HEAD + 900_000);
    other.chain = Answered::Value(ChainId(137));
    let wrong = (NodeState::WrongChain, Reason::WrongChain);
    let health = judge(&chain(vec![other.clone(), good("b")]));
    expect(&health, &[wrong, OK], "wrong-chain", 1);
    assert_eq!(health.nodes[0].sentence, "it is on chain 137, not 1");
    assert_eq!(health.view.best, Some(HEAD));
    assert_eq!(health.nodes[0].lag_blocks, None);
    assert_eq!(route(&health.nodes).order, [NodeId::new("b")]);

    let class = FaultClass::WrongChain { expected: ChainId(1), found: ChainId(137) };
    let health = judge(&chain(vec![failing("other", class), good("b")]));
    expect(&health, &[wrong, OK], "wrong-chain", 1);

    // That is known, so it is a failure also when nobody else is there.
    let health = judge(&chain(vec![other]));
    expect(&health, &[wrong], "wrong-chain", 1);
    assert_eq!(route(&health.nodes).footing, Footing::Nothing);
}

#[test]
fn f42_a_node_alone_on_a_longer_branch_is_out() {
    let alone = forked("a", 7, HEAD - 40);
    let health = judge(&chain(vec![alone, forked("b", 0, 0), forked("c", 0, 0)]));
    let out = (NodeState::Out, Reason::AloneOnBranch);
    expect(&health, &[out, OK, OK], "alone-on-branch", 1);
    assert_eq!(health.nodes[0].axis, Some(Axis::Integrity));
    assert_eq!(health.chain, ChainVerdict::Ok);

    // Of two nodes nobody knows which one is alone.
    let health = judge(&chain(vec![forked("a", 7, HEAD - 40), forked("b", 0, 0)]));
    let two = (NodeState::Degraded, Reason::TwoBranches);
    expect(&health, &[two, two], "two-branches", 1);
    // Two of five are not alone.
    let nodes = [("a", 7), ("b", 7), ("c", 0), ("d", 0), ("e", 0)];
    let nodes = nodes.map(|(name, branch)| forked(name, branch, HEAD - 40));
    let health = judge(&chain(nodes.into()));
    let minority = (NodeState::Degraded, Reason::MinorityBranch);
    expect(&health, &[minority, minority, OK, OK, OK], "minority-branch", 1);
}

#[test]
fn f47_no_peers_and_block_0_are_no_values() {
    let mut lonely = good("a");
    lonely.peers = Answered::Value(0);
    let health = judge(&chain(vec![lonely, good("b")]));
    expect(&health, &[(NodeState::Degraded, Reason::NoPeers), OK], "no-peers", 1);
    assert_eq!(health.nodes[0].peers, None, "0 is not a number of peers");

    let mut unfinal = good("a");
    unfinal.finalized = Answered::Value(block(0, 0));
    let health = judge(&chain(vec![unfinal]));
    expect(&health, &[OK], "ok", 0);
    assert_eq!((health.nodes[0].finalized, health.view.finalized), (None, None));

    for others in [0, 1, 2] {
        let mut nodes = vec![at("zero", 0)];
        nodes.extend(["a", "b"].iter().take(others).map(|name| good(name)));
        let health = judge(&chain(nodes));
        let zero = &health.nodes[0];
        assert_eq!((zero.state, zero.reason), (NodeState::Out, Reason::HeadAtZero));
        assert_eq!((zero.head, zero.lag_blocks), (None, None));
        assert_eq!(health.view.best, (others > 0).then_some(HEAD));
        assert_eq!(health.outcome.kind.exit_code(), if others > 0 { 1 } else { 3 });
    }
}

#[test]
fn f54_two_final_blocks_at_one_height_halt_the_chain_unless_a_minority_left() {
    let contradicting = || forked("a", 7, FINALIZED - 5);
    let health = judge(&chain(vec![contradicting(), forked("b", 0, 0), forked("c", 0, 0)]));
    let caught = (NodeState::Quarantined, Reason::FinalizedConflict);
    expect(&health, &[caught, OK, OK], "finalized-conflict", 1);
    assert_eq!(health.chain, ChainVerdict::Ok, "one of three halts nothing");

    // Also while another one is away: it has not left.
    let mut sample =
        chain(vec![contradicting(), forked("b", 0, 0), failing("c", FaultClass::Unreachable)]);
    sample.ledger = covered(&[(18_000_000, FINALIZED)]);
    let health = judge(&sample);
    assert_eq!(health.nodes[0].state, NodeState::Quarantined, "{health:#?}");
    assert_eq!(health.chain, ChainVerdict::Ok, "{health:#?}");

    // Two of three do.
    let two = || vec![contradicting(), forked("b", 7, FINALIZED - 5), forked("c", 0, 0)];
    let mut sample = chain(two());
    sample.ledger = covered(&[(18_000_000, FINALIZED)]);
    let health = judge(&sample);
    let ChainVerdict::Halted { height, reason } = &health.chain else { panic!("{health:#?}") };
    assert_eq!(*height, Some(FINALIZED));
    assert!(reason.contains(" at a, b") && reason.contains(" at c, the ledger"), "{reason}");

    // One against one: both are shown, none is dropped.
    let health = judge(&chain(vec![contradicting(), forked("b", 0, 0)]));
    let halted = (NodeState::Degraded, Reason::FinalizedConflict);
    assert!(health.nodes.iter().all(|node| node.state == NodeState::Degraded), "{health:#?}");
    assert!(matches!(health.chain, ChainVerdict::Halted { .. }));
    assert_eq!(health.outcome.kind.exit_code(), 1);

    // One node against the ledger, and a ledger that has halted itself.
    let mut sample = chain(vec![contradicting()]);
    sample.ledger = covered(&[(18_000_000, FINALIZED)]);
    expect(&judge(&sample), &[halted], "halted", 1);
    let mut sample = chain(vec![good("a")]);
    let halted = Some("a reorg across the finalized block 19999000".to_owned());
    sample.ledger = LedgerState::Read(LedgerSample { halted, ..LedgerSample::default() });
    expect(&judge(&sample), &[OK], "halted", 1);
}

#[test]
fn f57_two_branches_for_three_blocks_are_nobodys_fault() {
    for fork in [HEAD, HEAD - 1, HEAD - 2] {
        for nodes in [
            vec![forked("a", 7, fork), forked("b", 0, 0)],
            vec![forked("a", 7, fork), forked("b", 0, 0), forked("c", 0, 0)],
        ] {
            let health = judge(&chain(nodes));
            let expected = vec![OK; health.nodes.len()];
            expect(&health, &expected, "ok", 0);
            assert!(health.nodes[0].notes[0].starts_with("on another branch for"));
        }
    }
    let health = judge(&chain(vec![forked("a", 7, HEAD - 3), forked("b", 0, 0)]));
    assert_eq!(health.nodes[0].reason, Reason::TwoBranches, "a fourth block is not usual");
}

#[test]
fn f58_a_chain_that_stands_still_demotes_no_node() {
    let mut sample = chain(vec![good("a"), good("b"), at("c", HEAD - 1)]);
    sample.now_s += 300;
    let health = judge(&sample);
    expect(&health, &[OK, OK, OK], "chain-stall", 1);
    assert_eq!(health.chain, ChainVerdict::Stall { head_age_ms: 302_000 });
    assert_eq!(route(&health.nodes).footing, Footing::Sound);
    // Three missed slots are none (F62), and the operator may know better.
    sample.now_s = NOW_S + 3 * 12;
    expect(&judge(&sample), &[OK, OK, OK], "ok", 0);
    sample.now_s = NOW_S + 300;
    sample.stall_ms = Some(600_000);
    expect(&judge(&sample), &[OK, OK, OK], "ok", 0);
}

#[test]
fn f59_a_finality_that_stands_still_keeps_every_node() {
    let far = |lag: u64| {
        let mut nodes = vec![good("a"), good("b")];
        for node in &mut nodes {
            node.finalized = Answered::Value(block(0, HEAD - lag));
        }
        chain(nodes)
    };
    let health = judge(&far(161));
    expect(&health, &[OK, OK], "finality-stall", 1);
    assert_eq!(health.chain, ChainVerdict::FinalityStall { lag_blocks: 161 });
    expect(&judge(&far(160)), &[OK, OK], "ok", 0);

    // Many blocks in little time are what fast chains have; with finality by depth there is no lag.
    let mut fast = far(161);
    for node in &mut fast.nodes {
        let finalized = BlockNumHash { number: HEAD - 500, hash: hash(0, HEAD - 500) };
        node.finalized = Answered::Value(Head { block: finalized, timestamp: NOW_S - 1_000 });
    }
    expect(&judge(&fast), &[OK, OK], "ok", 0);
    let mut deep = far(161);
    deep.profile.finality = Finality::Depth(500);
    let health = judge(&deep);
    expect(&health, &[OK, OK], "ok", 0);
    assert_eq!(health.view.finalized, Some(HEAD - 500));
}

#[test]
fn what_is_not_answered_is_unknown_and_not_zero() {
    let mut node = good("a");
    let off = |method: &str| fault("a", method, FaultClass::Off, "method not found");
    node.syncing = Answered::Fault(off("eth_syncing"));
    node.peers = Answered::Fault(off("net_peerCount"));
    let tag = fault("a", "eth_getBlockByNumber", FaultClass::Tag, "no such tag");
    node.finalized = Answered::Fault(tag);
    let mut sample = chain(vec![node]);
    let health = judge(&sample);
    // Nobody says what is final, where the tag is to say it: nothing is read up to there.
    expect(&health, &[SILENT], "no-finalized", 1);
    let a = &health.nodes[0];
    assert_eq!((a.syncing, a.peers, a.finalized, a.lag_blocks), (None, None, None, Some(0)));
    // Nor can anybody say what should be covered.
    sample.ledger = covered(&[(18_000_000, FINALIZED)]);
    let health = judge(&sample);
    expect(&health, &[SILENT], "no-finalized", 1);
    assert!(matches!(health.ledger, LedgerVerdict::Undecided(_)), "{:?}", health.ledger);
    // Another node that says it is enough.
    let mut two = chain(vec![sample.nodes[0].clone(), good("b")]);
    expect(&judge(&two), &[OK, OK], "ok", 0);
    // One that says it and does not give the block is none to read from.
    two.nodes[1].withheld = Some(fault("b", "eth_getBlockByNumber", FaultClass::Unknown, "null"));
    expect(&judge(&two), &[OK, SILENT], "no-finalized", 1);
    // A depth is such a word.
    sample.profile.finality = Finality::Depth(70);
    expect(&judge(&sample), &[OK], "ok", 0);
}

#[test]
fn an_interval_open_past_the_deadline_is_exit_1() {
    let mut sample = chain(vec![good("a")]);
    // 150 blocks of 12 s are half an hour.
    sample.ledger = covered(&[(18_000_000, FINALIZED - 151)]);
    let health = judge(&sample);
    expect(&health, &[OK], "ok", 0);
    let LedgerVerdict::Ok { open, .. } = &health.ledger else { panic!("{health:#?}") };
    assert_eq!(open[0].range, range(FINALIZED - 150, FINALIZED));

    sample.ledger = covered(&[(18_000_000, FINALIZED - 152)]);
    let health = judge(&sample);
    expect(&health, &[OK], "coverage-late", 1);
    let LedgerVerdict::Late { open, count } = &health.ledger else { panic!("{health:#?}") };
    assert_eq!((*count, open[0].open_ms), (1, 151 * 12_000));
    sample.deadline_ms = 3_600_000;
    expect(&judge(&sample), &[OK], "ok", 0);

    // A hole counts from its own first block, however far coverage goes after it.
    sample.ledger = covered(&[(18_000_000, 18_500_000), (18_500_002, HEAD)]);
    let health = judge(&sample);
    expect(&health, &[OK], "coverage-late", 1);
    let LedgerVerdict::Late { open, .. } = &health.ledger else { panic!("{health:#?}") };
    assert_eq!(open[0].range, BlockRange::one(18_500_001));
}

#[test]
fn an_interval_stays_open_by_the_clock_where_the_chain_stands_still() {
    let mut sample = chain(vec![good("a")]);
    sample.ledger = covered(&[(18_000_000, FINALIZED - 3)]);
    let open = |sample: &ChainSample| match judge(sample).ledger {
        LedgerVerdict::Ok { open, .. } => (open[0].range, open[0].open_ms, false),
        LedgerVerdict::Late { open, .. } => (open[0].range, open[0].open_ms, true),
        other => panic!("{other:?}"),
    };
    let hole = range(FINALIZED - 2, FINALIZED);
    assert_eq!(open(&sample), (hole, 24_000, false));
    // Not one block more in an hour: the blocks say 24 seconds.
    sample.now_s += 3_600;
    let (range, open_ms, is_late) = open(&sample);
    assert!(range == hole && is_late && open_ms >= 3_600_000, "{open_ms}");
}

#[test]
fn what_was_demanded_and_not_shown_is_open_by_the_clock_since_then() {
    let mut sample = chain(vec![good("a")]);
    sample.ledger = covered(&[(18_000_000, FINALIZED)]);
    expect(&judge(&sample), &[OK], "ok", 0);
    let demanded = |sample: &mut ChainSample, since_s: u64| {
        let LedgerState::Read(ledger) = &mut sample.ledger else { panic!("it was read") };
        ledger.coverage[0].owed = vec![(range(18_000_010, 18_000_019), since_s)];
    };
    demanded(&mut sample, NOW_S - 60);
    let health = judge(&sample);
    expect(&health, &[OK], "ok", 0);
    let LedgerVerdict::Ok { open, .. } = &health.ledger else { panic!("{health:#?}") };
    assert_eq!((open[0].range, open[0].open_ms), (range(18_000_010, 18_000_019), 60_000));
    demanded(&mut sample, NOW_S - 1_801);
    expect(&judge(&sample), &[OK], "coverage-late", 1);
}

#[test]
fn what_is_new_in_a_configuration_is_open_since_then_and_an_old_hole_not_since_it_was_asked_for_again()
 {
    let mut sample = chain(vec![good("a")]);
    let asked_for_a_minute_ago = |wanted_since_s| {
        let LedgerState::Read(mut ledger) = covered(&[(18_000_000, 18_000_009)]) else { panic!() };
        ledger.coverage[0].wanted_since_s = Some(wanted_since_s);
        ledger.coverage[0].owed = vec![(range(18_000_010, FINALIZED), NOW_S - 60)];
        LedgerState::Read(ledger)
    };
    sample.ledger = asked_for_a_minute_ago(NOW_S - 90);
    expect(&judge(&sample), &[OK], "ok", 0);
    sample.ledger = asked_for_a_minute_ago(NOW_S - 1_801);
    expect(&judge(&sample), &[OK], "coverage-late", 1);
}

#[test]
fn f89_a_filter_that_is_owed_and_was_never_read_is_open_from_its_start() {
    let mut sample = chain(vec![good("a")]);
    let owed_since = |start: Option<u64>, wanted_since_s: Option<u64>| {
        let coverage = vec![FilterCoverage {
            filter: "new".into(),
            start,
            wanted_since_s,
            covered: vec![],
            owed: vec![],
        }];
        LedgerState::Read(LedgerSample { coverage, ..LedgerSample::default() })
    };
    let owed = |start| owed_since(start, None);
    // Whoever wrote it down a minute ago has not waited for longer than that.
    sample.ledger = owed_since(Some(18_000_000), Some(NOW_S - 60));
    expect(&judge(&sample), &[OK], "ok", 0);
    sample.ledger = owed_since(Some(18_000_000), Some(NOW_S - 1_801));
    expect(&judge(&sample), &[OK], "coverage-late", 1);
    sample.ledger = owed(Some(18_000_000));
    let health = judge(&sample);
    expect(&health, &[OK], "coverage-late", 1);
    let LedgerVerdict::Late { open, .. } = &health.ledger else { panic!("{health:#?}") };
    assert_eq!(open[0].range, range(18_000_000, FINALIZED));
    for start in [None, Some(FINALIZED), Some(HEAD), Some(u64::MAX)] {
        sample.ledger = owed(start);
        expect(&judge(&sample), &[OK], "ok", 0);
    }
}

#[test]
fn final_blocks_that_no_second_node_can_be_asked_for_are_told_and_are_no_failure() {
    let mut sample = chain(vec![good("a")]);
    sample.ledger = covered(&[(18_000_000, FINALIZED)]);
    assert!(judge(&sample).warnings.is_empty());
    let LedgerState::Read(ledger) = &mut sample.ledger else { panic!("it was read") };
    ledger.lacks_other_node = 1_000;
    let health = judge(&sample);
    expect(&health, &[OK], "ok", 0);
    assert_eq!(health.warnings[0].code, "lacks-other-node");
    assert!(health.warnings[0].sentence.starts_with("1000 final blocks rest on one node's word"));
}

#[test]
fn a_plugin_that_is_handed_nothing_fails_the_check_behind_everything_worse() {
    let mut sample = chain(vec![good("a")]);
    sample.ledger = covered(&[(18_000_000, FINALIZED)]);
    let LedgerState::Read(ledger) = &mut sample.ledger else { panic!("it was read") };
    ledger.stopped_plugins = vec![("balances".into(), "enough".into())];
    let health = judge(&sample);
    expect(&health, &[OK], "plugin-stopped", 1);
    assert_eq!(health.warnings[0].sentence, "plugin balances is handed nothing: enough");
    let LedgerState::Read(ledger) = &mut sample.ledger else { panic!("it was read") };
    ledger.halted = Some("two branches".into());
    assert_eq!(judge(&sample).outcome.reason, "halted");
}

#[test]
fn a_ledger_that_is_not_there_leaves_the_nodes_to_be_judged_and_one_that_cannot_be_read_the_question()
 {
    let mut sample = chain(vec![good("a")]);
    for ledger in [LedgerState::Absent, covered(&[])] {
        sample.ledger = ledger;
        expect(&judge(&sample), &[OK], "ok", 0);
    }
    sample.ledger = LedgerState::Unread("in use by another program".into());
    expect(&judge(&sample), &[OK], "ledger-unread", 3);
    // What is known to be wrong is still said.
    sample.nodes = vec![failing("a", FaultClass::Unreachable)];
    expect(&judge(&sample), &[(NodeState::Out, Reason::Unreachable)], "down", 3);
}

#[test]
fn the_last_node_is_never_dropped() {
    let health = judge(&chain(vec![failing("a", FaultClass::Unreachable)]));
    let only = route(&health.nodes);
    assert_eq!((only.order.len(), only.footing), (1, Footing::Degraded));

    // Degraded ones before those that are out; those that were caught only when nothing is left.
    let mut slow = good("slow");
    slow.latency_ms = Some(11_000);
    let mut liar = good("liar");
    liar.incidents = vec![IncidentCount { flaw: Flaw::Forged, count: 1, last_block: HEAD }];
    let down = failing("down", FaultClass::TimedOut);
    let names = |nodes: Vec<NodeSample>| {
        let found = route(&judge(&chain(nodes)).nodes);
        let order: Vec<String> = found.order.iter().map(ToString::to_string).collect();
        (order.join(" "), found.footing)
    };
    let (liar, slow, down) = (|| liar.clone(), || slow.clone(), || down.clone());
    let all = names(vec![liar(), down(), slow(), good("a"), at("b", HEAD - 1)]);
    assert_eq!(all, ("a b slow".into(), Footing::Sound));
    assert_eq!(names(vec![liar(), down(), slow()]), ("slow".into(), Footing::Degraded));
    assert_eq!(names(vec![liar(), down()]), ("down".into(), Footing::Degraded));
    assert_eq!(names(vec![liar()]), ("liar".into(), Footing::HeadsOnly));
}

#[test]
fn wrong_answers_weigh_by_what_they_show_and_by_how_old_they_are() {
    let with = |flaw: Flaw, last_block: u64| {
        let mut node = good("a");
        node.incidents = vec![IncidentCount { flaw, count: 3, last_block }];
        judge(&chain(vec![node, good("b")])).nodes[0].clone()
    };
    for (flaw, state) in [
        (Flaw::HeaderHash, NodeState::Quarantined),
        (Flaw::ReceiptsRoot, NodeState::Quarantined),
        (Flaw::Forged, NodeState::Quarantined),
        (Flaw::Missing, NodeState::Degraded),
        (Flaw::HeadMoved, NodeState::Ok),
        (Flaw::LogIndex, NodeState::Ok),
    ] {
        assert_eq!(with(flaw, HEAD).state, state, "{flaw}");
        assert_eq!(with(flaw, HEAD).incidents, 3);
    }
    let old = with(Flaw::Forged, FINALIZED - 7_201);
    assert_eq!((old.state, old.incidents), (NodeState::Ok, 0));
    assert_eq!(old.notes, ["3 wrong answers in older blocks"]);
}

#[test]
fn f44_a_check_that_every_node_fails_is_suspected_and_no_node() {
    let failing = |name: &str| {
        let mut node = good(name);
        node.incidents =
            vec![IncidentCount { flaw: Flaw::ReceiptsRoot, count: 10, last_block: HEAD }];
        node
    };
    let health = judge(&chain(vec![failing("a"), failing("b")]));
    expect(&health, &[OK, OK], "ok", 0);
    assert_eq!(health.warnings[0].code, "check-suspect");
}

#[test]
fn f94_what_fails_a_check_that_is_only_observed_is_no_mark_against_a_node() {
    let mut sample = chain(vec![good("a"), good("b")]);
    sample.nodes[0].incidents =
        vec![IncidentCount { flaw: Flaw::ReceiptsRoot, count: 10, last_block: HEAD }];
    assert_eq!(judge(&sample).nodes[0].state, NodeState::Quarantined);
    sample.profile.observe(Check::ReceiptsRoot);
    expect(&judge(&sample), &[OK, OK], "ok", 0);
}

#[test]
fn f43_nodes_of_one_client_are_a_warning() {
    let client = |name: &str, version: &str| {
        let mut node = good(name);
        node.client = Some(version.into());
        node
    };
    let health = judge(&chain(vec![client("a", "Geth/v1.16.4/x"), client("b", "Geth/v1.17.0/y")]));
    expect(&health, &[OK, OK], "ok", 0);
    assert_eq!(health.warnings[0].code, "one-client");
    for nodes in
        [vec![client("a", "Geth/v1"), client("b", "Nethermind/v1")], vec![client("a", "Geth/v1")]]
    {
        assert!(judge(&chain(nodes)).warnings.is_empty());
    }
}

#[test]
fn f84_a_clock_of_ours_that_is_wrong_demotes_no_node() {
    let mut sample = chain(vec![good("a"), good("b"), good("c")]);
    sample.now_s -= 3_600;
    let health = judge(&sample);
    expect(&health, &[OK, OK, OK], "ok", 0);
    assert_eq!(health.warnings[0].code, "clock-behind");
    // One alone is wrong itself, and moves nothing.
    let ahead = at("ahead", HEAD + 1_000);
    let health = judge(&chain(vec![ahead, good("b")]));
    let future = (NodeState::Degraded, Reason::HeadAhead);
    assert_eq!(health.view.best, Some(HEAD));
    expect(&health, &[future, OK], "head-ahead", 1);
}

#[test]
fn syncing_slow_and_lost_connections_are_told() {
    let bent = |bend: fn(&mut NodeSample)| {
        let mut node = good("a");
        bend(&mut node);
        judge(&chain(vec![node, good("b"), good("c")])).nodes[0].reason
    };
    assert_eq!(bent(|node| node.syncing = Answered::Value(true)), Reason::Syncing);
    assert_eq!(bent(|node| node.latency_ms = Some(3_001)), Reason::Slow);
    assert_eq!(bent(|node| node.hints = Some(HintSample::default())), Reason::SocketLost);
    let announced = |node: &mut NodeSample| {
        let announced = Some(HEAD + 3);
        node.hints = Some(HintSample { is_connected: true, announced, missed: 0 });
    };
    assert_eq!(bent(announced), Reason::SocketAhead);
}

#[test]
fn no_more_than_four_heights_are_compared_and_a_node_far_behind_moves_none() {
    let mut sample = chain(vec![good("a"), at("b", HEAD - 1), at("old", 5_000)]);
    sample.ledger = covered(&[(18_000_000, FINALIZED - 100)]);
    let heights: Vec<u64> = heights_to_compare(&sample).into_iter().collect();
    assert_eq!(heights, [5_000, FINALIZED - 100, HEAD - 4, HEAD - 1]);
    assert!(heights_to_compare(&chain(vec![failing("a", FaultClass::Quota)])).is_empty());
}

#[test]
fn what_stands_because_too_few_nodes_can_agree_is_told_with_who_is_missing_and_which_plugin_waits()
{
    let of = |nodes: Vec<NodeSample>| {
        let mut sample = chain(nodes);
        sample.ledger = covered(&[(18_000_000, FINALIZED - 100)]);
        let LedgerState::Read(ledger) = &mut sample.ledger else { panic!() };
        let next = FINALIZED - 99;
        ledger.plugins = vec![("late".into(), next), ("newest".into(), HEAD)];
        judge(&sample).warnings.into_iter().find(|warning| warning.code == "finality-stands")
    };
    let told = of(vec![good("a"), failing("q", FaultClass::Unreachable)]).unwrap().sentence;
    let last = FINALIZED - 100;
    let words = [&*format!("at block {last} since 20 min"), "q (unreachable)", "plugin late waits"];
    assert!(words.iter().all(|word| told.contains(word)), "{told}");
    assert!(!told.contains("newest"), "{told}");
    assert_eq!(of(vec![good("a"), good("b"), failing("q", FaultClass::Unreachable)]), None);
    assert_eq!(of(vec![good("a")]), None, "one node's word is enough where there is one");
}
