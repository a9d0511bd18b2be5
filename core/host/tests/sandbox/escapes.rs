//! Guests of `fixtures/guests`, each with one attempt to escape: every one is refused or ended, in plain
//! words, and the next guest on the same host does not notice.

use crate::{
    guests::{batch, host},
    made,
};
use alloy_primitives::U256;
use event::{Effects, Plugin};
use headcount_host::{Host, Limits, LoadedPlugin};
use std::{collections::BTreeSet, sync::Arc};

/// Refused or ended when it is loaded: the guest, and how the message begins.
const AT_LOAD: [(&str, &str); 27] = [
    (
        "start-traps",
        "plugin failed while it was loaded: trapped: wasm trap: wasm `unreachable` instruction",
    ),
    ("start-loops", "plugin failed while it was loaded: ran longer than `deadline_ms` of 200"),
    ("start-grows", "plugin failed while it was loaded: limit `memory_bytes` of 16777216 exceeded"),
    ("describe-traps", "plugin failed while it was loaded: trapped: wasm trap: wasm `unreachable`"),
    ("describe-loops", "plugin failed while it was loaded: ran longer than `deadline_ms` of 200"),
    (
        "describe-outside",
        "plugin failed while it was loaded: trapped: it handed over a value that is not in its memory",
    ),
    (
        "describe-name-outside",
        "plugin failed while it was loaded: trapped: it handed over a value that is not in its memory",
    ),
    (
        "describe-no-text",
        "plugin failed while it was loaded: trapped: it handed over a text that is no UTF-8",
    ),
    (
        "describe-no-visibility",
        "plugin failed while it was loaded: trapped: it handed over a case that the interface does not have",
    ),
    (
        "describe-many-tables",
        "plugin failed while it was loaded: trapped: it handed over a value that is not in its memory",
    ),
    (
        "describe-many-subscriptions",
        "plugin failed while it was loaded: trapped: it handed over a value that is not in its memory",
    ),
    (
        "describe-sql",
        "plugin describes itself wrongly: table `x\"; DROP TABLE main.events; --` must be",
    ),
    ("realloc-traps", "plugin failed while it was loaded: trapped: wasm trap: wasm `unreachable`"),
    ("realloc-loops", "plugin failed while it was loaded: ran longer than `deadline_ms` of 200"),
    (
        "realloc-outside",
        "plugin failed while it was loaded: trapped: it handed over memory for its arguments that it does not have",
    ),
    ("init-traps", "plugin failed while it was loaded: trapped: wasm trap: wasm `unreachable`"),
    ("init-loops", "plugin failed while it was loaded: ran longer than `deadline_ms` of 200"),
    (
        "table-is-huge",
        "plugin failed while it was loaded: limit `table_elements` of 100000 exceeded",
    ),
    (
        "tables-are-many",
        "plugin failed while it was loaded: limit `table_elements` of 100000 exceeded",
    ),
    (
        "memory-is-huge",
        "plugin failed while it was loaded: limit `memory_bytes` of 16777216 exceeded",
    ),
    (
        "wants-sockets",
        "plugin failed while it was loaded: trapped: the sandbox has no network (wasi:sockets/instance-network@0.2.0 get)",
    ),
    (
        "wants-http",
        "plugin wants wasi:http/outgoing-handler@0.2.0, which is not granted to plugins: the sandbox has no network; what",
    ),
    (
        "wants-newer-wasi",
        "plugin wants wasi:io/streams@0.3.0, which is not granted to plugins: the sandbox has this of WASI 0.2 only",
    ),
    // With a grant they are tried in `http`.
    ("fetches", NO_HOST),
    ("fetches-in-init", NO_HOST),
    ("fetches-without-end", NO_HOST),
    ("wants-mail", "plugin wants acme:mail/send@1.0.0, which is not granted to plugins"),
];

/// What a guest is refused with that wants to ask hosts.
const NO_HOST: &str = "plugin wants headcount:plugin/http@0.1.0, and no host is granted to it";

