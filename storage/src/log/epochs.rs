//! The leader epochs of a log and where each began (`LeaderEpochFileCache`, file `leader-epoch-checkpoint`).
//!
//! Must never hold an epoch that begins at or behind a larger one.

use super::flush::OpenFile;
use super::place::Place;
use crate::StorageError;
use crate::dirs::{malformed, read_lines};
use crate::error::At;
use crate::fs::Open;
use crate::ids::{LeaderEpoch, Offset};

/// Epochs in ascending order, with their first offsets.
#[derive(Debug, Default)]
pub(super) struct Epochs {
    entries: Vec<(LeaderEpoch, Offset)>,
    /// The file was written and not synced since. It is not kept open for that: most logs wait long for their next flush.
    unsynced: bool,
    /// The disk refused the last write, so the file is older than the entries.
    pub unsaved: bool,
}

impl Epochs {
    /// Reads the file; a missing one holds nothing.
    pub(super) fn load(place: &Place) -> Result<Self, StorageError> {
        let path = place.epochs();
        let mut epochs = Self::default();
        for line in read_lines(&*place.fs, &path)? {
            let entry = line.split_once(' ').and_then(|(epoch, start)| {
                Some((LeaderEpoch(epoch.parse().ok()?), Offset(start.parse().ok()?)))
            });
            let (epoch, start) = entry.ok_or_else(|| malformed(&path, &line))?;
            epochs.insert(epoch, start);
        }
        Ok(epochs)
    }

    pub(super) fn latest(&self) -> Option<LeaderEpoch> {
        self.entries.last().map(|(epoch, _)| *epoch)
    }

    /// The first epoch and where it begins.
    pub(super) fn earliest(&self) -> Option<(LeaderEpoch, Offset)> {
        self.entries.first().copied()
    }

    /// The epoch that wrote the record at `offset`.
    pub(super) fn of(&self, offset: Offset) -> Option<LeaderEpoch> {
        let after = self.entries.partition_point(|(_, start)| *start <= offset);
        after.checked_sub(1).map(|index| self.entries[index].0)
    }

    /// Notes that `epoch` begins at `start`; true if that is new. Later epochs and starts give way, so that the
    /// order holds (`maybeTruncateNonMonotonicEntries`).
    pub(super) fn insert(&mut self, epoch: LeaderEpoch, start: Offset) -> bool {
        if epoch.0 < 0 || start.0 < 0 {
            return false;
        }
        if self.entries.last().is_some_and(|(latest, at)| *latest == epoch && *at <= start) {
            return false;
        }
        while self.entries.last().is_some_and(|(later, at)| *later >= epoch || *at >= start) {
            self.entries.pop();
        }
        self.entries.push((epoch, start));
        true
    }

    /// Takes over the epochs of another log that come after the last one here; true if there are any.
    pub(super) fn take_later(&mut self, other: &Self) -> bool {
        let known = self.latest();
        let later = other.entries.iter().filter(|(epoch, _)| known.is_none_or(|known| *epoch > known));
        later.fold(false, |any, (epoch, start)| self.insert(*epoch, *start) || any)
    }

    /// Forgets epochs that begin at or behind `end`; true if there were any.
    pub(super) fn truncate_from_end(&mut self, end: Offset) -> bool {
        let keep = self.entries.partition_point(|(_, start)| *start < end);
        let cut = keep < self.entries.len();
        self.entries.truncate(keep);
        cut
    }

    /// Forgets epochs that end at or before `start`; the one that holds it begins there now.
    pub(super) fn truncate_from_start(&mut self, start: Offset) -> bool {
        let before = self.entries.partition_point(|(_, at)| *at <= start);
        let Some(holding) = before.checked_sub(1) else { return false };
        if holding == 0 && self.entries[0].1 == start {
            return false;
        }
        self.entries.drain(..holding);
        self.entries[0].1 = start;
        true
    }

    pub(super) fn clear(&mut self) {
        self.entries.clear();
    }

    /// The end of the largest epoch that is not above `epoch` (`LeaderEpochFileCache.endOffsetFor`); `None` if it is
    /// larger than every known one.
    pub(super) fn end_offset(&self, epoch: LeaderEpoch, log_end: Offset) -> Option<(LeaderEpoch, Offset)> {
        let latest = self.latest()?;
        if epoch.0 < 0 || epoch > latest {
            return None;
        }
        if epoch == latest {
            return Some((epoch, log_end));
        }
        let higher = self.entries.partition_point(|(other, _)| *other <= epoch);
        let end = self.entries[higher].1;
        // Below the first known epoch nothing of the asked one is left, so it ended where the first begins.
        let found = higher.checked_sub(1).map_or(epoch, |floor| self.entries[floor].0);
        Some((found, end))
    }

