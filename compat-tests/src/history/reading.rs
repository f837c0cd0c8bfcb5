//! What each reader read, in its order: never back, and nothing passed over.
//!
//! It must never count a jump over records that the reader's isolation hides.

use std::collections::{BTreeMap, BTreeSet};

use super::index::Index;
use super::{Anomaly, Event, Offset, Place, Reader, What};

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
