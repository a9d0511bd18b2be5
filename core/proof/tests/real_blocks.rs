//! Real mainnet blocks: every hash, bloom and root recomputes, and one wrong byte is named.
//! The blocks are read from a folder beside the project, where it is there; none is kept here.
#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(clippy::print_stderr, reason = "a skipped test says so")]

use alloy_primitives::{Address, B256, Bytes, hex, keccak256};
use alloy_rlp::{Decodable, Header as RlpHeader};
use event::{
    AnyOf, BlockRange, BlockVerdict, ChainId, ChainProfile, Content, Filter, Flaw, Header,
    Judgement, Log, LogRef, Logs, NodeId, Outcome, Prover, Receipt, Report, ReportedBlock, Via,
};
use flate2::read::GzDecoder;
use headcount_proof::{Proof, bloom_admits, bloom_of, header_hash, receipts_root};
use serde_json::Value;
use std::{collections::BTreeSet, fs, io::Read, path::PathBuf};

/// Number, transactions, logs.
const PORTAL: [(u64, usize, usize); 7] = [
    (14764013, 19, 28),
    (15537393, 1, 1),
    (15537394, 80, 10_041),
    (17034869, 93, 208),
    (17034870, 184, 510),
    (22431083, 139, 949),
    (22431084, 95, 233),
];

fn fixtures(test: &str) -> Option<PathBuf> {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/fixtures");
    let folder = std::env::var_os("HEADCOUNT_SHARED_FIXTURES").map_or_else(beside, PathBuf::from);
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("SKIP {test}: shared fixtures not found");
    None
}

fn text(path: PathBuf) -> String {
    let mut text = String::new();
    if path.exists() {
        return fs::read_to_string(path).unwrap();
    }
    let packed = fs::File::open(path.with_added_extension("gz")).unwrap();
    GzDecoder::new(packed).read_to_string(&mut text).unwrap();
    text
}

/// The items of an RLP list: whole encoding and payload of each.
fn items(mut list: &[u8]) -> Vec<(&[u8], &[u8])> {
    let mut list = RlpHeader::decode_bytes(&mut list, true).unwrap();
    let mut items = Vec::new();
    while !list.is_empty() {
        let whole = list;
        let head = RlpHeader::decode(&mut list).unwrap();
        let (payload, rest) = list.split_at(head.payload_length);
        items.push((&whole[..whole.len() - rest.len()], payload));
        list = rest;
    }
    items
}

fn number(mut item: &[u8]) -> u64 {
    u64::decode(&mut item).unwrap()
}

fn header(h: alloy_consensus::Header) -> Header {
    Header {
        parent_hash: h.parent_hash,
        ommers_hash: h.ommers_hash,
        beneficiary: h.beneficiary,
        state_root: h.state_root,
        transactions_root: h.transactions_root,
        receipts_root: h.receipts_root,
        logs_bloom: h.logs_bloom,
        difficulty: h.difficulty,
        number: h.number,
        gas_limit: h.gas_limit,
        gas_used: h.gas_used,
        timestamp: h.timestamp,
        extra_data: h.extra_data,
        mix_hash: h.mix_hash,
        nonce: h.nonce,
        base_fee_per_gas: h.base_fee_per_gas,
        withdrawals_root: h.withdrawals_root,
        blob_gas_used: h.blob_gas_used,
        excess_blob_gas: h.excess_blob_gas,
        parent_beacon_block_root: h.parent_beacon_block_root,
        requests_hash: h.requests_hash,
        block_access_list_hash: h.block_access_list_hash,
        slot_number: h.slot_number,
    }
}

