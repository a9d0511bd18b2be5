//! A node of the world: asked and announced to like any other, and as good as its rules let it be.

use crate::{
    Rule, Told, Trouble, World,
    answer::Answering,
    chain::{Tree, View},
    faults::{Active, Question, ask_key, delay_ms, method_of, refusal},
    rng::{hash, key_of},
};
use alloy_primitives::B256;
use event::{Answer, AnswerFuture, Ask, ChainId, Fault, Hint, HintFuture, Node, NodeId, Receipt};
use futures_util::{FutureExt, future::join_all};
use pipeline::Timer;
use std::{
    collections::{BTreeMap, VecDeque},
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll, Waker},
};

/// Hints on their way to one node's listener, at most.
const HINTS_MAX: usize = 4_096;

/// What the world keeps of a node.
#[derive(Debug)]
pub(crate) struct NodeState {
    /// Newest block that it has.
    pub(crate) tip: B256,
    /// Its branch, where it is not on the canonical one.
    pub(crate) side: Option<Side>,
    /// On their way, with when each arrives; in order.
    pub(crate) hints: VecDeque<(u64, Hint)>,
    pub(crate) wakers: Vec<Waker>,
    /// How often each question was asked, heads apart.
    pub(crate) asks: BTreeMap<u64, u64>,
    heads_asked: u64,
    calls: BTreeMap<String, u64>,
    /// Each with how many questions it held for.
    rules: Vec<(Arc<Rule>, u64)>,
}

/// A branch that not everybody is on.
#[derive(Clone, Debug)]
pub(crate) struct Side {
    pub(crate) tip: B256,
    pub(crate) is_secret: bool,
    pub(crate) finalizes: bool,
}

impl NodeState {
    pub(crate) const fn new(tip: B256) -> Self {
        Self {
            tip,
            side: None,
            hints: VecDeque::new(),
            wakers: Vec::new(),
            asks: BTreeMap::new(),
            heads_asked: 0,
            calls: BTreeMap::new(),
            rules: Vec::new(),
        }
    }

    pub(crate) fn set_rules(&mut self, rules: Vec<Rule>) {
        self.rules = rules.into_iter().map(|rule| (Arc::new(rule), 0)).collect();
    }

    /// Returns the rules that hold for the question, in order.
    pub(crate) fn active(
        &mut self,
        id: &NodeId,
        seed: u64,
        question: &Question<'_>,
    ) -> Vec<Active> {
        let node = key_of(id.0.as_bytes());
        let mut active = Vec::new();
        for (place, (rule, calls)) in self.rules.iter_mut().enumerate() {
            let key = hash(seed, &[node, place as u64]);
            if rule.when.holds(question, key, calls) {
                active.push(Active { rule: rule.clone(), key });
            }
        }
        active
    }

    /// Puts hints on their way; the oldest are dropped beyond the bound.
    pub(crate) fn announce(&mut self, hints: Vec<(u64, Hint)>) {
        self.hints.extend(hints);
        // What arrives together stays in the order sent.
        self.hints.make_contiguous().sort_by_key(|(due_ms, _)| *due_ms);
        let over = self.hints.len().saturating_sub(HINTS_MAX);
        self.hints.drain(..over);
    }

    /// Takes the next hint that has arrived: of announcements in a row only the newest.
    fn take_hint(&mut self, now_ms: u64) -> Option<Hint> {
        let mut taken = None;
        while let Some((due_ms, hint)) = self.hints.front() {
            let replaces =
                matches!((&taken, hint), (None, _) | (Some(Hint::Head(_)), Hint::Head(_)));
            if *due_ms > now_ms || !replaces {
                break;
            }
            taken = self.hints.pop_front().map(|(_, hint)| hint);
            if !matches!(taken, Some(Hint::Head(_))) {
                break;
            }
        }
        taken
    }
}

/// One endpoint of the world.
#[derive(Debug)]
pub struct SimNode {
    id: NodeId,
    client: String,
    world: World,
}

