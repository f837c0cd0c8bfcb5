//! The long poll: reads what a fetch asks for, and waits in the partitions while there is too little.
//!
//! It must never copy records: answers carry slices of files.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use milena_coordinator::image::MetadataImage;
use milena_storage::ids::{BrokerId, Offset, Timestamp};
use tokio::time::sleep;

use super::session::{Key, Told, Wanted};
use crate::clock::Clock;
use crate::partition::interest::Interest;
use crate::partition::replicas::Replica;
use crate::partition::set::Partitions;
use crate::partition::throttle::Side;
use crate::partition::traffic::Count;
use crate::partition::waiters::{FetchWait, Wakes};
use crate::partition::{Partition, PartitionError, ReadAt, ReadFrom};

/// What a request says for all its partitions.
#[derive(Clone, Debug)]
pub struct Params {
    pub max_wait: Duration,
    /// Already capped by `max_bytes`, as Kafka does.
    pub min_bytes: usize,
    pub max_bytes: usize,
    pub read_committed: bool,
    pub by_topic_id: bool,
    /// Set when a follower asks; it reads to the end of the log.
    pub follower: Option<Follower>,
    /// A consumer that may read from followers.
    pub any_replica: bool,
    /// The follower's session, in which partitions may rest.
    pub interest: Option<Arc<Interest>>,
    /// Brokers that stand in the consumer's rack, if it is to be sent there.
    pub near: Option<Arc<BTreeSet<BrokerId>>>,
    pub now: Timestamp,
}

/// A broker that keeps a replica, by the word of its request.
#[derive(Clone, Copy, Debug)]
pub struct Follower {
    pub id: BrokerId,
    pub broker_epoch: i64,
}

/// A partition that was asked for, and where it is.
#[derive(Debug)]
pub struct Target {
    pub wanted: Wanted,
    place: Result<Arc<Partition>, i16>,
}

impl Target {
    /// Lets it rest, if there was nothing to read and there is nothing to be waited for.
    fn rests(&self, read: &ReadAt, params: &Params) -> bool {
        let (Some(interest), Some(follower), Ok(partition)) =
            (&params.interest, &params.follower, &self.place)
        else {
            return false;
        };
        let wanted = &self.wanted;
        wanted.current_leader_epoch >= 0
            && read.diverging.is_none()
            && read.log_end_offset.0 == wanted.fetch_offset
            && partition.rest(interest, (follower.id, wanted.current_leader_epoch.into()), read)
    }

    fn is_throttled(&self, params: &Params) -> bool {
        let is_named = |partition: &Arc<Partition>| partition.is_throttled(Side::Leader);
        params.follower.is_some() && self.place.as_ref().is_ok_and(is_named)
    }
}

/// What an answer says of one partition.
#[derive(Debug)]
pub struct Served {
    pub wanted: Wanted,
    pub outcome: Result<ReadAt, i16>,
    /// There was nothing, and it is not looked at before something happens.
    pub rests: bool,
}

impl Served {
    /// The part that a fetch session remembers.
    #[must_use]
    pub fn told(&self) -> Told {
        match &self.outcome {
            Ok(read) => Told {
                bytes: read.len(),
                error: 0,
                high_watermark: read.high_watermark.0,
                log_start_offset: read.log_start_offset.0,
                redirects: read.diverging.is_some() || read.preferred.is_some(),
                rests: self.rests,
            },
            Err(code) => Told {
                bytes: 0,
                error: *code,
                high_watermark: -1,
                log_start_offset: -1,
                redirects: false,
                rests: false,
            },
        }
    }
}

/// Finds the partitions. Those that do not exist come last and do not cut the wait short (KafkaApis.handleFetchRequest).
#[must_use]
pub fn resolve(
    partitions: &Partitions,
    image: &MetadataImage,
    wanted: Vec<Wanted>,
    by_topic_id: bool,
) -> (Vec<Target>, Vec<Served>) {
    let mut targets = Vec::with_capacity(wanted.len());
    let mut missing = Vec::new();
    for wanted in wanted {
        let found = if by_topic_id {
            partitions.find_by_id(image, wanted.key.topic_id, wanted.key.partition)
        } else {
            partitions.find(image, &wanted.key.topic, wanted.key.partition)
        };
        match found {
            Ok(partition) => targets.push(Target { wanted, place: Ok(partition) }),
            Err(error @ (PartitionError::Unknown | PartitionError::UnknownTopicId)) => {
                missing.push(Served { wanted, outcome: Err(error.code()), rests: false });
            }
            Err(error) => targets.push(Target { wanted, place: Err(error.code()) }),
        }
    }
    (targets, missing)
}

/// One pass over all partitions.
#[derive(Debug)]
pub struct Pass {
    pub served: Vec<Served>,
    bytes: usize,
    /// Those of throttled replicas, for followers.
    pub throttled: usize,
    /// Something that the client must hear of now: an error, or a diverging epoch.
    urgent: bool,
}

impl Pass {
    /// Whether the answer can go without waiting (ReplicaManager.fetchMessages).
    #[must_use]
    pub fn suffices(&self, params: &Params) -> bool {
        // Where all rest there is something to wait for.
        let asks_for_nothing = self.served.is_empty() && params.interest.is_none();
        self.urgent || asks_for_nothing || params.max_wait.is_zero() || self.bytes >= params.min_bytes
    }
}

