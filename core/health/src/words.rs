//! How times and counts are said.

/// Says a time in one unit, cut and not rounded.
pub(crate) fn time(ms: u64) -> String {
    let seconds = ms / 1_000;
    match seconds {
        0 if ms > 0 => format!("{ms} ms"),
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// Says how many of a thing there are.
pub(crate) fn count(number: u64, one: &str, many: &str) -> String {
    match number {
        1 => format!("1 {one}"),
        _ => format!("{number} {many}"),
    }
}

/// Says how many blocks.
pub(crate) fn blocks(number: u64) -> String {
    count(number, "block", "blocks")
}
