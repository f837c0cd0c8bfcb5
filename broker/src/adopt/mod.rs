//! Taking over a data directory that Apache Kafka left: topics, configs and producer ids come from its metadata log,
//! the records stay where they are.
//!
//! It must never change a file of Kafka's metadata log, and never take anything away from a cluster that exists already.

mod content;
mod formatted;
mod partitions;
mod record;

use std::path::Path;

use milena_coordinator::controller::Adopted;
use milena_storage::StorageError;
use milena_storage::batch::walk;
use milena_storage::fs::Fs;
use milena_storage::ids::{BrokerId, Offset};

use content::Content;
use record::MetadataRecord;

use crate::partition::disk::Disk;

pub use formatted::{FormattedUser, users, write as write_users};

/// Directory of Kafka's metadata log inside `metadata.log.dir`.
const METADATA_LOG: &str = "__cluster_metadata-0";
/// Kafka's metadata segments and snapshots are far below.
const FILE_MAX: usize = 1 << 31;
/// A batch of metadata is at most 8 MiB (`KafkaRaftClient.MAX_BATCH_SIZE_BYTES`); Kafka does not compress them.
const BATCH_MAX: usize = 64 << 20;

/// What is to be taken over: from Kafka's metadata log in `metadata_dir`, or for a new cluster from the partitions that
/// `disk` found. `None` if there is neither. `seen` is the mark that was taken over before, empty if nothing was, and
/// `None` for a new cluster; a log that Kafka has written to since is read again.
pub fn read(
    disk: &Disk,
    metadata_dir: &Path,
    node: BrokerId,
    seen: Option<&String>,
) -> Result<Option<Adopted>, StorageError> {
    let fs = disk.fs.as_ref();
    match (mark(fs, metadata_dir)?, seen) {
        (None, Some(_)) => Ok(None),
        (None, None) => partitions::topics(fs, disk.found_in(), node),
        (Some(mark), seen) if seen == Some(&mark) => Ok(None),
        (Some(mark), _) => Ok(read_log(fs, metadata_dir, node)?.map(|adopted| Adopted { mark, ..adopted })),
    }
}

/// The files of Kafka's metadata log with their sizes: Kafka adds to it at least twice a second.
fn mark(fs: &dyn Fs, dir: &Path) -> Result<Option<String>, StorageError> {
    let dir = dir.join(METADATA_LOG);
    let io = |error| StorageError::io("look at", &dir, error);
    if fs.meta(&dir).map_err(io)?.is_none() {
        return Ok(None);
    }
    let entries = fs.list(&dir).map_err(io)?;
    let kept =
        entries.iter().filter(|entry| entry.name.ends_with(".log") || snapshot_end(&entry.name).is_some());
    let marks: Vec<_> = kept.map(|entry| format!("{}:{}", entry.name, entry.len)).collect();
    Ok(Some(marks.join(" ")))
}

/// Reads what Kafka's metadata log in `dir` tells; `None` if there is no such log.
fn read_log(fs: &dyn Fs, dir: &Path, node: BrokerId) -> Result<Option<Adopted>, StorageError> {
    let dir = dir.join(METADATA_LOG);
    let io = |error| StorageError::io("look at", &dir, error);
    if fs.meta(&dir).map_err(io)?.is_none() {
        return Ok(None);
    }
    tracing::info!(dir = %dir.display(), "taking over what Apache Kafka's metadata log tells");
    let entries = fs.list(&dir).map_err(io)?;
    let names: Vec<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
    let snapshot = names.iter().filter_map(|name| Some((snapshot_end(name)?, *name))).max();
    let mut content = Content::default();
    let mut next = Offset(0);
    if let Some((end, name)) = snapshot {
        // Its own offsets are those of its records, not of the log.
        apply_file(fs, &dir.join(name), Offset(0), &mut content)?;
        next = end;
    }
    let mut logs: Vec<_> = names.iter().filter(|name| name.ends_with(".log")).collect();
    logs.sort();
    for name in logs {
        next = apply_file(fs, &dir.join(name), next, &mut content)?;
    }
    let (adopted, notes) = content.adopted(node);
    let partitions: usize = adopted.topics.iter().map(|topic| topic.partitions.len()).sum();
    tracing::info!(topics = adopted.topics.len(), partitions, up_to = %next, "taken over from Apache Kafka");
    notes.iter().for_each(|note| tracing::warn!("taking over from Apache Kafka: {note}"));
    Ok(Some(adopted))
}

/// The offset behind what a snapshot holds, by its name: `<end offset>-<epoch>.checkpoint`.
fn snapshot_end(name: &str) -> Option<Offset> {
    let (end, epoch) = name.strip_suffix(".checkpoint")?.split_once('-')?;
    epoch.parse::<i32>().ok()?;
    end.parse().ok().map(Offset)
}

/// Applies the records of a file from offset `from` on; returns the offset behind the last. A bad end is what a kill
/// leaves, and it ends the log.
fn apply_file(fs: &dyn Fs, path: &Path, from: Offset, content: &mut Content) -> Result<Offset, StorageError> {
    let bytes = fs.read(path, FILE_MAX).map_err(|error| StorageError::io("read", path, error))?;
    let mut next = from;
    let mut position = 0;
    for batch in walk(&bytes) {
        let good = batch.and_then(|batch| batch.check_crc().map(|()| batch));
        let batch = match good {
            Ok(batch) => batch,
            // Preallocated space reads as zeros.
            Err(_) if bytes[position..].iter().all(|byte| *byte == 0) => break,
            Err(error) => {
                tracing::warn!(path = %path.display(), position, %error, "the metadata log ends at a bad batch");
                break;
            }
        };
        if batch.base_offset >= from && !batch.is_control() {
            apply_batch(&batch, content)
                .map_err(|reason| StorageError::corrupt(path, position as u64, reason))?;
        }
        next = next.max(batch.next_offset());
        position += batch.size();
    }
    Ok(next)
}

fn apply_batch(batch: &milena_storage::batch::BatchView<'_>, content: &mut Content) -> Result<(), String> {
    let mut scratch = Vec::new();
    for record in batch.records(&mut scratch, BATCH_MAX).map_err(|error| error.to_string())? {
        let record = record.map_err(|error| error.to_string())?;
        let Some(value) = record.value else { continue };
        let parsed = MetadataRecord::parse(bytes::Bytes::copy_from_slice(value));
        content
            .apply(parsed.map_err(|error| format!("the record at offset {}: {}", record.offset, error.0))?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snapshots_are_known_by_their_names() {
        assert_eq!(snapshot_end("00000000000000000123-0000000002.checkpoint"), Some(Offset(123)));
        for name in ["bootstrap.checkpoint", "00000000000000000123-0000000002.checkpoint.part", "1.log"] {
            assert_eq!(snapshot_end(name), None, "{name}");
        }
    }
}
