//! Produce: 0, v3–13. Appends one batch to each partition named.
//!
//! Behaviour: a batch that was appended before (same producer, epoch and sequences among the last five) succeeds
//! with its first offsets, and an older one of an epoch that is known from its beginning is answered DUPLICATE_SEQUENCE_NUMBER, which clients
//! take for success (Kafka: OUT_OF_ORDER_SEQUENCE_NUMBER, which they may repeat for ever). Behind a batch that was refused for a while nothing
//! of a producer that the log does not know is let in (see `refused`).
//! acks=0 has no answer; if anything failed the connection is closed so that the client looks for new metadata
//! (KafkaApis.handleProduceRequest). Internal topics take records only from the admin client.
//! Versions: 5 log start offset, 7 zstd, 8 record errors (KIP-467), 9 flexible, 10 leader hints (KIP-951), 11 transaction
//! errors, 12 implicit transaction partitions (KIP-890), 13 topic ids (KIP-516). The first batch of a transaction in a
//! partition waits for the coordinator's word; see `crate::transactions::verify`.

use std::ops::RangeInclusive;

use kafka_protocol::error::ResponseError;
use milena_coordinator::image::{TopicImage, is_internal_topic};
use milena_coordinator::plant::{self, Bug};
use milena_storage::batch;
use milena_storage::ids::{BrokerId, Offset, PartitionIndex};
use milena_storage::log::{AppendError, Appended};
use milena_storage::validate::InvalidKind;
use std::sync::Arc;
use std::time::Duration;

mod ahead;
mod owed;
mod refused;
mod transaction;

pub use refused::RefusedBatches;

use super::{Cx, Outcome};
use crate::codec::Node;
use crate::codec::produce_request::{PartitionRecords, ProduceRequest, TopicData};
use crate::codec::produce_response::{PartitionAnswer, ProduceAnswer, TopicAnswer};
use crate::partition::traffic::Count;
use crate::partition::waiters::Wakes;
use crate::partition::{AppendAs, PartitionError};
use crate::refused_records;
use crate::shard::Asked;
use ahead::{Ahead, Done};
use owed::{Owed, commit_due, settle};
use refused::{Named, Sent};
use transaction::Known;

pub const VERSIONS: RangeInclusive<i16> = 3..=13;

/// From here on topics are named by id.
const TOPIC_IDS: i16 = 13;
/// From here on an answer may name the current leader.
const LEADER_HINTS: i16 = 10;
/// All replicas that are in sync must have the records.
const ACKS_ALL: i16 = -1;
/// The only client that may write internal topics (AdminUtils.ADMIN_CLIENT_ID, used by kafka-transactions and tests).
const ADMIN_CLIENT: &str = "__admin_client";

pub fn handle(cx: &Cx<'_>, request: ProduceRequest) -> Outcome<ProduceAnswer> {
    handle_next(cx, request, &mut Ahead::default())
}

