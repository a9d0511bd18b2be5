//! The ledger that is compared: looked at for each window of blocks, in its file or through the
//! process that owns it, and let go again, so that whoever writes it is not held up for long.

use super::super::Look;
use crate::{
    audit_report::LedgerReport, command_error::CommandError, environment::Environment,
    plan::AuditPlan,
};
use event::{BlockRange, ChainId, EventPage, EventQuery, Filter, LedgerError};
use pipeline::LedgerPages;
use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    thread,
};

/// Events read at once.
const PAGE_EVENTS: usize = 50_000;

/// The ledger, where there is one to compare.
pub(super) struct Compared {
    /// File; `None` where nothing is compared.
    path: Option<PathBuf>,
    chain: ChainId,
    environment: Environment,
    told: LedgerReport,
    /// Why a page could not be read, in the words and with the exit code of this program.
    failed: Arc<Mutex<Option<CommandError>>>,
}

impl Compared {
    /// Looks whether there is one that holds this chain.
    pub(super) fn find(
        plan: &AuditPlan,
        chain: ChainId,
        environment: &Environment,
    ) -> Result<Self, CommandError> {
        let without = |path: String, reason: &str| Self {
            path: None,
            chain,
            environment: environment.clone(),
            told: LedgerReport {
                path,
                compared: false,
                reason: reason.to_owned(),
                is_unexpected: false,
            },
            failed: Arc::default(),
        };
        let Some(ledger) = &plan.ledger else {
            return Ok(without(String::new(), "not compared: --no-ledger"));
        };
        let shown = ledger.path.display().to_string();
        if !ledger.path.exists() {
            return Ok(without(shown, "not compared: there is none"));
        }
        let chains = apart(|| Look::open(&ledger.path, environment)?.chains())
            .map_err(|error| error.hint("--no-ledger compares nodes only"))?;
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
        let failed = Arc::default();
        Ok(Self { path, chain, environment: environment.clone(), told, failed })
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
        let (path, chain, environment) = (self.path.clone()?, self.chain, self.environment.clone());
        let failed = self.failed.clone();
        Some(Box::new(move |filter: &Arc<Filter>, range: BlockRange| {
            let look = || read(&mut Look::open(&path, &environment)?, chain, filter, range);
            apart(look).map_err(|error| {
                let told = LedgerError::Internal("a page of the ledger was not read".to_owned());
                *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                told
            })
        }))
    }

    /// Returns why reading ended early, given what the pipeline was told.
    pub(super) fn failure(&self, told: LedgerError) -> CommandError {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner).take();
        failed.unwrap_or_else(|| told.into())
    }
}

/// Looks on a thread of its own: an owner is asked with a runtime that is no part of the one here.
pub(super) fn apart<T: Send>(
    look: impl FnOnce() -> Result<T, CommandError> + Send,
) -> Result<T, CommandError> {
    let joined = thread::scope(|scope| scope.spawn(look).join());
    joined.unwrap_or_else(|_| Err(CommandError::bug("looking at the ledger panicked")))
}

/// Returns all events of the range in one page.
fn read(
    ledger: &mut Look,
    chain: ChainId,
    filter: &Arc<Filter>,
    range: BlockRange,
) -> Result<EventPage, CommandError> {
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
