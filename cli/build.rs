//! Sets the run path, so that the program finds its DuckDB library from any folder and with an
//! empty environment: beside an installed program, beside a built one, where it was linked from.

use std::{env, path::Path};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=DUCKDB_LIB_DIR");
    if env::var_os("CARGO_FEATURE_BUNDLED").is_some() {
        return;
    }
    let here = match env::var("CARGO_CFG_TARGET_OS").as_deref() {
        Ok("macos") => "@loader_path",
        _ => "$ORIGIN",
    };
    add_run_path(&format!("{here}/../lib/headcount"));
    add_run_path(&format!("{here}/../duckdb"));
    // Without the library the linker says so better than we could.
    let linked = env::var("DUCKDB_LIB_DIR").map(|folder| Path::new(&folder).canonicalize());
    if let Ok(Ok(folder)) = linked
        && !is_to_be_installed(&folder)
    {
        add_run_path(&folder.display().to_string());
    }
}

/// What is installed knows nothing of the folder it was built in. A test in `deps/` needs that
/// folder, and so does a program in a CARGO_TARGET_DIR elsewhere.
fn is_to_be_installed(libraries: &Path) -> bool {
    let target = libraries.parent().map(|target| target.join("release"));
    let out = env::var("OUT_DIR").map(|out| Path::new(&out).canonicalize());
    match (target, out) {
        (Some(target), Ok(Ok(out))) => out.starts_with(target),
        _ => false,
    }
}

fn add_run_path(folder: &str) {
    println!("cargo:rustc-link-arg=-Wl,-rpath,{folder}");
}
