//! A follower against a scripted node: what it walks, asks, doubts, reports and holds back.

use crate::common::{Blooms, block, fault, hash, header, logs_answer, receipt};
use alloy_primitives::{B256, keccak256};
use event::*;
use proptest::prelude::*;
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};
use tracker::{
    Branch, Follow, FollowAction, FollowConfig, NodeState, NodeStatus, NodeView, Ruling, Ticket,
};

const BLOCK_TIME_MS: u64 = 12_000;
const CHAIN: ChainId = ChainId(1);

/// Block of a branch.
fn at(branch: char, number: u64) -> BlockNumHash {
    block(number, keccak256(format!("{branch}{number}")))
}

/// What a test makes of a question instead of the honest answer; it may move the world.
type Bend = Box<dyn FnMut(&mut World, &Ask) -> Option<Result<Answer, FaultClass>>>;

/// A tree of blocks and a node that knows all of them.
#[derive(Default)]
struct World {
    blocks: BTreeMap<B256, (BlockNumHash, B256)>,
    with_logs: BTreeSet<B256>,
    /// Blooms admit these although they have no log.
    false_positives: BTreeSet<B256>,
    head: Option<BlockNumHash>,
    finalized: u64,
    chain: ChainId,
    now_ms: u64,
    asked: Vec<(u64, Ask)>,
}

impl World {
    /// Blocks `numbers` of branch `branch` on `parent`; the last one is the head.
    fn grow(&mut self, branch: char, parent: BlockNumHash, to: u64) {
        let mut parent = parent;
        for number in parent.number + 1..=to {
            let own = at(branch, number);
            self.blocks.insert(own.hash, (own, parent.hash));
            parent = own;
        }
        self.head = Some(parent);
    }

    fn answer(&self, ask: &Ask) -> Result<Answer, FaultClass> {
        let has_logs = |block: &BlockNumHash| self.with_logs.contains(&block.hash);
        let known = |hash: &B256| self.blocks.get(hash).ok_or(FaultClass::Unknown);
        Ok(match ask {
            Ask::ChainId => Answer::ChainId(self.chain),
            Ask::Head(Tag::Latest) => {
                Answer::Head(Head { block: self.head.unwrap(), timestamp: self.now_ms / 1_000 })
            }
            Ask::Head(_) => Answer::Head(Head { block: at('a', self.finalized), timestamp: 0 }),
            Ask::HeaderByHash { hash } => {
                let (own, parent) = known(hash)?;
                Answer::Headers(vec![header(*own, *parent)])
            }
            Ask::LogsByHash { block, .. } => {
                known(&block.hash)?;
                Answer::Logs(logs_answer(has_logs(block).then_some(*block)))
            }
            Ask::Receipts { block } => {
                known(&block.hash)?;
                Answer::Receipts(has_logs(block).then(|| receipt(*block)).into_iter().collect())
            }
            _ => unreachable!("a follower does not ask {ask:?}"),
        })
    }
}

/// A follower, its node, and everything that came out.
struct Bench {
    follow: Follow,
    world: World,
    bend: Bend,
    ruling: Ruling,
    waiting: VecDeque<(Ticket, Ask)>,
    /// Questions that are not answered yet.
    withheld: fn(&Ask) -> bool,
    branches: Vec<Branch>,
    reports: Vec<Report>,
    views: Vec<NodeView>,
    in_flight_max: usize,
}

/// Block 1000 of branch a is the newest one in the ledger; 1001 has a log.
struct Setup {
    verify: Verify,
    window: Vec<BlockNumHash>,
    with_logs: Vec<BlockNumHash>,
    false_positives: Vec<BlockNumHash>,
    finality: Finality,
    filters: usize,
    seed: u64,
    keeps_chain: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            verify: Verify::Bloom,
            window: (991..=1_000).map(|number| at('a', number)).collect(),
            with_logs: vec![],
            false_positives: vec![],
            finality: Finality::Tag,
            filters: 1,
            seed: 7,
            keeps_chain: true,
        }
    }
}

impl Setup {
    fn with_logs(with_logs: impl IntoIterator<Item = BlockNumHash>) -> Self {
        Self { with_logs: with_logs.into_iter().collect(), ..Self::default() }
    }

    fn bench(self) -> Bench {
        let mut world = World { chain: CHAIN, finalized: 990, ..World::default() };
        world.grow('a', at('a', 600), 1_000);
        world.with_logs = self.with_logs.iter().map(|block| block.hash).collect();
        world.false_positives = self.false_positives.iter().map(|block| block.hash).collect();
        let admitting = world.with_logs.union(&world.false_positives).copied().collect();
        let profile = ChainProfile {
            block_time_ms: BLOCK_TIME_MS,
            finality: self.finality,
            ..ChainProfile::ethereum(CHAIN)
        };
        let filter = |i: usize| {
            let mut filter = Filter::any();
            filter.topics[3] = if i == 0 { AnyOf::Any } else { AnyOf::one(hash(i as u64)) };
            Arc::new(filter)
        };
        let config = FollowConfig {
            status: NodeStatus {
                node: NodeId::new("scripted"),
                client: None,
                head: at('a', 1_000),
                finalized: Some(990),
            },
            verify: self.verify,
            profile,
            filters: (0..self.filters).map(filter).collect(),
            window: self.window,
            poll_interval_ms: 2_000,
            keeps_chain: self.keeps_chain,
            seed: self.seed,
            reporter: "test".into(),
        };
        Bench {
            follow: Follow::new(config, Arc::new(Blooms { admitting, doubted: None })),
            world,
            bend: Box::new(|_, _| None),
            ruling: Ruling::Follow,
            waiting: VecDeque::new(),
            withheld: |_| false,
            branches: vec![],
            reports: vec![],
            views: vec![],
            in_flight_max: 0,
        }
    }
}

impl Bench {
    fn bend(
        &mut self,
        bend: impl FnMut(&mut World, &Ask) -> Option<Result<Answer, FaultClass>> + 'static,
    ) {
        self.bend = Box::new(bend);
    }

    fn honest(&mut self) {
        self.bend(|_, _| None);
    }

    /// Steps for so long; answers come at once. More than 20,000 steps are a spin.
    fn run_for(&mut self, ms: u64) {
        let until_ms = self.world.now_ms + ms;
        for _ in 0..20_000 {
            let now_ms = self.world.now_ms;
            match self.follow.next(now_ms) {
                FollowAction::Ask(ticket, ask) => {
                    self.world.asked.push((now_ms, ask.clone()));
                    self.waiting.push_back((ticket, ask));
                    self.in_flight_max = self.in_flight_max.max(self.waiting.len());
                }
                FollowAction::Branch(branch) => {
                    self.branches.push(branch);
                    self.follow.on_ruling(self.ruling, now_ms);
                }
                FollowAction::Submit(report) => self.reports.push(*report),
                FollowAction::View(view) => self.views.push(view),
                wait @ (FollowAction::WaitUntil(_) | FollowAction::WaitForAnswer) => {
                    let next = self.waiting.iter().position(|(_, ask)| !(self.withheld)(ask));
                    if let Some((ticket, ask)) = next.and_then(|next| self.waiting.remove(next)) {
                        let bent = (self.bend)(&mut self.world, &ask);
                        let answer = bent.unwrap_or_else(|| self.world.answer(&ask));
                        self.follow.on_answer(ticket, answer.map_err(fault), now_ms);
                        continue;
                    }
                    let FollowAction::WaitUntil(at_ms) = wait else {
                        self.world.now_ms = until_ms;
                        return;
                    };
                    assert!(at_ms > now_ms, "waits for a time that has passed");
                    if at_ms > until_ms {
                        self.world.now_ms = until_ms;
                        return;
                    }
                    self.world.now_ms = at_ms;
                }
            }
        }
        panic!("spins");
    }

