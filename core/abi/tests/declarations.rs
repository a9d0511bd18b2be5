//! From signatures and ABI files to names, types and filters; and what is said of mistakes.
#![allow(clippy::unwrap_used, reason = "tests")]

use alloy_primitives::{Address, keccak256};
use event::{AnyOf, ColumnType, Decoder, Filter};
use headcount_abi::{AbiError, ContractSpec, EventSource, Schemas};

const TRANSFER: &str = "Transfer(address indexed from, address indexed to, uint256 value)";

fn spec(name: Option<&str>, addresses: AnyOf<Address>, events: &[&str]) -> ContractSpec {
    let events = events.iter().map(|text| EventSource::Signature((*text).to_owned())).collect();
    ContractSpec { name: name.map(str::to_owned), addresses, chains: Default::default(), events }
}

fn parse(events: &[&str]) -> Result<Schemas, AbiError> {
    Schemas::parse(&[spec(Some("token"), AnyOf::Any, events)])
}

fn tables(schemas: &Schemas) -> Vec<String> {
    schemas.schemas().iter().map(|s| format!("{}.{}", s.contract, s.table)).collect()
}

#[test]
fn a_signature_reads_as_in_solidity_with_or_without_ornaments() {
    for text in [TRANSFER, &format!("event {TRANSFER};"), &format!("  event {TRANSFER} ")] {
        let schemas = parse(&[text]).unwrap();
        let schema = &schemas.schemas()[0];
        assert_eq!(schema.signature, "Transfer(address,address,uint256)");
        assert_eq!(schema.topic0, Some(keccak256("Transfer(address,address,uint256)")));
        let columns: Vec<_> =
            schema.columns.iter().map(|c| (c.name.as_str(), c.indexed, c.ty)).collect();
        assert_eq!(
            columns,
            [
                ("from", true, ColumnType::Blob),
                ("to", true, ColumnType::Blob),
                ("value", false, ColumnType::Bignum)
            ]
        );
    }
}

#[test]
fn aliases_are_canonical_and_every_type_has_its_column() {
    let text = "E(uint a, int b, uint64 c, int64 d, uint72 e, int72 f, bool g, bytes3 h, bytes i, \
                string j, uint8[] k, (uint,string) l, address payable)";
    let schemas = parse(&[text]).or_else(|_| parse(&[&text.replace(" payable", " m")])).unwrap();
    let schema = &schemas.schemas()[0];
    assert_eq!(
        schema.signature,
        "E(uint256,int256,uint64,int64,uint72,int72,bool,bytes3,bytes,string,uint8[],\
         (uint256,string),address)"
    );
    use ColumnType::{Bignum, Blob, Bool, I64, Json, Text, U64};
    let types: Vec<_> = schema.columns.iter().map(|column| column.ty).collect();
    assert_eq!(
        types,
        [Bignum, Bignum, U64, I64, Bignum, Bignum, Bool, Blob, Blob, Text, Json, Json, Blob]
    );
    let indexed = parse(&["E(string indexed a, uint8[] indexed b, uint8 indexed c)"]).unwrap();
    let types: Vec<_> = indexed.schemas()[0].columns.iter().map(|column| column.ty).collect();
    assert_eq!(types, [Blob, Blob, U64]);
}

#[test]
fn members_of_a_struct_may_have_names() {
    for text in [
        "E((uint a, (bytes b, bool) c)[2] d, tuple(uint8 x, tuple(bool y)[] z) indexed w)",
        "event E(tuple(uint256, (bytes,bool) )[2]  d, (uint8 x,(bool)[] z) indexed w);",
    ] {
        let schemas = parse(&[text]).unwrap();
        let schema = &schemas.schemas()[0];
        assert_eq!(schema.signature, "E((uint256,(bytes,bool))[2],(uint8,(bool)[]))");
        let names: Vec<_> = schema.columns.iter().map(|c| (c.name.as_str(), c.indexed)).collect();
        assert_eq!(names, [("d", false), ("w", true)]);
    }
}

