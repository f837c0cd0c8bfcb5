//! The runtime of the machines of internal topics: one shard per partition of `__consumer_offsets` or
//! `__transaction_state` that this broker leads.
//!
//! Must never decide about groups or transactions: it carries requests and deadlines to a machine, its records to the
//! partition's log, and its answers and orders on once those records are committed.
//!
//! `machine` is what both kinds have in common, `slot` is one shard, `load` brings it to life, `append` writes for it, `pending` gathers what
//! is written together, `deadlines` wakes it, `parking` keeps answers until the high watermark has passed their records.

mod append;
mod ask;
mod deadlines;
mod groups;
mod load;
mod machine;
mod parking;
mod pending;
mod slot;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use kafka_protocol::error::ResponseError;
use milena_coordinator::group::{
    self, Assignor, ChangedTopics, ConsumerConfig, DeletedTopic, GroupConfig, MigrationPolicy,
};
use milena_coordinator::image::MetadataImage;
use milena_storage::compress::Codec;
use milena_storage::ids::BrokerId;
use parking_lot::RwLock;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::clock::Clock;
use crate::partition::set::Partitions;
use crate::quorum::{Follower, ImageChange};
use crate::settings::{Bounds, ConsumerGroupSettings, GroupSettings};

pub use ask::{Asked, Question, gather};
use deadlines::Alarm;
pub use groups::{GroupMachine, GroupSetup};
pub use machine::{Effects, Machine};
pub use slot::Slot;

/// Shards that are loaded at a time; Kafka's `group.coordinator.threads`.
const LOADING_AT_ONCE: usize = 4;

/// The feature that tells which kinds of groups a cluster has.
pub const FEATURE: &str = "group.version";
/// The level of it from which there are consumer groups (KIP-848).
const CONSUMER_PROTOCOL: i16 = 1;

/// All shards of one kind on this broker.
#[derive(Debug)]
pub struct Shards<M: Machine = GroupMachine> {
    env: Arc<Env<M>>,
    slots: RwLock<BTreeMap<i32, Arc<Slot<M>>>>,
    partitions: Arc<Partitions>,
    broker: BrokerId,
    topic: &'static str,
}

/// What every shard uses.
struct Env<M: Machine> {
    clock: Arc<Clock>,
    alarm: Alarm,
    loading: Semaphore,
    pace: Pace,
    settings: M::Settings,
    carry_out: CarryOut<M>,
}

/// Carries out an order of a machine whose records are committed. Runs outside the shard's lock.
type CarryOut<M> = Box<dyn Fn(&Arc<Slot<M>>, <M as Machine>::Order) + Send + Sync>;

impl<M: Machine> Env<M> {
    /// An empty machine, to be loaded.
    fn fresh(&self) -> M {
        M::fresh(&self.settings)
    }
}

impl<M: Machine> std::fmt::Debug for Env<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Env").field("pace", &self.pace).finish_non_exhaustive()
    }
}

/// How shards read and write their partitions.
#[derive(Clone, Debug)]
pub struct Pace {
    /// The codec of their batches.
    pub codec: Codec,
    /// How long an answer waits for its records to be committed.
    pub commit_timeout: Duration,
    /// How much is read at a time while loading.
    pub load_buffer: usize,
}

/// What a kind of shards is made of.
pub struct Kind<M: Machine> {
    /// The internal topic whose partitions hold their state.
    pub topic: &'static str,
    pub pace: Pace,
    pub settings: M::Settings,
    pub carry_out: CarryOut<M>,
}

/// The settings of group shards, as plain values.
#[derive(Clone, Debug)]
pub struct Tuning {
    pub group: GroupConfig,
    /// Whether the consumer protocol is served (`group.coordinator.rebalance.protocols`).
    pub consumer_protocol: bool,
    /// `offsets.topic.compression.codec`, `offsets.commit.timeout.ms`, `offsets.load.buffer.size`.
    pub pace: Pace,
}

