//! `milena start`: settings read, log opened, broker started, signals awaited, broker stopped.
//!
//! Must never do a broker's work: `Broker::start` and `stop` do.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use milena_storage::fs::{Fs, RealFs, UnsyncedFs};
use rustix::process::{Signal, getppid, set_parent_process_death_signal};
use tokio::signal::unix::{SignalKind, signal};

use super::arguments::{DevSecurityArguments, LogFormat, StartArguments};
use super::{complain, refuse};
use crate::broker::{Broker, StartError};
use crate::clock::Clock;
use crate::ephemeral::EphemeralDirectory;
use crate::logging::{self, Form};
use crate::resident;
use crate::settings::{Loaded, Note, NoteLevel, Settings, Sources};

/// Blocking tasks that hang when the broker has stopped (a dead disk) do not hold the process longer than this.
const RUNTIME_GRACE: Duration = Duration::from_secs(1);
/// When the code of the start is given back, after the broker is ready.
const GIVE_BACK_AFTER_MS: i64 = 250;

pub(super) fn run(arguments: &StartArguments) -> ExitCode {
    if arguments.with_parent.is_some_and(|parent| !ends_with(parent)) {
        return ExitCode::FAILURE;
    }
    let log = (arguments.log_format, arguments.log_level.as_deref());
    let mut sources = arguments.sources.sources();
    sources.overrides.extend(dev_security(&arguments.dev));
    run_from(sources, arguments.ephemeral, log)
}

/// The switch as settings; naming a directory is asking for it.
pub(super) fn dev_security(arguments: &DevSecurityArguments) -> Vec<String> {
    let dir = arguments.dev_security_dir.as_ref();
    let switch = (arguments.dev_security || dir.is_some()).then(|| "milena.dev.security=true".to_owned());
    let dir = dir.map(|dir| format!("milena.dev.security.dir={}", dir.display()));
    switch.into_iter().chain(dir).collect()
}