    /// Grows the chain by one block and runs for a block time.
    fn next_block(&mut self, branch: char) -> BlockNumHash {
        let parent = self.world.head.unwrap();
        self.world.grow(branch, parent, parent.number + 1);
        self.run_for(BLOCK_TIME_MS);
        at(branch, parent.number + 1)
    }

    fn reported(&self) -> Vec<BlockNumHash> {
        let blocks = self.reports.iter().flat_map(|report| &report.blocks);
        blocks.map(|known| block(known.number, known.hash)).collect()
    }

    fn log_blocks(&self) -> Vec<BlockNumHash> {
        let of = |report: &Report| -> Vec<BlockNumHash> {
            let name = |b: &u32| &report.blocks[*b as usize];
            report.logs.block.iter().map(name).map(|b| block(b.number, b.hash)).collect()
        };
        self.reports.iter().flat_map(of).collect()
    }

    fn flaws(&self) -> Vec<Flaw> {
        let judged = self.reports.iter().filter_map(|report| report.judged.as_ref());
        judged.flat_map(|judgement| judgement.flaws.iter().map(|flaw| flaw.1)).collect()
    }

    fn doubts(&self) -> usize {
        let judged = self.reports.iter().filter_map(|report| report.judged.as_ref());
        judged.flat_map(|judgement| &judgement.blocks).filter(|verdict| verdict.doubt).count()
    }

    fn count(&self, wanted: impl Fn(&Ask) -> bool) -> usize {
        self.world.asked.iter().filter(|(_, ask)| wanted(ask)).count()
    }

    fn state(&self) -> &NodeState {
        &self.views.last().unwrap().state
    }
}

fn is_logs(ask: &Ask) -> bool {
    matches!(ask, Ask::LogsByHash { .. })
}

fn is_receipts(ask: &Ask) -> bool {
    matches!(ask, Ask::Receipts { .. })
}

fn is_header(ask: &Ask) -> bool {
    matches!(ask, Ask::HeaderByHash { .. })
}

fn no_logs() -> Option<Result<Answer, FaultClass>> {
    Some(Ok(Answer::Logs(LogsAnswer::default())))
}

#[test]
fn every_new_block_is_reported_once_and_in_order() {
    let mut bench = Setup::with_logs([at('a', 1_002)]).bench();
    let blocks: Vec<BlockNumHash> = (0..5).map(|_| bench.next_block('a')).collect();
    assert_eq!(bench.reported(), blocks);
    assert_eq!(bench.log_blocks(), [at('a', 1_002)]);
    let seqs: Vec<u64> = bench.reports.iter().map(|report| report.seq).collect();
    assert_eq!(seqs, [1, 2, 3, 4, 5]);
    for report in &bench.reports {
        assert!(report.blocks.iter().all(|b| b.header.is_some() && b.via == Via::BlockHash));
        assert!(report.range.last() <= report.head_before.min(report.head_after));
        assert!(report.judged.is_some());
    }
    let view = bench.views.last().unwrap();
    assert_eq!((view.blocks_reported, view.logs_reported), (5, 1));
    assert_eq!(view.state, NodeState::Following);
    assert_eq!(view.finalized, Some(990));
}

#[test]
fn several_blocks_at_once_are_one_report_for_each_filter() {
    let mut bench = Setup { filters: 3, ..Setup::default() }.bench();
    bench.world.grow('a', at('a', 1_000), 1_010);
    bench.run_for(1_000);
    assert_eq!(bench.reports.len(), 3);
    let whole = BlockRange::new(1_001, 1_010).unwrap();
    assert!(bench.reports.iter().all(|report| report.range == whole && report.blocks.len() == 10));
    assert_eq!(bench.branches[0].parent, Some(at('a', 1_000).hash));
    assert!(bench.branches[0].is_whole);
}

#[test]
fn a_bloom_that_excludes_the_filter_costs_no_call_unless_verification_is_off() {
    for (verify, logs, receipts) in
        [(Verify::Off, 2, 0), (Verify::Bloom, 1, 0), (Verify::Prove, 0, 1)]
    {
        let mut bench = Setup { verify, ..Setup::with_logs([at('a', 1_001)]) }.bench();
        bench.next_block('a');
        bench.next_block('a');
        assert_eq!(bench.log_blocks(), [at('a', 1_001)], "{verify}");
        assert_eq!((bench.count(is_logs), bench.count(is_receipts)), (logs, receipts), "{verify}");
    }
}

#[test]
fn receipts_of_a_block_are_read_once_for_all_filters() {
    let setup = Setup { verify: Verify::Prove, filters: 3, ..Setup::with_logs([at('a', 1_001)]) };
    let mut bench = setup.bench();
    bench.next_block('a');
    assert_eq!(bench.count(is_receipts), 1);
    assert_eq!(bench.reports.len(), 3);
    assert!(bench.reports.iter().all(|report| report.blocks[0].receipts.is_some()));
}

#[test]
fn a_false_positive_is_settled_by_receipts_within_a_second() {
    let setup = Setup { false_positives: vec![at('a', 1_001)], ..Setup::default() };
    let mut bench = setup.bench();
    bench.world.grow('a', at('a', 1_000), 1_001);
    bench.run_for(1_000);
    assert_eq!(bench.reported(), [at('a', 1_001)]);
    assert_eq!((bench.doubts(), bench.count(is_receipts)), (0, 1));
}

#[test]
fn f12_a_node_on_another_chain_is_never_asked_again_and_nothing_it_said_since_is_reported() {
    let mut bench = Setup::with_logs([at('a', 1_001)]).bench();
    bench.run_for(1_000);
    // The connection is made anew while logs are read, and leads to another chain.
    bench.world.grow('a', at('a', 1_000), 1_001);
    bench.bend(|world, ask| {
        if is_logs(ask) {
            world.chain = ChainId(99);
        }
        None
    });
    bench.follow.on_hint(Hint::Head(at('a', 1_001)), bench.world.now_ms);
    while bench.count(is_logs) == 0 {
        match bench.follow.next(bench.world.now_ms) {
            FollowAction::Ask(ticket, ask) => {
                bench.world.asked.push((bench.world.now_ms, ask.clone()));
                bench.waiting.push_back((ticket, ask));
            }
            FollowAction::Branch(_) => bench.follow.on_ruling(Ruling::Follow, bench.world.now_ms),
            _ => {
                let (ticket, ask) = bench.waiting.pop_front().unwrap();
                let answer = bench.world.answer(&ask).map_err(fault);
                bench.follow.on_answer(ticket, answer, bench.world.now_ms);
            }
        }
    }
    bench.follow.on_hint(Hint::Connected, bench.world.now_ms);
    bench.run_for(60_000);
    assert!(bench.reports.is_empty());
    assert_eq!(bench.state(), &NodeState::WrongChain);
    let asked = bench.world.asked.len();
    bench.follow.on_hint(Hint::Connected, bench.world.now_ms);
    bench.run_for(3_600_000);
    assert_eq!(bench.world.asked.len(), asked);
}

