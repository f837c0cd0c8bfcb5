//! The names of kafka_exporter (danielqsj), so that no exporter has to run beside the broker.
//!
//! Must never tell of a partition twice in a cluster: its leader tells, and the controller of those without one.

use std::collections::BTreeMap;
use std::sync::Arc;

use milena_coordinator::image::{MetadataImage, PartitionImage, TopicImage};

use super::groups::Group;
use super::page::Page;
use crate::partition::Partition;
use crate::state::BrokerState;

pub(super) fn write(state: &BrokerState, groups: &[Group], page: &mut Page) {
    let image = state.image.load_full();
    cluster(state, &image, page);
    partitions(state, &image, page);
    of_groups(groups, page);
}

fn cluster(state: &BrokerState, image: &MetadataImage, page: &mut Page) {
    if image.controller == Some(state.id) {
        page.gauge("kafka_brokers", "Brokers of the cluster.").sample(&[], image.brokers.len());
        let mut family = page.gauge("kafka_broker_info", "Where each broker is.");
        for broker in image.brokers.values() {
            let address = broker.endpoints.first().map(|at| format!("{}:{}", at.host, at.port));
            let id = broker.id.0.to_string();
            family.sample(&[("id", &id), ("address", address.as_deref().unwrap_or_default())], 1);
        }
        let mut family = page.gauge("kafka_topic_partitions", "Partitions of the topic.");
        for topic in image.topics() {
            family.sample(&[("topic", &topic.name)], topic.partitions.len());
        }
    }
}

/// What the image and the log say of one partition.
struct Told<'a> {
    topic: &'a TopicImage,
    image: &'a PartitionImage,
    index: String,
    log: Option<Arc<Partition>>,
}

fn partitions(state: &BrokerState, image: &MetadataImage, page: &mut Page) {
    let controls = image.controller == Some(state.id);
    let all = image.topics().flat_map(|topic| topic.partitions.iter().map(move |each| (topic, each)));
    let told: Vec<Told<'_>> = all
        .filter(|(_, each)| each.leader == Some(state.id) || (controls && each.leader.is_none()))
        .map(|(topic, image)| Told {
            topic,
            image,
            index: image.index.0.to_string(),
            log: image.leader.and_then(|_| state.partitions.get(&topic.name, image.index.0)),
        })
        .collect();
    type Value = fn(&Told<'_>) -> Option<i64>;
    let count = |length: usize| i64::try_from(length).unwrap_or(i64::MAX);
    let families: [(&'static str, &str, Value); 6] = [
        ("kafka_topic_partition_current_offset", "The partition's high watermark.", |told| {
            told.log.as_ref().map(|log| log.high_watermark().0)
        }),
        ("kafka_topic_partition_oldest_offset", "The first offset of the partition's log.", |told| {
            told.log.as_ref().map(|log| log.log_start_offset().0)
        }),
        ("kafka_topic_partition_leader", "The broker that leads; -1 for none.", |told| {
            Some(told.image.leader.map_or(-1, |leader| leader.0.into()))
        }),
        ("kafka_topic_partition_leader_is_preferred", "Whether the first replica leads.", |told| {
            Some(i64::from(
                told.image.leader.is_some() && told.image.leader == told.image.replicas.first().copied(),
            ))
        }),
        ("kafka_topic_partition_under_replicated_partition", "Whether replicas are not in sync.", |told| {
            Some(i64::from(told.image.isr.len() < told.image.replicas.len()))
        }),
        ("kafka_topic_partition_replicas", "Replicas.", |told| i64::try_from(told.image.replicas.len()).ok()),
    ];
    for (name, help, value) in families {
        let mut family = page.gauge(name, help);
        for each in &told {
            if let Some(value) = value(each) {
                family.sample(&[("topic", &each.topic.name), ("partition", &each.index)], value);
            }
        }
    }
    let mut family = page.gauge("kafka_topic_partition_in_sync_replica", "Replicas in sync.");
    for each in &told {
        family
            .sample(&[("topic", &each.topic.name), ("partition", &each.index)], count(each.image.isr.len()));
    }
}

fn of_groups(groups: &[Group], page: &mut Page) {
    let mut family = page.gauge("kafka_consumergroup_members", "Members of the group.");
    groups.iter().for_each(|group| family.sample(&[("consumergroup", &group.name)], group.members));
    type Value = fn(&super::groups::Commit) -> Option<i64>;
    let families: [(&'static str, &'static str, &str, Value); 2] = [
        (
            "kafka_consumergroup_current_offset",
            "kafka_consumergroup_current_offset_sum",
            "What the group has committed.",
            |commit| Some(commit.offset),
        ),
        (
            "kafka_consumergroup_lag",
            "kafka_consumergroup_lag_sum",
            "How far that is behind the partition's high watermark.",
            // Committed ahead of a log that was cut: nothing is left to read.
            |commit| commit.end.map(|end| (end - commit.offset).max(0)),
        ),
    ];
    for (name, sum, help, value) in families {
        let mut family = page.gauge(name, help);
        let mut sums: BTreeMap<(&str, &str), i64> = BTreeMap::new();
        for group in groups {
            for ((topic, partition), commit) in &group.commits {
                let Some(value) = value(commit) else { continue };
                let partition = partition.to_string();
                let labels =
                    [("consumergroup", group.name.as_str()), ("topic", topic), ("partition", &partition)];
                family.sample(&labels, value);
                *sums.entry((&group.name, topic)).or_default() += value;
            }
        }
        let mut family = page.gauge(sum, help);
        for ((group, topic), sum) in sums {
            family.sample(&[("consumergroup", group), ("topic", topic)], sum);
        }
    }
}
