//! What the tests fetch from package registries: one folder each below `target/clients/`, filled once per set of pins.
//!
//! It must never fetch what is already there, nor write outside `target/`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

use crate::paths;
use crate::program::Program;

/// A download and its build, on a busy machine.
pub const FETCH_PATIENCE: Duration = Duration::from_secs(900);

/// The folder `name`, filled by `fill` unless it was filled under the same pins.
///
/// # Panics
/// When it cannot be filled.
#[must_use]
pub fn fetched(name: &str, pins: &str, fill: impl FnOnce(&Path)) -> PathBuf {
    let folder = root().join(name);
    let _lock = lock(name);
    let stamp = folder.join("pins");
    if fs::read_to_string(&stamp).ok().as_deref() != Some(pins) {
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).expect("the target directory is writable");
        fill(&folder);
        fs::write(&stamp, pins).expect("the target directory is writable");
    }
    folder
}

/// The Python that has `compat-tests/clients/python/requirements.txt` installed.
///
/// # Panics
/// When it cannot be set up.
#[must_use]
pub fn python() -> PathBuf {
    python_with("python", &clients().join("python/requirements.txt"))
}

/// A Python that has these requirements installed, in a folder of this name.
///
/// # Panics
/// When it cannot be set up.
#[must_use]
pub fn python_with(name: &str, requirements: &Path) -> PathBuf {
    let pins = fs::read_to_string(requirements).expect("the requirements are in the tree");
    let folder = fetched(name, &pins, |folder| {
        let environment = folder.join("env");
        Program::new("python3").args(["-m", "venv"]).arg(&environment).patience(FETCH_PATIENCE).ok();
        let pip = environment.join("bin/pip");
        let install = ["install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:", "-r"];
        Program::new(pip).args(install).arg(requirements).patience(FETCH_PATIENCE).ok();
    });
    folder.join("env/bin/python")
}

/// A program of `compat-tests/clients/rdkafka`. The crate's build compiles librdkafka: minutes, once.
///
/// # Panics
/// When it cannot be built.
#[must_use]
pub fn rdkafka(program: &str) -> PathBuf {
    let _lock = lock("rdkafka");
    let folder = root().join("rdkafka");
    let build = Program::new("cargo").args(["build", "--locked", "--quiet", "--target-dir"]).arg(&folder);
    build.current_dir(clients().join("rdkafka")).patience(FETCH_PATIENCE).ok();
    folder.join("debug").join(program)
}

/// A program of `compat-tests/clients/go`. Go knows itself what is to be built again; its modules and its cache stay in our
/// folder, and the toolchain that `go.mod` asks for, where an older one is installed.
///
/// # Panics
/// When it cannot be built.
#[must_use]
pub fn go(program: &str) -> PathBuf {
    let _lock = lock("go");
    let folder = root().join("go");
    let binary = folder.join("bin").join(program);
    let build = Program::new("go").args(["build", "-modcacherw", "-mod=readonly", "-o"]).arg(&binary);
    let build = build.arg(format!("./{program}")).current_dir(clients().join("go"));
    let build = build.env("GOMODCACHE", folder.join("modules")).env("GOCACHE", folder.join("cache"));
    let build = build.env("GOTOOLCHAIN", "auto");
    build.patience(FETCH_PATIENCE).ok();
    binary
}

/// `compat-tests/clients`.
#[must_use]
pub fn clients() -> PathBuf {
    paths::workspace().join("compat-tests/clients")
}

/// The folder that holds all that is fetched for clients and suites.
#[must_use]
pub fn root() -> PathBuf {
    paths::target().join("clients")
}

/// Two tests may want the same folder at once; the lock is freed with the file.
///
/// # Panics
/// When the target directory is not writable.
#[must_use]
pub fn lock(name: &str) -> File {
    fs::create_dir_all(root()).expect("the target directory is writable");
    let file = File::create(root().join(format!("{name}.lock"))).expect("the target directory is writable");
    flock(&file, FlockOperation::LockExclusive).expect("a local file can be locked");
    file
}
