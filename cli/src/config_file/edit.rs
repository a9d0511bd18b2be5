//! Changes plugins in the text of the configuration file, and nothing else of it: comments, order and layout
//! stay. What comes out is judged by whoever reads it, not here.

use super::http::{HTTP, HTTP_PRIVATE};
use crate::command_error::CommandError;
use std::{
    fs, io,
    path::{Path, PathBuf},
};
use toml_edit::{
    Array, DocumentMut, InlineTable, Item, RawString, Table, TableLike, Value, value as item_of,
};

/// Name of the list of plugins.
const PLUGIN: &str = "plugin";

/// A plugin that is to be added.
#[derive(Clone, Debug, Default)]
pub(crate) struct NewPlugin {
    pub(crate) name: String,
    /// Its component, as it is to stand there.
    pub(crate) wasm: String,
    pub(crate) sha256: String,
    pub(crate) finality: Option<String>,
    pub(crate) poison: Option<String>,
    pub(crate) on_change: Option<String>,
    pub(crate) sinks: Vec<String>,
    pub(crate) http: Vec<String>,
    pub(crate) http_private: Vec<String>,
    pub(crate) config: Vec<(String, String)>,
}

/// The file, as it was read and as it is to become.
#[derive(Debug)]
pub(crate) struct Edit {
    /// From where its paths are seen.
    folder: PathBuf,
    path: PathBuf,
    before: String,
    document: DocumentMut,
}

impl Edit {
    /// Reads the file at `path`.
    pub(crate) fn open(path: &Path) -> Result<Self, CommandError> {
        // A link stays one: what it leads to is replaced.
        let real = path.canonicalize().map_err(|error| unread(path, error))?;
        let before = super::read_text(&real)?;
        let document = before.parse::<DocumentMut>().map_err(|error| {
            CommandError::usage(error.to_string())
                .context(format!("the configuration {} cannot be read", path.display()))
                .hint("`headcount config check` tells every mistake in it")
        })?;
        let folder = std::path::absolute(path)?.parent().map(Path::to_owned).unwrap_or_default();
        Ok(Self { folder, path: real, before, document })
    }

    /// Returns the text as it is to become.
    pub(crate) fn text(&self) -> String {
        self.document.to_string()
    }

    /// How a component is to stand in the file: seen from its folder where it is below it.
    pub(crate) fn told_path(&self, component: &Path) -> String {
        // A link stays one: another component may come behind it.
        let path = std::path::absolute(component).unwrap_or_else(|_| component.to_owned());
        escaped(&path.strip_prefix(&self.folder).unwrap_or(&path).display().to_string())
    }

    /// Adds a plugin behind the others.
    pub(crate) fn add(&mut self, plugin: &NewPlugin) -> Result<(), CommandError> {
        match self.document.get_mut(PLUGIN) {
            Some(Item::ArrayOfTables(tables)) => tables.push(table_of(plugin)),
            Some(Item::Value(Value::Array(tables))) => {
                tables.push(table_of(plugin).into_inline_table());
            }
            Some(_) => {
                return Err(CommandError::usage("`plugin` is no list there")
                    .context("no second plugin can be added")
                    .hint("write [[plugin]] for [plugin]"));
            }
            None => {
                let mut tables = toml_edit::ArrayOfTables::new();
                tables.push(table_of(plugin));
                // Behind everything, also behind comments at the end.
                let mut rest = DocumentMut::new();
                rest.insert(PLUGIN, Item::ArrayOfTables(tables));
                let before = self.document.to_string();
                let gap = if before.is_empty() || before.ends_with('\n') { "" } else { "\n" };
                self.document =
                    format!("{before}{gap}{rest}").parse().map_err(CommandError::bug)?;
            }
        }
        Ok(())
    }

    /// Gives the plugin at this place of the list another component.
    pub(crate) fn upgrade(&mut self, place: usize, wasm: Option<&str>, sha256: &str) {
        let Some(table) = self.plugin_mut(place) else { return };
        if let Some(wasm) = wasm {
            set(table, "wasm", wasm);
        }
        set(table, "sha256", sha256);
    }

