//! kafka-console-producer and kafka-console-consumer: what goes in comes out, with keys, headers, groups and positions.

use milena_compat_tests::Server;

use super::{consume, create, numbers, produce, sorted};

#[test]
fn lines_come_back_in_order() {
    let server = Server::shared();
    create(server, "con-lines", "--partitions 1");
    let lines = numbers(1000);
    produce(server, "con-lines", &lines);
    assert_eq!(consume(server, "con-lines", 1000), lines);
}

#[test]
fn a_topic_that_nobody_created_is_created_by_the_first_record() {
    let server = Server::shared();
    produce(server, "con-automatic", "hello\n");
    assert_eq!(consume(server, "con-automatic", 1), "hello\n");
    let described = server.tool("kafka-topics").line("--describe --topic con-automatic").ok();
    assert!(described.contains("PartitionCount: 1\tReplicationFactor: 1"), "{described}");
}

#[test]
fn keys_and_headers_are_kept_and_null_is_not_empty() {
    let server = Server::shared();
    create(server, "con-keys", "--partitions 1");
    let producer = server.tool("kafka-console-producer").line(
        "--topic con-keys --reader-property parse.key=true --reader-property key.separator=| \
         --reader-property parse.headers=true --reader-property headers.delimiter=# --reader-property null.marker=NULL",
    );
    producer.input("a:1,b:2#k1|v1\na:NULL#NULL|v2\nx:#k3|NULL\nx:y#|\n").ok();
    let consumer = server.tool("kafka-console-consumer").line(
        "--topic con-keys --from-beginning --max-messages 4 --formatter-property print.key=true \
         --formatter-property print.headers=true --formatter-property print.partition=true \
         --formatter-property print.offset=true --formatter-property key.separator=| \
         --formatter-property null.literal=NIL",
    );
    let expected = "Partition:0|Offset:0|a:1,b:2|k1|v1\n\
                    Partition:0|Offset:1|a:NIL|NIL|v2\n\
                    Partition:0|Offset:2|x:|k3|NIL\n\
                    Partition:0|Offset:3|x:y||\n";
    assert_eq!(consumer.ok(), expected);
}

#[test]
fn equal_keys_share_a_partition() {
    let server = Server::shared();
    create(server, "con-spread", "--partitions 4");
    let lines: String = (0..200).map(|number| format!("key{}:{number}\n", number % 20)).collect();
    let producer = server
        .tool("kafka-console-producer")
        .line("--topic con-spread --reader-property parse.key=true --reader-property key.separator=:");
    producer.input(lines).ok();
    let consumer = server.tool("kafka-console-consumer").line(
        "--topic con-spread --from-beginning --max-messages 200 --formatter-property print.key=true \
         --formatter-property print.partition=true --formatter-property print.value=false",
    );
    let read = consumer.ok();
    let mut places = sorted(&read);
    places.dedup();
    assert_eq!(places.len(), 20, "each of 20 keys in one partition: {places:?}");
    let mut used: Vec<&str> = places.iter().map(|line| line.split('\t').next().expect("a column")).collect();
    used.dedup();
    assert_eq!(used.len(), 4, "all partitions are used: {used:?}");
}

#[test]
fn each_codec_is_kept() {
    let server = Server::shared();
    let lines = numbers(500);
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let topic = format!("con-codec-{codec}");
        create(server, &topic, "--partitions 1");
        let producer = server.tool("kafka-console-producer");
        producer.args(["--topic", &topic, "--compression-codec", codec]).input(lines.clone()).ok();
        assert_eq!(consume(server, &topic, 500), lines, "{codec}");
    }
}

#[test]
fn each_kind_of_acknowledgement_works() {
    let server = Server::shared();
    create(server, "con-acks", "--partitions 1");
    for acks in ["0", "1", "all"] {
        let producer = server.tool("kafka-console-producer").args(["--topic", "con-acks", "--sync"]);
        producer.args(["--request-required-acks", acks]).input(format!("acks {acks}\n")).ok();
    }
    assert_eq!(consume(server, "con-acks", 3), "acks 0\nacks 1\nacks all\n");
}

#[test]
fn a_group_goes_on_where_it_left_off() {
    let server = Server::shared();
    create(server, "con-group", "--partitions 1");
    produce(server, "con-group", &numbers(10));
    let read = |count: &str| {
        let consumer = server.tool("kafka-console-consumer").line("--topic con-group --group con-g");
        consumer.args(["--from-beginning", "--max-messages", count]).ok()
    };
    assert_eq!(read("4"), "0\n1\n2\n3\n");
    assert_eq!(read("3"), "4\n5\n6\n");
    assert_eq!(read("3"), "7\n8\n9\n");
}