/// Requests of one connection that came in together.
pub fn handle_run(run: Vec<(Cx<'_>, ProduceRequest)>) -> Vec<Outcome<ProduceAnswer>> {
    let mut ahead = Ahead::of(&run);
    run.into_iter().map(|(cx, request)| handle_next(&cx, request, &mut ahead)).collect()
}

fn handle_next(cx: &Cx<'_>, request: ProduceRequest, ahead: &mut Ahead) -> Outcome<ProduceAnswer> {
    let gate = Gate::of(cx, &request);
    if let Gate::Refused(error, message) = &gate {
        return refuse_all(&request, *error, message.as_deref());
    }
    let Some(question) = gate.is_open().then(|| transaction::question(cx, &request)).flatten() else {
        return append_all(cx, request, &gate, &Known::default(), ahead);
    };
    let transaction::Question { client, guards, asked } = question;
    let known = |verdicts| Known { guards: guards.clone(), verdicts, client: Some(client.clone()) };
    match asked {
        Asked::Now(verdicts) => append_all(cx, request, &gate, &known(verdicts), ahead),
        // Nobody writes in a transaction without waiting for the answer.
        Asked::Later(_) if request.acks == 0 => Outcome::Close,
        Asked::Later(verdicts) => {
            let (version, image, now) = (cx.version, cx.image.clone(), cx.now);
            let (caller, broker) = (cx.caller.clone(), cx.broker.clone());
            Outcome::later(async move {
                let known = Known { guards, verdicts: verdicts.await, client: Some(client) };
                let outcome = {
                    let cx = Cx { version, image, caller: &caller, now, broker: &broker, meter: None };
                    append_all(&cx, request, &gate, &known, &mut Ahead::default())
                };
                match outcome {
                    Outcome::Now(answer) => answer,
                    Outcome::Later(answer) => answer.await,
                    Outcome::Nothing | Outcome::Close => unreachable!("acks is not 0"),
                }
            })
        }
    }
}

fn append_all(
    cx: &Cx<'_>,
    request: ProduceRequest,
    gate: &Gate,
    known: &Known,
    ahead: &mut Ahead,
) -> Outcome<ProduceAnswer> {
    let acks = request.acks;
    let mut wakes = Wakes::default();
    let mut response = ProduceAnswer::default();
    let mut failed = None;
    let mut owed = Vec::new();
    let patience = Duration::from_millis(u64::try_from(request.timeout_ms).unwrap_or(0));
    for topic in request.topics {
        let mut work = Work { acks, known, ahead, wakes: &mut wakes, owed: &mut owed };
        let answer = produce_topic(cx, topic, gate, &mut work, &mut response.nodes);
        failed =
            failed.or_else(|| answer.partitions.iter().map(|each| each.error_code).find(|code| *code != 0));
        response.topics.push(answer);
    }
    wakes.fire();
    match (acks, failed) {
        (0, Some(code)) => {
            tracing::info!(code, client = ?cx.caller.client_id, "closing a connection: produce with acks=0 failed");
            Outcome::Close
        }
        (0, None) => {
            if !owed.is_empty() {
                // Nobody waits for an answer, so nobody waits for the disk.
                tokio::spawn(async move { settle(&mut response, owed, patience).await });
            }
            Outcome::Nothing
        }
        _ if owed.is_empty() => response.into(),
        _ => Outcome::later(async move {
            settle(&mut response, owed, patience).await;
            response
        }),
    }
}

/// What a request does besides answering.
struct Work<'a> {
    acks: i16,
    known: &'a Known,
    ahead: &'a mut Ahead,
    wakes: &'a mut Wakes,
    /// Appends that are answered when they are on disk, or on other brokers.
    owed: &'a mut Vec<Owed>,
}

/// As `refuse`, for a while: the producers will send all of it again.
pub fn refuse_for_now(cx: &Cx<'_>, request: &ProduceRequest, error: ResponseError) -> ProduceAnswer {
    if error.is_retriable() {
        for (topic, data) in
            request.topics.iter().flat_map(|topic| topic.partitions.iter().map(move |data| (topic, data)))
        {
            if let Some(sent) = Sent::of(data) {
                let named = Named::of(topic, data.index, cx.version >= TOPIC_IDS);
                cx.broker.refused_batches.note(named, sent, error, cx.broker.clock.steady_ms());
            }
        }
    }
    refuse(request, error.code())
}

/// The answer to every partition when the whole request cannot be served.
pub fn refuse(request: &ProduceRequest, code: i16) -> ProduceAnswer {
    let topics = request.topics.iter().map(|topic| TopicAnswer {
        name: topic.name.clone(),
        id: topic.id,
        partitions: topic.partitions.iter().map(|each| PartitionAnswer::refused(each.index, code)).collect(),
    });
    ProduceAnswer { topics: topics.collect(), ..ProduceAnswer::default() }
}

