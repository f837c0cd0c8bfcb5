//! The batches of requests that came in together, appended before the first of the requests is answered: those of one partition with one write.
//!
//! Must never append a batch that its own request would have refused, nor behind one of the same partition that is still to be appended.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use milena_coordinator::image::TopicImage;
use milena_storage::ids::LeaderEpoch;
use milena_storage::log::Appended;
use milena_storage::validate::Origin;
use smallvec::SmallVec;

use super::{ACKS_ALL, Gate, TOPIC_IDS, admit};
use crate::api::Cx;
use crate::codec::produce_request::{PartitionRecords, ProduceRequest};
use crate::partition::waiters::Wakes;
use crate::partition::{AppendAs, Partition, PartitionError};

/// Batches that are looked through for those of one partition, each with all behind it; who sends more at a time gains little.
const MOST: usize = 128;

/// What became of a batch before its request was looked at.
pub(super) struct Done {
    /// In which the append began.
    pub epoch: LeaderEpoch,
    pub appended: Result<Appended, PartitionError>,
}

/// One place for each batch of the requests, in their order; empty where nothing was appended ahead.
#[derive(Default)]
pub(super) struct Ahead(VecDeque<Option<Done>>);

/// A batch that may be appended ahead.
struct Job {
    partition: Arc<Partition>,
    records: Bytes,
    all_replicas: bool,
}

