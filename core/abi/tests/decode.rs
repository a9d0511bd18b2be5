//! Decoding against alloy's own encoder, and what must stay raw.
#![allow(clippy::unwrap_used, reason = "tests")]

use alloy_dyn_abi::{DynSolType, DynSolValue};
use alloy_primitives::{Address, B256, I256, U256, hex, keccak256};
use event::{AnyOf, ChainId, ColumnData, DecodeStats, Decoder, LogRef, Logs};
use headcount_abi::{ContractSpec, EventSource, Schemas};
use proptest::prelude::*;

const CHAIN: ChainId = ChainId(1);

fn schemas(signatures: &[&str]) -> Schemas {
    let events = signatures.iter().map(|text| EventSource::Signature((*text).to_owned())).collect();
    Schemas::parse(&[ContractSpec {
        name: None,
        addresses: AnyOf::Any,
        chains: Default::default(),
        events,
    }])
    .unwrap()
}

fn log<'a>(topics: &'a [B256], data: &'a [u8]) -> LogRef<'a> {
    LogRef {
        block: 0,
        tx_hash: &B256::ZERO,
        tx_index: 0,
        log_index: 0,
        address: &Address::ZERO,
        topics,
        data,
    }
}

fn one(topics: &[B256], data: &[u8]) -> Logs {
    let mut logs = Logs::default();
    logs.push(log(topics, data));
    logs
}

fn word(value: u64) -> B256 {
    B256::from(U256::from(value))
}

fn text(column: &ColumnData, row: usize) -> String {
    let (ColumnData::Text(values) | ColumnData::Blob(values)) = column else {
        panic!("{column:?}")
    };
    String::from_utf8(values.get(row).to_vec()).unwrap()
}

const RAW: DecodeStats = DecodeStats { undecodable: 1, unknown: 0 };
const UNKNOWN: DecodeStats = DecodeStats { undecodable: 0, unknown: 1 };
const ALL: DecodeStats = DecodeStats { undecodable: 0, unknown: 0 };

/// What a column must hold for a value, said by alloy's types alone.
fn expected(value: &DynSolValue) -> String {
    match value {
        DynSolValue::Bool(v) => v.to_string(),
        DynSolValue::Uint(v, _) => v.to_string(),
        DynSolValue::Int(v, _) => v.to_string(),
        DynSolValue::Address(v) => hex::encode(v),
        DynSolValue::FixedBytes(v, size) => hex::encode(&v[..*size]),
        DynSolValue::Function(v) => hex::encode(v),
        DynSolValue::Bytes(v) => hex::encode(v),
        DynSolValue::String(v) => v.clone(),
        composite => json(composite),
    }
}

fn json(value: &DynSolValue) -> String {
    const MAX: u64 = (1 << 53) - 1;
    match value {
        DynSolValue::Uint(v, bits) if *bits < 256 && *v <= U256::from(MAX) => v.to_string(),
        DynSolValue::Int(v, bits) if *bits < 256 && v.unsigned_abs() <= U256::from(MAX) => {
            v.to_string()
        }
        DynSolValue::Uint(..) | DynSolValue::Int(..) => format!("\"{}\"", expected(value)),
        DynSolValue::Bool(v) => v.to_string(),
        DynSolValue::String(v) => serde_json::to_string(v).unwrap(),
        DynSolValue::Array(items) | DynSolValue::FixedArray(items) | DynSolValue::Tuple(items) => {
            format!("[{}]", items.iter().map(json).collect::<Vec<_>>().join(","))
        }
        bytes => format!("\"0x{}\"", expected(bytes)),
    }
}

fn held(column: &ColumnData) -> String {
    match column {
        ColumnData::Bool(v) => v[0].to_string(),
        ColumnData::U64(v) => v[0].to_string(),
        ColumnData::I64(v) => v[0].to_string(),
        ColumnData::F64(v) => v[0].to_string(),
        ColumnData::Text(_) => text(column, 0),
        ColumnData::Blob(v) => hex::encode(v.get(0)),
    }
}

