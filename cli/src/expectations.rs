//! The file of expectations: counts of events, SQL assertions, state invariants. Read strictly: a
//! key that is not known, or a name that means nothing, is an error and never a pass.

use crate::{
    command_error::CommandError, contract_spec::parse_address, plan::ContractPlan, suggest::closest,
};
use alloy_primitives::Address;
use event::{AnyOf, EventSchema};
use serde::Deserialize;
use std::{
    fmt,
    path::{Path, PathBuf},
};

/// What must hold, as written.
#[derive(Clone, Debug)]
pub(crate) struct Expectations {
    path: PathBuf,
    file: File,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    count: Vec<CountEntry>,
    #[serde(default)]
    sql: Vec<SqlEntry>,
    #[serde(default)]
    state: Vec<StateEntry>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CountEntry {
    event: String,
    exact: Option<u64>,
    min: Option<u64>,
    max: Option<u64>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SqlEntry {
    name: String,
    query: String,
    equals: Option<Scalar>,
    rows: Option<u64>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct StateEntry {
    name: Option<String>,
    contract: String,
    call: String,
    #[serde(default)]
    args: Vec<Scalar>,
    equals: Option<Scalar>,
    equals_sql: Option<String>,
    block: Option<u64>,
}

/// A value of TOML that stands for one of SQL or Solidity.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Scalar {
    Bool(bool),
    Integer(i64),
    Text(String),
}

impl Scalar {
    fn text(&self) -> String {
        match self {
            Self::Bool(value) => value.to_string(),
            Self::Integer(value) => value.to_string(),
            Self::Text(value) => value.clone(),
        }
    }
}

/// How many events there must be.
#[derive(Clone, Debug)]
pub(crate) struct CountCheck {
    /// `usdc.Transfer`.
    pub(crate) name: String,
    /// Index of the event's schema.
    pub(crate) schema: usize,
    /// Fewest.
    pub(crate) least: u64,
    /// Most.
    pub(crate) most: u64,
}

/// What a statement must return.
#[derive(Clone, Debug)]
pub(crate) struct SqlCheck {
    /// For people.
    pub(crate) name: String,
    /// One statement.
    pub(crate) query: String,
    /// What.
    pub(crate) wanted: SqlWanted,
}

/// What a statement must return.
#[derive(Clone, Debug)]
pub(crate) enum SqlWanted {
    /// One value, as text.
    Value(String),
    /// So many rows.
    Rows(u64),
}

impl fmt::Display for SqlWanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(value) => f.write_str(value),
            Self::Rows(rows) => write!(f, "{rows} rows"),
        }
    }
}

/// What a call must return.
#[derive(Clone, Debug)]
pub(crate) struct StateCheck {
    /// For people.
    pub(crate) name: String,
    /// Contract.
    pub(crate) contract: Address,
    /// Function with its arguments.
    pub(crate) call: abi::Call,
    /// At which block; `None` is the end of the range.
    pub(crate) block: Option<u64>,
    /// What.
    pub(crate) wanted: StateWanted,
}

/// What a call must return.
#[derive(Clone, Debug)]
pub(crate) enum StateWanted {
    /// This value, as text.
    Value(String),
    /// What this statement returns.
    Sql(String),
}

impl fmt::Display for StateWanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(value) => f.write_str(value),
            Self::Sql(query) => write!(f, "what this returns: {query}"),
        }
    }
}

/// Expectations whose names are known.
#[derive(Clone, Debug, Default)]
pub(crate) struct Checks {
    pub(crate) counts: Vec<CountCheck>,
    pub(crate) sql: Vec<SqlCheck>,
    pub(crate) state: Vec<StateCheck>,
}

impl Checks {
    /// Whether a statement has to be run.
    pub(crate) fn need_sql(&self) -> bool {
        let needs = |check: &StateCheck| matches!(check.wanted, StateWanted::Sql(_));
        !self.sql.is_empty() || self.state.iter().any(needs)
    }
}

