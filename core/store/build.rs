//! Lets tests, examples and the bench find the prebuilt DuckDB library at run time, whichever
//! runner starts them. Every crate whose tests link the store names this script as its own.

use std::{env, path::Path};

fn main() {
    let prebuilt = "DUCKDB_LIB_DIR";
    println!("cargo:rerun-if-env-changed={prebuilt}");
    if env::var_os("CARGO_FEATURE_BUNDLED").is_some() {
        return;
    }
    let Some(folder) = env::var_os(prebuilt) else { return };
    // Without the library the linker says so better than this script could.
    if let Ok(folder) = Path::new(&folder).canonicalize() {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{}", folder.display());
    }
}
