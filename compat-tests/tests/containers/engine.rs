//! The Docker engine that the tests use, and our image in it.
//!
//! It must never pull an image, nor stop an engine that it did not start.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use milena_compat_tests::fetched;
use milena_compat_tests::paths;
use milena_compat_tests::process::Guarded;
use milena_compat_tests::program::Program;
use milena_compat_tests::wait;

/// Not the name that people build under, and a tag that test libraries take for a Confluent platform with KRaft.
pub(crate) const IMAGE: &str = "milena-compat:8.2.0";
/// The same image under a tag by which they take it for an older one.
pub(crate) const OLDER: &str = "milena-compat:7.5.0";
pub(crate) const BARE: &str = "milena-compat:8.2.0-bare";

/// Building two shells, where that was not done before, on a busy machine.
const BUILD_PATIENCE: Duration = Duration::from_secs(900);
const ENGINE_PATIENCE: Duration = Duration::from_secs(30);

/// The images, built once per run from the binary under test; `None`, and one line that says so, where no engine can run.
pub(crate) fn images() -> Option<()> {
    static IMAGES: OnceLock<Option<()>> = OnceLock::new();
    *IMAGES.get_or_init(|| {
        if let Err(why) = engine() {
            eprintln!("skipped: no Docker engine runs here ({why})");
            return None;
        }
        let build = Program::new(paths::workspace().join("config/image/build"));
        let build =
            build.args(["--name", "milena-compat", "--tag", "8.2.0", "--binary"]).arg(paths::milena());
        build.patience(BUILD_PATIENCE).ok();
        docker(&["tag", IMAGE, OLDER]);
        // An engine inside of another sandbox may answer, and yet be allowed neither to run nor to publish anything.
        let probe = ["run", "--rm", "--publish", "127.0.0.1::9092", IMAGE, "/usr/bin/env", "true"];
        let probed = Program::new("docker").args(probe).patience(Duration::from_secs(60)).run();
        if probed.status != Some(0) {
            eprintln!("skipped: the Docker engine here runs no container ({})", probed.output.trim());
            return None;
        }
        Some(())
    })
}

/// `docker` with these arguments; it must succeed. Gives what it wrote.
pub(crate) fn docker(arguments: &[&str]) -> String {
    Program::new("docker").args(arguments).patience(Duration::from_secs(60)).ok().trim().to_owned()
}

/// One that answers: the machine's, or one of our own from Debian's package that ends with this process.
fn engine() -> Result<(), String> {
    // Two test processes may come here at once.
    let _lock = fetched::lock("docker");
    if answers() {
        return Ok(());
    }
    if !rustix::process::getuid().is_root() {
        return Err("none answers, and only root can start one".to_owned());
    }
    let data = Path::new("/var/tmp/milena-docker");
    fs::create_dir_all(data).map_err(|error| error.to_string())?;
    let mut command = Command::new("dockerd");
    // Layers as plain directories: no kernel module is needed, and the images are small.
    command.args(["--storage-driver", "vfs", "--data-root"]).arg(data.join("data"));
    command.arg("--exec-root").arg(data.join("exec")).arg("--pidfile").arg(data.join("pid"));
    if Command::new("dockerd").arg("--version").stdout(Stdio::null()).status().is_err() {
        return Err("dockerd is not installed: apt-get install docker.io".to_owned());
    }
    let mut process = Guarded::start(&mut command, &data.join("log"));
    let started = wait::until_or(ENGINE_PATIENCE, || (answers() || process.ended().is_some()).then(answers));
    if started != Some(true) {
        let output = process.output();
        let last = output.lines().rev().find(|line| line.contains("level=error") || line.contains("fail"));
        return Err(last.unwrap_or("dockerd did not start").to_owned());
    }
    // Its guard ends it when this process has ended, however that ends.
    std::mem::forget(process);
    Ok(())
}

fn answers() -> bool {
    let mut command = Command::new("docker");
    command.arg("info").stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