impl Shards {
    /// The shards of groups.
    #[must_use]
    pub fn new(
        broker: BrokerId,
        clock: Arc<Clock>,
        partitions: Arc<Partitions>,
        image: Arc<ArcSwap<MetadataImage>>,
        tuning: Tuning,
    ) -> Arc<Self> {
        let consumer_protocol = tuning.consumer_protocol;
        let kind = Kind {
            topic: group::TOPIC,
            pace: tuning.pace,
            settings: GroupSetup { config: tuning.group, image, consumer_protocol },
            carry_out: Box::new(|_, never| match never {}),
        };
        Self::of_kind(broker, clock, partitions, kind)
    }

    /// Whether the consumer protocol is on: in the cluster's features, and on this broker.
    #[must_use]
    pub fn serves_consumer_protocol(&self, image: &MetadataImage) -> bool {
        let level = image.features.levels.get(FEATURE).copied().unwrap_or(0);
        level >= CONSUMER_PROTOCOL && self.env.settings.consumer_protocol
    }
}

impl<M: Machine> Shards<M> {
    #[must_use]
    pub fn of_kind(
        broker: BrokerId,
        clock: Arc<Clock>,
        partitions: Arc<Partitions>,
        kind: Kind<M>,
    ) -> Arc<Self> {
        let Kind { topic, pace, settings, carry_out } = kind;
        let loading = Semaphore::new(LOADING_AT_ONCE);
        let env = Env { clock, alarm: Alarm::default(), loading, pace, settings, carry_out };
        Arc::new(Self { env: Arc::new(env), slots: RwLock::default(), partitions, broker, topic })
    }

    /// Brings deadlines to the shards until `stop`. Nothing ticks while no deadline is set.
    pub async fn run_deadlines(self: Arc<Self>) {
        let alarm = &self.env.alarm;
        while !alarm.is_stopped() {
            alarm.reset();
            let slots: Vec<_> = self.slots.read().values().cloned().collect();
            let earliest = slots.iter().filter_map(|slot| slot.fire_deadlines()).min();
            alarm.ring(&self.env.clock, earliest).await;
        }
    }

    /// Takes up and lays down shards as the image says who leads their partitions.
    ///
    /// # Panics
    /// Outside a tokio runtime, which has to carry on loading.
    pub fn follow(&self, image: &MetadataImage) {
        let mut led = BTreeMap::new();
        for partition in image.topic(self.topic).into_iter().flat_map(|topic| &topic.partitions) {
            let index = partition.index.0;
            if partition.leader == Some(self.broker)
                && let Some(log) = self.partitions.get(self.topic, index)
            {
                led.insert(index, (log, partition.leader_epoch));
            }
        }
        let mut slots = self.slots.write();
        let before = std::mem::take(&mut *slots);
        for (index, slot) in before {
            // A new epoch may mean that another broker has written meanwhile.
            match led.get(&index) {
                Some((log, epoch)) if slot.serves(log, *epoch) => {
                    slots.insert(index, slot);
                }
                _ => slot.unload(),
            }
        }
        for (index, (log, epoch)) in led {
            let open = || Slot::open(self.env.clone(), log, epoch, &Handle::current());
            slots.entry(index).or_insert_with(open);
        }
    }

    /// Topics that are gone take their offsets with them; consumer groups are assigned anew when theirs change.
    pub fn topics_changed(&self, changed: &ChangedTopics) {
        if changed.changed.is_empty() {
            return;
        }
        let slots: Vec<_> = self.slots.read().values().cloned().collect();
        for slot in slots {
            if let Some(news) = M::topics_changed(changed) {
                slot.tell(news);
            }
        }
    }

    /// Answers everybody who waits and stops; for the end of the broker.
    pub fn stop(&self) {
        self.env.alarm.stop();
        for slot in std::mem::take(&mut *self.slots.write()).into_values() {
            slot.unload();
        }
    }

    /// The shard of a group or a transactional id, if it is here. Shards are taken up before the image that names their topic is
    /// published: who has the one before does not know yet how many partitions there are, so no shard is his.
    fn slot(&self, image: &MetadataImage, id: &str) -> Result<Arc<Slot<M>>, ResponseError> {
        let count = image.topic(self.topic).map_or(0, |topic| topic.partition_count());
        let index = group::partition_for(id, count);
        index.and_then(|index| self.slot_of(index)).ok_or(ResponseError::NotCoordinator)
    }

    /// The shard of a partition, if it is here.
    pub fn slot_of(&self, index: i32) -> Option<Arc<Slot<M>>> {
        self.slots.read().get(&index).cloned()
    }

