//! Transactions by single requests: in the wrong order, under the wrong epoch, after their time, and ended from outside.

use bytes::{Buf, Bytes};
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, DescribeTransactionsRequest, EndTxnRequest,
    FindCoordinatorRequest, InitProducerIdRequest, ProduceRequest, ProducerId, TransactionalId,
    TxnOffsetCommitRequest, WriteTxnMarkersResponse,
};
use kafka_protocol::protocol::Decodable;
use kafka_protocol::records::Record;
use milena_compat_tests::wire::{Wire, batch, record};
use milena_compat_tests::{Server, wait};

use crate::consumer_groups::group;
use crate::groups::coordinator_is_there;
use crate::topics::create_with;
use crate::{compare, text, topic_name};

/// Not now: the markers of the end before are still being written, or the coordinator is not there yet.
const BUSY: [i16; 5] = [14, 15, 16, 51, 3];

/// A producer by single requests. Ids differ between brokers, so what is told of them is how they change.
struct Producer {
    wire: Wire,
    id: String,
    topic: String,
    producer_id: i64,
    epoch: i16,
    sequence: i32,
    /// It was made for KIP-890: partitions are added by Produce 12, and each end makes a new epoch.
    modern: bool,
}

/// What a request of transactions leads to: the code, and how far the epoch has moved.
type Told = (i16, Option<i16>);

impl Producer {
    fn new(server: &Server, name: &str, modern: bool) -> Self {
        let id = format!("{name}-{modern}");
        create_with(server, &id, &[]);
        let mut wire = server.wire();
        let find = FindCoordinatorRequest::default().with_key_type(1).with_coordinator_keys(vec![text(&id)]);
        wait::until(wait::PATIENCE, "a transaction coordinator", || {
            (wire.call(4, &find).coordinators[0].error_code == 0).then_some(())
        });
        Self { wire, topic: id.clone(), id, producer_id: -1, epoch: -1, sequence: 0, modern }
    }

    fn transactional_id(&self) -> TransactionalId {
        TransactionalId(text(&self.id))
    }

    fn settled(&mut self, mut ask: impl FnMut(&mut Self) -> Told) -> Told {
        wait::until(wait::PATIENCE, "an answer that is not to wait", || {
            let told = ask(self);
            (!BUSY.contains(&told.0)).then_some(told)
        })
    }

    /// InitProducerId; `expected` names itself (KIP-360).
    fn init(&mut self, timeout_ms: i32, expected: bool) -> Told {
        let named = if expected { (self.producer_id, self.epoch) } else { (-1, -1) };
        let request = InitProducerIdRequest::default()
            .with_transactional_id(Some(self.transactional_id()))
            .with_transaction_timeout_ms(timeout_ms)
            .with_producer_id(ProducerId(named.0))
            .with_producer_epoch(named.1);
        self.settled(|producer| {
            let answer = producer.wire.call(4, &request);
            let moved = (answer.error_code == 0).then(|| answer.producer_epoch.wrapping_sub(producer.epoch));
            if answer.error_code == 0 {
                (producer.producer_id, producer.epoch) = (answer.producer_id.0, answer.producer_epoch);
                producer.sequence = 0;
            }
            (answer.error_code, moved)
        })
    }

    fn add(&mut self) -> i16 {
        let topic =
            AddPartitionsToTxnTopic::default().with_name(topic_name(&self.topic)).with_partitions(vec![0]);
        let request = AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(self.transactional_id())
            .with_v3_and_below_producer_id(ProducerId(self.producer_id))
            .with_v3_and_below_producer_epoch(self.epoch)
            .with_v3_and_below_topics(vec![topic]);
        let (code, _) = self.settled(|producer| {
            let answer = producer.wire.call(3, &request);
            (answer.results_by_topic_v3_and_below[0].results_by_partition[0].partition_error_code, None)
        });
        code
    }

    fn add_offsets(&mut self) -> i16 {
        let request = AddOffsetsToTxnRequest::default()
            .with_transactional_id(self.transactional_id())
            .with_producer_id(ProducerId(self.producer_id))
            .with_producer_epoch(self.epoch)
            .with_group_id(group(&self.id));
        self.settled(|producer| (producer.wire.call(3, &request).error_code, None)).0
    }

    fn commit_offset(&mut self) -> i16 {
        let partition = TxnOffsetCommitRequestPartition::default()
            .with_partition_index(0)
            .with_committed_offset(7)
            .with_committed_metadata(Some(text("")));
        let topic = TxnOffsetCommitRequestTopic::default()
            .with_name(topic_name(&self.topic))
            .with_partitions(vec![partition]);
        let request = TxnOffsetCommitRequest::default()
            .with_transactional_id(self.transactional_id())
            .with_group_id(group(&self.id))
            .with_producer_id(ProducerId(self.producer_id))
            .with_producer_epoch(self.epoch)
            .with_generation_id(-1)
            .with_topics(vec![topic]);
        let version = if self.modern { 5 } else { 3 };
        self.settled(|producer| {
            (producer.wire.call(version, &request).topics[0].partitions[0].error_code, None)
        })
        .0
    }

