//! What a finished run has to complain of, for people who look at stderr and at the exit code only.
//!
//! The summary on stdout has all of it, and more; nothing is decided here.

use crate::{
    command_error::{CommandError, ErrorKind},
    summary::{PluginSummary, SinkSummary, Status, Summary, UndecodedSummary, grouped},
};
use event::LedgerError;
use pipeline::IN_EVERY_TRY;
use std::fmt;

/// What the run did not do, with why.
#[derive(Debug)]
struct Why(String);

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Why {}

/// Returns the error that the exit code stands for, where it stands for one.
pub(crate) fn complaint(summary: &Summary) -> Option<CommandError> {
    if let (Some(why), true) = (&summary.not_folded, summary.status.is_left_to_the_disk()) {
        return Some(LedgerError::NotFolded(why.clone()).into());
    }
    match summary.status {
        Status::Open if summary.blocks.open.is_empty() => Some(behind(&summary.plugins_behind())),
        Status::Open => Some(open(summary)),
        Status::Failed => Some(failed(summary)),
        Status::Done | Status::Stopped | Status::Interrupted | Status::Skipped => None,
    }
}

fn open(summary: &Summary) -> CommandError {
    let open = &summary.blocks.open;
    let blocks: u64 = open.iter().map(|open| open.range.count).sum();
    let cause = match open.as_slice() {
        [] => "nothing shows why".to_owned(),
        [one] => format!("{}: {}", one.range, one.reason),
        [first, rest @ ..] => {
            format!("{}: {}; and {} more ranges", first.range, first.reason, rest.len())
        }
    };
    let stay = if blocks == 1 { "block stays" } else { "blocks stay" };
    let error = CommandError::new(ErrorKind::LeftOpen, Why(cause))
        .context(format!("{} {stay} open", grouped(blocks)));
    let is_in_vain =
        !open.is_empty() && open.iter().all(|open| open.reason.ends_with(IN_EVERY_TRY));
    error.hint(match (summary.wrong_answers().next(), is_in_vain) {
        (Some(_), _) => "a wrong answer was caught: add a node (-r) of another operator",
        (None, true) => {
            "it would say the same again: check that the URL is that of a JSON-RPC endpoint of a node \
             in sync, or use another node (-r)"
        }
        (None, false) => "run the same command again, perhaps with another node (-r) as well",
    })
}

/// Returns the error of plugins that were not handed everything that is stored.
fn behind(plugins: &[&str]) -> CommandError {
    let (names, were) = (plugins.join(", "), if plugins.len() == 1 { "was" } else { "were" });
    let error = CommandError::new(ErrorKind::LeftOpen, Why("a warning above says why".to_owned()));
    error.context(format!("plugin {names} {were} not handed everything that is stored")).hint(
        "nothing is lost: the next run hands it on from there; `headcount plugin list` shows where that is",
    )
}

fn failed(summary: &Summary) -> CommandError {
    let why = summary.failure.clone().unwrap_or_else(|| "the check failed".to_owned());
    let error = CommandError::new(ErrorKind::CheckFailed, Why(why)).context("the check failed");
    error.hint("the summary names node, blocks and flaw; ask a node (-r) of another operator")
}

/// Returns what somebody should hear of although it does not decide the exit code.
pub(crate) fn warnings(summary: &Summary) -> Vec<String> {
    let mut warnings = Vec::new();
    let wrong: Vec<_> = summary.wrong_answers().collect();
    if let (Some(first), true) = (wrong.first(), summary.status != Status::Failed) {
        let count = wrong.len() as u64;
        let what = if count == 1 { "wrong answer was" } else { "wrong answers were" };
        warnings.push(format!(
            "{} {what} caught, the first from {}: {} in {}: {}",
            grouped(count),
            first.node,
            first.flaw,
            first.range,
            first.detail
        ));
    }
    warnings.extend(summary.undecoded.iter().map(undecoded));
    warnings.extend(summary.plugins.iter().flat_map(plugin_warnings));
    let told = |sink: &&SinkSummary| sink.waiting > 0 || sink.dead > 0;
    warnings.extend(summary.sinks.iter().filter(told).map(|sink| format!("sink {sink}")));
    warnings
}

/// Returns what somebody should hear of a plugin.
pub(crate) fn plugin_warnings(plugin: &PluginSummary) -> Vec<String> {
    let (name, mut warnings) = (&plugin.name, Vec::new());
    if plugin.dead_letters > 0 {
        let count = grouped(plugin.dead_letters);
        warnings.push(format!("plugin {name}: {count} events were set aside"));
    }
    warnings.extend(plugin.halted.as_deref().map(|reason| halted(name, reason)));
    warnings.extend(plugin.held.as_deref().map(|reason| held(name, reason)));
    if let (Some(reason), false) = (&plugin.waiting, plugin.is_patient) {
        warnings.push(format!("plugin {name} has not handled everything: {reason}"));
    }
    warnings
}

/// Returns what to hear of a plugin that is halted, and what to type for it.
fn halted(plugin: &str, reason: &str) -> String {
    format!(
        "plugin {plugin} is halted: {reason}; when that is mended, `headcount plugin resume {plugin}` has it go on"
    )
}

/// Returns what to hear of a plugin that waits for a decision, and what to type for it.
fn held(plugin: &str, reason: &str) -> String {
    format!(
        "plugin {plugin} is held: {reason}; `headcount plugin upgrade {plugin} --continue` has it go on \
         where it is, `headcount plugin rebuild {plugin}` has it begin anew"
    )
}

