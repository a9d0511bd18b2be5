//! Events of a ledger for one plugin: which chain, which blocks, what of the subscription is there.

use super::{PluginRun, Watched, handing::Handing};
use crate::{
    command_error::CommandError,
    session::{Look, ledger::known_of},
};
use abi::{ContractSpec, EventSource, Schemas};
use event::{
    BlockRange, ChainId, ChainState, Decoder, Descriptor, EventSchema, Filter, Value, Verify,
};
use pipeline::{RehearsalRequest, Rehearsed, rehearsal_filters, rehearse};
use std::{ops::ControlFlow, sync::Arc};

use crate::range::Bounds;

/// What a plugin is run over.
pub(super) struct Recorded<'a> {
    ledger: &'a mut Look,
    request: RehearsalRequest,
    is_shown: bool,
}

impl<'a> Recorded<'a> {
    /// Finds the events that the plugin subscribes to; all of the blocks have to be covered.
    pub(super) fn find(
        descriptor: &Descriptor,
        ledger: &'a mut Look,
        run: PluginRun,
    ) -> Result<Self, CommandError> {
        let chain = chain(&ledger.chains()?, run.chain_id)?;
        let state = ledger.load(chain)?;
        let tracked: Vec<Filter> = state.coverage.iter().map(|(f, _)| (**f).clone()).collect();
        let filters = rehearsal_filters(descriptor, chain, &tracked).map_err(|error| {
            CommandError::usage(error).hint("mend `subscriptions` in the plugin's describe()")
        })?;
        if filters.is_empty() {
            let name = &descriptor.name;
            return Err(CommandError::usage(format!(
                "nothing that the ledger follows on chain {chain} matches its subscription"
            ))
            .context(format!("there is no event for plugin {name}"))
            .hint("`headcount coverage` lists what the ledger follows"));
        }
        let is_shown = run.is_shown;
        let range = range(&state, &filters, descriptor, run)?;
        check_covered(chain, state, &filters, range)?;
        let decoder = decoder(ledger, descriptor)?;
        let request = RehearsalRequest { chain, range, filters, decoder, one_block: false };
        Ok(Self { ledger, request, is_shown })
    }

    pub(super) const fn range(&self) -> BlockRange {
        self.request.range
    }

    /// Hands all of them to a plugin; the run is called `what` where it is told.
    pub(super) fn rehearse(
        &mut self,
        plugin: &mut Watched<'_>,
        what: &'static str,
        one_block: bool,
    ) -> Result<Rehearsed, CommandError> {
        let request = RehearsalRequest { one_block, ..self.request.clone() };
        let deadline = plugin.deadline();
        plugin.handing = Some(Handing::begin(what, request.range, deadline, self.is_shown));
        let told = rehearse(&request, plugin, &mut |query| self.ledger.events(query));
        plugin.handing = None;
        told
    }
}

fn chain(known: &[ChainId], asked: Option<u64>) -> Result<ChainId, CommandError> {
    let listed = || known.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    match (known, asked) {
        ([], _) => Err(CommandError::usage("the ledger covers no block yet")
            .hint("read some first: headcount replay -b FIRST:LAST")),
        (_, Some(id)) if !known.contains(&ChainId(id)) => {
            Err(CommandError::usage(format!("it has events of chain {}", listed()))
                .context(format!("the ledger has nothing of chain {id}"))
                .hint("name one of these with --chain-id"))
        }
        (_, Some(id)) => Ok(ChainId(id)),
        ([one], None) => Ok(*one),
        _ => Err(CommandError::usage(format!("the ledger has several chains: {}", listed()))
            .hint("name one of these with --chain-id")),
    }
}

