//! Each tool once as its script runs it: a JVM of its own.
//!
//! The other tests share one JVM; this shows that nothing depends on it.

use milena_compat_tests::{Server, Tool};

use super::{create, numbers};

/// A call and a part of what it must print. `AT` stands for the bootstrap server, `LOG` for a segment.
const CALLS: &[(&str, &str, &str)] = &[
    ("kafka-topics", "--bootstrap-server AT --describe --topic alone", "PartitionCount: 1"),
    ("kafka-configs", "--bootstrap-server AT --describe --all --topic alone", "cleanup.policy=delete"),
    ("kafka-console-producer", "--bootstrap-server AT --topic alone", ""),
    (
        "kafka-console-consumer",
        "--bootstrap-server AT --topic alone --from-beginning --max-messages 1 --group alone",
        "0\n",
    ),
    ("kafka-consumer-groups", "--bootstrap-server AT --describe --group alone", "alone"),
    ("kafka-groups", "--bootstrap-server AT --list", "GROUP"),
    ("kafka-get-offsets", "--bootstrap-server AT --topic alone", "alone:0:"),
    ("kafka-log-dirs", "--bootstrap-server AT --describe --topic-list alone", "\"partition\":\"alone-0\""),
    ("kafka-cluster", "cluster-id --bootstrap-server AT", "Cluster ID: "),
    ("kafka-broker-api-versions", "--bootstrap-server AT", "Produce(0): 0 to 13 [usable: 13]"),
    ("kafka-client-metrics", "--bootstrap-server AT --list", ""),
    ("kafka-metadata-quorum", "--bootstrap-server AT describe --status", "LeaderId:"),
    ("kafka-dump-log", "--deep-iteration --print-data-log --files LOG", "payload: 0"),
    ("kafka-verifiable-producer", "--bootstrap-server AT --topic alone --max-messages 5", "\"acked\":5"),
    (
        "kafka-verifiable-consumer",
        "--bootstrap-server AT --topic alone --group-id alone-too --reset-policy earliest --max-messages 5",
        "offsets_committed",
    ),
    (
        "kafka-producer-perf-test",
        "--bootstrap-server AT --topic alone --num-records 100 --record-size 10 --throughput -1",
        "100 records sent",
    ),
    (
        "kafka-consumer-perf-test",
        "--bootstrap-server AT --topic alone --num-records 100 --timeout 20000",
        "start.time",
    ),
    (
        "kafka-e2e-latency",
        "--bootstrap-server AT --topic alone-latency --num-records 10 --producer-acks all --record-size 10",
        "Avg latency",
    ),
];

#[test]
fn each_tool_works_in_a_process_of_its_own() {
    let server = Server::shared();
    create(server, "alone", "--partitions 1");
    for (name, line, part) in CALLS {
        let log = || server.partition_files("alone", 0, ".log")[0].display().to_string();
        let line = line.replace("AT", &server.bootstrap());
        let line = if line.contains("LOG") { line.replace("LOG", &log()) } else { line };
        let told = Tool::new(name).line(&line).input(numbers(10)).own_process().ok();
        assert!(told.contains(part), "{name} {line}: {told}");
    }
}
