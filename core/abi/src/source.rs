//! What the user gives: contracts, with events as signatures or as the text of ABI files. Becomes
//! parsed events; says nothing yet about tables and columns.

use crate::AbiError;
use alloy_json_abi::{ContractObject, Event};
use alloy_primitives::Address;
use event::{AnyOf, ChainId};
use std::collections::BTreeMap;

/// One contract, or every contract, and its events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContractSpec {
    /// SQL schema; without it `c_<first 8 hex>` or `any`.
    pub name: Option<String>,
    /// Where it is deployed.
    pub addresses: AnyOf<Address>,
    /// Where on each chain that it is bound to; none = anywhere, on every chain.
    pub chains: BTreeMap<ChainId, AnyOf<Address>>,
    /// Its events.
    pub events: Vec<EventSource>,
}

impl ContractSpec {
    /// Returns the SQL schema's name.
    pub fn schema_name(&self) -> String {
        match (&self.name, &self.addresses) {
            (Some(name), _) => name.clone(),
            (None, AnyOf::Any) => "any".to_owned(),
            (None, AnyOf::Of(set)) => {
                let first = set.first().copied().unwrap_or_default();
                format!("c_{}", alloy_primitives::hex::encode(&first[..4]))
            }
        }
    }
}

/// Where an event's declaration comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventSource {
    /// `Transfer(address indexed from, address indexed to, uint256 value)`, with or without
    /// `event`, `anonymous` and a final `;`.
    Signature(String),
    /// The text of an ABI file: an array, or an artefact with a member `abi`.
    Abi {
        /// The file's text.
        json: String,
        /// Names or signatures of the events wanted; empty = all.
        wanted: Vec<String>,
    },
}

/// Parses every source of a contract, in order.
pub(crate) fn parse_events(spec: &ContractSpec, contract: &str) -> Result<Vec<Event>, AbiError> {
    let mut events = Vec::new();
    for source in &spec.events {
        match source {
            EventSource::Signature(text) => events.push(parse_signature(text)?),
            EventSource::Abi { json, wanted } => {
                events.extend(parse_abi(json, wanted, contract)?);
            }
        }
    }
    if events.is_empty() {
        return Err(AbiError::NoEvents { contract: contract.to_owned() });
    }
    Ok(events)
}

fn parse_signature(text: &str) -> Result<Event, AbiError> {
    let bare = text.trim().trim_end_matches(';').trim_end();
    let plain = without_member_names(bare);
    Event::parse(&plain).map_err(|error| {
        let (position, cause) = position_and_cause(&plain, &error.to_string());
        // A place in the text we made means nothing to who wrote the other.
        let position = position.filter(|_| plain == bare);
        AbiError::Signature { text: text.to_owned(), position, cause }
    })
}

/// Takes the names of a struct's members out of a signature, as in `tuple(uint8 a, bytes b)[] c`:
/// the parser knows only `(uint8,bytes)[] c`. Such members are an array in JSON.
fn without_member_names(signature: &str) -> String {
    if signature.matches('(').count() < 2 {
        return signature.to_owned();
    }
    let mut out = String::with_capacity(signature.len());
    let (mut depth, mut has_type, mut in_name) = (0usize, false, false);
    for c in signature.chars() {
        match c {
            '(' => {
                if depth > 0 && out.ends_with("tuple") {
                    out.truncate(out.len() - "tuple".len());
                }
                depth += 1;
                (has_type, in_name) = (false, false);
            }
            ')' => {
                depth = depth.saturating_sub(1);
                (has_type, in_name) = (true, false);
            }
            ',' => (has_type, in_name) = (false, false),
            c if depth < 2 => {
                out.push(c);
                continue;
            }
            c if c.is_whitespace() => {
                in_name = has_type;
                continue;
            }
            _ if in_name => continue,
            _ => has_type = true,
        }
        out.push(c);
    }
    out
}

/// The parser answers in lines: a title, the text, a caret below it, what was expected.
fn position_and_cause(text: &str, told: &str) -> (Option<usize>, String) {
    let caret = told.lines().find(|line| line.trim() == "^");
    let position = caret.and_then(|line| line.find('^')).filter(|at| *at <= text.len());
    let said: Vec<&str> = told
        .lines()
        .map(str::trim)
        .filter(|line| {
            !(line.is_empty() || *line == "^" || *line == text || *line == "parser error:")
        })
        .collect();
    let cause = if said.is_empty() { "not an event".to_owned() } else { said.join(", ") };
    (position, cause)
}

fn parse_abi(json: &str, wanted: &[String], contract: &str) -> Result<Vec<Event>, AbiError> {
    let wrong = |cause: String| AbiError::Json { contract: contract.to_owned(), cause };
    let completed = with_anonymous(json);
    // A text that lacks nothing is read as it is: an error in it has its place.
    let object = ContractObject::from_json(completed.as_deref().unwrap_or(json))
        .map_err(|error| wrong(error.to_string()))?;
    let abi = object.abi.ok_or_else(|| wrong("there is no member `abi`".to_owned()))?;
    let known: Vec<&Event> = abi.events().collect();
    if wanted.is_empty() {
        return Ok(known.into_iter().cloned().collect());
    }
    let mut events = Vec::new();
    for name in wanted {
        let name = name.trim();
        let before = events.len();
        let meant = |event: &&&Event| event.name == name || event.signature() == name;
        events.extend(known.iter().filter(meant).map(|event| (*event).clone()));
        if events.len() == before {
            return Err(AbiError::MissingEvent {
                contract: contract.to_owned(),
                wanted: name.to_owned(),
                known: closest_first(name, &known),
            });
        }
    }
    Ok(events)
}

/// Says of each event of an ABI that it is not anonymous, where it says nothing: the ABI
/// specification has `anonymous` in every event, older compilers and people leave it out, and the
/// parser demands it. Returns `None` where nothing is left out.
fn with_anonymous(json: &str) -> Option<String> {
    let mut whole: serde_json::Value = serde_json::from_str(json).ok()?;
    let mut has_gap = false;
    let abi = if whole.is_array() { &mut whole } else { whole.get_mut("abi")? };
    for item in abi.as_array_mut()?.iter_mut().filter_map(serde_json::Value::as_object_mut) {
        if item.get("type").is_some_and(|kind| kind == "event") && !item.contains_key("anonymous") {
            item.insert("anonymous".to_owned(), false.into());
            has_gap = true;
        }
    }
    has_gap.then(|| whole.to_string())
}

fn closest_first(wanted: &str, known: &[&Event]) -> Vec<String> {
    let name = wanted.split('(').next().unwrap_or(wanted).to_lowercase();
    let mut known: Vec<(usize, String)> = known
        .iter()
        .map(|event| (distance(&name, &event.name.to_lowercase()), event.signature()))
        .collect();
    known.sort_unstable();
    known.into_iter().map(|(_, signature)| signature).collect()
}

/// Edit distance between two names.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