/// Returns what to hear of an event that was found and never decoded.
pub(crate) fn undecoded(event: &UndecodedSummary) -> String {
    told_undecoded(event, "they are kept raw; ")
}

/// Returns the same where nothing is stored.
pub(crate) fn undecodable(event: &UndecodedSummary) -> String {
    told_undecoded(event, "")
}

fn told_undecoded(event: &UndecodedSummary, kept: &str) -> String {
    let UndecodedSummary { contract, signature, count, indexed_declared, indexed_found } = event;
    let logs = if *count == 1 {
        "the only log".into()
    } else {
        format!("none of {} logs", grouped(*count))
    };
    let not = if *count == 1 { "did not decode" } else { "decoded" };
    let why = match indexed_declared == indexed_found {
        true => "their data is not what it declares: check the types".to_owned(),
        false => format!(
            "they have {indexed_found} indexed arguments and it declares {indexed_declared}: mark \
             those, as in \"Transfer(address indexed from, ...)\""
        ),
    };
    format!("{logs} of {signature} at {contract} {not}, {kept}{why}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::summary::{IncidentSummary, OpenSummary, RangeSummary};

    fn summary(status: Status) -> Summary {
        Summary { status, ..Summary::default() }
    }

    #[test]
    fn open_blocks_are_one_error_with_cause_and_hint() {
        let range = RangeSummary { first: 5, last: 6, count: 2 };
        let mut summary = summary(Status::Open);
        summary.blocks.open = vec![OpenSummary { range, reason: "a is down".into() }];
        assert_eq!(
            complaint(&summary).map(|error| error.to_string()).as_deref(),
            Some(
                "error: 2 blocks stay open\ncaused by: 5:6 (2 blocks): a is down\n\
                 hint: run the same command again, perhaps with another node (-r) as well"
            )
        );
    }

    #[test]
    fn what_is_of_no_use_in_every_try_is_not_to_be_run_again() {
        let range = RangeSummary { first: 5, last: 6, count: 2 };
        let of = |reasons: &[&str]| {
            let mut summary = summary(Status::Open);
            let open = reasons.iter().map(|reason| OpenSummary { range, reason: (*reason).into() });
            summary.blocks.open = open.collect();
            complaint(&summary).map(|error| error.to_string()).unwrap_or_default()
        };
        let html = "a: eth_getLogs: not JSON, in every try";
        assert!(of(&[html]).contains("hint: it would say the same again: check that the URL"));
        assert!(of(&[html, "a is down"]).contains("hint: run the same command again"));
    }

    #[test]
    fn a_plugin_that_was_not_handed_everything_is_an_error_and_stands_in_every_form_of_the_summary()
    {
        let mut summary = summary(Status::Open);
        let plugin = |name: &str, behind| PluginSummary {
            name: name.into(),
            behind,
            ..PluginSummary::default()
        };
        summary.plugins = vec![plugin("p", true), plugin("q", false)];
        let told = complaint(&summary).map(|error| error.to_string()).unwrap_or_default();
        assert!(
            told.starts_with("error: plugin p was not handed everything that is stored\n"),
            "{told}"
        );
        assert!(told.contains("\nhint: nothing is lost"), "{told}");
        let line = "behind   not handed everything that is stored: p\n";
        assert!(summary.to_string().contains(line), "{summary}");
        assert!(summary.line().ends_with(", not handed everything: p"), "{}", summary.line());
        assert!(summary.is_worth_telling());
        let json = serde_json::to_value(&summary).expect("a summary is JSON");
        assert_eq!(
            (&json["plugins"][0]["behind"], &json["plugins"][1]["behind"]),
            (&true.into(), &false.into())
        );
    }

    #[test]
    fn what_is_well_is_no_complaint() {
        for status in [Status::Done, Status::Stopped, Status::Interrupted, Status::Skipped] {
            assert!(complaint(&summary(status)).is_none());
            assert!(warnings(&summary(status)).is_empty());
        }
    }

    #[test]
    fn an_event_that_never_decodes_is_told_with_what_is_indexed() {
        let mut summary = summary(Status::Done);
        summary.undecoded = vec![UndecodedSummary {
            contract: "token".into(),
            signature: "Transfer(address,address,uint256)".into(),
            count: 52,
            indexed_declared: 0,
            indexed_found: 2,
        }];
        assert_eq!(
            warnings(&summary),
            [
                "none of 52 logs of Transfer(address,address,uint256) at token decoded, they are kept \
              raw; they have 2 indexed arguments and it declares 0: mark those, as in \
              \"Transfer(address indexed from, ...)\""
            ]
        );
    }

    #[test]
    fn halted_plugins_dead_letters_and_lies_are_told() {
        let mut summary = summary(Status::Done);
        summary.plugins = vec![PluginSummary {
            name: "p".into(),
            dead_letters: 3,
            halted: Some("enough".into()),
            held: Some("another one".into()),
            ..PluginSummary::default()
        }];
        summary.incidents = vec![IncidentSummary {
            node: "liar".into(),
            flaw: "forged".into(),
            range: RangeSummary { first: 5, last: 5, count: 1 },
            count: 1,
            detail: "no receipt has it".into(),
        }];
        let told = warnings(&summary).join("\n");
        for word in [
            "3 events were set aside",
            "halted: enough",
            "held: another one; ",
            "rebuild p`",
            "liar: forged",
        ] {
            assert!(told.contains(word), "{told}");
        }
    }
}