#[test]
fn the_hash_of_a_struct_of_one_member_is_that_of_solidity() {
    let schemas = parse(&["E((bool) a)"]).unwrap();
    assert_eq!(schemas.schemas()[0].topic0, Some(keccak256("E((bool))")));
}

#[test]
fn overloads_get_a_suffix_that_does_not_depend_on_the_order_given() {
    let events = ["Set(uint256 a)", "SET(bool a)", "Set(address a)", "set(bytes a)"];
    let forward = tables(&parse(&events).unwrap());
    let mut reversed = events;
    reversed.reverse();
    assert_eq!(forward, tables(&parse(&reversed).unwrap()));
    let hash = |signature: &str| alloy_primitives::hex::encode(&keccak256(signature)[..2]);
    assert_eq!(
        forward,
        [
            "token.SET".to_owned(),
            format!("token.Set_{}", hash("Set(address)")),
            format!("token.Set_{}", hash("Set(uint256)")),
            format!("token.set_{}", hash("set(bytes)")),
        ]
    );
    assert_eq!(tables(&parse(&["Set(bool a)", "Set(bool b)"]).unwrap()), ["token.Set"]);
}

#[test]
fn contracts_without_a_name_are_named_by_their_address() {
    let address = Address::repeat_byte(0xA0);
    let specs = [spec(None, AnyOf::one(address), &[TRANSFER]), spec(None, AnyOf::Any, &[TRANSFER])];
    let schemas = Schemas::parse(&specs).unwrap();
    assert_eq!(tables(&schemas), ["c_a0a0a0a0.Transfer", "any.Transfer"]);
}

#[test]
fn filters_group_contracts_that_want_the_same_events() {
    let [a, b, c] = [1, 2, 3].map(Address::repeat_byte);
    let schemas = Schemas::parse(&[
        spec(Some("a"), AnyOf::one(a), &[TRANSFER, "Other(uint256 x)"]),
        spec(Some("b"), AnyOf::one(b), &["Other(uint256 x)", TRANSFER]),
        spec(Some("c"), AnyOf::one(c), &[TRANSFER]),
    ])
    .unwrap();
    let transfer = keccak256("Transfer(address,address,uint256)");
    let other = keccak256("Other(uint256)");
    let mut expected = vec![
        Filter::new(AnyOf::of([a, b]).unwrap(), AnyOf::of([transfer, other]).unwrap()),
        Filter::new(AnyOf::one(c), AnyOf::one(transfer)),
    ];
    let mut found = schemas.filters();
    expected.sort();
    found.sort();
    assert_eq!(found, expected);
}

#[test]
fn an_anonymous_event_asks_for_every_log_of_its_contract() {
    let a = Address::repeat_byte(1);
    let schemas =
        Schemas::parse(&[spec(None, AnyOf::one(a), &[TRANSFER, "N(uint256 x) anonymous"])])
            .unwrap();
    assert_eq!(schemas.filters(), [Filter::new(AnyOf::one(a), AnyOf::Any)]);
}

#[test]
fn a_filter_that_another_covers_is_left_out() {
    let a = Address::repeat_byte(1);
    let schemas = Schemas::parse(&[
        spec(None, AnyOf::one(a), &[TRANSFER]),
        spec(None, AnyOf::Any, &[TRANSFER, "Other(uint256 x)"]),
    ])
    .unwrap();
    assert_eq!(schemas.filters().len(), 1);
    assert!(schemas.filters()[0].addresses.is_any());
}

const ABI: &str = r#"[
  {"type":"function","name":"f","inputs":[],"outputs":[],"stateMutability":"view"},
  {"type":"event","name":"Transfer","anonymous":false,"inputs":[
    {"name":"from","type":"address","indexed":true},
    {"name":"to","type":"address","indexed":true},
    {"name":"value","type":"uint256","indexed":false}]},
  {"type":"event","name":"Fill","anonymous":false,"inputs":[
    {"name":"levels","type":"tuple[]","indexed":false,"components":[
      {"name":"price","type":"uint128"},{"name":"size","type":"uint64"}]}]}
]"#;

