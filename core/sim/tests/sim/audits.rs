//! `audit` over a made-up chain with three nodes, of which one or two lie, at every level: what it
//! says of each block, whom it names, and what it comes to.

use crate::backfill::followed;
use alloy_primitives::B256;
use audit::{Finding, Kind, Status, Who};
use event::{
    AnchorPolicy, BatchBlock, BlockNumHash, BlockRange, ChainProfile, EventPage, Filter, Finality,
    LedgerError, Logs, Node, NodeId, Verify,
};
use pipeline::{AuditOutcome, AuditRequest, Progress, ReplayNode, Watcher, audit, greet};
use sim::{
    Methods, Rule, SimNode, Trouble, World, WorldSettings,
    chain::{Traffic, expected, wanted},
    faults::{Persona, loses_everything, pruned},
    run,
};
use std::sync::Arc;

/// Every virtual run ends long before this.
const LIMIT_MS: u64 = 3_600_000;
const FIRST: u64 = 1;
/// Below the finalized block.
const LAST: u64 = 40;
const LEVELS: [Verify; 4] = [Verify::Off, Verify::Bloom, Verify::Agree(2), Verify::Prove];

/// What a test does to the ledger's page.
type Spoiling = Box<dyn FnMut(&mut EventPage) + Send>;

struct Unheard;

impl Watcher for Unheard {
    fn on_progress(&self, _: &Progress) {}
}

fn range() -> BlockRange {
    BlockRange::new(FIRST, LAST).unwrap()
}

fn world() -> World {
    World::new(WorldSettings { block_time_ms: LIMIT_MS * 2, ..WorldSettings::of_seed(7) })
}

/// The height of a block in the middle that has `least` events or more.
fn busy(world: &World, least: usize) -> u64 {
    world.tree(|tree| {
        let filter = followed(2);
        (5..LAST - 1).find(|n| wanted(tree.at(*n).unwrap(), &filter).count() >= least).unwrap()
    })
}

fn events(world: &World) -> u64 {
    world.tree(|tree| expected(tree, &followed(2), range()).len() as u64)
}

/// What the ledger would have: the truth, for a test to spoil.
fn true_page(world: &World, range: BlockRange) -> EventPage {
    world.tree(|tree| {
        let mut page = EventPage { through: range.last(), ..EventPage::default() };
        for number in range.first()..=range.last() {
            let block = tree.at(number).unwrap();
            let (hash, parent, timestamp) = (block.hash, None, None);
            page.blocks.push(BatchBlock { number, hash, parent, timestamp });
            let at = page.blocks.len() as u32 - 1;
            wanted(block, &followed(2)).for_each(|log| page.logs.push_log(at, log));
        }
        page
    })
}

struct Scene {
    world: World,
    nodes: Vec<Arc<SimNode>>,
}

impl Scene {
    fn new(personas: Vec<Persona>) -> Self {
        Self::of(world(), personas)
    }

    fn of(world: World, personas: Vec<Persona>) -> Self {
        let names = ["a", "b", "c"];
        let nodes = names.iter().zip(personas).map(|(name, rules)| world.add_node(name, rules));
        Self { nodes: nodes.collect(), world }
    }

    fn audit(&self, require: Verify) -> AuditOutcome {
        self.audit_with(require, range(), None, None)
    }

    fn audit_with(
        &self,
        require: Verify,
        range: BlockRange,
        anchor: Option<AnchorPolicy>,
        mut spoil: Option<Spoiling>,
    ) -> AuditOutcome {
        let world = &self.world;
        let clock = world.clock();
        let profile = ChainProfile::ethereum(world.tree(|tree| tree.chain()));
        let has_ledger = spoil.is_some();
        let mut pages = |_: &Arc<Filter>, blocks: BlockRange| -> Result<EventPage, LedgerError> {
            let mut page = true_page(world, blocks);
            if let Some(spoil) = &mut spoil {
                spoil(&mut page);
            }
            Ok(page)
        };
        let audited = async {
            let mut nodes = Vec::new();
            for node in &self.nodes {
                let node: Arc<dyn Node> = node.clone();
                let greeting = greet(&*node, None, Finality::Tag, clock).await.unwrap();
                nodes.push(ReplayNode { node, status: greeting.status });
            }
            let request = AuditRequest {
                profile,
                filters: vec![followed(2)],
                range,
                require,
                anchor,
                nodes,
                concurrency: 2,
                events: Vec::new(),
            };
            let pages: Option<&mut pipeline::LedgerPages<'_>> =
                if has_ledger { Some(&mut pages) } else { None };
            let never = std::future::pending();
            let prover = Arc::new(proof::Proof);
            audit(request, prover, pages, None, clock, never, &Unheard).await.unwrap()
        };
        run(world, LIMIT_MS, audited).unwrap()
    }
}

