//! What a plugin says of itself, in a few lines.

use crate::{ColumnSpec, ColumnType, Descriptor, Subscription, TableSpec, Visibility};

/// Builds a [`Descriptor`]: every contract, every chain, newest blocks, `logic_version` 1. Its fields
/// can be changed afterwards.
#[derive(Debug)]
pub struct Describe(Descriptor);

impl Describe {
    /// Begins with the plugin's name and version.
    pub fn plugin(name: &str, version: &str) -> Self {
        Self(Descriptor {
            name: name.to_owned(),
            version: version.to_owned(),
            logic_version: 1,
            visibility: Visibility::Latest,
            subscriptions: Vec::new(),
            tables: Vec::new(),
        })
    }

    /// Subscribes to an event of any contract, such as `Transfer(address,address,uint256)`.
    #[must_use]
    pub fn event(mut self, signature: &str) -> Self {
        self.0.subscriptions.push(Subscription {
            chains: Vec::new(),
            addresses: Vec::new(),
            events: vec![signature.to_owned()],
            topics: Vec::new(),
            start_block: None,
            decode: false,
        });
        self
    }

    /// Declares a table. A row replaces the one with the same key; without a key rows are only added.
    /// No column may be NULL.
    #[must_use]
    pub fn table(mut self, name: &str, key: &[&str], columns: &[(&str, ColumnType)]) -> Self {
        let column = |(name, ty): &(&str, ColumnType)| ColumnSpec {
            name: (*name).to_owned(),
            ty: *ty,
            nullable: false,
        };
        self.0.tables.push(TableSpec {
            name: name.to_owned(),
            columns: columns.iter().map(column).collect(),
            key: key.iter().map(|part| (*part).to_owned()).collect(),
        });
        self
    }

    /// Returns the descriptor.
    pub fn done(self) -> Descriptor {
        self.0
    }
}
