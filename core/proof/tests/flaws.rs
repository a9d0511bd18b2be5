//! One test per flaw: a small sound report, one thing wrong with it, and the name of what is wrong.
#![allow(clippy::unwrap_used, reason = "tests")]

use alloy_primitives::{Address, B256, Bloom, Bytes, keccak256};
use event::{
    AnyOf, BlockRange, BlockVerdict, ChainId, ChainProfile, Check, Checking, Content, Filter, Flaw,
    Header, Judgement, Log, Logs, NodeId, Outcome, Prover, Receipt, Report, ReportedBlock, Via,
};
use headcount_proof::{Proof, bloom_of, header_hash, receipts_root};

const TOKEN: Address = Address::repeat_byte(0xaa);
const OTHER: Address = Address::repeat_byte(0xbb);
const TRANSFER: B256 = B256::repeat_byte(0x11);
const PROVED: BlockVerdict = BlockVerdict { content: Content::Receipts, doubt: false };
const BLOOM: BlockVerdict = BlockVerdict { content: Content::Bloom, doubt: false };
const DOUBT: BlockVerdict = BlockVerdict { content: Content::Claimed, doubt: true };

/// Blocks 100 to 102: two transactions with three token logs and one other, none, one token log.
fn sound() -> Report {
    let mut parent = B256::repeat_byte(0x99);
    let contents: [&[&[Address]]; 3] = [&[&[TOKEN, OTHER], &[TOKEN, TOKEN]], &[&[]], &[&[TOKEN]]];
    let mut blocks = Vec::new();
    for (number, transactions) in (100..).zip(contents) {
        blocks.push(block(number, parent, transactions));
        parent = blocks.last().unwrap().hash;
    }
    let filter = Filter::new(AnyOf::one(TOKEN), AnyOf::one(TRANSFER));
    let mut logs = Logs::default();
    for (index, block) in blocks.iter().enumerate() {
        for log in block.receipts.iter().flatten().flat_map(|r| &r.logs) {
            if filter.matches(log.into()) {
                logs.push_log(index as u32, log);
            }
        }
    }
    Report {
        version: event::REPORT_VERSION,
        reporter: "test".into(),
        seq: 1,
        chain: ChainId(1),
        node: NodeId::new("a"),
        client: None,
        filter: filter.into(),
        range: BlockRange::new(100, 102).unwrap(),
        head_before: 102,
        head_after: 102,
        finalized: None,
        blocks,
        logs,
        faults: Vec::new(),
        is_second_look: false,
        judged: None,
    }
}

fn block(number: u64, parent: B256, transactions: &[&[Address]]) -> ReportedBlock {
    let mut log_index = 0;
    let mut receipts: Vec<Receipt> = Vec::new();
    for (tx_index, addresses) in (0..).zip(transactions) {
        let tx_hash = keccak256([number as u8, tx_index as u8]);
        let mut logs = Vec::new();
        for address in *addresses {
            logs.push(Log {
                address: *address,
                topics: vec![TRANSFER],
                data: Bytes::from(vec![7; 32]),
                log_index,
                tx_index,
                tx_hash,
                block_number: number,
                block_hash: B256::ZERO,
                removed: false,
            });
            log_index += 1;
        }
        receipts.push(Receipt {
            tx_type: 2,
            tx_hash,
            tx_index,
            block_hash: B256::ZERO,
            block_number: number,
            outcome: Outcome::Status(true),
            cumulative_gas_used: 21_000 * u64::from(tx_index + 1),
            logs,
            deposit_nonce: None,
            deposit_receipt_version: None,
        });
    }
    let header = Header {
        parent_hash: parent,
        number,
        receipts_root: receipts_root(&receipts).unwrap(),
        logs_bloom: bloom_of(&receipts),
        base_fee_per_gas: Some(7),
        ..Header::default()
    };
    let hash = header_hash(&header);
    receipts.iter_mut().for_each(|r| r.block_hash = hash);
    ReportedBlock {
        number,
        hash,
        parent: None,
        timestamp: None,
        transactions: Some(receipts.iter().map(|r| r.tx_hash).collect()),
        header: Some(Box::new(header)),
        receipts: Some(receipts),
        via: Via::Range,
    }
}

