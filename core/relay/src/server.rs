//! The owner's side: a socket beside the ledger, and a task for each client.
//!
//! A client can make the owner hold so many requests and bytes and no more: then nothing is read from
//! it until it is answered. One that does not take its answers is hung up on. Neither is ever waited
//! for by the thread that writes the ledger.

mod session;

pub(crate) use session::HELLO_MAX;

use crate::{
    hello::Hello,
    words::{Answered, Refusal, Reply, Request},
};
use futures_util::future::BoxFuture;
use std::{
    fmt,
    fs::{self, Permissions},
    io,
    os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::{UnixListener, UnixStream},
    sync::{Semaphore, mpsc, watch},
    task::{AbortHandle, JoinSet},
};

/// Clients at once, at most; one more is told so and asks again.
pub const CLIENTS_MAX: usize = 64;
/// Requests of one client that wait for their answers, at most.
pub const REQUESTS_WAITING_MAX: usize = 256;
/// Longest time that answers under way are waited for when the owner ends.
const DRAIN_MAX: Duration = Duration::from_secs(2);
/// Wait after a connection could not be taken: there are no more files just now.
const ACCEPT_RETRY: Duration = Duration::from_millis(200);

/// The future of an answer.
pub type DeskAnswer = BoxFuture<'static, Result<Reply, Refusal>>;

/// Answers clients. Called in the order in which each client asks: what has an order is begun in the
/// call, not when its future is first polled.
pub trait Desk: Send + Sync {
    /// Answers. Rows that come before the answer go to `more`.
    fn answer(&self, client: &Hello, request: Request, more: More) -> DeskAnswer;

    /// So much waits that nothing more is read: what was gathered is to be written now.
    fn hurry(&self);

    /// A client has gone, or has not said anything for long: nothing is kept free for it.
    fn left(&self, client: &Hello);
}

/// Where parts of an answer go.
#[derive(Debug)]
pub struct More {
    id: u64,
    out: mpsc::Sender<Vec<u8>>,
}

impl More {
    /// Sends a part, waiting while the client takes what came before; returns whether it is there to
    /// take more. Must not be called on a thread of the runtime.
    pub fn send_blocking(&self, reply: Reply) -> bool {
        let answered = Answered { id: self.id, more: true, reply: Ok(reply) };
        postcard::to_allocvec(&answered).is_ok_and(|frame| self.out.blocking_send(frame).is_ok())
    }
}

/// What all clients share.
struct Shared {
    hello: Hello,
    /// Whose clients are let in: the user that the socket belongs to.
    uid: u32,
    desk: watch::Sender<Option<Arc<dyn Desk>>>,
    is_draining: watch::Sender<bool>,
    answering: watch::Sender<usize>,
}

/// A socket that is listened on. Dropped, it is gone, and every client sees that.
pub struct Server {
    place: PathBuf,
    shared: Arc<Shared>,
    accepting: AbortHandle,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("place", &self.place).finish_non_exhaustive()
    }
}

impl Server {
    /// Listens at the first of the places where that is possible. Whoever calls it holds the lock of
    /// the ledger: a socket that is there is of an owner that is dead, and is removed. Clients are
    /// greeted from now on, and wait until [`Self::serve`]. To be called inside a Tokio runtime.
    pub fn bind(places: &[PathBuf], hello: Hello) -> io::Result<Self> {
        let mut failed = io::Error::from(io::ErrorKind::InvalidFilename);
        for place in places {
            match listen(place) {
                Ok((listener, uid)) => {
                    let shared = Arc::new(Shared {
                        hello,
                        uid,
                        desk: watch::channel(None).0,
                        is_draining: watch::channel(false).0,
                        answering: watch::channel(0).0,
                    });
                    let accepting = tokio::spawn(accept(listener, shared.clone())).abort_handle();
                    return Ok(Self { place: place.clone(), shared, accepting });
                }
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    /// Returns the socket's path.
    pub fn place(&self) -> &Path {
        &self.place
    }

    /// Answers clients from now on.
    pub fn serve(&self, desk: Arc<dyn Desk>) {
        self.shared.desk.send_replace(Some(desk));
    }

    /// Takes no more requests, and waits a little until those that were taken are answered. Clients
    /// stay connected, so that each sees the end of the owner when it comes.
    pub async fn drain(&self) {
        self.shared.is_draining.send_replace(true);
        let mut answering = self.shared.answering.subscribe();
        let done = answering.wait_for(|count| *count == 0);
        let _ = tokio::time::timeout(DRAIN_MAX, done).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
        self.shared.is_draining.send_replace(true);
        let _ = fs::remove_file(&self.place);
    }
}

/// Listens at a place, for this user only; returns the user too.
fn listen(place: &Path) -> io::Result<(UnixListener, u32)> {
    match fs::symlink_metadata(place) {
        // A file of somebody else is not ours to remove.
        Ok(meta) if !meta.file_type().is_socket() => {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        Ok(_) => fs::remove_file(place)?,
        Err(_) => {}
    }
    let listener = UnixListener::bind(place)?;
    let kept = fs::set_permissions(place, Permissions::from_mode(0o600));
    let uid = kept.and_then(|()| fs::symlink_metadata(place)).map(|meta| meta.uid());
    if uid.is_err() {
        let _ = fs::remove_file(place);
    }
    Ok((listener, uid?))
}

/// Takes clients until it is aborted; its clients end with it.
async fn accept(listener: UnixListener, shared: Arc<Shared>) {
    let room = Arc::new(Semaphore::new(CLIENTS_MAX));
    let mut clients = JoinSet::new();
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "a client could not be taken");
                    tokio::time::sleep(ACCEPT_RETRY).await;
                    continue;
                }
            },
            Some(_) = clients.join_next() => continue,
        };
        if !is_let_in(&stream, shared.uid) {
            continue;
        }
        let shared = shared.clone();
        match room.clone().try_acquire_owned() {
            Ok(place) => clients.spawn(async move {
                session::run(stream, &shared).await;
                drop(place);
            }),
            Err(_) => clients.spawn(async move { session::refuse(stream, &shared.hello).await }),
        };
        // Those that are refused are gone within the time of a hello.
        while clients.len() > 2 * CLIENTS_MAX {
            clients.join_next().await;
        }
    }
}

/// Whether the other side is the same user. The file's mode says so too, but only a moment after it
/// was made.
fn is_let_in(stream: &UnixStream, uid: u32) -> bool {
    const ROOT: u32 = 0;
    stream.peer_cred().is_ok_and(|peer| peer.uid() == uid || peer.uid() == ROOT)
}
