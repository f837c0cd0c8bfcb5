//! Other people's programs: run to their end under a deadline, with their output kept.
//!
//! It must never leave a program behind, nor hide what it said when it failed.

use std::ffi::OsStr;
use std::fmt;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::paths;
use crate::process::Guarded;
use crate::wait::{self, PATIENCE};

/// A program to be run.
#[derive(Debug)]
pub struct Program {
    command: Command,
    patience: Duration,
}

/// A program that is running. Dropping it kills it.
#[derive(Debug)]
pub struct Started {
    command: String,
    process: Guarded,
    patience: Duration,
    _folder: TempDir,
}

/// How a program ended and what it wrote to both its streams.
#[derive(Debug)]
pub struct Ran {
    pub command: String,
    pub status: Option<i32>,
    pub output: String,
}

impl Program {
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self::of(Command::new(program))
    }

    #[must_use]
    pub fn of(command: Command) -> Self {
        Self { command, patience: PATIENCE }
    }

    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    #[must_use]
    pub fn args<S: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.command.args(arguments);
        self
    }

    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    #[must_use]
    pub fn current_dir(mut self, folder: impl AsRef<std::path::Path>) -> Self {
        self.command.current_dir(folder);
        self
    }

    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Runs it to its end.
    ///
    /// # Panics
    /// When it does not start, or does not end in time: it is killed then, and its output is shown.
    #[must_use]
    pub fn run(self) -> Ran {
        self.start().finish()
    }

    /// Starts it.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start(mut self) -> Started {
        let folder = paths::scratch("program");
        let process = Guarded::start(&mut self.command, &folder.path().join("output"));
        Started { command: format!("{:?}", self.command), process, patience: self.patience, _folder: folder }
    }

    /// Runs it; it must succeed. Gives its output.
    ///
    /// # Panics
    /// When it fails.
    pub fn ok(self) -> String {
        self.run().ok()
    }
}

impl Started {
    /// Waits for a condition on its output, and gives it.
    ///
    /// # Panics
    /// When it ends before, or the time is up; its output is shown.
    pub fn wait_for(&mut self, what: &str, holds: impl Fn(&str) -> bool) -> String {
        let held = wait::until_or(self.patience, || {
            let ended = self.process.ended();
            let output = self.process.output();
            let held = holds(&output);
            assert!(held || ended.is_none(), "{} ended before {what}; its output:\n{output}", self.command);
            held.then_some(output)
        });
        held.unwrap_or_else(|| {
            let output = self.process.output();
            panic!("{}: not within {:?}: {what}; its output:\n{output}", self.command, self.patience)
        })
    }

    /// All that it has written so far.
    #[must_use]
    pub fn output(&self) -> String {
        self.process.output()
    }

    /// Whether it has come to its end.
    #[must_use]
    pub fn ended(&mut self) -> bool {
        self.process.ended().is_some()
    }

    /// Kills it as `kill -9` does, and gives what it had written.
    #[must_use]
    pub fn kill(mut self) -> String {
        self.process.kill();
        self.process.output()
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it does not end in time: it is killed then, and its output is shown.
    #[must_use]
    pub fn finish(mut self) -> Ran {
        let status = wait::until_or(self.patience, || self.process.ended());
        let output = self.process.output();
        let Some(status) = status else {
            self.process.kill();
            panic!("{} did not end within {:?}; its output:\n{output}", self.command, self.patience);
        };
        Ran { command: self.command, status: status.code(), output }
    }
}

impl Ran {
    /// Asserts success and gives the output.
    ///
    /// # Panics
    /// When the exit code is not 0.
    pub fn ok(self) -> String {
        assert!(self.status == Some(0), "{self}");
        self.output
    }
}

impl fmt::Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = self.status.map_or_else(|| "a signal".to_owned(), |code| format!("code {code}"));
        writeln!(f, "$ {}\n[ended by {status}]\n{}", self.command, self.output)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_streams_and_the_exit_code_are_kept() {
        let ran = Program::new("sh").args(["-c", "echo out; echo err >&2; exit 3"]).run();
        assert_eq!((ran.status, ran.output.as_str()), (Some(3), "out\nerr\n"));
    }

    #[test]
    fn what_a_running_program_says_is_seen_before_its_end() {
        let mut started = Program::new("sh").args(["-c", "echo begun; exec tail -f /dev/null"]).start();
        let said = started.wait_for("its first line", |output| output.contains("begun"));
        assert_eq!(said, "begun\n");
    }

    #[test]
    #[should_panic(expected = "ended before its second line")]
    fn a_program_that_ends_too_early_is_told() {
        let mut started = Program::new("sh").args(["-c", "echo begun"]).start();
        let _ = started.wait_for("its second line", |output| output.lines().count() > 1);
    }

    #[test]
    #[should_panic(expected = "did not end within")]
    fn a_program_that_hangs_is_ended() {
        let hanging = Program::new("sh").args(["-c", "exec tail -f /dev/null"]);
        let _ = hanging.patience(Duration::from_millis(200)).run();
    }
}
