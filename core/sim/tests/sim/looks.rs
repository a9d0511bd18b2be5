//! The second look of a running watch: what all nodes that were up have dropped alike is found when one
//! comes that has not, and nothing waits for it.

use crate::watching::{Plan, Watch};
use event::{BlockRange, Flaw, Op};
use sim::{
    Agreement, Methods, Rule, Trouble, World, WorldSettings, account, chain::Traffic,
    faults::Persona, lane_problems,
};
use std::collections::BTreeSet;

const MINUTE_MS: u64 = 60_000;
const BLOCK_MS: u64 = 12_000;

fn world(blocks_at_start: u64) -> World {
    World::new(WorldSettings {
        traffic: Traffic { transactions_max: 3, logs_max: 3, ..Traffic::default() },
        blocks_at_start,
        block_time_ms: BLOCK_MS,
        ..WorldSettings::of_seed(77)
    })
}

/// One log of many blocks is not there, and the bloom cannot tell.
fn drops(methods: Methods) -> Persona {
    vec![Rule::on(methods, Trouble::LostLog)]
}

fn watch(world: &World, nodes: Vec<(&str, Persona)>, ends_at_ms: u64) -> Watch {
    let nodes = nodes.into_iter().map(|(name, rules)| world.add_node(name, rules)).collect();
    let plan =
        Plan { agreement: Agreement::MayBeBlind, looks_per_second: 20, ..Plan::until(ends_at_ms) };
    Watch::new(world, nodes, plan)
}

impl Watch {
    /// Whether the ledger has what is final, and the plugin made of it what there is to make.
    fn has_everything(&self) -> bool {
        let range = BlockRange::new(1, self.world.tree(|tree| tree.finalized())).unwrap();
        self.store.look(|image| {
            self.world.tree(|tree| {
                account(image, tree, std::slice::from_ref(&self.filter), range).is_balanced()
                    && lane_problems(image, tree, &self.filter, 1).is_empty()
            })
        })
    }

    fn missed_some(&self) -> BTreeSet<String> {
        self.store.look(|image| {
            let missing = image.incidents.iter().filter(|told| told.flaw == Flaw::Missing);
            missing.map(|told| told.node.to_string()).collect()
        })
    }

    /// Events of blocks up to this one that were found when these were thought to be complete.
    fn late(&self, through: u64) -> u64 {
        self.store.look(|image| {
            let late = image.journal.iter().filter(|row| row.op == Op::Late);
            late.filter(|row| row.range.last() <= through).map(|row| row.events).sum()
        })
    }
}

fn names(all: &[&str]) -> BTreeSet<String> {
    all.iter().map(ToString::to_string).collect()
}

#[test]
fn f25_f28_a_second_node_finds_what_a_lone_one_dropped_and_names_it_once() {
    for methods in [Methods::RANGE_LOGS, Methods::LOGS] {
        let world = world(160);
        let mut watch = watch(&world, vec![("liar", drops(methods))], 10 * MINUTE_MS);
        watch.live();
        assert!(!watch.has_everything() && watch.late(u64::MAX) == 0, "there is something to find");
        assert!(watch.outcome.as_ref().unwrap().second_look.lacks_other_node);

        watch.nodes.push(world.add_node("good", Vec::new()));
        watch.plan.ends_at_ms = 20 * MINUTE_MS;
        watch.live();
        let look = watch.outcome.as_ref().unwrap().second_look;
        assert!(watch.has_everything(), "{look:?}");
        assert!(look.recovered > 0 && look.agreed > 0, "{look:?}");
        assert_eq!((look.open, look.lacks_other_node), (0, false), "{look:?}");
        // Some of it was not final yet when the second node came: followers have found that.
        let final_ = world.tree(|tree| tree.finalized());
        let late = watch.late(final_);
        assert!(late >= look.recovered, "{late}, {look:?}");
        assert_eq!(watch.missed_some(), names(&["liar"]));

        // Nothing of it is read a third time.
        let incidents = watch.store.look(|image| image.incidents.len());
        watch.plan.ends_at_ms = 21 * MINUTE_MS;
        watch.live();
        assert_eq!(watch.outcome.as_ref().unwrap().second_look.recovered, 0);
        assert_eq!(watch.late(final_), late);
        if methods == Methods::RANGE_LOGS {
            assert_eq!(watch.outcome.as_ref().unwrap().second_look.blocks, 0);
            let more = watch.store.look(|image| image.incidents[incidents..].to_vec());
            assert_eq!(more, []);
        }
    }
}

#[test]
fn f26_f43_what_two_nodes_drop_alike_a_third_one_finds_when_it_is_back() {
    let world = world(60);
    let away = Rule::on(Methods::ASKS, Trouble::Unreachable).during(0, 12 * MINUTE_MS);
    let nodes = vec![
        ("first", drops(Methods::LOGS)),
        ("second", drops(Methods::LOGS)),
        ("third", vec![away]),
    ];
    let mut watch = watch(&world, nodes, 40 * MINUTE_MS);
    watch.live();
    let look = watch.outcome.as_ref().unwrap().second_look;
    assert!(watch.has_everything() && look.recovered > 0, "{look:?}");
    assert_eq!(watch.missed_some(), names(&["first", "second"]));
}

#[test]
fn a_long_second_look_keeps_to_its_budget_and_holds_up_neither_head_nor_plugin() {
    let world = world(1_500);
    let mut watch = watch(&world, vec![("one", Vec::new())], 5 * MINUTE_MS);
    watch.live();
    let (nodes, ends_at_ms) = (world.add_node("two", Vec::new()), 15 * MINUTE_MS);
    watch.nodes.push(nodes);
    watch.plan.looks_per_second = 2;
    watch.plan.ends_at_ms = ends_at_ms;
    let begun = watch.handled.borrow().len();
    watch.live();
    let look = watch.outcome.as_ref().unwrap().second_look;
    // A block takes at least one call; what is under way when it ends is not counted yet.
    assert!(look.blocks > 0 && look.blocks <= 2 * 600, "{look:?}");
    let handled = watch.handled.borrow();
    let late: Vec<_> = handled[begun..].iter().filter(|(block, head)| block + 1 < *head).collect();
    assert!(handled.len() > begun + 30 && late.is_empty(), "{late:?}");
    drop(handled);

    // It goes on where it stopped, and comes to the end.
    watch.plan.looks_per_second = 50;
    watch.plan.ends_at_ms += 10 * MINUTE_MS;
    watch.live();
    let more = watch.outcome.as_ref().unwrap().second_look;
    let first = world.tree(|tree| tree.finalized());
    assert!(more.blocks + look.blocks <= first && more.blocks + look.blocks > 1_400, "{more:?}");
}