/// The answer to a request that is refused before its partitions are looked at.
fn refuse_all(
    request: &ProduceRequest,
    error: ResponseError,
    message: Option<&str>,
) -> Outcome<ProduceAnswer> {
    if request.acks == 0 {
        tracing::info!(code = error.code(), message, "closing a connection: produce with acks=0 refused");
        return Outcome::Close;
    }
    let mut answer = refuse(request, error.code());
    for partition in answer.topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
        partition.error_message = message.map(str::to_owned);
    }
    answer.into()
}

/// What is decided once for the whole request.
#[derive(Clone, Debug)]
enum Gate {
    Open {
        internal: bool,
    },
    /// No partition that exists takes anything.
    Shut(ResponseError),
    /// Nothing of the request is looked at further.
    Refused(ResponseError, Option<String>),
}

impl Gate {
    fn of(cx: &Cx<'_>, request: &ProduceRequest) -> Self {
        let partitions = request.topics.iter().flat_map(|topic| &topic.partitions);
        for records in partitions.filter_map(|partition| partition.records.as_ref()) {
            // Kafka comes upon these when it looks for transactions, before it looks at any partition.
            let first = batch::size_and_magic(records);
            if let Some(message) = first.err().and_then(|error| refused_records::unmeasurable(&error)) {
                return Self::Refused(ResponseError::CorruptMessage, Some(message));
            }
        }
        let mut producers =
            transaction::batches(request).map(|(_, header)| (header.producer_id, header.producer_epoch));
        let first = producers.next();
        if first.is_some() && request.transactional_id.is_none() {
            return Self::Refused(ResponseError::TransactionalIdAuthorizationFailed, None);
        }
        if producers.any(|other| Some(other) != first) {
            return Self::Shut(ResponseError::InvalidProducerIdMapping);
        }
        if !matches!(request.acks, -1..=1) {
            return Self::Shut(ResponseError::InvalidRequiredAcks);
        }
        Self::Open { internal: cx.caller.client_id.as_ref().is_some_and(|id| id.as_str() == ADMIN_CLIENT) }
    }

    fn is_open(&self) -> bool {
        matches!(self, Self::Open { .. })
    }
}

fn produce_topic(
    cx: &Cx<'_>,
    mut topic: TopicData,
    gate: &Gate,
    work: &mut Work<'_>,
    hints: &mut Vec<Node>,
) -> TopicAnswer {
    let by_id = cx.version >= TOPIC_IDS;
    let found = if by_id { cx.image.topic_by_id(topic.id) } else { cx.image.topic(&topic.name) };
    let partitions = std::mem::take(&mut topic.partitions)
        .into_iter()
        .map(|data| {
            let (index, sent) = (data.index, Sent::of(&data));
            let named = || Named::of(&topic, index, by_id);
            let done = work.ahead.next();
            // What was appended ahead was in its turn.
            let waits = |image| if done.is_some() { Ok(()) } else { in_turn(cx, image, named, index, sent) };
            let outcome = admit(found, gate, by_id)
                .and_then(|image| waits(image).map(|()| image))
                .and_then(|image| append(cx, image, data, done, work).map_err(Refused::Partition))
                .map_err(|refused| gap_explained(cx, named, sent, refused));
            remember(cx, named, sent, outcome.as_ref().err());
            let answer = match outcome {
                Ok((appended, log_start)) => success(index, &appended, log_start),
                Err(Refused::Whole(error)) => PartitionAnswer::refused(index, error.code()),
                Err(Refused::Partition(error)) => failure(cx, found, index, &error),
            };
            note_leader(cx, answer, hints)
        })
        .collect();
    TopicAnswer { name: topic.name, id: topic.id, partitions }
}

enum Refused {
    Whole(ResponseError),
    Partition(PartitionError),
}

