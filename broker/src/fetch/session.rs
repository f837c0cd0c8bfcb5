//! One incremental fetch session (KIP-227): the partitions a client follows and what it was last told.
//!
//! Decides which partitions an answer lists. It must never read a log.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use milena_storage::ids::Timestamp;
use uuid::Uuid;

use crate::partition::interest::Interest;

/// A session epoch in a request that starts over with a full list (FetchMetadata.INITIAL_EPOCH).
pub const INITIAL_EPOCH: i32 = 0;
/// A session epoch in a request that wants no session (FetchMetadata.FINAL_EPOCH).
pub const FINAL_EPOCH: i32 = -1;

/// The epoch after `epoch`: wraps to 1, because 0 means "start over".
#[must_use]
pub fn next_epoch(epoch: i32) -> i32 {
    match epoch {
        i32::MAX => 1,
        negative if negative < 0 => FINAL_EPOCH,
        other => other + 1,
    }
}

/// A partition as requests name it: by topic id from version 13 on, by name below.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Key {
    pub topic_id: Uuid,
    pub topic: Arc<str>,
    pub partition: i32,
}

/// What a client asks of one partition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wanted {
    pub key: Key,
    pub current_leader_epoch: i32,
    pub fetch_offset: i64,
    pub last_fetched_epoch: i32,
    pub log_start_offset: i64,
    pub max_bytes: i32,
}

/// What an answer would say of one partition, as far as a session cares.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Told {
    pub bytes: usize,
    pub error: i16,
    pub high_watermark: i64,
    pub log_start_offset: i64,
    /// A preferred read replica or a diverging epoch is named.
    pub redirects: bool,
    /// The partition rests: it is not looked at before something happens there.
    pub rests: bool,
}

#[derive(Debug)]
struct Followed {
    wanted: Wanted,
    high_watermark: i64,
    log_start_offset: i64,
}

impl Followed {
    /// Remembers what is told now; true if it differs from what was told before
    /// (FetchSession.CachedPartition.maybeUpdateResponseData).
    fn learn(&mut self, told: &Told) -> bool {
        let changed = told.bytes > 0
            || told.error != 0
            || told.redirects
            || self.high_watermark != told.high_watermark
            || self.log_start_offset != told.log_start_offset;
        // After an error the next good answer must be listed, even when nothing else has changed.
        self.high_watermark = if told.error != 0 || told.redirects { -1 } else { told.high_watermark };
        self.log_start_offset = told.log_start_offset;
        changed
    }
}

/// The partitions of one client, in the order in which answers should serve them.
#[derive(Debug)]
pub struct Session {
    pub id: i32,
    pub epoch: i32,
    pub uses_topic_ids: bool,
    pub privileged: bool,
    pub created: Timestamp,
    pub last_used: Timestamp,
    order: BTreeMap<u64, Followed>,
    places: HashMap<Key, u64>,
    next_place: u64,
    /// Stands for every name where topics have ids.
    nameless: Arc<str>,
    /// By which partitions know the session, if it is a follower's: they rest while nothing happens.
    interest: Option<Arc<Interest>>,
    /// Places of those that do not rest.
    awake: BTreeSet<u64>,
    /// When none was let rest, last.
    roused: Timestamp,
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(interest) = &self.interest {
            interest.finish();
        }
    }
}

impl Session {
    #[must_use]
    pub fn new(id: i32, uses_topic_ids: bool, privileged: bool, now: Timestamp) -> Self {
        Self {
            id,
            epoch: next_epoch(INITIAL_EPOCH),
            uses_topic_ids,
            privileged,
            created: now,
            last_used: now,
            order: BTreeMap::new(),
            places: HashMap::new(),
            next_place: 0,
            nameless: Arc::from(""),
            interest: (uses_topic_ids && privileged).then(Arc::default),
            awake: BTreeSet::new(),
            roused: now,
        }
    }

