//! The interface that plugins are built against does not change under its version.

use crate::{guests::host, made::guest};
use headcount_host::{Grants, HostGrant, Limits, LoadError};
use sha2::{Digest, Sha256};
use std::fs;

/// Where the interface is.
const WIT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../wit");

/// The interface without comments and layout: what a plugin is compiled from.
fn meaning(interface: &str) -> String {
    let code = interface.lines().map(|line| line.split("//").next().unwrap_or_default());
    code.flat_map(str::split_whitespace).collect::<Vec<_>>().join(" ")
}

fn digest(interface: &str) -> String {
    alloy_primitives::hex::encode(Sha256::digest(meaning(interface)))
}

#[test]
fn a_published_interface_is_never_edited() {
    let frozen = fs::read_to_string(format!("{WIT}/frozen.txt")).unwrap();
    let mut files: Vec<_> = fs::read_dir(WIT).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "wit"));
    assert_eq!(files.len(), 3, "{files:?}");
    for path in files {
        let wit = fs::read_to_string(&path).unwrap();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let version = wit.lines().find_map(|line| line.strip_prefix("package headcount:plugin@"));
        let version = version.unwrap().trim_end_matches(';');
        let found = format!("{name} {version} {}", digest(&wit));
        assert!(
            frozen.lines().any(|line| line == found),
            "wit/{name}.wit says something else than when {version} was frozen: \
             wit/frozen.txt says what to do; now it is\n{found}"
        );
    }
    let wit = fs::read_to_string(format!("{WIT}/headcount-plugin.wit")).unwrap();
    // Words may be made clearer; shapes may not.
    assert_eq!(digest(&wit), digest(&wit.replace("/// Pure:", "/// Really pure:")));
    assert_ne!(digest(&wit), digest(&wit.replace("attempt: u32", "attempt: u64")));
}

/// Kept as they were built: one before the outbox was there, one with it, one with HTTP too.
#[test]
fn components_that_were_built_against_what_is_frozen_still_load() {
    let hosts = || vec![HostGrant::parse("names.example", false).unwrap()];
    let grants = || Grants::sinks(["ops".to_owned()]).with_hosts(hosts());
    for (name, config, imports) in [
        ("good", "{}", "log,output,state"),
        ("sender-0.1.0", "{\"sink\":\"ops\"}", "log,outbox,output,state"),
        ("fetcher-0.1.0", "{\"url\":\"https://names.example/\"}", "http,log,outbox,output,state"),
    ] {
        let bytes = guest(name);
        let loaded = host().load_granted(&bytes, config, Limits::default(), grants()).unwrap();
        let own = loaded.imports().iter().filter_map(|name| name.strip_prefix("headcount:plugin/"));
        let own: Vec<&str> = own.filter_map(|name| name.strip_suffix("@0.1.0")).collect();
        let used: Vec<&str> = imports.split(',').collect();
        assert!(own.iter().all(|name| used.contains(name) || *name == "types"), "{own:?}");
        for capability in ["outbox", "http"] {
            assert_eq!(own.contains(&capability), used.contains(&capability), "{own:?}");
        }
    }
    let refused = |name: &str, config: &str, grants: Grants| {
        let loaded = host().load_granted(&guest(name), config, Limits::default(), grants);
        loaded.unwrap_err().to_string()
    };
    let error = refused("sender-0.1.0", "{\"sink\":\"ops\"}", Grants::default());
    assert!(error.contains("sink `ops` is not granted"), "{error}");
    let elsewhere = "{\"url\":\"https://names.example:444/\"}";
    let error = refused("fetcher-0.1.0", elsewhere, grants());
    assert!(error.contains("the host of `url` is not granted"), "{error}");
    let error = refused("fetcher-0.1.0", elsewhere, Grants::default());
    assert!(error.contains("no host is granted to it"), "{error}");
}

#[test]
fn a_component_for_another_interface_version_is_told_so_in_plain_words() {
    for version in ["0.0.9", "0.2.0", "1.0.0"] {
        let bytes = guest(&format!("interface-{version}"));
        let error = host().load(&bytes, "{}", Limits::default()).unwrap_err();
        assert!(matches!(error, LoadError::Version { .. }), "{error}");
        let told = error.to_string();
        for word in [&format!("@{version}")[..], "headcount:plugin@0.1", "rebuild the plugin"] {
            assert!(told.contains(word), "`{word}` is not said: {told}");
        }
    }
}
