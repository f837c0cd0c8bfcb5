//! Longer lives of groups of the consumer protocol: static members, full groups, settings of one group, offsets by topic id, and the
//! way from the classic protocol and back.

use bytes::Bytes;
use kafka_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource as Resource, AlterableConfig,
};
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
use kafka_protocol::messages::{
    ConsumerGroupHeartbeatRequest, DeleteGroupsRequest, DescribeGroupsRequest, HeartbeatRequest,
    IncrementalAlterConfigsRequest, JoinGroupResponse, LeaveGroupRequest, ListGroupsRequest,
    OffsetCommitRequest, OffsetFetchRequest, SyncGroupRequest,
};
use milena_compat_tests::{Server, wait};
use uuid::Uuid;

use crate::consumer_groups::{Session, beat, classic_join, commit, group, joins, subscription};
use crate::{compare, text, topic_name};

fn instance(request: ConsumerGroupHeartbeatRequest, id: &str) -> ConsumerGroupHeartbeatRequest {
    request.with_instance_id(Some(text(id)))
}

fn pattern(name: &str, member: &str, pattern: &str) -> ConsumerGroupHeartbeatRequest {
    joins(name, member, &[])
        .with_subscribed_topic_names(None)
        .with_subscribed_topic_regex(Some(text(pattern)))
}

#[test]
fn static_members_that_are_taken_for_each_other() {
    compare(|server, answers| {
        let mut session = Session::with(server, &[("twins", 4), ("twins-other", 1)]);
        let s = &mut session;
        let topics = ["twins"];
        for version in [0, 1] {
            let name = format!("twins-{version}");
            let n = name.as_str();
            let mut note = |s: &mut Session, case: &str, request: ConsumerGroupHeartbeatRequest| {
                let answer = s.beat_of(version, &request);
                answers.note(&format!("{case}, version {version}"), answer);
            };
            note(s, "the first", instance(joins(n, "m1", &topics), "i1"));
            note(s, "the second", instance(joins(n, "m2", &topics), "i2"));
            let given = s.owns(instance(beat(n, "m1", 2), "i1"), &[("twins", 0), ("twins", 1)]);
            note(s, "the first has given up", given);
            note(s, "under the name of the other", instance(beat(n, "m1", 3), "i2"));
            note(s, "without its name", beat(n, "m1", 3));
            note(s, "with an unknown name", instance(beat(n, "m1", 3), "i9"));
            note(s, "a stranger goes for a while", instance(beat(n, "m9", -2), "i1"));
            note(s, "of a name that nobody has", instance(beat(n, "m1", -2), "i9"));
            note(s, "both go for a while", instance(beat(n, "m1", -2), "i1"));
            note(s, "the other too", instance(beat(n, "m2", -2), "i2"));
            note(s, "twice", instance(beat(n, "m2", -2), "i2"));
            note(s, "the first under the second's name", instance(joins(n, "m1", &topics), "i2"));
            note(s, "a new one for the first", instance(joins(n, "m3", &topics), "i1"));
            note(s, "with partitions before it joined", {
                let request = instance(joins(n, "m4", &topics), "i1");
                s.owns(request, &[("twins", 0)])
            });
            note(s, "an absent one leaves for good", instance(beat(n, "m3", -1), "i1"));
            note(s, "other topics", {
                let request = instance(joins(n, "m5", &["twins-other"]), "i1");
                request.with_rack_id(Some(text("r9")))
            });
            note(s, "it goes", instance(beat(n, "m5", -2), "i1"));
            note(s, "and comes with others", instance(joins(n, "m6", &topics), "i1"));
            answers.note(&format!("at last, version {version}"), s.describe(&[n]));
        }
    });
}

