//! Answers the clients of a ledger that this process owns.
//!
//! Reports, claims and questions about coverage go to the owner's thread in the order in which they
//! come; everything else is read beside it.

use super::{
    super::ledger,
    contracts::{as_specs, merge},
    reads::Reads,
};
use abi::{ContractSpec, Schemas};
use aggregator::Policy;
use event::{AnchorPolicy, ChainId, LedgerError, Reader as _};
use futures_channel::{mpsc, oneshot};
use futures_util::FutureExt;
use pipeline::{ChainSetup, Claim, Holder, LookClaim, OwnerHandle, Reply as OwnerReply};
use relay::{Desk, DeskAnswer, Hello, Joined, Joining, More, Refusal, Reloaded, Reply, Request};
use std::{
    collections::BTreeMap,
    ops::ControlFlow,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};
use store::LedgerReader;
use tokio::sync::Mutex as TurnMutex;

/// Rows of a statement that travel at once, at most.
const ROWS_AT_ONCE_MAX: usize = 1_000;
/// Values of these rows, at most: rows may be wide.
const VALUES_AT_ONCE_MAX: usize = 10_000;
/// Bytes after which rows travel, however few they are.
const BYTES_AT_ONCE: usize = 1 << 20;

/// Wishes for another reading of the configuration that wait, at most.
const RELOADS_MAX: usize = 4;

/// What a client's reports are taken under, by chain.
type Chains = Arc<Mutex<BTreeMap<ChainId, Policy>>>;

/// A client has changed a configuration file.
pub(crate) struct ReloadAsked {
    /// The file, by its whole path.
    pub(crate) config: PathBuf,
    /// What becomes of it.
    pub(crate) reply: oneshot::Sender<Reloaded>,
}

/// The owner's side of every client.
pub(crate) struct OwnerDesk {
    owner: Arc<OwnerHandle>,
    reads: Arc<Reads>,
    chains: Chains,
    plugins: Mutex<Vec<String>>,
    /// To whoever reads the configuration again; none in a process that does not.
    reloads: Mutex<Option<mpsc::Sender<ReloadAsked>>>,
    /// What is decoded; one change at a time.
    contracts: Arc<TurnMutex<Vec<ContractSpec>>>,
}

impl OwnerDesk {
    /// Returns one that speaks for `owner`.
    pub(crate) fn new(
        owner: &OwnerHandle,
        reader: LedgerReader,
        chains: impl IntoIterator<Item = (ChainId, Policy)>,
        plugins: Vec<String>,
        contracts: Vec<ContractSpec>,
    ) -> Arc<Self> {
        Arc::new(Self {
            owner: Arc::new(owner.beside()),
            reads: Arc::new(Reads::new(reader)),
            chains: Arc::new(Mutex::new(chains.into_iter().collect())),
            plugins: Mutex::new(plugins),
            reloads: Mutex::default(),
            contracts: Arc::new(TurnMutex::new(contracts)),
        })
    }

    /// What is decoded has changed: clients add to this from now on.
    pub(crate) async fn decode(&self, contracts: Vec<ContractSpec>) {
        *self.contracts.lock().await = contracts;
    }

    /// The plugins have changed: clients are told of these from now on.
    pub(crate) fn run(&self, plugins: Vec<String>) {
        *self.plugins.lock().unwrap_or_else(PoisonError::into_inner) = plugins;
    }

    /// Returns where clients' wishes for another reading of the configuration come out.
    pub(crate) fn reloads(&self) -> mpsc::Receiver<ReloadAsked> {
        let (sender, receiver) = mpsc::channel(RELOADS_MAX);
        *self.reloads.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
        receiver
    }

