//! The fetch sessions of all clients: bounded, sharded, with Kafka's rules for making room.
//!
//! It must never hold more sessions than `max.incremental.fetch.session.cache.slots`.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use milena_storage::ids::Timestamp;
use parking_lot::Mutex;

use super::session::{FINAL_EPOCH, INITIAL_EPOCH, Key, Session, Told, Wanted, next_epoch};

/// A session unused or older than this may give way (KafkaBroker.MIN_INCREMENTAL_FETCH_SESSION_EVICTION_MS).
const EVICTION_MS: i64 = 120_000;
/// As Kafka's NumFetchSessionCacheShards: enough that connections rarely meet at one lock.
const SHARDS: i32 = 8;
const ID_RANGE: i32 = i32::MAX / SHARDS;

pub const FETCH_SESSION_ID_NOT_FOUND: i16 = 70;
pub const INVALID_FETCH_SESSION_EPOCH: i16 = 71;
pub const FETCH_SESSION_TOPIC_ID_ERROR: i16 = 106;

/// The session part of a request.
#[derive(Debug)]
pub struct Asked {
    pub session_id: i32,
    pub session_epoch: i32,
    pub uses_topic_ids: bool,
    /// Followers are kept before consumers when room runs out.
    pub follower: bool,
    /// How often partitions that rest in a follower's session are looked at too, in milliseconds.
    pub rouse_ms: i64,
    pub wanted: Vec<Wanted>,
    pub forgotten: Vec<Key>,
}

/// What a request turned out to be.
#[derive(Debug)]
pub enum Context {
    Refused(i16),
    Sessionless(Vec<Wanted>),
    Full { wanted: Vec<Wanted>, uses_topic_ids: bool, follower: bool },
    Incremental { session: Arc<Mutex<Session>>, epoch: i32, wanted: Vec<Wanted> },
}

/// The session part of an answer: which of the partitions to list.
#[derive(Debug, PartialEq, Eq)]
pub struct Finished {
    pub session_id: i32,
    pub error: i16,
    /// One flag for each partition that was read, in order.
    pub listed: Vec<bool>,
}

/// All sessions of one broker.
#[derive(Debug)]
pub struct SessionCache {
    shards: Vec<Mutex<Shard>>,
    next_shard: AtomicUsize,
}

#[derive(Debug)]
struct Shard {
    sessions: HashMap<i32, Arc<Mutex<Session>>>,
    slots: usize,
    first_id: i32,
    next_id: i32,
}

impl SessionCache {
    /// `seed` sets where ids begin, so that a restarted broker does not take an old client's id for its own.
    #[must_use]
    pub fn new(slots: usize, seed: u32) -> Self {
        let shards = (0..SHARDS)
            .map(|index| {
                let first_id = (index * ID_RANGE).max(1);
                let start = i32::try_from(i64::from(seed) % i64::from(ID_RANGE - 1)).unwrap_or(0);
                Mutex::new(Shard {
                    sessions: HashMap::new(),
                    slots: slots.div_ceil(usize::try_from(SHARDS).expect("a small constant")),
                    first_id,
                    next_id: first_id + start,
                })
            })
            .collect();
        Self { shards, next_shard: AtomicUsize::new(0) }
    }

    /// What a request means (FetchManager.newContext).
    pub fn begin(&self, asked: Asked, now: Timestamp) -> Context {
        if asked.session_epoch == INITIAL_EPOCH || asked.session_epoch == FINAL_EPOCH {
            if asked.session_id != 0 {
                self.shard(asked.session_id).lock().sessions.remove(&asked.session_id);
            }
            return if asked.session_epoch == FINAL_EPOCH {
                Context::Sessionless(asked.wanted)
            } else {
                Context::Full {
                    wanted: asked.wanted,
                    uses_topic_ids: asked.uses_topic_ids,
                    follower: asked.follower,
                }
            };
        }
        self.resume(asked, now)
    }

    /// Tells the session what the answer says and learns which partitions to list.
    pub fn finish(&self, context: &Context, told: &[(Wanted, Told)], now: Timestamp) -> Finished {
        match context {
            Context::Refused(error) => Finished { session_id: 0, error: *error, listed: Vec::new() },
            Context::Sessionless(_) => Finished { session_id: 0, error: 0, listed: vec![true; told.len()] },
            Context::Full { uses_topic_ids, follower, .. } => {
                let session_id = self.create(told, *uses_topic_ids, *follower, now);
                Finished { session_id, error: 0, listed: vec![true; told.len()] }
            }
            Context::Incremental { session, epoch, .. } => {
                let mut session = session.lock();
                if session.epoch != next_epoch(*epoch) {
                    let error = INVALID_FETCH_SESSION_EPOCH;
                    return Finished { session_id: session.id, error, listed: vec![false; told.len()] };
                }
                let listed = told.iter().map(|(wanted, told)| session.must_tell(&wanted.key, told)).collect();
                Finished { session_id: session.id, error: 0, listed }
            }
        }
    }

