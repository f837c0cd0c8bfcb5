//! Bugs planted on purpose, which the checks of these runs have to find.
//!
//! One kind lies below the ensemble: a disk that only says that it has synced, as a forgotten sync would have it, or one from
//! which a vote is gone. Another is a client that reads what its node happens to hold. The rest are in the nodes (`Plant`).

use std::io;
use std::path::Path;
use std::sync::Arc;

use milena_storage::fs::{Entry, File, Fs, Lock, Meta, Open, SimFs};
use milena_storage::ids::Timestamp;

use super::super::super::plant::Plant;
use super::super::super::vote_file::Promises;

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bug {
    None,
    /// Entries are acknowledged before they are on the medium.
    UnsyncedEntries,
    /// Reads do not ask for what was acknowledged elsewhere.
    ReadsWithoutBarrier,
    /// A node that starts does not know whom it has voted for.
    ForgottenVotes,
    /// Entries are committed before a quorum has them.
    CommitsWithoutQuorum,
    /// Observers apply what is not committed.
    ObserversAhead,
    /// A voter with a new disk votes on.
    AnyDirectory,
}

/// Takes the vote out of a node's files.
pub(super) fn forget_vote(fs: &SimFs, dir: &Path) {
    if let Some(promises) = Promises::load(fs, dir).unwrap() {
        Promises { vote: None, ..promises }.save(fs, dir).unwrap();
    }
}

impl Bug {
    /// The disk as a node with this bug has it.
    pub(super) fn disk(self, disk: SimFs) -> Arc<dyn Fs> {
        match self {
            Self::UnsyncedEntries => Arc::new(Forgetful(disk)),
            _ => Arc::new(disk),
        }
    }

    /// What is wrong in a node itself.
    pub(super) fn plant(self) -> Plant {
        match self {
            Self::CommitsWithoutQuorum => Plant::AcksBeforeAnswers,
            Self::ObserversAhead => Plant::LearnersDoNotWait,
            Self::AnyDirectory => Plant::AnyDirectory,
            Self::None | Self::UnsyncedEntries | Self::ReadsWithoutBarrier | Self::ForgottenVotes => {
                Plant::None
            }
        }
    }
}

/// Syncs no segment.
#[derive(Debug)]
struct Forgetful(SimFs);

#[derive(Debug)]
struct ForgetfulFile(Arc<dyn File>);

impl Fs for Forgetful {
    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn File>> {
        let file = self.0.open(path, how)?;
        let is_segment = path.extension().is_some_and(|ending| ending == "log");
        Ok(if is_segment { Arc::new(ForgetfulFile(file)) } else { file })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.0.remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.0.remove_dir_all(path)
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.0.create_dir_all(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.0.list(dir)
    }

    fn meta(&self, path: &Path) -> io::Result<Option<Meta>> {
        self.0.meta(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.0.sync_dir(dir)
    }

    fn try_lock(&self, path: &Path) -> io::Result<Option<Box<dyn Lock>>> {
        self.0.try_lock(path)
    }
}

impl File for ForgetfulFile {
    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        self.0.read_at(buf, at)
    }

    fn write_at(&self, buf: &[u8], at: u64) -> io::Result<()> {
        self.0.write_at(buf, at)
    }

    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn set_modified(&self, at: Timestamp) -> io::Result<()> {
        self.0.set_modified(at)
    }

    fn allocate(&self, at: u64, len: u64) -> io::Result<()> {
        self.0.allocate(at, len)
    }
}