fn honest() -> Persona {
    Vec::new()
}

fn lie(methods: Methods, trouble: Trouble, block: u64) -> Rule {
    Rule::on(methods, trouble).in_blocks(BlockRange::one(block))
}

fn status(outcome: &AuditOutcome) -> Status {
    outcome.verdict.status()
}

fn by(outcome: &AuditOutcome, node: &str, kind: Kind) -> Vec<Finding> {
    let who = Who::Node(NodeId::new(node));
    let all = outcome.verdict.findings.iter().filter(|f| f.who == who && f.kind == kind);
    all.cloned().collect()
}

/// All findings name this node alone, and the truth is what it is.
#[track_caller]
fn names_only(outcome: &AuditOutcome, node: &str, events: u64, what: &str) {
    let who = Who::Node(NodeId::new(node));
    let all = &outcome.verdict.findings;
    assert!(!all.is_empty() && all.iter().all(|f| f.who == who), "{what}: {all:?}");
    assert_eq!(outcome.verdict.filters[0].events, events, "{what}");
    assert_eq!(outcome.verdict.blocks(Status::Undecided), 0, "{what}");
}

#[test]
fn audit_of_honest_nodes_is_complete_at_every_level() {
    for require in LEVELS {
        let scene = Scene::new(vec![honest(), honest(), honest()]);
        let outcome = scene.audit(require);
        assert_eq!(status(&outcome), Status::Complete, "{require}: {outcome:?}");
        assert_eq!(outcome.verdict.filters[0].events, events(&scene.world), "{require}");
        assert_eq!(outcome.verdict.filters[0].spans.len(), 1, "{require}");
        assert_eq!(outcome.anchor.trusted().len(), 3);
    }
    let one = Scene::new(vec![honest()]);
    let outcome = one.audit(Verify::Prove);
    assert_eq!(status(&outcome), Status::Complete);
    assert_eq!(outcome.anchor.policy, Some(AnchorPolicy::OneNode));
    assert_eq!(outcome.verdict.last.unwrap().number, LAST);
}

/// Whoever of three drops logs, in whatever way, is named, at every level: two others differ.
#[test]
fn f25_f26_f28_audit_names_the_one_node_of_three_that_drops_logs_at_every_level() {
    let world = world();
    let block = busy(&world, 2);
    for (what, rule, lost) in [
        ("range only", lie(Methods::RANGE_LOGS, Trouble::NoLogs, block), 2),
        ("all modes", lie(Methods::LOGS, Trouble::NoLogs, block), 2),
        ("one of some", lie(Methods::LOGS, Trouble::LostLog, block), 1),
    ] {
        for liar in 0..3 {
            for require in LEVELS {
                let mut personas = vec![honest(), honest(), honest()];
                personas[liar] = vec![rule.clone()];
                let scene = Scene::new(personas);
                let outcome = scene.audit(require);
                let what = format!("{what}, liar {liar}, {require}");
                assert_eq!(status(&outcome), Status::Missing, "{what}");
                let name = ["a", "b", "c"][liar];
                names_only(&outcome, name, events(&scene.world), &what);
                let missing = by(&outcome, name, Kind::Missing);
                assert!(missing.len() >= lost, "{what}: {missing:?}");
                assert!(missing.iter().all(|f| f.block.number == block && f.log.is_some()));
            }
        }
    }
}

/// One node alone: what each level can see.
#[test]
fn f25_f26_f28_audit_through_one_node_sees_what_its_level_can_see_and_proof_sees_all() {
    let block = busy(&world(), 2);
    let level = |persona: Persona, require| status(&Scene::new(vec![persona]).audit(require));
    let range_only = vec![lie(Methods::RANGE_LOGS, Trouble::NoLogs, block)];
    let all_modes = vec![lie(Methods::LOGS, Trouble::NoLogs, block)];
    let partial = vec![lie(Methods::LOGS, Trouble::LostLog, block)];
    for persona in [&range_only, &all_modes, &partial] {
        assert_eq!(level(persona.clone(), Verify::Off), Status::Complete);
        assert_eq!(level(persona.clone(), Verify::Prove), Status::Missing);
    }
    assert_eq!(level(range_only, Verify::Bloom), Status::Missing);
    assert_eq!(level(all_modes, Verify::Bloom), Status::Missing);
    assert_eq!(level(partial, Verify::Bloom), Status::Complete);
}

