//! From the text of the file to [`Config`], past every mistake to the end.

use super::{
    ChainConfig, Config, ContractConfig, HttpLimits, Mistakes, PluginConfig,
    http::{self, HTTP, HTTP_CA_FILE, HTTP_PRIVATE},
    mistakes::{Mistake, place},
    tree::{Source, Table, Text},
};
use crate::{
    contract_spec::{ContractSpecError, check_name, parse_address},
    duration::parse_duration,
    environment::Environment,
    event_spec::{EventSpec, EventSpecError},
    node_spec::{NodeSpec, TWICE_HINT, make_names_unique, named_twice},
    plugin_name::{self, check_plugin_name},
    proof_level::{self, check_anchor},
    range::parse_count,
    second_look::SecondLook,
    secret::Secret,
    sink_spec::{self, SinkSpec},
    suggest::closest,
};
use alloy_primitives::hex;
use dispatcher::Poison;
use event::{AnchorPolicy, Check, Finality, OnChange, Verify, Visibility};
use sha2::Digest;
use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    fs,
    num::NonZeroU32,
    ops::Range,
    path::Path,
};
use toml::de::{DeTable, DeValue};

const ROOT: [&str; 5] = ["ledger", "chain", "contract", "plugin", "sink"];
const CHAIN: [&str; 11] = [
    "id",
    "verify",
    "replay_verify",
    "watch_verify",
    "audit_require",
    "anchor",
    "finality",
    "observe",
    "second_look",
    PER_SECOND,
    "node",
];
const PER_SECOND: &str = "second_look_requests_per_second";
const NODE: [&str; 4] = ["name", "url", "headers", "timeout"];
const CONTRACT: [&str; 7] = ["name", "chain", "address", "addresses", "events", "abi", "start"];
const PLUGIN: [&str; 13] = [
    "name",
    "wasm",
    "sha256",
    "finality",
    BATCH_EVENTS,
    "poison",
    "on_change",
    "config",
    "limits",
    "sinks",
    HTTP,
    HTTP_PRIVATE,
    HTTP_CA_FILE,
];
const BATCH_EVENTS: &str = "batch_events";
/// Events of one batch, at most.
const BATCH_EVENTS_MAX: u64 = 10_000;
const SINK: [&str; 5] = ["url", "headers", "secret", "timeout", "attempts"];
const LIMITS: [&str; 2] = ["memory_mib", "deadline_ms"];

/// Reads the file at `path`, and looks at the files that it names where `opens_files`.
pub(super) fn read(
    path: &Path,
    text: &str,
    environment: &Environment,
    opens_files: bool,
) -> Result<Config, Mistakes> {
    let (document, broken) = DeTable::parse_recoverable(text);
    let file = path.display().to_string();
    if !broken.is_empty() {
        // What follows from half a table is no mistake of the user's: syntax first.
        let list = broken.iter().map(|error| syntax(text, error)).collect();
        return Err(Mistakes::sorted(file, list));
    }
    let base = path.parent().unwrap_or(Path::new(""));
    let source = Source { text, base, environment, opens_files, mistakes: RefCell::default() };
    let root = Table::new(&source, document.get_ref(), document.span(), &ROOT);
    let mut config = Config {
        path: Some(path.to_owned()),
        ledger: root.text("ledger").map(|ledger| base.join(ledger.text)),
        chains: chains(&source, &root),
        sinks: sinks(&source, &root),
        ..Config::default()
    };
    config.contracts = contracts(&source, &root, &config.chains);
    config.plugins = plugins(&source, &root, &config);
    match source.mistakes.into_inner() {
        none if none.is_empty() => Ok(config),
        found => Err(Mistakes::sorted(file, found)),
    }
}

fn syntax(text: &str, error: &toml::de::Error) -> Mistake {
    let (line, column) = place(text, &error.span().unwrap_or(text.len()..text.len()));
    Mistake { line, column, message: error.message().replace('\n', ", "), hint: None }
}

fn chains(source: &Source<'_>, root: &Table<'_>) -> Vec<ChainConfig> {
    let entries = root.entries("chain");
    let tables = entries.into_iter().filter_map(|(name, span, value)| {
        if !matches!(value.get_ref(), DeValue::Table(_)) {
            let hint = "a chain has a name: [chain.NAME], and its nodes are [[chain.NAME.node]]";
            source.wrong(&span, format!("`{name}` is of no chain"), Some(hint.to_owned()));
            return None;
        }
        Some((name, source.table_of(&format!("chain.{name}"), value, &CHAIN)?))
    });
    tables.map(|(name, table)| chain(source, name, &table)).collect()
}

