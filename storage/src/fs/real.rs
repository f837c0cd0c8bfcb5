//! The operating system's files, by `rustix`.
//!
//! Must never interpret what it reads or writes.

use std::fs;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{FallocateFlags, FlockOperation};
use rustix::io::Errno;

use super::{Entry, File, Fs, Lock, Meta, Open};
use crate::ids::Timestamp;

/// Parts that one call writes; the system takes up to 1024.
const PARTS: usize = 32;

/// The file system of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealFs;

#[derive(Debug)]
struct RealFile(fs::File);

/// The lock goes when the descriptor is closed.
#[derive(Debug)]
struct RealLock {
    _file: fs::File,
}

impl Lock for RealLock {}

impl Fs for RealFs {
    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn File>> {
        let mut options = fs::OpenOptions::new();
        options.read(true);
        match how {
            Open::Read => &mut options,
            Open::Write => options.write(true),
            Open::Create => options.write(true).create(true).truncate(false),
            Open::Truncate => options.write(true).create(true).truncate(true),
        };
        Ok(Arc::new(RealFile(options.open(path)?)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir_all(path)
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            // A file may be removed while the directory is listed.
            match entry.metadata() {
                Ok(meta) => entries.push(Entry { name, is_dir: meta.is_dir(), len: meta.len() }),
                Err(gone) if gone.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn meta(&self, path: &Path) -> io::Result<Option<Meta>> {
        match fs::metadata(path) {
            Ok(meta) => {
                let since = meta.modified()?.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
                let modified = Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX));
                Ok(Some(Meta { is_dir: meta.is_dir(), len: meta.len(), modified }))
            }
            Err(gone) if gone.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        fs::File::open(dir)?.sync_all()
    }

    /// One call for the whole file system: each sync of a file costs a turn of the journal.
    fn sync_below(&self, root: &Path) -> io::Result<()> {
        Ok(rustix::fs::syncfs(fs::File::open(root)?)?)
    }

    fn try_lock(&self, path: &Path) -> io::Result<Option<Box<dyn Lock>>> {
        let file = fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        // Two locks: `flock` keeps out a second broker in this process too, the POSIX one a running Kafka
        // (Java's `FileChannel.tryLock`); neither sees the other kind.
        let taken = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)
            .and_then(|()| rustix::fs::fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive));
        match taken {
            Ok(()) => Ok(Some(Box::new(RealLock { _file: file }))),
            Err(Errno::WOULDBLOCK | Errno::ACCESS) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

impl File for RealFile {
    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        self.0.read_at(buf, at)
    }

    fn write_at(&self, buf: &[u8], at: u64) -> io::Result<()> {
        self.0.write_all_at(buf, at)
    }

    fn write_parts_at(&self, parts: &[&[u8]], mut at: u64) -> io::Result<()> {
        for parts in parts.chunks(PARTS) {
            let mut slices = [IoSlice::new(&[]); PARTS];
            for (slice, part) in slices.iter_mut().zip(parts) {
                *slice = IoSlice::new(part);
            }
            let mut written = loop {
                match rustix::io::pwritev(&self.0, &slices[..parts.len()], at) {
                    Ok(written) => break written,
                    Err(Errno::INTR) => {}
                    Err(error) => return Err(error.into()),
                }
            };
            for part in parts {
                // A short write is rare (a full disk, a signal); the remainder tells which.
                let here = written.min(part.len());
                if here < part.len() {
                    self.0.write_all_at(&part[here..], at + here as u64)?;
                }
                written -= here;
                at += part.len() as u64;
            }
        }
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn set_modified(&self, at: Timestamp) -> io::Result<()> {
        let since = Duration::from_millis(u64::try_from(at.0).unwrap_or(0));
        self.0.set_modified(std::time::UNIX_EPOCH + since)
    }

    fn allocate(&self, at: u64, len: u64) -> io::Result<()> {
        match rustix::fs::fallocate(&self.0, FallocateFlags::KEEP_SIZE, at, len) {
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.0.as_fd())
    }
}
