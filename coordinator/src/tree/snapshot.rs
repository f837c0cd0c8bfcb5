//! The whole tree as bytes, for the ensemble's snapshots.
//!
//! `MILTREE` and a version byte, the CRC-32C of the body, the body: last zxid, the secret of session passwords,
//! sessions, nodes in path order. Version 1 has no secret and no attachments, and is still read. Equal
//! trees give equal bytes. What can be derived (a session's ephemerals, perishable nodes) is not written. Must never
//! panic on or trust its input: a torn or altered snapshot is an error.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes};
use milena_storage::ids::Timestamp;

use super::command_bytes::{acls, put_acls};
use super::stat::{SessionId, Zxid};
use super::wire::{Malformed, Reader, put_bytes, put_data};
use super::{Node, Session, Tree};

const MAGIC: &[u8; 7] = b"MILTREE";
const VERSION: u8 = 2;
/// Magic, version, checksum.
const HEAD_BYTES: usize = 12;
/// Id and time-out.
const SMALLEST_SESSION: usize = 12;
/// Two lengths, the access list's tag, six longs and four ints.
const SMALLEST_NODE: usize = 4 + 4 + 1 + 6 * 8 + 4 * 4;

/// Why bytes are not a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    #[error("not a tree snapshot of a version this program knows")]
    Foreign,
    #[error("checksum of the tree snapshot is {found:#010x}, expected {expected:#010x}")]
    Checksum { expected: u32, found: u32 },
    #[error("tree snapshot: {0}")]
    Malformed(#[from] Malformed),
}

impl Tree {
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(16 + self.nodes.len() * 128);
        out.put_slice(MAGIC);
        out.put_u8(VERSION);
        out.put_u32(0);
        let body = out.len();
        out.put_i64(self.zxid.0);
        match &self.secret {
            Some(secret) => {
                out.put_u8(1);
                out.put_slice(&secret.0);
            }
            None => out.put_u8(0),
        }
        put_count(&mut out, self.sessions.len());
        for (id, session) in &self.sessions {
            out.put_i64(id.0);
            out.put_i32(session.timeout_millis);
            out.put_i64(session.attached.0);
        }
        put_count(&mut out, self.nodes.len());
        for (path, node) in &self.nodes {
            put_bytes(&mut out, path.as_bytes());
            put_node(&mut out, node);
        }
        let crc = crc32c::crc32c(&out[body..]);
        out[body - 4..body].copy_from_slice(&crc.to_be_bytes());
        out
    }

    /// Reads what [`Tree::encode`] wrote.
    pub fn decode(mut bytes: Bytes) -> Result<Self, SnapshotError> {
        if bytes.len() < HEAD_BYTES || bytes[..MAGIC.len()] != MAGIC[..] {
            return Err(SnapshotError::Foreign);
        }
        bytes.advance(MAGIC.len());
        let version = bytes.get_u8();
        if !(1..=VERSION).contains(&version) {
            return Err(SnapshotError::Foreign);
        }
        let expected = bytes.get_u32();
        let found = crc32c::crc32c(&bytes);
        if found != expected {
            return Err(SnapshotError::Checksum { expected, found });
        }
        let mut input = Reader(bytes);
        let zxid = Zxid(input.i64("zxid")?);
        let secret = match version >= 2 && input.u8("secret")? == 1 {
            true => Some(input.secret()?),
            false => None,
        };
        let mut tree = Self {
            nodes: BTreeMap::new(),
            sessions: BTreeMap::new(),
            perishable: BTreeSet::new(),
            secret,
            zxid,
        };
        for _ in 0..input.count(SMALLEST_SESSION, "session count")? {
            let id = SessionId(input.i64("session")?);
            let timeout_millis = input.i32("time-out")?;
            let attached = if version >= 2 { Zxid(input.i64("attachment")?) } else { Zxid::default() };
            let session = Session { timeout_millis, attached, ephemerals: BTreeSet::new() };
            tree.sessions.insert(id, session);
        }
        for _ in 0..input.count(SMALLEST_NODE, "node count")? {
            let path: Arc<str> = input.string("path")?.into();
            let node = node(&mut input)?;
            tree.insert(path, node);
        }
        input.end("snapshot")?;
        Ok(tree)
    }
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    out.put_u32(u32::try_from(count).expect("a tree in memory has fewer than four billion nodes"));
}

fn put_node(out: &mut Vec<u8>, node: &Node) {
    put_data(out, node.data.as_ref());
    put_acls(out, &node.acl);
    for long in [node.czxid.0, node.mzxid.0, node.pzxid.0, node.ctime.0, node.mtime.0, node.owner] {
        out.put_i64(long);
    }
    for int in [node.version, node.aversion, node.creations, node.children] {
        out.put_i32(int);
    }
}

fn node(input: &mut Reader) -> Result<Node, Malformed> {
    Ok(Node {
        data: input.data()?,
        acl: acls(input)?,
        czxid: Zxid(input.i64("czxid")?),
        mzxid: Zxid(input.i64("mzxid")?),
        pzxid: Zxid(input.i64("pzxid")?),
        ctime: Timestamp(input.i64("ctime")?),
        mtime: Timestamp(input.i64("mtime")?),
        owner: input.i64("owner")?,
        version: input.i32("version")?,
        aversion: input.i32("aversion")?,
        creations: input.i32("creations")?,
        children: input.i32("children")?,
    })
}
