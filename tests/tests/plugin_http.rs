//! Plugins that ask a host over HTTP, in the whole program: refused where nothing is granted, asked where it
//! is, and what they make of the answer is theirs like anything else. And messages from every language.

use crate::bad_input::Scene;
use headcount_tests::{Program, Receiver, SecureHost, skip, workspace};
use serde_json::Value;
use std::{net::TcpListener, path::Path};

/// Where nobody answers, for programs that look for a proxy in the environment.
const NO_PROXY_THERE: &str = "http://127.0.0.1:9";

macro_rules! scene {
    ($test:literal) => {
        match Scene::set_up() {
            Ok(scene) => scene,
            Err(missing) => skip!("{}: {missing}", $test),
        }
    };
}

macro_rules! labels {
    ($test:literal) => {
        match Program::plugin("labels") {
            Some(path) => path,
            None => skip!("{}: the plugins are not built (make plugins)", $test),
        }
    };
}

/// Arguments that replay the recorded chain.
fn replay(scene: &Scene, more: &[&str]) -> Vec<String> {
    let recording = workspace().join("fixtures/erc20.ndjson.gz").display().to_string();
    scene.arguments(&recording, more)
}

fn write_config(scene: &Scene, plugin: &Path, url: &str, grant: &str) -> String {
    let wasm = plugin.display();
    let text = format!("[[plugin]]\nwasm = \"{wasm}\"\nconfig = {{ url = \"{url}\" }}\n{grant}\n");
    scene.write("headcount.toml", text)
}

#[test]
fn a_plugin_asks_a_granted_host_and_keeps_what_it_said() {
    let scene = scene!("plugin http");
    let labels = labels!("plugin http");
    scene.program.run(replay(&scene, &["--quiet"])).expect_success();
    let query = |sql: &str| scene.program.query(&scene.ledger(), sql);
    let one = query("select hex0x(\"to\") a from token.Transfer order by 1 desc limit 1");
    let address = one[0]["a"].as_str().unwrap().to_owned();

    let names = Receiver::start();
    names.says(&format!("{{\"{address}\": \"alice\"}}"));
    let grant = format!("http = [\"{}\"]", names.url());
    write_config(&scene, &labels, &format!("{}/lookup", names.url()), &grant);
    // What is set for other programs is not for plugins.
    let program = scene.program.clone().with_variable("HTTP_PROXY", NO_PROXY_THERE);
    let program = program.with_variable("http_proxy", NO_PROXY_THERE);
    let program = program.with_variable("NO_PROXY", "").with_variable("no_proxy", "");
    let shown = program.run(["config", "show"]).expect_success().stdout;
    assert!(shown.contains(&names.url()), "{shown}");
    program.run(replay(&scene, &["--quiet"])).expect_success();
    let rows = query("select hex0x(address) a, label from labels.labels");
    assert_eq!(Value::Array(rows), serde_json::json!([{"a": address, "label": "alice"}]));
    let asked = names.received();
    assert!(!asked.is_empty());
    assert!(asked[0].head.starts_with("POST /lookup HTTP/1.1"), "{}", asked[0].head);
    let asked_for = |address: &str| asked.iter().filter(|a| a.body.contains(address)).count();
    assert_eq!(asked_for(&address), 1, "each address once");
    program.run(replay(&scene, &["--refetch", "--quiet"])).expect_success();
    assert_eq!(names.received().len(), asked.len(), "what is known is not asked for");
}