    fn produce(&mut self) -> i16 {
        let (producer_id, producer_epoch, sequence) = (self.producer_id, self.epoch, self.sequence);
        let records: Bytes =
            batch([Record { transactional: true, producer_id, producer_epoch, sequence, ..record("x") }]);
        let data = PartitionProduceData::default().with_index(0).with_records(Some(records));
        let topic =
            TopicProduceData::default().with_name(topic_name(&self.topic)).with_partition_data(vec![data]);
        let request = ProduceRequest::default()
            .with_transactional_id(Some(self.transactional_id()))
            .with_acks(-1)
            .with_timeout_ms(30_000)
            .with_topic_data(vec![topic]);
        let version = if self.modern { 12 } else { 9 };
        let code = self
            .settled(|producer| {
                let answer = producer.wire.call(version, &request);
                (answer.responses[0].partition_responses[0].error_code, None)
            })
            .0;
        self.sequence += i32::from(code == 0);
        code
    }

    fn end(&mut self, commit: bool) -> Told {
        let request = EndTxnRequest::default()
            .with_transactional_id(self.transactional_id())
            .with_producer_id(ProducerId(self.producer_id))
            .with_producer_epoch(self.epoch)
            .with_committed(commit);
        let version = if self.modern { 5 } else { 4 };
        self.settled(|producer| {
            let answer = producer.wire.call(version, &request);
            let moved = (answer.producer_epoch >= 0).then(|| answer.producer_epoch - producer.epoch);
            (answer.error_code, moved)
        })
    }

    /// Ends it, and goes on as a client does.
    fn ends(&mut self, commit: bool) -> Told {
        let told = self.end(commit);
        if told.0 == 0 && self.modern {
            self.epoch += told.1.unwrap_or(0);
            self.sequence = 0;
        }
        told
    }

    /// State, epoch as against the producer's, time-out, partitions.
    fn described(&mut self) -> String {
        let request =
            DescribeTransactionsRequest::default().with_transactional_ids(vec![self.transactional_id()]);
        let answer = self.wire.call(0, &request);
        let state = &answer.transaction_states[0];
        format!(
            "{} {} epoch {} timeout {} started {} {} topics",
            state.error_code,
            state.transaction_state,
            state.producer_epoch - self.epoch,
            state.transaction_timeout_ms,
            state.transaction_start_time_ms >= 0,
            state.topics.len()
        )
    }

    fn waits_for(&mut self, state: &str) -> String {
        wait::until(wait::PATIENCE, state, || Some(self.described()).filter(|told| told.contains(state)))
    }
}

#[test]
fn transactions_that_last_too_long() {
    compare(|server, answers| {
        coordinator_is_there(server);
        for modern in [true, false] {
            let mut late = Producer::new(server, "late", modern);
            let mut note = |case: &str, told: String| answers.note(&format!("{case}, {modern}"), told);
            note("the epoch", format!("{:?}", late.init(800, false)));
            if !modern {
                note("added", late.add().to_string());
            }
            note("written", late.produce().to_string());
            note(
                "the offset",
                format!("{} {}", if modern { 0 } else { late.add_offsets() }, late.commit_offset()),
            );
            note("its time is over", late.waits_for("CompleteAbort"));
            note("the late batch", late.produce().to_string());
            note("the late offset", late.commit_offset().to_string());
            note("added late", late.add().to_string());
            note("the late commit", format!("{:?}", late.end(true)));
            note("the late abort", format!("{:?}", late.end(false)));
            note("begun anew under its old name", format!("{:?}", late.init(60_000, true)));
            note("begun anew", format!("{:?}", late.init(60_000, false)));
            if !modern {
                note("added again", late.add().to_string());
            }
            note("written again", late.produce().to_string());
            note("committed", format!("{:?}", late.ends(true)));
            note("at last", late.waits_for("CompleteCommit"));
        }
    });
}

