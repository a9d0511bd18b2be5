//! One node's server: listens on 127.0.0.1 and on a Unix socket, serves each connection in a task
//! of its own, and can hang up on everybody for a while.

use crate::{Dialect, Tally, WireRule, http, pipe::Pipe, socket, trouble::Rules, voice::Voice};
use event::{BlockNumHash, Hint, Node};
use sim::SimNode;
use std::{
    fmt,
    future::Future,
    io,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    net::{TcpListener, UnixListener},
    sync::{broadcast, watch},
    task::JoinSet,
    time::Instant,
};

/// Heads that a slow connection may lie behind, at most; further ones are lost to it.
const HEADS_MAX: usize = 64;
/// Connections of one listener open at once; further ones are closed at once.
const CONNECTIONS_MAX: usize = 256;

/// Wait after a connection could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// How a node is served.
#[derive(Clone, Debug, Default)]
pub struct FakeSettings {
    /// Whose words it uses.
    pub dialect: Dialect,
    /// What goes wrong on the way, tried in order.
    pub rules: Vec<WireRule>,
    /// Where to make the Unix socket, if any; removed with the server.
    pub ipc: Option<PathBuf>,
}

/// A simulated node that is served until this is dropped.
pub struct FakeNode {
    shared: Arc<Shared>,
    http: SocketAddr,
    web: SocketAddr,
    ipc: Option<PathBuf>,
    /// Listeners and the hearing of hints; each ends its connections with itself.
    _tasks: JoinSet<()>,
}

impl fmt::Debug for FakeNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeNode").field("http", &self.http).finish_non_exhaustive()
    }
}

struct Shared {
    voice: Voice,
    heads: broadcast::Sender<BlockNumHash>,
    /// Counts the times that everybody was hung up on.
    hang_ups: watch::Sender<u64>,
    away: Mutex<Away>,
}

#[derive(Debug, Default)]
struct Away {
    until: Option<Instant>,
    total: Duration,
}

impl FakeNode {
    /// Starts serving on free ports of 127.0.0.1. Needs a tokio runtime, and somebody who moves the
    /// world's clock. The server takes the node's hints; nobody else hears them.
    pub async fn serve(node: Arc<SimNode>, settings: FakeSettings) -> io::Result<Self> {
        let FakeSettings { dialect, rules, ipc } = settings;
        let shared = Arc::new(Shared {
            voice: Voice::new(node, dialect, Rules::new(rules)),
            heads: broadcast::Sender::new(HEADS_MAX),
            hang_ups: watch::Sender::new(0),
            away: Mutex::default(),
        });
        let http_listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let web_listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let (http, web) = (http_listener.local_addr()?, web_listener.local_addr()?);
        let mut tasks = JoinSet::new();
        tasks.spawn(hear(shared.clone()));
        tasks.spawn(accept(
            shared.clone(),
            async move || http_listener.accept().await.map(|(stream, _)| stream),
            async |shared, stream| http::serve(&shared.voice, stream).await,
        ));
        tasks.spawn(accept(
            shared.clone(),
            async move || web_listener.accept().await.map(|(stream, _)| stream),
            async |shared, stream| {
                let heads = shared.heads.subscribe();
                socket::serve(&shared.voice, Pipe::web(stream).await?, heads).await
            },
        ));
        if let Some(path) = &ipc {
            let listener = UnixListener::bind(path)?;
            tasks.spawn(accept(
                shared.clone(),
                async move || listener.accept().await.map(|(stream, _)| stream),
                async |shared, stream| {
                    let heads = shared.heads.subscribe();
                    socket::serve(&shared.voice, Pipe::ipc(stream), heads).await
                },
            ));
        }
        Ok(Self { shared, http, web, ipc, _tasks: tasks })
    }

    /// Returns the URL of the HTTP server.
    pub fn http_url(&self) -> String {
        format!("http://{}", self.http)
    }

    /// Returns the URL of the WebSocket server.
    pub fn web_url(&self) -> String {
        format!("ws://{}", self.web)
    }

    /// Returns the path of the Unix socket.
    pub const fn ipc_path(&self) -> Option<&PathBuf> {
        self.ipc.as_ref()
    }

    /// Ends every connection, and each new one at once for so long.
    pub fn hang_up(&self, away: Duration) {
        self.shared.hang_up(away);
    }

    /// Returns a way to [`Self::hang_up`] for a task of its own.
    pub fn hanging_up(&self) -> impl Fn(Duration) + Send + 'static {
        let shared = self.shared.clone();
        move |away| shared.hang_up(away)
    }

    /// Returns for how long it was away in all.
    pub fn away(&self) -> Duration {
        self.shared.away.lock().unwrap_or_else(PoisonError::into_inner).total
    }

    /// Replaces the rules of the way.
    pub fn set_rules(&self, rules: Vec<WireRule>) {
        self.shared.voice.set_rules(Rules::new(rules));
    }

    /// Returns what its answers withheld and made up so far.
    pub fn tally(&self) -> Tally {
        self.shared.voice.tally()
    }
}

impl Drop for FakeNode {
    fn drop(&mut self) {
        if let Some(path) = &self.ipc {
            // It may be gone with its folder already.
            let _ = std::fs::remove_file(path);
        }
    }
}

impl Shared {
    fn hang_up(&self, away: Duration) {
        let now = Instant::now();
        let mut state = self.away.lock().unwrap_or_else(PoisonError::into_inner);
        let from = state.until.map_or(now, |until| until.max(now));
        let until = from.max(now + away);
        state.total += until - from;
        state.until = Some(until);
        drop(state);
        self.hang_ups.send_modify(|count| *count += 1);
    }

    fn is_away(&self) -> bool {
        let state = self.away.lock().unwrap_or_else(PoisonError::into_inner);
        state.until.is_some_and(|until| Instant::now() < until)
    }
}

/// Hands the node's announcements to all connections.
async fn hear(shared: Arc<Shared>) {
    loop {
        match shared.voice.node.hint().await {
            // Nobody may be connected.
            Hint::Head(head) => drop(shared.heads.send(head)),
            Hint::Lost(_) => shared.hang_up(Duration::ZERO),
            Hint::Connected => {}
        }
    }
}

async fn accept<S, A, F>(
    shared: Arc<Shared>,
    mut next: impl AsyncFnMut() -> io::Result<S> + Send,
    serve: A,
) where
    S: Send + 'static,
    A: Fn(Arc<Shared>, S) -> F + Clone + Send + 'static,
    F: Future<Output = io::Result<()>> + Send,
{
    let mut connections = JoinSet::new();
    loop {
        let stream = tokio::select! {
            stream = next() => stream,
            _ = connections.join_next(), if !connections.is_empty() => continue,
        };
        let Ok(stream) = stream else {
            // Out of file descriptors: it passes when connections end.
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        if shared.is_away() || connections.len() >= CONNECTIONS_MAX {
            continue;
        }
        let (shared, serve) = (shared.clone(), serve.clone());
        let mut hang_ups = shared.hang_ups.subscribe();
        connections.spawn(async move {
            tokio::select! {
                outcome = serve(shared, stream) => if let Err(error) = outcome {
                    tracing::debug!(%error, "a connection ended");
                },
                _ = hang_ups.changed() => {}
            }
        });
    }
}