    fn running(&self) -> Vec<String> {
        self.plugins.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn reload(&self, config: String) -> DeskAnswer {
        let reloads = self.reloads.lock().unwrap_or_else(PoisonError::into_inner).clone();
        async move {
            let unread = |why: &str| Ok(Reply::Reloaded(Reloaded::Unread(why.to_owned())));
            let Some(mut reloads) = reloads else {
                return unread("it reads its configuration once, when it starts");
            };
            let (reply, answer) = oneshot::channel();
            if reloads.try_send(ReloadAsked { config: config.into(), reply }).is_err() {
                return unread("it is busy with other changes of its configuration");
            }
            Ok(Reply::Reloaded(told(answer).await?))
        }
        .boxed()
    }

    /// Ends what is being read for clients. The ledger can be closed then.
    pub(crate) async fn close(&self) {
        self.reads.close().await;
    }

    fn join(&self, joining: Joining) -> DeskAnswer {
        let Joining { profile, verify, anchor, nodes, contracts } = joining;
        let (owner, chains, known) =
            (self.owner.clone(), self.chains.clone(), self.contracts.clone());
        let plugins = self.running();
        async move {
            let chain = profile.chain;
            let find = || {
                let chains = chains.lock().unwrap_or_else(PoisonError::into_inner);
                chains.get(&chain).copied()
            };
            let policy = match find() {
                Some(policy) => policy,
                None => {
                    let policy = ledger::policy_of(verify, anchor, nodes);
                    told(owner.add_chain(ChainSetup { profile, policy })).await??;
                    chains.lock().unwrap_or_else(PoisonError::into_inner).insert(chain, policy);
                    policy
                }
            };
            if anchor != policy.anchor && matches!(anchor, AnchorPolicy::Checkpoint(_)) {
                let why = "it does not believe headers because they lead to that --anchor";
                return Err(Refusal::Cannot(why.into()));
            }
            let mut known = known.lock().await;
            let mut all = known.clone();
            let is_new = merge(&mut all, as_specs(contracts)).map_err(|name| {
                Refusal::Cannot(format!("it decodes other events of the contract `{name}`"))
            })?;
            if is_new {
                let schemas = Schemas::parse(&all);
                let schemas = schemas.map_err(|error| Refusal::Cannot(error.to_string()))?;
                told(owner.change(Arc::new(schemas), Vec::new())).await??;
                *known = all;
            }
            let Policy { verify, anchor, .. } = policy;
            Ok(Reply::Joined(Joined { verify, anchor, plugins }))
        }
        .boxed()
    }

    fn query(&self, sql: String, more: More) -> DeskAnswer {
        self.reads.read_for_user(move |reader| {
            let (mut rows, mut bytes, mut is_heard) = (Vec::new(), 0, true);
            let columns = reader.query(&sql, &mut |columns, row| {
                bytes += row.iter().map(bytes_of).sum::<usize>();
                let most = (VALUES_AT_ONCE_MAX / columns.len().max(1)).clamp(1, ROWS_AT_ONCE_MAX);
                rows.push(row);
                if rows.len() >= most || bytes >= BYTES_AT_ONCE {
                    let part = Reply::Rows(columns.to_vec(), std::mem::take(&mut rows));
                    is_heard = more.send_blocking(part);
                    bytes = 0;
                }
                if is_heard { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })?;
            if !rows.is_empty() && is_heard {
                more.send_blocking(Reply::Rows(columns.clone(), rows));
            }
            Ok(Reply::Columns(columns))
        })
    }
}

/// About so much memory a value takes on its way.
fn bytes_of(value: &event::Value) -> usize {
    use event::Value;
    match value {
        Value::Number(text) | Value::Text(text) | Value::Time(text) | Value::Other(text) => {
            text.len()
        }
        Value::Blob(bytes) => bytes.len(),
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) => 0,
    }
}

/// The owner's answer; without one it has ended.
async fn told<T>(reply: OwnerReply<T>) -> Result<T, Refusal> {
    reply.await.map_err(|_| Refusal::Ending)
}

impl Desk for OwnerDesk {
    fn answer(&self, client: &Hello, request: Request, more: More) -> DeskAnswer {
        let owner = &self.owner;
        match request {
            Request::Submit(report) => {
                let chains = self.chains.lock().unwrap_or_else(PoisonError::into_inner);
                if !chains.contains_key(&report.chain) {
                    let why = format!("a report of chain {}, which nobody joined", report.chain);
                    return async { Err(Refusal::Unsound(why)) }.boxed();
                }
                drop(chains);
                let ack = owner.submit(report);
                async {
                    let ack = told(ack).await?;
                    Ok(Reply::Ack(ack.map_err(|error| LedgerError::clone(&error))?))
                }
                .boxed()
            }
            Request::Flush => {
                owner.flush();
                async { Ok(Reply::Done) }.boxed()
            }
            Request::Missing { chain, filter, range, verify } => {
                let reply = owner.missing(chain, filter, range, verify);
                async { Ok(Reply::Missing(told(reply).await?)) }.boxed()
            }
            Request::Claim { run, chain, filters, range, verify } => {
                let holder = Holder { process: client.pid, run };
                let reply = owner.claim_for(Claim { holder, chain, filters, range, verify });
                async { Ok(Reply::Claimed(told(reply).await?)) }.boxed()
            }
            Request::ClaimLook { run, chain, filter, range, verify, nodes, blocks_max } => {
                let holder = Holder { process: client.pid, run };
                let claim = LookClaim { holder, chain, filter, range, verify, nodes, blocks_max };
                let reply = owner.claim_look_for(claim);
                async { Ok(Reply::ToLook(told(reply).await?)) }.boxed()
            }
            Request::Release { run } => {
                owner.release(Holder { process: client.pid, run });
                async { Ok(Reply::Done) }.boxed()
            }
            Request::Looked { chain, filter, range } => {
                owner.looked(chain, filter, range);
                async { Ok(Reply::Done) }.boxed()
            }
            Request::Undecided { chain, filters, range } => {
                let reply = owner.undecided(chain, filters, range);
                async { Ok(Reply::Missing(told(reply).await?)) }.boxed()
            }
            Request::Demand { chain, filters, range, verify, now_s } => {
                owner.demand(chain, filters, range, verify, now_s);
                async { Ok(Reply::Done) }.boxed()
            }
            Request::Evidence { chain, filters, range } => {
                let reply = owner.evidence(chain, filters, range);
                async { Ok(Reply::Evidence(told(reply).await?)) }.boxed()
            }
            Request::Join(joining) => self.join(*joining),
            Request::Chains => self.reads.read(|reader| Ok(Reply::Chains(reader.chains()?))),
            Request::Load(chain) => {
                self.reads.read(move |reader| Ok(Reply::State(Box::new(reader.load(chain)?))))
            }
            Request::Query(sql) => self.query(sql, more),
            Request::Digest => self.reads.read(|reader| Ok(Reply::Digest(reader.digest()?))),
            Request::Check => self.reads.read(|reader| Ok(Reply::Problems(reader.check()?))),
            Request::Remedy(remedy) => {
                let reply = owner.remedy(remedy);
                async { Ok(Reply::Count(told(reply).await??)) }.boxed()
            }
            Request::Plugins => {
                let plugins = self.running();
                async { Ok(Reply::Plugins(plugins)) }.boxed()
            }
            Request::Busy(chain) => {
                let reply = owner.busy_lanes(chain);
                async { Ok(Reply::Plugins(told(reply).await?)) }.boxed()
            }
            Request::Reload { config } => self.reload(config),
            Request::Events(query) => self.reads.read(move |reader| {
                let page = reader.another()?.events(&query)?;
                Ok(Reply::Page(Box::new(page)))
            }),
            Request::Export { select, form, to } => self.reads.read_for_user(move |reader| {
                Ok(Reply::Exported(reader.export(&select, form, to.as_ref())?))
            }),
            Request::Snapshot { to, with_digest } => self.reads.read_for_user(move |reader| {
                Ok(Reply::Copied(reader.snapshot(to.as_ref(), with_digest)?))
            }),
        }
    }

    fn hurry(&self) {
        self.owner.flush();
    }

    fn left(&self, client: &Hello) {
        self.owner.release_all(client.pid);
    }
}
