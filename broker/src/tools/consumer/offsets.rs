//! What a group has committed, and what a member of it commits.
//!
//! Must never commit an offset twice, nor one of a record that was not handed out.

use std::collections::BTreeMap;

use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestTopic;
use kafka_protocol::messages::{GroupId, OffsetCommitRequest, OffsetFetchRequest};
use kafka_protocol::protocol::StrBytes;

use super::fetch::Fetcher;
use crate::tools::client::{At, Partition, Refused, topic_name};

/// Who commits.
pub(super) struct Owner {
    pub group: GroupId,
    pub member: StrBytes,
    pub instance: Option<StrBytes>,
    /// The generation of a classic group, or the member's epoch.
    pub epoch: i32,
}

/// Where the group has come to; what it never committed is left out.
pub(super) fn committed(
    fetcher: &mut Fetcher,
    at: At,
    group: &GroupId,
    partitions: &[Partition],
) -> Result<BTreeMap<Partition, i64>, Refused> {
    let mut committed = BTreeMap::new();
    if partitions.is_empty() {
        return Ok(committed);
    }
    let mut asked: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for (topic, index) in partitions {
        asked.entry(topic).or_default().push(*index);
    }
    let topic = |(name, indexes): (&str, Vec<i32>)| {
        OffsetFetchRequestTopic::default().with_name(topic_name(name)).with_partition_indexes(indexes)
    };
    let asked: Vec<OffsetFetchRequestTopic> = asked.into_iter().map(topic).collect();
    let make = |version| {
        let request =
            OffsetFetchRequest::default().with_group_id(group.clone()).with_topics(Some(asked.clone()));
        if version >= 7 { request.with_require_stable(true) } else { request }
    };
    let answer = fetcher.client.call(at, "offsetFetch", make)?;
    Refused::check(answer.error_code, None)?;
    for topic in answer.topics {
        for partition in topic.partitions {
            Refused::check(partition.error_code, None)?;
            if partition.committed_offset >= 0 {
                let at = (topic.name.to_string(), partition.partition_index);
                committed.insert(at, partition.committed_offset);
            }
        }
    }
    Ok(committed)
}

/// Each partition with where its reader begins.
pub(super) fn starts(
    fetcher: &Fetcher,
    committed: &BTreeMap<Partition, i64>,
    partitions: Vec<Partition>,
) -> Result<Vec<(Partition, i64)>, Refused> {
    let mut starts = Vec::new();
    for partition in partitions {
        let Some(start) = committed.get(&partition).copied().or(fetcher.start()) else {
            let class = "org.apache.kafka.clients.consumer.NoOffsetForPartitionException";
            let told = "Undefined offset with no reset policy for partitions:";
            return Err(Refused::own(class, format!("{told} [{}-{}]", partition.0, partition.1)));
        };
        starts.push((partition, start));
    }
    Ok(starts)
}

/// Commits what was read since, and notes it in `committed`.
pub(super) fn commit(
    fetcher: &mut Fetcher,
    at: At,
    owner: &Owner,
    committed: &mut BTreeMap<Partition, i64>,
) -> Result<(), Refused> {
    let mut topics: BTreeMap<String, Vec<OffsetCommitRequestPartition>> = BTreeMap::new();
    let mut noted = Vec::new();
    for (partition, offset) in fetcher.positions() {
        if committed.get(partition) == Some(&offset) {
            continue;
        }
        let one = OffsetCommitRequestPartition::default()
            .with_partition_index(partition.1)
            .with_committed_offset(offset)
            .with_committed_metadata(Some(StrBytes::default()));
        topics.entry(partition.0.clone()).or_default().push(one);
        noted.push((partition.clone(), offset));
    }
    if topics.is_empty() {
        return Ok(());
    }
    let topic = |(name, partitions): (String, Vec<OffsetCommitRequestPartition>)| {
        OffsetCommitRequestTopic::default().with_name(topic_name(&name)).with_partitions(partitions)
    };
    let topics: Vec<OffsetCommitRequestTopic> = topics.into_iter().map(topic).collect();
    let make = |version| {
        let request = OffsetCommitRequest::default()
            .with_group_id(owner.group.clone())
            .with_generation_id_or_member_epoch(owner.epoch)
            .with_member_id(owner.member.clone())
            .with_topics(topics.clone());
        if version >= 7 { request.with_group_instance_id(owner.instance.clone()) } else { request }
    };
    let limit = fetcher.client.request_timeout();
    let answer = fetcher.client.try_call(at, make, limit)?;
    for topic in answer.topics {
        topic.partitions.iter().try_for_each(|partition| Refused::check(partition.error_code, None))?;
    }
    committed.extend(noted);
    Ok(())
}
