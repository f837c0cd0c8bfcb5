//! `kafka-topics --describe`: one line for a topic, one for each of its partitions.
//!
//! Must never print a partition that a report was not asked for.

use std::collections::BTreeMap;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::DescribeConfigsResourceResult;
use kafka_protocol::messages::describe_topic_partitions_request::{Cursor, TopicRequest};
use kafka_protocol::messages::list_partition_reassignments_request::ListPartitionReassignmentsTopics;
use kafka_protocol::messages::list_partition_reassignments_response::OngoingPartitionReassignment;
use kafka_protocol::messages::metadata_response::MetadataResponseTopic;
use kafka_protocol::messages::{
    BrokerId, DescribeConfigsRequest, DescribeTopicPartitionsRequest, ListPartitionReassignmentsRequest,
};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::{ensure, found, name_of, unread};
use crate::partition::disk::uuid_text;
use crate::tools::client::{At, Client, Refused, topic_name};
use crate::tools::console::Console;
use crate::tools::java;
use crate::tools::options::Options;

/// What `DescribeConfigs` calls topics, and the source of a value that nobody set.
const TOPIC_RESOURCE: i8 = 2;
const DEFAULT_CONFIG: i8 = 5;
const PARTITIONS_PER_ANSWER: i32 = 2000;

struct Topic {
    name: String,
    id: Uuid,
    partitions: Vec<Partition>,
}

struct Partition {
    index: i32,
    leader: BrokerId,
    replicas: Vec<BrokerId>,
    isr: Vec<BrokerId>,
    /// None where the broker does not say.
    elr: Option<Vec<BrokerId>>,
    last_known_elr: Option<Vec<BrokerId>>,
}

type Reassignments = BTreeMap<(String, i32), OngoingPartitionReassignment>;

pub(super) fn run(options: &Options, client: &mut Client, console: &mut Console) -> Result<(), Refused> {
    let topics = described(options, client)?;
    let mut configs = configs(&topics, client)?;
    let live: Vec<i32> = client.brokers()?.iter().map(|node| node.id).collect();
    let reassignments = reassignments(&topics, client)?;
    for topic in &topics {
        let config = configs.remove(&topic.name).unwrap_or_else(|| Ok(Vec::new()))?;
        let report = Report { options, config: &config, live: &live, reassignments: &reassignments };
        report.topic(topic, console);
    }
    Ok(())
}

fn described(options: &Options, client: &mut Client) -> Result<Vec<Topic>, Refused> {
    let id = options.value("topic-id").map_err(unread)?.map(parse_id).transpose()?.filter(|id| !id.is_nil());
    if let Some(id) = id {
        let mut topics = client.metadata(None, false)?;
        let internal = options.has("exclude-internal");
        topics.retain(|topic| topic.topic_id == id && !(internal && topic.is_internal));
        if topics.is_empty() && !options.has("if-exists") {
            let message = format!("TopicId '{}' does not exist as expected", uuid_text(id));
            return Err(Refused::own("java.lang.IllegalArgumentException", message));
        }
        return Ok(topics.iter().map(of_metadata).collect());
    }
    let topics = found(options, client)?;
    ensure(&topics, options)?;
    if topics.is_empty() {
        return Ok(Vec::new());
    }
    let limit = options.number("partition-size-limit-per-response").map_err(unread)?;
    let names: Vec<String> = topics.iter().map(name_of).collect();
    let count = names.len();
    let described = match partitions(&names, limit.unwrap_or(PARTITIONS_PER_ANSWER), client) {
        Err(refused) if refused.is(ResponseError::UnsupportedVersion) => {
            topics.iter().map(of_metadata).collect()
        }
        other => other?,
    };
    // Kafka's client puts them into one map, and the answer into another.
    let by_name = |topic: &Topic| java::hash_code(&topic.name);
    Ok(java::in_map_order(java::in_map_order(described, 16, by_name), count, by_name))
}

/// 16 bytes in base64 (`Uuid.fromString`).
fn parse_id(text: &str) -> Result<Uuid, Refused> {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let bytes = URL_SAFE_NO_PAD.decode(text).ok().and_then(|bytes| Uuid::from_slice(&bytes).ok());
    bytes.ok_or_else(|| {
        let what =
            if text.len() > 24 { "too long to be decoded as a base64 UUID" } else { "not a base64 UUID" };
        let message = format!("Input string with prefix `{}` is {what}", text.get(..24).unwrap_or(text));
        Refused::own("java.lang.IllegalArgumentException", message)
    })
}

