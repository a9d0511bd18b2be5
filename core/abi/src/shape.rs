//! The shape of a value in a log's data, read strictly: a word whose padding is wrong, an offset
//! out of the data, or text that is not UTF-8 makes the value unreadable rather than a guess.

use crate::decimal::{write_int, write_uint};
use alloy_dyn_abi::DynSolType;
use alloy_json_abi::Param;
use alloy_primitives::hex;
use std::io::Write as _;

/// Bytes of an ABI word.
pub(crate) const WORD: usize = 32;
/// Widest head of one argument. A log this long costs half a billion gas.
const MAX_HEAD_WORDS: usize = 1 << 16;
/// Deepest nesting of arrays and tuples, so that reading needs little stack.
const MAX_DEPTH: usize = 16;
/// Largest integer that JSON readers keep exactly: 2^53 - 1.
const MAX_JSON_NUMBER: u64 = (1 << 53) - 1;

/// A value of one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    Bool,
    Uint(usize),
    Int(usize),
    Address,
    /// `bytesN`, and `function` as `bytes24`.
    Fixed(usize),
}

/// A value of any type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Word(Word),
    Bytes,
    Text,
    Array(Box<Self>),
    FixedArray(Box<Self>, usize),
    /// Members; an object in JSON where each has a name of its own, else an array.
    Tuple(Vec<(String, Self)>, bool),
}

impl Shape {
    /// Returns the shape of a type, with the names of a struct's members; `None` for types that
    /// take no room or more than a log has.
    pub(crate) fn new(ty: &DynSolType, components: &[Param]) -> Option<Self> {
        Self::nested(ty, components, MAX_DEPTH).filter(|shape| shape.head_words() <= MAX_HEAD_WORDS)
    }

    fn nested(ty: &DynSolType, components: &[Param], depth: usize) -> Option<Self> {
        let inner = |ty| Self::nested(ty, components, depth.checked_sub(1)?).map(Box::new);
        Some(match ty {
            DynSolType::Bool => Self::Word(Word::Bool),
            DynSolType::Uint(bits) => Self::Word(Word::Uint(*bits)),
            DynSolType::Int(bits) => Self::Word(Word::Int(*bits)),
            DynSolType::Address => Self::Word(Word::Address),
            DynSolType::FixedBytes(size) => Self::Word(Word::Fixed(*size)),
            DynSolType::Function => Self::Word(Word::Fixed(24)),
            DynSolType::Bytes => Self::Bytes,
            DynSolType::String => Self::Text,
            DynSolType::Array(ty) => Self::Array(inner(ty)?),
            DynSolType::FixedArray(_, 0) => return None,
            DynSolType::FixedArray(ty, size) => Self::FixedArray(inner(ty)?, *size),
            DynSolType::Tuple(types) if types.is_empty() => return None,
            DynSolType::Tuple(types) => {
                let depth = depth.checked_sub(1)?;
                let member = |(i, ty): (usize, &DynSolType)| {
                    let param = components.get(i);
                    let name = param.map(|param| param.name.clone()).unwrap_or_default();
                    let below = param.map_or(&[][..], |param| &param.components);
                    Some((name, Self::nested(ty, below, depth)?))
                };
                let members: Vec<_> =
                    types.iter().enumerate().map(member).collect::<Option<_>>()?;
                let named = members.iter().enumerate().all(|(i, (name, _))| {
                    !name.is_empty() && members[..i].iter().all(|(other, _)| other != name)
                });
                Self::Tuple(members, named)
            }
            #[allow(unreachable_patterns, reason = "a feature of alloy-dyn-abi adds a variant")]
            _ => return None,
        })
    }

    fn is_dynamic(&self) -> bool {
        match self {
            Self::Word(_) => false,
            Self::Bytes | Self::Text | Self::Array(_) => true,
            Self::FixedArray(inner, _) => inner.is_dynamic(),
            Self::Tuple(members, _) => members.iter().any(|(_, member)| member.is_dynamic()),
        }
    }

    /// Words that the value takes in the head of what holds it.
    pub(crate) fn head_words(&self) -> usize {
        match self {
            Self::FixedArray(inner, size) if !inner.is_dynamic() => {
                inner.head_words().saturating_mul(*size)
            }
            Self::Tuple(members, _) if !self.is_dynamic() => members
                .iter()
                .fold(0, |sum: usize, (_, member)| sum.saturating_add(member.head_words())),
            _ => 1,
        }
    }

    /// Appends the value whose head is at `at` of `frame` as JSON.
    ///
    /// `budget` is how many words may still be read. Honest data holds each word once; data whose
    /// offsets point at one array from many places would otherwise grow without bound.
    pub(crate) fn write_json(
        &self,
        frame: &[u8],
        at: usize,
        budget: &mut usize,
        out: &mut Vec<u8>,
    ) -> Option<()> {
        // What stands in place costs what its members cost.
        if self.is_dynamic() || matches!(self, Self::Word(_)) {
            *budget = budget.checked_sub(1)?;
        }
        match self {
            Self::Word(word) => word.write_json(word_at(frame, at)?, out)?,
            Self::Bytes => {
                let bytes = bytes_at(frame, at)?;
                *budget = budget.checked_sub(bytes.len() / WORD)?;
                write_hex(bytes, out);
            }
            Self::Text => {
                let text = text_at(frame, at)?;
                *budget = budget.checked_sub(text.len() / WORD)?;
                write_string(text, out);
            }
            Self::Array(inner) => {
                let tail = tail_at(frame, at)?;
                let count = usize_at(tail, 0)?;
                let items = &tail[WORD..];
                let step = inner.head_words() * WORD;
                if count.checked_mul(step)? > items.len() {
                    return None;
                }
                write_array(out, count, |i, out| inner.write_json(items, i * step, budget, out))?;
            }
            Self::FixedArray(inner, count) => {
                let (frame, at) = self.members_at(frame, at)?;
                let step = inner.head_words() * WORD;
                write_array(out, *count, |i, out| {
                    inner.write_json(frame, at + i * step, budget, out)
                })?;
            }
            Self::Tuple(members, named) => {
                let (frame, mut at) = self.members_at(frame, at)?;
                out.push(if *named { b'{' } else { b'[' });
                for (i, (name, member)) in members.iter().enumerate() {
                    if i > 0 {
                        out.push(b',');
                    }
                    if *named {
                        write_string(name, out);
                        out.push(b':');
                    }
                    member.write_json(frame, at, budget, out)?;
                    at += member.head_words() * WORD;
                }
                out.push(if *named { b'}' } else { b']' });
            }
        }
        Some(())
    }

