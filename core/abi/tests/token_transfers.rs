//! Two real mainnet blocks against an independent decoder's list of token transfers. The blocks
//! are read from a folder beside the project, where it is there; none is kept here.
#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(clippy::print_stderr, reason = "a skipped test says so")]

use alloy_primitives::{Address, B256, Bytes, hex};
use event::{AnyOf, ChainId, ColumnData, DecodeStats, Decoder, LogRef, Logs};
use flate2::read::GzDecoder;
use headcount_abi::{ContractSpec, EventSource, Schemas};
use serde_json::Value;
use std::{fs::File, io::Read, path::PathBuf};

const CHAIN: ChainId = ChainId(1);

fn raw(folder: &std::path::Path, what: &str) -> String {
    let path = folder.join(format!("etl/17173049-17173050.{what}.ndjson.gz"));
    let mut text = String::new();
    GzDecoder::new(File::open(path).unwrap()).read_to_string(&mut text).unwrap();
    text
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The digits of `value`, which are too many for a JSON reader's numbers.
fn digits(line: &str) -> String {
    let (_, after) = line.split_once("\"value\": ").unwrap();
    after.chars().take_while(char::is_ascii_digit).collect()
}

fn member<T: std::str::FromStr<Err: std::fmt::Debug>>(value: &Value, name: &str) -> T {
    value[name].as_str().unwrap().parse().unwrap()
}

fn number(value: &Value, name: &str) -> u32 {
    value[name].as_u64().unwrap() as u32
}

#[test]
fn transfers_of_two_real_blocks_equal_those_of_another_decoder() {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/fixtures");
    let folder = std::env::var_os("HEADCOUNT_SHARED_FIXTURES").map_or_else(beside, PathBuf::from);
    if !folder.is_dir() {
        eprintln!(
            "SKIP transfers_of_two_real_blocks_equal_those_of_another_decoder: shared fixtures \
             not found"
        );
        return;
    }
    let mut logs = Logs::default();
    for log in lines(&raw(&folder, "logs")) {
        let topics: Vec<B256> = log["topics"]
            .as_array()
            .unwrap()
            .iter()
            .map(|topic| topic.as_str().unwrap().parse().unwrap())
            .collect();
        logs.push(LogRef {
            block: number(&log, "block_number") - 17_173_049,
            tx_hash: &member(&log, "transaction_hash"),
            tx_index: number(&log, "transaction_index"),
            log_index: number(&log, "log_index"),
            address: &member::<Address>(&log, "address"),
            topics: &topics,
            data: &member::<Bytes>(&log, "data"),
        });
    }
    assert_eq!(logs.len(), 681);
    // ERC-721 has the same signature with a third indexed argument.
    let events = [
        "Transfer(address indexed from, address indexed to, uint256 value)",
        "Transfer(address indexed from, address indexed to, uint256 indexed tokenId)",
    ];
    let events = events.map(|text| EventSource::Signature(text.to_owned())).to_vec();
    let spec =
        ContractSpec { name: None, addresses: AnyOf::Any, chains: Default::default(), events };
    let schemas = Schemas::parse(&[spec]).unwrap();
    let (tables, stats) = schemas.decode(CHAIN, &logs);

    let mut found = Vec::new();
    for table in &tables {
        let [ColumnData::Blob(from), ColumnData::Blob(to), ColumnData::Text(value)] =
            &table.columns[..]
        else {
            panic!("{:?}", table.columns)
        };
        for (i, row) in table.row.iter().enumerate() {
            let log = logs.row(*row as usize);
            found.push((
                (log.block + 17_173_049, log.log_index),
                hex::encode_prefixed(log.address),
                hex::encode_prefixed(from.get(i)),
                hex::encode_prefixed(to.get(i)),
                String::from_utf8(value.get(i).to_vec()).unwrap(),
                hex::encode_prefixed(log.tx_hash),
            ));
        }
    }
    let text = |row: &Value, name: &str| row[name].as_str().unwrap().to_owned();
    let transfers = raw(&folder, "token_transfers");
    let mut expected: Vec<_> = lines(&transfers)
        .iter()
        .zip(transfers.lines())
        .map(|(row, line)| {
            (
                (number(row, "block_number"), number(row, "log_index")),
                text(row, "token_address"),
                text(row, "from_address"),
                text(row, "to_address"),
                digits(line),
                text(row, "transaction_hash"),
            )
        })
        .collect();
    found.sort();
    expected.sort();
    assert_eq!(expected.len(), 291);
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found, expected);
    }
    assert_eq!(stats, DecodeStats { undecodable: 0, unknown: 681 - 291 });
}
