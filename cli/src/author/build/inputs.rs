//! What a component was made of, as a digest beside it: the same files give the same component.

use crate::command_error::CommandError;
use sha2::{Digest, Sha256};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Folders that tools write.
const NOT_SOURCE: [&str; 4] = ["node_modules", "build", "target", "__pycache__"];
/// Files that are looked at; a folder with more is built every time.
const FILES_MAX: usize = 10_000;

/// The files that a component is made of.
#[derive(Debug, Default)]
pub(crate) struct Inputs {
    /// A digest of them; none where they are too many to look at.
    digest: Option<String>,
    /// Every folder that one may be in.
    pub(crate) folders: Vec<PathBuf>,
}

impl Inputs {
    /// Reads every file of these kinds in the folder, without hidden ones and what tools write.
    pub(crate) fn of(folder: &Path, extensions: &[&str]) -> Result<Self, CommandError> {
        let mut files = Vec::new();
        let mut folders = vec![folder.to_path_buf()];
        let mut seen = 0;
        while let Some(next) = folders.get(seen).cloned() {
            seen += 1;
            for entry in fs::read_dir(&next)? {
                let entry = entry?;
                let name = entry.file_name().to_string_lossy().into_owned();
                if name.starts_with('.') || NOT_SOURCE.contains(&name.as_str()) {
                    continue;
                }
                let path = entry.path();
                let extension = path.extension().and_then(|extension| extension.to_str());
                // What a link leads to is not walked, it might lead back.
                if entry.file_type()?.is_dir() {
                    folders.push(path);
                } else if extension.is_some_and(|extension| extensions.contains(&extension)) {
                    files.push(path);
                }
            }
            if files.len() + folders.len() > FILES_MAX {
                return Ok(Self { digest: None, folders });
            }
        }
        files.sort();
        let mut hasher = Sha256::new();
        // Another version of this program may build in another way.
        hasher.update(env!("CARGO_PKG_VERSION"));
        for path in files {
            let text = fs::read(&path)?;
            let name = path.strip_prefix(folder).unwrap_or(&path).to_string_lossy().into_owned();
            for part in [name.as_bytes(), &text] {
                hasher.update((part.len() as u64).to_be_bytes());
                hasher.update(part);
            }
        }
        let digest = Some(alloy_primitives::hex::encode(hasher.finalize()));
        Ok(Self { digest, folders })
    }

    /// Whether they are known to be the same as these.
    pub(crate) fn are(&self, others: &Self) -> bool {
        self.digest.is_some() && self.digest == others.digest
    }

    /// Whether a component was made of these.
    pub(super) fn are_noted(&self, component: &Path) -> bool {
        let noted = fs::read_to_string(note(component)).ok();
        self.digest.is_some() && noted == self.digest
    }

    /// Takes note that a component was made of these.
    pub(super) fn note(&self, component: &Path) -> Result<(), CommandError> {
        let Some(digest) = &self.digest else { return Ok(()) };
        Ok(fs::write(note(component), digest)?)
    }
}

/// Forgets what a component was made of.
pub(super) fn forget(component: &Path) {
    let _ = fs::remove_file(note(component));
}

fn note(component: &Path) -> PathBuf {
    component.with_extension("inputs")
}
