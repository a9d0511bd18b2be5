//! The guard against later rewrites: two chains, two nodes, every way in which a report can come
//! out of turn, and at the end rows, journal and plugin state exact.

#![allow(clippy::unwrap_used, reason = "tests")]

mod balances;
mod chain;
mod joined;
mod ledger;
mod script;
mod sending;

use alloy_primitives::B256;
use chain::{Block, Chain, fork};
use event::{ChainId, JournalRow, Op};
use ledger::{Bench, Row};
use script::{Step, replayed};

const ONE: ChainId = ChainId(1);
const TEN: ChainId = ChainId(10);

/// Chain one: A is final in the end; B parts from it above block 6.
fn chain_one() -> (Chain, Chain) {
    let a = Chain::grow(ONE, b'A', 12);
    let b = fork(&a, 6, b'B', 3);
    (a, b)
}

/// Chain ten: B parts from A above block 4.
fn chain_ten() -> (Chain, Chain) {
    let a = Chain::grow(TEN, b'A', 7);
    let b = fork(&a, 4, b'B', 3);
    (a, b)
}

/// Everything that happens, in order. `beta` counts log indexes per transaction.
fn everything() -> Vec<Step> {
    let (a1, b1) = chain_one();
    let (a10, b10) = chain_ten();
    vec![
        // Chunks out of order, of both chains by turns.
        Step::said("beta", &a1, 4, 6).finalized(2),
        Step::said("beta", &a10, 4, 6),
        // A node that keeps back one log of a block with others: no bloom can see that.
        Step::said("alpha", &a1, 1, 3).finalized(2).without(2),
        Step::said("alpha", &a10, 1, 3),
        Step::said("alpha", &a1, 7, 8).finalized(2).without(8),
        // A late event above what is final: a rewind.
        Step::said("beta", &a1, 7, 8).finalized(2),
        // The flip to B, and back in two reports of which the later one has the lower blocks.
        Step::said("beta", &b1, 7, 9).finalized(2),
        Step::said("beta", &b10, 5, 7),
        Step::said("alpha", &a1, 9, 10).finalized(2),
        Step::said("alpha", &a1, 7, 8).finalized(2).without(8),
        Step::said("beta", &a1, 7, 8).finalized(2),
        Step::said("alpha", &a10, 5, 7),
        Step::said("beta", &a10, 5, 6),
        // Finality moves on.
        Step::said("alpha", &a1, 11, 12).finalized(10),
        Step::said("beta", &a1, 9, 12).finalized(10),
        // A late event at a final block: the undo images are gone, the lane is rebuilt.
        Step::said("beta", &a1, 1, 3).finalized(10),
        // The same again: nothing.
        Step::said("beta", &a1, 1, 3).finalized(10),
        Step::said("alpha", &a10, 1, 7),
    ]
}

fn journal(rows: &[JournalRow]) -> Vec<(Op, u64, u64, u64)> {
    rows.iter().map(|row| (row.op, row.range.first(), row.range.last(), row.events)).collect()
}

/// Number of wanted logs of some blocks.
fn logs(blocks: &[&Block]) -> u64 {
    blocks.iter().map(|block| block.wanted().len() as u64).sum()
}

