//! Compiled components that are kept for the next start.

use crate::{
    guests::{batch, host},
    made::guest,
};
use alloy_primitives::U256;
use event::{Effects, Plugin};
use headcount_host::{Host, HostConfig, Limits};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

fn keeping(folder: &Path) -> Host {
    Host::new(HostConfig { cache_folder: Some(folder.to_owned()), ..HostConfig::default() })
        .unwrap()
}

/// Compiled components in a folder; beside each may stand how often it was used.
fn kept(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut files = Vec::new();
    for path in entries.map(|entry| entry.unwrap().path()) {
        match path.is_dir() {
            true => files.extend(kept(&path)),
            false if path.extension().is_none() => files.push(path),
            false => {}
        }
    }
    files
}

/// Whether the guest works.
fn works(host: &Host) {
    let mut plugin = host.load(&guest("good"), "{}", Limits::default()).unwrap();
    let handled = plugin.handle(&batch(&[(9, 0, 1, U256::ONE)]), &Arc::default());
    assert_eq!(handled, Ok(Effects::default()));
}

#[test]
fn what_was_compiled_is_kept_by_its_content_and_one_that_is_damaged_is_compiled_again() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("deep/compiled");
    assert!(!keeping(&folder).has_compiled(&guest("good")));
    works(&keeping(&folder));
    assert!(keeping(&folder).has_compiled(&guest("good")) && !host().has_compiled(&guest("good")));
    let folder = folder.join("code");
    let whole_folder = folder.parent().unwrap().to_owned();
    let [file] = &kept(&folder)[..] else { panic!("{:?}", kept(&folder)) };
    works(&keeping(&whole_folder));
    assert_eq!(kept(&folder).len(), 1);
    keeping(&whole_folder).compile(&guest("handle-traps")).unwrap();
    assert_eq!(kept(&folder).len(), 2, "another component");
    let whole = fs::read(file).unwrap();
    for damaged in [&b""[..], b"garbage", &whole[..whole.len() / 2]] {
        fs::write(file, damaged).unwrap();
        works(&keeping(&whole_folder));
    }
}

#[cfg(unix)]
#[test]
fn nothing_is_taken_from_a_folder_that_others_can_write_to() {
    use std::os::unix::fs::PermissionsExt;
    let root = tempfile::tempdir().unwrap();
    let own = root.path().join("own");
    works(&keeping(&own));
    assert_eq!(fs::metadata(&own).unwrap().permissions().mode() & 0o777, 0o700);
    let shared = root.path().join("shared");
    fs::create_dir(&shared).unwrap();
    fs::set_permissions(&shared, fs::Permissions::from_mode(0o777)).unwrap();
    works(&keeping(&shared));
    assert!(kept(&shared).is_empty());
    // A place where nothing can be kept costs time, and nothing else.
    let file = root.path().join("file");
    fs::write(&file, "").unwrap();
    works(&keeping(&file.join("folder")));
}

#[test]
fn compiling_alone_says_what_is_no_component() {
    let error = host().compile(b"hello").unwrap_err().to_string();
    assert!(error.contains("no WebAssembly at all"), "{error}");
}