#[test]
fn a_group_that_is_full() {
    compare(|server, answers| {
        let mut session = Session::with(server, &[("full", 5)]);
        let s = &mut session;
        for number in 1..=4 {
            let answer = s.wire.call(1, &joins("full", &format!("m{number}"), &["full"]));
            answers.note("one of four", (answer.error_code, answer.member_epoch));
        }
        answers.note("the fifth", s.beat(&joins("full", "m5", &["full"])));
        answers.note("the fifth of a pattern", s.beat(&pattern("full", "m5", "full")));
        answers.note("the fifth with a name", s.beat(&instance(joins("full", "m5", &["full"]), "i5")));
        let classic = s.wire.call(9, &classic_join("full", "", "i5", "full"));
        answers.note("a classic fifth", (classic.error_code, classic.generation_id));
        answers.note("the fourth anew", {
            let answer = s.wire.call(1, &joins("full", "m4", &["full"]));
            (answer.error_code, answer.member_epoch)
        });
        answers.note("one leaves", s.beat(&beat("full", "m1", -1)));
        let answer = s.wire.call(1, &joins("full", "m5", &["full"]));
        answers.note("its place is taken", (answer.error_code, answer.member_epoch));
    });
}

#[test]
fn heartbeats_as_often_as_the_group_is_configured() {
    const GROUP: i8 = 32;
    fn alter(server: &Server, name: &str, value: Option<&str>) -> i16 {
        let config = AlterableConfig::default()
            .with_name(text(name))
            .with_config_operation(i8::from(value.is_none()))
            .with_value(value.map(text));
        let resource = Resource::default()
            .with_resource_type(GROUP)
            .with_resource_name(text("paced"))
            .with_configs(vec![config]);
        let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
        server.wire().call(1, &request).responses[0].error_code
    }
    compare(|server, answers| {
        let mut session = Session::with(server, &[("paced", 1)]);
        let s = &mut session;
        answers.note("the first", s.beat(&joins("paced", "m1", &["paced"])));
        let interval = "consumer.heartbeat.interval.ms";
        let within = |s: &mut Session, every: i32| {
            wait::until(wait::PATIENCE, "the group's interval", || {
                let answer = s.wire.call(1, &beat("paced", "m1", 2));
                (answer.heartbeat_interval_ms == every).then_some(())
            });
        };
        for (name, value) in [
            (interval, "4999"),
            (interval, "15001"),
            ("consumer.session.timeout.ms", "44999"),
            ("consumer.session.timeout.ms", "60001"),
            ("consumer.assignment.interval.ms", "-1"),
            ("consumer.nonsense", "1"),
        ] {
            answers.note(&format!("{name}={value}"), alter(server, name, Some(value)));
        }
        answers.note("slower", alter(server, interval, Some("7000")));
        within(s, 7000);
        answers.note("a longer session", alter(server, "consumer.session.timeout.ms", Some("50000")));
        answers.note("still at rest", s.beat(&s.owns(beat("paced", "m1", 2), &[("paced", 0)])));
        answers.note("as before", alter(server, interval, None));
        within(s, 5000);
    });
}

/// A body of version 10, which the protocol's crate does not write: topics by their ids.
#[derive(Default)]
struct Body(Vec<u8>);

impl Body {
    fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// A compact length: one more than it is, 7 bits at a time.
    fn length(mut self, length: usize) -> Self {
        let mut left = length + 1;
        while left > 127 {
            self.0.push((left & 127) as u8 | 128);
            left >>= 7;
        }
        self.0.push(left as u8);
        self
    }

    fn text(self, text: Option<&str>) -> Self {
        match text {
            Some(text) => self.length(text.len()).bytes(text.as_bytes()),
            None => self.bytes(&[0]),
        }
    }

    fn tags(self, structs: usize) -> Self {
        self.bytes(&vec![0; structs])
    }
}

fn commit_by_id(id: Uuid, (member, epoch): (&str, i32), metadata: &str) -> Body {
    let body = Body::default().text(Some("ids")).bytes(&epoch.to_be_bytes()).text(Some(member)).text(None);
    let partitions = body.length(1).bytes(id.as_bytes()).length(1);
    let partition = partitions.bytes(&0_i32.to_be_bytes()).bytes(&5_i64.to_be_bytes());
    partition.bytes(&(-1_i32).to_be_bytes()).text(Some(metadata)).tags(3)
}