fn portal(folder: &std::path::Path, height: u64) -> ReportedBlock {
    let text = text(folder.join(format!("portal/block-data-{height}.yaml")));
    let field = |name: &str| -> Vec<u8> {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        hex::decode(line.trim_start_matches(':').trim().trim_matches(['"', '\''])).unwrap()
    };
    let raw = field("header");
    let header = header(alloy_consensus::Header::decode(&mut &raw[..]).unwrap());
    let hash = keccak256(&raw);
    let body = field("body");
    let transactions: Vec<B256> = items(items(&body)[0].0)
        .into_iter()
        // A typed transaction is a string in the list, a legacy one a list of its own.
        .map(|(whole, payload)| keccak256(if whole[0] < 0xc0 { payload } else { whole }))
        .collect();
    let mut next_log = 0;
    let raw = field("receipts");
    let receipts = (0..)
        .zip(items(&raw))
        .map(|(tx_index, (whole, _))| {
            let fields = items(whole);
            let tx_hash = transactions[tx_index as usize];
            let logs = items(fields[3].0)
                .into_iter()
                .map(|(whole, _)| {
                    let log = items(whole);
                    next_log += 1;
                    Log {
                        address: Address::from_slice(log[0].1),
                        topics: items(log[1].0).iter().map(|t| B256::from_slice(t.1)).collect(),
                        data: Bytes::copy_from_slice(log[2].1),
                        log_index: next_log - 1,
                        tx_index,
                        tx_hash,
                        block_number: height,
                        block_hash: hash,
                        removed: false,
                    }
                })
                .collect();
            Receipt {
                tx_type: number(fields[0].0) as u8,
                tx_hash,
                tx_index,
                block_hash: hash,
                block_number: height,
                outcome: Outcome::Status(number(fields[1].0) == 1),
                cumulative_gas_used: number(fields[2].0),
                logs,
                deposit_nonce: None,
                deposit_receipt_version: None,
            }
        })
        .collect();
    ReportedBlock {
        number: height,
        hash,
        parent: None,
        timestamp: None,
        header: Some(Box::new(header)),
        transactions: Some(transactions),
        receipts: Some(receipts),
        via: Via::Range,
    }
}

fn logs_of(block: &ReportedBlock, filter: &Filter) -> Vec<Log> {
    let receipts = block.receipts.iter().flatten();
    receipts.flat_map(|r| r.logs.clone()).filter(|log| filter.matches(LogRef::from(log))).collect()
}

fn judge(blocks: Vec<ReportedBlock>, filter: Filter, logs: &[Log]) -> Judgement {
    let mut columns = Logs::default();
    for log in logs {
        let at = blocks.iter().position(|b| b.number == log.block_number).unwrap();
        columns.push_log(at as u32, log);
    }
    let range = BlockRange::new(blocks[0].number, blocks[blocks.len() - 1].number).unwrap();
    let report = Report {
        version: event::REPORT_VERSION,
        reporter: "test".into(),
        seq: 1,
        chain: ChainId(1),
        node: NodeId::new("mainnet"),
        client: None,
        filter: filter.into(),
        range,
        head_before: range.last(),
        head_after: range.last(),
        finalized: None,
        blocks,
        logs: columns,
        faults: Vec::new(),
        is_second_look: false,
        judged: None,
    };
    Proof.judge(&report, &ChainProfile::ethereum(ChainId(1)))
}

fn named(judgement: &Judgement) -> Vec<Flaw> {
    judgement.flaws.iter().map(|flaw| flaw.1).collect()
}

const PROVED: BlockVerdict = BlockVerdict { content: Content::Receipts, doubt: false };

#[test]
fn every_real_block_recomputes_to_its_hash_bloom_and_root() {
    let Some(folder) = fixtures("every_real_block_recomputes_to_its_hash_bloom_and_root") else {
        return;
    };
    let (mut total, mut types) = (0, BTreeSet::new());
    for (height, transactions, logs) in PORTAL {
        let block = portal(&folder, height);
        let header = block.header.as_ref().unwrap();
        let receipts = block.receipts.as_ref().unwrap();
        assert_eq!(header_hash(header), block.hash, "hash of {height}");
        assert_eq!(bloom_of(receipts), header.logs_bloom, "bloom of {height}");
        assert_eq!(receipts_root(receipts).unwrap(), header.receipts_root, "root of {height}");
        assert_eq!(receipts.len(), transactions);
        let found = logs_of(&block, &Filter::any());
        assert_eq!(found.len(), logs);
        total += logs;
        types.extend(receipts.iter().map(|r| r.tx_type));
        let judgement = judge(vec![block], Filter::any(), &found);
        assert_eq!(judgement.flaws, []);
        assert_eq!(judgement.blocks, [PROVED]);
        assert!(judgement.complete_headers && judgement.admit.iter().all(|admit| *admit));
    }
    assert_eq!(total, 11_970);
    // These blocks hold no transaction of type 1 or 4; the encoding of all five types is compared
    // with another implementation's in `receipts.rs`.
    assert_eq!(types.into_iter().collect::<Vec<_>>(), [0, 2, 3]);
}