fn chain(source: &Source<'_>, name: &str, table: &Table<'_>) -> ChainConfig {
    let mut nodes: Vec<NodeSpec> = Vec::new();
    for table in table.tables("node", &NODE) {
        let Some(node) = node(source, &table) else { continue };
        nodes.push(node);
        if let Some((first, second)) = named_twice(&nodes) {
            // Its own name is of more use than its place, which may be a secret.
            let message = format!("{} and {} are one node", first.name, second.name);
            let span = table.value("url").map_or(table.span.clone(), |url| url.span());
            source.wrong(&span, message, Some(TWICE_HINT.to_owned()));
            nodes.pop();
        }
    }
    tell_second_node_names(source, table);
    make_names_unique(&mut nodes);
    let per_second = positive(source, table, PER_SECOND);
    let per_second = per_second.map(|calls| u32::try_from(calls).unwrap_or(u32::MAX));
    ChainConfig {
        name: name.to_owned(),
        id: table.integer("id"),
        verify: table.parsed("verify", parse_verify),
        replay_verify: table.parsed("replay_verify", parse_verify),
        watch_verify: table.parsed("watch_verify", parse_verify),
        audit_require: table.parsed("audit_require", parse_require),
        anchor: table.parsed("anchor", parse_anchor),
        finality: table.parsed("finality", parse_finality),
        observe: (table.list("observe").into_iter())
            .filter_map(|value| {
                source.parsed("observe", &source.text_of("observe", value)?, parse_check)
            })
            .collect(),
        second_look: table.parsed("second_look", |text| SecondLook::parse(text).map_err(plain)),
        second_look_requests_per_second: per_second.and_then(NonZeroU32::new),
        nodes,
    }
}

fn node(source: &Source<'_>, table: &Table<'_>) -> Option<NodeSpec> {
    let name = table.text("name").map(|name| name.text);
    let headers = headers(source, table);
    let timeout = table.parsed("timeout", |text| parse_duration(text).map_err(plain));
    let url = table.required_text("url")?;
    // These errors quote no more than the host, unless even that was filled in.
    let node = source.parsed("url", &url, |text| {
        NodeSpec::new(name, text, source.base)
            .map_err(|error| (error.to_string(), Some(error.hint())))
    })?;
    Some(NodeSpec { headers, timeout, ..node })
}

fn headers(source: &Source<'_>, table: &Table<'_>) -> Vec<(String, Secret)> {
    let read = |(name, span, value): (&str, Range<usize>, _)| {
        let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        if name.is_empty() || !name.bytes().all(is_token) {
            source.wrong(&span, format!("`{name}` cannot name a header"), None);
            return None;
        }
        let text = source.text_of(name, value)?;
        // As HTTP has it; the value is not repeated.
        if text.text.chars().any(|c| c.is_control() && c != '\t') {
            let hint = "a key that is read from a file may end in a line break".to_owned();
            let what = format!("the value of header `{name}` has a control character in it");
            source.wrong(&span, what, Some(hint));
            return None;
        }
        Some((name.to_owned(), Secret::new(text.text)))
    };
    table.entries("headers").into_iter().filter_map(read).collect()
}

fn sinks(source: &Source<'_>, root: &Table<'_>) -> Vec<SinkSpec> {
    let mut list = Vec::new();
    for (name, span, value) in root.entries("sink") {
        if !matches!(value.get_ref(), DeValue::Table(_)) {
            let hint = "a sink has a name: [sink.NAME]";
            source.wrong(&span, format!("`{name}` is of no sink"), Some(hint.to_owned()));
            continue;
        }
        if !sink_spec::is_name(name) {
            let hint = sink_spec::NAME_HINT.to_owned();
            source.wrong(&span, format!("`{name}` cannot name a sink"), Some(hint));
            continue;
        }
        let table = source.table_of(&format!("sink.{name}"), value, &SINK);
        list.extend(table.and_then(|table| sink(source, name, &table)));
    }
    list
}

fn sink(source: &Source<'_>, name: &str, table: &Table<'_>) -> Option<SinkSpec> {
    let headers = headers(source, table);
    let timeout = table.parsed("timeout", |text| parse_duration(text).map_err(plain));
    let secret = table.text("secret").map(|secret| Secret::new(secret.text));
    let attempts = positive(source, table, "attempts");
    let url = table.required_text("url")?;
    let url = source.parsed("url", &url, |text| {
        sink_spec::parse_url(text, source.base).map_err(|error| (error, None))
    })?;
    let spec = SinkSpec::new(name, url);
    Some(SinkSpec {
        headers,
        secret,
        timeout: timeout.unwrap_or(spec.timeout),
        attempts_max: attempts
            .map_or(spec.attempts_max, |attempts| u32::try_from(attempts).unwrap_or(u32::MAX)),
        ..spec
    })
}

