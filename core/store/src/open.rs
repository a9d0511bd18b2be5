//! How a ledger is opened: lock first, then a look without writing, then the writer.
//!
//! A file that is not a ledger of a known version is left as it was, byte for byte. A new one is
//! made beside its name and moved there when it is whole, so that a killed process never leaves
//! half of one.

use crate::{
    error::{Result, file_failed, open_failed, statement_failed},
    failpoint::Failpoints,
    lock::{LedgerLock, beside},
    sql::{run, text},
    tables::{self, SCHEMA_VERSION},
};
use duckdb::{AccessMode, Config, Connection};
use event::LedgerError;
use std::{
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// The write-ahead log is folded into the file when it has grown to this, and at close. A commit
/// that would make it so long goes straight into the file: rows of a backfill are written once.
const WAL_MAX: &str = "16MB";

/// A row group of a large transaction is written once it is full, and not held in memory for four
/// more.
const ROW_GROUPS_BUFFERED: &str = "1";

/// How long a file that somebody still has open is waited for, while our lock on it is held.
const LET_GO_MAX: Duration = Duration::from_secs(1);
/// Time between two tries.
const TRY_AGAIN: Duration = Duration::from_millis(20);

/// Statements that stay prepared, at most: those that every block at the head runs, of some plugins.
const STATEMENTS_KEPT: usize = 256;

/// How a ledger is to be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// As owner; made when it is not there.
    Create,
    /// As owner; must be there.
    Existing,
    /// Beside other readers, for queries: nothing can be written, no other file be reached. A ledger
    /// of an older version is refused: an owner brings it forward.
    ReadOnly,
}

/// What else may be chosen.
#[derive(Clone, Debug, Default)]
pub struct OpenOptions {
    /// DuckDB threads; `None` is one per core for queries, and half of the cores for an owner.
    pub threads: Option<u32>,
    /// DuckDB's memory limit, for example `512MB`; `None` is DuckDB's own.
    pub memory_limit: Option<String>,
    /// Where to abort, in kill tests.
    pub failpoints: Failpoints,
    /// The file that exports and copies are written to first, for a reader; an owner has
    /// `<ledger>.copy`. Nothing else outside the ledger can be reached.
    pub output: Option<PathBuf>,
}

/// What DuckDB makes beside a file that it writes as a database.
const BESIDE_OUTPUT: [&str; 4] = ["", ".wal", ".wal.checkpoint", ".wal.recovery"];

/// Returns the file that exports and copies of an open ledger are written to first, if any may be.
pub(crate) fn output(path: &Path, mode: OpenMode, options: &OpenOptions) -> Option<PathBuf> {
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    match mode {
        OpenMode::ReadOnly => options.output.as_deref().map(absolute),
        OpenMode::Create | OpenMode::Existing => Some(absolute(&beside(path, ".copy"))),
    }
}

/// Removes what a killed process may have left at the place of exports and copies.
pub(crate) fn clear(output: &Path) -> Result<()> {
    for file in BESIDE_OUTPUT.map(|suffix| beside(output, suffix)) {
        remove_leftover(&file)?;
    }
    Ok(())
}

fn clear_output(output: Option<&Path>) -> Result<()> {
    output.map_or(Ok(()), clear)
}

fn remove_leftover(file: &Path) -> Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(file_failed("removing", file, &error))
        }
        _ => Ok(()),
    }
}

/// Takes the lock that the mode needs, opens the file, and returns both.
pub(crate) fn open(
    path: &Path,
    mode: OpenMode,
    options: &OpenOptions,
) -> Result<(LedgerLock, Connection)> {
    look_before(path, mode == OpenMode::Create)?;
    let lock = match mode {
        OpenMode::ReadOnly => LedgerLock::shared(path)?,
        OpenMode::Create | OpenMode::Existing => LedgerLock::exclusive(path)?,
    };
    Ok((lock, open_locked(path, mode, options)?))
}

/// Opens the file of a ledger whose lock is held.
pub(crate) fn open_locked(
    path: &Path,
    mode: OpenMode,
    options: &OpenOptions,
) -> Result<Connection> {
    let output = output(path, mode, options);
    if mode == OpenMode::Create && !path.exists() {
        create(path, options)?;
        clear_output(output.as_deref())?;
        return connect(path, AccessMode::ReadWrite, options, output.as_deref());
    }
    must_exist(path)?;
    let for_reader = output.as_deref().filter(|_| mode == OpenMode::ReadOnly);
    let reader = connect(path, AccessMode::ReadOnly, options, for_reader)?;
    let found = known_version(path, &reader)?;
    if mode == OpenMode::ReadOnly {
        if found < SCHEMA_VERSION {
            let path = path.display().to_string();
            return Err(LedgerError::Older { path, found, known: SCHEMA_VERSION });
        }
        return Ok(reader);
    }
    drop(reader);
    clear_output(output.as_deref())?;
    let conn = connect(path, AccessMode::ReadWrite, options, output.as_deref())?;
    tables::migrate(&conn, found)?;
    Ok(conn)
}

/// Refuses what is no DuckDB file before a lock is put beside it, as beside any ledger.
pub(crate) fn look_before(path: &Path, may_be_new: bool) -> Result<()> {
    if may_be_new && !path.exists() {
        return Ok(());
    }
    must_exist(path)?;
    // A file with a lock is a ledger, perhaps open in this process: to close another handle of it
    // would end DuckDB's own lock (fcntl(2): locks go with the first handle that is closed).
    if beside(path, ".lock").exists() { Ok(()) } else { has_magic(path) }
}

