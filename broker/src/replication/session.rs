//! A follower's fetch session (KIP-227, `FetchSessionHandler`): what changed since the last request is asked for, the leader remembers
//! the rest, so that partitions in which nothing happens cost nothing on the wire.
//!
//! It must never leave out what the leader remembers otherwise than it is: whoever is in doubt begins anew.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::partition::following::Standing;

/// A topic's id and the partition's number.
pub(super) type Key = (Uuid, i32);

/// The epoch of a request that names every partition and asks for a new session.
const FULL: i32 = 0;

/// What the leader remembers.
#[derive(Debug, Default)]
pub(super) struct Session {
    /// 0 where the leader keeps none.
    id: i32,
    epoch: i32,
    asked: BTreeMap<Key, Asked>,
}

/// What was asked of a partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Asked {
    stood: Standing,
    max_bytes: i32,
    /// The request that named it last, or would have.
    round: i32,
}

/// What a request says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ask {
    pub session_id: i32,
    pub session_epoch: i32,
    /// Indexes of the partitions that are named.
    pub named: Vec<usize>,
    pub forgotten: Vec<Key>,
}

impl Session {
    /// The request for these partitions.
    pub(super) fn ask(&mut self, wanted: &[(Key, Standing)], max_bytes: i32) -> Ask {
        let full = self.epoch == FULL;
        if full {
            self.asked.clear();
        }
        let mut named = Vec::new();
        for (index, (key, stood)) in wanted.iter().enumerate() {
            let now = Asked { stood: *stood, max_bytes, round: self.epoch };
            let before = self.asked.insert(*key, now);
            if before.is_none_or(|before| (before.stood, before.max_bytes) != (now.stood, now.max_bytes)) {
                named.push(index);
            }
        }
        let forgotten: Vec<Key> = if self.asked.len() == wanted.len() {
            Vec::new()
        } else {
            self.asked.iter().filter(|(_, asked)| asked.round != self.epoch).map(|(key, _)| *key).collect()
        };
        self.asked.retain(|_, asked| asked.round == self.epoch);
        Ask { session_id: self.id, session_epoch: self.epoch, named, forgotten }
    }

    /// The leader has answered in this session; 0 if it keeps none.
    pub(super) fn answered(&mut self, session_id: i32) {
        if session_id == 0 {
            *self = Self::default();
            return;
        }
        if self.epoch != FULL && session_id != self.id {
            return self.begin_anew();
        }
        self.id = session_id;
        self.epoch = self.epoch.checked_add(1).unwrap_or(1);
    }

    /// The next request names everything, and ends the session that there is.
    pub(super) fn begin_anew(&mut self) {
        self.epoch = FULL;
    }
}

#[cfg(test)]
mod tests {
    use milena_storage::ids::{LeaderEpoch, Offset};

    use super::*;

    fn at(partition: i32, end: i64) -> (Key, Standing) {
        let stood = Standing {
            epoch: LeaderEpoch(1),
            end: Offset(end),
            log_start: Offset(0),
            last_epoch: Some(LeaderEpoch(1)),
        };
        ((Uuid::from_u128(1), partition), stood)
    }

    #[test]
    fn only_what_changed_is_named_once_there_is_a_session() {
        let mut session = Session::default();
        let ask = session.ask(&[at(0, 5), at(1, 5)], 100);
        assert_eq!(ask, Ask { session_id: 0, session_epoch: 0, named: vec![0, 1], forgotten: vec![] });
        session.answered(77);
        let ask = session.ask(&[at(0, 5), at(1, 6)], 100);
        assert_eq!(ask, Ask { session_id: 77, session_epoch: 1, named: vec![1], forgotten: vec![] });
        session.answered(77);
        assert_eq!(session.ask(&[at(0, 5), at(1, 6)], 100).named, Vec::<usize>::new());
        session.answered(77);
        assert_eq!(session.ask(&[at(0, 5), at(1, 6)], 200).named, vec![0, 1], "another limit");
    }

    #[test]
    fn what_is_not_wanted_any_more_is_forgotten_and_named_when_it_comes_back() {
        let mut session = Session::default();
        let _ = session.ask(&[at(0, 5), at(1, 5), at(2, 5)], 100);
        session.answered(77);
        let ask = session.ask(&[at(1, 5), at(3, 0)], 100);
        assert_eq!((ask.named, ask.forgotten), (vec![1], vec![at(0, 5).0, at(2, 5).0]));
        session.answered(77);
        let ask = session.ask(&[at(1, 5), at(2, 5), at(3, 0)], 100);
        assert_eq!((ask.named, ask.forgotten), (vec![1], vec![]));
    }

    #[test]
    fn without_a_session_or_after_a_doubt_everything_is_named() {
        let mut session = Session::default();
        for _ in 0..2 {
            assert_eq!(session.ask(&[at(0, 5)], 100).named, [0]);
            session.answered(0);
        }
        let _ = session.ask(&[at(0, 5)], 100);
        session.answered(77);
        let _ = session.ask(&[at(0, 5)], 100);
        session.answered(78);
        let ask = session.ask(&[at(0, 5)], 100);
        assert_eq!(
            (ask.session_id, ask.session_epoch, ask.named),
            (77, 0, vec![0]),
            "that was another session"
        );
        session.answered(79);
        session.begin_anew();
        assert_eq!(session.ask(&[at(0, 5)], 100).session_epoch, 0);
    }
}
