//! ConsumerGroupDescribe: a group as operators see it.
//!
//! Must never show a topic that does not exist any more.

use std::collections::BTreeMap;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::consumer_group_describe_response::{
    Assignment, DescribedGroup, Member as DescribedMember, TopicPartitions,
};
use kafka_protocol::messages::{GroupId, TopicName};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::member::Member;
use super::{ConsumerGroup, fence};
use crate::group::groups::{Group, Groups};
use crate::group::records::Partitions;
use crate::group::turn::Turn;
use crate::image::MetadataImage;

const CLASSIC: i8 = 0;
const CONSUMER: i8 = 1;

pub(in crate::group) fn describe(groups: &Groups, turn: &Turn<'_>, id: &str) -> DescribedGroup {
    match groups.get(id) {
        Some(Group::Consumer(group)) => group.describe(turn),
        other => {
            let refused = fence::no_such_group(id, other.is_some());
            describe_refusal(id, refused.error)
                .with_error_message(Some(StrBytes::from_string(refused.message)))
        }
    }
}

pub(in crate::group) fn describe_refusal(id: &str, error: ResponseError) -> DescribedGroup {
    DescribedGroup::default().with_group_id(GroupId(text(id))).with_error_code(error.code())
}

impl ConsumerGroup {
    fn describe(&self, turn: &Turn<'_>) -> DescribedGroup {
        let assignor = self.preferred_assignor().unwrap_or(turn.config.consumer.assignors[0]);
        let members = self.members.values().map(|member| self.describe_member(turn.image, member));
        DescribedGroup::default()
            .with_group_id(GroupId(text(&self.id)))
            .with_group_state(StrBytes::from_static_str(self.state().name()))
            .with_group_epoch(self.epoch)
            .with_assignment_epoch(self.target_epoch.epoch)
            .with_assignor_name(StrBytes::from_static_str(assignor.name()))
            .with_members(members.collect())
    }

    fn describe_member(&self, image: &MetadataImage, member: &Member) -> DescribedMember {
        let about = &member.about;
        // It is answerable for what it gives up until it has.
        let mut has = Partitions::new();
        for (topic, partitions) in member.assigned.iter().chain(&member.revoking) {
            has.entry(*topic).or_default().extend(partitions.keys());
        }
        let nothing = BTreeMap::new();
        let target = self.target.get(&member.id).unwrap_or(&nothing);
        DescribedMember::default()
            .with_member_id(text(&member.id))
            .with_instance_id(about.instance_id.as_deref().map(text))
            .with_rack_id(about.rack_id.as_deref().map(text))
            .with_member_epoch(member.epoch)
            .with_client_id(text(&about.client_id))
            .with_client_host(text(&about.client_host))
            .with_subscribed_topic_names(about.topics.iter().map(|topic| TopicName(text(topic))).collect())
            .with_subscribed_topic_regex(about.regex.as_deref().map(text))
            .with_assignment(assignment(image, &has))
            .with_target_assignment(assignment(image, target))
            .with_member_type(if member.is_classic() { CLASSIC } else { CONSUMER })
    }
}

fn assignment(image: &MetadataImage, partitions: &Partitions) -> Assignment {
    let topic = |(id, indexes): (&Uuid, &std::collections::BTreeSet<i32>)| {
        let topic = image.topic_by_id(*id)?;
        Some(
            TopicPartitions::default()
                .with_topic_id(*id)
                .with_topic_name(TopicName(text(&topic.name)))
                .with_partitions(indexes.iter().copied().collect()),
        )
    };
    Assignment::default().with_topic_partitions(partitions.iter().filter_map(topic).collect())
}

fn text(value: &str) -> StrBytes {
    StrBytes::from_string(value.to_owned())
}
