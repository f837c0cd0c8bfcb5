//! The official command-line tools, called by the names of their scripts.
//!
//! A call runs in the shared tool runner, or in a JVM of its own: tools that end their process themselves, tests that
//! ask for it, and everything when `MILENA_TOOLS=process`. A call must never outlive its deadline.

use std::env;
use std::fmt;
use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::java::{self, Jars};
use crate::process::reaper_of;
use crate::runner::{self, Said};
use crate::server::Server;
use crate::wait::PATIENCE;

/// The heap of a tool that runs alone.
const OWN_HEAP_MIB: u32 = 192;

/// Script name and main class; the last column says that the tool ends its JVM itself.
const TOOLS: &[(&str, &str, bool)] = &[
    ("kafka-acls", "org.apache.kafka.tools.AclCommand", false),
    ("kafka-broker-api-versions", "org.apache.kafka.tools.BrokerApiVersionsCommand", false),
    ("kafka-client-metrics", "org.apache.kafka.tools.ClientMetricsCommand", false),
    ("kafka-cluster", "org.apache.kafka.tools.ClusterTool", false),
    ("kafka-configs", "kafka.admin.ConfigCommand", false),
    ("kafka-console-consumer", "org.apache.kafka.tools.consumer.ConsoleConsumer", false),
    ("kafka-console-producer", "org.apache.kafka.tools.ConsoleProducer", false),
    ("kafka-consumer-groups", "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand", false),
    ("kafka-consumer-perf-test", "org.apache.kafka.tools.ConsumerPerformance", false),
    ("kafka-delete-records", "org.apache.kafka.tools.DeleteRecordsCommand", false),
    ("kafka-dump-log", "org.apache.kafka.tools.DumpLogSegments", false),
    ("kafka-e2e-latency", "org.apache.kafka.tools.EndToEndLatency", false),
    ("kafka-features", "org.apache.kafka.tools.FeatureCommand", false),
    ("kafka-get-offsets", "org.apache.kafka.tools.GetOffsetShell", false),
    ("kafka-groups", "org.apache.kafka.tools.GroupsCommand", false),
    ("kafka-leader-election", "org.apache.kafka.tools.LeaderElectionCommand", false),
    ("kafka-log-dirs", "org.apache.kafka.tools.LogDirsCommand", false),
    ("kafka-metadata-quorum", "org.apache.kafka.tools.MetadataQuorumCommand", false),
    ("kafka-producer-perf-test", "org.apache.kafka.tools.ProducerPerformance", false),
    ("kafka-reassign-partitions", "org.apache.kafka.tools.reassign.ReassignPartitionsCommand", false),
    ("kafka-replica-verification", "org.apache.kafka.tools.ReplicaVerificationTool", true),
    ("kafka-storage", "kafka.tools.StorageTool", false),
    ("kafka-topics", "org.apache.kafka.tools.TopicCommand", false),
    ("kafka-transactions", "org.apache.kafka.tools.TransactionsCommand", false),
    ("kafka-verifiable-consumer", "org.apache.kafka.tools.VerifiableConsumer", true),
    ("kafka-verifiable-producer", "org.apache.kafka.tools.VerifiableProducer", true),
    ("client-compatibility-test", "org.apache.kafka.tools.ClientCompatibilityTest", false),
    ("transactional-message-copier", "org.apache.kafka.tools.TransactionalMessageCopier", true),
    ("log-compaction-tester", "org.apache.kafka.tools.LogCompactionTester", false),
];

/// One call to be made.
#[derive(Debug, Clone)]
pub struct Tool {
    name: String,
    main_class: &'static str,
    arguments: Vec<String>,
    input: Vec<u8>,
    keep_input_open: bool,
    own_process: bool,
    patience: Duration,
}

