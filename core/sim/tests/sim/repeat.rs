//! Which seeds are run, and how one that failed is repeated.

use std::{
    env,
    ops::RangeInclusive,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
};

/// Seeds that fail before the rest is left alone.
const FAILED_MAX: usize = 10;

/// Runs `each` for seeds 1 to `count`, or for the one that `HEADCOUNT_SEED` names, or for those that
/// `HEADCOUNT_SEEDS` says: `N` is 1 to N, `A:B` is A to B. A seed that fails is named with the command that repeats it.
pub(crate) fn for_seeds(test: &str, count: u64, each: impl Fn(u64)) {
    for_seeds_at_most(test, count, usize::MAX, each);
}

/// The same for what takes so long that no more than `most` are run, whatever is asked for.
pub(crate) fn for_seeds_at_most(test: &str, count: u64, most: usize, each: impl Fn(u64)) {
    let number = |name: &str| env::var(name).ok().and_then(|text| text.parse().ok());
    let seeds = match number("HEADCOUNT_SEED") {
        Some(seed) => seed..=seed,
        None => seeds_wanted().unwrap_or(1..=count),
    };
    let mut failed = Vec::new();
    for seed in seeds.take(most) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| each(seed))) {
            let command = format!("cargo test -p headcount-sim --test sim {test}");
            #[allow(clippy::print_stderr, reason = "the way to repeat it")]
            {
                eprintln!("seed {seed} failed; repeat it with\n  HEADCOUNT_SEED={seed} {command}");
            }
            failed.push((seed, panic));
            if failed.len() == FAILED_MAX {
                break;
            }
        }
    }
    if failed.len() > 1 {
        let seeds: Vec<u64> = failed.iter().map(|(seed, _)| *seed).collect();
        panic!("seeds {seeds:?} failed");
    }
    if let Some((_, panic)) = failed.pop() {
        resume_unwind(panic);
    }
}

fn seeds_wanted() -> Option<RangeInclusive<u64>> {
    let wanted = env::var("HEADCOUNT_SEEDS").ok()?;
    let (first, last) = wanted.split_once(':').unwrap_or(("1", &wanted));
    let number = |text: &str| text.parse().expect("HEADCOUNT_SEEDS is N or A:B");
    Some(number(first)..=number(last))
}

/// Whether only one seed is run: then nothing can be said of all of them.
pub(crate) fn is_one_seed() -> bool {
    env::var_os("HEADCOUNT_SEED").is_some() || env::var_os("HEADCOUNT_SEEDS").is_some()
}
