//! AlterReplicaLogDirs: 34, v1–2. Moves replicas between the log directories of this broker (KIP-113).
//!
//! Behaviour (`ReplicaManager.alterReplicaLogDirs`): the answer says that a move has begun, not that it has ended; DescribeLogDirs
//! tells how far it is. Another directory takes the place of the first, the present one ends the move. A path that is no log
//! directory is LOG_DIR_NOT_FOUND, one that failed KAFKA_STORAGE_ERROR, a cordoned one INVALID_REPLICA_ASSIGNMENT; a replica that is
//! not here is REPLICA_NOT_AVAILABLE and will be made in that directory when it comes.
//! Versions: 2 flexible.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::alter_replica_log_dirs_response::{
    AlterReplicaLogDirPartitionResult, AlterReplicaLogDirTopicResult,
};
use kafka_protocol::messages::{AlterReplicaLogDirsRequest, AlterReplicaLogDirsResponse};
use kafka_protocol::protocol::StrBytes;
use milena_storage::ids::TopicPartition;

use super::{Cx, Outcome};
use crate::blocking;

pub const VERSIONS: RangeInclusive<i16> = 1..=2;

pub fn handle(cx: &Cx<'_>, request: AlterReplicaLogDirsRequest) -> Outcome<AlterReplicaLogDirsResponse> {
    let wanted = wanted(&request);
    let (broker, image, now) = (cx.broker.clone(), cx.image.clone(), cx.now);
    Outcome::later(async move {
        let partitions: Vec<_> = wanted.keys().cloned().collect();
        let asked = blocking::spawn(move || {
            let ask = |(name, dir): (&TopicPartition, &StrBytes)| {
                let asked = broker.partitions.ask_for_dir(&image, name, dir, now);
                asked.map_or_else(
                    |error| {
                        tracing::warn!(partition = %name, dir = %dir, %error, "a replica's directory is not changed");
                        error.code()
                    },
                    |()| 0,
                )
            };
            wanted.iter().map(ask).collect::<Vec<_>>()
        });
        // The pool refuses work only while the broker stops.
        let unknown = ResponseError::UnknownServerError.code();
        let codes = asked.await.unwrap_or_else(|_| vec![unknown; partitions.len()]);
        response(partitions, codes)
    })
}

/// The directory that each partition is to have; the last word counts.
fn wanted(request: &AlterReplicaLogDirsRequest) -> BTreeMap<TopicPartition, StrBytes> {
    let mut wanted = BTreeMap::new();
    for dir in &request.dirs {
        for topic in &dir.topics {
            for partition in &topic.partitions {
                wanted.insert(TopicPartition::new(topic.name.as_str(), *partition), dir.path.clone());
            }
        }
    }
    wanted
}

fn response(partitions: Vec<TopicPartition>, codes: Vec<i16>) -> AlterReplicaLogDirsResponse {
    let mut results: Vec<AlterReplicaLogDirTopicResult> = Vec::new();
    for (name, code) in partitions.into_iter().zip(codes) {
        let result = AlterReplicaLogDirPartitionResult::default()
            .with_partition_index(name.partition.0)
            .with_error_code(code);
        match results.last_mut() {
            Some(topic) if topic.topic_name.as_str() == name.topic => topic.partitions.push(result),
            _ => results.push(
                AlterReplicaLogDirTopicResult::default()
                    .with_topic_name(StrBytes::from_string(name.topic).into())
                    .with_partitions(vec![result]),
            ),
        }
    }
    AlterReplicaLogDirsResponse::default().with_results(results)
}
