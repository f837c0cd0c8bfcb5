//! DescribeCluster: 60, v0–2. The brokers of the cluster and its controller (KIP-700).
//!
//! Behaviour: only brokers that have the caller's listener; a controller that is not among them is −1; asked for
//! controllers (endpoint type 2) a broker says that it is none.
//! Versions: 0 flexible, 1 endpoint type (KIP-919), 2 fenced brokers (KIP-1073).

use std::ops::RangeInclusive;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use kafka_protocol::messages::{BrokerId, DescribeClusterRequest, DescribeClusterResponse};
use kafka_protocol::protocol::StrBytes;

use super::operations;
use super::partition_view::{controller, wire};
use super::{Cx, Outcome};

pub const VERSIONS: RangeInclusive<i16> = 0..=2;

const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;

pub fn handle(cx: &Cx<'_>, request: DescribeClusterRequest) -> Outcome<DescribeClusterResponse> {
    match request.endpoint_type {
        BROKERS => {}
        CONTROLLERS => {
            let message = "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type \
                           CONTROLLER";
            return refuse(cx.version, ResponseError::MismatchedEndpointType, message.into()).into();
        }
        other => {
            let message = format!("Unsupported endpoint type {other}");
            return refuse(cx.version, ResponseError::UnsupportedEndpointType, message).into();
        }
    }
    let brokers: Vec<_> = cx
        .image
        .brokers
        .values()
        .filter(|broker| !broker.fenced || request.include_fenced_brokers)
        .filter_map(|broker| {
            let endpoint = broker.endpoint(&cx.caller.listener)?;
            Some(
                DescribeClusterBroker::default()
                    .with_broker_id(wire(&broker.id))
                    .with_host(StrBytes::from_string(endpoint.host.clone()))
                    .with_port(i32::from(endpoint.port))
                    .with_rack(broker.rack.clone().map(StrBytes::from_string))
                    .with_is_fenced(broker.fenced),
            )
        })
        .collect();
    let controller = controller(&cx.image);
    let is_listed = brokers.iter().any(|broker| broker.broker_id == controller);
    DescribeClusterResponse::default()
        .with_cluster_id(StrBytes::from_string(cx.image.cluster_id.to_string()))
        .with_controller_id(if is_listed { controller } else { BrokerId(-1) })
        .with_brokers(brokers)
        .with_cluster_authorized_operations(if request.include_cluster_authorized_operations {
            operations::CLUSTER
        } else {
            operations::NOT_ASKED
        })
        .into()
}

/// The answer when the request as a whole is refused; v0 knows no endpoint types.
fn refuse(version: i16, code: ResponseError, message: String) -> DescribeClusterResponse {
    let code = if version == 0 { ResponseError::InvalidRequest } else { code };
    DescribeClusterResponse::default()
        .with_error_code(code.code())
        .with_error_message(Some(StrBytes::from_string(message)))
}
