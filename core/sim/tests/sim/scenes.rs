//! Faults by name: a watch over three nodes, of which one is in exactly one kind of trouble, and what
//! must come of it.

use crate::watching::{Plan, Silent, Watch};
use event::{BlockRange, ChainId, Flaw, Node, NodeId, Op, Verify, Visibility};
use pipeline::WatchWatcher;
use sim::{
    Happening, Methods, Rule, Trouble, World, WorldSettings, account,
    chain::Traffic,
    faults::{Persona, loses_everything, pruned},
    lane_problems,
};
use std::collections::BTreeSet;

pub(crate) const MINUTE_MS: u64 = 60_000;
/// Blocks that are there when the watch starts, of which it wants all: the gap is read by range,
/// what comes later by hash.
const BLOCKS_AT_START: u64 = 160;

/// What happens in a scene.
pub(crate) struct Scene {
    pub(crate) seed: u64,
    pub(crate) verify: Verify,
    /// Rules of each node.
    pub(crate) nodes: Vec<Persona>,
    pub(crate) script: Vec<(u64, Happening)>,
    pub(crate) traffic: Traffic,
    pub(crate) block_time_ms: u64,
    pub(crate) visibility: Visibility,
    pub(crate) minutes: u64,
}

impl Scene {
    /// Three nodes, the first with these rules.
    pub(crate) fn of(rules: Persona) -> Self {
        Self {
            seed: 41,
            verify: Verify::Bloom,
            nodes: vec![rules, Vec::new(), Vec::new()],
            script: Vec::new(),
            traffic: Traffic { transactions_max: 3, logs_max: 3, ..Traffic::default() },
            block_time_ms: 12_000,
            visibility: Visibility::Latest,
            minutes: 20,
        }
    }

    /// Plays it to the end, where everything final must be there, once, and nothing else.
    pub(crate) fn play(self) -> Watch {
        let watch = self.live();
        watch.is_exact();
        watch
    }

    /// Plays it to the end; what is claimed there may be less than everything.
    pub(crate) fn live(self) -> Watch {
        self.live_heard_by(Box::new(Silent))
    }

    /// The same with somebody who is told how it stands.
    pub(crate) fn live_heard_by(self, watcher: Box<dyn WatchWatcher>) -> Watch {
        let world = World::new(WorldSettings {
            traffic: self.traffic,
            blocks_at_start: BLOCKS_AT_START,
            block_time_ms: self.block_time_ms,
            ..WorldSettings::of_seed(self.seed)
        });
        let names = ["first", "second", "third"];
        let nodes = names.iter().zip(self.nodes).map(|(name, rules)| world.add_node(name, rules));
        let nodes = nodes.collect();
        for (at_ms, happening) in self.script {
            world.schedule(at_ms, happening);
        }
        let plan = Plan {
            verify: self.verify,
            visibility: self.visibility,
            ..Plan::until(self.minutes * MINUTE_MS)
        };
        let mut watch = Watch::new(&world, nodes, plan);
        watch.watcher = watcher;
        watch.live();
        let problems = watch.oracle.lock().unwrap().violations().to_vec();
        assert!(problems.is_empty(), "{problems:#?}");
        watch
    }
}

impl Watch {
    /// What is final is there, once, and the plugin's rows are those of the chain.
    pub(crate) fn is_exact(&self) {
        let through = self.world.tree(|tree| tree.finalized());
        assert_eq!(self.missing(through), []);
        let range = BlockRange::new(1, through).unwrap();
        self.store.look(|image| {
            self.world.tree(|tree| {
                let account = account(image, tree, std::slice::from_ref(&self.filter), range);
                assert!(account.is_balanced(), "{:#?}", account.problems());
                assert!(account.found > 100, "there is something to lose: {}", account.found);
                let problems = lane_problems(image, tree, &self.filter, 1);
                assert!(problems.is_empty(), "{problems:#?}");
            });
        });
    }

