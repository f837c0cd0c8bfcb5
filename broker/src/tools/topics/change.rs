//! What changes topics: `--create`, `--alter` and `--delete`.
//!
//! Must never ask for a change whose arguments Kafka's tool refuses.

use std::collections::BTreeSet;

use kafka_protocol::messages::create_partitions_request::{
    CreatePartitionsAssignment, CreatePartitionsTopic,
};
use kafka_protocol::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::{BrokerId, CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest};
use kafka_protocol::protocol::StrBytes;
use milena_coordinator::controller::ConfigRules;
use milena_coordinator::image::{ConfigKind, Configs};

use super::{ensure, found, name_of, unread};
use crate::settings::Settings;
use crate::tools::client::{Client, Refused, topic_name};
use crate::tools::console::Console;
use crate::tools::options::Options;
use kafka_protocol::error::ResponseError;

const ILLEGAL: &str = "java.lang.IllegalArgumentException";

pub(super) fn create(options: &Options, client: &mut Client, console: &mut Console) -> Result<(), Refused> {
    let name = options.value("topic").map_err(unread)?.unwrap_or_default();
    let partitions = options.number::<i32>("partitions").map_err(unread)?;
    let factor = options.number::<i32>("replication-factor").map_err(unread)?;
    let placed = assignment(options)?;
    let configs = configs(options, name)?;
    if name.contains(['.', '_']) {
        console.say(
            "WARNING: Due to limitations in metric names, topics with a period ('.') or underscore ('_') could collide. \
             To avoid issues it is best to use either, but not both.",
        );
    }
    let limit = i32::from(i16::MAX);
    if factor.is_some_and(|factor| !(1..=limit).contains(&factor)) {
        let message = format!("The replication factor must be between 1 and {limit} inclusive");
        return Err(Refused::own(ILLEGAL, message));
    }
    if partitions.is_some_and(|partitions| partitions < 1) {
        return Err(Refused::own(ILLEGAL, "The partitions must be greater than 0"));
    }
    let placed_one = |(index, brokers): (usize, &Vec<i32>)| {
        CreatableReplicaAssignment::default()
            .with_partition_index(i32::try_from(index).unwrap_or(i32::MAX))
            .with_broker_ids(brokers.iter().copied().map(BrokerId).collect())
    };
    let config = |(name, value): (&String, &String)| {
        let value = Some(StrBytes::from_string(value.clone()));
        CreatableTopicConfig::default().with_name(StrBytes::from_string(name.clone())).with_value(value)
    };
    let topic = CreatableTopic::default()
        .with_name(topic_name(name))
        .with_num_partitions(if placed.is_empty() { partitions.unwrap_or(-1) } else { -1 })
        .with_replication_factor(factor.map_or(-1, |factor| i16::try_from(factor).unwrap_or(-1)))
        .with_assignments(placed.iter().enumerate().map(placed_one).collect())
        .with_configs(configs.iter().map(config).collect());
    let timeout = client.timeout_ms();
    let request = CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(timeout);
    let codes = |answer: &kafka_protocol::messages::CreateTopicsResponse| {
        answer.topics.iter().map(|topic| topic.error_code).collect()
    };
    let answer = client.call_controller("createTopics", |_| request.clone(), codes)?;
    for topic in answer.topics {
        match Refused::of(topic.error_code, topic.error_message.as_deref()) {
            None => console.say(format_args!("Created topic {name}.")),
            Some(refused)
                if refused.is(ResponseError::TopicAlreadyExists) && options.has("if-not-exists") => {}
            Some(refused) => return Err(refused),
        }
    }
    Ok(())
}

/// Configs of a new topic, checked as the broker will check them (`LogConfig.validate`).
fn configs(options: &Options, topic: &str) -> Result<Configs, Refused> {
    let mut configs = Configs::new();
    for pair in options.values("config") {
        let parts: Vec<&str> = pair.split('=').map(str::trim).collect();
        // Java's split drops empty texts at the end.
        let [name, value] = parts[..] else { return Err(malformed()) };
        if value.is_empty() {
            return Err(malformed());
        }
        configs.insert(name.to_owned(), value.to_owned());
    }
    let defaults = Settings::from_pairs(&[]).map_err(|what| Refused::own(ILLEGAL, what))?;
    let checked = defaults.check(ConfigKind::Topic, topic, &configs, &Configs::new());
    checked.map_err(|refusal| {
        let message = refusal.message;
        Refused::own("org.apache.kafka.common.errors.InvalidConfigurationException", message)
    })?;
    Ok(configs)
}

