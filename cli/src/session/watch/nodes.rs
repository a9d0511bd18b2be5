//! The nodes of a watch: opened, and asked for their chain until one of them says it, or the ledger.

use super::super::nodes::open_node;
use crate::{
    command_error::{CommandError, ErrorKind},
    environment::Environment,
    plan::{ChainPlan, WatchPlan},
    session::Look,
};
use event::{ChainId, Fault, Finality, Node};
use futures_util::future::join_all;
use pipeline::{Timer, greet};
use std::{
    io::{Write as _, stderr},
    path::Path,
    sync::Arc,
};

/// Nodes of one chain.
pub(super) struct Opened {
    pub(super) chain: ChainId,
    pub(super) nodes: Vec<Arc<dyn Node>>,
}

/// Opens every node of a chain of the plan. Which chain it is the plan says, or the first node that
/// answers, or the ledger, where it holds one chain: nodes that are down are greeted again as long as it
/// runs.
pub(super) async fn open(
    plan: &WatchPlan,
    chain_plan: &ChainPlan,
    environment: &Environment,
    timer: &dyn Timer,
) -> Result<Opened, CommandError> {
    let nodes = chain_plan.nodes.iter().map(open_node).collect::<Result<Vec<_>, _>>()?;
    let expected = chain_plan.expected_chain.map(ChainId);
    if let Some(chain) = expected {
        return Ok(Opened { chain, nodes });
    }
    let finality = chain_plan.finality.unwrap_or(Finality::Tag);
    let greetings = join_all(nodes.iter().map(|node| greet(&**node, None, finality, timer))).await;
    let mut chain: Option<ChainId> = None;
    let mut failed: Option<Fault> = None;
    for (node, greeting) in nodes.iter().zip(greetings) {
        match (greeting, chain) {
            (Ok(greeting), None) => chain = Some(greeting.chain),
            (Ok(greeting), Some(chain)) if greeting.chain != chain => {
                return Err(CommandError::usage(format!(
                    "it is on chain {}, the first node is on chain {chain}",
                    greeting.chain
                ))
                .context(format!("node {} cannot be used", node.id()))
                .hint("watch one chain, or name both in headcount.toml"));
            }
            (Ok(_), Some(_)) => {}
            (Err(fault), _) => failed = Some(fault),
        }
    }
    let Some(fault) = failed.filter(|_| chain.is_none()) else {
        let chain = chain.ok_or_else(|| CommandError::usage("no node to watch"))?;
        return Ok(Opened { chain, nodes });
    };
    let error = CommandError::from(fault);
    // What waiting does not mend is told now; and of several chains it is not known which one this is.
    if error.kind == ErrorKind::LeftOpen
        && plan.chains.len() == 1
        && let Some(chain) = chain_of_ledger(&plan.ledger.path, environment)
    {
        if !plan.quiet {
            writeln!(
                stderr(),
                "no node answers: waiting for them, for chain {chain} of the ledger"
            )?;
        }
        return Ok(Opened { chain, nodes });
    }
    let context = match chain_plan.nodes.as_slice() {
        [one] => format!("node {} cannot be used", one.name),
        all => format!("none of {} nodes can be used", all.len()),
    };
    let hint = "with --chain-id, or `id` in headcount.toml, it waits for them";
    Err(error.context(context).hint(hint))
}

/// Returns the chain of a ledger that has one and can be looked at.
fn chain_of_ledger(path: &Path, environment: &Environment) -> Option<ChainId> {
    if !path.exists() {
        return None;
    }
    // A look waits on a runtime of its own.
    let known = tokio::task::block_in_place(|| Look::open(path, environment)?.chains());
    match known.ok()?.as_slice() {
        [only] => Some(*only),
        _ => None,
    }
}
