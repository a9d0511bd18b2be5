//! A report in two, where it is too long for a frame: each half is a report of its own.

use event::{BlockRange, Logs, Report};

/// Returns the halves of a report, lower blocks first; nothing of it is lost. `None` where it is of
/// one block.
pub(crate) fn halves(report: &Report) -> Option<(Report, Report)> {
    let (first, last) = (report.range.first(), report.range.last());
    let middle = first + (last - first) / 2;
    let lower = BlockRange::new(first, middle)?;
    let upper = BlockRange::new(middle + 1, last)?;
    let at = report.blocks.partition_point(|block| block.number <= middle);
    let (below, above) = report.blocks.split_at(at);
    let half = |range, blocks: &[event::ReportedBlock], logs, faults: &[event::Fault]| Report {
        range,
        blocks: blocks.to_vec(),
        logs,
        faults: faults.to_vec(),
        reporter: report.reporter.clone(),
        node: report.node.clone(),
        client: report.client.clone(),
        filter: report.filter.clone(),
        is_second_look: report.is_second_look,
        judged: None,
        ..*report
    };
    let (few, many) = (logs_of(&report.logs, 0, at), logs_of(&report.logs, at, usize::MAX));
    Some((half(lower, below, few, &report.faults), half(upper, above, many, &[])))
}

/// Returns the logs of blocks from `from` on and below `to`, counted from `from`.
fn logs_of(logs: &Logs, from: usize, to: usize) -> Logs {
    let mut part = Logs::default();
    for mut row in logs.rows() {
        let block = row.block as usize;
        if block >= from && block < to {
            row.block -= u32::try_from(from).unwrap_or(u32::MAX);
            part.push(row);
        }
    }
    part
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::{sound::unsound, words::tests::report};

    #[test]
    fn two_halves_have_all_blocks_and_logs_and_are_whole() {
        let whole = report();
        let (lower, upper) = halves(&whole).unwrap();
        assert_eq!((lower.range, upper.range), (BlockRange::one(7), BlockRange::one(8)));
        assert_eq!((lower.blocks.len(), upper.blocks.len()), (1, 1));
        assert_eq!((lower.logs.len(), upper.logs.len()), (0, 1));
        assert_eq!(upper.logs.row(0).block, 0);
        assert_eq!(upper.logs.topics_of(0), whole.logs.topics_of(0));
        assert_eq!((lower.faults.len(), upper.faults.len()), (1, 0));
        assert_eq!((unsound(&lower), unsound(&upper)), (None, None));
        assert!(halves(&lower).is_none());
    }
}
