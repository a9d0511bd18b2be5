//! Three nodes, one of which drops, adds or alters: any order gives the honest events and names
//! the liar only.

use super::{agreement::agree, *};
use proptest::prelude::*;

const BLOCKS: u64 = 6;
const NODES: [&str; 3] = ["a", "b", "c"];

/// What the liar does to a block.
#[derive(Clone, Copy, Debug)]
enum Lie {
    Nothing,
    DropAll,
    DropFirst,
    Add,
    Alter,
}

fn lie() -> impl Strategy<Value = Lie> {
    prop_oneof![
        3 => Just(Lie::Nothing),
        1 => Just(Lie::DropAll),
        1 => Just(Lie::DropFirst),
        1 => Just(Lie::Add),
        1 => Just(Lie::Alter),
    ]
}

/// What is there, and what the liar says.
#[derive(Clone, Debug)]
struct Scene {
    truth: Vec<Vec<L>>,
    told: Vec<Vec<L>>,
    liar: usize,
    is_by_range: bool,
}

fn scene() -> impl Strategy<Value = Scene> {
    let block = (proptest::collection::vec((0u8..2, 0u8..2), 0..4), lie());
    let blocks = proptest::collection::vec(block, BLOCKS as usize);
    (blocks, 0usize..3, any::<bool>()).prop_map(|(blocks, liar, is_by_range)| {
        let (mut truth, mut told) = (Vec::new(), Vec::new());
        for (number, (logs, lie)) in (1..).zip(blocks) {
            let mut there: Vec<L> =
                logs.iter().map(|(tx, data)| L(number, *tx, 1, *data)).collect();
            there.sort_unstable();
            let mut said = there.clone();
            match lie {
                Lie::Nothing => {}
                Lie::DropAll => said.clear(),
                Lie::DropFirst => drop(said.drain(..said.len().min(1))),
                Lie::Add => said.push(L(number, 1, 1, 66)),
                Lie::Alter => said.iter_mut().take(1).for_each(|log| log.3 = 77),
            }
            truth.push(there);
            told.push(said);
        }
        Scene { truth, told, liar, is_by_range }
    })
}

impl Scene {
    /// Reports of all nodes; of receipts, by an honest one, where `with_receipts`.
    fn reports(&self, with_receipts: bool) -> Vec<Said> {
        let mut reports = Vec::new();
        for (i, node) in NODES.into_iter().enumerate() {
            let all = if i == self.liar { &self.told } else { &self.truth };
            if self.is_by_range {
                reports.push(self.report(node, 1, BLOCKS, &all.concat()));
            } else {
                let numbered = (1..).zip(all);
                reports.extend(numbered.map(|(n, logs)| self.report(node, n, n, logs)));
            }
        }
        if with_receipts {
            let honest = NODES[(self.liar + 1) % 3];
            for (number, logs) in (1..).zip(&self.truth) {
                reports.push(said(honest, number, number, logs).showing(number, logs));
            }
        }
        reports
    }

    /// As a prover would judge: nothing given where there is something is doubtful, nothing where
    /// there is nothing is excluded by the bloom.
    fn report(&self, node: &'static str, first: u64, last: u64, logs: &[L]) -> Said {
        let is_empty = |number: &u64| !logs.iter().any(|log| log.0 == *number);
        let there = |number: &u64| !self.truth[*number as usize - 1].is_empty();
        let doubt: Vec<u64> = (first..=last).filter(|n| is_empty(n) && there(n)).collect();
        said(node, first, last, logs).in_doubt(&doubt)
    }

    fn is_lie(&self, lies: impl Fn(&[L], &[L]) -> bool) -> bool {
        self.truth.iter().zip(&self.told).any(|(truth, told)| lies(truth, told))
    }
}

/// Logs of `all` that are not in `some`, with multiplicity.
fn lacks(some: &[L], all: &[L]) -> bool {
    let mut left = some.to_vec();
    all.iter().any(|log| match left.iter().position(|l| l == log) {
        Some(at) => {
            left.remove(at);
            false
        }
        None => true,
    })
}

