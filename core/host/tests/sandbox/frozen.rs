//! The interface that plugins are built against does not change under its version.

use crate::{guests::host, made::guest};
use headcount_host::{Limits, LoadError};
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
    let wit = fs::read_to_string(format!("{WIT}/headcount-plugin.wit")).unwrap();
    let frozen = fs::read_to_string(format!("{WIT}/frozen.txt")).unwrap();
    let version = wit.lines().find_map(|line| line.strip_prefix("package headcount:plugin@"));
    let version = version.unwrap().trim_end_matches(';');
    let found = format!("{version} {}", digest(&wit));
    assert!(
        frozen.lines().any(|line| line == found),
        "wit/headcount-plugin.wit says something else than when {version} was frozen: \
         wit/frozen.txt says what to do; now it is\n{found}"
    );
    // Words may be made clearer; shapes may not.
    assert_eq!(digest(&wit), digest(&wit.replace("/// Pure:", "/// Really pure:")));
    assert_ne!(digest(&wit), digest(&wit.replace("attempt: u32", "attempt: u64")));
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
