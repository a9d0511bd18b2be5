//! The oracle itself: it must see what it is there to see.

use crate::backfill::followed;
use event::*;
use sim::{
    Agreement, Image, MemoryStore, Oracle, account,
    chain::{Traffic, Tree, wanted, wanted_ids},
};
use std::sync::{Arc, Mutex};

const CHAIN: ChainId = ChainId(1);

fn tree() -> Tree {
    let mut tree = Tree::new(CHAIN, 21, Traffic { empty_per_mille: 0, ..Traffic::default() });
    tree.mine(12);
    tree
}

fn whole() -> BlockRange {
    BlockRange::new(1, 12).unwrap()
}

/// A commit that covers all blocks, with every event but the first `without` of its densest block.
fn covering(tree: &Tree, content: Content, without: usize) -> Commit {
    let filter = Arc::new(followed(3));
    let count = |number: &u64| wanted(tree.at(*number).unwrap(), &filter).count();
    let densest = (1..=12).max_by_key(count).unwrap();
    let (mut logs, mut occurrence, mut blocks) = (Logs::default(), Vec::new(), Vec::new());
    for number in 1..=12 {
        let block = tree.at(number).unwrap();
        let ids = wanted_ids(CHAIN, block, &filter);
        let skip = if number == densest { without } else { 0 };
        for (log, id) in wanted(block, &filter).zip(ids).skip(skip) {
            logs.push_log(blocks.len() as u32, log);
            occurrence.push(id.occurrence);
        }
        blocks.push((number, block.hash));
    }
    let at = |number| tree.at(number).unwrap();
    let (first_parent, last_hash) = (at(1).header.parent_hash, at(12).hash);
    let interval = Interval {
        range: whole(),
        evidence: Evidence { content, anchor: Anchor::OneNode },
        nodes: vec![NodeId::new("a")],
        links: Some(Links { first_parent, last_hash }),
    };
    let extend = JournalRow {
        seq: 1,
        chain: CHAIN,
        op: Op::Extend,
        filter: Some(filter.id()),
        range: whole(),
        block_hash: None,
        events: logs.len() as u64,
    };
    let mut commit = Commit::empty(CHAIN);
    commit.events = vec![EventBatch { blocks, logs, occurrence, journal_seq: 1, typed: vec![] }];
    commit.journal = vec![extend];
    commit.coverage = vec![CoverageChange { filter, range: whole(), intervals: vec![interval] }];
    commit
}

/// Returns which invariants these transactions break, and what the ledger became.
fn broken(tree: &Tree, agreement: Agreement, commits: &[Commit]) -> (Vec<&'static str>, Image) {
    let oracle = Arc::new(Mutex::new(Oracle::new(CHAIN, agreement)));
    let mut store = MemoryStore::new();
    let (watching, watched) = (oracle.clone(), tree.clone());
    store.on_apply(Box::new(move |commits, image| {
        watching.lock().unwrap().on_apply(commits, image, &watched);
    }));
    for commit in commits {
        store.apply(std::slice::from_ref(commit)).unwrap();
    }
    let mut broken: Vec<&str> =
        oracle.lock().unwrap().violations().iter().map(|violation| violation.invariant).collect();
    broken.dedup();
    (broken, store.look(Clone::clone))
}

#[test]
fn a_claim_that_hides_a_loss_is_seen_as_far_as_the_level_promises() {
    let tree = tree();
    let broken = |content, agreement, without| {
        broken(&tree, agreement, &[covering(&tree, content, without)]).0
    };
    let (honest, blind) = (Agreement::HoldsHonest, Agreement::MayBeBlind);
    let i5 = ["I5 coverage honest"];
    assert_eq!(broken(Content::Receipts, honest, 0), [] as [&str; 0]);
    assert_eq!(broken(Content::Receipts, honest, 1), i5);
    assert_eq!(broken(Content::Agreed(2), honest, 1), i5);
    assert_eq!(broken(Content::Agreed(2), blind, 1), [] as [&str; 0], "F43");
    assert_eq!(broken(Content::Bloom, honest, 1), [] as [&str; 0], "a bloom hides partial loss");
    assert_eq!(broken(Content::Bloom, honest, 99), i5, "and no total loss");
    assert_eq!(broken(Content::Claimed, honest, 99), [] as [&str; 0]);
}