/// A call that was sent.
struct Sent {
    active: Vec<Active>,
    latency_ms: u64,
    refusal: Option<Fault>,
    key: u64,
}

impl SimNode {
    pub(crate) fn new(id: NodeId, client: String, world: World) -> Self {
        Self { id, client, world }
    }

    /// Returns the world that it is of.
    pub const fn world(&self) -> &World {
        &self.world
    }

    /// Asks like [`Node::ask`], and is told also what a transport leaves out, and the truth: for
    /// whoever serves the node to others.
    pub async fn tell(&self, ask: Ask) -> Result<Told, Fault> {
        let sent = self.send(&ask);
        self.tell_sent(ask, sent, true).await
    }

    async fn tell_sent(
        &self,
        ask: Ask,
        sent: Option<Sent>,
        tells_truth: bool,
    ) -> Result<Told, Fault> {
        let Some(sent) = sent else { return std::future::pending().await };
        let clock = self.world.clock();
        let there = sent.latency_ms / 2;
        clock.sleep_until(clock.now_ms() + there).await;
        let told = self.answer(&ask, &sent, tells_truth);
        clock.sleep_until(clock.now_ms() + sent.latency_ms - there).await;
        told
    }

    /// Counts the call and finds what strikes it. `None` is a call that is never answered.
    fn send(&self, ask: &Ask) -> Option<Sent> {
        let now_ms = self.world.clock().now_ms();
        let mut state = self.world.lock();
        let (seed, latency) = (state.settings.seed, state.settings.latency_ms);
        let node = state.nodes.get_mut(&self.id)?;
        *node.calls.entry(method_of(ask).to_owned()).or_default() += 1;
        let key = ask_key(ask);
        let times = match ask {
            Ask::Head(_) => &mut node.heads_asked,
            _ => node.asks.entry(key).or_default(),
        };
        *times += 1;
        let key = hash(key, &[*times]);
        let active = node.active(&self.id, seed, &Question::of(ask, key, now_ms));
        let spread = latency.1.saturating_sub(latency.0).saturating_add(1);
        let usual = latency.0 + hash(seed, &[key_of(self.id.0.as_bytes()), key, 4]) % spread;
        let latency_ms = usual.saturating_add(delay_ms(&active)?);
        let refusal = refusal(&self.id, ask, &active);
        for active in &active {
            self.world.sometimes().happened(active.trouble().name());
        }
        Some(Sent { active, latency_ms, refusal, key })
    }

    /// Answers out of what the node knows now.
    fn answer(&self, ask: &Ask, sent: &Sent, tells_truth: bool) -> Result<Told, Fault> {
        let now_ms = self.world.clock().now_ms();
        let mut state = self.world.lock();
        let answer = match &sent.refusal {
            Some(fault) => Err(fault.clone()),
            None => {
                let other = sent.active.iter().find_map(|active| match active.trouble() {
                    Trouble::OtherChain(chain) => Some(*chain),
                    _ => None,
                });
                if let Some(chain) = other {
                    state.ensure_other(chain);
                }
                let view = state.view(&self.id, other);
                let (node, client, active) = (&self.id, &*self.client, &*sent.active);
                Answering { node, client, view, active, now_ms, tells_truth }.told(ask)
            }
        };
        state.trace = hash(state.trace, &[now_ms, sent.key, told(&answer)]);
        answer
    }

    fn poll_hint(&self, context: &mut Context<'_>) -> Poll<Hint> {
        let clock = self.world.clock();
        let mut state = self.world.lock();
        let Some(node) = state.nodes.get_mut(&self.id) else { return Poll::Pending };
        if let Some(hint) = node.take_hint(clock.now_ms()) {
            return Poll::Ready(hint);
        }
        if let Some((due_ms, _)) = node.hints.front() {
            clock.wake_at(*due_ms, context.waker().clone());
        }
        node.wakers.retain(|waker| !waker.will_wake(context.waker()));
        node.wakers.push(context.waker().clone());
        Poll::Pending
    }
}

