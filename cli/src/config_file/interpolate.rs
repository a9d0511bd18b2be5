//! `${VAR}` and `${file:/run/secrets/x}` in a value.

use crate::environment::Environment;
use std::{fs, path::Path};

/// Largest secret file, in bytes.
const SECRET_FILE_MAX_BYTES: u64 = 64 << 10;

/// A value after filling in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Filled {
    /// The value.
    pub(super) text: String,
    /// Whether something was filled in: then the value is not shown in a message.
    pub(super) is_secret: bool,
}

/// Fills in variables and files; a relative file is seen from `base`. `$${` is a plain `${`.
pub(super) fn fill_in(
    value: &str,
    base: &Path,
    environment: &Environment,
) -> Result<Filled, String> {
    let mut filled = Filled { text: String::with_capacity(value.len()), is_secret: false };
    let mut rest = value;
    while let Some(at) = rest.find("${") {
        if rest[..at].ends_with('$') {
            filled.text.push_str(&rest[..at]);
            filled.text.push('{');
            rest = &rest[at + 2..];
            continue;
        }
        filled.text.push_str(&rest[..at]);
        let after = &rest[at + 2..];
        let end = after.find('}').ok_or("`${` without a `}`")?;
        filled.text.push_str(&look_up(&after[..end], base, environment)?);
        filled.is_secret = true;
        rest = &after[end + 1..];
    }
    filled.text.push_str(rest);
    Ok(filled)
}

fn look_up(name: &str, base: &Path, environment: &Environment) -> Result<String, String> {
    let Some(file) = name.strip_prefix("file:") else {
        let shown = name.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        if let Some(end) = shown {
            // What follows may be a key, typed as a shell's default.
            let name = &name[..end];
            return Err(format!(
                "`${{{name}...}}` names no variable: only `${{NAME}}` and `${{file:PATH}}` are filled in"
            ));
        }
        let value = environment.variable(name);
        return value.map(str::to_owned).ok_or_else(|| format!("`${{{name}}}` is not set"));
    };
    let wrong = |reason: String| format!("`${{{name}}}` cannot be read: {reason}");
    let path = base.join(file);
    let size = fs::metadata(&path).map_err(|error| wrong(error.to_string()))?.len();
    if size > SECRET_FILE_MAX_BYTES {
        return Err(wrong("it is larger than 64 KiB".to_owned()));
    }
    let text = fs::read_to_string(&path).map_err(|error| wrong(error.to_string()))?;
    // Editors and `echo` end a file with a line break that is not part of the secret.
    Ok(text.trim_end_matches(['\n', '\r']).to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn variables_and_files_are_filled_in_and_missing_ones_told() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("key"), "K\n").unwrap();
        let environment = Environment::for_test(dir.path(), &[("A", "1"), ("EMPTY", "")]);
        let fill = |text| fill_in(text, dir.path(), &environment);
        assert_eq!(fill("x${A}y${file:key}").unwrap().text, "x1yK");
        assert_eq!(fill("$${A} $5").unwrap(), Filled { text: "${A} $5".into(), is_secret: false });
        assert!(fill("${B}").unwrap_err().contains("`${B}` is not set"));
        assert!(fill("${EMPTY}").is_err());
        let defaulted = fill("${B:-sk_live_1}").unwrap_err();
        assert!(defaulted.contains("`${B...}` names no variable"), "{defaulted}");
        assert!(!defaulted.contains("sk_live"), "{defaulted}");
        assert!(fill("${file:gone}").unwrap_err().contains("cannot be read"));
        assert!(fill("${A").is_err());
    }
}
