//! The nodes of one chain: greeted until they answer, then followed.

use crate::{Greeting, Timer, greet};
use event::{
    Answer, Ask, BlockNumHash, ChainProfile, Fault, FaultClass, Filter, Held, Hint, Node, NodeId,
    Prover, Verify,
};
use futures_channel::oneshot;
use futures_util::{
    FutureExt, StreamExt,
    future::{BoxFuture, Either, Shared, select},
    select_biased,
    stream::FuturesUnordered,
};
use std::{collections::BTreeMap, future::Future, sync::Arc};
use tracker::{Follow, FollowConfig, NodeState, NodeStatus, NodeView, Ticket};

/// First wait before a node that did not answer is greeted again, in milliseconds; doubles.
const GREET_RETRY_MS: u64 = 1_000;
/// Longest such wait, in milliseconds.
const GREET_RETRY_MS_MAX: u64 = 30_000;
/// A node that has not answered its first greeting by then is told, in milliseconds.
const GREET_PATIENCE_MS: u64 = 5_000;

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
pub(super) struct Arrival {
    key: u64,
    what: What,
}

enum What {
    Greeted(Box<Result<Greeting, Fault>>),
    Answered(Ticket, Box<Result<Answer, Fault>>),
    Hinted(Hint),
    /// It was dropped before it could say it.
    Nothing,
}

/// What is on its way from a node.
type Coming<'a> = FuturesUnordered<BoxFuture<'a, Arrival>>;

