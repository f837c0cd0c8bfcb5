//! Fetch: 1, v4–18. Slices of partition logs, with sessions (KIP-227) and a long poll.
//!
//! Behaviour: answers as soon as `min_bytes` are there, something failed, or `max_wait_ms` passed. Partitions that do
//! not exist are answered but do not cut the wait short. The first partition with data gives at least one whole batch.
//! Versions: 5 log start, 7 sessions, 9 leader epochs (KIP-320), 11 rack (KIP-392), 12 flexible and diverging epochs
//! (KIP-595), 13 topic ids (KIP-516), 15 replica state (KIP-903), 16 leader hints (KIP-951), 17 directory id, 18 the
//! follower's high watermark.

use std::collections::BTreeSet;
use std::mem;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::error::ResponseError;
use milena_coordinator::image::MetadataImage;
use milena_storage::ids::{BrokerId, PartitionIndex, Timestamp};

use super::{Caller, Cx, Outcome};
use crate::codec::Node;
use crate::codec::fetch_request::{FetchRequest, TopicRef};
use crate::codec::fetch_response::{Aborted, FetchAnswer, PartitionAnswer, TopicAnswer};
use crate::fetch::cache::{Asked, Context};
use crate::fetch::poll::{self, Follower, Params, Pass, Served, Target};
use crate::fetch::session::{Key, Told, Wanted};
use crate::partition::throttle::Side;
use crate::quotas::meter::{Meter, milliseconds};
use crate::state::BrokerState;

pub const VERSIONS: RangeInclusive<i16> = 4..=18;

const TOPIC_IDS: i16 = 13;
const RACKS: i16 = 11;
const LEADER_HINTS: i16 = 16;
/// Versions up to here do not know KAFKA_STORAGE_ERROR.
const NO_STORAGE_ERROR: i16 = 5;
const READ_COMMITTED: i8 = 1;
/// How often partitions that rest in a follower's session are looked at within `replica.lag.time.max.ms`: when something comes again after a
/// long time, the follower has been heard so lately that most of its time is left.
const ROUSED_PER_LAG: i64 = 3;

pub fn handle(cx: &Cx<'_>, request: FetchRequest) -> Outcome<FetchAnswer> {
    let mut params = params(cx, &request);
    let mut context = cx.broker.fetch_sessions.begin(asked(cx, request, &params), cx.now);
    let reply = Reply {
        version: cx.version,
        broker: cx.broker.clone(),
        image: cx.image.clone(),
        caller: cx.caller.clone(),
        now: cx.now,
        read_committed: params.read_committed,
        meter: cx.meter.clone(),
    };
    if params.follower.is_some()
        && let Some(meter) = &reply.meter
    {
        meter.exempt();
    }
    let wanted = match &mut context {
        Context::Refused(code) => {
            return FetchAnswer { error_code: *code, ..FetchAnswer::default() }.into();
        }
        // Nothing looks at them there any more.
        Context::Sessionless(wanted) | Context::Full { wanted, .. } => mem::take(wanted),
        Context::Incremental { session, wanted, .. } => {
            params.interest = session.lock().interest();
            mem::take(wanted)
        }
    };
    let (targets, missing) = poll::resolve(&cx.broker.partitions, &cx.image, wanted, params.by_topic_id);
    let pass = poll::read(&targets, &params);
    // Where nothing else is looked at, nothing is waited for beside what is missing.
    if pass.suffices(&params) || (targets.is_empty() && !missing.is_empty()) {
        poll::note(&targets, &pass);
        return reply.finish(&context, pass, missing).into();
    }
    Outcome::later(async move {
        let by_topic_id = params.by_topic_id;
        let stirred = || reply.stirred(&context, by_topic_id);
        let pass = poll::wait(targets, params, pass, &reply.broker.clock, stirred).await;
        reply.finish(&context, pass, missing)
    })
}