    /// Nodes with one of these flaws on their record.
    pub(crate) fn named(&self, flaws: &[Flaw]) -> BTreeSet<String> {
        self.store.look(|image| {
            let of = image.incidents.iter().filter(|incident| flaws.contains(&incident.flaw));
            of.map(|incident| incident.node.to_string()).collect()
        })
    }

    /// What is on record with one of these flaws, in words.
    pub(crate) fn told(&self, flaws: &[Flaw]) -> Vec<String> {
        self.store.look(|image| {
            let of = image.incidents.iter().filter(|incident| flaws.contains(&incident.flaw));
            of.map(|incident| format!("{incident:?}")).collect()
        })
    }

    fn journal(&self, op: Op) -> usize {
        self.store.look(|image| image.journal.iter().filter(|row| row.op == op).count())
    }
}

const LIES: [Flaw; 3] = [Flaw::Missing, Flaw::Forged, Flaw::BloomExcludes];

pub(crate) fn first() -> BTreeSet<String> {
    BTreeSet::from(["first".to_owned()])
}

#[test]
fn one_liar_of_three_that_drops_adds_or_alters_changes_nothing_and_is_named() {
    let ways = [("range mode only", Methods::RANGE_LOGS), ("all modes", Methods::LOGS)];
    let lies = [Trouble::NoLogs, Trouble::LostLog, Trouble::AddedLog, Trouble::AlteredLog];
    for verify in [Verify::Bloom, Verify::Agree(2), Verify::Prove] {
        for (way, methods) in ways {
            for lie in &lies {
                let rule = Rule::on(methods, lie.clone()).for_some_blocks(400);
                let watch = Scene { verify, ..Scene::of(vec![rule]) }.play();
                // Under `prove` a node that is proved right by its own receipts has told the truth.
                let named = watch.named(&LIES);
                assert!(named.is_subset(&first()), "{lie:?}, {way}, {verify}: {named:?}");
                if methods == Methods::LOGS && verify != Verify::Prove {
                    assert_eq!(named, first(), "{lie:?}, {way}, {verify}");
                }
            }
        }
    }
}

#[test]
fn f2_all_nodes_are_down_for_half_an_hour_while_a_reorg_crosses_the_gap() {
    let down = || {
        let (from, to) = (5 * MINUTE_MS, 35 * MINUTE_MS);
        vec![Rule::on(Methods::ASKS, Trouble::Unreachable).during(from, to)]
    };
    let reorg = Happening::Reorg { depth: 9, extra: 1 };
    let watch = Scene {
        nodes: vec![down(), down(), down()],
        // Nine blocks go that were seen, or would have been, before the nodes are back.
        script: vec![(5 * MINUTE_MS + 40_000, reorg)],
        minutes: 70,
        ..Scene::of(Vec::new())
    }
    .play();
    assert!(watch.journal(Op::Revert) >= 5, "what was seen of the old branch left");
}

/// Another chain answers in place of the node's own for a while.
fn elsewhere() -> Rule {
    let other = Trouble::OtherChain(ChainId(777));
    Rule::on(Methods::ASKS, other).during(5 * MINUTE_MS, 9 * MINUTE_MS)
}

#[test]
fn f12_a_node_that_answers_from_another_chain_for_a_while_is_used_for_nothing_and_then_again() {
    for nodes in [vec![vec![elsewhere()]], vec![vec![elsewhere()], vec![], vec![]]] {
        let is_alone = nodes.len() == 1;
        let watch = Scene { nodes, ..Scene::of(Vec::new()) }.play();
        let told = watch.told(&[Flaw::WrongChain]);
        assert_eq!(told.len(), 1, "{told:#?}");
        assert!(told[0].contains("chain 777, not 1"), "{told:?}");
        assert_eq!(watch.named(&[Flaw::WrongChain]), first());
        let views = watch.outcome.as_ref().unwrap();
        assert_eq!(views.halted, None);
        // Blocks of the time afterwards are its own again.
        assert_eq!(watch.journal(Op::Revert), 0, "alone: {is_alone}");
    }
}

