//! `milena check-config`: whether the settings would do.
//!
//! Must never start anything, nor write a file.

use std::io::{self, Write};
use std::process::ExitCode;

use super::refuse;
use crate::settings::{NoteLevel, Sources};

pub(super) fn run(sources: &Sources) -> ExitCode {
    let loaded = match sources.load() {
        Ok(loaded) => loaded,
        Err(error) => return refuse(&error),
    };
    let mut out = io::stdout().lock();
    for note in &loaded.notes {
        let level = match note.level {
            NoteLevel::Info => "note",
            NoteLevel::Warning => "warning",
        };
        // Without a reader there is nobody to tell; the exit code says it too.
        let _ = writeln!(out, "{level}: {}", note.text);
    }
    let warnings = loaded.notes.iter().filter(|note| note.level == NoteLevel::Warning).count();
    let _ = writeln!(out, "the settings will do; warnings: {warnings}");
    ExitCode::SUCCESS
}
