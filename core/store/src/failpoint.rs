//! Places where a test may kill the process, to see that a rerun leaves no trace of it.
//!
//! Pure code reads no environment: the binary parses `HEADCOUNT_FAILPOINT` and passes the value.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// Every name that [`Failpoints::parse`] takes.
pub const FAILPOINTS: [&str; 9] = [
    "store.apply.after_stage",
    "store.apply.before_begin",
    "store.apply.after_append",
    "store.apply.before_commit",
    "store.apply.after_commit",
    "store.lane.before_commit",
    "store.lane.after_commit",
    "store.outbox.before_commit",
    "store.outbox.after_commit",
];

/// At most one armed failpoint; by default none.
#[derive(Clone, Debug, Default)]
pub struct Failpoints(Option<Arc<Armed>>);

#[derive(Debug)]
struct Armed {
    name: String,
    hit: u64,
    seen: AtomicU64,
}

impl Failpoints {
    /// Reads `NAME` or `NAME:HIT`: the process aborts when `NAME` is passed for the `HIT`th time.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (name, hit) = text.split_once(':').unwrap_or((text, "1"));
        if !FAILPOINTS.contains(&name) {
            return Err(format!("`{name}` is none of {}", FAILPOINTS.join(", ")));
        }
        let hit = hit.parse().ok().filter(|hit| *hit > 0);
        let hit = hit.ok_or_else(|| format!("`{text}` does not end in a count from 1"))?;
        Ok(Self(Some(Arc::new(Armed { name: name.to_owned(), hit, seen: AtomicU64::new(0) }))))
    }

    /// Passes a place; aborts the process without any clean-up when it is the armed one.
    pub fn pass(&self, name: &str) {
        let Some(armed) = &self.0 else { return };
        if armed.name == name && armed.seen.fetch_add(1, Ordering::Relaxed) + 1 == armed.hit {
            std::process::abort();
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_failpoint_is_refused_with_the_known_ones() {
        let error = Failpoints::parse("store.aply:1").unwrap_err();
        assert!(error.contains("store.apply.before_commit"), "{error}");
        assert!(Failpoints::parse("store.apply.before_commit:0").is_err());
        assert!(Failpoints::parse("store.apply.before_commit:3").is_ok());
    }
}
