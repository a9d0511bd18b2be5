//! The command as a user gives it, against three clients that are played over HTTP: exit codes, and
//! what the report names.

#![allow(clippy::unwrap_used, reason = "tests")]

use super::run;
use crate::{
    audit_report::{AuditFormat, AuditReport},
    command_error::CommandError,
    commands::{Command, Headcount},
    environment::Environment,
    exit_codes::ExitCode,
    interrupt::Interrupt,
    plan::{AuditPlan, ReplayPlan},
};
use clap::Parser;
use event::{AnyOf, BlockRange, Filter};
use fakenode::{Dialect, Drive, FakeNode, FakeSettings};
use serde_json::{Value, json};
use sim::{
    Methods, Rule, Trouble, World, WorldSettings,
    chain::{expected, token, transfer_topic, wanted},
    faults::{Persona, pruned},
};
use std::{fs, path::Path};
use tempfile::TempDir;

const TRANSFER: &str = "Transfer(address indexed from, address indexed to, uint256 value)";
/// Below the finalized block.
const LAST: u64 = 40;

/// Three clients of one chain, in a folder of their own.
struct Scene {
    world: World,
    nodes: Vec<FakeNode>,
    folder: TempDir,
    environment: Environment,
    _drive: Drive,
}

fn followed() -> Filter {
    Filter::new(AnyOf::one(token(0)), AnyOf::one(transfer_topic()))
}

impl Scene {
    async fn new(personas: Vec<Persona>) -> Self {
        let settings = WorldSettings {
            block_time_ms: u64::MAX / 4,
            latency_ms: (0, 2),
            ..WorldSettings::of_seed(7)
        };
        let world = World::new(settings);
        let clients =
            [("geth", Dialect::Geth), ("nether", Dialect::Nethermind), ("reth", Dialect::Reth)];
        let mut nodes = Vec::new();
        for ((name, dialect), rules) in clients.into_iter().zip(personas) {
            let node = world.add_node(name, rules);
            let settings = FakeSettings { dialect, ..FakeSettings::default() };
            nodes.push(FakeNode::serve(node, settings).await.unwrap());
        }
        let folder = tempfile::tempdir().unwrap();
        let environment = Environment::for_test(folder.path(), &[]);
        let drive = Drive::start(world.clone());
        Self { world, nodes, folder, environment, _drive: drive }
    }

    /// The first block in the middle with so many events or more.
    fn busy(least: usize) -> u64 {
        let world = World::new(WorldSettings::of_seed(7));
        world.tree(|tree| {
            let count = |n: &u64| wanted(tree.at(*n).unwrap(), &followed()).count();
            (5..LAST - 1).find(|n| count(n) >= least).unwrap()
        })
    }

    fn events(&self) -> usize {
        let range = BlockRange::new(1, LAST).unwrap();
        self.world.tree(|tree| expected(tree, &followed(), range).len())
    }