#[test]
fn a_plugin_that_fetches_is_refused_before_anything_is_read_where_nothing_is_granted() {
    let scene = scene!("plugin http refused");
    let labels = labels!("plugin http refused");
    let (url, wasm) = ("https://names.example/", labels.display().to_string());
    write_config(&scene, &labels, url, "");
    for more in [&[][..], &["--plugin", &wasm]] {
        let refused = scene.program.run(replay(&scene, more)).expect_code(2);
        let why = "plugin wants headcount:plugin/http@0.1.0, and no host is granted to it";
        assert!(refused.stderr.contains(why), "{}", refused.stderr);
        assert!(refused.stderr.contains("\nhint: ") && refused.stderr.contains("http = ["));
        assert!(!scene.ledger().exists());
    }
    write_config(&scene, &labels, url, "http = [\"names.example.org\"]");
    let refused = scene.program.run(replay(&scene, &[])).expect_code(2);
    assert!(refused.stderr.contains("the host of `url` is not granted"), "{}", refused.stderr);
    let config = write_config(&scene, &labels, url, "http = [\"*.example\"]");
    let wrong = scene.program.run(["config", "check", "--config", &config]).expect_code(2);
    assert!(wrong.stderr.contains("4:9: `*.example` cannot be granted"), "{}", wrong.stderr);
}

#[test]
fn an_author_asks_no_host_unless_that_is_said() {
    let scene = scene!("plugin test over http");
    let labels = labels!("plugin test over http");
    scene.program.run(replay(&scene, &["--quiet"])).expect_success();
    let names = Receiver::start();
    names.says("{}");
    let grant = format!("http = [\"{}\"]", names.url());
    let config = write_config(&scene, &labels, &names.url(), &grant);
    let config = std::fs::read_to_string(&config).unwrap();
    scene.write("headcount.toml", config.replace("[[plugin]]", "[[plugin]]\nname = \"names\""));
    let ledger = scene.ledger().display().to_string();
    let test = ["plugin", "test", "names", "--ledger", &ledger];
    let denied = scene.program.run(test).expect_code(1);
    assert!(denied.stderr.contains("nothing is sent in this run"), "{}", denied.stderr);
    assert!(denied.stderr.contains("`plugin test --answers FILE`"), "{}", denied.stderr);
    assert!(denied.stderr.contains("`--allow-http`"), "{}", denied.stderr);
    assert_eq!(names.received(), []);
    let check = ["plugin", "check", "names", "--ledger", &ledger, "-b", ":latest"];
    let checked = scene.program.run(check.iter().chain(&["--format", "json"])).expect_success();
    let report: Value = serde_json::from_str(&checked.stdout).unwrap();
    assert!(report["capabilities"].to_string().contains("\"http\""), "{report}");
    let checks = report["checks"].as_array().unwrap();
    let every = checks.iter().find(|check| check["name"] == "every event").unwrap();
    assert_eq!(every["result"], "not-run", "{every}");
    assert!(every["reason"].as_str().unwrap().starts_with("it fetches over HTTP, "), "{every}");
    assert_eq!(names.received(), []);
    let allowed = scene.program.run(test.iter().chain(&["--allow-http"])).expect_success();
    assert!(allowed.stderr.contains("0 rows"), "{}", allowed.stderr);
    assert!(!names.received().is_empty());
}

