//! What a guest hands over although its interface does not allow it, in plain words: the engine tells it in
//! those of its own memory.

/// What the engine's words have in them, and what is so; the first that fits.
const WORDS: [(&str, &str); 8] = [
    ("invalid utf-8", "a text that is no UTF-8"),
    ("unpaired surrogate", "a text that is no UTF-16"),
    ("`char`", "a character that does not exist"),
    (
        "discriminant",
        "a case that the interface does not have, of a variant, enum, option or result",
    ),
    ("realloc return", "memory for its arguments that it does not have"),
    ("not aligned", "a value at an address that its type cannot have"),
    ("out of bounds", "a value that is not in its memory"),
    ("overflow", "a value that is larger than its memory"),
];

/// Returns what the engine could not take over from a guest, or back from it; the engine's own words where
/// it is something else.
pub(crate) fn told(cause: &str) -> String {
    match WORDS.iter().find(|(word, _)| cause.contains(word)) {
        Some((_, plain)) => format!("it handed over {plain}"),
        None => cause.to_owned(),
    }
}