impl Expectations {
    /// Reads the file.
    pub(crate) fn read(path: &Path) -> Result<Self, CommandError> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            CommandError::unread(format!("reading the expectations {}", path.display()), error)
        })?;
        Self::parse(&text, path)
    }

    fn parse(text: &str, path: &Path) -> Result<Self, CommandError> {
        let wrong = |error: CommandError| {
            error
                .context(format!("wrong expectations in {}", path.display()))
                .hint("docs/audit.md shows a whole file")
        };
        let file: File = toml::from_str(text)
            .map_err(|error| wrong(CommandError::usage(error.to_string().trim_end().to_owned())))?;
        if file.count.is_empty() && file.sql.is_empty() && file.state.is_empty() {
            return Err(wrong(CommandError::usage("nothing is expected")));
        }
        Ok(Self { path: path.to_owned(), file })
    }

    /// Finds what the names mean.
    pub(crate) fn resolve(
        &self,
        schemas: &[EventSchema],
        contracts: &[ContractPlan],
    ) -> Result<Checks, CommandError> {
        self.checks(schemas, contracts).map_err(|error| {
            error.context(format!("wrong expectations in {}", self.path.display()))
        })
    }

    fn checks(
        &self,
        schemas: &[EventSchema],
        contracts: &[ContractPlan],
    ) -> Result<Checks, CommandError> {
        let mut checks = Checks::default();
        for entry in &self.file.count {
            checks.counts.push(count(entry, schemas)?);
        }
        for entry in &self.file.sql {
            let wanted = match (&entry.equals, entry.rows) {
                (Some(value), None) => SqlWanted::Value(value.text()),
                (None, Some(rows)) => SqlWanted::Rows(rows),
                _ => {
                    let name = &entry.name;
                    return Err(CommandError::usage(format!(
                        "sql `{name}` says not what to expect"
                    ))
                    .hint("give it `equals = VALUE` or `rows = N`"));
                }
            };
            let (name, query) = (entry.name.clone(), entry.query.clone());
            checks.sql.push(SqlCheck { name, query, wanted });
        }
        for entry in &self.file.state {
            checks.state.push(state(entry, contracts)?);
        }
        Ok(checks)
    }
}

fn count(entry: &CountEntry, schemas: &[EventSchema]) -> Result<CountCheck, CommandError> {
    let event = &entry.event;
    let (least, most) = match (entry.exact, entry.min, entry.max) {
        (Some(exact), None, None) => (exact, exact),
        (None, None, None) | (Some(_), ..) => {
            return Err(CommandError::usage(format!("`{event}`: say how many to expect"))
                .hint("give it `exact = N`, or `min = N`, `max = N` or both"));
        }
        (None, min, max) => (min.unwrap_or(0), max.unwrap_or(u64::MAX)),
    };
    if least > most {
        return Err(CommandError::usage(format!("`{event}`: {least} is more than {most}"))
            .hint("min must not be more than max"));
    }
    let table = |schema: &EventSchema| format!("{}.{}", schema.contract, schema.table);
    let signature = |schema: &EventSchema| format!("{}.{}", schema.contract, schema.signature);
    let is_meant = |schema: &EventSchema| table(schema) == *event || signature(schema) == *event;
    let Some(at) = schemas.iter().position(is_meant) else {
        let error = CommandError::usage(format!("no event `{event}` is audited"));
        let names: Vec<String> = schemas.iter().map(table).collect();
        return Err(match closest(event, names.iter().map(String::as_str)) {
            Some(name) => error.hint(format!("did you mean {name}?")),
            None if names.is_empty() => error.hint("declare it with -e"),
            None => error.hint(format!("it is CONTRACT.EVENT, one of {}", names.join(", "))),
        });
    };
    Ok(CountCheck { name: event.clone(), schema: at, least, most })
}

fn state(entry: &StateEntry, contracts: &[ContractPlan]) -> Result<StateCheck, CommandError> {
    let args: Vec<String> = entry.args.iter().map(Scalar::text).collect();
    let call = abi::Call::parse(&entry.call, &args).map_err(|error| {
        let hint = error.hint();
        CommandError::usage(error).hint(hint)
    })?;
    let name =
        entry.name.clone().unwrap_or_else(|| format!("{} of {}", entry.call, entry.contract));
    let wanted = match (&entry.equals, &entry.equals_sql) {
        (Some(value), None) => StateWanted::Value(value.text()),
        (None, Some(query)) => StateWanted::Sql(query.clone()),
        _ => {
            return Err(CommandError::usage(format!("state `{name}` says not what to expect"))
                .hint("give it `equals = VALUE` or `equals_sql = \"select ...\"`"));
        }
    };
    let contract = contract(&entry.contract, contracts)?;
    Ok(StateCheck { name, contract, call, block: entry.block, wanted })
}

