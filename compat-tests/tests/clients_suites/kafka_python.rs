//! kafka-python's integration tests, from the source package of the version that `clients/python/requirements.txt` pins.
//!
//! It must never change a test; what the source package lacks (`test/service.py`) is written beside them.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use milena_compat_tests::fetched::{self, FETCH_PATIENCE};
use milena_compat_tests::server::Setup;
use milena_compat_tests::{Program, Target};

use super::Said;

const PACKAGE: &str = "kafka-python==3.0.12";

/// One minute on an idle machine, without those that fail by time-out.
const PATIENCE: Duration = Duration::from_secs(600);

/// The package leaves out this module, which its fixtures import; with a broker from outside they use only this much.
const SERVICE: &str = "class ExternalService:
    def __init__(self, host, port):
        self.host, self.port = host, port

    def open(self):
        pass

    def close(self):
        pass


class SpawnedService:
    def __init__(self, *_):
        raise NotImplementedError('the broker comes from outside')
";

pub(crate) fn run(tests: &[&str]) -> Said {
    let python = fetched::python();
    let source = source(&python);
    // What the suite's own broker is configured with, and the advertised listener that one test looks for.
    let setup = Setup::of(Target::chosen()).set("node.id", "0").set("num.partitions", "4");
    let mut server = setup.set("group.min.session.timeout.ms", "1000").start();
    server.stop();
    let advertised = format!("PLAINTEXT://{}", server.bootstrap());
    server.set_for_next_start("advertised.listeners", &advertised);
    server.start();

    let options = ["-m", "pytest", "-q", "-rA", "--tb=short", "--timeout=60", "--timeout-method=signal"];
    let program = Program::new(python).args(options).args(["-p", "no:cacheprovider", "--show-capture=no"]);
    let program = program.args(tests.iter().map(|test| format!("test/integration/{test}")));
    let program = program.env("KAFKA_VERSION", "4.3.1").env("KAFKA_ROOT", source.join("test"));
    let program = program.env("KAFKA_URI", format!("kafka://{}", server.bootstrap()));
    let ran = program.current_dir(&source).patience(PATIENCE).run();
    Said { outcomes: ran.output.lines().filter_map(outcome).collect(), output: ran.output }
}

/// `PASSED test/integration/test_x.py::test_y`, with a reason behind it when it failed.
fn outcome(line: &str) -> Option<(String, bool)> {
    let (word, rest) = line.split_once(" test/integration/")?;
    let passed = match word {
        "PASSED" => true,
        "FAILED" | "ERROR" => false,
        _ => return None,
    };
    let name = rest.split_once(" - ").map_or(rest, |(name, _)| name);
    Some((name.to_owned(), passed))
}

fn source(python: &Path) -> PathBuf {
    let folder = fetched::fetched("kafka-python-suite", &format!("{PACKAGE}\n{SERVICE}"), |folder| {
        let download =
            ["-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:", PACKAGE, "--dest"];
        Program::new(python).args(download).arg(folder).patience(FETCH_PATIENCE).ok();
        let source = folder.join("source");
        fs::create_dir_all(&source).expect("the target directory is writable");
        let archive = folder.join("kafka_python-3.0.12.tar.gz");
        let unpack = Program::new("tar").args(["--strip-components=1", "-xzf"]).arg(archive);
        unpack.arg("-C").arg(&source).ok();
        // Without it, `test` is the standard library's package.
        fs::write(source.join("test/__init__.py"), "").expect("the target directory is writable");
        fs::write(source.join("test/service.py"), SERVICE).expect("the target directory is writable");
    });
    folder.join("source")
}