    /// Where the members of a fixed array or tuple stand: in place, or behind an offset.
    fn members_at<'a>(&self, frame: &'a [u8], at: usize) -> Option<(&'a [u8], usize)> {
        if self.is_dynamic() { Some((tail_at(frame, at)?, 0)) } else { Some((frame, at)) }
    }
}

impl Word {
    /// Whether the bytes outside the value are what they must be.
    pub(crate) fn is_valid(self, word: &[u8; WORD]) -> bool {
        let padded = |bytes: &[u8], with: u8| bytes.iter().all(|byte| *byte == with);
        match self {
            Self::Bool => padded(&word[..31], 0) && word[31] <= 1,
            Self::Uint(bits) => padded(&word[..WORD - bits / 8], 0),
            Self::Int(bits) => {
                let start = WORD - bits / 8;
                let sign = if word[start] & 0x80 == 0 { 0 } else { 0xff };
                padded(&word[..start], sign)
            }
            Self::Address => padded(&word[..12], 0),
            Self::Fixed(size) => padded(&word[size..], 0),
        }
    }

    /// Appends the value as JSON, unless its padding is wrong. Integers above 2^53 - 1 and all
    /// of 256 bits are strings.
    pub(crate) fn write_json(self, word: &[u8; WORD], out: &mut Vec<u8>) -> Option<()> {
        if !self.is_valid(word) {
            return None;
        }
        match self {
            Self::Bool => out.extend_from_slice(if word[31] == 1 { b"true" } else { b"false" }),
            Self::Uint(bits) => {
                let number = bits < 256
                    && word[..24].iter().all(|byte| *byte == 0)
                    && low_u64(word) <= MAX_JSON_NUMBER;
                write_quoted(!number, out, |out| write_uint(word, out));
            }
            Self::Int(bits) => {
                let fits = low_u64(word).cast_signed().unsigned_abs() <= MAX_JSON_NUMBER;
                let number = bits < 256 && Self::Int(64).is_valid(word) && fits;
                write_quoted(!number, out, |out| write_int(word, out));
            }
            Self::Address => write_hex(&word[12..], out),
            Self::Fixed(size) => write_hex(&word[..size], out),
        }
        Some(())
    }
}

/// The last eight bytes as a number.
pub(crate) fn low_u64(word: &[u8; WORD]) -> u64 {
    let mut low = [0; 8];
    low.copy_from_slice(&word[24..]);
    u64::from_be_bytes(low)
}

/// The word at byte `at`.
pub(crate) fn word_at(frame: &[u8], at: usize) -> Option<&[u8; WORD]> {
    frame.get(at..)?.first_chunk()
}

/// The bytes behind the offset at byte `at`. Their padding is not looked at: old compilers left
/// it out at the end of a log.
pub(crate) fn bytes_at(frame: &[u8], at: usize) -> Option<&[u8]> {
    let tail = tail_at(frame, at)?;
    let len = usize_at(tail, 0)?;
    tail[WORD..].get(..len)
}

/// The text behind the offset at byte `at`.
pub(crate) fn text_at(frame: &[u8], at: usize) -> Option<&str> {
    std::str::from_utf8(bytes_at(frame, at)?).ok()
}

fn tail_at(frame: &[u8], at: usize) -> Option<&[u8]> {
    frame.get(usize_at(frame, at)?..)
}

fn usize_at(frame: &[u8], at: usize) -> Option<usize> {
    let word = word_at(frame, at)?;
    if word[..24].iter().any(|byte| *byte != 0) {
        return None;
    }
    usize::try_from(low_u64(word)).ok()
}

fn write_array(
    out: &mut Vec<u8>,
    count: usize,
    mut item: impl FnMut(usize, &mut Vec<u8>) -> Option<()>,
) -> Option<()> {
    out.push(b'[');
    for i in 0..count {
        if i > 0 {
            out.push(b',');
        }
        item(i, out)?;
    }
    out.push(b']');
    Some(())
}

fn write_quoted(quoted: bool, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    if quoted {
        out.push(b'"');
    }
    write(out);
    if quoted {
        out.push(b'"');
    }
}

/// Appends `"0x..."`.
pub(crate) fn write_hex(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"\"0x");
    let start = out.len();
    out.resize(start + bytes.len() * 2, 0);
    hex::encode_to_slice(bytes, &mut out[start..]).expect("two digits for each byte");
    out.push(b'"');
}

/// Appends a JSON string.
pub(crate) fn write_string(text: &str, out: &mut Vec<u8>) {
    let quoted = serde_json::to_string(text).expect("text is always JSON");
    out.write_all(quoted.as_bytes()).expect("a vector takes all");
}
