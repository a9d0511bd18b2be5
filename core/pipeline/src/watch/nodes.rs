//! The nodes of one chain: greeted until they answer, then followed.

use crate::{Greeting, Timer, greet};
use event::{
    Answer, Ask, BlockNumHash, ChainProfile, Fault, FaultClass, Filter, Hint, Node, NodeId, Prover,
    Verify,
};
use futures_util::{
    FutureExt, StreamExt, future::BoxFuture, select_biased, stream::FuturesUnordered,
};
use std::sync::Arc;
use tracker::{Follow, FollowConfig, NodeState, NodeStatus, NodeView, Ticket};

/// First wait before a node that did not answer is greeted again, in milliseconds; doubles.
const GREET_RETRY_MS: u64 = 1_000;
/// Longest such wait, in milliseconds.
const GREET_RETRY_MS_MAX: u64 = 30_000;

/// What is the same for all nodes of a chain.
#[derive(Clone)]
pub(super) struct Common {
    pub(super) profile: ChainProfile,
    pub(super) verify: Verify,
    pub(super) poll_interval_ms: u64,
    pub(super) seed: u64,
    pub(super) reporter: Arc<str>,
    pub(super) prover: Arc<dyn Prover>,
}

/// What came from a node.
pub(super) enum Arrival {
    Greeted(usize, Box<Result<Greeting, Fault>>),
    Answered(usize, Ticket, Box<Result<Answer, Fault>>),
    Hinted(usize, Hint),
}

/// One node.
pub(super) struct NodeRun {
    pub(super) node: Arc<dyn Node>,
    pub(super) view: NodeView,
    /// `None` until it was greeted.
    pub(super) follow: Option<Follow>,
    greet_failures: u32,
    greet_at_ms: Option<u64>,
}

impl NodeRun {
    /// Returns what a backfill needs to know of it, while it answers.
    pub(super) fn status(&self) -> Option<NodeStatus> {
        let is_there = matches!(self.view.state, NodeState::Following);
        let head = self.view.head.filter(|_| is_there)?;
        Some(NodeStatus {
            node: self.view.node.clone(),
            client: self.view.client.clone(),
            head: head.block,
            finalized: self.view.finalized,
        })
    }
}

/// What comes back from a node, some time.
type Coming<'a, T> = FuturesUnordered<BoxFuture<'a, T>>;
type Answered = (usize, Ticket, Result<Answer, Fault>);

/// All nodes of one chain, with everything that is on its way from them.
pub(super) struct Nodes<'a> {
    pub(super) all: Vec<NodeRun>,
    common: Common,
    timer: &'a dyn Timer,
    greetings: Coming<'a, (usize, Result<Greeting, Fault>)>,
    answers: Coming<'a, Answered>,
    hints: Coming<'a, (usize, Hint)>,
}

impl<'a> Nodes<'a> {
    pub(super) fn new(nodes: Vec<Arc<dyn Node>>, common: Common, timer: &'a dyn Timer) -> Self {
        let mut this = Self {
            all: Vec::new(),
            common,
            timer,
            greetings: FuturesUnordered::new(),
            answers: FuturesUnordered::new(),
            hints: FuturesUnordered::new(),
        };
        for node in nodes {
            let index = this.all.len();
            let view = NodeView::connecting(node.id().clone());
            this.all.push(NodeRun {
                node,
                view,
                follow: None,
                greet_failures: 0,
                greet_at_ms: None,
            });
            this.greet(index);
            this.listen(index);
        }
        this
    }

    fn greet(&mut self, index: usize) {
        let (node, timer) = (self.all[index].node.clone(), self.timer);
        let (chain, finality) = (self.common.profile.chain, self.common.profile.finality);
        self.greetings.push(
            async move { (index, greet(&*node, Some(chain), finality, timer).await) }.boxed(),
        );
    }

    fn listen(&mut self, index: usize) {
        let node = self.all[index].node.clone();
        self.hints.push(async move { (index, node.hint().await) }.boxed());
    }

