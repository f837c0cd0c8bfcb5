//! Carries the proposals of leaders to the controller (AlterPartition), and what became of them back.
//!
//! It must never call a proposal refused whose fate nobody knows: that one is sent again.

use std::sync::Arc;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::AlterPartitionRequest;
use kafka_protocol::messages::alter_partition_request::{BrokerState, PartitionData, TopicData};
use milena_coordinator::controller::Refusal;
use milena_coordinator::replica::{Outcome, Proposal};
use uuid::Uuid;

use super::Means;
use crate::partition::Partition;
use crate::quorum::Quorum;

/// Pause after a proposal that nobody could take, in milliseconds.
const RETRY_MS: i64 = 50;
/// Partitions in one request; more wait for the next.
const TOGETHER_MAX: usize = 1000;

/// Runs until the broker stops.
pub(super) async fn propose(means: Arc<Means>, quorum: Quorum) {
    let clock = &means.clock;
    let mut checked = clock.steady_ms();
    let mut again = false;
    loop {
        // Followers are looked at twice in the time that they have (ReplicaManager.startup).
        let half = (means.partitions.peers.lag_max_ms() / 2).max(1);
        if again {
            // What has to be sent again is noted as changed already, so waiting for changes would be no pause.
            clock.sleep_until(clock.steady_ms() + RETRY_MS).await;
        } else {
            tokio::select! {
                () = means.partitions.peers.has_changes() => {}
                () = clock.sleep_until(checked + half) => {}
            }
        }
        if clock.steady_ms() >= checked + half {
            checked = clock.steady_ms();
            let now = clock.now();
            means.partitions.all().iter().for_each(|partition| partition.check_lag(now));
        }
        again = send(&means, &quorum).await;
    }
}

/// Sends what is proposed; true if some of it has to be sent again.
async fn send(means: &Means, quorum: &Quorum) -> bool {
    let names = means.partitions.peers.take_changes();
    let proposals: Vec<_> = names
        .iter()
        .filter_map(|name| means.partitions.get(&name.topic, name.partition.0))
        .filter_map(|partition| partition.proposal().map(|proposal| (partition, proposal)))
        .collect();
    let mut again = false;
    for some in proposals.chunks(TOGETHER_MAX) {
        let answer = quorum.alter_partition(request(means, some)).await;
        for (partition, proposal) in some {
            let outcome = match &answer {
                Ok(answers) => {
                    let key = (partition.topic_id, partition.name.partition.0);
                    let told = answers.iter().find(|(topic, each)| (*topic, each.partition_index) == key);
                    told.map_or(Outcome::Unknown, |(_, each)| outcome(each.error_code))
                }
                Err(refusal) => refused(refusal),
            };
            tracing::debug!(partition = %partition.name, ?proposal, ?outcome, "an in-sync set was proposed");
            partition.settle(proposal, outcome);
            if outcome == Outcome::Unknown {
                means.partitions.peers.note_change(partition.name.clone());
                again = true;
            }
        }
    }
    again
}

fn request(means: &Means, proposals: &[(Arc<Partition>, Proposal)]) -> AlterPartitionRequest {
    let mut topics: Vec<(Uuid, Vec<PartitionData>)> = Vec::new();
    for (partition, proposal) in proposals {
        let isr = proposal
            .isr
            .iter()
            .map(|(id, epoch)| BrokerState::default().with_broker_id(id.0.into()).with_broker_epoch(*epoch));
        let data = PartitionData::default()
            .with_partition_index(partition.name.partition.0)
            .with_leader_epoch(proposal.leader_epoch.0)
            .with_partition_epoch(proposal.partition_epoch)
            .with_new_isr_with_epochs(isr.collect());
        match topics.iter_mut().find(|(topic, _)| *topic == partition.topic_id) {
            Some((_, partitions)) => partitions.push(data),
            None => topics.push((partition.topic_id, vec![data])),
        }
    }
    let topics = topics
        .into_iter()
        .map(|(id, partitions)| TopicData::default().with_topic_id(id).with_partitions(partitions));
    let epoch = means.image.load().broker(means.local).map_or(-1, |broker| broker.epoch);
    AlterPartitionRequest::default()
        .with_broker_id(means.local.0.into())
        .with_broker_epoch(epoch)
        .with_topics(topics.collect())
}

/// As `Partition.handleAlterPartitionError`.
fn outcome(code: i16) -> Outcome {
    match ResponseError::try_from_code(code) {
        None | Some(ResponseError::InvalidUpdateVersion) => Outcome::Moved,
        Some(
            ResponseError::IneligibleReplica
            | ResponseError::OperationNotAttempted
            | ResponseError::UnknownTopicOrPartition
            | ResponseError::UnknownTopicId
            | ResponseError::FencedLeaderEpoch
            | ResponseError::InvalidRequest
            | ResponseError::NewLeaderElected,
        ) => Outcome::Refused,
        Some(_) => Outcome::Unknown,
    }
}

fn refused(refusal: &Refusal) -> Outcome {
    tracing::debug!(%refusal, "the controller took no proposals");
    Outcome::Unknown
}