/// Partitions 0, 1 and 9 of a topic, or all that there is.
fn fetch_by_id(id: Option<Uuid>, (member, epoch): (Option<&str>, i32)) -> Body {
    let body = Body::default().length(1).text(Some("ids")).text(member).bytes(&epoch.to_be_bytes());
    let topics = match id {
        None => body.bytes(&[0]),
        Some(id) => {
            let partitions = [0_i32, 1, 9].map(i32::to_be_bytes).concat();
            body.length(1).bytes(id.as_bytes()).length(3).bytes(&partitions).tags(1)
        }
    };
    topics.tags(1).bytes(&[0]).tags(1)
}

#[test]
fn offsets_by_the_ids_of_topics() {
    compare(|server, answers| {
        let mut session = Session::with(server, &[("ids", 2)]);
        let s = &mut session;
        let (known, unknown) = (s.id("ids"), Uuid::from_u128(7));
        let put = |s: &mut Session, id: Uuid, member: (&str, i32), metadata: &str| {
            let body = commit_by_id(id, member, metadata);
            let answer = s.wire.call_with::<OffsetCommitRequest>(10, &body.0);
            let topic = &answer.topics[0];
            (topic.topic_id == id, topic.name.to_string(), topic.partitions.clone())
        };
        answers.note("before there is a group", put(s, known, ("", -1), "simple"));
        answers.note("the first", s.beat(&joins("ids", "m1", &["ids"])));
        answers.note("of the member", put(s, known, ("m1", 2), "noted"));
        answers.note("of no topic", put(s, unknown, ("m1", 2), ""));
        answers.note("of an older epoch", put(s, known, ("m1", 1), ""));
        answers.note("of a later epoch", put(s, known, ("m1", 3), ""));
        answers.note("of a stranger", put(s, known, ("m9", 2), ""));
        answers.note("with too long a note", put(s, known, ("m1", 2), &"n".repeat(4097)));
        let fetch = |s: &mut Session, id: Option<Uuid>, member: Option<&str>, epoch: i32| {
            let body = fetch_by_id(id, (member, epoch));
            let mut answer = s.wire.call_with::<OffsetFetchRequest>(10, &body.0);
            answer.groups.iter_mut().flat_map(|group| &mut group.topics).for_each(|topic| {
                assert_eq!(topic.topic_id, id.unwrap_or(known));
                topic.topic_id = Uuid::nil();
            });
            answer
        };
        answers.note("fetched by the member", fetch(s, Some(known), Some("m1"), 2));
        answers.note("fetched from outside", fetch(s, Some(known), None, -1));
        answers.note("fetched of no topic", fetch(s, Some(unknown), Some("m1"), 2));
        answers.note("fetched in a later epoch", fetch(s, Some(known), Some("m1"), 3));
        answers.note("fetched by a stranger", fetch(s, Some(unknown), Some("m9"), 2));
        answers.note("all that there is", fetch(s, None, None, -1));
    });
}

#[test]
fn patterns_and_names_change_into_each_other() {
    compare(|server, answers| {
        let mut session = Session::with(server, &[("turns-a", 1), ("turns-b", 1)]);
        let s = &mut session;
        answers.note("an empty pattern", s.beat(&pattern("turns", "m0", "")));
        answers.note("names", s.beat(&joins("turns", "m1", &["turns-a"])));
        let both = beat("turns", "m1", 2)
            .with_subscribed_topic_names(Some(vec![topic_name("turns-a"), topic_name("turns-none")]));
        answers.note("a name of no topic", s.beat(&both));
        let broken = beat("turns", "m1", 3).with_subscribed_topic_regex(Some(text("turns-[")));
        answers.note("a pattern that is none", s.beat(&broken));
        answers.note("nothing has changed", s.describe(&["turns"]));
        let request = beat("turns", "m1", 3).with_subscribed_topic_regex(Some(text("turns-b")));
        answers.note("a pattern beside the names", s.beat(&request));
        let mut epoch = 3;
        wait::until(wait::PATIENCE, "the topic of the pattern", || {
            let answer = s.wire.call(1, &beat("turns", "m1", epoch));
            epoch = answer.member_epoch;
            let topics = answer.assignment.map_or(0, |assigned| assigned.topic_partitions.len());
            (topics == 2).then_some(())
        });
        answers.note("both are read", s.describe(&["turns"]));
        let request = beat("turns", "m1", epoch).with_subscribed_topic_regex(Some(text("")));
        answers.note("no pattern any more", s.beat(&request));
        answers.note("only names", s.describe(&["turns"]));
    });
}

