//! The snapshot on disk: up to which entry it reaches, the membership then, and the tree.
//!
//! Replaced atomically, so there is always exactly one whole snapshot or none. Must never be loaded in part.

use std::path::{Path, PathBuf};

use bytes::{Buf, BufMut, Bytes};
use milena_storage::StorageError;
use milena_storage::fs::Fs;

use super::entry_bytes::{decode_membership, encode_membership};
use super::raft_types::{LogId, SnapshotMeta, StoredMembership, log_id};

const MAGIC: &[u8; 8] = b"MILSNAP\x01";
/// Largest snapshot that is read: no tree that fits a broker's memory is larger.
const MAX_BYTES: usize = 1 << 31;

/// A snapshot as it is kept: `tree` is what `Tree::encode` gave, with a checksum of its own.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) meta: SnapshotMeta,
    pub(super) tree: Bytes,
}

/// `None` if there is no snapshot yet.
pub(super) fn load(fs: &dyn Fs, dir: &Path) -> Result<Option<Kept>, StorageError> {
    let path = path(dir);
    let meta = fs.meta(&path).map_err(|source| StorageError::io("look up", &path, source))?;
    if meta.is_none() {
        return Ok(None);
    }
    let bytes = fs.read(&path, MAX_BYTES).map_err(|source| StorageError::io("read", &path, source))?;
    let kept = decode(Bytes::from(bytes));
    kept.map(Some)
        .ok_or_else(|| StorageError::corrupt(&path, 0, "its head is no snapshot head or is damaged"))
}

/// Returns when the snapshot is on the medium and the former one is gone.
pub(super) fn save(fs: &dyn Fs, dir: &Path, kept: &Kept) -> Result<(), StorageError> {
    let path = path(dir);
    fs.replace(&path, &encode(kept)).map_err(|source| StorageError::io("replace", &path, source))
}

pub(super) fn path(dir: &Path) -> PathBuf {
    dir.join("snapshot")
}

/// Magic, checksum of the head, length of the head, the head, the tree.
fn encode(kept: &Kept) -> Vec<u8> {
    let mut head = Vec::new();
    put_log_id(&mut head, kept.meta.last_log_id);
    put_log_id(&mut head, *kept.meta.last_membership.log_id());
    head.put_slice(&encode_membership(kept.meta.last_membership.membership()));
    let mut out = Vec::with_capacity(16 + head.len() + kept.tree.len());
    out.put_slice(MAGIC);
    out.put_u32(crc32c::crc32c(&head));
    out.put_u32(u32::try_from(head.len()).expect("a membership is small"));
    out.put_slice(&head);
    out.put_slice(&kept.tree);
    out
}

fn decode(mut bytes: Bytes) -> Option<Kept> {
    if bytes.len() < 16 || bytes[..8] != MAGIC[..] {
        return None;
    }
    bytes.advance(8);
    let (crc, length) = (bytes.get_u32(), bytes.get_u32() as usize);
    if length > bytes.len() {
        return None;
    }
    let mut head = bytes.split_to(length);
    if crc32c::crc32c(&head) != crc {
        return None;
    }
    let last_log_id = log_id_at(&mut head)?;
    let membership_at = log_id_at(&mut head)?;
    let membership = decode_membership(&mut head)?;
    let last_membership = StoredMembership::new(membership_at, membership);
    Some(Kept { meta: SnapshotMeta { last_log_id, last_membership }, tree: bytes })
}

fn put_log_id(out: &mut Vec<u8>, id: Option<LogId>) {
    out.put_u8(u8::from(id.is_some()));
    out.put_u64(id.map_or(0, |id| id.leader_id.term));
    out.put_u64(id.map_or(0, |id| id.index));
}

fn log_id_at(input: &mut Bytes) -> Option<Option<LogId>> {
    let there = input.try_get_u8().ok()? != 0;
    let (term, index) = (input.try_get_u64().ok()?, input.try_get_u64().ok()?);
    Some(there.then(|| log_id(term, index)))
}

#[cfg(test)]
mod tests {
    use milena_storage::fs::SimFs;

    use super::super::raft_types::Membership;
    use super::*;

    #[test]
    fn what_was_saved_is_loaded_and_damage_is_noticed() {
        let fs = SimFs::new();
        let dir = Path::new("/data");
        fs.create_dir_all(dir).unwrap();
        assert!(load(&fs, dir).unwrap().is_none());
        let last_membership = StoredMembership::new(Some(log_id(0, 0)), Membership::default());
        let meta = SnapshotMeta { last_log_id: Some(log_id(2, 9)), last_membership };
        save(&fs, dir, &Kept { meta: meta.clone(), tree: Bytes::from_static(b"tree") }).unwrap();
        let kept = load(&fs, dir).unwrap().unwrap();
        assert_eq!((kept.meta, &*kept.tree), (meta, &b"tree"[..]));

        let bytes = fs.read(&path(dir), 4096).unwrap();
        for at in 0..bytes.len() - 4 {
            let mut altered = bytes.clone();
            altered[at] ^= 1;
            assert!(decode(Bytes::from(altered)).is_none(), "byte {at}");
        }
    }
}