#[test]
fn f26_two_nodes_that_drop_the_same_are_both_named_and_what_receipts_show_counts() {
    let block = busy(&world(), 2);
    let dropping = || vec![lie(Methods::LOGS, Trouble::NoLogs, block)];
    for require in LEVELS {
        let scene = Scene::new(vec![dropping(), dropping(), honest()]);
        let outcome = scene.audit(require);
        assert_eq!(status(&outcome), Status::Missing, "{require}");
        assert_eq!(outcome.verdict.filters[0].events, events(&scene.world), "{require}");
        for node in ["a", "b"] {
            assert!(by(&outcome, node, Kind::Missing).len() >= 2, "{require}, {node}");
        }
        assert!(by(&outcome, "c", Kind::Missing).is_empty());
    }
    // All three alike: only a bloom or receipts can tell.
    let scene = Scene::new(vec![dropping(), dropping(), dropping()]);
    assert_eq!(status(&scene.audit(Verify::Agree(2))), Status::Missing, "its doubt is the bloom's");
    assert_eq!(status(&scene.audit(Verify::Prove)), Status::Missing);
    assert_eq!(status(&scene.audit(Verify::Off)), Status::Complete);
}

#[test]
fn f27_f34_where_no_receipts_are_given_audit_is_undecided_and_never_complete() {
    let block = busy(&world(), 2);
    let withheld = |trouble: Trouble| {
        vec![
            lie(Methods::LOGS, Trouble::NoLogs, block),
            Rule::on(Methods::RECEIPTS, trouble).in_blocks(BlockRange::one(block)),
        ]
    };
    for trouble in [Trouble::NullReceipts, Trouble::EmptyReceipts, Trouble::ReceiptShort] {
        let personas = vec![withheld(trouble.clone()), withheld(trouble.clone())];
        let scene = Scene::new(personas);
        let outcome = scene.audit(Verify::Prove);
        assert_eq!(status(&outcome), Status::Undecided, "{trouble:?}");
        let spans = &outcome.verdict.filters[0].spans;
        let open: Vec<_> = spans.iter().filter(|s| s.status == Status::Undecided).collect();
        assert_eq!(open.len(), 1, "{trouble:?}: {spans:?}");
        assert_eq!(open[0].range, BlockRange::one(block));
        // The bloom of the block says that there is something, whatever both agree on.
        for require in [Verify::Bloom, Verify::Agree(2)] {
            assert_eq!(status(&scene.audit(require)), Status::Undecided, "{require} {trouble:?}");
        }
        assert!(open[0].reason.contains("a: ") && open[0].reason.contains("b: "), "{open:?}");
        // A third, honest one proves it; then who left it out is named.
        let scene = Scene::new(vec![withheld(trouble.clone()), withheld(trouble), honest()]);
        let outcome = scene.audit(Verify::Prove);
        assert_eq!(status(&outcome), Status::Missing);
        assert_eq!(outcome.verdict.blocks(Status::Undecided), 0);
        assert!(by(&outcome, "c", Kind::Missing).is_empty());
    }
}

#[test]
fn f44_where_the_receipts_of_all_nodes_fail_the_check_itself_is_suspected() {
    let traffic = Traffic { roots_recompute: false, ..Traffic::default() };
    let settings =
        WorldSettings { block_time_ms: LIMIT_MS * 2, traffic, ..WorldSettings::of_seed(7) };
    let scene = Scene::of(World::new(settings), vec![honest(), honest()]);
    let outcome = scene.audit(Verify::Prove);
    assert_eq!(status(&outcome), Status::Undecided);
    assert!(
        outcome.verdict.findings.is_empty(),
        "no node is blamed: {:?}",
        outcome.verdict.findings
    );
    let spans = &outcome.verdict.filters[0].spans;
    let open = spans.iter().find(|span| span.status == Status::Undecided).unwrap();
    assert!(open.reason.starts_with("the receipts of every node fail"), "{}", open.reason);
}

