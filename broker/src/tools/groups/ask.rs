//! What brokers say of groups, of either protocol.
//!
//! Must never show a group of another kind as a consumer group.

use std::collections::BTreeMap;

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::consumer_group_describe_response::Assignment;
use kafka_protocol::messages::{
    ConsumerGroupDescribeRequest, ConsumerProtocolAssignment, DescribeGroupsRequest, GroupId,
    ListGroupsRequest, OffsetFetchRequest,
};
use kafka_protocol::protocol::{Decodable, StrBytes};

use crate::tools::client::{At, Client, Node, Partition, Refused};
use crate::tools::java;

/// A line of the list.
pub(super) struct Listed {
    pub id: String,
    pub kind: String,
    pub state: String,
}

/// A group as it is now.
pub(super) struct Group {
    pub coordinator: Node,
    pub state: String,
    pub assignor: String,
    pub epoch: Option<i32>,
    pub assignment_epoch: Option<i32>,
    pub members: Vec<Member>,
}

pub(super) struct Member {
    pub id: String,
    pub instance: String,
    pub client_id: String,
    pub host: String,
    pub assignment: Vec<Partition>,
    pub target: Vec<Partition>,
    pub epoch: Option<i32>,
    /// Whether it speaks the newer protocol, where that is said.
    pub upgraded: Option<bool>,
}

/// An offset that a group has committed.
#[derive(Clone, Copy)]
pub(super) struct Committed {
    pub offset: i64,
    pub leader_epoch: Option<i32>,
}

/// All consumer groups, of all brokers, as Java's map orders them.
pub(super) fn list(client: &mut Client, states: &[&str], kinds: &[&str]) -> Result<Vec<Listed>, Refused> {
    let mut found: Vec<Listed> = Vec::new();
    let texts = |texts: &[&str]| texts.iter().map(|text| StrBytes::from_string((*text).to_owned())).collect();
    let asked_kinds = if kinds.is_empty() { &["Classic", "Consumer"][..] } else { kinds };
    for broker in client.brokers()? {
        let answer = client.call(At::Node(broker.id), "listGroups", |version| {
            let request = ListGroupsRequest::default();
            let request = if version >= 4 { request.with_states_filter(texts(states)) } else { request };
            if version >= 5 { request.with_types_filter(texts(asked_kinds)) } else { request }
        })?;
        Refused::check(answer.error_code, None)?;
        for group in answer.groups {
            let is_consumers = matches!(group.protocol_type.as_str(), "" | "consumer");
            if is_consumers && !found.iter().any(|known| known.id == group.group_id.as_str()) {
                let unknown =
                    |text: &StrBytes| if text.is_empty() { "Unknown".to_owned() } else { text.to_string() };
                found.push(Listed {
                    id: group.group_id.to_string(),
                    kind: kind_name(&group.group_type),
                    state: unknown(&group.group_state),
                });
            }
        }
    }
    Ok(java::in_map_order(found, 16, |group| java::hash_code(&group.id)))
}

/// As Kafka's `GroupType` is printed, whatever case a broker sends.
fn kind_name(text: &str) -> String {
    match text.to_ascii_lowercase().as_str() {
        "classic" => "Classic",
        "consumer" => "Consumer",
        "share" => "Share",
        "streams" => "Streams",
        _ => "Unknown",
    }
    .to_owned()
}

/// One group, asked of its coordinator; of the newer protocol first.
pub(super) fn describe(client: &mut Client, group: &str) -> Result<Group, Refused> {
    let deadline = client.deadline();
    loop {
        let at = client.coordinator(group)?;
        let described = match consumer(client, at, group) {
            Err(refused)
                if refused.is(ResponseError::GroupIdNotFound)
                    || refused.is(ResponseError::UnsupportedVersion) =>
            {
                classic(client, at, group)
            }
            other => other,
        };
        match described {
            Err(refused) if refused.error.is_some_and(|error| error.is_retriable()) => {
                if !client.has_another(deadline) {
                    return Err(refused);
                }
            }
            other => return other,
        }
    }
}

fn coordinator_of(client: &mut Client, at: At) -> Result<Node, Refused> {
    let nodes = client.brokers()?;
    let found = nodes.into_iter().find(|node| At::Node(node.id) == at);
    found.ok_or_else(|| Refused::timeout("the coordinator is gone"))
}