#[test]
fn f12_the_chain_is_asked_for_at_every_connection_and_every_five_minutes() {
    let mut bench = Setup::default().bench();
    let is_chain = |ask: &Ask| *ask == Ask::ChainId;
    bench.run_for(1_000);
    assert_eq!(bench.count(is_chain), 1);
    bench.follow.on_hint(Hint::Connected, bench.world.now_ms);
    bench.run_for(1_000);
    assert_eq!(bench.count(is_chain), 2);
    bench.run_for(601_000);
    assert_eq!(bench.count(is_chain), 4);
}

/// Another chain, as long as it likes, and all of it final.
fn elsewhere(world: &mut World) {
    world.chain = ChainId(99);
    world.grow('z', at('z', 900), 1_050);
    world.finalized = 1_050;
}

#[test]
fn f12_what_a_node_says_that_became_another_chain_behind_the_same_address_is_used_for_nothing() {
    for window in [Setup::default().window, vec![]] {
        let mut bench = Setup { keeps_chain: false, window, ..Setup::default() }.bench();
        let first = bench.next_block('a');
        assert_eq!(bench.reported().last(), Some(&first));
        let (branches, reports) = (bench.branches.len(), bench.reports.len());
        elsewhere(&mut bench.world);
        bench.run_for(60_000);
        assert_eq!((bench.branches.len(), bench.reports.len()), (branches, reports));
        let view = bench.views.last().unwrap();
        assert_eq!((&view.state, view.finalized), (&NodeState::WrongChain, Some(990)));
        assert_eq!(view.head.unwrap().block, first, "where it stands there is not told");
        let wrong = FaultClass::WrongChain { expected: CHAIN, found: ChainId(99) };
        assert_eq!(bench.follow.wrong_chain().unwrap().class, wrong);
    }
}

#[test]
fn f12_the_chain_is_asked_for_after_what_is_reported_and_a_report_does_not_leave_before() {
    let setup = Setup::with_logs([at('a', 1_001)]);
    let mut bench = Setup { keeps_chain: false, ..setup }.bench();
    bench.next_block('a');
    let is_chain = |ask: &Ask| *ask == Ask::ChainId;
    let asked: Vec<&Ask> = bench.world.asked.iter().map(|(_, ask)| ask).collect();
    let last_logs = asked.iter().rposition(|ask| is_logs(ask)).unwrap();
    assert!(asked[last_logs..].iter().any(|ask| is_chain(ask)), "{asked:?}");
    bench.withheld = |ask| *ask == Ask::ChainId;
    let reports = bench.reports.len();
    bench.next_block('a');
    assert_eq!(bench.reports.len(), reports);
    bench.withheld = |_| false;
    bench.run_for(1_000);
    assert_eq!(bench.reports.len(), reports + 1);
    // Nothing new, nothing to confirm.
    let before = bench.count(is_chain);
    bench.run_for(60_000);
    assert_eq!(bench.count(is_chain), before);
}

#[test]
fn f13_without_receipts_a_doubt_is_reported_as_doubt_and_the_method_not_asked_again() {
    let of = [at('a', 1_001), at('a', 1_002)];
    let mut bench = Setup { false_positives: of.to_vec(), ..Setup::default() }.bench();
    bench.bend(|_, ask| is_receipts(ask).then_some(Err(FaultClass::Off)));
    bench.next_block('a');
    bench.next_block('a');
    bench.run_for(60_000);
    assert_eq!(bench.reported(), of);
    assert_eq!((bench.doubts(), bench.count(is_receipts)), (2, 1));
    assert!(bench.reports.iter().all(|report| report.faults[0].class == FaultClass::Off));
}

#[test]
fn f13_without_logs_by_hash_receipts_give_the_logs() {
    let mut bench = Setup::with_logs([at('a', 1_001)]).bench();
    bench.bend(|_, ask| is_logs(ask).then_some(Err(FaultClass::Off)));
    bench.next_block('a');
    assert_eq!(bench.log_blocks(), [at('a', 1_001)]);
    assert_eq!(bench.reports[0].blocks[0].via, Via::Receipts);
}

#[test]
fn f20_a_block_that_is_refused_in_every_way_is_in_no_report_and_the_next_ones_are() {
    for verify in [Verify::Off, Verify::Bloom, Verify::Prove] {
        let setup = Setup::with_logs((1_001..=1_003).map(|number| at('a', number)));
        let mut bench = Setup { verify, ..setup }.bench();
        let refused = at('a', 1_002);
        bench.bend(move |_, ask| match ask {
            Ask::LogsByHash { block, .. } | Ask::Receipts { block } if *block == refused => {
                Some(Err(FaultClass::Size))
            }
            _ => None,
        });
        bench.world.grow('a', at('a', 1_000), 1_003);
        bench.run_for(60_000);
        assert_eq!(bench.reported(), [at('a', 1_001), at('a', 1_003)], "{verify}");
        assert_eq!(bench.views.last().unwrap().blocks_unread, 1);
        let calls = bench.count(is_logs) + bench.count(is_receipts);
        assert!(calls <= 8, "{verify}: {calls} calls");
    }
}

#[test]
fn f30_f31_a_node_that_is_not_ready_is_given_time_and_no_lie_is_seen() {
    let mut bench = Setup::with_logs([at('a', 1_001)]).bench();
    let ready_ms = 9_000;
    bench.bend(move |world, ask| match ask {
        Ask::LogsByHash { .. } if world.now_ms < ready_ms => no_logs(),
        Ask::Receipts { .. } if world.now_ms < 4_000 => Some(Err(FaultClass::Unknown)),
        _ => None,
    });
    bench.next_block('a');
    bench.run_for(BLOCK_TIME_MS);
    assert_eq!(bench.log_blocks(), [at('a', 1_001)]);
    assert_eq!(bench.flaws(), []);
}

#[test]
fn f30_a_header_or_logs_that_another_machine_does_not_have_yet_are_asked_for_again() {
    let mut bench = Setup::with_logs([at('a', 1_001)]).bench();
    let mut calls = 0;
    bench.bend(move |_, ask| {
        calls += 1;
        ((is_logs(ask) || is_header(ask)) && calls % 3 != 0).then_some(Err(FaultClass::Unknown))
    });
    bench.next_block('a');
    bench.run_for(BLOCK_TIME_MS);
    assert_eq!(bench.log_blocks(), [at('a', 1_001)]);
}

