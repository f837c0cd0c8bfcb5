//! kafka-get-offsets with each `--time`, kafka-delete-records, kafka-log-dirs.

use std::fs;

use milena_compat_tests::wire::now_ms;
use milena_compat_tests::{Server, paths};

use super::{consume, create, numbers, produce};

fn offsets(server: &Server, topic: &str, time: &str) -> String {
    server.tool("kafka-get-offsets").args(["--topic", topic, "--time", time]).ok()
}

#[test]
fn each_kind_of_offset_is_found() {
    let server = Server::shared();
    create(server, "off-kinds", "--partitions 1");
    let before = now_ms();
    produce(server, "off-kinds", &numbers(10));
    let after = now_ms() + 1;
    for (time, offset) in [
        ("-1", "10"),
        ("latest", "10"),
        ("-2", "0"),
        ("earliest", "0"),
        ("-3", "9"),
        ("max-timestamp", "9"),
        ("-4", "0"),
        ("earliest-local", "0"),
        (&before.to_string(), "0"),
        ("0", "0"),
    ] {
        let found = offsets(server, "off-kinds", time);
        if time.contains("max") || time == "-3" {
            // Records of one millisecond share the largest timestamp; the first of them is the answer.
            assert!(found.starts_with("off-kinds:0:"), "{time}: {found}");
        } else {
            assert_eq!(found.trim(), format!("off-kinds:0:{offset}"), "{time}");
        }
    }
    // Nothing is later, and nothing is in remote storage: the offset is unknown.
    let later = offsets(server, "off-kinds", &after.to_string());
    assert!(later.trim().is_empty() || later.trim() == "off-kinds:0:", "{later}");
    let tiered = server.tool("kafka-get-offsets").line("--topic off-kinds --time latest-tiered").run();
    assert!(!tiered.text().contains("off-kinds:0:1"), "{tiered}");
}

#[test]
fn every_partition_of_every_matching_topic_is_listed() {
    let server = Server::shared();
    create(server, "off-many-a", "--partitions 2");
    create(server, "off-many-b", "--partitions 1");
    let found = server.tool("kafka-get-offsets").line("--topic off-many-.*").ok();
    assert_eq!(found, "off-many-a:0:0\noff-many-a:1:0\noff-many-b:0:0\n");
    let chosen = server.tool("kafka-get-offsets").line("--topic-partitions off-many-a:1,off-many-b:0").ok();
    assert_eq!(chosen, "off-many-a:1:0\noff-many-b:0:0\n");
}

#[test]
fn deleted_records_are_gone_and_the_rest_stays() {
    let server = Server::shared();
    create(server, "off-delete", "--partitions 1");
    produce(server, "off-delete", &numbers(10));
    let delete = |offset: i64| {
        let scratch = paths::scratch("delete");
        let file = scratch.path().join("offsets.json");
        let json = format!(
            r#"{{"partitions":[{{"topic":"off-delete","partition":0,"offset":{offset}}}],"version":1}}"#
        );
        fs::write(&file, json).expect("the scratch directory is writable");
        let path = file.display().to_string();
        server.tool("kafka-delete-records").args(["--offset-json-file", &path]).run()
    };
    let done = delete(4).ok();
    assert!(done.contains("partition: off-delete-0\tlow_watermark: 4"), "{done}");
    assert_eq!(offsets(server, "off-delete", "earliest").trim(), "off-delete:0:4");
    assert_eq!(consume(server, "off-delete", 6), "4\n5\n6\n7\n8\n9\n");

    let beyond = delete(11).all();
    assert!(beyond.contains("OffsetOutOfRangeException"), "{beyond}");
    let all = delete(-1).ok();
    assert!(all.contains("low_watermark: 10"), "{all}");
    assert_eq!(offsets(server, "off-delete", "earliest").trim(), "off-delete:0:10");
}

#[test]
fn log_dirs_tell_the_size_of_each_partition() {
    let server = Server::shared();
    create(server, "off-dirs", "--partitions 2");
    produce(server, "off-dirs", &numbers(100));
    let told = server.tool("kafka-log-dirs").line("--describe --topic-list off-dirs").ok();
    let json = told.lines().find(|line| line.starts_with('{')).expect("a line of JSON");
    let json: serde_json::Value = serde_json::from_str(json).expect("JSON");
    let directory = &json["brokers"][0]["logDirs"][0];
    assert_eq!(directory["error"], serde_json::Value::Null);
    let said = directory["logDir"].as_str().expect("a path");
    assert_eq!(
        fs::canonicalize(said).expect("it exists"),
        fs::canonicalize(server.log_dir()).expect("it exists")
    );
    let mut partitions: Vec<(String, u64)> = directory["partitions"]
        .as_array()
        .expect("an array")
        .iter()
        .map(|entry| {
            assert_eq!(entry["offsetLag"], 0);
            assert_eq!(entry["isFuture"], false);
            (entry["partition"].as_str().expect("a name").to_owned(), entry["size"].as_u64().expect("a size"))
        })
        .collect();
    partitions.sort();
    assert_eq!(partitions.len(), 2);
    for (index, (name, size)) in (0..).zip(&partitions) {
        assert_eq!(*name, format!("off-dirs-{index}"));
        let log = &server.partition_files("off-dirs", index, ".log")[0];
        assert_eq!(*size, fs::metadata(log).expect("a segment").len(), "{told}");
    }
    assert!(partitions.iter().any(|(_, size)| *size > 0), "{told}");
}
