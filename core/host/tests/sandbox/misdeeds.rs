//! The guest `unruly`, told to flood, to spy and to lie: what the host says to each, by the limit's name.

use crate::guests::{batch, guest, host};
use alloy_primitives::U256;
use event::{Effects, Plugin, PluginFault, PluginState};
use headcount_host::Limits;
use std::sync::Arc;

/// Does it twice, with a fresh guest each time; both must come to the same.
fn run(bytes: &[u8], misdeed: &str) -> Result<Effects, PluginFault> {
    let limits = Limits { deadline_ms: 3_000, ..Limits::default() };
    // So near that a slow machine comes to it before the deadline.
    let limits = match misdeed {
        "row by row" => Limits { output_bytes: 2 << 20, ..limits },
        "writes" => Limits { state_write_bytes: 2 << 20, ..limits },
        "lines" | "fields" | "metrics" | "deletes" => Limits { deadline_ms: 60_000, ..limits },
        _ => limits,
    };
    let mut plugin = host().load(bytes, misdeed, limits).unwrap();
    let (one, state) = (batch(&[(9, 0, 1, U256::ONE)]), Arc::new(PluginState::default()));
    let first = plugin.handle(&one, &state);
    assert_eq!(first, plugin.handle(&one, &state), "{misdeed}: the same again");
    first
}

#[track_caller]
fn refused(bytes: &[u8], misdeed: &str, why: &str) {
    let told = run(bytes, misdeed).err().map(|fault| fault.to_string()).unwrap_or_default();
    assert!(told.contains(why), "{misdeed}: {told}");
}

#[test]
fn f85_floods_end_at_a_limit_that_has_a_name() {
    let Some(bytes) = guest("f85_floods", "unruly") else { return };
    for (misdeed, why) in [
        ("stack", "limit `stack_bytes` of 524288 exceeded"),
        ("rows", "limit `output_bytes` of 67108864 exceeded"),
        ("row by row", "limit `output_bytes` of 2097152 exceeded"),
        ("rows at once", "limit `output_rows` of 100000 exceeded: 200000"),
        ("storm", "ran longer than `deadline_ms` of 3000"),
        ("mutter and loop", "`deadline_ms` of 3000; it said: I shall never stop"),
        ("hoard", "limit `call_bytes` of 33554432 exceeded"),
        ("hoard by scan", "limit `call_bytes` of 33554432 exceeded"),
        ("too much at once", "limit `call_bytes` of 33554432 exceeded"),
        ("writes", "limit `state_write_bytes` of 2097152 exceeded"),
    ] {
        refused(&bytes, misdeed, why);
    }
    let told = |misdeed: &str| run(&bytes, misdeed).unwrap();
    let lines = told("lines").log;
    assert_eq!(lines.len(), 1, "none fits");
    assert_eq!(lines[0].message, "1024 more lines were suppressed");
    assert_eq!(told("fields").log[0].message, "10 more lines were suppressed");
    let metrics = told("metrics").counts;
    assert_eq!(metrics.len(), 100);
    assert!(metrics.iter().all(|(name, _)| name.len() < 10), "{metrics:?}");
    assert_eq!(told("deletes"), Effects::default(), "nothing was there to delete");
}

#[test]
fn a_guest_that_fails_before_its_first_batch_is_refused_with_its_words() {
    let Some(bytes) = guest("a_guest_that_fails_before", "unruly") else { return };
    let limits = Limits { deadline_ms: 500, ..Limits::default() };
    let load = |word: &str| host().load(&bytes, word, limits.clone()).unwrap_err().to_string();
    assert!(load("panic at the start").contains("no cat here"), "{}", load("panic at the start"));
    assert!(load("loop at the start").ends_with("ran longer than `deadline_ms` of 500"));
}

#[test]
fn nothing_of_the_machine_is_to_be_seen() {
    let Some(bytes) = guest("nothing_of_the_machine", "unruly") else { return };
    let said = |misdeed: &str| run(&bytes, misdeed).unwrap().log[0].message.clone();
    assert_eq!(said("files"), "[false, false, false, false] false false");
    assert_eq!(said("environment"), "0 0 0", "no variable, no argument, nothing typed");
    assert_eq!(said("clock"), "1000 0", "the block's time, and it stands still");
    assert_eq!(said("randomness"), said("randomness"), "of the batch, whatever the process");
    assert_eq!(run(&bytes, "spy"), Err(PluginFault::Halt("saw 0 keys of state, false".to_owned())));
}

#[test]
fn rows_that_are_not_as_declared_are_refused_by_name() {
    let Some(bytes) = guest("rows_that_are_not_as_declared", "unruly") else { return };
    for (misdeed, why) in [
        ("another table", "table lanes is not declared"),
        ("a column too many", "table facts: column more is not declared"),
        ("a column too few", "table facts: column raw is missing"),
        ("a column twice", "table facts: column word is there twice"),
        ("another type", "column word is declared as text, which takes text; unsigned came"),
        ("more rows than events", "column word has 1 values for 2 rows"),
        (
            "absurd width",
            "column number is declared as bignum, which takes fixed of 32 bytes or text; fixed of ",
        ),
        ("absurd offsets", "column raw has offsets that do not fit its bytes"),
        ("null where none may be", "column word must not be NULL"),
        ("an absurd time", "column at has 9223372036854775807 s, which is no time"),
        ("an absurd number", "which is no decimal integer"),
        ("an event of others", "no event 18446744073709551615"),
        (
            "set aside what is not there",
            "set event 18446744073709551615 aside, which it was not given",
        ),
        ("set aside twice", "set event 1 aside twice"),
    ] {
        refused(&bytes, misdeed, why);
    }
}

#[test]
fn a_guests_words_are_bounded_and_cannot_steer_a_terminal() {
    let Some(bytes) = guest("a_guests_words", "unruly") else { return };
    let Err(PluginFault::Halt(why)) = run(&bytes, "say very much") else { panic!() };
    assert!(why.starts_with("word word") && why.len() < 1_100, "{}", why.len());
    let Err(PluginFault::Halt(why)) = run(&bytes, "inject by halting") else { panic!() };
    assert!(why.contains("DROP TABLE") && !why.contains(['\0', '\u{1b}']), "{why:?}");
    let effects = run(&bytes, "inject").unwrap();
    assert_eq!((effects.rows.len(), effects.rejected.len()), (6, 1));
    assert!(!effects.rejected[0].reason.contains(['\0', '\u{1b}']), "{effects:?}");
}
