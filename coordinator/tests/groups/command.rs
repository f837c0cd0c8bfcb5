//! A line of a script as a request.
//!
//! Must never guess: what it does not understand fails the script.

use std::collections::BTreeMap;

use bytes::Bytes;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::{
    GroupId, HeartbeatRequest, JoinGroupRequest, LeaveGroupRequest, OffsetCommitRequest, OffsetDeleteRequest,
    ProducerId, SyncGroupRequest, TopicName, TxnOffsetCommitRequest,
};
use kafka_protocol::protocol::StrBytes;
use milena_coordinator::group::Request;
use uuid::Uuid;

/// `name word… key=value…`
pub(crate) struct Command<'a> {
    pub(crate) name: &'a str,
    words: Vec<&'a str>,
    options: BTreeMap<&'a str, &'a str>,
}

impl<'a> Command<'a> {
    pub(crate) fn parse(line: &'a str) -> Self {
        let mut parts = line.split_whitespace();
        let name = parts.next().expect("a command");
        let (options, words): (Vec<_>, Vec<_>) = parts.partition(|part| part.contains('='));
        let options = options.into_iter().map(|part| part.split_once('=').expect("contains =")).collect();
        Self { name, words, options }
    }

    pub(crate) fn option(&self, name: &str) -> Option<&'a str> {
        self.options.get(name).copied()
    }

    pub(crate) fn options(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.options.iter().map(|(name, value)| (*name, *value))
    }

    pub(crate) fn word(&self, index: usize) -> &'a str {
        self.words.get(index).copied().unwrap_or_else(|| panic!("{}: word {index} is missing", self.name))
    }

    pub(crate) fn number(&self, name: &str, default: i64) -> i64 {
        self.option(name).map_or(default, |text| text.parse().expect("a number"))
    }

    pub(crate) fn duration(&self, name: &str, default: &'static str) -> i64 {
        duration(self.option(name).unwrap_or(default))
    }

    pub(crate) fn generation(&self) -> i32 {
        self.word(2).parse().expect("a generation")
    }

    pub(crate) fn instance(&self) -> Option<StrBytes> {
        self.option("i").map(text)
    }

    pub(crate) fn group(&self) -> GroupId {
        GroupId(text(if self.word(0) == "-" { "" } else { self.word(0) }))
    }

    pub(crate) fn member(&self) -> StrBytes {
        member(self.word(1))
    }

    /// The newest version unless `v=` says otherwise.
    pub(crate) fn version(&self) -> i16 {
        let newest = match self.name {
            "join" => 9,
            "sync" | "leave" | "list" => 5,
            "heartbeat" => 4,
            "commit" | "fetch" => 10,
            "describe" => 6,
            "delete" => 2,
            "beat" | "describe-consumer" => 1,
            _ => 0,
        };
        self.number("v", newest) as i16
    }

    /// `None` if this is not a request.
    pub(crate) fn request(&self) -> Option<Request> {
        let words = |from: usize| self.words.iter().skip(from).map(|word| (*word).to_owned()).collect();
        let list =
            |name| self.option(name).map_or(Vec::new(), |list| list.split(',').map(str::to_owned).collect());
        Some(match self.name {
            "join" => Request::Join(self.join()),
            "sync" => Request::Sync(self.sync()),
            "heartbeat" => Request::Heartbeat(
                HeartbeatRequest::default()
                    .with_group_id(self.group())
                    .with_member_id(self.member())
                    .with_generation_id(self.generation())
                    .with_group_instance_id(self.instance()),
            ),
            "leave" => Request::Leave(self.leave()),
            "beat" => Request::ConsumerHeartbeat(self.beat()),
            "describe-consumer" => Request::DescribeConsumer { groups: words(0) },
            "commit" => Request::Commit(self.commit()),
            "txn-commit" => Request::CommitInTransaction(self.txn_commit()),
            "fetch" => Request::FetchOffsets { group: self.fetch(), require_stable: false },
            "fetch-stable" => Request::FetchOffsets { group: self.fetch(), require_stable: true },
            "delete-offsets" => Request::DeleteOffsets(self.delete_offsets()),
            "list" => Request::List { states: list("states"), types: list("types") },
            "describe" => Request::Describe { groups: words(0) },
            "delete" => Request::Delete { groups: words(0) },
            "rebalance" => Request::Rebalance { group: words(0).concat() },
            _ => return None,
        })
    }

    /// `p=` names protocols with their metadata: `p=range:data,sticky`. `topics=` makes it a subscription.
    fn join(&self) -> JoinGroupRequest {
        let subscription = self.option("topics").map(subscription);
        let protocols =
            self.option("p").unwrap_or("range").split(',').filter(|name| !name.is_empty()).map(|protocol| {
                let (name, metadata) = protocol.split_once(':').unwrap_or((protocol, ""));
                let metadata = subscription.clone().unwrap_or_else(|| Bytes::from(metadata.to_owned()));
                JoinGroupRequestProtocol::default().with_name(text(name)).with_metadata(metadata)
            });
        JoinGroupRequest::default()
            .with_group_id(self.group())
            .with_member_id(self.member())
            .with_group_instance_id(self.instance())
            .with_protocol_type(text(self.option("type").unwrap_or("consumer")))
            .with_session_timeout_ms(self.duration("session", "10s") as i32)
            .with_rebalance_timeout_ms(self.duration("rebalance", "60s") as i32)
            .with_protocols(protocols.collect())
    }

    /// Options that name a member id are its assignment.
    fn sync(&self) -> SyncGroupRequest {
        let reserved = ["i", "v", "type", "protocol"];
        let assignments =
            self.options.iter().filter(|(name, _)| !reserved.contains(*name)).map(|(name, assignment)| {
                SyncGroupRequestAssignment::default()
                    .with_member_id(member(name))
                    .with_assignment(Bytes::from((*assignment).to_owned()))
            });
        let named = |name: &str, default| match self.option(name).unwrap_or(default) {
            "null" => None,
            name => Some(text(name)),
        };
        SyncGroupRequest::default()
            .with_group_id(self.group())
            .with_member_id(self.member())
            .with_generation_id(self.generation())
            .with_group_instance_id(self.instance())
            .with_protocol_type(named("type", "consumer"))
            .with_protocol_name(named("protocol", "range"))
            .with_assignments(assignments.collect())
    }

    fn leave(&self) -> LeaveGroupRequest {
        let leaving = self.word(1).split(',').map(|id| {
            MemberIdentity::default().with_member_id(member(id)).with_group_instance_id(self.instance())
        });
        LeaveGroupRequest::default()
            .with_group_id(self.group())
            .with_member_id(self.member())
            .with_members(leaving.collect())
    }

    /// `topic:partition=offset` options after group, member and generation; a member `-` is none.
    fn commit(&self) -> OffsetCommitRequest {
        let topics = self.options.iter().filter_map(|(name, offset)| {
            let (topic, partition) = name.split_once(':')?;
            let partition = OffsetCommitRequestPartition::default()
                .with_partition_index(partition.parse().expect("a partition"))
                .with_committed_offset(offset.parse().expect("an offset"))
                .with_committed_leader_epoch(self.number("epoch", -1) as i32)
                .with_committed_metadata(self.option("meta").map(text));
            let topic = OffsetCommitRequestTopic::default()
                .with_name(TopicName(text(topic)))
                .with_topic_id(Uuid::from_u128(self.number("id", 0) as u128));
            Some(topic.with_partitions(vec![partition]))
        });
        OffsetCommitRequest::default()
            .with_group_id(self.group())
            .with_member_id(self.member())
            .with_generation_id_or_member_epoch(self.generation())
            .with_group_instance_id(self.instance())
            .with_retention_time_ms(self.option("retention").map_or(-1, duration))
            .with_topics(topics.collect())
    }

    /// As `commit`, with the producer as `pid=` and its epoch 0.
    fn txn_commit(&self) -> TxnOffsetCommitRequest {
        let topics = self.options.iter().filter_map(|(name, offset)| {
            let (topic, partition) = name.split_once(':')?;
            let partition = TxnOffsetCommitRequestPartition::default()
                .with_partition_index(partition.parse().expect("a partition"))
                .with_committed_offset(offset.parse().expect("an offset"))
                .with_committed_leader_epoch(-1)
                .with_committed_metadata(self.option("meta").map(text));
            let topic = TxnOffsetCommitRequestTopic::default().with_name(TopicName(text(topic)));
            Some(topic.with_partitions(vec![partition]))
        });
        TxnOffsetCommitRequest::default()
            .with_group_id(self.group())
            .with_member_id(self.member())
            .with_generation_id(self.generation())
            .with_group_instance_id(self.instance())
            .with_producer_id(ProducerId(self.number("pid", 1)))
            .with_topics(topics.collect())
    }

    fn fetch(&self) -> OffsetFetchRequestGroup {
        let topics = self.words.iter().skip(1).map(|word| {
            let (topic, partition) = word.split_once(':').expect("topic:partition");
            OffsetFetchRequestTopics::default()
                .with_name(TopicName(text(topic)))
                .with_topic_id(Uuid::from_u128(self.number("id", 0) as u128))
                .with_partition_indexes(vec![partition.parse().expect("a partition")])
        });
        let topics: Vec<_> = topics.collect();
        OffsetFetchRequestGroup::default()
            .with_group_id(self.group())
            .with_member_id(self.option("member").map(text))
            .with_member_epoch(self.number("member-epoch", -1) as i32)
            .with_topics((!topics.is_empty()).then_some(topics))
    }

    fn delete_offsets(&self) -> OffsetDeleteRequest {
        let topics = self.words.iter().skip(1).map(|word| {
            let (topic, partition) = word.split_once(':').expect("topic:partition");
            let partition = OffsetDeleteRequestPartition::default()
                .with_partition_index(partition.parse().expect("a partition"));
            OffsetDeleteRequestTopic::default()
                .with_name(TopicName(text(topic)))
                .with_partitions(vec![partition])
        });
        OffsetDeleteRequest::default().with_group_id(self.group()).with_topics(topics.collect())
    }
}

