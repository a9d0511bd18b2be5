//! The folder of a plugin in Rust, with a lock file of the versions that the SDK is tested with.

use super::{AsItIs, File, filled};

/// Files as they are, by their place in the folder.
const AS_THEY_ARE: [AsItIs; 10] = [
    ("src/lib.rs", include_str!("../../../../plugins/template/src/lib.rs")),
    (".gitignore", include_str!("../../../../plugins/template/folder/gitignore")),
    ("sdk/rust/Cargo.toml", include_str!("../../../../plugins/sdk/Cargo.toml")),
    ("sdk/rust/src/lib.rs", include_str!("../../../../plugins/sdk/src/lib.rs")),
    ("sdk/rust/src/describe.rs", include_str!("../../../../plugins/sdk/src/describe.rs")),
    ("sdk/rust/src/guest.rs", include_str!("../../../../plugins/sdk/src/guest.rs")),
    ("sdk/rust/src/http.rs", include_str!("../../../../plugins/sdk/src/http.rs")),
    ("sdk/rust/src/outbox.rs", include_str!("../../../../plugins/sdk/src/outbox.rs")),
    ("sdk/rust/src/rows.rs", include_str!("../../../../plugins/sdk/src/rows.rs")),
    ("sdk/rust/src/fake.rs", include_str!("../../../../plugins/sdk/src/fake.rs")),
];

/// Files with the plugin's name or the toolchain to be filled in.
const FILLED_IN: [AsItIs; 3] = [
    ("Cargo.toml", include_str!("../../../../plugins/template/folder/Cargo.toml")),
    ("README.md", include_str!("../../../../plugins/template/folder/README.md")),
    (
        "rust-toolchain.toml",
        include_str!("../../../../plugins/template/folder/rust-toolchain.toml"),
    ),
];
/// Names the toolchain that the SDK is tested with.
const TOOLCHAIN: &str = include_str!("../../../../rust-toolchain.toml");
/// The versions that the SDK is tested with.
const LOCK: &str = include_str!("../../../../plugins/Cargo.lock");
/// The SDK's package.
const SDK: &str = "headcount-plugin-sdk";

/// Names that are good for a plugin and that Rust or cargo keeps for itself.
const RESERVED: [&str; 60] = [
    "abstract",
    "alloc",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "build",
    "const",
    "continue",
    "core",
    "crate",
    "deps",
    "do",
    "dyn",
    "else",
    "enum",
    "examples",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "incremental",
    "let",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "override",
    "priv",
    "proc_macro",
    "pub",
    "ref",
    "return",
    "self",
    "static",
    "std",
    "struct",
    "super",
    "test",
    "trait",
    "true",
    "try",
    "type",
    "typeof",
    "union",
    "unsafe",
    "unsized",
    "use",
    "virtual",
    "where",
    "while",
];

/// Whether Rust or cargo keeps a name for itself.
pub(super) fn is_taken(name: &str) -> bool {
    let module = name.replace('-', "_").to_ascii_lowercase();
    let is_dependency = packages()
        .any(|package| !is_ours(package) && package_name(package).replace('-', "_") == module);
    RESERVED.contains(&module.as_str()) || is_dependency || module == SDK.replace('-', "_")
}

/// Every file of the folder with its text.
pub(super) fn files(name: &str) -> Vec<File> {
    let channel = TOOLCHAIN.lines().find_map(|line| line.strip_prefix("channel = "));
    let channel = channel.map_or("stable", |channel| channel.trim_matches('"'));
    let words = [("CHANNEL", channel), ("NAME", name)];
    let mut files: Vec<File> = FILLED_IN.iter().map(|file| filled(*file, &words)).collect();
    files.push(("Cargo.lock", lock(name)));
    files.extend(AS_THEY_ARE.iter().map(|file| filled(*file, &[])));
    files
}

/// Our lock file with this one plugin in it instead of ours.
fn lock(name: &str) -> String {
    let plugin = format!(
        "[[package]]\nname = \"{name}\"\nversion = \"0.1.0\"\ndependencies = [\n \"{SDK}\",\n]\n"
    );
    let kept = packages().filter(|package| !is_ours(package) || package_name(package) == SDK);
    let mut kept: Vec<String> = kept.map(|text| format!("{}\n", text.trim_end())).collect();
    kept.push(plugin);
    kept.sort_by(|a, b| package_name(a).cmp(package_name(b)));
    let head = LOCK.split("[[package]]").next().unwrap_or_default();
    format!("{head}{}", kept.join("\n"))
}

fn packages() -> impl Iterator<Item = &'static str> {
    let starts = LOCK.match_indices("[[package]]").map(|(at, _)| at);
    let ends = LOCK.match_indices("[[package]]").map(|(at, _)| at).skip(1).chain([LOCK.len()]);
    starts.zip(ends).map(|(start, end)| &LOCK[start..end])
}

/// Whether a package of the lock file comes from no registry.
fn is_ours(package: &str) -> bool {
    !package.contains("\nsource = ")
}

fn package_name(package: &str) -> &str {
    let line = package.lines().find_map(|line| line.strip_prefix("name = "));
    line.unwrap_or_default().trim_matches('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_file_has_the_plugin_and_the_sdk_and_no_other_package_of_ours() {
        let lock = lock("big-payments");
        let ours = lock.split("\n[[package]]").filter(|package| is_ours(package)).skip(1);
        let ours: Vec<&str> = ours.map(package_name).collect();
        assert_eq!(ours, ["big-payments", SDK]);
        assert!(lock.starts_with("# This file is automatically @generated by Cargo."), "{lock}");
    }

    #[test]
    fn the_toolchain_is_the_one_that_the_sdk_is_tested_with() {
        let files = files("big-payments");
        let (_, text) =
            files.iter().find(|(place, _)| *place == "rust-toolchain.toml").expect("one");
        assert!(text.contains("channel = \"1.") && text.contains("wasm32-wasip2"), "{text}");
    }

    #[test]
    fn the_name_of_the_sdk_is_taken() {
        assert!(is_taken(SDK) && is_taken("wit-bindgen") && !is_taken("payments"));
    }
}
