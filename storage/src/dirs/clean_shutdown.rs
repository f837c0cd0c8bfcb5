//! The marker of a clean stop, `.kafka_cleanshutdown` (`CleanShutdownFileHandler`).
//!
//! Must never be believed twice: taking it removes it, so that a crash right after the start is seen as one.

use std::path::Path;

use super::SMALL_FILE_MAX;
use crate::StorageError;
use crate::error::At;
use crate::fs::Fs;

pub const CLEAN_SHUTDOWN_FILE: &str = ".kafka_cleanshutdown";

/// `None` if the directory was not stopped cleanly; else the broker epoch of the last run, if it is readable
/// (Kafka before 3.7 wrote an empty file). The marker is gone afterwards.
pub fn take_clean_shutdown(fs: &dyn Fs, dir: &Path) -> Result<Option<Option<i64>>, StorageError> {
    let path = dir.join(CLEAN_SHUTDOWN_FILE);
    if fs.meta(&path).at("look at", &path)?.is_none() {
        return Ok(None);
    }
    let content = fs.read(&path, SMALL_FILE_MAX).at("read", &path)?;
    fs.remove_file(&path).at("remove", &path)?;
    fs.sync_dir(dir).at("sync", dir)?;
    let json: Option<serde_json::Value> = serde_json::from_slice(&content).ok();
    Ok(Some(json.and_then(|json| json.get("brokerEpoch")?.as_i64())))
}

/// The last step of a clean stop of all logs in `dir`.
pub fn write_clean_shutdown(fs: &dyn Fs, dir: &Path, broker_epoch: i64) -> Result<(), StorageError> {
    let path = dir.join(CLEAN_SHUTDOWN_FILE);
    let content = format!("{{\"version\":0,\"brokerEpoch\":{broker_epoch}}}");
    fs.replace(&path, content.as_bytes()).at("write", &path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::{Open, SimFs};

    #[test]
    fn the_marker_is_believed_once() {
        let (fs, dir) = (SimFs::new(), Path::new("/"));
        assert_eq!(take_clean_shutdown(&fs, dir).unwrap(), None);
        write_clean_shutdown(&fs, dir, 42).unwrap();
        assert_eq!(take_clean_shutdown(&fs, dir).unwrap(), Some(Some(42)));
        assert_eq!(take_clean_shutdown(&fs, dir).unwrap(), None);
    }

    #[test]
    fn an_empty_marker_of_an_old_kafka_counts() {
        let (fs, dir) = (SimFs::new(), Path::new("/"));
        fs.open(&dir.join(CLEAN_SHUTDOWN_FILE), Open::Create).unwrap();
        assert_eq!(take_clean_shutdown(&fs, dir).unwrap(), Some(None));
    }
}
