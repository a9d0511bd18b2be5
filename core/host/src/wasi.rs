//! The part of WASI that a standard library needs to start, with nothing behind it.

use crate::call::Call;
use wasmtime::component::{HasData, Linker, Resource, ResourceTable};
use wasmtime_wasi::{
    Deterministic, HostMonotonicClock, HostWallClock, WasiCtx, WasiCtxBuilder, WasiView,
    cli::{WasiCli, WasiCliView},
    clocks::{WasiClocks, WasiClocksCtxView, WasiClocksView},
    filesystem::{WasiFilesystem, WasiFilesystemView},
    p2::{
        DynPollable,
        bindings::{cli, clocks, filesystem, random, sync},
    },
    random::WasiRandom,
};

/// What is linked so that it can be called in vain.
pub(crate) const SOCKETS: &str = "wasi:sockets/";
/// What a guest may import of WASI; `http` is not among it.
pub(crate) const LINKED: [&str; 6] =
    ["wasi:cli/", "wasi:clocks/", "wasi:filesystem/", "wasi:io/", "wasi:random/", SOCKETS];

/// Links it. The file system has no directory in it, the input is closed, sleeping takes no time.
pub(crate) fn link(linker: &mut Linker<Call>) -> wasmtime::Result<()> {
    let l = linker;
    wasmtime_wasi_io::bindings::wasi::io::error::add_to_linker::<Call, Table>(l, |call| {
        &mut call.table
    })?;
    sync::io::poll::add_to_linker::<Call, Table>(l, |call| &mut call.table)?;
    sync::io::streams::add_to_linker::<Call, Table>(l, |call| &mut call.table)?;
    clocks::wall_clock::add_to_linker::<Call, WasiClocks>(l, Call::clocks)?;
    clocks::monotonic_clock::add_to_linker::<Call, Still>(l, |call| StillClock(call.clocks()))?;
    random::random::add_to_linker::<Call, WasiRandom>(l, |call| call.wasi.random())?;
    random::insecure::add_to_linker::<Call, WasiRandom>(l, |call| call.wasi.random())?;
    random::insecure_seed::add_to_linker::<Call, WasiRandom>(l, |call| call.wasi.random())?;
    cli::exit::add_to_linker::<Call, WasiCli>(l, Call::cli)?;
    cli::environment::add_to_linker::<Call, WasiCli>(l, Call::cli)?;
    cli::stdin::add_to_linker::<Call, WasiCli>(l, Call::cli)?;
    cli::stdout::add_to_linker::<Call, WasiCli>(l, Call::cli)?;
    cli::stderr::add_to_linker::<Call, WasiCli>(l, Call::cli)?;
    cli::terminal_input::add_to_linker::<Call, WasiCli>(l, Call::cli)?;
    cli::terminal_output::add_to_linker::<Call, WasiCli>(l, Call::cli)?;
    cli::terminal_stdin::add_to_linker::<Call, WasiCli>(l, Call::cli)?;
    cli::terminal_stdout::add_to_linker::<Call, WasiCli>(l, Call::cli)?;
    cli::terminal_stderr::add_to_linker::<Call, WasiCli>(l, Call::cli)?;
    filesystem::preopens::add_to_linker::<Call, WasiFilesystem>(l, Call::filesystem)?;
    sync::filesystem::types::add_to_linker::<Call, WasiFilesystem>(l, Call::filesystem)?;
    Ok(())
}

/// Returns the surroundings of one call: time stands still at `unix_seconds`.
pub(crate) fn context(
    unix_seconds: u64,
    seed: &[u8; 32],
    console: crate::console::Console,
) -> WasiCtx {
    let mut seed_number = [0; 16];
    seed_number.copy_from_slice(&seed[..16]);
    WasiCtxBuilder::new()
        .stdout(console.clone())
        .stderr(console)
        .wall_clock(Fixed(unix_seconds))
        .monotonic_clock(Fixed(unix_seconds))
        .secure_random(Deterministic::new(seed.to_vec()))
        .insecure_random(Deterministic::new(seed.to_vec()))
        .insecure_random_seed(u128::from_be_bytes(seed_number))
        .allow_tcp(false)
        .allow_udp(false)
        .build()
}

impl WasiView for Call {
    fn ctx(&mut self) -> wasmtime_wasi::WasiCtxView<'_> {
        wasmtime_wasi::WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

struct Table;

impl HasData for Table {
    type Data<'a> = &'a mut ResourceTable;
}

struct Fixed(u64);

impl HostWallClock for Fixed {
    fn resolution(&self) -> std::time::Duration {
        std::time::Duration::from_secs(1)
    }

    fn now(&self) -> std::time::Duration {
        std::time::Duration::from_secs(self.0)
    }
}

impl HostMonotonicClock for Fixed {
    fn resolution(&self) -> u64 {
        1_000_000_000
    }

    fn now(&self) -> u64 {
        self.0.saturating_mul(1_000_000_000)
    }
}

struct Still;

impl HasData for Still {
    type Data<'a> = StillClock<'a>;
}

/// A clock that does not go on: who waits for it would wait in the host, past every deadline.
struct StillClock<'a>(WasiClocksCtxView<'a>);

impl clocks::monotonic_clock::Host for StillClock<'_> {
    fn now(&mut self) -> wasmtime::Result<u64> {
        clocks::monotonic_clock::Host::now(&mut self.0)
    }

    fn resolution(&mut self) -> wasmtime::Result<u64> {
        clocks::monotonic_clock::Host::resolution(&mut self.0)
    }

    fn subscribe_instant(&mut self, _: u64) -> wasmtime::Result<Resource<DynPollable>> {
        self.subscribe_duration(0)
    }

    fn subscribe_duration(&mut self, _: u64) -> wasmtime::Result<Resource<DynPollable>> {
        clocks::monotonic_clock::Host::subscribe_duration(&mut self.0, 0)
    }
}
