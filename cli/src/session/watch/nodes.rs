//! The nodes of a watch: opened, and asked for their chain until one of them says it, or the ledger.

use super::super::nodes::open_node;
use crate::{
    command_error::{CommandError, ErrorKind},
    environment::Environment,
    plan::{ChainPlan, WatchPlan},
    session::Look,
};
use event::{ChainId, Fault, Finality, Node, NodeId};
use futures_util::{StreamExt, stream::FuturesUnordered};
use pipeline::{Greeting, Timer, greet};
use std::{
    io::{Write as _, stderr},
    path::Path,
    sync::Arc,
    time::Duration,
};

/// How long the other nodes may take to say that they are on another chain than the first one, and
/// how long nodes are waited for where the chain is known without them.
const PATIENCE: Duration = Duration::from_secs(2);

/// Nodes of one chain.
pub(super) struct Opened {
    pub(super) chain: ChainId,
    pub(super) nodes: Vec<Arc<dyn Node>>,
    /// Where the head was for the first of them that answered.
    pub(super) head: Option<u64>,
}

/// What the nodes said at the start, in the order in which they did.
#[derive(Default)]
struct Said {
    greetings: Vec<(NodeId, Greeting)>,
    failed: Option<Fault>,
    /// Some have said nothing yet: they are greeted again as the watch runs.
    has_more: bool,
}

/// Opens every node of a chain of the plan. Which chain it is the plan says, or the first node that
/// answers, or the ledger, where it holds one chain: nodes that are down or slow are greeted again as long
/// as it runs, and so are those of another chain.
pub(super) async fn open(
    plan: &WatchPlan,
    chain_plan: &ChainPlan,
    environment: &Environment,
    timer: &dyn Timer,
) -> Result<Opened, CommandError> {
    let nodes = chain_plan.nodes.iter().map(open_node).collect::<Result<Vec<_>, _>>()?;
    let expected = chain_plan.expected_chain.map(ChainId);
    let of_ledger = || match plan.chains.len() {
        1 => chain_of_ledger(&plan.ledger.path, environment),
        // Of several chains it is not known which one this is.
        _ => None,
    };
    let said = hear(plan, chain_plan, &nodes, &of_ledger, timer).await?;
    let chain = match (expected, said.greetings.first()) {
        (Some(chain), _) => said.only_of(chain)?,
        (None, Some(_)) => said.chain(&of_ledger)?,
        (None, None) => said.chain_of_nobody(plan, chain_plan, &of_ledger)?,
    };
    let of_chain = said.greetings.iter().find(|(_, greeting)| greeting.chain == chain);
    let head = of_chain.map(|(_, greeting)| greeting.status.head.number);
    Ok(Opened { chain, nodes, head })
}

/// Greets all nodes at once, until it is known which chain they are of.
async fn hear(
    plan: &WatchPlan,
    chain_plan: &ChainPlan,
    nodes: &[Arc<dyn Node>],
    of_ledger: &impl Fn() -> Option<ChainId>,
    timer: &dyn Timer,
) -> Result<Said, CommandError> {
    let finality = chain_plan.finality.unwrap_or(Finality::Tag);
    let expected = chain_plan.expected_chain.map(ChainId);
    let greet_one = |node: &'_ Arc<dyn Node>| {
        let node = node.clone();
        async move { (node.id().clone(), greet(&*node, None, finality, timer).await) }
    };
    let mut coming: FuturesUnordered<_> = nodes.iter().map(greet_one).collect();
    let mut patience = std::pin::pin!(tokio::time::sleep(PATIENCE));
    let mut is_over = false;
    let mut said = Said::default();
    loop {
        tokio::select! {
            next = coming.next() => match next {
                None => break,
                Some((node, Ok(greeting))) => {
                    let is_expected = expected == Some(greeting.chain);
                    said.greetings.push((node, greeting));
                    if is_expected {
                        break;
                    }
                }
                Some((_, Err(fault))) => said.failed = Some(fault),
            },
            () = &mut patience, if !is_over => {
                is_over = true;
                let is_unheard = said.greetings.is_empty() && expected.is_none();
                if is_unheard && of_ledger().is_some() {
                    break;
                }
                if is_unheard && !plan.quiet {
                    let names: Vec<&str> = nodes.iter().map(|node| &*node.id().0).collect();
                    writeln!(stderr(), "no node answers yet: waiting for {}", names.join(", "))?;
                }
            }
        }
        if is_over && (expected.is_some() || !said.greetings.is_empty()) {
            break;
        }
    }
    said.has_more = !coming.is_empty();
    Ok(said)
}

impl Said {
    /// The chain that the user named, unless all nodes are known to be of others.
    fn only_of(&self, chain: ChainId) -> Result<ChainId, CommandError> {
        let is_it = |(_, greeting): &(NodeId, Greeting)| greeting.chain == chain;
        match self.greetings.first() {
            Some((node, greeting))
                if !self.has_more && self.failed.is_none() && !self.greetings.iter().any(is_it) =>
            {
                let fault = Fault::wrong_chain(node.clone(), chain, greeting.chain);
                Err(CommandError::from(fault).context(format!("node {node} cannot be used")))
            }
            _ => Ok(chain),
        }
    }

    /// The chain of those that answered. Where they differ, or some may be of another one, the ledger knows
    /// which is meant.
    fn chain(&self, of_ledger: &impl Fn() -> Option<ChainId>) -> Result<ChainId, CommandError> {
        let mut chains = self.greetings.iter().map(|(node, greeting)| (node, greeting.chain));
        let Some((_, first)) = chains.next() else {
            return Err(CommandError::usage("no node to watch"));
        };
        let other = chains.find(|(_, chain)| *chain != first);
        if other.is_none() && !self.has_more {
            return Ok(first);
        }
        match (of_ledger(), other) {
            (Some(known), _) => Ok(known),
            (None, None) => Ok(first),
            (None, Some((node, chain))) => Err(CommandError::usage(format!(
                "it is on chain {chain}, the first node is on chain {first}"
            ))
            .context(format!("node {node} cannot be used"))
            .hint(
                "watch one chain, and say with --chain-id which; or name both in headcount.toml",
            )),
        }
    }

    /// The chain where nobody has answered.
    fn chain_of_nobody(
        &self,
        plan: &WatchPlan,
        chain_plan: &ChainPlan,
        of_ledger: &impl Fn() -> Option<ChainId>,
    ) -> Result<ChainId, CommandError> {
        let error = self.failed.clone().map(CommandError::from);
        // What waiting does not mend is told now.
        let is_mended = error.as_ref().is_none_or(|error| error.kind == ErrorKind::LeftOpen);
        if is_mended && let Some(chain) = of_ledger() {
            if !plan.quiet {
                writeln!(
                    stderr(),
                    "no node answers: waiting for them, for chain {chain} of the ledger"
                )?;
            }
            return Ok(chain);
        }
        let error = error.unwrap_or_else(|| CommandError::usage("no node to watch"));
        let context = match chain_plan.nodes.as_slice() {
            [one] => format!("node {} cannot be used", one.name),
            all => format!("none of {} nodes can be used", all.len()),
        };
        let hint = "with --chain-id, or `id` in headcount.toml, it waits for them";
        Err(error.context(context).hint(hint))
    }
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
