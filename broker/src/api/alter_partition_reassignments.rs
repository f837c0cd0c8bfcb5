//! AlterPartitionReassignments: 45, v0–1. Moves replicas to other brokers, or calls a move off (KIP-455).
//!
//! Behaviour: every partition is answered by itself. Decisions: `controller::alter_partition_reassignments`.
//! Versions: 1 whether the number of replicas may change (KIP-860).

use std::ops::RangeInclusive;

use kafka_protocol::messages::{AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse};
use milena_coordinator::controller::Refusal;

use super::{Cx, Outcome};

pub const VERSIONS: RangeInclusive<i16> = 0..=1;

pub fn handle(
    cx: &Cx<'_>,
    request: AlterPartitionReassignmentsRequest,
) -> Outcome<AlterPartitionReassignmentsResponse> {
    let quorum = match cx.broker.quorum() {
        Ok(quorum) => quorum.clone(),
        Err(refusal) => return refuse(&refusal).into(),
    };
    Outcome::later(async move {
        let allows = request.allow_replication_factor_change;
        match quorum.alter_partition_reassignments(request).await {
            Ok(responses) => AlterPartitionReassignmentsResponse::default()
                .with_allow_replication_factor_change(allows)
                .with_responses(responses),
            Err(refusal) => refuse(&refusal),
        }
    })
}

/// The answer when the request as a whole is refused.
fn refuse(refusal: &Refusal) -> AlterPartitionReassignmentsResponse {
    AlterPartitionReassignmentsResponse::default()
        .with_error_code(refusal.code.code())
        .with_error_message(refusal.wire_message())
}