    /// Takes the plugin at this place out of the list, with the comment right above it.
    pub(crate) fn remove(&mut self, place: usize) {
        let mut removed = None;
        let is_empty = match self.document.get_mut(PLUGIN) {
            Some(Item::ArrayOfTables(tables)) if place < tables.len() => {
                removed = Some(tables.remove(place));
                tables.is_empty()
            }
            Some(Item::Value(Value::Array(tables))) if place < tables.len() => {
                tables.remove(place);
                tables.is_empty()
            }
            // One table stands for a list of one.
            Some(Item::Table(_)) => true,
            _ => false,
        };
        if is_empty {
            self.document.remove(PLUGIN);
        }
        if let Some(removed) = removed {
            self.keep_above(&removed);
        }
    }

    /// What stands above a blank line is not of the table below it: it moves to what follows.
    fn keep_above(&mut self, removed: &Table) {
        let prefix = removed.decor().prefix().and_then(RawString::as_str).unwrap_or_default();
        let lines: Vec<&str> = prefix.split_inclusive('\n').collect();
        let blank = lines.iter().rposition(|line| line.trim().is_empty()).unwrap_or(0);
        let kept = lines[..blank].concat();
        if kept.is_empty() {
            return;
        }
        let mut positions = Vec::new();
        note_positions(self.document.as_table(), &mut positions);
        let own = removed.position();
        let next = positions.into_iter().filter(|position| Some(*position) > own).min();
        match next {
            Some(next) => put_above(self.document.as_table_mut(), next, &kept),
            None => {
                let trailing = self.document.trailing().as_str().unwrap_or_default();
                let trailing = format!("{kept}{trailing}");
                self.document.set_trailing(trailing);
            }
        }
    }

    fn plugin_mut(&mut self, place: usize) -> Option<&mut dyn TableLike> {
        match self.document.get_mut(PLUGIN)? {
            Item::ArrayOfTables(tables) => tables.get_mut(place).map(|t| t as &mut dyn TableLike),
            Item::Value(Value::Array(tables)) => {
                let table = tables.get_mut(place)?.as_inline_table_mut()?;
                Some(table as &mut dyn TableLike)
            }
            item => item.as_table_like_mut(),
        }
    }

    /// Whether there is something to write.
    pub(crate) fn is_changed(&self) -> bool {
        self.text() != self.before
    }

    /// Replaces the file, all of it at once; not where somebody has changed it meanwhile.
    pub(crate) fn write(&self) -> Result<(), CommandError> {
        if fs::read_to_string(&self.path).map_err(|error| unread(&self.path, error))? != self.before
        {
            return Err(CommandError::usage("it was changed by another program meanwhile")
                .context(format!("the configuration {} is left as it is", self.path.display()))
                .hint("run the same command again"));
        }
        replace(&self.path, &self.text())
    }

    /// Puts back what was there before.
    pub(crate) fn put_back(&self) -> Result<(), CommandError> {
        replace(&self.path, &self.before)
    }
}

/// Notes where the tables below this one stand in the file.
fn note_positions(table: &Table, positions: &mut Vec<isize>) {
    for (_, item) in table {
        let below: Vec<&Table> = match item {
            Item::Table(table) => vec![table],
            Item::ArrayOfTables(tables) => tables.iter().collect(),
            Item::None | Item::Value(_) => continue,
        };
        for table in below {
            positions.extend(table.position());
            note_positions(table, positions);
        }
    }
}

/// Puts a text above the table that stands at this position.
fn put_above(table: &mut Table, position: isize, text: &str) {
    for (_, item) in table.iter_mut() {
        let below: Vec<&mut Table> = match item {
            Item::Table(table) => vec![table],
            Item::ArrayOfTables(tables) => tables.iter_mut().collect(),
            Item::None | Item::Value(_) => continue,
        };
        for table in below {
            if table.position() == Some(position) {
                let prefix = table.decor().prefix().and_then(RawString::as_str);
                let prefix = format!("{text}{}", prefix.unwrap_or_default());
                table.decor_mut().set_prefix(prefix);
            }
            put_above(table, position, text);
        }
    }
}

