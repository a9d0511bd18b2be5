//! What a ledger covers: as JSON for programs, as bars for people.

use crate::{
    bar::bar,
    summary::{RangeSummary, SummaryFormat, grouped},
};
use event::BlockRange;
use serde::Serialize;
use std::{
    collections::BTreeMap,
    fmt,
    io::{self, Write},
};

/// Version of the JSON form. Fields may be added under the same one.
const VERSION: u32 = 1;

/// Ranges that are spelt out for one filter; JSON has all.
const RANGES_SHOWN: usize = 10;

/// Every chain of a ledger.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct CoverageReport {
    version: u32,
    chains: Vec<ChainReport>,
}

/// How well blocks are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Known {
    /// Receipts did not hold up.
    Unprovable,
    /// Nothing is claimed.
    Open,
    /// One node's word.
    SingleSource,
    /// Several nodes gave them, and what they said was not compared.
    NotCompared,
    /// Several nodes' word.
    Agreed,
    /// Proved.
    Proved,
}

/// One chain.
pub(crate) struct ChainCoverage {
    /// Id.
    pub(crate) chain: u64,
    /// Highest final block.
    pub(crate) finalized: Option<u64>,
    /// Its filters.
    pub(crate) filters: Vec<FilterCoverage>,
}

/// One filter.
pub(crate) struct FilterCoverage {
    /// For people.
    pub(crate) name: String,
    /// Digest.
    pub(crate) id: String,
    /// Without a hole.
    pub(crate) parts: Vec<Part>,
}

/// Blocks of which the same is known.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) range: BlockRange,
    pub(crate) known: Known,
    pub(crate) content: Option<String>,
    pub(crate) anchor: Option<String>,
    pub(crate) nodes: Vec<String>,
}

#[derive(Clone, Debug, Serialize)]
struct ChainReport {
    chain: u64,
    finalized: Option<u64>,
    filters: Vec<FilterReport>,
}

#[derive(Clone, Debug, Serialize)]
struct FilterReport {
    name: String,
    id: String,
    range: Option<RangeSummary>,
    /// Blocks by how well they are known; all six are there.
    blocks: BTreeMap<Known, u64>,
    ranges: Vec<RangeReport>,
}

#[derive(Clone, Debug, Serialize)]
struct RangeReport {
    #[serde(flatten)]
    range: RangeSummary,
    known: Known,
    content: Option<String>,
    anchor: Option<String>,
    nodes: Vec<String>,
}

const ALL: [Known; 6] = [
    Known::Proved,
    Known::Agreed,
    Known::NotCompared,
    Known::SingleSource,
    Known::Open,
    Known::Unprovable,
];

impl Known {
    const fn shown(self) -> (&'static str, char) {
        match self {
            Self::Proved => ("proved", '#'),
            Self::Agreed => ("agreed", '='),
            Self::NotCompared => ("not compared", '~'),
            Self::SingleSource => ("single source", '-'),
            Self::Open => ("open", '.'),
            Self::Unprovable => ("unprovable", 'x'),
        }
    }
}

impl CoverageReport {
    /// Puts it into the form it is told in.
    pub(crate) fn new(chains: Vec<ChainCoverage>) -> Self {
        let chains = chains.into_iter().map(|chain| ChainReport {
            chain: chain.chain,
            finalized: chain.finalized,
            filters: chain.filters.into_iter().map(FilterReport::new).collect(),
        });
        Self { version: VERSION, chains: chains.collect() }
    }

    /// Writes it: it is the data of `coverage`, so it belongs on stdout.
    pub(crate) fn write(&self, format: SummaryFormat, out: &mut impl Write) -> io::Result<()> {
        match format {
            SummaryFormat::Json => {
                serde_json::to_writer(&mut *out, self).map_err(io::Error::from)?;
                writeln!(out)?;
            }
            SummaryFormat::Human => write!(out, "{self}")?,
        }
        out.flush()
    }
}

impl FilterReport {
    fn new(filter: FilterCoverage) -> Self {
        let mut blocks: BTreeMap<Known, u64> = ALL.iter().map(|known| (*known, 0)).collect();
        for part in &filter.parts {
            *blocks.entry(part.known).or_default() += part.range.count();
        }
        let ends = filter.parts.first().zip(filter.parts.last());
        let range =
            ends.and_then(|(first, last)| BlockRange::new(first.range.first(), last.range.last()));
        let ranges = filter.parts.into_iter().map(|part| RangeReport {
            range: part.range.into(),
            known: part.known,
            content: part.content,
            anchor: part.anchor,
            nodes: part.nodes,
        });
        Self {
            name: filter.name,
            id: filter.id,
            range: range.map(Into::into),
            blocks,
            ranges: ranges.collect(),
        }
    }
}

impl fmt::Display for CoverageReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.chains.is_empty() {
            return writeln!(f, "nothing is covered");
        }
        for chain in &self.chains {
            write!(f, "chain    {}", chain.chain)?;
            match chain.finalized {
                Some(finalized) => writeln!(f, ", final through {finalized}")?,
                None => writeln!(f)?,
            }
            for filter in &chain.filters {
                write!(f, "{filter}")?;
            }
        }
        let legend = ALL.map(|known| {
            let (word, shown) = known.shown();
            format!("{shown} {word}")
        });
        writeln!(f, "         {}", legend.join("  "))
    }
}

impl fmt::Display for FilterReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(range) = self.range else { return Ok(()) };
        writeln!(f, "filter   {}: {range}", self.name)?;
        let spans: Vec<(BlockRange, u8, char)> = self
            .ranges
            .iter()
            .filter_map(|part| {
                let span = BlockRange::new(part.range.first, part.range.last)?;
                Some((span, part.known as u8, part.known.shown().1))
            })
            .collect();
        if let Some(whole) = BlockRange::new(range.first, range.last) {
            writeln!(f, "         [{}]", bar(whole, &spans))?;
        }
        for part in self.ranges.iter().take(RANGES_SHOWN) {
            let (word, _) = part.known.shown();
            write!(f, "         {word}: {}", part.range)?;
            if let (Some(content), Some(anchor)) = (&part.content, &part.anchor) {
                write!(f, ", {content} on {anchor}")?;
            }
            match part.nodes.is_empty() {
                true => writeln!(f)?,
                false => writeln!(f, ", through {}", part.nodes.join(", "))?,
            }
        }
        match self.ranges.len().saturating_sub(RANGES_SHOWN) {
            0 => Ok(()),
            more => writeln!(f, "         and {} more ranges", grouped(more as u64)),
        }
    }
}
