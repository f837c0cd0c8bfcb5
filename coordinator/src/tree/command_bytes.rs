//! Commands as bytes: what the ensemble's log holds.
//!
//! The first byte is the version of the format. Must never change what an existing version means: a log that was
//! written once is read for ever.

use std::sync::Arc;

use bytes::{BufMut, Bytes};
use milena_storage::ids::Timestamp;

use super::client_bytes::{client_requests, put_client_requests};
use super::command::{Acl, Acls, Code, Command, CommandKind, Mode, Op, open_acl};
use super::stat::SessionId;
use super::wire::{Malformed, Reader, put_bytes, put_data};

const VERSION: u8 = 1;
/// Tag, length of the path, and at least a version: the least that an operation takes.
const SMALLEST_OP: usize = 5;
/// Permissions and two lengths.
const SMALLEST_ACL: usize = 12;

impl Command {
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        out.put_u8(VERSION);
        out.put_i64(self.session.0);
        out.put_i64(self.time.0);
        match &self.kind {
            CommandKind::Multi(ops) => {
                out.put_u8(0);
                put_ops(&mut out, ops);
            }
            CommandKind::OpenSession { timeout_millis } => {
                out.put_u8(1);
                out.put_i32(*timeout_millis);
            }
            CommandKind::CloseSession { id } => {
                out.put_u8(2);
                out.put_i64(id.0);
            }
            CommandKind::Clients(requests) => {
                out.put_u8(3);
                put_client_requests(&mut out, requests);
            }
            CommandKind::Secret(secret) => {
                out.put_u8(4);
                out.put_slice(&secret.0);
            }
            CommandKind::Begin { timeout_millis, secret, ops } => {
                out.put_u8(5);
                out.put_i32(*timeout_millis);
                out.put_slice(&secret.0);
                put_ops(&mut out, ops);
            }
        }
        out
    }

    /// Reads what [`Command::encode`] wrote.
    pub fn decode(bytes: Bytes) -> Result<Self, Malformed> {
        let mut input = Reader(bytes);
        if input.u8("command version")? != VERSION {
            return Err(input.malformed("command version"));
        }
        let session = SessionId(input.i64("session")?);
        let time = Timestamp(input.i64("time")?);
        let kind = match input.u8("command kind")? {
            0 => CommandKind::Multi(ops(&mut input)?),
            1 => CommandKind::OpenSession { timeout_millis: input.i32("session time-out")? },
            2 => CommandKind::CloseSession { id: SessionId(input.i64("session")?) },
            3 => CommandKind::Clients(client_requests(&mut input)?),
            4 => CommandKind::Secret(input.secret()?),
            5 => CommandKind::Begin {
                timeout_millis: input.i32("session time-out")?,
                secret: input.secret()?,
                ops: ops(&mut input)?,
            },
            _ => return Err(input.malformed("command kind")),
        };
        input.end("command")?;
        Ok(Self { session, time, kind })
    }
}

pub(super) fn put_ops(out: &mut Vec<u8>, ops: &[Op]) {
    out.put_u32(u32::try_from(ops.len()).expect("a multi is bounded"));
    for op in ops {
        put_op(out, op);
    }
}

pub(super) fn ops(input: &mut Reader) -> Result<Vec<Op>, Malformed> {
    let count = input.count(SMALLEST_OP, "operation count")?;
    // An operation in memory is larger than its bytes, so the vector grows with what is there.
    let mut ops = Vec::new();
    for _ in 0..count {
        ops.push(op(input)?);
    }
    Ok(ops)
}

