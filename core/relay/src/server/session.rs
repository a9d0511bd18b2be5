//! One client, from its hello to its end.

use super::{Desk, More, REQUESTS_WAITING_MAX, Shared};
use crate::{
    frame::{FRAME_BYTES_MAX, HELLO_BYTES_MAX, read_frame, write_frame},
    hello::Hello,
    words::{Answered, Refusal, Reply, asked},
};
use std::{sync::Arc, time::Duration};
use tokio::{
    net::{UnixStream, unix::OwnedReadHalf, unix::OwnedWriteHalf},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch},
    task::JoinSet,
    time::timeout,
};

/// Longest time for a hello.
pub(crate) const HELLO_MAX: Duration = Duration::from_secs(5);
/// Frames that wait to be written to a client, at most.
const FRAMES_OUT_MAX: usize = 4;
/// Longest time in which a client takes a frame; then it is hung up on. A person who pages through
/// rows takes that long.
const TAKE_MAX: Duration = Duration::from_secs(600);
/// Reports of a client that wait for their acks, at most, in KiB.
const WAITING_KIB_MAX: u32 = 128 << 10;
/// How long what a client claimed is kept free for it without a word from it.
const SILENCE_MAX: Duration = Duration::from_secs(120);

/// Greets a client and answers it until either side ends.
pub(super) async fn run(mut stream: UnixStream, shared: &Shared) {
    let Some(client) = greet(&mut stream, &shared.hello, None).await else { return };
    if client.protocol != shared.hello.protocol {
        return;
    }
    let (from, to) = stream.into_split();
    let (out, outgoing) = mpsc::channel(FRAMES_OUT_MAX);
    let mut desk = shared.desk.subscribe();
    let mut is_draining = shared.is_draining.subscribe();
    // A client that goes away while it waits is seen when it is written to.
    let served = desk.wait_for(Option::is_some).await.map(|desk| desk.clone());
    let Ok(Some(desk)) = served else { return };
    let mut answers = JoinSet::new();
    let taking = take(from, &client, &*desk, &out, &mut answers, shared, &mut is_draining);
    tokio::select! {
        () = taking => {}
        () = write(to, outgoing) => {}
    }
    // What it asked for is of no use to anybody else.
    answers.shutdown().await;
    desk.left(&client);
}

/// Tells one client too many that it is.
pub(super) async fn refuse(mut stream: UnixStream, hello: &Hello) {
    greet(&mut stream, hello, Some("it has as many clients as it takes".into())).await;
}

/// Exchanges hellos; `None` where that comes to nothing.
async fn greet(stream: &mut UnixStream, own: &Hello, refused: Option<String>) -> Option<Hello> {
    let exchange = async {
        let frame = read_frame(stream, HELLO_BYTES_MAX).await.ok()??;
        let client: Hello = serde_json::from_slice(&frame).ok()?;
        let own = Hello { refused, ..own.clone() };
        write_frame(stream, &serde_json::to_vec(&own).ok()?).await.ok()?;
        Some(client)
    };
    timeout(HELLO_MAX, exchange).await.ok().flatten()
}

/// Takes requests until the client ends; when the owner drains it takes none, and waits for the end.
async fn take(
    mut from: OwnedReadHalf,
    client: &Hello,
    desk: &dyn Desk,
    out: &mpsc::Sender<Vec<u8>>,
    answers: &mut JoinSet<()>,
    shared: &Shared,
    is_draining: &mut watch::Receiver<bool>,
) {
    let requests = Arc::new(Semaphore::new(REQUESTS_WAITING_MAX));
    let kib = Arc::new(Semaphore::new(WAITING_KIB_MAX as usize));
    loop {
        let frame = {
            let mut reading = std::pin::pin!(read_frame(&mut from, FRAME_BYTES_MAX));
            loop {
                tokio::select! {
                    biased;
                    // Nothing else is looked at any more; the client sees the end when it comes.
                    () = draining(is_draining) => std::future::pending::<()>().await,
                    frame = &mut reading => break frame,
                    Some(_) = answers.join_next() => {}
                    () = tokio::time::sleep(SILENCE_MAX) => desk.left(client),
                }
            }
        };
        let Ok(Some(frame)) = frame else { return };
        let size = u32::try_from(frame.len() / 1024 + 1).unwrap_or(WAITING_KIB_MAX);
        let Some(place) = room(&requests, 1, desk).await else { return };
        let Some(weight) = room(&kib, size.min(WAITING_KIB_MAX), desk).await else { return };
        let (id, answer) = match asked(&frame) {
            Ok(asked) => {
                let more = More { id: asked.id, out: out.clone() };
                (asked.id, Ok(desk.answer(client, asked.request, more)))
            }
            Err((id, refusal)) => (id, Err(refusal)),
        };
        drop(frame);
        let (out, under_way) = (out.clone(), UnderWay::begin(&shared.answering));
        answers.spawn(async move {
            let reply = match answer {
                Ok(answer) => answer.await,
                Err(refusal) => Err(refusal),
            };
            // Where the writer is gone the client is, too.
            let _ = out.send(last(id, reply)).await;
            drop((place, weight, under_way));
        });
    }
}

/// Waits until the owner takes no more requests.
async fn draining(is_draining: &mut watch::Receiver<bool>) {
    // An owner that is gone takes none either.
    let _ = is_draining.wait_for(|is| *is).await.is_ok();
}

/// Waits for room among what waits; what was gathered is written meanwhile.
async fn room(of: &Arc<Semaphore>, size: u32, desk: &dyn Desk) -> Option<OwnedSemaphorePermit> {
    if let Ok(room) = of.clone().try_acquire_many_owned(size) {
        return Some(room);
    }
    desk.hurry();
    of.clone().acquire_many_owned(size).await.ok()
}

/// Returns the last frame of an answer; one that is too long says so.
fn last(id: u64, reply: Result<Reply, Refusal>) -> Vec<u8> {
    let encode = |reply| postcard::to_allocvec(&Answered { id, more: false, reply });
    let frame = encode(reply).unwrap_or_default();
    match frame.len() <= FRAME_BYTES_MAX && !frame.is_empty() {
        true => frame,
        false => {
            let refusal = format!("the answer has more than {FRAME_BYTES_MAX} bytes");
            encode(Err(Refusal::Cannot(refusal))).unwrap_or_default()
        }
    }
}

/// Writes frames until the client does not take one in time.
async fn write(mut to: OwnedWriteHalf, mut outgoing: mpsc::Receiver<Vec<u8>>) {
    while let Some(frame) = outgoing.recv().await {
        match timeout(TAKE_MAX, write_frame(&mut to, &frame)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return,
            Err(_) => {
                tracing::warn!("a client that takes no answers is hung up on");
                return;
            }
        }
    }
}

/// An answer that is not given yet.
struct UnderWay(watch::Sender<usize>);

impl UnderWay {
    fn begin(answering: &watch::Sender<usize>) -> Self {
        answering.send_modify(|count| *count += 1);
        Self(answering.clone())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count = count.saturating_sub(1));
    }
}
