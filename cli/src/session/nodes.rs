//! The nodes of a replay: opened, greeted, and recorded where that is asked for.

use super::clock::WallTimer;
use crate::{
    command_error::CommandError,
    node_spec::{Endpoint, NodeSpec},
    plan::ChainPlan,
    secret::redacted,
};
use event::{ChainId, Fault, Finality, Node};
use node::Recorder;
use pipeline::{Greeting, ReplayNode, Timer, greet};
use std::{
    io::{Write as _, stderr},
    path::Path,
    sync::Arc,
    time::Instant,
};

/// A node that answered.
pub(super) struct OpenNode {
    pub(super) node: Arc<dyn Node>,
    pub(super) recorder: Option<Arc<Recorder<Arc<dyn Node>>>>,
    pub(super) greeting: Greeting,
}

impl OpenNode {
    pub(super) fn for_replay(&self) -> ReplayNode {
        ReplayNode { node: self.node.clone(), status: self.greeting.status.clone() }
    }
}

/// Opens and greets every node. One that is down is named and left out, the last one is not.
pub(super) async fn open_nodes(
    chain: &ChainPlan,
    recording: Option<&Path>,
    timer: &dyn Timer,
) -> Result<Vec<OpenNode>, CommandError> {
    let (open, mut failed) = try_nodes(chain, recording, timer).await?;
    // Each is told once: the last one by the error, where no node is left.
    let error = match open.is_empty() {
        true => failed.pop().map(CommandError::from),
        false => None,
    };
    for fault in failed {
        writeln!(stderr(), "warning: node left out: {}", redacted(&fault.to_string()))?;
    }
    match error {
        Some(error) => Err(error.context(unusable(chain))),
        None => Ok(open),
    }
}

/// Says that there is no node.
pub(super) fn unusable(chain: &ChainPlan) -> String {
    match chain.nodes.as_slice() {
        [one] => format!("node {} cannot be used", one.name),
        all => format!("none of {} nodes can be used", all.len()),
    }
}

/// Opens and greets every node; returns those that answered, and why the others did not.
pub(super) async fn try_nodes(
    chain: &ChainPlan,
    recording: Option<&Path>,
    timer: &dyn Timer,
) -> Result<(Vec<OpenNode>, Vec<Fault>), CommandError> {
    let mut open = Vec::new();
    let mut failed: Vec<Fault> = Vec::new();
    let mut expected = chain.expected_chain.map(ChainId);
    for spec in &chain.nodes {
        let node = open_node(spec)?;
        let finality = chain.finality.unwrap_or(Finality::Tag);
        match greet(&*node, expected, finality, timer).await {
            Ok(greeting) => {
                expected = Some(greeting.chain);
                let (node, recorder) =
                    record(chain, recording.filter(|_| open.is_empty()), node).await?;
                open.push(OpenNode { node, recorder, greeting });
            }
            Err(fault) if matches!(fault.class, event::FaultClass::WrongChain { .. }) => {
                let context = format!("node {} cannot be used", spec.name);
                return Err(CommandError::from(fault).context(context));
            }
            Err(fault) => failed.push(fault),
        }
    }
    Ok((open, failed))
}

/// Opens a node; nothing is asked of it yet.
pub(super) fn open_node(spec: &NodeSpec) -> Result<Arc<dyn Node>, CommandError> {
    let text = match &spec.endpoint {
        Endpoint::Http(url) | Endpoint::Ws(url) => url.expose().to_owned(),
        Endpoint::Ipc(path) | Endpoint::Recording(path) => path.display().to_string(),
    };
    let defaults = node::OpenOptions::default();
    let options = node::OpenOptions {
        name: Some(event::NodeId::new(spec.name.as_str())),
        headers: spec
            .headers
            .iter()
            .map(|(name, value)| (name.clone(), value.expose().to_owned()))
            .collect(),
        timeout_ms: spec.timeout.map_or(defaults.timeout_ms, |timeout| {
            u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX)
        }),
        ..defaults
    };
    node::open(&text, options).map_err(|error| {
        let hint = error.hint();
        let failed = CommandError::usage(error).context(format!("node {}", spec.name));
        match hint {
            Some(hint) => failed.hint(hint),
            None => failed,
        }
    })
}

type Recorded = (Arc<dyn Node>, Option<Arc<Recorder<Arc<dyn Node>>>>);

/// Puts a recorder before the first node, where one is asked for.
async fn record(
    chain: &ChainPlan,
    recording: Option<&Path>,
    node: Arc<dyn Node>,
) -> Result<Recorded, CommandError> {
    let Some(path) = recording else { return Ok((node, None)) };
    let recorder = Recorder::create(node, path).await.map_err(CommandError::from)?;
    let recorder = Arc::new(recorder);
    // Asked again through the recorder, so that the recording can be greeted too.
    let finality = chain.finality.unwrap_or(Finality::Tag);
    let timer = WallTimer(Instant::now());
    greet(&recorder, chain.expected_chain.map(ChainId), finality, &timer).await?;
    Ok((recorder.clone(), Some(recorder)))
}

pub(super) fn finish_recordings(nodes: &[OpenNode]) -> Result<(), CommandError> {
    for recorder in nodes.iter().filter_map(|node| node.recorder.as_ref()) {
        recorder.finish().map_err(CommandError::from)?;
    }
    Ok(())
}