fn of_metadata(topic: &MetadataResponseTopic) -> Topic {
    let partition =
        |partition: &kafka_protocol::messages::metadata_response::MetadataResponsePartition| Partition {
            index: partition.partition_index,
            leader: partition.leader_id,
            replicas: partition.replica_nodes.clone(),
            isr: partition.isr_nodes.clone(),
            elr: None,
            last_known_elr: None,
        };
    let mut partitions: Vec<Partition> = topic.partitions.iter().map(partition).collect();
    partitions.sort_by_key(|partition| partition.index);
    Topic { name: name_of(topic), id: topic.topic_id, partitions }
}

/// All partitions of these topics, page by page.
fn partitions(names: &[String], limit: i32, client: &mut Client) -> Result<Vec<Topic>, Refused> {
    let mut topics: BTreeMap<String, Topic> = BTreeMap::new();
    let mut cursor: Option<Cursor> = None;
    loop {
        let rest = names
            .iter()
            .filter(|name| cursor.as_ref().is_none_or(|at| at.topic_name.as_str() <= name.as_str()));
        let asked = rest.map(|name| TopicRequest::default().with_name(topic_name(name))).collect();
        let request = DescribeTopicPartitionsRequest::default()
            .with_topics(asked)
            .with_response_partition_limit(limit)
            .with_cursor(cursor);
        let answer = client.call(At::Any, "describeTopicPartitions", |_| request.clone())?;
        for found in answer.topics {
            Refused::check(found.error_code, None)?;
            let name = found.name.as_ref().map_or_else(String::new, |name| name.to_string());
            let empty = || Topic { name: name.clone(), id: found.topic_id, partitions: Vec::new() };
            let topic = topics.entry(name.clone()).or_insert_with(empty);
            topic.partitions.extend(found.partitions.into_iter().map(|partition| Partition {
                index: partition.partition_index,
                leader: partition.leader_id,
                replicas: partition.replica_nodes,
                isr: partition.isr_nodes,
                elr: partition.eligible_leader_replicas,
                last_known_elr: partition.last_known_elr,
            }));
        }
        let Some(next) = answer.next_cursor else { break };
        cursor = Some(
            Cursor::default().with_topic_name(next.topic_name).with_partition_index(next.partition_index),
        );
    }
    let mut topics: Vec<Topic> = topics.into_values().collect();
    topics.iter_mut().for_each(|topic| topic.partitions.sort_by_key(|partition| partition.index));
    Ok(topics)
}

type Described = Result<Vec<DescribeConfigsResourceResult>, Refused>;

fn configs(topics: &[Topic], client: &mut Client) -> Result<BTreeMap<String, Described>, Refused> {
    if topics.is_empty() {
        return Ok(BTreeMap::new());
    }
    let resource = |topic: &Topic| {
        DescribeConfigsResource::default()
            .with_resource_type(TOPIC_RESOURCE)
            .with_resource_name(StrBytes::from_string(topic.name.clone()))
            .with_configuration_keys(None)
    };
    let request = DescribeConfigsRequest::default().with_resources(topics.iter().map(resource).collect());
    let answer = client.call(At::Any, "describeConfigs", |_| request.clone())?;
    let described = answer.results.into_iter().map(|result| {
        let checked = Refused::check(result.error_code, result.error_message.as_deref());
        let by_name = |config: &DescribeConfigsResourceResult| java::hash_code(&config.name);
        let ordered = checked.map(|()| java::in_map_order(result.configs, 16, by_name));
        (result.resource_name.to_string(), ordered)
    });
    Ok(described.collect())
}

fn reassignments(topics: &[Topic], client: &mut Client) -> Result<Reassignments, Refused> {
    if topics.is_empty() {
        return Ok(Reassignments::new());
    }
    let asked = |topic: &Topic| {
        ListPartitionReassignmentsTopics::default()
            .with_name(topic_name(&topic.name))
            .with_partition_indexes(topic.partitions.iter().map(|partition| partition.index).collect())
    };
    let timeout = client.timeout_ms();
    let request = ListPartitionReassignmentsRequest::default()
        .with_timeout_ms(timeout)
        .with_topics(Some(topics.iter().map(asked).collect()));
    let codes =
        |answer: &kafka_protocol::messages::ListPartitionReassignmentsResponse| vec![answer.error_code];
    let answer = match client.call_controller("listPartitionReassignments", |_| request.clone(), codes) {
        // Nobody may tell: then nothing is said of them.
        Err(refused) if refused.is(ResponseError::UnsupportedVersion) => return Ok(Reassignments::new()),
        other => other?,
    };
    match Refused::of(answer.error_code, answer.error_message.as_deref()) {
        Some(refused) if refused.is(ResponseError::ClusterAuthorizationFailed) => {
            return Ok(Reassignments::new());
        }
        Some(refused) => return Err(refused),
        None => {}
    }
    let mut found = Reassignments::new();
    for topic in answer.topics {
        for partition in topic.partitions {
            found.insert((topic.name.to_string(), partition.partition_index), partition);
        }
    }
    Ok(found)
}