    /// Those of them that answer nothing yet.
    pub fn loading(&self) -> Vec<i32> {
        let slots = self.slots.read();
        slots.iter().filter(|(_, slot)| slot.is_loading()).map(|(index, _)| *index).collect()
    }

    /// All shards that are here.
    pub fn all(&self) -> Vec<Arc<Slot<M>>> {
        self.slots.read().values().cloned().collect()
    }
}

/// Keeps the shards in step with the image. Has to stand behind the follower that opens the partitions.
#[derive(Debug)]
pub struct ShardFollower<M: Machine = GroupMachine>(pub Arc<Shards<M>>);

impl<M: Machine> Follower for ShardFollower<M> {
    fn prepare(&mut self, change: &ImageChange) {
        if change.delta.topics.contains(self.0.topic) {
            self.0.follow(&change.new);
        }
    }

    fn published(&mut self, change: &ImageChange) {
        let mut topics = ChangedTopics::default();
        for name in &change.delta.topics {
            let (old, new) = (change.old.topic(name), change.new.topic(name));
            topics.changed.push(name.to_string());
            if let Some(old) = old.filter(|old| new.is_none_or(|new| new.id != old.id)) {
                topics.deleted.push(DeletedTopic { name: name.to_string(), id: old.id });
            }
            topics.created |= new.is_some_and(|new| old.is_none_or(|old| new.id != old.id));
        }
        self.0.topics_changed(&topics);
    }
}

impl Tuning {
    #[must_use]
    pub fn from_settings(settings: &GroupSettings) -> Self {
        let offsets = &settings.offsets;
        Self {
            group: GroupConfig {
                min_session_timeout_ms: millis(settings.session_timeout.min),
                max_session_timeout_ms: millis(settings.session_timeout.max),
                initial_rebalance_delay_ms: millis(settings.initial_rebalance_delay),
                max_size: settings.max_size,
                consumer: consumer_config(&settings.consumer),
                offset_metadata_max: offsets.metadata_max_bytes,
                offsets_retention_ms: i64::try_from(offsets.retention.as_millis()).unwrap_or(i64::MAX),
                expiry_interval_ms: i64::try_from(offsets.retention_check_interval.as_millis())
                    .unwrap_or(i64::MAX),
            },
            consumer_protocol: settings.protocols.iter().any(|name| name == "consumer"),
            pace: Pace {
                codec: codec(offsets.topic_codec),
                commit_timeout: offsets.commit_timeout,
                load_buffer: offsets.load_buffer_bytes,
            },
        }
    }
}

fn consumer_config(settings: &ConsumerGroupSettings) -> ConsumerConfig {
    let range = |bounds: &Bounds<Duration>| millis(bounds.min)..=millis(bounds.max);
    let assignors: Vec<Assignor> =
        settings.assignors.iter().filter_map(|name| Assignor::parse(name)).collect();
    let policy = settings.migration_policy.as_str();
    ConsumerConfig {
        session_timeout_ms: millis(settings.session_timeout),
        session_timeout_range: range(&settings.session_timeout_bounds),
        heartbeat_interval_ms: millis(settings.heartbeat_interval),
        heartbeat_interval_range: range(&settings.heartbeat_interval_bounds),
        assignment_interval_ms: millis(settings.assignment.interval),
        assignment_interval_range: range(&settings.assignment.bounds),
        max_size: settings.max_size,
        // Classes of Java are none of ours; without any that is, Kafka's default is left.
        assignors: if assignors.is_empty() { vec![Assignor::Uniform] } else { assignors },
        migration: MigrationPolicy {
            upgrade: matches!(policy, "upgrade" | "bidirectional"),
            downgrade: matches!(policy, "downgrade" | "bidirectional"),
        },
        regex_refresh_ms: i64::from(millis(settings.regex_refresh_interval)),
    }
}

fn millis(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}

/// The numbers of batch attributes; settings let nothing else through.
fn codec(attribute: i32) -> Codec {
    match attribute {
        1 => Codec::Gzip,
        2 => Codec::Snappy,
        3 => Codec::Lz4,
        4 => Codec::Zstd,
        _ => Codec::None,
    }
}
