//! How the rows of one schema are read: where each argument stands in a log, and which column it
//! becomes. Made once, used for every log.

use crate::{
    decimal::{write_int, write_uint},
    shape::{Shape, WORD, Word, bytes_at, low_u64, text_at, word_at, write_hex, write_string},
};
use alloy_primitives::B256;
use event::{ColumnData, ColumnType, LogRef, Packed};

/// Where an argument stands.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// In this topic.
    Topic(usize),
    /// In this topic, as the hash of a value that is not in the log.
    Hashed(usize),
    /// At this byte of the data's head.
    Data(usize),
}

#[derive(Debug)]
struct Argument {
    place: Place,
    shape: Shape,
    key: String,
}

/// How to read one event.
#[derive(Debug)]
pub(crate) struct Plan {
    arguments: Vec<Argument>,
    topics: usize,
    head_bytes: usize,
}

impl Plan {
    /// Returns the plan for arguments given as shape, whether indexed, and JSON key.
    pub(crate) fn new(
        anonymous: bool,
        arguments: impl IntoIterator<Item = (Shape, bool, String)>,
    ) -> Self {
        let (mut topics, mut head_bytes) = (usize::from(!anonymous), 0);
        let place = |(shape, indexed, key): (Shape, bool, String)| {
            let place = if indexed {
                topics += 1;
                match shape {
                    Shape::Word(_) => Place::Topic(topics - 1),
                    _ => Place::Hashed(topics - 1),
                }
            } else {
                let at = head_bytes;
                head_bytes += shape.head_words() * WORD;
                Place::Data(at)
            };
            Argument { place, shape, key }
        };
        let arguments = arguments.into_iter().map(place).collect();
        Self { arguments, topics, head_bytes }
    }

    /// How many topics a log of this event has.
    pub(crate) const fn topics(&self) -> usize {
        self.topics
    }

    /// Returns empty columns.
    pub(crate) fn columns(&self) -> Vec<ColumnData> {
        self.arguments.iter().map(|argument| empty(argument.ty())).collect()
    }

    /// Appends one log to the columns, or leaves them as they were. The log has
    /// [`Self::topics`] topics.
    pub(crate) fn push(&self, log: LogRef<'_>, columns: &mut [ColumnData], rows: usize) -> bool {
        if log.data.len() < self.head_bytes {
            return false;
        }
        let mut budget = log.data.len() / WORD * 2 + 2;
        let whole = self
            .arguments
            .iter()
            .zip(columns.iter_mut())
            .all(|(argument, column)| argument.push(log, column, &mut budget).is_some());
        if !whole {
            columns.iter_mut().for_each(|column| cut(column, rows));
        }
        whole
    }

    /// Returns the arguments of one log as a JSON object.
    pub(crate) fn json(&self, log: LogRef<'_>) -> Option<String> {
        if log.data.len() < self.head_bytes {
            return None;
        }
        let mut budget = log.data.len() / WORD * 2 + 2;
        let mut out = vec![b'{'];
        for (i, argument) in self.arguments.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            write_string(&argument.key, &mut out);
            out.push(b':');
            argument.write_json(log, &mut budget, &mut out)?;
        }
        out.push(b'}');
        String::from_utf8(out).ok()
    }
}

/// SQL type of an argument.
pub(crate) const fn column_type(shape: &Shape, indexed: bool) -> ColumnType {
    match shape {
        Shape::Word(Word::Bool) => ColumnType::Bool,
        Shape::Word(Word::Uint(bits)) if *bits <= 64 => ColumnType::U64,
        Shape::Word(Word::Int(bits)) if *bits <= 64 => ColumnType::I64,
        Shape::Word(Word::Uint(_) | Word::Int(_)) => ColumnType::Bignum,
        Shape::Word(Word::Address | Word::Fixed(_)) | Shape::Bytes => ColumnType::Blob,
        _ if indexed => ColumnType::Blob,
        Shape::Text => ColumnType::Text,
        Shape::Array(_) | Shape::FixedArray(..) | Shape::Tuple(..) => ColumnType::Json,
    }
}

impl Argument {
    const fn ty(&self) -> ColumnType {
        column_type(&self.shape, !matches!(self.place, Place::Data(_)))
    }