/// A follower that has read block 1001, which had a log, and is told of block 1002.
fn told_after_a_busy_block(with_logs: &[u64]) -> Bench {
    let blocks = with_logs.iter().map(|number| at('a', *number));
    let mut bench = Setup::with_logs(blocks).bench();
    bench.next_block('a');
    assert_eq!(bench.reported(), [at('a', 1_001)]);
    bench.world.asked.clear();
    bench.world.grow('a', at('a', 1_001), 1_002);
    bench.follow.on_hint(Hint::Head(at('a', 1_002)), bench.world.now_ms);
    bench
}

#[test]
fn logs_of_an_announced_block_are_asked_for_with_its_header_where_the_block_before_had_some() {
    let mut bench = told_after_a_busy_block(&[1_001, 1_002]);
    // Nothing is answered yet.
    bench.withheld = |_| true;
    bench.run_for(1);
    assert_eq!((bench.count(is_header), bench.count(is_logs)), (1, 1));
    bench.withheld = |_| false;
    bench.run_for(1);
    assert_eq!(bench.log_blocks(), [at('a', 1_001), at('a', 1_002)]);
    assert_eq!(bench.count(is_logs), 1, "once");
    // The header may come before them or after them.
    let mut bench = told_after_a_busy_block(&[1_001, 1_002]);
    bench.withheld = is_logs;
    bench.run_for(1);
    assert_eq!(bench.reported(), [at('a', 1_001)]);
    bench.withheld = |_| false;
    bench.run_for(1);
    assert_eq!(bench.log_blocks(), [at('a', 1_001), at('a', 1_002)]);
    assert_eq!(bench.count(is_logs), 1, "once");
}

#[test]
fn logs_that_came_early_are_believed_no_more_than_others() {
    // The block's bloom says that there are some: asked once more, as ever.
    let mut bench = told_after_a_busy_block(&[1_001, 1_002]);
    let mut lies = 1;
    bench.bend(move |_, ask| {
        let lies_now = is_logs(ask) && lies > 0;
        lies -= i32::from(lies_now);
        lies_now.then(no_logs).flatten()
    });
    bench.run_for(BLOCK_TIME_MS);
    assert_eq!(bench.log_blocks(), [at('a', 1_001), at('a', 1_002)]);
    // No answer is none.
    let mut bench = told_after_a_busy_block(&[1_001, 1_002]);
    let mut absent = 1;
    bench.bend(move |_, ask| {
        let is_absent = is_logs(ask) && absent > 0;
        absent -= i32::from(is_absent);
        is_absent.then_some(Err(FaultClass::Unknown))
    });
    bench.run_for(BLOCK_TIME_MS);
    assert_eq!(bench.log_blocks(), [at('a', 1_001), at('a', 1_002)]);
    // The bloom says that there is nothing: the header alone decides, as ever.
    let mut bench = told_after_a_busy_block(&[1_001]);
    bench.run_for(BLOCK_TIME_MS);
    assert_eq!(bench.reported(), [at('a', 1_001), at('a', 1_002)]);
    assert_eq!(bench.log_blocks(), [at('a', 1_001)]);
    // And the next one costs one call less.
    bench.world.asked.clear();
    bench.world.grow('a', at('a', 1_002), 1_003);
    bench.follow.on_hint(Hint::Head(at('a', 1_003)), bench.world.now_ms);
    bench.run_for(BLOCK_TIME_MS);
    assert_eq!(bench.count(is_logs), 0);
}

#[test]
fn f26_logs_kept_back_for_two_block_times_are_recovered_and_named() {
    let mut bench = Setup::with_logs([at('a', 1_001)]).bench();
    bench.bend(|_, ask| is_logs(ask).then(no_logs).flatten());
    bench.next_block('a');
    assert!(bench.reports.is_empty(), "it may still become ready");
    bench.run_for(2 * BLOCK_TIME_MS);
    assert_eq!(bench.flaws(), [Flaw::Missing]);
    assert!(bench.reports[0].blocks[0].receipts.is_some());
    assert!(bench.count(is_logs) < 12);
}

#[test]
fn f33_an_answer_for_a_block_the_node_does_not_have_is_never_used() {
    let mut bench = Setup::default().bench();
    bench.world.grow('a', at('a', 1_000), 1_001);
    // It announces a block, knows no header of it, and answers `[]` for its logs.
    bench.bend(|_, ask| match ask {
        Ask::HeaderByHash { .. } => Some(Err(FaultClass::Unknown)),
        Ask::LogsByHash { .. } => no_logs(),
        _ => None,
    });
    bench.run_for(120_000);
    assert!(bench.branches.is_empty() && bench.reports.is_empty());
    assert_eq!(bench.count(is_logs), 0);
}

#[test]
fn f47_height_zero_and_a_head_that_falls_back_are_no_reorg() {
    let mut bench = Setup::default().bench();
    bench.next_block('a');
    for head in [block(0, B256::ZERO), at('a', 998), at('a', 700), at('a', 1_001)] {
        bench.world.head = Some(head);
        bench.run_for(BLOCK_TIME_MS);
    }
    assert_eq!(bench.branches.len(), 1);
    assert_eq!(bench.reported(), [at('a', 1_001)]);
    let zero = bench.views.iter().filter_map(|view| view.head).any(|h| h.block.number == 0);
    assert!(!zero, "height 0 is no value");
    assert_eq!(bench.follow.head().unwrap().block, at('a', 1_001));
}

#[test]
fn f48_removed_logs_are_named_and_the_head_is_looked_at_again() {
    let mut bench = Setup::with_logs([at('a', 1_001)]).bench();
    bench.bend(|_, ask| match ask {
        Ask::LogsByHash { block, .. } => {
            let answer = LogsAnswer { removed: 1, ..logs_answer([*block]) };
            Some(Ok(Answer::Logs(answer)))
        }
        _ => None,
    });
    bench.world.grow('a', at('a', 1_000), 1_001);
    bench.run_for(1);
    assert_eq!(bench.flaws(), [Flaw::Removed]);
    assert_eq!(bench.count(|ask| *ask == Ask::Head(Tag::Latest)), 2);
}

#[test]
fn f49_an_announced_head_without_header_is_waited_for_two_block_times_then_until_the_next_poll() {
    let mut bench = Setup::default().bench();
    bench.world.grow('a', at('a', 1_000), 1_001);
    bench.bend(|world, ask| {
        (is_header(ask) && world.now_ms < 120_000).then_some(Err(FaultClass::Unknown))
    });
    bench.run_for(2 * BLOCK_TIME_MS);
    let calls = bench.count(is_header);
    assert!((3..=9).contains(&calls), "{calls} calls");
    bench.run_for(90_000);
    assert!(bench.count(is_header) < 50, "{} calls", bench.count(is_header));
    bench.run_for(30_000);
    assert_eq!(bench.reported(), [at('a', 1_001)]);
}

