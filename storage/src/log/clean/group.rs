//! The segments of a cleaning, and which of them become one (`Cleaner.groupSegmentsBySize`).
//!
//! Must never put more into a group than one segment may hold: bytes, index entries, offsets.

use std::collections::VecDeque;

use crate::ids::Offset;
use crate::log::LogConfig;
use crate::log::entries::{Entry, OffsetEntry, TimeEntry};
use crate::log::segment::Segment;

/// A closed segment as it was when the cleaning began.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Source {
    pub base: Offset,
    pub size: u64,
    pub offset_entries: usize,
    pub time_entries: usize,
    /// The base of the next segment.
    pub end: Offset,
}

impl Source {
    pub(super) fn of(segment: &Segment, end: Offset) -> Self {
        let (offset_entries, time_entries) = (segment.offsets.len(), segment.times.len());
        Self { base: segment.base, size: segment.size, offset_entries, time_entries, end }
    }
}

/// Neighbours that fit into one segment together, in order.
pub(super) fn groups(sources: &[Source], config: &LogConfig) -> VecDeque<Vec<Source>> {
    let mut groups: VecDeque<Vec<Source>> = VecDeque::new();
    for source in sources {
        match groups.back_mut().filter(|group| fits(group, source, config)) {
            Some(group) => group.push(*source),
            None => groups.push_back(vec![*source]),
        }
    }
    groups
}

fn fits(group: &[Source], next: &Source, config: &LogConfig) -> bool {
    let sum = |part: fn(&Source) -> u64| group.iter().map(part).sum::<u64>() + part(next);
    let index_bytes = u64::from(config.segment_index_bytes);
    // An empty segment brings no offset, so it never makes the range too wide.
    let span = next.end.0 - 1 - group[0].base.0;
    sum(|source| source.size) <= u64::from(config.segment_bytes)
        && sum(|source| (source.offset_entries * OffsetEntry::LEN) as u64) <= index_bytes
        && sum(|source| (source.time_entries * TimeEntry::LEN) as u64) <= index_bytes
        && (next.size == 0 || span <= i64::from(i32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(base: i64, size: u64, end: i64) -> Source {
        Source { base: Offset(base), size, offset_entries: 2, time_entries: 2, end: Offset(end) }
    }

    fn bases(sources: &[Source], config: &LogConfig) -> Vec<Vec<i64>> {
        let bases = |group: Vec<Source>| group.iter().map(|source| source.base.0).collect();
        groups(sources, config).into_iter().map(bases).collect()
    }

    #[test]
    fn bytes_index_entries_and_offsets_bound_a_group() {
        let config = LogConfig { segment_bytes: 100, ..LogConfig::default() };
        let three = [source(0, 60, 10), source(10, 40, 20), source(20, 1, 30)];
        assert_eq!(bases(&three, &config), [vec![0, 10], vec![20]]);
        let tight = LogConfig { segment_index_bytes: 2 * 2 * 12, ..config.clone() };
        let small = [source(0, 1, 10), source(10, 1, 20), source(20, 1, 30)];
        assert_eq!(bases(&small, &tight), [vec![0, 10], vec![20]]);
        let far = i64::from(i32::MAX);
        let wide = [source(0, 1, 10), source(10, 1, far + 1), source(far + 1, 1, far + 2)];
        assert_eq!(bases(&wide, &config), [vec![0, 10], vec![far + 1]]);
        let empty = [source(0, 1, 10), source(10, 0, far + 9), source(far + 9, 0, far + 10)];
        assert_eq!(bases(&empty, &config), [vec![0, 10, far + 9]]);
        assert!(bases(&[], &config).is_empty());
        assert_eq!(bases(&[source(0, 999, 1), source(1, 1, 2)], &config), [vec![0], vec![1]]);
    }
}