fn consumer(client: &mut Client, at: At, group: &str) -> Result<Group, Refused> {
    let id = GroupId(StrBytes::from_string(group.to_owned()));
    let request = ConsumerGroupDescribeRequest::default().with_group_ids(vec![id]);
    let answer = client.call(at, "consumerGroupDescribe", |_| request.clone())?;
    let coordinator = coordinator_of(client, at)?;
    let Some(found) = answer.groups.into_iter().next() else {
        return Err(Refused::timeout("the answer lacks the group"));
    };
    Refused::check(found.error_code, found.error_message.as_deref())?;
    let partitions = |assignment: &Assignment| {
        let mut partitions = Vec::new();
        for topic in &assignment.topic_partitions {
            partitions.extend(topic.partitions.iter().map(|index| (topic.topic_name.to_string(), *index)));
        }
        partitions
    };
    let member = |member: kafka_protocol::messages::consumer_group_describe_response::Member| Member {
        id: member.member_id.to_string(),
        instance: member.instance_id.as_ref().map_or_else(String::new, ToString::to_string),
        client_id: member.client_id.to_string(),
        host: member.client_host.to_string(),
        assignment: partitions(&member.assignment),
        target: partitions(&member.target_assignment),
        epoch: Some(member.member_epoch),
        upgraded: match member.member_type {
            -1 => None,
            kind => Some(kind == 1),
        },
    };
    Ok(Group {
        coordinator,
        state: found.group_state.to_string(),
        assignor: found.assignor_name.to_string(),
        epoch: Some(found.group_epoch),
        assignment_epoch: Some(found.assignment_epoch),
        members: found.members.into_iter().map(member).collect(),
    })
}

fn classic(client: &mut Client, at: At, group: &str) -> Result<Group, Refused> {
    let id = GroupId(StrBytes::from_string(group.to_owned()));
    let request = DescribeGroupsRequest::default().with_groups(vec![id]);
    let answer = client.call(at, "describeGroups", |_| request.clone())?;
    let coordinator = coordinator_of(client, at)?;
    let Some(found) = answer.groups.into_iter().next() else {
        return Err(Refused::timeout("the answer lacks the group"));
    };
    Refused::check(found.error_code, found.error_message.as_deref())?;
    let kind = found.protocol_type.as_str();
    if !matches!(kind, "" | "consumer") {
        let message = format!("GroupId {group} is not a consumer group ({kind}).");
        return Err(Refused::own("java.lang.IllegalArgumentException", message));
    }
    let member = |member: kafka_protocol::messages::describe_groups_response::DescribedGroupMember| -> Result<Member, Refused> {
        Ok(Member {
            id: member.member_id.to_string(),
            instance: member.group_instance_id.as_ref().map_or_else(String::new, ToString::to_string),
            client_id: member.client_id.to_string(),
            host: member.client_host.to_string(),
            assignment: assigned(&member.member_assignment)?,
            target: Vec::new(),
            epoch: None,
            upgraded: None,
        })
    };
    Ok(Group {
        coordinator,
        state: found.group_state.to_string(),
        assignor: found.protocol_data.to_string(),
        epoch: None,
        assignment_epoch: None,
        members: found.members.into_iter().map(member).collect::<Result<_, Refused>>()?,
    })
}

/// The partitions that a member was given, as its leader wrote them down.
fn assigned(bytes: &Bytes) -> Result<Vec<Partition>, Refused> {
    if bytes.len() < 2 {
        return Ok(Vec::new());
    }
    let mut body = bytes.slice(2..);
    let decoded = ConsumerProtocolAssignment::decode(&mut body, 0).map_err(|error| {
        Refused::own("org.apache.kafka.common.protocol.types.SchemaException", error.to_string())
    })?;
    let mut partitions = Vec::new();
    for topic in &decoded.assigned_partitions {
        partitions.extend(topic.partitions.iter().map(|index| (topic.topic.to_string(), *index)));
    }
    Ok(partitions)
}

/// All that a group has committed.
pub(super) fn committed(client: &mut Client, group: &str) -> Result<BTreeMap<Partition, Committed>, Refused> {
    let deadline = client.deadline();
    loop {
        let at = client.coordinator(group)?;
        let id = GroupId(StrBytes::from_string(group.to_owned()));
        let answer = client.call(at, "offsetFetch", |_| {
            OffsetFetchRequest::default().with_group_id(id.clone()).with_topics(None)
        })?;
        match Refused::of(answer.error_code, None) {
            Some(refused) if !refused.error.is_some_and(|error| error.is_retriable()) => return Err(refused),
            Some(refused) if !client.has_another(deadline) => return Err(refused),
            Some(_) => continue,
            None => {}
        }
        let mut found = BTreeMap::new();
        for topic in answer.topics {
            for partition in topic.partitions {
                let epoch = Some(partition.committed_leader_epoch).filter(|epoch| *epoch >= 0);
                let committed = Committed { offset: partition.committed_offset, leader_epoch: epoch };
                if committed.offset >= 0 && partition.error_code == 0 {
                    found.insert((topic.name.to_string(), partition.partition_index), committed);
                }
            }
        }
        return Ok(found);
    }
}