#[test]
fn f50_a_one_block_reorg_is_followed_and_both_blocks_are_reported() {
    let mut bench = Setup::with_logs([at('a', 1_001), at('b', 1_002)]).bench();
    bench.next_block('a');
    bench.world.grow('b', at('a', 1_000), 1_001);
    bench.next_block('b');
    assert_eq!(bench.reported(), [at('a', 1_001), at('b', 1_001), at('b', 1_002)]);
    assert_eq!(bench.branches[1].parent, Some(at('a', 1_000).hash));
    assert_eq!(bench.log_blocks(), [at('a', 1_001), at('b', 1_002)]);
}

#[test]
fn f51_a_reorg_of_seven_blocks_of_which_only_the_top_is_announced_is_walked_whole() {
    let mut bench = Setup::with_logs([at('b', 1_003)]).bench();
    bench.world.grow('a', at('a', 1_000), 1_007);
    bench.run_for(BLOCK_TIME_MS);
    bench.world.grow('b', at('a', 1_000), 1_008);
    bench.follow.on_hint(Hint::Head(at('b', 1_008)), bench.world.now_ms);
    bench.run_for(1);
    let branch = bench.branches.last().unwrap();
    assert_eq!(branch.blocks, (1_001..=1_008).map(|n| at('b', n)).collect::<Vec<_>>());
    assert!(branch.is_whole);
    assert_eq!(bench.log_blocks(), [at('b', 1_003)]);
}

#[test]
fn f52_a_branch_that_comes_back_between_header_and_logs_is_kept_apart_by_hash() {
    let mut bench = Setup::with_logs([at('a', 1_001), at('b', 1_001)]).bench();
    bench.world.grow('b', at('a', 1_000), 1_001);
    bench.world.grow('a', at('a', 1_000), 1_001);
    // While the logs of a are read the node goes to b, and back again before it is asked anew.
    bench.bend(|world, ask| {
        let is_first = world.asked.iter().filter(|(_, ask)| is_logs(ask)).count() == 1;
        (is_logs(ask) && is_first).then(|| {
            world.head = Some(at('b', 1_001));
            Err(FaultClass::Unknown)
        })
    });
    bench.run_for(5_000);
    bench.honest();
    bench.world.head = Some(at('a', 1_001));
    bench.run_for(30_000);
    let last = *bench.reported().last().unwrap();
    assert_eq!(last, at('a', 1_001), "what is reported last is what the node is on");
    for report in &bench.reports {
        assert_eq!(report.logs.len(), 1);
        assert_eq!(report.logs.row(0).tx_hash, &report.blocks[0].hash);
    }
}

#[test]
fn a_reorg_while_blocks_are_read_takes_their_reports_back() {
    let mut bench = Setup::with_logs((1_001..=1_003).map(|number| at('a', number))).bench();
    bench.world.grow('a', at('a', 1_000), 1_003);
    // The logs of a never come; meanwhile the node is on b from 1002 on.
    bench.bend(|_, ask| match ask {
        Ask::LogsByHash { block, .. } | Ask::Receipts { block } if *block == at('a', 1_003) => {
            Some(Err(FaultClass::Unknown))
        }
        _ => None,
    });
    bench.run_for(1_000);
    bench.world.grow('b', at('a', 1_001), 1_003);
    bench.run_for(60_000);
    assert_eq!(bench.reported(), [at('a', 1_001), at('b', 1_002), at('b', 1_003)]);
}

#[test]
fn a_report_that_was_ready_while_a_fork_was_walked_is_taken_back() {
    let mut bench = Setup::with_logs([at('a', 1_001)]).bench();
    bench.world.grow('a', at('a', 1_000), 1_001);
    bench.withheld = is_logs;
    bench.run_for(1_000);
    bench.world.grow('b', at('a', 1_000), 1_001);
    bench.withheld = |ask| is_logs(ask) || is_header(ask);
    bench.run_for(3_000);
    bench.withheld = is_header;
    bench.run_for(10);
    assert!(bench.reports.is_empty(), "its block may have left the chain");
    bench.withheld = |_| false;
    bench.run_for(1);
    assert_eq!(bench.reported(), [at('b', 1_001)]);
}

#[test]
fn a_head_that_moves_on_waits_until_what_is_read_is_read() {
    let mut bench = Setup::with_logs([at('a', 1_001)]).bench();
    bench.world.grow('a', at('a', 1_000), 1_001);
    bench.withheld = is_logs;
    bench.run_for(1_000);
    bench.world.grow('a', at('a', 1_001), 1_004);
    bench.run_for(5_000);
    assert_eq!((bench.branches.len(), bench.reports.len()), (1, 0));
    bench.withheld = |_| false;
    bench.run_for(1);
    assert_eq!(bench.branches[1].blocks.len(), 3);
    assert_eq!(bench.reported().len(), 4);
}

#[test]
fn a_header_of_another_block_is_no_step_of_a_walk() {
    let mut bench = Setup::default().bench();
    bench.world.grow('a', at('a', 1_000), 1_001);
    bench.bend(|_, ask| {
        let other = header(at('z', 1_001), at('a', 1_000).hash);
        is_header(ask).then(|| Ok(Answer::Headers(vec![other])))
    });
    bench.run_for(BLOCK_TIME_MS);
    assert!(bench.branches.is_empty());
    bench.honest();
    bench.run_for(BLOCK_TIME_MS);
    assert_eq!(bench.reported(), [at('a', 1_001)]);
}

#[test]
fn f53_a_reorg_deeper_than_the_window_is_walked_on_to_the_finalized_block() {
    let setup = Setup { window: vec![at('a', 1_000)], ..Setup::default() };
    let mut bench = setup.bench();
    bench.next_block('a');
    bench.world.grow('b', at('a', 994), 1_002);
    bench.run_for(BLOCK_TIME_MS);
    let branch = bench.branches.last().unwrap();
    assert!(branch.blocks.contains(&at('b', 995)));
    assert_eq!(branch.blocks[0], at('a', 991), "down to the block above the finalized one");
    assert!(!branch.is_whole);
}

#[test]
fn f53_a_walk_ends_at_its_bound() {
    let window = (995..=1_000).map(|number| at('a', number)).collect();
    let mut bench = Setup { window, finality: Finality::Depth(2_000), ..Setup::default() }.bench();
    bench.world.grow('c', at('c', 500), 1_000);
    bench.run_for(1_000);
    let branch = &bench.branches[0];
    assert_eq!((branch.blocks.len(), branch.is_whole), (256, false));
    assert_eq!(bench.count(is_header), 256);
    // From then on this is what the node has shown.
    bench.next_block('c');
    assert_eq!(bench.branches[1].blocks, [at('c', 1_001)]);
}

#[test]
fn f53_what_lies_below_a_walk_that_met_nothing_is_never_read_again() {
    let window = (700..=1_000).map(|number| at('a', number)).collect();
    let mut bench = Setup { window, finality: Finality::Depth(2_000), ..Setup::default() }.bench();
    bench.world.grow('c', at('c', 600), 1_000);
    bench.run_for(1_000);
    bench.world.grow('a', at('a', 600), 1_000);
    bench.world.head = Some(at('c', 1_000));
    bench.follow.release(0, bench.world.now_ms);
    bench.run_for(10_000);
    let reported: BTreeSet<B256> = bench.reported().iter().map(|block| block.hash).collect();
    assert!((745..=1_000).all(|number| reported.contains(&at('c', number).hash)));
    assert!(!(700..=1_000).any(|number| reported.contains(&at('a', number).hash)));
}

