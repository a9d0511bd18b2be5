//! Owner and clients over real sockets: what is asked is answered in order, and no side can make the
//! other wait for ever or hold without end.

#![allow(clippy::unwrap_used, reason = "tests")]
#![cfg(unix)]

use event::{Ack, AnyOf, BlockRange, ChainId, Filter, Logs, NodeId, REPORT_VERSION, Report, Value};
use futures_util::{FutureExt, future::join_all};
use relay::{
    AskError, CLIENTS_MAX, Client, ConnectError, Desk, DeskAnswer, Hello, More,
    REQUESTS_WAITING_MAX, Refusal, Reply, Request, Role, Server,
};
use std::{
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    sync::{Notify, oneshot},
};

/// A condition that is not met by then never will be.
const PATIENCE: Duration = Duration::from_secs(30);

fn hello(role: Role) -> Hello {
    Hello::of_this_process(role, 1)
}

/// Acknowledges what it is told to; rows never end.
#[derive(Default)]
struct Scripted {
    waiting: Mutex<Vec<(u64, oneshot::Sender<u64>)>>,
    asked: Notify,
    hurried: AtomicUsize,
    left: Notify,
    stopped: Arc<Notify>,
}

impl Scripted {
    /// Waits until so many reports wait.
    async fn until_waiting(&self, count: usize) {
        self.until(|| self.waiting.lock().unwrap().len() >= count).await;
    }

    async fn until(&self, is_so: impl Fn() -> bool) {
        let until = async {
            while !is_so() {
                self.asked.notified().await;
            }
        };
        tokio::time::timeout(PATIENCE, until).await.expect("it comes so far");
    }

    fn acknowledge(&self) -> Vec<u64> {
        let waiting = std::mem::take(&mut *self.waiting.lock().unwrap());
        let send =
            |(seq, reply): (u64, oneshot::Sender<u64>)| reply.send(seq).map(|()| seq).unwrap();
        waiting.into_iter().map(send).collect()
    }
}

impl Desk for Scripted {
    fn answer(&self, _: &Hello, request: Request, more: More) -> DeskAnswer {
        match request {
            Request::Submit(report) => {
                let (sender, receiver) = oneshot::channel();
                self.waiting.lock().unwrap().push((report.seq, sender));
                self.asked.notify_one();
                async {
                    let seq = receiver.await.map_err(|_| Refusal::Ending)?;
                    Ok(Reply::Ack(Ack { seq, ..Ack::default() }))
                }
                .boxed()
            }
            Request::Query(_) => {
                let stopped = self.stopped.clone();
                std::thread::spawn(move || {
                    while more.send_blocking(Reply::Rows(vec![], vec![vec![Value::Int(1)]])) {}
                    stopped.notify_one();
                });
                std::future::pending().boxed()
            }
            _ => async { Ok(Reply::Done) }.boxed(),
        }
    }

    fn hurry(&self) {
        self.acknowledge();
        self.hurried.fetch_add(1, Ordering::SeqCst);
        self.asked.notify_one();
    }

    fn left(&self, _: &Hello) {
        self.left.notify_one();
    }
}

struct Scene {
    folder: tempfile::TempDir,
    server: Server,
    desk: Arc<Scripted>,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::bind(&[folder.path().join("l.sock")], hello(Role::Watch)).unwrap();
        let desk = Arc::new(Scripted::default());
        server.serve(desk.clone());
        Self { folder, server, desk }
    }

    fn place(&self) -> PathBuf {
        self.folder.path().join("l.sock")
    }

    async fn client(&self) -> Client {
        Client::connect(&self.place(), &hello(Role::Replay)).await.unwrap()
    }
}

fn report(seq: u64) -> Request {
    Request::Submit(Box::new(Report {
        version: REPORT_VERSION,
        reporter: "test".into(),
        seq,
        chain: ChainId(1),
        node: NodeId::new("a"),
        client: None,
        filter: Arc::new(Filter::any()),
        range: BlockRange::one(seq),
        head_before: seq,
        head_after: seq,
        finalized: None,
        blocks: Vec::new(),
        logs: Logs::default(),
        faults: Vec::new(),
        is_second_look: false,
        judged: None,
    }))
}

