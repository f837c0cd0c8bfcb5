//! The decoder against the schema's own encoder.

use bytes::BytesMut;
use kafka_protocol::messages::fetch_request::{
    FetchPartition as WirePartition, FetchTopic as WireTopic, ForgottenTopic as WireForgotten, ReplicaState,
};
use kafka_protocol::messages::{self, BrokerId, TopicName};
use kafka_protocol::protocol::Encodable;
use proptest::prelude::*;

use super::*;

fn topic_refs() -> impl Strategy<Value = TopicRef> {
    ("[a-z]{1,20}", any::<u128>())
        .prop_map(|(name, id)| TopicRef { name: StrBytes::from_string(name), id: Uuid::from_u128(id) })
}

fn partitions() -> impl Strategy<Value = FetchPartition> {
    let numbers = (any::<i32>(), any::<i32>(), any::<i64>(), any::<i32>(), any::<i64>(), any::<i32>());
    (numbers, any::<u128>(), prop::option::of(any::<i64>())).prop_map(|(numbers, directory, watermark)| {
        FetchPartition {
            index: numbers.0,
            current_leader_epoch: numbers.1,
            fetch_offset: numbers.2,
            last_fetched_epoch: numbers.3,
            log_start_offset: numbers.4,
            max_bytes: numbers.5,
            directory_id: Uuid::from_u128(directory),
            high_watermark: watermark.unwrap_or(NO_HIGH_WATERMARK),
        }
    })
}

fn requests() -> impl Strategy<Value = FetchRequest> {
    let topic = (topic_refs(), prop::collection::vec(partitions(), 0..4))
        .prop_map(|(topic, partitions)| FetchTopic { topic, partitions });
    let forgotten = (topic_refs(), prop::collection::vec(any::<i32>(), 0..4))
        .prop_map(|(topic, partitions)| ForgottenTopic { topic, partitions });
    let texts = (prop::option::of("[a-z]{0,9}"), "[a-z]{0,9}");
    let topics = (prop::collection::vec(topic, 0..4), prop::collection::vec(forgotten, 0..3));
    let limits = (any::<i32>(), any::<i32>(), any::<i32>(), any::<i8>());
    let ids = (any::<i32>(), any::<i64>(), any::<i32>(), any::<i32>());
    (texts, topics, limits, ids).prop_map(|(texts, topics, limits, ids)| FetchRequest {
        cluster_id: texts.0.map(StrBytes::from_string),
        replica_id: ids.0,
        replica_epoch: ids.1,
        max_wait_ms: limits.0,
        min_bytes: limits.1,
        max_bytes: limits.2,
        isolation_level: limits.3,
        session_id: ids.2,
        session_epoch: ids.3,
        topics: topics.0,
        forgotten: topics.1,
        rack_id: StrBytes::from_string(texts.1),
    })
}

/// What is left of a request at a version: fields that the version lacks have their defaults.
fn at_version(mut request: FetchRequest, version: i16) -> FetchRequest {
    if version < 7 {
        request.session_id = 0;
        request.session_epoch = -1;
        request.forgotten.clear();
    }
    if version < 11 {
        request.rack_id = StrBytes::new();
    }
    if version < FLEXIBLE {
        request.cluster_id = None;
    }
    if version < REPLICA_STATE {
        request.replica_epoch = -1;
    }
    let refs = request.topics.iter_mut().map(|topic| &mut topic.topic);
    for topic in refs.chain(request.forgotten.iter_mut().map(|topic| &mut topic.topic)) {
        if version < TOPIC_IDS { topic.id = Uuid::nil() } else { topic.name = StrBytes::new() }
    }
    for partition in request.topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
        if version < 5 {
            partition.log_start_offset = -1;
        }
        if version < 9 {
            partition.current_leader_epoch = -1;
        }
        if version < FLEXIBLE {
            partition.last_fetched_epoch = -1;
        }
        if version < 17 {
            partition.directory_id = Uuid::nil();
        }
        if version < 18 {
            partition.high_watermark = NO_HIGH_WATERMARK;
        }
    }
    request
}

fn theirs(request: &FetchRequest, version: i16) -> messages::FetchRequest {
    let topics = request.topics.iter().map(|topic| {
        WireTopic::default()
            .with_topic(TopicName(topic.topic.name.clone()))
            .with_topic_id(topic.topic.id)
            .with_partitions(topic.partitions.iter().map(their_partition).collect())
    });
    let forgotten = request.forgotten.iter().map(|topic| {
        WireForgotten::default()
            .with_topic(TopicName(topic.topic.name.clone()))
            .with_topic_id(topic.topic.id)
            .with_partitions(topic.partitions.clone())
    });
    let common = messages::FetchRequest::default()
        .with_cluster_id(request.cluster_id.clone())
        .with_max_wait_ms(request.max_wait_ms)
        .with_min_bytes(request.min_bytes)
        .with_max_bytes(request.max_bytes)
        .with_isolation_level(request.isolation_level)
        .with_session_id(request.session_id)
        .with_session_epoch(request.session_epoch)
        .with_topics(topics.collect())
        .with_forgotten_topics_data(forgotten.collect())
        .with_rack_id(request.rack_id.clone());
    if version < REPLICA_STATE {
        return common.with_replica_id(BrokerId(request.replica_id));
    }
    common.with_replica_state(
        ReplicaState::default()
            .with_replica_id(BrokerId(request.replica_id))
            .with_replica_epoch(request.replica_epoch),
    )
}

fn their_partition(partition: &FetchPartition) -> WirePartition {
    WirePartition::default()
        .with_partition(partition.index)
        .with_current_leader_epoch(partition.current_leader_epoch)
        .with_fetch_offset(partition.fetch_offset)
        .with_last_fetched_epoch(partition.last_fetched_epoch)
        .with_log_start_offset(partition.log_start_offset)
        .with_partition_max_bytes(partition.max_bytes)
        .with_replica_directory_id(partition.directory_id)
        .with_high_watermark(partition.high_watermark)
}

fn encoded(request: &FetchRequest, version: i16) -> Bytes {
    let mut bytes = BytesMut::new();
    theirs(request, version).encode(&mut bytes, version).unwrap();
    bytes.freeze()
}

proptest! {
    #[test]
    fn what_the_schema_encodes_is_read(request in requests(), version in 4i16..=18) {
        let request = at_version(request, version);
        prop_assert_eq!(<FetchRequest as Ask>::decode(encoded(&request, version), version), Ok(request));
    }

    #[test]
    fn a_truncated_body_is_an_error(request in requests(), version in 4i16..=18, cut in any::<prop::sample::Index>()) {
        let bytes = encoded(&at_version(request, version), version);
        let cut = bytes.slice(..cut.index(bytes.len()));
        prop_assert!(<FetchRequest as Ask>::decode(cut, version).is_err());
    }
}
