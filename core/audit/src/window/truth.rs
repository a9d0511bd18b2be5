//! What a window knows of a block: what is shown of it, who said something else, and why it is open.

use super::{Part, Shown, Window, kind_of};
use crate::{
    Finding, Kind, Told, Who,
    compare::{Difference, difference, findings},
    parts::cover,
};
use event::{Content, Filter, Flaw, NodeId, Verify, Via};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// What was shown of a block.
#[derive(Clone, Debug)]
pub(crate) struct Truth<'a> {
    pub(crate) content: Content,
    pub(crate) logs: Vec<&'a Told>,
}

impl Window {
    /// Whether so many spoke that they could agree as demanded.
    pub(super) fn is_contested(&self, number: u64) -> bool {
        match self.settings.require {
            Verify::Agree(wanted) => self.votes(number).count() >= usize::from(wanted),
            _ => false,
        }
    }

    /// Whether enough nodes have the block where they must agree: once one that was asked for its header did
    /// not give it, so many have to.
    fn is_had(&self, number: u64) -> bool {
        let Verify::Agree(wanted) = self.settings.require else { return true };
        let givers = self.givers.get(&number).map_or(0, BTreeSet::len);
        !self.headerless.contains(&number) || givers >= usize::from(wanted)
    }

    /// Words that count for agreement. Where a node that was asked for the header did not give it, those of
    /// nodes that did: who does not have a block says nothing of it by an empty answer.
    fn votes(&self, number: u64) -> impl Iterator<Item = Vec<&Told>> {
        let givers = self.givers.get(&number).filter(|_| self.headerless.contains(&number));
        let words = self.headers.get(&number).map(|_| self.trusted_words(number));
        let counts = move |who: &Who| match (who, givers) {
            (Who::Node(node), Some(givers)) => givers.contains(node),
            (Who::Node(_), None) => true,
            (Who::Ledger, _) => false,
        };
        words.into_iter().flatten().filter(move |(who, _)| counts(who)).map(|(_, logs)| logs)
    }

    /// Whether what is shown of a block is in doubt until receipts prove it.
    pub(crate) fn is_unproven(&self, number: u64, truth: &Truth<'_>) -> bool {
        truth.content < Content::Receipts
            && (self.suspect.contains(&number) || !self.differences(number, truth).is_empty())
    }

