//! What a ledger covers, sorted by how well it is known. Asks no node.

use super::{
    Look,
    names::{Names, schemas},
};
use crate::{
    command_error::CommandError,
    config_file::ContractConfig,
    coverage_report::{ChainCoverage, CoverageReport, FilterCoverage, Known, Part},
};
use event::{Anchor, BlockRange, ChainId, Content, Flaw, Interval, Value};
use std::ops::ControlFlow;

/// Flaws of receipts that were to prove a block.
const UNPROVED: [Flaw; 3] = [Flaw::ReceiptsRoot, Flaw::ReceiptCount, Flaw::ReceiptBlock];

/// Reads the coverage of every chain; `contracts` are names that the user gave.
pub(crate) fn coverage(
    ledger: &mut Look,
    contracts: &[ContractConfig],
) -> Result<CoverageReport, CommandError> {
    let names = Names::of(schemas(ledger)?, contracts);
    let mut chains = Vec::new();
    for chain in ledger.chains()? {
        let state = ledger.load(chain)?;
        let unproved = unproved(ledger, chain)?;
        let filters = state.coverage.iter().filter(|(_, intervals)| !intervals.is_empty());
        let filters = filters.map(|(filter, intervals)| FilterCoverage {
            name: names.told(filter),
            id: filter.id().to_string(),
            parts: parts(intervals, state.finalized, &unproved),
        });
        let filters = filters.collect();
        chains.push(ChainCoverage { chain: chain.0, finalized: state.finalized, filters });
    }
    Ok(CoverageReport::new(chains))
}

/// Returns ranges for which receipts did not hold up.
fn unproved(ledger: &mut Look, chain: ChainId) -> Result<Vec<BlockRange>, CommandError> {
    let flaws: Vec<String> = UNPROVED.iter().map(|flaw| format!("'{flaw}'")).collect();
    let sql = format!(
        "SELECT DISTINCT first_block, last_block FROM main.incidents
            WHERE chain = {chain} AND flaw IN ({}) ORDER BY first_block, last_block",
        flaws.join(", ")
    );
    let mut found = Vec::new();
    ledger.query(&sql, &mut |_, row| {
        if let [Value::Int(first), Value::Int(last)] = row.as_slice() {
            let ends = (u64::try_from(*first), u64::try_from(*last));
            if let (Ok(first), Ok(last)) = ends {
                found.extend(BlockRange::new(first, last));
            }
        }
        ControlFlow::Continue(())
    })?;
    Ok(found)
}

/// Returns what is known of every block from the first that is covered, without a hole.
fn parts(intervals: &[Interval], finalized: Option<u64>, unproved: &[BlockRange]) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut next = intervals.first().map(|interval| interval.range.first());
    for interval in intervals {
        let before = interval.range.first().checked_sub(1);
        let hole = next.zip(before).and_then(|(first, last)| BlockRange::new(first, last));
        parts.extend(hole.into_iter().flat_map(|hole| open(hole, unproved)));
        let known = known(interval);
        let whole = Part {
            range: interval.range,
            known,
            content: Some(interval.evidence.content.to_string()),
            anchor: Some(interval.evidence.anchor.to_string()),
            nodes: interval.nodes.iter().map(ToString::to_string).collect(),
        };
        match known {
            Known::Proved => parts.push(whole),
            _ => parts.extend(cut(whole, unproved)),
        }
        next = interval.range.last().checked_add(1);
    }
    let rest = next.zip(finalized).and_then(|(first, last)| BlockRange::new(first, last));
    parts.extend(rest.into_iter().flat_map(|rest| open(rest, unproved)));
    parts
}

/// Several nodes agree on a block also where each was read as bloom has it and they have the same hash.
fn known(interval: &Interval) -> Known {
    match (interval.evidence.content, interval.evidence.anchor) {
        (Content::Receipts, _) => Known::Proved,
        (Content::Agreed(_), _) => Known::Agreed,
        (Content::Bloom, Anchor::AgreedHash(_)) if interval.nodes.len() > 1 => Known::Agreed,
        (Content::Claimed | Content::Bloom, _) => Known::SingleSource,
    }
}

fn open(range: BlockRange, unproved: &[BlockRange]) -> Vec<Part> {
    let part = Part { range, known: Known::Open, content: None, anchor: None, nodes: Vec::new() };
    cut(part, unproved)
}

/// Cuts out what could not be proved.
fn cut(part: Part, unproved: &[BlockRange]) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut rest = Some(part.range);
    for bad in unproved {
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
        assert_eq!(known(&Interval { evidence, nodes, ..one.clone() }), Known::Agreed);
        assert_eq!(known(&Interval { evidence, ..one.clone() }), Known::SingleSource);
        assert_eq!(known(&one), Known::SingleSource);
    }

    #[test]
    fn every_block_from_the_first_covered_to_the_last_final_one_is_in_one_part() {
        let intervals = [
            interval(range(10, 19), Content::Receipts),
            interval(range(30, 39), Content::Bloom),
            interval(range(40, 49), Content::Agreed(2)),
        ];
        let found = parts(&intervals, Some(59), &[range(15, 16), range(33, 34), range(55, 90)]);
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
                (40, 49, Known::Agreed),
                (50, 54, Known::Open),
                (55, 59, Known::Unprovable),
            ]
        );
        assert_eq!(parts(&intervals[..1], None, &[]).len(), 1);
    }
}
