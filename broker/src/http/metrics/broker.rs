//! The names that the JMX exporter makes of Kafka's beans by Strimzi's rules, as far as there is something to tell.
//!
//! Must never invent a value: families without one are left out (no `jvm_*`, no idle ratios of pools that do not exist).

use std::collections::BTreeMap;
use std::sync::Arc;

use milena_coordinator::image::{Configs, MetadataImage};
use milena_storage::ids::BrokerId;

use super::super::Port;
use super::page::Page;
use crate::api::TABLE;
use crate::partition::Partition;
use crate::partition::traffic::{Count, Traffic};
use crate::state::BrokerState;

/// Each count with its family.
const TRAFFIC: [(Count, &str, &str); 7] = [
    (Count::MessagesIn, "kafka_server_brokertopicmetrics_messagesin_total", "Records appended."),
    (Count::BytesIn, "kafka_server_brokertopicmetrics_bytesin_total", "Bytes of batches appended."),
    (Count::BytesOut, "kafka_server_brokertopicmetrics_bytesout_total", "Bytes of batches fetched."),
    (
        Count::Produces,
        "kafka_server_brokertopicmetrics_totalproducerequests_total",
        "Partitions produced to, by request.",
    ),
    (
        Count::FailedProduces,
        "kafka_server_brokertopicmetrics_failedproducerequests_total",
        "Of these, the failed ones.",
    ),
    (
        Count::Fetches,
        "kafka_server_brokertopicmetrics_totalfetchrequests_total",
        "Partitions fetched from, by request.",
    ),
    (
        Count::FailedFetches,
        "kafka_server_brokertopicmetrics_failedfetchrequests_total",
        "Of these, the failed ones.",
    ),
];

pub(super) fn write(port: &Port, page: &mut Page) {
    let state = &port.state;
    let image = state.image.load_full();
    let mut partitions = state.partitions.all();
    partitions.sort_by(|a, b| a.name.cmp(&b.name));
    traffic(&partitions, &state.partitions.past, page);
    replicas(state, &image, &partitions, page);
    logs(&partitions, page);
    controller(state, &image, page);
    quorum(state, page);
    requests(port, page);
    cleaner(state, page);
}

fn traffic(partitions: &[Arc<Partition>], past: &Traffic, page: &mut Page) {
    let mut topics: BTreeMap<&str, Vec<&Traffic>> = BTreeMap::new();
    for partition in partitions {
        topics.entry(&partition.name.topic).or_default().push(&partition.traffic);
    }
    for (what, name, help) in TRAFFIC {
        let mut family = page.counter(name, help);
        let all: u64 = partitions.iter().map(|partition| partition.traffic.of(what)).sum();
        family.sample(&[], all + past.of(what));
        for (topic, of_it) in &topics {
            family.sample(&[("topic", topic)], of_it.iter().map(|traffic| traffic.of(what)).sum::<u64>());
        }
    }
}

fn replicas(state: &BrokerState, image: &MetadataImage, partitions: &[Arc<Partition>], page: &mut Page) {
    page.gauge("kafka_server_replicamanager_partitioncount", "Partitions on this broker.")
        .sample(&[], partitions.len());
    let led = led(image, state.id);
    page.gauge("kafka_server_replicamanager_leadercount", "Partitions that this broker leads.")
        .sample(&[], led.len());
    let under = led.iter().filter(|each| each.in_sync < each.replicas).count();
    page.gauge(
        "kafka_server_replicamanager_underreplicatedpartitions",
        "Of these, those with replicas that are not in sync.",
    )
    .sample(&[], under);
    let settings = state.settings.load();
    let nothing = Configs::new();
    let least = |topic: &str| {
        let wanted = settings.topic(image.topic_config(topic).unwrap_or(&nothing)).min_insync_replicas;
        usize::try_from(wanted).unwrap_or(1)
    };
    let minimum: Vec<(&Led<'_>, usize)> = led.iter().map(|each| (each, least(each.topic))).collect();
    let below = minimum.iter().filter(|(each, least)| each.in_sync < *least).count();
    page.gauge(
        "kafka_server_replicamanager_underminisrpartitioncount",
        "Of these, those with fewer in sync than min.insync.replicas.",
    )
    .sample(&[], below);
    type Holds = fn(usize, usize) -> bool;
    let families: [(&str, &str, Holds); 2] = [
        (
            "kafka_cluster_partition_underminisr",
            "Fewer are in sync than min.insync.replicas.",
            |have, least| have < least,
        ),
        ("kafka_cluster_partition_atminisr", "Just min.insync.replicas are in sync.", |have, least| {
            have == least
        }),
    ];
    for (name, help, holds) in families {
        let mut family = page.gauge(name, help);
        for (each, least) in &minimum {
            let labels = [("topic", each.topic), ("partition", each.partition.as_str())];
            family.sample(&labels, u8::from(holds(each.in_sync, *least)));
        }
    }
}

/// A partition that this broker leads.
struct Led<'a> {
    topic: &'a str,
    partition: String,
    replicas: usize,
    in_sync: usize,
}

fn led(image: &MetadataImage, broker: BrokerId) -> Vec<Led<'_>> {
    let partitions = image.topics().flat_map(|topic| topic.partitions.iter().map(move |each| (topic, each)));
    let led = partitions.filter(|(_, partition)| partition.leader == Some(broker));
    led.map(|(topic, partition)| Led {
        topic: &topic.name,
        partition: partition.index.0.to_string(),
        replicas: partition.replicas.len(),
        in_sync: partition.isr.len(),
    })
    .collect()
}

