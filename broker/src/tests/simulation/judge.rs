//! What must hold while a cluster runs, and when it has come to rest.
//!
//! Must never forgive.

use std::collections::BTreeMap;
use std::sync::Arc;

use milena_coordinator::image::MetadataImage;
use milena_storage::ids::PartitionIndex;

use super::history::{At, Fate, History};
use super::reader::records;
use super::shared::Shared;
use super::{PARTITIONS, TOPIC};
use crate::partition::Partition;
use crate::state::BrokerState;

/// Topics whose leaders are watched.
const TOPICS: [(&str, i32); 2] = [(TOPIC, PARTITIONS), ("__consumer_offsets", 2)];

/// What a run's watch remembers.
#[derive(Default)]
pub(super) struct Watch {
    /// The newest change of the tree that was looked at, by broker.
    seen: BTreeMap<i32, milena_coordinator::tree::Zxid>,
    /// High watermarks of leaders, by broker, its process, partition and leader epoch.
    marks: BTreeMap<(i32, usize, At, i32), i64>,
}

impl Watch {
    /// Looks at every broker that runs: one leader per epoch, one tree per change, marks that only grow.
    pub(super) fn look(&mut self, shared: &Shared) {
        let mut faults = Vec::new();
        for (id, broker) in shared.running() {
            shared.history(|history| {
                self.look_at_tree(id, &broker, history, &mut faults);
                for (topic, count) in TOPICS {
                    (0..count)
                        .for_each(|index| self.look_at(id, &broker, (topic, index), history, &mut faults));
                }
            });
        }
        faults.into_iter().for_each(|fault| shared.fault(fault));
    }

    fn look_at_tree(
        &mut self,
        id: i32,
        broker: &BrokerState,
        history: &mut History,
        faults: &mut Vec<String>,
    ) {
        let Ok(quorum) = broker.quorum() else { return };
        let last = self.seen.get(&id).copied();
        let tree = quorum.ensemble().with_tree(|tree| {
            (Some(tree.zxid()) != last).then(|| (tree.zxid(), crc32c::crc32c(&tree.encode())))
        });
        let Some((zxid, sum)) = tree else { return };
        self.seen.insert(id, zxid);
        let known = *history.trees.entry(zxid).or_insert(sum);
        if known != sum {
            faults.push(format!("b{id} has another tree at {zxid} than others"));
        }
    }

    fn look_at(
        &mut self,
        id: i32,
        broker: &BrokerState,
        at: At,
        history: &mut History,
        faults: &mut Vec<String>,
    ) {
        let mut leads = |epoch: i32, leader: i32| {
            let known = *history.leaders.entry((at, epoch)).or_insert(leader);
            if known != leader {
                faults.push(format!("{at:?} is led by {known} and by {leader} in epoch {epoch}"));
            }
        };
        let image = broker.image.load();
        if let Some(partition) = image.topic(at.0).and_then(|topic| topic.partition(PartitionIndex(at.1)))
            && let Some(leader) = partition.leader
        {
            leads(partition.leader_epoch.0, leader.0);
        }
        let Some(partition) = broker.partitions.get(at.0, at.1) else { return };
        let epoch = partition.leader_epoch();
        if !partition.leads_in(epoch) {
            return;
        }
        leads(epoch.0, id);
        let life = Arc::as_ptr(&partition) as usize;
        let mark = partition.high_watermark().0;
        let before = self.marks.insert((id, life, at, epoch.0), mark);
        if before.is_some_and(|before| before > mark) {
            faults.push(format!(
                "b{id} {at:?}: the high watermark went from {before:?} to {mark} in {epoch:?}"
            ));
        }
    }
}

/// The newest image that anybody has.
pub(super) fn newest(shared: &Shared) -> Option<Arc<MetadataImage>> {
    let images = shared.running().into_values().map(|broker| broker.image.load_full());
    images.max_by_key(|image| image.zxid)
}

/// Where each replica stands: its broker, leader epoch, high watermark and end.
pub(super) fn replicas(shared: &Shared, at: At) -> Vec<(i32, i32, i64, i64)> {
    let of = |(id, broker): (i32, Arc<BrokerState>)| {
        let partition = broker.partitions.get(at.0, at.1)?;
        let (mark, end) = (partition.high_watermark().0, partition.log_end_offset().0);
        Some((id, partition.leader_epoch().0, mark, end))
    };
    shared.running().into_iter().filter_map(of).collect()
}

/// Whether a broker leads by what is committed. Another may believe to, and answers by a log that nobody follows.
pub(super) fn leads(shared: &Shared, at: At, broker: i32) -> bool {
    let image = newest(shared);
    let state = image.as_ref().and_then(|image| image.topic(at.0)?.partition(PartitionIndex(at.1)));
    let leader = state.and_then(|partition| partition.leader);
    leader.is_some_and(|leader| leader.0 == broker)
}

