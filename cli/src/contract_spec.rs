//! Which contracts: addresses with their checksums, and names that are good SQL schemas.

use alloy_primitives::{Address, hex};

/// Schema of the tables of events that are read from every contract: `logs.Transfer`.
///
/// Not `any`, which is a keyword in SQL and would have to be quoted in every query.
pub(crate) const ANY_CONTRACT: &str = "logs";

/// Longest name of a contract, in characters.
const NAME_MAX_CHARS: usize = 63;

/// Names that DuckDB or the ledger itself uses for schemas and files.
const TAKEN: [&str; 8] =
    ["main", "temp", "system", "information_schema", "pg_catalog", "duckdb", "headcount", "logs"];

/// Reserved words of DuckDB: a schema of this name would have to be quoted in every query.
const KEYWORDS: [&str; 76] = [
    "all",
    "analyse",
    "analyze",
    "and",
    "any",
    "array",
    "as",
    "asc",
    "asymmetric",
    "both",
    "case",
    "cast",
    "check",
    "collate",
    "column",
    "constraint",
    "create",
    "default",
    "deferrable",
    "desc",
    "describe",
    "distinct",
    "do",
    "else",
    "end",
    "except",
    "false",
    "fetch",
    "for",
    "foreign",
    "from",
    "group",
    "having",
    "in",
    "initially",
    "intersect",
    "into",
    "lambda",
    "lateral",
    "leading",
    "limit",
    "not",
    "null",
    "offset",
    "on",
    "only",
    "or",
    "order",
    "pivot",
    "pivot_longer",
    "pivot_wider",
    "placing",
    "primary",
    "qualify",
    "references",
    "returning",
    "select",
    "show",
    "some",
    "summarize",
    "symmetric",
    "table",
    "then",
    "to",
    "trailing",
    "true",
    "union",
    "unique",
    "unpivot",
    "using",
    "variadic",
    "when",
    "where",
    "window",
    "with",
    "schema",
];

/// Whether a schema of this name would have to be quoted in every query, or would mean something else.
pub(crate) fn is_word_of_sql(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    KEYWORDS.contains(&name.as_str()) || TAKEN.contains(&name.as_str())
}

/// A contract as given to `-c`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ContractSpec {
    /// An address and the name of its schema.
    Address {
        /// Schema.
        name: String,
        /// Contract.
        address: Address,
    },
    /// The name of a contract of the configuration file.
    Configured(String),
}

/// Why a text is not a contract.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ContractSpecError {
    /// Not 20 bytes of hex.
    #[error("`{text}` is not an address: {reason}")]
    Address {
        /// What was given.
        text: String,
        /// Why.
        reason: String,
    },
    /// EIP-55.
    #[error("`{text}` is not an address: its checksum is wrong, so a character is")]
    Checksum {
        /// What was given.
        text: String,
    },
    /// Not a schema.
    #[error("`{text}` cannot name a contract: {reason}")]
    Name {
        /// What was given.
        text: String,
        /// Why.
        reason: &'static str,
    },
}

impl ContractSpecError {
    /// Returns what to type instead.
    pub(crate) fn hint(&self) -> &'static str {
        match self {
            Self::Address { text, .. } if text.ends_with(".eth") => {
                "names are not looked up: give the address itself"
            }
            Self::Address { .. } => {
                "an address is 0x and 40 hex digits: -c usdc=0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48"
            }
            Self::Checksum { .. } => {
                "copy it again from where you have it; in lower case it is not checked"
            }
            Self::Name { .. } => {
                "the name becomes a SQL schema: letters, digits and `_`, no keyword, as in usdc=0x…"
            }
        }
    }
}

impl ContractSpec {
    /// Parses `[NAME=]ADDRESS`, or the bare name of a configured contract.
    pub(crate) fn parse(text: &str) -> Result<Self, ContractSpecError> {
        let text = text.trim();
        match text.split_once('=') {
            Some((name, address)) => {
                check_name(name)?;
                Ok(Self::Address { name: name.to_owned(), address: parse_address(address)? })
            }
            None if check_name(text).is_ok() && !text.starts_with("0x") => {
                Ok(Self::Configured(text.to_owned()))
            }
            None => {
                let address = parse_address(text)?;
                Ok(Self::Address { name: default_name(&address), address })
            }
        }
    }
}

