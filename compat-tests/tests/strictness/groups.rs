//! Refused members and offsets.

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
use kafka_protocol::messages::{
    DeleteGroupsRequest, DescribeGroupsRequest, FindCoordinatorRequest, GroupId, HeartbeatRequest,
    InitProducerIdRequest, JoinGroupRequest, LeaveGroupRequest, OffsetCommitRequest, OffsetDeleteRequest,
    OffsetFetchRequest, SyncGroupRequest, TransactionalId,
};
use milena_compat_tests::{Server, wait};

use crate::topics::create_with;
use crate::{compare, text, topic_name};

fn group(name: &str) -> GroupId {
    GroupId(text(name))
}

/// The coordinator's topic is made by the first question for it.
pub(crate) fn coordinator_is_there(server: &Server) {
    wait::until_like(
        wait::PATIENCE,
        "a coordinator",
        || server.wire().call(4, &HeartbeatRequest::default().with_group_id(group("nobody"))).error_code,
        |code| {
            let find = FindCoordinatorRequest::default().with_coordinator_keys(vec![text("nobody")]);
            server.wire().call(4, &find);
            *code == 25
        },
    );
}

fn join(name: &str, member: &str) -> JoinGroupRequest {
    let protocol = JoinGroupRequestProtocol::default()
        .with_name(text("range"))
        .with_metadata(Bytes::from_static(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0]));
    JoinGroupRequest::default()
        .with_group_id(group(name))
        .with_member_id(text(member))
        .with_session_timeout_ms(10_000)
        .with_rebalance_timeout_ms(10_000)
        .with_protocol_type(text("consumer"))
        .with_protocols(vec![protocol])
}

fn commit(name: &str, topic: &str, generation: i32, metadata: &str) -> OffsetCommitRequest {
    let place = OffsetCommitRequestPartition::default()
        .with_partition_index(0)
        .with_committed_offset(1)
        .with_committed_metadata(Some(text(metadata)));
    let topic = OffsetCommitRequestTopic::default().with_name(topic_name(topic)).with_partitions(vec![place]);
    OffsetCommitRequest::default()
        .with_group_id(group(name))
        .with_generation_id_or_member_epoch(generation)
        .with_topics(vec![topic])
}

#[test]
fn members_that_are_not_let_in() {
    compare(|server, answers| {
        coordinator_is_there(server);
        answers.note("no group", server.wire().call(9, &join("", "")));
        answers
            .note("too short a session", server.wire().call(9, &join("in", "").with_session_timeout_ms(10)));
        answers.note(
            "too long a session",
            server.wire().call(9, &join("in", "").with_session_timeout_ms(i32::MAX)),
        );
        answers.note("a made up member", server.wire().call(9, &join("in", "made-up")));
        answers.note("no protocol", server.wire().call(9, &join("in", "").with_protocols(vec![])));
        answers.note("no protocol type", server.wire().call(9, &join("in", "").with_protocol_type(text(""))));
        let first = server.wire().call(9, &join("in", ""));
        answers.note(
            "the first join names the member",
            (first.error_code, first.generation_id, first.member_id.is_empty()),
        );

        let beat = |name: &str, member: &str, generation: i32| {
            let request = HeartbeatRequest::default()
                .with_group_id(group(name))
                .with_member_id(text(member))
                .with_generation_id(generation);
            server.wire().call(4, &request)
        };
        answers.note("a heartbeat of a stranger", beat("in", "stranger", 1));
        answers.note("a heartbeat without a group", beat("", "stranger", 1));
        answers.note("a heartbeat for an unknown group", beat("out", "stranger", 1));

        let sync = |name: &str, member: &str| {
            let request = SyncGroupRequest::default()
                .with_group_id(group(name))
                .with_member_id(text(member))
                .with_generation_id(1)
                .with_protocol_type(Some(text("consumer")))
                .with_protocol_name(Some(text("range")));
            server.wire().call(5, &request)
        };
        answers.note("a sync of a stranger", sync("in", "stranger"));
        answers.note("a sync for an unknown group", sync("out", "stranger"));
        answers.note("a sync without a group", sync("", "stranger"));

        let leave = |name: &str, member: &str| {
            let member = MemberIdentity::default().with_member_id(text(member)).with_group_instance_id(None);
            server
                .wire()
                .call(5, &LeaveGroupRequest::default().with_group_id(group(name)).with_members(vec![member]))
        };
        answers.note("a stranger leaves", leave("in", "stranger"));
        answers.note("a stranger leaves an unknown group", leave("out", "stranger"));
        answers.note("a stranger leaves no group", leave("", "stranger"));
    });
}

