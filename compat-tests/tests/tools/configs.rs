//! kafka-configs: topics, brokers, groups and client metrics; sources and refusals.

use milena_compat_tests::{Server, wait};

use super::create;

fn describe(server: &Server, arguments: &str) -> String {
    server.tool("kafka-configs").arg("--describe").line(arguments).ok()
}

/// A change reaches the broker that is asked a moment after the controller took it.
fn describe_until(server: &Server, arguments: &str, has: bool, part: &str) -> String {
    let what = format!("{part:?} {} be described", if has { "should" } else { "should not" });
    wait::until_like(wait::PATIENCE, &what, || describe(server, arguments), |told| told.contains(part) == has)
}

#[test]
fn a_topic_setting_is_set_described_and_taken_back() {
    let server = Server::shared();
    create(server, "cfg-topic", "");
    let alter = |change: &str| {
        let tool = server.tool("kafka-configs").line("--alter --topic cfg-topic").line(change);
        assert!(tool.ok().contains("Completed updating config for topic cfg-topic."));
    };
    alter("--add-config retention.ms=12345,cleanup.policy=[compact,delete]");
    let own = describe_until(server, "--topic cfg-topic", true, "retention.ms=12345");
    assert!(own.starts_with("Dynamic configs for topic cfg-topic are:\n"), "{own}");
    assert!(
        own.contains("retention.ms=12345 sensitive=false synonyms={DYNAMIC_TOPIC_CONFIG:retention.ms=12345"),
        "{own}"
    );
    assert!(own.contains("cleanup.policy=compact,delete sensitive=false"), "{own}");

    alter("--delete-config retention.ms");
    describe_until(server, "--topic cfg-topic", false, "retention.ms=12345");
}

#[test]
fn every_topic_setting_of_kafka_is_described_with_its_default() {
    let server = Server::shared();
    create(server, "cfg-all", "");
    let all = describe(server, "--all --topic cfg-all");
    for setting in [
        "cleanup.policy=delete",
        "compression.type=producer",
        "compression.gzip.level=-1",
        "compression.lz4.level=9",
        "compression.zstd.level=3",
        "delete.retention.ms=86400000",
        "file.delete.delay.ms=60000",
        "flush.messages=9223372036854775807",
        "flush.ms=9223372036854775807",
        "follower.replication.throttled.replicas=",
        "index.interval.bytes=4096",
        "leader.replication.throttled.replicas=",
        "local.retention.bytes=-2",
        "local.retention.ms=-2",
        "max.compaction.lag.ms=9223372036854775807",
        "max.message.bytes=1048588",
        "message.timestamp.after.max.ms=3600000",
        "message.timestamp.before.max.ms=9223372036854775807",
        "message.timestamp.type=CreateTime",
        "min.cleanable.dirty.ratio=0.5",
        "min.compaction.lag.ms=0",
        "min.insync.replicas=1",
        "preallocate=false",
        "remote.storage.enable=false",
        "retention.bytes=-1",
        "retention.ms=604800000",
        "segment.bytes=1073741824",
        "segment.index.bytes=10485760",
        "segment.jitter.ms=0",
        "segment.ms=604800000",
        "unclean.leader.election.enable=false",
    ] {
        assert!(all.contains(&format!("  {setting} sensitive=false synonyms={{")), "{setting} in {all}");
    }
}

#[test]
fn several_settings_may_come_from_a_file() {
    let server = Server::shared();
    create(server, "cfg-file", "");
    let scratch = milena_compat_tests::paths::scratch("configs");
    let file = scratch.path().join("topic.properties");
    std::fs::write(&file, "segment.bytes=2000000\nretention.bytes=7000000\n").expect("writable");
    let tool = server.tool("kafka-configs").line("--alter --topic cfg-file --add-config-file");
    tool.arg(&file.display().to_string()).ok();
    let described = describe_until(server, "--topic cfg-file", true, "segment.bytes=2000000");
    assert!(described.contains("segment.bytes=2000000") && described.contains("retention.bytes=7000000"));
}

