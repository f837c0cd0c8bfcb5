//! Commands as bytes: what the ensemble's log holds.
//!
//! The first byte is the version of the format. Must never change what an existing version means: a log that was
//! written once is read for ever.

use std::sync::Arc;

use bytes::{BufMut, Bytes};
use milena_storage::ids::Timestamp;

use super::command::{Acl, Acls, Command, CommandKind, Mode, Op, open_acl};
use super::stat::SessionId;
use super::wire::{Malformed, Reader, put_bytes};

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
                out.put_u32(u32::try_from(ops.len()).expect("a multi is bounded"));
                for op in ops {
                    put_op(&mut out, op);
                }
            }
            CommandKind::OpenSession { timeout_millis } => {
                out.put_u8(1);
                out.put_i32(*timeout_millis);
            }
            CommandKind::CloseSession { id } => {
                out.put_u8(2);
                out.put_i64(id.0);
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
            0 => {
                let count = input.count(SMALLEST_OP, "operation count")?;
                let mut ops = Vec::with_capacity(count);
                for _ in 0..count {
                    ops.push(op(&mut input)?);
                }
                CommandKind::Multi(ops)
            }
            1 => CommandKind::OpenSession { timeout_millis: input.i32("session time-out")? },
            2 => CommandKind::CloseSession { id: SessionId(input.i64("session")?) },
            _ => return Err(input.malformed("command kind")),
        };
        input.end("command")?;
        Ok(Self { session, time, kind })
    }
}

fn put_op(out: &mut Vec<u8>, op: &Op) {
    let tag = match op {
        Op::Create { .. } => 0,
        Op::Delete { .. } => 1,
        Op::SetData { .. } => 2,
        Op::SetAcl { .. } => 3,
        Op::Check { .. } => 4,
        Op::DeleteContainer { .. } => 5,
    };
    out.put_u8(tag);
    put_bytes(out, op.path().as_bytes());
    match op {
        Op::Create { data, acl, mode, .. } => {
            put_mode(out, *mode);
            put_acls(out, acl);
            put_bytes(out, data);
        }
        Op::SetData { data, version, .. } => {
            out.put_i32(*version);
            put_bytes(out, data);
        }
        Op::SetAcl { acl, version, .. } => {
            out.put_i32(*version);
            put_acls(out, acl);
        }
        Op::Delete { version, .. } | Op::Check { version, .. } => out.put_i32(*version),
        Op::DeleteContainer { .. } => {}
    }
}

fn op(input: &mut Reader) -> Result<Op, Malformed> {
    let tag = input.u8("operation")?;
    let path = input.string("path")?;
    Ok(match tag {
        0 => {
            let mode = mode(input)?;
            let acl = acls(input)?;
            Op::Create { path, data: input.bytes("data")?, acl, mode }
        }
        1 => Op::Delete { path, version: input.i32("version")? },
        2 => {
            let version = input.i32("version")?;
            Op::SetData { path, data: input.bytes("data")?, version }
        }
        3 => {
            let version = input.i32("version")?;
            Op::SetAcl { path, acl: acls(input)?, version }
        }
        4 => Op::Check { path, version: input.i32("version")? },
        5 => Op::DeleteContainer { path },
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
