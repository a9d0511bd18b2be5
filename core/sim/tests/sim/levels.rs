//! What `replay` demands before it calls a block read: the word of several nodes, or receipts for a
//! sample of the blocks.

use crate::spread::{Scene, honest, world};
use event::{BlockRange, Content, Flaw, Verify};
use sim::{Methods, Rule, SimNode, Trouble, World, WorldSettings, chain::Traffic, faults::Persona};
use std::{collections::BTreeSet, sync::Arc};

/// More than one window of blocks that are read through all nodes before the next.
const BLOCKS: u64 = 2_300;

fn scene(blocks: u64, verify: &str) -> Scene {
    Scene { verify: verify.parse().unwrap(), ..Scene::new(world(blocks), blocks) }
}

/// What the ledger knows of each block of the range, from the first on.
fn contents(scene: &Scene) -> Vec<Option<Content>> {
    let mut contents = vec![None; scene.range.count() as usize];
    scene.store.look(|image| {
        for interval in image.coverage.values().flat_map(|intervals| intervals.values()) {
            let Some(range) = interval.range.intersection(&scene.range) else { continue };
            for number in range.first()..=range.last() {
                let at = (number - scene.range.first()) as usize;
                contents[at] = contents[at].max(Some(interval.evidence.content));
            }
        }
    });
    contents
}

fn blamed(outcome: &pipeline::ReplayOutcome) -> BTreeSet<(String, Flaw)> {
    outcome.told.iter().map(|told| (told.node.to_string(), told.flaw)).collect()
}

fn events(scene: &Scene) -> usize {
    scene.store.look(|image| image.events.iter().filter(|e| image.is_canonical(e)).count())
}

#[test]
fn what_two_nodes_say_alike_is_agreed_and_what_one_says_alone_stays_open() {
    let both = scene(BLOCKS, "agree:2");
    let (outcome, _) = both.replay(&honest(&both.world, &["a", "b"]));
    assert!(outcome.open.is_empty() && outcome.told.is_empty(), "{outcome:?}");
    assert!(both.is_exact());
    assert!(contents(&both).iter().all(|content| *content == Some(Content::Agreed(2))));

    let alone = scene(BLOCKS, "agree:2");
    let mut nodes = honest(&alone.world, &["a"]);
    nodes.push(alone.world.add_node("gone", vec![Rule::on(Methods::LOGS, Trouble::Unreachable)]));
    let (outcome, _) = alone.replay(&nodes);
    assert!(!outcome.open.is_empty());
    assert_eq!(events(&alone), 0, "one word admits nothing");
    let open: u64 = outcome.open.iter().map(|(range, _)| range.count()).sum();
    let short = contents(&alone);
    let short = short.iter().filter(|content| content.is_none_or(|c| c < Content::Agreed(2)));
    assert_eq!(short.count() as u64, open);
    // The other one comes back: what was said before counts no less.
    nodes[1] = alone.world.add_node("back", Vec::new());
    let (outcome, _) = alone.replay(&nodes);
    assert!(outcome.open.is_empty() && alone.is_exact(), "{:?}", outcome.open);
}

/// Whether nobody gave a log of these blocks and a bloom admits one: only receipts tell, at every level.
fn is_empty_in_doubt((_, reason): &(BlockRange, String)) -> bool {
    reason.starts_with("the bloom admits the filter and nothing shows")
}

/// A node that leaves out a log, and others; all of them with these rules beside.
fn with_a_liar(scene: &Scene, others: &[&str], beside: &Persona) -> Vec<Arc<SimNode>> {
    let mut rules = beside.clone();
    rules.push(Rule::on(Methods::LOGS, Trouble::LostLog));
    let mut nodes = vec![scene.world.add_node("liar", rules)];
    nodes.extend(others.iter().map(|name| scene.world.add_node(name, beside.clone())));
    nodes
}

#[test]
fn f28_where_nodes_that_must_agree_differ_receipts_decide_and_name_the_liar() {
    let scene = scene(BLOCKS, "agree:2");
    let (outcome, _) = scene.replay(&with_a_liar(&scene, &["good"], &Vec::new()));
    assert!(outcome.open.is_empty() && scene.is_exact(), "{:?}", outcome.open);
    assert_eq!(blamed(&outcome), BTreeSet::from([("liar".to_owned(), Flaw::Missing)]));
}

