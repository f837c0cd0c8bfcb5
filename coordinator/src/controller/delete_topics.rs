//! DeleteTopics: by name or by id, as `ControllerApis.deleteTopics` takes requests apart.
//!
//! Must never leave a node of a deleted topic behind: its states, its folders and its config go in one item.

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::DeleteTopicsRequest;
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::{Ctx, Item, Plan, Refusal, fence};
use crate::image::{ConfigKind, MetadataImage, TopicImage, paths};
use crate::tree::{ANY_VERSION, Op};

/// Decides on each topic. Kafka shuffles its answers, so their order carries no meaning; here errors of the
/// request itself come first.
pub fn delete_topics(ctx: &mut Ctx<'_>, request: &DeleteTopicsRequest) -> Plan<DeletableTopicResult> {
    let image = ctx.image;
    let mut asked = Asked::default();
    let mut plan: Plan<_> = asked.read(request).into_iter().map(Item::answer).collect();
    let mut topics: BTreeMap<Uuid, &TopicImage> = BTreeMap::new();
    for id in &asked.ids {
        match image.topic_by_id(*id) {
            Some(topic) => _ = topics.insert(*id, topic),
            None => plan.push(Item::answer(answer(None, *id, Some(&generic(ResponseError::UnknownTopicId))))),
        }
    }
    for name in &asked.names {
        let Some(topic) = image.topic(name) else {
            let unknown = generic(ResponseError::UnknownTopicOrPartition);
            plan.push(Item::answer(answer(Some(name), Uuid::nil(), Some(&unknown))));
            continue;
        };
        if asked.twice_ids.contains(&topic.id) || topics.insert(topic.id, topic).is_some() {
            topics.remove(&topic.id);
            let message = "The provided topic name maps to an ID that was already supplied.";
            let refusal = Refusal::new(ResponseError::InvalidRequest, message);
            plan.push(Item::answer(answer(Some(name), topic.id, Some(&refusal))));
        }
    }
    plan.extend(topics.into_values().map(|topic| match ctx.charge(topic.partitions.len()) {
        Ok(()) => Item { ops: delete_ops(image, topic), result: answer(Some(&topic.name), topic.id, None) },
        Err(refusal) => Item::answer(answer(Some(&topic.name), topic.id, Some(&refusal))),
    }));
    plan
}

/// Names and ids of a request, those that occur once apart from the others.
#[derive(Default)]
struct Asked {
    names: BTreeSet<String>,
    ids: BTreeSet<Uuid>,
    twice_names: BTreeSet<String>,
    twice_ids: BTreeSet<Uuid>,
}

impl Asked {
    /// Sorts the request out; returns what is wrong with it in itself.
    fn read(&mut self, request: &DeleteTopicsRequest) -> Vec<DeletableTopicResult> {
        let invalid = |message: &str| Refusal::new(ResponseError::InvalidRequest, message);
        let mut wrong = Vec::new();
        for name in &request.topic_names {
            self.add_name(name.as_str());
        }
        for topic in &request.topics {
            match (&topic.name, topic.topic_id.is_nil()) {
                (None, true) => {
                    let refusal = invalid("Neither topic name nor id were specified.");
                    wrong.push(answer(None, Uuid::nil(), Some(&refusal)));
                }
                (None, false) => self.add_id(topic.topic_id),
                (Some(name), true) => self.add_name(name.as_str()),
                (Some(name), false) => {
                    let refusal = invalid("You may not specify both topic name and topic id.");
                    wrong.push(answer(Some(name.as_str()), topic.topic_id, Some(&refusal)));
                }
            }
        }
        let name = invalid("Duplicate topic name.");
        wrong.extend(self.twice_names.iter().map(|twice| answer(Some(twice), Uuid::nil(), Some(&name))));
        let id = invalid("Duplicate topic id.");
        wrong.extend(self.twice_ids.iter().map(|twice| answer(None, *twice, Some(&id))));
        wrong
    }

    fn add_name(&mut self, name: &str) {
        if self.twice_names.contains(name) || !self.names.insert(name.to_owned()) {
            self.names.remove(name);
            self.twice_names.insert(name.to_owned());
        }
    }

    fn add_id(&mut self, id: Uuid) {
        if self.twice_ids.contains(&id) || !self.ids.insert(id) {
            self.ids.remove(&id);
            self.twice_ids.insert(id);
        }
    }
}

/// Here Kafka sends the code's own text as the message.
fn generic(code: ResponseError) -> Refusal {
    let text = match code {
        ResponseError::UnknownTopicId => "This server does not host this topic ID.",
        _ => "This server does not host this topic-partition.",
    };
    Refusal::new(code, text)
}

fn answer(name: Option<&str>, id: Uuid, refusal: Option<&Refusal>) -> DeletableTopicResult {
    DeletableTopicResult::default()
        .with_name(name.map(|name| StrBytes::from_string(name.to_owned()).into()))
        .with_topic_id(id)
        .with_error_code(refusal.map_or(0, |r| r.code.code()))
        .with_error_message(refusal.and_then(Refusal::wire_message))
}

/// Children before parents, as the tree demands. A topic made by hand may lack its states, so only those that the
/// image has seen are named.
fn delete_ops(image: &MetadataImage, topic: &TopicImage) -> Vec<Op> {
    let mut ops = vec![fence(image)];
    if image.topic_config(&topic.name).is_some() {
        ops.push(Op::delete(paths::config(ConfigKind::Topic, &topic.name), ANY_VERSION));
    }
    let complete = topic.partitions.iter().filter(|p| p.partition_epoch >= 0);
    let mut any = false;
    for partition in complete {
        any = true;
        ops.push(Op::delete(paths::partition_state(&topic.name, partition.index.0), ANY_VERSION));
        ops.push(Op::delete(paths::partition(&topic.name, partition.index.0), ANY_VERSION));
    }
    if any {
        ops.push(Op::delete(paths::partitions(&topic.name), ANY_VERSION));
    }
    ops.push(Op::delete(paths::topic(&topic.name), topic.version));
    ops
}

#[cfg(test)]
#[path = "delete_topics/tests.rs"]
mod tests;