    /// Writes a file of expectations.
    fn expect(&self, text: &str) -> String {
        let path = self.folder.path().join("expect.toml");
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn sources(&self) -> Vec<String> {
        let names = ["geth", "nether", "reth"];
        let urls =
            names.iter().zip(&self.nodes).map(|(n, node)| format!("{n}={}", node.http_url()));
        let contract = format!("gold={}", token(0));
        let nodes = urls.flat_map(|url| ["-r".to_owned(), url]);
        nodes.chain(["-c".to_owned(), contract, "-e".to_owned(), TRANSFER.to_owned()]).collect()
    }

    fn arguments(&self, more: &[&str]) -> Vec<String> {
        let mut arguments = vec!["headcount".to_owned(), "audit".to_owned()];
        arguments.extend(self.sources());
        if !more.contains(&"-b") {
            arguments.extend(["-b".to_owned(), format!("1:{LAST}")]);
        }
        arguments.extend(more.iter().map(|argument| (*argument).to_owned()));
        arguments
    }

    async fn try_audit(&self, more: &[&str]) -> Result<AuditReport, CommandError> {
        self.try_audit_of(self.arguments(more)).await
    }

    async fn try_audit_of(&self, arguments: Vec<String>) -> Result<AuditReport, CommandError> {
        let parsed = Headcount::try_parse_from(arguments)
            .map_err(|error| CommandError::of_command_line(&error, "headcount audit"))?;
        let Command::Audit(args) = parsed.command else { panic!("it is an audit") };
        let plan = AuditPlan::resolve(&args, &self.environment)?;
        run(&plan, &self.environment, &Interrupt::default()).await
    }

    /// The report for programs, which must come with this exit code.
    async fn audit(&self, more: &[&str], code: ExitCode) -> Value {
        let report = self.try_audit(more).await.unwrap();
        let told = json(&report);
        assert_eq!(report.exit_code(), code, "{more:?}: {told:#}");
        assert_eq!(told["exit_code"], json!(code as u8));
        told
    }

    /// Reads the range into a ledger on the word of one node.
    async fn replay(&self, ledger: &Path, node: usize) {
        let url = format!("one={}", self.nodes[node].http_url());
        let (range, contract) = (format!("1:{LAST}"), format!("gold={}", token(0)));
        let ledger = ledger.to_str().unwrap().to_owned();
        let arguments = ["headcount", "replay", "-r", &url, "-c", &contract, "-e", TRANSFER];
        let more = ["-b", &range, "--verify", "off", "--ledger", &ledger];
        let parsed = Headcount::try_parse_from(arguments.iter().chain(&more)).unwrap();
        let Command::Replay(args) = parsed.command else { panic!("it is a replay") };
        let plan = ReplayPlan::resolve(&args, &self.environment).unwrap();
        let environment = self.environment.clone();
        let replayed =
            tokio::task::spawn_blocking(move || crate::session::replay(&plan, &environment));
        assert_eq!(replayed.await.unwrap().unwrap().1, ExitCode::Done);
    }
}

fn json(report: &AuditReport) -> Value {
    serde_json::from_str(&written(report, AuditFormat::Json)).unwrap()
}

fn written(report: &AuditReport, format: AuditFormat) -> String {
    let mut out = Vec::new();
    report.write(format, false, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn honest() -> Persona {
    Vec::new()
}

fn lie(methods: Methods, trouble: Trouble, block: u64) -> Persona {
    vec![Rule::on(methods, trouble).in_blocks(BlockRange::one(block))]
}

/// Who is named with what, without repeats.
fn named(report: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let by = report["findings_by"].as_array().unwrap().iter();
    by.map(|by| (text(&by["who"]), text(&by["kind"]))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn audit_through_three_honest_clients_is_exit_0_and_says_what_was_looked_at() {
    let scene = Scene::new(vec![honest(), honest(), honest()]).await;
    for require in ["off", "bloom", "agree:2", "agree:3", "prove"] {
        let told = scene.audit(&["--require", require], ExitCode::Done).await;
        assert_eq!(told["status"], "complete", "{told:#}");
        assert_eq!(told["proved"], json!(require == "prove"));
        assert_eq!(told["filters"][0]["events"], scene.events(), "{require}");
        assert_eq!(told["events"][0]["name"], "gold.Transfer");
        assert_eq!(told["events"][0]["count"], scene.events());
        assert_eq!(told["range"], json!({"first": 1, "last": LAST, "count": LAST}));
        assert_eq!(told["filters"][0]["blocks"]["complete"], LAST);
    }
    let report = scene.try_audit(&[]).await.unwrap();
    let told = json(&report);
    let last = scene.world.tree(|tree| tree.at(LAST).unwrap().hash.to_string());
    assert_eq!(told["last_block"]["hash"], last);
    assert_eq!(told["anchor"]["policy"], "agreed:2");
    assert_eq!(told["anchor"]["nodes"].as_array().unwrap().len(), 3);
    assert_eq!(told["code"][0]["has_code"], true);
    assert!(told["nodes"][0]["calls"]["eth_getBlockReceipts"].as_u64().unwrap() > 0);
    assert_eq!(told["nodes"][1]["calls"].get("eth_getBlockReceipts"), None, "one proves: {told:#}");
    let human = written(&report, AuditFormat::Human);
    assert!(human.starts_with("audit    complete, proved\n"), "{human}");
    assert!(human.contains(&format!("[{}]", "#".repeat(LAST as usize))), "{human}");
    assert!(human.contains(&format!("last     {LAST} {last}")), "{human}");
    let weak = scene.try_audit(&["--require", "bloom"]).await.unwrap();
    let human = written(&weak, AuditFormat::Human);
    assert!(human.starts_with("audit    complete, not proved (bloom)\n"), "{human}");
    let github = written(&weak, AuditFormat::Github);
    assert!(github.contains("not proved (bloom)"), "{github}");
}

#[tokio::test(flavor = "multi_thread")]
async fn f25_f26_f28_f81_audit_of_three_clients_names_the_one_that_lies_with_exit_1_at_every_level()
{
    let block = Scene::busy(2);
    let (range_only, logs) = (Methods::RANGE_LOGS, Methods::LOGS);
    let lies = [
        ("missing", "missing", lie(range_only, Trouble::NoLogs, block)),
        ("missing", "missing", lie(logs, Trouble::NoLogs, block)),
        ("missing", "missing", lie(logs, Trouble::LostLog, block)),
        ("forged", "forged", lie(logs, Trouble::AddedLog, block)),
        ("missing", "altered", lie(logs, Trouble::AlteredLog, block)),
        ("missing", "moved", lie(logs, Trouble::MovedLog, block)),
        ("missing", "missing", pruned(LAST + 1)),
    ];
    for (i, (status, kind, persona)) in lies.into_iter().enumerate() {
        // Each of the three is the liar for some of the lies; the first is also the one that proves.
        let liar = i % 3;
        let mut personas = vec![honest(), honest(), honest()];
        personas[liar] = persona;
        let scene = Scene::new(personas).await;
        let name = ["geth", "nether", "reth"][liar];
        // Receipts that are never given are asked for again and again: once is enough here.
        let levels = match i {
            6 => &["prove"][..],
            _ => &["off", "bloom", "agree:2", "prove"],
        };
        for require in levels {
            let told = scene.audit(&["--require", require], ExitCode::CheckFailed).await;
            assert_eq!(told["status"], status, "{kind} {require}: {told:#}");
            assert_eq!(named(&told), [(name.to_owned(), kind.to_owned())], "{require}: {told:#}");
            assert_eq!(told["filters"][0]["events"], scene.events(), "{kind} {require}");
            let finding = &told["findings"][0];
            let hash = scene.world.tree(|tree| {
                tree.at(finding["block"]["number"].as_u64().unwrap()).unwrap().hash.to_string()
            });
            assert_eq!(finding["block"]["hash"], hash);
            assert!(finding["log"]["tx_hash"].as_str().unwrap().len() == 66);
            assert_eq!(finding["log"]["event"], "gold.Transfer");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn f26_f27_two_clients_that_lose_the_same_are_exit_1_with_honest_receipts_and_3_without() {
    let block = Scene::busy(2);
    let lost = || lie(Methods::LOGS, Trouble::NoLogs, block);
    let scene = Scene::new(vec![lost(), lost()]).await;
    let told = scene.audit(&[], ExitCode::CheckFailed).await;
    let missing = |name: &str| (name.to_owned(), "missing".to_owned());
    assert_eq!(named(&told), [missing("geth"), missing("nether")]);
    assert_eq!(told["filters"][0]["events"], scene.events());

    for withheld in [Trouble::NullReceipts, Trouble::EmptyReceipts] {
        let mut both = lost();
        both.extend(lie(Methods::RECEIPTS, withheld, block));
        let scene = Scene::new(vec![both.clone(), both]).await;
        let report = scene.try_audit(&[]).await.unwrap();
        let told = json(&report);
        assert_eq!(report.exit_code(), ExitCode::Undecided, "{told:#}");
        assert_eq!(told["status"], "undecided");
        assert_eq!(told["filters"][0]["blocks"]["undecided"], 1);
        let span = told["filters"][0]["spans"].as_array().unwrap().iter();
        let open: Vec<&Value> = span.filter(|span| span["status"] == "undecided").collect();
        assert_eq!((open.len(), &open[0]["first"]), (1, &json!(block)));
        let junit = written(&report, AuditFormat::Junit);
        assert!(junit.contains("<error message="), "{junit}");
        let github = written(&report, AuditFormat::Github);
        assert!(github.contains(&format!("::{block}:{block} (1 block): geth: ")), "{github}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn audit_names_what_the_ledger_lacks_alters_or_has_too_much_and_leaves_it_as_it_is() {
    let block = Scene::busy(2);
    let logs = Methods::LOGS;
    for (kind, persona) in [
        ("missing", lie(logs, Trouble::LostLog, block)),
        ("forged", lie(logs, Trouble::AddedLog, block)),
        ("altered", lie(logs, Trouble::AlteredLog, block)),
    ] {
        // The third fills the ledger and is not audited.
        let scene = Scene::new(vec![honest(), honest(), persona]).await;
        let path = scene.folder.path().join("l.duckdb");
        scene.replay(&path, 2).await;
        let before = fs::read(&path).unwrap();
        let mut arguments = scene.arguments(&["--ledger", path.to_str().unwrap()]);
        let third = arguments.iter().position(|word| word.starts_with("reth=")).unwrap();
        arguments.drain(third - 1..=third);
        let report = scene.try_audit_of(arguments).await.unwrap();
        let told = json(&report);
        assert_eq!(report.exit_code(), ExitCode::CheckFailed, "{told:#}");
        assert_eq!(named(&told), [("ledger".to_owned(), kind.to_owned())], "{told:#}");
        assert_eq!(told["findings"].as_array().unwrap().len(), 1);
        assert_eq!(told["findings"][0]["block"]["number"], block);
        assert_eq!(fs::read(&path).unwrap(), before, "it was written to");
        let human = written(&report, AuditFormat::Human);
        assert!(human.contains(&format!("finding  {kind}: ledger ")), "{human}");
    }
    let scene = Scene::new(vec![honest(), honest()]).await;
    let path = scene.folder.path().join("l.duckdb");
    scene.replay(&path, 0).await;
    let told = scene.audit(&["--ledger", path.to_str().unwrap()], ExitCode::Done).await;
    assert_eq!(told["ledger"]["compared"], true);
    // The default one is compared where it is there, and told where it is not.
    let told = scene.audit(&[], ExitCode::Done).await;
    assert_eq!(told["ledger"]["compared"], false);
    assert_eq!(told["ledger"]["reason"], "not compared: there is none");
    assert_eq!(told["warnings"], json!([]));
    let told = scene.audit(&["--no-ledger"], ExitCode::Done).await;
    assert_eq!(told["warnings"], json!([]));
    let error = scene.try_audit(&["--ledger", "gone.duckdb"]).await.unwrap_err();
    assert_eq!(error.kind.exit_code(), ExitCode::Usage);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_without_code_is_exit_2_and_no_event_at_all_a_warning() {
    let scene = Scene::new(vec![honest(), honest()]).await;
    let typo = |arguments: Vec<String>| -> Vec<String> {
        let nobody = "gold=0x00000000000000000000000000000000000000ff".to_owned();
        let is_gold = |word: &String| word.starts_with("gold=");
        arguments.into_iter().map(|w| if is_gold(&w) { nobody.clone() } else { w }).collect()
    };
    let error = scene.try_audit_of(typo(scene.arguments(&[]))).await.unwrap_err();
    assert_eq!(error.kind.exit_code(), ExitCode::Usage);
    assert!(error.to_string().contains("has no code at block 40"), "{error}");
    let report = scene.try_audit_of(typo(scene.arguments(&["--allow-no-code"]))).await.unwrap();
    assert_eq!(report.exit_code(), ExitCode::Done);
    assert!(
        report.warnings.iter().any(|w| w.contains("no event matched")),
        "{:?}",
        report.warnings
    );
    let few = typo(scene.arguments(&["--allow-no-code", "--min-events", "1"]));
    assert_eq!(scene.try_audit_of(few).await.unwrap().exit_code(), ExitCode::CheckFailed);

    // Nodes that do not say: an event shows that the contract is there, without one nothing does.
    let mute = || vec![Rule::on(Methods::STATE, Trouble::MethodMissing)];
    let scene = Scene::new(vec![mute(), mute()]).await;
    let told = scene.audit(&[], ExitCode::Done).await;
    assert_eq!(told["code"][0]["has_code"], Value::Null);
    let report = scene.try_audit_of(typo(scene.arguments(&[]))).await.unwrap();
    assert_eq!(report.exit_code(), ExitCode::Undecided);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_of_no_blocks_is_exit_2_and_one_beyond_the_head_exit_3() {
    let scene = Scene::new(vec![honest(), honest()]).await;
    for range in ["9:5", "7:+0", "500:latest", ":9"] {
        let error = scene.try_audit(&["-b", range]).await.unwrap_err();
        assert_eq!(error.kind.exit_code(), ExitCode::Usage, "{range}: {error}");
    }
    let told = scene.audit(&["-b", "60:70"], ExitCode::Undecided).await;
    assert_eq!(told["filters"][0]["blocks"]["complete"], 5, "{told:#}");
    assert_eq!(told["filters"][0]["blocks"]["undecided"], 6, "{told:#}");
    let sentence = told["sentence"].as_str().unwrap();
    assert!(sentence.contains("the head is 64"), "{sentence}");
    scene.audit(&["-b", "100:200"], ExitCode::Undecided).await;
    scene.audit(&["-b", "-10:latest"], ExitCode::Done).await;
    let told = scene.audit(&["--max-time", "1ms"], ExitCode::Undecided).await;
    assert_eq!(told["filters"][0]["blocks"]["undecided"], LAST);
    assert!(told["warnings"][0].as_str().unwrap().contains("--max-time"), "{told:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn f2_where_no_node_answers_or_too_few_agree_audit_is_exit_3() {
    let dead = || vec![Rule::on(Methods::ASKS, Trouble::Unreachable)];
    let scene = Scene::new(vec![dead(), dead()]).await;
    let expect = scene.expect(
        "[[count]]\nevent = \"gold.Transfer\"\nmin = 1\n\
         [[sql]]\nname = \"rows\"\nquery = \"select 1\"\nequals = 1\n\
         [[state]]\nname = \"moved\"\ncontract = \"gold\"\n\
         call = \"moved() view returns (uint256)\"\nequals = 1\n",
    );
    for blocks in [&format!("1:{LAST}"), "0:latest"] {
        let more = ["-b", blocks, "--expect", &expect, "--min-events", "1"];
        let report = scene.try_audit(&more).await.unwrap();
        let told = json(&report);
        assert_eq!(report.exit_code(), ExitCode::Undecided, "{told:#}");
        assert_eq!((&told["status"], &told["proved"]), (&json!("undecided"), &json!(false)));
        assert_eq!(told["range"].is_null(), blocks == "0:latest");
        let absent = told["absent"].as_array().unwrap().iter();
        let absent: Vec<&Value> = absent.map(|absent| &absent["name"]).collect();
        assert_eq!(absent, ["geth", "nether"]);
        let held = told["expectations"].as_array().unwrap().iter();
        assert!(held.clone().count() == 3 && held.into_iter().all(|e| e["status"] == "undecided"));
        let junit = written(&report, AuditFormat::Junit);
        assert!(junit.contains("errors=\"5\"") && junit.contains("failures=\"0\""), "{junit}");
        assert_eq!(junit.matches("<skipped message=\"no answer: ").count(), 2, "{junit}");
        let human = written(&report, AuditFormat::Human);
        assert!(human.starts_with("audit    undecided: no node answered: geth: "), "{human}");
        let github = written(&report, AuditFormat::Github);
        assert!(github.contains("::error title=headcount audit::undecided: no node"), "{github}");
    }
    let told = scene.audit(&[], ExitCode::Undecided).await;
    assert_eq!(told["filters"][0]["blocks"]["undecided"], LAST, "{told:#}");
    let error = scene.try_audit(&["-b", "9:5"]).await.unwrap_err();
    assert_eq!(error.kind.exit_code(), ExitCode::Usage, "{error}");
    // One of two answers, and nobody said that one is enough.
    let scene = Scene::new(vec![dead(), honest()]).await;
    let told = scene.audit(&[], ExitCode::Undecided).await;
    assert!(told["sentence"].as_str().unwrap().contains("fewer than 2 nodes agree"), "{told:#}");
    let told = scene.audit(&["--anchor", "one-node"], ExitCode::Done).await;
    assert_eq!(told["anchor"]["nodes"], json!(["nether"]));
    assert_eq!(told["absent"][0]["name"], "geth");
    let warning = told["warnings"][0].as_str().unwrap();
    assert!(warning.starts_with("node geth was not read: "), "{warning}");
    let hash = scene.world.tree(|tree| tree.at(LAST).unwrap().hash);
    scene.audit(&["--anchor", &format!("{LAST}:{hash}")], ExitCode::Done).await;
    let error = scene.try_audit(&["--require", "agree:3"]).await.unwrap_err();
    assert_eq!(error.kind.exit_code(), ExitCode::Usage);
}

#[tokio::test(flavor = "multi_thread")]
async fn expectations_that_hold_pass_and_one_too_many_fails_with_a_diff() {
    let scene = Scene::new(vec![honest(), honest()]).await;
    let events = scene.events();
    let file = |text: String| scene.expect(&text);
    let whole = |exact: usize, query: &str, state: &str| {
        format!(
            "[[count]]\nevent = \"gold.Transfer\"\nexact = {exact}\n\
             [[sql]]\nname = \"all rows\"\nquery = \"{query}\"\nequals = {events}\n\
             [[state]]\nname = \"what moved\"\ncontract = \"gold\"\n\
             call = \"moved() view returns (uint256)\"\n{state}\n"
        )
    };
    let query = "select count(*) from gold.Transfer";
    // The made-up token counts what all of its transfers moved, from the first block on.
    let sum = "equals_sql = \"select sum(value) from gold.Transfer\"";
    let path = file(whole(events, query, sum));
    let told = scene.audit(&["--expect", &path], ExitCode::Done).await;
    let held: Vec<&Value> =
        told["expectations"].as_array().unwrap().iter().map(|e| &e["status"]).collect();
    assert_eq!(held, ["passed", "passed", "passed"], "{told:#}");

    let path = file(whole(events - 1, query, "equals = 7"));
    let report = scene.try_audit(&["--expect", &path]).await.unwrap();
    assert_eq!(report.exit_code(), ExitCode::CheckFailed);
    let human = written(&report, AuditFormat::Human);
    let diff = format!(
        "expect   FAILED: gold.Transfer\n         - expected exactly {}\n         + found    {events}\n           1 too many\n",
        events - 1
    );
    assert!(human.contains(&diff), "{human}");
    assert!(human.contains("expect   FAILED: what moved\n         - expected 7\n"), "{human}");
    let junit = written(&report, AuditFormat::Junit);
    assert!(junit.contains("<failure message=\"expected exactly"), "{junit}");
    assert!(written(&report, AuditFormat::Github).contains("::error title=expectation gold"));

    for wrong in [
        whole(events, "select count(*) from gold.Transfr", sum),
        whole(events, query, sum).replace("gold.Transfer\"\nexact", "gold.Transfr\"\nexact"),
        whole(events, query, sum).replace("contract = \"gold\"", "contract = \"glod\""),
    ] {
        let path = file(wrong);
        let error = scene.try_audit(&["--expect", &path]).await.unwrap_err();
        assert_eq!(error.kind.exit_code(), ExitCode::Usage, "{error}");
    }
    // A function that is not there answers nothing, and that is no pass.
    let path = file(whole(events, query, sum).replace("moved()", "movde()"));
    scene.audit(&["--expect", &path], ExitCode::Undecided).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f49_two_clients_with_the_same_wrong_hash_of_the_last_block_are_named_and_the_third_is_not()
{
    let wrong = || lie(Methods::HEADERS, Trouble::WrongHash, LAST);
    let scene = Scene::new(vec![wrong(), wrong(), honest()]).await;
    let told = scene.audit(&[], ExitCode::CheckFailed).await;
    let evidence = |name: &str| (name.to_owned(), "evidence".to_owned());
    assert_eq!(named(&told), [evidence("geth"), evidence("nether")], "{told:#}");
    assert_eq!(told["filters"][0]["blocks"]["undecided"], LAST);
    assert_eq!(told["anchor"]["nodes"], json!(["reth"]));
    // One alone costs nothing but its name.
    let scene = Scene::new(vec![honest(), wrong(), honest()]).await;
    let told = scene.audit(&[], ExitCode::CheckFailed).await;
    assert_eq!(named(&told), [evidence("nether")], "{told:#}");
    assert_eq!(told["filters"][0]["blocks"]["complete"], LAST);
    assert_eq!(told["filters"][0]["events"], scene.events());
}

#[tokio::test(flavor = "multi_thread")]
async fn where_clients_have_different_whole_headers_audit_is_exit_3_until_a_block_is_known() {
    let other = || lie(Methods::HEADERS, Trouble::OtherHeader, LAST);
    for personas in [vec![other(), other(), honest()], vec![honest(), honest(), other()]] {
        let scene = Scene::new(personas).await;
        let expect = scene.expect(
            "[[state]]\nname = \"moved\"\ncontract = \"gold\"\n\
             call = \"moved() view returns (uint256)\"\nequals = 7\n",
        );
        let told = scene.audit(&["--expect", &expect], ExitCode::Undecided).await;
        assert_eq!((named(&told).len(), &told["status"]), (0, &json!("undecided")), "{told:#}");
        assert_eq!(told["expectations"][0]["status"], "undecided", "nobody is believed");
        let sentence = told["sentence"].as_str().unwrap();
        assert!(sentence.contains("nodes differ on the anchor's block"), "{sentence}");
    }
    let scene = Scene::new(vec![honest(), other(), honest()]).await;
    let hash = scene.world.tree(|tree| tree.at(LAST).unwrap().hash);
    let known = ["--anchor", &format!("{LAST}:{hash}")];
    let told = scene.audit(&known, ExitCode::CheckFailed).await;
    assert_eq!(named(&told), [("nether".to_owned(), "branch".to_owned())]);
    assert_eq!(told["filters"][0]["blocks"]["complete"], LAST, "{told:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn f49_a_header_that_one_client_does_not_give_is_had_from_the_next_at_every_level() {
    let without = || lie(Methods::HEADERS, Trouble::NullBlock, 20);
    let scene = Scene::new(vec![without(), honest(), honest()]).await;
    for require in ["bloom", "agree:2", "prove"] {
        let told = scene.audit(&["--require", require], ExitCode::Done).await;
        assert_eq!(told["filters"][0]["blocks"]["complete"], LAST, "{require}: {told:#}");
    }
    let scene = Scene::new(vec![without(), without(), honest()]).await;
    let told = scene.audit(&["--require", "agree:2"], ExitCode::Undecided).await;
    let span = told["filters"][0]["spans"].as_array().unwrap().iter();
    let open: Vec<&Value> = span.filter(|span| span["status"] == "undecided").collect();
    assert_eq!((open.len(), &open[0]["first"], &open[0]["count"]), (1, &json!(20), &json!(1)));
    let reason = open[0]["reason"].as_str().unwrap();
    assert!(reason.contains("eth_getBlockByNumber: ") && reason.contains("null"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_never_answers_for_logs_is_named_in_every_form() {
    let silent = vec![Rule::on(Methods::LOGS, Trouble::MethodMissing)];
    let scene = Scene::new(vec![honest(), silent, honest()]).await;
    let report = scene.try_audit(&[]).await.unwrap();
    let told = json(&report);
    assert_eq!(report.exit_code(), ExitCode::Done, "{told:#}");
    assert_eq!(told["nodes"][1]["unheard"]["blocks"], LAST);
    assert_eq!(told["nodes"][0]["unheard"], Value::Null);
    let warning = told["warnings"][0].as_str().unwrap();
    let what = format!("not heard of {LAST} blocks: eth_getLogs: ");
    assert!(warning.starts_with(&format!("node nether was {what}")), "{warning}");
    let human = written(&report, AuditFormat::Human);
    let line = human.lines().find(|line| line.starts_with("node     nether ")).unwrap();
    assert!(line.contains(&format!("; {what}")), "{line}");
    let junit = written(&report, AuditFormat::Junit);
    let case = "<testcase name=\"node nether\" classname=\"headcount.audit.sources\">";
    let case = junit.split_once(case).unwrap().1.trim_start();
    assert!(case.starts_with(&format!("<skipped message=\"{what}")), "{junit}");
    assert!(!junit.contains("disabled"), "{junit}");
    let github = written(&report, AuditFormat::Github);
    assert!(github.contains(&format!("::warning title=headcount audit::{warning}")), "{github}");
    // Where the level rests on it, it is not reached.
    let arguments: Vec<String> = scene.arguments(&["--require", "agree:3"]);
    let report = scene.try_audit_of(arguments).await.unwrap();
    assert_eq!(report.exit_code(), ExitCode::Undecided);
}

#[tokio::test(flavor = "multi_thread")]
async fn control_characters_of_what_others_wrote_reach_no_form_of_the_report() {
    let scene = Scene::new(vec![honest(), honest()]).await;
    let expect = scene.expect(
        "[[sql]]\nname = \"words\"\n\
         query = \"select chr(27) || '[2Jgone' || chr(10) || 'expect   passed: x' || chr(155)\"\n\
         equals = \"said\"\n",
    );
    let report = scene.try_audit(&["--expect", &expect]).await.unwrap();
    assert_eq!(report.exit_code(), ExitCode::CheckFailed);
    assert!(json(&report)["expectations"][0]["found"].as_str().unwrap().contains('\u{1b}'));
    for format in [AuditFormat::Human, AuditFormat::Github, AuditFormat::Junit, AuditFormat::Json] {
        let text = written(&report, format);
        let is_raw = text.chars().any(|c| {
            c.is_control() && c != '\n' && !(c == '\u{9b}' && format == AuditFormat::Json)
        });
        assert!(!is_raw && text.contains("gone"), "{format:?}: {text:?}");
        let is_spoofed = text.lines().any(|line| line.starts_with("expect   passed"));
        assert!(format == AuditFormat::Junit || !is_spoofed, "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_audit_that_was_recorded_says_the_same_without_a_node() {
    let block = Scene::busy(2);
    let scene = Scene::new(vec![lie(Methods::RANGE_LOGS, Trouble::LostLog, block)]).await;
    let recording = scene.folder.path().join("audit.ndjson.gz");
    let recording = recording.to_str().unwrap();
    let told = scene.audit(&["--record", recording], ExitCode::CheckFailed).await;
    let mut arguments = scene.arguments(&[]);
    let url = arguments.iter().position(|word| word.starts_with("geth=")).unwrap();
    arguments[url] = format!("geth={recording}");
    let again = scene.try_audit_of(arguments).await.unwrap();
    let again = json(&again);
    for field in ["status", "findings", "filters", "code", "last_block", "anchor"] {
        assert_eq!(again[field], told[field], "{field}");
    }
}
