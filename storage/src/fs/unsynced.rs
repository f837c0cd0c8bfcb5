//! The operating system's files without syncs, for brokers whose data is gone with them.
//!
//! Must never be used where anything is to outlive the process: a loss of power may leave anything.

use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::Arc;

use super::{Entry, File, Fs, Lock, Meta, Open, RealFs};
use crate::ids::Timestamp;

/// As [`RealFs`], but a sync returns at once; what was written is in the page cache, and other processes see it.
#[derive(Clone, Copy, Debug, Default)]
pub struct UnsyncedFs(RealFs);

#[derive(Debug)]
struct UnsyncedFile(Arc<dyn File>);

impl Fs for UnsyncedFs {
    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(UnsyncedFile(self.0.open(path, how)?)))
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

    fn sync_dir(&self, _dir: &Path) -> io::Result<()> {
        Ok(())
    }

    fn sync_below(&self, _root: &Path) -> io::Result<()> {
        Ok(())
    }

    fn try_lock(&self, path: &Path) -> io::Result<Option<Box<dyn Lock>>> {
        self.0.try_lock(path)
    }
}

impl File for UnsyncedFile {
    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        self.0.read_at(buf, at)
    }

    fn write_at(&self, buf: &[u8], at: u64) -> io::Result<()> {
        self.0.write_at(buf, at)
    }

    fn write_parts_at(&self, parts: &[&[u8]], at: u64) -> io::Result<()> {
        self.0.write_parts_at(parts, at)
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

    /// Space that is reserved spares syncs; a file system in memory would hold it with pages.
    fn allocate(&self, _at: u64, _len: u64) -> io::Result<()> {
        Ok(())
    }

    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_there_without_a_sync() {
        let dir = tempfile::tempdir().unwrap();
        let fs = UnsyncedFs::default();
        let path = dir.path().join("a");
        fs.replace(&path, b"content").unwrap();
        assert_eq!(fs.read(&path, 100).unwrap(), b"content");
        let file = fs.open(&path, Open::Write).unwrap();
        file.write_parts_at(&[b"12", b"34"], 7).unwrap();
        file.sync_data().unwrap();
        assert_eq!((file.len().unwrap(), file.as_fd().is_some()), (11, true));
        assert_eq!(RealFs.read(&path, 100).unwrap(), b"content1234");
    }

    #[test]
    fn any_number_of_parts_is_written_behind_each_other() {
        let dir = tempfile::tempdir().unwrap();
        let (fs, path) = (UnsyncedFs::default(), dir.path().join("a"));
        let file = fs.open(&path, Open::Create).unwrap();
        for count in [0, 1, 31, 32, 33, 64, 100] {
            let parts: Vec<Vec<u8>> = (0..count).map(|n| vec![n; usize::from(n % 3)]).collect();
            let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
            file.set_len(0).unwrap();
            file.write_parts_at(&parts, 2).unwrap();
            let written = fs.read(&path, 1000).unwrap();
            assert_eq!(written.get(2..).unwrap_or_default(), parts.concat(), "{count} parts");
        }
    }
}
