//! Writes what the encoders share: counts, strings and numbers of both encodings.
//!
//! Must never know a message.

use bytes::{BufMut, BytesMut};

pub(crate) fn put_count(buf: &mut BytesMut, flexible: bool, count: usize) {
    if flexible { put_varint(buf, wire_len(count) + 1) } else { buf.put_u32(wire_len(count)) }
}

pub(super) fn put_string(buf: &mut BytesMut, flexible: bool, text: &str) {
    if flexible {
        put_varint(buf, wire_len(text.len()) + 1);
    } else {
        buf.put_i16(i16::try_from(text.len()).expect("names and messages are shorter than 32 KiB"));
    }
    buf.put_slice(text.as_bytes());
}

pub(super) fn put_nullable_string(buf: &mut BytesMut, flexible: bool, text: Option<&str>) {
    match text {
        Some(text) => put_string(buf, flexible, text),
        None if flexible => buf.put_u8(0),
        None => buf.put_i16(-1),
    }
}

pub(super) fn wire_len(len: usize) -> u32 {
    u32::try_from(len).expect("answers are bounded by fetch.max.bytes, an int")
}

pub(super) fn put_varint(buf: &mut BytesMut, mut value: u32) {
    while value >= 0x80 {
        buf.put_u8((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    buf.put_u8(value as u8);
}

/// Where a leader is reached; tag 0 of Fetch from version 16 and of Produce from version 10 (KIP-951).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Node {
    pub id: i32,
    pub host: String,
    pub port: i32,
    pub rack: Option<String>,
}

/// The tags of a response that may name nodes; an empty list is left out, for old clients trip over defaults.
pub(super) fn put_nodes(buf: &mut BytesMut, nodes: &[Node]) {
    if nodes.is_empty() {
        buf.put_u8(0);
        return;
    }
    let mut body = BytesMut::new();
    put_count(&mut body, true, nodes.len());
    for node in nodes {
        body.put_i32(node.id);
        put_string(&mut body, true, &node.host);
        body.put_i32(node.port);
        put_nullable_string(&mut body, true, node.rack.as_deref());
        body.put_u8(0);
    }
    buf.put_slice(&[1, 0]);
    put_varint(buf, wire_len(body.len()));
    buf.extend_from_slice(&body);
}
