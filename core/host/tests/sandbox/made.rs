//! The hand-made guests of `fixtures/guests`: small components that `make guests` makes out of text.

use std::{fs, path::PathBuf};

fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/guests")
}

/// Returns a guest's component.
pub(crate) fn guest(name: &str) -> Vec<u8> {
    fs::read(fixtures().join(format!("{name}.wasm"))).unwrap()
}

/// Returns the names of all guests that try something.
pub(crate) fn names() -> Vec<String> {
    let files = fs::read_dir(fixtures()).unwrap().map(|entry| entry.unwrap().path());
    let texts = files.filter(|path| path.extension().is_some_and(|extension| extension == "wat"));
    let mut names: Vec<String> =
        texts.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    names.retain(|name| name != "frame");
    names.sort();
    names
}

/// Core modules by themselves, as WebAssembly's header and one section.
pub(crate) const EMPTY: &[u8] = b"\0asm\x01\0\0\0";
/// 1 MB of memory.
pub(crate) const MEMORY: &[u8] = b"\0asm\x01\0\0\0\x05\x03\x01\0\x10";
/// A table of 9,000 functions.
pub(crate) const TABLE: &[u8] = b"\0asm\x01\0\0\0\x04\x05\x01\x70\0\xa8\x46";

/// Appends a core module to a component and instantiates it so many times: what a component may have
/// beside the module that it needs.
pub(crate) fn with_more_instances(mut component: Vec<u8>, module: &[u8], times: u32) -> Vec<u8> {
    let index = core_modules(&component);
    section(&mut component, 1, module);
    let mut instances = leb(times);
    for _ in 0..times {
        instances.push(0);
        instances.extend(leb(index));
        instances.push(0);
    }
    section(&mut component, 2, &instances);
    component
}

fn section(component: &mut Vec<u8>, id: u8, content: &[u8]) {
    component.push(id);
    component.extend(leb(content.len() as u32));
    component.extend(content);
}

/// Number of core modules that a component holds itself.
fn core_modules(component: &[u8]) -> u32 {
    let (mut at, mut modules) = (8, 0);
    while at < component.len() {
        modules += u32::from(component[at] == 1);
        at += 1;
        let (mut len, mut shift) = (0, 0);
        loop {
            let byte = component[at];
            at += 1;
            len |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                break;
            }
        }
        at += len;
    }
    modules
}

fn leb(mut value: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let byte = (value & 0x7f) as u8;
        value >>= 7;
        bytes.push(if value == 0 { byte } else { byte | 0x80 });
        if value == 0 {
            return bytes;
        }
    }
}
