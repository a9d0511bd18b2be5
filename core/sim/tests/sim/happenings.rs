//! What happens to a chain at a moment, by chance.

use event::NodeId;
use sim::{Happening, World, rng::Rng};

/// Schedules a reorg, there and perhaps back again, a stall, or a branch of the liar's own.
pub(crate) fn something_happens(world: &World, rng: &mut Rng, liar: &NodeId, at_ms: u64) {
    let for_ms = rng.between(10_000, 120_000);
    let happening = match rng.below(8) {
        0..=2 => Happening::Reorg { depth: rng.between(1, 3), extra: rng.below(2) },
        3 => Happening::Reorg { depth: rng.between(4, 12), extra: 1 },
        4 => {
            world.schedule(at_ms + rng.between(1, 30_000), Happening::Return { extra: 1 });
            Happening::Reorg { depth: rng.between(1, 7), extra: 0 }
        }
        5 => Happening::Stall { for_ms },
        6 => Happening::FinalityStall { for_ms: for_ms * 4 },
        _ => Happening::Part {
            nodes: vec![liar.clone()],
            depth: rng.between(1, 4),
            is_secret: rng.chance(500),
            finalizes: false,
            for_ms,
        },
    };
    world.schedule(at_ms, happening);
}

/// Schedules that the liar leaves for a branch that it calls final, often from below what is final,
/// and comes back before `until_ms`.
pub(crate) fn another_finality(world: &World, rng: &mut Rng, liar: &NodeId, until_ms: u64) {
    let at_ms = rng.below(until_ms);
    let part = Happening::Part {
        nodes: vec![liar.clone()],
        depth: rng.between(1, 30),
        is_secret: rng.chance(500),
        finalizes: true,
        for_ms: rng.between(10_000, (until_ms - at_ms).max(10_000)),
    };
    world.schedule(at_ms, part);
}
