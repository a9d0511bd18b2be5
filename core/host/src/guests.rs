//! The guests of a plugin: each batch has one of its own, and the next one is made while that before it is at
//! work. Making one costs a component in Python milliseconds, and clearing away what it wrote to costs more.
//!
//! Whether a guest was made ahead or on the spot, it is the same one: it begins from nothing but its component,
//! and hears of its batch only when it is there.

use crate::{
    Grants, Limits,
    bindings::{EventFetcher, EventFetcherPre},
    call::Call,
    engine::{STACK_BYTES, TICK_MS},
    fetching::Fetcher,
    misfit, said,
};
use event::PluginFault;
use std::sync::{Arc, mpsc};
use wasmtime::{Engine, Store, Trap};
use wasmtime_wasi::I32Exit;

/// How wasmtime's error ends when a call hands over too much; its type is private.
const TOO_MUCH_AT_ONCE: &str = "fuel allocated for hostcalls has been exhausted";

/// What all guests of a plugin are made of.
pub(crate) struct Mould {
    pub(crate) engine: Engine,
    pub(crate) component: EventFetcherPre<Call>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) grants: Arc<Grants>,
    pub(crate) fetcher: Arc<Fetcher>,
    /// SHA-256 of the component.
    pub(crate) digest: [u8; 32],
}

/// One guest, with everything that is its own.
pub(crate) struct Guest {
    pub(crate) store: Store<Call>,
    pub(crate) exports: EventFetcher,
}

impl Mould {
    /// Makes a guest, with its deadline running.
    pub(crate) fn make(&self) -> Result<Guest, PluginFault> {
        let reach = (Arc::clone(&self.grants), Arc::clone(&self.fetcher));
        let mut store = Store::new(&self.engine, Call::new(&self.limits, &self.digest, reach));
        store.limiter(|call| &mut call.fence);
        self.wind_up(&mut store);
        match self.component.instantiate(&mut store) {
            Ok(exports) => Ok(Guest { store, exports }),
            Err(e) => Err(self.fault(&store, &e)),
        }
    }

    /// From now on a guest has the whole of its time, and may hand over as much as a call may.
    fn wind_up(&self, store: &mut Store<Call>) {
        // The tick that is under way counts, so one more.
        store.set_epoch_deadline(self.limits.deadline_ms.div_ceil(TICK_MS) + 1);
        store.set_hostcall_fuel(self.limits.call_bytes);
    }

    /// Names what ended a guest.
    pub(crate) fn fault(&self, store: &Store<Call>, error: &wasmtime::Error) -> PluginFault {
        let call = store.data();
        let console = said::cleaned(call.console.text());
        let limit = match error.downcast_ref() {
            _ if call.fence.hit.is_some() => call.fence.hit,
            Some(Trap::Interrupt) => {
                let limit_ms = self.limits.deadline_ms;
                return PluginFault::Deadline { limit_ms, said: console };
            }
            Some(Trap::StackOverflow) => Some(("stack_bytes", STACK_BYTES as u64)),
            _ if error.root_cause().to_string().ends_with(TOO_MUCH_AT_ONCE) => {
                Some(("call_bytes", self.limits.call_bytes as u64))
            }
            _ => None,
        };
        if let Some((limit, allowed)) = limit {
            return PluginFault::Limit { limit, allowed, said: console };
        }
        if let Some(I32Exit(code)) = error.downcast_ref() {
            return PluginFault::Halt(format!("it exited with code {code}"));
        }
        let cause = match error.downcast_ref::<Trap>() {
            Some(trap) => trap.to_string(),
            None => misfit::told(&error.root_cause().to_string()),
        };
        PluginFault::Trap(if console.is_empty() { cause } else { format!("{console} ({cause})") })
    }
}

/// Gives out guests, one at a time.
pub(crate) struct Guests {
    pub(crate) mould: Arc<Mould>,
    workshop: Option<Workshop>,
}

/// A thread that makes guests and clears away behind them. It ends when nobody can ask it any more.
struct Workshop {
    tasks: mpsc::Sender<Task>,
    made: mpsc::Receiver<Result<Guest, PluginFault>>,
}

/// In this order: a pool has room for two guests.
enum Task {
    ClearAway(Guest),
    Make,
}

impl Guests {
    pub(crate) const fn new(mould: Arc<Mould>) -> Self {
        Self { mould, workshop: None }
    }

    /// Returns a guest, with its deadline running, and has the next one made.
    pub(crate) fn take(&mut self) -> Result<Guest, PluginFault> {
        let ahead = self.workshop.as_ref().and_then(|workshop| workshop.made.recv().ok());
        if ahead.is_none() {
            self.workshop = Workshop::open(&self.mould);
        }
        self.ask(Task::Make);
        let mut guest = ahead.unwrap_or_else(|| self.mould.make())?;
        self.mould.wind_up(&mut guest.store);
        Ok(guest)
    }

    /// Takes a guest back, which is never used again.
    pub(crate) fn give_back(&self, guest: Guest) {
        self.ask(Task::ClearAway(guest));
    }

    fn ask(&self, task: Task) {
        // Where the thread is gone guests are made on the spot, and this one goes now.
        if let Some(workshop) = &self.workshop {
            drop(workshop.tasks.send(task));
        }
    }
}

impl Workshop {
    /// `None` where no thread can be had.
    fn open(mould: &Arc<Mould>) -> Option<Self> {
        let ((tasks, asked), (given, made)) = (mpsc::channel(), mpsc::channel());
        let mould = Arc::clone(mould);
        let work = move || {
            for task in asked {
                match task {
                    Task::ClearAway(guest) => drop(guest),
                    Task::Make => drop(given.send(mould.make())),
                }
            }
        };
        let thread = std::thread::Builder::new().name("plugin guests".to_owned());
        thread.spawn(work).ok().map(|_| Self { tasks, made })
    }
}