#[test]
fn a_broker_is_described_and_altered_by_number_and_by_default() {
    let server = Server::shared();
    let all = describe(server, "--all --broker 1");
    for setting in ["auto.create.topics.enable=true", "num.partitions=1", "log.retention.hours=168"] {
        assert!(all.contains(&format!("  {setting} ")), "{setting} in {all}");
    }
    let alter = |arguments: &str| server.tool("kafka-configs").arg("--alter").line(arguments).run();
    alter("--broker 1 --add-config log.cleaner.threads=2").ok();
    let own = describe_until(server, "--broker 1", true, "log.cleaner.threads=2");
    assert!(own.contains("log.cleaner.threads=2 sensitive=false synonyms={DYNAMIC_BROKER_CONFIG:"), "{own}");
    alter("--broker 1 --delete-config log.cleaner.threads").ok();
    describe_until(server, "--broker 1", false, "log.cleaner.threads=2");

    alter("--broker-defaults --add-config log.retention.ms=55555555").ok();
    let defaults = describe_until(server, "--broker-defaults", true, "log.retention.ms=55555555");
    assert!(
        defaults
            .contains("log.retention.ms=55555555 sensitive=false synonyms={DYNAMIC_DEFAULT_BROKER_CONFIG:"),
        "{defaults}"
    );
    create(server, "cfg-inherits", "");
    describe_until(server, "--all --topic cfg-inherits", true, "  retention.ms=55555555 ");
    alter("--broker-defaults --delete-config log.retention.ms").ok();
    describe_until(server, "--all --topic cfg-inherits", true, "  retention.ms=604800000 ");
}

#[test]
fn a_setting_that_only_a_restart_changes_is_refused() {
    let server = Server::shared();
    let tool = server.tool("kafka-configs").line("--alter --broker 1 --add-config node.id=7");
    let refused = tool.run().fails();
    assert!(refused.contains("Cannot update these configs dynamically: [node.id]"), "{refused}");
}

#[test]
fn a_group_has_settings_of_its_own() {
    let server = Server::shared();
    let tool = server.tool("kafka-configs").line("--alter --group cfg-group");
    tool.line("--add-config consumer.session.timeout.ms=50000").ok();
    describe_until(server, "--group cfg-group", true, "consumer.session.timeout.ms=50000");
}

#[test]
fn a_client_metrics_subscription_is_kept_and_listed() {
    let server = Server::shared();
    let tool = server.tool("kafka-client-metrics").line("--alter --name cfg-metrics --interval 10000");
    tool.line("--metrics org.apache.kafka.producer. --match client_id=nobody").ok();
    let list = || server.tool("kafka-client-metrics").line("--list").ok();
    let is_listed = |listed: &String| listed.lines().any(|line| line == "cfg-metrics");
    wait::until_like(wait::PATIENCE, "the subscription is listed", list, is_listed);
    let described = server.tool("kafka-client-metrics").line("--describe --name cfg-metrics").ok();
    assert!(described.contains("interval.ms=10000"), "{described}");
    server.tool("kafka-client-metrics").line("--delete --name cfg-metrics").ok();
    wait::until_like(wait::PATIENCE, "the subscription is gone", list, |listed| !is_listed(listed));
}

#[test]
fn unknown_names_and_wrong_values_are_refused() {
    let server = Server::shared();
    create(server, "cfg-refused", "");
    for (change, message) in [
        ("--add-config nonsense=1", "Unknown topic config name: nonsense"),
        ("--add-config retention.ms=abc", "Invalid value abc for configuration retention.ms"),
        ("--add-config cleanup.policy=burn", "Invalid value burn for configuration cleanup.policy"),
        ("--add-config segment.bytes=1", "Invalid value 1 for configuration segment.bytes"),
    ] {
        let refused =
            server.tool("kafka-configs").line("--alter --topic cfg-refused").line(change).run().fails();
        assert!(refused.contains(message), "{change}: {refused}");
    }
    let missing = server.tool("kafka-configs").line("--alter --topic cfg-missing");
    let missing = missing.line("--add-config retention.ms=1").run().fails();
    assert!(missing.contains("cfg-missing"), "{missing}");
}

#[test]
fn credentials_of_users_are_set_described_and_taken_back() {
    let server = Server::shared();
    assert_eq!(describe(server, "--entity-type users --entity-name cfg-nobody"), "");
    let alter = |change: &str| {
        let tool = server.tool("kafka-configs").line("--alter --entity-type users --entity-name cfg-user");
        assert!(tool.line(change).ok().contains("Completed updating config for user cfg-user."));
    };
    alter("--add-config SCRAM-SHA-256=[iterations=8192,password=secret]");
    alter("--add-config SCRAM-SHA-512=[password=secret]");
    let told = "SCRAM credential configs for user-principal 'cfg-user' are \
                SCRAM-SHA-256=iterations=8192, SCRAM-SHA-512=iterations=4096";
    describe_until(server, "--entity-type users", true, told);
    alter("--delete-config SCRAM-SHA-256");
    let told = "SCRAM credential configs for user-principal 'cfg-user' are SCRAM-SHA-512=iterations=4096";
    describe_until(server, "--entity-type users --entity-name cfg-user", true, told);
    alter("--delete-config SCRAM-SHA-512");
    describe_until(server, "--entity-type users", false, "cfg-user");
}