    pub(super) fn ask(&mut self, index: usize, ticket: Ticket, ask: Ask) {
        let node = self.all[index].node.clone();
        self.answers.push(async move { (index, ticket, node.ask(ask).await) }.boxed());
    }

    /// Returns the follower of a node that was greeted.
    pub(super) fn follow_of(&mut self, node: &NodeId) -> Option<&mut Follow> {
        self.all.iter_mut().find(|run| run.node.id() == node)?.follow.as_mut()
    }

    /// Greets again whose time has come; returns when the next is due.
    pub(super) fn greet_due(&mut self, now_ms: u64) -> Option<u64> {
        for index in 0..self.all.len() {
            if self.all[index].greet_at_ms.is_some_and(|at| at <= now_ms) {
                self.all[index].greet_at_ms = None;
                self.greet(index);
            }
        }
        self.all.iter().filter_map(|node| node.greet_at_ms).min()
    }

    /// Waits for whatever comes next. Never ready while nothing is on its way.
    pub(super) async fn next(&mut self) -> Arrival {
        select_biased! {
            (index, greeting) = self.greetings.select_next_some() => {
                Arrival::Greeted(index, Box::new(greeting))
            }
            (index, ticket, answer) = self.answers.select_next_some() => {
                Arrival::Answered(index, ticket, Box::new(answer))
            }
            (index, hint) = self.hints.select_next_some() => {
                self.listen(index);
                Arrival::Hinted(index, hint)
            }
            complete => std::future::pending().await,
        }
    }

    /// Takes what came; the node is then to be stepped.
    pub(super) fn take(
        &mut self,
        arrival: Arrival,
        filters: &[Arc<Filter>],
        window: impl FnOnce() -> Vec<BlockNumHash>,
        now_ms: u64,
    ) {
        match arrival {
            Arrival::Greeted(index, greeting) => match *greeting {
                Ok(greeting) => self.follow(index, greeting, filters, window()),
                Err(fault) => self.on_no_greeting(index, fault, now_ms),
            },
            Arrival::Answered(index, ticket, answer) => {
                if let Some(follow) = &mut self.all[index].follow {
                    follow.on_answer(ticket, *answer, now_ms);
                }
            }
            Arrival::Hinted(index, hint) => match &mut self.all[index].follow {
                Some(follow) => follow.on_hint(hint, now_ms),
                None => {
                    // It is there now: no need to wait for the next try.
                    let node = &mut self.all[index];
                    if matches!(hint, Hint::Connected) && node.greet_at_ms.is_some() {
                        node.greet_at_ms = Some(now_ms);
                    }
                }
            },
        }
    }

    fn follow(
        &mut self,
        index: usize,
        greeting: Greeting,
        filters: &[Arc<Filter>],
        window: Vec<BlockNumHash>,
    ) {
        let Common { profile, verify, poll_interval_ms, seed, reporter, prover } =
            self.common.clone();
        let config = FollowConfig {
            status: greeting.status,
            verify,
            profile,
            filters: filters.to_vec(),
            window,
            poll_interval_ms,
            seed: seed.wrapping_add(index as u64),
            reporter,
        };
        self.all[index].follow = Some(Follow::new(config, prover));
    }

    fn on_no_greeting(&mut self, index: usize, fault: Fault, now_ms: u64) {
        let node = &mut self.all[index];
        tracing::warn!(%fault, "a node does not answer");
        if let FaultClass::WrongChain { .. } = fault.class {
            // For the operator to look at: it is never asked again.
            node.view.state = NodeState::WrongChain;
            return;
        }
        let wait = GREET_RETRY_MS << node.greet_failures.min(10);
        node.greet_failures += 1;
        node.greet_at_ms = Some(now_ms + wait.min(GREET_RETRY_MS_MAX));
        node.view.state = NodeState::Lost { fault };
    }
}
