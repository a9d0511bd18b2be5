//! The bench's command line: the comparison over a range by default, the live one and each part by
//! name.

use clap::{Args, Parser, Subcommand};
use headcount_bench::{
    BenchError, append,
    chain::{Chain, Receipts},
    contender::EVENT,
    fetch::{self, FetchPlan},
    live::{self, bare::Subscription, contender::Files},
    measure,
    plugins::{self, summary::Language},
    runner::{self, Plan},
    server::{self, Limit},
    summary::Goal,
    transfer::TOKEN,
};
use std::{
    error::Error as _,
    ffi::OsString,
    fmt::Display,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    thread,
    time::Duration,
};

/// Measure `headcount replay`, `headcount watch` and plugins next to their parts, on this machine
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    part: Option<Part>,
    #[command(flatten)]
    comparison: Comparison,
}

// What every comparison is told; a doc comment would become the text of the command.
#[derive(Debug, Args)]
struct Measured {
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
    /// Exit with 1 when a goal is missed
    #[arg(long)]
    check: bool,
    /// Program to measure; by default the one beside this one
    #[arg(long)]
    headcount: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct Comparison {
    /// Blocks of the chain, ten logs each
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..))]
    blocks: u64,
    /// Rounds, each with every contender once
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Wait before each answer of the server
    #[arg(long, default_value_t = 0)]
    latency_ms: u64,
    /// Contenders to run, by letter
    #[arg(long, default_value = "abcdepsn")]
    only: String,
    #[command(flatten)]
    measured: Measured,
    /// Plugin of (c); by default the one under plugins/target
    #[arg(long)]
    plugin: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct LiveComparison {
    /// Blocks announced in a run, ten logs each, after a few that do not count
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    blocks: u64,
    /// Rounds, each with everybody once at each latency
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Time between two heads
    #[arg(long, default_value_t = 200)]
    interval_ms: u64,
    /// Waits before each answer and announcement of the node
    #[arg(long, default_value = "0,50", value_delimiter = ',')]
    latency_ms: Vec<u64>,
    #[command(flatten)]
    measured: Measured,
    /// Plugin of (f); by default the one under plugins/target
    #[arg(long)]
    plugin: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct PluginComparison {
    /// Events at batches of 1,000; a fifth of them at 100, a fiftieth at 1
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1_000..))]
    events: u32,
    /// Rounds, each with every plugin once at each batch size
    #[arg(long, default_value_t = 3)]
    runs: usize,
    #[command(flatten)]
    measured: Measured,
    /// Folder of built plugins, of `make plugins` and `make script-plugins`
    #[arg(long)]
    plugins: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// Measure how fast a plugin that is new to a finished ledger comes to its commit
    ///
    /// Plugins in Rust, JavaScript and Python are started on a ledger that has everything, at batches of
    /// 1, 100 and 1,000 events. Next to the program stand, on the same events: the guest called by wasmtime
    /// alone, the ledger's rows read and dropped, and the rows that the plugin wrote appended alone. At
    /// 1,000 the program is held to half the speed of the slowest of these, and what a fresh instance for
    /// each batch costs to a twentieth of the program's time. What is not built is named and left out.
    Plugins(PluginComparison),
    /// Measure from a node's announcement of a head to the plugin's commit
    Live(LiveComparison),
    /// Follow a node as a user would without us, into a fresh DuckDB file
    BareLoop {
        /// Node
        #[arg(long)]
        url: String,
        /// What to listen to
        #[arg(long)]
        on: Subscription,
        /// File to make
        #[arg(long)]
        file: PathBuf,
    },
    /// Serve the chain on a free port until interrupted
    Serve {
        /// Blocks of the chain, ten logs each
        #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..))]
        blocks: u64,
        /// Wait before each answer
        #[arg(long, default_value_t = 0)]
        latency_ms: u64,
        /// Make all receipts beforehand, 13 KB a block, and not when they are asked for
        #[arg(long)]
        receipts_beforehand: bool,
        /// Serve the chain on so many ports more, each with a limit
        #[arg(long, default_value_t = 0)]
        limited_nodes: usize,
        /// HTTP requests a second that such a port takes; what is above is refused with 429
        #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
        requests_per_second: u32,
    },
    /// Fetch and parse with alloy alone, and print the number of logs
    AlloyLoop {
        /// Node
        #[arg(long)]
        url: String,
        /// First block
        #[arg(long)]
        first: u64,
        /// Last block
        #[arg(long)]
        last: u64,
        /// Requests under way at once
        #[arg(long, default_value_t = 4)]
        concurrency: usize,
    },
    /// Append the rows of the chain to a fresh DuckDB file
    AppendLoop {
        /// Blocks of the chain, ten logs each
        #[arg(long, default_value_t = 100_000)]
        blocks: u64,
        /// File to make
        #[arg(long)]
        file: PathBuf,
    },
    /// Run a command and print what it took
    Measure {
        /// Command and its arguments
        #[arg(last = true, required = true)]
        command: Vec<OsString>,
    },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.part {
        None => compare(&cli.comparison),
        Some(part) => run_part(part),
    };
    done.unwrap_or_else(|error| {
        let mut text = format!("error: {error}\n");
        let mut cause = error.source();
        while let Some(error) = cause {
            text.push_str(&format!("caused by: {error}\n"));
            cause = error.source();
        }
        // Nobody is left to tell when stderr is closed.
        let _ = io::stderr().write_all(text.as_bytes());
        ExitCode::FAILURE
    })
}

