//! No node answers: nothing can be decided, and the report says so in the same forms as of any audit.

use super::{anchor, code, expect, no_blocks};
use crate::{
    audit_report::{AuditReport, Audited, LedgerReport},
    command_error::{CommandError, ErrorKind},
    expectations::Checks,
    plan::AuditPlan,
    range::{Bounds, RangeError},
    session::{ledger::profile_of, nodes::unusable},
};
use ::audit::Audit;
use event::{BlockRange, ChainId, EventSchema, Fault, Filter};
use pipeline::{AnchorFound, AuditOutcome, Seat};

/// What is known without a node.
pub(super) struct Known<'a> {
    pub(super) plan: &'a AuditPlan,
    pub(super) filters: &'a [Filter],
    pub(super) schemas: &'a [EventSchema],
    pub(super) checks: &'a Checks,
}

impl Known<'_> {
    /// Returns the report that nothing could be decided. Where all nodes say that they are used wrongly,
    /// it is an error.
    pub(super) fn report(
        self,
        absent: &[Fault],
        elapsed_ms: u64,
    ) -> Result<AuditReport, CommandError> {
        let errors: Vec<CommandError> = absent.iter().cloned().map(CommandError::from).collect();
        let is_usage = errors.iter().all(|error| error.kind != ErrorKind::LeftOpen);
        if let (true, Some(last)) = (is_usage, errors.into_iter().next_back()) {
            return Err(last.context(unusable(&self.plan.chain)));
        }
        let Self { plan, filters, schemas, checks } = self;
        let reason = absent.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        let reason = format!("no node answered: {reason}");
        let range = self.range()?;
        let mut audit = Audit::new(filters.len(), Vec::new(), None, false);
        if let Some(range) = range {
            audit.undecided(range, &reason);
        }
        let outcome = AuditOutcome {
            verdict: audit.verdict(),
            anchor: AnchorFound {
                policy: anchor(plan),
                seats: absent.iter().map(seat).collect(),
                ..AnchorFound::default()
            },
            ..AuditOutcome::default()
        };
        Ok(AuditReport::new(Audited {
            plan,
            profile: profile_of(
                &plan.chain,
                ChainId(plan.chain.expected_chain.unwrap_or_default()),
            ),
            nodes: Vec::new(),
            absent,
            range,
            filters,
            schemas,
            counts: vec![0; schemas.len()],
            undecoded: Vec::new(),
            outcome,
            ledger: LedgerReport {
                path: plan
                    .ledger
                    .as_ref()
                    .map_or_else(String::new, |l| l.path.display().to_string()),
                compared: false,
                reason: "not compared: no node answered".to_owned(),
                is_unexpected: false,
            },
            code: code::unknown(plan, "no node answered"),
            expected: expect::unknown(checks),
            interrupted: None,
            elapsed_ms,
        }))
    }

    /// Returns the blocks meant, where they do not depend on what nodes have.
    fn range(&self) -> Result<Option<BlockRange>, CommandError> {
        let bounds = Bounds { start: self.plan.chain.start_block, ..Bounds::default() };
        match self.plan.range.resolve(&bounds) {
            Err(RangeError::NoEnd(_)) => Ok(None),
            resolved => resolved.map_err(no_blocks),
        }
    }
}

/// The place of a node that did not answer among those that were asked for the anchor.
pub(super) fn seat(fault: &Fault) -> Seat {
    let reason = format!("{}: {}", fault.method, fault.text);
    Seat { node: fault.node.clone(), block: None, reason, wrong: None }
}