#[test]
fn a_range_of_several_windows_is_read_without_a_hole_or_an_overlap() {
    let settings = WorldSettings {
        block_time_ms: LIMIT_MS * 2,
        blocks_at_start: 2_300,
        ..WorldSettings::of_seed(7)
    };
    // The first window ends at block 2000.
    let around = BlockRange::new(1_997, 2_004).unwrap();
    let losing = vec![Rule::on(Methods::LOGS, Trouble::LostLog).in_blocks(around)];
    let scene = Scene::of(World::new(settings), vec![honest(), losing]);
    let range = BlockRange::new(1, 2_200).unwrap();
    let outcome = scene.audit_with(Verify::Prove, range, None, None);
    let all = |range| scene.world.tree(|tree| expected(tree, &followed(2), range));
    let mut lost: Vec<u64> = all(around).iter().map(|(number, _)| *number).collect();
    lost.dedup();
    let named: Vec<u64> =
        outcome.verdict.findings.iter().map(|finding| finding.block.number).collect();
    assert!(lost.len() > 1, "{lost:?}");
    assert_eq!(named, lost, "one log a block, and each is left out");
    let filter = &outcome.verdict.filters[0];
    assert_eq!(filter.events, all(range).len() as u64);
    assert_eq!(filter.blocks.values().sum::<u64>(), range.count());
    assert_eq!(outcome.verdict.blocks(Status::Undecided), 0);
    assert_eq!(
        (outcome.verdict.broken.clone(), outcome.verdict.last.unwrap().number),
        (None, 2_200)
    );
}

#[test]
fn f27_f40_wrong_receipts_of_one_node_are_named_where_another_proves_the_block() {
    let block = busy(&world(), 2);
    for trouble in [Trouble::EmptyReceipts, Trouble::ReceiptShort, Trouble::ReceiptsOfOtherBlock] {
        let rule = lie(Methods::RECEIPTS, trouble.clone(), block);
        let scene = Scene::new(vec![vec![rule], honest(), honest()]);
        let outcome = scene.audit(Verify::Prove);
        assert_eq!(status(&outcome), Status::Forged, "{trouble:?}");
        let named = by(&outcome, "a", Kind::Evidence);
        assert_eq!(named.len(), 1, "{named:?}");
        assert_eq!(named[0].block.number, block);
    }
}

#[test]
fn f81_audit_names_forged_altered_and_moved_logs() {
    let block = busy(&world(), 2);
    for (trouble, kind, worst) in [
        (Trouble::AddedLog, Kind::Forged, Status::Forged),
        (Trouble::RepeatedLogs, Kind::Forged, Status::Forged),
        (Trouble::AlteredLog, Kind::Altered, Status::Missing),
        (Trouble::MovedLog, Kind::Moved, Status::Missing),
    ] {
        for (require, alone) in
            [(Verify::Prove, true), (Verify::Prove, false), (Verify::Off, false)]
        {
            let lying = vec![lie(Methods::LOGS, trouble.clone(), block)];
            let personas = match alone {
                true => vec![lying],
                false => vec![honest(), lying, honest()],
            };
            let scene = Scene::new(personas);
            let outcome = scene.audit(require);
            let what = format!("{trouble:?} {require} alone {alone}");
            assert_eq!(status(&outcome), worst, "{what}");
            let name = if alone { "a" } else { "b" };
            names_only(&outcome, name, events(&scene.world), &what);
            let named = by(&outcome, name, kind);
            assert!(!named.is_empty(), "{what}: {:?}", outcome.verdict.findings);
            assert_eq!(named.len(), outcome.verdict.findings.len(), "{what}");
            assert!(named.iter().all(|f| f.block.number == block && f.log.is_some()), "{what}");
        }
    }
}

#[test]
fn f37_f46_what_differs_honestly_is_no_finding() {
    for trouble in [
        Trouble::LogIndexPerTransaction,
        Trouble::LogIndexShifted { by: 3 },
        Trouble::TimestampMissing,
    ] {
        for require in LEVELS {
            let odd = vec![Rule::on(Methods::LOGS, trouble.clone())];
            let scene = Scene::new(vec![odd, honest(), honest()]);
            let outcome = scene.audit(require);
            assert_eq!(status(&outcome), Status::Complete, "{trouble:?} {require}: {outcome:?}");
            assert_eq!(outcome.verdict.filters[0].events, events(&scene.world));
        }
    }
}

