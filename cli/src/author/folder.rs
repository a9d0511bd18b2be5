//! The folder that a new plugin begins with: the files of a template, the SDK and the interface as they are
//! in this program, so that the folder needs nothing but public registries.

mod js;
mod python;
mod rust;

use super::Language;
use crate::{
    command_error::CommandError,
    plugin_name::{self, check_plugin_name},
};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// A file by its place in the folder, with its text.
type File = (&'static str, String);
/// One that goes into the folder as it is.
type AsItIs = (&'static str, &'static str);

/// The interface, whatever the language.
const INTERFACE: [AsItIs; 3] = [
    ("wit/headcount-plugin.wit", include_str!("../../../wit/headcount-plugin.wit")),
    ("wit/headcount-outbox.wit", include_str!("../../../wit/headcount-outbox.wit")),
    ("wit/headcount-http.wit", include_str!("../../../wit/headcount-http.wit")),
];

/// Refuses what names no plugin, or nothing in its language.
pub(crate) fn check_name(language: Language, name: &str) -> Result<(), CommandError> {
    let refused = |error: String, hint: &str| {
        CommandError::usage(error).context("wrong name of a plugin").hint(hint)
    };
    check_plugin_name(name).map_err(|error| refused(error, plugin_name::HINT))?;
    if language == Language::Rust && rust::is_taken(name) {
        let why = format!("`{name}` is a word of Rust, or a crate that every plugin is built with");
        return Err(refused(why, "take another one, for example `my-plugin`"));
    }
    Ok(())
}

/// Writes the folder, which must not exist or be empty. Returns the files, in order.
pub(crate) fn write_folder(
    folder: &Path,
    language: Language,
    name: &str,
) -> Result<Vec<PathBuf>, CommandError> {
    check_is_free(folder)?;
    let files = match language {
        Language::Rust => rust::files(name),
        Language::Js => js::files(name),
        Language::Python => python::files(name),
    };
    let mut written = Vec::new();
    for (place, text) in files.into_iter().chain(INTERFACE.map(|file| filled(file, &[]))) {
        let path = folder.join(place);
        let parent = path.parent().unwrap_or(folder);
        fs::create_dir_all(parent).and_then(|()| fs::write(&path, text)).map_err(|error| {
            CommandError::local_io(format!("writing {}", path.display()), error)
        })?;
        written.push(path);
    }
    Ok(written)
}

/// Returns a file with each word in it replaced.
fn filled((place, text): AsItIs, words: &[(&str, &str)]) -> File {
    let text = words.iter().fold(text.to_owned(), |text, (word, by)| text.replace(word, by));
    (place, text)
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    /// Each folder of ours, and where its files are in a new plugin's folder.
    const COPIES: [(Language, &str, &str); 6] = [
        (Language::Rust, "plugins/sdk/src", "sdk/rust/src"),
        (Language::Rust, "wit", "wit"),
        (Language::Js, "plugins/sdk-js", "sdk/js"),
        (Language::Js, "wit", "wit"),
        (Language::Python, "plugins/sdk-python/headcount_plugin", "headcount_plugin"),
        (Language::Python, "wit", "wit"),
    ];

    #[test]
    fn the_folder_has_every_file_of_the_sdk_and_the_interface() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        for (language, ours, theirs) in COPIES {
            let folder = tempfile::tempdir().unwrap();
            write_folder(folder.path(), language, "big-payments").unwrap();
            for entry in fs::read_dir(root.join(ours)).unwrap() {
                let path = entry.unwrap().path();
                // The digests beside the interface are ours to keep, and what Python compiled is nobody's.
                if path.is_dir() || path.extension().is_some_and(|extension| extension == "txt") {
                    continue;
                }
                let copy = folder.path().join(theirs).join(path.file_name().unwrap());
                let copy = fs::read_to_string(&copy).unwrap();
                assert_eq!(copy, fs::read_to_string(&path).unwrap(), "{}", path.display());
            }
        }
    }

    #[test]
    fn the_name_is_filled_in_and_nothing_leads_out_of_the_folder() {
        for (language, file, line) in [
            (Language::Rust, "Cargo.toml", "name = \"big-payments\""),
            (Language::Js, "plugin.js", "name: 'big-payments'"),
            (Language::Python, "plugin.py", "Plugin(\"big-payments\""),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let files = write_folder(folder.path(), language, "big-payments").unwrap();
            let text = fs::read_to_string(folder.path().join(file)).unwrap();
            assert!(text.contains(line), "{text}");
            for file in files {
                let text = fs::read_to_string(&file).unwrap();
                let mut words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
                assert!(!words.any(|word| word == "NAME"), "{}: {text}", file.display());
            }
            assert_eq!(Language::of_folder(folder.path()).unwrap(), language);
        }
    }

    #[test]
    fn a_folder_in_use_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("mine");
        fs::write(&file, "precious").unwrap();
        let error = write_folder(folder.path(), Language::Js, "p").unwrap_err().to_string();
        assert!(error.contains("holds something") && error.contains("\nhint: "), "{error}");
        let error = write_folder(&file, Language::Js, "p").unwrap_err().to_string();
        assert!(error.contains("no folder"), "{error}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_names_nothing_in_its_language_is_refused() {
        for name in ["", "1st", "a b", "../x", "self", "Test", "std", "wit-bindgen"] {
            let error = check_name(Language::Rust, name).unwrap_err().to_string();
            assert!(error.contains("\ncaused by: ") && error.contains("\nhint: "), "{error}");
        }
        for name in ["payments", "erc20-balances", "A_1"] {
            assert!(check_name(Language::Rust, name).is_ok(), "{name}");
        }
        assert!(check_name(Language::Js, "self").is_ok());
        assert!(check_name(Language::Python, "a b").is_err());
    }
}
