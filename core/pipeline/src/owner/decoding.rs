//! What became of the logs of each event: one that is declared otherwise than it was logged never
//! decodes, and who declared it should hear of it. Decodes nothing itself.

use event::{ChainId, EventSchema, Logs, TypedRows};
use std::collections::BTreeSet;

/// An event of which logs were found, none of which decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undecoded {
    /// Contract, as the SQL schema names it.
    pub contract: String,
    /// `Transfer(address,address,uint256)`.
    pub signature: String,
    /// How many logs.
    pub count: u64,
    /// Arguments declared as indexed.
    pub indexed_declared: usize,
    /// Arguments that are indexed in the first of the logs.
    pub indexed_found: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    decoded: u64,
    undecoded: u64,
    indexed_found: usize,
}

/// Counts by schema.
#[derive(Debug, Default)]
pub(super) struct Decoding(Vec<Tally>);

impl Decoding {
    /// Counts what decoding made of `logs` of a chain.
    pub(super) fn count(
        &mut self,
        schemas: &[EventSchema],
        (chain, logs): (ChainId, &Logs),
        typed: &[TypedRows],
    ) {
        self.0.resize(schemas.len(), Tally::default());
        for rows in typed {
            if let Some(tally) = self.0.get_mut(rows.schema as usize) {
                tally.decoded += rows.row.len() as u64;
            }
        }
        if typed.iter().map(|rows| rows.row.len()).sum::<usize>() == logs.len() {
            return;
        }
        let decoded: BTreeSet<u32> =
            typed.iter().flat_map(|rows| rows.row.iter().copied()).collect();
        for (_, log) in (0..).zip(logs.rows()).filter(|(row, _)| !decoded.contains(row)) {
            let Some(topic0) = log.topics.first() else { continue };
            let meant = schemas.iter().position(|schema| {
                schema.topic0.as_ref() == Some(topic0) && schema.is_for(chain, log.address)
            });
            if let Some(tally) = meant.and_then(|at| self.0.get_mut(at)) {
                if tally.undecoded == 0 {
                    tally.indexed_found = log.topics.len() - 1;
                }
                tally.undecoded += 1;
            }
        }
    }

    /// Returns the events that never decoded, in the order of their schemas.
    pub(super) fn undecoded(&self, schemas: &[EventSchema]) -> Vec<Undecoded> {
        let never = |(_, tally): &(_, &Tally)| tally.undecoded > 0 && tally.decoded == 0;
        let tallies = schemas.iter().zip(&self.0).filter(never);
        tallies
            .map(|(schema, tally)| Undecoded {
                contract: schema.contract.clone(),
                signature: schema.signature.clone(),
                count: tally.undecoded,
                indexed_declared: schema.columns.iter().filter(|column| column.indexed).count(),
                indexed_found: tally.indexed_found,
            })
            .collect()
    }
}