#[test]
fn f38_logs_that_were_not_asked_for_are_named() {
    let block = world().tree(|tree| {
        let filter = followed(2);
        let is_mixed = |block: &sim::chain::Block| {
            let wanted = wanted(block, &filter).count();
            wanted > 0 && block.logs().count() > wanted
        };
        (5..LAST).find(|number| is_mixed(tree.at(*number).unwrap())).unwrap()
    });
    let odd = vec![lie(Methods::LOGS, Trouble::UnaskedLogs, block)];
    let outcome = Scene::new(vec![odd, honest()]).audit(Verify::Prove);
    assert_eq!(status(&outcome), Status::Forged);
    assert!(!by(&outcome, "a", Kind::Foreign).is_empty(), "{:?}", outcome.verdict.findings);
}

#[test]
fn f34_f83_a_pruned_node_is_named_and_where_all_are_pruned_nothing_is_claimed() {
    let gone = || pruned(LAST + 1);
    for require in LEVELS {
        let outcome = Scene::new(vec![gone(), honest(), honest()]).audit(require);
        assert_eq!(status(&outcome), Status::Missing, "{require}");
        assert_eq!(outcome.verdict.blocks(Status::Undecided), 0, "{require}");
    }
    let outcome = Scene::new(vec![gone(), gone()]).audit(Verify::Prove);
    assert_eq!(status(&outcome), Status::Undecided);
    let outcome = Scene::new(vec![gone()]).audit(Verify::Bloom);
    assert_eq!(status(&outcome), Status::Undecided);
}

#[test]
fn f27_a_range_lost_in_logs_and_receipts_by_all_nodes_is_undecided() {
    let lost = || loses_everything(range());
    let outcome = Scene::new(vec![lost(), lost()]).audit(Verify::Prove);
    assert_eq!(status(&outcome), Status::Undecided);
}

#[test]
fn f41_a_zeroed_bloom_is_no_proof_that_a_block_is_empty() {
    let block = busy(&world(), 1);
    let headers = Methods::HEADERS.and(Methods::HASH_HEADERS);
    let lying = || {
        vec![lie(headers, Trouble::ZeroBloom, block), lie(Methods::LOGS, Trouble::NoLogs, block)]
    };
    assert_eq!(status(&Scene::new(vec![lying()]).audit(Verify::Prove)), Status::Undecided);
    let outcome = Scene::new(vec![lying(), honest(), honest()]).audit(Verify::Prove);
    assert_eq!(status(&outcome), Status::Missing);
    assert_eq!(outcome.verdict.blocks(Status::Undecided), 0);
}

#[test]
fn a_range_beyond_the_head_is_undecided_there_and_only_there() {
    let scene = Scene::new(vec![honest(), honest()]);
    let head = scene.world.tree(|tree| tree.head().number);
    let outcome =
        scene.audit_with(Verify::Prove, BlockRange::new(1, head + 5).unwrap(), None, None);
    assert_eq!(status(&outcome), Status::Undecided);
    assert_eq!(outcome.verdict.blocks(Status::Undecided), 5);
    assert_eq!(outcome.head, Some(head));
    let beyond = BlockRange::new(head + 1, head + 5).unwrap();
    let outcome = scene.audit_with(Verify::Off, beyond, None, None);
    assert_eq!(outcome.verdict.blocks(Status::Undecided), 5);
}

#[test]
fn f42_headers_that_do_not_lead_to_the_block_one_knows_show_nothing() {
    let scene = Scene::new(vec![honest(), honest()]);
    let right = scene.world.tree(|tree| tree.at(30).unwrap().id());
    let anchored = |hash: B256| {
        let anchor = AnchorPolicy::Checkpoint(BlockNumHash { number: 30, hash });
        scene.audit_with(Verify::Prove, range(), Some(anchor), None)
    };
    assert_eq!(status(&anchored(right.hash)), Status::Complete);
    let wrong = anchored(B256::repeat_byte(9));
    assert_eq!(status(&wrong), Status::Undecided);
    let reason = &wrong.verdict.filters[0].spans[0].reason;
    assert!(reason.contains("no node has block 30"), "{reason}");
    // Two that must agree, and one that answers.
    let alone = Scene::new(vec![honest()]);
    let outcome = alone.audit_with(Verify::Prove, range(), Some(AnchorPolicy::Agreed(2)), None);
    assert_eq!(status(&outcome), Status::Undecided);
}

