//! Finds a secret in a text, also where somebody has encoded it on the way: percent escapes, HTML
//! references and JSON escapes, each once or twice, in any case, and broken over lines. It does not
//! know what is secret.

use alloy_primitives::hex;
use std::ops::Range;

/// Backslashes before an escaped character, at most: JSON inside JSON inside JSON.
const BACKSLASHES_MAX: usize = 8;

/// Characters that HTML has a word for.
const NAMED: [(&[u8], u8); 5] =
    [(b"&amp;", b'&'), (b"&lt;", b'<'), (b"&gt;", b'>'), (b"&quot;", b'"'), (b"&apos;", b'\'')];

/// Characters of a secret's beginning that already tell too much of it: a node may mask or cut what
/// it repeats.
const TELLING: usize = 8;

/// Returns where `secret`, or a telling part of its beginning, is first written in `text`. An empty
/// secret is nowhere.
pub(crate) fn find(text: &str, secret: &str) -> Option<Range<usize>> {
    let (text_bytes, secret) = (text.as_bytes(), secret.as_bytes());
    // What does not begin with a character of its own is no place to begin.
    text.char_indices().map(|(start, _)| start).find_map(|start| {
        let end = start + written(&text_bytes[start..], secret)?;
        Some(start..text.ceil_char_boundary(end))
    })
}

/// Returns how many bytes at the beginning of `text` write `secret` or a telling part of its
/// beginning. All ways of writing go on side by side: one after the other they would double with
/// each character.
fn written(text: &[u8], secret: &[u8]) -> Option<usize> {
    let (mut told, mut ends) = (None, vec![0]);
    for (count, wanted) in (1..).zip(secret) {
        let is_last = count == secret.len();
        let one_more = |end: &usize| {
            let fits = |(byte, _): &(u8, usize)| byte.eq_ignore_ascii_case(wanted);
            let end = *end;
            forms(&text[end..]).filter(fits).map(move |(_, len)| end + len)
        };
        let mut next: Vec<usize> = ends.iter().flat_map(one_more).collect();
        let Some(last) = next.iter().max().copied() else { break };
        if is_last || count >= TELLING {
            told = Some(last);
        }
        // A line may be broken within.
        let broken: Vec<usize> = next.iter().map(|end| end + blanks(&text[*end..])).collect();
        next.extend(broken);
        next.sort_unstable();
        next.dedup();
        ends = next;
    }
    told
}

/// Returns the length of a line break and the blanks around it, or 0.
fn blanks(text: &[u8]) -> usize {
    let len = text.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    if text[..len].contains(&b'\n') { len } else { 0 }
}

/// Returns each byte that the beginning of `text` may stand for, with the length of that form.
fn forms(text: &[u8]) -> impl Iterator<Item = (u8, usize)> + '_ {
    let raw = text.first().map(|byte| (*byte, 1));
    let named = NAMED.iter().filter(|(name, _)| text.starts_with(name)).map(|(n, b)| (*b, n.len()));
    let escaped = [percent(text), numbered(text), unicode(text)].into_iter().flatten();
    raw.into_iter().chain(named).chain(escaped).chain(backslashed(text))
}

/// `%2B`, `%252B`.
fn percent(text: &[u8]) -> Option<(u8, usize)> {
    let rest = text.strip_prefix(b"%")?;
    let twice = rest.strip_prefix(b"25").and_then(hex_byte).map(|byte| (byte, 5));
    twice.or_else(|| Some((hex_byte(rest)?, 3)))
}

/// `&#43;`, `&#x2B;`.
fn numbered(text: &[u8]) -> Option<(u8, usize)> {
    let rest = text.strip_prefix(b"&#")?;
    let end = rest.iter().take(8).position(|byte| *byte == b';')?;
    let digits = std::str::from_utf8(&rest[..end]).ok()?;
    let byte = match digits.strip_prefix(['x', 'X']) {
        Some(digits) => u8::from_str_radix(digits, 16).ok()?,
        None => digits.parse().ok()?,
    };
    Some((byte, 2 + end + 1))
}

/// `\u002B`, behind one backslash or several.
fn unicode(text: &[u8]) -> Option<(u8, usize)> {
    let slashes = backslashes(text)?;
    let digits = text[slashes..].strip_prefix(b"u00").or(text[slashes..].strip_prefix(b"U00"))?;
    Some((hex_byte(digits)?, slashes + 5))
}

/// `\/`, `\"`, and a backslash written by several.
fn backslashed(text: &[u8]) -> impl Iterator<Item = (u8, usize)> + '_ {
    let slashes = backslashes(text);
    let next = slashes.and_then(|len| Some((*text.get(len)?, len + 1)));
    let whole = slashes.map(|len| (b'\\', len)).filter(|(_, len)| *len > 1);
    let pair = slashes.filter(|len| *len > 2).map(|_| (b'\\', 2));
    next.filter(|(byte, _)| matches!(byte, b'/' | b'"')).into_iter().chain(whole).chain(pair)
}

fn backslashes(text: &[u8]) -> Option<usize> {
    let len = text.iter().take(BACKSLASHES_MAX).take_while(|byte| **byte == b'\\').count();
    (len > 0).then_some(len)
}

fn hex_byte(text: &[u8]) -> Option<u8> {
    let mut byte = [0];
    hex::decode_to_slice(text.get(..2)?, &mut byte).ok()?;
    Some(byte[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_begins_like_a_secret_is_not_one() {
        assert_eq!(find("a+b%2", "a+b+c"), None);
        assert_eq!(find("", "a"), None);
        assert_eq!(find("anything", ""), None);
        assert_eq!(find("a\\", "a/"), None);
        assert_eq!(find("a b", "ab"), None, "two words are not a broken line");
    }

    #[test]
    fn the_telling_beginning_of_a_secret_is_found_however_it_goes_on() {
        let secret = "9aa3d95b3bc440fa88ea12eaa4456161";
        for shown in [8, 24, 31] {
            let text = format!("id {}... is unknown", &secret[..shown]);
            assert_eq!(find(&text, secret), Some(3..3 + shown), "{text}");
        }
        assert_eq!(find(&secret[..7], secret), None, "a few characters say nothing");
        assert_eq!(find("9aa3d95b\n3bc4 and so on", secret), Some(0..13));
    }

    #[test]
    fn a_text_that_is_almost_a_long_secret_is_read_once() {
        // Each way by itself would take longer than anybody waits: 2^200.
        let secret = "a".repeat(200) + "b";
        assert_eq!(find(&"a".repeat(200), &secret), Some(0..200));
        let broken = "a\n".repeat(200);
        assert_eq!(find(&broken, &secret), Some(0..broken.len() - 1));
    }

    #[test]
    fn backslashes_of_a_secret_are_found_escaped_and_plain() {
        for text in [r"a\b", r"a\\b", r"a\\\\b", "a%5Cb", "a&#92;b"] {
            assert_eq!(find(text, r"a\b"), Some(0..text.len()), "{text}");
        }
        assert_eq!(find("é%61\n\t/b", "a/b"), Some(2..9));
    }
}
