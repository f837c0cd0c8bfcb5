//! FindCoordinator: 10, v0–6. Which broker keeps a group or a transactional id.
//!
//! Versions: 1 key type and message, 3 flexible, 4 several keys (KIP-699), 6 share groups (KIP-932). The first one
//! creates the internal topic and, unlike Kafka's, waits for it instead of sending every client of a fresh broker
//! away once; 15 if it is not there then, or its partition has no live leader.

use std::ops::RangeInclusive;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::{BrokerId, FindCoordinatorRequest, FindCoordinatorResponse};
use kafka_protocol::protocol::StrBytes;
use milena_coordinator::image::MetadataImage;
use milena_coordinator::{group, transaction};
use milena_storage::ids::PartitionIndex;

use super::{Cx, Outcome};

pub const VERSIONS: RangeInclusive<i16> = 0..=6;

/// From here on the request names several keys.
const KEYS: i16 = 4;
/// From here on share groups may be asked for.
const SHARE_GROUPS: i16 = 6;

const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;
const SHARE: i8 = 2;

pub fn handle(cx: &Cx<'_>, request: FindCoordinatorRequest) -> Outcome<FindCoordinatorResponse> {
    let version = cx.version;
    let listener = cx.caller.listener.clone();
    let needed = match request.key_type {
        GROUP => group::TOPIC,
        TRANSACTION => transaction::TOPIC,
        _ => return Outcome::Now(answer(&cx.image, &listener, version, request)),
    };
    if cx.image.topic(needed).is_some() {
        return Outcome::Now(answer(&cx.image, &listener, version, request));
    }
    let broker = cx.broker.clone();
    Outcome::later(async move {
        // Whoever is not told of a coordinator asks again; the reason is in the log.
        if let Ok(quorum) = broker.quorum() {
            let _ = quorum.ensure_topic(needed).await;
        }
        answer(&broker.image.load_full(), &listener, version, request)
    })
}

fn answer(
    image: &MetadataImage,
    listener: &str,
    version: i16,
    request: FindCoordinatorRequest,
) -> FindCoordinatorResponse {
    let find = |key: &StrBytes| find(image, listener, version, request.key_type, key);
    if version >= KEYS {
        let coordinators = request.coordinator_keys.iter().map(|key| {
            let (error, node) = told(find(key));
            Coordinator::default()
                .with_key(key.clone())
                .with_error_code(error)
                .with_node_id(node.id)
                .with_host(node.host)
                .with_port(node.port)
        });
        return FindCoordinatorResponse::default().with_coordinators(coordinators.collect());
    }
    let (error, node) = told(find(&request.key));
    FindCoordinatorResponse::default()
        .with_error_code(error)
        .with_error_message(Some(StrBytes::from_static_str(message(error))))
        .with_node_id(node.id)
        .with_host(node.host)
        .with_port(node.port)
}

struct Node {
    id: BrokerId,
    host: StrBytes,
    port: i32,
}

fn told(found: Result<Node, ResponseError>) -> (i16, Node) {
    match found {
        Ok(node) => (0, node),
        Err(error) => (error.code(), Node { id: BrokerId(-1), host: StrBytes::new(), port: -1 }),
    }
}

fn find(
    image: &MetadataImage,
    listener: &str,
    version: i16,
    key_type: i8,
    key: &str,
) -> Result<Node, ResponseError> {
    let topic = match key_type {
        GROUP => image.topic(group::TOPIC),
        TRANSACTION => image.topic(transaction::TOPIC),
        // Their topic is not created yet, so nobody coordinates them.
        SHARE if version >= SHARE_GROUPS => None,
        _ => return Err(ResponseError::InvalidRequest),
    };
    let topic = topic.ok_or(ResponseError::CoordinatorNotAvailable)?;
    let index = group::partition_for(key, topic.partition_count());
    let partition = index.and_then(|index| topic.partition(PartitionIndex(index)));
    let leader =
        partition.and_then(|partition| image.broker(partition.leader?)).filter(|leader| !leader.fenced);
    let endpoint = leader.and_then(|leader| Some((leader.id, leader.endpoint(listener)?)));
    let (id, endpoint) = endpoint.ok_or(ResponseError::CoordinatorNotAvailable)?;
    Ok(Node {
        id: BrokerId(id.0),
        host: StrBytes::from_string(endpoint.host.clone()),
        port: i32::from(endpoint.port),
    })
}

/// Kafka's words, which old clients print.
fn message(error: i16) -> &'static str {
    match ResponseError::try_from_code(error) {
        None => "NONE",
        Some(ResponseError::CoordinatorNotAvailable) => "The coordinator is not available.",
        Some(_) => {
            "This most likely occurs because of a request being malformed by the client library or the message was \
             sent to an incompatible broker. See the broker logs for more details."
        }
    }
}
