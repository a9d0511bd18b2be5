//! Whether a report from another process is whole: what every stage after this one may rely on.
//!
//! Nothing here is about truth. What a report shows is recomputed from its evidence by whoever
//! takes it.

use event::{AnyOf, Filter, Logs, REPORT_VERSION, Report};

/// A log has no more.
const TOPICS_MAX: u32 = 4;

/// Returns what is wrong with a report, if anything is.
pub(crate) fn unsound(report: &Report) -> Option<&'static str> {
    let is_sorted = report.blocks.windows(2).all(|pair| pair[0].number < pair[1].number);
    let mut receipts = report.blocks.iter().flat_map(|block| block.receipts.iter().flatten());
    if report.version != REPORT_VERSION {
        Some("it has another version")
    } else if !is_normal(&report.filter) {
        Some("its filter is not normal")
    } else if !is_sorted {
        Some("its blocks are not in order")
    } else if !is_whole(&report.logs, report.blocks.len()) {
        Some("its columns do not fit each other")
    } else if receipts
        .any(|receipt| receipt.logs.iter().any(|log| log.topics.len() > TOPICS_MAX as usize))
    {
        Some("a receipt has a log with too many topics")
    } else {
        None
    }
}

fn is_normal(filter: &Filter) -> bool {
    is_set(&filter.addresses) && filter.topics.iter().all(is_set)
}

/// Sorted, without repeats, and not empty.
fn is_set<T: Ord>(side: &AnyOf<T>) -> bool {
    match side {
        AnyOf::Any => true,
        AnyOf::Of(values) => !values.is_empty() && values.windows(2).all(|w| w[0] < w[1]),
    }
}

fn is_whole(logs: &Logs, blocks: usize) -> bool {
    let rows = logs.len();
    let columns = [
        logs.tx_hash.len(),
        logs.tx_index.len(),
        logs.log_index.len(),
        logs.address.len(),
        logs.topic_offsets.len().saturating_sub(1),
        logs.data_offsets.len().saturating_sub(1),
    ];
    columns.iter().all(|column| *column == rows)
        && logs.block.iter().all(|block| (*block as usize) < blocks)
        && are_offsets(&logs.topic_offsets, logs.topics.len(), TOPICS_MAX)
        && are_offsets(&logs.data_offsets, logs.data.len(), u32::MAX)
}

fn are_offsets(offsets: &[u32], values: usize, step_max: u32) -> bool {
    let steps = offsets
        .windows(2)
        .all(|pair| pair[1].checked_sub(pair[0]).is_some_and(|step| step <= step_max));
    steps
        && offsets.first() == Some(&0)
        && offsets.last().is_some_and(|last| *last as usize == values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::tests::report;

    #[test]
    fn what_does_not_fit_together_is_refused() {
        assert_eq!(unsound(&report()), None);
        type Bend = fn(&mut Report);
        let bent: [(&str, Bend); 9] = [
            ("version", |report| report.version = 99),
            ("blocks", |report| report.blocks.reverse()),
            ("rows", |report| report.logs.tx_index.clear()),
            ("no offsets", |report| report.logs.topic_offsets.clear()),
            ("offsets beyond", |report| report.logs.data_offsets[1] += 1),
            ("offsets back", |report| report.logs.topic_offsets[0] = 9),
            ("a block that is not there", |report| report.logs.block[0] = 7),
            ("topics", |report| {
                let last = report.logs.topic_offsets.len() - 1;
                report.logs.topic_offsets[last] += 1;
            }),
            ("an empty set", |report| {
                report.filter = std::sync::Arc::new(Filter::new(AnyOf::Of(vec![]), AnyOf::Any));
            }),
        ];
        for (what, bend) in bent {
            let mut report = report();
            bend(&mut report);
            assert!(unsound(&report).is_some(), "{what}");
        }
    }
}