#[test]
fn f56_a_reorg_of_empty_blocks_is_seen() {
    let mut bench = Setup::default().bench();
    bench.next_block('a');
    bench.next_block('a');
    bench.world.grow('b', at('a', 1_000), 1_002);
    bench.run_for(BLOCK_TIME_MS);
    assert_eq!(bench.branches.last().unwrap().blocks, [at('b', 1_001), at('b', 1_002)]);
    assert_eq!(bench.reported().last(), Some(&at('b', 1_002)));
}

#[test]
fn f70_what_came_before_the_connection_is_found_without_a_hint() {
    let mut bench = Setup::default().bench();
    bench.world.grow('a', at('a', 1_000), 1_004);
    bench.follow.on_hint(Hint::Connected, 0);
    bench.run_for(1);
    assert_eq!(bench.reported().len(), 4);
}

#[test]
fn f71_hints_that_are_doubled_lost_or_out_of_order_change_nothing() {
    let mut bench = Setup::with_logs([at('a', 1_002)]).bench();
    bench.run_for(100);
    bench.world.grow('b', at('a', 1_000), 1_001);
    bench.world.grow('a', at('a', 1_000), 1_003);
    let told = [at('a', 1_003), at('a', 1_001), at('b', 1_001), at('a', 1_003), at('z', 1_002)];
    for hint in told.into_iter().cycle().take(40) {
        bench.follow.on_hint(Hint::Head(hint), bench.world.now_ms);
    }
    bench.run_for(30_000);
    assert_eq!(bench.reported(), (1_001..=1_003).map(|n| at('a', n)).collect::<Vec<_>>());
    assert_eq!((bench.branches.len(), bench.log_blocks().len()), (1, 1));
    assert!(bench.count(is_header) < 20, "{}", bench.count(is_header));
}

#[test]
fn an_announced_head_is_read_in_two_round_trips() {
    let mut bench = Setup::with_logs([at('a', 1_001)]).bench();
    bench.run_for(100);
    bench.world.asked.clear();
    bench.world.grow('a', at('a', 1_000), 1_001);
    bench.follow.on_hint(Hint::Head(at('a', 1_001)), bench.world.now_ms);
    let mut trips = 0;
    while bench.reports.is_empty() {
        match bench.follow.next(bench.world.now_ms) {
            FollowAction::Ask(ticket, ask) => bench.waiting.push_back((ticket, ask)),
            FollowAction::Submit(report) => bench.reports.push(*report),
            FollowAction::Branch(_) => bench.follow.on_ruling(Ruling::Follow, bench.world.now_ms),
            FollowAction::View(_) => {}
            FollowAction::WaitUntil(_) | FollowAction::WaitForAnswer => {
                trips += 1;
                for (ticket, ask) in std::mem::take(&mut bench.waiting) {
                    let answer = bench.world.answer(&ask).map_err(fault);
                    bench.follow.on_answer(ticket, answer, bench.world.now_ms);
                }
            }
        }
    }
    assert_eq!(trips, 2);
}

#[test]
fn a_head_far_ahead_begins_a_new_window_and_leaves_the_gap_to_the_backfill() {
    let mut bench = Setup::default().bench();
    bench.world.grow('a', at('a', 1_000), 1_064);
    bench.run_for(1_000);
    assert_eq!(bench.branches[0].blocks.len(), 64, "64 blocks are walked");
    bench.world.grow('a', at('a', 1_064), 1_129);
    bench.run_for(BLOCK_TIME_MS);
    let gap = bench.branches.last().unwrap();
    assert_eq!((gap.blocks.as_slice(), gap.is_whole), (&[at('a', 1_129)][..], false));
    assert_eq!(gap.parent, Some(at('a', 1_128).hash));
    bench.next_block('a');
    let next = bench.branches.last().unwrap();
    assert_eq!((next.blocks.as_slice(), next.is_whole), (&[at('a', 1_130)][..], true));
    // A reorg of the window's only block is seen as one.
    bench.world.grow('b', at('a', 1_128), 1_131);
    bench.run_for(BLOCK_TIME_MS);
    assert_eq!(bench.branches.last().unwrap().blocks[0], at('b', 1_129));
}

#[test]
fn a_new_ledger_begins_at_the_head() {
    let mut bench = Setup { window: vec![], ..Setup::default() }.bench();
    bench.run_for(1_000);
    assert_eq!(bench.branches[0].blocks, [at('a', 1_000)]);
    assert!(!bench.branches[0].is_whole);
    assert_eq!(bench.reported(), [at('a', 1_000)]);
}

#[test]
fn what_is_held_is_not_read_until_it_is_released() {
    let mut bench = Setup::with_logs([at('a', 1_002)]).bench();
    bench.ruling = Ruling::Hold;
    bench.next_block('a');
    bench.next_block('a');
    assert_eq!((bench.branches.len(), bench.count(is_logs)), (2, 0));
    assert!(bench.reports.is_empty());
    bench.follow.release(1_001, bench.world.now_ms);
    bench.ruling = Ruling::Follow;
    bench.run_for(1);
    assert_eq!(bench.reported(), [at('a', 1_001), at('a', 1_002)]);
    assert_eq!(bench.log_blocks(), [at('a', 1_002)]);
    assert_eq!(bench.next_block('a'), *bench.reported().last().unwrap());
}

#[test]
fn a_release_reads_again_what_the_ledger_has_left_since() {
    let mut bench = Setup::with_logs([at('a', 1_002)]).bench();
    bench.next_block('a');
    bench.next_block('a');
    bench.follow.on_ruling(Ruling::Hold, bench.world.now_ms);
    bench.follow.release(1_002, bench.world.now_ms);
    bench.run_for(1);
    assert_eq!(bench.log_blocks(), [at('a', 1_002), at('a', 1_002)]);
    assert_eq!(bench.reported().len(), 3);
}

#[test]
fn a_hold_while_blocks_are_read_stops_reading() {
    let mut bench = Setup::with_logs([at('a', 1_001)]).bench();
    bench.bend(|_, ask| (is_logs(ask) || is_receipts(ask)).then_some(Err(FaultClass::Unknown)));
    bench.world.grow('a', at('a', 1_000), 1_001);
    bench.run_for(1_000);
    bench.follow.on_ruling(Ruling::Hold, bench.world.now_ms);
    let calls = bench.count(is_logs);
    bench.run_for(60_000);
    assert_eq!(bench.count(is_logs), calls);
    assert!(bench.reports.is_empty());
}

