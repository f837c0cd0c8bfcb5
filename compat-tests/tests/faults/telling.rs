//! The events that the clients' processes write, read as they come.
//!
//! It must never read a line that is not whole yet.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::process::Command;

use milena_compat_tests::history::Event;
use milena_compat_tests::process::Guarded;

/// A client that tells events on its output.
pub(crate) struct Client {
    name: &'static str,
    process: Guarded,
    output: PathBuf,
    read: u64,
    /// The beginning of a line whose end has not come.
    rest: Vec<u8>,
    /// Lines that are no events: what a library complains about.
    noise: Vec<String>,
}

impl Client {
    pub(crate) fn start(name: &'static str, mut command: Command, output: PathBuf) -> Self {
        let process = Guarded::start(&mut command, &output);
        Self { name, process, output, read: 0, rest: Vec::new(), noise: Vec::new() }
    }

    /// The events that have come since the last call.
    ///
    /// # Panics
    /// When the client has ended: it does so only if it failed.
    pub(crate) fn told(&mut self) -> Vec<Event> {
        let ended = self.process.ended();
        let mut file = File::open(&self.output).expect("the client's output");
        file.seek(SeekFrom::Start(self.read)).expect("a file");
        let before = self.rest.len();
        file.read_to_end(&mut self.rest).expect("a file");
        self.read += (self.rest.len() - before) as u64;
        let end = self.rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let whole: Vec<u8> = self.rest.drain(..end).collect();
        let mut events = Vec::new();
        for line in String::from_utf8_lossy(&whole).lines() {
            match serde_json::from_str(line) {
                Ok(event) => events.push(event),
                Err(error) if line.starts_with("{\"") => panic!("{}: {error} in {line}", self.name),
                Err(_) => self.noise.push(line.to_owned()),
            }
        }
        assert!(ended.is_none(), "{} ended with {ended:?}: {}", self.name, self.noise());
        events
    }

    /// The last lines that are no events.
    pub(crate) fn noise(&self) -> String {
        let from = self.noise.len().saturating_sub(40);
        self.noise[from..].join("\n")
    }
}