fn unread(path: &Path, error: io::Error) -> CommandError {
    CommandError::unread(format!("reading the configuration {}", path.display()), error)
}

/// A text in which nothing is filled in.
fn escaped(text: &str) -> String {
    text.replace("${", "$${")
}

fn table_of(plugin: &NewPlugin) -> Table {
    let mut table = Table::new();
    table.decor_mut().set_prefix("\n");
    table.insert("name", item_of(plugin.name.as_str()));
    table.insert("wasm", item_of(plugin.wasm.as_str()));
    table.insert("sha256", item_of(plugin.sha256.as_str()));
    let words = [
        ("finality", &plugin.finality),
        ("poison", &plugin.poison),
        ("on_change", &plugin.on_change),
    ];
    for (key, word) in words {
        if let Some(word) = word {
            table.insert(key, item_of(word.as_str()));
        }
    }
    let lists =
        [("sinks", &plugin.sinks), (HTTP, &plugin.http), (HTTP_PRIVATE, &plugin.http_private)];
    for (key, list) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
        table.insert(key, item_of(list.iter().map(String::as_str).collect::<Array>()));
    }
    if !plugin.config.is_empty() {
        let entries = plugin.config.iter().map(|(key, text)| (key.as_str(), text.as_str()));
        table.insert("config", item_of(entries.collect::<InlineTable>()));
    }
    table
}

/// Sets a text where it stands, with the comment behind it.
fn set(table: &mut dyn TableLike, key: &str, text: &str) {
    match table.get_mut(key).and_then(Item::as_value_mut) {
        Some(value) => {
            let decor = value.decor().clone();
            *value = Value::from(text);
            *value.decor_mut() = decor;
        }
        None => {
            table.insert(key, item_of(text));
        }
    }
}