fn logs(partitions: &[Arc<Partition>], page: &mut Page) {
    type Value = fn(&Partition) -> i64;
    let families: [(&str, &str, Value); 3] = [
        ("kafka_log_log_size", "Bytes of the partition's log.", |log| {
            i64::try_from(log.size()).unwrap_or(i64::MAX)
        }),
        ("kafka_log_log_logstartoffset", "First offset of the partition's log.", |log| {
            log.log_start_offset().0
        }),
        ("kafka_log_log_logendoffset", "Next offset of the partition's log.", |log| log.log_end_offset().0),
    ];
    for (name, help, value) in families {
        let mut family = page.gauge(name, help);
        for partition in partitions {
            let index = partition.name.partition.0.to_string();
            family.sample(&[("topic", &partition.name.topic), ("partition", &index)], value(partition));
        }
    }
}

fn controller(state: &BrokerState, image: &MetadataImage, page: &mut Page) {
    let controls = image.controller == Some(state.id);
    let mut gauge = |name, help, value: usize| page.gauge(name, help).sample(&[], value);
    gauge(
        "kafka_controller_kafkacontroller_activecontrollercount",
        "1 on the controller.",
        usize::from(controls),
    );
    // As in Kafka, who is not the controller knows of nothing.
    let count = |value: usize| if controls { value } else { 0 };
    let partitions = || image.topics().flat_map(|topic| &topic.partitions);
    let offline = partitions().filter(|partition| partition.leader.is_none()).count();
    gauge(
        "kafka_controller_kafkacontroller_offlinepartitionscount",
        "Partitions without a leader.",
        count(offline),
    );
    gauge("kafka_controller_kafkacontroller_globaltopiccount", "Topics.", count(image.topic_count()));
    gauge(
        "kafka_controller_kafkacontroller_globalpartitioncount",
        "Partitions.",
        count(partitions().count()),
    );
    let fenced = image.brokers.values().filter(|broker| broker.fenced).count();
    let active = image.brokers.len() - fenced;
    gauge(
        "kafka_controller_kafkacontroller_activebrokercount",
        "Brokers that are not fenced.",
        count(active),
    );
    gauge("kafka_controller_kafkacontroller_fencedbrokercount", "Brokers that are fenced.", count(fenced));
}

fn quorum(state: &BrokerState, page: &mut Page) {
    let Ok(quorum) = state.quorum() else { return };
    let quorum = quorum.ensemble().quorum();
    let is_voter = quorum.voters.iter().any(|voter| voter.id == state.id.0);
    let role = match quorum.leader {
        Some(leader) if leader == state.id.0 => "leader",
        Some(_) if is_voter => "follower",
        None if is_voter => "candidate",
        _ => "observer",
    };
    page.gauge("kafka_server_raftmetrics_current_state", "This node's part in the metadata quorum.")
        .sample(&[("state", role)], 1);
    let mut gauge = |name, help, value: i64| page.gauge(name, help).sample(&[], value);
    let long = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    let leader = quorum.leader.map_or(-1, i64::from);
    gauge("kafka_server_raftmetrics_current_leader", "The quorum's leader; -1 if none is known.", leader);
    gauge("kafka_server_raftmetrics_current_epoch", "The quorum's term.", long(quorum.term));
    gauge(
        "kafka_server_raftmetrics_high_watermark",
        "One past the last committed entry.",
        long(quorum.committed_end),
    );
    gauge("kafka_server_raftmetrics_number_of_voters", "Voters.", long(quorum.voters.len() as u64));
    let own = quorum.voters.iter().chain(&quorum.learners).find(|replica| replica.id == state.id.0);
    if let Some(end) = own.and_then(|own| own.log_end) {
        gauge("kafka_server_raftmetrics_log_end_offset", "One past this node's last entry.", long(end));
    }
}

fn requests(port: &Port, page: &mut Page) {
    let mut family = page.gauge("kafka_server_socket_server_metrics_connection_count", "Open connections.");
    for (listener, open) in port.connections.open() {
        // Kafka tells them by thread; here a connection's thread is nobody's business.
        family.sample(&[("listener", &listener), ("networkProcessor", "0")], open);
    }
    let mut family = page.counter("kafka_network_requestmetrics_requests_total", "Requests by API.");
    for row in TABLE {
        family.sample(&[("request", row.name)], port.state.requests.of(row.key));
    }
}

fn cleaner(state: &BrokerState, page: &mut Page) {
    let values = state.cleaner.metrics();
    let mut gauge = |name, help, value: i64| page.gauge(name, help).sample(&[], value);
    gauge(
        "kafka_log_logcleaner_cleaner_recopy_percent",
        "Bytes kept, of those read.",
        values.recopy_percent.into(),
    );
    gauge(
        "kafka_log_logcleaner_max_clean_time_secs",
        "The longest of the last cleanings.",
        values.max_clean_time_secs.into(),
    );
    gauge(
        "kafka_log_logcleaner_deadthreadcount",
        "Cleanings that ended in a fault.",
        values.dead_thread_count.into(),
    );
    gauge(
        "kafka_log_logcleanermanager_max_dirty_percent",
        "Of the dirtiest log.",
        values.max_dirty_percent.into(),
    );
    let uncleanable: usize = values.uncleanable.iter().map(|(_, count, _)| count).sum();
    let uncleanable = i64::try_from(uncleanable).unwrap_or(i64::MAX);
    gauge(
        "kafka_log_logcleanermanager_uncleanable_partitions_count",
        "Logs that cannot be cleaned.",
        uncleanable,
    );
}
