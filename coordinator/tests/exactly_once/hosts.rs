//! The real machines on the brokers that lead their partitions: loaded from the log, driven by requests and deadlines.
//!
//! Must never answer: what is to be answered comes back, and waits for the high watermark elsewhere.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::{
    GroupId, OffsetCommitRequest, TopicName, TransactionalId, TxnOffsetCommitRequest,
};
use kafka_protocol::protocol::StrBytes;
use milena_coordinator::group::{self, Caller, GroupConfig, GroupShard};
use milena_coordinator::image::MetadataImage;
use milena_coordinator::transaction::{
    self, End, Init, Input, MarkerOrder, Output, Partitions, Record, Reply, Request, Ticket, TimerKey,
    TransactionConfig, TransactionShard, TransactionVersion,
};
use milena_storage::batch::{self, BatchBuilder};
use milena_storage::compress::Codec;
use milena_storage::ids::{ProducerEpoch, ProducerId, Timestamp, TopicPartition};
use uuid::Uuid;

use crate::Bug;
use crate::letters::{Answer, Producer, Said};
use crate::replica::{Entry, Replica};

/// Transactions that last longer are aborted.
pub(crate) const TIMEOUT_MS: i32 = 2_000;
const LOOK_EVERY_MS: i64 = 500;
/// What the copiers read: it is not there but for the offsets that they commit.
const INPUT: &str = "in";

/// A transaction coordinator.
pub(crate) struct Transactions {
    shard: TransactionShard,
    /// The cluster's `transaction.version`.
    level: TransactionVersion,
    timers: BTreeMap<TimerKey, Timestamp>,
    pub(crate) works: Vec<Work>,
}

/// Markers that are being written.
pub(crate) struct Work {
    pub(crate) order: MarkerOrder,
    pub(crate) left: BTreeSet<usize>,
    /// Calls that are under way, by partition.
    pub(crate) calls: BTreeMap<u64, usize>,
}

/// What a step of either machine wants: a batch to be appended, an answer, and orders.
#[derive(Default)]
pub(crate) struct Wanted {
    pub(crate) batch: Option<Bytes>,
    pub(crate) answer: Option<Answer>,
    pub(crate) orders: Vec<MarkerOrder>,
    pub(crate) wants_producer_id: bool,
}

impl Transactions {
    /// Loads what is in the log; gives what earlier coordinators left undone.
    pub(crate) fn load(
        log: &Replica,
        now: Timestamp,
        level: TransactionVersion,
        bug: Option<Bug>,
    ) -> (Self, Wanted) {
        let config = TransactionConfig { abort_interval_ms: LOOK_EVERY_MS, ..TransactionConfig::default() };
        let mut shard = TransactionShard::new(config);
        for entry in log.entries() {
            let Entry::Record { key, value, .. } = entry else {
                panic!("a marker among coordinators' records")
            };
            shard.apply(&key, value.as_deref()).unwrap();
        }
        let mut host = Self { shard, level, timers: BTreeMap::new(), works: Vec::new() };
        let mut wanted = host.step(now, Input::Loaded);
        if bug == Some(Bug::ForgetsWhatIsPrepared) {
            wanted.orders.clear();
        }
        (host, wanted)
    }

    /// In a line.
    pub(crate) fn told(&self) -> String {
        let works = self.works.iter().map(|work| format!("{:?} left {:?}", work.order, work.left));
        format!("{:?}: {:?}", self.shard, works.collect::<Vec<_>>())
    }

    pub(crate) fn init(
        &mut self,
        now: Timestamp,
        id: &str,
        expected: Option<(ProducerId, ProducerEpoch)>,
        fresh: ProducerId,
    ) -> Wanted {
        self.ask(
            now,
            Request::Init(Init {
                id: id.into(),
                timeout_ms: TIMEOUT_MS,
                two_phase_commit: false,
                keep_prepared: false,
                expected,
                fresh,
            }),
        )
    }

    pub(crate) fn add(&mut self, now: Timestamp, of: &Producer, partitions: Vec<TopicPartition>) -> Wanted {
        self.ask(now, Request::AddPartitions(named(of, partitions)))
    }

    pub(crate) fn verify(&mut self, now: Timestamp, of: &Producer, partition: TopicPartition) -> Wanted {
        self.ask(now, Request::VerifyPartitions(named(of, vec![partition])))
    }

    pub(crate) fn end(&mut self, now: Timestamp, of: Producer, commit: bool) -> Wanted {
        let client_version = version_of(&of);
        self.ask(
            now,
            Request::End(End {
                id: of.id,
                producer_id: of.producer,
                epoch: of.epoch,
                commit,
                client_version,
            }),
        )
    }

