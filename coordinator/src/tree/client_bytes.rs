//! Batches of clients' requests as bytes, a part of the format of commands.
//!
//! Identities are written once per run of requests that share them. Must never change what an existing tag means.

use std::sync::Arc;

use bytes::BufMut;

use super::acl::{Id, Ids};
use super::client::{ClientKind, ClientRequest};
use super::command_bytes::{ops, put_ops};
use super::stat::{SessionId, Zxid};
use super::wire::{Malformed, Reader, put_bytes};

/// Session, attachment, tag of the identities, tag of the kind.
const SMALLEST_REQUEST: usize = 18;
/// Two lengths.
const SMALLEST_ID: usize = 8;

pub(super) fn put_client_requests(out: &mut Vec<u8>, requests: &[ClientRequest]) {
    out.put_u32(u32::try_from(requests.len()).expect("a batch is bounded"));
    let mut before: Option<&Ids> = None;
    for request in requests {
        out.put_i64(request.session.0);
        out.put_i64(request.attached.0);
        if before == Some(&request.ids) {
            out.put_u8(0);
        } else {
            out.put_u8(1);
            put_ids(out, &request.ids);
            before = Some(&request.ids);
        }
        put_kind(out, &request.kind);
    }
}

pub(super) fn client_requests(input: &mut Reader) -> Result<Vec<ClientRequest>, Malformed> {
    let count = input.count(SMALLEST_REQUEST, "request count")?;
    let mut requests = Vec::new();
    let mut before: Option<Ids> = None;
    for _ in 0..count {
        let session = SessionId(input.i64("session")?);
        let attached = Zxid(input.i64("attachment")?);
        let ids = match (input.u8("identities")?, &before) {
            (0, Some(ids)) => Arc::clone(ids),
            (1, _) => ids(input)?,
            _ => return Err(input.malformed("identities")),
        };
        before = Some(Arc::clone(&ids));
        requests.push(ClientRequest { session, attached, ids, kind: kind(input)? });
    }
    Ok(requests)
}

fn put_ids(out: &mut Vec<u8>, ids: &Ids) {
    out.put_u32(u32::try_from(ids.len()).expect("a connection's identities are bounded"));
    for id in ids.iter() {
        put_bytes(out, id.scheme.as_bytes());
        put_bytes(out, id.id.as_bytes());
    }
}

fn ids(input: &mut Reader) -> Result<Ids, Malformed> {
    let count = input.count(SMALLEST_ID, "identities")?;
    let ids = (0..count).map(|_| Ok(Id { scheme: input.string("scheme")?, id: input.string("identity")? }));
    ids.collect()
}

fn put_kind(out: &mut Vec<u8>, kind: &ClientKind) {
    match kind {
        ClientKind::Multi(ops) => {
            out.put_u8(0);
            put_ops(out, ops);
        }
        ClientKind::Open { timeout_millis } => {
            out.put_u8(1);
            out.put_i32(*timeout_millis);
        }
        ClientKind::Attach { id, timeout_millis } => {
            out.put_u8(2);
            out.put_i64(id.0);
            out.put_i32(*timeout_millis);
        }
        ClientKind::Close => out.put_u8(3),
        ClientKind::Expire { id, attached } => {
            out.put_u8(4);
            out.put_i64(id.0);
            out.put_i64(attached.0);
        }
        ClientKind::Sync => out.put_u8(5),
    }
}

fn kind(input: &mut Reader) -> Result<ClientKind, Malformed> {
    Ok(match input.u8("request kind")? {
        0 => ClientKind::Multi(ops(input)?),
        1 => ClientKind::Open { timeout_millis: input.i32("session time-out")? },
        2 => {
            let id = SessionId(input.i64("session")?);
            ClientKind::Attach { id, timeout_millis: input.i32("session time-out")? }
        }
        3 => ClientKind::Close,
        4 => {
            let id = SessionId(input.i64("session")?);
            ClientKind::Expire { id, attached: Zxid(input.i64("attachment")?) }
        }
        5 => ClientKind::Sync,
        _ => return Err(input.malformed("request kind")),
    })
}
