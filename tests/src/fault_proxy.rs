//! A line to a node that cuts, delays, stands still or is gone: seeded, and told what to do.

use crate::random::{RANDOM_STEP, next_random};
use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

/// Bytes passed on at once; small, so that a cut falls into the middle of an answer.
const CHUNK_BYTES: usize = 1_024;
/// How long a frozen line waits before it looks again.
const LOOK: Duration = Duration::from_millis(20);

#[derive(Debug)]
struct Line {
    node: SocketAddr,
    random: AtomicU64,
    /// Of a thousand chunks so many are the last of their connection.
    cuts_per_mille: AtomicU64,
    /// Longest delay of a chunk, in milliseconds.
    delay_ms_max: AtomicU64,
    is_frozen: AtomicBool,
    is_away: AtomicBool,
    is_over: AtomicBool,
}

/// A running proxy; gone when dropped.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    line: Arc<Line>,
}

impl FaultProxy {
    /// Starts one before the node at `node`, with faults that `seed` chooses.
    pub fn start(node: SocketAddr, seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port on this machine");
        let address = listener.local_addr().expect("a bound socket has an address");
        let line = Arc::new(Line {
            node,
            random: AtomicU64::new(seed),
            cuts_per_mille: AtomicU64::new(0),
            delay_ms_max: AtomicU64::new(0),
            is_frozen: AtomicBool::new(false),
            is_away: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
        });
        let serving = line.clone();
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if serving.is_over.load(Ordering::Acquire) {
                    return;
                }
                if serving.is_away.load(Ordering::Acquire) {
                    continue;
                }
                let line = serving.clone();
                thread::spawn(move || {
                    // A line that breaks is what this is for.
                    let _ = line.join(client);
                });
            }
        });
        Self { address, line }
    }

    /// Cuts so many of a thousand chunks off, and delays each by up to so many milliseconds.
    pub fn disturb(&self, cuts_per_mille: u64, delay_ms_max: u64) {
        self.line.cuts_per_mille.store(cuts_per_mille, Ordering::Release);
        self.line.delay_ms_max.store(delay_ms_max, Ordering::Release);
    }

    /// Lets connections stand and passes nothing on, or goes on.
    pub fn freeze(&self, is_frozen: bool) {
        self.line.is_frozen.store(is_frozen, Ordering::Release);
    }

    /// Ends every new connection at once, as before a node that is down, or lets them through.
    pub fn go_away(&self, is_away: bool) {
        self.line.is_away.store(is_away, Ordering::Release);
    }

    /// Returns the URL to give to a program.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.line.is_over.store(true, Ordering::Release);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
    }
}

impl Line {
    fn join(self: &Arc<Self>, client: TcpStream) -> io::Result<()> {
        let node = TcpStream::connect(self.node)?;
        let (back_from, back_to) = (node.try_clone()?, client.try_clone()?);
        let line = self.clone();
        let back = thread::spawn(move || line.pass(back_from, back_to));
        self.pass(client, node);
        let _ = back.join();
        Ok(())
    }

    /// Passes bytes on until one side ends or the line is cut.
    fn pass(&self, mut from: TcpStream, mut to: TcpStream) {
        let mut chunk = [0; CHUNK_BYTES];
        while let Ok(read @ 1..) = from.read(&mut chunk) {
            while self.is_frozen.load(Ordering::Acquire) && !self.is_over.load(Ordering::Acquire) {
                thread::sleep(LOOK);
            }
            let delay = self.delay_ms_max.load(Ordering::Acquire);
            if delay > 0 {
                thread::sleep(Duration::from_millis(self.next() % (delay + 1)));
            }
            let is_cut = self.next() % 1_000 < self.cuts_per_mille.load(Ordering::Acquire);
            let passed = if is_cut { read / 2 } else { read };
            if to.write_all(&chunk[..passed]).is_err() || is_cut {
                break;
            }
        }
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    }

    /// Splitmix64 over one counter, whichever connection asks.
    fn next(&self) -> u64 {
        let mut before = self.random.fetch_add(RANDOM_STEP, Ordering::Relaxed);
        next_random(&mut before)
    }
}
