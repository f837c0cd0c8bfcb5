//! Groups of the consumer protocol: the same requests, the same answers, epochs and assignments.

use std::collections::BTreeMap;

use bytes::Bytes;
use kafka_protocol::messages::consumer_group_describe_response::{Assignment, DescribedGroup};
use kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use kafka_protocol::messages::{
    ConsumerGroupDescribeRequest, ConsumerGroupHeartbeatRequest, DeleteGroupsRequest, DescribeGroupsRequest,
    GroupId, HeartbeatRequest, JoinGroupRequest, LeaveGroupRequest, ListGroupsRequest, OffsetCommitRequest,
    OffsetFetchRequest, SyncGroupRequest,
};
use milena_compat_tests::wire::Wire;
use milena_compat_tests::{Server, wait};
use uuid::Uuid;

use crate::groups::coordinator_is_there;
use crate::topics::{create, topic};
use crate::{compare, text, topic_name};

/// A connection, and the topics by their ids, which differ between the brokers.
pub(crate) struct Session {
    pub(crate) wire: Wire,
    names: BTreeMap<Uuid, String>,
}

impl Session {
    /// Creates the topics and waits until the coordinator knows them.
    pub(crate) fn with(server: &Server, topics: &[(&str, i32)]) -> Self {
        coordinator_is_there(server);
        let mut session = Self { wire: server.wire(), names: BTreeMap::new() };
        for (name, partitions) in topics {
            session.create(server, name, *partitions);
        }
        session
    }

    pub(crate) fn create(&mut self, server: &Server, name: &str, partitions: i32) {
        let answer = create(server, vec![topic(name, partitions, 1)], false);
        assert_eq!(answer.topics[0].error_code, 0, "{answer:?}");
        self.names.insert(answer.topics[0].topic_id, name.to_owned());
        let mut tries = 0;
        wait::until(wait::PATIENCE, "the coordinator knows the topic", || {
            tries += 1;
            let probe = format!("probe-{name}-{tries}");
            let answer = self.wire.call(1, &joins(&probe, "m", &[name]));
            let known = answer.assignment.is_some_and(|assigned| !assigned.topic_partitions.is_empty());
            self.wire.call(1, &beat(&probe, "m", -1));
            known.then_some(())
        });
    }

    pub(crate) fn id(&self, name: &str) -> Uuid {
        *self.names.iter().find(|(_, known)| *known == name).expect("the topic was created").0
    }

    /// What a client sees of the answer.
    pub(crate) fn beat(&mut self, request: &ConsumerGroupHeartbeatRequest) -> String {
        self.beat_of(1, request)
    }

    pub(crate) fn beat_of(&mut self, version: i16, request: &ConsumerGroupHeartbeatRequest) -> String {
        let answer = self.wire.call(version, request);
        let assignment = answer.assignment.map(|assignment| {
            let topics = assignment.topic_partitions.into_iter();
            topics
                .map(|topic| (self.names.get(&topic.topic_id).cloned(), sorted(topic.partitions)))
                .collect::<BTreeMap<_, _>>()
        });
        let id = answer.member_id.map(|id| if request.member_id.is_empty() { text("made") } else { id });
        format!(
            "{} {:?} {id:?} epoch {} every {} {assignment:?}",
            answer.error_code, answer.error_message, answer.member_epoch, answer.heartbeat_interval_ms
        )
    }

    pub(crate) fn owns(
        &self,
        request: ConsumerGroupHeartbeatRequest,
        owned: &[(&str, i32)],
    ) -> ConsumerGroupHeartbeatRequest {
        let each = owned.iter().map(|(name, partition)| {
            TopicPartitions::default().with_topic_id(self.id(name)).with_partitions(vec![*partition])
        });
        request.with_topic_partitions(Some(each.collect()))
    }

    pub(crate) fn describe(&mut self, names: &[&str]) -> Vec<String> {
        let groups = names.iter().map(|name| group(name)).collect();
        let request = ConsumerGroupDescribeRequest::default().with_group_ids(groups);
        let mut told = self.wire.call(1, &request).groups;
        told.sort_by_key(|described| described.group_id.to_string());
        told.into_iter().map(shown).collect()
    }
}

