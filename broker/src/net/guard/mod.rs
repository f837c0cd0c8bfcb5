//! Checks a request frame before any decoder sees it.
//!
//! The decoders reserve memory for counts straight from the wire; a body of five bytes could abort the process.
//! Must never allocate by a number that came from the frame.

mod cluster;
mod data;
mod groups;
mod shape;
mod topics;
mod transactions;
mod walk;

use bytes::Bytes;
use kafka_protocol::protocol::StrBytes;

use super::Closing;
pub use shape::Shape;
pub use walk::{Flaw, Malformed, Visit};

/// Every shape that the guard knows, by key.
static SHAPES: &[&Shape] = &[
    &data::PRODUCE,
    &data::FETCH,
    &data::LIST_OFFSETS,
    &topics::METADATA,
    &groups::OFFSET_COMMIT,
    &groups::OFFSET_FETCH,
    &groups::FIND_COORDINATOR,
    &groups::JOIN_GROUP,
    &groups::HEARTBEAT,
    &groups::LEAVE_GROUP,
    &groups::SYNC_GROUP,
    &groups::DESCRIBE_GROUPS,
    &groups::LIST_GROUPS,
    &cluster::SASL_HANDSHAKE,
    &cluster::API_VERSIONS,
    &topics::CREATE_TOPICS,
    &topics::DELETE_TOPICS,
    &data::DELETE_RECORDS,
    &data::INIT_PRODUCER_ID,
    &data::OFFSET_FOR_LEADER_EPOCH,
    &transactions::ADD_PARTITIONS_TO_TXN,
    &transactions::ADD_OFFSETS_TO_TXN,
    &transactions::END_TXN,
    &transactions::WRITE_TXN_MARKERS,
    &transactions::TXN_OFFSET_COMMIT,
    &cluster::DESCRIBE_ACLS,
    &cluster::CREATE_ACLS,
    &cluster::DELETE_ACLS,
    &topics::DESCRIBE_CONFIGS,
    &topics::ALTER_CONFIGS,
    &cluster::ALTER_REPLICA_LOG_DIRS,
    &cluster::DESCRIBE_LOG_DIRS,
    &cluster::SASL_AUTHENTICATE,
    &topics::CREATE_PARTITIONS,
    &groups::DELETE_GROUPS,
    &topics::ELECT_LEADERS,
    &topics::INCREMENTAL_ALTER_CONFIGS,
    &topics::LIST_PARTITION_REASSIGNMENTS,
    &topics::ALTER_PARTITION_REASSIGNMENTS,
    &topics::ALTER_PARTITION,
    &groups::OFFSET_DELETE,
    &cluster::DESCRIBE_CLIENT_QUOTAS,
    &cluster::ALTER_CLIENT_QUOTAS,
    &cluster::DESCRIBE_USER_SCRAM_CREDENTIALS,
    &cluster::ALTER_USER_SCRAM_CREDENTIALS,
    &cluster::DESCRIBE_QUORUM,
    &cluster::UPDATE_FEATURES,
    &cluster::DESCRIBE_CLUSTER,
    &data::DESCRIBE_PRODUCERS,
    &cluster::UNREGISTER_BROKER,
    &transactions::DESCRIBE_TRANSACTIONS,
    &transactions::LIST_TRANSACTIONS,
    &groups::CONSUMER_GROUP_HEARTBEAT,
    &groups::CONSUMER_GROUP_DESCRIBE,
    &cluster::GET_TELEMETRY_SUBSCRIPTIONS,
    &cluster::PUSH_TELEMETRY,
    &cluster::ASSIGN_REPLICAS_TO_DIRS,
    &cluster::LIST_CONFIG_RESOURCES,
    &topics::DESCRIBE_TOPIC_PARTITIONS,
    &cluster::ADD_RAFT_VOTER,
    &cluster::REMOVE_RAFT_VOTER,
    &cluster::UPDATE_RAFT_VOTER,
];

/// A request header. Version 0 is gone with ControlledShutdown; 1 and 2 differ in the tags only.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Header {
    pub api_key: i16,
    pub api_version: i16,
    pub correlation_id: i32,
    pub client_id: Option<StrBytes>,
}

/// The shape of an API; without one it does not compile into the table.
///
/// # Panics
/// Where it is not a constant, when the guard has no shape for the key.
#[must_use]
pub const fn shape(key: i16) -> &'static Shape {
    let mut at = 0;
    while at < SHAPES.len() {
        if SHAPES[at].key == key {
            return SHAPES[at];
        }
        at += 1;
    }
    panic!("an API in the table has no shape in the guard")
}

/// Key and version, the first four bytes of every request.
pub fn api(frame: &[u8]) -> Result<(i16, i16), Closing> {
    let b = frame.get(..4).ok_or(Closing::Header)?;
    Ok((i16::from_be_bytes([b[0], b[1]]), i16::from_be_bytes([b[2], b[3]])))
}

/// Reads the header of a request of this shape; returns it with the position of the body.
pub fn header(shape: &Shape, frame: &Bytes) -> Result<(Header, usize), Closing> {
    let (api_key, api_version) = api(frame)?;
    let b = frame.get(4..10).ok_or(Closing::Header)?;
    let correlation_id = i32::from_be_bytes([b[0], b[1], b[2], b[3]]);
    let mut at = 10;
    let client_id = match i16::from_be_bytes([b[4], b[5]]) {
        -1 => None,
        length => {
            let length = usize::try_from(length).map_err(|_| Closing::Header)?;
            if length > frame.len() - at {
                return Err(Closing::Header);
            }
            let text = StrBytes::from_utf8(frame.slice(at..at + length)).map_err(|_| Closing::Header)?;
            at += length;
            Some(text)
        }
    };
    if shape.is_flexible(api_version) {
        at = walk::tags(frame, at).map_err(|_| Closing::Header)?;
    }
    Ok((Header { api_key, api_version, correlation_id, client_id }, at))
}

/// Checks a body; returns how much of it the request takes.
pub fn body(shape: &Shape, version: i16, body: &[u8]) -> Result<usize, Malformed> {
    walk::body(shape, version, body, &mut ())
}

/// Tells what is in a body, as far as it can be walked.
pub fn visit(shape: &Shape, version: i16, body: &[u8], visit: &mut impl Visit) -> Result<usize, Malformed> {
    walk::body(shape, version, body, visit)
}

#[cfg(test)]
mod tests;
