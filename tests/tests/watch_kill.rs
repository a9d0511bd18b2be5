//! A watch that dies at any moment: started again, it leaves the ledger of an undisturbed one.

use alloy_primitives::Address;
use headcount_tests::{Anvil, Contracts, Outcome, Program, Traffic, is_long, next_random, skip};
use std::{process::Child, time::Duration};
use tempfile::TempDir;

const TRANSFER: &str = "Transfer(address indexed from, address indexed to, uint256 value)";

/// Holders whose balance is not the sum of their transfers: each counted, and none twice.
const WRONG_BALANCES: &str = "
    with moves as (
        select \"to\" as holder, value::varchar::hugeint as value from gold.Transfer
        union all select \"from\", -value::varchar::hugeint from gold.Transfer),
    sums as (
        select hex0x(holder) as holder, sum(value)::varchar as balance from moves
        where holder <> from_hex(repeat('00', 20)) group by all),
    told as (
        select hex0x(holder) as holder, balance::varchar as balance from erc20_balances.balances)
    (from sums except from told) union all (from told except from sums)";

/// What a digest covers and a timing could change, for whoever has to find out why one differs.
const SAID: [&str; 4] = [
    "FROM coverage ORDER BY ALL",
    "FROM sightings ORDER BY ALL",
    "FROM candidates ORDER BY ALL",
    "SELECT plugin, next_block, halted, generation FROM lanes",
];

/// Heads at which a life is looked at: the first is more than a watch follows by itself below the
/// head, so that a gap is filled; the second is followed.
const HEADS: [u64; 2] = [80, 100];
/// At which of its transactions a watch is killed, one start after the other.
const HITS: [u64; 2] = [1, 2];
/// Random moments at which a process is killed: a few each time, many in `make long`.
const KILLS: u64 = 5;
const KILLS_LONG: u64 = 50;
/// Deaths of one ledger before it is finished and compared.
const DEATHS_OF_A_LIFE: u64 = 5;
/// No moment lies later than this; an undisturbed watch takes about as long.
const LATEST_KILL_MS: u64 = 1_500;

/// A chain that stands still while it is watched, told by one node. The digest says by which node
/// and how a block was shown, so nothing else may differ from run to run.
struct Chain {
    anvil: Anvil,
    traffic: Traffic,
    gold: Address,
    plugin: String,
}

impl Chain {
    /// Returns one, or what is not installed.
    fn new(seed: u64) -> Result<Self, &'static str> {
        Program::built().ok_or("headcount is not built (make build)")?;
        let plugin =
            Program::plugin("erc20_balances").ok_or("no plugin is built (make plugins)")?;
        let contracts = Contracts::compile().ok_or("solc is not installed (make tools)")?;
        let anvil = Anvil::start().ok_or("anvil is not installed (make tools)")?;
        let mut traffic = Traffic::new(anvil.rpc(), seed).unwrap();
        let gold = traffic.deploy_token(contracts.bytecode("Token"), "Gold").unwrap();
        Ok(Self { anvil, traffic, gold, plugin: plugin.display().to_string() })
    }

    fn grow(&mut self, head: u64) {
        let blocks = head - self.traffic.head();
        self.traffic.trade(&[self.gold], blocks).unwrap();
    }

    fn watch(&self) -> Vec<String> {
        let (node, contract) = (format!("one={}", self.anvil.url()), format!("gold={}", self.gold));
        let until = self.traffic.head().to_string();
        let what = ["watch", "-r", &node, "-c", &contract, "-e", TRANSFER];
        let place = ["--ledger", "l.duckdb", "--plugin", &self.plugin, "--from-block", "0"];
        // On a busy machine a report comes late: what is not there by then is read in another way,
        // which the digest tells.
        let pace = ["--poll-interval", "50ms", "--agree-wait", "5s", "--quiet"];
        let end = ["--until-block", &until];
        let all = what.iter().chain(&place).chain(&pace).chain(&end);
        all.map(|word| (*word).to_owned()).collect()
    }
}

/// One ledger.
struct Life {
    folder: TempDir,
}

impl Life {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn program(&self) -> Program {
        Program::in_folder(self.folder.path()).unwrap()
    }

    fn ledger(&self, what: &str) -> Outcome {
        self.program().run(["ledger", what, "--ledger", "l.duckdb"])
    }

    fn check(&self, when: &str) {
        let checked = self.ledger("check");
        assert_eq!(checked.stdout.trim(), "ok", "{when}: {}", checked.stderr);
    }

    /// Returns the digest of a ledger that must be sound, and whose plugin must have counted every
    /// transfer, and none twice.
    fn digest(&self, when: &str) -> String {
        self.check(when);
        let wrong = self.program().query(&self.folder.path().join("l.duckdb"), WRONG_BALANCES);
        assert!(wrong.is_empty(), "{when}: {wrong:?}");
        self.ledger("digest").expect_success().stdout
    }