fn seq(reply: Result<Reply, AskError>) -> u64 {
    match reply {
        Ok(Reply::Ack(ack)) => ack.seq,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reports_come_in_order_and_each_is_acknowledged_when_it_is_committed() {
    let scene = Scene::new();
    let mode = std::fs::metadata(scene.place()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let client = scene.client().await;
    assert_eq!((client.owner().role, client.owner().pid), (Role::Watch, std::process::id()));
    let answers: Vec<_> = (1..=20).map(|seq| client.ask(&report(seq))).collect();
    scene.desk.until_waiting(20).await;
    assert_eq!(scene.desk.acknowledge(), (1..=20).collect::<Vec<_>>());
    let acks: Vec<u64> = join_all(answers).await.into_iter().map(seq).collect();
    assert_eq!(acks, (1..=20).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_asks_without_end_is_not_read_until_it_is_answered() {
    let scene = Scene::new();
    let client = scene.client().await;
    let count = REQUESTS_WAITING_MAX as u64 + 50;
    let answers: Vec<_> = (1..=count).map(|seq| client.ask(&report(seq))).collect();
    // The owner is told to write, so that both go on.
    let desk = &scene.desk;
    desk.until(|| desk.hurried.load(Ordering::SeqCst) >= 1).await;
    let committing = async {
        loop {
            desk.until_waiting(1).await;
            desk.acknowledge();
        }
    };
    let acks = tokio::select! {
        acks = join_all(answers) => acks,
        () = committing => unreachable!("it goes on for ever"),
    };
    assert_eq!(acks.into_iter().map(seq).collect::<Vec<_>>(), (1..=count).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_the_owner_is_seen_by_all_that_wait_and_its_socket_is_gone() {
    let scene = Scene::new();
    let client = scene.client().await;
    let answer = client.ask(&report(1));
    scene.desk.until_waiting(1).await;
    let Scene { folder, server, desk } = scene;
    // What is under way is answered, what comes later is not taken.
    let draining = tokio::spawn(async move {
        server.drain().await;
        server
    });
    tokio::time::sleep(Duration::from_millis(20)).await;
    desk.acknowledge();
    assert_eq!(seq(answer.await), 1);
    let late = client.ask(&report(2));
    let server = draining.await.unwrap();
    assert!(desk.waiting.lock().unwrap().is_empty(), "it was taken");
    drop(server);
    assert!(matches!(late.await, Err(AskError::Lost)));
    tokio::time::timeout(PATIENCE, client.lost()).await.unwrap();
    assert!(!folder.path().join("l.sock").exists());
    let error = Client::connect(&folder.path().join("l.sock"), &hello(Role::Replay)).await;
    assert!(matches!(error, Err(ConnectError::Absent(_))), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_goes_away_stops_what_it_asked_for() {
    let scene = Scene::new();
    let client = scene.client().await;
    let mut rows = client.ask_parts(&Request::Query("select 1".into()));
    for _ in 0..3 {
        assert!(matches!(rows.next().await, Ok(Reply::Rows(_, rows)) if rows.len() == 1));
    }
    drop((rows, client));
    let gone = async { tokio::join!(scene.desk.left.notified(), scene.desk.stopped.notified()) };
    tokio::time::timeout(PATIENCE, gone).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stale_socket_is_taken_over_and_a_file_of_somebody_else_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let (stale, file) = (folder.path().join("stale.sock"), folder.path().join("file"));
    // What a process leaves that was killed.
    drop(std::os::unix::net::UnixListener::bind(&stale).unwrap());
    std::fs::write(&file, "kept").unwrap();
    let server = Server::bind(&[file.clone(), stale.clone()], hello(Role::Replay)).unwrap();
    assert_eq!(server.place(), stale);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "kept");
    // Greeted before it is served: the owner is there, and says so.
    let client = Client::connect(&stale, &hello(Role::Reader)).await.unwrap();
    let answer = client.ask(&Request::Chains);
    server.serve(Arc::new(Scripted::default()));
    assert!(matches!(answer.await, Ok(Reply::Done)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_and_a_new_protocol_meet_in_a_plain_error() {
    let scene = Scene::new();
    let other = Hello { protocol: 99, version: "9.0".into(), ..hello(Role::Replay) };
    match Client::connect(&scene.place(), &other).await {
        Err(error @ ConnectError::Protocol { .. }) => {
            assert!(error.to_string().contains("protocol"), "{error}");
        }
        other => panic!("{other:?}"),
    }
    // Whoever does not speak it at all is hung up on.
    let mut stream = UnixStream::connect(scene.place()).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut heard = Vec::new();
    // A reset is an end as well.
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut heard)).await.unwrap();
    assert!(read.is_err() || heard.is_empty());
    // And one that says nothing is an error within seconds.
    let silent = scene.folder.path().join("silent.sock");
    let _held = std::os::unix::net::UnixListener::bind(&silent).unwrap();
    let error = Client::connect(&silent, &hello(Role::Replay)).await;
    assert!(matches!(error, Err(ConnectError::Silent)), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_client_too_many_is_told_so_and_the_others_go_on() {
    let scene = Scene::new();
    let mut clients = Vec::new();
    for _ in 0..CLIENTS_MAX {
        clients.push(scene.client().await);
    }
    let error = Client::connect(&scene.place(), &hello(Role::Replay)).await;
    assert!(matches!(error, Err(ConnectError::Refused { .. })), "{error:?}");
    for client in &clients {
        assert!(matches!(client.ask(&Request::Chains).await, Ok(Reply::Done)));
    }
    drop(clients.pop());
    tokio::time::timeout(PATIENCE, scene.desk.left.notified()).await.unwrap();
    while Client::connect(&scene.place(), &hello(Role::Replay)).await.is_err() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_that_is_not_whole_is_refused_and_the_next_one_taken() {
    let scene = Scene::new();
    let client = scene.client().await;
    let Request::Submit(mut bent) = report(1) else { unreachable!() };
    bent.filter = Arc::new(Filter::new(AnyOf::Of(vec![]), AnyOf::Any));
    let refused = client.ask(&Request::Submit(bent)).await;
    assert!(matches!(refused, Err(AskError::Refused(Refusal::Unsound(_)))), "{refused:?}");
    let answer = client.ask(&report(2));
    scene.desk.until_waiting(1).await;
    scene.desk.acknowledge();
    assert_eq!(seq(answer.await), 2);
}