    /// Returns what is shown of a block as demanded.
    pub(crate) fn truth(&self, number: u64) -> Option<Truth<'_>> {
        let required = self.settings.require.required();
        if !self.is_had(number) {
            return None;
        }
        let shown = self.shown.get(&number).map_or(&[][..], Vec::as_slice);
        if let Some(truth) = self.shown_as(shown, Content::Receipts) {
            return Some(truth);
        }
        match required {
            Content::Receipts => None,
            Content::Bloom => self.shown_as(shown, Content::Bloom),
            Content::Claimed => {
                let (_, logs) = self.trusted_words(number).next()?;
                Some(Truth { content: Content::Claimed, logs })
            }
            Content::Agreed(wanted) => {
                let words: Vec<_> = self.votes(number).collect();
                let same = |one: &[&Told], other: &[&Told]| {
                    difference(one.iter().copied(), other.iter().copied()).is_none()
                };
                words.iter().find_map(|logs| {
                    let agreed = words.iter().filter(|other| same(logs, other)).count();
                    let agreed = u8::try_from(agreed).unwrap_or(u8::MAX);
                    let content = Content::Agreed(agreed);
                    (agreed >= wanted).then(|| Truth { content, logs: logs.clone() })
                })
            }
        }
    }

    fn shown_as<'a>(&'a self, shown: &'a [Shown], least: Content) -> Option<Truth<'a>> {
        let first = shown.iter().find(|part| part.content >= least)?;
        // Parts of two branches are no whole.
        let parts = || shown.iter().filter(|p| p.content >= least && p.hash == first.hash);
        let filters: Vec<&Arc<Filter>> = parts().map(|part| &part.filter).collect();
        cover(&self.filter, &filters).then(|| Truth {
            content: parts().map(|part| part.content).min().unwrap_or(least),
            logs: parts().flat_map(|part| &part.logs).collect(),
        })
    }

    /// What trusted nodes said of the whole filter.
    fn trusted_words(&self, number: u64) -> impl Iterator<Item = (&Who, Vec<&Told>)> {
        self.words_of(number).filter(|(who, _)| match who {
            Who::Node(node) => self.settings.trusted.contains(node),
            Who::Ledger => false,
        })
    }

    fn words_of(&self, number: u64) -> impl Iterator<Item = (&Who, Vec<&Told>)> {
        self.words.iter().filter_map(move |(who, words)| {
            let parts = words.get(&number)?;
            let filters: Vec<&Arc<Filter>> = parts.iter().map(|part| &part.filter).collect();
            let whole = cover(&self.filter, &filters);
            whole.then(|| (who, parts.iter().flat_map(|part| &part.logs).collect()))
        })
    }

    /// Returns the trusted nodes that did not answer what logs there are, of how many blocks and why.
    pub(crate) fn unheard(&self) -> BTreeMap<NodeId, (u64, String)> {
        let blocks = self.range.first()..=self.range.last();
        let unheard = self.settings.trusted.iter().filter_map(|node| {
            let words = self.words.get(&Who::Node(node.clone()));
            let is_unheard =
                |number: &u64| !words.is_some_and(|words| self.is_told(words, *number));
            let (first, rest) = {
                let mut numbers = blocks.clone().filter(is_unheard);
                (numbers.next()?, numbers.count() as u64)
            };
            let reason = self.reason_of(node, first).unwrap_or("its receipts alone tell of logs");
            Some((node.clone(), (1 + rest, reason.to_owned())))
        });
        unheard.collect()
    }

    /// Whether somebody answered, for the whole filter, which logs there are.
    fn is_told(&self, words: &BTreeMap<u64, Vec<Part>>, number: u64) -> bool {
        let parts = words.get(&number).map_or(&[][..], Vec::as_slice);
        let told = parts.iter().filter(|part| part.via != Via::Receipts);
        cover(&self.filter, &told.map(|part| &part.filter).collect::<Vec<_>>())
    }

    /// Returns what was last said of why a node did not give a block.
    fn reason_of(&self, node: &NodeId, number: u64) -> Option<&str> {
        let reasons = self.reasons.get(node)?;
        let last = reasons.iter().rev().find(|(range, _)| range.contains(number));
        last.map(|(_, reason)| reason.as_str())
    }

    /// Returns who said something else than the truth, and what.
    pub(crate) fn differences<'a>(
        &'a self,
        number: u64,
        truth: &Truth<'a>,
    ) -> Vec<(&'a Who, Difference<'a>)> {
        let compared = self
            .words_of(number)
            .map(|(who, told)| (who, difference(told.iter().copied(), truth.logs.iter().copied())));
        compared.filter(|(_, difference)| !difference.is_none()).collect()
    }

    /// Names what differs: of each of them over all blocks, since a log may have been moved.
    pub(crate) fn findings(&self, found: BTreeMap<&Who, Difference<'_>>) -> Vec<Finding> {
        found.into_iter().flat_map(|(who, found)| findings(self.index, who, found)).collect()
    }

    /// Names evidence that does not hold; that of the block only where another shows what is so.
    pub(crate) fn evidence_findings(&self) -> Vec<Finding> {
        let told = self.flaws.iter().filter_map(|((node, number, flaw), (block, count, text))| {
            let kind = kind_of(*flaw)?;
            let is_proved =
                self.truth(*number).is_some_and(|truth| truth.content == Content::Receipts);
            (kind != Kind::Evidence || is_proved).then(|| Finding {
                filter: self.index,
                kind,
                who: Who::Node(node.clone()),
                block: *block,
                log: None,
                count: *count,
                detail: format!("{flaw}: {text}"),
            })
        });
        told.collect()
    }

    /// Whether several nodes gave receipts, and those of none of them recompute: a chain whose
    /// receipts are hashed in another way looks like that.
    fn is_check_suspect(&self, number: u64) -> bool {
        let failed =
            |node: &NodeId| self.flaws.contains_key(&(node.clone(), number, Flaw::ReceiptsRoot));
        let trusted = &self.settings.trusted;
        trusted.len() > 1 && trusted.iter().all(failed)
    }

    /// Says why a block is not shown.
    pub(crate) fn reason(&self, number: u64) -> String {
        let mut reasons: Vec<String> = Vec::new();
        for node in self.reasons.keys() {
            reasons.extend(self.reason_of(node, number).map(|reason| format!("{node}: {reason}")));
        }
        if self.is_check_suspect(number) {
            let suspect = "the receipts of every node fail the same check, which is itself suspect";
            reasons.insert(0, suspect.to_owned());
        }
        if let Some(truth) = self.truth(number)
            && !self.differences(number, &truth).is_empty()
        {
            reasons.insert(0, "it was told differently, and no receipts prove which".to_owned());
        }
        match reasons.is_empty() {
            true => format!("no node showed it as `{}` demands", self.settings.require),
            false => reasons.join("; "),
        }
    }
}
