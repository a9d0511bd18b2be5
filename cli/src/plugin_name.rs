//! Names that an operator gives to plugins: they become SQL schemas, with `_` for `-`.

use crate::contract_spec::is_word_of_sql;

/// Longest name, in characters.
const NAME_MAX_CHARS: usize = 64;

/// What to write instead of a name that is refused.
pub(crate) const HINT: &str =
    "a plugin's name is a letter, then at most 63 letters, digits, `-` and `_`, and no word of SQL";

/// Refuses what would have to be quoted in SQL.
pub(crate) fn check_plugin_name(name: &str) -> Result<(), String> {
    let is_name = name.len() <= NAME_MAX_CHARS
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
    if store::is_reserved_schema(name) {
        return Err(format!("`{name}` cannot name a plugin: DuckDB or the ledger has that name"));
    }
    if is_word_of_sql(&name.replace('-', "_")) {
        return Err(format!(
            "`{name}` cannot name a plugin: it is a word of SQL, or of the ledger"
        ));
    }
    match is_name {
        true => Ok(()),
        false => Err(format!("`{name}` cannot name a plugin")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_good_in_sql() {
        for name in ["bal", "erc20-balances", "A_1"] {
            assert!(check_plugin_name(name).is_ok(), "{name}");
        }
        for name in [
            "main",
            "Memory",
            "pg-catalog",
            "headcount_typed",
            "headcount",
            "Select",
            "pivot-wider",
            "logs",
            "",
            "1st",
            "-a",
            "a.b",
            "a b",
            "ä",
            &"a".repeat(65),
        ] {
            assert!(check_plugin_name(name).is_err(), "{name}");
        }
    }
}