    /// An id that nobody has, because the last step wanted one.
    pub(crate) fn fresh(&mut self, now: Timestamp, id: ProducerId) -> Wanted {
        self.step(now, Input::ProducerId(id))
    }

    pub(crate) fn marked(&mut self, now: Timestamp, order: MarkerOrder) -> Wanted {
        self.step(now, Input::Marked(order))
    }

    /// The next deadline that has passed.
    pub(crate) fn due(&mut self, now: Timestamp) -> Option<Wanted> {
        let key = self.timers.iter().find(|(_, at)| **at <= now)?.0.clone();
        self.timers.remove(&key);
        Some(self.step(now, Input::Timer(key)))
    }

    fn ask(&mut self, now: Timestamp, request: Request) -> Wanted {
        self.step(now, Input::Request(Ticket(1), request))
    }

    fn step(&mut self, now: Timestamp, input: Input) -> Wanted {
        let Output { records, replies, orders, timers, wants_producer_id } =
            self.shard.step(now, self.level, input);
        for record in &records {
            self.shard.apply(&record.key, record.value.as_deref()).unwrap();
        }
        for (key, at) in timers {
            match at {
                Some(at) => self.timers.insert(key, at),
                None => self.timers.remove(&key),
            };
        }
        let answer = replies.into_iter().next().map(|(_, reply)| match reply {
            Reply::Init(done) => done.map(|done| Said::Producer(done.producer_id, done.epoch)),
            Reply::End(done) => done.map(|done| Said::Producer(done.producer_id, done.epoch)),
            Reply::AddPartitions(done) => done.map(|()| Said::Done),
            Reply::VerifyPartitions(each) => {
                each.into_iter().find_map(|one| one.error).map_or(Ok(Said::Done), Err)
            }
            other => panic!("nobody asked for {other:?}"),
        });
        Wanted { batch: written(&records, None, now), answer, orders, wants_producer_id }
    }
}

fn named(of: &Producer, partitions: Vec<TopicPartition>) -> Partitions {
    Partitions {
        id: of.id.clone(),
        producer_id: of.producer,
        epoch: of.epoch,
        partitions: partitions.into_iter().collect(),
        client_version: version_of(of),
    }
}

fn version_of(of: &Producer) -> TransactionVersion {
    if of.bumps { TransactionVersion::V2 } else { TransactionVersion::V0 }
}

/// The record of an id whose producer has this epoch, as if it had been begun anew that often.
pub(crate) fn worn(id: &str, producer: ProducerId, epoch: i16, now: Timestamp) -> Bytes {
    let mut shard = TransactionShard::new(TransactionConfig::default());
    let init = Init {
        id: id.into(),
        timeout_ms: TIMEOUT_MS,
        two_phase_commit: false,
        keep_prepared: false,
        expected: None,
        fresh: producer,
    };
    let _ = shard.step(now, TransactionVersion::V0, Input::Loaded);
    let input = Input::Request(Ticket(1), Request::Init(init));
    let output = shard.step(now, TransactionVersion::V0, input);
    let record = &output.records[0];
    let mut value = record.value.clone().expect("no tombstone").to_vec();
    // Behind the version and the producer's id, in the version of `TransactionLogValue` that is not flexible.
    value[10..12].copy_from_slice(&epoch.to_be_bytes());
    let record = Record { key: record.key.clone(), value: Some(value.into()) };
    let transaction::Change::Transaction(_, Some(read)) =
        transaction::decode(&record.key, record.value.as_deref()).unwrap()
    else {
        panic!("it is a transaction's")
    };
    assert_eq!((read.producer_id, read.epoch), (producer, ProducerEpoch(epoch)));
    written(&[record], None, now).expect("there is one")
}

/// A group coordinator: one group for each transactional id, of its name, with one offset.
pub(crate) struct Groups {
    shard: GroupShard,
    image: MetadataImage,
}

impl Groups {
    pub(crate) fn load(log: &Replica, now: Timestamp, bug: Option<Bug>) -> Self {
        let mut shard = GroupShard::new(GroupConfig::default());
        for entry in log.entries() {
            match entry {
                Entry::Record { producer: None, key, value } => shard.apply(&key, value.as_deref()).unwrap(),
                Entry::Record { producer: Some(producer), key, value } => {
                    shard.apply_in_transaction(producer, &key, value.as_deref()).unwrap();
                }
                Entry::Marker { producer, commit } => {
                    shard.end_transaction(producer, commit || bug == Some(Bug::LoadsAbortedOffsets));
                }
            }
        }
        let image = MetadataImage::default();
        let _ = shard.step(now, &image, group::Input::Loaded);
        Self { shard, image }
    }

