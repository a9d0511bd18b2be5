//! A filter that a node would not take whole: what is known of its parts, and whether together they
//! are the whole.

use event::Filter;
use std::sync::Arc;

/// Whether these parts are all of `filter`. Trackers halve the addresses first, then the first
/// topics; so does this.
pub(crate) fn cover(filter: &Filter, parts: &[&Arc<Filter>]) -> bool {
    if parts.iter().any(|part| ***part == *filter) {
        return true;
    }
    // Every half is narrower than the whole, so that this ends.
    parts.len() > 1
        && filter.halves().is_some_and(|[left, right]| cover(&left, parts) && cover(&right, parts))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use alloy_primitives::Address;
    use event::AnyOf;

    fn of(bytes: &[u8]) -> Arc<Filter> {
        let addresses = bytes.iter().map(|byte| Address::repeat_byte(*byte));
        Arc::new(Filter::new(AnyOf::of(addresses).unwrap(), AnyOf::Any))
    }

    #[test]
    fn all_halves_of_halves_are_the_whole_and_one_less_is_not() {
        let whole = of(&[1, 2, 3, 4]);
        let [a, b, c] = [of(&[1, 2]), of(&[3]), of(&[4])];
        assert!(cover(&whole, &[&whole]));
        assert!(cover(&whole, &[&a, &b, &c]));
        assert!(!cover(&whole, &[&a, &b]));
        assert!(!cover(&whole, &[&a]));
        assert!(!cover(&whole, &[]));
    }
}
