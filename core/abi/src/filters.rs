//! From schemas to the boxes that are asked of nodes.

use event::{AnyOf, EventSchema, Filter};
use std::collections::BTreeMap;

/// Returns few boxes that together match exactly what the schemas speak of, sorted.
///
/// An anonymous event has no first topic to ask for: its contracts are asked for every log.
pub(crate) fn boxes(schemas: &[EventSchema]) -> Vec<Filter> {
    // All first topics of the same contracts belong in one box, ...
    let mut by_addresses = BTreeMap::new();
    for schema in schemas {
        let topic0 = schema.topic0.map_or(AnyOf::Any, AnyOf::one);
        join(&mut by_addresses, schema.addresses.clone(), topic0);
    }
    // ... and all contracts with the same first topics.
    let mut by_topics = BTreeMap::new();
    for (addresses, topic0) in by_addresses {
        join(&mut by_topics, topic0, addresses);
    }
    let boxes: Vec<Filter> =
        by_topics.into_iter().map(|(topic0, addresses)| Filter::new(addresses, topic0)).collect();
    let inside = |this: &Filter, other: &Filter| {
        this != other
            && subset(&this.addresses, &other.addresses)
            && subset(&this.topics[0], &other.topics[0])
    };
    boxes.iter().filter(|this| !boxes.iter().any(|other| inside(this, other))).cloned().collect()
}

fn join<K: Ord, V: Ord + Clone>(
    sides: &mut BTreeMap<AnyOf<K>, AnyOf<V>>,
    key: AnyOf<K>,
    more: AnyOf<V>,
) {
    match sides.entry(key) {
        std::collections::btree_map::Entry::Vacant(free) => {
            free.insert(more);
        }
        std::collections::btree_map::Entry::Occupied(mut held) => {
            let both = match (held.get(), more) {
                (AnyOf::Of(a), AnyOf::Of(b)) => AnyOf::of(a.iter().cloned().chain(b)),
                _ => None,
            };
            held.insert(both.unwrap_or(AnyOf::Any));
        }
    }
}

fn subset<T: Ord>(a: &AnyOf<T>, b: &AnyOf<T>) -> bool {
    match (a, b) {
        (_, AnyOf::Any) => true,
        (AnyOf::Any, AnyOf::Of(_)) => false,
        (AnyOf::Of(a), b) => a.iter().all(|value| b.allows(value)),
    }
}