#[test]
fn a_hold_that_comes_before_a_branch_was_given_out_is_no_ruling_on_it() {
    let mut bench = Setup { keeps_chain: false, ..Setup::default() }.bench();
    bench.next_block('a');
    // The node leaves for another branch, and is held because of what it had before.
    bench.withheld = |ask| *ask == Ask::ChainId;
    bench.world.grow('b', at('a', 999), 1_003);
    bench.run_for(BLOCK_TIME_MS);
    assert_eq!(bench.branches.len(), 1);
    bench.follow.on_ruling(Ruling::Hold, bench.world.now_ms);
    bench.withheld = |_| false;
    bench.run_for(BLOCK_TIME_MS);
    assert_eq!(bench.branches.len(), 2);
    let branch: Vec<BlockNumHash> = (1_000..=1_003).map(|number| at('b', number)).collect();
    assert_eq!(bench.reported()[1..], branch);
}

#[test]
fn what_a_held_branch_cut_off_under_way_is_read_on_below_it() {
    let mut bench = Setup::with_logs([at('a', 1_001), at('a', 1_002)]).bench();
    bench.bend(|_, ask| (is_logs(ask) || is_receipts(ask)).then_some(Err(FaultClass::Unknown)));
    bench.world.grow('a', at('a', 1_000), 1_002);
    bench.run_for(10);
    bench.ruling = Ruling::Hold;
    bench.world.grow('b', at('a', 1_001), 1_002);
    bench.follow.on_hint(Hint::Head(at('b', 1_002)), bench.world.now_ms);
    bench.run_for(10);
    assert_eq!(bench.branches.last().unwrap().blocks[0], at('b', 1_002));
    assert!(bench.reports.is_empty());
    bench.honest();
    bench.run_for(1_000);
    assert_eq!(bench.reported(), [at('a', 1_001)]);
    // And the node is followed on: a later head is walked, and read when its branch is the chain.
    bench.ruling = Ruling::Follow;
    assert_eq!(bench.next_block('b'), at('b', 1_003));
    assert_eq!(bench.reported().last(), Some(&at('b', 1_003)));
}

#[test]
fn f2_a_node_that_answers_nothing_is_tried_with_growing_waits_and_then_found_where_it_is() {
    for class in [FaultClass::Unreachable, FaultClass::Busy, FaultClass::TimedOut] {
        let mut bench = Setup::with_logs([at('a', 1_005)]).bench();
        bench.next_block('a');
        bench.bend(move |_, _| Some(Err(class.clone())));
        let before = bench.world.asked.len();
        bench.run_for(600_000);
        let asked: Vec<u64> = bench.world.asked[before..].iter().map(|(at_ms, _)| *at_ms).collect();
        assert!(asked.len() < 40, "{} calls in ten minutes", asked.len());
        let last = asked.windows(2).last().unwrap();
        assert!((20_000..=35_000).contains(&(last[1] - last[0])), "{last:?}");
        assert!(matches!(bench.state(), NodeState::Lost { .. }));
        bench.honest();
        bench.world.grow('a', at('a', 1_001), 1_010);
        bench.run_for(40_000);
        assert_eq!(bench.state(), &NodeState::Following);
        assert_eq!(bench.reported().len(), 10);
        assert_eq!(bench.log_blocks(), [at('a', 1_005)]);
    }
}

#[test]
fn f65_a_new_connection_ends_the_wait_for_a_lost_one() {
    let mut bench = Setup::default().bench();
    bench.run_for(1_000);
    bench.bend(|_, _| Some(Err(FaultClass::Unreachable)));
    bench.follow.on_hint(Hint::Lost(fault(FaultClass::Dropped)), bench.world.now_ms);
    bench.run_for(300_000);
    bench.honest();
    bench.world.grow('a', at('a', 1_000), 1_001);
    bench.follow.on_hint(Hint::Connected, bench.world.now_ms);
    bench.run_for(1);
    assert_eq!(bench.reported(), [at('a', 1_001)]);
}

#[test]
fn logs_that_were_asked_for_when_the_node_went_away_are_asked_for_again() {
    for class in [FaultClass::Dropped, FaultClass::TimedOut, FaultClass::Auth] {
        let mut bench = Setup::with_logs([at('a', 1_001)]).bench();
        bench.run_for(1_000);
        bench.world.grow('a', at('a', 1_000), 1_001);
        bench.withheld = is_logs;
        bench.run_for(5_000);
        bench.bend(move |_, _| Some(Err(class.clone())));
        bench.withheld = |_| false;
        bench.run_for(300_000);
        bench.honest();
        bench.run_for(60_000);
        assert_eq!(bench.log_blocks(), [at('a', 1_001)]);
        assert_eq!(bench.reports[0].blocks[0].via, Via::BlockHash);
    }
}

#[test]
fn f4_a_rate_limit_pauses_everything_as_long_as_the_node_asked() {
    let mut bench = Setup::with_logs([at('a', 1_001)]).bench();
    let mut left = 1;
    bench.bend(move |_, ask| {
        let is_due = is_logs(ask) && std::mem::take(&mut left) > 0;
        is_due.then_some(Err(FaultClass::Rate { retry_after_ms: Some(30_000) }))
    });
    bench.world.grow('a', at('a', 1_000), 1_001);
    bench.run_for(29_000);
    let asked = bench.world.asked.len();
    assert!(bench.reports.is_empty());
    assert_eq!(bench.state(), &NodeState::Following, "no mark against it");
    bench.run_for(2_000);
    assert!(bench.world.asked.len() > asked);
    assert_eq!(bench.log_blocks(), [at('a', 1_001)]);
}

/// Seed 5476 of the watches: the node was away while blocks were read, which left meanwhile, and
/// their heights are final on another branch when the rest of them comes.
#[test]
fn what_a_node_calls_final_after_a_head_makes_nothing_final_that_leads_to_this_head() {
    let mut bench = Setup::with_logs([at('a', 1_001)]).bench();
    bench.withheld = is_logs;
    bench.world.grow('a', at('a', 1_000), 1_006);
    bench.run_for(BLOCK_TIME_MS);
    bench.world.grow('b', at('a', 1_003), 1_020);
    bench.world.finalized = 1_010;
    bench.run_for(2 * BLOCK_TIME_MS);
    bench.withheld = |_| false;
    bench.run_for(BLOCK_TIME_MS);
    let told = |report: &Report| {
        let last = report.blocks.last().unwrap();
        (block(last.number, last.hash), report.finalized)
    };
    let told: Vec<_> = bench.reports.iter().map(told).collect();
    assert_eq!(told, [(at('a', 1_006), Some(990)), (at('b', 1_020), Some(1_010))]);
}

#[test]
fn what_a_node_calls_final_is_shown_with_the_next_head_also_where_that_is_an_old_one() {
    let mut bench = Setup::default().bench();
    bench.next_block('a');
    bench.world.finalized = 1_000;
    bench.run_for(2 * BLOCK_TIME_MS);
    assert_eq!(bench.follow.finalized(), Some(1_000));
    assert_eq!(bench.views.last().unwrap().finalized, Some(1_000));
    bench.next_block('a');
    assert_eq!(bench.reports.last().unwrap().finalized, Some(1_000));
}

