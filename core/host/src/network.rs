//! The network that is not there. A language's standard library may import sockets whether the plugin
//! uses them or not (Python's does), so they are linked, and whoever calls one is ended with a reason.

use crate::{call::Call, wasi::SOCKETS};
use wasmtime::{
    Engine,
    component::{
        Linker, ResourceType,
        types::{self, ComponentItem},
    },
};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, DynPollable};

/// What a guest is ended with.
const NO_NETWORK: &str = "the sandbox has no network";

/// Stands for every resource of sockets; none is ever made.
struct Nothing;

/// Links what a component imports of sockets, as it imports it: nothing behind it is ours to keep up
/// with versions of.
pub(crate) fn link(
    linker: &mut Linker<Call>,
    engine: &Engine,
    ty: &types::Component,
) -> wasmtime::Result<()> {
    for (name, import) in ty.imports(engine).filter(|(name, _)| name.starts_with(SOCKETS)) {
        let ComponentItem::ComponentInstance(interface) = import.ty else { continue };
        let mut instance = linker.instance(name)?;
        for (item, export) in interface.exports(engine) {
            match export.ty {
                ComponentItem::ComponentFunc(_) => {
                    let why = format!("{NO_NETWORK} ({name} {item})");
                    instance
                        .func_new(item, move |_, _, _, _| Err(wasmtime::Error::msg(why.clone())))?;
                }
                ComponentItem::Resource(_) => {
                    instance.resource(item, resource(item), |_, _| Ok(()))?;
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// Resources that sockets share with streams are those of the streams.
fn resource(item: &str) -> ResourceType {
    match item {
        "input-stream" => ResourceType::host::<DynInputStream>(),
        "output-stream" => ResourceType::host::<DynOutputStream>(),
        "pollable" => ResourceType::host::<DynPollable>(),
        "error" => ResourceType::host::<wasmtime_wasi_io::streams::Error>(),
        _ => ResourceType::host::<Nothing>(),
    }
}
