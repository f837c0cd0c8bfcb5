//! What a tool tells: its stdout, gathered, and its stderr.
//!
//! Must never lose what was said: it is flushed before the other stream speaks, and at the end.

use std::fmt::Display;
use std::io::{self, BufWriter, Stdout, Write};

/// The two streams of a tool. Like Java's `PrintStream` it swallows errors, and remembers that there was one.
pub(super) struct Console {
    out: BufWriter<Stdout>,
    broken: bool,
}

impl Console {
    pub(super) fn new() -> Self {
        Self { out: BufWriter::new(io::stdout()), broken: false }
    }

    /// One line to stdout.
    pub(super) fn say(&mut self, text: impl Display) {
        let written = writeln!(self.out, "{text}");
        self.broken |= written.is_err();
    }

    /// Bytes to stdout, as they are.
    pub(super) fn put(&mut self, bytes: &[u8]) {
        let written = self.out.write_all(bytes);
        self.broken |= written.is_err();
    }

    /// One line to stderr.
    pub(super) fn complain(&mut self, text: impl Display) {
        self.flush();
        let _ = writeln!(io::stderr(), "{text}");
    }

    pub(super) fn flush(&mut self) {
        let flushed = self.out.flush();
        self.broken |= flushed.is_err();
    }

    /// Whether nobody reads stdout any more.
    pub(super) fn is_broken(&self) -> bool {
        self.broken
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        self.flush();
    }
}