fn any_type() -> impl Strategy<Value = DynSolType> {
    let leaf = prop_oneof![
        Just(DynSolType::Bool),
        Just(DynSolType::Address),
        Just(DynSolType::Bytes),
        Just(DynSolType::String),
        Just(DynSolType::Function),
        (1usize..=32).prop_map(|n| DynSolType::Uint(n * 8)),
        (1usize..=32).prop_map(|n| DynSolType::Int(n * 8)),
        (1usize..=32).prop_map(DynSolType::FixedBytes),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|ty| DynSolType::Array(Box::new(ty))),
            (inner.clone(), 1usize..4).prop_map(|(ty, n)| DynSolType::FixedArray(Box::new(ty), n)),
            prop::collection::vec(inner, 1..4).prop_map(DynSolType::Tuple),
        ]
    })
}

/// A value of a type, from a stream of bytes.
fn value_of(ty: &DynSolType, bytes: &mut impl Iterator<Item = u8>) -> DynSolValue {
    let mut next = || bytes.next().unwrap_or(0);
    let mut word = || B256::from_slice(&(0..32).map(|_| next()).collect::<Vec<_>>());
    match ty {
        DynSolType::Bool => DynSolValue::Bool(next() & 1 == 1),
        DynSolType::Address => DynSolValue::Address(Address::from_word(word())),
        DynSolType::Function => {
            DynSolValue::Function(alloy_primitives::Function::from_slice(&word()[..24]))
        }
        DynSolType::Uint(bits) => {
            DynSolValue::Uint(U256::from_be_bytes(word().0) >> (256 - bits), *bits)
        }
        DynSolType::Int(bits) => {
            DynSolValue::Int(I256::from_be_bytes(word().0).asr(256 - bits), *bits)
        }
        DynSolType::FixedBytes(size) => {
            let mut word = word();
            word[*size..].fill(0);
            DynSolValue::FixedBytes(word, *size)
        }
        DynSolType::Bytes => {
            let len = next() as usize % 70;
            DynSolValue::Bytes((0..len).map(|_| next()).collect())
        }
        DynSolType::String => {
            let len = next() as usize % 40;
            DynSolValue::String((0..len).map(|_| char::from(next())).collect())
        }
        DynSolType::Array(inner) => {
            let len = next() % 4;
            DynSolValue::Array((0..len).map(|_| value_of(inner, bytes)).collect())
        }
        DynSolType::FixedArray(inner, len) => {
            DynSolValue::FixedArray((0..*len).map(|_| value_of(inner, bytes)).collect())
        }
        DynSolType::Tuple(types) => {
            DynSolValue::Tuple(types.iter().map(|ty| value_of(ty, bytes)).collect())
        }
        #[allow(unreachable_patterns, reason = "a feature of alloy-dyn-abi adds a variant")]
        other => panic!("{other:?}"),
    }
}

fn is_word(ty: &DynSolType) -> bool {
    matches!(
        ty,
        DynSolType::Bool
            | DynSolType::Address
            | DynSolType::Function
            | DynSolType::Uint(_)
            | DynSolType::Int(_)
            | DynSolType::FixedBytes(_)
    )
}

