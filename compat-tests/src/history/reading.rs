//! What each reader read, in its order: never back, and nothing passed over.
//!
//! It must never count a jump over records that the reader's isolation hides.

use std::collections::{BTreeMap, BTreeSet};

use super::index::Index;
use super::{Anomaly, Event, Isolation, Offset, Place, Reader, What};

pub(super) fn judge<'a>(index: &Index<'a>, events: &'a [Event], found: &mut BTreeSet<Anomaly>) {
    // Of each reader and place, the offset that was read last; none where a member has to look for its place first.
    let mut positions: BTreeMap<(&str, &Place), Option<Offset>> = BTreeMap::new();
    for event in events {
        let by = event.by.as_str();
        match &event.what {
            What::Assigned { places, .. } | What::Revoked { places, .. } => {
                positions.extend(places.iter().map(|place| ((by, place), None)));
            }
            What::Read { reader, isolation, records } => {
                for seen in records {
                    let (place, offset) = (&seen.0, seen.1);
                    // Who reads all begins before the first offset.
                    let first = (*reader != Reader::Member).then_some(-1);
                    let position = positions.entry((by, place)).or_insert(first);
                    if let Some(before) = position.replace(offset) {
                        if offset <= before {
                            let (by, place) = (by.to_owned(), place.clone());
                            found.insert(Anomaly::NonmonotonicPoll { by, place, before, offset });
                        } else if let Some(skipped) =
                            index.between(*isolation, place, (before, offset)).next()
                        {
                            let (by, place) = (by.to_owned(), place.clone());
                            found.insert(Anomaly::PollSkip { by, place, before, offset, skipped });
                        }
                    }
                }
            }
            _ => {}
        }
    }
}

/// Who has not read yet what the last readers have found: followers by name, and groups. Empty when all are there.
#[must_use]
pub fn behind(events: &[Event]) -> Vec<String> {
    type Read<'a> = BTreeSet<(&'a Place, Offset)>;
    let mut by_isolation: BTreeMap<Isolation, Read<'_>> = BTreeMap::new();
    let mut by_reader: BTreeMap<String, (Isolation, Read<'_>)> = BTreeMap::new();
    let mut groups: BTreeMap<&str, &str> = BTreeMap::new();
    for event in events {
        match &event.what {
            What::Assigned { group, .. } => drop(groups.insert(&event.by, group)),
            What::Read { reader, isolation, records } => {
                let seen = records.iter().map(|seen| (&seen.0, seen.1));
                if *reader == Reader::Last {
                    by_isolation.entry(*isolation).or_default().extend(seen.clone());
                }
                let group = groups.get(event.by.as_str()).filter(|_| *reader == Reader::Member);
                let name = group.map_or_else(|| event.by.clone(), |group| format!("group {group}"));
                by_reader.entry(name).or_insert_with(|| (*isolation, Read::new())).1.extend(seen);
            }
            _ => {}
        }
    }
    let lacks = |(name, (isolation, read)): (String, (Isolation, Read<'_>))| {
        let wanted = by_isolation.get(&isolation)?;
        let missing = wanted.difference(&read).count();
        (missing > 0).then(|| format!("{name} lacks {missing} of {}", wanted.len()))
    };
    by_reader.into_iter().filter_map(lacks).collect()
}
