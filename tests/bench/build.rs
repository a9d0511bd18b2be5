//! Lets the bench find the prebuilt DuckDB library at run time, whichever directory it starts in.

use std::{env, path::Path};

fn main() {
    let prebuilt = "DUCKDB_LIB_DIR";
    println!("cargo:rerun-if-env-changed={prebuilt}");
    let Some(folder) = env::var_os(prebuilt) else { return };
    // Without the library the linker says so better than this script could.
    if let Ok(folder) = Path::new(&folder).canonicalize() {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{}", folder.display());
    }
}
