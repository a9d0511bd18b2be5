//! Which levels of proof and trust this version has: what a plan may demand.
//!
//! `agree:N` is in the grammar, because ledgers and configurations of later versions have it.

use crate::command_error::CommandError;
use event::{AnchorPolicy, Verify};

const NO_AGREEMENT: &str = "comparing nodes is not part of this version";

/// Reads a level; what is refused later is not offered.
pub(crate) fn parse_verify(text: &str) -> Result<Verify, String> {
    text.parse().map_err(|_| format!("`{text}` is none of off, bloom, prove"))
}

/// Reads an anchor; what is refused later is not offered.
pub(crate) fn parse_anchor(text: &str) -> Result<AnchorPolicy, String> {
    text.parse().map_err(|_| format!("`{text}` is none of one-node, NUMBER:HASH"))
}

/// Says which level to take instead of one that compares nodes.
pub(crate) fn check_verify(verify: Verify) -> Result<Verify, (String, String)> {
    match verify {
        Verify::Agree(_) => Err((
            format!("`{verify}`: {NO_AGREEMENT}"),
            "`prove` shows more: it needs one honest header, not several nodes".to_owned(),
        )),
        other => Ok(other),
    }
}

/// Checks a level for a command that compares nodes, against how many there are.
pub(crate) fn check_verify_of_many(
    flag: &str,
    verify: Verify,
    nodes: usize,
) -> Result<(), CommandError> {
    match verify {
        Verify::Agree(needed) if usize::from(needed) > nodes => {
            let counted = if nodes == 1 { "1 node".to_owned() } else { format!("{nodes} nodes") };
            Err(CommandError::usage(format!("{counted} can never agree as {needed}"))
                .context(format!("{flag} {verify} cannot be that"))
                .hint(format!("name more nodes with -r, or choose {flag} prove")))
        }
        _ => Ok(()),
    }
}

/// Says which anchor to take instead of one that compares nodes.
pub(crate) fn check_anchor(anchor: AnchorPolicy) -> Result<AnchorPolicy, (String, String)> {
    match anchor {
        AnchorPolicy::Agreed(nodes) => Err((
            format!("`agreed:{nodes}`: {NO_AGREEMENT}"),
            "give the NUMBER:HASH of a block that you know, or `one-node`".to_owned(),
        )),
        other => Ok(other),
    }
}

/// Checks what was chosen, wherever it was written.
pub(crate) fn check_levels(verify: Verify, anchor: AnchorPolicy) -> Result<(), CommandError> {
    let failed = |flag: &str, (error, hint): (String, String)| {
        CommandError::usage(error).context(format!("{flag} cannot be that")).hint(hint)
    };
    check_verify(verify).map_err(|wrong| failed("--verify", wrong))?;
    check_anchor(anchor).map_err(|wrong| failed("--anchor", wrong))?;
    match (verify, anchor) {
        (Verify::Off, AnchorPolicy::Checkpoint(_)) => {
            Err(CommandError::usage("no header is read under --verify off")
                .context("--anchor NUMBER:HASH needs headers that lead to that block")
                .hint("leave --anchor out, or choose --verify bloom or prove"))
        }
        _ => Ok(()),
    }
}