fn params(cx: &Cx<'_>, request: &FetchRequest) -> Params {
    let positive = |value: i32| usize::try_from(value).unwrap_or(0);
    let mut max_bytes = positive(request.max_bytes).min(cx.broker.settings.load().fetch().max_bytes);
    if request.replica_id < 0
        && let Some(meter) = &cx.meter
    {
        max_bytes = max_bytes.min(meter.most_fetched());
    }
    Params {
        max_wait: Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0)),
        min_bytes: positive(request.min_bytes).min(max_bytes),
        max_bytes,
        read_committed: request.isolation_level == READ_COMMITTED && request.replica_id < 0,
        by_topic_id: cx.version >= TOPIC_IDS,
        follower: (request.replica_id >= 0)
            .then_some(Follower { id: BrokerId(request.replica_id), broker_epoch: request.replica_epoch }),
        any_replica: cx.version >= RACKS && request.replica_id < 0,
        interest: None,
        near: near(cx, request).map(Arc::new),
        now: cx.now,
    }
}

/// The brokers in the consumer's rack, where consumers are sent to those.
fn near(cx: &Cx<'_>, request: &FetchRequest) -> Option<BTreeSet<BrokerId>> {
    let by_rack = cx.broker.settings.load().fetch().nearest_replica;
    if !by_rack || request.replica_id >= 0 || request.rack_id.is_empty() {
        return None;
    }
    let brokers = cx.image.brokers.values().filter(|broker| {
        let is_there = !broker.fenced && broker.endpoint(&cx.caller.listener).is_some();
        is_there && broker.rack.as_deref() == Some(&*request.rack_id)
    });
    Some(brokers.map(|broker| broker.id).collect())
}

/// The request as a session sees it.
fn asked(cx: &Cx<'_>, request: FetchRequest, params: &Params) -> Asked {
    let name_of = |topic: &TopicRef| {
        if params.by_topic_id {
            cx.image.topic_by_id(topic.id).map_or_else(|| Arc::from(""), |topic| topic.name.clone())
        } else {
            cx.image.topic(&topic.name).map_or_else(|| Arc::from(&*topic.name), |topic| topic.name.clone())
        }
    };
    let mut wanted = Vec::new();
    for topic in &request.topics {
        let name = name_of(&topic.topic);
        wanted.extend(topic.partitions.iter().map(|each| Wanted {
            key: Key { topic_id: topic.topic.id, topic: name.clone(), partition: each.index },
            current_leader_epoch: each.current_leader_epoch,
            fetch_offset: each.fetch_offset,
            last_fetched_epoch: each.last_fetched_epoch,
            log_start_offset: each.log_start_offset,
            max_bytes: each.max_bytes,
        }));
    }
    let mut forgotten = Vec::new();
    for topic in &request.forgotten {
        let name = name_of(&topic.topic);
        forgotten.extend(topic.partitions.iter().map(|index| Key {
            topic_id: topic.topic.id,
            topic: name.clone(),
            partition: *index,
        }));
    }
    Asked {
        session_id: request.session_id,
        session_epoch: request.session_epoch,
        uses_topic_ids: params.by_topic_id,
        follower: params.follower.is_some(),
        rouse_ms: (cx.broker.partitions.peers.lag_max_ms() / ROUSED_PER_LAG).max(1),
        wanted,
        forgotten,
    }
}

/// What is needed to answer, now or after a wait.
struct Reply {
    version: i16,
    broker: Arc<BrokerState>,
    image: Arc<MetadataImage>,
    caller: Caller,
    now: Timestamp,
    read_committed: bool,
    /// None while nobody has a quota.
    meter: Option<Arc<Meter>>,
}

impl Reply {
    /// The partitions of a follower's session in which something has happened, and those that are not there any more.
    fn stirred(&self, context: &Context, by_topic_id: bool) -> (Vec<Target>, Vec<Served>) {
        let Context::Incremental { session, .. } = context else { return Default::default() };
        let wanted = session.lock().stirred();
        poll::resolve(&self.broker.partitions, &self.image, wanted, by_topic_id)
    }

    fn finish(&self, context: &Context, pass: Pass, missing: Vec<Served>) -> FetchAnswer {
        let throttles = &self.broker.partitions.peers.throttles;
        throttles.record(Side::Leader, pass.throttled, self.broker.clock.now().0);
        if let Some(pause) = self.has_to_wait(&pass) {
            return self.empty(context, pause);
        }
        let mut served = pass.served;
        served.extend(missing);
        let told: Vec<(Wanted, Told)> =
            served.iter().map(|each| (each.wanted.clone(), each.told())).collect();
        let finished = self.broker.fetch_sessions.finish(context, &told, self.now);
        let mut answer = FetchAnswer {
            error_code: finished.error,
            session_id: finished.session_id,
            ..FetchAnswer::default()
        };
        let listed = served.into_iter().zip(finished.listed).filter(|(_, listed)| *listed);
        for (served, _) in listed {
            self.list(&mut answer, served);
        }
        answer
    }

