//! kafka-topics: create, describe, alter, list, delete, and its refusals.

use milena_compat_tests::{Server, wait};

#[test]
fn a_topic_is_created_described_and_listed() {
    let server = Server::shared();
    let created = server
        .tool("kafka-topics")
        .line("--create --topic t-create --partitions 3 --config retention.ms=3600000");
    assert!(created.ok().contains("Created topic t-create."));

    let described = server.tool("kafka-topics").line("--describe --topic t-create").ok();
    let lines: Vec<&str> = described.lines().collect();
    assert_eq!(lines.len(), 4, "{described}");
    for part in [
        "Topic: t-create\t",
        "TopicId: ",
        "PartitionCount: 3\t",
        "ReplicationFactor: 1\t",
        "retention.ms=3600000",
    ] {
        assert!(lines[0].contains(part), "{part} in {described}");
    }
    for (partition, line) in lines[1..].iter().enumerate() {
        let start = format!("\tTopic: t-create\tPartition: {partition}\tLeader: 1\tReplicas: 1\tIsr: 1");
        assert!(line.starts_with(&start), "{start:?} in {described}");
    }

    let listed = server.tool("kafka-topics").line("--list").ok();
    assert!(listed.lines().any(|line| line == "t-create"), "{listed}");
}

#[test]
fn default_partition_count_and_replication_factor_come_from_the_broker() {
    let server = Server::shared();
    server.tool("kafka-topics").line("--create --topic t-defaults").ok();
    let described = server.tool("kafka-topics").line("--describe --topic t-defaults").ok();
    assert!(described.contains("PartitionCount: 1\tReplicationFactor: 1"), "{described}");
}

#[test]
fn partitions_are_added_but_never_taken_away() {
    let server = Server::shared();
    server.tool("kafka-topics").line("--create --topic t-alter --partitions 2").ok();
    server.tool("kafka-topics").line("--alter --topic t-alter --partitions 5").ok();
    let described = server.tool("kafka-topics").line("--describe --topic t-alter").ok();
    assert!(described.contains("PartitionCount: 5"), "{described}");

    let refused = server.tool("kafka-topics").line("--alter --topic t-alter --partitions 4").run().fails();
    assert!(
        refused.contains("The topic t-alter currently has 5 partition(s); 4 would not be an increase."),
        "{refused}"
    );
    let same = server.tool("kafka-topics").line("--alter --topic t-alter --partitions 5").run().fails();
    assert!(same.contains("Topic already has 5 partition(s)."), "{same}");
}

#[test]
fn a_topic_that_exists_is_not_created_again() {
    let server = Server::shared();
    server.tool("kafka-topics").line("--create --topic t-twice").ok();
    let refused = server.tool("kafka-topics").line("--create --topic t-twice").run().fails();
    assert!(refused.contains("Topic 't-twice' already exists."), "{refused}");
    let tolerated = server.tool("kafka-topics").line("--create --topic t-twice --if-not-exists").run();
    let _ = tolerated.ok();
}

#[test]
fn a_deleted_topic_is_gone_and_may_come_back_with_another_id() {
    let server = Server::shared();
    let id = || {
        let described = server.tool("kafka-topics").line("--describe --topic t-delete").ok();
        let (_, after) = described.split_once("TopicId: ").expect("the description holds the id");
        after.split('\t').next().expect("a tab follows").to_owned()
    };
    server.tool("kafka-topics").line("--create --topic t-delete").ok();
    let first = id();
    server.tool("kafka-topics").line("--delete --topic t-delete").ok();
    wait::until_like(
        wait::PATIENCE,
        "the topic is gone",
        || server.tool("kafka-topics").line("--describe --topic t-delete").run(),
        |told| told.status != 0 && told.all().contains("Topic 't-delete' does not exist as expected"),
    );
    server.tool("kafka-topics").line("--create --topic t-delete").ok();
    assert_ne!(first, id());
}

#[test]
fn topics_with_overrides_are_told_apart() {
    let server = Server::shared();
    server.tool("kafka-topics").line("--create --topic t-plain").ok();
    server.tool("kafka-topics").line("--create --topic t-override --config cleanup.policy=compact").ok();
    // Kafka sets min.insync.replicas for the whole cluster where ELR is on, and every topic then has an override.
    let described = server.tool("kafka-topics").line("--describe --topics-with-overrides").ok();
    let with_policy: Vec<&str> =
        described.lines().filter(|line| line.contains("cleanup.policy=compact")).collect();
    assert!(with_policy.iter().any(|line| line.starts_with("Topic: t-override\t")), "{described}");
    assert!(!with_policy.iter().any(|line| line.starts_with("Topic: t-plain\t")), "{described}");
}

#[test]
fn no_partition_of_a_single_broker_is_out_of_sync() {
    let server = Server::shared();
    server.tool("kafka-topics").line("--create --topic t-sync --partitions 2").ok();
    for filter in ["--under-replicated-partitions", "--unavailable-partitions", "--under-min-isr-partitions"]
    {
        let described = server.tool("kafka-topics").args(["--describe", filter, "--topic", "t-sync"]).ok();
        assert_eq!(described.trim(), "", "{filter}");
    }
}

#[test]
fn replicas_may_be_placed_by_hand() {
    let server = Server::shared();
    server.tool("kafka-topics").line("--create --topic t-placed --replica-assignment 1,1").ok();
    let described = server.tool("kafka-topics").line("--describe --topic t-placed").ok();
    assert!(described.contains("PartitionCount: 2\tReplicationFactor: 1"), "{described}");
}