#[test]
fn real_pairs_link_and_a_swapped_pair_does_not() {
    let Some(folder) = fixtures("real_pairs_link_and_a_swapped_pair_does_not") else { return };
    for pair in [15537393, 17034869, 22431083] {
        let blocks: Vec<_> = [pair, pair + 1].map(|n| portal(&folder, n)).into();
        let last = blocks[1].hash;
        let logs: Vec<Log> = blocks.iter().flat_map(|b| logs_of(b, &Filter::any())).collect();
        let judgement = judge(blocks.clone(), Filter::any(), &logs);
        assert_eq!(judgement.blocks, [PROVED; 2]);
        assert_eq!(judgement.links.unwrap().last_hash, last);
        let mut tampered = blocks;
        tampered[0].header.as_mut().unwrap().extra_data = Bytes::new();
        let judgement = judge(tampered, Filter::any(), &logs);
        assert_eq!(named(&judgement), [Flaw::HeaderHash]);
        assert!(!judgement.complete_headers);
    }
}

#[test]
fn a_log_removed_added_or_changed_by_one_byte_is_named() {
    let Some(folder) = fixtures("a_log_removed_added_or_changed_by_one_byte_is_named") else {
        return;
    };
    for (height, _, count) in PORTAL {
        let block = portal(&folder, height);
        let whole = logs_of(&block, &Filter::any());
        for at in [0, count / 2, count - 1] {
            let mut fewer = whole.clone();
            let lost = fewer.remove(at);
            let judgement = judge(vec![block.clone()], Filter::any(), &fewer);
            assert_eq!(named(&judgement), [Flaw::Missing]);
            let recovered = &judgement.recovered.0;
            assert_eq!((recovered.len(), recovered.log_index[0]), (1, lost.log_index));
            assert_eq!(recovered.data_of(0), &lost.data[..]);

            let mut more = whole.clone();
            let mut extra = more[at].clone();
            extra.data = Bytes::from([&extra.data[..], &[1]].concat());
            extra.log_index = count as u32;
            more.push(extra.clone());
            let judgement = judge(vec![block.clone()], Filter::any(), &more);
            assert_eq!(named(&judgement), [Flaw::Forged]);
            assert!(!judgement.admit[count] && judgement.admit[..count].iter().all(|a| *a));

            let mut changed = whole.clone();
            changed[at].topics.push(B256::ZERO);
            changed[at].topics.truncate(4);
            changed[at].topics[0].0[31] ^= 1;
            let judgement = judge(vec![block.clone()], Filter::any(), &changed);
            assert_eq!(named(&judgement), [Flaw::Forged, Flaw::Missing]);
            assert!(!judgement.admit[at]);

            // The same byte changed in the receipts themselves breaks the root instead.
            let mut lying = block.clone();
            let receipts = lying.receipts.as_mut().unwrap();
            let logs = receipts.iter_mut().flat_map(|r| &mut r.logs);
            let log = logs.into_iter().find(|l| l.log_index == at as u32).unwrap();
            log.address.0[19] ^= 1;
            let judgement = judge(vec![lying], Filter::any(), &whole);
            assert_eq!(named(&judgement), [Flaw::ReceiptsRoot]);
            assert!(judgement.blocks[0].doubt);
        }
    }
}

#[test]
fn the_bloom_of_a_real_block_admits_each_of_its_logs() {
    let Some(folder) = fixtures("the_bloom_of_a_real_block_admits_each_of_its_logs") else {
        return;
    };
    for height in [14764013, 22431084] {
        let block = portal(&folder, height);
        let bloom = block.header.as_ref().unwrap().logs_bloom;
        for log in logs_of(&block, &Filter::any()) {
            let mut filter = Filter::new(AnyOf::one(log.address), AnyOf::Any);
            for (side, topic) in filter.topics.iter_mut().zip(&log.topics) {
                *side = AnyOf::one(*topic);
            }
            assert!(bloom_admits(&bloom, &filter));
        }
        let mut stranger = (0..=255u8).map(Address::repeat_byte).filter(|address| {
            let filter = Filter::new(AnyOf::one(*address), AnyOf::Any);
            !bloom_admits(&bloom, &filter)
        });
        let excluded = stranger.next().unwrap();
        let filter = Filter::new(AnyOf::one(excluded), AnyOf::Any);
        let mut bare = block.clone();
        bare.receipts = None;
        assert_eq!(judge(vec![bare], filter, &[]).blocks, [PROVED], "excluded without receipts");
    }
}

