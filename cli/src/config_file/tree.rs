//! A table of the file as it is read: each key taken once, each mistake noted where it is.

use super::{
    interpolate::{Filled, fill_in},
    mistakes::{Mistake, place},
};
use crate::{environment::Environment, suggest::closest};
use std::{cell::RefCell, ops::Range, path::Path};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// What every table shares while a file is read.
pub(super) struct Source<'a> {
    /// The file's text, for lines and columns.
    pub(super) text: &'a str,
    /// Where relative paths of the file start.
    pub(super) base: &'a Path,
    /// For `${VAR}`.
    pub(super) environment: &'a Environment,
    /// Whether the files that it names are looked at.
    pub(super) opens_files: bool,
    /// Found so far.
    pub(super) mistakes: RefCell<Vec<Mistake>>,
}

impl Source<'_> {
    /// Notes a mistake.
    pub(super) fn wrong(&self, span: &Range<usize>, message: String, hint: Option<String>) {
        let (line, column) = place(self.text, span);
        self.mistakes.borrow_mut().push(Mistake { line, column, message, hint });
    }
}

/// A text with its place.
pub(super) struct Text {
    /// The text, filled in.
    pub(super) text: String,
    /// Whether it may be shown.
    pub(super) is_secret: bool,
    /// Where it is.
    pub(super) span: Range<usize>,
}

/// A table of the file.
pub(super) struct Table<'a> {
    source: &'a Source<'a>,
    table: &'a DeTable<'a>,
    /// Where the table starts: where a missing key is told.
    pub(super) span: Range<usize>,
}

impl<'a> Table<'a> {
    /// Returns the table and notes every key of it that is not `known`.
    pub(super) fn new(
        source: &'a Source<'a>,
        table: &'a DeTable<'a>,
        span: Range<usize>,
        known: &[&str],
    ) -> Self {
        for key in table.keys().filter(|key| !known.contains(&key.get_ref().as_ref())) {
            let name = key.get_ref();
            let hint = match closest(name, known.iter().copied()) {
                Some(word) => format!("did you mean `{word}`?"),
                None => format!("known here: {}", known.join(", ")),
            };
            source.wrong(&key.span(), format!("unknown key `{name}`"), Some(hint));
        }
        Self { source, table, span }
    }

    /// Returns the value of a key as it is.
    pub(super) fn value(&self, key: &str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.table.get(key)
    }

    /// Returns a text, filled in.
    pub(super) fn text(&self, key: &str) -> Option<Text> {
        let value = self.value(key)?;
        self.source.text_of(key, value)
    }

    /// Returns a text that must be there.
    pub(super) fn required_text(&self, key: &str) -> Option<Text> {
        if self.value(key).is_none() {
            self.source.wrong(&self.span, format!("`{key}` is missing"), None);
        }
        self.text(key)
    }

    /// Returns a text read by `parse`, whose error is noted. The value is quoted by `parse` only
    /// where it is no secret.
    pub(super) fn parsed<T>(
        &self,
        key: &str,
        parse: impl FnOnce(&str) -> Result<T, (String, Option<String>)>,
    ) -> Option<T> {
        let text = self.text(key)?;
        self.source.parsed(key, &text, parse)
    }

    /// Returns a whole number from 0.
    pub(super) fn integer(&self, key: &str) -> Option<u64> {
        let value = self.value(key)?;
        let DeValue::Integer(integer) = value.get_ref() else {
            self.source.wrong_type(key, value, "an integer");
            return None;
        };
        match u64::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(number) => Some(number),
            Err(_) => {
                let message = format!("`{key}` is not a whole number from 0 up");
                self.source.wrong(&value.span(), message, None);
                None
            }
        }
    }

    /// Returns the entries of a list, or the one value that stands for a list of one.
    pub(super) fn list(&self, key: &str) -> Vec<&'a Spanned<DeValue<'a>>> {
        match self.value(key) {
            None => Vec::new(),
            Some(value) => match value.get_ref() {
                DeValue::Array(values) => values.iter().collect(),
                _ => vec![value],
            },
        }
    }

    /// Returns the tables of `[[key]]`.
    pub(super) fn tables(&self, key: &str, known: &[&str]) -> Vec<Self> {
        self.list(key)
            .into_iter()
            .filter_map(|value| self.source.table_of(key, value, known))
            .collect()
    }

    /// Returns the table of `[key]`.
    pub(super) fn table(&self, key: &str, known: &[&str]) -> Option<Self> {
        self.source.table_of(key, self.value(key)?, known)
    }

    /// Returns key and value of every entry of the table `key`, whatever the keys.
    pub(super) fn entries(
        &self,
        key: &str,
    ) -> Vec<(&'a str, Range<usize>, &'a Spanned<DeValue<'a>>)> {
        let Some(value) = self.value(key) else { return Vec::new() };
        let DeValue::Table(table) = value.get_ref() else {
            self.source.wrong_type(key, value, "a table");
            return Vec::new();
        };
        table.iter().map(|(key, value)| (key.get_ref().as_ref(), key.span(), value)).collect()
    }
}

impl<'a> Source<'a> {
    /// Returns the text of a value, filled in.
    pub(super) fn text_of(&self, key: &str, value: &Spanned<DeValue<'_>>) -> Option<Text> {
        let Some(text) = value.get_ref().as_str() else {
            self.wrong_type(key, value, "a string");
            return None;
        };
        match fill_in(text, self.base, self.environment) {
            Ok(Filled { text, is_secret }) => Some(Text { text, is_secret, span: value.span() }),
            Err(message) => {
                self.wrong(&value.span(), message, None);
                None
            }
        }
    }

    /// Reads a text by `parse`; see [`Table::parsed`].
    pub(super) fn parsed<T>(
        &self,
        key: &str,
        text: &Text,
        parse: impl FnOnce(&str) -> Result<T, (String, Option<String>)>,
    ) -> Option<T> {
        match parse(&text.text) {
            Ok(value) => Some(value),
            Err(_) if text.is_secret => {
                let message = format!("`{key}` is wrong after filling in its variables");
                self.wrong(&text.span, message, Some("its value is not shown".to_owned()));
                None
            }
            Err((message, hint)) => {
                self.wrong(&text.span, message, hint);
                None
            }
        }
    }

    /// Returns the table of a value.
    pub(super) fn table_of(
        &'a self,
        key: &str,
        value: &'a Spanned<DeValue<'a>>,
        known: &[&str],
    ) -> Option<Table<'a>> {
        let DeValue::Table(table) = value.get_ref() else {
            self.wrong_type(key, value, "a table");
            return None;
        };
        Some(Table::new(self, table, value.span(), known))
    }

    /// Notes a value of another type.
    pub(super) fn wrong_type(&self, key: &str, value: &Spanned<DeValue<'_>>, wanted: &str) {
        let found = value.get_ref().type_str();
        let article = if found.starts_with(['a', 'i']) { "an" } else { "a" };
        let message = format!("`{key}` is {article} {found}, wanted {wanted}");
        self.wrong(&value.span(), message, None);
    }
}
