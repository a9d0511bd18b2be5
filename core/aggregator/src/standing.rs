//! How each block of a report stands: what it is covered with, and why it stays open.
//!
//! Weighs the judgement, what was decided on the rows, and the votes. Does not cut ranges.

use crate::{
    admission::Decided,
    aggregator::{Admission, Aggregator},
    agreement::{Tally, lacks_agreement, lacks_headers},
    coverage::{adjacent, merge_nodes},
    cut::{Cut, shown_by_receipts},
};
use alloy_primitives::B256;
use event::{Anchor, BlockRange, BlockRanges, Content, Judgement, NodeId, Report, Verify};
use std::{borrow::Cow, collections::BTreeMap};

/// How one block of the report stands.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    /// What it is covered with; `None` leaves it out.
    pub(crate) content: Option<Content>,
    /// Why it is open, if it is.
    pub(crate) open: Option<Cow<'static, str>>,
    /// Nodes that spoke earlier for what is admitted now.
    pub(crate) nodes: Vec<NodeId>,
    /// Whether it is covered by the report's own word, too; else only by theirs.
    pub(crate) is_by_report: bool,
    /// Why its header is believed, where no checkpoint says more.
    pub(crate) anchor: Anchor,
}

impl Standing {
    /// Returns how a block stands that is not covered by the report, open or not.
    pub(crate) const fn left_out(open: Option<Cow<'static, str>>) -> Self {
        Self { content: None, open, nodes: Vec::new(), is_by_report: true, anchor: Anchor::OneNode }
    }
}

