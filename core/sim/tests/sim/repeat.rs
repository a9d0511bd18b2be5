//! Which seeds are run, and how one that failed is repeated.

use std::{
    env,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
};

/// Runs `each` for seeds 1 to `count`, or for the one that `HEADCOUNT_SEED` names, or for as many as
/// `HEADCOUNT_SEEDS` says. A seed that fails is named with the command that repeats it.
pub(crate) fn for_seeds(test: &str, count: u64, each: impl Fn(u64)) {
    let number = |name: &str| env::var(name).ok().and_then(|text| text.parse().ok());
    let seeds = match number("HEADCOUNT_SEED") {
        Some(seed) => seed..=seed,
        None => 1..=number("HEADCOUNT_SEEDS").unwrap_or(count),
    };
    for seed in seeds {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| each(seed))) {
            let command = format!("cargo test -p headcount-sim --test sim {test}");
            #[allow(clippy::print_stderr, reason = "the way to repeat it")]
            {
                eprintln!("seed {seed} failed; repeat it with\n  HEADCOUNT_SEED={seed} {command}");
            }
            resume_unwind(panic);
        }
    }
}

/// Whether only one seed is run: then nothing can be said of all of them.
pub(crate) fn is_one_seed() -> bool {
    env::var_os("HEADCOUNT_SEED").is_some() || env::var_os("HEADCOUNT_SEEDS").is_some()
}