/// Returns the blocks meant: open ends are those of what is covered.
fn range(
    state: &ChainState,
    filters: &[Filter],
    descriptor: &Descriptor,
    run: PluginRun,
) -> Result<BlockRange, CommandError> {
    let met = state.coverage.iter().filter(|(known, _)| filters.iter().any(|own| own.meets(known)));
    let covered = || met.clone().flat_map(|(_, intervals)| intervals).map(|i| i.range);
    let bounds = Bounds {
        start: covered().map(|range| range.first()).min(),
        finalized: state.finalized,
        latest: covered().map(|range| range.last()).max(),
    };
    let refused = |error: crate::range::RangeError| {
        let hint = error.hint();
        CommandError::usage(error).context("the block range means no blocks").hint(hint)
    };
    let range = run.range.resolve(&bounds).map_err(refused)?;
    // Where a plugin names its first block it is never handed one before it.
    let asked = descriptor.subscriptions.iter().filter_map(|s| s.start_block).min();
    let range = range
        .and_then(|range| BlockRange::new(range.first().max(asked.unwrap_or(0)), range.last()));
    range.ok_or_else(|| {
        CommandError::usage("the plugin begins behind the last of them, or nothing is covered")
            .context("the block range means no blocks")
            .hint("`headcount coverage` shows which blocks the ledger has")
    })
}

/// What is not covered is not known to be empty: a run over it would show too little.
fn check_covered(
    chain: ChainId,
    state: ChainState,
    filters: &[Filter],
    range: BlockRange,
) -> Result<(), CommandError> {
    let known = known_of(chain, Verify::Off, state);
    let missing = filters.iter().flat_map(|filter| known.missing(filter, range, Verify::Off));
    let Some(hole) = missing.map(|(range, _)| range).min() else { return Ok(()) };
    let (first, last) = (hole.first(), hole.last());
    Err(CommandError::usage(format!("blocks {first}:{last} are not covered"))
        .context("the ledger does not have all of the range")
        .hint(format!("read them: headcount replay -b {first}:{last}, or name other blocks")))
}

/// What the ledger decodes, for plugins that want decoded arguments.
fn decoder(ledger: &mut Look, descriptor: &Descriptor) -> Result<Arc<dyn Decoder>, CommandError> {
    let mut contracts: Vec<ContractSpec> = Vec::new();
    if descriptor.subscriptions.iter().any(|subscription| subscription.decode) {
        let sql = "SELECT spec FROM main.schemas ORDER BY contract, event";
        ledger.query(sql, &mut |_, row| {
            if let [Value::Text(spec)] = row.as_slice()
                && let Ok(schema) = serde_json::from_str::<EventSchema>(spec)
            {
                contracts.push(ContractSpec {
                    name: Some(format!("c{}", contracts.len())),
                    addresses: schema.addresses.clone(),
                    chains: schema.chains.clone(),
                    events: vec![EventSource::Signature(declaration(&schema))],
                });
            }
            ControlFlow::Continue(())
        })?;
    }
    Ok(Arc::new(Schemas::parse(&contracts).map_err(CommandError::bug)?))
}

/// The event as its author would declare it.
fn declaration(schema: &EventSchema) -> String {
    let name = schema.signature.split('(').next().unwrap_or_default();
    let arguments = schema.columns.iter().map(|column| {
        let indexed = if column.indexed { " indexed" } else { "" };
        let separator = if column.argument.is_empty() { "" } else { " " };
        format!("{}{indexed}{separator}{}", column.solidity, column.argument)
    });
    let anonymous = if schema.topic0.is_none() { " anonymous" } else { "" };
    format!("{name}({}){anonymous}", arguments.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_stored_schema_is_declared_as_it_was() {
        let text = "Moved(address indexed from, (uint8,bytes)[] parts, uint256)";
        let spec = ContractSpec {
            name: Some("a".into()),
            addresses: event::AnyOf::Any,
            chains: Default::default(),
            events: vec![EventSource::Signature(text.into())],
        };
        let schemas = Schemas::parse(std::slice::from_ref(&spec)).unwrap();
        let again = declaration(&schemas.schemas()[0]);
        let events = vec![EventSource::Signature(again)];
        let again = Schemas::parse(&[ContractSpec { events, ..spec }]).unwrap();
        assert_eq!(again.schemas(), schemas.schemas());
    }

    #[test]
    fn of_several_chains_one_has_to_be_named() {
        let known = [ChainId(1), ChainId(10)];
        assert_eq!(chain(&known, Some(10)).unwrap(), ChainId(10));
        assert_eq!(chain(&known[..1], None).unwrap(), ChainId(1));
        for (known, asked) in [(&known[..], None), (&known[..], Some(2)), (&[][..], None)] {
            let error = chain(known, asked).unwrap_err().to_string();
            assert!(error.contains("\nhint: "), "{error}");
        }
    }
}
