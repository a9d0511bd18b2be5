//! What a ledger covers, sorted by how well it is known. Asks no node.

use super::{
    Look,
    ledger::known_of,
    names::{Names, schemas},
};
use crate::{
    command_error::CommandError,
    config_file::Config,
    coverage_report::{ChainCoverage, CoverageReport, FilterCoverage, Known, Part},
};
use aggregator::Aggregator;
use event::{
    Anchor, BlockRange, BlockRanges, ChainId, ChainState, Content, Demand, Filter, Flaw, Interval,
    Value, Verify,
};
use std::{collections::BTreeMap, ops::ControlFlow};

/// Flaws of receipts that were to prove a block.
const UNPROVED: [Flaw; 3] = [Flaw::ReceiptsRoot, Flaw::ReceiptCount, Flaw::ReceiptBlock];

/// Reads the coverage of every chain; `config` has names that the user gave.
pub(crate) fn coverage(ledger: &mut Look, config: &Config) -> Result<CoverageReport, CommandError> {
    let names = Names::of(schemas(ledger)?, config);
    let mut chains = Vec::new();
    for chain in ledger.chains()? {
        let state = ledger.load(chain)?;
        let unproved = unproved(ledger, chain)?;
        let owed = Owed::of(chain, &state);
        let none = Vec::new();
        let covered = state.coverage.iter().map(|(filter, intervals)| (&**filter, intervals));
        // What was demanded and of which nothing is covered is told, too.
        let has_coverage = |filter: &Filter| state.coverage.iter().any(|(f, _)| **f == *filter);
        let demanded = owed.demands.iter().map(|demand| &demand.filter);
        let mut demanded: Vec<&Filter> = demanded.filter(|filter| !has_coverage(filter)).collect();
        demanded.dedup();
        let all = covered.chain(demanded.into_iter().map(|filter| (filter, &none)));
        let filters = all.filter_map(|(filter, intervals)| {
            let known = opened(parts(intervals, state.finalized), &owed.blocks(filter));
            let parts = tainted(known, &unproved);
            let (name, id) = (names.told(chain, filter), filter.id().to_string());
            (!parts.is_empty()).then_some(FilterCoverage { name, id, parts })
        });
        let filters = filters.collect();
        chains.push(ChainCoverage { chain: chain.0, finalized: state.finalized, filters });
    }
    Ok(CoverageReport::new(chains))
}

/// What is open although it is covered.
struct Owed {
    known: Aggregator,
    /// What was demanded and is missing still.
    demands: Vec<Demand>,
}

impl Owed {
    fn of(chain: ChainId, state: &ChainState) -> Self {
        let known = known_of(chain, Verify::Off, state.clone());
        Self { demands: known.owed(), known }
    }

    /// Blocks of a filter of which more was demanded, or that nodes differ in.
    fn blocks(&self, filter: &Filter) -> BlockRanges {
        let all = BlockRange::new(0, u64::MAX);
        let mut blocks = all.map(|all| self.known.undecided(filter, all)).unwrap_or_default();
        let demands = self.demands.iter().filter(|demand| demand.filter == *filter);
        demands.flat_map(|demand| demand.blocks.iter()).for_each(|range| blocks.add(range));
        blocks
    }
}

/// Calls blocks open that are owed, whatever is known of them, and adds those of which nothing is.
fn opened(parts: Vec<Part>, owed: &BlockRanges) -> Vec<Part> {
    let told: BlockRanges = parts.iter().map(|part| part.range).collect();
    let mut opened: Vec<Part> = Vec::new();
    for part in parts {
        let own = owed.within(part.range);
        opened.extend(own.map(|range| Part { range, known: Known::Open, ..part.clone() }));
        let rest = owed.outside(part.range).into_iter();
        opened.extend(rest.map(|range| Part { range, ..part.clone() }));
    }
    opened.extend(owed.iter().flat_map(|range| told.outside(range)).map(open));
    opened.sort_by_key(|part| part.range.first());
    opened
}

/// Blocks for which receipts did not hold up, by the node that gave them.
type Unproved = BTreeMap<String, BlockRanges>;