fn without_receipts() -> Report {
    let mut report = sound();
    report.blocks.iter_mut().for_each(|block| block.receipts = None);
    report
}

fn profile() -> ChainProfile {
    ChainProfile::ethereum(ChainId(1))
}

fn judge(report: &Report) -> Judgement {
    Proof.judge(report, &profile())
}

fn flaws(judgement: &Judgement) -> Vec<(Option<u32>, Flaw, u64)> {
    judgement.flaws.iter().map(|(at, flaw, count, _)| (*at, *flaw, *count)).collect()
}

fn keep(report: &mut Report, rows: &[usize]) {
    let keep: Vec<bool> = (0..report.logs.len()).map(|row| rows.contains(&row)).collect();
    report.logs = report.logs.filtered(&keep);
}

#[test]
fn a_sound_report_is_proved_and_linked() {
    let report = sound();
    let judgement = judge(&report);
    assert_eq!(flaws(&judgement), []);
    assert_eq!(judgement.admit, [true; 4]);
    assert_eq!(judgement.blocks, [PROVED; 3]);
    assert!(judgement.complete_headers && judgement.recovered.0.is_empty());
    let links = judgement.links.unwrap();
    assert_eq!(links.first_parent, B256::repeat_byte(0x99));
    assert_eq!(links.last_hash, report.blocks[2].hash);
}

#[test]
fn without_receipts_the_bloom_proves_empty_blocks_only() {
    let judgement = judge(&without_receipts());
    assert_eq!(judgement.blocks, [BLOOM, PROVED, BLOOM]);
    assert_eq!(flaws(&judgement), []);
}

#[test]
fn an_empty_answer_is_no_evidence_where_the_bloom_admits() {
    let mut report = without_receipts();
    keep(&mut report, &[0, 1, 2]);
    assert_eq!(judge(&report).blocks, [BLOOM, PROVED, DOUBT]);
}

#[test]
fn receipts_prove_that_a_false_positive_is_empty() {
    let mut report = sound();
    // The other contract logged, the token's address is in the bloom, but no log has both.
    let mut filter = (*report.filter).clone();
    filter.topics[1] = AnyOf::one(TRANSFER);
    report.filter = filter.into();
    keep(&mut report, &[]);
    assert_eq!(judge(&report).blocks, [PROVED; 3]);
    report.blocks[0].receipts = None;
    assert_eq!(judge(&report).blocks, [DOUBT, PROVED, PROVED]);
}

#[test]
fn without_headers_everything_is_claimed_and_nothing_complete() {
    let mut report = without_receipts();
    report.blocks.iter_mut().for_each(|block| block.header = None);
    let judgement = judge(&report);
    let claimed = BlockVerdict { content: Content::Claimed, doubt: false };
    assert_eq!(judgement.blocks, [claimed; 3]);
    assert_eq!((judgement.complete_headers, judgement.links), (false, None));
    assert_eq!(judgement.admit, [true; 4]);
}

#[test]
fn receipts_without_a_header_are_no_evidence() {
    let mut report = sound();
    report.blocks[0].header = None;
    let judgement = judge(&report);
    assert_eq!(judgement.blocks[0].content, Content::Claimed);
    assert!(!judgement.complete_headers);
}

#[test]
fn f32_a_range_beyond_the_nodes_own_head_admits_and_claims_nothing() {
    for (before, after) in [(101, 102), (102, 101), (99, 99)] {
        let mut report = sound();
        (report.head_before, report.head_after) = (before, after);
        let judgement = judge(&report);
        assert_eq!(judgement.admit, [false; 4]);
        assert_eq!(judgement.blocks, [DOUBT; 3]);
        assert!(!judgement.complete_headers && judgement.links.is_none());
        assert_eq!(flaws(&judgement), [(None, Flaw::BeyondHead, 102 - before.min(after))]);
    }
}

#[test]
fn f37_repeated_log_indexes_are_named_and_lose_nothing() {
    let mut report = without_receipts();
    report.logs.log_index = vec![0, 0, 1, 0];
    let judgement = judge(&report);
    assert_eq!(flaws(&judgement), [(Some(0), Flaw::LogIndex, 1)]);
    assert_eq!(judgement.admit, [true; 4]);
    // The receipts decide the index, so they have to be asked for.
    let doubted = BlockVerdict { content: Content::Bloom, doubt: true };
    assert_eq!(judgement.blocks, [doubted, PROVED, BLOOM]);
}

