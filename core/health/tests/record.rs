//! The record of a node, stepped with probes: out after three failures, back after good ones.

#![allow(clippy::unwrap_used, reason = "tests")]

use alloy_primitives::B256;
use event::{BlockNumHash, ChainId, ChainProfile, Fault, FaultClass, Head, NodeId};
use health::{
    Answered, ChainSample, HOLD_MAX_MS, HOLD_MIN_MS, NodeSample, NodeState, Quarantine, Reason,
    Record, Standing, judge,
};

const PROBE_MS: u64 = 6_000;
const IN: Standing = Standing::In { is_syncing: false };

fn head(number: u64) -> Head {
    Head { block: BlockNumHash { number, hash: B256::ZERO }, timestamp: 1_800_000_000 }
}

fn good(number: u64, finalized: u64) -> NodeSample {
    NodeSample {
        chain: Answered::Value(ChainId(1)),
        head: Answered::Value(head(number)),
        finalized: Answered::Value(head(finalized)),
        syncing: Answered::Value(false),
        ..NodeSample::new(NodeId::new("a"))
    }
}

fn failing(class: FaultClass) -> NodeSample {
    let (node, method) = (NodeId::new("a"), "eth_chainId".to_owned());
    let fault = Fault { node, method, class, text: "no use".into() };
    NodeSample { chain: Answered::Fault(fault), ..NodeSample::new(NodeId::new("a")) }
}

/// A record with a clock.
struct Probed {
    record: Record,
    now_ms: u64,
}

impl Probed {
    fn new() -> Self {
        Self { record: Record::new(ChainId(1)), now_ms: 0 }
    }

    fn probe(&mut self, sample: &NodeSample) -> Standing {
        self.now_ms += PROBE_MS;
        self.record.on_probe(sample, self.now_ms)
    }

    fn good(&mut self) -> Standing {
        self.probe(&good(100, 30))
    }

    fn fail(&mut self) -> Standing {
        self.probe(&failing(FaultClass::Unreachable))
    }

    /// Probes well until it is in, and returns for how long it was out.
    fn good_until_in(&mut self) -> u64 {
        let since = self.now_ms;
        for _ in 0..1_000 {
            if self.good() == IN {
                return self.now_ms - since;
            }
        }
        panic!("it never comes back");
    }
}

#[test]
fn f1_three_failures_put_a_node_out_and_successes_take_them_off() {
    let mut probed = Probed::new();
    for _ in 0..20 {
        assert_eq!(probed.fail(), IN);
        assert_eq!(probed.fail(), IN);
        assert_eq!(probed.good(), IN);
        assert_eq!(probed.good(), IN);
    }
    assert_eq!((probed.fail(), probed.fail()), (IN, IN));
    assert!(matches!(probed.fail(), Standing::Out { good_probes_missing: 3, .. }));
}

#[test]
fn one_failure_degrades_a_node_with_a_record_and_a_third_puts_it_out() {
    let mut probed = Probed::new();
    let mut states = Vec::new();
    for _ in 0..3 {
        let mut sample = failing(FaultClass::TimedOut);
        sample.standing = Some(probed.probe(&sample));
        let profile = ChainProfile::ethereum(ChainId(1));
        let verdict =
            judge(&ChainSample::new(profile, 1_800_000_000, vec![sample])).nodes.remove(0);
        states.push((verdict.state, verdict.reason));
    }
    let degraded = (NodeState::Degraded, Reason::TimedOut);
    assert_eq!(states, [degraded, degraded, (NodeState::Out, Reason::Held)]);
}

#[test]
fn a_node_comes_back_after_three_good_probes_and_a_hold_that_doubles() {
    let mut probed = Probed::new();
    let mut holds = Vec::new();
    for _ in 0..7 {
        (0..3).for_each(|_| {
            probed.fail();
        });
        holds.push(probed.good_until_in());
    }
    assert!(holds[0] >= HOLD_MIN_MS && holds[0] < HOLD_MIN_MS + PROBE_MS, "{holds:?}");
    for pair in holds.windows(2) {
        assert!(pair[1] > pair[0] || pair[1] >= HOLD_MAX_MS, "{holds:?}");
    }
    assert!(holds[6] < HOLD_MAX_MS + PROBE_MS, "{holds:?}");

    // A quarter of an hour without being out wipes the slate.
    (0..HOLD_MAX_MS / PROBE_MS + 1).for_each(|_| {
        probed.good();
    });
    (0..3).for_each(|_| {
        probed.fail();
    });
    assert!(probed.good_until_in() < HOLD_MIN_MS + PROBE_MS);
}

