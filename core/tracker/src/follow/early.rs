//! Logs of a head that are asked for together with its header: a filter that had logs in the newest
//! block most often has some in the next one, which is then read in one round trip instead of two.
//!
//! What came early counts only where the round asks for it once it has the header, and is judged by
//! that. Not done where nothing is shown of a block: there nobody would notice that the node answered
//! before it had the block.

use event::{Answer, Ask, BlockNumHash, Filter, LogsAnswer, Report};
use std::sync::Arc;

/// Answers kept, at most.
const ANSWERS_MAX: usize = 8;

#[derive(Debug, Default)]
pub(crate) struct Early {
    /// Filters that had logs in the newest block that was read.
    busy: Vec<Arc<Filter>>,
    /// Answers that no round has asked for yet, each with its question.
    answers: Vec<(Ask, LogsAnswer)>,
}

impl Early {
    /// Returns what to ask of a block that was announced.
    pub(crate) fn asks(&self, block: BlockNumHash) -> impl Iterator<Item = Ask> {
        self.busy.iter().map(move |filter| Ask::LogsByHash { filter: filter.clone(), block })
    }

    /// Learns from a report which filters are busy.
    pub(crate) fn on_report(&mut self, report: &Report) {
        self.busy.retain(|filter| *filter != report.filter);
        let last = (report.blocks.len() as u32).checked_sub(1);
        if last.is_some_and(|last| report.logs.block.contains(&last)) {
            self.busy.push(report.filter.clone());
        }
    }

    pub(crate) fn on_answer(&mut self, ask: Ask, answer: Answer) {
        if let Answer::Logs(logs) = answer
            && self.answers.len() < ANSWERS_MAX
        {
            self.answers.push((ask, logs));
        }
    }

    /// Takes the answer to a question, if it came early.
    pub(crate) fn take(&mut self, ask: &Ask) -> Option<Answer> {
        let at = self.answers.iter().position(|(asked, _)| asked == ask)?;
        Some(Answer::Logs(self.answers.swap_remove(at).1))
    }

    /// Drops answers that no round asked for.
    pub(crate) fn forget_answers(&mut self) {
        self.answers.clear();
    }

    pub(crate) const fn held(&self) -> usize {
        self.answers.len()
    }
}
