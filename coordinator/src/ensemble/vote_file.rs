//! The small file beside the log: the vote, how far entries are known as committed, how far the log was dropped.
//!
//! Written whole and replaced atomically, synced before anything depends on it. Must never be larger than a sector,
//! so that replacing it stays cheap.

use std::path::{Path, PathBuf};

use bytes::{Buf, BufMut};
use milena_storage::StorageError;
use milena_storage::fs::{Fs, Open};
use openraft::vote::RaftLeaderId;

use super::raft_types::{LeaderId, LogId, Vote, log_id};

const MAGIC: &[u8; 8] = b"MILVOTE\x01";
const BYTES: usize = 8 + 4 + 4 + (1 + 8 + 4 + 1) + 2 * (1 + 8 + 8);

/// What the file holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Promises {
    /// Whose log this is; a directory copied to another node must not vote twice.
    pub(super) node_id: i32,
    pub(super) vote: Option<Vote>,
    pub(super) committed: Option<LogId>,
    /// Entries up to here are in the snapshot and no longer in the log.
    pub(super) purged: Option<LogId>,
}

impl Promises {
    pub(super) fn none(node_id: i32) -> Self {
        Self { node_id, vote: None, committed: None, purged: None }
    }

    /// `None` if the file was never written.
    pub(super) fn load(fs: &dyn Fs, dir: &Path) -> Result<Option<Self>, StorageError> {
        let path = path(dir);
        let meta = fs.meta(&path).map_err(|source| StorageError::io("look up", &path, source))?;
        if meta.is_none() {
            return Ok(None);
        }
        let bytes = fs.read(&path, 4096).map_err(|source| StorageError::io("read", &path, source))?;
        Self::decode(&bytes).map(Some).map_err(|reason| StorageError::corrupt(&path, 0, reason))
    }

    /// Returns when the new content is on the medium.
    pub(super) fn save(&self, fs: &dyn Fs, dir: &Path) -> Result<(), StorageError> {
        let path = path(dir);
        fs.replace(&path, &self.encode()).map_err(|source| StorageError::io("replace", &path, source))
    }

    /// Like [`Self::save`], but its name is on the medium only after a sync of the directory.
    pub(super) fn save_unnamed(&self, fs: &dyn Fs, dir: &Path) -> Result<(), StorageError> {
        let path = path(dir);
        let temporary = path.with_extension("tmp");
        let write = || {
            let file = fs.open(&temporary, Open::Truncate)?;
            file.write_at(&self.encode(), 0)?;
            file.sync_data()?;
            fs.rename(&temporary, &path)
        };
        write().map_err(|source| StorageError::io("write", &path, source))
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(BYTES);
        out.put_slice(MAGIC);
        out.put_u32(0);
        out.put_i32(self.node_id);
        match self.vote {
            Some(vote) => {
                out.put_u8(1);
                out.put_u64(vote.leader_id.term);
                out.put_i32(vote.leader_id.voted_for);
                out.put_u8(u8::from(vote.committed));
            }
            None => out.put_bytes(0, 14),
        }
        for id in [self.committed, self.purged] {
            match id {
                Some(id) => {
                    out.put_u8(1);
                    out.put_u64(id.leader_id.term);
                    out.put_u64(id.index);
                }
                None => out.put_bytes(0, 17),
            }
        }
        let crc = crc32c::crc32c(&out[12..]);
        out[8..12].copy_from_slice(&crc.to_be_bytes());
        out
    }

    fn decode(bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() != BYTES || bytes[..8] != MAGIC[..] {
            return Err("it is not a vote file of a version that this program knows".to_owned());
        }
        let mut input = &bytes[8..];
        let (stored, computed) = (input.get_u32(), crc32c::crc32c(&bytes[12..]));
        if stored != computed {
            return Err(format!("stored checksum {stored:08x}, computed {computed:08x}"));
        }
        let node_id = input.get_i32();
        let has_vote = input.get_u8() != 0;
        let (term, voted_for, granted) = (input.get_u64(), input.get_i32(), input.get_u8() != 0);
        let vote = has_vote.then(|| Vote { leader_id: LeaderId::new(term, voted_for), committed: granted });
        let mut id = || {
            let (there, term, index) = (input.get_u8() != 0, input.get_u64(), input.get_u64());
            there.then(|| log_id(term, index))
        };
        Ok(Self { node_id, vote, committed: id(), purged: id() })
    }
}

pub(super) fn path(dir: &Path) -> PathBuf {
    dir.join("vote")
}

#[cfg(test)]
mod tests {
    use milena_storage::fs::SimFs;

    use super::*;

    fn promises() -> Promises {
        Promises {
            node_id: 3,
            vote: Some(Vote { leader_id: LeaderId::new(5, 2), committed: true }),
            committed: Some(log_id(5, 1 << 40)),
            purged: None,
        }
    }

    #[test]
    fn what_was_saved_is_loaded() {
        let fs = SimFs::new();
        let dir = Path::new("/data");
        fs.create_dir_all(dir).unwrap();
        assert_eq!(Promises::load(&fs, dir).unwrap(), None);
        for promises in [Promises::none(1), promises()] {
            promises.save(&fs, dir).unwrap();
            assert_eq!(Promises::load(&fs, dir).unwrap(), Some(promises));
        }
    }

    #[test]
    fn every_altered_byte_is_noticed() {
        let bytes = promises().encode();
        assert_eq!(bytes.len(), BYTES);
        for at in 0..bytes.len() {
            let mut altered = bytes.clone();
            altered[at] ^= 1;
            Promises::decode(&altered).unwrap_err();
        }
        Promises::decode(&bytes[1..]).unwrap_err();
    }
}