#[test]
fn a_plugin_that_fetches_is_tried_without_a_network_with_answers_of_a_file() {
    let scene = scene!("plugin test, answers");
    let labels = labels!("plugin test, answers");
    scene.program.run(replay(&scene, &["--quiet"])).expect_success();
    let query = |sql: &str| scene.program.query(&scene.ledger(), sql);
    let one = query("select hex0x(\"to\") a from token.Transfer order by 1 desc limit 1");
    let address = one[0]["a"].as_str().unwrap().to_owned();
    let url = "https://names.example/lookup";
    let config = write_config(&scene, &labels, url, "name = \"names\"");
    let ledger = scene.ledger().display().to_string();
    let named = format!(
        "{{\"method\": \"POST\",\n \"url\": \"{url}\",\n \"json\": {{\"{address}\": \"alice\"}}}}\n"
    );
    let answers = scene.write("answers.ndjson", &named);
    let golden = scene.folder.path().join("rows.ndjson").display().to_string();
    let test = ["plugin", "test", "names", "--ledger", &ledger, "--golden", &golden];
    let with = |more: &[&str]| {
        let answered = ["--answers", &answers];
        scene.program.run(test.iter().chain(&answered).chain(more))
    };
    with(&["--bless"]).expect_success();
    let rows = std::fs::read_to_string(&golden).unwrap();
    assert_eq!(rows.lines().count(), 1, "{rows}");
    assert!(rows.contains("alice") && rows.contains(&address[2..]), "{rows}");
    with(&[]).expect_success();
    with(&["--one-block"]).expect_success();

    // Now its rows are a function of the events, and a check says so.
    let check = ["plugin", "check", "names", "--ledger", &ledger, "-b", ":latest"];
    let check = || {
        let answered = ["--answers", &answers, "--format", "json"];
        scene.program.run(check.iter().chain(&answered))
    };
    let checked = check().expect_success();
    let report: Value = serde_json::from_str(&checked.stdout).unwrap();
    let checks = report["checks"].as_array().unwrap();
    assert!(checks.iter().all(|check| check["result"] == "passed"), "{report}");

    // A host that is down is asked again, as often as one would.
    let down = format!("{{\"method\":\"POST\",\"url\":\"{url}\",\"fault\":\"timeout\"}}");
    scene.write("answers.ndjson", down);
    let waiting = with(&[]).expect_code(1);
    assert!(waiting.stderr.contains("it asked to be called later again"), "{}", waiting.stderr);

    // What nobody recorded fails the run, whatever the plugin makes of it.
    scene.write("answers.ndjson", named.replace("POST", "GET"));
    let none = with(&[]).expect_code(1);
    assert!(none.stderr.contains("answers.ndjson has no answer for POST {url}"), "{}", none.stderr);
    assert!(none.stderr.contains("\nhint: add {\"method\": ...,"), "{}", none.stderr);
    let checked = check().expect_code(1);
    assert!(
        checked.stdout.contains("there is no recorded answer for POST {url}"),
        "{}",
        checked.stdout
    );
    // A URL that holds a key is not shown.
    let keyed = std::fs::read_to_string(&config).unwrap().replace("lookup", "${KEY_PART}");
    scene.write("headcount.toml", keyed);
    let program = scene.program.clone().with_variable("KEY_PART", "CanaryAnswers1a2b");
    let none = program.run(test.iter().chain(&["--answers", &answers])).expect_code(1);
    assert!(
        none.stderr.contains("no answer for POST https://names.example/***"),
        "{}",
        none.stderr
    );
    assert!(!none.stderr.contains("CanaryAnswers"), "{}", none.stderr);

    write_config(&scene, &labels, url, "name = \"names\"");
    scene.write("answers.ndjson", "{\"url\":\"names.example\"}");
    let wrong = with(&[]).expect_code(2);
    assert!(wrong.stderr.contains("answer 1: its url: it is no URL"), "{}", wrong.stderr);
    assert!(wrong.stderr.contains("\nhint: an answer is a JSON object"), "{}", wrong.stderr);
    let both = with(&["--allow-http"]).expect_code(2);
    assert!(both.stderr.contains("--allow-http"), "{}", both.stderr);
}

