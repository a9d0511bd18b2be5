//! `headcount.toml`: the same as the flags, for keeps.
//!
//! Reading lists every mistake with its line, all at once. What the settings mean for a run is
//! decided in `plan`, where flags override them.

mod edit;
mod http;
mod interpolate;
mod mistakes;
mod read;
mod tree;

pub(crate) use edit::{Edit, NewPlugin};
pub(crate) use http::{HttpLimits, read_authorities};
pub(crate) use mistakes::Mistakes;

use crate::{
    command_error::CommandError, environment::Environment, event_spec::EventSpec,
    node_spec::NodeSpec, second_look::SecondLook, secret::Secret, sink_spec::SinkSpec,
};
use alloy_primitives::Address;
use dispatcher::Poison;
use event::{AnchorPolicy, Check, Finality, OnChange, Verify, Visibility};
use host::HostGrant;
use std::{
    collections::BTreeMap,
    fs,
    num::NonZeroU32,
    path::{Path, PathBuf},
};

/// Name of the file in every place it is looked for.
const FILE_NAME: &str = "headcount.toml";

/// What to type where the file lies in one of its places and is not wanted.
const WITHOUT_IT: &str =
    "`--config FILE` reads another file in its place, `--config /dev/null` none: flags are enough";

/// Largest file read, in bytes: a wrong path must not fill the memory.
const FILE_MAX_BYTES: u64 = 4 << 20;

/// What the file says, with variables filled in and paths resolved from the file.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Config {
    /// The file; `None` where there is none.
    pub(crate) path: Option<PathBuf>,
    /// Ledger file.
    pub(crate) ledger: Option<PathBuf>,
    /// Chains by name, in order of name.
    pub(crate) chains: Vec<ChainConfig>,
    /// Contracts in the file's order.
    pub(crate) contracts: Vec<ContractConfig>,
    /// Sinks by name, in order of name.
    pub(crate) sinks: Vec<SinkSpec>,
    /// Plugins in the file's order.
    pub(crate) plugins: Vec<PluginConfig>,
}

/// A chain.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ChainConfig {
    /// Name.
    pub(crate) name: String,
    /// `eth_chainId`.
    pub(crate) id: Option<u64>,
    /// What must be shown.
    pub(crate) verify: Option<Verify>,
    /// The same for replays, where it is another.
    pub(crate) replay_verify: Option<Verify>,
    /// The same for a watch, where it is another.
    pub(crate) watch_verify: Option<Verify>,
    /// What an audit demands.
    pub(crate) audit_require: Option<Verify>,
    /// Why headers are believed.
    pub(crate) anchor: Option<AnchorPolicy>,
    /// When a block is final.
    pub(crate) finality: Option<Finality>,
    /// Checks that refuse nothing and are only recorded.
    pub(crate) observe: Vec<Check>,
    /// What a watch reads again through another node.
    pub(crate) second_look: Option<SecondLook>,
    /// How fast it does.
    pub(crate) second_look_requests_per_second: Option<NonZeroU32>,
    /// Nodes.
    pub(crate) nodes: Vec<NodeSpec>,
}

/// A contract.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ContractConfig {
    /// SQL schema of its tables.
    pub(crate) name: String,
    /// Chain, where the file has several.
    pub(crate) chain: Option<String>,
    /// Addresses, at least one.
    pub(crate) addresses: Vec<Address>,
    /// Events; none = every log, raw.
    pub(crate) events: Vec<EventSpec>,
    /// Block of deployment: where an empty ledger starts.
    pub(crate) start: Option<u64>,
}

/// A plugin.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct PluginConfig {
    /// Name; the plugin's own where not given.
    pub(crate) name: Option<String>,
    /// Component.
    pub(crate) wasm: PathBuf,
    /// Digest that the file must have, in hex.
    pub(crate) sha256: Option<String>,
    /// From when on it sees a block; as the plugin says where not given.
    pub(crate) finality: Option<Visibility>,
    /// Events of one batch, at most; a block with more is still one batch.
    pub(crate) batch_events: Option<usize>,
    /// What becomes of an event that it cannot take.
    pub(crate) poison: Poison,
    /// What becomes of its rows where another component wrote them.
    pub(crate) on_change: OnChange,
    /// Given to the plugin as it is; any of it may be a secret.
    pub(crate) config: BTreeMap<String, Secret>,
    /// Whether a variable or a file was filled in there.
    pub(crate) is_filled_in: bool,
    /// Names of the sinks that it may send to.
    pub(crate) sinks: Vec<String>,
    /// Hosts that it may ask over HTTP.
    pub(crate) hosts: Vec<HostGrant>,
    /// Certificates of authorities that it believes beside those of the system.
    pub(crate) http_ca_file: Option<PathBuf>,
    /// Limits of its requests.
    pub(crate) http_limits: HttpLimits,
    /// Memory limit.
    pub(crate) memory_mib: Option<u32>,
    /// Time limit of one call.
    pub(crate) deadline_ms: Option<u64>,
}

