//! One child process: its output kept in a file, killed and cleaned up whatever becomes of the test.
//!
//! It must never signal a process that it did not start, nor leave one behind when the test process itself is killed.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::wait;

/// A running child. Dropping it kills it.
#[derive(Debug)]
pub struct Guarded {
    child: Child,
    reaper: Child,
    output: PathBuf,
}

impl Guarded {
    /// Starts `command` with both of its output streams in the file `output`, appended.
    ///
    /// # Panics
    /// When the program cannot be started.
    pub fn start(command: &mut Command, output: &Path) -> Self {
        let file = File::options().create(true).append(true).open(output).expect("the output file opens");
        let again = file.try_clone().expect("a file handle can be duplicated");
        let child = command
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(again)
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
        let reaper = reaper_of(child.id());
        Self { child, reaper, output: output.to_path_buf() }
    }

    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Memory in bytes by a line of its `/proc/PID/status`: `VmRSS`, `RssAnon`.
    ///
    /// # Panics
    /// When the process has ended.
    #[must_use]
    pub fn memory_bytes(&self, line: &str) -> u64 {
        let status =
            fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("the process is running");
        let found = status.lines().find_map(|each| each.strip_prefix(line)?.strip_prefix(':'));
        let kib = found.unwrap_or_else(|| panic!("a process has {line}")).trim().trim_end_matches(" kB");
        kib.parse::<u64>().expect("memory is a number of kB") * 1024
    }

    /// The processor time used so far, user and system.
    ///
    /// # Panics
    /// When the process has ended.
    #[must_use]
    pub fn processor_time(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).expect("the process is running");
        let fields: Vec<&str> = stat[stat.rfind(')').expect("the name's end") + 2..].split(' ').collect();
        let ticks = |index: usize| fields[index].parse::<u64>().expect("a number of ticks");
        let per_second = rustix::param::clock_ticks_per_second();
        Duration::from_micros((ticks(11) + ticks(12)) * 1_000_000 / per_second)
    }

    /// All that it has written so far.
    #[must_use]
    pub fn output(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.output).unwrap_or_default()).into_owned()
    }

    /// The exit status, when it has ended.
    ///
    /// # Panics
    /// When the system does not know the child.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("the child is ours")
    }

    /// Sends SIGTERM and waits for the end.
    ///
    /// # Panics
    /// When it does not end within `patience`.
    pub fn terminate(&mut self, patience: Duration) -> ExitStatus {
        self.signal(Signal::TERM);
        wait::until(patience, "the end after SIGTERM", || self.ended())
    }

    /// Sends SIGKILL and waits for the end.
    ///
    /// # Panics
    /// When the system does not know the child.
    pub fn kill(&mut self) -> ExitStatus {
        self.signal(Signal::KILL);
        self.child.wait().expect("the child is ours")
    }

    /// Sends a signal, unless the child has ended.
    pub fn signal(&mut self, signal: Signal) {
        if self.ended().is_none() {
            let pid = Pid::from_child(&self.child);
            // It may end between the look and the signal; its number stays ours until it is waited for.
            let _ = kill_process(pid, signal);
        }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        self.kill();
        if let Some(mut word) = self.reaper.stdin.take() {
            let _ = writeln!(word, "done");
        }
        let _ = self.reaper.wait();
    }
}

/// A shell that kills the child when this process ends without having said "done": a destructor does not run for a
/// static, nor after SIGKILL.
pub(crate) fn reaper_of(pid: u32) -> Child {
    Command::new("sh")
        .args(["-c", "read -r word; [ \"$word\" = done ] || kill -9 \"$1\" 2>/dev/null", "reaper"])
        .arg(pid.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("a shell starts")
}
