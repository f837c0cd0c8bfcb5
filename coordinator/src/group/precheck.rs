//! What is refused before any group is looked at, and how a whole request is refused.
//!
//! Must never depend on a group: the same answer has to come from every broker and every shard.
//!
//! Kafka: the checks at the head of each method of `GroupCoordinatorService`.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::GroupId;
use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::describe_groups_response::DescribedGroup;
use kafka_protocol::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartitions, OffsetFetchResponseTopics,
};
use kafka_protocol::messages::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, HeartbeatResponse, JoinGroupRequest,
    LeaveGroupResponse, ListGroupsResponse, OffsetCommitRequest, OffsetCommitResponse, OffsetDeleteResponse,
    SyncGroupRequest,
};
use kafka_protocol::protocol::StrBytes;

use super::offsets::txn_commit_refusal;
use super::{Caller, GroupConfig, Reply, Request, classic, consumer};

/// Records hold strings of at most 32,767 bytes, and a member id is a client's string with 37 more. Kafka meets
/// longer ones with an exception in its serializer, which clients see as an unknown server error.
const MAX_STRING: usize = 32_000;

/// From here on an offset fetch can be refused as a whole.
const FETCH_HAS_GROUP_ERROR: i16 = 2;
/// From here on a sync has to name the protocol (KIP-559).
const SYNC_NAMES_PROTOCOL: i16 = 5;

/// The refusal of a request that no group needs to see.
#[must_use]
pub fn precheck(config: &GroupConfig, caller: &Caller, request: &Request) -> Option<Reply> {
    if let Request::ConsumerHeartbeat(heartbeat) = request {
        let refused = consumer::check(&config.consumer, caller.api_version, heartbeat);
        return refused.or_else(|| check_lengths(caller, heartbeat)).map(Reply::ConsumerHeartbeat);
    }
    let fault = match request {
        Request::Join(join) => check_join(config, caller, join),
        Request::Sync(sync) => check_sync(caller, sync),
        Request::Heartbeat(heartbeat) => check_group(&heartbeat.group_id),
        Request::Leave(leave) => check_group(&leave.group_id),
        Request::DeleteOffsets(delete) => check_group(&delete.group_id),
        // Old clients may store offsets under the empty group id.
        Request::Commit(commit) if commit.group_id.len() > MAX_STRING => {
            Some(ResponseError::UnknownServerError)
        }
        Request::CommitInTransaction(commit) => check_group(&commit.group_id),
        Request::Commit(_)
        | Request::ConsumerHeartbeat(_)
        | Request::DescribeConsumer { .. }
        | Request::FetchOffsets { .. }
        | Request::List { .. }
        | Request::Describe { .. }
        | Request::Delete { .. }
        | Request::Rebalance { .. } => None,
    };
    fault.map(|error| refusal(caller.api_version, request, error))
}

fn check_group(id: &GroupId) -> Option<ResponseError> {
    id.is_empty().then_some(ResponseError::InvalidGroupId)
}

fn check_join(config: &GroupConfig, caller: &Caller, join: &JoinGroupRequest) -> Option<ResponseError> {
    if let Some(fault) = check_group(&join.group_id) {
        return Some(fault);
    }
    if join.session_timeout_ms < config.min_session_timeout_ms
        || join.session_timeout_ms > config.max_session_timeout_ms
    {
        return Some(ResponseError::InvalidSessionTimeout);
    }
    let instance = join.group_instance_id.as_ref().map_or(0, |id| id.len());
    let names = join.protocols.iter().map(|protocol| protocol.name.len());
    let fixed = [join.group_id.len(), join.protocol_type.len(), instance, caller.client_id.len()];
    let longest = names.chain(fixed).max().unwrap_or(0);
    (longest > MAX_STRING).then_some(ResponseError::UnknownServerError)
}

/// As for a join: these go into the keys of records.
fn check_lengths(
    caller: &Caller,
    heartbeat: &ConsumerGroupHeartbeatRequest,
) -> Option<ConsumerGroupHeartbeatResponse> {
    let pattern = heartbeat.subscribed_topic_regex.as_ref().map_or(0, |pattern| pattern.len());
    let names = [heartbeat.group_id.len(), heartbeat.member_id.len(), pattern, caller.client_id.len()];
    let too_long = names.into_iter().any(|length| length > MAX_STRING);
    too_long.then(|| consumer::refusal(ResponseError::UnknownServerError, None))
}

