//! Answers that only tell an error, for the APIs that tests have refused (AbstractRequest.getErrorResponse).
//!
//! Must never apply anything of the request.

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::create_topics_response::CreatableTopicResult;
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::metadata_response::MetadataResponseTopic;
use kafka_protocol::messages::*;
use milena_coordinator::group::{self, Reply, Request};

use super::{Head, answer};
use crate::api::{
    Cx, Outcome, add_partitions_to_txn, list_offsets, offset_commit, offset_fetch, produce, txn_offset_commit,
};
use crate::codec::produce_request::ProduceRequest;
use crate::codec::produce_response::ProduceAnswer;
use crate::net::{Closing, Served};

/// APIs that have such an answer here. Fetch is refused by partition, where it is served.
pub(in crate::api) const REFUSED: &[i16] =
    &[0, 1, 2, 3, 8, 9, 10, 11, 12, 13, 14, 16, 19, 20, 22, 24, 25, 26, 28, 60, 68];

/// The answer of an API whose response has its error at the top.
macro_rules! flat {
    ($cx:expr, $head:expr, $body:expr, $error:expr, $request:ty, $response:ty) => {
        answer::<$request, $response>($cx, $head, $body, |_, _| {
            <$response>::default().with_error_code($error.code()).into()
        })
    };
}

/// The answer of a group's API, as its coordinator refuses.
macro_rules! of_group {
    ($cx:expr, $head:expr, $body:expr, $error:expr, $kind:ident, $request:ty, $response:ty) => {
        answer::<$request, $response>($cx, $head, $body, |cx, request| {
            match group::refusal(cx.version, &Request::$kind(request), $error) {
                Reply::$kind(response) => response.into(),
                _ => Outcome::Close,
            }
        })
    };
}

/// Answers with this error and nothing else; a key that has no such answer closes the connection.
pub(super) fn refuse(cx: &Cx<'_>, head: Head, key: i16, body: Bytes, error: ResponseError) -> Served {
    match key {
        0 => answer::<ProduceRequest, ProduceAnswer>(cx, head, body, |cx, request| match request.acks {
            0 => Outcome::Close,
            _ => produce::refuse_for_now(cx, &request, error).into(),
        }),
        2 => answer::<list_offsets::Asked, list_offsets::Told>(cx, head, body, |_, request| {
            list_offsets::refuse(&request, error).into()
        }),
        3 => answer::<MetadataRequest, MetadataResponse>(cx, head, body, |_, request| {
            metadata(&request, error).into()
        }),
        10 => answer::<FindCoordinatorRequest, FindCoordinatorResponse>(cx, head, body, |cx, request| {
            coordinator(cx.version, &request, error).into()
        }),
        8..=16 => refuse_group(cx, head, key, body, error),
        19 => answer::<CreateTopicsRequest, CreateTopicsResponse>(cx, head, body, |_, request| {
            let refused = request.topics.iter().map(|topic| {
                CreatableTopicResult::default().with_name(topic.name.clone()).with_error_code(error.code())
            });
            CreateTopicsResponse::default().with_topics(refused.collect()).into()
        }),
        20 => answer::<DeleteTopicsRequest, DeleteTopicsResponse>(cx, head, body, |_, request| {
            deletion(&request, error).into()
        }),
        60 => flat!(cx, head, body, error, DescribeClusterRequest, DescribeClusterResponse),
        68 => of_group!(
            cx,
            head,
            body,
            error,
            ConsumerHeartbeat,
            ConsumerGroupHeartbeatRequest,
            ConsumerGroupHeartbeatResponse
        ),
        _ => refuse_transaction(cx, head, key, body, error),
    }
}

