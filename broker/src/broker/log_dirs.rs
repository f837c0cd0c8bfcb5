//! Takes partitions out of service when their log directory fails, and tells the controller what lies where, so that others lead them
//! (Kafka: `AssignmentsManager`, and the offline directories of `BrokerLifecycleManager`).
//!
//! It compares what the image says with what is here, so nothing is missed, whatever was told to whichever controller. Must never stop
//! telling before the image shows it: the controller hears of it from nobody else.

use std::sync::Arc;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::AssignReplicasToDirsRequest;
use kafka_protocol::messages::assign_replicas_to_dirs_request::{DirectoryData, PartitionData, TopicData};
use milena_coordinator::controller::Refusal;
use tokio::sync::watch;

use crate::partition::directories::{Place, Untold};
use crate::quorum::Quorum;
use crate::state::BrokerState;

/// Pause before the controller is told again, in milliseconds.
const RETRY_MS: i64 = 200;
/// Pause before the next look when the image has changed, in milliseconds: a look goes over all partitions.
const LINGER_MS: i64 = 100;
/// Replicas that are told of in one request (`AssignmentsManager.MAX_ASSIGNMENTS_PER_REQUEST`).
const TOGETHER: usize = 2250;

pub(super) async fn watch(state: Arc<BrokerState>, quorum: Quorum, dying: watch::Sender<bool>) {
    let metadata_dir = state.settings.load().storage().metadata_dir;
    let partitions = &state.partitions;
    let mut failures = partitions.disk.failures.watch();
    failures.mark_changed();
    loop {
        tokio::select! {
            biased;
            changed = failures.changed() => {
                if changed.is_err() {
                    return;
                }
                if !partitions.withdraw_failed(&metadata_dir) {
                    dying.send_replace(true);
                }
            }
            () = tell(&state, &quorum) => return,
        }
    }
}

/// Tells for as long as there is a cluster.
async fn tell(state: &BrokerState, quorum: &Quorum) {
    let clock = &state.clock;
    let mut changes = quorum.changes();
    loop {
        let image = state.image.load_full();
        let untold = state.partitions.untold(&image);
        let pause = match say(quorum, state, &untold).await {
            Err(error) => {
                tracing::debug!(%error, "the controller does not know yet what lies where");
                RETRY_MS
            }
            // There may be more than fits into one request.
            Ok(()) if !untold.is_empty() => continue,
            Ok(()) => {
                tokio::select! {
                    changed = changes.changed() => if changed.is_err() { return },
                    () = state.partitions.moved_wake.notified() => {}
                }
                LINGER_MS
            }
        };
        clock.sleep_until(clock.steady_ms() + pause).await;
        changes.mark_unchanged();
    }
}

async fn say(quorum: &Quorum, state: &BrokerState, untold: &Untold) -> Result<(), Refusal> {
    if let Some((online, cordoned)) = &untold.directories {
        quorum.keep_log_dirs(online, *cordoned).await?;
        tracing::info!(
            serving = online.len(),
            cordoned,
            "the controller knows the state of the log directories"
        );
    }
    let Some((first, _)) = untold.places.split_at_checked(TOGETHER.min(untold.places.len())) else {
        return Ok(());
    };
    if first.is_empty() {
        return Ok(());
    }
    let request = AssignReplicasToDirsRequest::default()
        .with_broker_id(state.id.0.into())
        .with_broker_epoch(untold.broker_epoch)
        .with_directories(grouped(first));
    let answers = quorum.assign_replicas_to_dirs(request).await?;
    let refused = answers.iter().find_map(|answer| ResponseError::try_from_code(answer.error));
    // What the image had and the controller has not any more goes from the image, too.
    refused.map_or(Ok(()), |code| Err(Refusal::bare(code)))
}

fn grouped(places: &[Place]) -> Vec<DirectoryData> {
    let mut directories: Vec<DirectoryData> = Vec::new();
    for place in places {
        let partition = PartitionData::default().with_partition_index(place.partition.0);
        let topics = &mut last_or_new(
            &mut directories,
            |it| it.id == place.directory,
            || DirectoryData::default().with_id(place.directory),
        )
        .topics;
        let topic = last_or_new(
            topics,
            |it: &TopicData| it.topic_id == place.topic,
            || TopicData::default().with_topic_id(place.topic),
        );
        topic.partitions.push(partition);
    }
    directories
}

fn last_or_new<T>(list: &mut Vec<T>, is_it: impl Fn(&T) -> bool, new: impl Fn() -> T) -> &mut T {
    if !list.last().is_some_and(is_it) {
        list.push(new());
    }
    list.last_mut().expect("one was pushed")
}

#[cfg(test)]
mod tests {
    use milena_storage::ids::PartitionIndex;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn what_lies_together_is_told_together() {
        let place = |directory, topic, partition| Place {
            directory: Uuid::from_u128(directory),
            topic: Uuid::from_u128(topic),
            partition: PartitionIndex(partition),
        };
        let told = grouped(&[place(1, 1, 0), place(1, 1, 2), place(1, 2, 0), place(2, 1, 1)]);
        let shape: Vec<Vec<usize>> =
            told.iter().map(|it| it.topics.iter().map(|topic| topic.partitions.len()).collect()).collect();
        assert_eq!(shape, [vec![2, 1], vec![1]]);
    }
}
