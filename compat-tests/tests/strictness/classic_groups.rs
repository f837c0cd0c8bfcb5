//! Groups of the classic protocol with more than one member: generations, leaders, votes, static members, full groups.

use bytes::Bytes;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    DescribeGroupsRequest, HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest,
    ListGroupsRequest, SyncGroupRequest,
};
use milena_compat_tests::wire::Wire;
use milena_compat_tests::{Server, wait};

use crate::consumer_groups::group;
use crate::groups::coordinator_is_there;
use crate::{compare, text};

const JOIN: i16 = 9;
const SYNC: i16 = 5;

/// A member with a connection of its own, so that it can wait while others speak.
struct Member {
    wire: Wire,
    group: String,
    id: String,
    instance: Option<&'static str>,
    generation: i32,
    /// What it can do, in order, each with the same metadata: its own mark.
    protocols: &'static [&'static str],
    mark: u8,
}

impl Member {
    fn new(server: &Server, group: &str, mark: u8) -> Self {
        let wire = server.wire();
        let protocols = &["range"];
        Self {
            wire,
            group: group.to_owned(),
            id: String::new(),
            instance: None,
            generation: -1,
            protocols,
            mark,
        }
    }

    fn request(&self) -> JoinGroupRequest {
        let protocol = |name: &&str| {
            JoinGroupRequestProtocol::default()
                .with_name(text(name))
                .with_metadata(Bytes::copy_from_slice(&[self.mark]))
        };
        JoinGroupRequest::default()
            .with_group_id(group(&self.group))
            .with_member_id(text(&self.id))
            .with_group_instance_id(self.instance.map(text))
            .with_session_timeout_ms(30_000)
            .with_rebalance_timeout_ms(60_000)
            .with_protocol_type(text("consumer"))
            .with_protocols(self.protocols.iter().map(protocol).collect())
    }

    /// Begins to join; the answer comes when all have.
    fn starts_to_join(&mut self) {
        if self.id.is_empty() && self.instance.is_none() {
            self.id = self.wire.call(JOIN, &self.request()).member_id.to_string();
        }
        let request = self.request();
        self.wire.start(JOIN, &request);
    }

    fn has_joined(&mut self) -> String {
        let answer = self.wire.finish::<JoinGroupRequest>(JOIN);
        self.id = answer.member_id.to_string();
        self.generation = answer.generation_id;
        told(&answer)
    }

    fn joins(&mut self) -> String {
        self.starts_to_join();
        self.has_joined()
    }