    fn said(&self) -> Vec<String> {
        let (program, ledger) = (self.program(), self.folder.path().join("l.duckdb"));
        let rows = SAID.iter().flat_map(|sql| program.query(&ledger, sql));
        rows.map(|row| row.to_string()).collect()
    }

    /// Refuses a ledger that is not what it is expected to be, and shows in what it differs from
    /// that of `calm`.
    fn expect(&self, expected: &str, calm: &Self, when: &str) {
        if self.digest(when) != expected {
            let (found, calm) = (self.said(), calm.said());
            let only = |these: &[String], those: &[String]| {
                let only = these.iter().filter(|row| !those.contains(row));
                only.map(|row| format!("\n  {row}")).collect::<String>()
            };
            let (more, less) = (only(&found, &calm), only(&calm, &found));
            panic!("{when}: another digest; only here:{more}\nonly undisturbed:{less}");
        }
    }

    /// Runs to the end of the chain, undisturbed.
    fn finish(&self, chain: &Chain) {
        self.program().run(chain.watch()).expect_success();
    }

    /// Starts it to die at a failpoint; returns whether it did.
    fn die_at(&self, chain: &Chain, failpoint: &str) -> bool {
        let program = self.program().with_variable("HEADCOUNT_FAILPOINT", failpoint);
        let outcome = program.run(chain.watch());
        if outcome.code.is_some() {
            outcome.expect_success();
            return false;
        }
        true
    }
}

/// Returns every place where the ledger's writer can be killed, as the program names them.
fn failpoints(chain: &Chain) -> Vec<String> {
    let life = Life::new();
    let program = life.program().with_variable("HEADCOUNT_FAILPOINT", "none");
    let refused = program.run(chain.watch()).expect_code(2).stderr;
    let names = refused.split([' ', ',', '\n']).filter(|word| word.starts_with("store."));
    // A watch stages nothing, and this plugin sends nothing: `outbox.rs` has one that does.
    let is_passed = |name: &&str| !name.ends_with("after_stage") && !name.contains(".outbox.");
    names.filter(is_passed).map(str::to_owned).collect()
}

/// Returns the digest of an undisturbed life at every head; two of them must have the same.
fn undisturbed(chain: &Chain, lives: &[Life; 2]) -> String {
    lives.iter().for_each(|life| life.finish(chain));
    let digest = lives[0].digest("undisturbed");
    lives[1].expect(&digest, &lives[0], "undisturbed a second time");
    digest
}

#[test]
fn a_watch_killed_at_every_failpoint_and_started_again_leaves_the_ledger_of_an_undisturbed_one() {
    let mut chain = match Chain::new(41) {
        Ok(chain) => chain,
        Err(missing) => skip!("watch_failpoints: {missing}"),
    };
    let names = failpoints(&chain);
    assert!(names.len() >= 6, "{names:?}");
    let mut lives: Vec<(&String, Life, u32)> =
        names.iter().map(|name| (name, Life::new(), 0)).collect();
    let calm = [Life::new(), Life::new()];
    for head in HEADS {
        chain.grow(head);
        let (chain, expected) = (&chain, undisturbed(&chain, &calm));
        std::thread::scope(|scope| {
            for some in lives.chunks_mut(3) {
                let (expected, calm) = (&expected, &calm[0]);
                scope.spawn(move || {
                    for (name, life, deaths) in some {
                        for hit in HITS {
                            *deaths += u32::from(life.die_at(chain, &format!("{name}:{hit}")));
                        }
                        life.finish(chain);
                        life.expect(expected, calm, &format!("{name}, head {head}"));
                    }
                });
            }
        });
    }
    for (name, _, deaths) in lives {
        assert!(deaths >= 2, "{name} killed only {deaths} processes");
    }
}

#[test]
fn a_watch_killed_at_random_moments_and_started_again_leaves_the_ledger_of_an_undisturbed_one() {
    let mut chain = match Chain::new(42) {
        Ok(chain) => chain,
        Err(missing) => skip!("watch_kill_9: {missing}"),
    };
    chain.grow(HEADS[1]);
    let calm = [Life::new(), Life::new()];
    let expected = undisturbed(&chain, &calm);
    let kills = if is_long() { KILLS_LONG } else { KILLS };
    let (mut random, mut life, mut dead) = (2_024, Life::new(), 0);
    for kill in 1..=kills {
        let moment = Duration::from_millis(next_random(&mut random) % LATEST_KILL_MS);
        dead += u64::from(was_killed_after(life.program().start(chain.watch()), moment));
        if life.folder.path().join("l.duckdb").exists() {
            life.check(&format!("kill {kill} after {moment:?}"));
        }
        if kill % DEATHS_OF_A_LIFE == 0 {
            life.finish(&chain);
            life.expect(&expected, &calm[0], &format!("kill {kill}"));
            life = Life::new();
        }
    }
    println!("{dead} of {kills} processes were killed before their end");
}

/// Waits (the moment is what is tested), kills, and returns whether the process was still there.
fn was_killed_after(mut child: Child, moment: Duration) -> bool {
    std::thread::sleep(moment);
    child.kill().unwrap();
    !child.wait().unwrap().success()
}
