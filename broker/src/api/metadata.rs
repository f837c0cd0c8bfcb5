//! Metadata: 3, v0–13. Brokers, and topics with their leaders, as the caller's listener sees them.
//!
//! Behaviour: null topics are all of them, and in v0 an empty list too; an unknown topic is
//! UNKNOWN_TOPIC_OR_PARTITION even while it is being created on demand, and the client asks again
//! (AutoTopicCreationManager). The controller named is any live broker.
//! Versions: 1 controller and rack, 4 allow_auto_topic_creation, 5 offline replicas, 6 LISTENER_NOT_FOUND, 8 authorized
//! operations, 9 flexible, 10 topic ids in answers, 11 no cluster operations, 12 look-up by topic id, 13 error code.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{MetadataRequest, MetadataResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use milena_coordinator::controller::check_topic_name;
use milena_coordinator::image::{TopicImage, is_internal_topic};
use uuid::Uuid;

use super::operations;
use super::partition_view::{Strictness, View, controller, wire};
use super::{Cx, Outcome};

pub const VERSIONS: RangeInclusive<i16> = 0..=13;

pub fn handle(cx: &Cx<'_>, request: MetadataRequest) -> Outcome<MetadataResponse> {
    let asked = request.topics.as_deref().filter(|topics| cx.version > 0 || !topics.is_empty());
    if cx.version < 12 && asked.is_some_and(|topics| topics.iter().any(by_id_or_nothing)) {
        return refuse(&request, ResponseError::InvalidRequest).into();
    }
    let mut topics = match asked {
        None => cx.image.topics().filter_map(|topic| known(cx, topic)).collect(),
        Some(topics) if topics.iter().any(|topic| !topic.topic_id.is_nil()) => by_id(cx, topics),
        Some(topics) => by_name(cx, topics, request.allow_auto_topic_creation),
    };
    if cx.version >= 8 && request.include_topic_authorized_operations {
        // Kafka knows no operations of a topic whose id nobody knows.
        for topic in topics.iter_mut().filter(|topic| topic.name.is_some()) {
            topic.topic_authorized_operations = operations::TOPIC;
        }
    }
    let asks_cluster = (8..=10).contains(&cx.version) && request.include_cluster_authorized_operations;
    MetadataResponse::default()
        .with_brokers(brokers(cx))
        .with_cluster_id(Some(StrBytes::from_string(cx.image.cluster_id.to_string())))
        .with_controller_id(controller(&cx.image))
        .with_topics(topics)
        .with_cluster_authorized_operations(if asks_cluster {
            operations::CLUSTER
        } else {
            operations::NOT_ASKED
        })
        .into()
}

/// The answer when the request as a whole is refused.
pub fn refuse(request: &MetadataRequest, code: ResponseError) -> MetadataResponse {
    let topics = request.topics.iter().flatten().map(|topic| {
        MetadataResponseTopic::default()
            // Most versions cannot say that there is no name.
            .with_name(Some(topic.name.clone().unwrap_or_default()))
            .with_topic_id(topic.topic_id)
            .with_error_code(code.code())
    });
    MetadataResponse::default().with_topics(topics.collect()).with_error_code(code.code())
}

/// Before v12 the schema has room for neither, but a topic without a name got through in v10 and v11.
fn by_id_or_nothing(topic: &MetadataRequestTopic) -> bool {
    topic.name.is_none() || !topic.topic_id.is_nil()
}

fn brokers(cx: &Cx<'_>) -> Vec<MetadataResponseBroker> {
    let live = cx.image.brokers.values().filter(|broker| !broker.fenced);
    live.filter_map(|broker| {
        let endpoint = broker.endpoint(&cx.caller.listener)?;
        Some(
            MetadataResponseBroker::default()
                .with_node_id(wire(&broker.id))
                .with_host(StrBytes::from_string(endpoint.host.clone()))
                .with_port(i32::from(endpoint.port))
                .with_rack(broker.rack.clone().map(StrBytes::from_string)),
        )
    })
    .collect()
}

fn by_id(cx: &Cx<'_>, asked: &[MetadataRequestTopic]) -> Vec<MetadataResponseTopic> {
    let ids: BTreeSet<Uuid> = asked.iter().map(|topic| topic.topic_id).filter(|id| !id.is_nil()).collect();
    let answer = |id: Uuid| match cx.image.topic_by_id(id) {
        Some(topic) => known(cx, topic),
        None => Some(
            MetadataResponseTopic::default()
                .with_name(None)
                .with_topic_id(id)
                .with_error_code(ResponseError::UnknownTopicId.code()),
        ),
    };
    ids.into_iter().filter_map(answer).collect()
}

fn by_name(cx: &Cx<'_>, asked: &[MetadataRequestTopic], may_create: bool) -> Vec<MetadataResponseTopic> {
    let mut seen = BTreeSet::new();
    let names =
        asked.iter().filter_map(|topic| topic.name.as_ref()).filter(|name| seen.insert(name.as_str()));
    let mut unknown = Vec::new();
    let mut topics = Vec::with_capacity(asked.len());
    for name in names {
        match cx.image.topic(name).and_then(|topic| known(cx, topic)) {
            Some(topic) => topics.push(topic),
            None => {
                unknown.push(name.as_str());
                topics.push(missing(name));
            }
        }
    }
    if !unknown.is_empty()
        && may_create
        && cx.broker.settings.load().topic_defaults().auto_create
        && let Ok(quorum) = cx.broker.quorum()
    {
        quorum.auto_create(unknown.into_iter());
    }
    topics
}

fn missing(name: &TopicName) -> MetadataResponseTopic {
    let code = match check_topic_name(name) {
        Ok(()) => ResponseError::UnknownTopicOrPartition,
        Err(refusal) => refusal.code,
    };
    MetadataResponseTopic::default()
        .with_name(Some(name.clone()))
        .with_error_code(code.code())
        .with_is_internal(is_internal_topic(name))
}

/// `None` for a topic that has no partition yet: Kafka does not show it.
fn known(cx: &Cx<'_>, topic: &TopicImage) -> Option<MetadataResponseTopic> {
    let strict = Strictness { missing_replicas: cx.version == 0, missing_listener: cx.version >= 6 };
    let lost = cx.broker.partitions.lost(topic);
    let partitions: Vec<_> = topic
        .partitions
        .iter()
        .map(|partition| {
            let lost = lost.contains(&partition.index).then_some(cx.broker.id);
            let view = View::of(&cx.image, &cx.caller.listener, partition, lost, strict);
            MetadataResponsePartition::default()
                .with_error_code(view.error.map_or(0, |error| error.code()))
                .with_partition_index(partition.index.0)
                .with_leader_id(view.leader)
                .with_leader_epoch(partition.leader_epoch.0)
                .with_replica_nodes(view.replicas)
                .with_isr_nodes(view.isr)
                .with_offline_replicas(view.offline)
        })
        .collect();
    (!partitions.is_empty()).then(|| {
        MetadataResponseTopic::default()
            .with_name(Some(StrBytes::from_string(topic.name.to_string()).into()))
            .with_topic_id(topic.id)
            .with_is_internal(topic.is_internal())
            .with_partitions(partitions)
    })
}

#[cfg(test)]
#[path = "metadata/tests.rs"]
mod tests;
