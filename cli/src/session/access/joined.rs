//! A ledger that another process owns: what this one asks of it.

use super::carried::Carried;
use crate::{
    command_error::{CommandError, ErrorKind},
    output_file::not_written,
};
use event::{
    Ack, BlockRange, ChainId, ChainState, Claimed, EventPage, EventQuery, Evidence, FileForm,
    Filter, FilterId, LedgerError, Remedy, Report, ToLook, Verify,
};
use futures_channel::oneshot;
use pipeline::{AwayOwner, Claim, LookClaim, OnAck};
use relay::{Answer, AskError, Client, Encoded, Hello, Joining, Refusal, Reloaded, Reply, Request};
use std::sync::Arc;

/// Why an owner did not do what it was asked.
#[derive(Debug)]
pub(crate) enum Miss {
    /// It has ended: whoever owns the ledger now is to be asked, or nobody does.
    Lost,
    /// It cannot.
    Failed(CommandError),
}

impl From<CommandError> for Miss {
    fn from(error: CommandError) -> Self {
        Self::Failed(error)
    }
}

impl From<LedgerError> for Miss {
    fn from(error: LedgerError) -> Self {
        Self::Failed(error.into())
    }
}

impl From<AskError> for Miss {
    fn from(error: AskError) -> Self {
        match error {
            AskError::Lost => Self::Lost,
            AskError::Refused(refusal) => Self::Failed(refused(refusal)),
        }
    }
}

fn refused(refusal: Refusal) -> CommandError {
    match refusal {
        Refusal::Ledger(error) => error.into(),
        Refusal::Cannot(_) => CommandError::new(ErrorKind::LeftOpen, refusal)
            .context("the process that owns the ledger cannot do this beside what it does")
            .hint("run it again when that process has ended: --if-busy wait"),
        Refusal::Unsound(_) | Refusal::Ending => CommandError::bug(refusal),
    }
}

/// A connection to the owner.
#[derive(Clone, Debug)]
pub(crate) struct Joined {
    pub(crate) client: Arc<Client>,
}

impl Joined {
    pub(crate) fn new(client: Client) -> Self {
        Self { client: Arc::new(client) }
    }

    /// Who owns the ledger.
    pub(crate) fn owner(&self) -> &Hello {
        self.client.owner()
    }

    async fn ask(&self, request: Request) -> Result<Reply, Miss> {
        Ok(self.client.ask(&request).await?)
    }

    /// Asks for a file: an error of the device is about that.
    async fn written(&self, request: Request) -> Result<Reply, Miss> {
        self.client.ask(&request).await.map_err(|error| match error {
            AskError::Refused(Refusal::Ledger(LedgerError::Io(why))) => {
                Miss::Failed(not_written(why))
            }
            error => error.into(),
        })
    }

    pub(crate) async fn chains(&self) -> Result<Vec<ChainId>, Miss> {
        match self.ask(Request::Chains).await? {
            Reply::Chains(chains) => Ok(chains),
            _ => Err(another()),
        }
    }

    pub(crate) async fn load(&self, chain: ChainId) -> Result<ChainState, Miss> {
        match self.ask(Request::Load(chain)).await? {
            Reply::State(state) => Ok(*state),
            _ => Err(another()),
        }
    }

    pub(crate) async fn join(&self, joining: Joining) -> Result<relay::Joined, Miss> {
        match self.ask(Request::Join(Box::new(joining))).await? {
            Reply::Joined(joined) => Ok(joined),
            _ => Err(another()),
        }
    }

    pub(crate) async fn remedy(&self, remedy: &Remedy) -> Result<u64, Miss> {
        match self.ask(Request::Remedy(remedy.clone())).await? {
            Reply::Count(count) => Ok(count),
            _ => Err(another()),
        }
    }

    pub(crate) async fn plugins(&self) -> Result<Vec<String>, Miss> {
        match self.ask(Request::Plugins).await? {
            Reply::Plugins(plugins) => Ok(plugins),
            _ => Err(another()),
        }
    }

    /// Returns the plugins that have not handled yet what there is for them.
    pub(crate) async fn busy(&self, chain: ChainId) -> Result<Vec<String>, Miss> {
        match self.ask(Request::Busy(chain)).await? {
            Reply::Plugins(plugins) => Ok(plugins),
            _ => Err(another()),
        }
    }

