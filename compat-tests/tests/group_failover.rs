//! Groups of both protocols while brokers are restarted and killed: Kafka's verifiable consumer says what its members had, read and
//! committed, and what they say is put together here.
//!
//! A test must never believe a single member: who owned what, and what was committed, is judged over all of a group's members.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;

use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{FindCoordinatorRequest, MetadataRequest};
use kafka_protocol::protocol::StrBytes;
use milena_compat_tests::wait::{self, PATIENCE};
use milena_compat_tests::{Cluster, Running, Tool, paths};
use serde_json::Value;

/// A killed broker's session ends soon, preferred leaders return soon, and followers that are away are soon missed.
const QUICK: [(&str, &str); 4] = [
    ("broker.session.timeout.ms", "1500"),
    ("broker.heartbeat.interval.ms", "300"),
    ("leader.imbalance.check.interval.seconds", "1"),
    ("replica.lag.time.max.ms", "3000"),
];
const PARTITIONS: i32 = 6;
const MEMBERS: usize = 3;
const PROTOCOLS: [&str; 2] = ["classic", "consumer"];
const PER_SECOND: &str = "300";
/// All tools of a test run at least this long.
const TOOL_PATIENCE: Duration = Duration::from_secs(240);

fn events(text: &str) -> Vec<Value> {
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

fn number(value: &Value, field: &str) -> i64 {
    value[field].as_i64().unwrap_or_else(|| panic!("{field} of {value}"))
}

/// A group of verifiable consumers.
struct Group {
    name: &'static str,
    members: Vec<Running>,
}

impl Group {
    /// The protocol is the group's name too.
    fn start(cluster: &Cluster, protocol: &'static str) -> Self {
        let member = |_| {
            let tool =
                Tool::new("kafka-verifiable-consumer").args(["--bootstrap-server", &cluster.bootstrap()]);
            let tool = tool.args(["--topic", "shared", "--group-id", protocol, "--group-protocol", protocol]);
            let tool = if protocol == "classic" { tool.line("--session-timeout 30000") } else { tool };
            tool.line("--reset-policy earliest").patience(TOOL_PATIENCE).spawn()
        };
        Self { name: protocol, members: (0..MEMBERS).map(member).collect() }
    }

    /// What its members have told so far, each in order.
    fn told(&self) -> Vec<Vec<Value>> {
        self.members.iter().map(|member| events(&member.so_far())).collect()
    }

    /// How many records they have read.
    fn read(&self) -> i64 {
        let told = self.told();
        let consumed = told.iter().flatten().filter(|event| event["name"] == "records_consumed");
        consumed.map(|event| number(event, "count")).sum()
    }

    /// How often any of them was given partitions, or lost some.
    fn moves(&self) -> usize {
        let moved = |event: &&Value| {
            matches!(event["name"].as_str(), Some("partitions_assigned" | "partitions_revoked"))
                && event["partitions"].as_array().is_some_and(|all| !all.is_empty())
        };
        self.told().iter().flatten().filter(moved).count()
    }

    fn is_shared_out(&self) -> bool {
        let held: Vec<usize> = self.told().into_iter().map(|told| held(&told).len()).collect();
        held.iter().all(|count| *count == PARTITIONS as usize / MEMBERS)
    }

    fn reads_on(&self) {
        let before = self.read();
        wait::until(PATIENCE, &format!("the {} group to read on", self.name), || {
            (self.read() > before + 200).then_some(())
        });
    }
}

fn held(told: &[Value]) -> BTreeSet<i64> {
    let mut held = BTreeSet::new();
    for event in told {
        let partitions = partitions(event).into_iter().map(|each| number(&each, "partition"));
        match event["name"].as_str() {
            Some("partitions_assigned") => held.extend(partitions),
            Some("partitions_revoked") => partitions.for_each(|each| {
                held.remove(&each);
            }),
            _ => {}
        }
    }
    held
}

fn partitions(event: &Value) -> Vec<Value> {
    event["partitions"].as_array().cloned().unwrap_or_default()
}

/// What a group has done to one partition, told in order.
#[derive(Debug, Default)]
struct Story {
    owner: Option<usize>,
    /// The next offset that the owner reads; none before its first.
    position: Option<i64>,
    /// Behind the last record that anybody has read.
    read: i64,
    committed: i64,
}

/// Puts the members' stories together in the order of their clocks; of events in the same millisecond those that take nothing come
/// first. Gives the stories of the partitions.
fn judge(told: &[Vec<Value>]) -> BTreeMap<i64, Story> {
    let mut stories: BTreeMap<i64, Story> = BTreeMap::new();
    let mut next = vec![0; told.len()];
    loop {
        let heads = next.iter().enumerate().filter_map(|(member, at)| Some((member, told[member].get(*at)?)));
        let order = |event: &Value| (number(event, "timestamp"), event["name"] == "partitions_assigned");
        let Some((member, event)) = heads.min_by_key(|(_, event)| order(event)) else { return stories };
        next[member] += 1;
        follow(&mut stories, member, event);
    }
}

fn follow(stories: &mut BTreeMap<i64, Story>, member: usize, event: &Value) {
    match event["name"].as_str() {
        Some("partitions_assigned") => {
            for each in partitions(event) {
                let story = stories.entry(number(&each, "partition")).or_default();
                assert_eq!(story.owner.replace(member), None, "a second owner: {event}");
                story.position = None;
            }
        }
        Some("partitions_revoked") => {
            for each in partitions(event) {
                let story = stories.entry(number(&each, "partition")).or_default();
                assert_eq!(story.owner.take(), Some(member), "given up by another: {event}");
            }
        }
        Some("records_consumed") => {
            for each in partitions(event) {
                let story = stories.entry(number(&each, "partition")).or_default();
                let (first, last) = (number(&each, "minOffset"), number(&each, "maxOffset"));
                assert_eq!(story.owner, Some(member), "read by who does not own it: {event}");
                match story.position {
                    Some(position) => assert_eq!(first, position, "not contiguous: {event}"),
                    None => {
                        assert!(first <= story.read, "a gap before {first}: {story:?} {event}");
                        assert!(first >= story.committed, "a commit was lost: {story:?} {event}");
                    }
                }
                assert_eq!(number(&each, "count"), last - first + 1, "not contiguous: {event}");
                story.position = Some(last + 1);
                story.read = story.read.max(last + 1);
            }
        }
        Some("offsets_committed") if event["success"] == true => {
            for each in event["offsets"].as_array().cloned().unwrap_or_default() {
                let story = stories.entry(number(&each, "partition")).or_default();
                let offset = number(&each, "offset");
                assert_eq!(story.owner, Some(member), "committed by who does not own it: {event}");
                assert!(Some(offset) <= story.position, "beyond what was consumed: {story:?} {event}");
                story.committed = story.committed.max(offset);
            }
        }
        _ => {}
    }
}

/// The node that coordinates a group, as a node that runs says.
fn coordinator(cluster: &Cluster, asked: i32, group: &'static str) -> i32 {
    let request =
        FindCoordinatorRequest::default().with_coordinator_keys(vec![StrBytes::from_static_str(group)]);
    wait::until(PATIENCE, "a coordinator", || {
        let found = cluster.wire(asked).try_call(6, &request).ok()?;
        (found.coordinators[0].error_code == 0).then_some(found.coordinators[0].node_id.0)
    })
}

/// Waits until every replica of the topic and of the offsets is in sync.
fn all_in_sync(cluster: &Cluster, asked: i32) {
    let named =
        |name| MetadataRequestTopic::default().with_name(Some(StrBytes::from_static_str(name).into()));
    let request = MetadataRequest::default()
        .with_topics(Some(vec![named("shared"), named("__consumer_offsets")]))
        .with_allow_auto_topic_creation(false);
    wait::until(PATIENCE, "all replicas are in sync", || {
        let told = cluster.wire(asked).try_call(12, &request).ok()?;
        let mut all = told.topics.iter().flat_map(|topic| &topic.partitions);
        let there = told.topics.iter().all(|topic| topic.error_code == 0 && !topic.partitions.is_empty());
        (there && all.all(|each| each.isr_nodes.len() == 3)).then_some(())
    });
}

#[test]
fn members_stay_and_nothing_is_lost_while_brokers_are_restarted_and_coordinators_killed() {
    let mut cluster = Cluster::start_with(&QUICK);
    let create = cluster.tool("kafka-topics", 1).line("--create --topic shared --replication-factor 3");
    create.args(["--partitions", &PARTITIONS.to_string(), "--config", "min.insync.replicas=2"]).ok();
    let folder = paths::scratch("shared");
    let config = folder.path().join("producer.properties");
    fs::write(&config, "retries=2147483647\n").expect("the scratch folder is writable");
    let producer = Tool::new("kafka-verifiable-producer").args(["--bootstrap-server", &cluster.bootstrap()]);
    let producer = producer.line("--topic shared --acks -1 --throughput").arg(PER_SECOND);
    let producer = producer.args(["--command-config", &config.display().to_string()]);
    let producer = producer.patience(TOOL_PATIENCE).spawn();
    let groups = PROTOCOLS.map(|protocol| Group::start(&cluster, protocol));
    for group in &groups {
        wait::until(PATIENCE, "every member has its share", || group.is_shared_out().then_some(()));
        group.reads_on();
    }
    let moves: Vec<usize> = groups.iter().map(Group::moves).collect();
    all_in_sync(&cluster, 1);

    for node in 1..=3 {
        cluster.stop(node);
        groups.iter().for_each(Group::reads_on);
        cluster.restart(node);
        all_in_sync(&cluster, node);
    }
    for group in &groups {
        let node = coordinator(&cluster, 1, group.name);
        cluster.kill(node);
        groups.iter().for_each(Group::reads_on);
        cluster.restart(node);
        all_in_sync(&cluster, node);
    }

    let said = producer.stop();
    let acked = events(&said.text()).iter().filter(|event| event["name"] == "producer_send_success").count();
    let acked = i64::try_from(acked).expect("a number of records");
    for (group, moves) in groups.iter().zip(moves) {
        let stories = wait::until(PATIENCE, "all is read and committed", || {
            let stories = judge(&group.told());
            let read: i64 = stories.values().map(|story| story.read).sum();
            (read >= acked && stories.values().all(|story| story.committed == story.read)).then_some(stories)
        });
        assert_eq!(stories.len(), PARTITIONS as usize);
        assert_eq!(group.moves(), moves, "the {} group was assigned anew", group.name);
        let told = cluster.tool("kafka-consumer-groups", 1).args(["--describe", "--group", group.name]).ok();
        let words = |line: &str| line.split_whitespace().skip(1).take(5).collect::<Vec<_>>().join(" ");
        let rows: Vec<String> = told.lines().map(words).collect();
        // The producer may have left a partition out.
        for (partition, story) in stories.iter().filter(|(_, story)| story.read > 0) {
            let row = format!("shared {partition} {} {} 0", story.committed, story.committed);
            assert!(rows.contains(&row), "{row}:\n{told}");
        }
    }
}

#[test]
fn the_judge_sees_what_must_not_be() {
    let assigned = |at: i64| {
        format!(
            r#"{{"timestamp":{at},"name":"partitions_assigned","partitions":[{{"topic":"t","partition":0}}]}}"#
        )
    };
    let revoked = |at: i64| {
        format!(
            r#"{{"timestamp":{at},"name":"partitions_revoked","partitions":[{{"topic":"t","partition":0}}]}}"#
        )
    };
    let read = |at: i64, from: i64, to: i64| {
        let count = to - from + 1;
        format!(
            r#"{{"timestamp":{at},"name":"records_consumed","count":{count},"partitions":[{{"topic":"t","partition":0,"count":{count},"minOffset":{from},"maxOffset":{to}}}]}}"#
        )
    };
    let committed = |at: i64, offset: i64| {
        format!(
            r#"{{"timestamp":{at},"name":"offsets_committed","success":true,"offsets":[{{"topic":"t","partition":0,"offset":{offset}}}]}}"#
        )
    };
    let holds = |members: &[Vec<String>]| {
        let told: Vec<Vec<Value>> = members.iter().map(|lines| events(&lines.join("\n"))).collect();
        std::panic::catch_unwind(|| judge(&told)).is_ok()
    };
    let first = vec![assigned(1), read(2, 0, 4), committed(3, 5), read(4, 5, 9), revoked(5)];
    assert!(
        holds(&[first.clone(), vec![assigned(5), read(6, 5, 12), committed(7, 13)]]),
        "read again, not lost"
    );
    assert!(!holds(&[first.clone(), vec![assigned(4)]]), "two owners");
    assert!(!holds(&[first.clone(), vec![assigned(6), read(7, 11, 12)]]), "a gap");
    assert!(!holds(&[first.clone(), vec![assigned(6), read(7, 4, 12)]]), "a lost commit");
    assert!(!holds(&[vec![assigned(1), read(2, 0, 4), committed(3, 6)]]), "a commit beyond");
    assert!(!holds(&[vec![assigned(1), read(2, 0, 4), read(3, 6, 7)]]), "a hole");
    assert!(!holds(&[first, vec![assigned(6), read(7, 5, 5)], vec![read(8, 6, 6)]]), "a stranger");
}
