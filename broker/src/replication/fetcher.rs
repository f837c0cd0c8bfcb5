//! Follows the partitions that one other broker leads: asks for what comes next, appends it, cuts back where told.
//!
//! It must never keep what it asked under one leader epoch for another: the partition checks it once more.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic, ForgottenTopic, ReplicaState};
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::{FetchRequest, FetchResponse, ListOffsetsRequest, TopicName};
use kafka_protocol::protocol::StrBytes;
use milena_coordinator::image::{Endpoint, MetadataImage, PartitionImage};
use milena_storage::ids::{BrokerId, LeaderEpoch, Offset, PartitionIndex, Timestamp};
use tokio::sync::watch;
use uuid::Uuid;

use super::Means;
use super::peer::{Peer, PeerError};
use super::session::{Ask, Key, Looked, Session};
use crate::partition::following::{Replicated, Standing};
use crate::partition::throttle::Side;
use crate::partition::{Partition, PartitionError};
use crate::settings::ReplicationSettings;

/// Version with the replica's state and topic ids.
const FETCH_VERSION: i16 = 16;
/// Version in which a replica names its own and the leader's epoch.
const LIST_OFFSETS_VERSION: i16 = 7;
/// Pause where the leader's image is behind ours, in milliseconds: commits reach all brokers within a few.
const BEHIND_MS: i64 = 20;
/// How often all partitions are looked at for what nobody tells the fetcher, in milliseconds: that retention has moved a log's start, or that a
/// log is out of service. Neither is waited for.
const ALL_MS: i64 = 10_000;
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;

/// Fetches from one leader.
pub(super) struct Fetcher {
    pub(super) leader: BrokerId,
    /// Which of the fetchers of this leader; each has a share of the partitions.
    pub(super) index: usize,
    pub(super) means: Arc<Means>,
    /// Moves when an image was published.
    pub(super) published: watch::Receiver<u64>,
    pub(super) stop: watch::Receiver<bool>,
}

/// What is followed, as of one image.
#[derive(Default)]
struct Course {
    image: Arc<MetadataImage>,
    partitions: Vec<Followed>,
    /// Where each is among them.
    places: HashMap<Key, usize>,
    /// Partitions that failed are left alone until then.
    paused: HashMap<usize, i64>,
    /// Those that may stand elsewhere than they were asked for with.
    stirred: BTreeSet<usize>,
    /// When all are looked at, whether or not anything is known to have happened; on the steady clock.
    all_due: i64,
}

struct Followed {
    partition: Arc<Partition>,
    topic: Uuid,
}

impl Fetcher {
    /// Runs until the broker stops, or this leader leads nothing that is kept here.
    pub(super) async fn run(mut self) {
        let (mut peer, mut session): (Option<Peer>, _) = (None, Session::default());
        let mut course = Course::default();
        while !*self.stop.borrow() {
            let settings = self.means.settings.load().replication();
            let backoff_ms = millis(settings.fetch_backoff);
            self.published.mark_unchanged();
            course.follow(&self.means, self.leader, self.index);
            if course.partitions.is_empty() {
                return;
            }
            let looked = course.look(session.is_new(), self.means.clock.steady_ms(), self.means.clock.now());
            let ask = session.ask(&looked, int(settings.fetch_max_bytes));
            if session.is_idle() {
                session.begin_anew();
                let due = course.next_due().unwrap_or_else(|| self.means.clock.steady_ms() + backoff_ms);
                self.pause(due - self.means.clock.steady_ms()).await;
                continue;
            }
            let known = course.partitions.len();
            let (mut published, mut stop) = (self.published.clone(), self.stop.clone());
            let fetched = tokio::select! {
                fetched = self.round((&mut peer, &mut session), &mut course, ask, &settings) => fetched,
                _ = stop.wait_for(|stop| *stop) => return,
                // A poll that waits at the leader does not know of partitions that came since.
                () = asks_for_more(&mut published, &self.means, (self.leader, self.index), known) => {
                    (peer, session) = (None, Session::default());
                    continue;
                }
            };
            if let Err(error) = fetched {
                (peer, session) = (None, Session::default());
                tracing::debug!(leader = %self.leader, %error, "a follower cannot fetch");
                self.pause(backoff_ms).await;
            }
        }
    }

    /// Pauses, or goes on at once when there is a new image, or the broker stops.
    async fn pause(&mut self, backoff_ms: i64) {
        let clock = &self.means.clock;
        tokio::select! {
            _ = self.published.changed() => {}
            _ = self.stop.wait_for(|stop| *stop) => {}
            () = clock.sleep_until(clock.steady_ms() + backoff_ms.max(1)) => {}
        }
    }

