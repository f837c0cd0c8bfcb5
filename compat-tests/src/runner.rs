//! One JVM that runs tool after tool, and the frames spoken with it (see `java/runner/ToolRunner.java`).
//!
//! It must never be needed for a tool's correctness: every tool can as well run in a process of its own.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Child, Stdio};
use std::sync::OnceLock;

use crate::java::{self, Jars};

const ARGUMENTS: u8 = 0;
const STDIN: u8 = 1;
const STOP: u8 = 2;

/// What the runner says about a call.
#[derive(Debug)]
pub(crate) enum Said {
    Stdout(Vec<u8>),
    Stderr(Vec<u8>),
    Ended(i32),
}

/// The writing side of one call.
#[derive(Debug)]
pub(crate) struct Call {
    stream: TcpStream,
}

/// The reading side of one call.
#[derive(Debug)]
pub(crate) struct Answers {
    stream: BufReader<TcpStream>,
}

/// Starts a call in the test process's runner, which is started when there is none.
pub(crate) fn call(main_class: &str, arguments: &[String]) -> (Call, Answers) {
    static RUNNER: OnceLock<Runner> = OnceLock::new();
    let runner = RUNNER.get_or_init(Runner::start);
    let stream = TcpStream::connect(("127.0.0.1", runner.port)).expect("the tool runner listens");
    stream.set_nodelay(true).expect("a TCP socket");
    let reading = stream.try_clone().expect("a socket can be duplicated");
    let mut words = String::from(main_class);
    words.push('\0');
    for argument in arguments {
        words.push_str(argument);
        words.push('\0');
    }
    let mut call = Call { stream };
    call.frame(ARGUMENTS, words.as_bytes()).expect("the tool runner reads");
    (call, Answers { stream: BufReader::new(reading) })
}

impl Call {
    /// Passes bytes to the tool's stdin; none ends it. A tool that has ended does not read any more.
    pub(crate) fn input(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.frame(STDIN, bytes)
    }

    /// Runs the tool's shutdown hooks, as SIGTERM would.
    pub(crate) fn stop(&mut self) -> io::Result<()> {
        self.frame(STOP, &[])
    }

    fn frame(&mut self, kind: u8, payload: &[u8]) -> io::Result<()> {
        let length = u32::try_from(payload.len()).expect("a frame below 4 GiB");
        let mut frame = Vec::with_capacity(5 + payload.len());
        frame.push(kind);
        frame.extend_from_slice(&length.to_be_bytes());
        frame.extend_from_slice(payload);
        self.stream.write_all(&frame)
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }
}

impl Answers {
    pub(crate) fn next(&mut self) -> io::Result<Said> {
        let mut head = [0; 5];
        self.stream.read_exact(&mut head)?;
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
        let mut payload = vec![0; length as usize];
        self.stream.read_exact(&mut payload)?;
        Ok(match (head[0], payload.as_slice()) {
            (1, _) => Said::Stdout(payload),
            (2, _) => Said::Stderr(payload),
            (3, &[a, b, c, d]) => Said::Ended(i32::from_be_bytes([a, b, c, d])),
            (kind, _) => panic!("the tool runner sent a frame of kind {kind}"),
        })
    }
}

#[derive(Debug)]
struct Runner {
    port: u16,
    /// Its stdin is our end of the pipe: the runner ends when this process does.
    _child: Child,
}

impl Runner {
    fn start() -> Self {
        let class_path = java::compiled("runner", Jars::Kafka);
        let mut child = java::java(&class_path, 320)
            .arg("ToolRunner")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("java starts");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("a pipe was asked for");
        BufReader::new(stdout).read_line(&mut line).expect("the tool runner's first line");
        let port = line.trim().strip_prefix("port ").and_then(|port| port.parse().ok());
        Self { port: port.unwrap_or_else(|| panic!("the tool runner said {line:?}")), _child: child }
    }
}