/// One node.
pub(super) struct NodeRun {
    pub(super) node: Arc<dyn Node>,
    pub(super) view: NodeView,
    /// `None` until it was greeted.
    pub(super) follow: Option<Follow>,
    greet_failures: u32,
    /// It is on another chain, and that was told.
    is_elsewhere: bool,
    pub(super) greet_at_ms: Option<u64>,
    /// Its own among all nodes that ever were.
    key: u64,
    /// Dropped with it: what is on its way ends then.
    _here: oneshot::Sender<()>,
    gone: Shared<oneshot::Receiver<()>>,
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

/// All nodes of one chain, with everything that is on its way from them.
pub(super) struct Nodes<'a> {
    pub(super) all: Vec<NodeRun>,
    common: Common,
    timer: &'a dyn Timer,
    greetings: Coming<'a>,
    answers: Coming<'a>,
    hints: Coming<'a>,
    next_key: u64,
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
            next_key: 0,
        };
        nodes.into_iter().for_each(|node| this.add(node));
        this
    }

    fn add(&mut self, node: Arc<dyn Node>) {
        let (here, gone) = oneshot::channel();
        let (index, key) = (self.all.len(), self.next_key);
        self.next_key += 1;
        self.all.push(NodeRun {
            view: NodeView::connecting(node.id().clone()),
            node,
            follow: None,
            greet_failures: 0,
            is_elsewhere: false,
            greet_at_ms: None,
            key,
            _here: here,
            gone: gone.shared(),
        });
        self.greet(index);
        self.listen(index);
    }

    /// Goes on with these nodes; those that were there before are not disturbed. Returns the names
    /// of those that are gone.
    pub(super) fn replace(&mut self, nodes: Vec<Arc<dyn Node>>) -> Vec<NodeId> {
        let mut before = std::mem::take(&mut self.all);
        for node in nodes {
            match before.iter().position(|run| Arc::ptr_eq(&run.node, &node)) {
                Some(at) => self.all.push(before.remove(at)),
                None => self.add(node),
            }
        }
        before.into_iter().map(|run| run.node.id().clone()).collect()
    }

    /// Returns how many questions are under way.
    pub(super) fn under_way(&self) -> usize {
        self.answers.len()
    }

    /// Returns how much is held of all nodes together.
    pub(super) fn held(&self) -> Held {
        let mut held: BTreeMap<&'static str, usize> = BTreeMap::new();
        let followers = self.all.iter().filter_map(|run| run.follow.as_ref());
        for (name, count) in followers.flat_map(Follow::held) {
            *held.entry(name).or_default() += count;
        }
        let coming = [&self.greetings, &self.answers, &self.hints];
        held.insert("on the way from nodes", coming.into_iter().map(Coming::len).sum());
        held.into_iter().collect()
    }

    /// Returns the tracker of a node by its name.
    pub(super) fn follow_of(&mut self, node: &NodeId) -> Option<&mut Follow> {
        self.all.iter_mut().find(|run| run.node.id() == node)?.follow.as_mut()
    }

    /// Waits for what a node says, unless it is dropped before.
    fn coming(
        &self,
        index: usize,
        said: impl Future<Output = What> + Send + 'a,
    ) -> BoxFuture<'a, Arrival> {
        let NodeRun { key, gone, .. } = &self.all[index];
        let (key, gone) = (*key, gone.clone());
        async move {
            let what = match select(said.boxed(), gone).await {
                Either::Left((what, _)) => what,
                Either::Right(_) => What::Nothing,
            };
            Arrival { key, what }
        }
        .boxed()
    }

    fn greet(&mut self, index: usize) {
        let (node, timer) = (self.all[index].node.clone(), self.timer);
        let (chain, finality) = (self.common.profile.chain, self.common.profile.finality);
        let is_first = self.all[index].greet_failures == 0;
        self.greetings.push(self.coming(index, async move {
            let greeting = greet(&*node, Some(chain), finality, timer).boxed();
            let patience = timer.sleep_until(timer.now_ms() + GREET_PATIENCE_MS);
            let greeting = match select(greeting, patience).await {
                Either::Left((greeting, _)) => greeting,
                Either::Right(((), greeting)) => {
                    if is_first {
                        tracing::warn!(node = %node.id(), "a node has not answered yet");
                    }
                    greeting.await
                }
            };
            What::Greeted(Box::new(greeting))
        }));
    }

    fn listen(&mut self, index: usize) {
        let node = self.all[index].node.clone();
        self.hints.push(self.coming(index, async move { What::Hinted(node.hint().await) }));
    }

    pub(super) fn ask(&mut self, index: usize, ticket: Ticket, ask: Ask) {
        let node = self.all[index].node.clone();
        self.answers.push(
            self.coming(
                index,
                async move { What::Answered(ticket, Box::new(node.ask(ask).await)) },
            ),
        );
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
            greeting = self.greetings.select_next_some() => greeting,
            answer = self.answers.select_next_some() => answer,
            hint = self.hints.select_next_some() => hint,
            complete => std::future::pending().await,
        }
    }

    /// Takes what came; the node is then to be stepped. Returns what shows that it is on another chain,
    /// when that is new.
    pub(super) fn take(
        &mut self,
        arrival: Arrival,
        filters: &[Arc<Filter>],
        window: impl FnOnce() -> Vec<BlockNumHash>,
        now_ms: u64,
    ) -> Option<Fault> {
        let Arrival { key, what } = arrival;
        let index = self.all.iter().position(|run| run.key == key)?;
        match what {
            What::Greeted(greeting) => match *greeting {
                Ok(greeting) => self.follow(index, greeting, filters, window()),
                Err(fault) => return self.on_no_greeting(index, fault, now_ms),
            },
            What::Answered(ticket, answer) => {
                if let Some(follow) = &mut self.all[index].follow {
                    follow.on_answer(ticket, *answer, now_ms);
                }
            }
            What::Hinted(hint) => {
                self.listen(index);
                self.on_hint(index, hint, now_ms);
            }
            What::Nothing => {}
        }
        None
    }

    fn on_hint(&mut self, index: usize, hint: Hint, now_ms: u64) {
        let node = &mut self.all[index];
        match &mut node.follow {
            Some(follow) => follow.on_hint(hint, now_ms),
            // It is there now: no need to wait for the next try.
            None if matches!(hint, Hint::Connected) && node.greet_at_ms.is_some() => {
                node.greet_at_ms = Some(now_ms);
            }
            None => {}
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
            keeps_chain: self.all[index].node.keeps_chain(),
            seed: seed.wrapping_add(self.all[index].key),
            reporter,
        };
        let node = &mut self.all[index];
        if std::mem::take(&mut node.is_elsewhere) {
            tracing::warn!(node = %node.node.id(), "the node is on the right chain again");
        }
        node.greet_failures = 0;
        node.follow = Some(Follow::new(config, prover));
    }

    fn on_no_greeting(&mut self, index: usize, fault: Fault, now_ms: u64) -> Option<Fault> {
        if let FaultClass::WrongChain { .. } = fault.class {
            return self.on_wrong_chain(index, fault, now_ms);
        }
        tracing::warn!(%fault, "a node does not answer");
        self.greet_later(index, now_ms);
        self.all[index].view.state = NodeState::Lost { fault };
        None
    }

    /// The node is on another chain: it is used for nothing, and greeted until it is back. Returns the
    /// fault when that is new.
    pub(super) fn on_wrong_chain(
        &mut self,
        index: usize,
        fault: Fault,
        now_ms: u64,
    ) -> Option<Fault> {
        self.greet_later(index, now_ms);
        let node = &mut self.all[index];
        node.follow = None;
        node.view.state = NodeState::WrongChain;
        if std::mem::replace(&mut node.is_elsewhere, true) {
            return None;
        }
        tracing::warn!(%fault, "a node is on another chain, and is used for nothing until it is back");
        Some(fault)
    }

    /// Greets a node again after a while, the longer the more often it was in vain.
    fn greet_later(&mut self, index: usize, now_ms: u64) {
        let node = &mut self.all[index];
        let wait = GREET_RETRY_MS << node.greet_failures.min(10);
        node.greet_failures += 1;
        node.greet_at_ms = Some(now_ms + wait.min(GREET_RETRY_MS_MAX));
    }
}