/// Returns for which blocks receipts did not hold up, and whose.
fn unproved(ledger: &mut Look, chain: ChainId) -> Result<Unproved, CommandError> {
    let flaws: Vec<String> = UNPROVED.iter().map(|flaw| format!("'{flaw}'")).collect();
    let sql = format!(
        "SELECT DISTINCT first_block, last_block, node FROM main.incidents
            WHERE chain = {chain} AND flaw IN ({}) ORDER BY first_block, last_block, node",
        flaws.join(", ")
    );
    let mut found = Unproved::new();
    ledger.query(&sql, &mut |_, row| {
        if let [Value::Int(first), Value::Int(last), Value::Text(node)] = row.as_slice() {
            let ends = (u64::try_from(*first), u64::try_from(*last));
            if let (Ok(first), Ok(last)) = ends
                && let Some(range) = BlockRange::new(first, last)
            {
                found.entry(node.clone()).or_default().add(range);
            }
        }
        ControlFlow::Continue(())
    })?;
    Ok(found)
}

/// Returns what is known of every block from the first that is covered, without a hole.
fn parts(intervals: &[Interval], finalized: Option<u64>) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut next = intervals.first().map(|interval| interval.range.first());
    for interval in intervals {
        let before = interval.range.first().checked_sub(1);
        let hole = next.zip(before).and_then(|(first, last)| BlockRange::new(first, last));
        parts.extend(hole.map(open));
        parts.push(Part {
            range: interval.range,
            known: known(interval),
            content: Some(interval.evidence.content.to_string()),
            anchor: Some(interval.evidence.anchor.to_string()),
            nodes: interval.nodes.iter().map(ToString::to_string).collect(),
        });
        next = interval.range.last().checked_add(1);
    }
    let rest = next.zip(finalized).and_then(|(first, last)| BlockRange::new(first, last));
    parts.extend(rest.map(open));
    parts
}

/// Several nodes agree on a block also where each was read as bloom has it and they have the same hash.
fn known(interval: &Interval) -> Known {
    match (interval.evidence.content, interval.evidence.anchor) {
        (Content::Receipts, _) => Known::Proved,
        (Content::Agreed(_), _) => Known::Agreed,
        (Content::Bloom, Anchor::AgreedHash(_)) if interval.nodes.len() > 1 => Known::Agreed,
        (Content::Claimed | Content::Bloom, _) if interval.nodes.len() > 1 => Known::NotCompared,
        (Content::Claimed | Content::Bloom, _) => Known::SingleSource,
    }
}

fn open(range: BlockRange) -> Part {
    Part { range, known: Known::Open, content: None, anchor: None, nodes: Vec::new() }
}

/// Says where receipts did not hold up. What is proved is so whoever gave wrong ones, and what several nodes
/// agree on is settled without them, unless it is owed; nor is a block whose coverage rests on another node.
fn tainted(parts: Vec<Part>, unproved: &Unproved) -> Vec<Part> {
    let is_settled = |part: &Part| matches!(part.known, Known::Proved | Known::Agreed);
    let tainted = parts.into_iter().flat_map(|part| match is_settled(&part) {
        true => vec![part],
        false => {
            let bad = unproved_of(&part, unproved);
            cut(part, &bad)
        }
    });
    tainted.collect()
}

/// Returns what of a part is known only by nodes whose receipts did not hold up there; where it is known by
/// nobody, by any of them.
fn unproved_of(part: &Part, unproved: &Unproved) -> BlockRanges {
    if part.nodes.is_empty() {
        return unproved.values().flat_map(|ranges| ranges.within(part.range)).collect();
    }
    let of = |node: &String| unproved.get(node).cloned().unwrap_or_default();
    part.nodes.iter().map(of).fold(BlockRanges::from_iter([part.range]), |all, next| {
        all.iter().flat_map(|range| next.within(range)).collect()
    })
}

