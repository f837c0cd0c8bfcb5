//! Topics as the partition directories alone tell them, where no metadata log of Kafka's lies beside them (a broker of
//! ZooKeeper's time, or directories that were copied).
//!
//! It must never be asked when there is a metadata log: configs and removed topics are known only there.

use std::collections::BTreeMap;
use std::path::PathBuf;

use milena_coordinator::controller::{Adopted, AdoptedPartition, AdoptedTopic};
use milena_coordinator::image::{ConfigKind, Configs, is_internal_topic};
use milena_storage::StorageError;
use milena_storage::dirs::read_partition_metadata;
use milena_storage::fs::Fs;
use milena_storage::ids::{BrokerId, TopicPartition};
use uuid::Uuid;

const EPOCHS_FILE: &str = "leader-epoch-checkpoint";
const EPOCHS_FILE_MAX: usize = 64 << 20;

/// Topics of the partitions that were found, each with its directory; `None` if there are none. A directory without a
/// readable topic id is left out, and then set aside.
pub(super) fn topics(
    fs: &dyn Fs,
    found: impl IntoIterator<Item = (TopicPartition, PathBuf)>,
    node: BrokerId,
) -> Result<Option<Adopted>, StorageError> {
    let mut topics: BTreeMap<String, (Uuid, BTreeMap<i32, i32>)> = BTreeMap::new();
    for (partition, dir) in found {
        let id = match read_partition_metadata(fs, &dir) {
            Err(StorageError::Corrupt { .. }) => None,
            read => read?,
        };
        let Some(id) = id else {
            tracing::warn!(dir = %dir.display(), "no topic id, so not taken over");
            continue;
        };
        let (known, partitions) = topics.entry(partition.topic).or_insert((id, BTreeMap::new()));
        if *known == id {
            partitions.insert(partition.partition.0, last_epoch(fs, &dir.join(EPOCHS_FILE)));
        } else {
            tracing::warn!(dir = %dir.display(), "its topic id is another one, so not taken over");
        }
    }
    if topics.is_empty() {
        return Ok(None);
    }
    tracing::warn!(
        topics = topics.len(),
        "taking over partitions without a metadata log: their topics' configs are not known"
    );
    let compacted = Configs::from([("cleanup.policy".to_owned(), "compact".to_owned())]);
    let internal = topics.keys().filter(|name| is_internal_topic(name));
    let configs = internal.map(|name| (ConfigKind::Topic, name.clone(), compacted.clone())).collect();
    let topic = |(name, (id, epochs)): (String, (Uuid, BTreeMap<i32, i32>))| {
        let count = epochs.keys().next_back().map_or(0, |last| last + 1);
        let partition = |index| AdoptedPartition {
            replicas: vec![node],
            leader_epoch: epochs.get(&index).copied().unwrap_or(0),
            in_sync_here: true,
        };
        AdoptedTopic { name, id, partitions: (0..count).map(partition).collect() }
    };
    let topics = topics.into_iter().map(topic).collect();
    Ok(Some(Adopted { node, topics, configs, quotas: Vec::new(), next_producer_id: 0, mark: String::new() }))
}

/// The largest epoch in a partition's checkpoint; 0 if it cannot be told.
fn last_epoch(fs: &dyn Fs, path: &std::path::Path) -> i32 {
    let text = fs.read(path, EPOCHS_FILE_MAX).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let epochs = text.lines().skip(2).filter_map(|line| line.split_once(' ')?.0.parse::<i32>().ok());
    epochs.max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use milena_storage::dirs::write_partition_metadata;
    use milena_storage::fs::{Open, SimFs};

    use super::*;

    #[test]
    fn topics_are_told_by_their_directories() {
        let fs = SimFs::new();
        let mut found = Vec::new();
        for (topic, index, id) in [("t", 0, 1), ("t", 2, 1), ("t", 3, 9), ("__consumer_offsets", 0, 2)] {
            let dir = PathBuf::from(format!("/d/{topic}-{index}"));
            fs.create_dir_all(&dir).unwrap();
            write_partition_metadata(&fs, &dir, Uuid::from_u128(id)).unwrap();
            found.push((TopicPartition::new(topic, index), dir));
        }
        let epochs = fs.open(Path::new("/d/t-2/leader-epoch-checkpoint"), Open::Create).unwrap();
        epochs.write_at(b"0\n2\n0 0\n5 17\n", 0).unwrap();
        fs.create_dir_all(Path::new("/d/bare-0")).unwrap();
        found.push((TopicPartition::new("bare", 0), PathBuf::from("/d/bare-0")));
        let adopted = topics(&fs, found, BrokerId(1)).unwrap().unwrap();
        let told: Vec<_> = adopted
            .topics
            .iter()
            .map(|topic| {
                let epochs: Vec<_> = topic.partitions.iter().map(|each| each.leader_epoch).collect();
                (topic.name.as_str(), topic.id.as_u128(), epochs)
            })
            .collect();
        assert_eq!(told, [("__consumer_offsets", 2, vec![0]), ("t", 1, vec![0, 0, 5])]);
        assert_eq!(adopted.configs.len(), 1);
        assert_eq!(topics(&fs, [], BrokerId(1)).unwrap(), None);
    }
}