#[test]
fn a_plugin_asks_over_tls_with_the_certificate_of_an_authority_of_ones_own() {
    let scene = scene!("plugin http, tls");
    let labels = labels!("plugin http, tls");
    let names = SecureHost::start("{}");
    let grant = format!("http = [\"{}\"]", names.url());
    write_config(&scene, &labels, &names.url(), &grant);
    // A run does not wait for a host that it cannot believe; the plugin asks again in the next one.
    let ended = scene.program.run(replay(&scene, &[]));
    assert!(ended.stderr.contains("UnknownIssuer"), "{}", ended.stderr);
    assert_eq!(names.asked(), 0);
    let authority = SecureHost::authority().display().to_string();
    let trusts = format!("{grant}\nhttp_ca_file = \"{authority}\"");
    let config = write_config(&scene, &labels, &names.url(), &trusts);
    scene.program.run(["config", "check", "--config", &config]).expect_success();
    let shown = scene.program.run(["config", "show"]).expect_success().stdout;
    assert!(shown.contains(&format!("http_ca_file = \"{authority}\"")), "{shown}");
    scene.program.run(replay(&scene, &["--quiet"])).expect_success();
    assert!(names.asked() > 0);

    let trusts = trusts.replace("authority.pem", "key.pem");
    let config = write_config(&scene, &labels, &names.url(), &trusts);
    let wrong = scene.program.run(["config", "check", "--config", &config]).expect_code(2);
    assert!(wrong.stderr.contains("there is no certificate in it"), "{}", wrong.stderr);
    let wrong = scene.program.run(replay(&scene, &["--quiet"])).expect_code(2);
    assert!(wrong.stderr.contains("there is no certificate in it"), "{}", wrong.stderr);
}

#[test]
fn a_plugin_is_added_with_the_hosts_that_it_may_ask() {
    let scene = scene!("plugin add --http");
    let labels = labels!("plugin add --http");
    let names = Receiver::start();
    names.says("{}");
    let config = scene.write("headcount.toml", "# mine\n");
    let (url, wasm) = (format!("{}/lookup", names.url()), labels.display().to_string());
    let setting = format!("url={url}");
    let add = |more: &[&str]| {
        let add = ["plugin", "add", "names", &wasm, "--set", &setting];
        scene.program.run(add.iter().chain(more))
    };
    let refused = add(&[]).expect_code(2);
    assert!(refused.stderr.contains("no host is granted to it"), "{}", refused.stderr);
    assert!(refused.stderr.contains("`plugin add --http HOST`"), "{}", refused.stderr);
    let wrong = add(&["--http", "*.example"]).expect_code(2);
    assert!(wrong.stderr.contains("without `*`"), "{}", wrong.stderr);
    let other = add(&["--http", "names.example"]).expect_code(2);
    assert!(other.stderr.contains("the host of `url` is not granted"), "{}", other.stderr);
    assert_eq!(std::fs::read_to_string(&config).unwrap(), "# mine\n", "nothing is half added");
    add(&["--http", &names.url(), "--http-private", "rates.internal:8443"]).expect_success();
    let text = std::fs::read_to_string(&config).unwrap();
    assert!(text.contains(&format!("http = [\"{}\"]", names.url())), "{text}");
    assert!(text.contains("http_private = [\"rates.internal:8443\"]"), "{text}");
    scene.program.run(replay(&scene, &["--quiet"])).expect_success();
    assert!(!names.received().is_empty());
}

#[test]
fn an_operator_bounds_what_a_plugin_asks() {
    let scene = scene!("plugin http, limits");
    let labels = labels!("plugin http, limits");
    let names = Receiver::start();
    names.says(&"x".repeat(2_000));
    let with = |limits: &str| {
        let grant = format!("http = [\"{}\"]\nlimits = {{ {limits} }}", names.url());
        write_config(&scene, &labels, &names.url(), &grant);
        scene.program.run(replay(&scene, &["--refetch"]))
    };
    let small = with("http_response_bytes = 1000");
    let why = "limit `http_response_bytes` of 1000 exceeded";
    assert!(small.stderr.contains(why), "{}", small.stderr);
    let shown = scene.program.run(["config", "show"]).expect_success().stdout;
    assert!(shown.contains("http_response_bytes = 1000"), "{shown}");
    let wrong = with("http_calls = 0").expect_code(2);
    assert!(wrong.stderr.contains("`http_calls` must be from 1 to 1000"), "{}", wrong.stderr);
}