    async fn round(
        &self,
        (peer, session): (&mut Option<Peer>, &mut Session),
        course: &mut Course,
        ask: Ask,
        settings: &ReplicationSettings,
    ) -> Result<(), PeerError> {
        let connected = match peer {
            Some(peer) => peer,
            None => peer.insert(self.connect(&course.image, settings).await?),
        };
        let request = self.request(course, ask, settings);
        let answer: FetchResponse = connected.ask(FETCH_VERSION, &request).await?;
        match ResponseError::try_from_code(answer.error_code) {
            None => session.answered(answer.session_id),
            Some(code) if is_of_session(code) => {
                tracing::debug!(leader = %self.leader, %code, "a fetch session is begun anew");
                session.begin_anew();
                return Ok(());
            }
            Some(code) => return Err(PeerError::Malformed(code.to_string())),
        }
        let mut beside = Vec::new();
        let topics = answer.responses.into_iter();
        // Where nothing has happened nothing is told.
        for (topic, data) in topics.flat_map(|topic| {
            let id = topic.topic_id;
            topic.partitions.into_iter().map(move |data| (id, data))
        }) {
            let key = (topic, data.partition_index);
            let (Some(index), Some(stood)) = (course.places.get(&key).copied(), session.asked(&key)) else {
                continue;
            };
            course.stirred.insert(index);
            let followed = &course.partitions[index];
            match self.take(followed, &stood, data) {
                Ok(Taken::Kept) => {}
                Ok(Taken::Beside) => beside.push((index, stood)),
                Err(Failed { why, backoff_ms }) => {
                    let name = &followed.partition.name;
                    tracing::info!(partition = %name, leader = %self.leader, why, "not replicated for now");
                    let backoff_ms = backoff_ms.unwrap_or(millis(settings.fetch_backoff));
                    course.paused.insert(index, self.means.clock.steady_ms() + backoff_ms);
                    // The leader may remember it under what it knew of the topic then.
                    session.begin_anew();
                }
            }
        }
        for (index, stood) in beside {
            self.find_way_back(connected, &course.partitions[index], &stood).await?;
        }
        Ok(())
    }

    async fn connect(
        &self,
        image: &MetadataImage,
        settings: &ReplicationSettings,
    ) -> Result<Peer, PeerError> {
        let endpoint = endpoint_of(image, self.leader, &settings.inter_broker_listener)
            .ok_or_else(|| PeerError::Malformed("the leader is not registered".into()))?;
        let id = format!("broker-{}-fetcher-{}", self.means.local, self.index);
        Peer::connect(endpoint, id, settings.socket_timeout).await
    }

    fn request(&self, course: &Course, ask: Ask, settings: &ReplicationSettings) -> FetchRequest {
        let mut forgotten: BTreeMap<Uuid, Vec<i32>> = BTreeMap::new();
        ask.forgotten.iter().for_each(|(topic, index)| forgotten.entry(*topic).or_default().push(*index));
        let forgotten = forgotten
            .into_iter()
            .map(|(id, indexes)| ForgottenTopic::default().with_topic_id(id).with_partitions(indexes));
        let mut topics: BTreeMap<Uuid, Vec<FetchPartition>> = BTreeMap::new();
        for ((topic, index), stood) in ask.named {
            let partition = FetchPartition::default()
                .with_partition(index)
                .with_current_leader_epoch(stood.epoch.0)
                .with_fetch_offset(stood.end.0)
                .with_last_fetched_epoch(stood.last_epoch.map_or(-1, |epoch| epoch.0))
                .with_log_start_offset(stood.log_start.0)
                .with_partition_max_bytes(int(settings.fetch_max_bytes));
            topics.entry(topic).or_default().push(partition);
        }
        let topics = topics
            .into_iter()
            .map(|(id, partitions)| FetchTopic::default().with_topic_id(id).with_partitions(partitions));
        let epoch = course.image.broker(self.means.local).map_or(-1, |broker| broker.epoch);
        let replica =
            ReplicaState::default().with_replica_id(self.means.local.0.into()).with_replica_epoch(epoch);
        FetchRequest::default()
            .with_replica_state(replica)
            .with_max_wait_ms(i32::try_from(settings.fetch_wait_max.as_millis()).unwrap_or(i32::MAX))
            .with_min_bytes(int(settings.fetch_min_bytes))
            .with_max_bytes(int(settings.fetch_response_max_bytes))
            .with_session_id(ask.session_id)
            .with_session_epoch(ask.session_epoch)
            .with_topics(topics.collect())
            .with_forgotten_topics_data(forgotten.collect())
    }