impl Config {
    /// Reads the file that flag, variable or place names; without any, an empty configuration.
    pub(crate) fn load(
        flag: Option<&Path>,
        environment: &Environment,
    ) -> Result<Self, CommandError> {
        let Some(path) = find(flag, environment) else { return Ok(Self::default()) };
        let text = read_text(&path)?;
        Self::parse(&path, &text, environment).map_err(|mistakes| {
            let error = CommandError::from(mistakes);
            match flag.is_some() || environment.path("HEADCOUNT_CONFIG").is_some() {
                true => error,
                // Nobody asked for it: it lay there.
                false => error.hint(WITHOUT_IT),
            }
        })
    }

    /// Parses the text of the file at `path`, or returns all its mistakes.
    pub(crate) fn parse(
        path: &Path,
        text: &str,
        environment: &Environment,
    ) -> Result<Self, Mistakes> {
        read::read(path, text, environment, false)
    }

    /// Reads the file as [`Self::load`], and tells also what is wrong with the files that it names.
    pub(crate) fn load_with_files(
        flag: Option<&Path>,
        environment: &Environment,
    ) -> Result<Self, CommandError> {
        let Some(path) = find(flag, environment) else { return Ok(Self::default()) };
        let text = read_text(&path)?;
        read::read(&path, &text, environment, true).map_err(CommandError::from)
    }
}

/// Returns the file to read: a named one must exist, the usual places may be empty.
fn find(flag: Option<&Path>, environment: &Environment) -> Option<PathBuf> {
    if let Some(path) = flag {
        return Some(environment.resolve(path));
    }
    if let Some(path) = environment.path("HEADCOUNT_CONFIG") {
        return Some(path);
    }
    let xdg = environment
        .path("XDG_CONFIG_HOME")
        .or_else(|| environment.path("HOME").map(|home| home.join(".config")));
    let places = [
        Some(environment.resolve(Path::new(FILE_NAME))),
        xdg.map(|dir| dir.join("headcount").join(FILE_NAME)),
        Some(Path::new("/etc/headcount").join(FILE_NAME)),
    ];
    places.into_iter().flatten().find(|path| path.is_file())
}

