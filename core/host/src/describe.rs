//! Checks what a plugin says of itself: its names become SQL names.

use crate::{bindings::exports::headcount::plugin::meta, said};
use event::{ColumnKind, Descriptor, PluginColumn, PluginTable, Subscription, Visibility};
use std::collections::BTreeSet;

const MAX_NAME: usize = 64;
const MAX_TABLES: usize = 64;
const MAX_COLUMNS: usize = 256;
const MAX_SUBSCRIPTIONS: usize = 1_000;
/// Chains, addresses, events and topics over all subscriptions, and bytes of each.
const MAX_WORDS: usize = 100_000;
const MAX_WORD_BYTES: usize = 1_024;

/// Returns the descriptor, or what is wrong with it.
pub(crate) fn descriptor(given: meta::Descriptor) -> Result<Descriptor, String> {
    if !is_name(&given.name, true) {
        return Err(format!("name `{}` {RULE}, `-`", shown(&given.name)));
    }
    if given.tables.len() > MAX_TABLES {
        return Err(format!("{} tables, at most {MAX_TABLES} are taken", given.tables.len()));
    }
    check_subscriptions(&given.subscriptions)?;
    let mut names = BTreeSet::new();
    for table in &given.tables {
        check_table(table)?;
        // SQL does not tell upper from lower case.
        if !names.insert(table.name.to_ascii_lowercase()) {
            return Err(format!("table `{}` is declared twice", table.name));
        }
    }
    Ok(Descriptor {
        name: given.name,
        version: shown(&given.version),
        logic_version: given.logic_version,
        visibility: match given.visibility {
            meta::Visibility::Latest => Visibility::Latest,
            meta::Visibility::Safe => Visibility::Safe,
            meta::Visibility::Finalized => Visibility::Finalized,
        },
        subscriptions: given
            .subscriptions
            .into_iter()
            .map(|subscription| Subscription {
                chains: subscription.chains,
                addresses: subscription.addresses,
                events: subscription.events,
                topics: subscription.topics,
                start_block: subscription.start_block,
                decode: subscription.decode,
            })
            .collect(),
        tables: given.tables.into_iter().map(table).collect(),
    })
}

fn check_subscriptions(subscriptions: &[meta::Subscription]) -> Result<(), String> {
    if subscriptions.len() > MAX_SUBSCRIPTIONS {
        let found = subscriptions.len();
        return Err(format!("{found} subscriptions, at most {MAX_SUBSCRIPTIONS} are taken"));
    }
    let (mut words, mut longest) = (0, 0);
    for subscription in subscriptions {
        let topics = subscription.topics.iter().flatten();
        let texts = subscription.addresses.iter().chain(&subscription.events).chain(topics);
        words += subscription.chains.len() + subscription.topics.len();
        for text in texts {
            words += 1;
            longest = longest.max(text.len());
        }
    }
    if words > MAX_WORDS || longest > MAX_WORD_BYTES {
        return Err(format!(
            "subscriptions with {words} values, the longest of {longest} bytes; \
             at most {MAX_WORDS} of {MAX_WORD_BYTES} bytes are taken"
        ));
    }
    Ok(())
}

const RULE: &str = "must be a letter, then at most 63 letters, digits, `_`";

fn check_table(table: &meta::Table) -> Result<(), String> {
    let name = shown(&table.name);
    if !is_name(&table.name, false) {
        return Err(format!("table `{name}` {RULE}"));
    }
    if table.columns.is_empty() || table.columns.len() > MAX_COLUMNS {
        return Err(format!("table `{name}` must have 1 to {MAX_COLUMNS} columns"));
    }
    let mut names = BTreeSet::new();
    for column in &table.columns {
        if !is_name(&column.name, false) {
            return Err(format!("table `{name}`: column `{}` {RULE}", shown(&column.name)));
        }
        if !names.insert(column.name.to_ascii_lowercase()) {
            return Err(format!("table `{name}`: column `{}` is declared twice", column.name));
        }
    }
    let mut key = BTreeSet::new();
    for part in &table.key {
        let Some(column) = table.columns.iter().find(|column| column.name == *part) else {
            return Err(format!("table `{name}`: key `{}` is no column", shown(part)));
        };
        if column.nullable {
            return Err(format!("table `{name}`: key `{part}` must not be nullable"));
        }
        if !key.insert(part) {
            return Err(format!("table `{name}`: key `{part}` is there twice"));
        }
    }
    Ok(())
}

fn is_name(name: &str, dashes: bool) -> bool {
    name.len() <= MAX_NAME
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || (dashes && c == '-'))
}

/// Names go into messages that are shown, however wild they are.
fn shown(text: &str) -> String {
    said::cleaned(text.chars().take(MAX_NAME).collect())
}

fn table(table: meta::Table) -> PluginTable {
    let columns = table.columns.into_iter().map(|column| PluginColumn {
        name: column.name,
        kind: match column.ty {
            meta::ColumnType::Boolean => ColumnKind::Boolean,
            meta::ColumnType::Int64 => ColumnKind::Int64,
            meta::ColumnType::Uint64 => ColumnKind::Uint64,
            meta::ColumnType::Bignum => ColumnKind::Uint256,
            meta::ColumnType::Double => ColumnKind::Double,
            meta::ColumnType::Text => ColumnKind::Text,
            meta::ColumnType::Bytes => ColumnKind::Bytes,
            meta::ColumnType::Address => ColumnKind::Address,
            meta::ColumnType::Hash => ColumnKind::Hash,
            meta::ColumnType::Timestamp => ColumnKind::Timestamp,
            meta::ColumnType::Json => ColumnKind::Json,
        },
        nullable: column.nullable,
    });
    PluginTable { name: table.name, columns: columns.collect(), key: table.key }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(name: &str, columns: &[(&str, bool)], key: &[&str]) -> meta::Descriptor {
        let columns = columns.iter().map(|(name, nullable)| meta::Column {
            name: (*name).to_owned(),
            ty: meta::ColumnType::Text,
            nullable: *nullable,
        });
        meta::Descriptor {
            name: name.to_owned(),
            version: String::new(),
            logic_version: 1,
            visibility: meta::Visibility::Latest,
            subscriptions: vec![],
            tables: vec![meta::Table {
                name: "t".to_owned(),
                columns: columns.collect(),
                key: key.iter().map(|k| (*k).to_owned()).collect(),
            }],
        }
    }

    #[test]
    fn names_that_sql_or_the_file_system_could_misread_are_refused() {
        let sound = descriptor(given("erc20-balances", &[("a", false)], &["a"]));
        assert!(sound.is_ok());
        for (given, why) in [
            (given("../x", &[("a", false)], &[]), "name `../x` must"),
            (given("p", &[("_seq", false)], &[]), "column `_seq` must"),
            (given("p", &[("a", false), ("A", false)], &[]), "column `A` is declared twice"),
            (given("p", &[("a", true)], &["a"]), "key `a` must not be nullable"),
            (given("p", &[("a", false)], &["b"]), "key `b` is no column"),
            (given("p", &[], &[]), "must have 1 to 256 columns"),
        ] {
            let error = descriptor(given).err().unwrap_or_default();
            assert!(error.contains(why), "{error}");
        }
    }
}
