//! A clean history passes, and each class of anomaly, planted in it, is found.
//!
//! A test must never plant so much that another class than its own would have found it as well, unless it names that one too.

use std::collections::BTreeMap;

use super::{Anomaly, Event, Isolation, Offset, Place, Reader, Seen, What, behind, judge};

const UNCOMMITTED: &str = "uncommitted";

/// A history in the making; every event is a millisecond after the one before.
#[derive(Clone, Default)]
struct Story(Vec<Event>);

impl Story {
    fn then(mut self, by: &str, what: What) -> Self {
        let ms = i64::try_from(self.0.len()).unwrap();
        self.0.push(Event { ms, by: by.to_owned(), what });
        self
    }

    fn sent(self, by: &str, value: &str, place: &str) -> Self {
        self.then(by, What::Sent { value: value.into(), place: Place(place.into()), transaction: None })
    }

    fn acked(self, by: &str, value: &str, place: &str, offset: Offset) -> Self {
        self.then(by, What::Acked { value: value.into(), place: Place(place.into()), offset: Some(offset) })
    }

    /// Sent and acknowledged.
    fn wrote(self, by: &str, value: &str, place: &str, offset: Offset) -> Self {
        self.sent(by, value, place).acked(by, value, place, offset)
    }

    /// Sent and acknowledged within a transaction.
    fn within(self, transaction: &str, value: &str, place: &str, offset: Offset) -> Self {
        let named = Some(transaction.to_owned());
        let sent = What::Sent { value: value.into(), place: Place(place.into()), transaction: named };
        self.then("tx", sent).acked("tx", value, place, offset)
    }

    fn committed(self, transaction: &str) -> Self {
        let named = || transaction.to_owned();
        self.committing(transaction).then("tx", What::Committed { transaction: named() })
    }

    fn committing(self, transaction: &str) -> Self {
        self.then("tx", What::Committing { transaction: transaction.to_owned() })
    }

    fn aborted(self, transaction: &str) -> Self {
        self.then("tx", What::Aborted { transaction: transaction.to_owned() })
    }

    fn read(self, by: &str, records: &[(&str, Offset, &str)]) -> Self {
        let reader = match by {
            "last" | "last-uncommitted" => Reader::Last,
            _ if by.starts_with("member") => Reader::Member,
            _ => Reader::Follower,
        };
        let isolation = if by.ends_with(UNCOMMITTED) { Isolation::Uncommitted } else { Isolation::Committed };
        let seen = |(place, offset, value): &(&str, Offset, &str)| {
            Seen(Place((*place).to_owned()), *offset, (*value).to_owned())
        };
        self.then(by, What::Read { reader, isolation, records: records.iter().map(seen).collect() })
    }

    fn assigned(self, by: &str) -> Self {
        self.then(by, What::Assigned { group: "g".into(), places: vec![Place("t-0".into())] })
    }

    fn revoked(self, by: &str) -> Self {
        self.then(by, What::Revoked { group: "g".into(), places: vec![Place("t-0".into())] })
    }

    fn saved(self, by: &str, offset: Offset) -> Self {
        self.then(by, What::Saved { group: "g".into(), offsets: BTreeMap::from([("t-0".into(), offset)]) })
    }

    /// The names of the classes that are found in it.
    fn classes(&self) -> Vec<String> {
        let verdict = judge(&self.0);
        let class = |anomaly: &Anomaly| anomaly.to_string().split(':').next().unwrap().to_owned();
        let mut classes: Vec<String> = verdict.anomalies.iter().map(class).collect();
        classes.dedup();
        classes
    }
}

const A: (&str, Offset, &str) = ("t-0", 0, "a");
const B: (&str, Offset, &str) = ("t-0", 1, "b");
const C: (&str, Offset, &str) = ("t-0", 2, "c");

/// Three values, acknowledged at 0, 1 and 2.
fn three() -> Story {
    Story::default().wrote("p", "a", "t-0", 0).wrote("p", "b", "t-0", 1).wrote("p", "c", "t-0", 2)
}