proptest! {
    #[test]
    fn what_alloy_encodes_decodes_to_the_same_values(
        types in prop::collection::vec((any_type(), any::<bool>()), 0..6),
        bytes in prop::collection::vec(any::<u8>(), 600),
    ) {
        let mut bytes = bytes.into_iter();
        let mut left = 3;
        let mut topics = Vec::new();
        let (mut body, mut wanted, mut arguments, mut names) = (vec![], vec![], vec![], vec![]);
        for (ty, indexed) in types {
            let indexed = indexed && left > 0;
            let value = value_of(&ty, &mut bytes);
            arguments.push(format!("{ty}{}", if indexed { " indexed" } else { "" }));
            // Alloy writes a struct of one member as `(bool,)`.
            names.push(ty.to_string().replace(",)", ")"));
            if indexed {
                left -= 1;
                let topic = value.encode_topic();
                wanted.push(if is_word(&ty) { expected(&value) } else { hex::encode(topic) });
                topics.push(topic);
            } else {
                wanted.push(expected(&value));
                body.push(value);
            }
        }
        let schemas = schemas(&[&format!("event E({})", arguments.join(", "))]);
        prop_assert_eq!(&schemas.schemas()[0].signature, &format!("E({})", names.join(",")));
        topics.insert(0, schemas.schemas()[0].topic0.unwrap());
        let data = DynSolValue::Tuple(body).abi_encode_sequence().unwrap();
        let (rows, stats) = schemas.decode(CHAIN, &one(&topics, &data));
        prop_assert_eq!(stats, ALL);
        let found: Vec<String> = rows[0].columns.iter().map(held).collect();
        prop_assert_eq!(found, wanted);
        let (_, text) = schemas.json(CHAIN, log(&topics, &data)).unwrap();
        prop_assert!(serde_json::from_str::<serde_json::Value>(&text).unwrap().is_object());
    }

    #[test]
    fn any_bytes_decode_or_stay_raw_and_never_panic(
        data in prop::collection::vec(prop_oneof![Just(0u8), Just(32u8), any::<u8>()], 0..400),
        count in 0usize..5,
    ) {
        let schemas = schemas(&[
            "E(bytes a, string b, uint8[][][] c, (uint256,bytes[])[] d, int16[2] e)",
            "anonymous_one(uint256 indexed a, bytes[] b) anonymous",
        ]);
        let mut topics = vec![schemas.schemas()[0].topic0.unwrap(); count];
        let logs = one(&topics, &data);
        let (rows, stats) = schemas.decode(CHAIN, &logs);
        prop_assert_eq!(rows.len() as u64 + stats.undecodable + stats.unknown, 1);
        let json = schemas.json(CHAIN, logs.row(0));
        prop_assert_eq!(json.is_some(), !rows.is_empty());
        topics.clear();
    }
}

#[test]
fn the_extremes_of_wide_integers_are_exact() {
    let schemas = schemas(&["E(uint256 a, int256 b, uint72 c, int72 d, int64 e, uint64 f)"]);
    let words = [
        U256::MAX,
        U256::ONE << 255,
        (U256::ONE << 72) - U256::ONE,
        U256::MAX - (U256::ONE << 71) + U256::ONE,
        U256::MAX - (U256::ONE << 63) + U256::ONE,
        U256::from(u64::MAX),
    ];
    let data: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes::<32>()).collect();
    let topics = [schemas.schemas()[0].topic0.unwrap()];
    let (rows, stats) = schemas.decode(CHAIN, &one(&topics, &data));
    assert_eq!(stats, ALL);
    let found: Vec<String> = rows[0].columns.iter().map(held).collect();
    assert_eq!(
        found,
        [
            "115792089237316195423570985008687907853269984665640564039457584007913129639935",
            "-57896044618658097711785492504343953926634992332820282019728792003956564819968",
            "4722366482869645213695",
            "-2361183241434822606848",
            "-9223372036854775808",
            "18446744073709551615",
        ]
    );
}

#[test]
fn padding_that_is_not_what_it_must_be_stays_raw() {
    let schemas = schemas(&["E(address indexed a, bool b, uint32 c, int32 d, bytes4 e)"]);
    let topics = [schemas.schemas()[0].topic0.unwrap(), word(7)];
    let mut good = [0u8; 128];
    good[31] = 1;
    good[63] = 9;
    good[64..96].fill(0xff);
    good[96..100].fill(0xab);
    assert_eq!(schemas.decode(CHAIN, &one(&topics, &good)).1, ALL);
    for (byte, wrong) in [(31, 2), (30, 1), (59, 1), (64, 0), (92, 0x7f), (100, 1), (127, 1)] {
        let mut data = good;
        data[byte] = wrong;
        let (rows, stats) = schemas.decode(CHAIN, &one(&topics, &data));
        assert_eq!((rows.len(), stats), (0, RAW), "byte {byte}");
    }
    let mut dirty = topics;
    dirty[1].0[0] = 1;
    assert_eq!(schemas.decode(CHAIN, &one(&dirty, &good)).1, RAW);
    assert_eq!(schemas.decode(CHAIN, &one(&topics, &good[..127])).1, RAW, "short");
}

