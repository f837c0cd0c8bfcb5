//! The brokers that are measured: Milena, Apache Kafka from its published jars, franz-go's kfake and Tansu, the last two with their
//! logs in memory.
//!
//! All run with their defaults, but for [`RETAINING`] with some loads. It must never give one of them a setting that makes it faster.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use std::{env, fs};

use milena_compat_tests::process::Guarded;
use milena_compat_tests::server::Setup;
use milena_compat_tests::wire::Wire;
use milena_compat_tests::{Server, Target, fetched, paths, port, wait};
use tempfile::TempDir;

use crate::report::Column;
use crate::requests::RETENTION_LOOK_MS;

/// How Tansu gets onto a machine.
const TANSU_INSTALL: &str =
    "cargo install tansu --version 0.6.0 --no-default-features --features dynostore --root target/peers";
/// For loads whose topics keep little of what they are given: what both brokers with files are told.
pub(crate) const RETAINING: &[(&str, &str)] = &[
    ("log.initial.task.delay.ms", RETENTION_LOOK_MS),
    ("log.retention.check.interval.ms", RETENTION_LOOK_MS),
];
/// No server is longer in starting.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at a server that starts.
const LOOK: Duration = Duration::from_micros(200);

/// A broker that runs, which ends with this value.
pub(crate) struct Running {
    pub(crate) column: Column,
    process: Process,
}

enum Process {
    Kept(Server, Option<SocketAddr>),
    Program { process: Guarded, address: SocketAddr, _folder: Option<TempDir> },
}

impl Running {
    /// Starts one that has an empty directory, or none.
    ///
    /// # Errors
    /// When it is not there, or does not serve; the reason is for the table.
    pub(crate) fn start(column: Column, settings: &[(&str, &str)]) -> io::Result<Self> {
        match column {
            Column::Kafka => {
                let mut setup = Setup::of(Target::Kafka).set("auto.create.topics.enable", "false");
                for (name, value) in settings {
                    setup = setup.set(name, value);
                }
                Ok(Self { column, process: Process::Kept(setup.at_full_speed().start(), None) })
            }
            _ => {
                let folder = paths::scratch("bench");
                let port = port::free();
                let mut command = command(column, folder.path(), port)?;
                if column == Column::Milena {
                    for (name, value) in settings {
                        command.arg("--override").arg(format!("{name}={value}"));
                    }
                }
                let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
                let mut running = Self::program(column, &mut command, folder.path(), address)?;
                if let Process::Program { _folder, .. } = &mut running.process {
                    *_folder = Some(folder);
                }
                Ok(running)
            }
        }
    }

    /// Starts one that keeps its files in this folder, and waits for its first answer.
    pub(crate) fn on(column: Column, folder: &Path, port: u16) -> io::Result<Self> {
        let mut command = command(column, folder, port)?;
        Self::program(column, &mut command, folder, SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
    }

    /// As a command says, which makes it listen there.
    pub(crate) fn program(
        column: Column,
        command: &mut Command,
        folder: &Path,
        address: SocketAddr,
    ) -> io::Result<Self> {
        let output = folder.join("output.txt");
        let mut process = Guarded::start(command.current_dir(folder), &output);
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(address).is_err() {
            let ended = process.ended();
            if ended.is_some() || Instant::now() > deadline {
                let told = process.output();
                let last = told.lines().last().unwrap_or("nothing").to_owned();
                return Err(io::Error::other(format!("it does not listen ({ended:?}); it said: {last}")));
            }
            wait::at(Instant::now() + LOOK);
        }
        Ok(Self { column, process: Process::Program { process, address, _folder: None } })
    }

    /// A broker that was set up for a load.
    pub(crate) fn kept(column: Column, server: Server) -> Self {
        Self { column, process: Process::Kept(server, None) }
    }

    /// One whose listeners were chosen for it.
    pub(crate) fn at(column: Column, server: Server, address: SocketAddr) -> Self {
        Self { column, process: Process::Kept(server, Some(address)) }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        match &self.process {
            Process::Kept(server, chosen) => chosen.unwrap_or_else(|| server.address()),
            Process::Program { address, .. } => *address,
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        match &self.process {
            Process::Kept(server, _) => server.pid(),
            Process::Program { process, .. } => process.pid(),
        }
    }

    pub(crate) fn wire(&self) -> io::Result<Wire> {
        Wire::try_connect(self.address())
    }

    /// Ends it as an operator does, and waits for that.
    pub(crate) fn stop(mut self) {
        match &mut self.process {
            Process::Kept(server, _) => {
                server.stop();
            }
            Process::Program { process, .. } => {
                process.terminate(PATIENCE);
            }
        }
    }
}

/// What starts one of the brokers that need no preparation.
fn command(column: Column, folder: &Path, port: u16) -> io::Result<Command> {
    let address = format!("127.0.0.1:{port}");
    let mut command;
    match column {
        Column::Milena => {
            command = Command::new(paths::milena());
            command.args(["start", "--override"]).arg(format!("listeners=PLAINTEXT://{address}"));
            command.arg("--override").arg(format!("log.dirs={}", folder.join("data").display()));
            command.args(["--override", "auto.create.topics.enable=false"]);
        }
        Column::Kfake => {
            command = Command::new(fetched::go("kfake"));
            command.arg(port.to_string());
        }
        Column::Tansu => {
            command = Command::new(tansu()?);
            let url = format!("tcp://{address}");
            command.args(["broker", "--listener-url", &url, "--advertised-listener-url", &url]);
            command.args(["--storage-engine", "memory://tansu/", "--silent"]);
        }
        Column::Limit | Column::Kafka => return Err(io::Error::other("it is started otherwise")),
    }
    Ok(command)
}

/// Tansu's program, where it was installed.
///
/// # Errors
/// Where it was not; the message says how to.
pub(crate) fn tansu() -> io::Result<PathBuf> {
    let path =
        env::var_os("TANSU_BIN").map_or_else(|| paths::target().join("peers/bin/tansu"), PathBuf::from);
    let missing = || io::Error::other(format!("it is not installed here (`{TANSU_INSTALL}`)"));
    path.is_file().then_some(path).ok_or_else(missing)
}

/// What a process has used so far, of user and system time, by all its threads.
pub(crate) fn processor_time(pid: u32) -> io::Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    // User and system time are the 14th and 15th field, and the first behind the name is the third.
    let ticks: u64 = fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Ok(Duration::from_micros(ticks * 1_000_000 / rustix::param::clock_ticks_per_second()))
}

/// Memory of a process in bytes, by a line of its status: `VmRSS` is all that is resident, `RssAnon` what is not of a file.
pub(crate) fn memory(pid: u32, line: &str) -> io::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let found = status.lines().find_map(|each| each.strip_prefix(line)?.strip_prefix(':'));
    let kib = found.and_then(|text| text.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.map(|kib| kib * 1024).ok_or_else(|| io::Error::other(format!("a process without {line}")))
}