#[test]
fn a_clean_history_passes() {
    let story = three()
        .within("one", "x", "u-0", 0)
        .within("one", "y", "u-1", 0)
        .committed("one")
        .within("two", "z", "u-0", 2)
        .aborted("two")
        .sent("p", "never acknowledged", "t-0")
        .then("p", What::Failed { value: "never acknowledged".into(), error: "timed out".into() })
        .sent("p", "acknowledged by nobody, and there", "t-0")
        .read("follower", &[A, B])
        .assigned("member-1")
        .read("member-1", &[A, B])
        .saved("member-1", 1)
        .revoked("member-1")
        .assigned("member-2")
        // What was not saved is read again, and who was revoked may still say so.
        .read("member-2", &[B, C])
        .read("follower", &[C])
        .read("last", &[A, B, C, ("t-0", 4, "acknowledged by nobody, and there")])
        .read("last", &[("u-0", 0, "x"), ("u-1", 0, "y")])
        .read("last-uncommitted", &[A, B, C, ("t-0", 4, "acknowledged by nobody, and there")])
        .read("last-uncommitted", &[("u-0", 0, "x"), ("u-1", 0, "y"), ("u-0", 2, "z")]);
    let verdict = judge(&story.0);
    assert_eq!(verdict.told(), "");
    assert_eq!((verdict.acked, verdict.failed.len(), verdict.committed, verdict.aborted), (5, 1, 1, 1));
}

#[test]
fn a_lost_write_is_found() {
    assert_eq!(three().read("last", &[A, C]).classes(), ["lost write"]);
    // Somebody read beyond it once, though nobody does at the end.
    let story = three().read("follower", &[A]).read("other", &[A, B, C]).read("last", &[A, B]);
    assert_eq!(story.classes(), ["unseen"], "nothing behind it was read");
    let story = three().sent("p", "d", "t-0").read("follower", &[A, B, C, ("t-0", 3, "d")]);
    assert_eq!(story.read("last", &[A, B]).classes(), ["lost write", "vanished"]);
}

#[test]
fn what_no_last_read_has_is_unseen() {
    assert_eq!(three().read("last", &[A, B]).classes(), ["unseen"]);
    assert_eq!(three().classes(), ["unseen"], "without a last read nothing is seen");
    let one_of_two = three().read("last", &[A, B, C]).read("last-uncommitted", &[A, B]);
    assert_eq!(one_of_two.classes(), ["unseen"], "every last read is asked");
}

#[test]
fn what_was_read_and_is_gone_is_found() {
    let story = three().sent("p", "d", "t-0").read("follower", &[A, B, C, ("t-0", 3, "d")]);
    assert_eq!(story.read("last", &[A, B, C]).classes(), ["vanished"]);
}

#[test]
fn a_duplicate_is_found() {
    assert_eq!(three().read("last", &[A, B, C, ("t-0", 3, "a")]).classes(), ["duplicate"]);
    // Acknowledged at one offset, and read at another.
    let story = Story::default().wrote("p", "a", "t-0", 0).read("last", &[("t-0", 1, "a")]);
    assert_eq!(story.classes(), ["duplicate"]);
}

#[test]
fn two_values_at_one_offset_are_found() {
    let story =
        three().sent("p", "d", "t-0").read("other", &[("t-0", 0, "a"), ("t-0", 1, "b"), ("t-0", 2, "d")]);
    assert_eq!(story.read("last", &[A, B, C]).classes(), ["vanished", "inconsistent offset"]);
}

#[test]
fn a_reader_that_goes_back_is_found() {
    let story = three().read("follower", &[A, B]).read("follower", &[B, C]).read("last", &[A, B, C]);
    assert_eq!(story.classes(), ["nonmonotonic poll"]);
    let story = three().assigned("member-1").read("member-1", &[A, B]).read("member-1", &[A, B, C]);
    assert_eq!(story.read("last", &[A, B, C]).classes(), ["nonmonotonic poll"], "nothing was given anew");
}

#[test]
fn a_reader_that_passes_over_a_record_is_found() {
    assert_eq!(three().read("follower", &[A, C]).read("last", &[A, B, C]).classes(), ["poll skip"]);
    assert_eq!(
        three().read("follower", &[B, C]).read("last", &[A, B, C]).classes(),
        ["poll skip"],
        "the first"
    );
    let story = three().assigned("member-1").read("member-1", &[A, C]).read("last", &[A, B, C]);
    assert_eq!(story.classes(), ["poll skip"]);
}

#[test]
fn a_producer_whose_records_change_places_is_found() {
    let story = Story::default().sent("p", "b", "t-0").sent("p", "a", "t-0");
    let story = story.acked("p", "a", "t-0", 0).acked("p", "b", "t-0", 1);
    assert_eq!(story.read("last", &[A, B]).classes(), ["nonmonotonic send"]);
}

