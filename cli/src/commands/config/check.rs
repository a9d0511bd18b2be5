//! `headcount config check`: every mistake at once.

use crate::{
    command_error::CommandError, config_file::Config, environment::Environment,
    exit_codes::ExitCode,
};
use event::Verify;
use std::{
    io::{Write, stdout},
    path::PathBuf,
};

/// List all mistakes of the configuration file, with their lines; exit code 2 when there are any
///
/// The files that it names are looked at, too: components, which must be the pinned ones, ABI files, and certificates of plugins. No node and no sink is asked.
#[derive(Debug, clap::Args)]
pub(crate) struct CheckArgs {
    /// Configuration file [env: HEADCOUNT_CONFIG] [default: ./headcount.toml, then XDG, then /etc]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Prints one line when all is well.
pub(crate) fn cmd_config_check(
    args: &CheckArgs,
    environment: &Environment,
) -> Result<ExitCode, CommandError> {
    let config = Config::load_with_files(args.config.as_deref(), environment)?;
    let Some(path) = &config.path else {
        return Err(CommandError::usage("there is no configuration file to check")
            .hint("name it with --config FILE, or write ./headcount.toml"));
    };
    for chain in config.chains.iter().filter(|chain| !chain.nodes.is_empty()) {
        let name = &chain.name;
        for (key, level) in [
            ("verify", chain.verify),
            ("replay_verify", chain.replay_verify),
            ("watch_verify", chain.watch_verify),
            ("audit_require", chain.audit_require),
        ] {
            let (nodes, needed) = match level {
                Some(Verify::Agree(needed)) => (chain.nodes.len(), usize::from(needed)),
                _ => continue,
            };
            if needed > nodes {
                let counted = if nodes == 1 { "1 node".into() } else { format!("{nodes} nodes") };
                let what = format!("{counted} can never agree as {needed}");
                return Err(CommandError::usage(what)
                    .context(format!("[chain.{name}] {key} = \"agree:{needed}\" cannot be that"))
                    .hint(format!("add a [[chain.{name}.node]] of another operator")));
            }
        }
    }
    let nodes: usize = config.chains.iter().map(|chain| chain.nodes.len()).sum();
    writeln!(
        stdout(),
        "ok: {}: {} chains, {nodes} nodes, {} contracts, {} plugins",
        path.display(),
        config.chains.len(),
        config.contracts.len(),
        config.plugins.len(),
    )?;
    Ok(ExitCode::Done)
}