fn shown(group: DescribedGroup) -> String {
    let assigned = |assignment: Assignment| {
        let topics = assignment.topic_partitions.into_iter();
        topics
            .map(|topic| (topic.topic_name.to_string(), sorted(topic.partitions)))
            .collect::<BTreeMap<_, _>>()
    };
    let mut members: Vec<String> = group
        .members
        .into_iter()
        .map(|member| {
            let mut topics: Vec<String> =
                member.subscribed_topic_names.iter().map(|topic| topic.to_string()).collect();
            topics.sort();
            format!(
                "{} {:?} {:?} epoch {} {} {} {topics:?} {:?} type {} {:?} -> {:?}",
                member.member_id,
                member.instance_id,
                member.rack_id,
                member.member_epoch,
                member.client_id,
                member.client_host,
                member.subscribed_topic_regex,
                member.member_type,
                assigned(member.assignment),
                assigned(member.target_assignment)
            )
        })
        .collect();
    members.sort();
    format!(
        "{} {} {:?} {} epoch {} assignment {} by {:?} {members:?}",
        group.group_id.as_str(),
        group.error_code,
        group.error_message,
        group.group_state,
        group.group_epoch,
        group.assignment_epoch,
        group.assignor_name
    )
}

pub(crate) fn sorted(mut partitions: Vec<i32>) -> Vec<i32> {
    partitions.sort_unstable();
    partitions
}

pub(crate) fn group(name: &str) -> GroupId {
    GroupId(text(name))
}

pub(crate) fn beat(name: &str, member: &str, epoch: i32) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest::default()
        .with_group_id(group(name))
        .with_member_id(text(member))
        .with_member_epoch(epoch)
        .with_rebalance_timeout_ms(-1)
        .with_instance_id(None)
        .with_rack_id(None)
        .with_subscribed_topic_names(None)
        .with_subscribed_topic_regex(None)
        .with_server_assignor(None)
        .with_topic_partitions(None)
}

pub(crate) fn joins(name: &str, member: &str, topics: &[&str]) -> ConsumerGroupHeartbeatRequest {
    beat(name, member, 0)
        .with_rebalance_timeout_ms(60_000)
        .with_subscribed_topic_names(Some(topics.iter().map(|topic| topic_name(topic)).collect()))
        .with_topic_partitions(Some(Vec::new()))
}

pub(crate) fn commit(
    session: &Session,
    name: &str,
    member: &str,
    epoch: i32,
    place: (&str, i32),
) -> OffsetCommitRequest {
    let (topic, partition) = place;
    assert!(session.names.values().any(|known| known == topic));
    let partition = OffsetCommitRequestPartition::default()
        .with_partition_index(partition)
        .with_committed_offset(1)
        .with_committed_metadata(Some(text("")));
    let topic =
        OffsetCommitRequestTopic::default().with_name(topic_name(topic)).with_partitions(vec![partition]);
    OffsetCommitRequest::default()
        .with_group_id(group(name))
        .with_member_id(text(member))
        .with_generation_id_or_member_epoch(epoch)
        .with_topics(vec![topic])
}

#[test]
fn heartbeats_that_make_no_sense() {
    compare(|server, answers| {
        let mut session = Session::with(server, &[("nonsense", 1)]);
        let topics = ["nonsense"];
        for version in [0, 1] {
            let name = format!("nonsense-{version}");
            let good = || joins(&name, "m1", &topics);
            let cases = [
                ("no group", good().with_group_id(group(""))),
                ("a blank group", good().with_group_id(group(" "))),
                ("a blank rack", good().with_rack_id(Some(text(" ")))),
                ("an empty instance", good().with_instance_id(Some(text("")))),
                ("no time-out", good().with_rebalance_timeout_ms(-1)),
                ("no partitions", good().with_topic_partitions(None)),
                ("no topics", good().with_subscribed_topic_names(None)),
                ("an unknown assignor", good().with_server_assignor(Some(text("mine")))),
                ("leaving for a while without an instance", beat(&name, "m1", -2)),
                ("a negative epoch", beat(&name, "m1", -3)),
                ("an unknown group", beat(&name, "m1", 1)),
                ("leaving an unknown group", beat(&name, "m1", -1)),
                ("an epoch and no member", beat(&name, "", 1)),
                ("no member", good().with_member_id(text(""))),
                ("a stranger", beat(&name, "m9", 1)),
                ("a stranger leaves", beat(&name, "m9", -1)),
                ("a strange instance", beat(&name, "m9", 1).with_instance_id(Some(text("i")))),
                ("a strange instance leaves", beat(&name, "m9", -2).with_instance_id(Some(text("i")))),
            ];
            for (case, request) in cases {
                let answer = session.beat_of(version, &request);
                answers.note(&format!("{case}, version {version}"), answer);
            }
            let partition = session.owns(good(), &[("nonsense", 0)]);
            answers
                .note(&format!("joining with partitions, {version}"), session.beat_of(version, &partition));
        }
        for pattern in ["[", "a)(b", "(", "*", "a{2,1}", "a**", "\\", "(?=a)", "(?P<a"] {
            let request = joins("pattern-no", "m1", &[])
                .with_subscribed_topic_names(None)
                .with_subscribed_topic_regex(Some(text(pattern)));
            answers.note(pattern, session.beat(&request));
        }
    });
}