#[test]
fn a_row_that_fails_late_leaves_nothing_behind() {
    let schemas = schemas(&["E(uint256 a, bytes b, string c)"]);
    let topics = [schemas.schemas()[0].topic0.unwrap()];
    let encode = |a: u64, c: &[u8]| {
        DynSolValue::Tuple(vec![
            DynSolValue::Uint(U256::from(a), 256),
            DynSolValue::Bytes(vec![1, 2, 3]),
            DynSolValue::Bytes(c.to_vec()),
        ])
        .abi_encode_sequence()
        .unwrap()
    };
    let mut logs = Logs::default();
    for (a, c) in [(1, &b"one"[..]), (2, b"\xff\xfe"), (3, b"three")] {
        logs.push(log(&topics, &encode(a, c)));
    }
    let (rows, stats) = schemas.decode(CHAIN, &logs);
    assert_eq!(stats, RAW, "text that is not UTF-8");
    assert_eq!(rows[0].row, [0, 2]);
    assert!(rows[0].columns.iter().all(|column| column.len() == 2));
    assert_eq!(
        (text(&rows[0].columns[0], 1), text(&rows[0].columns[2], 1)),
        ("3".into(), "three".into())
    );
}

#[test]
fn transfers_of_erc20_and_erc721_are_told_apart_by_their_topics() {
    let schemas = schemas(&[
        "Transfer(address indexed from, address indexed to, uint256 indexed tokenId)",
        "Transfer(address indexed from, address indexed to, uint256 value)",
    ]);
    let transfer = keccak256("Transfer(address,address,uint256)");
    let tables: Vec<&str> = schemas.schemas().iter().map(|s| s.table.as_str()).collect();
    assert_eq!(tables, ["Transfer", "Transfer_ddf2"]);
    let mut logs = Logs::default();
    logs.push(log(&[transfer, word(1), word(2)], word(5).as_slice()));
    logs.push(log(&[transfer, word(1), word(2), word(6)], &[]));
    logs.push(log(&[transfer, word(1)], &[0; 64]));
    let (rows, stats) = schemas.decode(CHAIN, &logs);
    assert_eq!(stats, RAW, "two topics fit neither");
    let found: Vec<_> = rows
        .iter()
        .map(|rows| (rows.row[0], schemas.schemas()[rows.schema as usize].columns[2].name.as_str()))
        .collect();
    assert_eq!(found, [(0, "value"), (1, "tokenId")]);
}

#[test]
fn anonymous_events_decode_and_what_nothing_speaks_of_is_unknown() {
    let schemas = schemas(&["event Note(uint8 indexed a, uint8 b) anonymous"]);
    assert_eq!(schemas.schemas()[0].topic0, None);
    assert_eq!(schemas.decode(CHAIN, &one(&[word(1)], word(2).as_slice())).1, ALL);
    assert_eq!(schemas.decode(CHAIN, &one(&[word(1)], word(256).as_slice())).1, UNKNOWN);
    assert_eq!(schemas.decode(CHAIN, &one(&[], &[])).1, UNKNOWN);
}

#[test]
fn a_log_is_decoded_by_the_contract_that_has_its_address_on_its_chain() {
    let mine = Address::repeat_byte(9);
    let spec = |name: &str, chains: &[u64]| ContractSpec {
        name: Some(name.to_owned()),
        addresses: AnyOf::one(mine),
        chains: chains.iter().map(|chain| (ChainId(*chain), AnyOf::one(mine))).collect(),
        events: vec![EventSource::Signature("E(uint8 a)".to_owned())],
    };
    let specs = [spec("any", &[]), spec("a", &[1, 2]), spec("b", &[7])];
    let schemas = Schemas::parse(&specs).unwrap();
    let (topics, data) = ([schemas.schemas()[0].topic0.unwrap()], word(1));
    let log = LogRef { address: &mine, ..log(&topics, data.as_slice()) };
    let mut logs = Logs::default();
    logs.push(log);
    for (chain, name) in [(1, "a"), (2, "a"), (7, "b"), (9, "any")] {
        let (rows, stats) = schemas.decode(ChainId(chain), &logs);
        assert_eq!(stats, ALL);
        assert_eq!(schemas.schemas()[rows[0].schema as usize].contract, name, "chain {chain}");
    }
    let bound = Schemas::parse(&specs[1..]).unwrap();
    assert_eq!(bound.decode(ChainId(9), &logs).1, UNKNOWN);
    assert!(bound.json(ChainId(9), log).is_none());
    assert!(bound.json(ChainId(7), log).is_some());
}

