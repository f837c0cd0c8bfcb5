//! DescribeLogDirs: 35, v1–5. Sizes of the partitions in each log directory (KIP-113).
//!
//! Behaviour (`ReplicaManager.describeLogDirs`): every directory is listed, and of the partitions asked for (null: all)
//! those that it holds; a directory that failed is KAFKA_STORAGE_ERROR.
//! Versions: 2 flexible, 3 top-level error, 4 total and usable bytes (KIP-827), 5 cordoned directories (KIP-1066).

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::path::Path;

use bytes::{BufMut as _, Bytes, BytesMut};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::describe_log_dirs_response::{
    DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic,
};
use kafka_protocol::messages::{DescribeLogDirsRequest, DescribeLogDirsResponse};
use kafka_protocol::protocol::{Encodable, StrBytes};
use milena_storage::ids::TopicPartition;

use super::{Answer, Ask, Cx, MessageError, Outcome};
use crate::codec::write::put_count;
use crate::net::frame::FrameBuilder;
use crate::partition::Partition;
use crate::partition::disk::LogDir;
use crate::partition::futures::FutureUsage;

pub const VERSIONS: RangeInclusive<i16> = 1..=5;

/// The codec's schemas end here; version 5 adds one field to the answer.
const SCHEMA_MAX: i16 = 4;

/// The request at any served version.
#[derive(Debug)]
pub struct Asked(DescribeLogDirsRequest);

/// The response at any served version.
#[derive(Debug)]
pub struct Told {
    response: DescribeLogDirsResponse,
    /// One for each result.
    cordoned: Vec<bool>,
}

pub fn handle(cx: &Cx<'_>, Asked(request): Asked) -> Outcome<Told> {
    let asked: Option<BTreeSet<(String, i32)>> = request.topics.map(|topics| {
        let pairs = topics.iter().flat_map(|t| t.partitions.iter().map(|p| (t.topic.to_string(), *p)));
        pairs.collect()
    });
    let is_asked = |name: &TopicPartition| {
        asked.as_ref().is_none_or(|asked| asked.contains(&(name.topic.clone(), name.partition.0)))
    };
    let partitions = &cx.broker.partitions;
    let current = partitions.all().into_iter().map(|partition| (partition.dir(), described(&partition)));
    let futures = partitions.future_usage().into_iter().map(|usage| (usage.dir, described_future(usage)));
    let mut of_dirs: Vec<Vec<Described>> = partitions.disk.dirs.iter().map(|_| Vec::new()).collect();
    for (dir, described) in current.chain(futures).filter(|(_, (name, _))| is_asked(name)) {
        of_dirs[dir].push(described);
    }
    let dirs = &partitions.disk.dirs;
    let results = dirs.iter().zip(of_dirs);
    let results = results.map(|(dir, here)| describe(&dir.path, dir.health.has_failed(), here));
    let response = DescribeLogDirsResponse::default().with_results(results.collect());
    Told { response, cordoned: dirs.iter().map(LogDir::is_cordoned).collect() }.into()
}

impl Ask for Asked {
    fn decode(body: Bytes, version: i16) -> Result<Self, MessageError> {
        <DescribeLogDirsRequest as Ask>::decode(body, version.min(SCHEMA_MAX)).map(Self)
    }
}

impl Answer for Told {
    fn size_hint(&self, version: i16) -> usize {
        Answer::size_hint(&self.response, version.min(SCHEMA_MAX)) + self.cordoned.len()
    }

    fn encode(self, version: i16, out: &mut FrameBuilder) -> Result<(), MessageError> {
        if version <= SCHEMA_MAX {
            return Answer::encode(self.response, version, out);
        }
        self.encode_v5(out.buffer())
    }
}