/// Reads every partition once, in request order, until the answer is full.
///
/// The first partition with data gives at least one batch even above the limits; after it the limits are strict.
#[must_use]
pub fn read(targets: &[Target], params: &Params) -> Pass {
    let mut pass = Pass { served: Vec::with_capacity(targets.len()), bytes: 0, throttled: 0, urgent: false };
    let mut wakes = Wakes::default();
    for target in targets {
        let room = params.max_bytes.saturating_sub(pass.bytes);
        let outcome = read_one(target, params, room, pass.bytes == 0, &mut wakes);
        match &outcome {
            Ok(read) => {
                pass.bytes += read.len();
                if target.is_throttled(params) {
                    pass.throttled += read.len();
                }
                pass.urgent |= read.diverging.is_some()
                    || read.preferred.is_some()
                    || (read.in_older_segment && !read.is_empty());
            }
            Err(_) => pass.urgent = true,
        }
        let rests = outcome.as_ref().is_ok_and(|read| target.rests(read, params));
        pass.served.push(Served { wanted: target.wanted.clone(), outcome, rests });
    }
    wakes.fire();
    pass
}

/// Counts what an answer holds.
pub fn note(targets: &[Target], pass: &Pass) {
    for (target, served) in targets.iter().zip(&pass.served) {
        let Ok(partition) = &target.place else { continue };
        partition.traffic.add(Count::Fetches, 1);
        match &served.outcome {
            Ok(read) => partition.traffic.add(Count::BytesOut, read.len() as u64),
            Err(_) => partition.traffic.add(Count::FailedFetches, 1),
        }
    }
}

/// Waits until enough bytes have come, somebody disturbs the wait, or time is up; then reads again what does not rest. `stirred` gives
/// where something has happened meanwhile, and what is not there any more.
pub async fn wait(
    mut targets: Vec<Target>,
    mut params: Params,
    mut pass: Pass,
    clock: &Clock,
    mut stirred: impl FnMut() -> (Vec<Target>, Vec<Served>),
) -> Pass {
    let time_out = sleep(params.max_wait);
    tokio::pin!(time_out);
    let mut resting = HashMap::new();
    loop {
        if params.interest.is_some() {
            set_aside(&mut targets, &mut pass, &mut resting);
        }
        if let Some(watching) = Watching::start(&targets, &pass, &params) {
            tokio::select! {
                () = watching.0.ready() => {}
                () = &mut time_out => {}
            }
        }
        params.now = clock.now();
        let (found, gone) = stirred();
        let again = found.iter().map(|target| &target.wanted).chain(gone.iter().map(|gone| &gone.wanted));
        again.for_each(|wanted| drop(resting.remove(&wanted.key)));
        targets.extend(found);
        pass = read(&targets, &params);
        if pass.suffices(&params) || time_out.is_elapsed() || !gone.is_empty() {
            note(&targets, &pass);
            pass.served.extend(gone);
            pass.served.extend(resting.into_values());
            return pass;
        }
    }
}

/// Those that rest are not read again; what was found there is told in the end.
fn set_aside(targets: &mut Vec<Target>, pass: &mut Pass, resting: &mut HashMap<Key, Served>) {
    let served = std::mem::take(&mut pass.served);
    for (target, served) in std::mem::take(targets).into_iter().zip(served) {
        if served.rests {
            resting.insert(served.wanted.key.clone(), served);
        } else {
            targets.push(target);
            pass.served.push(served);
        }
    }
}

fn read_one(
    target: &Target,
    params: &Params,
    room: usize,
    at_least_one: bool,
    wakes: &mut Wakes,
) -> Result<ReadAt, i16> {
    let partition = target.place.as_ref().map_err(|code| *code)?;
    let wanted = &target.wanted;
    let at = ReadFrom {
        offset: Offset(wanted.fetch_offset),
        max_bytes: room.min(usize::try_from(wanted.max_bytes).unwrap_or(0)),
        at_least_one,
        committed: params.read_committed,
        whole: false,
        any_replica: params.any_replica,
        current_leader_epoch: wanted.current_leader_epoch,
        last_fetched_epoch: wanted.last_fetched_epoch,
    };
    let read = match params.follower {
        None => {
            let elsewhere = match &params.near {
                Some(near) => partition.redirect(at, &|id| near.contains(&id)).transpose(),
                None => None,
            };
            elsewhere.unwrap_or_else(|| partition.read(at))
        }
        Some(Follower { id, broker_epoch }) => {
            let log_start = Offset(wanted.log_start_offset);
            partition.read_as_replica(at, Replica { id, broker_epoch, log_start }, params.now, wakes)
        }
    };
    read.map_err(|error| error.code())
}

/// A registered wait that partitions forget when it is dropped, also when its connection goes away.
struct Watching(Arc<FetchWait>, Option<Arc<Interest>>);

impl Watching {
    /// `None` when something changed since the pass, so that there is nothing to wait for.
    fn start(targets: &[Target], pass: &Pass, params: &Params) -> Option<Self> {
        let missing = params.min_bytes.saturating_sub(pass.bytes).max(1);
        let wait = FetchWait::new(i64::try_from(missing).unwrap_or(i64::MAX));
        let watching = Self(wait, params.interest.clone());
        if let Some(interest) = &params.interest {
            interest.wait(watching.0.clone());
            if interest.has_stirred() {
                return None;
            }
        }
        for (target, served) in targets.iter().zip(&pass.served) {
            if let (Ok(partition), Ok(read)) = (&target.place, &served.outcome)
                && !params.follower.map_or_else(
                    || partition.watch(&watching.0, read.high_watermark),
                    |_| partition.watch_end(&watching.0, read.log_end_offset),
                )
            {
                return None;
            }
        }
        Some(watching)
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.finish();
        if let Some(interest) = &self.1 {
            interest.leave(&self.0);
        }
    }
}
