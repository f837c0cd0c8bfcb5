//! DescribeCluster: 60, v0–2. The brokers of the cluster and its controller (KIP-700).
//!
//! Behaviour: only brokers that have the caller's listener; a controller that is not among them is −1. A listener of
//! controllers tells of the quorum's voters and its leader instead; each kind of listener refuses to be taken for the other.
//! Versions: 0 flexible, 1 endpoint type (KIP-919), 2 fenced brokers (KIP-1073).

use std::ops::RangeInclusive;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use kafka_protocol::messages::{BrokerId, DescribeClusterRequest, DescribeClusterResponse};
use kafka_protocol::protocol::StrBytes;

use super::operations;
use super::partition_view::{controller, wire};
use super::{Cx, EndpointKind, Outcome};

pub const VERSIONS: RangeInclusive<i16> = 0..=2;

const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;

pub fn handle(cx: &Cx<'_>, request: DescribeClusterRequest) -> Outcome<DescribeClusterResponse> {
    let wanted = match request.endpoint_type {
        BROKERS => EndpointKind::Broker,
        CONTROLLERS => EndpointKind::Controller,
        other => {
            let message = format!("Unsupported endpoint type {other}");
            return refuse(cx.version, ResponseError::UnsupportedEndpointType, message).into();
        }
    };
    if wanted != cx.caller.endpoint {
        let message = format!(
            "The request was sent to an endpoint of type {}, but we wanted an endpoint of type {}",
            name(cx.caller.endpoint),
            name(wanted)
        );
        return refuse(cx.version, ResponseError::MismatchedEndpointType, message).into();
    }
    let (nodes, controller) = match wanted {
        EndpointKind::Broker => brokers(cx, request.include_fenced_brokers),
        EndpointKind::Controller => voters(cx),
    };
    let is_listed = nodes.iter().any(|node| node.broker_id == controller);
    DescribeClusterResponse::default()
        .with_endpoint_type(request.endpoint_type)
        .with_cluster_id(StrBytes::from_string(cx.image.cluster_id.to_string()))
        .with_controller_id(if is_listed { controller } else { BrokerId(-1) })
        .with_brokers(nodes)
        .with_cluster_authorized_operations(if request.include_cluster_authorized_operations {
            operations::CLUSTER
        } else {
            operations::NOT_ASKED
        })
        .into()
}

fn name(endpoint: EndpointKind) -> &'static str {
    match endpoint {
        EndpointKind::Broker => "BROKER",
        EndpointKind::Controller => "CONTROLLER",
    }
}

fn brokers(cx: &Cx<'_>, with_fenced: bool) -> (Vec<DescribeClusterBroker>, BrokerId) {
    let brokers =
        cx.image.brokers.values().filter(|broker| !broker.fenced || with_fenced).filter_map(|broker| {
            let endpoint = broker.endpoint(&cx.caller.listener)?;
            Some(
                DescribeClusterBroker::default()
                    .with_broker_id(wire(&broker.id))
                    .with_host(StrBytes::from_string(endpoint.host.clone()))
                    .with_port(i32::from(endpoint.port))
                    .with_rack(broker.rack.clone().map(StrBytes::from_string))
                    .with_is_fenced(broker.fenced),
            )
        });
    (brokers.collect(), controller(&cx.image))
}

/// The quorum as this node knows it.
fn voters(cx: &Cx<'_>) -> (Vec<DescribeClusterBroker>, BrokerId) {
    let Ok(quorum) = cx.broker.quorum() else { return (Vec::new(), BrokerId(-1)) };
    let known = quorum.ensemble().quorum();
    let voters = known.voters.iter().filter_map(|voter| {
        let (host, port) = host_and_port(&voter.address)?;
        let host = StrBytes::from_string(host.to_owned());
        Some(
            DescribeClusterBroker::default()
                .with_broker_id(BrokerId(voter.id))
                .with_host(host)
                .with_port(i32::from(port)),
        )
    });
    (voters.collect(), BrokerId(known.leader.unwrap_or(-1)))
}

/// The parts of a voter's address; an address of IPv6 without its brackets.
pub(super) fn host_and_port(address: &str) -> Option<(&str, u16)> {
    let (host, port) = address.rsplit_once(':')?;
    Some((host.trim_start_matches('[').trim_end_matches(']'), port.parse().ok()?))
}

/// The answer when the request as a whole is refused; v0 knows no endpoint types.
fn refuse(version: i16, code: ResponseError, message: String) -> DescribeClusterResponse {
    let code = if version == 0 { ResponseError::InvalidRequest } else { code };
    DescribeClusterResponse::default()
        .with_error_code(code.code())
        .with_error_message(Some(StrBytes::from_string(message)))
}