#[test]
fn f37_logs_of_a_block_that_are_given_twice_over_are_refused_once_and_named() {
    let mut report = without_receipts();
    let logs = std::mem::take(&mut report.logs);
    [0, 1, 2, 0, 1, 2, 3].iter().for_each(|row| report.logs.push(logs.row(*row)));
    let judgement = judge(&report);
    assert_eq!(flaws(&judgement), [(Some(0), Flaw::LogIndex, 3)]);
    assert_eq!(judgement.admit, [true, true, true, false, false, false, true]);
}

#[test]
fn f37_transaction_local_log_indexes_are_replaced_by_those_of_the_receipts() {
    let mut report = sound();
    report.logs.log_index = vec![0, 0, 1, 0];
    let judgement = judge(&report);
    assert_eq!(flaws(&judgement), [(Some(0), Flaw::LogIndex, 1), (Some(0), Flaw::Attributes, 2)]);
    assert_eq!(judgement.admit, [true, false, false, true]);
    assert_eq!(judgement.recovered.0.log_index, [2, 3]);
    assert_eq!(judgement.recovered.0.tx_index, [1, 1]);
    assert_eq!(judgement.blocks, [PROVED; 3]);
}

#[test]
fn f37_receipts_that_count_per_transaction_still_prove_and_are_renumbered() {
    let mut report = sound();
    for receipt in report.blocks[0].receipts.as_mut().unwrap() {
        (0..).zip(&mut receipt.logs).for_each(|(index, log)| log.log_index = index);
    }
    let judgement = judge(&report);
    assert_eq!(flaws(&judgement), [(Some(0), Flaw::LogIndex, 2)]);
    assert_eq!(judgement.admit, [true; 4]);
}

#[test]
fn f38_logs_of_another_address_are_dropped() {
    let mut report = without_receipts();
    report.logs.address[0] = OTHER;
    let judgement = judge(&report);
    assert_eq!(flaws(&judgement), [(Some(0), Flaw::WrongFilter, 1)]);
    assert_eq!(judgement.admit, [false, true, true, true]);
}

#[test]
fn f38_logs_of_blocks_outside_the_range_are_dropped() {
    let mut report = without_receipts();
    report.range = BlockRange::new(100, 101).unwrap();
    let judgement = judge(&report);
    assert_eq!(flaws(&judgement), [(Some(2), Flaw::WrongBlock, 1)]);
    assert_eq!(judgement.admit, [true, true, true, false]);
    assert!(!judgement.complete_headers);
}

#[test]
fn two_hashes_at_one_height_admit_neither() {
    let mut report = without_receipts();
    let mut twin = report.blocks[2].clone();
    twin.hash = B256::repeat_byte(1);
    report.blocks.push(twin);
    let judgement = judge(&report);
    assert_eq!(flaws(&judgement), [(Some(2), Flaw::WrongBlock, 1), (Some(3), Flaw::WrongBlock, 1)]);
    assert_eq!(judgement.admit, [true, true, true, false]);
    assert_eq!(judgement.blocks, [BLOOM, PROVED, DOUBT, DOUBT]);
}

#[test]
fn f39_receipts_of_another_block_are_no_evidence() {
    let mut report = sound();
    report.blocks[0].receipts.as_mut().unwrap()[1].block_hash = B256::repeat_byte(1);
    let judgement = judge(&report);
    assert_eq!(flaws(&judgement), [(Some(0), Flaw::ReceiptBlock, 1)]);
    assert_eq!(judgement.blocks[0], BlockVerdict { content: Content::Bloom, doubt: true });
}

#[test]
fn f40_receipts_one_short_are_no_evidence() {
    let mut report = sound();
    report.blocks[0].receipts.as_mut().unwrap().pop();
    let judgement = judge(&report);
    assert_eq!(flaws(&judgement), [(Some(0), Flaw::ReceiptCount, 1)]);
    assert!(judgement.blocks[0].doubt);
    // Even where the block's transactions are cut with them, the root tells.
    report.blocks[0].transactions.as_mut().unwrap().pop();
    assert_eq!(flaws(&judge(&report)), [(Some(0), Flaw::ReceiptsRoot, 1)]);
}