/// What was found out about the blocks of a report.
pub(crate) struct Ruling<'a> {
    /// Per block: whether its header is not its own.
    pub(crate) refused: &'a [bool],
    pub(crate) decided: &'a Decided,
    /// Per block: the votes, where they are kept; empty where none are.
    pub(crate) tallies: &'a [Option<Tally>],
    /// Blocks that so many nodes have to have before they are closed.
    pub(crate) unagreed: &'a BlockRanges,
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
        let shown = shown_by_receipts(report, judgement);
        // So does what blooms exclude, where nothing of the report is known by less.
        let is_proved = !matches!(self.policy.verify, Verify::Agree(_))
            && judgement.complete_headers
            && judgement.flaws.is_empty()
            && judgement.blocks.iter().all(|block| block.content == Content::Receipts);
        let standing = |i: usize| {
            let required = self.policy.verify.required_at(report.blocks[i].number);
            let (mut content, mut open) = self.stands((report, judgement), ruling, i, required);
            let mut nodes = ruling.decided.nodes.get(&(i as u32)).cloned().unwrap_or_default();
            let (mut anchor, mut is_by_report) = (Anchor::OneNode, true);
            // It is closed by the words of all of them, of which only the last is in this report.
            if let Verify::Agree(needed) = self.policy.verify
                && ruling.unagreed.contains(report.blocks[i].number)
                && let Some(tally) = ruling.tallies.get(i).and_then(Option::as_ref)
                && tally.headers >= usize::from(needed)
                && tally.content >= Some(required)
            {
                // That of a node whose own answer is not whole may be the last header that was needed.
                if content < Some(required) {
                    is_by_report = content.is_some() || tally.by.is_empty();
                    (content, open) = (Some(required), None);
                }
                merge_nodes(&mut nodes, &tally.by);
                anchor = Anchor::AgreedHash(needed);
            }
            // A second look reads receipts of what nodes differ in: it stays known by them.
            if report.is_second_look && (shown[i] || is_proved) && open.is_none() {
                content = content.map(|_| Content::Receipts);
            }
            // By less than what is demanded it is no second word for a block.
            let is_bare = report.blocks[i].header.is_none() && content < Some(required);
            if report.is_second_look && is_bare {
                content = None;
            }
            Standing { content, open, nodes, is_by_report, anchor }
        };
        (0..judgement.blocks.len()).map(standing).collect()
    }

    /// Says which blocks too few nodes have, and drops what waits in blocks that others than those agreed
    /// on have at the same height: nobody asks for them again.
    pub(crate) fn note_shared(
        &mut self,
        report: &Report,
        ruling: &Ruling<'_>,
        standings: &[Standing],
        cut: &mut Cut,
    ) {
        let Verify::Agree(needed) = self.policy.verify else { return };
        let mut agreed = BTreeMap::new();
        for (i, block) in report.blocks.iter().enumerate() {
            if !ruling.unagreed.contains(block.number) {
                continue;
            }
            let tally = ruling.tallies.get(i).and_then(Option::as_ref);
            let is_shared = tally.is_some_and(|tally| tally.headers >= usize::from(needed));
            if is_shared && standings[i].open.is_none() && self.canonical.is_settled(block.number) {
                agreed.insert(block.number, block.hash);
            } else if !is_shared {
                let block = BlockRange::one(block.number);
                match cut.ack.unshared.last_mut() {
                    Some(last) if adjacent(last, &block) => *last = last.hull(block),
                    _ => cut.ack.unshared.push(block),
                }
            }
        }
        let is_gone =
            |number, hash: &B256| agreed.get(&number).is_some_and(|agreed| agreed != hash);
        self.dropped.extend(self.candidates.drop_blocks(is_gone));
    }

    /// Returns how blocks stand that are in the range but not in the report.
    pub(crate) fn unreported(&self, report: &Report, nothing_admitted: bool) -> Standing {
        let is_short = Content::Claimed < self.policy.verify.required();
        let open = match nothing_admitted {
            true => Some(NOTHING.into()),
            false => is_short.then_some("no header was read".into()),
        };
        // Of a block whose header was asked for and not given even that nothing is there is not said.
        let is_withheld = is_short && report.blocks.iter().any(|block| block.header.is_some());
        let content = (!nothing_admitted && !is_withheld).then_some(Content::Claimed);
        Standing { content, open, nodes: Vec::new(), is_by_report: true, anchor: Anchor::OneNode }
    }

    const fn waits(&self) -> bool {
        !matches!(self.policy.admission, Admission::OneNode)
    }

    fn stands(
        &self,
        (report, judgement): (&Report, &Judgement),
        ruling: &Ruling<'_>,
        i: usize,
        required: Content,
    ) -> (Option<Content>, Option<Cow<'static, str>>) {
        let (verdict, number) = (judgement.blocks[i], report.blocks[i].number);
        let decision = &ruling.decided.blocks[i];
        let none = Tally::default();
        let tally = ruling.tallies.get(i).and_then(Option::as_ref).unwrap_or(&none);
        // What is stored must leave a trace in coverage: by it a later report of the block, also
        // after a restart, is compared with what is stored.
        let is_stored = decision.known + decision.entered > 0;
        let level = tally.content.map_or(verdict.content, |voted| voted.max(verdict.content));
        // What is covered as so many nodes said it stays so, whatever one of them adds: votes of final blocks
        // are forgotten.
        let is_agreed =
            matches!(self.policy.verify, Verify::Agree(_)) && !ruling.unagreed.contains(number);
        let is_short = level < required && !is_agreed;
        // One node may be on another chain: its blooms and receipts are of its own headers. Of final blocks
        // nothing is covered where nothing is stored: its headers stand in nobody's way.
        let lacks_nodes = match self.policy.verify {
            Verify::Agree(needed) if ruling.unagreed.contains(number) => {
                (tally.headers < usize::from(needed)).then_some(needed)
            }
            _ => None,
        };
        let is_covered = is_stored || lacks_nodes.is_none() || !self.canonical.is_settled(number);
        if ruling.refused[i] {
            (None, Some("the header does not hash to its hash".into()))
        } else if decision.is_proved {
            // What is proved stays as it is, whatever this node says.
            (None, None)
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
            (is_covered.then_some(level), Some(open))
        } else if let Some(needed) = lacks_nodes {
            let content = is_covered.then_some(level.min(Content::Bloom));
            (content, Some(lacks_headers(tally, needed)))
        } else {
            (Some(level.min(required)), None)
        }
    }
}