    /// An answer without partitions, of which no session is made and none notes anything.
    pub fn finish_empty(&self, context: &Context) -> Finished {
        let (session_id, error) = match context {
            Context::Refused(error) => (0, *error),
            Context::Sessionless(_) | Context::Full { .. } => (0, 0),
            Context::Incremental { session, epoch, .. } => {
                let session = session.lock();
                let is_next = session.epoch == next_epoch(*epoch);
                (session.id, if is_next { 0 } else { INVALID_FETCH_SESSION_EPOCH })
            }
        };
        Finished { session_id, error, listed: Vec::new() }
    }

    /// What a session follows; nothing if there is none.
    pub fn partitions(&self, session_id: i32) -> Vec<(String, i32)> {
        let session = self.shard(session_id).lock().sessions.get(&session_id).cloned();
        let wanted = session.map(|session| session.lock().wanted()).unwrap_or_default();
        wanted.into_iter().map(|each| (each.key.topic.to_string(), each.key.partition)).collect()
    }

    /// Sessions held now.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().sessions.len()).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn resume(&self, asked: Asked, now: Timestamp) -> Context {
        let mut shard = self.shard(asked.session_id).lock();
        let Some(found) = shard.sessions.get(&asked.session_id).cloned() else {
            return Context::Refused(FETCH_SESSION_ID_NOT_FOUND);
        };
        let mut session = found.lock();
        if session.epoch != asked.session_epoch {
            return Context::Refused(INVALID_FETCH_SESSION_EPOCH);
        }
        if session.uses_topic_ids != asked.uses_topic_ids {
            return Context::Refused(FETCH_SESSION_TOPIC_ID_ERROR);
        }
        session.update(asked.wanted, &asked.forgotten);
        if session.is_empty() {
            shard.sessions.remove(&asked.session_id);
            return Context::Sessionless(Vec::new());
        }
        session.last_used = now;
        session.epoch = next_epoch(session.epoch);
        let wanted = session.due(now, asked.rouse_ms);
        drop(session);
        Context::Incremental { session: found, epoch: asked.session_epoch, wanted }
    }

    /// Makes a session if there is or can be room; 0 tells the client to go on without one.
    fn create(&self, told: &[(Wanted, Told)], uses_topic_ids: bool, privileged: bool, now: Timestamp) -> i32 {
        let index = self.next_shard.fetch_add(1, Ordering::Relaxed) % self.shards.len();
        let Some(shard) = self.shards.get(index) else { return 0 };
        let mut shard = shard.lock();
        if shard.sessions.len() >= shard.slots && !shard.make_room(privileged, told.len(), now) {
            return 0;
        }
        let id = shard.fresh_id();
        let mut session = Session::new(id, uses_topic_ids, privileged, now);
        for (wanted, told) in told {
            session.follow(wanted.clone(), told);
        }
        shard.sessions.insert(id, Arc::new(Mutex::new(session)));
        id
    }

    fn shard(&self, session_id: i32) -> &Mutex<Shard> {
        let index = usize::try_from(session_id.max(0) / ID_RANGE).unwrap_or(0).min(self.shards.len() - 1);
        &self.shards[index]
    }
}

impl Shard {
    fn fresh_id(&mut self) -> i32 {
        loop {
            let id = self.next_id;
            self.next_id = if id - self.first_id >= ID_RANGE - 2 { self.first_id } else { id + 1 };
            if !self.sessions.contains_key(&id) {
                return id;
            }
        }
    }

