//! Nodes that leave the finalized chain, or are away: what halts, what goes on, and what is named.

use crate::{
    scenes::{MINUTE_MS, Scene, first},
    watching::Watch,
};
use event::{Flaw, NodeId};
use pipeline::{ChainView, WatchWatcher};
use sim::{Happening, Methods, Rule, Trouble, faults::Persona};
use std::sync::{Arc, Mutex};

/// Blocks below the head at which nodes leave: below what is final.
const DEPTH: u64 = 30;

/// These nodes are on another finalized branch for so long.
fn leave(names: &[&str], for_ms: u64) -> Happening {
    Happening::Part {
        nodes: names.iter().map(|name| NodeId::new(*name)).collect(),
        depth: DEPTH,
        is_secret: false,
        finalizes: true,
        for_ms,
    }
}

fn away(from_ms: u64, for_ms: u64) -> Persona {
    vec![Rule::on(Methods::ASKS, Trouble::Unreachable).during(from_ms, from_ms + for_ms)]
}

/// How often a node was named for another block than the final one.
fn incidents(watch: &Watch) -> usize {
    let told = watch.told(&[Flaw::FinalityConflict]);
    told.iter().filter(|told| told.contains(" is final as ")).count()
}

#[test]
fn f54_a_node_that_left_halts_nothing_while_the_others_are_away_for_a_moment() {
    let at_ms = 8 * MINUTE_MS;
    let watch = Scene {
        nodes: vec![Vec::new(), away(at_ms, 1_500), away(at_ms, 1_500)],
        script: vec![(5 * MINUTE_MS, leave(&["first"], 30 * MINUTE_MS))],
        ..Scene::of(Vec::new())
    }
    .play();
    assert_eq!(watch.outcome.as_ref().unwrap().halted, None, "one of three halts nothing");
    assert_eq!(watch.named(&[Flaw::FinalityConflict]), first());
    assert_eq!(incidents(&watch), 1, "once");
}

#[test]
fn f54_when_most_nodes_are_back_on_the_chain_nothing_of_it_is_missing() {
    let script = vec![(5 * MINUTE_MS, leave(&["first", "second"], 3 * MINUTE_MS))];
    let watch = Scene { script, ..Scene::of(Vec::new()) }.play();
    assert_eq!(watch.outcome.as_ref().unwrap().halted, None, "most are back");
    assert_eq!(incidents(&watch), 2, "each of them once");
}

#[test]
fn f54_the_only_node_comes_back_from_another_branch_and_nothing_is_missing() {
    let script = vec![(5 * MINUTE_MS, leave(&["first"], MINUTE_MS))];
    let scene = Scene { nodes: vec![Vec::new()], script, ..Scene::of(Vec::new()) };
    let watch = scene.play();
    assert_eq!(watch.outcome.as_ref().unwrap().halted, None, "it is back");
    assert_eq!(incidents(&watch), 1);
}

#[test]
fn f54_one_against_one_halts_in_words_that_name_both_and_recording_goes_on() {
    // From below what is final, and from above: then the ledger knows neither block to be final.
    [DEPTH, 2].into_iter().for_each(one_against_one);
}

fn one_against_one(depth: u64) {
    let Happening::Part { nodes, is_secret, finalizes, for_ms, .. } =
        leave(&["first"], 30 * MINUTE_MS)
    else {
        panic!()
    };
    let part = Happening::Part { nodes, depth, is_secret, finalizes, for_ms };
    let script = vec![(5 * MINUTE_MS, part)];
    let scene = Scene { nodes: vec![Vec::new(), Vec::new()], script, ..Scene::of(Vec::new()) };
    let watch = scene.live();
    let outcome = watch.outcome.as_ref().unwrap();
    assert!(outcome.halted.is_some(), "{outcome:?}");
    let told = watch.told(&[Flaw::FinalityConflict]);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("first") && told[0].contains("second"), "{told:?}");
    // What the one on the chain gives is recorded, and nothing of it is final.
    let head = outcome.head.unwrap().number;
    let highest = watch.store.look(|image| image.blocks.values().map(|b| b.number).max());
    assert!(highest >= Some(head), "{highest:?}, {head}");
}

/// Why promotion is halted, and why what is final stands still.
type Why = (Option<String>, Option<String>);

/// Hears why nothing becomes final, each time that changes.
#[derive(Clone, Default)]
struct Ears(Arc<Mutex<Vec<Why>>>);

impl WatchWatcher for Ears {
    fn on_view(&self, view: &ChainView) {
        let mut told = self.0.lock().unwrap();
        let now = (view.halted.clone(), view.standing.clone());
        if told.last().map_or(now != (None, None), |last| *last != now) {
            told.push(now);
        }
    }
}

#[test]
fn finality_that_waits_for_a_node_that_is_away_says_so_until_it_is_back() {
    let scene = Scene {
        nodes: vec![away(5 * MINUTE_MS, 8 * MINUTE_MS), Vec::new()],
        ..Scene::of(Vec::new())
    };
    let ears = Ears::default();
    let watch = scene.live_heard_by(Box::new(ears.clone()));
    watch.is_exact();
    let told = ears.0.lock().unwrap().clone();
    let [(None, Some(why)), (None, None)] = &told[..] else { panic!("{told:#?}") };
    assert!(why.contains("2 nodes must agree") && why.contains("first is away"), "{why}");
    assert_eq!(watch.outcome.as_ref().unwrap().standing, None);
}

#[test]
fn a_halt_is_told_once_and_so_is_its_end() {
    let script = vec![(5 * MINUTE_MS, leave(&["first", "second"], 3 * MINUTE_MS))];
    let scene = Scene { script, ..Scene::of(Vec::new()) };
    let ears = Ears::default();
    scene.live_heard_by(Box::new(ears.clone()));
    let told = ears.0.lock().unwrap().clone();
    let [(Some(why), None), (None, None)] = &told[..] else { panic!("{told:#?}") };
    assert!(why.contains("2 of 3 nodes") && why.contains("on the chain: third"), "{why}");
}

#[test]
fn what_is_held_while_the_only_node_is_on_another_branch_is_told_as_open() {
    let script = vec![(5 * MINUTE_MS, leave(&["first"], 30 * MINUTE_MS))];
    let scene = Scene { nodes: vec![Vec::new()], script, ..Scene::of(Vec::new()) };
    let watch = scene.live();
    let outcome = watch.outcome.as_ref().unwrap();
    assert!(outcome.halted.is_some(), "{outcome:?}");
    let (head, last) = (outcome.head.unwrap().number, outcome.open.last().unwrap().0.last());
    assert!(last > head + 30, "{last} is as far as the node, {head} is as far as was read");
}