    /// By which partitions know the session; none for one in which they do not rest.
    #[must_use]
    pub fn interest(&self) -> Option<Arc<Interest>> {
        self.interest.clone()
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Adds or changes partitions, then drops the forgotten ones.
    pub fn update(&mut self, wanted: Vec<Wanted>, forgotten: &[Key]) {
        for each in wanted {
            if let Some(place) = self.places.get(&self.known_as(&each.key)) {
                if let Some(followed) = self.order.get_mut(place) {
                    followed.wanted = each;
                    self.awake.insert(*place);
                }
            } else {
                self.add(each, -1, -1);
            }
        }
        for key in forgotten {
            if let Some(place) = self.places.remove(&self.known_as(key)) {
                self.order.remove(&place);
                self.awake.remove(&place);
            }
        }
    }

    /// Follows a partition that a full answer has just told about.
    pub fn follow(&mut self, wanted: Wanted, told: &Told) {
        self.add(wanted, told.high_watermark, told.log_start_offset);
    }

    /// Every followed partition, in serving order.
    #[must_use]
    pub fn wanted(&self) -> Vec<Wanted> {
        self.order.values().map(|followed| followed.wanted.clone()).collect()
    }

    /// The partitions that a request looks at, in serving order: all, but for those that rest. These are looked at every `rouse_ms` too, for
    /// what nobody is told of: that the follower still asks.
    pub fn due(&mut self, now: Timestamp, rouse_ms: i64) -> Vec<Wanted> {
        if self.interest.is_none() {
            return self.wanted();
        }
        if now.0.abs_diff(self.roused.0) >= rouse_ms.unsigned_abs() {
            self.roused = now;
            self.awake = self.order.keys().copied().collect();
        }
        drop(self.stirred());
        let awake = self.awake.iter().filter_map(|place| self.order.get(place));
        awake.map(|followed| followed.wanted.clone()).collect()
    }

    /// Where something has happened since this was asked last; these do not rest any more.
    pub fn stirred(&mut self) -> Vec<Wanted> {
        let stirred = self.interest.as_ref().map(|interest| interest.take_stirred()).unwrap_or_default();
        let mut wanted = Vec::with_capacity(stirred.len());
        for (topic_id, partition) in stirred {
            let key = Key { topic_id, topic: self.nameless.clone(), partition };
            if let Some(place) = self.places.get(&key)
                && let Some(followed) = self.order.get(place)
            {
                self.awake.insert(*place);
                wanted.push(followed.wanted.clone());
            }
        }
        wanted
    }

    /// Whether an answer must list the partition. Partitions with data go to the end of the serving order,
    /// so that all get their turn when answers are full.
    pub fn must_tell(&mut self, key: &Key, told: &Told) -> bool {
        let key = self.known_as(key);
        let Some(&place) = self.places.get(&key) else { return false };
        let Some(followed) = self.order.get_mut(&place) else { return false };
        let listed = followed.learn(told);
        if told.rests {
            self.awake.remove(&place);
        }
        if told.bytes > 0
            && let Some(followed) = self.order.remove(&place)
        {
            self.awake.remove(&place);
            self.awake.insert(self.next_place);
            self.places.insert(key, self.next_place);
            self.order.insert(self.next_place, followed);
            self.next_place += 1;
        }
        listed
    }

    /// With topic ids the name is no part of the identity: it may be unknown at first and known later.
    fn known_as(&self, key: &Key) -> Key {
        let topic = if self.uses_topic_ids { self.nameless.clone() } else { key.topic.clone() };
        Key { topic_id: key.topic_id, topic, partition: key.partition }
    }

    fn add(&mut self, wanted: Wanted, high_watermark: i64, log_start_offset: i64) {
        let place = self.next_place;
        self.next_place += 1;
        if let Some(old) = self.places.insert(self.known_as(&wanted.key), place) {
            self.order.remove(&old);
            self.awake.remove(&old);
        }
        self.awake.insert(place);
        self.order.insert(place, Followed { wanted, high_watermark, log_start_offset });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn wanted(partition: i32, fetch_offset: i64) -> Wanted {
        Wanted {
            key: Key { topic_id: Uuid::nil(), topic: Arc::from("t"), partition },
            current_leader_epoch: -1,
            fetch_offset,
            last_fetched_epoch: -1,
            log_start_offset: -1,
            max_bytes: 1 << 20,
        }
    }

    fn told(bytes: usize, high_watermark: i64) -> Told {
        Told { bytes, error: 0, high_watermark, log_start_offset: 0, redirects: false, rests: false }
    }

    fn session(partitions: i32) -> Session {
        let mut session = Session::new(7, false, false, Timestamp(0));
        for partition in 0..partitions {
            session.follow(wanted(partition, 0), &told(0, 10));
        }
        session
    }

    #[test]
    fn only_what_changed_is_told() {
        let mut session = session(2);
        assert!(!session.must_tell(&wanted(0, 0).key, &told(0, 10)));
        assert!(session.must_tell(&wanted(0, 0).key, &told(0, 11)));
        assert!(!session.must_tell(&wanted(0, 0).key, &told(0, 11)));
        assert!(session.must_tell(&wanted(1, 0).key, &told(5, 10)));
    }

    #[test]
    fn the_answer_after_an_error_is_told() {
        let mut session = session(1);
        let failed = Told { error: 6, ..told(0, 10) };
        assert!(session.must_tell(&wanted(0, 0).key, &failed));
        assert!(session.must_tell(&wanted(0, 0).key, &failed));
        assert!(session.must_tell(&wanted(0, 0).key, &told(0, 10)));
        assert!(!session.must_tell(&wanted(0, 0).key, &told(0, 10)));
    }

    #[test]
    fn a_served_partition_goes_to_the_end() {
        let mut session = session(3);
        session.must_tell(&wanted(0, 0).key, &told(9, 10));
        let order: Vec<i32> = session.wanted().iter().map(|each| each.key.partition).collect();
        assert_eq!(order, [1, 2, 0]);
    }

    #[test]
    fn updates_keep_the_place_and_forgetting_removes() {
        let mut session = session(3);
        session.update(vec![wanted(1, 5), wanted(9, 0)], &[wanted(0, 0).key]);
        let order: Vec<(i32, i64)> =
            session.wanted().iter().map(|each| (each.key.partition, each.fetch_offset)).collect();
        assert_eq!(order, [(1, 5), (2, 0), (9, 0)]);
    }

    #[test]
    fn what_rests_in_a_followers_session_is_left_alone_until_it_is_named_or_time_has_passed() {
        let named = |partition, offset| {
            let mut wanted = wanted(partition, offset);
            wanted.key.topic_id = Uuid::from_u128(1);
            wanted
        };
        let mut session = Session::new(7, true, true, Timestamp(0));
        (0..3).for_each(|partition| session.follow(named(partition, 0), &told(0, 10)));
        let due = |session: &mut Session, now: i64| {
            let due = session.due(Timestamp(now), 1000);
            due.into_iter().map(|each| (each.key.partition, each.fetch_offset)).collect::<Vec<_>>()
        };
        assert_eq!(due(&mut session, 1), [(0, 0), (1, 0), (2, 0)]);
        let rests = Told { rests: true, ..told(0, 11) };
        assert!(session.must_tell(&named(0, 0).key, &rests), "it is told once more");
        session.must_tell(&named(1, 0).key, &rests);
        assert_eq!(due(&mut session, 2), [(2, 0)]);
        session.update(vec![named(1, 5)], &[named(0, 0).key]);
        assert_eq!(due(&mut session, 3), [(1, 5), (2, 0)]);
        session.must_tell(&named(1, 5).key, &rests);
        assert_eq!(due(&mut session, 999), [(2, 0)]);
        assert_eq!(due(&mut session, 1000), [(1, 5), (2, 0)]);
        let interest = session.interest().unwrap();
        drop(session);
        assert!(interest.is_over(), "partitions forget a session that is gone");
        let mut of_a_consumer = Session::new(8, true, false, Timestamp(0));
        of_a_consumer.follow(named(0, 0), &rests);
        of_a_consumer.must_tell(&named(0, 0).key, &rests);
        assert_eq!(due(&mut of_a_consumer, 1), [(0, 0)], "nothing rests there");
    }

    #[test]
    fn epochs_wrap_to_one() {
        assert_eq!(next_epoch(0), 1);
        assert_eq!(next_epoch(i32::MAX), 1);
        assert_eq!(next_epoch(FINAL_EPOCH), FINAL_EPOCH);
    }
}
