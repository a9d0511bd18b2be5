//! Which logs are wanted: one normalised box, addresses × topic 0 × topics 1 to 3.

use crate::LogRef;
use alloy_primitives::{Address, B256, Keccak256};
use serde::{Deserialize, Serialize};
use std::fmt;

/// One side of a box: anything, or one of a set (sorted, without repeats, never empty).
///
/// An empty set is unrepresentable on purpose: nodes read `address: []` as "any" or as "none"
/// (nethermind#6084), so it must never be sent.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AnyOf<T> {
    /// No constraint.
    Any,
    /// One of these. Use [`AnyOf::of`], which normalises.
    Of(Vec<T>),
}

impl<T: Clone> AnyOf<T> {
    /// Returns two sets that together are this one; `None` where it has not two values.
    fn halves(&self) -> Option<[Self; 2]> {
        match self {
            Self::Of(set) if set.len() > 1 => {
                let (left, right) = set.split_at(set.len() / 2);
                Some([Self::Of(left.to_vec()), Self::Of(right.to_vec())])
            }
            Self::Of(_) | Self::Any => None,
        }
    }
}

impl<T: Ord> AnyOf<T> {
    /// Returns the normalised set, or `None` when `values` is empty.
    pub fn of(values: impl IntoIterator<Item = T>) -> Option<Self> {
        let mut values: Vec<T> = values.into_iter().collect();
        values.sort_unstable();
        values.dedup();
        (!values.is_empty()).then_some(Self::Of(values))
    }

    /// Returns the side that allows one value.
    pub fn one(value: T) -> Self {
        Self::Of(vec![value])
    }

    /// Whether `value` is allowed.
    pub fn allows(&self, value: &T) -> bool {
        match self {
            Self::Any => true,
            Self::Of(set) => set.binary_search(value).is_ok(),
        }
    }

    /// Whether some value is allowed by both.
    pub fn meets(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, _) | (_, Self::Any) => true,
            (Self::Of(few), Self::Of(many)) if few.len() <= many.len() => {
                few.iter().any(|value| other.allows(value))
            }
            (Self::Of(_), Self::Of(few)) => few.iter().any(|value| self.allows(value)),
        }
    }

    /// Returns what either allows.
    pub fn joined(&self, other: &Self) -> Self
    where
        T: Clone,
    {
        match (self, other) {
            (Self::Of(one), Self::Of(more)) => {
                Self::of(one.iter().chain(more).cloned()).unwrap_or(Self::Any)
            }
            _ => Self::Any,
        }
    }

    /// Returns what both allow, or `None` when that is nothing.
    pub fn intersection(&self, other: &Self) -> Option<Self>
    where
        T: Clone,
    {
        match (self, other) {
            (Self::Any, side) | (side, Self::Any) => Some(side.clone()),
            (Self::Of(set), Self::Of(_)) => {
                Self::of(set.iter().filter(|value| other.allows(value)).cloned())
            }
        }
    }

    /// Whether every value is allowed.
    pub const fn is_any(&self) -> bool {
        matches!(self, Self::Any)
    }
}

/// Digest of a filter, by which the ledger interns it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FilterId(pub B256);

impl fmt::Display for FilterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A box of logs: every side must allow the log.
///
/// A constrained topic position demands that the log has that topic; an unconstrained one does
/// not, as in `eth_getLogs`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Filter {
    /// Emitting contracts.
    pub addresses: AnyOf<Address>,
    /// Topics 0 to 3.
    pub topics: [AnyOf<B256>; 4],
}

impl Filter {
    /// Returns the filter that matches every log.
    pub const fn any() -> Self {
        Self { addresses: AnyOf::Any, topics: [AnyOf::Any, AnyOf::Any, AnyOf::Any, AnyOf::Any] }
    }

    /// Returns the filter for the given contracts and first topics.
    pub const fn new(addresses: AnyOf<Address>, topic0: AnyOf<B256>) -> Self {
        Self { addresses, topics: [topic0, AnyOf::Any, AnyOf::Any, AnyOf::Any] }
    }

    /// Whether the log lies in the box.
    pub fn matches(&self, log: LogRef<'_>) -> bool {
        self.addresses.allows(log.address)
            && self.topics.iter().enumerate().all(|(position, side)| {
                match log.topics.get(position) {
                    Some(topic) => side.allows(topic),
                    None => side.is_any(),
                }
            })
    }

    /// Whether some log can lie in both boxes.
    pub fn meets(&self, other: &Self) -> bool {
        self.addresses.meets(&other.addresses)
            && self.topics.iter().zip(&other.topics).all(|(own, other)| own.meets(other))
    }

    /// Returns the box of the logs that lie in both, or `None` when there can be none.
    pub fn intersection(&self, other: &Self) -> Option<Self> {
        let [a, b, c, d] = &self.topics;
        let [e, f, g, h] = &other.topics;
        Some(Self {
            addresses: self.addresses.intersection(&other.addresses)?,
            topics: [
                a.intersection(e)?,
                b.intersection(f)?,
                c.intersection(g)?,
                d.intersection(h)?,
            ],
        })
    }

    /// Returns two filters that together are this one: the addresses in halves, or else the first
    /// topics; `None` where neither has two. What a node will not take whole is asked in these, and
    /// known to be whole by these.
    pub fn halves(&self) -> Option<[Self; 2]> {
        if let Some([left, right]) = self.addresses.halves() {
            let with = |addresses| Self { addresses, ..self.clone() };
            return Some([with(left), with(right)]);
        }
        let [left, right] = self.topics[0].halves()?;
        let with = |topic0| {
            let mut half = self.clone();
            half.topics[0] = topic0;
            half
        };
        Some([with(left), with(right)])
    }

    /// Returns the digest that names this filter in the ledger.
    pub fn id(&self) -> FilterId {
        let mut hasher = Keccak256::new();
        digest_side(&mut hasher, &self.addresses);
        for side in &self.topics {
            digest_side(&mut hasher, side);
        }
        FilterId(hasher.finalize())
    }
}

fn digest_side<T: AsRef<[u8]>>(hasher: &mut Keccak256, side: &AnyOf<T>) {
    match side {
        AnyOf::Any => hasher.update([0]),
        AnyOf::Of(set) => {
            hasher.update([1]);
            hasher.update((set.len() as u64).to_be_bytes());
            for value in set {
                hasher.update(value);
            }
        }
    }
}