#[test]
fn rows_journal_and_plugin_state_are_exact_whatever_came_out_of_turn() {
    let (a1, b1) = chain_one();
    let (a10, b10) = chain_ten();
    let bench = replayed(&everything());

    // Events: what the blocks of the last chain hold, once, and nothing of the other branch.
    assert_eq!(bench.events(ONE), a1.expected());
    assert_eq!(bench.events(TEN), a10.expected());

    // Journal: every transition, in order, with its numbers.
    let of = |chain: &Chain, from, to| logs(&chain.blocks(from, to));
    let expected_one = [
        (Op::Extend, 4, 6, of(&a1, 4, 6)),
        (Op::Extend, 1, 3, of(&a1, 1, 3) - 1),
        (Op::Extend, 7, 8, of(&a1, 7, 8) - 1),
        (Op::Late, 8, 8, 1),
        (Op::Revert, 8, 8, of(&a1, 8, 8)),
        (Op::Revert, 7, 7, of(&a1, 7, 7)),
        (Op::Extend, 7, 9, of(&b1, 7, 9)),
        (Op::Revert, 9, 9, of(&b1, 9, 9)),
        (Op::Revert, 8, 8, of(&b1, 8, 8)),
        (Op::Revert, 7, 7, of(&b1, 7, 7)),
        (Op::Extend, 9, 10, of(&a1, 9, 10)),
        (Op::Reinstate, 7, 7, of(&a1, 7, 7)),
        (Op::Reinstate, 8, 8, of(&a1, 8, 8)),
        (Op::Extend, 7, 8, 0),
        (Op::Extend, 11, 12, of(&a1, 11, 12)),
        (Op::Late, 2, 2, 1),
    ];
    let rows_one = bench.journal(ONE);
    assert_eq!(journal(&rows_one), expected_one);
    let expected_ten = [
        (Op::Extend, 4, 6, of(&a10, 4, 6)),
        (Op::Extend, 1, 3, of(&a10, 1, 3)),
        (Op::Revert, 6, 6, of(&a10, 6, 6)),
        (Op::Revert, 5, 5, of(&a10, 5, 5)),
        (Op::Extend, 5, 7, of(&b10, 5, 7)),
        (Op::Revert, 7, 7, of(&b10, 7, 7)),
        (Op::Revert, 6, 6, of(&b10, 6, 6)),
        (Op::Revert, 5, 5, of(&b10, 5, 5)),
        (Op::Reinstate, 5, 5, of(&a10, 5, 5)),
        (Op::Reinstate, 6, 6, of(&a10, 6, 6)),
        (Op::Extend, 5, 7, of(&a10, 7, 7)),
    ];
    let rows_ten = bench.journal(TEN);
    assert_eq!(journal(&rows_ten), expected_ten);
    let mut numbers: Vec<u64> = rows_one.iter().chain(&rows_ten).map(|row| row.seq).collect();
    numbers.sort_unstable();
    assert!(numbers.iter().copied().eq(1..=numbers.len() as u64), "one count for both chains");
    let hashes: Vec<B256> = rows_one.iter().filter_map(|row| row.block_hash).collect();
    let at = |chain: &Chain, number| chain.block(number).hash;
    let expected =
        [at(&a1, 8), at(&a1, 7), at(&b1, 9), at(&b1, 8), at(&b1, 7), at(&a1, 7), at(&a1, 8)];
    assert_eq!(hashes, expected);

    // Coverage: whole, with exactly the nodes that said so on this branch. Both nodes' word for a
    // hash counts where its height was not final yet when the second one came.
    let whole = |ranges: &[(u64, u64, &str, &str)]| -> Vec<Row> {
        let words = |(a, b, anchor, nodes): &(u64, u64, &str, &str)| {
            vec![a.to_string(), b.to_string(), "bloom".into(), (*anchor).into(), (*nodes).into()]
        };
        ranges.iter().map(words).collect()
    };
    let (alpha, beta, both) = ("alpha", "beta", "alpha,beta");
    let (one, two) = ("one-node", "agreed:2");
    assert_eq!(
        bench.coverage(ONE),
        whole(&[
            (1, 3, one, both),
            (4, 6, one, beta),
            (7, 8, two, both),
            (9, 10, one, both),
            (11, 12, two, both)
        ])
    );
    assert_eq!(
        bench.coverage(TEN),
        whole(&[(1, 3, one, alpha), (4, 6, two, both), (7, 7, one, alpha)])
    );

    // Plugin: state and rows are those of the transfers themselves.
    for chain in [&a1, &a10] {
        let balances = chain.balances();
        assert_eq!(bench.balances(chain.id), balances, "rows of chain {}", chain.id);
        assert_eq!(bench.state(chain.id), balances, "state of chain {}", chain.id);
        assert_eq!(bench.moves(chain.id), chain.moves(), "appended rows of chain {}", chain.id);
    }
    bench.is_sound();
}

