//! The ledger that is compared: opened read-only for each window of blocks and closed again, so that
//! whoever writes it is not held up for long.

use crate::{audit_report::LedgerReport, command_error::CommandError, plan::AuditPlan};
use event::{BlockRange, ChainId, EventPage, EventQuery, Filter, LedgerError, Reader};
use pipeline::LedgerPages;
use std::{path::PathBuf, sync::Arc};
use store::{DuckLedger, OpenMode};

/// Events read at once.
const PAGE_EVENTS: usize = 50_000;

/// The ledger, where there is one to compare.
pub(super) struct Compared {
    /// File; `None` where nothing is compared.
    path: Option<PathBuf>,
    chain: ChainId,
    told: LedgerReport,
}

impl Compared {
    /// Looks whether there is one that holds this chain.
    pub(super) fn find(plan: &AuditPlan, chain: ChainId) -> Result<Self, CommandError> {
        let without = |path: String, reason: &str| Self {
            path: None,
            chain,
            told: LedgerReport {
                path,
                compared: false,
                reason: reason.to_owned(),
                is_unexpected: false,
            },
        };
        let Some(ledger) = &plan.ledger else {
            return Ok(without(String::new(), "not compared: --no-ledger"));
        };
        let shown = ledger.path.display().to_string();
        if !ledger.path.exists() {
            return Ok(without(shown, "not compared: there is none"));
        }
        let chains = DuckLedger::open(&ledger.path, OpenMode::ReadOnly)
            .and_then(|open| open.chains())
            .map_err(|error| CommandError::from(error).hint("--no-ledger compares nodes only"))?;
        if !chains.contains(&chain) {
            let reason = format!("it holds nothing of chain {chain}");
            if ledger.is_explicit {
                return Err(CommandError::usage(reason)
                    .context(format!("the ledger {shown} cannot be compared"))
                    .hint("name the ledger of that chain, or --no-ledger"));
            }
            let mut without = without(shown, &format!("not compared: {reason}"));
            without.told.is_unexpected = true;
            return Ok(without);
        }
        let path = Some(ledger.path.clone());
        let told = LedgerReport {
            path: shown,
            compared: true,
            reason: String::new(),
            is_unexpected: false,
        };
        Ok(Self { path, chain, told })
    }

    pub(super) const fn is_compared(&self) -> bool {
        self.path.is_some()
    }

    pub(super) fn path(&self) -> Option<PathBuf> {
        self.path.clone()
    }

    pub(super) fn told(self) -> LedgerReport {
        self.told
    }

    /// Returns what reads it.
    pub(super) fn pages(&mut self) -> Option<Box<LedgerPages<'static>>> {
        let (path, chain) = (self.path.clone()?, self.chain);
        Some(Box::new(move |filter: &Arc<Filter>, range: BlockRange| {
            let mut ledger = DuckLedger::open(&path, OpenMode::ReadOnly)?;
            read(&mut ledger, chain, filter, range)
        }))
    }
}

/// Returns all events of the range in one page.
fn read(
    ledger: &mut DuckLedger,
    chain: ChainId,
    filter: &Arc<Filter>,
    range: BlockRange,
) -> Result<EventPage, LedgerError> {
    let mut whole = EventPage::default();
    let mut rest = Some(range);
    while let Some(range) = rest {
        let filters = vec![filter.clone()];
        let page = ledger.events(&EventQuery { chain, filters, range, limit: PAGE_EVENTS })?;
        let offset = u32::try_from(whole.blocks.len()).unwrap_or(u32::MAX);
        for mut log in page.logs.rows() {
            log.block = log.block.saturating_add(offset);
            whole.logs.push(log);
        }
        whole.blocks.extend(page.blocks);
        whole.occurrence.extend(page.occurrence);
        whole.through = page.through;
        let next = page.through.max(range.first()).checked_add(1);
        rest = next.and_then(|first| BlockRange::new(first, range.last()));
    }
    Ok(whole)
}
