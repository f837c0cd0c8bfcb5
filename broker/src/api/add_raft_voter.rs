//! AddRaftVoter: 80, v0. Gives a controller that runs already a vote in the quorum (KIP-853).
//!
//! Behaviour: checked as `KafkaRaftClient.handleAddVoterRequest` does, by the leader; any node passes the request on. The answer
//! comes when the change is committed; v1, with which controllers ask for themselves to hear earlier, is not served.

use std::ops::RangeInclusive;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{AddRaftVoterRequest, AddRaftVoterResponse};
use kafka_protocol::protocol::StrBytes;
use milena_coordinator::controller::Refusal;
use milena_coordinator::image::MetadataImage;

use super::{Cx, Outcome};
use crate::quorum::VoterChange;

pub const VERSIONS: RangeInclusive<i16> = 0..=0;

pub fn handle(cx: &Cx<'_>, request: AddRaftVoterRequest) -> Outcome<AddRaftVoterResponse> {
    let change = check_cluster(&cx.image, request.cluster_id.as_ref()).and_then(|()| change(cx, &request));
    match (change, cx.broker.quorum()) {
        (Ok(change), Ok(quorum)) => {
            let quorum = quorum.clone();
            Outcome::later(async move { answer(quorum.change_voters(change).await) })
        }
        (Err(refusal), _) | (_, Err(refusal)) => answer(Err(refusal)).into(),
    }
}

fn change(cx: &Cx<'_>, request: &AddRaftVoterRequest) -> Result<VoterChange, Refusal> {
    let invalid = |message: String| Refusal::new(ResponseError::InvalidRequest, message);
    if request.voter_id < 0 || request.voter_directory_id.is_nil() {
        return Err(invalid("Add voter request didn't include a valid voter".to_owned()));
    }
    let names = cx.broker.settings.load().quorum().listener_names;
    let default = names.first().map_or("CONTROLLER", String::as_str);
    let listener = request.listeners.iter().find(|each| each.name.eq_ignore_ascii_case(default));
    let Some(listener) = listener else {
        let told: Vec<_> = request
            .listeners
            .iter()
            .map(|each| format!("{}={}:{}", &*each.name, &*each.host, each.port))
            .collect();
        return Err(invalid(format!(
            "Add voter request didn't include the endpoint ({}) for the default listener {default}",
            told.join(", ")
        )));
    };
    let host = &*listener.host;
    let address = if host.contains(':') {
        format!("[{host}]:{}", listener.port)
    } else {
        format!("{host}:{}", listener.port)
    };
    Ok(VoterChange::Add { id: request.voter_id, directory: request.voter_directory_id, address })
}

/// A cluster that is not named is taken to be this one.
pub(super) fn check_cluster(image: &MetadataImage, named: Option<&StrBytes>) -> Result<(), Refusal> {
    match named {
        Some(named) if **named != *image.cluster_id => {
            let message = format!(
                "The given id \"{}\" doesn't match the cluster id \"{}\"",
                &**named, image.cluster_id
            );
            Err(Refusal::new(ResponseError::InconsistentClusterId, message))
        }
        _ => Ok(()),
    }
}

fn answer(changed: Result<(), Refusal>) -> AddRaftVoterResponse {
    match changed {
        Ok(()) => AddRaftVoterResponse::default().with_error_message(None),
        Err(refusal) => AddRaftVoterResponse::default()
            .with_error_code(refusal.code.code())
            .with_error_message(refusal.wire_message()),
    }
}
