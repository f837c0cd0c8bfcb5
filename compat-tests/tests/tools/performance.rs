//! kafka-producer-perf-test, kafka-consumer-perf-test, kafka-e2e-latency: they run through and count right.

use std::time::Duration;

use milena_compat_tests::{Server, Tool};

use super::create;

/// The tools push as hard as they can, which on two cores with other work may take its time.
const MACHINE_IS_BUSY: Duration = Duration::from_secs(240);

#[test]
fn the_producer_and_consumer_performance_tools_move_every_record() {
    let server = Server::shared();
    create(server, "perf", "--partitions 3");
    let bootstrap = format!("bootstrap.servers={}", server.bootstrap());
    for codec in ["none", "lz4"] {
        let compression = format!("compression.type={codec}");
        let tool = Tool::new("kafka-producer-perf-test")
            .patience(MACHINE_IS_BUSY)
            .line("--topic perf --num-records 20000 --record-size 200 --throughput -1 --command-property")
            .args([&bootstrap, &compression]);
        let told = tool.ok();
        assert!(told.lines().last().expect("a summary").starts_with("20000 records sent"), "{told}");
    }
    let told = server
        .tool("kafka-consumer-perf-test")
        .line("--topic perf --num-records 40000 --timeout 60000")
        .patience(MACHINE_IS_BUSY)
        .ok();
    let row: Vec<&str> = told.lines().last().expect("a row").split(", ").collect();
    assert_eq!(row.get(4).and_then(|count| count.trim().parse().ok()), Some(40000), "{told}");
}

#[test]
fn end_to_end_latency_is_measured() {
    let server = Server::shared();
    let tool = server.tool("kafka-e2e-latency").line(
        "--topic perf-e2e --num-records 200 --producer-acks all --record-size 100 --record-key-size 10 \
         --num-headers 2 --record-header-key-size 5 --record-header-size 5",
    );
    let told = tool.ok();
    assert!(told.contains("Avg latency:") && told.contains("99.9th ="), "{told}");
}
