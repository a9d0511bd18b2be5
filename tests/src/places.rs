//! Where things lie, found from this crate's own folder.

use std::{env, path::PathBuf};

/// Returns the root of the workspace.
pub fn workspace() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("this crate lies in the workspace").to_path_buf()
}

/// Returns a file or folder of the installed test tools (`make tools`), where it is there.
pub fn tool(path: &str) -> Option<PathBuf> {
    let tool = workspace().join("tests/tools/node_modules").join(path);
    tool.exists().then_some(tool)
}

/// Returns the folder of real mainnet blocks, where it is there. They are never part of the project.
pub fn shared_fixtures() -> Option<PathBuf> {
    let folder = env::var_os("HEADCOUNT_SHARED_FIXTURES")
        .map_or_else(|| workspace().join("../shared/fixtures"), PathBuf::from);
    folder.is_dir().then_some(folder)
}
