//! Generated from the contract in `wit/`.

#![allow(missing_docs, clippy::all, clippy::use_self, reason = "generated")]

wasmtime::component::bindgen!({
    path: "../../wit",
    world: "event-fetcher",
    // What hands much to a guest can stop it; the contract has no error for that.
    imports: {
        "headcount:plugin/state.get-many": trappable,
        "headcount:plugin/state.scan": trappable,
    },
});