fn contract(text: &str, contracts: &[ContractPlan]) -> Result<Address, CommandError> {
    if text.starts_with("0x") || text.starts_with("0X") {
        return parse_address(text).map_err(|error| {
            let hint = error.hint();
            CommandError::usage(error).hint(hint)
        });
    }
    let named = contracts.iter().find(|contract| contract.schema == text);
    match named.map(|contract| &contract.addresses) {
        Some(AnyOf::Of(addresses)) if addresses.len() == 1 => Ok(addresses[0]),
        Some(_) => Err(CommandError::usage(format!("`{text}` is not one address"))
            .hint("give the address itself, 0x and 40 hex digits")),
        None => {
            let error = CommandError::usage(format!("no contract `{text}` is audited"));
            let names = contracts.iter().map(|contract| contract.schema.as_str());
            Err(match closest(text, names) {
                Some(name) => error.hint(format!("did you mean {name}?")),
                None => error.hint("give its address, or name it with -c NAME=ADDRESS"),
            })
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn resolve(text: &str) -> Result<Checks, String> {
        let told = |error: CommandError| error.to_string();
        let contracts = [ContractPlan {
            schema: "gold".to_owned(),
            addresses: AnyOf::one(Address::repeat_byte(1)),
            events: Vec::new(),
            start: None,
            is_of_chain: false,
            chains: Default::default(),
        }];
        let schemas = [EventSchema {
            contract: "gold".to_owned(),
            table: "Transfer".to_owned(),
            signature: "Transfer(address,address,uint256)".to_owned(),
            topic0: None,
            addresses: AnyOf::one(Address::repeat_byte(1)),
            chains: Default::default(),
            columns: Vec::new(),
        }];
        let read = Expectations::parse(text, Path::new("e.toml")).map_err(told)?;
        read.resolve(&schemas, &contracts).map_err(told)
    }

    #[test]
    fn what_is_expected_is_found_by_name() {
        let checks = resolve(
            "[[count]]\nevent = \"gold.Transfer\"\nexact = 3\n\
             [[count]]\nevent = \"gold.Transfer(address,address,uint256)\"\nmin = 1\n\
             [[sql]]\nname = \"none\"\nquery = \"select 1\"\nrows = 1\n\
             [[state]]\ncontract = \"gold\"\ncall = \"totalSupply() returns (uint256)\"\nequals = 7\n",
        );
        let checks = checks.unwrap();
        assert_eq!((checks.counts[0].least, checks.counts[0].most), (3, 3));
        assert_eq!((checks.counts[1].least, checks.counts[1].most), (1, u64::MAX));
        assert_eq!(checks.state[0].contract, Address::repeat_byte(1));
        assert!(checks.need_sql());
    }

    #[test]
    fn the_file_that_the_documentation_shows_is_one() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/audit.md");
        let page = std::fs::read_to_string(page).unwrap();
        let shown = page.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
        let checks = resolve(&shown.replace("token.", "gold.").replace("\"token\"", "\"gold\""));
        let checks = checks.unwrap();
        assert_eq!((checks.counts.len(), checks.sql.len(), checks.state.len()), (1, 2, 1));
    }

    #[test]
    fn a_typo_is_an_error_and_never_a_pass() {
        for (text, told) in [
            ("", "nothing is expected"),
            ("[[count]]\nevent = \"gold.Transfer\"\nexakt = 3\n", "exakt"),
            ("[[cuont]]\nevent = \"gold.Transfer\"\n", "cuont"),
            ("[[count]]\nevent = \"gold.Transfr\"\nexact = 3\n", "did you mean gold.Transfer?"),
            ("[[count]]\nevent = \"silver.Burn\"\nexact = 3\n", "one of gold.Transfer"),
            ("[[count]]\nevent = \"gold.Transfer\"\n", "say how many"),
            ("[[count]]\nevent = \"gold.Transfer\"\nexact = 1\nmin = 1\n", "say how many"),
            ("[[count]]\nevent = \"gold.Transfer\"\nmin = 2\nmax = 1\n", "2 is more than 1"),
            ("[[sql]]\nname = \"x\"\nquery = \"select 1\"\n", "says not what to expect"),
            (
                "[[state]]\ncontract = \"glod\"\ncall = \"a() returns (uint256)\"\nequals = 1\n",
                "did you mean gold?",
            ),
            (
                "[[state]]\ncontract = \"gold\"\ncall = \"a()\"\nequals = 1\n",
                "must return one value",
            ),
        ] {
            let error = resolve(text).unwrap_err();
            assert!(error.contains(told), "{text}: {error}");
        }
    }
}