/// Starts with what these sources hold, and serves until it is told to stop.
pub(super) fn run_from(mut sources: Sources, ephemeral: bool, log: (LogFormat, Option<&str>)) -> ExitCode {
    let directory = match ephemeral.then(EphemeralDirectory::new).transpose() {
        Ok(directory) => directory,
        Err(error) => {
            complain(&format!("cannot make a directory for the data: {error}"));
            return ExitCode::FAILURE;
        }
    };
    if let Some(directory) = &directory {
        sources.overrides.extend(overrides_into(directory.path()));
    }
    let loaded = match sources.load() {
        Ok(loaded) => loaded,
        Err(error) => return refuse(&error),
    };
    let form = match log.0 {
        LogFormat::Text => Form::Text,
        LogFormat::Json => Form::Json,
    };
    if let Err(message) = logging::start(form, log.1, &sources.environment) {
        complain(&message);
        return ExitCode::from(super::WRONG_SETTINGS);
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&format!("cannot start a runtime: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(serve(loaded, form, directory.is_some()));
    runtime.shutdown_timeout(RUNTIME_GRACE);
    code
}

/// Stops this process when its parent ends, however that ends; false if it has.
fn ends_with(parent: i32) -> bool {
    if let Err(error) = set_parent_process_death_signal(Some(Signal::TERM)) {
        tracing::warn!(%error, "this process may outlive its parent");
    }
    getppid().is_some_and(|present| present.as_raw_nonzero().get() == parent)
}

/// Everything that writes, below one directory; whatever the file says of its own.
fn overrides_into(directory: &Path) -> [String; 3] {
    let data = directory.join("data");
    [
        format!("log.dirs={}", data.display()),
        format!("metadata.log.dir={}", data.display()),
        "cordoned.log.dirs=".to_owned(),
    ]
}

/// Gives back what only the start ran. Not at once: whoever waited for the broker asks now, and most of that code is run once more.
async fn give_code_back(clock: Arc<Clock>) {
    clock.sleep_until(clock.steady_ms() + GIVE_BACK_AFTER_MS).await;
    if let Err(error) = resident::give_code_back() {
        tracing::debug!("the code of the start stays mapped: {error}");
    }
}

async fn serve(loaded: Loaded, form: Form, ephemeral: bool) -> ExitCode {
    // Registered before the start, so that an early signal stops the broker instead of killing it.
    let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    let (Ok(mut terminate), Ok(mut interrupt)) = signals else {
        complain("cannot listen for signals");
        return ExitCode::FAILURE;
    };
    let Loaded { settings, notes } = loaded;
    tell(&notes);
    let summary = Summary::of(&settings, ephemeral);
    // Nothing of it outlives the process, so nothing waits for a disk.
    let fs: Arc<dyn Fs> = if ephemeral { Arc::new(UnsyncedFs::default()) } else { Arc::new(RealFs) };
    let broker = match Broker::start_on(fs, settings).await {
        Ok(broker) => broker,
        Err(StartError::Settings(error)) => return refuse(&error),
        Err(error) => {
            complain(&error.to_string());
            return ExitCode::FAILURE;
        }
    };
    summary.tell(&broker);
    ready(form, &summary, &broker.bootstrap_servers());
    tokio::spawn(give_code_back(Arc::clone(&broker.state().clock)));
    let name = tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
        () = broker.failed() => {
            complain("stopping: all log directories, or the one of the metadata, have failed");
            return ExitCode::FAILURE;
        }
    };
    tracing::info!("{name}: stopping");
    tokio::select! {
        () = broker.stop() => {}
        // Whoever asks twice does not want to wait; the next start recovers what was not closed.
        _ = terminate.recv() => return ExitCode::FAILURE,
        _ = interrupt.recv() => return ExitCode::FAILURE,
    }
    tracing::info!("stopped");
    ExitCode::SUCCESS
}

fn tell(notes: &[Note]) {
    for note in notes {
        match note.level {
            NoteLevel::Info => tracing::info!("{}", note.text),
            NoteLevel::Warning => tracing::warn!("{}", note.text),
        }
    }
}

/// What a person wants to see of a start.
struct Summary {
    node: i32,
    data: String,
    ephemeral: bool,
    dev_security: Option<PathBuf>,
}

impl Summary {
    fn of(settings: &Settings, ephemeral: bool) -> Self {
        let dirs: Vec<String> = settings.storage().dirs.iter().map(|dir| dir.display().to_string()).collect();
        Self {
            node: settings.node().id.0,
            data: dirs.join(", "),
            ephemeral,
            dev_security: settings.dev_security_dir(),
        }
    }

    fn tell(&self, broker: &Broker) {
        let version = env!("CARGO_PKG_VERSION");
        tracing::info!("Milena {version}, node {}, cluster {}", self.node, broker.cluster_id());
        for listening in broker.listening() {
            let advertised = listening.advertised.as_deref().unwrap_or("nobody");
            tracing::info!("{} listens on {}, advertised as {advertised}", listening.name, listening.bound);
        }
        let fate = if self.ephemeral { ", gone at the end" } else { "" };
        tracing::info!("data in {}{fate}", self.data);
        if let Some(dir) = &self.dev_security {
            tracing::info!(
                "CA, certificates and files for clients in {} (see README.txt there)",
                dir.display()
            );
        }
    }
}

/// The lines that scripts and test containers wait for: on stdout, once, whatever the log level is.
fn ready(form: Form, summary: &Summary, bootstrap: &str) {
    let node = summary.node;
    let mut out = io::stdout().lock();
    for message in [
        format!("[KafkaServer id={node}] started, Transitioning from RECOVERY to RUNNING"),
        format!("Kafka Server started, bootstrap.servers={bootstrap}"),
    ] {
        // Without a reader there is nobody to tell.
        let _ = writeln!(out, "{}", logging::line(form, &message));
    }
    let _ = out.flush();
}
