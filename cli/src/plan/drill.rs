//! What a drill is to do.

use super::time_of;
use crate::{
    command_error::CommandError, commands::drill::DrillArgs, environment::Environment,
    summary::SummaryFormat,
};
use std::{ops::RangeInclusive, path::PathBuf, time::Duration};

/// Blocks that may be drilled over: fewer have no room for a reorg and for what goes wrong.
const BLOCKS: RangeInclusive<u64> = 20..=10_000;
/// Times between blocks, in milliseconds: shorter ones measure the machine and not the nodes.
const BLOCK_TIME_MS: RangeInclusive<u64> = 20..=60_000;
/// Seed and block time where the user says nothing.
const DEFAULT_SEED: u64 = 1;
const DEFAULT_BLOCK_TIME: Duration = Duration::from_millis(200);

/// A drill, decided.
#[derive(Clone, Debug)]
pub(crate) struct DrillPlan {
    /// Everything random depends on it.
    pub(crate) seed: u64,
    /// Blocks mined while it runs.
    pub(crate) blocks: u64,
    /// Time between them, in milliseconds.
    pub(crate) block_time_ms: u64,
    /// Form of the report.
    pub(crate) format: SummaryFormat,
    /// Where the ledger is to stay; `None` = it is deleted.
    pub(crate) keep: Option<PathBuf>,
}

impl DrillPlan {
    /// Decides what `args` mean here.
    pub(crate) fn resolve(
        args: &DrillArgs,
        environment: &Environment,
    ) -> Result<Self, CommandError> {
        let blocks = args.blocks;
        if !BLOCKS.contains(&blocks) {
            return Err(CommandError::usage(format!("a drill cannot have {blocks} blocks"))
                .hint(format!("choose --blocks from {} to {}", BLOCKS.start(), BLOCKS.end())));
        }
        let block_time = time_of("--block-time", args.block_time.as_deref())?;
        let block_time = block_time.unwrap_or(DEFAULT_BLOCK_TIME).as_millis();
        let block_time_ms = u64::try_from(block_time).unwrap_or(u64::MAX);
        if !BLOCK_TIME_MS.contains(&block_time_ms) {
            return Err(CommandError::usage(format!(
                "blocks cannot come every {block_time_ms} ms"
            ))
            .hint("choose --block-time from 20ms to 1m"));
        }
        let keep = args.keep.as_deref().map(|path| environment.resolve(path));
        if let Some(path) = keep.as_ref().filter(|path| path.exists()) {
            return Err(CommandError::usage(format!("{} is there already", path.display()))
                .context("a drill has a ledger of its own")
                .hint(match path.is_dir() {
                    true => "that is a folder: name a file, as in --keep drill.duckdb",
                    false => "name another file with --keep",
                }));
        }
        if let Some(folder) = keep.as_ref().and_then(|path| path.parent())
            && !folder.is_dir()
        {
            return Err(CommandError::usage(format!("there is no folder {}", folder.display()))
                .context("the ledger of the drill cannot be kept")
                .hint("make the folder, or name another file with --keep"));
        }
        let seed = args.seed.unwrap_or(DEFAULT_SEED);
        Ok(Self { seed, blocks, block_time_ms, format: args.format, keep })
    }
}
