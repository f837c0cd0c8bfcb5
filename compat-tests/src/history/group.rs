//! What a group read and saved, over all of its members: nothing passed over, no acknowledged commit forgotten.
//!
//! It must never believe a single member, nor blame one for reading again what was not saved.

use std::collections::{BTreeMap, BTreeSet};

use super::index::Index;
use super::{Anomaly, Event, Isolation, Offset, Place, Reader, What};

/// What a group has done with a place.
#[derive(Debug, Default)]
struct Story {
    read: BTreeSet<Offset>,
    /// The highest offset that was saved, and since when.
    saved: Option<Offset>,
    /// Who has been given the place and has not read there yet, with what was saved when it was given.
    expected: BTreeMap<String, Option<Offset>>,
}

type Stories<'a> = BTreeMap<(&'a str, &'a str), Story>;

pub(super) fn judge<'a>(index: &Index<'a>, events: &'a [Event], found: &mut BTreeSet<Anomaly>) {
    let mut stories: Stories<'_> = BTreeMap::new();
    let mut groups: BTreeMap<&str, &str> = BTreeMap::new();
    for event in events {
        let by = event.by.as_str();
        match &event.what {
            What::Assigned { group, places } => {
                groups.insert(by, group);
                for place in places {
                    let story = stories.entry((group, &place.0)).or_default();
                    story.expected.insert(by.to_owned(), story.saved);
                }
            }
            What::Saved { group, offsets } => {
                for (place, offset) in offsets {
                    let story = stories.entry((group, place)).or_default();
                    story.saved = story.saved.max(Some(*offset));
                }
            }
            What::Read { reader: Reader::Member, isolation, records } => {
                let Some(group) = groups.get(by) else { continue };
                for seen in records {
                    let story = stories.entry((group, &seen.0.0)).or_default();
                    if let Some(saved) = story.expected.remove(by) {
                        let member = Member { group, by, isolation: *isolation };
                        begins(index, story, &member, (&seen.0, seen.1), saved, found);
                    }
                    story.read.insert(seen.1);
                }
            }
            _ => {}
        }
    }
}

struct Member<'a> {
    group: &'a str,
    by: &'a str,
    isolation: Isolation,
}

/// The first record that a member reads after it was given a place.
fn begins<'a>(
    index: &Index<'a>,
    story: &Story,
    member: &Member<'_>,
    (place, resumed): (&'a Place, Offset),
    saved: Option<Offset>,
    found: &mut BTreeSet<Anomaly>,
) {
    let (group, by) = (member.group.to_owned(), member.by.to_owned());
    if let Some(saved) = saved.filter(|saved| resumed < *saved) {
        let (group, by) = (group.clone(), by.clone());
        found.insert(Anomaly::LostCommit { group, by, place: place.clone(), saved, resumed });
    }
    let mut passed = index.between(member.isolation, place, (-1, resumed));
    if let Some(skipped) = passed.find(|offset| !story.read.contains(offset)) {
        found.insert(Anomaly::GroupSkip { group, by, place: place.clone(), resumed, skipped });
    }
}
