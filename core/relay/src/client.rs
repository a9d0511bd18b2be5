//! A client's side: one connection to the owner.

use crate::{
    frame::{FRAME_BYTES_MAX, HELLO_BYTES_MAX, read_frame, write_frame},
    hello::Hello,
    server::HELLO_MAX,
    words::{Answered, Encoded, Refusal, Reply, Request, whole},
};
use futures_util::{FutureExt, future::BoxFuture};
use std::{
    collections::BTreeMap,
    io,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::{
    net::{UnixStream, unix::OwnedReadHalf, unix::OwnedWriteHalf},
    sync::{mpsc, oneshot, watch},
    task::AbortHandle,
    time::timeout,
};

/// Parts of an answer that wait to be taken, at most; then nothing is read from the owner.
const PARTS_MAX: usize = 2;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nobody listens there.
    #[error("nobody listens there: {0}")]
    Absent(io::Error),
    /// Somebody listens and says nothing that can be understood.
    #[error("the owner of the ledger does not answer")]
    Silent,
    /// The owner speaks another protocol: it is of another version.
    #[error("process {} of headcount {} owns it and speaks protocol {}, this program {}",
        owner.pid, owner.version, owner.protocol, crate::PROTOCOL)]
    Protocol {
        /// The owner.
        owner: Hello,
    },
    /// The owner takes no more clients.
    #[error("process {} owns it: {why}", owner.pid)]
    Refused {
        /// The owner.
        owner: Hello,
        /// Why.
        why: String,
    },
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The owner has ended, or is ending: whoever owns the ledger next is to be asked.
    #[error("the owner of the ledger has ended")]
    Lost,
    /// The owner's word.
    #[error(transparent)]
    Refused(Refusal),
}

/// The future of an answer.
pub type Answer = BoxFuture<'static, Result<Reply, AskError>>;

enum Waiter {
    One(oneshot::Sender<Result<Reply, Refusal>>),
    Parts(mpsc::Sender<Result<Reply, Refusal>>),
}

/// Who waits for which answer; `None` once the owner is gone.
type Waiting = Arc<Mutex<Option<BTreeMap<u64, Waiter>>>>;

/// A connection to the owner. The requests that wait in it are bounded by whoever asks: they wait for
/// their answers.
#[derive(Debug)]
pub struct Client {
    owner: Hello,
    next_id: AtomicU64,
    outgoing: mpsc::UnboundedSender<Vec<u8>>,
    waiting: Waiting,
    gone: watch::Receiver<bool>,
    tasks: [AbortHandle; 2],
}

impl std::fmt::Debug for Waiter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Waiter")
    }
}

impl Client {
    /// Connects to the owner that listens at `place`. Either that is done within seconds or it is an
    /// error. To be called inside a Tokio runtime.
    pub async fn connect(place: &Path, hello: &Hello) -> Result<Self, ConnectError> {
        let connecting = timeout(HELLO_MAX, UnixStream::connect(place)).await;
        let mut stream = match connecting {
            Ok(stream) => stream.map_err(ConnectError::Absent)?,
            Err(_) => return Err(ConnectError::Silent),
        };
        let greeting = async {
            let own = serde_json::to_vec(hello).map_err(io::Error::from)?;
            write_frame(&mut stream, &own).await?;
            read_frame(&mut stream, HELLO_BYTES_MAX).await
        };
        let owner: Hello = match timeout(HELLO_MAX, greeting).await {
            Ok(Ok(Some(frame))) => {
                serde_json::from_slice(&frame).map_err(|_| ConnectError::Silent)?
            }
            // It ended just now: nobody is there any more.
            Ok(Ok(None)) => {
                return Err(ConnectError::Absent(io::ErrorKind::ConnectionReset.into()));
            }
            Ok(Err(crate::FrameError::Line(error))) => return Err(ConnectError::Absent(error)),
            Ok(Err(_)) | Err(_) => return Err(ConnectError::Silent),
        };
        if owner.protocol != hello.protocol {
            return Err(ConnectError::Protocol { owner });
        }
        if let Some(why) = owner.refused.clone() {
            return Err(ConnectError::Refused { owner, why });
        }
        let (from, to) = stream.into_split();
        let (outgoing, frames) = mpsc::unbounded_channel();
        let (is_gone, gone) = watch::channel(false);
        let waiting: Waiting = Arc::new(Mutex::new(Some(BTreeMap::new())));
        let reading = tokio::spawn(read(from, waiting.clone(), is_gone));
        let writing = tokio::spawn(write(to, frames));
        Ok(Self {
            owner,
            next_id: AtomicU64::new(1),
            outgoing,
            waiting,
            gone,
            tasks: [reading.abort_handle(), writing.abort_handle()],
        })
    }

