//! Control records: transaction markers, and the kinds that only Raft writes.
//!
//! Must never decide what a marker means for a transaction.

use super::RecordView;

/// The kind of a control record (`ControlRecordType`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ControlMarker {
    Abort,
    Commit,
    /// A kind that the log keeps but does not act on, by its number.
    Other(i16),
}

/// The content of an abort or commit marker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EndTransaction {
    pub commit: bool,
    pub coordinator_epoch: i32,
}

impl ControlMarker {
    /// Reads the key of a control record; `None` if it is too short.
    pub fn parse(key: &[u8]) -> Option<Self> {
        let version = i16::from_be_bytes(key.get(..2)?.try_into().ok()?);
        let kind = i16::from_be_bytes(key.get(2..4)?.try_into().ok()?);
        Some(match (version, kind) {
            (0.., 0) => Self::Abort,
            (0.., 1) => Self::Commit,
            _ => Self::Other(kind),
        })
    }

    /// The key's bytes, version 0.
    pub fn encode(self) -> [u8; 4] {
        let kind = match self {
            Self::Abort => 0,
            Self::Commit => 1,
            Self::Other(kind) => kind,
        };
        let [high, low] = i16::to_be_bytes(kind);
        [0, 0, high, low]
    }
}

impl EndTransaction {
    /// Reads a marker record; `None` if it is not an abort or commit marker.
    pub fn parse(record: &RecordView<'_>) -> Option<Self> {
        let commit = match ControlMarker::parse(record.key?)? {
            ControlMarker::Abort => false,
            ControlMarker::Commit => true,
            ControlMarker::Other(_) => return None,
        };
        let epoch = record.value?.get(2..6)?;
        Some(Self { commit, coordinator_epoch: i32::from_be_bytes(epoch.try_into().ok()?) })
    }

    /// Key and value of the marker's record, version 0.
    pub fn encode(&self) -> ([u8; 4], [u8; 6]) {
        let key = if self.commit { ControlMarker::Commit } else { ControlMarker::Abort }.encode();
        let mut value = [0; 6];
        value[2..].copy_from_slice(&self.coordinator_epoch.to_be_bytes());
        (key, value)
    }
}