    fn sync(&self, parts: &[(&str, &'static [u8])]) -> SyncGroupRequest {
        let part = |(member, part): &(&str, &'static [u8])| {
            SyncGroupRequestAssignment::default()
                .with_member_id(text(member))
                .with_assignment(Bytes::from_static(part))
        };
        SyncGroupRequest::default()
            .with_group_id(group(&self.group))
            .with_member_id(text(&self.id))
            .with_group_instance_id(self.instance.map(text))
            .with_generation_id(self.generation)
            .with_protocol_type(Some(text("consumer")))
            .with_protocol_name(Some(text(self.protocols[0])))
            .with_assignments(parts.iter().map(part).collect())
    }

    fn starts_to_sync(&mut self, parts: &[(&str, &'static [u8])]) {
        let request = self.sync(parts);
        self.wire.start(SYNC, &request);
    }

    fn has_synced(&mut self) -> (i16, Bytes) {
        let answer = self.wire.finish::<SyncGroupRequest>(SYNC);
        (answer.error_code, answer.assignment)
    }

    fn syncs(&mut self, parts: &[(&str, &'static [u8])]) -> (i16, Bytes) {
        self.starts_to_sync(parts);
        self.has_synced()
    }

    fn beats(&mut self) -> i16 {
        let request = HeartbeatRequest::default()
            .with_group_id(group(&self.group))
            .with_member_id(text(&self.id))
            .with_group_instance_id(self.instance.map(text))
            .with_generation_id(self.generation);
        self.wire.call(4, &request).error_code
    }

    /// Waits until it hears that it has to join again.
    fn hears_of_it(&mut self) {
        wait::until(wait::PATIENCE, "a rebalance", || (self.beats() == 27).then_some(()));
    }

    fn leaves(&mut self, version: i16) -> (i16, Vec<i16>) {
        let who = MemberIdentity::default()
            .with_member_id(text(&self.id))
            .with_group_instance_id(self.instance.map(text));
        let request = LeaveGroupRequest::default().with_group_id(group(&self.group));
        let request = match version {
            0..=2 => request.with_member_id(text(&self.id)),
            _ => request.with_members(vec![who]),
        };
        let answer = self.wire.call(version, &request);
        (answer.error_code, answer.members.iter().map(|member| member.error_code).collect())
    }
}

/// What a member hears, but for the ids that brokers make.
fn told(answer: &JoinGroupResponse) -> String {
    let mut members: Vec<_> = answer
        .members
        .iter()
        .map(|member| {
            (member.metadata.clone(), member.group_instance_id.clone(), member.member_id == answer.leader)
        })
        .collect();
    members.sort();
    format!(
        "{} generation {} {:?} {:?} leads {} skips {} {members:?}",
        answer.error_code,
        answer.generation_id,
        answer.protocol_type,
        answer.protocol_name,
        answer.leader == answer.member_id,
        answer.skip_assignment
    )
}

fn described(server: &Server, name: &str) -> String {
    let request = DescribeGroupsRequest::default().with_groups(vec![group(name)]);
    let mut groups = server.wire().call(6, &request).groups;
    let told = groups.remove(0);
    let mut members: Vec<_> = told
        .members
        .iter()
        .map(|member| {
            let part = (member.member_metadata.clone(), member.member_assignment.clone());
            (part, member.group_instance_id.clone(), member.client_id.clone(), member.client_host.clone())
        })
        .collect();
    members.sort();
    format!(
        "{} {:?} {} {} {} {members:?}",
        told.error_code, told.error_message, told.group_state, told.protocol_type, told.protocol_data
    )
}

#[test]
fn two_members_through_their_generations() {
    compare(|server, answers| {
        coordinator_is_there(server);
        let (mut first, mut second) = (Member::new(server, "gens", 1), Member::new(server, "gens", 2));
        answers.note("the first", first.joins());
        answers.note("waits for its leader", described(server, "gens"));
        answers.note("a beat before the part", first.beats());
        let own = first.id.clone();
        answers.note("deals itself a part", first.syncs(&[(&own, b"all")]));
        answers.note("at rest", described(server, "gens"));
        second.starts_to_join();
        first.hears_of_it();
        answers.note("on the way", described(server, "gens"));
        answers.note("a sync meanwhile", first.syncs(&[]));
        answers.note("the first again", first.joins());
        answers.note("the second", second.has_joined());
        answers.note("all joined", described(server, "gens"));
        second.starts_to_sync(&[]);
        let (one, two) = (first.id.clone(), second.id.clone());
        answers.note("the leader deals", first.syncs(&[(&one, b"one"), (&two, b"two"), ("nobody", b"x")]));
        answers.note("the second's part", second.has_synced());
        answers.note("dealt", described(server, "gens"));
        answers.note("beats", (first.beats(), second.beats()));
        answers.note("the second joins with nothing new", second.joins());
        answers.note("its part once more", second.syncs(&[]));
        second.mark = 3;
        second.starts_to_join();
        first.hears_of_it();
        answers.note("with something new", first.joins());
        answers.note("so it was", second.has_joined());
        second.starts_to_sync(&[]);
        answers.note("a part for one only", first.syncs(&[(&one, b"all")]));
        answers.note("none for the other", second.has_synced());
        first.starts_to_join();
        second.hears_of_it();
        answers.note("the leader wants to deal anew", second.joins());
        answers.note("and does", first.has_joined());
        answers.note("the leader leaves", first.leaves(5));
        answers.note("leaves again", first.leaves(5));
        second.hears_of_it();
        answers.note("the second leads", second.joins());
        answers.note("by an old version", second.leaves(2));
        answers.note("by an old version again", second.leaves(0));
        answers.note("empty", described(server, "gens"));
    });
}

#[test]
fn the_protocol_that_all_can_and_most_prefer() {
    compare(|server, answers| {
        coordinator_is_there(server);
        let mut voters: Vec<Member> = (1..=3).map(|mark| Member::new(server, "votes", mark)).collect();
        voters[0].protocols = &["a", "b", "c"];
        voters[1].protocols = &["c", "b"];
        voters[2].protocols = &["b", "c"];
        answers.note("alone", voters[0].joins());
        let own = voters[0].id.clone();
        answers.note("dealt", voters[0].syncs(&[(&own, b"all")]));
        let mut stranger = Member::new(server, "votes", 9);
        stranger.protocols = &["z"];
        answers.note("nothing in common", stranger.joins());
        let other = voters[1].request().with_protocol_type(text("connect"));
        answers.note("of another kind", told(&voters[1].wire.call(JOIN, &other)));
        voters[1].starts_to_join();
        voters[0].hears_of_it();
        voters[2].starts_to_join();
        wait::until(wait::PATIENCE, "three members", || {
            let request = DescribeGroupsRequest::default().with_groups(vec![group("votes")]);
            (server.wire().call(5, &request).groups[0].members.len() == 3).then_some(())
        });
        answers.note("chosen", voters[0].joins());
        answers.note("for the second", voters[1].has_joined());
        answers.note("for the third", voters[2].has_joined());
        answers.note("the wrong one", voters[1].syncs(&[]));
        let mut left = Vec::new();
        for voter in &mut voters {
            left.push(voter.leaves(4));
        }
        answers.note("all leave", left);
    });
}

#[test]
fn static_members_of_a_classic_group() {
    compare(|server, answers| {
        coordinator_is_there(server);
        let member = |instance: &'static str, mark: u8| {
            let mut member = Member::new(server, "named", mark);
            member.instance = Some(instance);
            member
        };
        let (mut one, mut two) = (member("i1", 1), member("i2", 2));
        answers.note("the first", one.joins());
        two.starts_to_join();
        one.hears_of_it();
        answers.note("both", one.joins());
        answers.note("the second", two.has_joined());
        two.starts_to_sync(&[]);
        let (a, b) = (one.id.clone(), two.id.clone());
        answers.note("dealt", one.syncs(&[(&a, b"one"), (&b, b"two")]));
        answers.note("to both", two.has_synced());

        let mut heir = member("i2", 2);
        answers.note("an heir of the follower", heir.joins());
        answers.note("its part", heir.syncs(&[]));
        answers.note("the one before is fenced", two.beats());
        answers.note("cannot sync", two.syncs(&[]));
        answers.note("cannot leave", two.leaves(5));
        answers.note("cannot join", two.joins());
        let mut heiress = member("i1", 1);
        answers.note("an heir of the leader", heiress.joins());
        answers.note("its part too", heiress.syncs(&[]));
        answers.note("described", described(server, "named"));
        let mut other = member("i2", 7);
        answers.note("an heir with something new", other.joins());
        answers.note("changes nothing", (other.syncs(&[]), other.beats(), heiress.beats()));
        let leave = |instance: &str| {
            let who = MemberIdentity::default().with_group_instance_id(Some(text(instance)));
            let request = LeaveGroupRequest::default().with_group_id(group("named")).with_members(vec![who]);
            let answer = server.wire().call(5, &request);
            (answer.error_code, answer.members.iter().map(|member| member.error_code).collect::<Vec<_>>())
        };
        answers.note("nobody has this name", leave("i9"));
        answers.note("by name", leave("i2"));
        answers.note("the other by name", leave("i1"));
        answers.note("empty", described(server, "named"));
    });
}

#[test]
fn a_classic_group_that_is_full() {
    compare(|server, answers| {
        coordinator_is_there(server);
        let mut members: Vec<Member> = (1..=5).map(|mark| Member::new(server, "crowd", mark)).collect();
        answers.note("the first", members[0].joins());
        let own = members[0].id.clone();
        answers.note("dealt", members[0].syncs(&[(&own, b"all")]));
        for member in &mut members[1..4] {
            member.starts_to_join();
        }
        wait::until(wait::PATIENCE, "four members", || {
            let request = DescribeGroupsRequest::default().with_groups(vec![group("crowd")]);
            (server.wire().call(5, &request).groups[0].members.len() == 4).then_some(())
        });
        // Three are waiting, and the first has a place that it has yet to take.
        members[0].starts_to_join();
        let mut joined: Vec<String> = members[..4].iter_mut().map(Member::has_joined).collect();
        joined.sort();
        answers.note("four", joined);
        answers.note("the fifth", members[4].joins());
        answers.note("one leaves", members[3].leaves(5));
        answers.note("a place to take", {
            members[4].id.clear();
            let request = members[4].request();
            members[4].wire.call(JOIN, &request).error_code
        });
        let states = ListGroupsRequest::default().with_states_filter(vec![text("preparingrebalance")]);
        let mut listed = server.wire().call(4, &states).groups;
        listed.retain(|one| one.group_id.as_str() == "crowd");
        answers.note("listed by its state", listed);
    });
}

#[test]
fn versions_of_join_that_know_less() {
    compare(|server, answers| {
        coordinator_is_there(server);
        for version in 0..=9 {
            let mut member = Member::new(server, &format!("old-{version}"), 1);
            let mut request = member.request();
            if version == 0 {
                request.rebalance_timeout_ms = -1;
            }
            let mut answer = member.wire.call(version, &request);
            if answer.error_code == 79 {
                answers.note(&format!("named first, version {version}"), told(&answer));
                request.member_id = answer.member_id.clone();
                answer = member.wire.call(version, &request);
            }
            answers.note(&format!("joined, version {version}"), told(&answer));
            member.id = answer.member_id.to_string();
            member.generation = answer.generation_id;
            let own = member.id.clone();
            let mut sync = member.sync(&[(&own, b"all")]);
            let sync_version = version.min(SYNC);
            if sync_version < 5 {
                sync = sync.with_protocol_type(None).with_protocol_name(None);
            }
            answers.note(&format!("synced, version {version}"), member.wire.call(sync_version, &sync));
            let beat = HeartbeatRequest::default()
                .with_group_id(group(&member.group))
                .with_member_id(text(&own))
                .with_generation_id(member.generation);
            answers.note(&format!("beats, version {version}"), member.wire.call(version.min(4), &beat));
            answers.note(&format!("leaves, version {version}"), member.leaves(version.min(5)));
        }
    });
}
