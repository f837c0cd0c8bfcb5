//! ElectLeaders: 43, v0–2. Preferred and, when asked for, unclean elections (KIP-183, KIP-460).
//!
//! Behaviour: asked about all partitions (null), those that need no election are left out. Decisions:
//! `controller::elect_leaders`.
//! Versions: 1 election type, 2 flexible.

use std::ops::RangeInclusive;

use kafka_protocol::messages::elect_leaders_response::{PartitionResult, ReplicaElectionResult};
use kafka_protocol::messages::{ElectLeadersRequest, ElectLeadersResponse};
use milena_coordinator::controller::Refusal;

use super::{Cx, Outcome};

pub const VERSIONS: RangeInclusive<i16> = 0..=2;

pub fn handle(cx: &Cx<'_>, request: ElectLeadersRequest) -> Outcome<ElectLeadersResponse> {
    let quorum = match cx.broker.quorum() {
        Ok(quorum) => quorum.clone(),
        Err(refusal) => return refuse(&request, &refusal).into(),
    };
    Outcome::later(async move {
        quorum.elect_leaders(request.clone()).await.unwrap_or_else(|refusal| refuse(&request, &refusal))
    })
}

/// The answer when the request as a whole is refused.
pub fn refuse(request: &ElectLeadersRequest, refusal: &Refusal) -> ElectLeadersResponse {
    let result = |index: &i32| {
        PartitionResult::default()
            .with_partition_id(*index)
            .with_error_code(refusal.code.code())
            .with_error_message(refusal.wire_message())
    };
    let topics = request.topic_partitions.iter().flatten().map(|topic| {
        ReplicaElectionResult::default()
            .with_topic(topic.topic.clone())
            .with_partition_result(topic.partitions.iter().map(result).collect())
    });
    ElectLeadersResponse::default()
        .with_error_code(refusal.code.code())
        .with_replica_election_results(topics.collect())
}