#[test]
fn receipts_of_other_transactions_or_out_of_order_are_no_evidence() {
    let mut report = sound();
    report.blocks[0].receipts.as_mut().unwrap()[1].tx_hash = B256::repeat_byte(1);
    assert_eq!(flaws(&judge(&report)), [(Some(0), Flaw::ReceiptCount, 1)]);
    let mut report = sound();
    report.blocks[0].receipts.as_mut().unwrap()[1].tx_index = 0;
    assert_eq!(flaws(&judge(&report)), [(Some(0), Flaw::ReceiptCount, 1)]);
    let mut report = sound();
    report.blocks[0].receipts.as_mut().unwrap()[0].cumulative_gas_used = 42_001;
    assert_eq!(flaws(&judge(&report)), [(Some(0), Flaw::ReceiptsRoot, 1)]);
}

#[test]
fn one_changed_byte_in_receipts_breaks_the_root() {
    let mut report = sound();
    report.blocks[0].receipts.as_mut().unwrap()[0].logs[0].data = Bytes::from(vec![8; 32]);
    let judgement = judge(&report);
    assert_eq!(flaws(&judgement), [(Some(0), Flaw::ReceiptsRoot, 2)]);
    assert!(judgement.blocks[0].doubt);
    assert_eq!(judgement.admit, [true; 4], "the node's logs stand on its word");
}

#[test]
fn receipts_of_an_unknown_type_are_no_evidence() {
    let mut report = sound();
    report.blocks[0].receipts.as_mut().unwrap()[0].tx_type = 0x7f;
    assert_eq!(flaws(&judge(&report)), [(Some(0), Flaw::ReceiptsRoot, 2)]);
}

#[test]
fn f41_a_zeroed_bloom_does_not_survive_the_header_hash() {
    let mut report = without_receipts();
    report.blocks[0].header.as_mut().unwrap().logs_bloom = Bloom::ZERO;
    keep(&mut report, &[3]);
    let judgement = judge(&report);
    assert_eq!(flaws(&judgement), [(Some(0), Flaw::HeaderHash, 1)]);
    assert_eq!(judgement.blocks, [DOUBT, PROVED, BLOOM]);
    assert!(!judgement.complete_headers && judgement.links.is_none());
}

#[test]
fn f41_receipts_prove_nothing_against_a_tampered_header() {
    let mut report = sound();
    report.blocks[0].header.as_mut().unwrap().gas_used += 1;
    assert_eq!(judge(&report).blocks, [DOUBT, PROVED, PROVED]);
}

#[test]
fn the_header_of_another_height_is_refused_even_unhashed() {
    let mut report = without_receipts();
    report.blocks[1].header.as_mut().unwrap().number = 102;
    let mut lenient = profile();
    lenient.check_header_hash = Checking::Off;
    let judgement = Proof.judge(&report, &lenient);
    assert_eq!(flaws(&judgement), [(Some(1), Flaw::HeaderHash, 1)]);
    assert!(!judgement.complete_headers);
}

#[test]
fn f45_a_zero_bloom_is_unknown_where_blooms_mean_nothing() {
    let mut report = without_receipts();
    let header = report.blocks[2].header.as_mut().unwrap();
    header.logs_bloom = Bloom::ZERO;
    report.blocks[2].hash = header_hash(header);
    keep(&mut report, &[0, 1, 2]);
    let mut asynchronous = profile();
    asynchronous.check_bloom = Checking::Off;
    let judgement = Proof.judge(&report, &asynchronous);
    let claimed = BlockVerdict { content: Content::Claimed, doubt: false };
    assert_eq!(judgement.blocks, [claimed; 3]);
    assert_eq!(judge(&report).blocks[2], PROVED, "on Ethereum the header vouches for it");
}

#[test]
fn receipts_prove_also_where_blooms_mean_nothing() {
    let mut report = sound();
    report.blocks[1].receipts = None;
    let mut asynchronous = profile();
    asynchronous.check_bloom = Checking::Off;
    let judgement = Proof.judge(&report, &asynchronous);
    let claimed = BlockVerdict { content: Content::Claimed, doubt: false };
    assert_eq!(judgement.blocks, [PROVED, claimed, PROVED]);
}

