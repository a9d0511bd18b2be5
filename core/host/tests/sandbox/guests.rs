//! Real guests in the sandbox: what they compute, and what stops them.

use alloy_primitives::{Address, B256, U256, keccak256};
use event::{
    Batch, BatchBlock, ChainId, ColumnData, Effects, LogRef, Logs, Phase, Plugin, PluginFault,
    PluginState, UNKNOWN_SIGNATURE,
};
use headcount_host::{Host, HostConfig, Limits, LoadError, LoadedPlugin, Usage};
use std::{path::PathBuf, sync::Arc};

/// Returns a guest that `make plugins` built; without it the test says so and passes.
pub(crate) fn guest(test: &str, name: &str) -> Option<Vec<u8>> {
    let folder = std::env::var_os("HEADCOUNT_PLUGINS_DIR").map_or_else(
        || {
            PathBuf::from(env!("CARGO_MANIFEST_DIR"))
                .join("../../plugins/target/wasm32-wasip2/release")
        },
        PathBuf::from,
    );
    let bytes = std::fs::read(folder.join(format!("{name}.wasm"))).ok();
    if bytes.is_none() {
        println!("SKIP {test}: plugins are not built");
    }
    bytes
}

pub(crate) fn host() -> Host {
    Host::new(HostConfig::default()).unwrap()
}

fn word(address: u8) -> B256 {
    B256::left_padding_from(&[address])
}

/// Transfers (token, from, to, value), all in block 7.
pub(crate) fn batch(transfers: &[(u8, u8, u8, U256)]) -> Batch {
    let topic0 = keccak256("Transfer(address,address,uint256)");
    let mut logs = Logs::default();
    for (token, from, to, value) in transfers {
        logs.push(LogRef {
            block: 0,
            tx_hash: &B256::ZERO,
            tx_index: 0,
            log_index: logs.len() as u32,
            address: &Address::repeat_byte(*token),
            topics: &[topic0, word(*from), word(*to)],
            data: &value.to_be_bytes::<32>(),
        });
    }
    let block =
        BatchBlock { number: 7, hash: B256::repeat_byte(7), parent: None, timestamp: Some(1_000) };
    Batch {
        id: 1,
        attempt: 1,
        phase: Phase::Backfill,
        chain: ChainId(1),
        finalized: 7,
        blocks: vec![block],
        seq: (1..=logs.len() as u64).collect(),
        signature: vec![UNKNOWN_SIGNATURE; logs.len()],
        signatures: vec![],
        decoded: vec![],
        logs,
    }
}

fn apply(state: &Arc<PluginState>, effects: &Effects) -> Arc<PluginState> {
    let mut state = PluginState::clone(state);
    for (key, value) in &effects.state {
        state.write(key, value.clone());
    }
    Arc::new(state)
}

fn texts(column: &ColumnData) -> Vec<String> {
    let ColumnData::Text(values) = column else { panic!("{column:?}") };
    (0..values.len()).map(|i| String::from_utf8(values.get(i).to_vec()).unwrap()).collect()
}

#[test]
fn erc20_balances_add_up_over_batches_in_the_sandbox() {
    let Some(bytes) = guest("erc20_balances_add_up", "erc20_balances") else { return };
    let mut plugin = host().load(&bytes, "{}", Limits::default()).unwrap();
    assert_eq!(plugin.descriptor().name, "erc20-balances");
    let state = Arc::new(PluginState::default());
    let first = batch(&[(9, 0, 1, U256::MAX), (9, 0, 1, U256::MAX), (9, 1, 2, U256::from(5))]);
    let effects = plugin.handle(&first, &state).unwrap();
    assert_eq!(effects, plugin.handle(&first, &state).unwrap(), "again gives the same");
    let twice = "231584178474632390847141970017375815706539969331281128078915168015826259279865";
    assert_eq!(effects.rows[0].seq, [3, 3]);
    assert_eq!(texts(&effects.rows[0].columns[2]), [twice, "5"]);
    let state = apply(&state, &effects);
    let effects = plugin.handle(&batch(&[(9, 2, 3, U256::from(9))]), &state).unwrap();
    assert_eq!(texts(&effects.rows[0].columns[2]), ["-4", "9"]);
    assert_eq!(effects.rows[1].columns[1], ColumnData::U64(vec![2]), "holders 1 and 3");
}

#[test]
fn what_is_no_component_is_named() {
    let load = |bytes: &[u8]| host().load(bytes, "{}", Limits::default()).unwrap_err().to_string();
    assert_eq!(load(b""), "not a WebAssembly component: the file is empty");
    assert_eq!(load(b"<html>"), "not a WebAssembly component: it is no WebAssembly at all");
    assert_eq!(
        load(b"\0asm\x01\0\0\0"),
        "not a WebAssembly component: it is a core module; build it for the target wasm32-wasip2"
    );
    assert_eq!(
        load(b"\0asm\x0d\0\x01\0"),
        "not a plugin: it exports no headcount:plugin/meta@0.1.0"
    );
    assert!(load(b"\0asm\x0d\0\x01\0garbage").starts_with("plugin cannot be compiled: "));
    let small = Host::new(HostConfig { component_bytes: 4, ..HostConfig::default() }).unwrap();
    let error = small.load(b"\0asm\x0d", "{}", Limits::default()).unwrap_err();
    assert_eq!(error, LoadError::TooLarge { found: 5, allowed: 4 });
}

