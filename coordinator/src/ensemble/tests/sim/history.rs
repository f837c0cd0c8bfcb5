//! A history of reads and writes of single nodes of the tree, and whether some order of them explains it.
//!
//! Every write carries a value of its own and says which version it replaced, so the order of writes of one path is in
//! the history itself, and what is left to check is that it agrees with the clock. Must never accept a history that a
//! single copy could not have shown.

use std::collections::BTreeMap;

use tokio::time::Instant;

/// One operation as its client saw it.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) path: String,
    pub(super) began: Instant,
    /// None for a write whose outcome the client never learned.
    pub(super) ended: Option<Instant>,
    pub(super) what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// Wrote this value; the version that it then had, if the client was told.
    Wrote { value: u64, version: Option<i32> },
    /// Saw this value at this version; nothing if there was no node yet.
    Saw(Option<(u64, i32)>),
}

/// What is wrong with a history; nothing if it is linearizable.
///
/// A version stands for a moment: it was written by one write, and reads of it lie between that write and the next.
/// With the moments in the order of versions, a history is linearizable if no operation of a later version ended
/// before one of an earlier version began, and every version seen was written by a write that could have.
pub(super) fn check(history: &[Event], last: &BTreeMap<String, (u64, i32)>) -> Result<(), String> {
    let mut paths: BTreeMap<&str, Vec<&Event>> = BTreeMap::new();
    for event in history {
        paths.entry(&event.path).or_default().push(event);
    }
    for (path, events) in paths {
        check_path(path, &events, last.get(path).copied())?;
    }
    Ok(())
}

fn check_path(path: &str, events: &[&Event], last: Option<(u64, i32)>) -> Result<(), String> {
    let mut values: BTreeMap<i32, u64> = BTreeMap::new();
    let mut place = |version: i32, value: u64| match *values.entry(version).or_insert(value) {
        same if same == value => Ok(()),
        other => Err(format!("{path}: version {version} was both {other} and {value}")),
    };
    for event in events {
        match event.what {
            What::Wrote { value, version: Some(version) } => place(version, value)?,
            What::Saw(Some((value, version))) => place(version, value)?,
            What::Wrote { version: None, .. } | What::Saw(None) => {}
        }
    }
    if let Some((value, version)) = last {
        place(version, value)?;
        let lost = values.keys().find(|seen| **seen > version);
        if let Some(lost) = lost {
            return Err(format!(
                "{path}: version {lost} was acknowledged or seen, the last one is {version}"
            ));
        }
    }
    // Each value seen was written by somebody who had begun.
    let mut moments: Vec<(i32, Instant, Option<Instant>, String)> = Vec::new();
    for event in events {
        let version = match event.what {
            What::Wrote { version: Some(version), .. } => version,
            What::Wrote { value, version: None } => match values.iter().find(|(_, known)| **known == value) {
                Some((version, _)) => *version,
                None => continue,
            },
            What::Saw(Some((value, version))) => {
                let writer = events
                    .iter()
                    .find(|other| matches!(other.what, What::Wrote { value: wrote, .. } if wrote == value));
                let Some(writer) = writer else {
                    return Err(format!("{path}: {value} was seen and never written"));
                };
                if event.ended.is_some_and(|ended| ended < writer.began) {
                    return Err(format!("{path}: {value} was seen before it was written"));
                }
                version
            }
            What::Saw(None) if event.ended.is_none() => continue,
            What::Saw(None) => -1,
        };
        moments.push((version, event.began, event.ended, format!("{:?}", event.what)));
    }
    moments.sort_by_key(|(version, ..)| *version);
    // The latest beginning among all operations of earlier versions; none of later ones may have ended before it.
    let mut latest: Option<(i32, Instant, String)> = None;
    let mut index = 0;
    while index < moments.len() {
        let version = moments[index].0;
        let group: Vec<_> = moments[index..].iter().take_while(|each| each.0 == version).collect();
        for (_, _, ended, what) in &group {
            if let (Some((_, began, earlier)), Some(ended)) = (&latest, ended)
                && ended < began
            {
                return Err(format!("{path}: {what} ended before {earlier} began"));
            }
        }
        for (_, began, _, what) in &group {
            if latest.as_ref().is_none_or(|(_, latest, _)| began > latest) {
                latest = Some((version, *began, what.clone()));
            }
        }
        index += group.len();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn event(began: u64, ended: u64, what: What) -> Event {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        Event { path: "/a".into(), began: at(began), ended: Some(at(ended)), what }
    }

    /// Events share one clock, whose start is the first event's.
    fn verdict(events: &[(u64, u64, What)]) -> Result<(), String> {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let events: Vec<_> = events
            .iter()
            .map(|(began, ended, what)| Event {
                began: at(*began),
                ended: Some(at(*ended)),
                ..event(0, 0, what.clone())
            })
            .collect();
        check(&events, &BTreeMap::new())
    }

    fn wrote(value: u64, version: i32) -> What {
        What::Wrote { value, version: Some(version) }
    }

    #[test]
    fn histories_of_one_copy_are_accepted_and_others_are_not() {
        let (one, two) = (wrote(10, 0), wrote(20, 1));
        let saw = |value, version| What::Saw(Some((value, version)));
        verdict(&[(0, 5, one.clone()), (6, 9, two.clone()), (10, 11, saw(20, 1))]).unwrap();
        verdict(&[(0, 5, one.clone()), (6, 20, two.clone()), (10, 11, saw(10, 0)), (12, 13, saw(20, 1))])
            .unwrap();
        verdict(&[(0, 5, one.clone()), (6, 9, two.clone()), (10, 11, saw(10, 0))]).expect_err("a stale read");
        verdict(&[(0, 5, one.clone()), (6, 20, two.clone()), (10, 11, saw(20, 1)), (12, 13, saw(10, 0))])
            .expect_err("a read that goes back");
        verdict(&[(0, 5, one.clone()), (6, 9, wrote(20, 0))]).expect_err("two writes of one version");
        verdict(&[(0, 5, one), (6, 7, saw(30, 1))]).expect_err("a value from nowhere");
        verdict(&[(0, 5, two), (6, 9, What::Saw(None))]).expect_err("a write that vanished");
    }
}