fn zeth_block() -> Option<ReportedBlock> {
    let folder = fixtures("zeth_block")?;
    let all: Value = serde_json::from_str(&text(folder.join("zeth/18090206.json"))).unwrap();
    let block = &all["full_blocks"][0][1];
    let fields: json_rpc::Fields<'_> = json_rpc::Fields(block);
    let hash = fields.hash("hash");
    let header = Header {
        parent_hash: fields.hash("parentHash"),
        ommers_hash: fields.hash("sha3Uncles"),
        beneficiary: fields.text("miner").parse().unwrap(),
        state_root: fields.hash("stateRoot"),
        transactions_root: fields.hash("transactionsRoot"),
        receipts_root: fields.hash("receiptsRoot"),
        logs_bloom: fields.text("logsBloom").parse().unwrap(),
        difficulty: fields.text("difficulty").parse().unwrap(),
        number: fields.number("number"),
        gas_limit: fields.number("gasLimit"),
        gas_used: fields.number("gasUsed"),
        timestamp: fields.number("timestamp"),
        extra_data: fields.text("extraData").parse().unwrap(),
        mix_hash: fields.hash("mixHash"),
        nonce: fields.text("nonce").parse().unwrap(),
        base_fee_per_gas: Some(fields.number("baseFeePerGas")),
        withdrawals_root: Some(fields.hash("withdrawalsRoot")),
        ..Header::default()
    };
    let transactions = block["transactions"].as_array().unwrap();
    let transactions = transactions.iter().map(|tx| json_rpc::Fields(tx).hash("hash"));
    let receipts = all["receipts"][0][1].as_array().unwrap().iter().map(|receipt| {
        let fields = json_rpc::Fields(receipt);
        let logs = receipt["logs"].as_array().unwrap().iter().map(|log| {
            let fields = json_rpc::Fields(log);
            Log {
                address: fields.text("address").parse().unwrap(),
                topics: log["topics"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|topic| topic.as_str().unwrap().parse().unwrap())
                    .collect(),
                data: fields.text("data").parse().unwrap(),
                log_index: fields.number("logIndex") as u32,
                tx_index: fields.number("transactionIndex") as u32,
                tx_hash: fields.hash("transactionHash"),
                block_number: fields.number("blockNumber"),
                block_hash: fields.hash("blockHash"),
                removed: log["removed"].as_bool().unwrap(),
            }
        });
        Receipt {
            tx_type: fields.number("type") as u8,
            tx_hash: fields.hash("transactionHash"),
            tx_index: fields.number("transactionIndex") as u32,
            block_hash: fields.hash("blockHash"),
            block_number: fields.number("blockNumber"),
            outcome: Outcome::Status(fields.number("status") == 1),
            cumulative_gas_used: fields.number("cumulativeGasUsed"),
            logs: logs.collect(),
            deposit_nonce: None,
            deposit_receipt_version: None,
        }
    });
    Some(ReportedBlock {
        number: header.number,
        hash,
        parent: Some(header.parent_hash),
        timestamp: Some(header.timestamp),
        transactions: Some(transactions.collect()),
        receipts: Some(receipts.collect()),
        header: Some(Box::new(header)),
        via: Via::Range,
    })
}

mod json_rpc {
    use super::{B256, Value};

    /// Members of a JSON-RPC object.
    pub(crate) struct Fields<'a>(pub(crate) &'a Value);

    impl<'a> Fields<'a> {
        pub(crate) fn text(&self, name: &str) -> &'a str {
            self.0[name].as_str().unwrap()
        }

        pub(crate) fn hash(&self, name: &str) -> B256 {
            self.text(name).parse().unwrap()
        }

        pub(crate) fn number(&self, name: &str) -> u64 {
            u64::from_str_radix(self.text(name).trim_start_matches("0x"), 16).unwrap()
        }
    }
}

#[test]
fn a_real_block_in_json_rpc_shape_is_proved_for_one_event() {
    let Some(block) = zeth_block() else { return };
    let transfer = keccak256("Transfer(address,address,uint256)");
    let filter = Filter::new(AnyOf::Any, AnyOf::one(transfer));
    let logs = logs_of(&block, &filter);
    assert_eq!(logs_of(&block, &Filter::any()).len(), 339);
    assert!(logs.len() > 100);
    let judgement = judge(vec![block], filter, &logs);
    assert_eq!(judgement.flaws, []);
    assert_eq!(judgement.blocks, [PROVED]);
}