impl Tool {
    /// The tool with the given script name.
    ///
    /// # Panics
    /// When the table above does not have it.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let found = TOOLS.iter().find(|(script, _, _)| *script == name);
        let &(_, main_class, ends_its_jvm) = found.unwrap_or_else(|| panic!("no tool is called {name}"));
        let forced = env::var("MILENA_TOOLS").is_ok_and(|value| value == "process");
        Self {
            name: name.to_owned(),
            main_class,
            arguments: Vec::new(),
            input: Vec::new(),
            keep_input_open: false,
            own_process: ends_its_jvm || forced,
            patience: PATIENCE,
        }
    }

    /// Adds `--bootstrap-server` with the server's address.
    #[must_use]
    pub fn at(self, server: &Server) -> Self {
        let address = server.bootstrap();
        self.args(["--bootstrap-server", &address])
    }

    #[must_use]
    pub fn args<S: AsRef<str>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.arguments.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    #[must_use]
    pub fn arg(self, argument: &str) -> Self {
        self.args([argument])
    }

    /// Adds the words of `line`, split at spaces.
    #[must_use]
    pub fn line(self, line: &str) -> Self {
        self.args(line.split_whitespace())
    }

    /// What the tool reads from its stdin, which then ends.
    #[must_use]
    pub fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = bytes.into();
        self
    }

    /// Leaves stdin open after the input; `Running::input` adds to it.
    #[must_use]
    pub fn keep_input_open(mut self) -> Self {
        self.keep_input_open = true;
        self
    }

    /// Runs it in a JVM of its own.
    #[must_use]
    pub fn own_process(mut self) -> Self {
        self.own_process = true;
        self
    }

    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Runs the tool to its end.
    ///
    /// # Panics
    /// When it does not end in time.
    #[must_use]
    pub fn run(self) -> Transcript {
        self.spawn().finish()
    }

    /// Runs the tool, which must succeed; gives what it wrote to stdout.
    ///
    /// # Panics
    /// When it fails or does not end in time.
    pub fn ok(self) -> String {
        self.run().ok()
    }

    /// Starts the tool.
    ///
    /// # Panics
    /// When no JVM can be started.
    #[must_use]
    pub fn spawn(self) -> Running {
        let captured = Arc::new(Captured::default());
        let deadline = Instant::now() + self.patience;
        let mut running = if self.own_process { own(&self, &captured) } else { shared(&self, &captured) };
        running.input(&self.input);
        if !self.keep_input_open {
            running.end_input();
        }
        Running { call: running, captured, deadline, tool: self }
    }
}

impl fmt::Display for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.arguments.join(" "))
    }
}

/// What a tool wrote and how it ended.
#[derive(Debug, Clone)]
pub struct Transcript {
    pub command: String,
    pub status: i32,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}

impl Transcript {
    /// Asserts success and gives stdout.
    ///
    /// # Panics
    /// When the exit code is not 0.
    pub fn ok(self) -> String {
        assert!(self.status == 0, "the tool failed\n{self}");
        self.text()
    }

    /// Asserts failure and gives stdout and stderr as one text.
    ///
    /// # Panics
    /// When the exit code is 0.
    pub fn fails(self) -> String {
        assert!(self.status != 0, "the tool should have failed\n{self}");
        self.all()
    }

    /// Stdout as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Stdout and stderr as one text.
    #[must_use]
    pub fn all(&self) -> String {
        self.text() + &String::from_utf8_lossy(&self.stderr)
    }
}

impl fmt::Display for Transcript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stderr = String::from_utf8_lossy(&self.stderr);
        writeln!(f, "$ {}\n[exit code {}]\n{}\n[stderr]\n{stderr}", self.command, self.status, self.text())
    }
}

/// A tool at work. Dropping it stops it.
#[derive(Debug)]
pub struct Running {
    tool: Tool,
    call: Call,
    captured: Arc<Captured>,
    deadline: Instant,
}

impl Running {
    /// Passes more bytes to its stdin.
    pub fn input(&mut self, bytes: &[u8]) {
        self.call.input(bytes);
    }

    /// Ends its stdin.
    pub fn end_input(&mut self) {
        self.call.end_input();
    }

    /// Waits until stdout satisfies, and gives it.
    ///
    /// # Panics
    /// When that does not happen before the call's deadline, or the tool ends without it.
    #[must_use]
    pub fn wait_for(&self, what: &str, satisfied: impl Fn(&str) -> bool) -> String {
        let mut state = self.captured.lock();
        loop {
            let text = String::from_utf8_lossy(&state.stdout).into_owned();
            if satisfied(&text) {
                return text;
            }
            let left = self.deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || state.status.is_some() {
                let transcript = self.transcript(&state);
                drop(state);
                panic!("not seen from the tool: {what}\n{transcript}");
            }
            state = self.captured.changed.wait_timeout(state, left).expect("no holder panics").0;
        }
    }

    /// All of stdout so far.
    #[must_use]
    pub fn so_far(&self) -> String {
        String::from_utf8_lossy(&self.captured.lock().stdout).into_owned()
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it does not end in time.
    #[must_use]
    pub fn finish(self) -> Transcript {
        let mut state = self.captured.lock();
        while state.status.is_none() {
            let left = self.deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let transcript = self.transcript(&state);
                drop(state);
                panic!("the tool did not end within {:?}\n{transcript}", self.tool.patience);
            }
            state = self.captured.changed.wait_timeout(state, left).expect("no holder panics").0;
        }
        self.transcript(&state)
    }

