//! Why a file is no plugin for this host, in words that say what to do.

use crate::{Grants, wasi};
use wasmtime::{Engine, component::types};

/// The contract that this host speaks.
const PACKAGE: &str = "headcount:plugin/";
const VERSION: &str = "0.1.0";
/// Any 0.1 does: within it interfaces only gain functions.
const COMPATIBLE: &str = "0.1.";
const IMPORTS: [&str; 6] = ["types", "log", "output", "state", "outbox", HTTP];
/// What only a plugin with a grant may import.
const HTTP: &str = "http";
const EXPORTS: [&str; 2] = ["meta", "handler"];

/// Why a plugin could not be loaded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error("plugin file cannot be read: {0}")]
    Unreadable(String),
    /// Larger than is compiled.
    #[error("plugin has {found} bytes, limit `component_bytes` is {allowed}")]
    TooLarge {
        /// Its size.
        found: usize,
        /// The limit.
        allowed: usize,
    },
    /// Some other file.
    #[error("not a WebAssembly component: {0}")]
    NotAComponent(String),
    /// Built against another version of the contract.
    #[error(
        "built for interface {found}, this program has headcount:plugin@0.1: \
         rebuild the plugin with this version's SDK, or update the program"
    )]
    Version {
        /// What it asks for.
        found: String,
    },
    /// A component, but no plugin.
    #[error("not a plugin: it exports no {0}")]
    MissingExport(String),
    /// Wants what was not granted.
    #[error("plugin wants {import}, which is not granted to plugins{}", why_not(.import))]
    NotGranted {
        /// What it asks for.
        import: String,
    },
    /// Wants to ask hosts, and none was granted.
    #[error("plugin wants {import}, and no host is granted to it")]
    NoHostGranted {
        /// What it asks for.
        import: String,
    },
    /// Does not compile.
    #[error("plugin cannot be compiled: {0}")]
    Compile(String),
    /// Has functions or types of the interface otherwise than it has them.
    #[error(
        "plugin does not fit the interface that it was built for: {0}; build it with the WIT files and the \
         SDK of this program"
    )]
    Misfit(String),
    /// Failed before its first batch.
    #[error("plugin failed while it was loaded: {0}")]
    Start(event::PluginFault),
    /// Says something impossible of itself.
    #[error("plugin describes itself wrongly: {0}")]
    Descriptor(String),
    /// Refused its configuration.
    #[error("plugin refuses its configuration: {0}")]
    Config(String),
    /// The sandbox itself does not start.
    #[error("sandbox does not start: {0}")]
    Engine(String),
}

impl LoadError {
    pub(crate) fn engine(error: &wasmtime::Error) -> Self {
        Self::Engine(format!("{error:#}"))
    }

    /// An error of compiling: the plugin's fault, unless the machine gave no room for it.
    pub(crate) fn compile(error: &wasmtime::Error) -> Self {
        Self::by_plugin(error, Self::Compile)
    }

    /// The same of linking.
    pub(crate) fn link(error: &wasmtime::Error) -> Self {
        Self::by_plugin(error, Self::Misfit)
    }

    fn by_plugin(error: &wasmtime::Error, fault: impl FnOnce(String) -> Self) -> Self {
        match error.chain().any(|cause| cause.is::<std::io::Error>()) {
            true => Self::engine(error),
            false => fault(format!("{error:#}")),
        }
    }
}

/// Says of an import that plugins ask for by habit why there is none.
fn why_not(import: &str) -> &'static str {
    if import.starts_with("wasi:http/") {
        ": the sandbox has no network; what plugins ask hosts with is headcount:plugin/http"
    } else if wasi::LINKED.iter().any(|linked| import.starts_with(linked)) {
        ": the sandbox has this of WASI 0.2 only"
    } else {
        ""
    }
}

/// Checks the first bytes, so that the message names the mistake instead of an offset.
pub(crate) fn check_header(bytes: &[u8]) -> Result<(), LoadError> {
    let why = match bytes.get(..8) {
        Some([0, b'a', b's', b'm', 0x0d, 0, 1, 0]) => return Ok(()),
        Some([0, b'a', b's', b'm', 1, 0, 0, 0]) => {
            "it is a core module; build it for the target wasm32-wasip2"
        }
        Some([0, b'a', b's', b'm', ..]) => "it is WebAssembly of a kind this program does not know",
        _ if bytes.is_empty() => "the file is empty",
        _ => "it is no WebAssembly at all",
    };
    Err(LoadError::NotAComponent(why.to_owned()))
}

/// Compares imports and exports with what is there, before linking would say it worse.
pub(crate) fn check_interfaces(
    engine: &Engine,
    ty: &types::Component,
    grants: &Grants,
) -> Result<(), LoadError> {
    let imports = ty.imports(engine).map(|(name, _)| name);
    for name in imports.chain(ty.exports(engine).map(|(name, _)| name)) {
        let version = own_interface(name).map(|(_, version)| version);
        if version.is_some_and(|version| !version.starts_with(COMPATIBLE)) {
            return Err(LoadError::Version { found: name.to_owned() });
        }
    }
    for (name, _) in ty.imports(engine) {
        let is_known = match own_interface(name) {
            Some((interface, _)) => IMPORTS.contains(&interface),
            None => {
                wasi::LINKED.iter().any(|linked| name.starts_with(linked)) && name.contains("@0.2.")
            }
        };
        if !is_known {
            return Err(LoadError::NotGranted { import: name.to_owned() });
        }
        let wants_hosts = own_interface(name).is_some_and(|(interface, _)| interface == HTTP);
        if wants_hosts && !grants.has_hosts() {
            return Err(LoadError::NoHostGranted { import: name.to_owned() });
        }
    }
    for export in EXPORTS {
        let mut exports = ty.exports(engine);
        let is_there = exports
            .any(|(name, _)| own_interface(name).is_some_and(|(interface, _)| interface == export));
        if !is_there {
            return Err(LoadError::MissingExport(format!("{PACKAGE}{export}@{VERSION}")));
        }
    }
    Ok(())
}

/// Returns the version of the contract that a component was built for, and everything it imports, in
/// order of name.
pub(crate) fn interfaces(engine: &Engine, ty: &types::Component) -> (String, Vec<String>) {
    let meta = ty.exports(engine).find_map(|(name, _)| match own_interface(name) {
        Some(("meta", version)) => Some(version.to_owned()),
        _ => None,
    });
    let mut imports: Vec<String> = ty.imports(engine).map(|(name, _)| name.to_owned()).collect();
    imports.sort_unstable();
    (meta.unwrap_or_default(), imports)
}

/// Splits `headcount:plugin/meta@0.1.0` into interface and version.
fn own_interface(name: &str) -> Option<(&str, &str)> {
    let rest = name.strip_prefix(PACKAGE)?;
    Some(rest.split_once('@').unwrap_or((rest, "")))
}
