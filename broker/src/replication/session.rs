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
    asked: BTreeMap<Key, Standing>,
    /// The limit that was named for each.
    max_bytes: i32,
}

/// What a request says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ask {
    pub session_id: i32,
    pub session_epoch: i32,
    pub named: Vec<(Key, Standing)>,
    pub forgotten: Vec<Key>,
}

/// What was found of partitions since the last request.
#[derive(Debug)]
pub(super) struct Looked {
    /// Where they stand; none for what is not asked for now.
    pub standing: Vec<(Key, Option<Standing>)>,
    /// These are all that are followed.
    pub all: bool,
}

impl Session {
    /// The request for what was looked at, and for what is asked for already. In a new session all has to be looked at.
    pub(super) fn ask(&mut self, looked: &Looked, max_bytes: i32) -> Ask {
        let full = self.is_new();
        assert!(looked.all || !full, "a new session names all that is followed");
        let before = match (full || looked.all).then(|| std::mem::take(&mut self.asked)) {
            Some(before) if !full => before,
            _ => BTreeMap::new(),
        };
        let renamed = std::mem::replace(&mut self.max_bytes, max_bytes) != max_bytes;
        let (mut named, mut forgotten) = (Vec::new(), Vec::new());
        for (key, stood) in &looked.standing {
            match stood {
                Some(stood) => {
                    let known = self.asked.insert(*key, *stood);
                    if known.as_ref().or(before.get(key)) != Some(stood) {
                        named.push((*key, *stood));
                    }
                }
                None => forgotten.extend(self.asked.remove(key).map(|_| *key)),
            }
        }
        forgotten.extend(before.into_keys().filter(|key| !self.asked.contains_key(key)));
        if renamed {
            named = self.asked.iter().map(|(key, stood)| (*key, *stood)).collect();
        }
        Ask { session_id: self.id, session_epoch: self.epoch, named, forgotten }
    }

    /// Whether the next request names everything.
    pub(super) fn is_new(&self) -> bool {
        self.epoch == FULL
    }

    /// Whether nothing is asked for.
    pub(super) fn is_idle(&self) -> bool {
        self.asked.is_empty()
    }

    /// What a partition was asked for with.
    pub(super) fn asked(&self, key: &Key) -> Option<Standing> {
        self.asked.get(key).copied()
    }

    /// The leader has answered in this session; 0 if it keeps none.
    pub(super) fn answered(&mut self, session_id: i32) {
        if session_id == 0 {
            (self.id, self.epoch) = (0, FULL);
            return;
        }
        if !self.is_new() && session_id != self.id {
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

    fn key(partition: i32) -> Key {
        (Uuid::from_u128(1), partition)
    }

    fn stood(end: i64) -> Standing {
        Standing {
            epoch: LeaderEpoch(1),
            end: Offset(end),
            log_start: Offset(0),
            last_epoch: Some(LeaderEpoch(1)),
        }
    }

    /// Partitions, with where they end.
    fn looked(all: bool, ends: &[(i32, Option<i64>)]) -> Looked {
        let standing = ends.iter().map(|(partition, end)| (key(*partition), end.map(stood))).collect();
        Looked { standing, all }
    }

    fn all(ends: &[(i32, i64)]) -> Looked {
        looked(true, &ends.iter().map(|(partition, end)| (*partition, Some(*end))).collect::<Vec<_>>())
    }

    fn some(ends: &[(i32, i64)]) -> Looked {
        Looked { all: false, ..all(ends) }
    }

    /// The numbers of what is named, and of what is forgotten.
    fn ask(session: &mut Session, looked: &Looked) -> (Vec<i32>, Vec<i32>) {
        let Ask { named, forgotten, .. } = session.ask(looked, 100);
        let named = named.into_iter().map(|((_, partition), _)| partition).collect();
        (named, forgotten.into_iter().map(|(_, partition)| partition).collect())
    }

    /// A session in which these were asked for.
    fn session(ends: &[(i32, i64)]) -> Session {
        let mut session = Session::default();
        let _ = session.ask(&all(ends), 100);
        session.answered(77);
        session
    }

    #[test]
    fn only_what_changed_is_named_once_there_is_a_session() {
        let mut session = Session::default();
        let first = session.ask(&all(&[(0, 5), (1, 5)]), 100);
        assert_eq!((first.session_id, first.session_epoch), (0, 0));
        assert_eq!(first.named, [(key(0), stood(5)), (key(1), stood(5))]);
        session.answered(77);
        let next = session.ask(&all(&[(0, 5), (1, 6)]), 100);
        assert_eq!((next.session_id, next.session_epoch, next.named), (77, 1, vec![(key(1), stood(6))]));
        assert_eq!(session.asked(&key(1)), Some(stood(6)));
        session.answered(77);
        assert_eq!(ask(&mut session, &some(&[])), (vec![], vec![]));
        session.answered(77);
        assert_eq!(ask(&mut session, &some(&[(0, 5), (1, 7)])), (vec![1], vec![]));
        session.answered(77);
        assert_eq!(session.ask(&some(&[]), 200).named.len(), 2, "another limit");
    }

    #[test]
    fn what_is_not_wanted_any_more_is_forgotten_and_named_when_it_comes_back() {
        let mut session = session(&[(0, 5), (1, 5), (2, 5)]);
        assert_eq!(ask(&mut session, &all(&[(1, 5), (3, 0)])), (vec![3], vec![0, 2]));
        session.answered(77);
        assert_eq!(ask(&mut session, &looked(false, &[(1, None), (2, None)])), (vec![], vec![1]));
        session.answered(77);
        assert_eq!(ask(&mut session, &some(&[(1, 5), (2, 5)])), (vec![1, 2], vec![]));
        session.answered(77);
        assert_eq!(ask(&mut session, &looked(true, &[(3, Some(0)), (1, None)])), (vec![], vec![1, 2]));
        assert!(!session.is_idle());
    }

    #[test]
    fn without_a_session_or_after_a_doubt_everything_is_named() {
        let mut session = Session::default();
        for _ in 0..2 {
            assert_eq!(ask(&mut session, &all(&[(0, 5)])), (vec![0], vec![]));
            session.answered(0);
            assert_eq!(session.asked(&key(0)), Some(stood(5)), "the answer is to that");
        }
        let _ = session.ask(&all(&[(0, 5)]), 100);
        session.answered(77);
        let _ = session.ask(&some(&[]), 100);
        session.answered(78);
        let again = session.ask(&all(&[(0, 5)]), 100);
        let expected =
            Ask { session_id: 77, session_epoch: 0, named: vec![(key(0), stood(5))], forgotten: vec![] };
        assert_eq!(again, expected, "that was another session");
        session.answered(79);
        session.begin_anew();
        assert!(session.is_new());
        assert_eq!(
            session.ask(&all(&[(1, 5)]), 100).forgotten,
            Vec::<Key>::new(),
            "nobody remembers what was asked before"
        );
    }
}