#[test]
fn receipts_count_for_nothing_where_the_root_cannot_hold() {
    let mut report = sound();
    report.blocks[0].receipts.as_mut().unwrap().pop();
    let mut odd = profile();
    odd.check_receipts_root = Checking::Off;
    let judgement = Proof.judge(&report, &odd);
    assert_eq!(flaws(&judgement), []);
    assert_eq!(judgement.blocks, [BLOOM, PROVED, BLOOM]);
}

#[test]
fn f48_receipts_with_removed_logs_are_no_evidence() {
    let mut report = sound();
    report.blocks[0].receipts.as_mut().unwrap()[0].logs[1].removed = true;
    let judgement = judge(&report);
    assert_eq!(flaws(&judgement), [(Some(0), Flaw::Removed, 1)]);
    assert!(judgement.blocks[0].doubt);
}

#[test]
fn a_log_that_the_bloom_excludes_is_not_admitted() {
    let mut report = without_receipts();
    let log = report.blocks[1].number;
    report.logs.block[3] = 1;
    let judgement = judge(&report);
    assert_eq!(flaws(&judgement), [(Some(1), Flaw::BloomExcludes, 1)], "block {log}");
    assert_eq!(judgement.admit, [true, true, true, false]);
    assert_eq!(judgement.blocks, [BLOOM, DOUBT, DOUBT]);
}

#[test]
fn a_bloom_that_admits_one_contract_still_excludes_a_log_of_another() {
    let mut report = without_receipts();
    let stranger = Address::repeat_byte(0xcc);
    report.filter = Filter::new(AnyOf::of([TOKEN, stranger]).unwrap(), AnyOf::Any).into();
    report.logs.address[1] = stranger;
    let judgement = judge(&report);
    assert_eq!(flaws(&judgement), [(Some(0), Flaw::BloomExcludes, 1)]);
    assert_eq!(judgement.admit, [true, false, true, true]);
    assert_eq!(judgement.blocks, [DOUBT, PROVED, BLOOM]);
}

#[test]
fn a_log_that_no_receipt_has_is_forged() {
    let mut report = sound();
    report.logs.data[0] ^= 1;
    let judgement = judge(&report);
    assert_eq!(flaws(&judgement), [(Some(0), Flaw::Forged, 1), (Some(0), Flaw::Missing, 1)]);
    assert_eq!(judgement.admit, [false, true, true, true]);
    assert_eq!(judgement.recovered.0.row(0).data, [7; 32]);
    assert_eq!(judgement.blocks, [PROVED; 3]);
}

#[test]
fn a_log_that_was_kept_back_is_recovered() {
    for missing in 0..4 {
        let mut report = sound();
        let whole = report.logs.clone();
        let rest: Vec<usize> = (0..4).filter(|row| *row != missing).collect();
        keep(&mut report, &rest);
        let judgement = judge(&report);
        let block = whole.block[missing];
        assert_eq!(flaws(&judgement), [(Some(block), Flaw::Missing, 1)]);
        assert_eq!(judgement.recovered.0.len(), 1);
        assert_eq!(judgement.recovered.0.row(0), whole.row(missing));
    }
}

#[test]
fn identical_logs_of_one_transaction_are_counted_as_a_multiset() {
    let mut report = sound();
    // Rows 1 and 2 are identical but for the log index; a third one is one too many.
    let third = report.logs.clone();
    report.logs.push(third.row(2));
    report.logs.log_index[4] = 9;
    let judgement = judge(&report);
    assert!(flaws(&judgement).contains(&(Some(0), Flaw::Forged, 1)));
    assert_eq!(judgement.admit, [true, true, true, true, false]);
}

#[test]
fn a_log_given_twice_to_the_index_is_one_log() {
    let mut report = without_receipts();
    let whole = report.logs.clone();
    report.logs.push(whole.row(2));
    let judgement = judge(&report);
    assert_eq!(flaws(&judgement), [(Some(0), Flaw::LogIndex, 1)]);
    assert_eq!(judgement.admit, [true, true, true, true, false]);
}

