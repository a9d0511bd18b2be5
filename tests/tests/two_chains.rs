//! Two chains in one process: each contract is that of its own chain.

use crate::watch::{chain_lines, check, head_of, standing};
use alloy_primitives::Address;
use headcount_tests::{Anvil, Contracts, Program, Traffic, Watching, skip};
use serde_json::Value;
use std::path::PathBuf;

/// Two chains, each with a contract of its own that is called as the configuration says.
struct TwoChains {
    anvils: [Anvil; 2],
    traffics: Vec<(Traffic, Address)>,
    program: Program,
    ledger: PathBuf,
    _folder: tempfile::TempDir,
}

impl TwoChains {
    /// Makes them: name, seed of the traffic, a line with the id or nothing, and name of the contract.
    /// The second chain has this id. Returns what is missing for it, if anything is.
    fn new(id: &str, chains: [(&str, u64, &str, &str); 2]) -> Result<Self, &'static str> {
        let anvils = (Anvil::start(), Anvil::start_with(&["--chain-id", id]));
        let (Some(one), Some(two)) = anvils else {
            return Err("anvil is not installed (make tools)");
        };
        let contracts = Contracts::compile().ok_or("solc is not installed (make tools)")?;
        let folder = tempfile::tempdir().unwrap();
        let program =
            Program::in_folder(folder.path()).ok_or("headcount is not built (make build)")?;
        let anvils = [one, two];
        let mut config = String::from("ledger = \"ledger.duckdb\"\n");
        let mut traffics = Vec::new();
        for ((name, seed, id, contract), anvil) in chains.into_iter().zip(&anvils) {
            let mut traffic = Traffic::new(anvil.rpc(), seed).unwrap();
            let gold = traffic.deploy_token(contracts.bytecode("Token"), "Gold").unwrap();
            let url = anvil.url();
            config.push_str(&format!(
                "[chain.{name}]\n{id}[[chain.{name}.node]]\nurl = \"{url}\"\n\
                 [[contract]]\nname = \"{contract}\"\nchain = \"{name}\"\naddress = \"{gold}\"\nstart = 0\n\
                 events = [\"Transfer(address indexed from, address indexed to, uint256 value)\"]\n"
            ));
            traffics.push((traffic, gold));
        }
        std::fs::write(folder.path().join("headcount.toml"), config).unwrap();
        let ledger = folder.path().join("ledger.duckdb");
        Ok(Self { anvils, traffics, program, ledger, _folder: folder })
    }

    fn watch(&self) -> Watching {
        let arguments = ["watch", "--poll-interval", "100ms", "--agree-wait", "200ms"];
        Watching::start(&self.program, arguments)
    }

    /// Transfers of both, as their nodes have them.
    fn transfers(&self) -> [u64; 2] {
        let topic = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef";
        let of = |anvil: &Anvil| {
            let lines = chain_lines(&anvil.rpc());
            lines.iter().filter(|line| line.contains(topic)).count() as u64
        };
        self.anvils.each_ref().map(of)
    }

    /// Rows of a contract's table by chain, in order.
    fn rows(&self, contract: &str) -> Vec<(u64, u64)> {
        let sql = format!(
            "select _chain as chain, count(*) as n from {contract}.Transfer group by all order by all"
        );
        let counts = self.program.query(&self.ledger, &sql);
        let count = |row: &Value| (row["chain"].as_u64().unwrap(), row["n"].as_u64().unwrap());
        counts.iter().map(count).collect()
    }
}

#[test]
fn two_chains_are_watched_by_one_process() {
    let scene = TwoChains::new("10", [("one", 31, "", "gold"), ("two", 32, "", "gold")]);
    let mut scene = match scene {
        Ok(scene) => scene,
        Err(missing) => skip!("watch_two_chains: {missing}"),
    };
    let mut watching = scene.watch();
    for (traffic, gold) in &mut scene.traffics {
        traffic.trade(&[*gold], 15).unwrap();
    }
    watching.wait_until("both chains", |lines| {
        [31_337, 10].map(|chain| standing(lines, chain).len() as u64) == scene.transfers()
    });
    let end = watching.end("INT");
    assert_eq!(end.code, Some(130), "{}", end.stderr);
    let [one, two] = scene.transfers();
    assert_eq!(scene.rows("gold"), [(10, two), (31_337, one)]);
    check(&scene.program, &scene.ledger);
}

#[test]
fn one_address_on_two_chains_is_two_contracts() {
    // The id of one chain is said, that of the other one is what its node says.
    let scene = TwoChains::new("7", [("one", 33, "id = 31337\n", "a"), ("two", 33, "", "b")]);
    let mut scene = match scene {
        Ok(scene) => scene,
        Err(missing) => skip!("watch_one_address_on_two_chains: {missing}"),
    };
    for ((traffic, gold), blocks) in scene.traffics.iter_mut().zip([3, 5]) {
        traffic.trade(&[*gold], blocks).unwrap();
    }
    let [(_, one), (_, two)] = &scene.traffics[..] else { panic!("two chains") };
    assert_eq!(one, two, "both are the first contract of the same account");
    let [one, two] = scene.transfers();
    let counts = [(31_337, one), (7, two)];
    assert_ne!(one, two);

    let check_tables = |how: &str| {
        for (contract, wanted) in ["a", "b"].into_iter().zip(counts) {
            assert_eq!(scene.rows(contract), [wanted], "{contract} after {how}");
        }
        let told = scene.program.run(["coverage", "--format", "json"]).expect_success().stdout;
        let told: Value = serde_json::from_str(&told).unwrap();
        let mut names: Vec<(u64, String)> = (told["chains"].as_array().unwrap().iter())
            .map(|chain| {
                let name = chain["filters"][0]["name"].as_str().unwrap();
                (chain["chain"].as_u64().unwrap(), name.to_owned())
            })
            .collect();
        names.sort();
        let wanted = [(7, "b.Transfer".to_owned()), (31_337, "a.Transfer".to_owned())];
        assert_eq!(names, wanted, "after {how}");
        check(&scene.program, &scene.ledger);
    };
    let mut watching = scene.watch();
    watching.wait_until("both chains", |lines| {
        counts.iter().all(|(chain, count)| standing(lines, *chain).len() as u64 == *count)
    });
    assert_eq!(watching.end("INT").code, Some(130));
    check_tables("a watch");

    std::fs::remove_file(&scene.ledger).unwrap();
    for ((chain, id), anvil) in [("one", "31337"), ("two", "7")].into_iter().zip(&scene.anvils) {
        let blocks = format!("0:{}", head_of(&anvil.rpc()));
        let of = ["replay", "--chain", chain, "--chain-id", id, "-b", &blocks];
        let into = ["--quiet", "--ledger", "ledger.duckdb"];
        scene.program.run(of.iter().chain(&into)).expect_success();
    }
    check_tables("two replays");
}
