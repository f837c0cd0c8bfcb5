//! DescribeLogDirs: 35, v1–4. Sizes of the partitions in each log directory (KIP-113).
//!
//! Behaviour (`ReplicaManager.describeLogDirs`): every directory is listed, and of the partitions asked for (null: all)
//! those that it holds; a directory that failed is KAFKA_STORAGE_ERROR. Version 5 (cordoned directories, KIP-1066) is
//! newer than the codec's schemas.
//! Versions: 2 flexible, 3 top-level error, 4 total and usable bytes (KIP-827).

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::describe_log_dirs_response::{
    DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic,
};
use kafka_protocol::messages::{DescribeLogDirsRequest, DescribeLogDirsResponse};
use kafka_protocol::protocol::StrBytes;

use super::{Cx, Outcome};
use crate::partition::Partition;

pub const VERSIONS: RangeInclusive<i16> = 1..=4;

pub fn handle(cx: &Cx<'_>, request: DescribeLogDirsRequest) -> Outcome<DescribeLogDirsResponse> {
    let asked: Option<BTreeSet<(String, i32)>> = request.topics.map(|topics| {
        let pairs = topics.iter().flat_map(|t| t.partitions.iter().map(|p| (t.topic.to_string(), *p)));
        pairs.collect()
    });
    let wanted = |partition: &Arc<Partition>| {
        let name = &partition.name;
        asked.as_ref().is_none_or(|asked| asked.contains(&(name.topic.clone(), name.partition.0)))
    };
    let hosted: Vec<_> = cx.broker.partitions.all().into_iter().filter(wanted).collect();
    let dirs = &cx.broker.partitions.disk.dirs;
    let results = dirs.iter().enumerate().map(|(index, dir)| {
        let here = hosted.iter().filter(|partition| partition.dir == index);
        describe(&dir.path, here)
    });
    DescribeLogDirsResponse::default().with_results(results.collect()).into()
}

fn describe<'a>(path: &Path, partitions: impl Iterator<Item = &'a Arc<Partition>>) -> DescribeLogDirsResult {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let result =
        DescribeLogDirsResult::default().with_log_dir(StrBytes::from_string(absolute.display().to_string()));
    let mut topics: BTreeMap<&str, Vec<DescribeLogDirsPartition>> = BTreeMap::new();
    for partition in partitions {
        let described = DescribeLogDirsPartition::default()
            .with_partition_index(partition.name.partition.0)
            .with_partition_size(i64::try_from(partition.size()).unwrap_or(i64::MAX))
            // How far the log is behind its own high watermark: not at all on a leader (`getLogEndOffsetLag`).
            .with_offset_lag((partition.high_watermark().0 - partition.log_end_offset().0).max(0));
        topics.entry(&partition.name.topic).or_default().push(described);
    }
    let topics = topics.into_iter().map(|(name, mut partitions)| {
        partitions.sort_by_key(|partition| partition.partition_index);
        let name = StrBytes::from_string(name.to_owned());
        DescribeLogDirsTopic::default().with_name(name.into()).with_partitions(partitions)
    });
    let result = result.with_topics(topics.collect());
    match space(path) {
        Ok((total, usable)) => result.with_total_bytes(total).with_usable_bytes(usable),
        Err(_) => result.with_topics(Vec::new()).with_error_code(ResponseError::KafkaStorageError.code()),
    }
}

/// Total and usable bytes of the file system below a directory.
fn space(path: &Path) -> std::io::Result<(i64, i64)> {
    let stats = rustix::fs::statvfs(path)?;
    let bytes = |blocks: u64| i64::try_from(blocks.saturating_mul(stats.f_frsize)).unwrap_or(i64::MAX);
    Ok((bytes(stats.f_blocks), bytes(stats.f_bavail)))
}