pub(crate) fn text(value: &str) -> StrBytes {
    StrBytes::from_string(value.to_owned())
}

/// `-` is no id; `client#3` is the id that `client` got with the third random value.
pub(crate) fn member(word: &str) -> StrBytes {
    match word.split_once('#') {
        _ if word == "-" => StrBytes::new(),
        Some((prefix, random)) => {
            text(&format!("{prefix}-{}", Uuid::from_u128(random.parse().expect("a number"))))
        }
        None => text(word),
    }
}

pub(crate) fn duration(word: &str) -> i64 {
    let split = word.find(|c: char| !c.is_ascii_digit()).expect("a unit");
    let count: i64 = word[..split].parse().expect("a number");
    count
        * match &word[split..] {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 24 * 3_600_000,
            unit => panic!("unknown unit {unit}"),
        }
}

/// ConsumerProtocolSubscription, version 0.
pub(crate) fn subscription(topics: &str) -> Bytes {
    let topics: Vec<&str> = topics.split(',').filter(|topic| !topic.is_empty()).collect();
    let mut bytes = vec![0, 0];
    bytes.extend((topics.len() as i32).to_be_bytes());
    for topic in topics {
        bytes.extend((topic.len() as i16).to_be_bytes());
        bytes.extend(topic.as_bytes());
    }
    bytes.extend((-1_i32).to_be_bytes());
    bytes.into()
}