fn put_op(out: &mut Vec<u8>, op: &Op) {
    let tag = match op {
        Op::Create { .. } => 0,
        Op::Delete { .. } => 1,
        Op::SetData { .. } => 2,
        Op::SetAcl { .. } => 3,
        Op::Check { .. } => 4,
        Op::DeleteContainer { .. } => 5,
        Op::Refuse { .. } => 6,
    };
    out.put_u8(tag);
    put_bytes(out, op.path().as_bytes());
    match op {
        Op::Create { data, acl, mode, .. } => {
            put_mode(out, *mode);
            put_acls(out, acl);
            put_data(out, data.as_ref());
        }
        Op::SetData { data, version, .. } => {
            out.put_i32(*version);
            put_data(out, data.as_ref());
        }
        Op::SetAcl { acl, version, .. } => {
            out.put_i32(*version);
            put_acls(out, acl);
        }
        Op::Delete { version, .. } | Op::Check { version, .. } => out.put_i32(*version),
        Op::DeleteContainer { .. } => {}
        Op::Refuse { code, .. } => out.put_i32(code.number()),
    }
}

fn op(input: &mut Reader) -> Result<Op, Malformed> {
    let tag = input.u8("operation")?;
    let path = input.string("path")?;
    Ok(match tag {
        0 => {
            let mode = mode(input)?;
            let acl = acls(input)?;
            Op::Create { path, data: input.data()?, acl, mode }
        }
        1 => Op::Delete { path, version: input.i32("version")? },
        2 => {
            let version = input.i32("version")?;
            Op::SetData { path, data: input.data()?, version }
        }
        3 => {
            let version = input.i32("version")?;
            Op::SetAcl { path, acl: acls(input)?, version }
        }
        4 => Op::Check { path, version: input.i32("version")? },
        5 => Op::DeleteContainer { path },
        6 => {
            let code = Code::from_number(input.i32("code")?);
            Op::Refuse { path, code: code.ok_or_else(|| input.malformed("code"))? }
        }
        _ => return Err(input.malformed("operation")),
    })
}

/// ZooKeeper's numbers for the modes.
fn put_mode(out: &mut Vec<u8>, mode: Mode) {
    match mode {
        Mode::Persistent => out.put_u8(0),
        Mode::Ephemeral => out.put_u8(1),
        Mode::PersistentSequential => out.put_u8(2),
        Mode::EphemeralSequential => out.put_u8(3),
        Mode::Container => out.put_u8(4),
        Mode::Ttl { millis } => {
            out.put_u8(5);
            out.put_i64(millis);
        }
        Mode::TtlSequential { millis } => {
            out.put_u8(6);
            out.put_i64(millis);
        }
    }
}

fn mode(input: &mut Reader) -> Result<Mode, Malformed> {
    Ok(match input.u8("mode")? {
        0 => Mode::Persistent,
        1 => Mode::Ephemeral,
        2 => Mode::PersistentSequential,
        3 => Mode::EphemeralSequential,
        4 => Mode::Container,
        5 => Mode::Ttl { millis: input.i64("time to live")? },
        6 => Mode::TtlSequential { millis: input.i64("time to live")? },
        _ => return Err(input.malformed("mode")),
    })
}

/// One byte for the list that nearly every node has.
pub(super) fn put_acls(out: &mut Vec<u8>, acl: &Acls) {
    if *acl == open_acl() {
        out.put_u8(0);
        return;
    }
    out.put_u8(1);
    out.put_u32(u32::try_from(acl.len()).expect("an access list weighs at most a mebibyte"));
    for entry in acl.iter() {
        out.put_u32(entry.perms);
        put_bytes(out, entry.scheme.as_bytes());
        put_bytes(out, entry.id.as_bytes());
    }
}

pub(super) fn acls(input: &mut Reader) -> Result<Acls, Malformed> {
    match input.u8("access list")? {
        0 => Ok(open_acl()),
        1 => {
            let count = input.count(SMALLEST_ACL, "access list")?;
            let entries = (0..count).map(|_| {
                Ok(Acl {
                    perms: input.u32("permissions")?,
                    scheme: input.string("scheme")?,
                    id: input.string("id")?,
                })
            });
            entries.collect::<Result<Arc<[Acl]>, Malformed>>()
        }
        _ => Err(input.malformed("access list")),
    }
}