/// What a classic member hears, but for the names that brokers make.
fn told(answer: &JoinGroupResponse) -> impl std::fmt::Debug + use<> {
    (
        answer.error_code,
        answer.generation_id,
        answer.protocol_type.clone(),
        answer.protocol_name.clone(),
        answer.leader == answer.member_id,
        answer.members.len(),
        answer.skip_assignment,
    )
}

/// An answer to a heartbeat but for which part it is: that depends on the ids that brokers make.
fn some_part(answer: &str) -> String {
    answer.replace("[0]", "[one]").replace("[1]", "[one]")
}

/// A classic member that has joined and has its part.
struct Classic {
    id: String,
    instance: &'static str,
}

impl Classic {
    fn join(s: &mut Session, name: &str, topic: &str, instance: &'static str) -> (Self, JoinGroupResponse) {
        let answer = s.wire.call(9, &classic_join(name, "", instance, topic));
        (Self { id: answer.member_id.to_string(), instance }, answer)
    }

    fn sync(&self, s: &mut Session, name: &str, generation: i32) -> (i16, usize) {
        let request = SyncGroupRequest::default()
            .with_group_id(group(name))
            .with_member_id(text(&self.id))
            .with_group_instance_id(Some(text(self.instance)))
            .with_generation_id(generation)
            .with_protocol_type(Some(text("consumer")))
            .with_protocol_name(Some(text("range")));
        let answer = s.wire.call(5, &request);
        (answer.error_code, answer.assignment.len())
    }

    fn beat(&self, s: &mut Session, name: &str, generation: i32) -> i16 {
        let request = HeartbeatRequest::default()
            .with_group_id(group(name))
            .with_member_id(text(&self.id))
            .with_group_instance_id(Some(text(self.instance)))
            .with_generation_id(generation);
        s.wire.call(4, &request).error_code
    }
}

