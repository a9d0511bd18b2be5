//! SIGHUP, or the word of another process: other nodes, contracts, plugins and sinks while it runs, all of a
//! configuration or nothing of it.
//!
//! What a running watch cannot change is refused in words: its ledger, its chains and what is demanded
//! there. Plugins come, go and are upgraded; what becomes of the rows of an older component is decided where
//! its lane is opened.

use super::{
    super::{access::ReloadAsked, inputs, nodes::open_node, sinks},
    policy,
    running::{NamedNode, Running, RunningChain, RunningPlugin, load_plugins, running_plugins},
};
use crate::{
    command_error::CommandError,
    node_spec::NodeSpec,
    plan::{ChainPlan, WatchPlan, merged_contracts},
};
use event::Filter;
use pipeline::Change;
use relay::Reloaded;
use std::{
    io::{Write, stderr},
    num::NonZeroU32,
    path::Path,
    sync::Arc,
};

/// Changes of a chain that wait for it, at most. It takes them at once.
pub(super) const CHANGES_MAX: usize = 4;

/// What a chain becomes.
struct Becoming {
    nodes: Vec<NamedNode>,
    filters: Vec<Filter>,
    final_nodes: usize,
    second_look: Option<NonZeroU32>,
}

/// Goes on with the plan of the configuration as it is now, or tells all that is wrong with it and
/// goes on as before. Whoever asked for it is told, too.
pub(super) async fn reload(
    running: &mut Running<'_>,
    again: &(dyn Fn() -> Result<WatchPlan, CommandError> + Sync),
    asked: Option<ReloadAsked>,
) {
    if let Some(why) = asked.as_ref().and_then(|asked| unread(running, &asked.config)) {
        return answer(asked, Reloaded::Unread(why));
    }
    let changed = change(running, again).await;
    let told = match &changed {
        Ok(changes) if running.plan.quiet || changes.is_empty() => None,
        Ok(changes) => Some(changes.join("\n")),
        Err(error) => Some(format!("{error}\nhint: the configuration from before stays in force")),
    };
    if let Some(told) = told {
        // Whoever closed stderr does not want to hear it.
        let _ = writeln!(stderr(), "{told}");
    }
    answer(
        asked,
        match changed {
            Ok(changes) => {
                let plugins = running.plugins.iter().map(|plugin| plugin.name.clone()).collect();
                Reloaded::Taken { changes, plugins }
            }
            Err(error) => Reloaded::Refused(error.to_string()),
        },
    );
}

fn answer(asked: Option<ReloadAsked>, told: Reloaded) {
    // Whoever asked may be gone.
    drop(asked.map(|asked| asked.reply.send(told)));
}

/// Why a change of this file is none of this watch, if it is none.
fn unread(running: &Running<'_>, changed: &Path) -> Option<String> {
    let Some(own) = &running.plan.config else {
        return Some("it runs without a configuration file".to_owned());
    };
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    (real(own) != real(changed)).then(|| format!("its configuration is {}", own.display()))
}

/// Returns what changed, in words.
async fn change(
    running: &mut Running<'_>,
    again: &(dyn Fn() -> Result<WatchPlan, CommandError> + Sync),
) -> Result<Vec<String>, CommandError> {
    let plan = again()?;
    refuse(running, &plan)?;
    let bound: Vec<ChainPlan> = (running.chains.iter().zip(&plan.chains))
        .map(|(chain, plan)| plan.clone().bound_to(chain.profile.chain))
        .collect();
    let contracts = merged_contracts(&bound)?;
    let schemas = Arc::new(inputs::schemas(&contracts)?);
    // All of them must load, and their names must not be those of new contracts.
    let becoming_plugins = running_plugins(&plan.plugins, &load_plugins(&plan).await?);
    let becoming_sinks = sinks::open(&plan.sinks)?;
    let mut becoming = Vec::new();
    for (chain, chain_plan) in running.chains.iter().zip(&plan.chains) {
        becoming.push(Becoming {
            nodes: nodes(chain, chain_plan)?,
            filters: inputs::filters(
                &chain_plan.contracts,
                &inputs::schemas(&chain_plan.contracts)?,
            ),
            final_nodes: policy(chain_plan).final_nodes(),
            second_look: chain_plan.second_look.budget(),
        });
    }
    let policies = (running.chains.iter().zip(&plan.chains))
        .map(|(chain, plan)| (chain.profile.chain, policy(plan)))
        .collect();
    let changed = running.owner.change(schemas.clone(), policies);
    changed.await.map_err(|_| CommandError::bug("the ledger's owner has ended"))??;
    running.desk.decode(inputs::specs(&contracts)?).await;
    running.desk.run(becoming_plugins.iter().map(|plugin| plugin.name.clone()).collect());

    // Nothing can be wrong with it any more.
    let plugins = plugin_words(&running.plugins, &becoming_plugins);
    (running.plan, running.plugins) = (plan, becoming_plugins);
    let mut told: Vec<String> = plugins.iter().cloned().collect();
    if running.deliveries.change(becoming_sinks).await {
        let count = running.plan.sinks.len();
        told.push(format!("configuration: other sinks, {count} of them"));
    }
    let mut restarted = Vec::new();
    for (index, becoming) in becoming.into_iter().enumerate() {
        let chain = &mut running.chains[index];
        let is_other = chain.filters != becoming.filters;
        told.push(words(chain, &becoming));
        let change = Change {
            nodes: becoming.nodes.iter().map(|(_, node)| node.clone()).collect(),
            final_nodes: becoming.final_nodes,
            filters: becoming.filters.clone(),
            second_look: becoming.second_look,
        };
        let sent = chain.changes.try_send(change);
        sent.map_err(|_| CommandError::bug("the chain takes no change"))?;
        chain.nodes = becoming.nodes;
        chain.setup.tracked.extend(becoming.filters.clone());
        chain.setup.tracked.sort_unstable();
        chain.setup.tracked.dedup();
        chain.setup.decoder = schemas.clone();
        chain.filters = becoming.filters;
        // A lane asks for what matches it of all that is followed, so it has to ask anew.
        if is_other || plugins.is_some() {
            restarted.push(index);
        }
    }
    // On all chains before any begins: a plugin's tables are those of all of them.
    for index in &restarted {
        running.stop_lanes(*index).await?;
    }
    for index in restarted {
        running.start_lanes(index).await?;
    }
    Ok(told)
}