#[test]
fn two_members_share_a_topic() {
    compare(|server, answers| {
        let mut session = Session::with(server, &[("shared", 3)]);
        let s = &mut session;
        let topics = ["shared"];
        answers.note("the first", s.beat(&joins("share", "m1", &topics)));
        answers.note("what it has", s.beat(&s.owns(beat("share", "m1", 2), &[("shared", 0)])));
        answers.note("the second", s.beat(&joins("share", "m2", &topics)));
        answers.note("an epoch of its own", s.beat(&beat("share", "m1", 9)));
        answers.note("it waits", s.beat(&beat("share", "m2", 3)));
        answers.note("the first is to give up", s.beat(&beat("share", "m1", 2)));
        answers.note("on the way", s.describe(&["share"]));
        answers.note(
            "it has not",
            s.beat(&s.owns(beat("share", "m1", 2), &[("shared", 0), ("shared", 1), ("shared", 2)])),
        );
        answers.note("it has", s.beat(&s.owns(beat("share", "m1", 2), &[])));
        answers.note("the answer was lost", s.beat(&s.owns(beat("share", "m1", 2), &[])));
        answers.note("an old epoch without a list", s.beat(&beat("share", "m1", 2)));
        answers.note("the second gets it", s.beat(&beat("share", "m2", 3)));
        answers.note("at rest", s.describe(&["share"]));
        answers.note("the first begins anew", s.beat(&joins("share", "m1", &topics)));
        let full = s.owns(joins("share", "m2", &topics).with_member_epoch(3), &[("shared", 2)]);
        answers.note("a full request", s.beat(&full));
        answers.note(
            "another assignor",
            s.beat(&beat("share", "m2", 3).with_server_assignor(Some(text("range")))),
        );
        answers.note(
            "no topics any more",
            s.beat(&beat("share", "m1", 3).with_subscribed_topic_names(Some(vec![]))),
        );
        answers.note("different subscriptions", s.describe(&["share"]));
        answers.note("leaving", s.beat(&beat("share", "m1", -1)));
        answers.note("all for the second", s.beat(&s.owns(beat("share", "m2", 3), &[("shared", 2)])));
        answers.note("the second leaves", s.beat(&beat("share", "m2", -1)));
        answers.note("empty", s.describe(&["share", "share-never", ""]));
    });
}

#[test]
fn static_members_come_and_go() {
    compare(|server, answers| {
        let mut session = Session::with(server, &[("static", 2)]);
        let s = &mut session;
        let of = |request: ConsumerGroupHeartbeatRequest| request.with_instance_id(Some(text("i1")));
        let topics = ["static"];
        answers.note("the first", s.beat(&of(joins("stat", "m1", &topics)).with_rack_id(Some(text("r1")))));
        answers.note("not released", s.beat(&of(joins("stat", "m2", &topics))));
        answers.note("fenced", s.beat(&of(beat("stat", "m2", 2))));
        answers.note("leaving for a while", s.beat(&of(beat("stat", "m1", -2))));
        answers.note("away", s.describe(&["stat"]));
        answers.note("speaking while away", s.beat(&of(beat("stat", "m1", 2))));
        answers.note("coming back", s.beat(&of(joins("stat", "m2", &topics))));
        answers.note("the old one", s.beat(&of(beat("stat", "m1", 2))));
        answers.note("back", s.describe(&["stat"]));
        answers.note("another one", s.beat(&joins("stat", "m3", &topics)));
        answers.note("fenced when leaving", s.beat(&of(beat("stat", "m1", -1))));
        answers.note("leaving", s.beat(&of(beat("stat", "m2", -1))));
        answers.note("the other has all", s.beat(&beat("stat", "m3", 3)));
    });
}