fn reason(outcome: &AuditOutcome) -> &str {
    &outcome.verdict.filters[0].spans[0].reason
}

#[test]
fn f49_a_header_that_does_not_give_its_hash_is_no_anchor_and_names_its_node() {
    let wrong = || vec![lie(Methods::HEADERS, Trouble::WrongHash, LAST)];
    for require in [Verify::Bloom, Verify::Agree(2), Verify::Prove] {
        // Two alike are more than the honest one.
        let outcome = Scene::new(vec![wrong(), wrong(), honest()]).audit(require);
        let named: Vec<String> =
            outcome.verdict.findings.iter().map(|finding| finding.who.to_string()).collect();
        assert_eq!(named, ["a", "b"], "{require}: {:?}", outcome.verdict.findings);
        assert!(outcome.verdict.findings.iter().all(|f| f.kind == Kind::Evidence));
        assert_eq!(outcome.verdict.blocks(Status::Undecided), LAST, "only one gave a header");
        let outcome = Scene::new(vec![honest(), wrong(), honest()]).audit(require);
        assert_eq!(by(&outcome, "b", Kind::Evidence).len(), 1, "{require}");
        assert_eq!(outcome.verdict.findings.len(), 1, "{require}");
        assert_eq!(outcome.verdict.blocks(Status::Complete), LAST, "{require}");
        // What all do may be the chain's way.
        for alike in [vec![wrong(), wrong()], vec![wrong()]] {
            let outcome = Scene::new(alike).audit(require);
            assert_eq!(status(&outcome), Status::Undecided, "{require}");
            assert!(outcome.verdict.findings.is_empty(), "{:?}", outcome.verdict.findings);
            assert!(reason(&outcome).contains("header-hash"), "{}", reason(&outcome));
        }
    }
    // At this level no header is checked, and nobody is named for one.
    let outcome = Scene::new(vec![wrong(), wrong(), honest()]).audit(Verify::Off);
    assert_eq!(status(&outcome), Status::Undecided);
}

#[test]
fn where_whole_headers_differ_nobody_is_named_and_only_a_known_block_decides() {
    let other = || vec![lie(Methods::HEADERS, Trouble::OtherHeader, LAST)];
    for personas in [
        vec![other(), other(), honest()],
        vec![honest(), other(), honest()],
        vec![other(), honest()],
    ] {
        for require in LEVELS {
            let outcome = Scene::new(personas.clone()).audit(require);
            assert_eq!(status(&outcome), Status::Undecided, "{require}: {outcome:?}");
            assert!(outcome.verdict.findings.is_empty(), "{:?}", outcome.verdict.findings);
            assert!(reason(&outcome).contains("--anchor"), "{}", reason(&outcome));
        }
    }
    let scene = Scene::new(vec![other(), other(), honest()]);
    let known = scene.world.tree(|tree| tree.at(LAST).unwrap().id());
    let anchor = Some(AnchorPolicy::Checkpoint(known));
    let outcome = scene.audit_with(Verify::Prove, range(), anchor, None);
    let named: Vec<_> =
        outcome.verdict.findings.iter().map(|f| (f.who.to_string(), f.kind)).collect();
    assert_eq!(named, [("a".to_owned(), Kind::Branch), ("b".to_owned(), Kind::Branch)]);
    assert_eq!(outcome.verdict.blocks(Status::Complete), LAST);
}

#[test]
fn f49_headers_that_a_node_does_not_give_are_had_from_the_next_at_every_level() {
    let without = || vec![lie(Methods::HEADERS, Trouble::NullBlock, 20)];
    for require in LEVELS {
        let outcome = Scene::new(vec![without(), honest(), honest()]).audit(require);
        assert_eq!(status(&outcome), Status::Complete, "{require}: {outcome:?}");
        assert_eq!(outcome.verdict.broken.is_some(), require == Verify::Off, "{require}");
    }
    // Who does not have a block does not agree on what is in it, also where nothing is.
    let outcome = Scene::new(vec![without(), without(), honest()]).audit(Verify::Agree(2));
    assert_eq!(status(&outcome), Status::Undecided, "{outcome:?}");
}

