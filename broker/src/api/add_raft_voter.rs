//! AddRaftVoter: 80, v0–1. Gives a controller that runs already a vote in the quorum (KIP-853).
//!
//! Behaviour: checked as `KafkaRaftClient.handleAddVoterRequest` does, by the leader; any node passes the request on. A node that is
//! not linked, or comes with another directory, is REQUEST_TIMED_OUT, as one that lags is.
//! Versions: 1 says whether the answer waits for the commit. It always does here: nobody that asks is held up by waiting, since
//! its log comes another way.

use std::ops::RangeInclusive;

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::add_raft_voter_request::Listener;
use kafka_protocol::messages::{AddRaftVoterRequest, AddRaftVoterResponse};
use kafka_protocol::protocol::StrBytes;
use milena_coordinator::controller::Refusal;
use milena_coordinator::image::MetadataImage;

use super::{Answer, Ask, Cx, MessageError, Outcome};
use crate::codec::flexible::Flexible;
use crate::net::frame::FrameBuilder;
use crate::quorum::VoterChange;

pub const VERSIONS: RangeInclusive<i16> = 0..=1;

/// The protocol crate's schema ends here; version 1 adds one field.
const SCHEMA_MAX: i16 = 0;

/// The response at any served version; 1 is as 0.
#[derive(Debug)]
pub struct Told(AddRaftVoterResponse);

/// The request at any served version.
#[derive(Debug)]
pub struct Asked(AddRaftVoterRequest);

pub fn handle(cx: &Cx<'_>, Asked(request): Asked) -> Outcome<Told> {
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
    let default = default_listener(cx);
    let listener = request.listeners.iter().find(|each| each.name.eq_ignore_ascii_case(&default));
    let Some(listener) = listener else {
        return Err(invalid(format!(
            "Add voter request didn't include the endpoint ({}) for the default listener ListenerName({default})",
            shown(&request.listeners)
        )));
    };
    let address = address(&listener.host, listener.port);
    Ok(VoterChange::Add { id: request.voter_id, directory: request.voter_directory_id, address })
}

/// As Kafka's `Endpoints` shows itself.
fn shown(listeners: &[Listener]) -> String {
    let one = |each: &Listener| {
        format!("ListenerName({})={}/<unresolved>:{}", each.name.to_uppercase(), &*each.host, each.port)
    };
    let all: Vec<_> = listeners.iter().map(one).collect();
    format!("Endpoints(endpoints={{{}}})", all.join(", "))
}

/// The first of `controller.listener.names`, by which controllers reach each other.
pub(super) fn default_listener(cx: &Cx<'_>) -> String {
    let names = cx.broker.settings.load().quorum().listener_names;
    names.into_iter().next().unwrap_or_else(|| "CONTROLLER".to_owned())
}

pub(super) fn address(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

impl Ask for Asked {
    fn decode(body: Bytes, version: i16) -> Result<Self, MessageError> {
        if version <= SCHEMA_MAX {
            return <AddRaftVoterRequest as Ask>::decode(body, version).map(Self);
        }
        let mut body = Flexible(body);
        let request = AddRaftVoterRequest::default()
            .with_cluster_id(body.nullable_string()?)
            .with_timeout_ms(body.i32()?)
            .with_voter_id(body.i32()?)
            .with_voter_directory_id(body.uuid()?)
            .with_listeners(body.array(|body| {
                let (name, host, port) = (body.string()?, body.string()?, body.u16()?);
                body.tags()?;
                Ok(Listener::default().with_name(name).with_host(host).with_port(port))
            })?);
        let _ack_when_committed = body.bool()?;
        body.tags()?;
        Ok(Self(request))
    }
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

fn answer(changed: Result<(), Refusal>) -> Told {
    Told(match changed {
        Ok(()) => AddRaftVoterResponse::default().with_error_message(None),
        Err(refusal) => AddRaftVoterResponse::default()
            .with_error_code(refusal.code.code())
            .with_error_message(refusal.wire_message()),
    })
}

impl Answer for Told {
    fn size_hint(&self, version: i16) -> usize {
        Answer::size_hint(&self.0, version.min(SCHEMA_MAX))
    }

    fn encode(self, version: i16, out: &mut FrameBuilder) -> Result<(), MessageError> {
        Answer::encode(self.0, version.min(SCHEMA_MAX), out)
    }
}

#[cfg(test)]
mod tests {
    use bytes::{BufMut, BytesMut};
    use kafka_protocol::protocol::Encodable;

    use super::*;

    #[test]
    fn version_1_is_version_0_with_one_more_field() {
        let listener = Listener::default()
            .with_name(StrBytes::from_static_str("CONTROLLER"))
            .with_host(StrBytes::from_static_str("::1"))
            .with_port(9093);
        let request = AddRaftVoterRequest::default()
            .with_cluster_id(None)
            .with_timeout_ms(30_000)
            .with_voter_id(7)
            .with_voter_directory_id(uuid::Uuid::from_u128(1 << 100))
            .with_listeners(vec![listener]);
        let mut body = BytesMut::new();
        Encodable::encode(&request, &mut body, 0).unwrap();
        assert_eq!(Asked::decode(body.clone().freeze(), 0).unwrap().0, request);
        body.truncate(body.len() - 1);
        body.put_u8(0);
        body.put_u8(0);
        assert_eq!(Asked::decode(body.freeze(), 1).unwrap().0, request);
        assert_eq!((address("::1", 9093), address("h", 1)), ("[::1]:9093".to_owned(), "h:1".to_owned()));
    }
}