impl Node for SimNode {
    fn id(&self) -> &NodeId {
        &self.id
    }

    fn ask(&self, ask: Ask) -> AnswerFuture<'_> {
        // A batch of receipts is as many questions, each as good as the rules let it be.
        if let Ask::ReceiptsOf { blocks } = ask {
            let told = blocks.into_iter().map(|block| self.ask(Ask::Receipts { block }));
            let told = join_all(told.collect::<Vec<_>>());
            return Box::pin(
                told.map(|told| Ok(Answer::ReceiptsOf(told.into_iter().map(receipts).collect()))),
            );
        }
        // Sent when it is asked, not when somebody first waits for the answer.
        let sent = self.send(&ask);
        Box::pin(async move { self.tell_sent(ask, sent, false).await.map(|told| told.answer) })
    }

    fn hint(&self) -> HintFuture<'_> {
        Box::pin(poll_fn(|context| self.poll_hint(context)))
    }

    fn calls(&self) -> BTreeMap<String, u64> {
        self.world.lock().nodes.get(&self.id).map(|node| node.calls.clone()).unwrap_or_default()
    }
}

impl crate::world::State {
    fn ensure_other(&mut self, chain: ChainId) {
        let (seed, head) = (self.settings.seed, self.tree.head().number);
        let traffic = &self.settings.traffic;
        self.others.entry(chain).or_insert_with(|| {
            let mut tree = Tree::new(chain, hash(seed, &[chain.0]), traffic.clone());
            tree.mine(head);
            tree
        });
    }

    /// Returns what a node knows, perhaps of another chain.
    fn view<'a>(&'a self, id: &'a NodeId, other: Option<ChainId>) -> View<'a> {
        if let Some(tree) = other.and_then(|chain| self.others.get(&chain)) {
            return View::of(tree, id, tree.head().hash);
        }
        let node = self.nodes.get(id);
        let mut view = View::of(&self.tree, id, node.map_or(B256::ZERO, |node| node.tip));
        if let Some(leaves_at) = view.leaves_at() {
            let finalizes = node.and_then(|n| n.side.as_ref()).is_some_and(|side| side.finalizes);
            view.finalized = if finalizes {
                Some(view.head)
            } else {
                view.finalized.map(|number| number.min(leaves_at.saturating_sub(1)))
            };
        }
        view
    }
}

fn receipts(answer: Result<Answer, Fault>) -> Result<Vec<Receipt>, Fault> {
    match answer? {
        Answer::Receipts(receipts) => Ok(receipts),
        _ => Ok(Vec::new()),
    }
}

/// Returns a number that stands for what was answered.
fn told(told: &Result<Told, Fault>) -> u64 {
    match told.as_ref().map(|told| &told.answer) {
        Ok(Answer::Logs(logs)) => hash(logs.logs.len() as u64, &[logs.removed, logs.bytes]),
        Ok(Answer::Head(head)) => key_of(head.block.hash.as_slice()),
        Ok(Answer::Headers(headers)) => {
            let last = headers.last().map_or(0, |block| key_of(block.hash.as_slice()));
            hash(headers.len() as u64, &[last])
        }
        Ok(Answer::SomeHeaders(headers)) => headers.len() as u64,
        Ok(Answer::Receipts(receipts)) => receipts.len() as u64,
        Ok(Answer::ReceiptsOf(told)) => told.len() as u64,
        Ok(Answer::ChainId(chain)) => chain.0,
        Ok(Answer::Syncing(syncing)) => u64::from(*syncing),
        Ok(Answer::PeerCount(count)) => *count,
        Ok(Answer::ClientVersion(_)) => 0,
        Ok(Answer::Bytes(bytes)) => key_of(bytes),
        Err(fault) => key_of(fault.text.as_bytes()),
    }
}