#[test]
fn transactions_in_the_wrong_order() {
    compare(|server, answers| {
        coordinator_is_there(server);
        for modern in [true, false] {
            let mut one = Producer::new(server, "order", modern);
            let mut note = |case: &str, told: String| answers.note(&format!("{case}, {modern}"), told);
            note("ended before there is an id", format!("{:?}", one.end(true)));
            note("described before there is an id", one.described());
            note("the epoch", format!("{:?}", one.init(60_000, false)));
            note("committed without anything", format!("{:?}", one.end(true)));
            note("aborted without anything", format!("{:?}", one.ends(false)));
            note("aborted without anything again", format!("{:?}", one.ends(false)));
            // An abort is answered when it is decided; before KIP-890 nothing was begun, so nothing ends.
            if modern {
                let _ = one.waits_for("CompleteAbort");
            }
            note("at rest", one.described());
            note("an offset that was not added", one.commit_offset().to_string());
            note("written without a word", one.produce().to_string());
            note("added", one.add().to_string());
            note("written", one.produce().to_string());
            note("under way", one.described());
            let epoch = one.epoch;
            one.epoch -= 1;
            note("ended under an old epoch", format!("{:?}", one.end(true)));
            note("added under an old epoch", one.add().to_string());
            one.epoch = epoch + 5;
            note("ended under an epoch to come", format!("{:?}", one.end(true)));
            note("added under an epoch to come", one.add().to_string());
            one.epoch = epoch;
            one.producer_id += 1_000_000;
            note("ended by another producer", format!("{:?}", one.end(true)));
            note("added by another producer", one.add().to_string());
            note("an offset of another producer", one.commit_offset().to_string());
            one.producer_id -= 1_000_000;
            note("committed", format!("{:?}", one.end(true)));
            let _ = one.waits_for("CompleteCommit");
            note("committed again", format!("{:?}", one.end(true)));
            note("aborted after that", format!("{:?}", one.end(false)));
            let mut zombie = Producer::new(server, "order-heir", modern);
            note("the zombie", format!("{:?}", zombie.init(60_000, false)));
            let _ = (modern || zombie.add() == 0, zombie.produce());
            let mut heir = Producer {
                wire: server.wire(),
                topic: zombie.topic.clone(),
                id: zombie.id.clone(),
                ..zombie
            };
            note("the heir", format!("{:?}", heir.init(60_000, false)));
            heir.epoch -= 2;
            note("the zombie's batch", heir.produce().to_string());
            note("the zombie's end", format!("{:?}", heir.end(true)));
            note("the zombie names itself", format!("{:?}", heir.init(60_000, true)));
        }
    });
}

/// A marker from outside, as WriteTxnMarkers of that version; gives the partition's code.
fn mark(producer: &Producer, server: &Server, version: i16, epoch: i16, commit: bool, partition: i32) -> i16 {
    let mut body = vec![2];
    body.extend(producer.producer_id.to_be_bytes());
    body.extend(epoch.to_be_bytes());
    body.extend([u8::from(commit), 2, u8::try_from(producer.topic.len() + 1).expect("a short name")]);
    body.extend(producer.topic.as_bytes());
    body.push(2);
    body.extend(partition.to_be_bytes());
    body.push(0);
    body.extend(0_i32.to_be_bytes());
    if version >= 2 {
        body.push(if producer.modern { 2 } else { 0 });
    }
    body.extend([0, 0]);
    // Key 27, the version, a correlation, no client id, no tags.
    let mut frame = vec![0, 27];
    frame.extend(version.to_be_bytes());
    frame.extend([0, 0, 0, 9, 0xff, 0xff, 0]);
    frame.extend(body);
    let mut wire = server.wire();
    wire.send_frame(&frame).expect("the broker takes it");
    let mut answer = wire.read_frame().expect("an answer");
    assert_eq!((answer.get_i32(), answer.get_u8()), (9, 0));
    // The answers of both versions have one form.
    let answer = WriteTxnMarkersResponse::decode(&mut answer, 1).expect("an answer to markers");
    answer.markers[0].topics[0].partitions[0].error_code
}

#[test]
fn markers_from_outside() {
    compare(|server, answers| {
        for version in [1, 2] {
            for modern in [true, false] {
                let mut open = Producer::new(server, &format!("marked-{version}"), modern);
                let mut note = |case: &str, told: String| {
                    answers.note(&format!("{case}, version {version}, {modern}"), told);
                };
                // Twice, so that there is an epoch before.
                let _ = (open.init(60_000, false), open.init(60_000, false));
                note("written", format!("{} {}", if modern { 0 } else { open.add() }, open.produce()));
                let epoch = open.epoch;
                note("of an unknown partition", mark(&open, server, version, epoch, false, 7).to_string());
                note("of an older epoch", mark(&open, server, version, epoch - 1, false, 0).to_string());
                note("of the same epoch", mark(&open, server, version, epoch, false, 0).to_string());
                note("of the next epoch", mark(&open, server, version, epoch + 1, false, 0).to_string());
                note("once more", mark(&open, server, version, epoch + 1, true, 0).to_string());
                note("of the older one now", mark(&open, server, version, epoch, true, 0).to_string());
                note("the coordinator knows nothing of it", open.described());
                note("the next batch", open.produce().to_string());
            }
        }
    });
}
