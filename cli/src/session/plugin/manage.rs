//! The operator's side of plugins: whether a configuration with a plugin more, or another one, would run, and
//! the owner of the ledger that is to take it over. Decides nothing, and writes no configuration.

use super::{Look, check_plugin, list::name_of};
use crate::{
    command_error::{CommandError, ErrorKind},
    compiling::Compiling,
    config_file::{Config, PluginConfig},
    environment::Environment,
    ledger_path::LedgerPath,
    plan,
    session::{
        access::{Joined, Miss, Seeker},
        inputs,
    },
};
use alloy_primitives::B256;
use event::{PluginTable, Value};
use relay::{ConnectError, Reloaded, Role};
use std::{
    ops::ControlFlow,
    path::Path,
    time::{Duration, Instant},
};

/// Time between two tries.
const TRY_AGAIN: Duration = Duration::from_millis(25);

/// A component that is good, as far as that shows without events.
#[derive(Debug)]
pub(crate) struct Checked {
    /// The name that it gives itself.
    pub(crate) own_name: String,
    pub(crate) tables: Vec<PluginTable>,
    pub(crate) digest: B256,
}

/// Checks a component without events, and compiles it: its first run need not.
pub(crate) fn check_component(
    plugin: &PluginConfig,
    compiling: &Compiling,
) -> Result<Checked, CommandError> {
    let report = check_plugin(plugin, None, None, compiling)?;
    if let Some((check, why)) = report.failure() {
        return Err(CommandError::new(ErrorKind::CheckFailed, format!("{check}: {why}"))
            .context(format!("plugin {} is not as it should be", plugin.wasm.display()))
            .hint("`headcount plugin check FILE` has the whole report"));
    }
    let host = compiling.host().map_err(CommandError::bug)?;
    let bytes = inputs::read_component(plugin)?;
    let how = (compiling, host::Grants::any());
    let loaded = inputs::load_component(&host, plugin, &bytes, how)?;
    let loaded = loaded.map_err(|error| inputs::refused(&plugin.wasm, error))?;
    let descriptor = event::Plugin::descriptor(&loaded);
    Ok(Checked {
        own_name: descriptor.name.clone(),
        tables: descriptor.tables.clone(),
        digest: inputs::digest_of(&bytes),
    })
}

/// The digest by which a component is pinned.
pub(crate) fn component_digest(wasm: &Path) -> Result<B256, CommandError> {
    let config = PluginConfig { wasm: wasm.to_owned(), ..PluginConfig::default() };
    Ok(inputs::digest_of(&inputs::read_component(&config)?))
}

/// Loads every plugin of a configuration as a run would.
pub(crate) fn load_all(
    config: &Config,
    ledger: &LedgerPath,
    compiling: &Compiling,
) -> Result<(), CommandError> {
    let contracts = plan::contracts_of(config);
    inputs::load_plugins(&config.plugins, &contracts, ledger, compiling).map(drop)
}

/// Returns the place of a plugin in the configuration's list, by the name under which it runs.
pub(crate) fn place_of(name: &str, config: &Config, compiling: &Compiling) -> Option<usize> {
    let named = config.plugins.iter().position(|plugin| plugin.name.as_deref() == Some(name));
    let unnamed = || {
        let is_it = |plugin: &PluginConfig| {
            plugin.name.is_none() && name_of(plugin, compiling).as_deref() == Some(name)
        };
        config.plugins.iter().position(is_it)
    };
    named.or_else(unnamed)
}

/// Returns a table of this name that the ledger has with other columns than the component wants: no other
/// rows go there.
pub(crate) fn other_table(
    ledger: &mut Look,
    plugin: &str,
    tables: &[PluginTable],
) -> Result<Option<String>, CommandError> {
    let sql = "SELECT plugin, tables FROM main.plugins";
    let mut stored: Vec<PluginTable> = Vec::new();
    ledger.query(sql, &mut |_, row| {
        if let [Value::Text(name), Value::Text(tables)] = row.as_slice()
            && name == plugin
        {
            stored = serde_json::from_str(tables).unwrap_or_default();
        }
        ControlFlow::Continue(())
    })?;
    let is_other = |table: &&PluginTable| {
        let known = stored.iter().find(|known| known.name.eq_ignore_ascii_case(&table.name));
        known.is_some_and(|known| known != *table)
    };
    Ok(tables.iter().find(is_other).map(|table| table.name.clone()))
}

/// What the owner of a ledger makes of a configuration that was changed.
#[derive(Debug)]
pub(crate) struct OwnerTold {
    pub(crate) pid: u32,
    pub(crate) reloaded: Reloaded,
}

/// Has the owner of the ledger read the configuration again; `None` where nobody owns it.
pub(crate) fn reload_owner(
    ledger: &Path,
    environment: &Environment,
    config: &Path,
) -> Result<Option<OwnerTold>, CommandError> {
    let config = std::path::absolute(config)?;
    let Some(config) = config.to_str() else {
        return Err(CommandError::usage(format!("{} is not UTF-8", config.display()))
            .hint("move the configuration, and name it with --config"));
    };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let seeker = Seeker::new(ledger, environment, Role::Reader);
    let begun = Instant::now();
    while seeker.is_there() {
        // Readers look and end: they run no plugins.
        let Some(Some(pid)) = seeker.holder()? else { return Ok(None) };
        match runtime.block_on(seeker.connect()) {
            Ok(client) => {
                let joined = Joined::new(client);
                let pid = joined.owner().pid;
                match runtime.block_on(joined.reload(config)) {
                    Ok(reloaded) => return Ok(Some(OwnerTold { pid, reloaded })),
                    Err(Miss::Failed(error)) => return Err(error),
                    // Whoever owns it next reads the new file.
                    Err(Miss::Lost) => {}
                }
            }
            Err(ConnectError::Absent(_) | ConnectError::Refused { .. }) => {}
            Err(error) => return Err(seeker.unreachable(error)),
        }
        if seeker.is_over(begun, Some(pid)) {
            return Err(seeker.busy(Some(pid)).into());
        }
        std::thread::sleep(TRY_AGAIN);
    }
    Ok(None)
}