#[test]
fn offsets_by_member_epoch() {
    compare(|server, answers| {
        let mut session = Session::with(server, &[("offs", 2)]);
        let s = &mut session;
        let ask = |s: &mut Session, version: i16, member: &str, epoch: i32, partition: i32| {
            let request = commit(s, "offs", member, epoch, ("offs", partition));
            s.wire.call(version, &request)
        };
        answers.note("before there is a group", ask(s, 9, "m1", 3, 0));
        answers.note("before there is a group, old", ask(s, 8, "m1", 3, 0));
        answers.note("a simple group", ask(s, 9, "", -1, 0));
        answers.note("the first", s.beat(&joins("offs", "m1", &["offs"])));
        for (case, version, member, epoch) in [
            ("from outside", 9, "", -1),
            ("of the member", 9, "m1", 2),
            ("of the member, old", 8, "m1", 2),
            ("of an older epoch", 9, "m1", 1),
            ("of a later epoch", 9, "m1", 3),
            ("of a stranger", 9, "m9", 2),
        ] {
            answers.note(case, ask(s, version, member, epoch, 0));
        }
        answers.note("the second", s.beat(&joins("offs", "m2", &["offs"])));
        answers.note("gives up", s.beat(&s.owns(beat("offs", "m1", 2), &[])));
        for partition in [0, 1] {
            answers.note("in the epoch before", ask(s, 9, "m1", 2, partition));
        }
        let fetch = |s: &mut Session, member: Option<&str>, epoch: i32| {
            let topics = OffsetFetchRequestTopics::default()
                .with_name(topic_name("offs"))
                .with_partition_indexes(vec![0, 1]);
            let asked = OffsetFetchRequestGroup::default()
                .with_group_id(group("offs"))
                .with_member_id(member.map(text))
                .with_member_epoch(epoch)
                .with_topics(Some(vec![topics]));
            s.wire.call(9, &OffsetFetchRequest::default().with_groups(vec![asked]))
        };
        answers.note("fetched from outside", fetch(s, None, -1));
        answers.note("fetched by the member", fetch(s, Some("m1"), 3));
        answers.note("fetched in an older epoch", fetch(s, Some("m1"), 2));
        answers.note("fetched by a stranger", fetch(s, Some("m9"), 3));
        answers.note("fetched by nobody", fetch(s, Some(""), 3));
    });
}

#[test]
fn groups_as_operators_see_them() {
    compare(|server, answers| {
        let mut session = Session::with(server, &[("seen", 2)]);
        let s = &mut session;
        s.beat(&joins("seen", "m1", &["seen"]));
        s.beat(&joins("seen", "m2", &["seen"]));
        let list = |s: &mut Session, states: &[&str], types: &[&str]| {
            let texts = |names: &[&str]| names.iter().map(|name| text(name)).collect();
            let request = ListGroupsRequest::default()
                .with_states_filter(texts(states))
                .with_types_filter(texts(types));
            let mut groups = s.wire.call(5, &request).groups;
            groups.retain(|listed| listed.group_id.as_str() == "seen");
            groups
        };
        answers.note("listed", list(s, &[], &[]));
        answers.note("listed by type", list(s, &[], &["consumer"]));
        answers.note("of another type", list(s, &[], &["Classic"]));
        answers.note("listed by state", list(s, &["reconciling"], &[]));
        answers.note("of another state", list(s, &["Stable"], &[]));
        for version in [5, 6] {
            let request = DescribeGroupsRequest::default().with_groups(vec![group("seen")]);
            answers.note("as a classic group", s.wire.call(version, &request));
        }
        let delete = DeleteGroupsRequest::default().with_groups_names(vec![group("seen")]);
        answers.note("deleting", s.wire.call(2, &delete));
        s.beat(&beat("seen", "m1", -1));
        answers.note("assigning", s.describe(&["seen"]));
        s.beat(&beat("seen", "m2", -1));
        answers.note("deleting it empty", s.wire.call(2, &delete));
        answers.note("gone", s.describe(&["seen"]));
    });
}

/// Subscription of version 0 to a topic.
pub(crate) fn subscription(topic: &str) -> Bytes {
    let mut bytes = vec![0, 0, 0, 0, 0, 1];
    bytes.extend(u16::try_from(topic.len()).expect("a short name").to_be_bytes());
    bytes.extend(topic.as_bytes());
    bytes.extend([0xff; 4]);
    bytes.into()
}

pub(crate) fn classic_join(name: &str, member: &str, instance: &str, topic: &str) -> JoinGroupRequest {
    let protocol =
        JoinGroupRequestProtocol::default().with_name(text("range")).with_metadata(subscription(topic));
    JoinGroupRequest::default()
        .with_group_id(group(name))
        .with_member_id(text(member))
        .with_group_instance_id(Some(text(instance)))
        .with_session_timeout_ms(30_000)
        .with_rebalance_timeout_ms(30_000)
        .with_protocol_type(text("consumer"))
        .with_protocols(vec![protocol])
}