    /// Returns who owns the ledger.
    pub fn owner(&self) -> &Hello {
        &self.owner
    }

    /// Waits until the owner has ended.
    pub async fn lost(&self) {
        let mut gone = self.gone.clone();
        // A sender that is dropped is gone as well.
        let _ = gone.wait_for(|is| *is).await;
    }

    /// Asks; what is asked is sent in the order of the calls, whenever the answers are waited for.
    pub fn ask(&self, request: &Request) -> Answer {
        match Encoded::new(request) {
            Ok(encoded) => self.ask_encoded(&encoded),
            Err(refusal) => async { Err(AskError::Refused(refusal)) }.boxed(),
        }
    }

    /// Asks what was encoded before.
    pub fn ask_encoded(&self, encoded: &Encoded) -> Answer {
        let (sender, receiver) = oneshot::channel();
        self.send(encoded, Waiter::One(sender));
        async {
            match receiver.await {
                Ok(Ok(reply)) => Ok(reply),
                Err(_) | Ok(Err(Refusal::Ending)) => Err(AskError::Lost),
                Ok(Err(refusal)) => Err(AskError::Refused(refusal)),
            }
        }
        .boxed()
    }

    /// Asks what is answered in parts.
    pub fn ask_parts(&self, request: &Request) -> Rows {
        let (sender, receiver) = mpsc::channel(PARTS_MAX);
        match Encoded::new(request) {
            Ok(encoded) => self.send(&encoded, Waiter::Parts(sender)),
            // There is room: nothing was sent before.
            Err(refusal) => drop(sender.try_send(Err(refusal))),
        }
        Rows(receiver)
    }

    fn send(&self, encoded: &Encoded, waiter: Waiter) {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        // Where the owner is gone the waiter is dropped, and whoever waits sees that. Sent under the
        // lock, so that the order of numbers is that of the frames.
        if let Some(waiting) = &mut *waiting {
            waiting.insert(id, waiter);
            let _ = self.outgoing.send(encoded.frame(id));
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

/// An answer in parts.
#[derive(Debug)]
pub struct Rows(mpsc::Receiver<Result<Reply, Refusal>>);

impl Rows {
    /// Returns the next part. After an error, and after a part that says it is the last, none comes.
    pub async fn next(&mut self) -> Result<Reply, AskError> {
        match self.0.recv().await {
            Some(Ok(reply)) => Ok(reply),
            None | Some(Err(Refusal::Ending)) => Err(AskError::Lost),
            Some(Err(refusal)) => Err(AskError::Refused(refusal)),
        }
    }
}

async fn read(mut from: OwnedReadHalf, waiting: Waiting, is_gone: watch::Sender<bool>) {
    let lock = || waiting.lock().unwrap_or_else(PoisonError::into_inner);
    // An owner whose words cannot be understood is as good as gone.
    while let Ok(Some(frame)) = read_frame(&mut from, FRAME_BYTES_MAX).await {
        let Ok(Answered { id, more, reply }) = whole::<Answered>(&frame) else { break };
        drop(frame);
        let parts = match lock().as_mut() {
            Some(all) if more => match all.get(&id) {
                Some(Waiter::Parts(parts)) => Some(parts.clone()),
                _ => None,
            },
            Some(all) => match all.remove(&id) {
                Some(Waiter::One(one)) => {
                    let _ = one.send(reply);
                    continue;
                }
                Some(Waiter::Parts(parts)) => Some(parts),
                None => None,
            },
            None => None,
        };
        if let Some(parts) = parts {
            // Whoever takes no more parts has let go of them.
            let _ = parts.send(reply).await;
        }
    }
    *lock() = None;
    is_gone.send_replace(true);
}

async fn write(mut to: OwnedWriteHalf, mut frames: mpsc::UnboundedReceiver<Vec<u8>>) {
    while let Some(frame) = frames.recv().await {
        if write_frame(&mut to, &frame).await.is_err() {
            return;
        }
    }
}
