//! Ctrl-C, SIGTERM, and the signals that must not kill.

use crate::{command_error::CommandError, exit_codes::ExitCode};
#[cfg(unix)]
use std::{
    ffi::OsString,
    sync::{Mutex, PoisonError},
};
use std::{
    io::Write,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
};
use tokio::sync::Notify;

/// Told on the first signal; the process ends at once on the second.
pub(crate) const HOW_TO_GO_ON: &str = "run the same command again; what is committed is kept";

/// Whether and why the run was asked to stop. Cloned into whoever has to know.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interrupt {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// 0, or the exit code of the signal.
    code: AtomicU8,
    asked: Notify,
}

impl Interrupt {
    /// Starts listening for Ctrl-C and SIGTERM. To be called inside a Tokio runtime; listening
    /// ends with the runtime.
    pub(crate) fn listen() -> Result<Self, CommandError> {
        let interrupt = Self::default();
        let listening = interrupt.clone();
        let mut signals = Signals::new()?;
        tokio::spawn(async move {
            let code = signals.next().await;
            listening.stop(code);
            let _ = writeln!(
                std::io::stderr(),
                "stopping: committing what is done; once more to end at once"
            );
            let code = signals.next().await;
            let _ = writeln!(std::io::stderr(), "hint: {HOW_TO_GO_ON}");
            end_at_once(code);
        });
        Ok(interrupt)
    }

    /// Ends the process on the first signal, after `last`: for what leaves nothing to commit. To be
    /// called inside a Tokio runtime.
    pub(crate) fn end_after(last: impl FnOnce() + Send + 'static) -> Result<(), CommandError> {
        let mut signals = Signals::new()?;
        tokio::spawn(async move {
            let code = signals.next().await;
            last();
            end_at_once(code);
        });
        Ok(())
    }

    /// Returns once the run was asked to stop.
    pub(crate) async fn stopped(&self) {
        let asked = self.shared.asked.notified();
        tokio::pin!(asked);
        // Registered before the look, so that a signal in between is not lost.
        asked.as_mut().enable();
        if self.code().is_none() {
            asked.await;
        }
    }

    /// Returns the exit code of the signal that came, if one came.
    pub(crate) fn code(&self) -> Option<ExitCode> {
        match self.shared.code.load(Ordering::Acquire) {
            0 => None,
            code if code == ExitCode::Terminated as u8 => Some(ExitCode::Terminated),
            _ => Some(ExitCode::Interrupted),
        }
    }

    /// Asks to stop, as the signal with this exit code does.
    pub(crate) fn stop(&self, code: ExitCode) {
        self.shared.code.store(code as u8, Ordering::Release);
        self.shared.asked.notify_waiters();
    }
}

/// SIGHUP: read the configuration again. It ends nothing once this exists.
#[derive(Debug)]
pub(crate) struct Hangup {
    #[cfg(unix)]
    signal: tokio::signal::unix::Signal,
}

impl Hangup {
    /// Starts listening. To be called inside a Tokio runtime.
    pub(crate) fn listen() -> Result<Self, CommandError> {
        Ok(Self {
            #[cfg(unix)]
            signal: match early().hangup.take() {
                Some(signal) => signal,
                None => tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup())?,
            },
        })
    }

    /// Waits for the next one; several that came meanwhile are one.
    pub(crate) async fn next(&mut self) {
        #[cfg(unix)]
        if self.signal.recv().await.is_some() {
            return;
        }
        std::future::pending::<()>().await;
    }
}

