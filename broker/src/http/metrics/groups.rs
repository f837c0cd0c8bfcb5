//! The groups that this broker coordinates: members, commits, and how far these are behind.
//!
//! Must never wait for another broker for long: an offset that does not come is left out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
use kafka_protocol::messages::{BrokerId as WireBroker, GroupId, ListOffsetsRequest, TopicName};
use kafka_protocol::protocol::StrBytes;
use milena_coordinator::group::{Reply, Request};
use milena_coordinator::image::MetadataImage;
use milena_storage::ids::{BrokerId, PartitionIndex};

use super::super::Port;
use crate::api::{Cx, Outcome};
use crate::replication::pool::PeerPool;
use crate::shard::Question;
use crate::state::BrokerState;

/// How long another broker may take to tell the ends of its logs.
const PATIENCE: Duration = Duration::from_secs(2);
/// A version of ListOffsets that every broker of ours serves, and of OffsetFetch.
const LIST_OFFSETS: i16 = 9;
const OFFSET_FETCH: i16 = 9;
const CONSUMER: i32 = -1;
const LATEST: i64 = -1;

/// One group.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) name: String,
    pub(super) members: usize,
    /// By topic and partition.
    pub(super) commits: BTreeMap<(String, i32), Commit>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Commit {
    pub(super) offset: i64,
    /// The partition's high watermark, if it is known.
    pub(super) end: Option<i64>,
}

/// Asks for all of them.
pub(super) async fn gather(port: &Port) -> Vec<Group> {
    let (state, caller) = (&port.state, port.caller());
    let cx = |version| port.cx(&caller, version);
    let listed = match state.shards.list(&cx(OFFSET_FETCH), &[], &[]) {
        Outcome::Now(list) => list,
        Outcome::Later(list) => list.await,
        Outcome::Nothing | Outcome::Close => return Vec::new(),
    };
    let mut groups = Vec::new();
    for group in listed.groups {
        let name = group.group_id.to_string();
        let is_new = group.group_type.eq_ignore_ascii_case("consumer");
        let describe = if is_new {
            Request::DescribeConsumer { groups: vec![name.clone()] }
        } else {
            Request::Describe { groups: vec![name.clone()] }
        };
        let members = ask(state, &cx(OFFSET_FETCH), &name, describe).await;
        let asked = OffsetFetchRequestGroup::default().with_group_id(GroupId(group.group_id.0.clone()));
        let offsets = Request::FetchOffsets { group: asked.with_topics(None), require_stable: false };
        let offsets = ask(state, &cx(OFFSET_FETCH), &name, offsets).await;
        groups.push(Group { name, members: count(&members), commits: commits(&offsets) });
    }
    groups.sort_by(|a, b| a.name.cmp(&b.name));
    note_ends(state, &mut groups).await;
    groups
}

async fn ask(state: &Arc<BrokerState>, cx: &Cx<'_>, group: &str, request: Request) -> Reply {
    let asked = state.shards.ask(cx, group, Question::new(cx, request));
    asked.wait().await
}

fn count(reply: &Reply) -> usize {
    match reply {
        Reply::Describe(groups) => groups.iter().map(|group| group.members.len()).sum(),
        Reply::DescribeConsumer(groups) => groups.iter().map(|group| group.members.len()).sum(),
        _ => 0,
    }
}

fn commits(reply: &Reply) -> BTreeMap<(String, i32), Commit> {
    let Reply::FetchOffsets(group) = reply else { return BTreeMap::new() };
    let partitions =
        group.topics.iter().flat_map(|topic| topic.partitions.iter().map(move |each| (topic, each)));
    partitions
        .filter(|(_, partition)| partition.committed_offset >= 0)
        .map(|(topic, partition)| {
            let key = (topic.name.to_string(), partition.partition_index);
            (key, Commit { offset: partition.committed_offset, end: None })
        })
        .collect()
}

/// Finds the ends of the logs, here and with their leaders.
async fn note_ends(state: &Arc<BrokerState>, groups: &mut [Group]) {
    let image = state.image.load_full();
    let mut ends: BTreeMap<(String, i32), Option<i64>> = BTreeMap::new();
    for key in groups.iter().flat_map(|group| group.commits.keys()) {
        ends.entry(key.clone()).or_insert_with(|| own_end(state, &image, key));
    }
    let mut elsewhere: BTreeMap<BrokerId, BTreeMap<&str, Vec<i32>>> = BTreeMap::new();
    for (topic, partition) in ends.iter().filter(|(_, end)| end.is_none()).map(|(key, _)| key) {
        let leader = image.partition(topic, PartitionIndex(*partition)).and_then(|found| found.leader);
        if let Some(leader) = leader.filter(|leader| *leader != state.id) {
            elsewhere.entry(leader).or_default().entry(topic).or_default().push(*partition);
        }
    }
    let mut found = Vec::new();
    if !elsewhere.is_empty() {
        let peers = PeerPool::new(state.id, state.image.clone(), state.settings.clone());
        for (leader, topics) in &elsewhere {
            found.extend(ends_of(&peers, *leader, topics).await);
        }
    }
    ends.extend(found.into_iter().map(|(key, end)| (key, Some(end))));
    for (key, commit) in groups.iter_mut().flat_map(|group| &mut group.commits) {
        commit.end = ends.get(key).copied().flatten();
    }
}

fn own_end(state: &BrokerState, image: &MetadataImage, (topic, partition): &(String, i32)) -> Option<i64> {
    let leader = image.partition(topic, PartitionIndex(*partition))?.leader?;
    let log = state.partitions.get(topic, *partition)?;
    (leader == state.id).then(|| log.high_watermark().0)
}

async fn ends_of(
    peers: &PeerPool,
    leader: BrokerId,
    topics: &BTreeMap<&str, Vec<i32>>,
) -> Vec<((String, i32), i64)> {
    let partition =
        |index: &i32| ListOffsetsPartition::default().with_partition_index(*index).with_timestamp(LATEST);
    let topics = topics.iter().map(|(name, partitions)| {
        ListOffsetsTopic::default()
            .with_name(TopicName(StrBytes::from_string((*name).to_owned())))
            .with_partitions(partitions.iter().map(partition).collect())
    });
    let request =
        ListOffsetsRequest::default().with_replica_id(WireBroker(CONSUMER)).with_topics(topics.collect());
    let answer = tokio::time::timeout(PATIENCE, peers.ask(leader, LIST_OFFSETS, &request)).await;
    let Ok(Ok(answer)) = answer else { return Vec::new() };
    let partitions =
        answer.topics.iter().flat_map(|topic| topic.partitions.iter().map(move |each| (topic, each)));
    partitions
        .filter(|(_, partition)| partition.error_code == 0)
        .map(|(topic, each)| ((topic.name.to_string(), each.partition_index), each.offset))
        .collect()
}
