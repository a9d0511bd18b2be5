//! Text from nodes, plugins and ledgers on its way to a terminal: without control characters, which could
//! make it show something else, and in one line where it is a part of one.

/// Returns the text in one line.
pub(crate) fn one_line(text: &str) -> String {
    text.replace(|c: char| c.is_control(), " ")
}

/// Returns a text of several lines.
pub(crate) fn lines(text: &str) -> String {
    text.replace(|c: char| c.is_control() && c != '\n', " ")
}

/// Returns the text in one line of so many characters, at most.
pub(crate) fn cut(text: &str, chars_max: usize) -> String {
    let text = one_line(text);
    match text.chars().count() > chars_max {
        false => text,
        true => text.chars().take(chars_max - 1).chain(['…']).collect(),
    }
}
