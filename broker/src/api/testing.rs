//! What tests of handlers need: a caller, a context, and the way of a frame through the dispatch.
//!
//! Must never be compiled into the broker.

use std::net::Ipv4Addr;
use std::sync::Arc;

use bytes::Bytes;

use super::{Caller, Cx, Dispatch, Principal};
use crate::net::frame::Chunk;
use crate::net::{Closing, Served, Service};
use crate::state::BrokerState;

pub(crate) fn caller() -> Caller {
    Caller {
        client_id: Some(kafka_protocol::protocol::StrBytes::from_static_str("test")),
        principal: Principal::anonymous(),
        host: Ipv4Addr::LOCALHOST.into(),
        listener: "PLAINTEXT".into(),
        connection: 1,
        software: Arc::default(),
    }
}

pub(crate) fn cx<'a>(broker: &'a Arc<BrokerState>, caller: &'a Caller, version: i16) -> Cx<'a> {
    Cx { version, image: broker.image.load_full(), caller, now: broker.clock.now(), broker }
}

/// What the dispatch makes of a frame.
pub(crate) fn dispatched(broker: &Arc<BrokerState>, frame: &[u8]) -> Served {
    Dispatch::new(Arc::clone(broker)).serve(&caller(), Bytes::copy_from_slice(frame))
}

/// The bytes of an answer that comes at once.
pub(crate) fn served(broker: &Arc<BrokerState>, frame: &[u8]) -> Vec<u8> {
    let Served::Now(frame) = dispatched(broker, frame) else { panic!("not answered at once") };
    frame
        .chunks
        .iter()
        .flat_map(|chunk| match chunk {
            Chunk::Bytes(bytes) => bytes.to_vec(),
            Chunk::File(_) => panic!("file data in the answer"),
        })
        .collect()
}

/// Why the dispatch closes the connection.
pub(crate) fn closed(broker: &Arc<BrokerState>, frame: &[u8]) -> Closing {
    match dispatched(broker, frame) {
        Served::Close(closing) => closing,
        _ => panic!("the connection stays open"),
    }
}