fn admit<'a>(
    found: Option<&'a Arc<TopicImage>>,
    gate: &Gate,
    by_id: bool,
) -> Result<&'a Arc<TopicImage>, Refused> {
    let topic = found.ok_or(Refused::Partition(if by_id {
        PartitionError::UnknownTopicId
    } else {
        PartitionError::Unknown
    }))?;
    match gate {
        Gate::Shut(error) | Gate::Refused(error, _) => Err(Refused::Whole(*error)),
        Gate::Open { internal: false } if is_internal_topic(&topic.name) => {
            Err(Refused::Partition(PartitionError::Internal))
        }
        Gate::Open { .. } => Ok(topic),
    }
}

/// Refuses a batch of a producer that the log does not know while one that was sent before it is still to come.
fn in_turn(
    cx: &Cx<'_>,
    topic: &TopicImage,
    named: impl Fn() -> Named,
    index: i32,
    sent: Option<Sent>,
) -> Result<(), Refused> {
    let Some(sent) = sent.filter(|sent| sent.sequence > 0 && !cx.broker.refused_batches.is_empty()) else {
        return Ok(());
    };
    let Some(error) = cx.broker.refused_batches.ahead_of(&named(), sent, cx.broker.clock.steady_ms()) else {
        return Ok(());
    };
    let partition = cx.broker.partitions.find(&cx.image, &topic.name, index).map_err(Refused::Partition)?;
    if partition.knows_producer(sent.producer) {
        return Ok(());
    }
    Err(Refused::Partition(PartitionError::Behind(error)))
}

/// A gap in the sequence is answered as the batch was that is missing, while that may come again.
fn gap_explained(cx: &Cx<'_>, named: impl Fn() -> Named, sent: Option<Sent>, refused: Refused) -> Refused {
    let batches = &cx.broker.refused_batches;
    let is_gap = matches!(refused, Refused::Partition(PartitionError::Refused(AppendError::Sequence { .. })));
    let Some(sent) = sent.filter(|_| is_gap && !batches.is_empty()) else { return refused };
    let missing = batches.missing_before(&named(), sent, cx.broker.clock.steady_ms());
    missing.map_or(refused, |error| Refused::Partition(PartitionError::Behind(error)))
}

/// Keeps in mind what its producer will send again, until it has.
fn remember(cx: &Cx<'_>, named: impl Fn() -> Named, sent: Option<Sent>, refused: Option<&Refused>) {
    let (Some(sent), batches) = (sent, &cx.broker.refused_batches) else { return };
    let now = || cx.broker.clock.steady_ms();
    match refused {
        None if batches.is_empty() => {}
        None => batches.taken(&named(), sent, now()),
        Some(Refused::Whole(_) | Refused::Partition(PartitionError::Behind(_))) => {}
        Some(Refused::Partition(error)) => {
            if let Some(error) =
                ResponseError::try_from_code(error.code()).filter(ResponseError::is_retriable)
            {
                batches.note(named(), sent, error, now());
            }
        }
    }
}

fn append(
    cx: &Cx<'_>,
    topic: &TopicImage,
    data: PartitionRecords,
    done: Option<Done>,
    work: &mut Work<'_>,
) -> Result<(Appended, Offset), PartitionError> {
    let partition = cx.broker.partitions.find(&cx.image, &topic.name, data.index)?;
    if partition.topic_id != topic.id {
        return Err(PartitionError::InconsistentTopicId);
    }
    let origin = work.known.origin(cx.version, &partition.name)?;
    let how = AppendAs { origin, all_replicas: work.acks == ACKS_ALL, now: cx.now };
    partition.traffic.add(Count::Produces, 1);
    let Done { epoch, appended } = done.unwrap_or_else(|| Done {
        epoch: partition.leader_epoch(),
        appended: partition.append(data.records.unwrap_or_default(), how, work.wakes),
    });
    let (up_to, sync) = match &appended {
        Ok(appended) => (appended.last.plus(1), appended.flush_due),
        // Whoever hears of it takes it for written, so it has to be.
        Err(PartitionError::Refused(AppendError::Repeated { before, .. })) => (*before, false),
        Err(_) => {
            partition.traffic.add(Count::FailedProduces, 1);
            return appended.map(|appended| (appended, Offset(0)));
        }
    };
    let log_start = partition.log_start_offset();
    let waits = work.acks == ACKS_ALL && !plant::is_planted(Bug::AcksBeforeFollowers);
    let commit = waits.then(|| commit_due(&partition, epoch, up_to)).flatten();
    if sync || commit.is_some() {
        work.owed.push(Owed { up_to, sync, commit, partition });
    }
    appended.map(|appended| (appended, log_start))
}