/// Returns the schema of a contract that was given no name.
pub(crate) fn default_name(address: &Address) -> String {
    format!("c_{}", hex::encode(&address[..4]))
}

/// Parses an address. Mixed case is a checksum (EIP-55) and has to be right.
pub(crate) fn parse_address(text: &str) -> Result<Address, ContractSpecError> {
    let text = text.trim();
    let wrong = |reason: String| ContractSpecError::Address { text: text.to_owned(), reason };
    let digits = text
        .strip_prefix("0x")
        .or_else(|| text.strip_prefix("0X"))
        .ok_or_else(|| wrong("it does not start with 0x".to_owned()))?;
    if let Some(c) = digits.chars().find(|c| !c.is_ascii_hexdigit()) {
        return Err(wrong(format!("`{c}` is not a hex digit")));
    }
    if digits.len() != 40 {
        return Err(wrong(format!("it has {} hex digits, not 40", digits.len())));
    }
    let mut bytes = [0; 20];
    hex::decode_to_slice(digits, &mut bytes).map_err(|error| wrong(error.to_string()))?;
    let address = Address::from(bytes);
    let is_mixed = digits.contains(|c: char| c.is_ascii_lowercase())
        && digits.contains(|c: char| c.is_ascii_uppercase());
    if is_mixed && address.to_checksum(None)[2..] != *digits {
        return Err(ContractSpecError::Checksum { text: text.to_owned() });
    }
    Ok(address)
}

/// Whether `name` can be typed as a SQL schema without quotes and clashes with nothing of ours.
pub(crate) fn check_name(name: &str) -> Result<(), ContractSpecError> {
    let wrong = |reason| Err(ContractSpecError::Name { text: name.to_owned(), reason });
    let lower = name.to_ascii_lowercase();
    if name.is_empty() {
        return wrong("it is empty");
    }
    if name.chars().count() > NAME_MAX_CHARS {
        return wrong("it is longer than 63 characters");
    }
    if !name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    {
        return wrong("a name is letters, digits and `_`, and does not start with a digit");
    }
    if TAKEN.contains(&lower.as_str()) {
        return wrong("the ledger uses that name itself");
    }
    if KEYWORDS.contains(&lower.as_str()) {
        return wrong("it is a keyword of SQL");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const USDC: &str = "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48";

    #[test]
    fn a_contract_without_a_name_is_called_after_its_address() {
        let address = parse_address(USDC).unwrap();
        let parsed = ContractSpec::parse(USDC).unwrap();
        assert_eq!(parsed, ContractSpec::Address { name: "c_a0b86991".into(), address });
        let parsed = ContractSpec::parse(&format!("usdc={}", USDC.to_lowercase())).unwrap();
        assert_eq!(parsed, ContractSpec::Address { name: "usdc".into(), address });
        assert_eq!(ContractSpec::parse("usdc").unwrap(), ContractSpec::Configured("usdc".into()));
    }

    #[test]
    fn one_wrong_letter_in_a_checksummed_address_is_found() {
        let wrong = USDC.replace("A0b8", "A0B8");
        assert!(matches!(parse_address(&wrong), Err(ContractSpecError::Checksum { .. })));
        assert!(parse_address(&USDC.to_lowercase()).is_ok());
        assert!(parse_address(&format!("0x{}", USDC[2..].to_uppercase())).is_ok());
    }

    #[test]
    fn malformed_addresses_and_names_are_told() {
        for (text, reason) in [
            ("usdc=0xA0b8…eB48", "`…` is not a hex digit"),
            ("0x1234", "4 hex digits, not 40"),
            ("usdc=vitalik.eth", "does not start with 0x"),
            ("order=0x00", "keyword"),
            ("main=0x00", "uses that name"),
            ("my-token=0x00", "letters, digits"),
            ("=0x00", "empty"),
        ] {
            let error = ContractSpec::parse(text).unwrap_err();
            assert!(error.to_string().contains(reason), "{text}: {error}");
        }
    }
}