/// Ended when it is handed a batch.
const AT_A_BATCH: [(&str, &str); 8] = [
    ("handle-traps", "trapped: wasm trap: wasm `unreachable` instruction executed"),
    ("handle-outside", "trapped: it handed over a value that is not in its memory"),
    ("handle-no-result", "trapped: it handed over a case that the interface does not have"),
    ("handle-sets-aside-all", "trapped: it handed over a value that is not in its memory"),
    ("handle-recurses", "limit `stack_bytes` of 524288 exceeded"),
    ("cleanup-traps", "trapped: wasm trap: wasm `unreachable` instruction executed"),
    ("cleanup-loops", "ran longer than `deadline_ms` of 200"),
    ("table-grows", "limit `table_elements` of 100000 exceeded"),
];

/// Does well as long as it finds nothing that a guest before it left.
const LEAVER: &str = "leaves-things";

fn limits() -> Limits {
    Limits { deadline_ms: 200, memory_bytes: 16 << 20, ..Limits::default() }
}

fn load(host: &Host, bytes: &[u8]) -> Result<LoadedPlugin, String> {
    host.load(bytes, "{}", limits()).map_err(|error| error.to_string())
}

fn handle(plugin: &mut LoadedPlugin) -> Result<Effects, String> {
    let one = batch(&[(9, 0, 1, U256::ONE)]);
    plugin.handle(&one, &Arc::default()).map_err(|fault| fault.to_string())
}

#[test]
fn every_hand_made_escape_is_contained_with_a_reason_and_the_host_goes_on() {
    let host = host();
    let mut honest = load(&host, &made::guest("good")).unwrap();
    // The second one is tried below.
    let mut tried: BTreeSet<String> = ["good", LEAVER].map(str::to_owned).into();
    for (name, why) in AT_LOAD {
        let told = load(&host, &made::guest(name)).err().unwrap_or_default();
        println!("{name}: {told}");
        assert!(told.starts_with(why), "{name}: {told}");
        assert_eq!(handle(&mut honest), Ok(Effects::default()), "after {name}");
        tried.insert(name.to_owned());
    }
    for (name, why) in AT_A_BATCH {
        let mut plugin = load(&host, &made::guest(name)).unwrap();
        let told = handle(&mut plugin).err().unwrap_or_default();
        println!("{name}: {told}");
        assert!(told.starts_with(why), "{name}: {told}");
        assert_eq!(handle(&mut plugin).err(), Some(told), "{name}: a fresh guest, the same end");
        assert_eq!(handle(&mut honest), Ok(Effects::default()), "after {name}");
        tried.insert(name.to_owned());
    }
    assert_eq!(tried.into_iter().collect::<Vec<_>>(), made::names(), "each guest is tried");
}

#[test]
fn what_a_guest_leaves_in_its_memory_and_tables_is_not_there_for_the_next_one() {
    let host = host();
    let mut leaver = load(&host, &made::guest(LEAVER)).unwrap();
    let mut other = load(&host, &made::guest(LEAVER)).unwrap();
    let mut trapping = load(&host, &made::guest("handle-traps")).unwrap();
    for round in 0..5 {
        assert_eq!(handle(&mut leaver), Ok(Effects::default()), "round {round}");
        assert_eq!(handle(&mut other), Ok(Effects::default()), "round {round}");
        assert!(handle(&mut trapping).is_err());
    }
}

#[test]
fn many_small_memories_and_tables_count_as_one_large() {
    let host = host();
    let good = made::guest("good");
    let load = |module: &[u8], times| {
        load(&host, &made::with_more_instances(good.clone(), module, times)).err()
    };
    // 1 MB each: ten fit, twenty do not.
    assert_eq!(load(made::MEMORY, 10), None);
    let told = load(made::MEMORY, 20).unwrap();
    assert!(told.contains("limit `memory_bytes` of 16777216 exceeded"), "{told}");
    let told = load(made::TABLE, 20).unwrap();
    assert!(told.contains("limit `table_elements` of 100000 exceeded"), "{told}");
    let told = load(made::EMPTY, 500).unwrap();
    assert!(told.starts_with("plugin failed while it was loaded: "), "{told}");
    let told = load(made::EMPTY, 5_000).unwrap();
    assert!(told.contains("instances count exceeds limit of 1000"), "{told}");
}
