//! Makes the components of `fixtures/guests`: out of a frame, and of what a guest does otherwise, as
//! text. Run by `make guests` when one of the texts changed; the components are kept, so that tests
//! need no compiler for WebAssembly.

use anyhow::{Context, Result};
use std::{fs, path::Path};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// The parts of the frame that a guest may have of its own, by how they begin.
const PARTS: [&str; 5] =
    ["(memory ", "(func $realloc ", "(func $describe ", "(func $init ", "(func $handle "];
/// The good guest is made for these versions of the interface too.
const OTHER_VERSIONS: [&str; 3] = ["0.0.9", "0.2.0", "1.0.0"];

fn main() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folder = root.join("fixtures/guests");
    let interface = interface(&root.join("wit"))?;
    let frame = fs::read_to_string(folder.join("frame.wat"))?;
    for entry in fs::read_dir(&folder)? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "wat")
            || path.ends_with("frame.wat")
        {
            continue;
        }
        let guest = fs::read_to_string(&path)?;
        let made = component(&interface, "0.1.0", &frame, &guest);
        fs::write(path.with_extension("wasm"), made.with_context(|| path.display().to_string())?)?;
    }
    for version in OTHER_VERSIONS {
        let made = component(&interface, version, &frame, "")?;
        fs::write(folder.join(format!("interface-{version}.wasm")), made)?;
    }
    Ok(())
}

/// Reads the interface: one package in several files.
fn interface(folder: &Path) -> Result<String> {
    let mut whole = fs::read_to_string(folder.join("headcount-plugin.wit"))?;
    for name in ["headcount-outbox.wit", "headcount-http.wit"] {
        let part = fs::read_to_string(folder.join(name))?;
        let (_, part) = part.split_once(';').context("it begins with its package")?;
        whole.push_str(part);
    }
    Ok(whole)
}

fn component(interface: &str, version: &str, frame: &str, guest: &str) -> Result<Vec<u8>> {
    let interface = interface.replace("@0.1.0", &format!("@{version}"));
    let text = framed(frame, guest).replace("@0.1.0#", &format!("@{version}#"));
    let mut module = wat::parse_str(&text).with_context(|| text.clone())?;
    let mut resolve = Resolve::default();
    resolve.push_source("plugin.wit", &interface)?;
    let mut world = "package made:guest;\nworld guest {\n".to_owned();
    for (number, import) in imports(guest).into_iter().enumerate() {
        world.push_str(&format!("import {import};\n"));
        let (package, name) = import.split_once('/').context("an import has a package")?;
        if package == "headcount:plugin" {
            continue;
        }
        let (interface, version) = name.split_once('@').context("and a version")?;
        let text = format!(
            "package {package}@{version};\ninterface {interface} {{ get: func() -> u32; }}"
        );
        resolve.push_source(&format!("{number}.wit"), &text)?;
    }
    world.push_str(&format!("include headcount:plugin/event-handler@{version};\n}}\n"));
    let package = resolve.push_source("guest.wit", &world)?;
    let world = resolve.select_world(&[package], Some("guest"))?;
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)?;
    ComponentEncoder::default().module(&module)?.validate(true).encode()
}

/// Interfaces that the guest imports and that the frame does not have.
fn imports(guest: &str) -> Vec<&str> {
    let lines = guest.lines().filter_map(|line| line.trim().strip_prefix("(import \""));
    lines.filter_map(|line| line.split('"').next()).collect()
}

fn framed(frame: &str, guest: &str) -> String {
    let own = PARTS.iter().filter(|part| guest.contains(**part));
    let own: Vec<String> = own.map(|part| format!("  {part}")).collect();
    let mut text = String::new();
    let mut is_left_out = false;
    for line in frame.lines() {
        if line.starts_with("  (") || line.starts_with("  ;;") || !line.starts_with(' ') {
            is_left_out = own.iter().any(|part| line.starts_with(part.as_str()));
        }
        if !is_left_out {
            text.push_str(&line.replace("  GUEST", guest));
            text.push('\n');
        }
    }
    text
}
