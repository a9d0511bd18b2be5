//! `headcount audit` as CI uses it, after integration tests against a local chain: a contract that
//! emits a known list, a file of expectations, reports that other programs read.

use boon::{Compiler, Schemas};
use headcount_tests::{
    Anvil, Contracts, Outcome, Program, Traffic, call_data, skip, tool, workspace,
};
use quick_xml::{Reader, events::Event};
use serde_json::{Value, json};
use std::{
    fs,
    io::Write,
    process::{Command, Stdio},
};
use tempfile::TempDir;

const TRANSFER: &str = "Transfer(address indexed from, address indexed to, uint256 value)";
const APPROVAL: &str = "Approval(address indexed owner, address indexed spender, uint256 value)";
const ZERO: &str = "0x0000000000000000000000000000000000000000";

/// A token that minted 157, burnt 20, and logged five transfers and one approval.
struct Scene {
    anvil: Anvil,
    program: Program,
    folder: TempDir,
    token: String,
}

impl Scene {
    fn set_up() -> Result<Self, &'static str> {
        let anvil = Anvil::start().ok_or("anvil is not installed (make tools)")?;
        tool("xmllint-wasm").ok_or("xmllint-wasm is not installed (make tools)")?;
        let contracts = Contracts::compile().ok_or("solc is not installed (make tools)")?;
        let folder = tempfile::tempdir().unwrap();
        let program =
            Program::in_folder(folder.path()).ok_or("headcount is not built (make build)")?;
        let mut traffic = Traffic::new(anvil.rpc(), 1).unwrap();
        let token = traffic.deploy_token(contracts.bytecode("Token"), "Gold").unwrap();
        let accounts = traffic.accounts().to_vec();
        let to = |i: usize| accounts[i].into_word().0;
        let word = |value: u8| {
            let mut word = [0; 32];
            word[31] = value;
            word
        };
        for (from, data) in [
            (0, call_data("mint(address,uint256)", &[to(0), word(100)])),
            (0, call_data("mint(address,uint256)", &[to(1), word(50)])),
            (0, call_data("mint(address,uint256)", &[to(2), word(7)])),
            (0, call_data("transfer(address,uint256)", &[to(1), word(30)])),
            (1, call_data("burn(uint256)", &[word(20)])),
            (2, call_data("approve(address,uint256)", &[to(0), word(5)])),
        ] {
            traffic.send(accounts[from], token, &data).unwrap();
            traffic.mine().unwrap();
        }
        Ok(Self { anvil, program, folder, token: token.to_string() })
    }

    fn audit(&self, contract: &str, events: &[&str], more: &[&str]) -> Outcome {
        let url = format!("anvil={}", self.anvil.url());
        let mut arguments = vec!["audit", "-r", &url, "-c", contract, "-b", "0:latest"];
        events.iter().for_each(|event| arguments.extend(["-e", event]));
        arguments.extend(more);
        self.program.run(arguments)
    }

    fn expect(&self, text: &str) -> String {
        let path = self.folder.path().join("expect.toml");
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

fn expectations(transfers: u64) -> String {
    format!(
        r#"
[[count]]
event = "token.Transfer"
exact = {transfers}

[[count]]
event = "token.Approval(address,address,uint256)"
min = 1
max = 1

[[sql]]
name = "nobody has less than nothing"
query = "select holder from (select \"to\" as holder, value from token.Transfer union all select \"from\", -value from token.Transfer) where hex0x(holder) <> '{ZERO}' group by holder having sum(value) < 0"
rows = 0

[[sql]]
name = "minted"
query = "select sum(value) from token.Transfer where hex0x(\"from\") = '{ZERO}'"
equals = 157

[[state]]
name = "the supply"
contract = "token"
call = "totalSupply() view returns (uint256)"
equals = "137"

[[state]]
name = "minted minus burned is the supply"
contract = "token"
call = "totalSupply() view returns (uint256)"
equals_sql = """
  select coalesce(sum(case when hex0x("from") = '{ZERO}' then value end), 0)
       - coalesce(sum(case when hex0x("to") = '{ZERO}' then value end), 0)
  from token.Transfer"""
"#
    )
}

/// Checks a report against the published schema.
#[track_caller]
fn of_the_schema(outcome: &Outcome) -> Value {
    let text = fs::read_to_string(workspace().join("docs/audit.schema.json")).unwrap();
    let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
    compiler.add_resource("audit.schema.json", serde_json::from_str(&text).unwrap()).unwrap();
    let schema = compiler.compile("audit.schema.json", &mut schemas).unwrap();
    let report: Value = serde_json::from_str(&outcome.stdout).unwrap();
    if let Err(error) = schemas.validate(&report, schema) {
        panic!("{error:#}\n{report:#}");
    }
    report
}

/// Checks JUnit XML against the published schema.
#[track_caller]
fn of_the_junit_schema(text: &str) {
    let tests = workspace().join("tests");
    let mut validator = Command::new("node")
        .arg(tests.join("tools/validate.js"))
        .arg(workspace().join("docs/audit.junit.xsd"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("node runs where npm installed the validator");
    validator.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = validator.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{text}");
}

/// Reads JUnit XML as the usual schema has it, and returns tests, failures and errors.
#[track_caller]
fn junit(text: &str) -> (usize, usize, usize) {
    let mut reader = Reader::from_str(text);
    let (mut path, mut counted, mut said): (Vec<String>, _, _) = (Vec::new(), (0, 0, 0), (0, 0, 0));
    loop {
        let event = reader.read_event().unwrap();
        let (tag, is_empty) = match &event {
            Event::Start(tag) => (tag, false),
            Event::Empty(tag) => (tag, true),
            Event::End(_) => {
                path.pop();
                continue;
            }
            Event::Eof => break,
            _ => continue,
        };
        let name = String::from_utf8(tag.name().as_ref().to_vec()).unwrap();
        let attribute = |wanted: &str| {
            let found = tag.attributes().map(Result::unwrap);
            let found = found.into_iter().find(|a| a.key.as_ref() == wanted.as_bytes());
            found.map(|found| String::from_utf8(found.value.to_vec()).unwrap())
        };
        let number = |wanted: &str| attribute(wanted).unwrap().parse::<usize>().unwrap();
        match (path.last().map(String::as_str), name.as_str()) {
            (None, "testsuites") => {
                said = (number("tests"), number("failures"), number("errors"));
            }
            (Some("testsuites"), "testsuite") => {
                assert!(attribute("name").is_some() && number("tests") < 100);
            }
            (Some("testsuite"), "testcase") => {
                assert!(attribute("name").is_some() && attribute("classname").is_some());
                counted.0 += 1;
            }
            (Some("testcase"), "failure") => counted.1 += 1,
            (Some("testcase"), "error") => counted.2 += 1,
            (Some("testcase"), "skipped") => assert!(attribute("message").is_some()),
            (inside, name) => panic!("<{name}> in {inside:?}:\n{text}"),
        }
        if !is_empty {
            path.push(name);
        }
    }
    assert!(path.is_empty(), "not closed: {path:?}");
    assert_eq!(counted, said, "{text}");
    counted
}

#[test]
fn audit_in_ci_passes_what_was_expected_and_fails_one_too_many_with_a_diff() {
    let scene = match Scene::set_up() {
        Ok(scene) => scene,
        Err(missing) => skip!("audit_in_ci: {missing}"),
    };
    let token = format!("token={}", scene.token);
    let events = [TRANSFER, APPROVAL];
    let audit = |more: &[&str]| scene.audit(&token, &events, more);
    let expect = scene.expect(&expectations(5));
    let passed = audit(&["--expect", &expect, "--min-events", "6"]).expect_success();
    assert!(
        passed.stdout.starts_with("audit    complete, proved on anvil's headers\n"),
        "{passed:?}"
    );
    assert_eq!(passed.stdout.matches("expect   passed: ").count(), 6, "{}", passed.stdout);
    let report = of_the_schema(&audit(&["--expect", &expect, "--format", "json"]).expect_success());
    assert_eq!(
        report["events"][0]["count"].as_u64().unwrap()
            + report["events"][1]["count"].as_u64().unwrap(),
        6
    );
    assert_eq!(report["code"][0]["has_code"], true);
    let text = audit(&["--expect", &expect, "--format", "junit"]).expect_success().stdout;
    // One filter, one node, six expectations, and the audit as a whole.
    assert_eq!(junit(&text), (9, 0, 0), "{text}");
    of_the_junit_schema(&text);
    let text = audit(&["--expect", &expect, "--format", "github"]).expect_success().stdout;
    assert!(text.lines().all(|line| line.starts_with("::")), "{text}");
    assert!(text.ends_with("(0:7 (8 blocks))\n") && text.contains("::notice "), "{text}");

    // One too many.
    let expect = scene.expect(&expectations(4));
    let failed = audit(&["--expect", &expect]).expect_code(1);
    let diff = "expect   FAILED: token.Transfer\n         - expected exactly 4\n         + found    5\n           1 too many\n";
    assert!(failed.stdout.contains(diff), "{}", failed.stdout);
    assert!(failed.stderr.contains("expectations that do not hold: token.Transfer"), "{failed:?}");
    let report = of_the_schema(&audit(&["--expect", &expect, "--format", "json"]).expect_code(1));
    assert_eq!(report["status"], "failed");
    let text = audit(&["--expect", &expect, "--format", "junit"]).expect_code(1).stdout;
    assert_eq!(junit(&text), (9, 2, 0), "{text}");
    of_the_junit_schema(&text);
    let gone = ["-r", "gone=http://127.0.0.1:1", "--anchor", "one-node"];
    let text = audit(&[&gone[..], &["--require", "agree:2", "--format", "junit"]].concat());
    let text = text.expect_code(3).stdout;
    assert_eq!(junit(&text).2, 2, "{text}");
    assert!(text.contains("<skipped message=\"no answer: "), "{text}");
    of_the_junit_schema(&text);
    of_the_schema(&audit(&[&gone[..], &["--format", "json"]].concat()).expect_success());
    // Without any node there is a report all the same.
    let nobody = |format: &str| {
        let node = ["audit", "-r", "gone=http://127.0.0.1:1", "-c", &token, "-e", TRANSFER];
        let more = ["-e", APPROVAL, "-b", "0:latest", "--expect", &expect, "--format", format];
        scene.program.run(node.iter().chain(&more)).expect_code(3)
    };
    let report = of_the_schema(&nobody("json"));
    assert!(report["range"].is_null() && report["absent"][0]["name"] == "gone", "{report:#}");
    let text = nobody("junit").stdout;
    assert_eq!(junit(&text).1, 0, "{text}");
    of_the_junit_schema(&text);
    assert!(nobody("github").stdout.starts_with("::warning title=expectation "));
    let quiet = audit(&["--quiet"]).expect_success();
    assert_eq!((quiet.stdout.as_str(), quiet.stderr.as_str()), ("", ""));

    // The ledger is where assertions are made once there is one, and it is compared.
    let url = scene.anvil.url();
    let replay = ["replay", "-r", &url, "-c", &token, "-e", TRANSFER, "-e", APPROVAL];
    let more = ["-b", "0:latest", "--ledger", "ci.duckdb"];
    scene.program.run(replay.iter().chain(&more)).expect_success();
    let expect = scene.expect(&expectations(5));
    let told = audit(&["--expect", &expect, "--ledger", "ci.duckdb", "--format", "json"]);
    let report = of_the_schema(&told.expect_success());
    assert_eq!(report["ledger"]["compared"], true);
    assert_eq!(report["expectations"].as_array().unwrap().len(), 6);
}

#[test]
fn a_typo_in_address_or_event_never_passes_an_audit() {
    let scene = match Scene::set_up() {
        Ok(scene) => scene,
        Err(missing) => skip!("a_typo_never_passes: {missing}"),
    };
    let token = format!("token={}", scene.token);
    // An address without code, with and without a wrong checksum.
    let lower = scene.token.to_lowercase();
    let last = if lower.ends_with('0') { "1" } else { "0" };
    let wrong = format!("token={}{last}", &lower[..41]);
    let told = scene.audit(&wrong, &[TRANSFER], &[]).expect_code(2);
    assert!(told.stderr.contains("has no code"), "{}", told.stderr);
    let told = scene.audit(&wrong, &[TRANSFER], &["--allow-no-code", "--min-events", "1"]);
    assert!(told.expect_code(1).stderr.contains("no event matched"));

    // An event that nobody logs: a warning by itself, a failure where events are expected.
    let typo = TRANSFER.replace("Transfer", "Transfr");
    let told = scene.audit(&token, &[&typo], &["--format", "json"]).expect_success();
    assert!(told.stderr.contains("no event matched; check addresses and signatures"), "{told:?}");
    assert_eq!(of_the_schema(&told)["filters"][0]["events"], json!(0));
    scene.audit(&token, &[&typo], &["--min-events", "1"]).expect_code(1);
    let expect = scene.expect("[[count]]\nevent = \"token.Transfr\"\nmin = 1\n");
    scene.audit(&token, &[&typo], &["--expect", &expect]).expect_code(1);
    for wrong in [
        "[[count]]\nevent = \"token.Transfr\"\nexact = 0\n",
        "[[count]]\nevent = \"tokn.Transfer\"\nexact = 0\n",
        "[[count]]\nevent = \"token.Transfer\"\nexactly = 5\n",
        "[[sql]]\nname = \"x\"\nquery = \"select * from token.Transfr\"\nrows = 0\n",
        "[[state]]\ncontract = \"tokn\"\ncall = \"totalSupply() returns (uint256)\"\nequals = 137\n",
        "[[state]]\ncontract = \"token\"\ncall = \"totalSupply(\"\nequals = 137\n",
    ] {
        let expect = scene.expect(wrong);
        let told = scene.audit(&token, &[TRANSFER], &["--expect", &expect]).expect_code(2);
        assert!(told.stderr.starts_with("error: ") && told.stderr.contains("hint: "), "{told:?}");
    }
    // An event declared otherwise than it is logged, which a count of none would let pass.
    let unmarked = TRANSFER.replace(" indexed", "");
    assert_ne!(unmarked, TRANSFER);
    let expect = scene.expect("[[count]]\nevent = \"token.Transfer\"\nmax = 0\n");
    let told = scene.audit(&token, &[&unmarked], &["--expect", &expect, "--format", "json"]);
    let report = of_the_schema(&told.expect_code(1));
    assert_eq!(report["expectations"][1]["kind"], "decode");
    let told = scene.audit(&token, &[&unmarked], &["--min-events", "1"]).expect_code(1);
    assert!(told.stderr.contains("token.Transfer decodes"), "{told:?}");
    // A function that is not there reverts: that is not known, and no pass.
    let expect = scene.expect(
        "[[state]]\ncontract = \"token\"\ncall = \"totalSuply() returns (uint256)\"\nequals = 137\n",
    );
    let told = scene.audit(&token, &[TRANSFER], &["--expect", &expect, "--format", "json"]);
    let report = of_the_schema(&told.expect_code(3));
    assert_eq!(report["expectations"][0]["status"], "undecided");
    scene.audit(&token, &[TRANSFER], &["--expect", "gone.toml"]).expect_code(2);
}