#[test]
fn what_a_node_calls_safe_is_asked_for_where_somebody_waits_for_it_and_shown_without_a_new_head() {
    let mut bench = Setup::default().bench();
    bench.next_block('a');
    bench.run_for(2 * BLOCK_TIME_MS);
    assert_eq!(bench.count(|ask| *ask == Ask::Head(Tag::Safe)), 0);
    bench.follow.ask_safe();
    bench.world.finalized = 1_000;
    bench.run_for(2 * BLOCK_TIME_MS);
    assert!(bench.count(|ask| *ask == Ask::Head(Tag::Safe)) > 0);
    assert_eq!(bench.views.last().unwrap().safe, Some(at('a', 1_000)));
    // A block above its head is none.
    bench.world.finalized = 5_000;
    bench.run_for(2 * BLOCK_TIME_MS);
    assert_eq!(bench.views.last().unwrap().safe, None);
}

#[test]
fn f61_a_configured_depth_is_finality_and_the_tag_is_never_asked_for() {
    let mut bench = Setup { finality: Finality::Depth(20), ..Setup::default() }.bench();
    bench.follow.ask_safe();
    bench.next_block('a');
    assert_eq!(bench.follow.finalized(), Some(981));
    assert_eq!(bench.reports[0].finalized, Some(981));
    let is_tag = |ask: &Ask| [Tag::Finalized, Tag::Safe].map(Ask::Head).contains(ask);
    assert_eq!(bench.count(is_tag), 0);
}

#[test]
fn calls_under_way_are_bounded() {
    let setup = Setup::with_logs((1_001..=1_060).map(|number| at('a', number)));
    let mut bench = Setup { filters: 20, ..setup }.bench();
    bench.world.grow('a', at('a', 1_000), 1_060);
    bench.run_for(60_000);
    assert!(bench.in_flight_max <= 11, "{}", bench.in_flight_max);
    assert_eq!(bench.reports.len(), 40, "32 blocks and 28 blocks");
}

#[test]
fn new_filters_are_read_from_the_next_block_on() {
    let mut bench = Setup::default().bench();
    bench.next_block('a');
    let mut filter = Filter::any();
    filter.topics[0] = AnyOf::one(B256::ZERO);
    bench.follow.set_filters(vec![Arc::new(Filter::any()), Arc::new(filter)]);
    bench.next_block('a');
    assert_eq!(bench.reports.len(), 3);
}

#[test]
fn the_same_seed_gives_the_same_actions() {
    let play = |seed: u64| {
        let setup = Setup::with_logs([at('a', 1_002), at('b', 1_004)]);
        let mut bench = Setup { seed, ..setup }.bench();
        bench.next_block('a');
        bench.next_block('a');
        bench.world.grow('b', at('a', 1_001), 1_005);
        bench.run_for(60_000);
        (bench.world.asked, format!("{:?} {:?}", bench.branches, bench.reports))
    };
    assert_eq!(play(7), play(7));
    assert_ne!(play(7).0, play(8).0, "the jitter comes from the seed");
}

/// One thing that happens to a node.
#[derive(Clone, Debug)]
enum Event {
    Grow(u64),
    /// So many blocks are replaced by one more.
    Reorg(u64),
    Connected,
    Lost,
    Hint,
    HoldAndRelease,
    Wait(u64),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let one = prop_oneof![
        6 => (1u64..4).prop_map(Event::Grow),
        2 => (1u64..9).prop_map(Event::Reorg),
        1 => Just(Event::Connected),
        1 => Just(Event::Lost),
        2 => Just(Event::Hint),
        1 => Just(Event::HoldAndRelease),
        8 => (1u64..30_000).prop_map(Event::Wait),
    ];
    prop::collection::vec(one, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever fails on the way: it neither spins nor stops, and once the node is well again every
    /// block of its chain was reported, unless it is counted as one the node would not give.
    #[test]
    fn whatever_fails_on_the_way_a_well_node_is_reported_whole(
        events in events(),
        seed in any::<u64>(),
        percent in 0u64..60,
    ) {
        let mut bench = Setup { seed, ..Setup::default() }.bench();
        let mut state = seed;
        bench.bend(move |_, ask| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let fails = (state >> 33) % 100 < percent && *ask != Ask::ChainId;
            fails.then(|| Err(match (state >> 45) % 8 {
                0 => FaultClass::Unknown,
                1 => FaultClass::Busy,
                2 => FaultClass::Dropped,
                3 => FaultClass::TimedOut,
                4 => FaultClass::Rate { retry_after_ms: None },
                5 => FaultClass::Malformed,
                6 => FaultClass::Off,
                _ => FaultClass::Size,
            }))
        });
        let mut branches = ('b'..='z').cycle();
        let mut chain: Vec<BlockNumHash> = vec![at('a', 1_000)];
        let mut grow = |bench: &mut Bench, chain: &mut Vec<BlockNumHash>, count: u64| {
            let name = branches.next().unwrap();
            let parent = *chain.last().unwrap();
            // Of its own name, so that no two branches share a block.
            for number in parent.number + 1..=parent.number + count {
                let own = block(number, keccak256(format!("{name}{number}{}", bench.world.blocks.len())));
                bench.world.blocks.insert(own.hash, (own, chain.last().unwrap().hash));
                chain.push(own);
            }
            bench.world.head = chain.last().copied();
        };
        for event in events {
            let now_ms = bench.world.now_ms;
            match event {
                Event::Grow(count) => grow(&mut bench, &mut chain, count),
                Event::Reorg(depth) => {
                    let depth = depth.min(chain.len() as u64 - 1);
                    chain.truncate(chain.len() - depth as usize);
                    grow(&mut bench, &mut chain, depth + 1);
                }
                Event::Connected => bench.follow.on_hint(Hint::Connected, now_ms),
                Event::Lost => {
                    bench.follow.on_hint(Hint::Lost(fault(FaultClass::Dropped)), now_ms);
                }
                Event::Hint => {
                    bench.follow.on_hint(Hint::Head(*chain.last().unwrap()), now_ms);
                }
                Event::HoldAndRelease => {
                    bench.follow.on_ruling(Ruling::Hold, now_ms);
                    bench.follow.release(1_001, now_ms);
                }
                Event::Wait(ms) => bench.run_for(ms),
            }
        }
        bench.honest();
        grow(&mut bench, &mut chain, 1);
        bench.run_for(300_000);
        let reported: BTreeSet<B256> = bench.reported().iter().map(|block| block.hash).collect();
        let view = bench.views.last().unwrap();
        let left_out = chain[1..].iter().filter(|block| !reported.contains(&block.hash)).count();
        // A gap is the backfill's.
        let has_gap = bench.branches.iter().any(|branch| !branch.is_whole);
        prop_assert!(has_gap || left_out as u64 <= view.blocks_unread, "{left_out} left out");
        prop_assert_eq!(&view.state, &NodeState::Following);
        prop_assert!(reported.contains(&chain.last().unwrap().hash));
        for pair in bench.reports.windows(2) {
            prop_assert!(pair[0].seq < pair[1].seq);
        }
    }
}
