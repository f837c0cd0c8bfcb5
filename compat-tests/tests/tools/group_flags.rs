//! The other flags of kafka-consumer-groups and kafka-groups: several groups and all of them, all topics, single partitions,
//! configuration from a file, time-outs, patterns, kinds of groups.
//!
//! A test has a broker of its own where it asks for all that there is.

use std::fs;

use bytes::Bytes;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::{
    FindCoordinatorRequest, GroupId, JoinGroupRequest, OffsetCommitRequest, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use milena_compat_tests::tool::Transcript;
use milena_compat_tests::{Server, paths, wait};

use super::{create, numbers, produce};

fn groups(server: &Server, arguments: &str) -> Transcript {
    server.tool("kafka-consumer-groups").line(arguments).run()
}

fn text(value: &str) -> StrBytes {
    StrBytes::from_string(value.to_owned())
}

/// Commits an offset as somebody who is in no group does; waits for a coordinator.
fn commit(server: &Server, group: &str, topic: &str, partition: i32, offset: i64) {
    let partition =
        OffsetCommitRequestPartition::default().with_partition_index(partition).with_committed_offset(offset);
    let topic = OffsetCommitRequestTopic::default()
        .with_name(TopicName(text(topic)))
        .with_partitions(vec![partition]);
    let request = OffsetCommitRequest::default().with_group_id(GroupId(text(group))).with_topics(vec![topic]);
    let find = FindCoordinatorRequest::default().with_coordinator_keys(vec![text(group)]);
    let mut wire = server.wire();
    wait::until(wait::PATIENCE, "a coordinator that takes an offset", || {
        let found = wire.call(4, &find).coordinators[0].error_code == 0;
        let taken = found && wire.call(8, &request).topics[0].partitions[0].error_code == 0;
        taken.then_some(())
    });
}

/// The rows of a table, cut at its columns, but for its heads.
fn rows(table: &str, group: &str) -> Vec<Vec<String>> {
    let rows = table.lines().map(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
    let mut rows: Vec<_> = rows.filter(|row| row.first().is_some_and(|first| first == group)).collect();
    rows.sort();
    rows
}

/// Two topics of ten records in each of their partitions, and two groups that have read some.
fn two_groups(prefix: &str) -> Server {
    let server = Server::start_default();
    for (topic, partitions) in [("one", 1), ("three", 3)] {
        create(&server, &format!("{prefix}-{topic}"), &format!("--partitions {partitions}"));
    }
    produce(&server, &format!("{prefix}-one"), &numbers(10));
    for group in ["a", "b"] {
        commit(&server, &format!("{prefix}-{group}"), &format!("{prefix}-one"), 0, 4);
    }
    for partition in 0..3 {
        commit(&server, &format!("{prefix}-a"), &format!("{prefix}-three"), partition, 0);
    }
    server
}

#[test]
fn all_groups_are_described_reset_and_deleted_at_once() {
    let server = two_groups("all");
    let told = groups(&server, "--describe --all-groups --timeout 20000");
    assert!(told.all().contains("Consumer group 'all-a' has no active members."), "{told}");
    let (a, b) = (rows(&told.text(), "all-a"), rows(&told.text(), "all-b"));
    assert_eq!((a.len(), b.len()), (4, 1), "{told}");
    assert_eq!(b[0][1..6], ["all-one", "0", "4", "10", "6"], "{told}");
    let told = groups(&server, "--describe --all-groups --state").ok();
    for group in ["all-a", "all-b"] {
        let state = &rows(&told, group)[0];
        assert_eq!(state[1..], [&server.bootstrap(), "(1)", "-", "Empty", "0"], "{told}");
    }
    let told = groups(&server, "--describe --group all-a --group all-b --members");
    assert!(told.all().contains("Consumer group 'all-b' has no active members."), "{told}");
    let told = groups(&server, "--describe --group all-b --offsets --verbose").ok();
    assert!(told.contains("LEADER-EPOCH"), "{told}");
    assert_eq!(rows(&told, "all-b")[0][1..7], ["all-one", "0", "-", "4", "10", "6"], "{told}");

    let told = groups(&server, "--reset-offsets --all-groups --all-topics --to-earliest --execute").ok();
    assert_eq!((rows(&told, "all-a").len(), rows(&told, "all-b").len()), (4, 1), "{told}");
    let told = groups(&server, "--describe --all-groups").ok();
    assert!(rows(&told, "all-b").iter().all(|row| row[3] == "0"), "{told}");

    let told = groups(&server, "--delete --all-groups").ok();
    assert!(
        told.contains("'all-a'") && told.contains("'all-b'") && told.contains("was successful."),
        "{told}"
    );
    assert_eq!(groups(&server, "--list").ok().trim(), "");
}

#[test]
fn single_partitions_and_plans_for_several_groups() {
    let server = two_groups("part");
    for partition in 0..3 {
        commit(&server, "part-a", "part-three", partition, 3);
    }
    // Partitions without records end at 0, and offsets beyond the end are taken back to it.
    let told =
        groups(&server, "--reset-offsets --group part-a --topic part-three:0,2 --to-latest --execute").ok();
    let moved: Vec<_> =
        rows(&told, "part-a").into_iter().map(|row| (row[2].clone(), row[3].clone())).collect();
    let at = |partition: &str| (partition.to_owned(), "0".to_owned());
    assert_eq!(moved, [at("0"), at("2")], "{told}");
    let told = groups(&server, "--delete-offsets --group part-a --topic part-three:1").ok();
    assert!(told.contains("Request succeeded for deleting offsets from group part-a."), "{told}");
    let told = groups(&server, "--describe --group part-a").ok();
    let left: Vec<_> = rows(&told, "part-a").into_iter().map(|row| row[1..3].join(":")).collect();
    assert_eq!(left, ["part-one:0", "part-three:0", "part-three:2"], "{told}");

    let unsaid = groups(&server, "--reset-offsets --group part-b --all-topics --shift-by 2");
    assert!(
        unsaid.all().contains("WARN: No action will be performed as the --execute option is missing."),
        "{unsaid}"
    );
    assert_eq!(rows(&unsaid.text(), "part-b")[0][3], "6", "{unsaid}");
    let both = groups(&server, "--reset-offsets --group part-b --all-topics --to-latest --dry-run --execute");
    assert!(both.fails().contains("only accepts one of"));
    let unset = groups(&server, "--reset-offsets --group part-b --to-latest --dry-run");
    assert!(unset.all().contains("One of the reset scopes should be defined"), "{unset}");

    let plan =
        "--reset-offsets --group part-a --group part-b --topic part-one --to-offset 7 --dry-run --export";
    let mut plan: Vec<String> = groups(&server, plan).ok().lines().map(str::to_owned).collect();
    plan.retain(|line| !line.is_empty());
    plan.sort();
    assert_eq!(plan, ["part-a,part-one,0,7", "part-b,part-one,0,7"]);
    let scratch = paths::scratch("plan");
    let file = scratch.path().join("plan.csv");
    fs::write(&file, plan.join("\n") + "\n").expect("the scratch directory is writable");
    let all = format!("--reset-offsets --all-groups --execute --from-file {}", file.display());
    let told = groups(&server, &all).ok();
    for group in ["part-a", "part-b"] {
        assert_eq!(rows(&told, group)[0][1..], ["part-one", "0", "7"], "{told}");
    }
}

#[test]
fn settings_from_a_file_and_patterns() {
    let server = Server::shared();
    create(server, "flag-file", "--partitions 1");
    commit(server, "flag-file", "flag-file", 0, 0);
    let scratch = paths::scratch("flags");
    let file = scratch.path().join("client.properties");
    let settings = "client.id=from-a-file\nrequest.timeout.ms=20000\ndefault.api.timeout.ms=20000\n";
    fs::write(&file, settings).expect("the scratch directory is writable");
    let with = format!("--command-config {}", file.display());
    assert!(groups(server, &format!("--list {with}")).ok().lines().any(|line| line == "flag-file"));
    let told = groups(server, &format!("--describe --group flag-file {with} --timeout 10000")).ok();
    assert_eq!(rows(&told, "flag-file")[0][3..6], ["0", "0", "0"], "{told}");
    let told = server.tool("kafka-groups").line(&format!("--list {with}")).ok();
    assert_eq!(rows(&told, "flag-file")[0], ["flag-file", "Classic"], "{told}");
    fs::write(&file, "security.protocol=NONE_SUCH\n").expect("the scratch directory is writable");
    let wrong = groups(server, &format!("--list {with}")).all();
    assert!(wrong.contains("Invalid value NONE_SUCH for configuration security.protocol"), "{wrong}");

    let valid = groups(server, "--validate-regex foo-[0-9]+").ok();
    assert!(valid.contains("The regular expression `foo-[0-9]+` is valid."), "{valid}");
    let wrong = groups(server, "--validate-regex foo-[0-9").all();
    assert!(wrong.contains("The regular expression `foo-[0-9` is invalid: "), "{wrong}");
}

#[test]
fn groups_are_listed_by_states_and_kinds() {
    let server = Server::shared();
    create(server, "flag-kinds", "--partitions 1");
    commit(server, "flag-simple", "flag-kinds", 0, 0);
    // A worker of Connect that has joined and stays for as long as the test.
    let mut worker = server.wire();
    let protocol = JoinGroupRequestProtocol::default().with_name(text("compatible"));
    let protocol = protocol.with_metadata(Bytes::from_static(b"worker"));
    let request = JoinGroupRequest::default()
        .with_group_id(GroupId(text("flag-connect")))
        .with_group_instance_id(Some(text("worker")))
        .with_session_timeout_ms(300_000)
        .with_rebalance_timeout_ms(300_000)
        .with_protocol_type(text("connect"))
        .with_protocols(vec![protocol]);
    assert_eq!(worker.call(9, &request).error_code, 0);

    let list = |flags: &str| server.tool("kafka-groups").line(&format!("--list {flags}")).ok();
    let has = |table: &str, group: &str| !rows(table, group).is_empty();
    for (flags, simple, connect) in [
        ("", true, true),
        ("--consumer", true, false),
        ("--group-type classic", true, true),
        ("--group-type classic --protocol connect", false, true),
        ("--protocol connect", false, true),
        ("--group-type consumer", false, false),
        ("--group-type share", false, false),
        ("--group-type streams", false, false),
        ("--share", false, false),
        ("--streams", false, false),
    ] {
        let told = list(flags);
        assert_eq!(
            (has(&told, "flag-simple"), has(&told, "flag-connect")),
            (simple, connect),
            "{flags}: {told}"
        );
    }
    assert_eq!(rows(&list(""), "flag-connect")[0], ["flag-connect", "Classic", "connect"]);
    let wrong = server.tool("kafka-groups").line("--list --group-type nonsense").run();
    assert!(wrong.all().contains("--group-type must be a valid group type."), "{wrong}");

    // The tool for consumers shows those of its protocol, and those of none.
    let told = groups(server, "--list --state empty,stable").ok();
    assert!(has(&told, "flag-simple") && !has(&told, "flag-connect"), "{told}");
    let told = groups(server, "--list --type classic,consumer --state").ok();
    assert_eq!(rows(&told, "flag-simple")[0], ["flag-simple", "Classic", "Empty"], "{told}");
    let wrong = groups(server, "--list --state nonsense").all();
    assert!(wrong.contains("Invalid state list 'nonsense'."), "{wrong}");
    let wrong = groups(server, "--list --type nonsense").all();
    assert!(wrong.contains("Invalid types list 'nonsense'."), "{wrong}");
}