    /// Has the owner read a configuration file again, given by its whole path.
    pub(crate) async fn reload(&self, config: &str) -> Result<Reloaded, Miss> {
        match self.ask(Request::Reload { config: config.to_owned() }).await? {
            Reply::Reloaded(reloaded) => Ok(reloaded),
            _ => Err(another()),
        }
    }

    pub(crate) async fn digest(&self) -> Result<alloy_primitives::B256, Miss> {
        match self.ask(Request::Digest).await? {
            Reply::Digest(digest) => Ok(digest),
            _ => Err(another()),
        }
    }

    pub(crate) async fn events(&self, query: &EventQuery) -> Result<EventPage, Miss> {
        match self.ask(Request::Events(query.clone())).await? {
            Reply::Page(page) => Ok(*page),
            _ => Err(another()),
        }
    }

    pub(crate) async fn export(&self, select: &str, form: FileForm, to: &str) -> Result<u64, Miss> {
        let request = Request::Export { select: select.to_owned(), form, to: to.to_owned() };
        match self.written(request).await? {
            Reply::Exported(rows) => Ok(rows),
            _ => Err(another()),
        }
    }

    pub(crate) async fn snapshot(
        &self,
        to: &str,
        with_digest: bool,
    ) -> Result<Option<alloy_primitives::B256>, Miss> {
        match self.written(Request::Snapshot { to: to.to_owned(), with_digest }).await? {
            Reply::Copied(digest) => Ok(digest),
            _ => Err(another()),
        }
    }

    pub(crate) async fn check(&self) -> Result<Vec<String>, Miss> {
        match self.ask(Request::Check).await? {
            Reply::Problems(problems) => Ok(problems),
            _ => Err(another()),
        }
    }
}

/// The owner answers another question than was asked: a bug.
pub(crate) fn another() -> Miss {
    Miss::Failed(CommandError::bug("the owner of the ledger gave another answer"))
}

/// Speaks to the owner for a replay.
pub(crate) struct Away {
    joined: Joined,
    carried: Arc<Carried>,
    runtime: tokio::runtime::Handle,
}

impl Away {
    /// Returns one that keeps every report until it is acknowledged. To be called inside a Tokio
    /// runtime.
    pub(crate) fn new(joined: &Joined, carried: &Arc<Carried>) -> Self {
        Self {
            joined: joined.clone(),
            carried: carried.clone(),
            runtime: tokio::runtime::Handle::current(),
        }
    }

    /// Hands the answer on; a reply that is dropped says that there is none.
    fn forward<T: Send + 'static>(
        &self,
        answer: Answer,
        reply: oneshot::Sender<T>,
        read: impl FnOnce(Reply) -> Option<T> + Send + 'static,
    ) {
        self.runtime.spawn(async move {
            match answer.await.map(read) {
                Ok(Some(told)) => {
                    let _ = reply.send(told);
                }
                Ok(None) => tracing::error!("the owner of the ledger gave another answer"),
                Err(error) => tracing::debug!(%error, "no answer"),
            }
        });
    }
}

impl AwayOwner for Away {
    fn submit(&self, report: Box<Report>, on_ack: OnAck) {
        let parts = match Encoded::of_report(report) {
            Ok(parts) => parts,
            Err(refusal) => {
                on_ack(Err(Arc::new(LedgerError::Internal(refusal.to_string()))));
                return;
            }
        };
        let answers: Vec<_> = (parts.into_iter())
            .map(|part| (self.joined.client.ask_encoded(&part), self.carried.keep(part)))
            .collect();
        let carried = self.carried.clone();
        self.runtime.spawn(async move {
            let mut all: Option<Ack> = None;
            for (answer, key) in answers {
                match answer.await {
                    Ok(Reply::Ack(ack)) => {
                        carried.acknowledged(key, &ack);
                        all = Some(match all.take() {
                            Some(before) => together(before, ack),
                            None => ack,
                        });
                    }
                    Err(AskError::Refused(refusal)) => {
                        carried.forget(key);
                        on_ack(Err(Arc::new(match refusal {
                            Refusal::Ledger(error) => error,
                            other => LedgerError::Internal(other.to_string()),
                        })));
                        return;
                    }
                    // Kept for the next owner.
                    Ok(_) | Err(AskError::Lost) => return,
                }
            }
            on_ack(Ok(all.unwrap_or_default()));
        });
    }

