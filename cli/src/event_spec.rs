//! Which events: signatures and ABI files, told apart and looked over. `abi` reads what is in them.

use std::{
    fmt,
    path::{Path, PathBuf},
};

/// An event as typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum EventSpec {
    /// `Transfer(address indexed from, address indexed to, uint256 value)`.
    Signature(String),
    /// An ABI file, and one event of it or all.
    Abi {
        /// File.
        path: PathBuf,
        /// Name or signature of one event.
        event: Option<String>,
    },
}

/// Why a text is not an event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an event: {reason}")]
pub(crate) struct EventSpecError {
    /// What was given.
    pub(crate) text: String,
    /// Why.
    pub(crate) reason: &'static str,
}

impl EventSpecError {
    /// What to type instead.
    pub(crate) const HINT: &str = "write a signature with argument names, \"Transfer(address \
         indexed from, address indexed to, uint256 value)\", or an ABI file, abi.json or \
         abi.json:Transfer";
}

impl EventSpec {
    /// Parses a signature or `FILE.json[:EVENT]`; a relative path is seen from `base`.
    pub(crate) fn parse(text: &str, base: &Path) -> Result<Self, EventSpecError> {
        let trimmed = text.trim();
        let wrong = |reason| Err(EventSpecError { text: text.to_owned(), reason });
        if trimmed.is_empty() {
            return wrong("nothing is there");
        }
        if let Some(abi) = abi_file(trimmed, base) {
            return Ok(abi);
        }
        let signature = trimmed.strip_prefix("event ").unwrap_or(trimmed);
        let signature = signature.trim().trim_end_matches(';').trim_end();
        let Some((name, arguments)) = signature.split_once('(') else {
            return wrong("it has neither arguments in parentheses nor the name of a .json file");
        };
        let is_first = |c: char| c.is_ascii_alphabetic() || matches!(c, '_' | '$');
        if !name.starts_with(is_first) || !name.chars().all(|c| is_first(c) || c.is_ascii_digit()) {
            return wrong("the name must be letters, digits, `_` and `$`");
        }
        let arguments = arguments.strip_suffix("anonymous").map_or(arguments, str::trim_end);
        if !is_balanced(arguments) {
            return wrong("its parentheses do not match");
        }
        Ok(Self::Signature(signature.to_owned()))
    }
}

impl fmt::Display for EventSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signature(signature) => f.write_str(signature),
            Self::Abi { path, event: Some(event) } => write!(f, "{}:{event}", path.display()),
            Self::Abi { path, event: None } => write!(f, "{}", path.display()),
        }
    }
}

/// `abi.json`, `dir/abi.json:Transfer`, or `abi.json:Transfer(address,address,uint256)`.
fn abi_file(text: &str, base: &Path) -> Option<EventSpec> {
    const EXTENSION: &str = ".json";
    let end = match text.find(".json:") {
        Some(at) => at + EXTENSION.len(),
        None if text.ends_with(EXTENSION) => text.len(),
        None => return None,
    };
    let event = text[end..].strip_prefix(':').map(str::to_owned).filter(|name| !name.is_empty());
    Some(EventSpec::Abi { path: base.join(&text[..end]), event })
}

/// Whether the parenthesis that was opened before `text` is closed by its last character.
fn is_balanced(text: &str) -> bool {
    let mut depth = 1_i32;
    for (at, c) in text.char_indices() {
        depth += match c {
            '(' => 1,
            ')' => -1,
            _ => 0,
        };
        if depth == 0 {
            return at + 1 == text.len();
        }
    }
    false
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn signatures_and_abi_files_are_told_apart() {
        let base = Path::new("/base");
        let abi = |event: Option<&str>| EventSpec::Abi {
            path: "/base/a/abi.json".into(),
            event: event.map(str::to_owned),
        };
        assert_eq!(EventSpec::parse("a/abi.json", base).unwrap(), abi(None));
        assert_eq!(EventSpec::parse("a/abi.json:X", base).unwrap(), abi(Some("X")));
        assert_eq!(
            EventSpec::parse(" event T(address indexed a, (uint8,bytes)[] b);", base).unwrap(),
            EventSpec::Signature("T(address indexed a, (uint8,bytes)[] b)".into())
        );
        assert!(EventSpec::parse("A() anonymous", base).is_ok());
        for text in ["", "Transfer", "T(", "T(a))", "T(a)b", "9T(a)", "a b(c)"] {
            assert!(EventSpec::parse(text, base).is_err(), "{text}");
        }
    }
}