#[test]
fn a_claim_for_a_branch_that_never_was_is_seen() {
    let tree = tree();
    let mut commit = covering(&tree, Content::Receipts, 0);
    let links = &mut commit.coverage[0].intervals[0].links;
    *links = links.map(|links| Links { last_hash: links.first_parent, ..links });
    assert_eq!(broken(&tree, Agreement::HoldsHonest, &[commit]).0, ["I5 coverage honest"]);
}

#[test]
fn an_event_stored_twice_and_a_true_one_refuted_are_seen() {
    let tree = tree();
    let commit = covering(&tree, Content::Claimed, 0);
    let mut again = commit.clone();
    again.journal[0].seq = 2;
    assert_eq!(broken(&tree, Agreement::HoldsHonest, &[commit.clone(), again]).0, ["I3 dedup"]);
    let mut refuting = Commit::empty(CHAIN);
    let block = (1..=12).map(|n| tree.at(n).unwrap()).find(|b| b.logs().count() > 0).unwrap();
    refuting.refuted = wanted_ids(CHAIN, block, &Filter::any());
    let (broken, _) = broken(&tree, Agreement::HoldsHonest, &[commit, refuting]);
    assert_eq!(broken, ["I6 replace-not-delete"]);
}

#[test]
fn a_journal_out_of_order_and_a_block_that_leaves_without_a_word_are_seen() {
    let tree = tree();
    let revert = |seq, number: u64| JournalRow {
        seq,
        chain: CHAIN,
        op: Op::Revert,
        filter: None,
        range: BlockRange::one(number),
        block_hash: Some(tree.at(number).unwrap().hash),
        events: 0,
    };
    let row = |number: u64, canonical| {
        let hash = tree.at(number).unwrap().hash;
        BlockRow { number, hash, parent: None, timestamp: None, canonical }
    };
    let mut rising = Commit::empty(CHAIN);
    rising.journal = vec![revert(1, 5), revert(2, 6)];
    let of = |commit: Commit| broken(&tree, Agreement::HoldsHonest, &[commit]).0;
    assert_eq!(of(rising), ["I7 order"], "the newest block is reverted first");
    let mut silent = Commit::empty(CHAIN);
    silent.blocks = vec![row(5, true), row(5, false)];
    assert_eq!(of(silent), ["I6 replace-not-delete"]);
    let mut told = Commit::empty(CHAIN);
    told.blocks = vec![row(6, true), row(5, true), row(6, false), row(5, false)];
    told.journal = vec![revert(1, 6), revert(2, 5)];
    assert_eq!(of(told.clone()), [] as [&str; 0]);
    let mut last = Commit::empty(CHAIN);
    last.finalized = Some(5);
    let final_one = broken(&tree, Agreement::HoldsHonest, &[last, told]).0;
    assert_eq!(final_one, ["I13 halt"], "a final block is never reverted");
}

#[test]
fn the_account_tells_lost_from_unexpected_and_duplicated() {
    let mut tree = tree();
    let (_, mut image) =
        broken(&tree, Agreement::HoldsHonest, &[covering(&tree, Content::Bloom, 2)]);
    let filters = [followed(3)];
    let short = account(&image, &tree, &filters, whole());
    assert_eq!((short.lost.len(), short.unexpected.len(), short.duplicated.len()), (2, 0, 0));
    let twice = image.events[0].clone();
    image.events.push(twice);
    assert_eq!(account(&image, &tree, &filters, whole()).duplicated.len(), 1);
    tree.fork(12, 1);
    let forked = account(&image, &tree, &filters, whole());
    assert!(forked.unexpected.len() > 2 && !forked.is_balanced());
    assert_eq!(forked.problems().len(), 3);
}