    /// Takes one partition's answer in; the error says why nothing is asked for a while.
    fn take(&self, followed: &Followed, stood: &Standing, data: PartitionData) -> Result<Taken, Failed> {
        let partition = &followed.partition;
        let now = self.means.clock.now();
        match ResponseError::try_from_code(data.error_code) {
            None => {}
            Some(ResponseError::OffsetOutOfRange) => return Ok(Taken::Beside),
            Some(error) => return Err(Failed::at_leader(error)),
        }
        let said = |error: PartitionError| Failed { why: error.to_string(), backoff_ms: None };
        let diverging = &data.diverging_epoch;
        if diverging.epoch >= 0 && diverging.end_offset >= 0 {
            let at = (LeaderEpoch(diverging.epoch), Offset(diverging.end_offset));
            tracing::info!(partition = %partition.name, epoch = %at.0, end = %at.1, own_end = %stood.end, "cutting back to the leader");
            partition.cut_back(stood.epoch, at, now).map_err(said)?;
            self.means.note_cut(partition);
            return Ok(Taken::Kept);
        }
        let sent = Replicated {
            epoch: stood.epoch,
            from: stood.end,
            records: data.records.unwrap_or_default(),
            high_watermark: Offset(data.high_watermark),
            log_start: Offset(data.log_start_offset),
        };
        let bytes = sent.records.len();
        partition.replicate(sent, now).map_err(said)?;
        if partition.is_throttled(Side::Follower) {
            self.means.partitions.peers.throttles.record(Side::Follower, bytes, now.0);
        }
        Ok(Taken::Kept)
    }

    /// Our end is not in the leader's log: it ends before, or begins after (AbstractFetcherThread.fetchOffsetAndTruncate).
    async fn find_way_back(
        &self,
        peer: &mut Peer,
        followed: &Followed,
        stood: &Standing,
    ) -> Result<(), PeerError> {
        let earliest = self.offset(peer, followed, stood, EARLIEST).await?;
        let latest = self.offset(peer, followed, stood, LATEST).await?;
        let (Some(earliest), Some(latest)) = (earliest, latest) else { return Ok(()) };
        let partition = &followed.partition;
        tracing::warn!(partition = %partition.name, own_end = %stood.end, %earliest, %latest, "out of the leader's range");
        if let Err(error) = partition.restart_within(stood.epoch, earliest..latest, self.means.clock.now()) {
            tracing::error!(partition = %partition.name, %error, "cannot follow the leader's range");
        }
        self.means.note_cut(partition);
        Ok(())
    }

    async fn offset(
        &self,
        peer: &mut Peer,
        followed: &Followed,
        stood: &Standing,
        which: i64,
    ) -> Result<Option<Offset>, PeerError> {
        let name = &followed.partition.name;
        let asked = ListOffsetsPartition::default()
            .with_partition_index(name.partition.0)
            .with_current_leader_epoch(stood.epoch.0)
            .with_timestamp(which);
        let topic = ListOffsetsTopic::default()
            .with_name(TopicName(StrBytes::from_string(name.topic.clone())))
            .with_partitions(vec![asked]);
        let request =
            ListOffsetsRequest::default().with_replica_id(self.means.local.0.into()).with_topics(vec![topic]);
        let answer = peer.ask(LIST_OFFSETS_VERSION, &request).await?;
        let found = answer.topics.first().and_then(|topic| topic.partitions.first());
        Ok(found.filter(|found| found.error_code == 0).map(|found| Offset(found.offset)))
    }
}

/// Whether the leader only does not know the session any more (`FetchSessionHandler.handleResponse`).
fn is_of_session(code: ResponseError) -> bool {
    matches!(
        code,
        ResponseError::FetchSessionIdNotFound
            | ResponseError::InvalidFetchSessionEpoch
            | ResponseError::FetchSessionTopicIdError
            | ResponseError::UnknownTopicId
            | ResponseError::InconsistentTopicId
    )
}

/// Why nothing is asked of a partition for a while.
struct Failed {
    why: String,
    /// `None` for `replica.fetch.backoff.ms`.
    backoff_ms: Option<i64>,
}

impl Failed {
    /// A leader that has not heard yet that it leads, or that the topic is there, will have in a moment.
    fn at_leader(error: ResponseError) -> Self {
        let behind = matches!(
            error,
            ResponseError::UnknownTopicId
                | ResponseError::UnknownTopicOrPartition
                | ResponseError::UnknownLeaderEpoch
                | ResponseError::NotLeaderOrFollower
        );
        Self { why: error.to_string(), backoff_ms: behind.then_some(BEHIND_MS) }
    }
}

/// What became of a partition's answer.
enum Taken {
    Kept,
    /// The offset is not in the leader's range.
    Beside,
}