fn must_exist(path: &Path) -> Result<()> {
    match fs::metadata(path) {
        Ok(meta) if meta.is_dir() => Err(unreadable(path, "it is a directory".into())),
        // DuckDB would take an empty file for a new database: a truncated ledger is none.
        Ok(meta) if meta.len() == 0 => Err(unreadable(path, "the file is empty".into())),
        Ok(_) => Ok(()),
        Err(error) => Err(unreadable(path, error.to_string())),
    }
}

/// Every DuckDB file has this word behind its first checksum.
fn has_magic(path: &Path) -> Result<()> {
    let mut start = [0; 12];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut start));
    match read {
        Ok(()) if start.ends_with(b"DUCK") => Ok(()),
        Err(error) if error.kind() != std::io::ErrorKind::UnexpectedEof => {
            Err(unreadable(path, error.to_string()))
        }
        _ => Err(unreadable(path, "it is no DuckDB file".into())),
    }
}

/// Refuses what is not ours to touch.
fn known_version(path: &Path, conn: &Connection) -> Result<u32> {
    let found = tables::version(conn).map_err(|error| unreadable(path, error.to_string()))?;
    match found {
        Some(found) if found > SCHEMA_VERSION => Err(LedgerError::Newer {
            path: path.display().to_string(),
            found,
            known: SCHEMA_VERSION,
        }),
        Some(found) => Ok(found),
        None => Err(unreadable(path, "a DuckDB file, but not a ledger".into())),
    }
}

/// Makes a whole new ledger and only then gives it its name.
fn create(path: &Path, options: &OpenOptions) -> Result<()> {
    let log = beside(path, ".wal");
    if log.exists() {
        let reason = format!("it is missing, but its log {} is there", log.display());
        return Err(unreadable(path, reason));
    }
    let new = beside(path, ".new");
    for leftover in [&new, &beside(&new, ".wal")] {
        remove_leftover(leftover)?;
    }
    let conn = connect(&new, AccessMode::ReadWrite, options, None)?;
    tables::migrate(&conn, 0)?;
    run(&conn, "CHECKPOINT")?;
    drop(conn);
    fs::rename(&new, path).map_err(|error| file_failed("creating", path, &error))?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|error| file_failed("syncing", folder, &error))
}

fn connect(
    path: &Path,
    access: AccessMode,
    options: &OpenOptions,
    output: Option<&Path>,
) -> Result<Connection> {
    let reads_only = access == AccessMode::ReadOnly;
    let conn = open_file(path, &access, options)?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    // No connection of ours reads another file, whatever a statement says; DuckDB takes the one
    // exception only before that is said.
    if let Some(output) = output {
        let files = BESIDE_OUTPUT.map(|suffix| beside(output, suffix));
        let files: Vec<String> = files.iter().map(|file| text(&file.to_string_lossy())).collect();
        run(&conn, &format!("SET allowed_paths = [{}]", files.join(", ")))?;
    }
    run(&conn, "SET enable_external_access = false")?;
    // A copy of the whole ledger changes a setting for as long as it takes; users' statements, which
    // could not anyway, are not run where it can.
    if reads_only && output.is_none() {
        run(&conn, "SET lock_configuration = true")?;
    }
    Ok(conn)
}

/// Opens the file. A process that was killed lets go of our lock a moment before it lets go of the file.
fn open_file(path: &Path, access: &AccessMode, options: &OpenOptions) -> Result<Connection> {
    let begun = Instant::now();
    loop {
        let config = configure(access.clone(), options).map_err(statement_failed)?;
        let error = match Connection::open_with_flags(path, config) {
            Ok(conn) => return Ok(conn),
            Err(error) => open_failed(path, error),
        };
        if !matches!(error, LedgerError::Busy { .. }) || begun.elapsed() > LET_GO_MAX {
            return Err(error);
        }
        std::thread::sleep(TRY_AGAIN);
    }
}

fn configure(access: AccessMode, options: &OpenOptions) -> duckdb::Result<Config> {
    let writes = access == AccessMode::ReadWrite;
    // No connection of ours loads code, whatever a statement says.
    let mut config = Config::default()
        .access_mode(access)?
        .enable_autoload_extension(false)?
        .with("wal_autocheckpoint", WAL_MAX)?
        .with("write_buffer_row_group_count", ROW_GROUPS_BUFFERED)?;
    // While a thread of DuckDB works on a commit the thread that waits for it spins, on a core
    // that an owner needs for reading from nodes: half as many threads write as fast (measured).
    let threads = options.threads.or(writes.then(half_of_the_cores));
    if let Some(threads) = threads {
        config = config.threads(threads.max(1).into())?;
    }
    if let Some(limit) = &options.memory_limit {
        config = config.max_memory(limit)?;
    }
    Ok(config)
}

fn half_of_the_cores() -> u32 {
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() / 2);
    u32::try_from(cores).unwrap_or(u32::MAX)
}

fn unreadable(path: &Path, reason: String) -> LedgerError {
    LedgerError::Unreadable { path: path.display().to_string(), reason }
}