    /// How long the client has to wait before it may have what was read; replicas never have to.
    fn has_to_wait(&self, pass: &Pass) -> Option<Duration> {
        let meter = self.meter.as_ref().filter(|meter| !meter.is_exempt())?;
        let bytes = pass.served.iter().map(|each| each.told().bytes).sum();
        Some(meter.of_fetched(bytes, self.broker.clock.uptime())).filter(|pause| !pause.is_zero())
    }

    /// The answer to who has to wait: without data, and of which the session notes nothing (`FetchContext.getThrottledResponse`).
    fn empty(&self, context: &Context, pause: Duration) -> FetchAnswer {
        let finished = self.broker.fetch_sessions.finish_empty(context);
        FetchAnswer {
            throttle_time_ms: i32::try_from(milliseconds(pause)).unwrap_or(i32::MAX),
            error_code: finished.error,
            session_id: finished.session_id,
            ..FetchAnswer::default()
        }
    }

    fn list(&self, answer: &mut FetchAnswer, served: Served) {
        let key = served.wanted.key.clone();
        let partition = self.partition(answer, served);
        match answer.topics.last_mut() {
            Some(last) if last.topic == key.topic && last.topic_id == key.topic_id => {
                last.partitions.push(partition);
            }
            _ => answer.topics.push(TopicAnswer {
                topic: key.topic,
                topic_id: key.topic_id,
                partitions: vec![partition],
            }),
        }
    }

    fn partition(&self, answer: &mut FetchAnswer, served: Served) -> PartitionAnswer {
        let key = &served.wanted.key;
        match served.outcome {
            Ok(read) => PartitionAnswer {
                index: key.partition,
                error_code: 0,
                high_watermark: read.high_watermark.0,
                last_stable_offset: read.last_stable_offset.0,
                log_start_offset: read.log_start_offset.0,
                aborted: (self.read_committed && read.preferred.is_none())
                    .then(|| read.aborted.iter().map(Aborted::from).collect()),
                preferred_read_replica: read.preferred.map_or(-1, |id| id.0),
                records: read.slice.map(Into::into),
                diverging: read.diverging.map(|(epoch, end)| (epoch.0, end.0)),
                current_leader: None,
            },
            Err(code) => PartitionAnswer {
                index: key.partition,
                error_code: self.shown(code),
                high_watermark: -1,
                last_stable_offset: -1,
                log_start_offset: -1,
                // Kafka's constructor for partitions that do not exist leaves the list empty, not null.
                aborted: is_missing(code).then(Vec::new),
                preferred_read_replica: -1,
                records: None,
                diverging: None,
                current_leader: self.leader_hint(answer, key, code),
            },
        }
    }

    fn shown(&self, code: i16) -> i16 {
        if code == ResponseError::KafkaStorageError.code() && self.version <= NO_STORAGE_ERROR {
            ResponseError::NotLeaderOrFollower.code()
        } else {
            code
        }
    }

    /// Names the leader, and its address once per answer, when the client asked the wrong broker.
    fn leader_hint(&self, answer: &mut FetchAnswer, key: &Key, code: i16) -> Option<(i32, i32)> {
        let misdirected = code == ResponseError::NotLeaderOrFollower.code()
            || code == ResponseError::FencedLeaderEpoch.code();
        if !misdirected || self.version < LEADER_HINTS {
            return None;
        }
        let partition = self.image.partition(&key.topic, PartitionIndex(key.partition))?;
        let leader = partition.leader.map_or(-1, |leader| leader.0);
        if !answer.nodes.iter().any(|node| node.id == leader)
            && let Some(broker) = self.image.broker(BrokerId(leader))
            && let Some(endpoint) = broker.endpoint(&self.caller.listener)
        {
            answer.nodes.push(Node {
                id: leader,
                host: endpoint.host.clone(),
                port: i32::from(endpoint.port),
                rack: broker.rack.clone(),
            });
        }
        Some((leader, partition.leader_epoch.0))
    }
}

fn is_missing(code: i16) -> bool {
    [ResponseError::UnknownTopicOrPartition, ResponseError::UnknownTopicId]
        .iter()
        .any(|missing| missing.code() == code)
}