/// Writes beside the file, as readable as it is, and moves that there.
fn replace(path: &Path, text: &str) -> Result<(), CommandError> {
    let failed = |error: io::Error| {
        CommandError::local_io(format!("writing the configuration {}", path.display()), error)
    };
    let mut part = path.as_os_str().to_owned();
    part.push(format!(".{}.part", std::process::id()));
    let part = PathBuf::from(part);
    let written = fs::metadata(path).and_then(|of_file| {
        // It may hold secrets: nobody else may read it for a moment.
        fs::write(&part, "")?;
        fs::set_permissions(&part, of_file.permissions())?;
        fs::write(&part, text)?;
        fs::File::open(&part)?.sync_all()?;
        fs::rename(&part, path)
    });
    written.map_err(|error| {
        let _ = fs::remove_file(&part);
        failed(error)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const TEXT: &str = "# mine\nledger = \"l.duckdb\" # here\n\n# the first\n[[plugin]]\nname = \"a\"   # its name\n\
        wasm = \"a.wasm\" # built by CI\n\n[plugin.config]\nkey = \"${KEY}\"\n\n# where to\n[sink.ops]\n\
        url = \"http://a.example\"\n# the end\n";

    fn edit(text: &str, change: impl FnOnce(&mut Edit)) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("headcount.toml");
        fs::write(&path, text).unwrap();
        let mut edit = Edit::open(&path).unwrap();
        change(&mut edit);
        edit.write().unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        fs::read_to_string(path).unwrap()
    }

    fn new_plugin() -> NewPlugin {
        NewPlugin {
            name: "b".into(),
            wasm: "b.wasm".into(),
            sha256: "00".into(),
            sinks: vec!["ops".into()],
            http: vec!["a.example".into(), "http://127.0.0.1:80".into()],
            http_private: vec!["b.example".into()],
            config: vec![("depth".into(), "3".into())],
            ..NewPlugin::default()
        }
    }

    #[test]
    fn what_is_not_the_plugins_stays_to_the_letter() {
        let added = edit(TEXT, |edit| edit.add(&new_plugin()).unwrap());
        let new = "\n[[plugin]]\nname = \"b\"\nwasm = \"b.wasm\"\nsha256 = \"00\"\nsinks = [\"ops\"]\n\
            http = [\"a.example\", \"http://127.0.0.1:80\"]\nhttp_private = [\"b.example\"]\n\
            config = { depth = \"3\" }\n";
        assert_eq!(added.replacen(new, "", 1), TEXT, "{added}");
        // Behind the first one, whose table of its own stays its own.
        assert!(added.contains(&format!("key = \"${{KEY}}\"\n{new}")), "{added}");
        assert_eq!(edit(&added, |edit| edit.remove(1)), TEXT);

        let upgraded = edit(TEXT, |edit| edit.upgrade(0, Some("new.wasm"), "11"));
        let same = upgraded.replacen("new.wasm", "a.wasm", 1).replacen("sha256 = \"11\"\n", "", 1);
        assert_eq!(same, TEXT, "{upgraded}");
        assert_eq!(edit(&upgraded, |edit| edit.upgrade(0, None, "11")), upgraded);

        let removed = edit(TEXT, |edit| edit.remove(0));
        assert_eq!(
            removed,
            "# mine\nledger = \"l.duckdb\" # here\n\n# where to\n[sink.ops]\nurl = \"http://a.example\"\n\
             # the end\n"
        );
        // A heading is nobody's; what is right above a plugin is of it.
        let headed =
            "# mine\n\n# first\n[[plugin]]\nwasm = \"a\"\n\n# more\n\n[[plugin]]\nwasm = \"b\"\n";
        let removed = edit(headed, |edit| edit.remove(0));
        assert_eq!(removed, "# mine\n\n# more\n\n[[plugin]]\nwasm = \"b\"\n");
        assert_eq!(edit(&removed, |edit| edit.remove(0)), "# mine\n\n# more\n");
        let first = edit("# only this", |edit| edit.add(&new_plugin()).unwrap());
        assert!(first.starts_with("# only this\n\n[[plugin]]\nname = \"b\"\n"), "{first}");
    }

    #[test]
    fn a_list_on_one_line_and_a_single_table_are_plugins_too() {
        let line = "plugin = [{ name = \"a\", wasm = \"a.wasm\" }]\n";
        let added = edit(line, |edit| edit.add(&new_plugin()).unwrap());
        assert!(added.contains("name = \"a\"") && added.contains("name = \"b\""), "{added}");
        assert_eq!(edit(line, |edit| edit.remove(0)), "");
        let single = "[plugin]\nwasm = \"a.wasm\"\n";
        assert!(edit(single, |edit| edit.upgrade(0, None, "11")).contains("sha256 = \"11\""));
        let refused = edit(single, |edit| {
            let error = edit.add(&new_plugin()).unwrap_err().to_string();
            assert!(error.contains("\nhint: write [[plugin]]"), "{error}");
        });
        assert_eq!(refused, single);
    }

    #[test]
    fn a_file_that_somebody_else_changed_is_left_alone_and_a_link_stays_one() {
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real.toml"), folder.path().join("headcount.toml"));
        fs::write(&real, TEXT).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let mut edit = Edit::open(&link).unwrap();
        edit.remove(0);
        fs::write(&real, "other").unwrap();
        assert!(edit.write().unwrap_err().to_string().contains("meanwhile"));
        assert_eq!(fs::read_to_string(&real).unwrap(), "other");
        edit.put_back().unwrap();
        assert_eq!(fs::read_to_string(&link).unwrap(), TEXT);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(edit.told_path(&folder.path().join("p/b.wasm")), "p/b.wasm");
        assert_eq!(edit.told_path(Path::new("/nowhere/${x}.wasm")), "/nowhere/$${x}.wasm");
    }
}