impl Ahead {
    /// Appends what can be: batches of clients without transactions, of a partition of which there are several.
    pub(super) fn of(run: &[(Cx<'_>, ProduceRequest)]) -> Self {
        let Some((cx, _)) = run.first() else { return Self::default() };
        // Which batch may follow which is decided one by one while some are awaited again.
        let alike = run.iter().all(|(other, _)| other.version == cx.version);
        if run.len() < 2 || !alike || !cx.broker.refused_batches.is_empty() {
            return Self::default();
        }
        let Some(mut jobs) = jobs(run) else { return Self::default() };
        let mut done: VecDeque<Option<Done>> = jobs.iter().map(|_| None).collect();
        let mut wakes = Wakes::default();
        for first in 0..jobs.len() {
            let Some(partition) = jobs[first].as_ref().map(|job| Arc::clone(&job.partition)) else {
                continue;
            };
            let is_here =
                |job: &Option<Job>| job.as_ref().is_some_and(|job| Arc::ptr_eq(&job.partition, &partition));
            let places: SmallVec<[usize; 16]> =
                (first..jobs.len()).filter(|place| is_here(&jobs[*place])).collect();
            let batches: SmallVec<[Job; 16]> = places.iter().filter_map(|at| jobs[*at].take()).collect();
            if batches.len() < 2 {
                continue;
            }
            let how = AppendAs {
                origin: Origin::Client { produce_version: cx.version },
                all_replicas: batches.iter().any(|job| job.all_replicas),
                now: cx.now,
            };
            let epoch = partition.leader_epoch();
            let appended = partition.append_all(batches.into_iter().map(|job| job.records), how, &mut wakes);
            for (place, appended) in places.into_iter().zip(appended) {
                done[place] = Some(Done { epoch, appended });
            }
        }
        wakes.fire();
        Self(done)
    }

    /// What became of the next batch, if it was appended ahead. Has to be asked for each, in order.
    pub(super) fn next(&mut self) -> Option<Done> {
        self.0.pop_front().flatten()
    }
}

/// All batches in order, `None` for those that are refused or not for us; nothing where a request has to be looked at by itself.
fn jobs(run: &[(Cx<'_>, ProduceRequest)]) -> Option<Vec<Option<Job>>> {
    let mut jobs = Vec::with_capacity(run.len());
    for (cx, request) in run {
        let gate = Gate::of(cx, request);
        if !gate.is_open() || request.transactional_id.is_some() {
            return None;
        }
        let by_id = cx.version >= TOPIC_IDS;
        for topic in &request.topics {
            let found = if by_id { cx.image.topic_by_id(topic.id) } else { cx.image.topic(&topic.name) };
            if jobs.len() + topic.partitions.len() > MOST {
                return None;
            }
            let admitted = admit(found, &gate, by_id).ok();
            let all_replicas = request.acks == ACKS_ALL;
            jobs.extend(topic.partitions.iter().map(|data| job(cx, admitted?, data, all_replicas)));
        }
    }
    Some(jobs)
}

fn job(cx: &Cx<'_>, topic: &TopicImage, data: &PartitionRecords, all_replicas: bool) -> Option<Job> {
    let partition = cx.broker.partitions.find(&cx.image, &topic.name, data.index).ok()?;
    let records = data.records.clone().unwrap_or_default();
    (partition.topic_id == topic.id).then_some(Job { partition, records, all_replicas })
}

#[cfg(test)]
mod tests {
    use milena_storage::batch::{BatchBuilder, Record};
    use milena_storage::compress::Codec;
    use milena_storage::ids::{ProducerEpoch, ProducerId};

    use super::super::{handle, handle_run};
    use super::*;
    use crate::api::Outcome;
    use crate::api::testing::{answer, caller, create, cx, with_quorum};
    use crate::codec::produce_request::TopicData;
    use crate::state::BrokerState;

    /// A batch of producer `id` for a partition of topic `t`; of none if that is 0.
    fn batch(partition: i32, id: i64, sequence: i32) -> PartitionRecords {
        let mut builder = BatchBuilder::new();
        if id > 0 {
            builder = builder.producer(ProducerId(id), ProducerEpoch(0), sequence);
        }
        builder.push(Record::default());
        PartitionRecords { index: partition, records: Some(builder.finish(Codec::None, None)) }
    }

    fn request(acks: i16, name: &'static str, partitions: Vec<PartitionRecords>) -> ProduceRequest {
        let topics = vec![TopicData { name: name.into(), partitions, ..TopicData::default() }];
        ProduceRequest { acks, timeout_ms: 5000, topics, ..ProduceRequest::default() }
    }

    async fn broker() -> Arc<BrokerState> {
        let broker = with_quorum().await;
        create(&broker, &[("t", 2)]).await;
        let (image, settings) = (broker.image.load_full(), broker.settings.load_full());
        let _ = broker.partitions.follow(&image, &settings, broker.clock.now());
        broker
    }

    /// Errors and offsets of all partitions, or what there is instead of an answer.
    async fn told(outcome: Outcome<crate::codec::produce_response::ProduceAnswer>) -> String {
        let answered = match outcome {
            Outcome::Nothing => return "nothing".to_owned(),
            Outcome::Close => return "close".to_owned(),
            waits => answer(waits).await,
        };
        let partitions = answered.topics.iter().flat_map(|topic| &topic.partitions);
        let each = |it: &crate::codec::produce_response::PartitionAnswer| {
            format!("{}: {} at {} of {}", it.index, it.error_code, it.base_offset, it.log_start_offset)
        };
        partitions.map(each).collect::<Vec<_>>().join(", ")
    }

    /// Everything that a client may do wrong, between what it does right.
    fn requests() -> Vec<ProduceRequest> {
        let mut broken = batch(0, 1, 3);
        broken.records = broken.records.map(|records| {
            let mut records = records.to_vec();
            *records.last_mut().unwrap() ^= 1;
            Bytes::from(records)
        });
        vec![
            request(-1, "t", vec![batch(0, 1, 0)]),
            request(1, "t", vec![batch(0, 1, 1), batch(1, 2, 0)]),
            request(0, "t", vec![batch(0, 0, 0)]),
            request(-1, "t", vec![batch(0, 1, 1)]),
            request(-1, "t", vec![batch(0, 1, 2), batch(1, 2, 1), batch(0, 0, 0)]),
            request(-1, "t", vec![broken]),
            request(-1, "t", vec![batch(0, 1, 4)]),
            request(-1, "t", vec![batch(0, 1, 3)]),
            request(-1, "t", vec![batch(7, 1, 0)]),
            request(-1, "unknown", vec![batch(0, 1, 4)]),
            request(-1, "t", vec![PartitionRecords { index: 1, records: None }]),
            request(-1, "t", vec![batch(1, 2, 2)]),
            request(5, "t", vec![batch(1, 2, 3)]),
            request(-1, "t", vec![batch(1, 2, 3)]),
            request(0, "t", vec![batch(1, 2, 9)]),
            request(-1, "t", vec![batch(1, 2, 4)]),
        ]
    }

    #[tokio::test]
    async fn a_run_is_answered_as_its_requests_are_alone() {
        let (alone, all) = (broker().await, requests());
        let mut expected = Vec::new();
        for request in &all {
            expected.push(told(handle(&cx(&alone, &caller(), 9), request.clone())).await);
        }
        for size in 1..=all.len() {
            let broker = broker().await;
            let mut answers = Vec::new();
            for run in all.chunks(size) {
                let caller = caller();
                let run = run.iter().map(|request| (cx(&broker, &caller, 9), request.clone()));
                for outcome in handle_run(run.collect()) {
                    answers.push(told(outcome).await);
                }
            }
            assert_eq!(answers, expected, "in runs of {size}");
        }
    }

    #[tokio::test]
    async fn a_run_is_appended_before_its_first_request_is_answered() {
        let (broker, caller) = (broker().await, caller());
        let first = request(-1, "t", vec![batch(0, 1, 0), batch(1, 2, 0)]);
        let second = request(-1, "t", vec![batch(0, 1, 1)]);
        let run = [first, second].map(|request| (cx(&broker, &caller, 9), request));
        let mut ahead = Ahead::of(&run);
        let places = [ahead.next(), ahead.next(), ahead.next()];
        let offsets = places.map(|done| done.map(|done| done.appended.unwrap().first.0));
        assert_eq!(offsets, [Some(0), None, Some(1)], "the one of the other partition is alone");
        assert!(ahead.next().is_none());
    }

    #[tokio::test]
    async fn nothing_goes_ahead_of_what_is_decided_one_by_one() {
        let (broker, caller) = (broker().await, caller());
        let of = |requests: [ProduceRequest; 2], versions: [i16; 2]| {
            let run: Vec<_> = requests.into_iter().zip(versions).collect();
            let run: Vec<_> =
                run.into_iter().map(|(request, version)| (cx(&broker, &caller, version), request)).collect();
            let mut ahead = Ahead::of(&run);
            [ahead.next(), ahead.next()].iter().flatten().count()
        };
        let plain = |sequence| request(-1, "t", vec![batch(0, 1, sequence)]);
        let transactional = ProduceRequest { transactional_id: Some("x".into()), ..plain(1) };
        assert_eq!(of([plain(0), transactional], [9, 9]), 0);
        assert_eq!(of([plain(0), request(2, "t", vec![batch(0, 1, 1)])], [9, 9]), 0, "acks that cannot be");
        assert_eq!(of([plain(0), plain(1)], [9, 8]), 0);
        assert_eq!(of([plain(0), plain(1)], [9, 9]), 2);
        let unknown = request(-1, "unknown", vec![batch(0, 1, 0)]);
        let _ = answer(handle(&cx(&broker, &caller, 9), unknown)).await;
        assert_eq!(of([plain(2), plain(3)], [9, 9]), 0, "a refused batch may come again");
    }
}
