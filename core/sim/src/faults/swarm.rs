//! A random subset of troubles for one node of one seed. Few kinds at a time reach states that all
//! of them at once never do.

use crate::{
    Methods, Rule, Trouble,
    faults::personas::{self, Persona},
    rng::Rng,
};
use event::BlockRange;

/// How far a swarm may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Harm {
    /// Answers late, or not, or of an older head; what it says is true.
    Fails,
    /// Fails, lags, loses: everything short of logs that never were.
    Loses,
    /// Also alters and adds.
    Forges,
}

/// Returns the rules of a node that is in trouble in up to `kinds` ways until `until_ms`, on a chain
/// whose blocks of interest are `range`.
pub fn swarm(rng: &mut Rng, harm: Harm, kinds: u64, range: BlockRange, until_ms: u64) -> Persona {
    let mut persona = Vec::new();
    for _ in 0..rng.between(1, kinds.max(1)) {
        let rules = kind(rng, harm, range);
        // Also with an end of its own, now and then.
        let (from, until) = if rng.chance(300) {
            let from = rng.below(until_ms);
            (from, rng.between(from, until_ms))
        } else {
            (0, until_ms)
        };
        persona.extend(rules.into_iter().map(|rule| rule.during(from, until)));
    }
    persona
}

fn kind(rng: &mut Rng, harm: Harm, range: BlockRange) -> Persona {
    let often = rng.between(20, 400) as u32;
    let part = part_of(rng, range);
    const FAILS: [u64; 13] = [0, 1, 2, 3, 4, 5, 9, 10, 12, 26, 31, 32, 33];
    let kind = match harm {
        Harm::Fails => FAILS[rng.below(FAILS.len() as u64) as usize],
        Harm::Loses => rng.below(34),
        Harm::Forges => rng.below(38),
    };
    let asks = |trouble| vec![Rule::on(Methods::ASKS, trouble).sometimes(often)];
    let logs = |trouble| vec![Rule::on(Methods::LOGS, trouble).for_some_blocks(often)];
    let receipts = |trouble| vec![Rule::on(Methods::RECEIPTS, trouble).for_some_blocks(often)];
    let hints = |trouble| vec![Rule::on(Methods::HINTS, trouble).sometimes(often)];
    match kind {
        0 => asks(Trouble::Unreachable),
        1 => asks(Trouble::TimesOut { after_ms: rng.between(1_000, 30_000) }),
        2 => asks(Trouble::Slow { by_ms: rng.between(100, 5_000) }),
        3 => {
            let named = rng.chance(500).then(|| rng.between(100, 5_000));
            asks(Trouble::RateLimited { retry_after_ms: named })
        }
        4 => asks(Trouble::Malformed),
        5 => asks(Trouble::Dropped),
        6 => vec![Rule::on(Methods::RECEIPTS, Trouble::MethodMissing)],
        7 => vec![Rule::on(Methods::HASH_LOGS, Trouble::MethodMissing)],
        8 => {
            let width_max = rng.below(40);
            vec![Rule::on(Methods::RANGE_LOGS, Trouble::RangeRefused { width_max })]
        }
        9 => {
            let most = rng.between(10, 100);
            vec![Rule::on(Methods::RANGE_LOGS, Trouble::ResultsRefused { most })]
        }
        10 => vec![Rule::on(Methods::FINAL_TAGS, Trouble::NoFinalizedTag)],
        11 => {
            let blocks = rng.between(1, 20);
            vec![
                Rule::on(Methods::FINAL_TAGS, Trouble::FinalizedGoesBack { blocks })
                    .sometimes(often),
            ]
        }
        12 => personas::load_balanced(rng.between(1, 5), often),
        13 => personas::loses_ranges(often),
        14 => personas::loses_some(often),
        15 => personas::loses_everything(part),
        16 => personas::pruned(part.last()),
        17 => personas::blind_to_addresses(),
        18 => logs(Trouble::LostLog),
        19 => {
            vec![Rule::on(Methods::LOGS, Trouble::LogsLate { after_ms: rng.between(500, 20_000) })]
        }
        20 => vec![Rule::on(Methods::LOGS, Trouble::LogIndexPerTransaction)],
        21 => logs(Trouble::LogIndexShifted { by: rng.between(1, 3) as u32 }),
        22 => logs(Trouble::RepeatedLogs),
        23 => logs(Trouble::LogsOfOtherBlock),
        24 => logs(Trouble::UnaskedLogs),
        25 => logs(Trouble::RemovedLogs),
        26 => vec![Rule::on(Methods::LOGS, Trouble::TimestampMissing)],
        27 => receipts(Trouble::EmptyReceipts),
        28 => receipts(Trouble::ReceiptShort),
        29 => receipts(Trouble::ReceiptsOfOtherBlock),
        30 => vec![Rule::on(Methods::HEADERS, Trouble::ZeroBloom).for_some_blocks(often)],
        31 => {
            let headers = Methods::HEADERS.and(Methods::HASH_HEADERS);
            vec![Rule::on(headers, Trouble::NullBlock).sometimes(often)]
        }
        32 => {
            let blocks = rng.between(1, 8);
            vec![Rule::on(Methods::LATEST, Trouble::HeadLags { blocks }).sometimes(often)]
        }
        33 => match rng.below(6) {
            0 => hints(Trouble::HintsLost),
            1 => hints(Trouble::HintsDoubled),
            2 => hints(Trouble::HintsOutOfOrder),
            3 => hints(Trouble::HintsFlood { times: 100 }),
            4 => vec![Rule::on(Methods::HINTS, Trouble::HintsHeld)],
            _ => hints(Trouble::ConnectionFlaps),
        },
        34 => logs(Trouble::AlteredLog),
        35 => logs(Trouble::AddedLog),
        _ => personas::forger(often),
    }
}

fn part_of(rng: &mut Rng, range: BlockRange) -> BlockRange {
    let first = rng.between(range.first(), range.last());
    let last = rng.between(first, range.last());
    BlockRange::new(first, last).unwrap_or(range)
}
