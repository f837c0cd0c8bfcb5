//! Tests of batches that are appended together: the same is in the log, and the same is answered, as one by one.
//!
//! Like all tests of the log, they must never look at more than its files and its public face.

use proptest::prelude::*;

use super::*;
use crate::fs::Fs;

/// What a client may send next.
#[derive(Clone, Copy, Debug)]
enum Sent {
    Plain,
    /// The next batch of one of three producers.
    Next(i64),
    /// The one before it again.
    Again(i64),
    /// The one behind it.
    Gap(i64),
    Transactional(i64),
    /// Larger than a segment.
    TooLarge,
    /// A day later, so that the segment is old.
    Later,
}

fn sent() -> impl Strategy<Value = Sent> {
    prop_oneof![
        3 => Just(Sent::Plain),
        9 => (1i64..4).prop_map(Sent::Next),
        1 => (1i64..4).prop_map(Sent::Again),
        1 => (1i64..4).prop_map(Sent::Gap),
        1 => (4i64..5).prop_map(Sent::Transactional),
        1 => Just(Sent::TooLarge),
        1 => Just(Sent::Later),
    ]
}

/// A client that takes every batch for written that it has sent.
#[derive(Default)]
struct Client {
    sequences: [i32; 5],
    ms: i64,
}

impl Client {
    fn batch(&mut self, sent: Sent) -> ValidBatch {
        self.ms += 1;
        let of = |id: i64, sequence: i32, ms: i64| {
            records(id, 2, ms).producer(ProducerId(id), ProducerEpoch(0), sequence)
        };
        let at = |id: i64| usize::try_from(id).unwrap();
        let mut next = |id: i64| {
            self.sequences[at(id)] += 2;
            self.sequences[at(id)] - 2
        };
        valid(match sent {
            Sent::Plain => records(0, 1, self.ms),
            Sent::Next(id) => of(id, next(id), self.ms),
            Sent::Again(id) => of(id, (self.sequences[at(id)] - 2).max(0), self.ms),
            Sent::Gap(id) => of(id, self.sequences[at(id)] + 4, self.ms),
            Sent::Transactional(id) => of(id, next(id), self.ms).transactional(),
            Sent::TooLarge => records(0, 20, self.ms),
            Sent::Later => {
                self.ms += 1000 * 3600 * 24;
                records(0, 1, self.ms)
            }
        })
    }
}

/// As in [`small`], and a segment may hold batches of an hour.
fn config() -> LogConfig {
    LogConfig { segment_ms: 1000 * 3600, segment_jitter_ms: 0, ..small() }
}

/// All files of the log with their content.
fn files(fs: &SimFs) -> Vec<(String, Vec<u8>)> {
    let read = |name: String| {
        let content = fs.read(&Path::new(DIR).join(&name), 1 << 20).unwrap();
        (name, content)
    };
    names(fs).into_iter().map(read).collect()
}

/// What is answered, in words.
fn told(answer: &Result<Appended, AppendError>) -> String {
    match answer {
        Ok(appended) => format!("{appended:?}"),
        Err(error) => error.to_string(),
    }
}

proptest! {
    #[test]
    fn together_is_as_one_by_one(groups in prop::collection::vec(prop::collection::vec(sent(), 1..9), 1..9)) {
        let (alone, joined) = (SimFs::new(), SimFs::new());
        let (mut one_by_one, mut together) = (open(&alone, config()), open(&joined, config()));
        let mut client = Client::default();
        for group in groups {
            let batches: Vec<_> = group.into_iter().map(|sent| client.batch(sent)).collect();
            let now = at(client.ms);
            let expected: Vec<_> =
                batches.iter().map(|batch| told(&one_by_one.append_as_leader(batch.clone(), EPOCH, now))).collect();
            let mut answers = Vec::new();
            while answers.len() < batches.len() {
                let rest = &batches[answers.len()..];
                let part = together.append_all_as_leader(rest, EPOCH, now);
                prop_assert!(!part.is_empty() && part.iter().rev().skip(1).all(Result::is_ok));
                answers.extend(part.iter().map(told));
            }
            prop_assert_eq!(answers, expected);
            prop_assert_eq!(together.producers(), one_by_one.producers());
        }
        prop_assert_eq!(files(&joined), files(&alone));
        together.close_clean().unwrap();
        one_by_one.close_clean().unwrap();
        prop_assert_eq!(files(&joined), files(&alone));
    }
}

/// The batches of two producers in a round, and one that is of none.
fn group(round: i32) -> Vec<ValidBatch> {
    let of = |id: i64, sequence: i32| {
        valid(records(id, 2, 100).producer(ProducerId(id), ProducerEpoch(0), sequence))
    };
    vec![of(1, round * 4), of(2, round * 2), valid(records(0, 1, 100)), of(1, round * 4 + 2)]
}

#[test]
fn of_a_group_that_cannot_be_written_nothing_stays() {
    let config = LogConfig { segment_bytes: 100_000, ..small() };
    let mut failures = 0;
    for fault in [SimFault::Error, SimFault::Full] {
        for step in 0.. {
            let fs = SimFs::new();
            let mut log = open(&fs, config.clone());
            assert!(log.append_all_as_leader(&group(0), EPOCH, at(0)).iter().all(Result::is_ok));
            let before = (log.log_end_offset(), log.producers(), contents(&log, 0, 500));
            fs.fault_after(step, fault);
            let answers = log.append_all_as_leader(&group(1), EPOCH, at(0));
            let mutations = fs.mutations();
            fs.heal();
            let what = format!("{fault:?} at {step}: {answers:?}");
            if answers.iter().all(Result::is_ok) {
                assert!(mutations > 0 && step > 3, "each of the four batches was in danger: {what}");
                break;
            }
            failures += 1;
            assert_eq!(answers.len(), 1, "{what}");
            let after = (log.log_end_offset(), log.producers(), contents(&log, 0, 500));
            assert_eq!(after, before, "{what}");
            // Behind a batch as long as the first of them, a recovery would take the others for batches of the log.
            let alone = log.append_as_leader(valid(records(3, 2, 100)), EPOCH, at(0)).unwrap();
            let (end, producers) = (alone.last.plus(1), log.producers());
            drop(log);
            let mut log = open(&fs, config.clone());
            assert_eq!((log.log_end_offset(), log.producers()), (end, producers), "{what}");
            // The client sends all of it again.
            let again = log.append_all_as_leader(&group(1), EPOCH, at(0));
            assert!(again.iter().all(|answer| answer.as_ref().is_ok_and(|done| !done.duplicate)), "{what}");
            assert_eq!(offsets(&log, 0), (0..16).collect::<Vec<_>>(), "{what}");
        }
    }
    assert!(failures > 6, "{failures}");
}
