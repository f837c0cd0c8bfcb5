//! Text checkpoints (`CheckpointFile`): a version line, a count line, then one entry a line.
//!
//! Must never accept a file with a wrong version or count: a half-read checkpoint would move a recovery point.

use std::collections::BTreeMap;
use std::path::Path;

use super::SMALL_FILE_MAX;
use crate::StorageError;
use crate::error::At;
use crate::fs::Fs;
use crate::ids::{Offset, TopicPartition};

/// Offsets below which each partition is known to be flushed.
pub const RECOVERY_POINT_CHECKPOINT: &str = "recovery-point-offset-checkpoint";
/// Log start offsets that lie inside a segment.
pub const LOG_START_CHECKPOINT: &str = "log-start-offset-checkpoint";
/// High watermarks.
pub const HIGH_WATERMARK_CHECKPOINT: &str = "replication-offset-checkpoint";
/// First dirty offsets of compacted partitions.
pub const CLEANER_CHECKPOINT: &str = "cleaner-offset-checkpoint";

const VERSION: &str = "0";

/// The offsets of one checkpoint file in `dir`; none if the file is missing or empty.
pub fn read_checkpoint(
    fs: &dyn Fs,
    dir: &Path,
    name: &str,
) -> Result<BTreeMap<TopicPartition, Offset>, StorageError> {
    let path = dir.join(name);
    let lines = read_lines(fs, &path)?;
    let entry = |line: &String| {
        let mut words = line.split(' ');
        let topic = words.next().filter(|topic| !topic.is_empty())?;
        let partition = words.next()?.parse().ok()?;
        let offset = words.next()?.parse().ok()?;
        words.next().is_none().then(|| (TopicPartition::new(topic, partition), Offset(offset)))
    };
    let parse = |line| entry(line).ok_or_else(|| malformed(&path, line));
    lines.iter().map(parse).collect()
}

/// Replaces one checkpoint file in `dir`, durably.
pub fn write_checkpoint<'a>(
    fs: &dyn Fs,
    dir: &Path,
    name: &str,
    offsets: impl IntoIterator<Item = (&'a TopicPartition, Offset)>,
) -> Result<(), StorageError> {
    let lines = offsets
        .into_iter()
        .map(|(partition, offset)| format!("{} {} {offset}", partition.topic, partition.partition));
    write_lines(fs, &dir.join(name), lines)
}

/// The entries of a text checkpoint, unparsed; none if the file is missing or empty.
pub(crate) fn read_lines(fs: &dyn Fs, path: &Path) -> Result<Vec<String>, StorageError> {
    if fs.meta(path).at("look at", path)?.is_none() {
        return Ok(Vec::new());
    }
    let bytes = fs.read(path, SMALL_FILE_MAX).at("read", path)?;
    let text =
        String::from_utf8(bytes).map_err(|_| StorageError::corrupt(path, 0, "the checkpoint is not text"))?;
    // Every line ends, so that a number cut by a crash is not taken for a whole one.
    if !text.is_empty() && !text.ends_with('\n') {
        return Err(StorageError::corrupt(path, text.len() as u64, "the last line is cut"));
    }
    let mut lines = text.lines();
    let Some(version) = lines.next() else { return Ok(Vec::new()) };
    if version != VERSION {
        return Err(StorageError::corrupt(path, 0, format!("checkpoint version {version} is not {VERSION}")));
    }
    let Some(count) = lines.next() else { return Ok(Vec::new()) };
    let entries: Vec<String> = lines.map(str::to_owned).collect();
    if count.parse() != Ok(entries.len()) {
        let reason = format!("the checkpoint claims {count} entries and holds {}", entries.len());
        return Err(StorageError::corrupt(path, 0, reason));
    }
    Ok(entries)
}

/// Replaces a text checkpoint, durably.
pub(crate) fn write_lines(
    fs: &dyn Fs,
    path: &Path,
    lines: impl IntoIterator<Item = String>,
) -> Result<(), StorageError> {
    let mut count = 0;
    let mut entries = String::new();
    for line in lines {
        count += 1;
        entries.push_str(&line);
        entries.push('\n');
    }
    let text = format!("{VERSION}\n{count}\n{entries}");
    fs.replace(path, text.as_bytes()).at("write", path)
}

pub(crate) fn malformed(path: &Path, line: &str) -> StorageError {
    StorageError::corrupt(path, 0, format!("malformed checkpoint line {line:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::{Open, SimFs};

    fn put(text: &str) -> SimFs {
        let fs = SimFs::new();
        fs.open(Path::new("/c"), Open::Create).unwrap().write_at(text.as_bytes(), 0).unwrap();
        fs
    }

    #[test]
    fn offsets_come_back_in_kafkas_layout() {
        let fs = SimFs::new();
        let offsets = [(TopicPartition::new("a", 0), Offset(5)), (TopicPartition::new("b-c", 12), Offset(0))];
        write_checkpoint(&fs, Path::new("/"), "c", offsets.iter().map(|(p, o)| (p, *o))).unwrap();
        assert_eq!(fs.read(Path::new("/c"), 100).unwrap(), b"0\n2\na 0 5\nb-c 12 0\n");
        assert_eq!(read_checkpoint(&fs, Path::new("/"), "c").unwrap(), offsets.into_iter().collect());
    }

    #[test]
    fn missing_and_empty_files_hold_nothing() {
        assert!(read_checkpoint(&SimFs::new(), Path::new("/"), "c").unwrap().is_empty());
        assert!(read_checkpoint(&put(""), Path::new("/"), "c").unwrap().is_empty());
    }

    #[test]
    fn wrong_versions_counts_and_lines_are_refused() {
        for text in [
            "1\n0\n",
            "0\n2\na 0 5\n",
            "0\nx\n",
            "0\n1\na 0\n",
            "0\n1\na 0 5 6\n",
            "0\n1\na x 5\n",
            "0\n1\na 0 5",
        ] {
            assert!(read_checkpoint(&put(text), Path::new("/"), "c").is_err(), "{text:?}");
        }
    }
}
