//! A guest that misbehaves as its configuration says. For tests only.

#![allow(clippy::print_stderr, clippy::exit, reason = "misbehaving is what it is for")]

mod counts;
mod floods;
mod lies;
mod robs;
mod senses;

use headcount_plugin_sdk::{
    Batch, Descriptor, Failure, Host, Level, Plugin, Rejection, RetryHint, Rows, Subscription,
    Visibility, export_plugin,
};

/// The guest, with the word that says what to do wrong.
#[derive(Debug)]
pub struct Unruly(String);

export_plugin!(Unruly);

impl Plugin for Unruly {
    fn describe() -> Descriptor {
        Descriptor {
            name: "unruly".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            logic_version: 1,
            visibility: Visibility::Latest,
            // Everything.
            subscriptions: vec![Subscription {
                chains: vec![],
                addresses: vec![],
                events: vec![],
                topics: vec![],
                start_block: None,
                decode: false,
            }],
            tables: vec![lies::facts()],
        }
    }

    fn new(config: &str) -> Result<Self, String> {
        // The word itself, or what a configuration file makes of it: `{"misdeed":"word"}`.
        let config = config.split('"').nth(3).unwrap_or(config);
        match config {
            "refuse" => Err("no such thing".to_owned()),
            "panic at the start" => panic!("no cat here"),
            "loop at the start" => loop {
                std::hint::black_box(());
            },
            _ => Ok(Self(config.to_owned())),
        }
    }

    fn handle(&mut self, host: &mut dyn Host, batch: &Batch) -> Result<Vec<Rejection>, Failure> {
        match self.0.as_str() {
            "loop" => loop {
                std::hint::black_box(());
            },
            "sleep" => std::thread::sleep(std::time::Duration::from_secs(3_600)),
            "memory" => {
                let mut all = Vec::new();
                loop {
                    all.push(std::hint::black_box(vec![1_u8; 1 << 20]));
                }
            }
            "stack" => host.log(Level::Info, &deeper(1).to_string()),
            "mutter and loop" => {
                eprintln!("I shall never stop");
                loop {
                    std::hint::black_box(());
                }
            }
            "panic" => panic!("the cat sat on block {}", batch.blocks[0].number),
            "exit" => std::process::exit(3),
            "print" => {
                for i in 0..1_000 {
                    eprintln!("line {i}");
                }
                panic!("after many words");
            }
            // Output that is no function of the events.
            "phase" => host.set_many(&[(vec![0], vec![batch.phase as u8])])?,
            "attempt" => host.set_many(&[(vec![0], vec![batch.attempt as u8])])?,
            "finalized" => host.set_many(&[(vec![0], vec![batch.finalized as u8])])?,
            "length" => host.set_many(&[(vec![0], vec![batch.len as u8])])?,
            "retry" => {
                return Err(Failure::Retry(RetryHint { after_ms: 7, reason: "later".to_owned() }));
            }
            "halt" => return Err(Failure::Halt("enough".to_owned())),
            "undeclared" => host.emit(Rows::new("nowhere", vec![]))?,
            "state" => {
                host.set_many(&[(vec![1], vec![0; 2 << 20])])?;
            }
            "log" => {
                for i in 0..2_000 {
                    host.log(Level::Info, &format!("line {i}"));
                }
            }
            misdeed if misdeed.starts_with("count") => return counts::commit(misdeed, host, batch),
            misdeed => {
                floods::commit(misdeed, batch)?;
                senses::commit(misdeed, host)?;
                robs::commit(misdeed, host)?;
                return lies::commit(misdeed, batch);
            }
        }
        Ok(Vec::new())
    }
}

#[allow(unconditional_recursion, reason = "the misdeed")]
#[inline(never)]
fn deeper(depth: u64) -> u64 {
    std::hint::black_box(deeper(std::hint::black_box(depth) + 1)) + depth
}
