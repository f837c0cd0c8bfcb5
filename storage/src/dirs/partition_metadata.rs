//! `partition.metadata`: the topic id that a partition directory belongs to.
//!
//! Must never be replaced by another id; the caller compares.

use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::SMALL_FILE_MAX;
use crate::StorageError;
use crate::error::At;
use crate::fs::Fs;

pub const PARTITION_METADATA_FILE: &str = "partition.metadata";

/// The topic id in a partition's directory; `None` if the file is missing.
pub fn read_partition_metadata(fs: &dyn Fs, dir: &Path) -> Result<Option<Uuid>, StorageError> {
    let path = dir.join(PARTITION_METADATA_FILE);
    if fs.meta(&path).at("look at", &path)?.is_none() {
        return Ok(None);
    }
    let bytes = fs.read(&path, SMALL_FILE_MAX).at("read", &path)?;
    let text = String::from_utf8_lossy(&bytes);
    let mut lines = text.lines();
    let version = lines.next().and_then(|line| line.strip_prefix("version: "));
    let id = lines.next().and_then(|line| line.strip_prefix("topic_id: ")).and_then(parse_uuid);
    match (version, id) {
        (Some("0"), Some(id)) => Ok(Some(id)),
        _ => Err(StorageError::corrupt(&path, 0, "it does not hold a version 0 and a topic id")),
    }
}

/// Writes the topic id, durably, as it must be before the first data.
pub fn write_partition_metadata(fs: &dyn Fs, dir: &Path, topic_id: Uuid) -> Result<(), StorageError> {
    let (path, text) = content(dir, topic_id);
    fs.replace(&path, text.as_bytes()).at("write", &path)
}

/// As [`write_partition_metadata`] for many directories below `root`.
pub fn write_all_partition_metadata(
    fs: &dyn Fs,
    root: &Path,
    partitions: &[(PathBuf, Uuid)],
) -> Result<(), StorageError> {
    let files: Vec<_> = partitions.iter().map(|(dir, topic_id)| content(dir, *topic_id)).collect();
    fs.replace_all(root, &files).at("write below", root)
}

fn content(dir: &Path, topic_id: Uuid) -> (PathBuf, String) {
    let text = format!("version: 0\ntopic_id: {}", format_uuid(topic_id));
    (dir.join(PARTITION_METADATA_FILE), text)
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
/// 128 bits, six a letter.
const UUID_LETTERS: usize = 22;

/// Kafka's text form of a uuid: URL-safe base64 without padding.
fn format_uuid(id: Uuid) -> String {
    // 22 letters hold 132 bits; the last four are zero.
    let letter = |index: usize| {
        let bits = if index < 21 { id.as_u128() >> (122 - 6 * index) } else { id.as_u128() << 4 };
        char::from(ALPHABET[(bits & 0x3F) as usize])
    };
    (0..UUID_LETTERS).map(letter).collect()
}

fn parse_uuid(text: &str) -> Option<Uuid> {
    let text = text.trim_end_matches('=').as_bytes();
    if text.len() != UUID_LETTERS {
        return None;
    }
    let mut value = 0u128;
    for (index, letter) in text.iter().enumerate() {
        let bits = ALPHABET.iter().position(|other| other == letter)? as u128;
        value = if index < 21 { value << 6 | bits } else { value << 2 | bits >> 4 };
    }
    Some(Uuid::from_u128(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::{SimFault, SimFs};

    #[test]
    fn the_topic_id_has_javas_text_form() {
        let (fs, dir) = (SimFs::new(), Path::new("/"));
        let id = Uuid::from_u128(0x0123_4567_89ab_cdef_fedc_ba98_7654_3210);
        write_partition_metadata(&fs, dir, id).unwrap();
        let text = fs.read(&dir.join(PARTITION_METADATA_FILE), 100).unwrap();
        // URL-safe base64 of the sixteen bytes.
        assert_eq!(text, b"version: 0\ntopic_id: ASNFZ4mrze_-3LqYdlQyEA");
        assert_eq!(read_partition_metadata(&fs, dir).unwrap(), Some(id));
    }

    #[test]
    fn many_are_there_after_a_loss_of_power_or_not_at_all() {
        let partitions: Vec<_> =
            (1..4).map(|n| (PathBuf::from(format!("/d/t-{n}")), Uuid::from_u128(n))).collect();
        let mut completed = false;
        for mutations in 0..100 {
            let fs = SimFs::new();
            partitions.iter().for_each(|(dir, _)| fs.create_dir_all(dir).unwrap());
            fs.sync_below(Path::new("/")).unwrap();
            fs.fault_after(mutations, SimFault::Death);
            completed = write_all_partition_metadata(&fs, Path::new("/d"), &partitions).is_ok();
            fs.power_loss(mutations);
            for (dir, id) in &partitions {
                let found = read_partition_metadata(&fs, dir).unwrap();
                assert!(found == Some(*id) || (found.is_none() && !completed), "{mutations}: {found:?}");
            }
            if completed {
                break;
            }
        }
        assert!(completed);
    }

    #[test]
    fn a_damaged_file_is_an_error() {
        let fs = SimFs::new();
        for text in ["", "version: 1\ntopic_id: ASNFZ4mrze_-3LqYdlQyEA", "version: 0\ntopic_id: short"] {
            fs.replace(Path::new("/partition.metadata"), text.as_bytes()).unwrap();
            assert!(read_partition_metadata(&fs, Path::new("/")).is_err(), "{text:?}");
        }
    }
}
