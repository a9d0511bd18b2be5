//! Generated from the contract in `wit/`.

#![allow(missing_docs, clippy::all, clippy::use_self, reason = "generated")]

wasmtime::component::bindgen!({
    path: "../../wit",
    world: "event-handler",
});