/// What is said of one topic.
struct Report<'a> {
    options: &'a Options,
    config: &'a [DescribeConfigsResourceResult],
    live: &'a [i32],
    reassignments: &'a Reassignments,
}

impl Report<'_> {
    fn topic(&self, topic: &Topic, console: &mut Console) {
        let has = |name| self.options.has(name);
        let reports_partitions = super::REPORTS.iter().any(|report| has(report));
        if !reports_partitions {
            let set: Vec<String> = self
                .config
                .iter()
                .filter(|config| config.config_source != DEFAULT_CONFIG)
                .map(|config| format!("{}={}", config.name, config.value.as_deref().unwrap_or("null")))
                .collect();
            if !has("topics-with-overrides") || !set.is_empty() {
                let id = if topic.id.is_nil() {
                    String::new()
                } else {
                    format!("\tTopicId: {}", uuid_text(topic.id))
                };
                console.say(format_args!(
                    "Topic: {}{id}\tPartitionCount: {}\tReplicationFactor: {}\tConfigs: {}",
                    topic.name,
                    topic.partitions.len(),
                    topic.partitions.first().map_or(0, |first| self.factor(topic, first)),
                    set.join(",")
                ));
            }
        }
        if has("topics-with-overrides") {
            return;
        }
        for partition in &topic.partitions {
            if !reports_partitions || self.is_reported(topic, partition) {
                console.say(self.line(topic, partition));
            }
        }
    }

    fn reassignment(&self, topic: &Topic, partition: &Partition) -> Option<&OngoingPartitionReassignment> {
        self.reassignments.get(&(topic.name.clone(), partition.index))
    }

    /// Replicas that there will be in the end, or that there were before (`getReplicationFactor`).
    fn factor(&self, topic: &Topic, partition: &Partition) -> usize {
        let under_way = self.reassignment(topic, partition).filter(|reassignment| {
            let mut changing = reassignment.removing_replicas.iter().chain(&reassignment.adding_replicas);
            changing.any(|broker| partition.replicas.contains(broker))
        });
        under_way.map_or(partition.replicas.len(), |reassignment| {
            reassignment.replicas.len().saturating_sub(reassignment.adding_replicas.len())
        })
    }

    fn is_reported(&self, topic: &Topic, partition: &Partition) -> bool {
        let has_leader = partition.leader.0 >= 0;
        let least = self.config.iter().find(|config| config.name.as_str() == "min.insync.replicas");
        let least: usize = least.and_then(|config| config.value.as_deref()?.parse().ok()).unwrap_or(1);
        let in_sync = partition.isr.len();
        super::REPORTS.iter().filter(|report| self.options.has(report)).any(|report| match *report {
            "under-replicated-partitions" => self.factor(topic, partition) > in_sync,
            "under-min-isr-partitions" => !has_leader || in_sync < least,
            "at-min-isr-partitions" => in_sync == least,
            _ => !has_leader || !self.live.contains(&partition.leader.0),
        })
    }

    fn line(&self, topic: &Topic, partition: &Partition) -> String {
        let leader = match partition.leader.0 {
            leader @ 0.. => leader.to_string(),
            _ => "none".to_owned(),
        };
        let reassigned = self.reassignment(topic, partition).map(|reassignment| {
            let (adding, removing) =
                (ids(&reassignment.adding_replicas), ids(&reassignment.removing_replicas));
            format!("\tAdding Replicas: {adding}\tRemoving Replicas: {removing}")
        });
        let eligible =
            |brokers: &Option<Vec<BrokerId>>| brokers.as_deref().map_or_else(|| "N/A".to_owned(), ids);
        format!(
            "\tTopic: {}\tPartition: {}\tLeader: {leader}\tReplicas: {}\tIsr: {}{}\tElr: {}\tLastKnownElr: {}",
            topic.name,
            partition.index,
            ids(&partition.replicas),
            ids(&partition.isr),
            reassigned.unwrap_or_default(),
            eligible(&partition.elr),
            eligible(&partition.last_known_elr)
        )
    }
}

fn ids(brokers: &[BrokerId]) -> String {
    brokers.iter().map(|broker| broker.0.to_string()).collect::<Vec<_>>().join(",")
}
