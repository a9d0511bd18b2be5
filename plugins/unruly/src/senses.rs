//! Misdeeds that look for what is not the plugin's business. What they find is a log line, or the
//! reason why they halt.

use headcount_plugin_sdk::{Failure, Host, Level, bindings::headcount::plugin::state};
use std::{
    collections::hash_map::RandomState,
    fs,
    hash::BuildHasher,
    io::Read,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

/// Does it, where `misdeed` is one of these.
pub(crate) fn commit(misdeed: &str, host: &mut dyn Host) -> Result<(), Failure> {
    match misdeed {
        "files" => {
            let read = ["/etc/passwd", "/proc/self/environ", "../headcount.toml", "."]
                .map(|path| fs::read(path).is_ok());
            let written = fs::write("left-behind", "x").is_ok();
            let listed = fs::read_dir("/").is_ok();
            host.log(Level::Info, &format!("{read:?} {written} {listed}"));
        }
        "environment" => {
            let (variables, arguments) = (std::env::vars().count(), std::env::args().count());
            let mut input = Vec::new();
            let typed = std::io::stdin().read_to_end(&mut input).unwrap_or(0);
            host.log(Level::Info, &format!("{variables} {arguments} {typed}"));
        }
        "clock" => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let begun = Instant::now();
            (0..1_000_000).for_each(|i| _ = std::hint::black_box(i));
            host.log(Level::Info, &format!("{} {}", now.as_secs(), begun.elapsed().as_nanos()));
        }
        "randomness" => {
            host.log(Level::Info, &RandomState::new().hash_one(1).to_string());
        }
        "spy" => {
            let seen = state::scan(b"", None, 1_000).len();
            let got = state::get(b"").is_some();
            return Err(Failure::Halt(format!("saw {seen} keys of state, {got}")));
        }
        _ => {}
    }
    Ok(())
}