#[test]
fn f1_a_node_that_is_down_delays_nobody() {
    let watch = Scene::of(vec![Rule::on(Methods::ASKS, Trouble::Unreachable)]).play();
    assert_eq!(watch.named(&LIES), BTreeSet::new());
}

#[test]
fn f34_a_pruned_node_takes_nothing_away_and_others_fill_the_gap() {
    Scene::of(pruned(120)).play();
}

#[test]
fn f27_logs_and_receipts_that_are_lost_together_are_had_from_the_others() {
    let range = BlockRange::new(40, 200).unwrap();
    let watch = Scene::of(loses_everything(range)).play();
    let named = watch.named(&[Flaw::Missing, Flaw::ReceiptCount, Flaw::ReceiptsRoot]);
    assert_eq!(named, first());
}

#[test]
fn f35_a_hole_in_the_index_is_filled_by_another_node() {
    let hole = BlockRange::new(30, 130).unwrap();
    Scene::of(vec![Rule::on(Methods::RANGE_LOGS, Trouble::NoLogs).in_blocks(hole)]).play();
}

#[test]
fn f36_a_node_whose_address_filter_is_broken_loses_nothing() {
    Scene::of(vec![Rule::on(Methods::LOGS, Trouble::AddressFilterBroken)]).play();
}

#[test]
fn f30_f31_heads_before_their_logs_are_no_lie_and_lose_nothing() {
    // From the first new block on: in the world all others are as old as its clock.
    let late = || {
        let rule = Rule::on(Methods::LOGS, Trouble::LogsLate { after_ms: 1_500 });
        vec![rule.during(10_000, u64::MAX)]
    };
    let watch = Scene { nodes: vec![late(), late(), late()], ..Scene::of(Vec::new()) }.play();
    assert_eq!(watch.told(&LIES), Vec::<String>::new(), "nobody lied");
}

#[test]
fn f55_a_reorg_while_the_gap_is_read_is_read_again_on_the_new_branch() {
    // Slow answers: the gap takes minutes, and the branch turns while it is read.
    let slow = || vec![Rule::on(Methods::RANGE_LOGS, Trouble::Slow { by_ms: 20_000 })];
    let script = (1..6).map(|n| (n * 15_000, Happening::Reorg { depth: 3 + n, extra: 1 }));
    Scene {
        nodes: vec![slow(), slow(), slow()],
        script: script.collect(),
        ..Scene::of(Vec::new())
    }
    .play();
}

#[test]
fn f62_missed_slots_and_f59_a_finality_that_stands_still_lose_nothing() {
    let script = vec![
        (2 * MINUTE_MS, Happening::Stall { for_ms: 40_000 }),
        (4 * MINUTE_MS, Happening::FinalityStall { for_ms: 10 * MINUTE_MS }),
        (6 * MINUTE_MS, Happening::Reorg { depth: 6, extra: 1 }),
    ];
    Scene { script, minutes: 40, ..Scene::of(Vec::new()) }.play();
}

#[test]
fn f63_system_logs_that_shift_every_index_double_nothing() {
    let traffic = Traffic { system_logs_from: Some(170), ..Scene::of(Vec::new()).traffic };
    Scene { traffic, ..Scene::of(Vec::new()) }.play();
}

#[test]
fn f64_f72_a_burst_of_blocks_on_a_fast_chain_is_caught_up_with() {
    let script = vec![(2 * MINUTE_MS, Happening::Burst(400))];
    Scene { block_time_ms: 1_000, script, minutes: 12, ..Scene::of(Vec::new()) }.play();
}

#[test]
fn f67_f73_nothing_rests_on_what_a_subscription_says() {
    // Announcements are all that ever comes by subscription, and they may all be lost.
    let silent = || vec![Rule::on(Methods::HINTS, Trouble::HintsLost)];
    Scene { nodes: vec![silent(), silent(), silent()], ..Scene::of(Vec::new()) }.play();
}

