//! `kafka-console-consumer` of the binary itself as a member of groups by the consumer protocol, and as a reader of internal topics.
//!
//! A test must never wait for a rebalance by the clock: the group is asked until it is so.

use std::process::{Child, Command, Stdio};

use milena_compat_tests::server::Setup;
use milena_compat_tests::wait::{self, PATIENCE};
use milena_compat_tests::{Server, Target};
use rustix::process::{Pid, Signal, kill_process};

use super::native::{Ended, Step, native, official, program};
use super::{create, numbers, produce, sorted};

const C: &str = "kafka-console-consumer";
const GROUPS: &str = "kafka-consumer-groups";
const MODERN: &str = "--command-property group.protocol=consumer";

/// A broker whose internal topics have one partition, so that the order of their records is one.
fn server() -> Server {
    let setup = Setup::of(Target::chosen()).set("group.initial.rebalance.delay.ms", "0");
    setup.set("offsets.topic.num.partitions", "1").set("transaction.state.log.num.partitions", "1").start()
}

fn native_ok(server: &Server, step: Step<'_>) -> String {
    let ended = native(server, step);
    assert!(ended.status == 0, "{} {}: {}{}", step.0, step.1, ended.stdout, ended.stderr);
    ended.stdout
}

/// A consumer that goes on until it is told to end.
struct Running(Child);

impl Running {
    fn start(server: &Server, line: &str) -> Self {
        let mut command = Command::new(program(C));
        command.args(["--bootstrap-server", &server.bootstrap()]).args(line.split_whitespace());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        Self(command.spawn().expect("the binary starts"))
    }

    /// Ends it as a user would; gives what it has printed.
    fn stop(mut self) -> String {
        let pid = Pid::from_child(&self.0);
        kill_process(pid, Signal::TERM).expect("it runs");
        let out = self.0.stdout.take().expect("a pipe was asked for");
        let text = std::io::read_to_string(out).expect("text");
        assert!(self.0.wait().expect("the child is ours").success());
        text
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// How many partitions each member of the group has, by the official tool.
fn shares(server: &Server, group: &str) -> Vec<String> {
    let told = official(server, (GROUPS, &format!("--describe --group {group} --members"), "")).stdout;
    let rows = told.lines().filter(|line| line.starts_with(group));
    let mut shares: Vec<String> =
        rows.filter_map(|row| row.split_whitespace().last().map(str::to_owned)).collect();
    shares.sort_unstable();
    shares
}

#[test]
fn a_group_by_the_consumer_protocol_is_read_committed_and_left() {
    let server = server();
    create(&server, "one", "--partitions 3");
    produce(&server, "one", &numbers(30));
    for (group, read) in [("g-own", native as fn(&Server, Step<'_>) -> Ended), ("g-official", official)] {
        let line = format!("--topic one --group {group} --from-beginning --max-messages 20 {MODERN}");
        let first = read(&server, (C, &line, ""));
        let line = format!("--topic one --group {group} --from-beginning --max-messages 10 {MODERN}");
        let rest = read(&server, (C, &line, ""));
        let all = first.stdout + &rest.stdout;
        assert_eq!(sorted(&all), sorted(&numbers(30)), "{group}");
    }
    let described = |group: &str, more: &str| {
        let told = official(&server, (GROUPS, &format!("--describe --group {group} {more}"), "")).stdout;
        let lines = told.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
        let mut lines: Vec<String> = lines.map(|line| line.replace(group, "GROUP")).collect();
        lines.sort_unstable();
        lines
    };
    for more in ["", "--state", "--members"] {
        assert_eq!(described("g-own", more), described("g-official", more), "{more}");
    }
    let consumers = official(&server, (GROUPS, "--list --type consumer", "")).stdout;
    assert!(consumers.lines().any(|line| line.contains("g-own")), "{consumers}");
}

#[test]
fn members_share_and_take_over() {
    let server = server();
    create(&server, "shared", "--partitions 4");
    let line = format!("--topic shared --group g --from-beginning {MODERN}");
    let first = Running::start(&server, &line);
    let has = |wanted: &[&str]| {
        wait::until_like(PATIENCE, "the group's members", || shares(&server, "g"), |shares| shares == wanted);
    };
    has(&["4"]);
    let second = Running::start(&server, &line);
    has(&["2", "2"]);
    produce(&server, "shared", &numbers(400));
    let is_read = || {
        let told = official(&server, (GROUPS, "--describe --group g", "")).stdout;
        let rows = told.lines().filter(|line| line.starts_with("g "));
        rows.filter_map(|row| row.split_whitespace().nth(3)?.parse::<u32>().ok()).sum::<u32>()
    };
    wait::until_like(PATIENCE, "all is committed", is_read, |sum| *sum == 400);
    let of_first = first.stop();
    has(&["4"]);
    produce(&server, "shared", "last\n");
    wait::until_like(PATIENCE, "the last is committed", is_read, |sum| *sum == 401);
    let all = of_first + &second.stop();
    let wanted = numbers(400) + "last\n";
    assert_eq!(sorted(&all), sorted(&wanted));
    has(&[]);
}

#[test]
fn properties_of_another_protocol_end_as_with_the_official_tool() {
    let server = Server::shared();
    for property in ["session.timeout.ms=5000", "partition.assignment.strategy=x", "group.protocol=nonsense"]
    {
        let line = format!("--topic x {MODERN} --command-property {property}");
        let (own, wanted) = (native(server, (C, &line, "")), official(server, (C, &line, "")));
        assert_eq!((own.status, own.stdout), (wanted.status, wanted.stdout), "{line}");
    }
}

#[test]
fn internal_topics_are_shown_as_the_official_tool_does() {
    let server = server();
    create(&server, "one", "--partitions 2");
    let transactional = "--topic one --num-records 20 --record-size 10 --throughput -1 --transactional-id tx \
                         --transaction-duration-ms 50";
    server.tool("kafka-producer-perf-test").line(transactional).ok();
    let group = "--topic one --from-beginning --max-messages 20";
    native_ok(&server, (C, &format!("{group} --group classic"), ""));
    native_ok(&server, (C, &format!("{group} --group modern {MODERN}"), ""));
    let ends = |topic: &str| {
        let told = native_ok(&server, ("kafka-get-offsets", &format!("--topic {topic}"), ""));
        told.trim().rsplit(':').next().map(str::to_owned).expect("an offset")
    };
    let shown = [
        ("__consumer_offsets", "OffsetsMessageFormatter", true),
        ("__consumer_offsets", "GroupMetadataMessageFormatter", true),
        ("__consumer_offsets", "ShareGroupMessageFormatter", false),
        ("__transaction_state", "TransactionLogMessageFormatter", true),
        ("__transaction_state", "NoOpMessageFormatter", false),
        ("one", "group.share.ShareGroupStateMessageFormatter", false),
    ];
    for (topic, formatter, has_some) in shown {
        let line = format!(
            "--topic {topic} --partition 0 --offset earliest --max-messages {} --isolation-level read_uncommitted \
             --timeout-ms 5000 --formatter org.apache.kafka.tools.consumer.{formatter}",
            ends(topic)
        );
        let (own, wanted) = (native(&server, (C, &line, "")), official(&server, (C, &line, "")));
        assert_eq!((own.status, &own.stdout), (wanted.status, &wanted.stdout), "{line}: {}", own.stderr);
        assert_eq!(!own.stdout.is_empty(), has_some, "{line}: {}", own.stdout);
    }
}
