//! Where a broker writes whose data goes with it: in memory, as long as there is enough of it for files.
//!
//! It must never remove a directory that a living process holds, nor one that is not ours.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::thread;

use tempfile::TempDir;

/// Linux keeps a file system in memory here; POSIX shared memory lies in it.
const MEMORY: &str = "/dev/shm";
/// `TMPFS_MAGIC` of linux/magic.h.
const TMPFS: i64 = 0x0102_1994;
/// A file system in memory with less left is not meant for data: Docker gives a container 64 MiB.
const MEMORY_MIN: u64 = 1 << 30;
/// How our directories begin.
const PREFIX: &str = "milena-";
/// Locked while the directory is used. It is made under the other name, so that it is never seen unlocked.
const HELD: &str = "held";
const NOT_YET_HELD: &str = "not-yet-held";

/// Left behind by what was killed: removed once in a process, since memory does not come back by itself.
static SWEPT: Once = Once::new();

/// A directory that goes with this value.
#[derive(Debug)]
pub(crate) struct EphemeralDirectory {
    directory: TempDir,
    _held: File,
}

impl EphemeralDirectory {
    /// In memory, or in the temporary directory where `TMPDIR` names one or where the file system in memory is too small.
    ///
    /// # Errors
    /// When no directory can be made.
    pub(crate) fn new() -> io::Result<Self> {
        let memory = Path::new(MEMORY);
        if !is_for_data(std::env::var_os("TMPDIR").as_deref(), free_memory(memory)) {
            return Self::below(&std::env::temp_dir());
        }
        SWEPT.call_once(|| {
            // Gigabytes may take longer than a start. Without a thread the next process finds them.
            let _ = thread::Builder::new().name("sweep".to_owned()).spawn(move || sweep(memory));
        });
        // One that is not to be written to is no reason not to start.
        Self::below(memory).or_else(|_| Self::below(&std::env::temp_dir()))
    }

    fn below(place: &Path) -> io::Result<Self> {
        let directory = tempfile::Builder::new().prefix(PREFIX).tempdir_in(place)?;
        let unheld = directory.path().join(NOT_YET_HELD);
        let file = File::create_new(&unheld)?;
        file.lock()?;
        fs::rename(unheld, directory.path().join(HELD))?;
        Ok(Self { directory, _held: file })
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }
}

/// Whether data goes to the file system in memory: by the user's `TMPDIR` and by what is left of it, if it is one.
fn is_for_data(temporary: Option<&OsStr>, free: Option<u64>) -> bool {
    temporary.is_none_or(OsStr::is_empty) && free.is_some_and(|free| free >= MEMORY_MIN)
}

fn free_memory(at: &Path) -> Option<u64> {
    let told = rustix::fs::statfs(at).ok()?;
    (told.f_type == TMPFS).then(|| told.f_bavail.saturating_mul(u64::try_from(told.f_bsize).unwrap_or(0)))
}

/// Removes what nobody holds any more.
fn sweep(place: &Path) {
    let Ok(entries) = fs::read_dir(place) else { return };
    let ours = entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX));
    for directory in ours.map(|entry| entry.path()) {
        if let Err(error) = remove_unless_held(&directory) {
            tracing::debug!(%error, "cannot remove {}", directory.display());
        }
    }
}

fn remove_unless_held(directory: &Path) -> io::Result<()> {
    let held = directory.join(HELD);
    let file = match File::open(&held) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if file.try_lock().is_err() {
        return Ok(());
    }
    // What is held goes last: whoever is killed at this leaves a directory that the next one finds.
    for path in contents(directory)?.into_iter().filter(|path| *path != held) {
        if path.is_dir() { fs::remove_dir_all(path)? } else { fs::remove_file(path)? }
    }
    fs::remove_dir_all(directory)
}

fn contents(directory: &Path) -> io::Result<Vec<PathBuf>> {
    fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_goes_to_memory_that_is_large_enough() {
        assert!(is_for_data(None, Some(MEMORY_MIN)));
        assert!(is_for_data(Some(OsStr::new("")), Some(MEMORY_MIN)));
        assert!(!is_for_data(Some(OsStr::new("/tmp")), Some(MEMORY_MIN)), "the user names a place");
        assert!(!is_for_data(None, Some(64 << 20)), "a container's");
        assert!(!is_for_data(None, None), "no file system in memory");
    }

    #[test]
    fn it_goes_with_its_value() {
        let place = tempfile::tempdir().expect("a directory");
        let directory = EphemeralDirectory::below(place.path()).expect("a directory");
        fs::write(directory.path().join("a"), "a").expect("a file");
        sweep(place.path());
        assert!(directory.path().join("a").exists(), "it is held");
        drop(directory);
        assert!(contents(place.path()).expect("a list").is_empty());
    }

    #[test]
    fn what_was_left_behind_is_removed() {
        let place = tempfile::tempdir().expect("a directory");
        let left = place.path().join("milena-left");
        fs::create_dir_all(left.join("data/t-0")).expect("a directory");
        fs::write(left.join("data/t-0/0.log"), "a").expect("a file");
        fs::write(left.join(HELD), "").expect("a file");
        let others = ["milena-bench", "other"].map(|name| place.path().join(name));
        for other in &others {
            fs::create_dir(other).expect("a directory");
        }
        // Not ours by its name.
        fs::write(others[1].join(HELD), "").expect("a file");
        sweep(place.path());
        assert!(!left.exists());
        assert!(others.iter().all(|other| other.exists()), "one that was never held, and another's");
    }
}
