//! Kafka's commands of the binary itself on three brokers: whichever is asked first, they find the leader, the coordinator and the
//! controller, and find them again when a broker has gone.

use milena_compat_tests::cluster::Cluster;
use milena_compat_tests::wait::{self, PATIENCE};

use super::native::{self, words};
use super::{numbers, sorted};

const TOPIC: &str = "spread";
const COUNT: usize = 60;

fn run(cluster: &Cluster, id: i32, tool: &str, line: &str, input: &str) -> native::Ended {
    let mut arguments = words(line);
    arguments.extend(["--bootstrap-server".to_owned(), cluster.address(id).to_string()]);
    native::run(tool, &arguments, input)
}

fn ok(cluster: &Cluster, id: i32, tool: &str, line: &str, input: &str) -> String {
    let ended = run(cluster, id, tool, line, input);
    let shown = format!("{tool} {line} at node {id}:\n{}{}", ended.stdout, ended.stderr);
    assert!(ended.status == 0, "exit code {} of {shown}", ended.status);
    ended.stdout
}

/// The numbers of a topic's leaders, as one node tells.
fn leaders(cluster: &Cluster, id: i32) -> Vec<i32> {
    let told = ok(cluster, id, "kafka-topics", &format!("--describe --topic {TOPIC}"), "");
    let after = |line: &str| line.split("Leader: ").nth(1)?.split_whitespace().next()?.parse().ok();
    told.lines().filter_map(after).collect()
}

/// The node that coordinates the group.
fn coordinator(cluster: &Cluster, id: i32, group: &str) -> i32 {
    let told = ok(cluster, id, "kafka-consumer-groups", &format!("--describe --state --group {group}"), "");
    // The heading has a pair of them, too.
    let between = told.rsplit_once('(').and_then(|(_, rest)| rest.split_once(')'));
    between.and_then(|(id, _)| id.parse().ok()).unwrap_or_else(|| panic!("no coordinator: {told}"))
}

fn consumed(cluster: &Cluster, id: i32, group: &str) -> String {
    let line = format!("--topic {TOPIC} --group {group} --from-beginning --max-messages {COUNT}");
    ok(cluster, id, "kafka-console-consumer", &line, "")
}

#[test]
fn who_leads_is_found_wherever_one_asks() {
    let cluster = Cluster::start();
    let create = format!("--create --topic {TOPIC} --partitions 6 --replication-factor 3");
    ok(&cluster, 1, "kafka-topics", &create, "");
    for id in 1..=3 {
        let own = format!("--create --topic at-{id} --replica-assignment {id}");
        ok(&cluster, id % 3 + 1, "kafka-topics", &own, "");
        ok(&cluster, id, "kafka-console-producer", &format!("--topic {TOPIC} --sync"), &numbers(COUNT / 3));
    }
    let mut all = leaders(&cluster, 2);
    all.sort_unstable();
    assert_eq!(all, [1, 1, 2, 2, 3, 3]);
    let expected = numbers(COUNT / 3).repeat(3);
    for id in 1..=3 {
        let group = format!("group-{id}");
        assert_eq!(sorted(&consumed(&cluster, id, &group)), sorted(&expected), "at node {id}");
        let other = id % 3 + 1;
        let told = ok(&cluster, other, "kafka-consumer-groups", &format!("--describe --group {group}"), "");
        let lags: Vec<&str> =
            told.lines().skip(2).filter_map(|line| line.split_whitespace().nth(5)).collect();
        assert_eq!(lags, ["0"; 6], "{told}");
        let line = format!("--entity-type brokers --entity-name {other}");
        ok(
            &cluster,
            id,
            "kafka-configs",
            &format!("--alter {line} --add-config log.retention.ms=123456"),
            "",
        );
        let told = ok(&cluster, id, "kafka-configs", &format!("--describe {line}"), "");
        assert!(told.contains("log.retention.ms=123456"), "{told}");
        let told = ok(&cluster, id, "kafka-log-dirs", &format!("--describe --topic-list {TOPIC}"), "");
        assert!((1..=3).all(|broker| told.contains(&format!("\"broker\":{broker}"))), "{told}");
        let told = ok(&cluster, id, "kafka-get-offsets", &format!("--topic {TOPIC}"), "");
        let ends = told.lines().filter_map(|line| line.rsplit(':').next()?.parse::<usize>().ok());
        assert_eq!(ends.sum::<usize>(), COUNT, "{told}");
        let told = ok(&cluster, id, "kafka-broker-api-versions", "", "");
        assert_eq!(told.matches("(id: ").count(), 3, "{told}");
    }
    ok(&cluster, 3, "kafka-consumer-groups", "--delete --group group-1", "");
    let reset = format!("--reset-offsets --group group-2 --topic {TOPIC} --to-earliest --execute");
    ok(&cluster, 1, "kafka-consumer-groups", &reset, "");
    let listed = ok(&cluster, 2, "kafka-consumer-groups", "--list", "");
    assert_eq!(sorted(&listed), ["group-2", "group-3"]);
    assert_eq!(sorted(&consumed(&cluster, 3, "group-2")), sorted(&expected));
}

#[test]
fn who_leads_is_found_again_when_a_broker_has_gone() {
    let mut cluster = Cluster::start();
    let create = format!("--create --topic {TOPIC} --partitions 6 --replication-factor 3");
    ok(&cluster, 1, "kafka-topics", &create, "");
    ok(&cluster, 1, "kafka-console-producer", &format!("--topic {TOPIC} --sync"), &numbers(COUNT));
    assert_eq!(sorted(&consumed(&cluster, 2, "group")), sorted(&numbers(COUNT)));
    let gone = coordinator(&cluster, 1, "group");
    cluster.kill(gone);
    let left = gone % 3 + 1;
    wait::until(PATIENCE, "other leaders", || {
        let leaders = leaders(&cluster, left);
        (leaders.len() == 6 && !leaders.contains(&gone) && !leaders.contains(&-1)).then_some(())
    });
    wait::until(PATIENCE, "another coordinator", || {
        let asked = run(&cluster, left, "kafka-consumer-groups", "--describe --state --group group", "");
        (asked.status == 0 && !asked.stdout.contains(&format!("({gone})"))).then_some(())
    });
    // A bootstrap list whose first is the one that has gone.
    let both = format!("{},{}", cluster.address(gone), cluster.address(left));
    let at_both = |tool: &str, line: &str, input: &str| {
        let mut arguments = words(line);
        arguments.extend(["--bootstrap-server".to_owned(), both.clone()]);
        let ended = native::run(tool, &arguments, input);
        assert!(ended.status == 0, "{tool} {line}:\n{}{}", ended.stdout, ended.stderr);
        ended.stdout
    };
    at_both("kafka-console-producer", &format!("--topic {TOPIC} --sync"), &numbers(COUNT));
    let line = format!("--topic {TOPIC} --group group --max-messages {COUNT}");
    let read = at_both("kafka-console-consumer", &line, "");
    assert_eq!(sorted(&read), sorted(&numbers(COUNT)), "what was committed is not read again");
    at_both("kafka-topics", "--create --topic later --partitions 3 --replication-factor 2", "");
}