    /// The records are not applied before they are in the log, since their producer may be refused.
    pub(crate) fn commit(&mut self, now: Timestamp, of: &Producer, position: i64) -> (Wanted, Vec<Record>) {
        let partition = TxnOffsetCommitRequestPartition::default()
            .with_partition_index(0)
            .with_committed_offset(position)
            .with_committed_metadata(Some(StrBytes::default()));
        let topic = TxnOffsetCommitRequestTopic::default()
            .with_name(TopicName(text(INPUT)))
            .with_partitions(vec![partition]);
        let request = TxnOffsetCommitRequest::default()
            .with_transactional_id(TransactionalId(text(&of.id)))
            .with_group_id(GroupId(text(&of.id)))
            .with_producer_id(kafka_protocol::messages::ProducerId(of.producer.0))
            .with_producer_epoch(of.epoch.0)
            .with_generation_id(-1)
            .with_topics(vec![topic]);
        let (reply, records) = self.ask(now, group::Request::CommitInTransaction(request));
        let group::Reply::CommitInTransaction(response) = reply else { panic!("not of a commit") };
        let answer = said(response.topics[0].partitions[0].error_code, Said::Done);
        let batch = written(&records, Some((of.producer, of.epoch)), now);
        (Wanted { batch, answer: Some(answer), ..Wanted::default() }, records)
    }

    pub(crate) fn committed(&mut self, producer: ProducerId, records: &[Record]) {
        for record in records {
            self.shard.apply_in_transaction(producer, &record.key, record.value.as_deref()).unwrap();
        }
    }

    pub(crate) fn end_transaction(&mut self, producer: ProducerId, commit: bool) {
        self.shard.end_transaction(producer, commit);
    }

    /// Somebody joins the group and asks for its place. Joining writes, so that a coordinator that only believes to be one
    /// never answers: the stand-in for a member's record is an offset of another partition.
    pub(crate) fn join(&mut self, now: Timestamp, id: &str) -> Wanted {
        let partition = OffsetCommitRequestPartition::default()
            .with_partition_index(1)
            .with_committed_offset(0)
            .with_committed_metadata(Some(StrBytes::default()));
        let topic = OffsetCommitRequestTopic::default()
            .with_name(TopicName(text(INPUT)))
            .with_partitions(vec![partition]);
        let request = OffsetCommitRequest::default()
            .with_group_id(GroupId(text(id)))
            .with_generation_id_or_member_epoch(-1)
            .with_topics(vec![topic]);
        let (_, records) = self.ask(now, group::Request::Commit(request));
        for record in &records {
            self.shard.apply(&record.key, record.value.as_deref()).unwrap();
        }
        let answer = Some(self.position(now, id));
        Wanted { batch: written(&records, None, now), answer, ..Wanted::default() }
    }

    pub(crate) fn position(&mut self, now: Timestamp, id: &str) -> Answer {
        let topics = OffsetFetchRequestTopics::default()
            .with_name(TopicName(text(INPUT)))
            .with_partition_indexes(vec![0]);
        let asked = OffsetFetchRequestGroup::default()
            .with_group_id(GroupId(text(id)))
            .with_member_epoch(-1)
            .with_topics(Some(vec![topics]));
        let request = group::Request::FetchOffsets { group: asked, require_stable: true };
        let (group::Reply::FetchOffsets(response), _) = self.ask(now, request) else {
            panic!("not of a fetch")
        };
        let partition = &response.topics[0].partitions[0];
        said(partition.error_code, Said::Position(partition.committed_offset))
    }

    fn ask(&mut self, now: Timestamp, request: group::Request) -> (group::Reply, Vec<Record>) {
        let caller = Caller {
            client_id: StrBytes::default(),
            client_host: "/127.0.0.1".into(),
            api_version: 5,
            fresh_id: Uuid::nil(),
        };
        let input = group::Input::Request(Ticket(1), caller, request);
        let output = self.shard.step(now, &self.image, input);
        let (_, reply) = output.replies.into_iter().next().expect("it is answered at once");
        (reply, output.records)
    }
}

fn said(code: i16, fine: Said) -> Answer {
    ResponseError::try_from_code(code).map_or(Ok(fine), Err)
}

fn text(value: &str) -> StrBytes {
    StrBytes::from_string(value.to_owned())
}

/// The records of one step, as one batch.
fn written(records: &[Record], of: Option<(ProducerId, ProducerEpoch)>, now: Timestamp) -> Option<Bytes> {
    let mut builder = BatchBuilder::new();
    if let Some((producer, epoch)) = of {
        builder = builder.producer(producer, epoch, 0).transactional();
    }
    for record in records {
        let value = record.value.as_deref();
        builder.push(batch::Record { timestamp: now, key: Some(&record.key), value, headers: &[] });
    }
    (!records.is_empty()).then(|| builder.finish(Codec::None, None))
}