#[test]
fn classic_members_in_a_consumer_group() {
    compare(|server, answers| {
        let mut session = Session::with(server, &[("mixed", 2)]);
        let s = &mut session;
        answers.note("the first", s.beat(&joins("mixed", "m1", &["mixed"])));
        let other = classic_join("mixed", "", "i9", "mixed").with_protocol_type(text("connect"));
        answers.note("of another kind", s.wire.call(9, &other));
        let joined = s.wire.call(9, &classic_join("mixed", "", "i1", "mixed"));
        let id = joined.member_id.to_string();
        answers.note("a classic one", joined.with_member_id(text("made")));
        let sync = |s: &mut Session, member: &str, generation: i32, protocol: &str| {
            let request = SyncGroupRequest::default()
                .with_group_id(group("mixed"))
                .with_member_id(text(member))
                .with_group_instance_id(Some(text("i1")))
                .with_generation_id(generation)
                .with_protocol_type(Some(text("consumer")))
                .with_protocol_name(Some(text(protocol)));
            s.wire.call(5, &request)
        };
        let heart = |s: &mut Session, member: &str, generation: i32| {
            let request = HeartbeatRequest::default()
                .with_group_id(group("mixed"))
                .with_member_id(text(member))
                .with_group_instance_id(Some(text("i1")))
                .with_generation_id(generation);
            s.wire.call(4, &request)
        };
        answers.note("its part", sync(s, &id, 3, "range"));
        answers.note("another protocol", sync(s, &id, 3, "sticky"));
        answers.note("another generation", sync(s, &id, 2, "range"));
        answers.note("fenced", sync(s, "m9", 3, "range"));
        answers.note("its heartbeat", heart(s, &id, 3));
        answers.note("the first gives up", s.beat(&s.owns(beat("mixed", "m1", 2), &[])));
        answers.note("there is more to have", heart(s, &id, 3));
        answers.note(
            "it joins again",
            s.wire.call(9, &classic_join("mixed", &id, "i1", "mixed")).with_member_id(text("made")),
        );
        answers.note("its new part", sync(s, &id, 3, "range"));
        answers.note("at rest", heart(s, &id, 3));
        let beat_of_first = HeartbeatRequest::default()
            .with_group_id(group("mixed"))
            .with_member_id(text("m1"))
            .with_generation_id(3);
        answers.note("the wrong protocol", s.wire.call(4, &beat_of_first));
        answers.note("the last of its protocol leaves", s.beat(&beat("mixed", "m1", -1)));
        answers.note("not a consumer group", s.describe(&["mixed"]));
        let request = DescribeGroupsRequest::default().with_groups(vec![group("mixed")]);
        let mut described = s.wire.call(6, &request).groups;
        described.iter_mut().flat_map(|group| &mut group.members).for_each(|member| {
            member.member_id = text("made");
        });
        answers.note("but a classic one", described);
        answers.note("which rebalances", heart(s, &id, 3));
        let rejoined = s.wire.call(9, &classic_join("mixed", &id, "i1", "mixed"));
        answers.note("and goes on", (rejoined.error_code, rejoined.generation_id, rejoined.members.len()));
        // Which of the two gets which part depends on the id that was made.
        let fresh = s.wire.call(1, &joins("mixed", "m2", &["mixed"]));
        answers.note("back to the consumer protocol", (fresh.error_code, fresh.member_epoch));
        let leaving = MemberIdentity::default().with_group_instance_id(Some(text("i1")));
        let leave = LeaveGroupRequest::default().with_group_id(group("mixed")).with_members(vec![leaving]);
        answers.note("the classic one goes", s.wire.call(5, &leave));
        let left = s.wire.call(1, &beat("mixed", "m2", 5));
        answers.note("one is left", (left.error_code, left.member_epoch));
    });
}

#[test]
fn patterns_are_looked_up() {
    compare(|server, answers| {
        let mut session = Session::with(server, &[("looked-a", 1), ("looked-b", 2)]);
        let s = &mut session;
        let request = joins("looks", "m1", &[])
            .with_subscribed_topic_names(None)
            .with_subscribed_topic_regex(Some(text("looked-.")));
        answers.note("not known yet", s.beat(&request));
        let mut epoch = 1;
        let found = wait::until(wait::PATIENCE, "the topics of the pattern", || {
            let answer = s.wire.call(1, &beat("looks", "m1", epoch));
            epoch = answer.member_epoch;
            answer.assignment.filter(|assigned| !assigned.topic_partitions.is_empty())
        });
        answers.note("found", (epoch, found.topic_partitions.len()));
        answers.note("described", s.describe(&["looks"]));
        let same = joins("looks", "m2", &[])
            .with_subscribed_topic_names(None)
            .with_subscribed_topic_regex(Some(text("looked-.")));
        answers.note("known now", s.beat(&same).len() > 10);
        answers.note("both", s.describe(&["looks"]).len());
    });
}