#[test]
fn a_granted_name_that_leads_to_this_machine_halts_the_plugin_and_recording_goes_on() {
    let scene = scene!("plugin http, localhost");
    let labels = labels!("plugin http, localhost");
    let untouched = TcpListener::bind("127.0.0.1:0").unwrap();
    untouched.set_nonblocking(true).unwrap();
    let url = format!("http://localhost:{}", untouched.local_addr().unwrap().port());
    write_config(&scene, &labels, &url, &format!("http = [\"{url}\"]"));
    let ended = scene.program.run(replay(&scene, &[])).expect_code(75);
    let why = "localhost is granted, but it leads to ";
    assert!(ended.stderr.contains(why), "{}", ended.stderr);
    assert!(untouched.accept().is_err(), "somebody called");
    let events = "select count(*)::integer n from token.Transfer";
    assert_ne!(scene.program.query(&scene.ledger(), events)[0]["n"], 0);

    let names = Receiver::start();
    names.says("{}");
    let url = names.url().replace("127.0.0.1", "localhost");
    write_config(&scene, &labels, &url, &format!("http_private = [\"{url}\"]"));
    let resume = ["plugin", "resume", "labels", "--ledger", &scene.ledger().display().to_string()];
    scene.program.run(resume).expect_success();
    scene.program.run(replay(&scene, &["--refetch", "--quiet"])).expect_success();
    assert!(!names.received().is_empty());
}

#[test]
fn a_plugin_killed_between_an_answer_and_its_commit_asks_again_and_ends_the_same() {
    let scene = scene!("plugin http, killed");
    let labels = labels!("plugin http, killed");
    let names = Receiver::start();
    names.says("{}");
    write_config(&scene, &labels, &names.url(), &format!("http = [\"{}\"]", names.url()));
    let known = "select count(*)::integer n from plugin_state where plugin = 'labels'";
    let mut deaths = 0;
    for failpoint in ["store.lane.before_commit:1", "store.lane.after_commit:1"] {
        let program = scene.program.clone().with_variable("HEADCOUNT_FAILPOINT", failpoint);
        deaths += u32::from(program.run(replay(&scene, &["--quiet"])).code.is_none());
    }
    assert_eq!(deaths, 2);
    scene.program.run(replay(&scene, &["--quiet"])).expect_success();
    let asked = names.received();
    // The first answer was lost with the process.
    for address in asked[0].body.split('"').filter(|word| word.starts_with("0x")) {
        let is_again = asked[1..].iter().any(|request| request.body.contains(address));
        assert!(is_again, "{address} was not asked for anew");
    }
    let addresses = "select count(distinct a)::integer n from
        (select \"from\" a from token.Transfer union all select \"to\" from token.Transfer)";
    let count = |sql: &str| scene.program.query(&scene.ledger(), sql)[0]["n"].clone();
    assert_eq!(count(known), count(addresses));
}

#[test]
fn no_key_in_a_request_is_found_anywhere() {
    const KEY: &str = "CanaryRequest5e6f7a";
    let scene = scene!("plugin http, keys");
    let labels = labels!("plugin http, keys");
    let names = Receiver::start();
    let url = format!("{}/${{KEY_PART}}?key=${{KEY_PART}}", names.url());
    write_config(&scene, &labels, &url, &format!("http = [\"{}\"]", names.url()));
    let program = scene.program.clone().with_variable("KEY_PART", KEY);
    // All that whoever carries a request has to say.
    let words = "debug,reqwest=trace,hyper=trace,hyper_util=trace,rustls=trace";
    let program = program.with_variable("HEADCOUNT_LOG", words);
    // Busy, gone, no names, and well.
    let answers = [(503, ""), (404, ""), (200, "<html>"), (200, "{}")];
    for (status, said) in answers {
        names.says(said);
        names.answers(move |_, _| (status, String::new()));
        let ended = program.run(replay(&scene, &["--refetch"]));
        println!("{status}: {:?} {}", ended.code, ended.stderr.lines().last().unwrap_or_default());
        for text in [&ended.stdout, &ended.stderr] {
            assert!(!text.contains(KEY), "{status}: {text}");
        }
        let resume = ["plugin", "resume", "labels", "--ledger", "events.duckdb"];
        program.run(resume);
    }
    assert!(names.received().iter().all(|request| request.head.contains(KEY)));
    assert!(names.received().len() >= answers.len(), "{:?}", names.received());
    for entry in std::fs::read_dir(scene.folder.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
            assert!(!text.contains(KEY), "it is in {}", path.display());
        }
    }
}