    /// Evicts the longest unused session if it is stale, else the least valuable one that has had its time
    /// and is worth less than the newcomer (FetchSessionCacheShard.tryEvict).
    fn make_room(&mut self, privileged: bool, size: usize, now: Timestamp) -> bool {
        let oldest = self.sessions.iter().map(|(id, session)| (session.lock().last_used, *id)).min();
        let Some((last_used, id)) = oldest else { return false };
        if now.0 - last_used.0 > EVICTION_MS {
            return self.sessions.remove(&id).is_some();
        }
        let cheapest = self
            .sessions
            .values()
            .filter_map(|session| {
                let session = session.lock();
                let had_its_time = now.0 - session.created.0 > EVICTION_MS;
                let evictable = had_its_time || (privileged && !session.privileged);
                evictable.then_some((session.privileged, session.len(), session.id))
            })
            .min();
        match cheapest {
            Some((theirs, their_size, id)) if (privileged, size, 0) >= (theirs, their_size, id) => {
                self.sessions.remove(&id).is_some()
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn wanted(partition: i32) -> Wanted {
        Wanted {
            key: Key { topic_id: Uuid::nil(), topic: Arc::from("t"), partition },
            current_leader_epoch: -1,
            fetch_offset: 0,
            last_fetched_epoch: -1,
            log_start_offset: -1,
            max_bytes: 1,
        }
    }

    fn told() -> Told {
        Told { bytes: 0, error: 0, high_watermark: 3, log_start_offset: 0, redirects: false, rests: false }
    }

    fn ask(session_id: i32, session_epoch: i32, wanted: Vec<Wanted>) -> Asked {
        let forgotten = Vec::new();
        let (uses_topic_ids, follower, rouse_ms) = (false, false, 1000);
        Asked { session_id, session_epoch, uses_topic_ids, follower, rouse_ms, wanted, forgotten }
    }

    fn open(cache: &SessionCache, now: i64) -> i32 {
        let context = cache.begin(ask(0, 0, vec![wanted(0)]), Timestamp(now));
        cache.finish(&context, &[(wanted(0), told())], Timestamp(now)).session_id
    }

    #[test]
    fn a_session_goes_on_with_growing_epochs() {
        let cache = SessionCache::new(1000, 77);
        let id = open(&cache, 0);
        assert_ne!(id, 0);
        for epoch in 1..4 {
            let context = cache.begin(ask(id, epoch, Vec::new()), Timestamp(1));
            assert!(matches!(context, Context::Incremental { .. }), "{context:?}");
            let finished = cache.finish(&context, &[(wanted(0), told())], Timestamp(1));
            assert_eq!(finished, Finished { session_id: id, error: 0, listed: vec![false] });
        }
    }

    #[test]
    fn wrong_ids_epochs_and_key_kinds_are_refused() {
        let cache = SessionCache::new(1000, 0);
        let id = open(&cache, 0);
        let refused = |asked| match cache.begin(asked, Timestamp(0)) {
            Context::Refused(code) => code,
            other => panic!("not refused: {other:?}"),
        };
        assert_eq!(refused(ask(id + 1, 1, Vec::new())), FETCH_SESSION_ID_NOT_FOUND);
        assert_eq!(refused(ask(-5, 1, Vec::new())), FETCH_SESSION_ID_NOT_FOUND);
        assert_eq!(refused(ask(id, 2, Vec::new())), INVALID_FETCH_SESSION_EPOCH);
        let by_id = Asked { uses_topic_ids: true, ..ask(id, 1, Vec::new()) };
        assert_eq!(refused(by_id), FETCH_SESSION_TOPIC_ID_ERROR);
    }

    #[test]
    fn a_duplicate_of_a_running_request_is_refused_at_the_end() {
        let cache = SessionCache::new(1000, 0);
        let id = open(&cache, 0);
        let first = cache.begin(ask(id, 1, Vec::new()), Timestamp(0));
        let second = cache.begin(ask(id, 2, Vec::new()), Timestamp(0));
        assert!(matches!(second, Context::Incremental { .. }));
        let finished = cache.finish(&first, &[(wanted(0), told())], Timestamp(0));
        assert_eq!(finished.error, INVALID_FETCH_SESSION_EPOCH);
    }

    #[test]
    fn forgetting_everything_closes_the_session() {
        let cache = SessionCache::new(1000, 0);
        let id = open(&cache, 0);
        let asked = Asked { forgotten: vec![wanted(0).key], ..ask(id, 1, Vec::new()) };
        assert!(matches!(cache.begin(asked, Timestamp(0)), Context::Sessionless(_)));
        assert!(cache.is_empty());
    }

    #[test]
    fn a_full_cache_gives_no_session_until_one_is_stale() {
        let cache = SessionCache::new(8, 0);
        for _ in 0..8 {
            assert_ne!(open(&cache, 0), 0);
        }
        assert_eq!(open(&cache, EVICTION_MS), 0);
        assert_ne!(open(&cache, EVICTION_MS + 1), 0);
        assert_eq!(cache.len(), 8);
    }

    #[test]
    fn a_final_epoch_closes_without_a_new_session() {
        let cache = SessionCache::new(8, 0);
        let id = open(&cache, 0);
        let context = cache.begin(ask(id, FINAL_EPOCH, vec![wanted(0)]), Timestamp(0));
        assert!(matches!(context, Context::Sessionless(_)));
        assert!(cache.is_empty());
    }
}