#[test]
fn a_plugin_for_another_interface_version_is_refused_with_both_versions() {
    let Some(mut bytes) = guest("a_plugin_for_another_interface", "erc20_balances") else { return };
    let (old, new) = (b"headcount:plugin/", b"@0.1.0");
    let mut at = 0;
    while at + old.len() < bytes.len() {
        if bytes[at..].starts_with(old) {
            let end = (at + 64).min(bytes.len());
            if let Some(version) = bytes[at..end].windows(6).position(|w| w == new) {
                bytes[at + version..at + version + 6].copy_from_slice(b"@0.2.0");
            }
        }
        at += 1;
    }
    let error = host().load(&bytes, "{}", Limits::default()).unwrap_err();
    let LoadError::Version { found } = &error else { panic!("{error}") };
    assert!(found.ends_with("@0.2.0"), "{found}");
    assert!(error.to_string().contains("headcount:plugin@0.1"), "{error}");
}

pub(crate) fn unruly(bytes: &[u8], word: &str) -> LoadedPlugin {
    let limits = Limits { deadline_ms: 1_000, memory_bytes: 16 << 20, ..Limits::default() };
    host().load(bytes, word, limits).unwrap()
}

#[test]
fn every_misdeed_becomes_its_own_fault_and_the_next_call_is_sound() {
    let Some(bytes) = guest("every_misdeed_becomes_its_own_fault", "unruly") else { return };
    let state = Arc::new(PluginState::default());
    let one = batch(&[(9, 0, 1, U256::from(1))]);
    let run = |word: &str| {
        let mut plugin = unruly(&bytes, word);
        let first = plugin.handle(&one, &state);
        assert_eq!(first, plugin.handle(&one, &state), "{word}: the same again");
        first
    };
    let said = String::new;
    assert_eq!(run("loop"), Err(PluginFault::Deadline { limit_ms: 1_000, said: said() }));
    let (limit, allowed) = ("memory_bytes", 16 << 20);
    assert_eq!(run("memory"), Err(PluginFault::Limit { limit, allowed, said: said() }));
    let Err(PluginFault::Trap(why)) = run("panic") else { panic!() };
    assert!(why.contains("the cat sat on block 7"), "{why}");
    let Err(PluginFault::Trap(why)) = run("print") else { panic!() };
    assert!(why.contains("after many words") && why.len() < 9_000, "{why}");
    assert!(matches!(run("exit"), Err(PluginFault::Halt(_))));
    assert_eq!(run("retry"), Err(PluginFault::Retry { after_ms: 7, reason: "later".to_owned() }));
    assert_eq!(run("halt"), Err(PluginFault::Halt("enough".to_owned())));
    assert_eq!(
        run("undeclared"),
        Err(PluginFault::Reject("table nowhere is not declared".to_owned()))
    );
    let Err(PluginFault::Reject(why)) = run("state") else { panic!() };
    assert_eq!(why, "limit `state_value_bytes` of 1048576 exceeded: 2097152");
    let lines = run("log").unwrap().log;
    assert_eq!(lines.len(), 1_001);
    assert_eq!(lines[1_000].message, "1000 more lines were suppressed");
    assert_eq!(run("sleep"), Ok(Effects::default()), "time stands still");
    assert_eq!(
        host().load(&bytes, "refuse", Limits::default()).unwrap_err(),
        LoadError::Config("no such thing".to_owned())
    );
}

#[test]
fn what_a_plugin_asks_for_and_what_it_used_are_told() {
    let Some(bytes) = guest("what_a_plugin_asks_for", "erc20_balances") else { return };
    let mut plugin = host().load(&bytes, "{}", Limits::default()).unwrap();
    assert_eq!(plugin.interface(), "0.1.0");
    let has = |name: &str| plugin.imports().iter().any(|import| import == name);
    assert!(has("headcount:plugin/output@0.1.0") && has("headcount:plugin/state@0.1.0"));
    assert_eq!(plugin.usage(), &Usage::default());
    let state = Arc::default();
    plugin.handle(&batch(&[(9, 0, 1, U256::ONE), (9, 0, 2, U256::ONE)]), &state).unwrap();
    let most = *plugin.usage();
    assert_eq!(most.output_rows, 3, "two holders and a token");
    assert!(most.memory_bytes > 0 && most.memory_bytes <= plugin.limits().memory_bytes);
    assert!(most.elapsed_us > 0 && most.output_bytes > 0 && most.state_bytes > 0);
    plugin.handle(&batch(&[(9, 0, 1, U256::ONE)]), &state).unwrap();
    assert_eq!(plugin.usage().output_rows, 3, "the most of any call");
}