#[test]
fn f57_two_branches_for_three_blocks_converge_and_nobody_is_named() {
    let part = Happening::Part {
        nodes: vec![NodeId::new("first")],
        depth: 1,
        is_secret: false,
        finalizes: false,
        for_ms: 36_000,
    };
    let watch = Scene { script: vec![(5 * MINUTE_MS, part)], ..Scene::of(Vec::new()) }.play();
    assert_eq!(watch.named(&LIES), BTreeSet::new());
}

#[test]
fn f42_a_fork_that_one_node_keeps_to_itself_never_becomes_the_chain() {
    let part = Happening::Part {
        nodes: vec![NodeId::new("first")],
        depth: 2,
        is_secret: true,
        finalizes: true,
        for_ms: 8 * MINUTE_MS,
    };
    let watch = Scene { script: vec![(5 * MINUTE_MS, part)], ..Scene::of(Vec::new()) }.play();
    let outcome = watch.outcome.as_ref().unwrap();
    assert_eq!(outcome.halted, None, "one node alone halts nothing");
}

#[test]
fn f54_most_nodes_leaving_the_finalized_chain_halt_it_and_both_branches_stay() {
    let world = World::new(WorldSettings {
        blocks_at_start: BLOCKS_AT_START,
        ..WorldSettings::of_seed(43)
    });
    let nodes = ["first", "second", "third"].map(|name| world.add_node(name, Vec::new()));
    let gone = nodes[..2].iter().map(|node| node.id().clone()).collect();
    let part = Happening::Part {
        nodes: gone,
        depth: 30,
        is_secret: false,
        finalizes: true,
        for_ms: 30 * MINUTE_MS,
    };
    world.schedule(5 * MINUTE_MS, part);
    let plan = Plan { visibility: Visibility::Finalized, ..Plan::until(20 * MINUTE_MS) };
    let mut watch = Watch::new(&world, nodes.into(), plan);
    watch.live();
    let problems = watch.oracle.lock().unwrap().violations().to_vec();
    assert!(problems.is_empty(), "{problems:#?}");
    let outcome = watch.outcome.as_ref().unwrap();
    assert!(outcome.halted.is_some(), "{outcome:?}");
    let chain = watch.chain();
    watch.store.look(|image| {
        let conflicts = image.incidents.iter().filter(|i| i.flaw == Flaw::FinalityConflict);
        assert!(conflicts.count() >= 1);
        let others = image.blocks.iter().filter(|((of, ..), row)| *of == chain && !row.canonical);
        assert!(others.count() > 0, "the other branch is kept");
    });
    assert_eq!(watch.journal(Op::Revert), 0, "nothing final was taken back");
}

#[test]
fn a_plugin_at_finalized_never_sees_a_block_that_leaves() {
    let script = (1..12).map(|n| (n * MINUTE_MS, Happening::Reorg { depth: 1 + n % 6, extra: 1 }));
    let watch = Scene {
        script: script.collect(),
        visibility: Visibility::Finalized,
        ..Scene::of(Vec::new())
    }
    .play();
    assert!(watch.journal(Op::Revert) > 10, "blocks left");
    let handled = watch.handled.borrow();
    assert!(!handled.is_empty());
    // No step of the lane ever went back: a rewind would show a lower block after a higher one.
    assert!(handled.windows(2).all(|pair| pair[0].0 < pair[1].0), "{handled:?}");
}

#[test]
fn a_plugin_at_the_head_has_each_block_within_two_blocks() {
    let watch = Scene::of(Vec::new()).play();
    let handled = watch.handled.borrow();
    let caught_up = handled.iter().position(|(block, head)| block + 2 >= *head).unwrap();
    let late: Vec<_> = (handled[caught_up..].iter()).filter(|(b, head)| b + 2 < *head).collect();
    assert_eq!(late, Vec::<&(u64, u64)>::new());
}