/// Names that the user gave must differ; default names are numbered instead.
fn tell_second_node_names(source: &Source<'_>, chain: &Table<'_>) {
    let mut seen = BTreeSet::new();
    for value in chain.list("node") {
        let Some(name) = value.get_ref().get("name") else { continue };
        let Some(text) = name.get_ref().as_str() else { continue };
        if !seen.insert(text.to_owned()) {
            source.wrong(&name.span(), format!("a second node named `{text}`"), None);
        }
    }
}

fn contracts(source: &Source<'_>, root: &Table<'_>, chains: &[ChainConfig]) -> Vec<ContractConfig> {
    let mut seen = BTreeSet::new();
    let mut list = Vec::new();
    for table in root.tables("contract", &CONTRACT) {
        let contract = contract(source, &table, chains);
        // Two chains may have a contract of the same name each.
        if let Some(value) = table.value("name")
            && !contract.name.is_empty()
            && !seen.insert((contract.name.to_lowercase(), contract.chain.clone()))
        {
            let message = format!("a second contract named `{}`", contract.name);
            let hint = "one contract may have several addresses = [...]".to_owned();
            source.wrong(&value.span(), message, Some(hint));
        }
        list.push(contract);
    }
    list
}

fn contract(source: &Source<'_>, table: &Table<'_>, chains: &[ChainConfig]) -> ContractConfig {
    let name = table.required_text("name").and_then(|name| {
        source.parsed("name", &name, |text| check_name(text).map_err(contract_error))?;
        Some(name.text)
    });
    let chain = table.parsed("chain", |text| {
        let names = || chains.iter().map(|chain| chain.name.as_str());
        if names().any(|name| name == text) {
            return Ok(text.to_owned());
        }
        let hint = closest(text, names()).map(|name| format!("did you mean `{name}`?"));
        Err((format!("there is no [chain.{text}]"), hint))
    });
    let mut addresses = Vec::new();
    for key in ["address", "addresses"] {
        for value in table.list(key) {
            let Some(text) = source.text_of(key, value) else { continue };
            let parse = |text: &str| parse_address(text).map_err(contract_error);
            addresses.extend(source.parsed(key, &text, parse));
        }
    }
    if table.list("address").is_empty() && table.list("addresses").is_empty() {
        source.wrong(&table.span, "`address` is missing".to_owned(), None);
    }
    addresses.sort_unstable();
    addresses.dedup();
    ContractConfig {
        name: name.unwrap_or_default(),
        chain,
        addresses,
        events: events(source, table),
        start: start(source, table),
    }
}

fn events(source: &Source<'_>, table: &Table<'_>) -> Vec<EventSpec> {
    let mut events = Vec::new();
    for value in table.list("events") {
        let Some(text) = source.text_of("events", value) else { continue };
        events.extend(source.parsed("events", &text, |text| {
            EventSpec::parse(text, source.base)
                .map_err(|error| (error.to_string(), Some(EventSpecError::HINT.to_owned())))
        }));
    }
    let abi = table.text("abi").map(|abi| {
        let path = source.base.join(&abi.text);
        if source.opens_files
            && let Err(error) = fs::File::open(&path)
        {
            let hint = "paths are seen from this file's folder".to_owned();
            source.wrong(&abi.span, unread(&abi, &error), Some(hint));
        }
        path
    });
    events.extend(abi.map(|path| EventSpec::Abi { path, event: None }));
    events
}

/// A block: `18_000_000`, or a text as in ranges, `"18M"`.
fn start(source: &Source<'_>, table: &Table<'_>) -> Option<u64> {
    match table.value("start")?.get_ref() {
        DeValue::String(_) => table.parsed("start", |text| parse_count(text).map_err(plain)),
        DeValue::Integer(_) => table.integer("start"),
        _ => {
            source.wrong_type("start", table.value("start")?, "a block number");
            None
        }
    }
}

/// The SQL schema of a plugin or contract, as DuckDB compares it.
fn schema_of(name: &str) -> String {
    name.replace('-', "_").to_ascii_lowercase()
}