#[test]
fn a_forged_log_whose_topics_the_bloom_excludes_is_refused_whatever_the_filter_asks() {
    for filter in [Filter::any(), Filter::new(AnyOf::Any, AnyOf::one(TRANSFER))] {
        let mut report = without_receipts();
        report.filter = filter.into();
        let whole = report.logs.clone();
        let forged = [TRANSFER, B256::repeat_byte(0xde)];
        report.logs.push(event::LogRef { topics: &forged, log_index: 9, ..whole.row(0) });
        let judgement = judge(&report);
        assert_eq!(flaws(&judgement), [(Some(0), Flaw::BloomExcludes, 1)]);
        assert_eq!(judgement.admit, [true, true, true, true, false]);
        assert_eq!(judgement.blocks[0], DOUBT);
    }
}

#[test]
fn a_broken_link_claims_nothing_for_either_side() {
    let mut report = sound();
    let header = report.blocks[2].header.as_mut().unwrap();
    header.parent_hash = B256::repeat_byte(1);
    let hash = header_hash(header);
    report.blocks[2].hash = hash;
    report.blocks[2].receipts.as_mut().unwrap()[0].block_hash = hash;
    let judgement = judge(&report);
    assert_eq!(flaws(&judgement), [(Some(2), Flaw::ParentLink, 1)]);
    assert_eq!(judgement.blocks, [PROVED, DOUBT, DOUBT]);
    assert!(!judgement.complete_headers && judgement.links.is_none());
}

#[test]
fn a_hole_in_the_headers_is_not_complete() {
    let mut report = sound();
    report.blocks.remove(1);
    report.logs.block = vec![0, 0, 0, 1];
    let judgement = judge(&report);
    assert!(!judgement.complete_headers);
    assert_eq!(flaws(&judgement), []);
}

#[test]
fn columns_that_do_not_fit_end_in_a_flaw_and_not_in_a_panic() {
    type Damage = fn(&mut Logs);
    let damages: [Damage; 6] = [
        |logs| logs.block[0] = 99,
        |logs| logs.tx_hash.truncate(1),
        |logs| logs.topic_offsets[1] = 1000,
        |logs| logs.data_offsets.truncate(2),
        |logs| logs.data_offsets[0] = 5,
        |logs| logs.topics.clear(),
    ];
    for damage in damages {
        let mut report = without_receipts();
        damage(&mut report.logs);
        let judgement = judge(&report);
        assert_eq!(flaws(&judgement), [(None, Flaw::WrongBlock, 4)]);
        assert_eq!(judgement.admit, [false; 4]);
        assert_eq!(judgement.blocks, [DOUBT, PROVED, DOUBT]);
    }
}

#[test]
fn f94_a_check_that_is_only_observed_counts_and_never_blocks() {
    let mut report = without_receipts();
    let header = report.blocks[2].header.as_mut().unwrap();
    header.logs_bloom = Bloom::ZERO;
    report.blocks[2].hash = header_hash(header);
    let mut observing = profile();
    observing.observe(Check::Bloom);
    let judgement = Proof.judge(&report, &observing);
    let claimed = BlockVerdict { content: Content::Claimed, doubt: false };
    assert_eq!(judgement.blocks, [claimed; 3], "nor does it show anything");
    assert!(judgement.admit.iter().all(|admit| *admit));
    assert!(flaws(&judgement).iter().all(|(_, flaw, _)| *flaw == Flaw::BloomExcludes));
    assert!(!flaws(&judgement).is_empty());

    let mut report = sound();
    report.blocks[0].receipts.as_mut().unwrap().pop();
    let mut observing = profile();
    observing.observe(Check::ReceiptsRoot);
    let judgement = Proof.judge(&report, &observing);
    assert_eq!(flaws(&judgement), [(Some(0), Flaw::ReceiptCount, 1)]);
    assert_eq!(judgement.blocks, [BLOOM, PROVED, PROVED], "what recomputes is no chance");
    assert!(judgement.admit.iter().all(|admit| *admit));

    let mut report = without_receipts();
    report.blocks[1].header.as_mut().unwrap().gas_used += 1;
    let mut observing = profile();
    observing.observe(Check::HeaderHash);
    let judgement = Proof.judge(&report, &observing);
    assert_eq!(flaws(&judgement), [(Some(1), Flaw::HeaderHash, 1)]);
    assert_eq!(judgement.blocks[1], claimed);
    assert!(judgement.complete_headers && judgement.links.is_some());
}