fn run(reports: &[Said]) -> World {
    let mut world = World::new(agree(2));
    for report in reports {
        world.take(report);
    }
    world.aggregator.set_finalized(BLOCKS);
    world.flush();
    world
}

fn honest_events(scene: &Scene) -> Vec<(u64, EventId)> {
    let mut world = World::new(policy(Verify::Off));
    world.take(&said("a", 1, BLOCKS, &scene.truth.concat()));
    world.canonical_events()
}

fn scene_and_orders(receipts: bool) -> impl Strategy<Value = (Scene, Vec<Said>, Vec<Said>)> {
    scene().prop_flat_map(move |scene| {
        let reports = scene.reports(receipts);
        (Just(scene), Just(reports.clone()).prop_shuffle(), Just(reports).prop_shuffle())
    })
}

proptest! {
    // Each case is dozens of reports, twice.
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn f81_one_liar_of_three_changes_nothing_but_its_own_record(
        (scene, one, other) in scene_and_orders(false)
    ) {
        let worlds = [run(&one), run(&other)];
        let liar = NODES[scene.liar];
        for world in &worlds {
            prop_assert_eq!(world.canonical_events(), honest_events(&scene));
            prop_assert_eq!(world.events.len(), honest_events(&scene).len());
            let open = world.aggregator.missing(
                &filter(&[], &[1]), range(1, BLOCKS), Verify::Agree(2),
            );
            prop_assert!(open.is_empty(), "{:?}", open);
            prop_assert!(world.incidents.iter().all(|i| &*i.node.0 == liar));
            let is_named = world.incidents.iter().any(|i| i.flaw == Flaw::Missing);
            prop_assert_eq!(is_named, scene.is_lie(|truth, told| lacks(told, truth)));
        }
        prop_assert_eq!(worlds[0].blamed(), worlds[1].blamed());
        prop_assert_eq!(&worlds[0].coverage, &worlds[1].coverage);
        prop_assert_eq!(worlds[0].aggregator.waiting(), worlds[1].aggregator.waiting());
    }

    #[test]
    fn f81_with_receipts_every_lie_is_named_and_nothing_waits(
        (scene, one, other) in scene_and_orders(true)
    ) {
        let worlds = [run(&one), run(&other)];
        let liar = NODES[scene.liar];
        for world in &worlds {
            prop_assert_eq!(world.canonical_events(), honest_events(&scene));
            prop_assert_eq!(world.events.len(), honest_events(&scene).len());
            prop_assert!(world.aggregator.waiting().is_empty());
            prop_assert!(world.incidents.iter().all(|i| &*i.node.0 == liar));
            let named = |flaw| world.incidents.iter().any(|i| i.flaw == flaw);
            prop_assert_eq!(named(Flaw::Missing), scene.is_lie(|truth, told| lacks(told, truth)));
            prop_assert_eq!(named(Flaw::Forged), scene.is_lie(lacks));
        }
        prop_assert_eq!(&worlds[0].coverage, &worlds[1].coverage);
    }

    #[test]
    fn the_order_of_several_nodes_leaves_no_trace_under_any_policy(
        (scene, one, other) in scene_and_orders(true)
    ) {
        let _ = scene;
        for (admission, verify) in [
            (Admission::OneNode, Verify::Off),
            (Admission::OneNode, Verify::Agree(2)),
            (Admission::OneNode, Verify::Prove),
            (Admission::Agree(2), Verify::Bloom),
            (Admission::Agree(2), Verify::Agree(3)),
            (Admission::Agree(2), Verify::Prove),
            (Admission::Agree(3), Verify::Agree(2)),
        ] {
            let policy = Policy { verify, admission, anchor: AnchorPolicy::OneNode };
            let run = |reports: &[Said]| {
                let mut world = World::new(policy);
                reports.iter().for_each(|report| drop(world.take(report)));
                world
            };
            let (one, other) = (run(&one), run(&other));
            prop_assert_eq!(&one.coverage, &other.coverage, "{:?} {:?}", admission, verify);
            if admission != Admission::OneNode {
                prop_assert_eq!(one.canonical_events(), other.canonical_events());
            }
        }
    }
}
