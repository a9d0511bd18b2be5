//! Which plugins: those of the flags, with the settings that the configuration has for them.

use crate::{
    command_error::CommandError,
    config_file::{Config, PluginConfig},
    environment::Environment,
    plugin_name::{self, check_plugin_name},
};
use std::path::Path;

/// Plugins of `--plugin`, else those of the configuration.
pub(super) fn plugins(
    flags: &[String],
    config: &Config,
    environment: &Environment,
) -> Result<Vec<PluginConfig>, CommandError> {
    if flags.is_empty() {
        return Ok(config.plugins.clone());
    }
    flags.iter().map(|flag| plugin(flag, config, environment)).collect()
}

/// A file; with the name of a configured plugin it keeps that plugin's settings.
pub(crate) fn plugin(
    flag: &str,
    config: &Config,
    environment: &Environment,
) -> Result<PluginConfig, CommandError> {
    let named = |name: &str| {
        config.plugins.iter().find(|plugin| plugin.name.as_deref() == Some(name)).cloned()
    };
    let (name, file) = match flag.split_once('=') {
        Some((name, file)) if !name.contains('/') => (Some(name), file),
        _ => (None, flag),
    };
    if let Some(name) = name {
        check_plugin_name(name).map_err(|error| {
            CommandError::usage(error).context("wrong name at --plugin").hint(plugin_name::HINT)
        })?;
    }
    if name.is_none()
        && let Some(plugin) = named(file)
    {
        return Ok(plugin);
    }
    let wasm = environment.resolve(Path::new(file));
    if !wasm.is_file() {
        return Err(CommandError::usage(format!("there is no plugin file {}", wasm.display()))
            .hint("give the path of a component, as `headcount plugin build` prints it"));
    }
    match name.and_then(named) {
        // The digest was that of the configured file.
        Some(plugin) => Ok(PluginConfig { wasm, sha256: None, ..plugin }),
        None => Ok(PluginConfig { name: name.map(str::to_owned), wasm, ..Default::default() }),
    }
}