#[test]
fn a_classic_group_becomes_a_consumer_group_and_one_again() {
    compare(|server, answers| {
        let mut session = Session::with(server, &[("way", 2)]);
        let s = &mut session;
        let (old, joined) = Classic::join(s, "way", "way", "i1");
        answers.note("a classic group", told(&joined));
        answers.note("its part", old.sync(s, "way", 1));
        let committed = commit(s, "way", &old.id, 1, ("way", 0)).with_group_instance_id(Some(text("i1")));
        answers.note("its offset", s.wire.call(9, &committed));
        answers.note("the first of the other protocol", some_part(&s.beat(&joins("way", "m1", &["way"]))));
        let mut described = s.describe(&["way"]);
        described.iter_mut().for_each(|line| *line = some_part(&line.replace(&old.id, "made")));
        answers.note("a consumer group", described);
        answers.note("it hears of it", old.beat(s, "way", 1));
        let committed = commit(s, "way", &old.id, 1, ("way", 0)).with_group_instance_id(Some(text("i1")));
        answers.note("its offset is still taken", s.wire.call(9, &committed));
        let committed = commit(s, "way", &old.id, 2, ("way", 0)).with_group_instance_id(Some(text("i1")));
        answers.note("of a generation that it has not", s.wire.call(9, &committed));
        let again = s.wire.call(9, &classic_join("way", &old.id, "i1", "way"));
        answers.note("it joins again", told(&again));
        answers.note("its smaller part", old.sync(s, "way", again.generation_id));
        answers.note("all is well", old.beat(s, "way", again.generation_id));
        let request = classic_join("way", "", "i1", "way");
        let heir = s.wire.call(9, &request);
        answers.note("its heir", told(&heir));
        answers.note("it is fenced", old.beat(s, "way", again.generation_id));
        let heir = Classic { id: heir.member_id.to_string(), instance: "i1" };
        answers.note("the heir's part", heir.sync(s, "way", again.generation_id));
        answers.note("the other leaves", s.beat(&beat("way", "m1", -1)));
        let request = DescribeGroupsRequest::default().with_groups(vec![group("way")]);
        let mut groups = s.wire.call(6, &request).groups;
        groups.iter_mut().flat_map(|group| &mut group.members).for_each(|one| {
            one.member_id = text("made");
            // Which of the two parts it has depends on that.
            one.member_assignment.truncate(15);
        });
        answers.note("a classic group again", groups);
        let leaving = MemberIdentity::default().with_group_instance_id(Some(text("i1")));
        let leave = LeaveGroupRequest::default().with_group_id(group("way")).with_members(vec![leaving]);
        let mut left = s.wire.call(5, &leave);
        left.members.iter_mut().for_each(|one| one.member_id = text("made"));
        answers.note("nobody is left", left);
        answers.note("an empty one is taken over", s.beat(&joins("way", "m2", &["way"])));
        answers.note("and left", s.beat(&beat("way", "m2", -1)));
        let (_, joined) = Classic::join(s, "way", "way", "i3");
        answers.note("by a classic one", told(&joined));
    });
}

#[test]
fn groups_that_cannot_become_consumer_groups() {
    compare(|server, answers| {
        let mut session = Session::with(server, &[("stays", 1)]);
        let s = &mut session;
        let other = classic_join("stays-kind", "", "i1", "stays").with_protocol_type(text("connect"));
        answers.note("of another kind", told(&s.wire.call(9, &other)));
        answers.note("is not joined", s.beat(&joins("stays-kind", "m1", &["stays"])));
        let mut odd = classic_join("stays-odd", "", "i1", "stays");
        odd.protocols[0].metadata = Bytes::from_static(&[0, 9, 0]);
        answers.note("what it subscribes to is unreadable", told(&s.wire.call(9, &odd)));
        answers.note("it is not joined either", s.beat(&joins("stays-odd", "m1", &["stays"])));
        let mut custom = classic_join("stays-user", "", "i1", "stays");
        let mut bytes = subscription("stays").to_vec();
        let length = bytes.len();
        bytes.splice(length - 4.., [0, 0, 0, 1, 42]);
        custom.protocols[0].metadata = bytes.into();
        answers.note("with data of its own", told(&s.wire.call(9, &custom)));
        let joined = s.wire.call(1, &joins("stays-user", "m1", &["stays"]));
        answers.note("it is joined", (joined.error_code, joined.member_epoch));
        let simple = commit(s, "stays-simple", "", -1, ("stays", 0));
        answers.note("only offsets", s.wire.call(9, &simple));
        answers.note("are taken over", s.beat(&joins("stays-simple", "m1", &["stays"])));
        let fetch = OffsetFetchRequestGroup::default().with_group_id(group("stays-simple")).with_topics(None);
        answers.note("and kept", s.wire.call(9, &OffsetFetchRequest::default().with_groups(vec![fetch])));
        answers.note("left", s.beat(&beat("stays-simple", "m1", -1)));
        let request = ListGroupsRequest::default();
        let mut listed = s.wire.call(5, &request).groups;
        listed.retain(|one| one.group_id.as_str().starts_with("stays-"));
        listed.sort_by_key(|one| one.group_id.to_string());
        answers.note("as they are listed", listed);
        let delete = DeleteGroupsRequest::default().with_groups_names(vec![group("stays-simple")]);
        answers.note("deleted", s.wire.call(2, &delete));
        answers.note("of a deleted group", s.beat(&beat("stays-simple", "m1", 2)));
    });
}