fn read_text(path: &Path) -> Result<String, CommandError> {
    let doing = || format!("reading the configuration {}", path.display());
    let failed = |error| {
        let mut failed = CommandError::local_io(doing(), error);
        failed.kind = crate::command_error::ErrorKind::Usage;
        failed
    };
    let size = fs::metadata(path).map_err(failed)?.len();
    if size > FILE_MAX_BYTES {
        return Err(CommandError::usage("it is larger than 4 MiB")
            .context(doing())
            .hint("check the path: a configuration is a small TOML file"));
    }
    fs::read_to_string(path).map_err(failed)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const GOOD: &str = r#"
ledger = "data/ledger.duckdb"

[chain.mainnet]
id = 1
verify = "prove"
anchor = "one-node"
finality = "depth:64"

[[chain.mainnet.node]]
name = "mine"
url = "https://${HOST}/v3/${KEY}"
headers = { authorization = "Bearer ${file:token}" }

[[chain.mainnet.node]]
url = "wss://b.example"

[[contract]]
name = "usdc"
address = "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48"
events = ["Transfer(address indexed from, address indexed to, uint256 value)"]
abi = "abi/usdc.json"
start = "6.08M"

[[plugin]]
name = "balances"
wasm = "plugins/balances.wasm"
finality = "depth:12"
config = { token = "${KEY}", depth = 3 }
sinks = ["ops"]
http = ["api.example.com", "http://127.0.0.1:8080"]
http_private = ["rates.internal:8443"]
http_ca_file = "tls/authority.pem"
batch_events = 100
poison = "halt"
on_change = "rebuild"
limits = { memory_mib = 64, deadline_ms = 500, http_calls = 1, http_timeout_ms = 250, http_request_bytes = 2,
  http_response_bytes = 16777216, http_headers = 3, http_header_bytes = 4 }

[sink.ops]
url = "https://hooks.example/${KEY}"
headers = { authorization = "Bearer ${KEY}" }
secret = "${KEY}"
timeout = "3s"
attempts = 7
"#;

    fn environment(dir: &Path) -> Environment {
        Environment::for_test(dir, &[("HOST", "a.example"), ("KEY", "SECRET")])
    }

    fn mistakes(text: &str) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("headcount.toml");
        let found = Config::parse(&path, text, &environment(dir.path())).unwrap_err();
        found.list.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn everything_is_read_and_paths_are_seen_from_the_file() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("token"), "TOKEN\n").unwrap();
        let path = dir.path().join("headcount.toml");
        let config = Config::parse(&path, GOOD, &environment(Path::new("/"))).unwrap();
        assert_eq!(config.ledger, Some(dir.path().join("data/ledger.duckdb")));
        let chain = &config.chains[0];
        assert_eq!((chain.name.as_str(), chain.id), ("mainnet", Some(1)));
        assert_eq!(chain.finality, Some(Finality::Depth(64)));
        let names: Vec<&str> = chain.nodes.iter().map(|node| node.name.as_str()).collect();
        assert_eq!(names, ["mine", "b.example"]);
        assert_eq!(chain.nodes[0].headers[0].1.expose(), "Bearer TOKEN");
        assert_eq!(config.contracts[0].events.len(), 2);
        assert_eq!(config.contracts[0].start, Some(6_080_000));
        assert_eq!(config.plugins[0].config["depth"].expose(), "3");
        assert_eq!(config.plugins[0].memory_mib, Some(64));
        assert_eq!(config.plugins[0].finality, Some(Visibility::Depth(12)));
        assert_eq!(config.plugins[0].sinks, ["ops"]);
        let shown: Vec<String> = config.plugins[0].hosts.iter().map(|h| h.to_string()).collect();
        let expected = ["https://api.example.com", "http://127.0.0.1:8080"];
        assert_eq!(
            (&shown[..2], shown[2].as_str()),
            (&expected.map(str::to_owned)[..], "https://rates.internal:8443")
        );
        assert!(
            config.plugins[0].hosts[2].is_private() && !config.plugins[0].hosts[0].is_private()
        );
        assert_eq!(config.plugins[0].http_ca_file, Some(dir.path().join("tls/authority.pem")));
        let limits = config.plugins[0].http_limits.over(host::Limits::default());
        assert_eq!((limits.http_calls, limits.http_timeout_ms), (1, Some(250)));
        assert_eq!((limits.http_request_bytes, limits.http_response_bytes), (2, 16 << 20));
        assert_eq!((limits.http_headers, limits.http_header_bytes), (3, 4));
        assert!(config.plugins[0].is_filled_in, "`token` is");
        assert_eq!(config.plugins[0].batch_events, Some(100));
        assert_eq!(config.plugins[0].poison, Poison::Halt);
        assert_eq!(config.plugins[0].on_change, OnChange::Rebuild);
        let sink = &config.sinks[0];
        assert_eq!(
            (sink.name.as_str(), sink.url.expose()),
            ("ops", "https://hooks.example/SECRET")
        );
        assert_eq!(sink.secret.as_ref().map(Secret::expose), Some("SECRET"));
        assert_eq!((sink.timeout.as_secs(), sink.attempts_max), (3, 7));
    }

    #[test]
    fn the_example_of_the_documentation_is_read_whole() {
        let page = include_str!("../../../docs/config.md");
        let example = page.split("```").nth(1).unwrap().strip_prefix("toml").unwrap();
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("token"), "TOKEN\n").unwrap();
        let path = dir.path().join("headcount.toml");
        let config = Config::parse(&path, example, &environment(dir.path())).unwrap();
        assert_eq!((config.chains[0].nodes.len(), config.plugins.len()), (2, 1));
        assert_eq!(config.plugins[0].sinks, [config.sinks[0].name.as_str()]);
        assert_eq!(config.contracts[0].start, Some(6_080_000));
    }

    #[test]
    fn a_chain_without_a_name_is_told_how_chains_are_written() {
        for text in ["[chain]\nid = 1", "[[chain.node]]\nurl = \"http://a.example\""] {
            let found = mistakes(text).join("\n");
            assert!(found.contains("[chain.NAME]"), "{found}");
        }
    }

    #[test]
    fn all_mistakes_are_told_at_once_with_their_lines() {
        let found = mistakes(
            r#"ledgr = "x"
[chain.mainnet]
id = "one"
[[chain.mainnet.node]]
url = "https://${MISSING}/x"
[[contract]]
name = "usdc"
address = "0xA0B86991c6218b36c1d19D4a2e9Eb0cE3606eB48"
events = ["Transfer"]
[[contract]]
name = "usdc"
address = "0x1234"
[[plugin]]
name = "p"
finality = "soon"
"#,
        );
        let expected = [
            "1:1: unknown key `ledgr`",
            "3:6: `id` is a string, wanted an integer",
            "5:7: `${MISSING}` is not set",
            "8:11: `0xA0B86991c6218b36c1d19D4a2e9Eb0cE3606eB48` is not an address: its checksum",
            "9:11: `Transfer` is not an event",
            "11:8: a second contract named `usdc`",
            "12:11: `0x1234` is not an address",
            "13:1: `wasm` is missing",
            "15:12: `soon` is none of latest, safe, finalized, depth:N",
        ];
        assert_eq!(found.len(), expected.len(), "{found:#?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.contains(expected), "{expected}: {found}");
        }
    }

    #[test]
    fn a_sink_is_an_http_address_and_a_plugin_names_one_that_is_there() {
        let found = mistakes(
            "[sink.ops]\nurl = \"ftp://KEYKEY@a.example\"\nheaders = { \"a b\" = \"x\" }\n[sink.\"a b\"]\n\
             url = \"http://a.example\"\n[sink.bare]\n[sink.oops]\nurl = \"http://a.example\"\n[[plugin]]\nwasm = \"p.wasm\"\nsinks = [\"opps\"]\n",
        );
        let expected = [
            "2:7: the url of a sink begins with http:// or https://",
            "3:13: `a b` cannot name a header",
            "4:7: `a b` cannot name a sink",
            "6:1: `url` is missing",
            "11:10: there is no [sink.opps] (did you mean `oops`?)",
        ];
        assert_eq!(found.len(), expected.len(), "{found:#?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.contains(expected), "{expected}: {found}");
            assert!(!found.contains("KEYKEY"), "{found}");
        }
    }

    #[test]
    fn plugins_that_would_share_their_tables_are_told() {
        let found = mistakes(
            "[[contract]]\nname = \"usdc\"\naddress = \"0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48\"\n\
             [[plugin]]\nname = \"a-b\"\nwasm = \"p.wasm\"\n[[plugin]]\nname = \"A_b\"\nwasm = \"p.wasm\"\n\
             [[plugin]]\nname = \"usdc\"\nwasm = \"p.wasm\"\n[[plugin]]\nwasm = \"q.wasm\"\n\
             [[plugin]]\nwasm = \"q.wasm\"\n[[plugin]]\nname = \"select\"\nwasm = \"r.wasm\"\n",
        );
        let expected = [
            "8:8: a second plugin named `A_b`",
            "11:8: a contract is named `usdc`, too",
            "15:1: a second plugin of this file without a name",
            "18:8: `select` cannot name a plugin",
        ];
        assert_eq!(found.len(), expected.len(), "{found:#?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.contains(expected), "{expected}: {found}");
        }
    }

    #[test]
    fn a_host_is_granted_by_its_name_and_nothing_else() {
        let found = mistakes(
            "[[plugin]]\nwasm = \"p.wasm\"\nhttp = [\"*.example.com\", \"https://a.example/v1\"]\n\
             http_private = [\"a@b.example\", \"2130706433\"]\n",
        );
        let expected = [
            "3:9: `*.example.com` cannot be granted: a host is granted by its whole name, without `*`",
            "3:26: `https://a.example/v1` cannot be granted: it is a host with or without a port",
            "4:17: `a@b.example` cannot be granted: it is a host with or without a port",
            "4:32: `2130706433` cannot be granted: it is the address 127.0.0.1: write it so",
        ];
        assert_eq!(found.len(), expected.len(), "{found:#?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.contains(expected), "{expected}: {found}");
        }
    }

    #[test]
    fn limits_of_http_are_within_their_bounds_and_left_as_they_are_where_nothing_is_said() {
        let found = mistakes(
            "[[plugin]]\nwasm = \"p.wasm\"\n[plugin.limits]\nhttp_calls = 0\nhttp_cals = 1\n\
             http_timeout_ms = 600001\nhttp_request_bytes = 16777217\nhttp_response_bytes = -1\n\
             http_headers = 101\nhttp_header_bytes = \"64k\"\n",
        );
        let expected = [
            "4:14: `http_calls` must be from 1 to 1000",
            "5:1: unknown key `http_cals` (did you mean `http_calls`?)",
            "6:19: `http_timeout_ms` must be from 1 to 600000",
            "7:22: `http_request_bytes` must be from 1 to 16777216",
            "8:23: `http_response_bytes` is not a whole number from 0 up",
            "9:16: `http_headers` must be from 1 to 100",
            "10:21: `http_header_bytes` is a string, wanted an integer",
        ];
        assert_eq!(found.len(), expected.len(), "{found:#?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.contains(expected), "{expected}: {found}");
        }
        let defaults = host::Limits::default();
        assert_eq!(HttpLimits::default().over(defaults.clone()), defaults);
    }

    #[test]
    fn files_that_it_names_are_looked_at_where_that_is_wanted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("headcount.toml");
        fs::write(dir.path().join("p.wasm"), "p").unwrap();
        let text = format!(
            "[[plugin]]\nname = \"gone\"\nwasm = \"gone.wasm\"\n[[plugin]]\nname = \"other\"\n\
             wasm = \"p.wasm\"\nsha256 = \"{}\"\n[[contract]]\nname = \"c\"\n\
             address = \"0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48\"\nabi = \"gone.json\"\n\
             [[plugin]]\nname = \"tls\"\nwasm = \"p.wasm\"\nhttp_ca_file = \"gone.pem\"\n\
             [[plugin]]\nname = \"lts\"\nwasm = \"p.wasm\"\nhttp_ca_file = \"p.wasm\"\n",
            "0".repeat(64)
        );
        fs::write(&path, text).unwrap();
        let environment = environment(dir.path());
        assert!(Config::load(Some(&path), &environment).is_ok());
        let told = Config::load_with_files(Some(&path), &environment).unwrap_err().to_string();
        for words in [
            "3:8: `gone.wasm` cannot be read",
            "7:10: the component's sha256 is 148de9c5a7a44d19e56cd9ae1a554bf67847afb0c58f6e12fa29ac7ddfca9940",
            "11:7: `gone.json` cannot be read",
            "15:16: `gone.pem` cannot be used: No such file",
            "19:16: `p.wasm` cannot be used: there is no certificate in it",
        ] {
            assert!(told.contains(words), "{words}: {told}");
        }
    }

    #[test]
    fn broken_toml_is_told_with_its_line() {
        let found = mistakes("ledger = \"x\"\n[chain.mainnet\nid = 1\n");
        assert!(found[0].contains("2:"), "{found:?}");
    }

    #[test]
    fn a_secret_is_in_no_mistake() {
        let found = mistakes(
            "[chain.a]\nid = 1\nverify = \"${KEY}\"\n[[chain.a.node]]\nurl = \"${KEY}/x\"\n\
             headers = { \"a b\" = \"${KEY}\" }\n[[contract]]\nname = \"${KEY}\"\naddress = \"${KEY}\"\n",
        );
        assert_eq!(found.len(), 4, "{found:#?}");
        assert!(found.iter().all(|mistake| !mistake.contains("SECRET")), "{found:#?}");
    }

    #[test]
    fn a_header_that_http_would_refuse_is_told_without_its_value() {
        let found = mistakes(
            "[chain.a]\n[[chain.a.node]]\nurl = \"https://a.example\"\n\
             headers = { a = \"${KEY}\\n\", b = \"good\" }\n",
        );
        assert_eq!(found.len(), 1, "{found:#?}");
        assert!(found[0].contains("4:13: the value of header `a`"), "{found:#?}");
        assert!(!found[0].contains("SECRET"), "{found:#?}");
    }

    #[test]
    fn a_named_file_that_is_not_there_is_wrong_and_an_unnamed_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let nowhere = dir.path().to_str().unwrap();
        let environment = Environment::for_test(dir.path(), &[("XDG_CONFIG_HOME", nowhere)]);
        assert!(Config::load(Some(Path::new("gone.toml")), &environment).is_err());
    }

    #[test]
    fn a_file_that_is_no_text_is_told_with_a_hint() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("latin.toml"), b"# \xfc\n").unwrap();
        let environment = Environment::for_test(dir.path(), &[]);
        let error = Config::load(Some(Path::new("latin.toml")), &environment).unwrap_err();
        assert_eq!(error.kind, crate::command_error::ErrorKind::Usage);
        let error = error.to_string();
        assert!(error.contains("latin.toml") && error.contains("\nhint: "), "{error}");
    }
}
