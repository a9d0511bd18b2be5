//! Whether the contracts exist: an address without code logs nothing, and is most often a typo.

use super::super::nodes::OpenNode;
use crate::{
    audit_report::CodeReport, command_error::CommandError, plan::AuditPlan, secret::redacted,
};
use alloy_primitives::Address;
use event::{Answer, AnyOf, Ask, BlockRange};
use pipeline::{Timer, ask, block_at};
use std::collections::BTreeSet;

/// Asks for the code of every address at the end of the range, as far as there are blocks. One node
/// that has code is enough: an answer without it may be that of a node without the state.
pub(super) async fn check(
    plan: &AuditPlan,
    nodes: &[OpenNode],
    range: BlockRange,
    timer: &dyn Timer,
) -> Result<Vec<CodeReport>, CommandError> {
    let mut found = Vec::new();
    for address in addresses(plan) {
        let code = code_of(address, nodes, range.last(), timer).await;
        if code.has_code == Some(false) && !plan.allow_no_code {
            return Err(CommandError::usage(format!("{address} has no code {}", code.detail))
                .context("an address without code logs nothing")
                .hint("check the address and the chain")
                .hint("--allow-no-code audits it all the same, as for a contract that is gone"));
        }
        found.push(code);
    }
    Ok(found)
}

/// Returns what is known where no node can be asked.
pub(super) fn unknown(plan: &AuditPlan, why: &str) -> Vec<CodeReport> {
    let of = |address| CodeReport { address, has_code: None, detail: redacted(why) };
    addresses(plan).into_iter().map(of).collect()
}

fn addresses(plan: &AuditPlan) -> BTreeSet<Address> {
    let named = plan.chain.contracts.iter().filter_map(|contract| match &contract.addresses {
        AnyOf::Of(addresses) => Some(addresses.clone()),
        AnyOf::Any => None,
    });
    named.flatten().collect()
}

async fn code_of(address: Address, nodes: &[OpenNode], last: u64, timer: &dyn Timer) -> CodeReport {
    let mut without = None;
    let mut reasons = Vec::new();
    for open in nodes {
        let status = &open.greeting.status;
        let block = match last < status.head.number {
            true => block_at(&*open.node, last, timer).await,
            false => Ok(status.head),
        };
        let said = match block {
            Ok(block) => {
                let asked = ask(&*open.node, Ask::Code { address, block }, timer).await;
                asked.map_err(|fault| fault.to_string()).map(|answer| (answer, block.number))
            }
            Err(reason) => Err(format!("{}: {reason}", status.node)),
        };
        match said {
            Ok((Answer::Bytes(code), at)) if !code.is_empty() => {
                let detail = format!("at block {at}, says {}", status.node);
                return CodeReport { address, has_code: Some(true), detail };
            }
            Ok((Answer::Bytes(_), at)) => {
                without.get_or_insert_with(|| format!("at block {at}, says {}", status.node));
            }
            Ok(_) => reasons.push(format!("{}: answered another question", status.node)),
            Err(reason) => reasons.push(reason),
        }
    }
    match without {
        Some(detail) => CodeReport { address, has_code: Some(false), detail },
        None => CodeReport { address, has_code: None, detail: redacted(&reasons.join("; ")) },
    }
}
