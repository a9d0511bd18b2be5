//! Windows stepped by hand: what is due after each report, and what is found in the end.

#![allow(clippy::unwrap_used, reason = "tests")]

use alloy_primitives::{Address, B256};
use audit::{Audit, Due, EventKey, Kind, Settings, Status, Verdict, Who, Window};
use event::{
    AnyOf, BlockNumHash, BlockRange, BlockVerdict, ChainId, Content, Filter, Header, Judgement,
    Log, Logs, NodeId, REPORT_VERSION, Report, ReportedBlock, Verify, Via,
};
use std::sync::Arc;

const FIRST: u64 = 10;
const LAST: u64 = 13;

fn hash(number: u64) -> B256 {
    B256::repeat_byte(number as u8)
}

fn contract(n: u8) -> Address {
    Address::repeat_byte(n)
}

fn whole() -> Arc<Filter> {
    let addresses = AnyOf::of([contract(1), contract(2)]).unwrap();
    Arc::new(Filter::new(addresses, AnyOf::Any))
}

fn half(n: u8) -> Arc<Filter> {
    Arc::new(Filter::new(AnyOf::one(contract(n)), AnyOf::Any))
}

/// A log of contract `n` with one byte of data.
fn log(number: u64, n: u8, data: u8) -> Log {
    Log {
        address: contract(n),
        topics: vec![B256::repeat_byte(0xee)],
        data: vec![data].into(),
        log_index: u32::from(data),
        tx_index: 0,
        tx_hash: B256::repeat_byte(0xaa),
        block_number: number,
        block_hash: hash(number),
        removed: false,
    }
}

fn range() -> BlockRange {
    BlockRange::new(FIRST, LAST).unwrap()
}

/// What a node says of the whole range, each block with a header and shown as `content`.
fn report(node: &str, filter: &Arc<Filter>, logs: &[Log], content: Content) -> (Report, Judgement) {
    let block = |number| ReportedBlock {
        number,
        hash: hash(number),
        parent: Some(hash(number - 1)),
        timestamp: None,
        header: Some(Box::new(Header {
            parent_hash: hash(number - 1),
            number,
            ..Header::default()
        })),
        transactions: None,
        receipts: None,
        via: Via::Range,
    };
    let mut rows = Logs::default();
    logs.iter().for_each(|log| rows.push_log((log.block_number - FIRST) as u32, log));
    let judgement = Judgement {
        admit: vec![true; rows.len()],
        blocks: vec![BlockVerdict { content, doubt: false }; range().count() as usize],
        complete_headers: true,
        ..Judgement::default()
    };
    let report = Report {
        version: REPORT_VERSION,
        reporter: Arc::from("test"),
        seq: 1,
        chain: ChainId(1),
        node: NodeId::new(node),
        client: None,
        filter: filter.clone(),
        range: range(),
        head_before: LAST,
        head_after: LAST,
        finalized: None,
        blocks: (FIRST..=LAST).map(block).collect(),
        logs: rows,
        faults: Vec::new(),
        judged: None,
        is_second_look: false,
    };
    (report, judgement)
}

fn window(require: Verify) -> Window {
    let trusted = ["a", "b", "c"].map(NodeId::new).into_iter().collect();
    Window::new(0, whole(), range(), Settings { require, trusted })
}

fn hear(window: &mut Window, said: (Report, Judgement)) {
    window.hear(&said.0, &said.1);
}

fn verdict(window: Window) -> Verdict {
    let any = EventKey { addresses: AnyOf::one(contract(1)), topic0: None, topics: 1 };
    let anchor = BlockNumHash { number: LAST, hash: hash(LAST) };
    let mut audit = Audit::new(1, vec![any], Some(anchor), true);
    audit.close(vec![window]);
    audit.verdict()
}

fn kinds(verdict: &Verdict) -> Vec<(String, Kind, u64)> {
    let found = verdict.findings.iter();
    found.map(|f| (f.who.to_string(), f.kind, f.block.number)).collect()
}

fn truth() -> Vec<Log> {
    vec![log(10, 1, 1), log(10, 2, 2), log(12, 1, 3), log(12, 1, 4)]
}

#[test]
fn what_is_shown_as_demanded_is_not_due_and_what_differs_is_due_for_proof() {
    let all = vec![range()];
    for (require, content, unshown) in [
        (Verify::Off, Content::Claimed, vec![]),
        (Verify::Bloom, Content::Claimed, all.clone()),
        (Verify::Bloom, Content::Bloom, vec![]),
        (Verify::Agree(2), Content::Bloom, all.clone()),
        (Verify::Prove, Content::Bloom, all),
        (Verify::Prove, Content::Receipts, vec![]),
    ] {
        let mut window = window(require);
        hear(&mut window, report("a", &whole(), &truth(), content));
        assert_eq!(window.due(), Due { unshown, unproven: vec![] }, "{require} {content}");
    }
    let mut window = window(Verify::Bloom);
    hear(&mut window, report("a", &whole(), &truth(), Content::Bloom));
    hear(&mut window, report("b", &whole(), &truth()[..3], Content::Claimed));
    assert_eq!(window.due().unproven, [BlockRange::one(12)]);
    hear(&mut window, report("c", &whole(), &truth(), Content::Receipts));
    assert!(window.due().is_empty());
    let verdict = verdict(window);
    assert_eq!(kinds(&verdict), [("b".to_owned(), Kind::Missing, 12)]);
    assert_eq!((verdict.filters[0].events, verdict.events[0]), (4, 3));
    assert_eq!(verdict.status(), Status::Missing);
}

