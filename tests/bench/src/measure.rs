//! Wall time, CPU seconds and peak memory of one child. The measuring process is itself a fresh,
//! small child of the runner and starts exactly one child, so that the kernel's sums over children
//! speak of nobody else.

use crate::error::BenchError;
use nix::sys::{
    resource::{Usage as KernelUsage, UsageWho, getrusage},
    time::TimeVal,
};
use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use std::{
    ffi::OsString,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// What a child took.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// Seconds from start to end.
    pub wall_s: f64,
    /// User and system seconds.
    pub cpu_s: f64,
    /// Largest resident memory, in bytes.
    pub peak_bytes: u64,
}

/// What a child took and said, as the measuring process prints it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Measured {
    /// What it took.
    pub usage: Usage,
    /// What it printed.
    pub stdout: String,
}

/// Runs a command to its end.
pub fn measure(command: &[OsString]) -> Result<Measured, BenchError> {
    let line = command_line(command);
    let Some((program, arguments)) = command.split_first() else {
        return Err(BenchError::Unreadable { what: "a command", text: line });
    };
    let start = Instant::now();
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(BenchError::io(format!("starting {line}")))?;
    let wall_s = start.elapsed().as_secs_f64();
    if !output.status.success() {
        return Err(BenchError::Child {
            command: line,
            status: output.status.to_string(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        });
    }
    let usage = usage_of(UsageWho::RUSAGE_CHILDREN)?;
    // Linux counts in KiB, macOS in bytes.
    let rss_unit = if cfg!(target_os = "macos") { 1 } else { 1024 };
    let usage = Usage {
        wall_s,
        cpu_s: cpu_s(&usage),
        peak_bytes: u64::try_from(usage.max_rss()).unwrap_or_default() * rss_unit,
    };
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(Measured { usage, stdout })
}

/// Returns the command as one would type it.
pub fn command_line(command: &[OsString]) -> String {
    command.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// Returns the CPU time of this thread so far: on a machine that does other things at once, the time that
/// something takes of it alone.
pub fn thread_cpu() -> Result<Duration, BenchError> {
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)
        .map_err(|errno| BenchError::io("reading the clock of a thread")(errno.into()))?;
    Ok(Duration::from(time))
}

/// Returns the CPU seconds of this process so far.
pub fn own_cpu_s() -> Result<f64, BenchError> {
    Ok(cpu_s(&usage_of(UsageWho::RUSAGE_SELF)?))
}

fn usage_of(who: UsageWho) -> Result<KernelUsage, BenchError> {
    getrusage(who).map_err(|errno| BenchError::io("reading resource usage")(errno.into()))
}

fn cpu_s(usage: &KernelUsage) -> f64 {
    seconds(usage.user_time()) + seconds(usage.system_time())
}

fn seconds(time: TimeVal) -> f64 {
    time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6
}