#[test]
fn a_single_member_goes_through_a_generation() {
    compare(|server, answers| {
        coordinator_is_there(server);
        let mut wire = server.wire();
        let named = wire.call(9, &join("alone", ""));
        let member = named.member_id.to_string();
        let joined = wire.call(9, &join("alone", &member));
        answers.note(
            "joined",
            (joined.error_code, joined.generation_id, &joined.protocol_name, &joined.protocol_type),
        );
        answers
            .note("leads", (joined.leader == joined.member_id, joined.members.len(), joined.skip_assignment));
        let sync = |generation: i32, protocol: &str| {
            SyncGroupRequest::default()
                .with_group_id(group("alone"))
                .with_member_id(text(&member))
                .with_generation_id(generation)
                .with_protocol_type(Some(text("consumer")))
                .with_protocol_name(Some(text(protocol)))
        };
        answers.note("a wrong generation", wire.call(5, &sync(9, "range")));
        answers.note("a wrong protocol", wire.call(5, &sync(1, "sticky")));
        answers.note("the right ones", wire.call(5, &sync(1, "range")));
        answers.note("again", wire.call(5, &sync(1, "range")));
        let other = join("alone", &member).with_protocol_type(text("connect"));
        answers.note("another protocol type", wire.call(9, &other).error_code);
        create_with(server, "alone", &[]);
        answers.note("a commit of a stranger", wire.call(9, &commit("alone", "alone", -1, "")));
        let of_member = commit("alone", "alone", 4, "").with_member_id(text(&member));
        answers.note("a commit of another generation", wire.call(9, &of_member));
        let of_member = commit("alone", "alone", 1, "").with_member_id(text(&member));
        answers.note("a commit of this one", wire.call(9, &of_member));
        let delete = DeleteGroupsRequest::default().with_groups_names(vec![group("alone")]);
        answers.note("deleting a group with a member", wire.call(2, &delete));
        let beat = |generation: i32| {
            HeartbeatRequest::default()
                .with_group_id(group("alone"))
                .with_member_id(text(&member))
                .with_generation_id(generation)
        };
        answers.note("a heartbeat of another generation", wire.call(4, &beat(7)));
        answers.note("a heartbeat", wire.call(4, &beat(1)));
        let member = MemberIdentity::default().with_member_id(text(&member)).with_group_instance_id(None);
        let leave = LeaveGroupRequest::default().with_group_id(group("alone")).with_members(vec![member]);
        answers.note("leaving", wire.call(4, &leave).error_code);
        answers.note("deleting an empty group", wire.call(2, &delete));
    });
}

#[test]
fn offsets_that_are_not_kept() {
    compare(|server, answers| {
        coordinator_is_there(server);
        create_with(server, "kept", &[]);
        let mut wire = server.wire();
        answers.note("metadata too long", wire.call(9, &commit("keeps", "kept", -1, &"m".repeat(4097))));
        answers.note("an unknown topic", wire.call(9, &commit("keeps", "unkept", -1, "")));
        answers.note("no group", wire.call(9, &commit("", "kept", -1, "")));
        answers.note("a generation without a group", wire.call(9, &commit("keeps-not", "kept", 3, "")));
        answers.note("a good one", wire.call(9, &commit("keeps", "kept", -1, "note")));

        let fetch = |name: &str, topic: Option<&str>| {
            let topics = topic.map(|topic| {
                vec![
                    OffsetFetchRequestTopics::default()
                        .with_name(topic_name(topic))
                        .with_partition_indexes(vec![0, 7]),
                ]
            });
            let group = OffsetFetchRequestGroup::default().with_group_id(group(name)).with_topics(topics);
            server.wire().call(9, &OffsetFetchRequest::default().with_groups(vec![group]))
        };
        answers.note("kept and unknown partitions", fetch("keeps", Some("kept")));
        answers.note("an unknown topic's offsets", fetch("keeps", Some("unkept")));
        answers.note("an unknown group's offsets", fetch("never", Some("kept")));
        answers.note("all of a group", fetch("keeps", None));
        answers.note("all of an unknown group", fetch("never", None));

        let delete = |name: &str, topic: &str, partition: i32| {
            let place = OffsetDeleteRequestPartition::default().with_partition_index(partition);
            let topic =
                OffsetDeleteRequestTopic::default().with_name(topic_name(topic)).with_partitions(vec![place]);
            server
                .wire()
                .call(0, &OffsetDeleteRequest::default().with_group_id(group(name)).with_topics(vec![topic]))
        };
        answers.note("deleting in an unknown group", delete("never", "kept", 0));
        answers.note("deleting of an unknown topic", delete("keeps", "unkept", 0));
        answers.note("deleting of an unknown partition", delete("keeps", "kept", 7));
        answers.note("deleting", delete("keeps", "kept", 0));

        let delete = DeleteGroupsRequest::default().with_groups_names(vec![group("never"), group("")]);
        let mut deleted = wire.call(2, &delete).results;
        deleted.sort_by_key(|result| result.group_id.to_string());
        answers.note("deleting unknown groups", deleted);
        let describe = |version| {
            let asked = DescribeGroupsRequest::default().with_groups(vec![group("never"), group("")]);
            let mut told = server.wire().call(version, &asked).groups;
            told.sort_by_key(|described| described.group_id.to_string());
            told
        };
        answers.note("describing unknown groups", describe(6));
        answers.note("describing unknown groups, old", describe(5));
    });
}

#[test]
fn coordinators_and_producers_that_cannot_be_had() {
    compare(|server, answers| {
        coordinator_is_there(server);
        let find = |kind: i8, key: &str| {
            let request =
                FindCoordinatorRequest::default().with_key_type(kind).with_coordinator_keys(vec![text(key)]);
            let answer = server.wire().try_call(4, &request);
            answer
                .map(|found| {
                    let found = &found.coordinators[0];
                    (found.error_code, found.node_id)
                })
                .map_err(|error| error.kind())
        };
        answers.note("a group", find(0, "somebody"));
        answers.note("an unknown kind", find(9, "somebody"));
        answers.note("no name", find(0, ""));

        let init = |id: Option<&str>, timeout: i32| {
            let request = InitProducerIdRequest::default()
                .with_transactional_id(id.map(|id| TransactionalId(text(id))))
                .with_transaction_timeout_ms(timeout);
            server.wire().call(4, &request).error_code
        };
        answers.note("an empty transactional id", init(Some(""), 1000));
        wait::until(wait::PATIENCE, "a producer id", || (init(None, 1000) == 0).then_some(()));
        answers.note("no timeout", init(None, 0));
    });
}
