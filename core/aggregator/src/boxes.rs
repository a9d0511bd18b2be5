//! Algebra of filter boxes: containment and difference. Knows nothing of blocks.
//!
//! A side is a finite set or everything. The complement of a finite set cannot be asked of
//! `eth_getLogs`, so a difference that would need it keeps the whole side: more is asked for than
//! is missing, never less.

use event::{AnyOf, Filter};

/// Boxes that one difference may fall into before the whole filter is asked for instead. Nodes
/// answer a few wide questions faster than many narrow ones.
const BOXES_MAX: usize = 64;

/// Whether every log of `inner` lies in `outer`.
pub(crate) fn contains(outer: &Filter, inner: &Filter) -> bool {
    side_contains(&outer.addresses, &inner.addresses)
        && outer.topics.iter().zip(&inner.topics).all(|(o, i)| side_contains(o, i))
}

/// Returns boxes that hold every log of `wanted` that lies in none of `covered`; empty when all of
/// `wanted` is covered.
pub(crate) fn difference<'a>(
    wanted: &Filter,
    covered: impl IntoIterator<Item = &'a Filter>,
) -> Vec<Filter> {
    let mut rest = vec![wanted.clone()];
    let mut overflow = false;
    for have in covered {
        rest = rest.iter().flat_map(|want| minus(want, have)).collect();
        drop_contained(&mut rest);
        if rest.len() > BOXES_MAX {
            // Go on from the whole filter: a later box may still cover it at one stroke.
            overflow = true;
            rest = vec![wanted.clone()];
        }
        if rest.is_empty() {
            return rest;
        }
    }
    if overflow {
        rest.truncate(BOXES_MAX);
    }
    rest.sort_unstable();
    rest
}

/// Returns `want` without `have`: one box per side on which they differ.
fn minus(want: &Filter, have: &Filter) -> Vec<Filter> {
    let Some(common) = want.intersection(have) else { return vec![want.clone()] };
    let mut pieces = Vec::new();
    // What is left to tell apart: already cut to `have` on the sides that were dealt with.
    let mut rest = want.clone();
    match side_minus(&want.addresses, &have.addresses) {
        Difference::Nothing => {}
        Difference::Some(side) => pieces.push(Filter { addresses: side, ..rest.clone() }),
        Difference::WholeSide => return vec![want.clone()],
    }
    rest.addresses = common.addresses;
    for (position, common) in common.topics.into_iter().enumerate() {
        let (w, h) = (&want.topics[position], &have.topics[position]);
        match side_minus(w, h) {
            Difference::Nothing => {}
            Difference::Some(side) => {
                let mut piece = rest.clone();
                piece.topics[position] = side;
                pieces.push(piece);
            }
            Difference::WholeSide => {
                // This piece holds whatever the later sides could add.
                pieces.push(rest);
                return pieces;
            }
        }
        rest.topics[position] = common;
    }
    pieces
}

enum Difference<T> {
    Nothing,
    Some(AnyOf<T>),
    /// The complement of a finite set: cannot be asked for.
    WholeSide,
}

fn side_minus<T: Ord + Clone>(want: &AnyOf<T>, have: &AnyOf<T>) -> Difference<T> {
    match (want, have) {
        (_, AnyOf::Any) => Difference::Nothing,
        (AnyOf::Any, AnyOf::Of(_)) => Difference::WholeSide,
        (AnyOf::Of(want), AnyOf::Of(_)) => {
            let left = want.iter().filter(|value| !have.allows(value)).cloned();
            AnyOf::of(left).map_or(Difference::Nothing, Difference::Some)
        }
    }
}

fn side_contains<T: Ord>(outer: &AnyOf<T>, inner: &AnyOf<T>) -> bool {
    match (outer, inner) {
        (AnyOf::Any, _) => true,
        (AnyOf::Of(_), AnyOf::Any) => false,
        (AnyOf::Of(_), AnyOf::Of(inner)) => inner.iter().all(|value| outer.allows(value)),
    }
}

fn drop_contained(boxes: &mut Vec<Filter>) {
    if boxes.len() < 2 {
        return;
    }
    let mut kept: Vec<Filter> = Vec::with_capacity(boxes.len());
    for candidate in boxes.drain(..) {
        if !kept.iter().any(|outer| contains(outer, &candidate)) {
            kept.retain(|inner| !contains(&candidate, inner));
            kept.push(candidate);
        }
    }
    *boxes = kept;
}
