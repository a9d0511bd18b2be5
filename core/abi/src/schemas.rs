//! All events of all contracts of a configuration, and the decoder over them.
//!
//! A log belongs to the first schema that fits its contract, first topic and number of topics:
//! one that names the contract before one for any contract, one that is bound to the log's chain before
//! one for any chain, and an anonymous event only where no
//! other fits. ERC-20 and ERC-721 transfers share a first topic and differ in their topics.

use crate::{
    AbiError, ContractSpec, filters,
    naming::{self, Taken},
    plan::{Plan, column_type},
    shape::Shape,
    source::parse_events,
};
use alloy_dyn_abi::{DynSolType, Specifier};
use alloy_json_abi::Event;
use alloy_primitives::{B256, keccak256, map::B256Map};
use event::{
    ChainId, ColumnData, DecodeStats, Decoder, EventSchema, Filter, LogRef, Logs, SchemaColumn,
    TypedRows,
};

/// Every schema of a configuration. Implements [`Decoder`].
#[derive(Debug, Default)]
pub struct Schemas {
    schemas: Vec<EventSchema>,
    plans: Vec<Plan>,
    by_topic0: B256Map<Vec<u32>>,
    anonymous: Vec<u32>,
}

impl Schemas {
    /// Parses the events of these contracts. Schemas keep the contracts' order; within one they
    /// are sorted by signature, and an event given twice counts once.
    pub fn parse(contracts: &[ContractSpec]) -> Result<Self, AbiError> {
        let mut all = Self::default();
        let mut names = Taken::default();
        for spec in contracts {
            let contract = spec.schema_name();
            naming::check_contract(&contract, &mut names)?;
            let events = parse_events(spec, &contract)?;
            let mut declared = events.iter().map(Declared::new).collect::<Result<Vec<_>, _>>()?;
            declared.sort_by(|a, b| a.key().cmp(&b.key()));
            declared.dedup_by(|a, b| a.key() == b.key());
            let mut tables = Taken::default();
            for event in declared {
                let (schema, plan) = event.into_schema(&contract, spec, &mut tables);
                all.schemas.push(schema);
                all.plans.push(plan);
            }
        }
        all.index();
        Ok(all)
    }

    /// Returns few boxes that together match exactly the logs that these schemas speak of.
    pub fn filters(&self) -> Vec<Filter> {
        filters::boxes(&self.schemas)
    }

    fn index(&mut self) {
        let mut order: Vec<u32> = (0..self.schemas.len() as u32).collect();
        order.sort_by_key(|at| {
            let schema = &self.schemas[*at as usize];
            (schema.addresses.is_any(), schema.chains.is_empty())
        });
        for at in order {
            match self.schemas[at as usize].topic0 {
                Some(topic0) => self.by_topic0.entry(topic0).or_default().push(at),
                None => self.anonymous.push(at),
            }
        }
    }

    /// Those of `candidates` that are for this log's contract, on its chain.
    fn of_contract<'a>(
        &'a self,
        candidates: &'a [u32],
        (chain, log): (ChainId, LogRef<'a>),
    ) -> impl Iterator<Item = usize> + 'a {
        let candidates = candidates.iter().map(|at| *at as usize);
        candidates.filter(move |at| self.schemas[*at].is_for(chain, log.address))
    }

    fn fits(&self, at: usize, log: LogRef<'_>) -> bool {
        self.plans[at].topics() == log.topics.len()
    }

    /// Returns the schema that fits by first topic, and whether any speaks of the log at all.
    fn by_signature(&self, chain: ChainId, log: LogRef<'_>) -> (Option<usize>, bool) {
        let candidates = log.topics.first().and_then(|topic0| self.by_topic0.get(topic0));
        let candidates = candidates.map_or(&[][..], Vec::as_slice);
        let mut known = false;
        for at in self.of_contract(candidates, (chain, log)) {
            known = true;
            if self.fits(at, log) {
                return (Some(at), true);
            }
        }
        (None, known)
    }

    fn anonymous<'a>(
        &'a self,
        chain: ChainId,
        log: LogRef<'a>,
    ) -> impl Iterator<Item = usize> + 'a {
        self.of_contract(&self.anonymous, (chain, log)).filter(move |at| self.fits(*at, log))
    }
}

impl Decoder for Schemas {
    fn schemas(&self) -> &[EventSchema] {
        &self.schemas
    }

