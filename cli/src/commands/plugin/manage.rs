//! What adding, upgrading and removing a plugin have in common: the configuration is changed whole or not at
//! all, and the process that runs plugins takes it over or keeps the old one.

use crate::{
    author::ManagedReport,
    command_error::CommandError,
    commands::PlaceArgs,
    compiling::Compiling,
    config_file::{Config, Edit},
    environment::Environment,
    ledger_path::LedgerPath,
    session::{OwnerTold, load_all, reload_owner},
};
use relay::Reloaded;
use std::path::PathBuf;

/// The configuration, and the ledger that it is for.
pub(super) struct Managed {
    pub(super) config: Config,
    pub(super) path: PathBuf,
    pub(super) edit: Edit,
    pub(super) ledger: LedgerPath,
    pub(super) compiling: Compiling,
}

impl Managed {
    /// Reads the configuration, which must be right.
    pub(super) fn open(place: &PlaceArgs, environment: &Environment) -> Result<Self, CommandError> {
        let config = Config::load(place.config.as_deref(), environment)?;
        let Some(path) = config.path.clone() else {
            return Err(CommandError::usage("there is no configuration file to change")
                .hint(
                    "echo 'ledger = \"FILE.duckdb\"' > headcount.toml makes one; `headcount config --help` says \
                     what else may stand there, and --config names another",
                )
                .hint("a plugin that `replay` or `watch` is given by --plugin needs none"));
        };
        let ledger =
            LedgerPath::resolve(place.ledger.as_deref(), config.ledger.as_deref(), environment);
        let edit = Edit::open(&path)?;
        Ok(Self { config, path, edit, ledger, compiling: Compiling::of(environment, false) })
    }

    /// Returns the configuration as it is to become, which must be right.
    pub(super) fn becomes(&self, environment: &Environment) -> Result<Config, CommandError> {
        Ok(Config::parse(&self.path, &self.edit.text(), environment)?)
    }

    /// Writes the file, where what it becomes would run, and has it taken over. The one from before is put
    /// back where the process that owns the ledger refuses it.
    pub(super) fn apply(
        &self,
        environment: &Environment,
        report: &mut ManagedReport,
    ) -> Result<(), CommandError> {
        let becomes = self.becomes(environment)?;
        load_all(&becomes, &self.ledger, &self.compiling)?;
        if self.edit.is_changed() {
            self.edit.write()?;
        }
        report.config = Some(self.path.clone());
        let Some(OwnerTold { pid, reloaded }) =
            reload_owner(&self.ledger.path, environment, &self.path).map_err(|error| {
                let path = self.path.display();
                error.context(format!(
                    "{path} is changed, and nobody could be asked to take it over"
                ))
            })?
        else {
            return Ok(());
        };
        report.owner = Some(pid);
        match reloaded {
            Reloaded::Taken { changes, plugins } => {
                report.told = changes;
                let is_there = plugins.contains(&report.plugin);
                report.taken = is_there == (report.action != "removed");
                if !report.taken {
                    report.told = vec!["the plugins of its flags are others".to_owned()];
                }
            }
            Reloaded::Unread(why) => report.told = vec![why],
            Reloaded::Refused(why) => {
                self.edit.put_back()?;
                // It is told as an error of its own.
                let why = why.strip_prefix("error: ").unwrap_or(&why).replace('\n', "; ");
                return Err(CommandError::usage(why)
                    .context(format!("process {pid}, which owns the ledger, refuses it"))
                    .hint(format!("{} is as it was before", self.path.display())));
            }
        }
        Ok(())
    }
}