#[test]
fn a_partition_is_read_from_any_offset() {
    let server = Server::shared();
    create(server, "con-offset", "--partitions 2");
    // One batch after another, so that offsets lie inside and at the edges of batches.
    let batches = ["0\n1\n2\n", "3\n4\n", "5\n6\n7\n8\n9\n"];
    let producer = |lines: &str| {
        let tool = server
            .tool("kafka-console-producer")
            .line("--topic con-offset --reader-property parse.key=true --reader-property key.separator=:");
        tool.input(lines.lines().map(|line| format!("same:{line}\n")).collect::<String>()).ok();
    };
    batches.into_iter().for_each(producer);
    let read = |partition: &str, offset: &str, count: &str| {
        let tool = server.tool("kafka-console-consumer").line("--topic con-offset");
        tool.args(["--partition", partition, "--offset", offset, "--max-messages", count]).ok()
    };
    let whole = |partition| read(partition, "earliest", "10");
    let latest = |partition| {
        let ends = server.tool("kafka-get-offsets").line("--topic con-offset").ok();
        ends.lines().any(|line| line == format!("con-offset:{partition}:10"))
    };
    let partition = if latest("0") { "0" } else { "1" };
    assert_eq!(whole(partition), numbers(10));
    for from in 0..10_usize {
        let expected: String = (from..10).map(|number| format!("{number}\n")).collect();
        assert_eq!(read(partition, &from.to_string(), &(10 - from).to_string()), expected);
    }
}

#[test]
fn a_consumer_gives_up_after_its_timeout() {
    let server = Server::shared();
    create(server, "con-timeout", "--partitions 1");
    produce(server, "con-timeout", "only\n");
    let run = server
        .tool("kafka-console-consumer")
        .line("--topic con-timeout --from-beginning --timeout-ms 4000")
        .run();
    assert_eq!(run.text(), "only\n", "{run}");
    assert!(run.all().contains("TimeoutException"), "{run}");
}

#[test]
fn a_waiting_consumer_sees_new_records_and_new_topics_of_its_pattern() {
    let server = Server::shared();
    create(server, "con-pattern-a", "--partitions 1");
    let consumer = server.tool("kafka-console-consumer").line(
        "--include con-pattern-.* --group con-pattern --max-messages 2 --command-property metadata.max.age.ms=500 \
         --command-property auto.offset.reset=earliest",
    );
    let consumer = consumer.spawn();
    produce(server, "con-pattern-a", "first\n");
    let _ = consumer.wait_for("the first record", |text| text == "first\n");
    create(server, "con-pattern-b", "--partitions 1");
    produce(server, "con-pattern-b", "second\n");
    assert_eq!(consumer.finish().ok(), "first\nsecond\n");
}

#[test]
fn a_committed_reader_reads_what_no_transaction_wrote() {
    let server = Server::shared();
    create(server, "con-committed", "--partitions 1");
    produce(server, "con-committed", &numbers(5));
    let consumer = server
        .tool("kafka-console-consumer")
        .line("--topic con-committed --from-beginning --max-messages 5 --isolation-level read_committed");
    assert_eq!(consumer.ok(), numbers(5));
}

#[test]
fn the_broker_stamps_records_where_the_topic_says_so() {
    let server = Server::shared();
    create(server, "con-create-time", "--partitions 1");
    create(server, "con-append-time", "--partitions 1 --config message.timestamp.type=LogAppendTime");
    for (topic, label) in [("con-create-time", "CreateTime:"), ("con-append-time", "LogAppendTime:")] {
        produce(server, topic, "x\n");
        let consumer = server.tool("kafka-console-consumer").args(["--topic", topic, "--from-beginning"]);
        let read = consumer.line("--max-messages 1 --formatter-property print.timestamp=true").ok();
        assert!(read.starts_with(label) && read.ends_with("\tx\n"), "{read}");
    }
}

#[test]
fn a_record_larger_than_the_topic_takes_is_refused() {
    let server = Server::shared();
    create(server, "con-large", "--partitions 1 --config max.message.bytes=2000");
    let producer = server.tool("kafka-console-producer").line("--topic con-large --sync");
    let refused = producer.input("x".repeat(3000) + "\n").run();
    assert!(refused.all().contains("RecordTooLargeException"), "{refused}");
    let ends = server.tool("kafka-get-offsets").line("--topic con-large").ok();
    assert_eq!(ends.trim(), "con-large:0:0");
}