    fn decode(&self, chain: ChainId, logs: &Logs) -> (Vec<TypedRows>, DecodeStats) {
        let mut open: Vec<Option<(Vec<u32>, Vec<ColumnData>)>> = Vec::new();
        open.resize_with(self.schemas.len(), || None);
        let mut stats = DecodeStats::default();
        // Logs of one event of one contract mostly come in rows: what fitted the last is tried first.
        let mut last: Option<(LogRef<'_>, usize)> = None;
        for (row, log) in (0..).zip(logs.rows()) {
            let mut push = |at: usize| {
                let (rows, columns) =
                    open[at].get_or_insert_with(|| (Vec::new(), self.plans[at].columns()));
                let done = self.plans[at].push(log, columns, rows.len());
                if done {
                    rows.push(row);
                }
                done
            };
            let fitted = match last {
                Some((other, at)) if is_alike(other, log) => (Some(at), true),
                _ => self.by_signature(chain, log),
            };
            let (done, known) = match fitted {
                (Some(at), known) => {
                    last = Some((log, at));
                    (push(at), known)
                }
                // What an anonymous event would look like is only known once it decodes.
                (None, known) => (self.anonymous(chain, log).any(push), known),
            };
            match (done, known) {
                (true, _) => {}
                (false, true) => stats.undecodable += 1,
                (false, false) => stats.unknown += 1,
            }
        }
        let typed = (0..).zip(open).filter_map(|(schema, open)| {
            let (row, columns) = open.filter(|(rows, _)| !rows.is_empty())?;
            Some(TypedRows { schema, row, columns })
        });
        (typed.collect(), stats)
    }

    fn json(&self, chain: ChainId, log: LogRef<'_>) -> Option<(&str, String)> {
        let named = |at: usize| {
            let json = self.plans[at].json(log)?;
            Some((self.schemas[at].signature.as_str(), json))
        };
        match self.by_signature(chain, log) {
            (Some(at), _) => named(at),
            (None, _) => self.anonymous(chain, log).find_map(named),
        }
    }
}

/// Whether two logs are of the same contract, with the same first and as many topics: whatever fits
/// one fits the other.
fn is_alike(a: LogRef<'_>, b: LogRef<'_>) -> bool {
    a.address == b.address
        && a.topics.len() == b.topics.len()
        && a.topics.first() == b.topics.first()
}

/// An event whose types are known.
struct Declared<'a> {
    event: &'a Event,
    signature: String,
    /// One character for each argument: whether it is indexed, and whether the event is
    /// anonymous.
    layout: String,
    arguments: Vec<(Shape, String)>,
}

impl<'a> Declared<'a> {
    fn new(event: &'a Event) -> Result<Self, AbiError> {
        let mut arguments = Vec::new();
        for (position, input) in event.inputs.iter().enumerate() {
            let ty: Option<DynSolType> = input.resolve().ok();
            let shape =
                ty.and_then(|ty| Some((Shape::new(&ty, &input.components)?, canonical(&ty))));
            arguments.push(shape.ok_or_else(|| AbiError::Type {
                event: event.name.clone(),
                position,
                solidity: input.selector_type().into_owned(),
            })?);
        }
        let indexed = event.inputs.iter().filter(|input| input.indexed).count();
        let room = if event.anonymous { 4 } else { 3 };
        if indexed > room {
            return Err(AbiError::Indexed { event: event.name.clone(), indexed, room });
        }
        let types: Vec<&str> = arguments.iter().map(|(_, solidity)| solidity.as_str()).collect();
        let signature = format!("{}({})", event.name, types.join(","));
        let flags = event.inputs.iter().map(|input| if input.indexed { 'i' } else { 'd' });
        let layout = flags.chain(event.anonymous.then_some('a')).collect();
        Ok(Self { event, signature, layout, arguments })
    }

    fn key(&self) -> (&str, &str) {
        (&self.signature, &self.layout)
    }

    fn into_schema(
        self,
        contract: &str,
        spec: &ContractSpec,
        tables: &mut Taken,
    ) -> (EventSchema, Plan) {
        let topic0: B256 = keccak256(&self.signature);
        let declaration = keccak256(format!("{} {}", self.signature, self.layout));
        let table = naming::table(&self.event.name, &topic0, &declaration, tables);
        let mut taken = Taken::default();
        let mut columns = Vec::new();
        let mut planned = Vec::new();
        for (position, (input, (shape, solidity))) in
            self.event.inputs.iter().zip(self.arguments).enumerate()
        {
            let name = naming::column(&input.name, position, &mut taken);
            let own = |other: &alloy_json_abi::EventParam| other.name == input.name;
            let unique = self.event.inputs.iter().filter(|other| own(other)).count() == 1;
            let key = if unique && !input.name.is_empty() { &input.name } else { &name };
            planned.push((shape.clone(), input.indexed, key.clone()));
            columns.push(SchemaColumn {
                name,
                argument: input.name.clone(),
                solidity,
                indexed: input.indexed,
                ty: column_type(&shape, input.indexed),
            });
        }
        let schema = EventSchema {
            contract: contract.to_owned(),
            table,
            signature: self.signature,
            topic0: (!self.event.anonymous).then_some(topic0),
            addresses: spec.addresses.clone(),
            chains: spec.chains.clone(),
            columns,
        };
        (schema, Plan::new(self.event.anonymous, planned))
    }
}

/// Returns the type as it enters the signature's hash. Alloy's own name for a struct of one
/// member, `(bool,)`, would give another event.
fn canonical(ty: &DynSolType) -> String {
    match ty {
        DynSolType::Array(inner) => format!("{}[]", canonical(inner)),
        DynSolType::FixedArray(inner, size) => format!("{}[{size}]", canonical(inner)),
        DynSolType::Tuple(types) => {
            format!("({})", types.iter().map(canonical).collect::<Vec<_>>().join(","))
        }
        word_or_bytes => word_or_bytes.sol_type_name().into_owned(),
    }
}