    /// Asks it to end as SIGTERM does, and waits for the end.
    #[must_use]
    pub fn stop(mut self) -> Transcript {
        self.call.stop(Signal::TERM);
        // What it did meanwhile took the time it took.
        self.deadline = Instant::now() + self.tool.patience;
        self.finish()
    }

    /// Kills it at once. Only a tool with a process of its own can be killed.
    ///
    /// # Panics
    /// When it runs in the shared runner.
    #[must_use]
    pub fn kill(mut self) -> Transcript {
        assert!(matches!(self.call, Call::Own { .. }), "{} shares its process", self.tool);
        self.call.stop(Signal::KILL);
        self.finish()
    }

    fn transcript(&self, state: &Output) -> Transcript {
        Transcript {
            command: self.tool.to_string(),
            status: state.status.unwrap_or(-1),
            stdout: state.stdout.clone(),
            stderr: state.stderr.clone(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.captured.lock().status.is_none() {
            let own = matches!(self.call, Call::Own { .. });
            self.call.stop(if own { Signal::KILL } else { Signal::TERM });
        }
    }
}

#[derive(Debug)]
enum Call {
    Shared(runner::Call),
    Own { pid: Pid, stdin: Option<ChildStdin> },
}

impl Call {
    /// A tool that has ended does not read any more; its exit code tells the test.
    fn input(&mut self, bytes: &[u8]) {
        const STEP: usize = 1 << 16;
        for step in bytes.chunks(STEP) {
            let written = match self {
                Self::Shared(call) => call.input(step),
                Self::Own { stdin, .. } => stdin.as_mut().map_or(Ok(()), |stdin| stdin.write_all(step)),
            };
            if written.is_err() {
                return;
            }
        }
    }

    fn end_input(&mut self) {
        match self {
            Self::Shared(call) => drop(call.input(&[])),
            Self::Own { stdin, .. } => drop(stdin.take()),
        }
    }

    fn stop(&mut self, signal: Signal) {
        match self {
            Self::Shared(call) => drop(call.stop()),
            Self::Own { pid, .. } => drop(kill_process(*pid, signal)),
        }
    }
}

#[derive(Debug, Default)]
struct Captured {
    output: Mutex<Output>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Output {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    status: Option<i32>,
}

impl Captured {
    fn lock(&self) -> MutexGuard<'_, Output> {
        self.output.lock().expect("no holder panics")
    }

    fn note(&self, change: impl FnOnce(&mut Output)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }
}

fn shared(tool: &Tool, captured: &Arc<Captured>) -> Call {
    let (call, mut answers) = runner::call(tool.main_class, &tool.arguments);
    let captured = Arc::clone(captured);
    thread::spawn(move || {
        loop {
            match answers.next() {
                Ok(Said::Stdout(bytes)) => captured.note(|output| output.stdout.extend(bytes)),
                Ok(Said::Stderr(bytes)) => captured.note(|output| output.stderr.extend(bytes)),
                Ok(Said::Ended(status)) => return captured.note(|output| output.status = Some(status)),
                Err(_) => return captured.note(|output| output.status = Some(-1)),
            }
        }
    });
    Call::Shared(call)
}

fn own(tool: &Tool, captured: &Arc<Captured>) -> Call {
    let mut child = java::java(&Jars::Kafka.class_path(), OWN_HEAP_MIB)
        .arg(tool.main_class)
        .args(&tool.arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("java starts");
    let pid = Pid::from_child(&child);
    let stdin = child.stdin.take();
    let captured = Arc::clone(captured);
    thread::spawn(move || capture(child, &captured));
    Call::Own { pid, stdin }
}

fn capture(mut child: Child, captured: &Captured) {
    let mut reaper = reaper_of(child.id());
    let stdout = child.stdout.take().expect("a pipe was asked for");
    let stderr = child.stderr.take().expect("a pipe was asked for");
    thread::scope(|scope| {
        scope.spawn(|| pump(stdout, |bytes| captured.note(|output| output.stdout.extend(bytes))));
        pump(stderr, |bytes| captured.note(|output| output.stderr.extend(bytes)));
    });
    let status = child.wait().expect("the child is ours");
    if let Some(mut word) = reaper.stdin.take() {
        let _ = writeln!(word, "done");
    }
    let _ = reaper.wait();
    captured.note(|output| output.status = Some(status.code().unwrap_or(-1)));
}

fn pump(mut from: impl Read, mut to: impl FnMut(&[u8])) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        to(&buffer[..read]);
    }
}
