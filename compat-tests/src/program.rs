//! Other people's programs: run to their end under a deadline, with their output kept.
//!
//! It must never leave a program behind, nor hide what it said when it failed.

use std::ffi::OsStr;
use std::fmt;
use std::process::Command;
use std::time::Duration;

use crate::paths;
use crate::process::Guarded;
use crate::wait::{self, PATIENCE};

/// A program to be run.
#[derive(Debug)]
pub struct Program {
    command: Command,
    patience: Duration,
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
    pub fn run(mut self) -> Ran {
        let folder = paths::scratch("program");
        let mut process = Guarded::start(&mut self.command, &folder.path().join("output"));
        let command = format!("{:?}", self.command);
        let status = wait::until_or(self.patience, || process.ended());
        let output = process.output();
        let Some(status) = status else {
            process.kill();
            panic!("{command} did not end within {:?}; its output:\n{output}", self.patience);
        };
        Ran { command, status: status.code(), output }
    }

    /// Runs it; it must succeed. Gives its output.
    ///
    /// # Panics
    /// When it fails.
    pub fn ok(self) -> String {
        self.run().ok()
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
    #[should_panic(expected = "did not end within")]
    fn a_program_that_hangs_is_ended() {
        let hanging = Program::new("sh").args(["-c", "exec tail -f /dev/null"]);
        let _ = hanging.patience(Duration::from_millis(200)).run();
    }
}
