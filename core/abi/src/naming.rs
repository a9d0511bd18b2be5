//! Names of schemas, tables and columns. The rules are in the crate's documentation; they depend
//! on what is declared, not on the order in which it was given.

use crate::AbiError;
use alloy_primitives::{B256, hex};
use std::collections::HashSet;

/// Longest name; the limit of other SQL databases that a ledger may be copied to.
const NAME_CHARS: usize = 63;
/// Schemas that DuckDB or the ledger has already.
const RESERVED: [&str; 5] = ["main", "temp", "system", "information_schema", "pg_catalog"];

/// Names given out so far, without case.
#[derive(Debug, Default)]
pub(crate) struct Taken(HashSet<String>);

impl Taken {
    /// Takes `name` if no other has it.
    pub(crate) fn take(&mut self, name: &str) -> bool {
        self.0.insert(name.to_lowercase())
    }
}

/// Checks a contract's name, which is used as it is.
pub(crate) fn check_contract(name: &str, taken: &mut Taken) -> Result<(), AbiError> {
    let wrong = |cause| Err(AbiError::ContractName { name: name.to_owned(), cause });
    if name.is_empty() || name.chars().count() > NAME_CHARS {
        return wrong("must have 1 to 63 characters");
    }
    if !name.chars().all(is_allowed) {
        return wrong("must be made of letters, digits, `_` and `$`");
    }
    if RESERVED.contains(&name.to_lowercase().as_str()) {
        return wrong("is reserved");
    }
    if !taken.take(name) {
        return wrong("is used twice");
    }
    Ok(())
}

/// Returns an event's table. `signature` and `declaration` are hashes of the signature and of the
/// declaration with its `indexed`; callers go by signature.
pub(crate) fn table(
    event: &str,
    signature: &B256,
    declaration: &B256,
    taken: &mut Taken,
) -> String {
    let plain = clean(event);
    if taken.take(&plain) {
        return plain;
    }
    let hashed = [signature, declaration].map(|hash| hex::encode(&hash[..2]));
    for suffix in hashed {
        let name = with_suffix(&plain, &suffix);
        if taken.take(&name) {
            return name;
        }
    }
    numbered(&plain, taken)
}

/// Returns the column of an argument.
pub(crate) fn column(argument: &str, position: usize, taken: &mut Taken) -> String {
    let mut name = match clean(argument) {
        empty if empty.is_empty() => format!("arg{position}"),
        name => name,
    };
    if name.starts_with('_') {
        name.truncate(NAME_CHARS - 1);
        name.push('_');
    }
    if taken.take(&name) { name } else { numbered(&name, taken) }
}

fn numbered(name: &str, taken: &mut Taken) -> String {
    (2u32..)
        .map(|number| with_suffix(name, &number.to_string()))
        .find(|name| taken.take(name))
        .expect("an event has fewer arguments than there are numbers")
}

fn with_suffix(name: &str, suffix: &str) -> String {
    let room = NAME_CHARS - 1 - suffix.len();
    format!("{}_{suffix}", &name[..name.len().min(room)])
}

/// Solidity allows no other characters, but an ABI file may hold anything.
fn clean(name: &str) -> String {
    name.chars().take(NAME_CHARS).map(|c| if is_allowed(c) { c } else { '_' }).collect()
}

fn is_allowed(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '$'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_that_differ_only_in_case_or_have_no_name_are_told_apart() {
        let mut taken = Taken::default();
        let names: Vec<String> = ["from", "From", "", "FROM", "arg2", "_block", "_", "a b"]
            .iter()
            .enumerate()
            .map(|(position, name)| column(name, position, &mut taken))
            .collect();
        let expected = ["from", "From_2", "arg2", "FROM_3", "arg2_2", "_block_", "__", "a_b"];
        assert_eq!(names, expected);
    }

    #[test]
    fn names_are_cut_to_63_characters_and_stay_apart() {
        let mut taken = Taken::default();
        let long = "x".repeat(100);
        let names: Vec<String> = (0..12).map(|at| column(&long, at, &mut taken)).collect();
        assert!(names.iter().all(|name| name.len() <= 63));
        assert_eq!(names.iter().collect::<HashSet<_>>().len(), 12);
        assert_eq!(column(&format!("_{long}"), 0, &mut taken).len(), 63);
    }

    #[test]
    fn a_contract_name_is_refused_when_reserved_repeated_or_odd() {
        let mut taken = Taken::default();
        assert!(check_contract("usdc", &mut taken).is_ok());
        for name in ["USDC", "main", "", "a-b", "ü"] {
            assert!(check_contract(name, &mut taken).is_err(), "{name}");
        }
    }
}