fn malformed() -> Refused {
    let message = "requirement failed: Invalid topic config: all configs to be added must be in the format \"key=val\".";
    Refused::own(ILLEGAL, message)
}

/// `TopicCommand.parseReplicaAssignment`; empty if none was given.
fn assignment(options: &Options) -> Result<Vec<Vec<i32>>, Refused> {
    let text = options.value("replica-assignment").map_err(unread)?.unwrap_or_default();
    let mut partitions: Vec<Vec<i32>> = Vec::new();
    for part in text.split(',').filter(|_| !text.is_empty()) {
        let number = |text: &str| {
            let text = text.trim();
            text.parse().map_err(|_| {
                Refused::own("java.lang.NumberFormatException", format!("For input string: \"{text}\""))
            })
        };
        let brokers: Vec<i32> = part.split(':').map(number).collect::<Result<_, _>>()?;
        let mut seen = BTreeSet::new();
        let twice: BTreeSet<i32> = brokers.iter().copied().filter(|broker| !seen.insert(*broker)).collect();
        if !twice.is_empty() {
            let twice: Vec<String> = twice.iter().map(ToString::to_string).collect();
            let told = "Partition replica lists may not contain duplicate entries: ";
            let class = "org.apache.kafka.tools.AdminCommandFailedException";
            return Err(Refused::own(class, format!("{told}{}", twice.join(","))));
        }
        if partitions.first().is_some_and(|first| first.len() != brokers.len()) {
            let message =
                format!("Partition {} has different replication factor: {brokers:?}", partitions.len());
            return Err(Refused::own("org.apache.kafka.tools.AdminOperationException", message));
        }
        partitions.push(brokers);
    }
    Ok(partitions)
}

pub(super) fn alter(options: &Options, client: &mut Client) -> Result<(), Refused> {
    let count = options.number::<i32>("partitions").map_err(unread)?.unwrap_or_default();
    let placed = assignment(options)?;
    configs(options, "any")?;
    let topics = found(options, client)?;
    ensure(&topics, options)?;
    if topics.is_empty() {
        return Ok(());
    }
    let wanted = |topic: &kafka_protocol::messages::metadata_response::MetadataResponseTopic| {
        let new = placed.iter().skip(topic.partitions.len());
        let new = new.map(|brokers| {
            let brokers = brokers.iter().copied().map(BrokerId).collect();
            CreatePartitionsAssignment::default().with_broker_ids(brokers)
        });
        CreatePartitionsTopic::default()
            .with_name(topic_name(&name_of(topic)))
            .with_count(count)
            .with_assignments((!placed.is_empty()).then(|| new.collect()))
    };
    let timeout = client.timeout_ms();
    let wanted = topics.iter().map(wanted).collect();
    let request = CreatePartitionsRequest::default().with_topics(wanted).with_timeout_ms(timeout);
    let codes = |answer: &kafka_protocol::messages::CreatePartitionsResponse| {
        answer.results.iter().map(|result| result.error_code).collect()
    };
    let answer = client.call_controller("createPartitions", |_| request.clone(), codes)?;
    answer
        .results
        .iter()
        .try_for_each(|result| Refused::check(result.error_code, result.error_message.as_deref()))
}

pub(super) fn delete(options: &Options, client: &mut Client) -> Result<(), Refused> {
    let topics: Vec<String> = found(options, client)?.iter().map(name_of).collect();
    if topics.is_empty() {
        return ensure(&[], options);
    }
    let timeout = client.timeout_ms();
    let make = |version| {
        let names = topics.iter().map(|topic| topic_name(topic));
        let request = DeleteTopicsRequest::default().with_timeout_ms(timeout);
        if version >= 6 {
            request.with_topics(names.map(|name| DeleteTopicState::default().with_name(Some(name))).collect())
        } else {
            request.with_topic_names(names.collect())
        }
    };
    let codes = |answer: &kafka_protocol::messages::DeleteTopicsResponse| {
        answer.responses.iter().map(|response| response.error_code).collect()
    };
    let answer = client.call_controller("deleteTopics", make, codes)?;
    answer
        .responses
        .iter()
        .try_for_each(|response| Refused::check(response.error_code, response.error_message.as_deref()))
}