#[test]
fn an_aborted_read_is_found() {
    let aborted = Story::default().within("one", "a", "t-0", 0).aborted("one").read("follower", &[A]);
    assert_eq!(aborted.read("last", &[]).classes(), ["vanished", "aborted read (G1a)"]);
    // Nobody ever asked for the commit.
    let never = Story::default().within("one", "a", "t-0", 0).read("last", &[A]);
    assert_eq!(never.classes(), ["aborted read (G1a)"]);
    // Who reads what is not committed may see it.
    let story = Story::default().within("one", "a", "t-0", 0).aborted("one").read("last", &[]);
    assert_eq!(story.read("last-uncommitted", &[A]).classes(), [""; 0]);
}

#[test]
fn a_read_before_the_commit_is_found() {
    let story = Story::default().within("one", "a", "t-0", 0).read("follower", &[A]).committed("one");
    assert_eq!(story.read("last", &[A]).classes(), ["precommitted read"]);
}

#[test]
fn a_torn_transaction_is_found() {
    let unsure = Story::default().within("one", "a", "t-0", 0).within("one", "x", "u-0", 0).committing("one");
    assert_eq!(unsure.clone().read("last", &[A, ("u-0", 0, "x")]).classes(), [""; 0]);
    assert_eq!(unsure.clone().read("last", &[]).classes(), [""; 0]);
    assert_eq!(unsure.clone().read("last", &[A]).classes(), ["torn transaction"]);
    let committed = unsure.then("tx", What::Committed { transaction: "one".into() });
    assert_eq!(committed.read("last", &[A]).classes(), ["unseen", "torn transaction"]);
}

#[test]
fn what_nobody_sent_is_found() {
    assert_eq!(three().read("last", &[A, B, C, ("t-0", 3, "d")]).classes(), ["unsent"]);
    let elsewhere = Story::default().sent("p", "a", "t-0").read("last", &[("t-1", 0, "a")]);
    assert_eq!(elsewhere.classes(), ["unsent"]);
}

#[test]
fn a_commit_that_a_group_forgets_is_found() {
    let story =
        three().assigned("member-1").read("member-1", &[A, B]).saved("member-1", 2).revoked("member-1");
    let story = story.assigned("member-2").read("member-2", &[B, C]).read("last", &[A, B, C]);
    assert_eq!(story.classes(), ["lost commit"]);
}

#[test]
fn a_record_that_a_group_passes_over_is_found() {
    let story = three().assigned("member-1").read("member-1", &[A]).revoked("member-1");
    let story = story.assigned("member-2").read("member-2", &[C]).read("last", &[A, B, C]);
    assert_eq!(story.classes(), ["group skip"]);
}

#[test]
fn what_clients_write_is_read() {
    let lines = [
        r#"{"ms":7,"by":"p","is":"sent","value":"p/1","place":"t-0","transaction":null}"#,
        r#"{"ms":8,"by":"p","is":"acked","value":"p/1","place":"t-0","offset":4}"#,
        r#"{"ms":9,"by":"r","is":"read","reader":"follower","isolation":"committed","records":[["t-0",4,"p/1"]]}"#,
        r#"{"ms":9,"by":"m","is":"saved","group":"g","offsets":{"t-0":5}}"#,
        r#"{"ms":9,"by":"p","is":"ended"}"#,
    ];
    let events: Vec<Event> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        events[1].what,
        What::Acked { value: "p/1".into(), place: Place("t-0".into()), offset: Some(4) }
    );
    let seen = Seen(Place("t-0".into()), 4, "p/1".into());
    let (reader, isolation) = (Reader::Follower, Isolation::Committed);
    assert_eq!(events[2].what, What::Read { reader, isolation, records: vec![seen] });
    assert_eq!(events[4].what, What::Ended);
}

#[test]
fn who_is_behind_is_told() {
    let story =
        three().read("last", &[A, B, C]).read("follower", &[A]).assigned("member-1").assigned("member-2");
    let story = story.read("member-1", &[A, B]);
    assert_eq!(behind(&story.0), ["follower lacks 2 of 3", "group g lacks 1 of 3"]);
    let story = story.read("follower", &[B, C]).read("member-2", &[C]);
    assert_eq!(behind(&story.0), [""; 0]);
}
