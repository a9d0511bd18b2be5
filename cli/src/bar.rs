//! A bar of characters over a range of blocks: each stands for some blocks and shows what is worst
//! among them.

use event::BlockRange;

/// Width of a bar, in characters.
pub(crate) const BAR_WIDTH: u64 = 60;

/// Draws spans, each with a rank (lower is worse) and a character. What no span holds is a space.
pub(crate) fn bar(range: BlockRange, spans: &[(BlockRange, u8, char)]) -> String {
    let count = u128::from(range.count());
    let cells = u128::from(BAR_WIDTH).min(count);
    let at = |cell: u128| range.first() + u64::try_from(cell * count / cells).unwrap_or(u64::MAX);
    (0..cells)
        .map(|cell| {
            let last = if cell + 1 == cells { range.last() } else { at(cell + 1) - 1 };
            let shown = BlockRange::new(at(cell), last);
            let meets = |span: &BlockRange| shown.is_some_and(|s| s.intersection(span).is_some());
            let within = spans.iter().filter(|(span, ..)| meets(span));
            within.min_by_key(|(_, rank, _)| *rank).map_or(' ', |(.., shown)| *shown)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn one_bad_block_of_a_million_is_seen() {
        let range = |first, last| BlockRange::new(first, last).unwrap();
        let good = (range(0, 999_999), 9, '#');
        let drawn = bar(range(0, 999_999), &[good, (range(500_000, 500_000), 0, '!')]);
        assert_eq!(drawn.chars().count(), 60);
        assert_eq!(drawn.matches('!').count(), 1);
        assert_eq!(drawn.matches('#').count(), 59);
        assert_eq!(bar(range(7, 9), &[(range(8, 8), 0, '!')]), " ! ");
        let end = range(u64::MAX - 1, u64::MAX);
        assert_eq!(bar(end, &[(end, 0, '#')]), "##");
    }
}
