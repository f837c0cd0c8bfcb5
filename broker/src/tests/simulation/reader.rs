//! A consumer without a group: reads every partition from its start, again and again.
//!
//! Must never skip an offset by itself.

use bytes::Bytes;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::{FetchRequest, ListOffsetsRequest};
use milena_storage::batch::BatchView;

use super::client::{Client, topic_name};
use super::history::At;
use super::judge;
use super::shared::Phase;
use super::{PARTITIONS, TOPIC};

/// What a batch may unpack to.
const CAP: usize = 1 << 20;

pub(super) struct Reader {
    client: Client,
    positions: [i64; PARTITIONS as usize],
    /// The largest end that this consumer was told, by partition.
    ends: [i64; PARTITIONS as usize],
}

/// The records of a batch after another, with their offsets.
pub(super) fn records(bytes: &Bytes) -> Result<Vec<(i64, String)>, String> {
    let (mut rest, mut found) = (&bytes[..], Vec::new());
    // The last one may be cut.
    while let Ok(batch) = BatchView::parse(rest) {
        batch.check_crc().map_err(|error| error.to_string())?;
        let mut scratch = Vec::new();
        if !batch.header().is_control() {
            for record in batch.records(&mut scratch, CAP).map_err(|error| error.to_string())? {
                let record = record.map_err(|error| error.to_string())?;
                let value = String::from_utf8_lossy(record.value.unwrap_or_default()).into_owned();
                found.push((record.offset.0, value));
            }
        }
        rest = &rest[batch.bytes().len()..];
    }
    Ok(found)
}

/// Fetches committed records of one partition from an offset on; none if the leader is not known or does not answer.
pub(super) async fn fetch(client: &mut Client, at: At, from: i64) -> Option<Vec<(i64, String)>> {
    let (leader, epoch) = client.leader(at).await?;
    let partition = FetchPartition::default()
        .with_partition(at.1)
        .with_current_leader_epoch(epoch)
        .with_fetch_offset(from)
        .with_log_start_offset(-1)
        .with_partition_max_bytes(64 << 10);
    let topic = FetchTopic::default().with_topic(topic_name(at.0)).with_partitions(vec![partition]);
    let request = FetchRequest::default()
        .with_replica_id((-1).into())
        .with_max_wait_ms(300)
        .with_min_bytes(1)
        .with_max_bytes(1 << 20)
        .with_session_id(0)
        .with_session_epoch(-1)
        .with_topics(vec![topic]);
    let answer = client.ask(leader, 12, &request).await;
    let answered = answer.as_ref().and_then(|answer| answer.responses.first()?.partitions.first());
    let Some(told) = answered.filter(|told| told.error_code == 0) else {
        if answered.is_some_and(|told| told.error_code == 1) && judge::leads(&client.shared, at, leader) {
            let name = &client.name;
            let replicas = judge::replicas(&client.shared, at);
            client.shared.fault(format!(
                "{name}: {at:?} ends before {from}, up to which was read, says b{leader} in {epoch}: {replicas:?}"
            ));
        }
        client.forget(at);
        return None;
    };
    let bytes = told.records.clone().unwrap_or_default();
    match records(&bytes) {
        Ok(found) => Some(found.into_iter().filter(|(offset, _)| *offset >= from).collect()),
        Err(error) => {
            client.shared.fault(format!("{}: {at:?} at {from}: {error}", client.name));
            None
        }
    }
}

impl Reader {
    pub(super) fn new(client: Client) -> Self {
        Self { client, positions: [0; PARTITIONS as usize], ends: [0; PARTITIONS as usize] }
    }

    pub(super) async fn run(mut self) {
        loop {
            for partition in 0..PARTITIONS {
                self.read(partition).await;
                if self.client.dice.percent(10) {
                    self.look_at_the_end(partition).await;
                }
            }
            self.client.idle(1, 100).await;
            if self.client.shared.phase() < Phase::End && self.client.dice.percent(2) {
                self.positions = [0; PARTITIONS as usize];
            }
        }
    }

    async fn read(&mut self, partition: i32) {
        let (at, index) = ((TOPIC, partition), usize::try_from(partition).expect("an index"));
        let from = self.positions[index];
        let Some(found) = fetch(&mut self.client, at, from).await else { return self.client.pause().await };
        let Some((last, _)) = found.last() else { return };
        self.positions[index] = last + 1;
        let mut expected = from;
        for (offset, value) in found {
            // Nothing is compacted and there are no transactions, so that offsets have no gaps.
            if offset != expected {
                let name = &self.client.name;
                self.client
                    .shared
                    .fault(format!("{name}: {at:?} has nothing at {expected}, and then {offset}"));
            }
            expected = offset + 1;
            self.client.shared.history(|history| history.saw(at, offset, value));
        }
        self.client.shared.history(|history| history.count("read"));
        self.client.progressed();
    }

    /// What a leader calls the end never goes back for a consumer (KIP-207).
    async fn look_at_the_end(&mut self, partition: i32) {
        let (at, index) = ((TOPIC, partition), usize::try_from(partition).expect("an index"));
        let Some((leader, epoch)) = self.client.leader(at).await else { return };
        let asked = ListOffsetsPartition::default()
            .with_partition_index(partition)
            .with_current_leader_epoch(epoch)
            .with_timestamp(-1);
        let topic = ListOffsetsTopic::default().with_name(topic_name(TOPIC)).with_partitions(vec![asked]);
        let request = ListOffsetsRequest::default().with_replica_id((-1).into()).with_topics(vec![topic]);
        let answer = self.client.ask(leader, 7, &request).await;
        let told = answer.as_ref().and_then(|answer| answer.topics.first()?.partitions.first());
        let Some(told) = told.filter(|told| told.error_code == 0) else { return self.client.forget(at) };
        let end = told.offset;
        if end < self.ends[index] && judge::leads(&self.client.shared, at, leader) {
            let (name, before) = (&self.client.name, self.ends[index]);
            self.client.shared.fault(format!("{name}: {at:?} ends at {end}, and ended at {before}"));
        }
        self.ends[index] = self.ends[index].max(end);
    }
}