fn run_part(part: Part) -> Result<ExitCode, BenchError> {
    let done = match part {
        Part::Live(comparison) => return compare_live(&comparison),
        Part::Plugins(comparison) => return compare_plugins(&comparison),
        Part::Serve {
            blocks,
            latency_ms,
            receipts_beforehand,
            limited_nodes,
            requests_per_second,
        } => {
            let receipts =
                if receipts_beforehand { Receipts::Beforehand } else { Receipts::OnTheSpot };
            let limits = vec![requests_per_second; limited_nodes];
            serve(blocks, receipts, Duration::from_millis(latency_ms), &limits)
        }
        Part::AlloyLoop { url, first, last, concurrency } => {
            let plan = FetchPlan { url, first, last, concurrency };
            print(&runtime()?.block_on(fetch::fetch(&plan))?.to_string())
        }
        Part::BareLoop { url, on, file } => {
            runtime()?.block_on(live::bare::follow(&url, on, &file))
        }
        Part::AppendLoop { blocks, file } => {
            let appended = append::append(&file, blocks)?;
            print(&serde_json::json!(appended).to_string())
        }
        Part::Measure { command } => {
            print(&serde_json::json!(measure::measure(&command)?).to_string())
        }
    };
    done.map(|()| ExitCode::SUCCESS)
}

fn runtime() -> Result<tokio::runtime::Runtime, BenchError> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.enable_all().build().map_err(BenchError::io("starting the runtime"))
}

/// Returns this program, its folder, and where the plugin is unless told.
fn places() -> Result<(PathBuf, PathBuf, PathBuf), BenchError> {
    let bench = std::env::current_exe().map_err(BenchError::io("finding this program"))?;
    let beside = bench.parent().map(PathBuf::from).unwrap_or_default();
    let target = beside.parent().map(PathBuf::from).unwrap_or_default();
    let plugin = target.join("../plugins/target/wasm32-wasip2/release/erc20_balances.wasm");
    Ok((bench, beside, plugin))
}

impl Measured {
    /// Returns the program to measure.
    fn program(&self, beside: &Path) -> PathBuf {
        self.headcount.clone().unwrap_or_else(|| beside.join("headcount"))
    }

    /// Prints a summary and returns what its goals come to.
    fn tell(
        &self,
        table: &impl Display,
        json: &serde_json::Value,
        goals: &[Goal],
    ) -> Result<ExitCode, BenchError> {
        print(&if self.json { json.to_string() } else { table.to_string() })?;
        let all_met = goals.iter().all(|goal| goal.met);
        Ok(if self.check && !all_met { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

fn compare_live(comparison: &LiveComparison) -> Result<ExitCode, BenchError> {
    let (bench, beside, plugin) = places()?;
    let headcount = comparison.measured.program(&beside);
    let plugin = comparison.plugin.clone().unwrap_or(plugin);
    let plan = live::runner::Plan {
        block_count: comparison.blocks,
        run_count: comparison.runs.max(1),
        interval: Duration::from_millis(comparison.interval_ms),
        latencies_ms: comparison.latency_ms.clone(),
        files: Files { bench, headcount, plugin },
        scratch: beside,
    };
    let summary = live::runner::run(&plan, &mut io::stderr())?;
    comparison.measured.tell(&summary, &summary.json(), &summary.goals())
}

fn compare_plugins(comparison: &PluginComparison) -> Result<ExitCode, BenchError> {
    let (_, beside, _) = places()?;
    let built = beside.join("../../plugins/target");
    let built = comparison.plugins.clone().unwrap_or(built);
    let plan = plugins::runner::Plan {
        event_count: comparison.events as usize,
        run_count: comparison.runs.max(1),
        headcount: comparison.measured.program(&beside),
        plugins: Language::ALL.map(|each| (each, built.join(each.component()))).into(),
        scratch: beside,
    };
    let summary = plugins::runner::run(&plan, &mut io::stderr())?;
    comparison.measured.tell(&summary, &summary.json(), &summary.goals())
}

fn compare(comparison: &Comparison) -> Result<ExitCode, BenchError> {
    let (_, beside, plugin) = places()?;
    let plan = Plan {
        block_count: comparison.blocks,
        run_count: comparison.runs.max(1),
        latency_ms: comparison.latency_ms,
        letters: comparison.only.clone(),
        headcount: comparison.measured.program(&beside),
        plugin: comparison.plugin.clone().unwrap_or(plugin),
        scratch: beside,
    };
    let summary = runner::run(&plan, &mut io::stderr())?;
    comparison.measured.tell(&summary, &summary.json(), &summary.goals())
}

fn serve(
    blocks: u64,
    receipts: Receipts,
    latency: Duration,
    limits: &[u32],
) -> Result<(), BenchError> {
    let chain = Arc::new(Chain::build(blocks, receipts));
    let start = |limit| -> Result<String, BenchError> {
        let address = server::serve(Arc::clone(&chain), latency, limit);
        Ok(format!("http://{}", address.map_err(BenchError::io("listening"))?))
    };
    let url = start(None)?;
    print(&url)?;
    for limit in limits {
        print(&start(Some(Limit::per_second(*limit)))?)?;
    }
    let range = runner::range_text(blocks);
    let hint = format!("headcount replay -r {url} -c bench={TOKEN} -e '{EVENT}' -b {range}\n");
    // The hint is for a person; the server serves without one too.
    let _ = io::stderr().write_all(hint.as_bytes());
    loop {
        thread::park();
    }
}

fn print(line: &str) -> Result<(), BenchError> {
    writeln!(io::stdout(), "{line}").map_err(BenchError::io("printing"))
}
