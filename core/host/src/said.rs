//! A guest's own words, made fit for messages, logs and SQL: bounded, and without control characters,
//! which could make a terminal show something else.

/// Bytes of a reason that a guest gives; what is longer is cut.
const REASON_BYTES: usize = 1 << 10;

/// Returns a reason, cut and cleaned.
pub(crate) fn reason(mut text: String) -> String {
    if text.len() > REASON_BYTES {
        let end = (0..=REASON_BYTES).rev().find(|end| text.is_char_boundary(*end));
        text.truncate(end.unwrap_or(0));
        text.push_str("...");
    }
    cleaned(text)
}

/// Returns the text without control characters; lines stay lines.
pub(crate) fn cleaned(text: String) -> String {
    let is_bad = |c: char| c.is_control() && c != '\n' && c != '\t';
    if text.contains(is_bad) { text.replace(is_bad, "\u{fffd}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_cut_at_a_character_and_cannot_steer_a_terminal() {
        assert_eq!(reason("a\u{1b}[2Jb\0c\nd".to_owned()), "a\u{fffd}[2Jb\u{fffd}c\nd");
        let long = reason("\u{e4}".repeat(5_000));
        assert!(long.len() <= REASON_BYTES + 3 && long.ends_with("\u{e4}..."), "{long}");
        assert_eq!(reason("plain".to_owned()), "plain");
    }
}
