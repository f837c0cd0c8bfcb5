//! Records of partitions, from where their reader is.
//!
//! Must never move a position beyond a record that was not handed out and passed.

use std::collections::BTreeMap;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::metadata_response::MetadataResponsePartition;
use kafka_protocol::messages::{BrokerId, FetchRequest};
use milena_storage::batch::{BatchView, ControlMarker, TimestampType, walk};
use uuid::Uuid;

use crate::tools::client::{At, Client, EARLIEST, LATEST, Partition, Properties, Refused, topic_name, wrong};

/// A batch that unpacks to more is a broken one.
const UNPACKED_BYTES_MAX: usize = 512 << 20;
/// A long poll where several leaders are asked one after another.
const SHORT_WAIT_MS: i32 = 50;

/// A record, and where it was.
pub(super) struct Fetched {
    pub partition: Partition,
    pub offset: i64,
    pub timestamp: i64,
    pub timestamp_type: TimestampType,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

pub(super) struct Fetcher {
    pub client: Client,
    /// Names of topics by their ids, as far as they have any.
    names: BTreeMap<Uuid, String>,
    leaders: BTreeMap<Partition, i32>,
    /// An offset, or the time that stands for one.
    positions: BTreeMap<Partition, i64>,
    /// Where the last answers end: behind the last record, and behind what no reader sees.
    ends: BTreeMap<Partition, i64>,
    reset: Option<i64>,
    read_committed: bool,
    max_wait_ms: i32,
    min_bytes: i32,
    max_bytes: i32,
    partition_bytes: i32,
}

impl Fetcher {
    pub(super) fn new(client: Client, properties: &Properties) -> Result<Self, Refused> {
        let reset = match properties.get("auto.offset.reset").unwrap_or("latest") {
            "earliest" => Some(EARLIEST),
            "latest" => Some(LATEST),
            "none" => None,
            other => {
                let known = "one of latest, earliest, none; durations are not supported by this tool";
                return Err(wrong(format!(
                    "Invalid value {other} for configuration auto.offset.reset: {known}"
                )));
            }
        };
        let read_committed = match properties.get("isolation.level").unwrap_or("read_uncommitted") {
            "read_committed" => true,
            "read_uncommitted" => false,
            other => {
                let known = "String must be one of: read_committed, read_uncommitted";
                return Err(wrong(format!(
                    "Invalid value {other} for configuration isolation.level: {known}"
                )));
            }
        };
        Ok(Self {
            client,
            names: BTreeMap::new(),
            leaders: BTreeMap::new(),
            positions: BTreeMap::new(),
            ends: BTreeMap::new(),
            reset,
            read_committed,
            max_wait_ms: properties.number("fetch.max.wait.ms", 500)?,
            min_bytes: properties.number("fetch.min.bytes", 1)?,
            max_bytes: properties.number("fetch.max.bytes", 50 << 20)?,
            partition_bytes: properties.number("max.partition.fetch.bytes", 1 << 20)?,
        })
    }

    /// Reads these partitions and no others, from there; a time stands for the offset that has it.
    pub(super) fn assign(&mut self, partitions: Vec<(Partition, i64)>) {
        self.ends.clear();
        self.positions = partitions.into_iter().collect();
    }

    /// Reads these as well, where they are new.
    pub(super) fn add(&mut self, partitions: &[Partition]) {
        for partition in partitions {
            let start = self.reset.unwrap_or(EARLIEST);
            self.positions.entry(partition.clone()).or_insert(start);
        }
    }

    /// Where a partition begins for whom nothing is committed.
    pub(super) fn start(&self) -> Option<i64> {
        self.reset
    }

    /// What has been read: the next offset of each partition.
    pub(super) fn positions(&self) -> impl Iterator<Item = (&Partition, i64)> {
        self.positions
            .iter()
            .filter(|(_, offset)| **offset >= 0)
            .map(|(partition, offset)| (partition, *offset))
    }

    /// Notes who leads the partitions of a topic, and its id.
    pub(super) fn lead(&mut self, topic: &str, id: Uuid, partitions: &[MetadataResponsePartition]) {
        if !id.is_nil() {
            self.names.insert(id, topic.to_owned());
        }
        for partition in partitions {
            self.leaders.insert((topic.to_owned(), partition.partition_index), partition.leader_id.0);
        }
    }

    /// The topic that has this id.
    pub(super) fn name_of(&self, id: Uuid) -> Option<&str> {
        self.names.get(&id).map(String::as_str)
    }

    pub(super) fn passed(&mut self, record: &Fetched) {
        self.positions.insert(record.partition.clone(), record.offset + 1);
    }

    /// Behind all that the last poll gave: its reader has passed it.
    pub(super) fn pass_all(&mut self) {
        for (partition, end) in std::mem::take(&mut self.ends) {
            if let Some(position) = self.positions.get_mut(&partition) {
                *position = (*position).max(end);
            }
        }
    }

    /// What there is, or what comes within a moment.
    pub(super) fn poll(&mut self) -> Result<Vec<Fetched>, Refused> {
        self.pass_all();
        self.resolve()?;
        let mut by_leader: BTreeMap<i32, Vec<(Partition, i64)>> = BTreeMap::new();
        for (partition, offset) in &self.positions {
            match self.leaders.get(partition).copied() {
                Some(leader @ 0..) => by_leader.entry(leader).or_default().push((partition.clone(), *offset)),
                _ => Refused::check(ResponseError::LeaderNotAvailable.code(), None)?,
            }
        }
        if by_leader.is_empty() {
            self.client.has_another(i64::MAX);
        }
        let wait = if by_leader.len() == 1 { self.max_wait_ms } else { SHORT_WAIT_MS };
        let mut fetched = Vec::new();
        for (leader, partitions) in by_leader {
            self.fetch(leader, &partitions, wait, &mut fetched)?;
        }
        Ok(fetched)
    }