fn check_sync(caller: &Caller, sync: &SyncGroupRequest) -> Option<ResponseError> {
    let unnamed = sync.protocol_type.is_none() || sync.protocol_name.is_none();
    if caller.api_version >= SYNC_NAMES_PROTOCOL && unnamed {
        return Some(ResponseError::InconsistentGroupProtocol);
    }
    check_group(&sync.group_id)
}

/// The answer to a request that fails as a whole, as its version expresses it.
#[must_use]
pub fn refusal(version: i16, request: &Request, error: ResponseError) -> Reply {
    let code = error.code();
    match request {
        Request::Join(join) => Reply::Join(classic::join_refusal(version, &join.member_id, error)),
        Request::Sync(_) => Reply::Sync(classic::sync_refusal(error)),
        // A member must not be frightened by a coordinator that is only starting.
        Request::Heartbeat(_) if error == ResponseError::CoordinatorLoadInProgress => {
            Reply::Heartbeat(HeartbeatResponse::default())
        }
        Request::Heartbeat(_) => Reply::Heartbeat(HeartbeatResponse::default().with_error_code(code)),
        Request::Leave(_) => Reply::Leave(LeaveGroupResponse::default().with_error_code(code)),
        Request::ConsumerHeartbeat(_) => Reply::ConsumerHeartbeat(consumer::refusal(error, None)),
        Request::DescribeConsumer { groups } => Reply::DescribeConsumer(
            groups.iter().map(|group| consumer::describe_refusal(group, error)).collect(),
        ),
        Request::Commit(commit) => Reply::Commit(commit_refusal(commit, error)),
        Request::CommitInTransaction(commit) => Reply::CommitInTransaction(txn_commit_refusal(commit, error)),
        Request::FetchOffsets { group, .. } => Reply::FetchOffsets(fetch_refusal(version, group, error)),
        Request::DeleteOffsets(_) => {
            Reply::DeleteOffsets(OffsetDeleteResponse::default().with_error_code(code))
        }
        Request::List { .. } => Reply::List(ListGroupsResponse::default().with_error_code(code)),
        Request::Describe { groups } => {
            Reply::Describe(groups.iter().map(|group| describe_refusal(group, error)).collect())
        }
        Request::Rebalance { .. } => Reply::Rebalance(Some(error)),
        Request::Delete { groups } => {
            Reply::Delete(groups.iter().map(|group| delete_refusal(group, error)).collect())
        }
    }
}

pub(super) fn commit_refusal(request: &OffsetCommitRequest, error: ResponseError) -> OffsetCommitResponse {
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            OffsetCommitResponsePartition::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(error.code())
        });
        OffsetCommitResponseTopic::default()
            .with_name(topic.name.clone())
            .with_topic_id(topic.topic_id)
            .with_partitions(partitions.collect())
    });
    OffsetCommitResponse::default().with_topics(topics.collect())
}

pub(super) fn fetch_refusal(
    version: i16,
    group: &OffsetFetchRequestGroup,
    error: ResponseError,
) -> OffsetFetchResponseGroup {
    let refused = OffsetFetchResponseGroup::default().with_group_id(group.group_id.clone());
    if version >= FETCH_HAS_GROUP_ERROR {
        return refused.with_error_code(error.code());
    }
    let topics = group.topics.iter().flatten().map(|topic| {
        let partitions = topic.partition_indexes.iter().map(|&index| {
            OffsetFetchResponsePartitions::default()
                .with_partition_index(index)
                .with_error_code(error.code())
                .with_committed_offset(-1)
                .with_committed_leader_epoch(-1)
                .with_metadata(Some(StrBytes::new()))
        });
        OffsetFetchResponseTopics::default()
            .with_name(topic.name.clone())
            .with_partitions(partitions.collect())
    });
    refused.with_topics(topics.collect())
}

fn describe_refusal(group: &str, error: ResponseError) -> DescribedGroup {
    DescribedGroup::default()
        .with_group_id(GroupId(StrBytes::from_string(group.to_owned())))
        .with_error_code(error.code())
}

fn delete_refusal(group: &str, error: ResponseError) -> DeletableGroupResult {
    DeletableGroupResult::default()
        .with_group_id(GroupId(StrBytes::from_string(group.to_owned())))
        .with_error_code(error.code())
}
