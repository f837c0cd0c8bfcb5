//! Refused reads: offsets, epochs, sessions.

use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use kafka_protocol::messages::{
    BrokerId, DeleteRecordsRequest, FetchRequest, FetchResponse, ListOffsetsRequest, MetadataRequest,
    OffsetForLeaderEpochRequest,
};
use milena_compat_tests::Server;
use uuid::Uuid;

use crate::topics::create_with;
use crate::{compare, topic_name};

fn filled(server: &Server, name: &str) {
    create_with(server, name, &[]);
    server.tool("kafka-console-producer").args(["--topic", name]).input("a\nb\nc\n").ok();
}

fn fetch(name: &str, partition: FetchPartition) -> FetchRequest {
    let topic = FetchTopic::default().with_topic(topic_name(name)).with_partitions(vec![partition]);
    FetchRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_max_wait_ms(0)
        .with_min_bytes(1)
        .with_max_bytes(1_000_000)
        .with_session_epoch(-1)
        .with_topics(vec![topic])
}

/// The answer to a fetch. No list of aborted transactions and an empty one say the same, and Kafka sends either.
fn fetched(server: &Server, version: i16, request: &FetchRequest) -> FetchResponse {
    let mut answer = server.wire().call(version, request);
    for partition in answer.responses.iter_mut().flat_map(|topic| &mut topic.partitions) {
        partition.aborted_transactions.get_or_insert_default();
    }
    answer
}

fn position(partition: i32, offset: i64, epoch: i32) -> FetchPartition {
    FetchPartition::default()
        .with_partition(partition)
        .with_fetch_offset(offset)
        .with_current_leader_epoch(epoch)
        .with_partition_max_bytes(1_000_000)
}

#[test]
fn positions_that_cannot_be_read() {
    compare(|server, answers| {
        filled(server, "read");
        for (case, name, place) in [
            ("beyond the end", "read", position(0, 4, -1)),
            ("before the start", "read", position(0, -1, -1)),
            ("at the end", "read", position(0, 3, -1)),
            ("an unknown topic", "unread", position(0, 0, -1)),
            ("an unknown partition", "read", position(8, 0, -1)),
            ("an epoch ahead", "read", position(0, 0, 5)),
        ] {
            answers.note(case, fetched(server, 12, &fetch(name, place)));
        }
        let unknown =
            FetchTopic::default().with_topic_id(Uuid::from_u128(9)).with_partitions(vec![position(0, 0, -1)]);
        let by_id = fetch("read", position(0, 0, -1)).with_topics(vec![unknown]);
        answers.note("an unknown id", fetched(server, 16, &by_id));
        let session = fetch("read", position(0, 0, -1)).with_session_id(4242).with_session_epoch(3);
        answers.note("an unknown session", fetched(server, 12, &session));
    });
}

#[test]
fn offsets_that_are_not_known() {
    compare(|server, answers| {
        filled(server, "listed");
        let list = |name: &str, partition: i32, epoch: i32, timestamp: i64| {
            let place = ListOffsetsPartition::default()
                .with_partition_index(partition)
                .with_current_leader_epoch(epoch)
                .with_timestamp(timestamp);
            let topic = ListOffsetsTopic::default().with_name(topic_name(name)).with_partitions(vec![place]);
            let request =
                ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_topics(vec![topic]);
            server.wire().call(10, &request)
        };
        answers.note("an unknown topic", list("unlisted", 0, -1, -1));
        answers.note("an unknown partition", list("listed", 3, -1, -1));
        answers.note("an epoch ahead", list("listed", 0, 9, -1));
        answers.note("a future time", list("listed", 0, -1, 9_000_000_000_000_000));
        answers.note("latest", list("listed", 0, 0, -1));
        answers.note("earliest", list("listed", 0, 0, -2));
        answers.note("earliest local", list("listed", 0, 0, -4));
        answers.note("latest tiered", list("listed", 0, 0, -5));
        answers.note("an unknown kind", list("listed", 0, 0, -60));

        let delete = |name: &str, partition: i32, offset: i64| {
            let place = DeleteRecordsPartition::default().with_partition_index(partition).with_offset(offset);
            let topic =
                DeleteRecordsTopic::default().with_name(topic_name(name)).with_partitions(vec![place]);
            server
                .wire()
                .call(2, &DeleteRecordsRequest::default().with_timeout_ms(3000).with_topics(vec![topic]))
        };
        answers.note("deleting beyond the end", delete("listed", 0, 4));
        answers.note("deleting before the start", delete("listed", 0, -7));
        answers.note("deleting in an unknown topic", delete("unlisted", 0, 1));
        answers.note("deleting in an unknown partition", delete("listed", 5, 1));
        create_with(server, "kept-by-key", &[("cleanup.policy", "compact")]);
        answers.note("deleting in a compacted topic", delete("kept-by-key", 0, 0));
        answers.note("deleting two", delete("listed", 0, 2));
        answers.note("deleting one again", delete("listed", 0, 1));
        answers.note("reading what was deleted", fetched(server, 12, &fetch("listed", position(0, 1, -1))));

        let epoch = |name: &str, partition: i32, current: i32, asked: i32| {
            let place = OffsetForLeaderPartition::default()
                .with_partition(partition)
                .with_current_leader_epoch(current)
                .with_leader_epoch(asked);
            let topic =
                OffsetForLeaderTopic::default().with_topic(topic_name(name)).with_partitions(vec![place]);
            let request =
                OffsetForLeaderEpochRequest::default().with_replica_id(BrokerId(-1)).with_topics(vec![topic]);
            server.wire().call(4, &request)
        };
        answers.note("the epoch of now", epoch("listed", 0, 0, 0));
        answers.note("an epoch to come", epoch("listed", 0, 0, 6));
        answers.note("a current epoch ahead", epoch("listed", 0, 6, 0));
        answers.note("no epoch", epoch("listed", 0, -1, -1));
        answers.note("an epoch of an unknown topic", epoch("unlisted", 0, 0, 0));
    });
}

#[test]
fn topics_that_metadata_does_not_know() {
    compare(|server, answers| {
        create_with(server, "known", &[]);
        let long = "n".repeat(250);
        for name in ["unknown", "a b", "", "..", &long] {
            let topic = MetadataRequestTopic::default().with_name(Some(topic_name(name)));
            let request = MetadataRequest::default()
                .with_topics(Some(vec![topic]))
                .with_allow_auto_topic_creation(false);
            answers.note(&format!("the name {name:?}"), server.wire().call(12, &request).topics);
        }
        let topic = MetadataRequestTopic::default().with_name(None).with_topic_id(Uuid::from_u128(3));
        let request =
            MetadataRequest::default().with_topics(Some(vec![topic])).with_allow_auto_topic_creation(false);
        answers.note("an unknown id", server.wire().call(12, &request).topics);
        answers.note(
            "no topic",
            server.wire().call(12, &MetadataRequest::default().with_topics(Some(vec![]))).topics,
        );
    });
}
