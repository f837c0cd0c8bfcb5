//! Where things are: the workspace, its `target/`, the binary under test, scratch directories.
//!
//! Everything that is fetched or written by a test lives below `target/` or a temporary directory, never in the tree.

use std::env;
use std::path::{Path, PathBuf};

/// The workspace's root.
#[must_use]
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package lies in the workspace").to_path_buf()
}

/// The `target/` directory, which also caches what the tests fetch.
#[must_use]
pub fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from)
}

/// The binary under test: `MILENA_BIN`, otherwise the release build.
///
/// # Panics
/// When it is not there; the message says how to build it.
#[must_use]
pub fn milena() -> PathBuf {
    let path =
        env::var_os("MILENA_BIN").map_or_else(|| target().join("release").join("milena"), PathBuf::from);
    assert!(path.is_file(), "{} is missing: run `cargo build --release` or set MILENA_BIN", path.display());
    path
}

/// A fresh directory below the system's temporary one, removed when the value is dropped.
///
/// # Panics
/// When the directory cannot be made.
#[must_use]
pub fn scratch(purpose: &str) -> tempfile::TempDir {
    tempfile::Builder::new()
        .prefix(&format!("milena-{purpose}-"))
        .tempdir()
        .expect("the temporary directory is writable")
}