    fn push(&self, log: LogRef<'_>, column: &mut ColumnData, budget: &mut usize) -> Option<()> {
        match (self.place, &self.shape) {
            (Place::Topic(i), Shape::Word(word)) => push_word(*word, topic(log, i)?, column),
            (Place::Hashed(i) | Place::Topic(i), _) => push_blob(topic(log, i)?, column),
            (Place::Data(at), Shape::Word(word)) => {
                push_word(*word, word_at(log.data, at)?, column)
            }
            (Place::Data(at), Shape::Bytes) => push_blob(bytes_at(log.data, at)?, column),
            (Place::Data(at), Shape::Text) => push_text(column, |out| {
                out.extend_from_slice(text_at(log.data, at)?.as_bytes());
                Some(())
            }),
            (Place::Data(at), shape) => {
                push_text(column, |out| shape.write_json(log.data, at, budget, out))
            }
        }
    }

    fn write_json(&self, log: LogRef<'_>, budget: &mut usize, out: &mut Vec<u8>) -> Option<()> {
        match (self.place, &self.shape) {
            (Place::Topic(i), Shape::Word(word)) => word.write_json(topic(log, i)?, out),
            (Place::Hashed(i) | Place::Topic(i), _) => {
                write_hex(topic(log, i)?, out);
                Some(())
            }
            (Place::Data(at), shape) => shape.write_json(log.data, at, budget, out),
        }
    }
}

fn topic(log: LogRef<'_>, i: usize) -> Option<&[u8; WORD]> {
    log.topics.get(i).map(|topic: &B256| &topic.0)
}

fn push_word(word: Word, bytes: &[u8; WORD], column: &mut ColumnData) -> Option<()> {
    if !word.is_valid(bytes) {
        return None;
    }
    match (word, column) {
        (Word::Bool, ColumnData::Bool(values)) => values.push(bytes[31] == 1),
        (Word::Uint(_), ColumnData::U64(values)) => values.push(low_u64(bytes)),
        (Word::Int(_), ColumnData::I64(values)) => values.push(low_u64(bytes).cast_signed()),
        (Word::Uint(_), ColumnData::Text(values)) => {
            push_packed(values, |out| write_uint(bytes, out));
        }
        (Word::Int(_), ColumnData::Text(values)) => {
            push_packed(values, |out| write_int(bytes, out));
        }
        (Word::Address, ColumnData::Blob(values)) => values.push(&bytes[12..]),
        (Word::Fixed(size), ColumnData::Blob(values)) => values.push(&bytes[..size]),
        // The columns come from this plan: no other pair exists.
        _ => return None,
    }
    Some(())
}

fn push_blob(bytes: &[u8], column: &mut ColumnData) -> Option<()> {
    let ColumnData::Blob(values) = column else { return None };
    values.push(bytes);
    Some(())
}

fn push_text(
    column: &mut ColumnData,
    write: impl FnOnce(&mut Vec<u8>) -> Option<()>,
) -> Option<()> {
    let ColumnData::Text(values) = column else { return None };
    write(&mut values.bytes)?;
    values.offsets.push(values.bytes.len() as i32);
    Some(())
}

fn push_packed(values: &mut Packed, write: impl FnOnce(&mut Vec<u8>)) {
    write(&mut values.bytes);
    values.offsets.push(values.bytes.len() as i32);
}

fn empty(ty: ColumnType) -> ColumnData {
    match ty {
        ColumnType::Bool => ColumnData::Bool(Vec::new()),
        ColumnType::U64 => ColumnData::U64(Vec::new()),
        ColumnType::I64 => ColumnData::I64(Vec::new()),
        ColumnType::F64 => ColumnData::F64(Vec::new()),
        ColumnType::Blob => ColumnData::Blob(Packed::default()),
        ColumnType::Bignum | ColumnType::Text | ColumnType::Json => {
            ColumnData::Text(Packed::default())
        }
    }
}

/// Takes back what a row that turned out unreadable has left.
fn cut(column: &mut ColumnData, rows: usize) {
    match column {
        ColumnData::Bool(values) => values.truncate(rows),
        ColumnData::U64(values) => values.truncate(rows),
        ColumnData::I64(values) => values.truncate(rows),
        ColumnData::F64(values) => values.truncate(rows),
        ColumnData::Text(values) | ColumnData::Blob(values) => {
            values.offsets.truncate(rows + 1);
            values.bytes.truncate(values.offsets[rows] as usize);
        }
    }
}
