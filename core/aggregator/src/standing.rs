//! How each block of a report stands: what it is covered with, and why it stays open.
//!
//! Weighs the judgement, what was decided on the rows, and the votes. Does not cut ranges.

use crate::{
    admission::Decided,
    aggregator::{Admission, Aggregator},
    agreement::{Tally, lacks_agreement},
};
use event::{Content, Judgement, NodeId, Report, Verify};
use std::borrow::Cow;

/// How one block of the report stands.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    /// What it is covered with; `None` leaves it out.
    pub(crate) content: Option<Content>,
    /// Why it is open, if it is.
    pub(crate) open: Option<Cow<'static, str>>,
    /// Nodes that spoke earlier for what is admitted now.
    pub(crate) nodes: Vec<NodeId>,
}

/// What was found out about the blocks of a report.
pub(crate) struct Ruling<'a> {
    /// Per block: whether its header is not its own.
    pub(crate) refused: &'a [bool],
    pub(crate) decided: &'a Decided,
    /// Per block: the votes, where they are kept; empty where none are.
    pub(crate) tallies: &'a [Option<Tally>],
    /// Whether the report has logs of which none may enter.
    pub(crate) nothing_admitted: bool,
}

const NOTHING: &str = "no log of the answer could be admitted";

impl Aggregator {
    /// Returns how each block of the report stands.
    pub(crate) fn standings(
        &self,
        report: &Report,
        judgement: &Judgement,
        ruling: &Ruling<'_>,
    ) -> Vec<Standing> {
        let standing = |i: usize| {
            let required = self.policy.verify.required_at(report.blocks[i].number);
            let (content, open) = self.stands(judgement, ruling, i, required);
            let nodes = ruling.decided.nodes.get(&(i as u32)).cloned().unwrap_or_default();
            Standing { content, open, nodes }
        };
        (0..judgement.blocks.len()).map(standing).collect()
    }

    /// Returns how blocks stand that are in the range but not in the report.
    pub(crate) fn unreported(&self, nothing_admitted: bool) -> Standing {
        let is_short = Content::Claimed < self.policy.verify.required();
        let open = match nothing_admitted {
            true => Some(NOTHING.into()),
            false => is_short.then_some("no header was read".into()),
        };
        let content = (!nothing_admitted).then_some(Content::Claimed);
        Standing { content, open, nodes: Vec::new() }
    }

    const fn waits(&self) -> bool {
        matches!(self.policy.admission, Admission::Agree(_))
    }

    fn stands(
        &self,
        judgement: &Judgement,
        ruling: &Ruling<'_>,
        i: usize,
        required: Content,
    ) -> (Option<Content>, Option<Cow<'static, str>>) {
        let verdict = judgement.blocks[i];
        let decision = &ruling.decided.blocks[i];
        let tally = ruling.tallies.get(i).copied().flatten().unwrap_or_default();
        // What is stored must leave a trace in coverage: by it a later report of the block, also
        // after a restart, is compared with what is stored.
        let is_stored = decision.known + decision.entered > 0;
        let level = tally.content.map_or(verdict.content, |voted| voted.max(verdict.content));
        let is_short = level < required;
        if ruling.refused[i] {
            (None, Some("the header does not hash to its hash".into()))
        } else if decision.waiting {
            // Its own answer is not whole, but it may complete that of another node.
            let content = tally.content.unwrap_or(Content::Claimed).min(required);
            (is_stored.then_some(content), Some("logs wait for another node or receipts".into()))
        } else if decision.is_refuted && !is_stored && self.waits() {
            // As if it had come before the receipts: then it would have waited, and been dropped.
            (None, is_short.then_some(NOTHING.into()))
        } else if ruling.nothing_admitted && verdict.content < Content::Receipts {
            (None, Some(NOTHING.into()))
        } else if verdict.content < required && verdict.doubt {
            let open = "the bloom admits the filter and nothing shows that all is there";
            (is_stored.then_some(level.min(required)), is_short.then_some(open.into()))
        } else if is_short {
            let open = match self.policy.verify {
                Verify::Agree(needed) => lacks_agreement(tally, needed),
                _ => "less is shown than the policy demands".into(),
            };
            (Some(level), Some(open))
        } else {
            (Some(level.min(required)), None)
        }
    }
}