#[expect(clippy::exit, reason = "the second Ctrl-C means: now. The ledger is safe at any instant")]
fn end_at_once(code: ExitCode) -> ! {
    std::process::exit(code as i32)
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> Result<Self, CommandError> {
        match early().stop.take() {
            Some(kept) => Ok(kept),
            None => Self::register(),
        }
    }

    fn register() -> Result<Self, CommandError> {
        use tokio::signal::unix::{SignalKind, signal};
        let interrupt = signal(SignalKind::interrupt())?;
        let terminate = signal(SignalKind::terminate())?;
        Ok(Self { interrupt, terminate })
    }

    async fn next(&mut self) -> ExitCode {
        tokio::select! {
            biased;
            _ = self.terminate.recv() => ExitCode::Terminated,
            _ = self.interrupt.recv() => ExitCode::Interrupted,
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> Result<Self, CommandError> {
        Ok(Self)
    }

    async fn next(&mut self) -> ExitCode {
        // Without a console there is no Ctrl-C to wait for.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        ExitCode::Interrupted
    }
}

/// What is heard before a command listens. A listener has every signal since it was made, whichever
/// runtime comes to run it.
#[cfg(unix)]
struct Early {
    stop: Option<Signals>,
    hangup: Option<tokio::signal::unix::Signal>,
}

#[cfg(unix)]
static EARLY: Mutex<Early> = Mutex::new(Early { stop: None, hangup: None });

#[cfg(unix)]
fn early() -> std::sync::MutexGuard<'static, Early> {
    EARLY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Commands that [`Interrupt::listen`], and whether they also listen for [`Hangup`]. The others have
/// nothing to commit: a signal ends them as it ends any process.
#[cfg(unix)]
const LISTENING: [(&str, bool); 4] =
    [("watch", true), ("replay", false), ("audit", false), ("drill", false)];

/// Takes over the signals of the process, before anything else is done: `command` is the first word of
/// the command line. What comes before the command listens waits until it does.
///
/// A write beyond RLIMIT_FSIZE becomes an error (EFBIG) instead of death by SIGXFSZ, so that a full
/// disk and a full quota end the same way: exit code 74 and an untouched ledger.
#[cfg(unix)]
pub(crate) fn take_over(command: Option<OsString>) -> Result<(), CommandError> {
    use tokio::signal::unix::{SignalKind, signal};
    // SIGXFSZ is 25 on Linux, macOS and the BSDs.
    const SIGXFSZ: i32 = 25;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let _inside = runtime.enter();
    // Handlers that Tokio installs stay for the life of the process.
    if let Some((_, hangs_up)) =
        LISTENING.iter().find(|(name, _)| command.as_deref() == Some((*name).as_ref()))
    {
        let hangup = hangs_up.then(|| signal(SignalKind::hangup())).transpose()?;
        *early() = Early { stop: Some(Signals::register()?), hangup };
    }
    let _handled = signal(SignalKind::from_raw(SIGXFSZ))?;
    Ok(())
}

/// Only Unix has such signals.
#[cfg(not(unix))]
pub(crate) fn take_over(_command: Option<std::ffi::OsString>) -> Result<(), CommandError> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_is_seen_before_and_after_waiting() {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let runtime = runtime.expect("a runtime without drivers needs nothing");
        runtime.block_on(async {
            let interrupt = Interrupt::default();
            assert_eq!(interrupt.code(), None);
            let waiting = tokio::spawn({
                let interrupt = interrupt.clone();
                async move { interrupt.stopped().await }
            });
            tokio::task::yield_now().await;
            interrupt.stop(ExitCode::Terminated);
            waiting.await.expect("waiting does not panic");
            interrupt.stopped().await;
            assert_eq!(interrupt.code(), Some(ExitCode::Terminated));
        });
    }

    /// Sends a signal to this process and waits for nothing.
    #[cfg(unix)]
    fn signal_this(name: &str) {
        let pid = std::process::id().to_string();
        let sent = std::process::Command::new("kill").args(["-s", name, &pid]).status();
        assert!(sent.expect("kill is there").success());
    }

    #[cfg(unix)]
    #[test]
    fn what_comes_before_the_command_listens_waits_until_it_does() {
        take_over(Some("watch".into())).expect("handlers are installed");
        signal_this("HUP");
        signal_this("TERM");
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            // Whatever runs before it may have turned the driver.
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            let interrupt = Interrupt::listen().expect("it listens");
            let mut hangup = Hangup::listen().expect("it listens");
            interrupt.stopped().await;
            assert_eq!(interrupt.code(), Some(ExitCode::Terminated));
            hangup.next().await;
        });
    }
}
