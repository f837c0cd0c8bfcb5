//! Where the files of one log are, and what they are called (`LogFileUtils`).
//!
//! Must never open a file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::fs::Fs;
use crate::ids::Offset;

/// Digits of an offset in a file name.
const NAME_DIGITS: usize = 20;

pub(super) const DELETED_SUFFIX: &str = ".deleted";
pub(super) const CLEANED_SUFFIX: &str = ".cleaned";
pub(super) const SWAP_SUFFIX: &str = ".swap";
pub(super) const TEMPORARY_SUFFIX: &str = ".tmp";
pub(super) const EPOCHS_FILE: &str = "leader-epoch-checkpoint";

/// The directory of a log and the file system that it is on.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub fs: Arc<dyn Fs>,
    pub dir: PathBuf,
    /// What stands behind every name; empty but for files that are still being made.
    suffix: &'static str,
}

/// The files that are named by an offset.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum FileKind {
    Log,
    OffsetIndex,
    TimeIndex,
    TransactionIndex,
    Snapshot,
}

impl FileKind {
    /// The files that belong to a segment.
    pub(super) const OF_SEGMENT: [Self; 4] =
        [Self::Log, Self::OffsetIndex, Self::TimeIndex, Self::TransactionIndex];
    const ALL: [Self; 5] =
        [Self::Log, Self::OffsetIndex, Self::TimeIndex, Self::TransactionIndex, Self::Snapshot];

    fn suffix(self) -> &'static str {
        match self {
            Self::Log => ".log",
            Self::OffsetIndex => ".index",
            Self::TimeIndex => ".timeindex",
            Self::TransactionIndex => ".txnindex",
            Self::Snapshot => ".snapshot",
        }
    }

    /// Reads a file name; `None` if it is not one of a log.
    pub(super) fn parse(name: &str) -> Option<(Offset, Self)> {
        let (digits, suffix) = name.split_at_checked(NAME_DIGITS)?;
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let kind = Self::ALL.into_iter().find(|kind| kind.suffix() == suffix)?;
        Some((Offset(digits.parse().ok()?), kind))
    }
}

impl Place {
    pub(super) fn new(fs: Arc<dyn Fs>, dir: &Path) -> Self {
        Self { fs, dir: dir.to_owned(), suffix: "" }
    }

    /// The same directory with other names.
    pub(super) fn with_suffix(&self, suffix: &'static str) -> Self {
        Self { suffix, ..self.clone() }
    }

    pub(super) fn path(&self, offset: Offset, kind: FileKind) -> PathBuf {
        self.dir.join(format!("{:020}{}{}", offset.0, kind.suffix(), self.suffix))
    }

    pub(super) fn epochs(&self) -> PathBuf {
        self.dir.join(EPOCHS_FILE)
    }
}

/// `path` with something behind its name.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