    fn flush(&self) {
        drop(self.joined.client.ask(&Request::Flush));
    }

    fn missing(
        &self,
        chain: ChainId,
        filter: Filter,
        range: BlockRange,
        verify: Verify,
        reply: oneshot::Sender<Vec<(BlockRange, Vec<Filter>)>>,
    ) {
        let answer = self.joined.client.ask(&Request::Missing { chain, filter, range, verify });
        self.forward(answer, reply, |reply| match reply {
            Reply::Missing(missing) => Some(missing),
            _ => None,
        });
    }

    fn claim(&self, claim: Claim, reply: oneshot::Sender<Claimed>) {
        let Claim { holder, chain, filters, range, verify } = claim;
        let request = Request::Claim { run: holder.run, chain, filters, range, verify };
        let owner = self.joined.owner().pid;
        self.forward(self.joined.client.ask(&request), reply, move |reply| match reply {
            Reply::Claimed(mut claimed) => {
                // The owner calls itself 0.
                for (_, process) in claimed.held.iter_mut().filter(|(_, pid)| *pid == 0) {
                    *process = owner;
                }
                Some(claimed)
            }
            _ => None,
        });
    }

    fn claim_look(&self, claim: LookClaim, reply: oneshot::Sender<ToLook>) {
        let LookClaim { holder, chain, filter, range, verify, nodes, blocks_max } = claim;
        let run = holder.run;
        let request = Request::ClaimLook { run, chain, filter, range, verify, nodes, blocks_max };
        let owner = self.joined.owner().pid;
        self.forward(self.joined.client.ask(&request), reply, move |reply| match reply {
            Reply::ToLook(mut to_look) => {
                // As above.
                for (_, process) in to_look.held.iter_mut().filter(|(_, pid)| *pid == 0) {
                    *process = owner;
                }
                Some(to_look)
            }
            _ => None,
        });
    }

    fn release(&self, run: u64) {
        drop(self.joined.client.ask(&Request::Release { run }));
    }

    fn evidence(
        &self,
        chain: ChainId,
        filters: Vec<Filter>,
        range: BlockRange,
        reply: oneshot::Sender<Option<Evidence>>,
    ) {
        let answer = self.joined.client.ask(&Request::Evidence { chain, filters, range });
        self.forward(answer, reply, |reply| match reply {
            Reply::Evidence(evidence) => Some(evidence),
            _ => None,
        });
    }

    fn undecided(
        &self,
        chain: ChainId,
        filters: Vec<Filter>,
        range: BlockRange,
        reply: oneshot::Sender<Vec<(BlockRange, Vec<Filter>)>>,
    ) {
        let answer = self.joined.client.ask(&Request::Undecided { chain, filters, range });
        self.forward(answer, reply, |reply| match reply {
            Reply::Missing(undecided) => Some(undecided),
            _ => None,
        });
    }

    fn demand(
        &self,
        chain: ChainId,
        filters: Vec<Filter>,
        range: BlockRange,
        verify: Verify,
        now_s: u64,
    ) {
        let demand = Request::Demand { chain, filters, range, verify, now_s };
        drop(self.joined.client.ask(&demand));
    }

    fn looked(&self, chain: ChainId, filter: FilterId, range: BlockRange) {
        drop(self.joined.client.ask(&Request::Looked { chain, filter, range }));
    }
}

/// The ack of a report that went in two parts.
fn together(mut first: Ack, second: Ack) -> Ack {
    first.new_events += second.new_events;
    first.known_events += second.known_events;
    first.agreed += second.agreed;
    first.differs.extend(second.differs);
    first.unshared.extend(second.unshared);
    first.incidents += second.incidents;
    first.open.extend(second.open);
    first.told.extend(second.told);
    first.decoded += second.decoded;
    Ack { finalized: second.finalized, final_block: second.final_block, ..first }
}
