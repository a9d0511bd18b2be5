//! Names for people: of filters, of events, of the event that a log is.

use crate::plan::ContractPlan;
use ::audit::Told;
use event::{AnyOf, EventSchema, Filter};

/// Names that are spelt out; of more only the number is.
const NAMES_MAX: usize = 4;

/// Returns `usdc.Transfer`.
pub(super) fn event(schema: &EventSchema) -> String {
    format!("{}.{}", schema.contract, schema.table)
}

/// Returns the event that a log is, where its contract and first topic say so.
pub(super) fn event_of(log: &Told, schemas: &[EventSchema]) -> Option<String> {
    let fits = |schema: &&EventSchema| {
        schema.topic0.is_some()
            && schema.topic0 == log.topic0
            && schema.addresses.allows(&log.address)
    };
    schemas.iter().find(fits).map(event)
}

/// Returns a name for each filter: the events it is for, and contracts that are read whole.
pub(super) fn filters(
    filters: &[Filter],
    schemas: &[EventSchema],
    contracts: &[ContractPlan],
) -> Vec<String> {
    filters.iter().map(|filter| name(filter, schemas, contracts)).collect()
}

fn name(filter: &Filter, schemas: &[EventSchema], contracts: &[ContractPlan]) -> String {
    let is_part = |schema: &&EventSchema| {
        let topic0 = schema.topic0.map_or(AnyOf::Any, AnyOf::one);
        filter.meets(&Filter::new(schema.addresses.clone(), topic0))
    };
    let mut names: Vec<String> = match filter.topics[0].is_any() {
        false => schemas.iter().filter(is_part).map(event).collect(),
        true => Vec::new(),
    };
    if names.is_empty() {
        let whole = contracts.iter().filter(|contract| contract.addresses.meets(&filter.addresses));
        names = whole.map(|contract| format!("{}.*", contract.schema)).collect();
    }
    if names.len() > NAMES_MAX {
        let more = names.len() - NAMES_MAX;
        names.truncate(NAMES_MAX);
        names.push(format!("{more} more"));
    }
    names.join(", ")
}