#[test]
fn a_bad_probe_starts_the_good_ones_anew() {
    let mut probed = Probed::new();
    (0..3).for_each(|_| {
        probed.fail();
    });
    probed.now_ms += HOLD_MIN_MS;
    assert_ne!(probed.good(), IN);
    assert_ne!(probed.good(), IN);
    assert_ne!(probed.fail(), IN);
    assert_ne!(probed.good(), IN);
    assert_ne!(probed.good(), IN);
    assert_eq!(probed.good(), IN);
}

#[test]
fn f4_f5_being_asked_to_wait_is_counted_and_no_failure() {
    let mut probed = Probed::new();
    for _ in 0..50 {
        let class = FaultClass::Rate { retry_after_ms: Some(1_000) };
        assert_eq!(probed.probe(&failing(class)), IN);
    }
    assert_eq!(probed.record.throttles(), 50);
}

#[test]
fn f12_a_wrong_chain_is_for_good() {
    let mut probed = Probed::new();
    let mut other = good(100, 30);
    other.chain = Answered::Value(ChainId(137));
    assert_eq!(probed.probe(&other), Standing::WrongChain);
    for _ in 0..1_000 {
        assert_eq!(probed.good(), Standing::WrongChain);
    }
}

#[test]
fn f60_a_finalized_block_that_went_back_quarantines_until_it_is_back() {
    let mut probed = Probed::new();
    assert_eq!(probed.probe(&good(100, 30)), IN);
    let caught = Standing::Quarantined(Quarantine::FinalizedWentBack { from: 30, to: 29 });
    for _ in 0..100 {
        assert_eq!(probed.probe(&good(100, 29)), caught, "it has to come back to block 30");
    }
    let mut sample = good(100, 29);
    sample.standing = Some(caught);
    let mut other = good(100, 30);
    other.node = NodeId::new("b");
    let profile = ChainProfile::ethereum(ChainId(1));
    let health = judge(&ChainSample::new(profile, 1_800_000_000, vec![sample, other]));
    let verdict = &health.nodes[0];
    assert_eq!(
        (verdict.state, verdict.reason),
        (NodeState::Quarantined, Reason::FinalizedWentBack)
    );
    assert_eq!(health.outcome.kind.exit_code(), 1);
    assert_eq!(health.nodes[1].state, NodeState::Ok);
    assert!(probed.good_until_in() > 0);
}

#[test]
fn a_head_that_goes_back_by_more_than_a_reorg_quarantines() {
    let mut probed = Probed::new();
    probed.probe(&good(1_000, 30));
    assert_eq!(probed.probe(&good(936, 30)), IN, "64 blocks may be a reorg");
    let caught = Quarantine::HeadWentBack { from: 1_000, to: 935 };
    assert_eq!(probed.probe(&good(935, 30)), Standing::Quarantined(caught));
}

#[test]
fn syncing_counts_after_four_probes() {
    let mut probed = Probed::new();
    let mut syncing = good(100, 30);
    syncing.syncing = Answered::Value(true);
    for _ in 0..3 {
        assert_eq!(probed.probe(&syncing), IN);
    }
    assert_eq!(probed.probe(&syncing), Standing::In { is_syncing: true });
    assert_eq!(probed.good(), IN);
}

#[test]
fn f47_block_0_and_no_peers_are_failed_probes() {
    for bend in [
        |node: &mut NodeSample| node.head = Answered::Value(head(0)),
        |node: &mut NodeSample| node.peers = Answered::Value(0),
    ] {
        let mut probed = Probed::new();
        let mut sample = good(100, 30);
        bend(&mut sample);
        probed.probe(&sample);
        probed.probe(&sample);
        assert!(matches!(probed.probe(&sample), Standing::Out { .. }));
    }
}