fn plugins(source: &Source<'_>, root: &Table<'_>, config: &Config) -> Vec<PluginConfig> {
    let contracts: BTreeSet<String> =
        config.contracts.iter().map(|contract| schema_of(&contract.name)).collect();
    let (mut seen, mut nameless) = (BTreeSet::new(), BTreeSet::new());
    let mut list = Vec::new();
    for table in root.tables("plugin", &PLUGIN) {
        let name = table.text("name");
        if let Some(name) = &name {
            let schema = schema_of(&name.text);
            let hint = || Some("its tables are in the SQL schema of its name".to_owned());
            if contracts.contains(&schema) {
                let message = format!("a contract is named `{}`, too", name.text);
                source.wrong(&name.span, message, hint());
            }
            if !seen.insert(schema) {
                source.wrong(&name.span, format!("a second plugin named `{}`", name.text), hint());
            }
        }
        let name = name.and_then(|name| {
            let wrong = |error| (error, Some(plugin_name::HINT.to_owned()));
            source.parsed("name", &name, |text| check_plugin_name(text).map_err(wrong))?;
            Some(name.text)
        });
        let granted = granted(source, &table, &config.sinks);
        let plugin = plugin(source, &table, name);
        if let Some(plugin) = plugin.as_ref().filter(|plugin| plugin.name.is_none())
            && !nameless.insert(plugin.wasm.clone())
        {
            let hint = "give each of them a `name`".to_owned();
            let message = "a second plugin of this file without a name".to_owned();
            source.wrong(&table.span, message, Some(hint));
        }
        list.extend(plugin.map(|plugin| PluginConfig { sinks: granted, ..plugin }));
    }
    list
}

fn plugin(source: &Source<'_>, table: &Table<'_>, name: Option<String>) -> Option<PluginConfig> {
    let known: Vec<&str> = LIMITS.into_iter().chain(http::LIMITS.map(|(key, _)| key)).collect();
    let limits = table.table("limits", &known);
    let http_limits =
        limits.as_ref().map_or_else(HttpLimits::default, |limits| HttpLimits::read(source, limits));
    let limit = |key| limits.as_ref().and_then(|limits| positive(source, limits, key));
    let memory_mib = limit("memory_mib").map(|mib| u32::try_from(mib).unwrap_or(u32::MAX));
    let (mut config, mut is_filled_in) = (BTreeMap::new(), false);
    for (key, _, value) in table.entries("config") {
        let Some(text) = config_value(source, key, value) else { continue };
        is_filled_in |= text.is_secret;
        config.insert(key.to_owned(), Secret::new(text.text));
    }
    let sha256 = table.parsed("sha256", |text| {
        let is_digest = text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
        match is_digest {
            true => Ok(text.to_ascii_lowercase()),
            false => Err((format!("`{text}` is not a SHA-256 digest of 64 hex digits"), None)),
        }
    });
    let deadline_ms = limit("deadline_ms");
    let finality = table.parsed("finality", parse_visibility);
    let batch_events = batch_events(source, table);
    let poison = table.parsed("poison", parse_poison).unwrap_or_default();
    let on_change = table.parsed("on_change", parse_on_change).unwrap_or_default();
    let wasm_text = table.required_text("wasm")?;
    let wasm = source.base.join(&wasm_text.text);
    if source.opens_files {
        check_component(source, table, (&wasm, &wasm_text), sha256.as_deref());
    }
    let sinks = Vec::new();
    let hosts = http::hosts(source, table);
    let http_ca_file = http::ca_file(source, table);
    Some(PluginConfig {
        name,
        wasm,
        sha256,
        finality,
        batch_events,
        poison,
        on_change,
        config,
        is_filled_in,
        sinks,
        hosts,
        http_ca_file,
        http_limits,
        memory_mib,
        deadline_ms,
    })
}

/// Looks at the file of a component, and whether it is the one that is pinned.
fn check_component(
    source: &Source<'_>,
    table: &Table<'_>,
    (path, text): (&Path, &Text),
    sha256: Option<&str>,
) {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) => {
            let hint = "paths are seen from this file's folder; `headcount plugin build` prints where a \
                        component is";
            return source.wrong(&text.span, unread(text, &error), Some(hint.to_owned()));
        }
    };
    let found = hex::encode(sha2::Sha256::digest(&bytes));
    if let (Some(wanted), Some(value)) = (sha256, table.value("sha256"))
        && wanted != found
    {
        let hint =
            "get the pinned file, or look at the change: `headcount plugin upgrade NAME` pins it";
        let message = format!("the component's sha256 is {found}");
        source.wrong(&value.span(), message, Some(hint.to_owned()));
    }
}

/// Says why a file cannot be read; its path is not shown where a variable is in it.
fn unread(text: &Text, error: &std::io::Error) -> String {
    match text.is_secret {
        true => format!("the file cannot be read: {error}"),
        false => format!("`{}` cannot be read: {error}", text.text),
    }
}