fn success(index: i32, appended: &Appended, log_start: Offset) -> PartitionAnswer {
    PartitionAnswer {
        base_offset: appended.first.0,
        append_time: appended.append_time.0,
        log_start_offset: log_start.0,
        ..PartitionAnswer::refused(index, 0)
    }
}

fn failure(
    cx: &Cx<'_>,
    topic: Option<&Arc<TopicImage>>,
    index: i32,
    error: &PartitionError,
) -> PartitionAnswer {
    let name = topic.map_or("", |topic| &topic.name);
    tracing::debug!(topic = name, partition = index, %error, client = ?cx.caller.client_id, "records were refused");
    let mut answer = PartitionAnswer::refused(index, error.code());
    if tells_log_start(error)
        && let Some(topic) = topic
        && let Ok(partition) = cx.broker.partitions.find(&cx.image, &topic.name, index)
    {
        answer.log_start_offset = partition.log_start_offset().0;
    }
    match error {
        PartitionError::Invalid(invalid) if !invalid.records.is_empty() => {
            let partition = format!("{name}-{index}");
            PartitionAnswer {
                record_errors: refused_records::problems(&partition, invalid),
                error_message: Some(refused_records::summary(&partition, invalid)),
                ..answer
            }
        }
        PartitionError::NotLeader => match topic.and_then(|topic| topic.partition(PartitionIndex(index))) {
            Some(partition) if cx.version >= LEADER_HINTS => {
                let leader = partition.leader.map_or(-1, |leader| leader.0);
                PartitionAnswer { current_leader: Some((leader, partition.leader_epoch.0)), ..answer }
            }
            _ => answer,
        },
        _ => answer,
    }
}

/// Kafka tells where the log starts unless the error is one of those that it expects of a partition
/// (`ReplicaManager.appendToLocalLog`).
fn tells_log_start(error: &PartitionError) -> bool {
    match error {
        PartitionError::Invalid(invalid) => {
            !invalid.by_request && !matches!(invalid.kind, InvalidKind::TooLarge | InvalidKind::Corrupt)
        }
        PartitionError::Refused(refused) => {
            !matches!(refused, AppendError::LargerThanSegment { .. } | AppendError::Batch { .. })
        }
        PartitionError::NotEnoughReplicas => true,
        _ => false,
    }
}

/// Adds the address of a hinted leader once.
fn note_leader(cx: &Cx<'_>, answer: PartitionAnswer, hints: &mut Vec<Node>) -> PartitionAnswer {
    if let Some((leader, _)) = answer.current_leader
        && !hints.iter().any(|hint| hint.id == leader)
        && let Some(broker) = cx.image.broker(BrokerId(leader))
        && let Some(endpoint) = broker.endpoint(&cx.caller.listener)
    {
        hints.push(Node {
            id: leader,
            host: endpoint.host.clone(),
            port: i32::from(endpoint.port),
            rack: broker.rack.clone(),
        });
    }
    answer
}

#[cfg(test)]
mod tests {
    use milena_storage::batch::{BatchBuilder, Record};
    use milena_storage::compress::Codec;
    use milena_storage::ids::{ProducerEpoch, ProducerId};

    use super::*;
    use crate::api::testing::{answer, caller, create, cx, with_quorum};
    use crate::state::BrokerState;