#[test]
fn a_schema_for_the_contract_goes_before_one_for_any() {
    let signature = EventSource::Signature("E(uint8 a)".to_owned());
    let spec = |name: &str, addresses| ContractSpec {
        name: Some(name.to_owned()),
        addresses,
        chains: Default::default(),
        events: vec![signature.clone()],
    };
    let mine = Address::repeat_byte(9);
    let schemas =
        Schemas::parse(&[spec("all", AnyOf::Any), spec("mine", AnyOf::one(mine))]).unwrap();
    let topics = [schemas.schemas()[0].topic0.unwrap()];
    let data = word(1);
    let mut logs = Logs::default();
    logs.push(LogRef { address: &mine, ..log(&topics, data.as_slice()) });
    logs.push(log(&topics, data.as_slice()));
    let (rows, _) = schemas.decode(CHAIN, &logs);
    assert_eq!(rows.iter().map(|r| (r.schema, r.row[0])).collect::<Vec<_>>(), [(0, 1), (1, 0)]);
}

#[test]
fn json_keeps_names_and_writes_wide_integers_as_text() {
    let abi = r#"[{"type":"event","name":"Fill","anonymous":false,"inputs":[
        {"name":"maker","type":"address","indexed":true},
        {"name":"levels","type":"tuple[]","indexed":false,"components":[
            {"name":"price","type":"uint128"},{"name":"size","type":"uint64"}]},
        {"name":"","type":"uint256","indexed":false},
        {"name":"note","type":"string","indexed":true},
        {"name":"side","type":"int8","indexed":false}]}]"#;
    let events = vec![EventSource::Abi { json: abi.to_owned(), wanted: Vec::new() }];
    let spec =
        ContractSpec { name: None, addresses: AnyOf::Any, chains: Default::default(), events };
    let schemas = Schemas::parse(&[spec]).unwrap();
    let levels = DynSolValue::Array(vec![DynSolValue::Tuple(vec![
        DynSolValue::Uint(U256::from(1u64 << 53), 128),
        DynSolValue::Uint(U256::from((1u64 << 53) - 1), 64),
    ])]);
    let data = DynSolValue::Tuple(vec![
        levels,
        DynSolValue::Uint(U256::from(5), 256),
        DynSolValue::Int(I256::MINUS_ONE, 8),
    ])
    .abi_encode_sequence()
    .unwrap();
    let topics = [schemas.schemas()[0].topic0.unwrap(), word(0xab), B256::repeat_byte(0x11)];
    let (signature, json) = schemas.json(CHAIN, log(&topics, &data)).unwrap();
    assert_eq!(signature, "Fill(address,(uint128,uint64)[],uint256,string,int8)");
    let hash = "11".repeat(32);
    assert_eq!(
        json,
        format!(
            "{{\"maker\":\"0x00000000000000000000000000000000000000ab\",\
             \"levels\":[{{\"price\":\"9007199254740992\",\"size\":9007199254740991}}],\
             \"arg2\":\"5\",\"note\":\"0x{hash}\",\"side\":-1}}"
        )
    );
}

#[test]
fn offsets_that_multiply_one_array_are_refused() {
    let schemas = schemas(&["E(uint8[][][][] a)"]);
    // Four arrays of thirty items, each item the same next array: 120 words that would become
    // 810,000 numbers.
    const ITEMS: u64 = 30;
    let mut words = vec![32];
    for _ in 0..3 {
        words.push(ITEMS);
        words.extend([ITEMS * 32; ITEMS as usize]);
    }
    words.push(ITEMS);
    words.extend([7; ITEMS as usize]);
    let data: Vec<u8> = words.iter().flat_map(|number| word(*number).0).collect();
    let (rows, stats) = schemas.decode(CHAIN, &one(&[schemas.schemas()[0].topic0.unwrap()], &data));
    assert_eq!((rows.len(), stats), (0, RAW));
}