fn refuse_group(cx: &Cx<'_>, head: Head, key: i16, body: Bytes, error: ResponseError) -> Served {
    match key {
        8 => answer::<offset_commit::Asked, OffsetCommitResponse>(cx, head, body, |_, request| {
            offset_commit::refuse_all(&request, error).into()
        }),
        9 => answer::<offset_fetch::Asked, OffsetFetchResponse>(cx, head, body, |cx, request| {
            offset_fetch::refuse_all(cx.version, request, error).into()
        }),
        11 => of_group!(cx, head, body, error, Join, JoinGroupRequest, JoinGroupResponse),
        12 => of_group!(cx, head, body, error, Heartbeat, HeartbeatRequest, HeartbeatResponse),
        13 => of_group!(cx, head, body, error, Leave, LeaveGroupRequest, LeaveGroupResponse),
        14 => of_group!(cx, head, body, error, Sync, SyncGroupRequest, SyncGroupResponse),
        16 => flat!(cx, head, body, error, ListGroupsRequest, ListGroupsResponse),
        _ => Served::Close(Closing::Asked),
    }
}

fn refuse_transaction(cx: &Cx<'_>, head: Head, key: i16, body: Bytes, error: ResponseError) -> Served {
    match key {
        22 => answer::<InitProducerIdRequest, InitProducerIdResponse>(cx, head, body, |_, _| {
            let nobody = InitProducerIdResponse::default().with_producer_id(ProducerId(-1));
            nobody.with_producer_epoch(-1).with_error_code(error.code()).into()
        }),
        24 => {
            answer::<AddPartitionsToTxnRequest, AddPartitionsToTxnResponse>(cx, head, body, |_, request| {
                add_partitions_to_txn::refuse(&request, error.code()).into()
            })
        }
        25 => flat!(cx, head, body, error, AddOffsetsToTxnRequest, AddOffsetsToTxnResponse),
        26 => answer::<EndTxnRequest, EndTxnResponse>(cx, head, body, |_, _| {
            let nobody = EndTxnResponse::default().with_producer_id(ProducerId(-1));
            nobody.with_producer_epoch(-1).with_error_code(error.code()).into()
        }),
        28 => answer::<TxnOffsetCommitRequest, TxnOffsetCommitResponse>(cx, head, body, |_, request| {
            txn_offset_commit::refuse(&request, error.code()).into()
        }),
        _ => Served::Close(Closing::Asked),
    }
}

/// Tells the error of each topic that is asked for; brokers stay unknown, so that clients keep those that they have.
fn metadata(request: &MetadataRequest, error: ResponseError) -> MetadataResponse {
    let topics = request.topics.iter().flatten().map(|topic| {
        MetadataResponseTopic::default()
            .with_name(topic.name.clone())
            .with_topic_id(topic.topic_id)
            .with_error_code(error.code())
    });
    MetadataResponse::default().with_topics(topics.collect())
}

/// From version 4 on the request names several keys, and the answer tells of each.
fn coordinator(
    version: i16,
    request: &FindCoordinatorRequest,
    error: ResponseError,
) -> FindCoordinatorResponse {
    if version < 4 {
        let nobody = FindCoordinatorResponse::default().with_error_code(error.code());
        return nobody.with_node_id(BrokerId(-1)).with_port(-1);
    }
    let refused = request.coordinator_keys.iter().map(|key| {
        Coordinator::default()
            .with_key(key.clone())
            .with_error_code(error.code())
            .with_node_id(BrokerId(-1))
            .with_port(-1)
    });
    FindCoordinatorResponse::default().with_coordinators(refused.collect())
}

fn deletion(request: &DeleteTopicsRequest, error: ResponseError) -> DeleteTopicsResponse {
    let refused = |name: Option<TopicName>| {
        DeletableTopicResult::default().with_name(name).with_error_code(error.code())
    };
    let mut responses: Vec<_> = request.topic_names.iter().map(|name| refused(Some(name.clone()))).collect();
    let by_id = request.topics.iter().map(|topic| refused(topic.name.clone()).with_topic_id(topic.topic_id));
    responses.extend(by_id);
    DeleteTopicsResponse::default().with_responses(responses)
}
