//! Groups of the consumer protocol in the official tools: described, refused, listed, decoded; and members that crash.

use std::collections::BTreeSet;
use std::time::Duration;

use milena_compat_tests::server::{Setup, Target};
use milena_compat_tests::tool::{Running, Transcript};
use milena_compat_tests::{Server, wait};

use super::dump_log::{assert_clean, dump, formatted, group_logs};
use super::verifiable::is_shared_out;
use super::{create, numbers, produce};

fn groups(server: &Server, arguments: &str) -> Transcript {
    server.tool("kafka-consumer-groups").line(arguments).run()
}

/// A member that has read everything and stays.
fn staying(server: &Server, name: &str) -> Running {
    create(server, name, "--partitions 2");
    produce(server, name, "one\n");
    let consumer = server.tool("kafka-console-consumer").args(["--topic", name, "--group", name]);
    let consumer =
        consumer.line("--command-property group.protocol=consumer --command-property client.id=stays");
    let member = consumer.arg("--from-beginning").spawn();
    let _ = member.wait_for("the record", |text| text == "one\n");
    member
}

/// The columns of the first row of a group.
fn row(text: &str, group: &str) -> Vec<String> {
    let rows = text.lines().map(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
    let found = rows.into_iter().find(|columns| columns.first().is_some_and(|first| first == group));
    found.unwrap_or_else(|| panic!("no row of {group} in {text}"))
}

#[test]
fn members_epochs_and_state_are_described() {
    let server = Server::shared();
    let member = staying(server, "cgr-told");
    let told =
        |flags: &str| row(&groups(server, &format!("--describe --group cgr-told {flags}")).ok(), "cgr-told");
    let members = told("--members");
    assert_eq!(members[2..], ["/127.0.0.1", "stays", "2"]);
    let members = told("--members --verbose");
    assert_eq!(members[4..], ["2", "2", "cgr-told:0,1", "2", "cgr-told:0,1"], "{members:?}");
    let state = told("--state");
    assert_eq!(state[1..], [&server.bootstrap(), "(1)", "uniform", "Stable", "1"]);
    let state = told("--state --verbose");
    assert_eq!(state[3..], ["uniform", "Stable", "2", "2", "1"], "{state:?}");
    let offsets = told("--offsets");
    assert_eq!((offsets[1].as_str(), offsets[7].as_str()), ("cgr-told", "/127.0.0.1"), "{offsets:?}");
    let _ = member.stop();
    let left = groups(server, "--describe --group cgr-told --state").ok();
    assert!(row(&left, "cgr-told").contains(&"Empty".to_owned()), "{left}");
}

#[test]
fn a_group_at_work_is_listed_and_not_changed() {
    let server = Server::shared();
    let member = staying(server, "cgr-busy");
    let listed = groups(server, "--list --type consumer").ok();
    assert_eq!(row(&listed, "cgr-busy"), ["cgr-busy", "Consumer"]);
    assert!(!groups(server, "--list --type classic").ok().contains("cgr-busy"));
    assert_eq!(row(&groups(server, "--list --state Stable").ok(), "cgr-busy"), ["cgr-busy", "Stable"]);
    for filter in ["", " --consumer", " --group-type consumer", " --protocol consumer"] {
        let listed = server.tool("kafka-groups").line(&format!("--list{filter}")).ok();
        assert_eq!(row(&listed, "cgr-busy"), ["cgr-busy", "Consumer", "consumer"], "{filter}");
    }
    let reset =
        groups(server, "--reset-offsets --group cgr-busy --topic cgr-busy --to-earliest --execute").all();
    assert!(reset.contains("Assignments can only be reset if the group 'cgr-busy' is inactive"), "{reset}");
    let delete = groups(server, "--delete --group cgr-busy").all();
    assert!(delete.contains("GroupNotEmptyException"), "{delete}");
    let offsets = groups(server, "--delete-offsets --group cgr-busy --topic cgr-busy").all();
    assert!(offsets.contains("GroupSubscribedToTopicException"), "{offsets}");
    let _ = member.stop();
    let reset =
        groups(server, "--reset-offsets --group cgr-busy --topic cgr-busy --to-earliest --execute").ok();
    assert_eq!(row(&reset, "cgr-busy")[3], "0");
    groups(server, "--delete --group cgr-busy").ok();
    assert!(!groups(server, "--list").ok().lines().any(|line| line == "cgr-busy"));
}

#[test]
fn records_are_decoded_from_the_log_and_by_the_console_formatters() {
    let server = Setup::of(Target::chosen()).start();
    create(&server, "cgr-dump", "--partitions 1");
    produce(&server, "cgr-dump", &numbers(10));
    let consumer =
        server.tool("kafka-console-consumer").line("--topic cgr-dump --group cgr-g --from-beginning");
    consumer.line("--command-property group.protocol=consumer --max-messages 6").ok();
    let told = wait::until_like(
        wait::PATIENCE,
        "the group's records in the log",
        || dump(&group_logs(&server), "--offsets-decoder --print-data-log"),
        |told| told.contains(r#""offset":6"#),
    );
    assert_clean(&told);
    for part in [
        r#"key: {"type":"3","data":{"groupId":"cgr-g"}} payload: {"version":"0","data":{"epoch":2,"metadataHash":"#,
        r#""subscribedTopicNames":["cgr-dump"]"#,
        r#"key: {"type":"6","data":{"groupId":"cgr-g"}} payload: {"version":"0","data":{"assignmentEpoch":2,"#,
        r#"{"type":"7","data":{"groupId":"cgr-g","memberId":"#,
        r#""partitions":[0],"assignmentEpochs":[2]}],"partitionsPendingRevocation":[]}}"#,
    ] {
        assert!(told.contains(part), "{part} in {told}");
    }
    let offsets = formatted(&server, "OffsetsMessageFormatter");
    assert!(offsets.contains(r#""group":"cgr-g","topic":"cgr-dump","partition":0"#), "{offsets}");
    let classic = formatted(&server, "GroupMetadataMessageFormatter");
    assert!(!classic.contains("cgr-g"), "{classic}");
}

/// Members that report often, and are out when they have been silent for three seconds.
fn hasty() -> Server {
    let settings = [
        ("group.consumer.min.heartbeat.interval.ms", "200"),
        ("group.consumer.heartbeat.interval.ms", "200"),
        ("group.consumer.assignment.interval.ms", "0"),
        ("group.consumer.min.session.timeout.ms", "1000"),
        ("group.consumer.session.timeout.ms", "3000"),
    ];
    settings.iter().fold(Setup::of(Target::chosen()), |setup, (name, value)| setup.set(name, value)).start()
}

fn verifiable(server: &Server, topic: &str, assignor: &str) -> Running {
    let tool = server.tool("kafka-verifiable-consumer").patience(Duration::from_secs(120)).own_process();
    let tool = tool.args(["--topic", topic, "--group-id", topic, "--group-remote-assignor", assignor]);
    tool.line("--group-protocol consumer").spawn()
}

#[test]
fn three_consumers_share_six_partitions_and_two_take_over_when_one_is_killed() {
    let server = hasty();
    for assignor in ["uniform", "range"] {
        let topic = format!("cgr-six-{assignor}");
        create(&server, &topic, "--partitions 6");
        let mut members: Vec<Running> = (0..3).map(|_| verifiable(&server, &topic, assignor)).collect();
        wait::until(wait::PATIENCE, "two partitions for each of three", || {
            is_shared_out(&members, 2).then_some(())
        });
        let _ = members.pop().expect("three members").kill();
        wait::until(wait::PATIENCE, "three partitions for each of two", || {
            is_shared_out(&members, 3).then_some(())
        });
        let _ = members.pop().expect("two members").stop();
        wait::until(wait::PATIENCE, "six partitions for the last", || {
            is_shared_out(&members, 6).then_some(())
        });
        let _ = members.pop().expect("the last").stop();
    }
}

#[test]
fn a_broker_that_is_killed_keeps_members_and_epochs() {
    let mut server = Setup::of(Target::chosen()).start();
    let member = staying(&server, "cgr-kept");
    let epochs = |server: &Server| {
        let told = groups(server, "--describe --group cgr-kept --members --verbose").ok();
        row(&told, "cgr-kept")
    };
    let before = epochs(&server);
    server.kill();
    server.start();
    produce(&server, "cgr-kept", "two\n");
    let _ = member.wait_for("the record after the restart", |text| text == "one\ntwo\n");
    assert_eq!(epochs(&server), before);
    let seen: BTreeSet<String> = member.stop().text().lines().map(str::to_owned).collect();
    assert_eq!(seen.len(), 2);
}
