//! Event schemas and decoded columns: the seam between `abi`, which decodes, and the store.

use crate::{AnyOf, ChainId, LogRef, Logs};
use alloy_primitives::{Address, B256};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// SQL type of a decoded column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ColumnType {
    /// `BOOLEAN`.
    Bool,
    /// `UBIGINT`: unsigned integers up to 64 bit.
    U64,
    /// `BIGINT`: signed integers up to 64 bit.
    I64,
    /// `BIGNUM`: wider integers; `sum` is exact. Carried as decimal text.
    Bignum,
    /// `DOUBLE`: plugin tables only.
    F64,
    /// `BLOB`: addresses, fixed and dynamic bytes, hashes of indexed dynamic values.
    Blob,
    /// `VARCHAR`: strings.
    Text,
    /// `VARCHAR` with JSON: arrays and tuples.
    Json,
}

/// One decoded argument.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchemaColumn {
    /// SQL column name, after the naming rules.
    pub name: String,
    /// Name in the ABI; may be empty.
    pub argument: String,
    /// Solidity type, canonical.
    pub solidity: String,
    /// Whether it is a topic.
    pub indexed: bool,
    /// SQL type.
    pub ty: ColumnType,
}

/// One event of one contract (or of any), as a typed table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventSchema {
    /// SQL schema: the contract's name, `c_<first 8 hex>`, or `logs` for every contract.
    pub contract: String,
    /// SQL table: the event's name, after the naming rules.
    pub table: String,
    /// `Transfer(address,address,uint256)`.
    pub signature: String,
    /// Hash of the signature; `None` for an anonymous event.
    pub topic0: Option<B256>,
    /// Contracts it is decoded for.
    pub addresses: AnyOf<Address>,
    /// Those of each chain that it is bound to, all of them among `addresses`; none = any chain. One
    /// address is another contract on another chain.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub chains: BTreeMap<ChainId, AnyOf<Address>>,
    /// Arguments in order.
    pub columns: Vec<SchemaColumn>,
}

impl EventSchema {
    /// Whether logs of this contract on this chain are decoded by it.
    pub fn is_for(&self, chain: ChainId, address: &Address) -> bool {
        match self.chains.is_empty() {
            true => self.addresses.allows(address),
            false => self.chains.get(&chain).is_some_and(|of_chain| of_chain.allows(address)),
        }
    }
}

/// Packed variable-length values with `len + 1` offsets; the layout of an Arrow binary array.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Packed {
    /// Offsets into `bytes`.
    pub offsets: Vec<i32>,
    /// All values.
    pub bytes: Vec<u8>,
}

impl Default for Packed {
    fn default() -> Self {
        Self { offsets: vec![0], bytes: Vec::new() }
    }
}

impl Packed {
    /// Number of values.
    pub fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends a value. A batch holds at most 2 GiB: reports are cut far below.
    pub fn push(&mut self, value: &[u8]) {
        self.bytes.extend_from_slice(value);
        self.offsets.push(self.bytes.len() as i32);
    }

    /// Returns value `i`.
    pub fn get(&self, i: usize) -> &[u8] {
        &self.bytes[self.offsets[i] as usize..self.offsets[i + 1] as usize]
    }
}

/// One column of values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ColumnData {
    /// For `Bool`.
    Bool(Vec<bool>),
    /// For `U64`.
    U64(Vec<u64>),
    /// For `I64`.
    I64(Vec<i64>),
    /// For `F64`.
    F64(Vec<f64>),
    /// Decimal text for `Bignum`, UTF-8 for `Text` and `Json`.
    Text(Packed),
    /// For `Blob`.
    Blob(Packed),
}

impl Eq for ColumnData {}

impl ColumnData {
    /// Number of values.
    pub fn len(&self) -> usize {
        match self {
            Self::Bool(values) => values.len(),
            Self::U64(values) => values.len(),
            Self::I64(values) => values.len(),
            Self::F64(values) => values.len(),
            Self::Text(values) | Self::Blob(values) => values.len(),
        }
    }

    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Decoded rows of one schema.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TypedRows {
    /// Index into the decoder's schemas.
    pub schema: u32,
    /// Row in the `Logs` that were decoded.
    pub row: Vec<u32>,
    /// One per schema column, each as long as `row`.
    pub columns: Vec<ColumnData>,
}

/// What decoding left raw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecodeStats {
    /// Logs of a known event that did not decode (other topic count, short data).
    pub undecodable: u64,
    /// Logs that no schema speaks of.
    pub unknown: u64,
}

impl std::ops::AddAssign for DecodeStats {
    fn add_assign(&mut self, other: Self) {
        self.undecodable += other.undecodable;
        self.unknown += other.unknown;
    }
}

/// Decodes logs by schema. Implemented by `abi`.
pub trait Decoder: Send + Sync {
    /// Returns all schemas, in the order that [`TypedRows::schema`] counts.
    fn schemas(&self) -> &[EventSchema];

    /// Decodes what it can of logs of one chain. Rows that do not decode stay raw and are counted.
    fn decode(&self, chain: ChainId, logs: &Logs) -> (Vec<TypedRows>, DecodeStats);

    /// Returns the signature and a JSON object of the arguments of one log of a chain, where known.
    /// Integers above 2^53 - 1 and every 256-bit one are decimal strings.
    fn json(&self, chain: ChainId, log: LogRef<'_>) -> Option<(&str, String)>;
}