impl Course {
    /// Takes up the newest image, if it is another.
    fn follow(&mut self, means: &Means, leader: BrokerId, index: usize) {
        let image = means.image.load_full();
        if Arc::ptr_eq(&image, &self.image) {
            return;
        }
        self.partitions = followed(means, &image, leader, index);
        let keys = self.partitions.iter().enumerate();
        self.places = keys.map(|(place, followed)| (followed.key(), place)).collect();
        self.paused.clear();
        self.stirred.clear();
        self.all_due = i64::MIN;
        self.image = image;
    }

    /// When the first of the paused partitions is asked for again.
    fn next_due(&self) -> Option<i64> {
        self.paused.values().min().copied()
    }

    /// Where the partitions stand in which something has happened, or all of them. Those that wait for their time, and those that may be held
    /// back, are looked at each time.
    fn look(&mut self, all: bool, now_ms: i64, now: Timestamp) -> Looked {
        let all = all || now_ms >= self.all_due;
        let mut looked = std::mem::take(&mut self.stirred);
        looked.extend(self.paused.keys());
        if all {
            self.all_due = now_ms.saturating_add(ALL_MS);
            looked = (0..self.partitions.len()).collect();
        }
        self.paused.retain(|_, until| *until > now_ms);
        let mut standing = Vec::with_capacity(looked.len());
        for place in looked {
            let followed = &self.partitions[place];
            let waits = self.paused.contains_key(&place) || followed.partition.is_held_back(now);
            let stood = if waits { None } else { followed.partition.standing() };
            standing.push((followed.key(), stood));
            if followed.partition.is_throttled(Side::Follower) {
                self.stirred.insert(place);
            }
        }
        Looked { standing, all }
    }
}

impl Followed {
    fn key(&self) -> Key {
        (self.topic, self.partition.name.partition.0)
    }
}

/// Whether a fetcher has anything to follow.
pub(super) fn follows_any(means: &Means, leader: BrokerId, index: usize) -> bool {
    !followed(means, &means.image.load(), leader, index).is_empty()
}

/// Which of so many fetchers follows a partition (`AbstractFetcherManager.getFetcherId`).
pub(super) fn dealt_to(topic: &str, partition: PartitionIndex, fetchers: usize) -> usize {
    // As Java hashes strings.
    let hash = topic.encode_utf16().fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(unit.into()));
    let number = hash.wrapping_mul(31).wrapping_add(partition.0);
    usize::try_from(number.checked_abs().unwrap_or(0)).unwrap_or(0) % fetchers.max(1)
}

/// What is kept here, led there, and dealt to this fetcher.
fn followed(means: &Means, image: &MetadataImage, leader: BrokerId, index: usize) -> Vec<Followed> {
    let mut all = Vec::new();
    let fetchers = means.settings.load().replication().fetchers;
    // What the leader is told by this broker's id and epoch, it takes for the other process's.
    if means.partitions.peers.is_usurped() {
        return all;
    }
    for topic in image.topics() {
        let ours = topic.partitions.iter().filter(|each| {
            follows(each, means.local, leader) && dealt_to(&topic.name, each.index, fetchers) == index
        });
        for each in ours {
            if let Some(partition) = means.partitions.get(&topic.name, each.index.0) {
                all.push(Followed { partition, topic: topic.id });
            }
        }
    }
    all
}

/// Whether `local` keeps a replica of a partition that `leader` leads.
pub(super) fn follows(partition: &PartitionImage, local: BrokerId, leader: BrokerId) -> bool {
    partition.leader == Some(leader) && leader != local && partition.replicas.contains(&local)
}

/// Resolves when an image makes more partitions to be followed than are asked for.
async fn asks_for_more(
    published: &mut watch::Receiver<u64>,
    means: &Means,
    (leader, index): (BrokerId, usize),
    known: usize,
) {
    while published.changed().await.is_ok() {
        if followed(means, &means.image.load(), leader, index).len() > known {
            return;
        }
    }
    // No more images: there is nothing to go on for.
    std::future::pending().await
}

/// Where a broker serves other brokers.
pub(super) fn endpoint_of<'a>(
    image: &'a MetadataImage,
    broker: BrokerId,
    listener: &str,
) -> Option<&'a Endpoint> {
    let broker = image.broker(broker)?;
    broker.endpoint(listener).or_else(|| broker.endpoints.first())
}

fn int(value: usize) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_dealt_as_kafka_deals_them() {
        // Numbers of `Utils.abs(31 * topic.hashCode() + partition) % fetchers`.
        let dealt = |topic: &str, count| {
            (0..4).map(|index| dealt_to(topic, PartitionIndex(index), count)).collect::<Vec<_>>()
        };
        assert_eq!(dealt("t", 3), [2, 0, 1, 2]);
        assert_eq!(dealt("__consumer_offsets", 4), [3, 2, 1, 0]);
        assert_eq!(dealt("anything", 1), [0; 4]);
    }
}