/// The sinks that a plugin may send to.
fn granted(source: &Source<'_>, table: &Table<'_>, sinks: &[SinkSpec]) -> Vec<String> {
    let mut granted = Vec::new();
    for value in table.list("sinks") {
        let Some(text) = source.text_of("sinks", value) else { continue };
        let names = || sinks.iter().map(|sink| sink.name.as_str());
        if names().any(|name| name == text.text) {
            granted.push(text.text);
            continue;
        }
        let hint = closest(&text.text, names()).map(|name| format!("did you mean `{name}`?"));
        source.wrong(&text.span, format!("there is no [sink.{}]", text.text), hint);
    }
    granted
}

fn positive(source: &Source<'_>, table: &Table<'_>, key: &str) -> Option<u64> {
    match table.integer(key)? {
        0 => {
            let span: Range<usize> = table.value(key)?.span();
            source.wrong(&span, format!("`{key}` must be at least 1"), None);
            None
        }
        limit => Some(limit),
    }
}

/// Events of one batch. What is handed over in one call is bounded by bytes, too.
fn batch_events(source: &Source<'_>, table: &Table<'_>) -> Option<usize> {
    let events = positive(source, table, BATCH_EVENTS)?;
    if events > BATCH_EVENTS_MAX {
        let span: Range<usize> = table.value(BATCH_EVENTS)?.span();
        source.wrong(&span, format!("`{BATCH_EVENTS}` must be at most {BATCH_EVENTS_MAX}"), None);
        return None;
    }
    usize::try_from(events).ok()
}

/// Texts, numbers and booleans reach the plugin as text.
fn config_value(
    source: &Source<'_>,
    key: &str,
    value: &toml::Spanned<DeValue<'_>>,
) -> Option<Text> {
    let text = match value.get_ref() {
        DeValue::String(_) => return source.text_of(key, value),
        DeValue::Integer(number) => number.as_str().to_owned(),
        DeValue::Float(number) => number.as_str().to_owned(),
        DeValue::Boolean(is_true) => is_true.to_string(),
        _ => {
            source.wrong_type(key, value, "a string, number or boolean");
            return None;
        }
    };
    Some(Text { text, is_secret: false, span: value.span() })
}

fn parse_poison(text: &str) -> Result<Poison, (String, Option<String>)> {
    match text {
        "dead-letter" => Ok(Poison::DeadLetter),
        "halt" => Ok(Poison::Halt),
        _ => Err((format!("`{text}` is none of dead-letter, halt"), None)),
    }
}

fn parse_on_change(text: &str) -> Result<OnChange, (String, Option<String>)> {
    OnChange::of_word(text).ok_or_else(|| {
        let words = OnChange::ALL.map(OnChange::word).join(", ");
        (format!("`{text}` is none of {words}"), None)
    })
}

fn parse_finality(text: &str) -> Result<Finality, (String, Option<String>)> {
    let depth = |depth: &str| depth.parse().ok().map(Finality::Depth);
    match text {
        "tag" => Ok(Finality::Tag),
        _ => text
            .strip_prefix("depth:")
            .and_then(depth)
            .ok_or_else(|| (format!("`{text}` is none of tag, depth:N"), None)),
    }
}

fn parse_visibility(text: &str) -> Result<Visibility, (String, Option<String>)> {
    let depth = |depth: &str| depth.parse().ok().map(Visibility::Depth);
    match text {
        "latest" => Ok(Visibility::Latest),
        "safe" => Ok(Visibility::Safe),
        "finalized" => Ok(Visibility::Finalized),
        _ => text
            .strip_prefix("depth:")
            .and_then(depth)
            .ok_or_else(|| (format!("`{text}` is none of latest, safe, finalized, depth:N"), None)),
    }
}

fn parse_verify(text: &str) -> Result<Verify, (String, Option<String>)> {
    proof_level::parse_verify(text).map_err(plain)
}

fn parse_require(text: &str) -> Result<Verify, (String, Option<String>)> {
    proof_level::parse_require(text).map_err(plain)
}

fn parse_anchor(text: &str) -> Result<AnchorPolicy, (String, Option<String>)> {
    let anchor = proof_level::parse_anchor(text).map_err(plain)?;
    check_anchor(anchor).map_err(|(error, hint)| (error, Some(hint)))
}

fn parse_check(text: &str) -> Result<Check, (String, Option<String>)> {
    text.parse().map_err(plain)
}

fn plain(message: String) -> (String, Option<String>) {
    (message, None)
}

fn contract_error(error: ContractSpecError) -> (String, Option<String>) {
    (error.to_string(), Some(error.hint().to_owned()))
}