    /// Writes the file. Batches carry their epochs, so a loss of power before the next flush only costs a scan.
    pub(super) fn save(&mut self, place: &Place) -> Result<(), StorageError> {
        let lines: String = self.entries.iter().map(|(epoch, start)| format!("{epoch} {start}\n")).collect();
        let text = format!("0\n{}\n{lines}", self.entries.len());
        let path = place.epochs();
        self.unsaved = true;
        place.fs.replace_unsynced(&path, text.as_bytes()).at("write", &path)?;
        self.unsaved = false;
        self.unsynced = true;
        Ok(())
    }

    /// The file, opened, if it must be synced with the next flush.
    pub(super) fn unsynced(&self, place: &Place) -> Result<Option<OpenFile>, StorageError> {
        if !self.unsynced {
            return Ok(None);
        }
        let path = place.epochs();
        let file = place.fs.open(&path, Open::Write).at("open", &path)?;
        Ok(Some((path, file)))
    }

    /// The file was synced as it is.
    pub(super) fn synced(&mut self) {
        self.unsynced = false;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::fs::SimFs;

    fn epochs(entries: &[(i32, i64)]) -> Epochs {
        let mut epochs = Epochs::default();
        for &(epoch, start) in entries {
            epochs.insert(LeaderEpoch(epoch), Offset(start));
        }
        epochs
    }

    fn pairs(epochs: &Epochs) -> Vec<(i32, i64)> {
        epochs.entries.iter().map(|(epoch, start)| (epoch.0, start.0)).collect()
    }

    #[test]
    fn later_entries_give_way_to_one_that_contradicts_them() {
        assert_eq!(pairs(&epochs(&[(0, 0), (1, 10), (2, 20)])), [(0, 0), (1, 10), (2, 20)]);
        assert_eq!(pairs(&epochs(&[(0, 0), (1, 10), (3, 10)])), [(0, 0), (3, 10)]);
        assert_eq!(pairs(&epochs(&[(0, 0), (5, 10), (2, 30)])), [(0, 0), (2, 30)]);
        assert_eq!(pairs(&epochs(&[(0, 0), (1, 10), (1, 15)])), [(0, 0), (1, 10)]);
        assert_eq!(pairs(&epochs(&[(0, 0), (1, 10), (1, 5)])), [(0, 0), (1, 5)]);
        assert_eq!(pairs(&epochs(&[(-1, 0), (1, -1)])), []);
    }

    #[test]
    fn both_ends_can_be_cut() {
        let mut all = epochs(&[(0, 0), (1, 10), (2, 20)]);
        assert!(!all.truncate_from_end(Offset(21)));
        assert!(all.truncate_from_end(Offset(20)));
        assert_eq!(pairs(&all), [(0, 0), (1, 10)]);
        assert!(all.truncate_from_start(Offset(5)));
        assert_eq!(pairs(&all), [(0, 5), (1, 10)]);
        assert!(!all.truncate_from_start(Offset(5)));
        assert!(all.truncate_from_start(Offset(10)));
        assert_eq!(pairs(&all), [(1, 10)]);
        assert!(all.truncate_from_start(Offset(50)));
        assert_eq!(pairs(&all), [(1, 50)]);
    }

    #[test]
    fn ends_of_epochs_are_those_of_kafka() {
        let all = epochs(&[(2, 20), (4, 40)]);
        let end = |epoch| all.end_offset(LeaderEpoch(epoch), Offset(60)).map(|(e, o)| (e.0, o.0));
        assert_eq!(end(-1), None);
        assert_eq!(end(1), Some((1, 20)));
        assert_eq!(end(2), Some((2, 40)));
        assert_eq!(end(3), Some((2, 40)));
        assert_eq!(end(4), Some((4, 60)));
        assert_eq!(end(5), None);
        assert_eq!(all.of(Offset(19)), None);
        assert_eq!(all.of(Offset(39)), Some(LeaderEpoch(2)));
    }

    #[test]
    fn the_file_has_kafkas_layout() {
        let place = Place::new(Arc::new(SimFs::new()), std::path::Path::new("/"));
        let mut all = epochs(&[(0, 0), (3, 17)]);
        all.save(&place).unwrap();
        assert_eq!(place.fs.read(&place.epochs(), 100).unwrap(), b"0\n2\n0 0\n3 17\n");
        assert_eq!(pairs(&Epochs::load(&place).unwrap()), [(0, 0), (3, 17)]);
    }

    #[test]
    fn a_file_that_waits_for_its_sync_is_not_open() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::new(Arc::new(crate::fs::RealFs), dir.path());
        let open = || {
            let all = std::fs::read_dir("/proc/self/fd").unwrap();
            let targets = all.filter_map(|each| std::fs::read_link(each.unwrap().path()).ok());
            targets.filter(|target| target.starts_with(dir.path())).count()
        };
        let mut all = epochs(&[(0, 0)]);
        assert!(all.unsynced(&place).unwrap().is_none());
        all.save(&place).unwrap();
        assert_eq!(open(), 0);
        let (path, file) = all.unsynced(&place).unwrap().expect("it is to be synced");
        assert_eq!((path, open()), (place.epochs(), 1));
        drop(file);
        all.synced();
        assert!(all.unsynced(&place).unwrap().is_none());
    }
}