#[test]
fn what_a_node_that_is_not_trusted_shows_counts_for_nothing() {
    let mut window = window(Verify::Prove);
    hear(&mut window, report("x", &whole(), &truth(), Content::Receipts));
    assert_eq!(window.due().unshown, [range()]);
    assert_eq!(verdict(window).status(), Status::Undecided);
}

#[test]
fn a_filter_that_was_read_in_halves_is_shown_by_all_of_them_and_not_by_one() {
    for (require, content) in [
        (Verify::Off, Content::Claimed),
        (Verify::Bloom, Content::Bloom),
        (Verify::Prove, Content::Receipts),
    ] {
        let of = |n: u8| -> Vec<Log> {
            truth().into_iter().filter(|log| log.address == contract(n)).collect()
        };
        let mut window = window(require);
        hear(&mut window, report("a", &half(1), &of(1), content));
        assert_eq!(window.due().unshown, [range()], "{require}");
        hear(&mut window, report("a", &half(2), &of(2), content));
        assert!(window.due().is_empty(), "{require}");
        // Another one that was asked in one piece is compared with the halves.
        hear(&mut window, report("b", &whole(), &truth()[1..], Content::Claimed));
        hear(&mut window, report("c", &half(1), &of(1), Content::Receipts));
        hear(&mut window, report("c", &half(2), &of(2), Content::Receipts));
        let verdict = verdict(window);
        assert_eq!(kinds(&verdict), [("b".to_owned(), Kind::Missing, 10)], "{require}");
        assert_eq!(verdict.filters[0].events, 4);
    }
}

#[test]
fn every_way_to_be_wrong_has_a_name() {
    let cases: [(Kind, u64, Vec<Log>); 6] = [
        (Kind::Missing, 12, truth()[..3].to_vec()),
        (Kind::Forged, 13, [truth(), vec![log(13, 2, 9)]].concat()),
        // Once too often.
        (Kind::Forged, 12, [truth(), vec![log(12, 1, 4)]].concat()),
        (Kind::Altered, 12, [truth()[..3].to_vec(), vec![log(12, 1, 5)]].concat()),
        (Kind::Altered, 12, {
            let other = Log { tx_hash: B256::repeat_byte(0xbb), ..log(12, 1, 4) };
            [truth()[..3].to_vec(), vec![other]].concat()
        }),
        (Kind::Moved, 12, [truth()[..3].to_vec(), vec![log(13, 1, 4)]].concat()),
    ];
    for (kind, number, told) in cases {
        let mut window = window(Verify::Prove);
        hear(&mut window, report("a", &whole(), &truth(), Content::Receipts));
        hear(&mut window, report("b", &whole(), &told, Content::Claimed));
        let verdict = verdict(window);
        assert_eq!(kinds(&verdict), [("b".to_owned(), kind, number)]);
        assert_eq!(verdict.status() == Status::Missing, kind.is_loss());
        assert_eq!(verdict.filters[0].events, 4, "what is told wrong changes no count");
    }
}

#[test]
fn the_ledger_is_compared_like_a_node_and_shows_nothing() {
    let ids: Vec<BlockNumHash> =
        (FIRST..=LAST).map(|number| BlockNumHash { number, hash: hash(number) }).collect();
    let mut rows = Logs::default();
    truth()[1..].iter().for_each(|log| rows.push_log((log.block_number - FIRST) as u32, log));
    let mut window = window(Verify::Off);
    window.hear_ledger(&ids, &rows);
    assert_eq!(window.due().unshown, [range()]);
    hear(&mut window, report("a", &whole(), &truth(), Content::Claimed));
    assert_eq!(window.due().unproven, [BlockRange::one(10)], "who is right?");
    assert_eq!(verdict(window.clone()).status(), Status::Undecided);
    hear(&mut window, report("b", &whole(), &truth(), Content::Receipts));
    let verdict = verdict(window);
    assert_eq!(verdict.findings.len(), 1);
    assert_eq!((&verdict.findings[0].who, verdict.findings[0].kind), (&Who::Ledger, Kind::Missing));
}

#[test]
fn a_gap_in_the_headers_takes_back_what_is_below_it() {
    let mut window = window(Verify::Prove);
    let (mut report, judgement) = report("a", &whole(), &truth(), Content::Receipts);
    let other = Header { parent_hash: hash(99), number: 12, ..Header::default() };
    report.blocks[2].header = Some(Box::new(other));
    window.hear(&report, &judgement);
    let verdict = verdict(window);
    assert_eq!(verdict.broken.as_ref().unwrap().below, 11);
    assert_eq!((verdict.blocks(Status::Complete), verdict.blocks(Status::Undecided)), (2, 2));
    assert_eq!(verdict.status(), Status::Undecided);
}