impl Told {
    /// As version 4, but for `is_cordoned` between a result's last field and its tagged fields, of which it has none.
    fn encode_v5(&self, buf: &mut BytesMut) -> Result<(), MessageError> {
        const NO_TAGS: u8 = 0;
        buf.put_i32(self.response.throttle_time_ms);
        buf.put_i16(self.response.error_code);
        put_count(buf, true, self.response.results.len());
        for (result, cordoned) in self.response.results.iter().zip(&self.cordoned) {
            let encoded = Encodable::encode(result, buf, SCHEMA_MAX);
            encoded.map_err(|error| MessageError(error.to_string()))?;
            buf.truncate(buf.len() - 1);
            buf.put_u8(u8::from(*cordoned));
            buf.put_u8(NO_TAGS);
        }
        buf.put_u8(NO_TAGS);
        Ok(())
    }
}

type Described = (TopicPartition, DescribeLogDirsPartition);

fn described(partition: &Partition) -> Described {
    let told = DescribeLogDirsPartition::default()
        .with_partition_index(partition.name.partition.0)
        .with_partition_size(i64::try_from(partition.size()).unwrap_or(i64::MAX))
        // How far the log is behind its own high watermark: not at all on a leader (`getLogEndOffsetLag`).
        .with_offset_lag((partition.high_watermark().0 - partition.log_end_offset().0).max(0));
    (partition.name.clone(), told)
}

fn described_future(usage: FutureUsage) -> Described {
    let told = DescribeLogDirsPartition::default()
        .with_partition_index(usage.partition.partition.0)
        .with_partition_size(i64::try_from(usage.size).unwrap_or(i64::MAX))
        .with_offset_lag(usage.lag)
        .with_is_future_key(true);
    (usage.partition, told)
}

fn describe(path: &Path, failed: bool, partitions: Vec<Described>) -> DescribeLogDirsResult {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let result =
        DescribeLogDirsResult::default().with_log_dir(StrBytes::from_string(absolute.display().to_string()));
    if failed {
        return result.with_error_code(ResponseError::KafkaStorageError.code());
    }
    let mut topics: BTreeMap<String, Vec<DescribeLogDirsPartition>> = BTreeMap::new();
    for (name, described) in partitions {
        topics.entry(name.topic).or_default().push(described);
    }
    let topics = topics.into_iter().map(|(name, mut partitions)| {
        partitions.sort_by_key(|partition| partition.partition_index);
        let name = StrBytes::from_string(name);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::{answer, caller, create, cx, with_quorum};

    #[test]
    fn version_5_is_version_4_with_a_byte_for_each_directory() {
        let result = |dir| {
            DescribeLogDirsResult::default().with_log_dir(StrBytes::from_static_str(dir)).with_total_bytes(7)
        };
        let response = DescribeLogDirsResponse::default().with_results(vec![result("/a"), result("/b")]);
        let mut four = BytesMut::new();
        Encodable::encode(&response, &mut four, 4).unwrap();
        let mut five = BytesMut::new();
        Told { response, cordoned: vec![false, true] }.encode_v5(&mut five).unwrap();
        // Throttle time, error, count; then per result an error, a string of 2, no topics, two numbers, no tags.
        let (head, each) = (4 + 2 + 1, 2 + 3 + 1 + 8 + 8 + 1);
        assert_eq!((four.len(), five.len()), (head + 2 * each + 1, head + 2 * (each + 1) + 1));
        assert_eq!(five[..head + each - 1], four[..head + each - 1]);
        assert_eq!(five[head + each - 1..=head + each], [0, 0], "the first is not cordoned");
        assert_eq!(five[five.len() - 3..], [1, 0, 0], "the second is");
        let second = head + each + 1;
        assert_eq!(five[second..second + each - 1], four[head + each..head + 2 * each - 1]);
    }

    #[tokio::test]
    async fn a_directory_is_listed_though_nothing_asked_for_is_in_it() {
        let broker = with_quorum().await;
        create(&broker, &[("t", 1)]).await;
        let request = DescribeLogDirsRequest::default().with_topics(Some(Vec::new()));
        let told = answer(handle(&cx(&broker, &caller(), 5), Asked(request))).await;
        assert_eq!(told.response.results.len(), broker.partitions.disk.dirs.len());
        assert!(told.response.results.iter().all(|result| result.topics.is_empty()));
    }
}
