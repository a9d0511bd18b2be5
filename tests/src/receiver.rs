//! Something that takes messages over HTTP, as a service behind a webhook would, and remembers them.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// A condition that is not met by then never will be.
const PATIENCE: Duration = Duration::from_secs(60);
/// No message of the program under test is larger.
const BODY_BYTES_MAX: usize = 1 << 20;

/// A message as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Request line and headers, in lower case.
    pub head: String,
    /// Body.
    pub body: String,
    /// What it was answered.
    pub status: u16,
}

impl Received {
    /// Returns a header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(key, _)| *key == name).map(|(_, value)| value).next()
    }

    /// Returns the key that is the same on every attempt.
    pub fn key(&self) -> &str {
        self.header("idempotency-key").expect("every message has a key")
    }
}

/// Returns status and more headers for a message, given how many came before.
type Answer = dyn Fn(usize, &str) -> (u16, String) + Send + Sync;

struct Shared {
    answer: Mutex<Box<Answer>>,
    /// Body of each answer.
    said: Mutex<String>,
    received: Mutex<Vec<Received>>,
    changed: Condvar,
}

/// A running receiver.
pub struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Receiver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Receiver").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Receiver {
    /// Starts one that takes everything.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port on this machine");
        let address = listener.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(Shared {
            answer: Mutex::new(Box::new(|_, _| (200, String::new()))),
            said: Mutex::default(),
            received: Mutex::default(),
            changed: Condvar::new(),
        });
        let of_thread = shared.clone();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let shared = of_thread.clone();
                // A client that left early is no concern of ours.
                thread::spawn(move || shared.serve(stream).ok());
            }
        });
        Self { address, shared }
    }

    /// From now on answers so; `answer` is given the number of messages before, and the body.
    pub fn answers(&self, answer: impl Fn(usize, &str) -> (u16, String) + Send + Sync + 'static) {
        *locked(&self.shared.answer) = Box::new(answer);
    }

    /// From now on answers with this body, as a service that is asked for something does.
    pub fn says(&self, body: &str) {
        body.clone_into(&mut locked(&self.shared.said));
    }

    /// Returns its URL, without a path.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns everything that came, in order.
    pub fn received(&self) -> Vec<Received> {
        locked(&self.shared.received).clone()
    }

    /// Waits until what came is as wanted.
    #[track_caller]
    pub fn wait_until(&self, what: &str, is_so: impl Fn(&[Received]) -> bool) {
        let begun = Instant::now();
        let mut received = locked(&self.shared.received);
        while !is_so(&received) {
            let left = PATIENCE.saturating_sub(begun.elapsed());
            assert!(!left.is_zero(), "never {what}: {} messages", received.len());
            let waited = self.shared.changed.wait_timeout(received, left);
            received = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Shared {
    fn serve(&self, stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut writer = stream.try_clone()?;
        let mut reader = BufReader::new(stream);
        loop {
            let (mut head, mut length) = (String::new(), 0);
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line)? == 0 {
                    return Ok(());
                }
                if line == "\r\n" {
                    break;
                }
                let line = match line.split_once(": ") {
                    // Values are kept as they are: some are secrets that a test looks for.
                    Some((name, value)) => format!("{}: {value}", name.to_ascii_lowercase()),
                    None => line,
                };
                if let Some(value) = line.strip_prefix("content-length: ") {
                    length = value.trim().parse().unwrap_or(0);
                }
                head.push_str(&line);
            }
            assert!(length <= BODY_BYTES_MAX, "a message of {length} bytes");
            let mut body = vec![0; length];
            reader.read_exact(&mut body)?;
            let body = String::from_utf8_lossy(&body).into_owned();
            let before = locked(&self.received).len();
            let (status, headers) = (locked(&self.answer))(before, &body);
            locked(&self.received).push(Received { head, body, status });
            self.changed.notify_all();
            let said = locked(&self.said).clone();
            let length = said.len();
            write!(
                writer,
                "HTTP/1.1 {status} Said\r\n{headers}content-length: {length}\r\n\r\n{said}"
            )?;
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