#[test]
fn a_process_per_report_leaves_the_ledger_of_one_process() {
    let undisturbed = replayed(&everything());
    let mut bench = Bench::new();
    for step in everything() {
        bench.take(&step);
        bench.run_lanes();
        bench = bench.restarted();
    }
    assert_eq!(bench.journal(ONE), undisturbed.journal(ONE));
    assert_eq!(bench.journal(TEN), undisturbed.journal(TEN));
    assert_eq!(bench.digest(), undisturbed.digest());
}

#[test]
fn only_who_saw_the_left_branch_tells_it_from_a_ledger_that_never_saw_it() {
    // The same reports without the flip: provenance is the same but for the left branch.
    let (_, b1) = chain_one();
    let (_, b10) = chain_ten();
    let steps = everything();
    let straight: Vec<Step> = steps.iter().filter(|step| !step.is_on(b'B')).cloned().collect();
    assert_eq!(straight.len(), steps.len() - 2);
    let (flipped, straight) = (replayed(&steps), replayed(&straight));
    let left: Vec<B256> = b1.blocks(7, 9).iter().chain(&b10.blocks(5, 7)).map(|b| b.hash).collect();
    let (mut said, plain) = (flipped.digested(), straight.digested());
    let sightings = said.get_mut("sightings").unwrap();
    let before = sightings.len();
    sightings.retain(|row| !left.iter().any(|hash| row.contains(&format!("{hash:x}"))));
    assert_eq!(sightings.len(), before - left.len());
    for (part, rows) in &plain {
        assert_eq!(&said[part], rows, "{part}");
    }
    assert_ne!(
        flipped.digest(),
        straight.digest(),
        "the digest covers the left branch's sightings"
    );
}

#[test]
fn lanes_that_never_looked_until_the_end_come_to_the_same_rows() {
    let stepped = replayed(&everything());
    let mut bench = Bench::new();
    for step in everything() {
        bench.take(&step);
    }
    bench.run_lanes();
    for chain in [ONE, TEN] {
        assert_eq!(bench.balances(chain), stepped.balances(chain));
        assert_eq!(bench.moves(chain), stepped.moves(chain));
        assert_eq!(bench.state(chain), stepped.state(chain));
    }
    assert_eq!(bench.digest(), stepped.digest());
}

/// A lane that comes while reports are gathered is told of no block whose events it cannot read.
#[test]
fn a_lane_that_starts_among_reports_is_told_only_of_what_is_in_the_file() {
    let (a, _) = chain_one();
    let mut bench = Bench::new();
    let through = bench.lane_among(&Step::said("beta", &a, 1, 6).finalized(6));
    assert_eq!(through, (Some(6), a.blocks(1, 6).iter().map(|b| b.wanted().len()).sum()));
}

/// More events than are held in memory go into a transaction that stays open. A lane that commits
/// meanwhile waits for its end, and all is as if every report had been a transaction of its own.
#[test]
fn a_transaction_that_is_staged_comes_to_the_same_ledger_and_a_lane_waits_for_its_end() {
    let chain = Chain::grow(ONE, b'A', 3_000);
    let said = |first: u64| Step::said("alpha", &chain, first, first + 299).finalized(first + 299);
    let steps: Vec<Step> = (0..10).map(|part| said(part * 300 + 1)).collect();
    assert!(logs(&chain.blocks(301, 3_000)) > 10_000, "enough to be staged");
    let mut one_by_one = Bench::new();
    for step in &steps {
        one_by_one.take(step);
        one_by_one.run_lanes();
    }
    let mut staged = Bench::new();
    staged.take(&steps[0]);
    staged.hand_over(&steps[1..]);
    // What it is told of is in the file; its commit comes while the rest is in the open transaction.
    staged.run_lanes();
    let mut staged = staged.restarted();
    staged.run_lanes();
    assert_eq!(staged.events(ONE), one_by_one.events(ONE));
    assert_eq!(staged.balances(ONE), one_by_one.balances(ONE));
    assert_eq!(staged.moves(ONE), one_by_one.moves(ONE));
    assert_eq!(staged.digest(), one_by_one.digest());
}
