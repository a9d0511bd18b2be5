//! `headcount config show`: what the file means, with variables filled in and secrets hidden.

use crate::{
    command_error::CommandError,
    config_file::{ChainConfig, Config, ContractConfig, PluginConfig},
    environment::Environment,
    exit_codes::ExitCode,
    ledger_path::LedgerPath,
    secret::{HIDDEN, Secret, redacted},
    sink_spec::SinkSpec,
};
use dispatcher::Poison;
use event::{AnchorPolicy, Finality, OnChange, Verify, Visibility};
use serde_json::{Map, Value, json};
use std::{
    io::{Write, stdout},
    path::PathBuf,
};

/// Show the configuration as it is understood, without secrets
#[derive(Debug, clap::Args)]
pub(crate) struct ShowArgs {
    /// Configuration file [env: HEADCOUNT_CONFIG] [default: ./headcount.toml, then XDG, then /etc]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Form of the output
    #[arg(long, value_enum, default_value_t)]
    format: ShowFormat,
}

/// Form of the output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum ShowFormat {
    /// TOML, as in the file
    #[default]
    Human,
    /// One JSON object
    Json,
}

/// Prints the configuration.
pub(crate) fn cmd_config_show(
    args: &ShowArgs,
    environment: &Environment,
) -> Result<ExitCode, CommandError> {
    let config = Config::load(args.config.as_deref(), environment)?;
    let shown = shown(&config, environment);
    let mut out = stdout().lock();
    match args.format {
        ShowFormat::Json => writeln!(out, "{shown}")?,
        ShowFormat::Human => {
            let text = toml::to_string(&shown)
                .map_err(|error| CommandError::new(crate::command_error::ErrorKind::Bug, error))?;
            match &config.path {
                Some(path) => writeln!(out, "# {}", path.display())?,
                None => writeln!(out, "# no configuration file; these are the defaults")?,
            }
            write!(out, "{text}")?;
        }
    }
    Ok(ExitCode::Done)
}

/// Returns the configuration in the shape of the file. Absent settings are left out: TOML has no
/// null.
fn shown(config: &Config, environment: &Environment) -> Value {
    let ledger = LedgerPath::resolve(None, config.ledger.as_deref(), environment);
    let mut root = Map::new();
    root.insert("ledger".into(), json!(ledger.path));
    let chains: Map<String, Value> =
        config.chains.iter().map(|chain| (chain.name.clone(), shown_chain(chain))).collect();
    let contracts: Vec<Value> = config.contracts.iter().map(shown_contract).collect();
    let sinks: Map<String, Value> =
        config.sinks.iter().map(|sink| (sink.name.clone(), shown_sink(sink))).collect();
    let plugins: Vec<Value> = config.plugins.iter().map(shown_plugin).collect();
    root.insert("chain".into(), Value::Object(chains));
    root.insert("contract".into(), Value::Array(contracts));
    root.insert("plugin".into(), Value::Array(plugins));
    root.insert("sink".into(), Value::Object(sinks));
    Value::Object(root)
}

fn shown_chain(chain: &ChainConfig) -> Value {
    let finality = chain.finality.map(|finality| match finality {
        Finality::Tag => "tag".to_owned(),
        Finality::Depth(depth) => format!("depth:{depth}"),
    });
    let anchor = chain.anchor.map(|anchor| match anchor {
        AnchorPolicy::OneNode => "one-node".to_owned(),
        AnchorPolicy::Agreed(nodes) => format!("agreed:{nodes}"),
        AnchorPolicy::Checkpoint(block) => format!("{}:{}", block.number, block.hash),
    });
    let observe = chain.observe.iter().map(|check| Value::from(check.to_string()));
    let level = |verify: Option<Verify>| verify.map(|verify| Value::from(verify.to_string()));
    let nodes = chain.nodes.iter().map(|node| {
        present([
            ("name", Some(json!(node.name))),
            ("url", Some(json!(node.endpoint.to_string()))),
            ("headers", Some(shown_headers(&node.headers))),
            ("timeout", node.timeout.map(|timeout| json!(format!("{}ms", timeout.as_millis())))),
        ])
    });
    present([
        ("id", chain.id.map(Value::from)),
        ("verify", level(chain.verify)),
        ("replay_verify", level(chain.replay_verify)),
        ("watch_verify", level(chain.watch_verify)),
        ("audit_require", level(chain.audit_require)),
        ("anchor", anchor.map(Value::from)),
        ("finality", finality.map(Value::from)),
        ("observe", (!chain.observe.is_empty()).then(|| observe.collect())),
        ("second_look", chain.second_look.map(|look| look.name().into())),
        (
            "second_look_requests_per_second",
            chain.second_look_requests_per_second.map(|calls| calls.get().into()),
        ),
        ("node", Some(nodes.collect())),
    ])
}

