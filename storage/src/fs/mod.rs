//! The one door to the disk: a file system and its files, real (`RealFs`) or simulated (`SimFs`).
//!
//! Nothing else in this crate may use `std::fs`. The traits know bytes and names, never formats.

mod real;
mod sim;
mod unsynced;

pub use real::RealFs;
pub use sim::{SimFault, SimFs, SimLie};
pub use unsynced::UnsyncedFs;

use std::fmt::Debug;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::ids::Timestamp;

/// How a file is opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Open {
    /// For reading; it must exist.
    Read,
    /// For reading and writing; it must exist.
    Write,
    /// For reading and writing; created empty if it is missing.
    Create,
    /// For reading and writing; created, or emptied if it exists.
    Truncate,
}

/// What is known of a name in a directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    pub name: String,
    pub is_dir: bool,
    pub len: u64,
}

/// What is known of one file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Meta {
    pub is_dir: bool,
    pub len: u64,
    /// Time of the last write, as the file system tells it.
    pub modified: Timestamp,
}

/// A lock on a file, kept as long as the value lives.
pub trait Lock: Send + Sync + Debug {}

/// A file system. Metadata operations are durable only after `sync_dir` on the parent directory.
pub trait Fs: Send + Sync + Debug {
    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn File>>;
    /// Replaces `to` if it exists, atomically.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    fn remove_dir_all(&self, path: &Path) -> io::Result<()>;
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;
    /// The names in a directory, sorted; names that are not UTF-8 are left out.
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>>;
    /// `None` if nothing has that name.
    fn meta(&self, path: &Path) -> io::Result<Option<Meta>>;
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Takes the exclusive lock of a file, created if missing; `None` if somebody else holds it.
    fn try_lock(&self, path: &Path) -> io::Result<Option<Box<dyn Lock>>>;

    /// The whole content, at most `limit` bytes; a larger file is an error.
    fn read(&self, path: &Path, limit: usize) -> io::Result<Vec<u8>> {
        let file = self.open(path, Open::Read)?;
        let len = file.len()?;
        if len > limit as u64 {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("{len} bytes, limit {limit}")));
        }
        let mut bytes = vec![0; usize::try_from(len).expect("checked against a usize limit")];
        file.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    }

    /// Replaces the content of a file so that after a crash it is the old or the new one: writes a `.tmp`
    /// neighbour, syncs it, renames it and syncs the directory (Kafka's `CheckpointFile`).
    fn replace(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        let temporary = temporary_name(path);
        let file = self.open(&temporary, Open::Truncate)?;
        file.write_at(content, 0)?;
        file.sync_data()?;
        self.rename(&temporary, path)?;
        match path.parent() {
            Some(dir) => self.sync_dir(dir),
            None => Ok(()),
        }
    }

    /// As [`replace`](Self::replace) for many files below `root`, with two syncs for all of them.
    fn replace_all(&self, root: &Path, files: &[(PathBuf, String)]) -> io::Result<()> {
        for (path, content) in files {
            self.open(&temporary_name(path), Open::Truncate)?.write_at(content.as_bytes(), 0)?;
        }
        self.sync_below(root)?;
        for (path, _) in files {
            self.rename(&temporary_name(path), path)?;
        }
        self.sync_below(root)
    }

    /// Makes all that lies below a directory durable, and perhaps more.
    fn sync_below(&self, root: &Path) -> io::Result<()> {
        for entry in self.list(root)? {
            let path = root.join(&entry.name);
            if entry.is_dir {
                self.sync_below(&path)?;
            } else {
                self.open(&path, Open::Write)?.sync_data()?;
            }
        }
        self.sync_dir(root)
    }

    /// Like [`replace`](Self::replace) without the syncs: whole after `kill -9`, anything after a loss of power
    /// unless the caller syncs the file that is returned, and the directory.
    fn replace_unsynced(&self, path: &Path, content: &[u8]) -> io::Result<Arc<dyn File>> {
        let temporary = temporary_name(path);
        let file = self.open(&temporary, Open::Truncate)?;
        file.write_at(content, 0)?;
        self.rename(&temporary, path)?;
        Ok(file)
    }
}

fn temporary_name(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    PathBuf::from(name)
}

/// An open file. Positions are given with each call; there is no cursor and so no lock.
#[expect(clippy::len_without_is_empty, reason = "a file is asked for its size, never whether it is empty")]
pub trait File: Send + Sync + Debug {
    /// Reads up to `buf.len()` bytes; 0 at or behind the end.
    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize>;
    /// Writes all of `buf`, growing the file if needed.
    fn write_at(&self, buf: &[u8], at: u64) -> io::Result<()>;
    /// Writes all parts behind each other, with as few calls as the system can.
    fn write_parts_at(&self, parts: &[&[u8]], mut at: u64) -> io::Result<()> {
        for part in parts {
            self.write_at(part, at)?;
            at += part.len() as u64;
        }
        Ok(())
    }
    fn len(&self) -> io::Result<u64>;
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Returns when the content, and the length needed to read it, are on the medium.
    fn sync_data(&self) -> io::Result<()>;
    /// Sets the time of the last write, which the next write changes again.
    fn set_modified(&self, at: Timestamp) -> io::Result<()>;
    /// Reserves space without changing the length; file systems that cannot do it succeed too.
    fn allocate(&self, at: u64, len: u64) -> io::Result<()>;
    /// The descriptor for `sendfile`; `None` if the file is not one of the system's.
    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Reads exactly `buf.len()` bytes or fails with `UnexpectedEof`.
    fn read_exact_at(&self, mut buf: &mut [u8], mut at: u64) -> io::Result<()> {
        while !buf.is_empty() {
            let n = self.read_at(buf, at)?;
            if n == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            buf = &mut buf[n..];
            at += n as u64;
        }
        Ok(())
    }
}
