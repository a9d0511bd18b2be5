//! The folder that a new plugin begins with: the files of `plugins/template`, the SDK and the interface
//! as they are in this program, so that the folder needs nothing but public registries.

use crate::{
    command_error::CommandError,
    plugin_name::{self, check_plugin_name},
};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Files as they are, by their place in the folder.
const AS_THEY_ARE: [(&str, &str); 10] = [
    ("src/lib.rs", include_str!("../../../plugins/template/src/lib.rs")),
    (".gitignore", include_str!("../../../plugins/template/folder/gitignore")),
    ("wit/headcount-plugin.wit", include_str!("../../../wit/headcount-plugin.wit")),
    ("wit/headcount-outbox.wit", include_str!("../../../wit/headcount-outbox.wit")),
    ("sdk/rust/Cargo.toml", include_str!("../../../plugins/sdk/Cargo.toml")),
    ("sdk/rust/src/lib.rs", include_str!("../../../plugins/sdk/src/lib.rs")),
    ("sdk/rust/src/describe.rs", include_str!("../../../plugins/sdk/src/describe.rs")),
    ("sdk/rust/src/guest.rs", include_str!("../../../plugins/sdk/src/guest.rs")),
    ("sdk/rust/src/outbox.rs", include_str!("../../../plugins/sdk/src/outbox.rs")),
    ("sdk/rust/src/rows.rs", include_str!("../../../plugins/sdk/src/rows.rs")),
];
/// One more, for tests of plugins.
const FAKE_HOST: (&str, &str) =
    ("sdk/rust/src/fake.rs", include_str!("../../../plugins/sdk/src/fake.rs"));

/// Files with the plugin's name or the toolchain to be filled in.
const FILLED_IN: [(&str, &str); 3] = [
    ("Cargo.toml", include_str!("../../../plugins/template/folder/Cargo.toml")),
    ("README.md", include_str!("../../../plugins/template/folder/README.md")),
    ("rust-toolchain.toml", include_str!("../../../plugins/template/folder/rust-toolchain.toml")),
];
/// Names the toolchain that the SDK is tested with.
const TOOLCHAIN: &str = include_str!("../../../rust-toolchain.toml");
/// The versions that the SDK is tested with.
const LOCK: &str = include_str!("../../../plugins/Cargo.lock");
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

/// Refuses what names no plugin, or no Rust crate.
pub(crate) fn check_crate_name(name: &str) -> Result<(), CommandError> {
    let refused = |error: String, hint: &str| {
        CommandError::usage(error).context("wrong name of a plugin").hint(hint)
    };
    check_plugin_name(name).map_err(|error| refused(error, plugin_name::HINT))?;
    let module = name.replace('-', "_").to_ascii_lowercase();
    let is_dependency = packages()
        .any(|package| !is_ours(package) && package_name(package).replace('-', "_") == module);
    if RESERVED.contains(&module.as_str()) || is_dependency || module == SDK.replace('-', "_") {
        let why = format!("`{name}` is a word of Rust, or a crate that every plugin is built with");
        return Err(refused(why, "take another one, for example `my-plugin`"));
    }
    Ok(())
}

/// Writes the folder, which must not exist or be empty. Returns the files, in order.
pub(crate) fn write_folder(folder: &Path, name: &str) -> Result<Vec<PathBuf>, CommandError> {
    check_is_free(folder)?;
    let mut written = Vec::new();
    for (place, text) in files(name) {
        let path = folder.join(place);
        let parent = path.parent().unwrap_or(folder);
        fs::create_dir_all(parent).and_then(|()| fs::write(&path, text)).map_err(|error| {
            CommandError::local_io(format!("writing {}", path.display()), error)
        })?;
        written.push(path);
    }
    Ok(written)
}

fn check_is_free(folder: &Path) -> Result<(), CommandError> {
    let taken = |why: &str| {
        CommandError::usage(why)
            .context(format!("{} cannot be the new plugin's folder", folder.display()))
            .hint("name another one with --dir, or remove it")
    };
    match fs::read_dir(folder) {
        Ok(mut entries) => match entries.next() {
            Some(_) => Err(taken("it is there and holds something, which would be overwritten")),
            None => Ok(()),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            Err(taken("it is there and is no folder"))
        }
        Err(error) => Err(CommandError::local_io(format!("reading {}", folder.display()), error)),
    }
}

/// Every file of the folder with its text.
fn files(name: &str) -> Vec<(&'static str, String)> {
    let channel = TOOLCHAIN.lines().find_map(|line| line.strip_prefix("channel = "));
    let channel = channel.map_or("stable", |channel| channel.trim_matches('"'));
    let fill = |text: &str| text.replace("CHANNEL", channel).replace("NAME", name);
    let mut files: Vec<(&str, String)> =
        FILLED_IN.iter().map(|(place, text)| (*place, fill(text))).collect();
    files.push(("Cargo.lock", lock(name)));
    let as_they_are = AS_THEY_ARE.iter().chain([&FAKE_HOST]);
    files.extend(as_they_are.map(|(place, text)| (*place, (*text).to_owned())));
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
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn the_folder_has_every_file_of_the_sdk_and_the_interface() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let folder = tempfile::tempdir().unwrap();
        write_folder(folder.path(), "big-payments").unwrap();
        for (ours, theirs) in [("plugins/sdk/src", "sdk/rust/src"), ("wit", "wit")] {
            for entry in fs::read_dir(root.join(ours)).unwrap() {
                let path = entry.unwrap().path();
                // The digests beside the interface are ours to keep.
                if path.extension().is_some_and(|extension| extension == "txt") {
                    continue;
                }
                let copy = folder.path().join(theirs).join(path.file_name().unwrap());
                let copy = fs::read_to_string(&copy).unwrap();
                assert_eq!(copy, fs::read_to_string(&path).unwrap(), "{}", path.display());
            }
        }
        let manifest = fs::read_to_string(folder.path().join("Cargo.toml")).unwrap();
        assert!(manifest.contains("name = \"big-payments\""), "{manifest}");
        let toolchain = fs::read_to_string(folder.path().join("rust-toolchain.toml")).unwrap();
        assert!(toolchain.contains("channel = \"1.") && toolchain.contains("wasm32-wasip2"));
    }

    #[test]
    fn the_lock_file_has_the_plugin_and_the_sdk_and_no_other_package_of_ours() {
        let lock = lock("big-payments");
        let ours = lock.split("\n[[package]]").filter(|package| is_ours(package)).skip(1);
        let ours: Vec<&str> = ours.map(package_name).collect();
        assert_eq!(ours, ["big-payments", SDK]);
        assert!(lock.starts_with("# This file is automatically @generated by Cargo."), "{lock}");
    }

    #[test]
    fn a_folder_in_use_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("mine");
        fs::write(&file, "precious").unwrap();
        let error = write_folder(folder.path(), "p").unwrap_err().to_string();
        assert!(error.contains("holds something") && error.contains("\nhint: "), "{error}");
        let error = write_folder(&file, "p").unwrap_err().to_string();
        assert!(error.contains("no folder"), "{error}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_names_no_crate_is_refused() {
        for name in ["", "1st", "a b", "../x", "self", "Test", "std", "wit-bindgen", SDK] {
            let error = check_crate_name(name).unwrap_err().to_string();
            assert!(error.contains("\ncaused by: ") && error.contains("\nhint: "), "{error}");
        }
        for name in ["payments", "erc20-balances", "A_1"] {
            assert!(check_crate_name(name).is_ok(), "{name}");
        }
    }
}