/// Refuses, all at once, what only a restart can change.
fn refuse(running: &Running<'_>, plan: &WatchPlan) -> Result<(), CommandError> {
    let old = &running.plan;
    let mut other = Vec::new();
    if old.ledger.path != plan.ledger.path {
        other.push(format!("the ledger is {} there", plan.ledger.path.display()));
    }
    let names = |plan: &WatchPlan| {
        plan.chains.iter().map(|chain| chain.chain_name.clone()).collect::<Vec<_>>()
    };
    if names(old) == names(plan) {
        let chains = running.chains.iter().zip(&old.chains).zip(&plan.chains);
        for ((chain, old), new) in chains {
            let name = &chain.profile.name;
            if new.expected_chain.is_some_and(|id| id != chain.profile.chain.0) {
                other.push(format!("chain {name} has another id there"));
            }
            if (old.verify, old.finality) != (new.verify, new.finality) {
                other.push(format!("chain {name} has another `verify` or `finality` there"));
            }
        }
    } else {
        other.push("the chains are others there".to_owned());
    }
    match other.is_empty() {
        true => Ok(()),
        false => Err(CommandError::usage(other.join("; "))
            .context("the configuration cannot be taken over while it runs")
            .hint("restart it to change these: it goes on where it stopped")),
    }
}

/// Opens nodes that are new; the others are the very same.
fn nodes(chain: &RunningChain, plan: &ChainPlan) -> Result<Vec<NamedNode>, CommandError> {
    let open = |spec: &NodeSpec| {
        let known = chain.nodes.iter().find(|(known, _)| known == spec);
        let node = known.map_or_else(|| open_node(spec), |(_, node)| Ok(node.clone()))?;
        Ok((spec.clone(), node))
    };
    plan.nodes.iter().map(open).collect()
}

/// Says how plugins change; nothing where they stay, with the components that they have.
fn plugin_words(old: &[RunningPlugin], new: &[RunningPlugin]) -> Option<String> {
    if old == new {
        return None;
    }
    let missing_from = |from: &[RunningPlugin], of: &[RunningPlugin]| {
        of.iter().filter(|plugin| !from.iter().any(|known| known.name == plugin.name)).count()
    };
    let changed = (new.iter())
        .filter(|plugin| old.iter().any(|known| known.name == plugin.name && known != *plugin))
        .count();
    let (added, removed) = (missing_from(old, new), missing_from(new, old));
    Some(format!("configuration: {added} plugins added, {removed} removed, {changed} changed"))
}

fn words(chain: &RunningChain, becoming: &Becoming) -> String {
    let missing_from = |from: &[NamedNode], of: &[NamedNode]| {
        of.iter().filter(|(spec, _)| !from.iter().any(|(known, _)| known == spec)).count()
    };
    let added = missing_from(&chain.nodes, &becoming.nodes);
    let dropped = missing_from(&becoming.nodes, &chain.nodes);
    let filters = match chain.filters == becoming.filters {
        true => "the same contracts and events",
        false => "other contracts or events",
    };
    let name = &chain.profile.name;
    format!("configuration: chain {name}: {added} nodes added, {dropped} dropped, {filters}")
}
