//! The outbox: what is enqueued, cancelled by a revert, taken, settled, and known for good.

use crate::{
    given::Place,
    lanes::{commit, descriptor, lane},
};
use event::{
    BlockRange, Cursor, Fate, LaneCommit, Message, OutboxLine, OutboxStep, Outgoing, Store,
};
use store::{DuckLedger, OpenMode, Value};

const ROWS: &str = "SELECT key, status, attempts FROM outbox ORDER BY id";

fn message(sink: &str, key: &str, body: &str) -> Message {
    Message {
        sink: sink.into(),
        key: key.into(),
        content_type: "text/plain".into(),
        body: body.into(),
    }
}

/// A commit of one block that sends these keys to `ops`.
fn sends(before: Option<Cursor>, block: u64, keys: &[&str]) -> LaneCommit {
    let messages = keys.iter().map(|key| message("ops", key, &format!("{key} of {block}")));
    LaneCommit {
        messages: vec![(0, messages.collect())],
        rows: Vec::new(),
        state: Vec::new(),
        ..commit(before, block, "alice", "1")
    }
}

/// A commit that goes back to before `block` and sends nothing.
fn undo(before: Cursor, block: u64) -> LaneCommit {
    LaneCommit {
        undo_from: Some(block),
        batches: Vec::new(),
        after: Cursor { next_block: block, ..before },
        messages: Vec::new(),
        ..sends(Some(before), block, &[])
    }
}

fn opened(place: &Place) -> DuckLedger {
    let mut ledger = place.open(OpenMode::Create);
    ledger.open_lane(&lane(), &descriptor()).unwrap();
    ledger
}

fn apply(ledger: &mut DuckLedger, commit: LaneCommit) -> Cursor {
    let after = commit.after;
    ledger.apply_lanes(&[commit]).unwrap();
    after
}

fn step(ledger: &mut DuckLedger, settled: Vec<(u64, Fate)>, limit: usize) -> Vec<Outgoing> {
    let step = OutboxStep { sink: "ops".into(), settled, limit, ..OutboxStep::default() };
    ledger.step_outbox(&step).unwrap()
}

fn bodies(taken: &[Outgoing]) -> Vec<String> {
    taken.iter().map(|m| String::from_utf8(m.body.clone()).unwrap()).collect()
}

/// Key, state and attempts of every message.
fn rows(ledger: DuckLedger, place: &Place) -> Vec<(String, String, i128)> {
    drop(ledger);
    let rows = place.rows(ROWS).into_iter().map(|row| match row.as_slice() {
        [Value::Text(key), Value::Text(status), Value::Int(attempts)] => {
            (key.clone(), status.clone(), *attempts)
        }
        other => panic!("{other:?}"),
    });
    rows.collect()
}

fn row(key: &str, status: &str, attempts: i128) -> (String, String, i128) {
    (key.to_owned(), status.to_owned(), attempts)
}

#[test]
fn messages_are_taken_in_order_and_a_key_that_comes_again_is_the_same_message() {
    let place = Place::new();
    let mut ledger = opened(&place);
    let after = apply(&mut ledger, sends(None, 1, &["a", "b", "a"]));
    let mut second = sends(Some(after), 2, &["c", "a"]);
    second.messages[0].1.push(message("other", "a", "to another sink"));
    apply(&mut ledger, second);

    let taken = step(&mut ledger, Vec::new(), 2);
    assert_eq!(bodies(&taken), ["a of 1", "b of 1"]);
    assert_ne!(taken[0].idempotency_key, taken[1].idempotency_key);
    assert_eq!((taken[0].attempts, taken[0].plugin.as_str()), (1, "erc20-balances"));
    let settled = vec![(taken[0].id, Fate::Sent), (taken[1].id, Fate::Again("503".into()))];
    let again = step(&mut ledger, settled, 9);
    assert_eq!(bodies(&again), ["b of 1", "c of 2"]);
    assert_eq!(again[0].idempotency_key, taken[1].idempotency_key);
    let dead = (again[0].id, Fate::Dead("404".into()));
    assert!(step(&mut ledger, vec![dead, (again[1].id, Fate::Untried)], 0).is_empty());
    let line =
        |sink: &str, pending, dead| OutboxLine { sink: sink.into(), pending, dead, reason: None };
    assert_eq!(ledger.outbox().unwrap(), [line("ops", 1, 1), line("other", 1, 0)]);
    assert_eq!(ledger.check().unwrap(), Vec::<String>::new());
    assert_eq!(
        rows(ledger, &place),
        [row("a", "sent", 1), row("b", "dead", 2), row("c", "pending", 0), row("a", "pending", 0)]
    );
}