#[test]
fn a_plugin_in_javascript_asks_a_host_and_sends_a_message() {
    let scene = scene!("unruly-js, http");
    match Program::script_plugin("unruly-js") {
        Some(plugin) => asks_and_tells(&scene, &plugin, "unruly_js", "js"),
        None => skip!("unruly-js, http: it is not built (make script-plugins)"),
    }
}

#[test]
fn a_plugin_in_python_asks_a_host_and_sends_a_message() {
    let scene = scene!("unruly-python, http");
    match Program::script_plugin("unruly-python") {
        Some(plugin) => asks_and_tells(&scene, &plugin, "unruly_python", "python"),
        None => skip!("unruly-python, http: it is not built (make script-plugins)"),
    }
}

/// The misdeed `asks` is none: it asks a host for a text, and sends that as a message for each event.
fn asks_and_tells(scene: &Scene, plugin: &Path, schema: &str, language: &str) {
    let (host, hook) = (Receiver::start(), Receiver::start());
    host.says("good day");
    let of = |grant: &str, sinks: &str, url: &str| {
        format!(
            "[sink.hook]\nurl = \"{}\"\n[[plugin]]\nwasm = \"{}\"\n{grant}\n{sinks}\n\
             config = {{ misdeed = \"asks\", url = \"{url}\", sink = \"hook\" }}\n\
             limits = {{ deadline_ms = 60000, memory_mib = 256 }}\n",
            hook.url(),
            plugin.display(),
        )
    };
    let folder = Program::compiled_plugins().display().to_string();
    let program = scene.program.clone().with_variable("HEADCOUNT_CACHE", &folder);
    let grant = format!("http = [\"{}\"]", host.url());
    for (grant, sinks, url, why) in [
        ("", "sinks = [\"hook\"]", host.url(), "no host is granted to it"),
        (&grant, "", host.url(), "sink hook is not granted"),
        (&grant, "sinks = [\"hook\"]", "ftp://a.example/".to_owned(), "a.example/ is not granted"),
    ] {
        scene.write("headcount.toml", of(grant, sinks, &url));
        let refused = program.run(replay(scene, &[])).expect_code(2);
        assert!(refused.stderr.contains(why), "{why}: {}", refused.stderr);
    }
    scene.write("headcount.toml", of(&grant, "sinks = [\"hook\"]", &host.url()));
    program.run(replay(scene, &["--quiet"])).expect_success();
    let count = |sql: &str| program.query(&scene.ledger(), sql)[0]["n"].as_u64().unwrap();
    let events = count("select count(*)::integer n from token.Transfer") as usize;
    let said = format!("select count(*)::integer n from {schema}.senses where text = 'good day'");
    assert_eq!(count(&said) as usize, events);
    let asked = host.received();
    assert!(!asked.is_empty() && asked.iter().all(|request| request.body == "hello"));
    assert_eq!(asked[0].header("x-of").map(str::trim), Some(language));
    let told = hook.received();
    assert_eq!(told.len(), events, "a message for each event");
    for message in &told {
        let body: Value = serde_json::from_str(&message.body).unwrap();
        assert_eq!(body, serde_json::json!({"said": "good day"}));
    }
    let mut keys: Vec<&str> = told.iter().map(|message| message.key()).collect();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), events, "each with a key of its own");
}
