//! RemoveRaftVoter: 81, v0. Takes a controller's vote away; it goes on as an observer (KIP-853).
//!
//! Behaviour: checked as `KafkaRaftClient.handleRemoveVoterRequest` does, by the leader, which may remove itself; any node passes
//! the request on.

use std::ops::RangeInclusive;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{RemoveRaftVoterRequest, RemoveRaftVoterResponse};
use milena_coordinator::controller::Refusal;

use super::add_raft_voter::check_cluster;
use super::{Cx, Outcome};
use crate::quorum::VoterChange;

pub const VERSIONS: RangeInclusive<i16> = 0..=0;

pub fn handle(cx: &Cx<'_>, request: RemoveRaftVoterRequest) -> Outcome<RemoveRaftVoterResponse> {
    let change = check_cluster(&cx.image, request.cluster_id.as_ref()).and_then(|()| change(&request));
    match (change, cx.broker.quorum()) {
        (Ok(change), Ok(quorum)) => {
            let quorum = quorum.clone();
            Outcome::later(async move { answer(quorum.change_voters(change).await) })
        }
        (Err(refusal), _) | (_, Err(refusal)) => answer(Err(refusal)).into(),
    }
}

fn change(request: &RemoveRaftVoterRequest) -> Result<VoterChange, Refusal> {
    if request.voter_id < 0 || request.voter_directory_id.is_nil() {
        let message = "Remove voter request didn't include a valid voter";
        return Err(Refusal::new(ResponseError::InvalidRequest, message));
    }
    Ok(VoterChange::Remove { id: request.voter_id, directory: request.voter_directory_id })
}

fn answer(changed: Result<(), Refusal>) -> RemoveRaftVoterResponse {
    match changed {
        Ok(()) => RemoveRaftVoterResponse::default().with_error_message(None),
        Err(refusal) => RemoveRaftVoterResponse::default()
            .with_error_code(refusal.code.code())
            .with_error_message(refusal.wire_message()),
    }
}