#[test]
fn a_revert_cancels_only_what_is_pending_and_a_cancelled_key_may_come_again() {
    let place = Place::new();
    let mut ledger = opened(&place);
    let first = apply(&mut ledger, sends(None, 1, &["a"]));
    let second = apply(&mut ledger, sends(Some(first), 2, &["b", "c", "d"]));
    // `a` is sent, `b` is being sent, `c` and `d` are pending when block 2 leaves the chain.
    let taken = step(&mut ledger, Vec::new(), 2);
    let being_sent = taken[1].id;
    step(&mut ledger, vec![(taken[0].id, Fate::Sent)], 0);
    let back = apply(&mut ledger, undo(second, 2));
    assert_eq!(step(&mut ledger, Vec::new(), 9), []);
    // The other branch sends `d`, too, and `x`.
    let other = apply(&mut ledger, sends(Some(back), 2, &["x", "d"]));
    assert_eq!(bodies(&step(&mut ledger, Vec::new(), 1)), ["x of 2"]);
    // What was being sent failed: nobody wants it any more.
    step(&mut ledger, vec![(being_sent, Fate::Again("503".into()))], 0);
    // The first branch again.
    let back = apply(&mut ledger, undo(other, 2));
    apply(&mut ledger, sends(Some(back), 2, &["b", "c"]));
    assert_eq!(bodies(&step(&mut ledger, Vec::new(), 9)), ["b of 2", "c of 2"]);
    assert_eq!(
        rows(ledger, &place),
        [
            row("a", "sent", 1),
            row("x", "sending", 1),
            row("d", "cancelled", 0),
            row("b", "sending", 1),
            row("c", "sending", 1)
        ]
    );
}

#[test]
fn a_message_that_is_wanted_again_while_it_is_sent_is_tried_again() {
    let place = Place::new();
    let mut ledger = opened(&place);
    let first = apply(&mut ledger, sends(None, 2, &["b"]));
    let id = step(&mut ledger, Vec::new(), 9)[0].id;
    let back = apply(&mut ledger, undo(first, 2));
    apply(&mut ledger, sends(Some(back), 2, &["b"]));
    let again = step(&mut ledger, vec![(id, Fate::Again("503".into()))], 9);
    assert_eq!((again.len(), again[0].attempts), (1, 2));
    assert_eq!(rows(ledger, &place), [row("b", "sending", 2)]);
}

#[test]
fn what_a_killed_process_was_sending_is_sent_again_with_the_same_key() {
    let place = Place::new();
    let mut ledger = opened(&place);
    apply(&mut ledger, sends(None, 1, &["a"]));
    let taken = step(&mut ledger, Vec::new(), 9);
    drop(ledger);
    let mut ledger = opened(&place);
    assert_eq!(step(&mut ledger, Vec::new(), 9), []);
    ledger.reopen_outbox().unwrap();
    let again = step(&mut ledger, Vec::new(), 9);
    assert_eq!(again[0].idempotency_key, taken[0].idempotency_key);
    assert_eq!((again[0].attempts, bodies(&again)), (2, bodies(&taken)));
}

#[test]
fn a_rebuild_sends_nothing_twice_and_cancels_what_it_does_not_want_any_more() {
    let place = Place::new();
    let mut ledger = opened(&place);
    let first = apply(&mut ledger, sends(None, 1, &["a", "b", "c"]));
    let id = step(&mut ledger, Vec::new(), 1)[0].id;
    step(&mut ledger, vec![(id, Fate::Sent)], 0);
    let rebuilt = LaneCommit {
        generation: 2,
        batches: Vec::new(),
        messages: Vec::new(),
        after: Cursor { next_block: 1, ..first },
        ..sends(Some(first), 1, &[])
    };
    let back = apply(&mut ledger, rebuilt);
    let again = LaneCommit { generation: 2, ..sends(Some(back), 1, &["a", "c", "late"]) };
    apply(&mut ledger, again);
    assert_eq!(bodies(&step(&mut ledger, Vec::new(), 9)), ["c of 1", "late of 1"]);
    assert_eq!(rows(ledger, &place)[..2], [row("a", "sent", 1), row("b", "cancelled", 0)]);
}

#[test]
fn many_messages_of_many_batches_are_enqueued_once_each() {
    let place = Place::new();
    let mut ledger = opened(&place);
    let keys: Vec<String> = (0..2_500).map(|key| key.to_string()).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let mut both = sends(None, 1, &keys);
    both.batches = vec![BlockRange::one(1), BlockRange::one(2)];
    both.messages.push((1, both.messages[0].1.clone()));
    both.after.next_block = 3;
    let after = apply(&mut ledger, both);
    apply(&mut ledger, sends(Some(after), 3, &keys));
    let taken = step(&mut ledger, Vec::new(), 10_000);
    assert!(taken.iter().map(|message| message.key.as_str()).eq(keys));
    assert_eq!(ledger.check().unwrap(), Vec::<String>::new());
    let nowhere = LaneCommit { messages: vec![(7, vec![])], ..sends(None, 4, &[]) };
    assert!(ledger.apply_lanes(&[nowhere]).is_err());
}
