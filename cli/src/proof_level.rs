//! Which levels of proof and trust a plan may demand.

use crate::command_error::CommandError;
use event::{AnchorPolicy, Verify};

const NO_AGREEMENT: &str = "headers are not compared between nodes here";

/// Reads a level.
pub(crate) fn parse_verify(text: &str) -> Result<Verify, String> {
    text.parse()
}

/// Reads what an audit or an export demands: of a sample neither could say that nothing is missing.
pub(crate) fn parse_require(text: &str) -> Result<Verify, String> {
    match text.parse() {
        Ok(Verify::ProveSample(_)) => Err(format!(
            "`{text}`: who proves a part of the blocks cannot say that nothing is missing"
        )),
        other => {
            other.map_err(|_: String| format!("`{text}` is none of off, bloom, agree:N, prove"))
        }
    }
}

/// Reads an anchor; what is refused later is not offered.
pub(crate) fn parse_anchor(text: &str) -> Result<AnchorPolicy, String> {
    text.parse().map_err(|_| format!("`{text}` is none of one-node, NUMBER:HASH"))
}

/// Checks a level that compares nodes against how many there are.
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
pub(crate) fn check_levels(
    verify: Verify,
    anchor: AnchorPolicy,
    nodes: usize,
) -> Result<(), CommandError> {
    let failed = |flag: &str, (error, hint): (String, String)| {
        CommandError::usage(error).context(format!("{flag} cannot be that")).hint(hint)
    };
    check_verify_of_many("--verify", verify, nodes)?;
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
