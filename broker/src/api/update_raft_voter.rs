//! UpdateRaftVoter: 82, v0, on listeners of controllers. A voter tells where it is reached and what it understands (KIP-853).
//!
//! Behaviour: `KafkaRaftClient.handleUpdateVoterRequest` and `UpdateVoterHandler`: only the leader of the epoch that the caller
//! names answers, and every answer names the leader. A voter of another directory is VOTER_NOT_FOUND. Milena's own nodes do not
//! ask: their leader learns directories from links.

use std::ops::RangeInclusive;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::update_raft_voter_request::KRaftVersionFeature;
use kafka_protocol::messages::update_raft_voter_response::CurrentLeader;
use kafka_protocol::messages::{BrokerId, UpdateRaftVoterRequest, UpdateRaftVoterResponse};
use kafka_protocol::protocol::StrBytes;
use milena_coordinator::controller::Refusal;
use milena_coordinator::ensemble::{self, Member};

use super::add_raft_voter::{address, check_cluster, default_listener};
use super::describe_cluster::host_and_port;
use super::{Cx, Outcome};
use crate::quorum::Quorum;

pub const VERSIONS: RangeInclusive<i16> = 0..=0;

/// The level of `kraft.version` that a quorum with directories has.
const KRAFT_VERSION: i16 = 1;

pub fn handle(cx: &Cx<'_>, request: UpdateRaftVoterRequest) -> Outcome<UpdateRaftVoterResponse> {
    let quorum = match cx.broker.quorum() {
        Ok(quorum) => quorum.clone(),
        Err(refusal) => {
            return UpdateRaftVoterResponse::default().with_error_code(refusal.code.code()).into();
        }
    };
    let told = quorum.ensemble().quorum();
    let checked = check_cluster(&cx.image, request.cluster_id.as_ref())
        .map_err(|refusal| refusal.code)
        .and_then(|()| check_leader(request.current_leader_epoch, &told, quorum.controls()))
        .and_then(|()| voter(&request, &default_listener(cx)));
    match checked {
        Err(code) => answer(&told, Some(code)).into(),
        Ok(member) => Outcome::later(async move { update(&quorum, member).await }),
    }
}

async fn update(quorum: &Quorum, member: Member) -> UpdateRaftVoterResponse {
    let updated = quorum.update_voter(member).await;
    answer(&quorum.ensemble().quorum(), updated.err().map(|Refusal { code, .. }| code))
}

/// `KafkaRaftClient.validateLeaderOnlyRequest`.
fn check_leader(epoch: i32, quorum: &ensemble::Quorum, leads: bool) -> Result<(), ResponseError> {
    let current = self::epoch(quorum);
    if epoch < current {
        Err(ResponseError::FencedLeaderEpoch)
    } else if epoch > current {
        Err(ResponseError::UnknownLeaderEpoch)
    } else if leads {
        Ok(())
    } else {
        Err(ResponseError::NotLeaderOrFollower)
    }
}

fn epoch(quorum: &ensemble::Quorum) -> i32 {
    i32::try_from(quorum.term).unwrap_or(i32::MAX)
}

/// The voter that is told, if the request tells all of it.
fn voter(request: &UpdateRaftVoterRequest, default: &str) -> Result<Member, ResponseError> {
    let KRaftVersionFeature { min_supported_version: min, max_supported_version: max, .. } =
        request.k_raft_version_feature;
    let listener = request.listeners.iter().find(|each| each.name.eq_ignore_ascii_case(default));
    let is_whole = request.voter_id >= 0 && !request.voter_directory_id.is_nil();
    // A range that is none, and one without the level of this cluster.
    let understands = (0..=KRAFT_VERSION).contains(&min) && KRAFT_VERSION <= max;
    match listener {
        Some(listener) if is_whole && understands => Ok(Member {
            id: request.voter_id,
            address: address(&listener.host, listener.port),
            directory: request.voter_directory_id,
        }),
        _ => Err(ResponseError::InvalidRequest),
    }
}

fn answer(quorum: &ensemble::Quorum, code: Option<ResponseError>) -> UpdateRaftVoterResponse {
    let mut leader = CurrentLeader::default()
        .with_leader_id(BrokerId(quorum.leader.unwrap_or(-1)))
        .with_leader_epoch(epoch(quorum));
    let voter = quorum.voters.iter().find(|voter| Some(voter.id) == quorum.leader);
    if let Some((host, port)) = voter.and_then(|voter| host_and_port(&voter.address)) {
        leader = leader.with_host(StrBytes::from_string(host.to_owned())).with_port(i32::from(port));
    }
    UpdateRaftVoterResponse::default()
        .with_error_code(code.map_or(0, |code| code.code()))
        .with_current_leader(leader)
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::update_raft_voter_request::Listener;
    use uuid::Uuid;

    use super::*;

    fn request() -> UpdateRaftVoterRequest {
        let listener = Listener::default()
            .with_name(StrBytes::from_static_str("controller"))
            .with_host(StrBytes::from_static_str("h"))
            .with_port(9093);
        UpdateRaftVoterRequest::default()
            .with_voter_id(3)
            .with_voter_directory_id(Uuid::from_u128(5))
            .with_listeners(vec![listener])
            .with_k_raft_version_feature(
                KRaftVersionFeature::default().with_min_supported_version(0).with_max_supported_version(1),
            )
    }

    #[test]
    fn a_request_that_does_not_tell_all_is_invalid() {
        let member = Member { id: 3, address: "h:9093".to_owned(), directory: Uuid::from_u128(5) };
        assert_eq!(voter(&request(), "CONTROLLER"), Ok(member));
        let range = |min, max| {
            KRaftVersionFeature::default().with_min_supported_version(min).with_max_supported_version(max)
        };
        for bad in [
            request().with_voter_id(-1),
            request().with_voter_directory_id(Uuid::nil()),
            request().with_listeners(Vec::new()),
            request().with_k_raft_version_feature(range(-1, 1)),
            request().with_k_raft_version_feature(range(2, 1)),
            request().with_k_raft_version_feature(range(0, 0)),
        ] {
            assert_eq!(voter(&bad, "CONTROLLER"), Err(ResponseError::InvalidRequest), "{bad:?}");
        }
        assert!(voter(&request(), "OTHER").is_err());
    }

    #[test]
    fn only_the_leader_of_the_named_epoch_answers_and_every_answer_names_it() {
        let replica = ensemble::Replica {
            id: 1,
            log_end: None,
            heard: None,
            directory: Uuid::nil(),
            address: "[::1]:7".to_owned(),
            is_linked: true,
        };
        let quorum = ensemble::Quorum {
            leader: Some(1),
            term: 4,
            committed_end: 0,
            voters: vec![replica],
            learners: Vec::new(),
        };
        assert_eq!(check_leader(3, &quorum, true), Err(ResponseError::FencedLeaderEpoch));
        assert_eq!(check_leader(5, &quorum, true), Err(ResponseError::UnknownLeaderEpoch));
        assert_eq!(check_leader(4, &quorum, false), Err(ResponseError::NotLeaderOrFollower));
        assert_eq!(check_leader(4, &quorum, true), Ok(()));
        let told = answer(&quorum, Some(ResponseError::VoterNotFound));
        let CurrentLeader { leader_id, leader_epoch, host, port, .. } = told.current_leader;
        assert_eq!((leader_id.0, leader_epoch, &*host, port), (1, 4, "::1", 7));
    }
}