fn shown_contract(contract: &ContractConfig) -> Value {
    let addresses = contract.addresses.iter().map(|address| address.to_checksum(None));
    let events = contract.events.iter().map(ToString::to_string);
    present([
        ("name", Some(json!(contract.name))),
        ("chain", contract.chain.as_deref().map(Value::from)),
        ("addresses", Some(addresses.collect())),
        ("events", Some(events.collect())),
        ("start", contract.start.map(Value::from)),
    ])
}

fn shown_headers(headers: &[(String, Secret)]) -> Value {
    headers.iter().map(|(name, _)| (name.clone(), json!(HIDDEN))).collect::<Map<_, _>>().into()
}

fn shown_sink(sink: &SinkSpec) -> Value {
    present([
        ("url", Some(json!(redacted(sink.url.expose())))),
        ("headers", Some(shown_headers(&sink.headers))),
        ("secret", sink.secret.as_ref().map(|_| json!(HIDDEN))),
        ("timeout", Some(json!(format!("{}ms", sink.timeout.as_millis())))),
        ("attempts", Some(json!(sink.attempts_max))),
    ])
}

fn shown_visibility(visibility: Visibility) -> Value {
    match visibility {
        Visibility::Latest => json!("latest"),
        Visibility::Safe => json!("safe"),
        Visibility::Finalized => json!("finalized"),
        Visibility::Depth(depth) => json!(format!("depth:{depth}")),
    }
}

fn shown_plugin(plugin: &PluginConfig) -> Value {
    let config: Map<String, Value> =
        plugin.config.keys().map(|key| (key.clone(), json!(HIDDEN))).collect();
    let own =
        [("memory_mib", plugin.memory_mib.map(u64::from)), ("deadline_ms", plugin.deadline_ms)];
    let own = own.into_iter().filter_map(|(key, limit)| Some((key, limit?)));
    let limits = own.chain(plugin.http_limits.given());
    let limits: Map<String, Value> =
        limits.map(|(key, limit)| (key.to_owned(), json!(limit))).collect();
    present([
        ("name", plugin.name.as_deref().map(Value::from)),
        ("wasm", Some(json!(plugin.wasm))),
        ("sha256", plugin.sha256.as_deref().map(Value::from)),
        ("finality", plugin.finality.map(shown_visibility)),
        ("batch_events", plugin.batch_events.map(Value::from)),
        ("poison", (plugin.poison == Poison::Halt).then(|| json!("halt"))),
        ("on_change", shown_on_change(plugin.on_change)),
        ("config", Some(Value::Object(config))),
        ("sinks", (!plugin.sinks.is_empty()).then(|| json!(plugin.sinks))),
        ("http", shown_hosts(plugin, false)),
        ("http_private", shown_hosts(plugin, true)),
        ("http_ca_file", plugin.http_ca_file.as_ref().map(|path| json!(path))),
        ("limits", Some(Value::Object(limits))),
    ])
}

/// `None` for what holds where nothing is said.
fn shown_on_change(on_change: OnChange) -> Option<Value> {
    (on_change != OnChange::default()).then(|| json!(on_change.word()))
}

fn shown_hosts(plugin: &PluginConfig, is_private: bool) -> Option<Value> {
    let hosts = plugin.hosts.iter().filter(|host| host.is_private() == is_private);
    let hosts: Vec<String> = hosts.map(ToString::to_string).collect();
    (!hosts.is_empty()).then(|| json!(hosts))
}

fn present<const N: usize>(entries: [(&str, Option<Value>); N]) -> Value {
    let there = entries.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
    Value::Object(there.collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use std::path::Path;

    #[test]
    fn no_secret_is_shown() {
        let text = "[chain.a]\nid = 1\n[[chain.a.node]]\nurl = \"https://u:KEY@h.example/KEY\"\n\
                    headers = { x = \"KEY\" }\n[[plugin]]\nwasm = \"p.wasm\"\nconfig = { k = \"KEY\" }\n\
                    [sink.s]\nurl = \"https://h.example/KEY\"\nsecret = \"KEY\"\nheaders = { x = \"KEY\" }\n";
        let environment = Environment::for_test(Path::new("/work"), &[]);
        let config = Config::parse(Path::new("/c/headcount.toml"), text, &environment).unwrap();
        let shown = shown(&config, &environment);
        let as_toml = toml::to_string(&shown).unwrap();
        for text in [shown.to_string(), as_toml, format!("{config:?}")] {
            assert!(!text.contains("KEY"), "{text}");
        }
        assert_eq!(shown["chain"]["a"]["node"][0]["url"], "https://h.example/***");
        assert_eq!(shown["plugin"][0]["wasm"], "/c/p.wasm");
        assert_eq!(shown["sink"]["s"]["url"], "https://h.example/***");
    }
}