#[test]
fn where_nobody_gives_receipts_a_log_enters_on_a_third_nodes_word_and_its_block_is_undecided() {
    let withheld = vec![Rule::on(Methods::RECEIPTS, Trouble::MethodMissing)];
    let two = scene(BLOCKS, "agree:2");
    let (outcome, _) = two.replay(&with_a_liar(&two, &["good"], &withheld));
    assert!(!outcome.open.iter().all(is_empty_in_doubt) && !two.is_exact());
    let three = scene(BLOCKS, "agree:2");
    let (outcome, _) = three.replay(&with_a_liar(&three, &["good", "better"], &withheld));
    assert!(outcome.open.iter().all(is_empty_in_doubt), "{:?}", outcome.open);
    // Two may have made it up alike: it waits for receipts all the same, and nobody is named.
    let truth = self::scene(BLOCKS, "agree:2");
    truth.replay(&honest(&truth.world, &["a", "b"]));
    assert_eq!((events(&three), outcome.told), (events(&truth), vec![]));
    assert!(!three.store.look(|image| image.candidates.is_empty()));
}

#[test]
fn of_a_sample_the_chosen_blocks_are_proved_and_the_others_checked_against_blooms() {
    let scene = scene(1_500, "prove:20%");
    let Verify::ProveSample(sample) = scene.verify else { panic!("a sample") };
    let (outcome, _) = scene.replay(&honest(&scene.world, &["a"]));
    assert!(outcome.open.is_empty() && scene.is_exact());
    for (number, content) in (scene.range.first()..).zip(contents(&scene)) {
        let expected = if sample.holds(number) { Content::Receipts } else { Content::Bloom };
        assert_eq!(content, Some(expected), "block {number}");
    }
    let (again, _) = scene.replay(&honest(&scene.world, &["b"]));
    assert_eq!((again.blocks_read, again.open.len()), (0, 0));
}

#[test]
fn f40_blocks_of_a_sample_that_no_receipts_prove_stay_open_and_no_others() {
    let scene = scene(1_500, "prove:20%");
    let Verify::ProveSample(sample) = scene.verify else { panic!("a sample") };
    let withheld = Rule::on(Methods::RECEIPTS, Trouble::MethodMissing);
    let (outcome, _) = scene.replay(&[scene.world.add_node("a", vec![withheld])]);
    assert!(!outcome.open.is_empty());
    let numbers = |range: &BlockRange| range.first()..=range.last();
    let is_of_the_sample = |open: &(BlockRange, String)| {
        numbers(&open.0).all(|number| sample.holds(number)) || is_empty_in_doubt(open)
    };
    assert!(outcome.open.iter().all(is_of_the_sample), "{:?}", outcome.open);
    assert!(!outcome.open.iter().all(is_empty_in_doubt));
    let (outcome, _) = scene.replay(&honest(&scene.world, &["b"]));
    assert!(outcome.open.is_empty() && scene.is_exact(), "{:?}", outcome.open);
}

#[test]
fn f28_a_log_left_out_of_a_block_of_the_sample_is_found_and_elsewhere_it_is_not() {
    let scene = scene(1_500, "prove:50%");
    let Verify::ProveSample(sample) = scene.verify else { panic!("a sample") };
    let (outcome, _) = scene.replay(&with_a_liar(&scene, &[], &Vec::new()));
    assert!(outcome.open.is_empty() && !scene.is_exact(), "half of the losses are seen");
    let missing: Vec<_> = outcome.told.iter().filter(|told| told.flaw == Flaw::Missing).collect();
    let in_sample = missing.iter().filter(|told| sample.holds(told.range.first())).count();
    assert!(in_sample > 0, "{:?}", outcome.told);
}

/// A chain whose receipts are hashed in another way, and two honest nodes.
fn scene_of_another_root() -> (Scene, Vec<Arc<SimNode>>) {
    let traffic = Traffic { roots_recompute: false, ..Traffic::default() };
    let settings = WorldSettings {
        traffic,
        blocks_at_start: 100,
        block_time_ms: u64::MAX / 4,
        ..WorldSettings::of_seed(7)
    };
    let scene = Scene { verify: Verify::Prove, ..Scene::new(World::new(settings), 50) };
    let nodes = honest(&scene.world, &["a", "b"]);
    (scene, nodes)
}

#[test]
fn f44_a_check_that_all_nodes_fail_in_a_replay_is_called_suspect_and_nothing_is_proved() {
    let (scene, nodes) = scene_of_another_root();
    let (outcome, _) = scene.replay(&nodes);
    let suspect = "every node fails the check `receipts-root` here, which is itself suspect: ";
    assert!(!outcome.open.is_empty());
    assert!(outcome.open[0].1.starts_with(suspect), "{:?}", outcome.open[0]);
    // One node alone says nothing of the check.
    let (one, nodes) = scene_of_another_root();
    let (outcome, _) = one.replay(&nodes[..1]);
    assert!(outcome.open.iter().all(|(_, reason)| !reason.contains("suspect")));
}