    #[test]
    fn a_refused_request_names_every_partition() {
        let partitions = vec![PartitionRecords { index: 3, records: None }];
        let topics = vec![TopicData { partitions, ..TopicData::default() }];
        let answer = refuse(&ProduceRequest { topics, ..ProduceRequest::default() }, 21);
        assert_eq!(answer.topics[0].partitions, [PartitionAnswer::refused(3, 21)]);
    }

    /// A record of producer 7 for partition 0 of topic `t`.
    fn request(sequence: i32) -> ProduceRequest {
        let mut builder = BatchBuilder::new().producer(ProducerId(7), ProducerEpoch(0), sequence);
        builder.push(Record::default());
        let records = Some(builder.finish(Codec::None, None));
        let partitions = vec![PartitionRecords { index: 0, records }];
        let topics = vec![TopicData { name: "t".into(), partitions, ..TopicData::default() }];
        ProduceRequest { acks: -1, timeout_ms: 5000, topics, ..ProduceRequest::default() }
    }

    /// The error and the offset that it is answered with.
    async fn send(broker: &Arc<BrokerState>, sequence: i32) -> (i16, i64) {
        let answered = answer(handle(&cx(broker, &caller(), 9), request(sequence))).await;
        let partition = &answered.topics[0].partitions[0];
        (partition.error_code, partition.base_offset)
    }

    async fn lead(broker: &Arc<BrokerState>) {
        create(broker, &[("t", 1)]).await;
        let (image, settings) = (broker.image.load_full(), broker.settings.load_full());
        let _ = broker.partitions.follow(&image, &settings, broker.clock.now());
    }

    #[tokio::test]
    async fn nothing_is_let_past_a_first_batch_that_was_refused() {
        let broker = with_quorum().await;
        let unknown = ResponseError::UnknownTopicOrPartition.code();
        assert_eq!(send(&broker, 0).await, (unknown, -1));
        assert_eq!(send(&broker, 1).await, (unknown, -1));
        lead(&broker).await;
        assert_eq!(send(&broker, 1).await, (unknown, -1), "the first one has not come again");
        assert_eq!(send(&broker, 0).await, (0, 0));
        assert_eq!(send(&broker, 1).await, (0, 1));
    }

    #[tokio::test]
    async fn a_gap_behind_a_refusal_is_answered_as_that_was() {
        let broker = with_quorum().await;
        lead(&broker).await;
        assert_eq!(send(&broker, 0).await, (0, 0));
        let out_of_order = ResponseError::OutOfOrderSequenceNumber.code();
        assert_eq!(send(&broker, 2).await, (out_of_order, -1), "nothing of it was refused");
        let few = ResponseError::NotEnoughReplicas;
        let _ = refuse_for_now(&cx(&broker, &caller(), 9), &request(1), few);
        assert_eq!(send(&broker, 2).await, (few.code(), -1));
        assert_eq!(send(&broker, 1).await, (0, 1));
        assert_eq!(send(&broker, 2).await, (0, 2));
        assert_eq!(send(&broker, 4).await, (out_of_order, -1));
    }

    #[tokio::test]
    async fn a_producer_that_is_not_known_begins_anywhere() {
        let broker = with_quorum().await;
        lead(&broker).await;
        assert_eq!(send(&broker, 5).await, (0, 0), "what came before may have been deleted");
    }

    #[tokio::test]
    async fn a_batch_that_later_ones_pushed_out_of_memory_is_told_to_be_written() {
        let broker = with_quorum().await;
        lead(&broker).await;
        for sequence in 0..7 {
            assert_eq!(send(&broker, sequence).await, (0, i64::from(sequence)));
        }
        assert_eq!(send(&broker, 2).await, (0, 2), "one of the last five");
        assert_eq!(send(&broker, 1).await, (ResponseError::DuplicateSequenceNumber.code(), -1));
        assert_eq!(send(&broker, 8).await, (ResponseError::OutOfOrderSequenceNumber.code(), -1));
        assert_eq!(send(&broker, 7).await, (0, 7), "nothing of it was written");
    }
}
