//! Ties a [`Plugin`] to the generated bindings inside the sandbox.

use crate::{
    Batch, Failure, Host, HttpError, Level, Message, Nowhere, Plugin, Reach, Request, Response,
    Rows,
    bindings::{
        exports::headcount::plugin::{handler, meta},
        headcount::plugin::{log, outbox, output, state, types},
    },
};
use std::{any::Any, cell::RefCell, marker::PhantomData};

thread_local! {
    static PLUGIN: RefCell<Option<Box<dyn Any>>> = const { RefCell::new(None) };
}

/// The component's exports for a plugin that reaches so far.
#[derive(Debug)]
pub struct Adapter<P, R = Nowhere>(PhantomData<(P, R)>);

impl<P: Plugin, R: Reach> meta::Guest for Adapter<P, R> {
    fn describe() -> meta::Descriptor {
        P::describe()
    }
}

impl<P: Plugin, R: Reach> handler::Guest for Adapter<P, R> {
    fn init(config: String) -> Result<(), String> {
        let plugin = P::new(&config)?;
        PLUGIN.with_borrow_mut(|slot| *slot = Some(Box::new(plugin)));
        Ok(())
    }

    fn handle(batch: Batch) -> Result<types::Outcome, Failure> {
        PLUGIN.with_borrow_mut(|slot| {
            let plugin = slot.as_mut().and_then(|plugin| plugin.downcast_mut::<P>());
            let Some(plugin) = plugin else {
                return Err(Failure::Halt("handle was called before init".to_owned()));
            };
            let rejected = plugin.handle(&mut Sandbox::<R>(PhantomData), &batch)?;
            Ok(types::Outcome { rejected })
        })
    }
}

/// The real host, through the imports.
struct Sandbox<R>(PhantomData<R>);

impl<R: Reach> Host for Sandbox<R> {
    fn get_many(&mut self, keys: &[Vec<u8>]) -> Vec<Option<Vec<u8>>> {
        state::get_many(keys)
    }

    fn set_many(&mut self, items: &[(Vec<u8>, Vec<u8>)]) -> Result<(), Failure> {
        state::set_many(items).map_err(|state::StateError::Quota(limit)| Failure::Reject(limit))
    }

    fn emit(&mut self, rows: Rows) -> Result<(), Failure> {
        output::emit(rows.table, &rows.seqs, &rows.columns).map_err(|error| {
            Failure::Reject(match error {
                output::EmitError::Mismatch(what) | output::EmitError::Quota(what) => what,
                output::EmitError::UnknownSeq(seq) => format!("no event {seq} in the batch"),
            })
        })
    }

    fn enqueue(&mut self, message: Message) -> Result<(), Failure> {
        outbox::enqueue(&message).map_err(|error| match error {
            // Only the operator can change that; one message fewer does not help.
            outbox::OutboxError::UnknownSink(what) => Failure::Halt(what),
            outbox::OutboxError::Invalid(what) | outbox::OutboxError::Quota(what) => {
                Failure::Reject(what)
            }
        })
    }

    fn fetch(&mut self, request: &Request) -> Result<Response, HttpError> {
        R::fetch(request)
    }

    fn log(&mut self, level: Level, message: &str) {
        log::log(level, message, &[]);
    }
}