/// Cuts out what could not be proved.
fn cut(part: Part, unproved: &BlockRanges) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut rest = Some(part.range);
    for bad in unproved.iter() {
        let Some(range) = rest else { break };
        let Some(bad) = bad.intersection(&range) else { continue };
        let before = bad.first().checked_sub(1).and_then(|l| BlockRange::new(range.first(), l));
        parts.extend(before.map(|range| Part { range, ..part.clone() }));
        parts.push(Part { range: bad, known: Known::Unprovable, ..part.clone() });
        rest = bad.last().checked_add(1).and_then(|first| BlockRange::new(first, range.last()));
    }
    parts.extend(rest.map(|range| Part { range, ..part }));
    parts
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use event::{Evidence, NodeId};

    fn range(first: u64, last: u64) -> BlockRange {
        BlockRange::new(first, last).unwrap()
    }

    fn interval(range: BlockRange, content: Content) -> Interval {
        let evidence = Evidence { content, anchor: Anchor::OneNode };
        Interval { range, evidence, nodes: vec![NodeId::new("a")], links: None }
    }

    #[test]
    fn several_nodes_with_one_hash_are_not_a_single_source() {
        let one = interval(range(10, 19), Content::Bloom);
        let evidence = Evidence { content: Content::Bloom, anchor: Anchor::AgreedHash(3) };
        let nodes = vec![NodeId::new("a"), NodeId::new("b"), NodeId::new("c")];
        assert_eq!(known(&Interval { nodes: nodes.clone(), ..one.clone() }), Known::NotCompared);
        assert_eq!(known(&Interval { evidence, nodes, ..one.clone() }), Known::Agreed);
        assert_eq!(known(&Interval { evidence, ..one.clone() }), Known::SingleSource);
        assert_eq!(known(&one), Known::SingleSource);
    }

    #[test]
    fn what_is_owed_is_open_whatever_is_known_of_it() {
        let intervals = [interval(range(10, 19), Content::Bloom)];
        let owed: BlockRanges = [range(5, 6), range(12, 13), range(18, 25)].into_iter().collect();
        let found = opened(parts(&intervals, Some(21)), &owed);
        let found: Vec<(u64, u64, Known)> =
            found.iter().map(|part| (part.range.first(), part.range.last(), part.known)).collect();
        assert_eq!(
            found,
            [
                (5, 6, Known::Open),
                (10, 11, Known::SingleSource),
                (12, 13, Known::Open),
                (14, 17, Known::SingleSource),
                (18, 19, Known::Open),
                (20, 21, Known::Open),
                (22, 25, Known::Open),
            ]
        );
        assert_eq!(opened(parts(&[], None), &owed).len(), 3);
    }

    #[test]
    fn what_another_node_covers_is_not_unprovable_for_the_receipts_of_one() {
        let by = |names: &[&str]| {
            let nodes = names.iter().map(|name| NodeId::new(*name)).collect();
            let intervals = [Interval { nodes, ..interval(range(10, 19), Content::Bloom) }];
            let bad = [("a", range(12, 13)), ("b", range(13, 15))];
            let bad = bad.map(|(name, range)| (name.to_owned(), [range].into_iter().collect()));
            let found = tainted(parts(&intervals, Some(19)), &Unproved::from(bad));
            let is_bad = |part: &&Part| part.known == Known::Unprovable;
            found.iter().filter(is_bad).map(|part| part.range).collect::<Vec<_>>()
        };
        assert_eq!(by(&["a"]), [range(12, 13)]);
        assert_eq!(by(&["a", "b"]), [range(13, 13)]);
        assert_eq!(by(&["c"]), []);
        assert_eq!(by(&["a", "c"]), []);
    }

    #[test]
    fn every_block_from_the_first_covered_to_the_last_final_one_is_in_one_part() {
        let intervals = [
            interval(range(10, 19), Content::Receipts),
            interval(range(30, 39), Content::Bloom),
            interval(range(40, 49), Content::Agreed(2)),
        ];
        let ranges = [range(15, 16), range(33, 34), range(45, 48), range(55, 90)];
        let unproved = Unproved::from([("a".to_owned(), ranges.into_iter().collect())]);
        let owed: BlockRanges = [range(47, 47)].into_iter().collect();
        let found = tainted(opened(parts(&intervals, Some(59)), &owed), &unproved);
        let found: Vec<(u64, u64, Known)> =
            found.iter().map(|part| (part.range.first(), part.range.last(), part.known)).collect();
        assert_eq!(
            found,
            [
                // Proved is proved, whoever gave wrong receipts.
                (10, 19, Known::Proved),
                (20, 29, Known::Open),
                (30, 32, Known::SingleSource),
                (33, 34, Known::Unprovable),
                (35, 39, Known::SingleSource),
                // So is what several nodes agree on, but for what is owed.
                (40, 46, Known::Agreed),
                (47, 47, Known::Unprovable),
                (48, 49, Known::Agreed),
                (50, 54, Known::Open),
                (55, 59, Known::Unprovable),
            ]
        );
        assert_eq!(parts(&intervals[..1], None).len(), 1);
    }
}