#[test]
fn a_node_that_never_answers_for_logs_is_named_and_does_not_agree() {
    for trouble in [
        Trouble::Dropped,
        Trouble::Malformed,
        Trouble::MethodMissing,
        Trouble::TimesOut { after_ms: 30_000 },
        Trouble::RateLimited { retry_after_ms: None },
    ] {
        let silent = || vec![Rule::on(Methods::LOGS, trouble.clone())];
        let unheard = |outcome: &AuditOutcome| -> Vec<(String, u64)> {
            let all = outcome.verdict.unheard.iter();
            assert!(all.clone().all(|(_, unheard)| unheard.reason.starts_with("eth_getLogs: ")));
            all.map(|(node, unheard)| (node.to_string(), unheard.blocks)).collect()
        };
        for (at, name) in ["a", "b", "c"].into_iter().enumerate() {
            let mut personas = vec![honest(), honest(), honest()];
            personas[at] = silent();
            for require in LEVELS {
                let outcome = Scene::new(personas.clone()).audit(require);
                let what = format!("{trouble:?} {name} {require}");
                assert_eq!(status(&outcome), Status::Complete, "{what}: {outcome:?}");
                assert_eq!(unheard(&outcome), [(name.to_owned(), LAST)], "{what}");
            }
        }
        for (require, expected) in
            [(Verify::Agree(2), Status::Undecided), (Verify::Prove, Status::Complete)]
        {
            let outcome = Scene::new(vec![honest(), silent()]).audit(require);
            assert_eq!(status(&outcome), expected, "{trouble:?} {require}");
            assert_eq!(unheard(&outcome), [("b".to_owned(), LAST)]);
        }
    }
    // Receipts tell of logs, and not what the node answers where programs ask.
    let refused = Rule::on(Methods::RANGE_LOGS, Trouble::RangeRefused { width_max: 0 });
    let mute = vec![refused, Rule::on(Methods::HASH_LOGS, Trouble::MethodMissing)];
    let outcome = Scene::new(vec![honest(), mute]).audit(Verify::Prove);
    assert_eq!(status(&outcome), Status::Complete);
    assert_eq!(outcome.verdict.unheard[&NodeId::new("b")].blocks, LAST);
    let outcome = Scene::new(vec![honest(), honest()]).audit(Verify::Prove);
    assert!(outcome.verdict.unheard.is_empty());
}

#[test]
fn a_node_that_refuses_most_is_read_around_and_nothing_is_held_against_it() {
    let refusing = vec![
        Rule::on(Methods::RECEIPTS, Trouble::MethodMissing),
        Rule::on(Methods::RANGE_LOGS, Trouble::RangeRefused { width_max: 3 }),
    ];
    let scene = Scene::new(vec![refusing, honest(), honest()]);
    let outcome = scene.audit(Verify::Prove);
    assert_eq!(status(&outcome), Status::Complete, "{outcome:?}");
}

/// A page of the ledger with row `at` taken out, or changed by `change`.
fn without(page: &mut EventPage, at: usize) {
    let keep: Vec<bool> = (0..page.logs.len()).map(|row| row != at).collect();
    page.logs = page.logs.filtered(&keep);
}

#[test]
fn what_the_ledger_lacks_or_has_too_much_is_named_at_every_level() {
    type Spoil = fn(&mut EventPage);
    let lacking: Spoil = |page| without(page, 3);
    let doubled: Spoil = |page| {
        let all = page.logs.clone();
        page.logs.push(all.row(3));
    };
    let altered: Spoil = |page| {
        let end = page.logs.data_offsets[4] as usize;
        page.logs.data[end - 1] ^= 1;
    };
    let empty: Spoil = |page| page.logs = Logs::default();
    for (spoil, kind, worst) in [
        (lacking, Kind::Missing, Status::Missing),
        (doubled, Kind::Forged, Status::Forged),
        (altered, Kind::Altered, Status::Missing),
        (empty, Kind::Missing, Status::Missing),
    ] {
        for require in LEVELS {
            let scene = Scene::new(vec![honest(), honest()]);
            let outcome = scene.audit_with(require, range(), None, Some(Box::new(spoil)));
            assert_eq!(status(&outcome), worst, "{kind} {require}");
            let all = &outcome.verdict.findings;
            assert!(all.iter().all(|f| f.who == Who::Ledger && f.kind == kind), "{all:?}");
            assert_eq!(outcome.verdict.filters[0].events, events(&scene.world));
        }
    }
    let scene = Scene::new(vec![honest(), honest()]);
    let outcome = scene.audit_with(Verify::Prove, range(), None, Some(Box::new(|_| {})));
    assert_eq!(status(&outcome), Status::Complete);
}