fn abi(json: &str, wanted: &[&str]) -> Result<Schemas, AbiError> {
    let wanted = wanted.iter().map(|name| (*name).to_owned()).collect();
    let events = vec![EventSource::Abi { json: json.to_owned(), wanted }];
    Schemas::parse(&[ContractSpec {
        name: Some("dex".into()),
        addresses: AnyOf::Any,
        chains: Default::default(),
        events,
    }])
}

#[test]
fn an_abi_file_is_an_array_or_an_artefact() {
    let artefact = format!(r#"{{"contractName":"Dex","abi":{ABI},"bytecode":"0x00"}}"#);
    for json in [ABI, &artefact] {
        let schemas = abi(json, &[]).unwrap();
        assert_eq!(tables(&schemas), ["dex.Fill", "dex.Transfer"]);
        assert_eq!(schemas.schemas()[0].signature, "Fill((uint128,uint64)[])");
    }
    assert_eq!(tables(&abi(ABI, &["Fill"]).unwrap()), ["dex.Fill"]);
    assert_eq!(
        tables(&abi(ABI, &["Transfer(address,address,uint256)"]).unwrap()),
        ["dex.Transfer"]
    );
}

#[test]
fn an_event_that_does_not_say_whether_it_is_anonymous_is_not() {
    let brief = ABI.replace(r#""anonymous":false,"#, "").replace(r#""anonymous": false,"#, "");
    let brief = brief.replace(r#","anonymous":false"#, "").replace(r#", "anonymous": false"#, "");
    assert!(!brief.contains("anonymous"), "{brief}");
    assert_eq!(tables(&abi(&brief, &[]).unwrap()), tables(&abi(ABI, &[]).unwrap()));
}

#[test]
fn a_missing_event_names_those_that_exist_closest_first() {
    let error = abi(ABI, &["transfers"]).unwrap_err();
    assert_eq!(error.to_string(), "abi of `dex` has no event `transfers`");
    assert_eq!(error.hint(), "it has Transfer(address,address,uint256), Fill((uint128,uint64)[])");
    let error = abi(ABI, &["fil"]).unwrap_err();
    assert!(error.hint().starts_with("it has Fill"));
    let none = abi("[]", &["Fill"]).unwrap_err();
    assert!(none.hint().contains("has no events"));
}

#[test]
fn mistakes_have_a_cause_a_place_and_a_hint() {
    let told = |text: &str| {
        let error = parse(&[text]).err().unwrap_or_else(|| panic!("{text} parses"));
        assert!(!error.hint().is_empty() && !error.hint().contains('\n'), "{text}");
        let told = error.to_string();
        assert!(!told.contains('\n'), "{told}");
        told
    };
    for text in
        ["", "Transfer", "Transfer(", "Transfer(address from", "function f()", "E(uint256 a"]
    {
        assert!(told(text).starts_with(&format!("event signature `{text}`: ")), "{}", told(text));
    }
    assert_eq!(
        told("E(uint256 a, IERC20 b)"),
        "event `E`: argument 1 has type `IERC20`, which cannot be decoded"
    );
    assert!(told("E(uint257 a)").contains("uint257"));
    assert!(told("E(uint256[999999999] a)").contains("cannot be decoded"));
    assert_eq!(
        told("E(bool indexed a, bool indexed b, bool indexed c, bool indexed d)"),
        "event `E` has 4 indexed arguments, a log has room for 3"
    );
}

#[test]
fn files_that_are_no_abi_are_named() {
    for json in ["", "<html>", "{}", "3", r#"{"abi":5}"#, r#"[{"type":"event"}]"#] {
        let error = abi(json, &[]).unwrap_err();
        assert!(error.to_string().starts_with("abi of `dex`: "), "{json}: {error}");
    }
    assert!(matches!(abi("[]", &[]), Err(AbiError::NoEvents { .. })));
}

#[test]
fn two_contracts_cannot_share_a_name() {
    let error = Schemas::parse(&[
        spec(Some("usdc"), AnyOf::Any, &[TRANSFER]),
        spec(Some("USDC"), AnyOf::Any, &[TRANSFER]),
    ])
    .unwrap_err();
    assert_eq!(error.to_string(), "contract name `USDC`: is used twice");
}