/// Whether every partition has a leader and all of its replicas in sync; what is wrong otherwise.
pub(super) fn is_whole(shared: &Shared) -> Result<(), String> {
    let image = newest(shared).ok_or("no broker runs")?;
    for topic in image.topics() {
        for partition in &topic.partitions {
            let name = format!("{}-{}", topic.name, partition.index.0);
            if partition.leader.is_none() {
                return Err(format!("{name} has no leader: {partition:?}"));
            }
            if partition.isr.len() != partition.replicas.len() {
                return Err(format!("{name} is not in sync: {partition:?}"));
            }
        }
    }
    Ok(())
}

fn bytes_of(partition: &Partition) -> Result<Vec<u8>, String> {
    let read = partition.peek(|log| {
        log.read(log.log_start_offset(), 64 << 20, log.log_end_offset(), true)
            .map_err(|error| format!("{error:?}"))
            .and_then(|slice| slice.read_all().map_err(|error| error.to_string()))
    });
    read.ok_or("it is offline")?
}

/// The records of each partition, when all of its replicas hold the same; what differs otherwise.
fn settled(shared: &Shared, (topic, count): (&'static str, i32)) -> Result<BTreeMap<At, Vec<u8>>, String> {
    let image = newest(shared).ok_or("no broker runs")?;
    let (mut logs, running) = (BTreeMap::new(), shared.running());
    for index in 0..count {
        let state = image.topic(topic).and_then(|topic| topic.partition(PartitionIndex(index)));
        let Some(state) = state else { continue };
        let mut first: Option<(i32, Vec<u8>)> = None;
        for replica in &state.replicas {
            let broker = running.get(&replica.0).ok_or_else(|| format!("b{} does not run", replica.0))?;
            let partition = broker.partitions.get(topic, index);
            let partition = partition.ok_or_else(|| format!("b{} has no {topic}-{index}", replica.0))?;
            let bytes =
                bytes_of(&partition).map_err(|why| format!("b{} {topic}-{index}: {why}", replica.0))?;
            if partition.high_watermark() != partition.log_end_offset() {
                return Err(format!("b{} {topic}-{index} is not committed to its end", replica.0));
            }
            match &first {
                Some((other, same)) if *same != bytes => {
                    let sizes = (same.len(), bytes.len());
                    return Err(format!("b{other} and b{} differ in {topic}-{index}: {sizes:?}", replica.0));
                }
                Some(_) => {}
                None => first = Some((replica.0, bytes)),
            }
        }
        logs.extend(first.map(|(_, bytes)| ((topic, index), bytes)));
    }
    Ok(logs)
}

/// Whether nothing moves any more: all replicas are equal to their ends.
pub(super) fn is_at_rest(shared: &Shared) -> Result<(), String> {
    TOPICS.into_iter().try_for_each(|topic| settled(shared, topic).map(drop))
}

/// Judges what is in the logs by what clients were told.
pub(super) fn judge(shared: &Shared) {
    let logs = match settled(shared, (TOPIC, PARTITIONS)) {
        Ok(logs) => logs,
        Err(fault) => return shared.fault(fault),
    };
    let mut faults = Vec::new();
    for (at, bytes) in logs {
        let sum = crc32c::crc32c(&bytes);
        shared.note(|| format!("{at:?} has {} bytes, {sum:08x}", bytes.len()));
        match records(&bytes.into()) {
            Ok(records) => shared.history(|history| judge_log(at, &records, history, &mut faults)),
            Err(error) => faults.push(format!("{at:?}: {error}")),
        }
    }
    faults.into_iter().for_each(|fault| shared.fault(fault));
}

fn judge_log(at: At, records: &[(i64, String)], history: &History, faults: &mut Vec<String>) {
    let mut places: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
    let mut last: BTreeMap<&str, usize> = BTreeMap::new();
    for (offset, value) in records {
        places.entry(value).or_default().push(*offset);
        if let Some(read) = history.read.get(&(at, *offset))
            && read != value
        {
            faults.push(format!("{at:?}: {read} was read at {offset}, where {value} is"));
        }
        let (producer, number) = value.split_once('-').unwrap_or((value, ""));
        let number = number.parse().unwrap_or_default();
        if last.insert(producer, number).is_some_and(|before| before > number) {
            faults.push(format!("{at:?}: {value} at {offset} is behind a later one"));
        }
    }
    let end = records.last().map_or(0, |(offset, _)| offset + 1);
    let lost = history.read.range((at, end)..).take_while(|((other, _), _)| *other == at);
    faults.extend(lost.map(|(place, value)| format!("{value} was read at {place:?}, and is lost")));
    for ((_, value), fate) in history.sent.iter().filter(|((other, _), _)| *other == at) {
        let found = places.remove(value.as_str()).unwrap_or_default();
        match (fate, found.as_slice()) {
            (Fate::Acked(None), [_]) | (Fate::Unknown, [] | [_]) => {}
            (Fate::Acked(Some(told)), [place]) if place == told => {}
            (Fate::Acked(_), []) => {
                faults.push(format!("{at:?}: {value} is lost, and was acknowledged: {fate:?}"))
            }
            (_, several) if several.len() > 1 => {
                faults.push(format!("{at:?}: {value} is there at {several:?}"))
            }
            (_, other) => faults.push(format!("{at:?}: {value} is at {other:?}, and not as told: {fate:?}")),
        }
    }
    faults.extend(places.keys().map(|value| format!("{at:?}: {value} was never sent")));
}
