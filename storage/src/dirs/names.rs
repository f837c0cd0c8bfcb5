//! Names of partition directories: `topic-7`, and what Kafka adds while one is deleted, stray or moved.
//!
//! Must never guess: a name that does not parse is not a partition.

use std::path::{Path, PathBuf};

use crate::StorageError;
use crate::error::At;
use crate::fs::Fs;
use crate::ids::TopicPartition;

/// File systems allow no longer name.
const NAME_LEN_MAX: usize = 255;

/// Kafka keeps its metadata log among the partitions; it is none of theirs (`LogManager.loadLogs`).
const CLUSTER_METADATA_TOPIC: &str = "__cluster_metadata";

/// How the unique part of a hidden copy's name begins; that of others is random.
const HIDDEN: &str = "00000000";

/// What a partition directory is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum DirKind {
    /// The partition itself.
    Current,
    /// `-delete`: to be removed.
    Delete,
    /// `-stray`: not assigned to this broker any more.
    Stray,
    /// `-future`: being copied from another log directory; also a copy that is hidden from Kafka.
    Future,
}

/// A partition directory found on disk.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct PartitionDir {
    pub partition: TopicPartition,
    pub kind: DirKind,
    pub path: PathBuf,
}

impl PartitionDir {
    /// Reads a directory's name; `None` if it is not a partition's. The topic of a `-delete` or `-stray` name may
    /// be cut, so it is only for display.
    pub fn parse(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?;
        let marked = [("-delete", DirKind::Delete), ("-stray", DirKind::Stray), ("-future", DirKind::Future)]
            .into_iter()
            .find_map(|(suffix, kind)| Some((name.strip_suffix(suffix)?.rsplit_once('.')?.0, kind)));
        let hidden = |kind| {
            kind == DirKind::Stray && name.rsplit_once('.').is_some_and(|(_, end)| end.starts_with(HIDDEN))
        };
        let (name, kind) = marked.map_or((name, DirKind::Current), |(name, kind)| {
            (name, if hidden(kind) { DirKind::Future } else { kind })
        });
        let (topic, partition) = name.rsplit_once('-')?;
        let digits = !partition.is_empty() && partition.bytes().all(|byte| byte.is_ascii_digit());
        if topic.is_empty() || topic == CLUSTER_METADATA_TOPIC || !digits {
            return None;
        }
        let partition = TopicPartition::new(topic, partition.parse().ok()?);
        Some(Self { partition, kind, path: path.to_owned() })
    }
}

/// The directory of Kafka's metadata log in the metadata log directory.
pub const KAFKA_METADATA_DIR: &str = "__cluster_metadata-0";

/// The partition directories in a log directory, by name; other files and directories are left out.
pub fn partition_dirs(fs: &dyn Fs, dir: &Path) -> Result<Vec<PartitionDir>, StorageError> {
    let entries = fs.list(dir).at("list", dir)?;
    let dirs = entries.into_iter().filter(|entry| entry.is_dir);
    Ok(dirs.filter_map(|entry| PartitionDir::parse(&dir.join(entry.name))).collect())
}

/// The name that a directory to be deleted gets; `unique` are 32 hex digits.
pub fn delete_dir_name(partition: &TopicPartition, unique: &str) -> String {
    capped(partition, unique, "-delete")
}

/// The name that a directory which nobody owns gets.
pub fn stray_dir_name(partition: &TopicPartition, unique: &str) -> String {
    capped(partition, unique, "-stray")
}

/// The name of a copy that is to replace the partition's directory; never cut, because it is parsed again.
pub fn future_dir_name(partition: &TopicPartition, unique: &str) -> String {
    format!("{partition}.{unique}-future")
}

/// As [`future_dir_name`], where Apache Kafka may go on in the directory: its metadata may name the copy's directory as the
/// partition's, and then it takes the copy for whole at its start (`LogManager.recoverAbandonedFutureLogs`). As a stray it is
/// left alone.
pub fn hidden_future_dir_name(partition: &TopicPartition, unique: &str) -> String {
    stray_dir_name(partition, &format!("{HIDDEN}{}", unique.get(HIDDEN.len()..).unwrap_or_default()))
}

/// Whether the partition's name leaves room for that of a copy (KAFKA-4893).
pub fn has_future_name(partition: &TopicPartition) -> bool {
    future_dir_name(partition, &"0".repeat(32)).len() <= NAME_LEN_MAX
}

fn capped(partition: &TopicPartition, unique: &str, suffix: &str) -> String {
    let tail = format!("-{}.{unique}{suffix}", partition.partition);
    // Topic names are ASCII; `get` keeps a name that is not from panicking.
    let keep = partition.topic.len().min(NAME_LEN_MAX.saturating_sub(tail.len()));
    let topic = partition.topic.get(..keep).unwrap_or_default();
    format!("{topic}{tail}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIQUE: &str = "9123456789abcdef0123456789abcdef";

    #[test]
    fn names_are_parsed_back_with_their_kind() {
        let partition = TopicPartition::new("a.b-c", 12);
        for (name, kind) in [
            (partition.to_string(), DirKind::Current),
            (delete_dir_name(&partition, UNIQUE), DirKind::Delete),
            (stray_dir_name(&partition, UNIQUE), DirKind::Stray),
            (future_dir_name(&partition, UNIQUE), DirKind::Future),
            (hidden_future_dir_name(&partition, UNIQUE), DirKind::Future),
        ] {
            let dir = PartitionDir::parse(&Path::new("/data").join(&name)).unwrap();
            assert_eq!((dir.partition, dir.kind), (partition.clone(), kind), "{name}");
        }
    }

    #[test]
    fn other_names_are_no_partitions() {
        for name in [
            "remote-log-index-cache",
            "__cluster_metadata-0",
            "a",
            "a-",
            "-1",
            "a-x",
            "a-1x",
            "a--delete",
            "a-99999999999",
        ] {
            assert_eq!(PartitionDir::parse(Path::new(name)), None, "{name}");
        }
        // As in Kafka, a topic may look like one of its marked names.
        let dir = PartitionDir::parse(Path::new("x-delete-0")).unwrap();
        assert_eq!((dir.partition.topic.as_str(), dir.kind), ("x-delete", DirKind::Current));
    }

    #[test]
    fn long_topics_are_cut_to_the_longest_name() {
        let partition = TopicPartition::new("t".repeat(249), 100);
        let name = delete_dir_name(&partition, UNIQUE);
        assert_eq!(name.len(), 255);
        assert!(name.ends_with("t-100.9123456789abcdef0123456789abcdef-delete"));
    }
}
