//! What is wrong with the settings: every fault at once, each with its key, value, place and one remedy.
//!
//! Must never hold the value of a secret.

use std::fmt;

use super::effective::Source;
use super::rows;

/// All faults of one start.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub struct SettingsError {
    pub problems: Vec<Problem>,
}

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Empty when the fault is that of a whole file.
    pub key: String,
    pub value: Option<String>,
    pub source: Source,
    pub what: String,
    pub remedy: String,
}

/// What an operator should hear although the broker starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    pub level: NoteLevel,
    pub text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoteLevel {
    Info,
    Warning,
}

impl Problem {
    pub fn new(key: &str, value: &str, source: &Source, what: impl Into<String>) -> Self {
        let shown = match rows::broker_row(key) {
            Some(row) if !row.is_secret() => value.to_owned(),
            None if !may_be_secret(key) => value.to_owned(),
            _ => "[hidden]".to_owned(),
        };
        Self {
            key: key.to_owned(),
            value: Some(shown),
            source: source.clone(),
            what: what.into(),
            remedy: String::new(),
        }
    }

    /// A fault of a file or an argument rather than of one value.
    pub fn of_source(source: Source, what: impl Into<String>) -> Self {
        Self { key: String::new(), value: None, source, what: what.into(), remedy: String::new() }
    }

    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = remedy.into();
        self
    }
}

impl Note {
    pub fn info(text: impl Into<String>) -> Self {
        Self { level: NoteLevel::Info, text: text.into() }
    }

    pub fn warning(text: impl Into<String>) -> Self {
        Self { level: NoteLevel::Warning, text: text.into() }
    }
}

/// Whether a key that no row knows sounds like a secret (listener-prefixed passwords, JAAS entries, keys).
pub(super) fn may_be_secret(key: &str) -> bool {
    ["password", "secret", "jaas", "token", "credential", "keystore.key", "passphrase"]
        .iter()
        .any(|word| key.contains(word))
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.problems.len();
        let noun = if count == 1 { "setting is" } else { "settings are" };
        write!(f, "{count} {noun} wrong")?;
        for problem in &self.problems {
            write!(f, "\n{problem}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  {}: ", self.source)?;
        if let Some(value) = &self.value {
            write!(f, "{}={value}: ", self.key)?;
        }
        f.write_str(&self.what)?;
        if !self.remedy.is_empty() {
            write!(f, "\n    remedy: {}", self.remedy)?;
        }
        Ok(())
    }
}