    /// Offsets in the place of times.
    fn resolve(&mut self) -> Result<(), Refused> {
        let times: Vec<(Partition, i64)> = self
            .positions
            .iter()
            .filter(|(_, at)| **at < 0)
            .map(|(partition, at)| (partition.clone(), *at))
            .collect();
        if times.is_empty() {
            return Ok(());
        }
        for (partition, found) in self.client.offsets(&times, self.read_committed)? {
            self.positions.insert(partition, found?.max(0));
        }
        Ok(())
    }

    fn fetch(
        &mut self,
        leader: i32,
        partitions: &[(Partition, i64)],
        wait: i32,
        fetched: &mut Vec<Fetched>,
    ) -> Result<(), Refused> {
        let mut topics: BTreeMap<&str, Vec<FetchPartition>> = BTreeMap::new();
        for ((topic, index), offset) in partitions {
            let partition = FetchPartition::default()
                .with_partition(*index)
                .with_fetch_offset(*offset)
                .with_partition_max_bytes(self.partition_bytes);
            topics.entry(topic).or_default().push(partition);
        }
        let topic = |(name, partitions): (&str, Vec<FetchPartition>)| {
            FetchTopic::default().with_topic(topic_name(name)).with_partitions(partitions)
        };
        let request = FetchRequest::default()
            .with_replica_id(BrokerId(-1))
            .with_max_wait_ms(wait)
            .with_min_bytes(self.min_bytes)
            .with_max_bytes(self.max_bytes)
            .with_isolation_level(i8::from(self.read_committed))
            .with_session_epoch(-1)
            .with_topics(topics.into_iter().map(topic).collect());
        let limit = self.client.request_timeout();
        let answer = self.client.try_call(At::Node(leader), |_| request.clone(), limit)?;
        Refused::check(answer.error_code, None)?;
        for topic in answer.responses {
            for partition in topic.partitions {
                let at = (topic.topic.to_string(), partition.partition_index);
                self.take(at, &partition, fetched)?;
            }
        }
        Ok(())
    }

    fn take(
        &mut self,
        at: Partition,
        data: &PartitionData,
        fetched: &mut Vec<Fetched>,
    ) -> Result<(), Refused> {
        let Some(&position) = self.positions.get(&at) else { return Ok(()) };
        if ResponseError::try_from_code(data.error_code) == Some(ResponseError::OffsetOutOfRange) {
            let reset = self.reset.ok_or_else(|| {
                let class = "org.apache.kafka.clients.consumer.OffsetOutOfRangeException";
                let told = "Fetch position is out of range for partition";
                Refused::own(class, format!("{told} {}-{}: {position}", at.0, at.1))
            })?;
            self.positions.insert(at, reset);
            return Ok(());
        }
        Refused::check(data.error_code, None)?;
        let records = data.records.clone().unwrap_or_default();
        let mut aborted: Vec<(i64, i64)> = data
            .aborted_transactions
            .iter()
            .flatten()
            .map(|aborted| (aborted.first_offset, aborted.producer_id.0))
            .collect();
        aborted.sort_unstable();
        let mut ongoing: Vec<i64> = Vec::new();
        let mut scratch = Vec::new();
        // The last batch of an answer may be cut.
        for batch in walk(&records).map_while(Result::ok) {
            let producer = batch.producer_id.0;
            while let Some((_, id)) = aborted.first().filter(|(from, _)| *from <= batch.last_offset().0) {
                ongoing.push(*id);
                aborted.remove(0);
            }
            let next = batch.next_offset().0;
            let is_aborted = self.read_committed && batch.is_transactional() && ongoing.contains(&producer);
            if batch.is_control() {
                if ends_in_abort(&batch, &mut scratch) {
                    ongoing.retain(|id| *id != producer);
                }
            } else if !is_aborted {
                batch_into(&batch, &at, position, &mut scratch, fetched)?;
            }
            self.ends.insert(at.clone(), next);
        }
        Ok(())
    }
}

fn broken(at: &Partition, what: impl std::fmt::Display) -> Refused {
    let class = "org.apache.kafka.common.errors.CorruptRecordException";
    Refused::own(class, format!("Received a batch of {}-{} that cannot be read: {what}", at.0, at.1))
}

fn ends_in_abort(batch: &BatchView<'_>, scratch: &mut Vec<u8>) -> bool {
    let records = batch.records(scratch, UNPACKED_BYTES_MAX);
    let first = records.ok().and_then(|mut records| records.next()?.ok());
    first.and_then(|record| ControlMarker::parse(record.key?)) == Some(ControlMarker::Abort)
}

fn batch_into(
    batch: &BatchView<'_>,
    at: &Partition,
    position: i64,
    scratch: &mut Vec<u8>,
    fetched: &mut Vec<Fetched>,
) -> Result<(), Refused> {
    batch.check_crc().map_err(|error| broken(at, error))?;
    let timestamp_type = batch.timestamp_type();
    for record in batch.records(scratch, UNPACKED_BYTES_MAX).map_err(|error| broken(at, error))? {
        let record = record.map_err(|error| broken(at, error))?;
        // A batch is sent whole, though its reader may be in the middle of it.
        if record.offset.0 < position {
            continue;
        }
        let headers = record.headers.iter();
        fetched.push(Fetched {
            partition: at.clone(),
            offset: record.offset.0,
            timestamp: record.timestamp.0,
            timestamp_type,
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            headers: headers.map(|(key, value)| (key.to_vec(), value.map(<[u8]>::to_vec))).collect(),
        });
    }
    Ok(())
}
