//! A hundred clusters in one process: made, used, dropped, and nothing of them left.
//!
//! The short form does it twice and looks at what is left. With `MILENA_LONG=1` the time counts as well, which wants a machine that is not
//! busy otherwise. It must never use a cluster less than a client does: a record is produced to each and fetched from it.

use std::env;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{FetchRequest, ProduceRequest, TopicName};
use kafka_protocol::protocol::StrBytes;
use milena_compat_tests::http::Http;
use milena_compat_tests::process::Guarded;
use milena_compat_tests::wait::{self, PATIENCE};
use milena_compat_tests::wire::{Wire, batch, record};
use milena_compat_tests::{paths, port};
use serde_json::{Value, json};

const CLUSTERS: usize = 100;
/// For all of them together.
const TIME_MAX: Duration = Duration::from_secs(2);
/// What the allocator keeps for the next, in pieces that it cannot give back; a cluster that is not dropped holds 360 KB.
const KEPT_MAX: u64 = 6 << 20;

fn topic() -> TopicName {
    StrBytes::from_static_str("t").into()
}

/// Makes a cluster and leaves a record in it that comes back; what it is called.
fn make_and_use(http: Http) -> Value {
    let made = http.told(201, "POST", "/v1/clusters", r#"{"settings": {"milena.create.topics": "t:1:1"}}"#);
    let address: SocketAddr = made["bootstrap_servers"].as_str().expect("one").parse().expect("an address");
    let mut wire = Wire::connect(address);
    let data = PartitionProduceData::default().with_records(Some(batch([record("a")])));
    let produced = TopicProduceData::default().with_name(topic()).with_partition_data(vec![data]);
    let request =
        ProduceRequest::default().with_acks(-1).with_timeout_ms(5000).with_topic_data(vec![produced]);
    let answer = wire.call(9, &request);
    assert_eq!(answer.responses[0].partition_responses[0].error_code, 0, "{answer:?}");
    let partition = FetchPartition::default().with_partition_max_bytes(1 << 20);
    let fetched = FetchTopic::default().with_topic(topic()).with_partitions(vec![partition]);
    let answer = wire.call(11, &FetchRequest::default().with_max_bytes(1 << 20).with_topics(vec![fetched]));
    let partition = &answer.responses[0].partitions[0];
    assert_eq!((partition.error_code, partition.high_watermark), (0, 1), "{answer:?}");
    made["id"].clone()
}

fn round(http: Http) {
    let begun = Instant::now();
    let made: Vec<Value> = (0..CLUSTERS).map(|_| make_and_use(http)).collect();
    for id in made {
        http.told(200, "DELETE", &format!("/v1/clusters/{id}"), "");
    }
    let took = begun.elapsed();
    let counts = env::var("MILENA_LONG").is_ok_and(|value| value == "1");
    assert!(!counts || took < TIME_MAX, "{CLUSTERS} clusters took {took:?}");
}

/// The directory that the broker says it writes to.
fn directory_of(broker: &Guarded) -> PathBuf {
    let output = broker.output();
    let named =
        output.lines().find_map(|line| line.split_once("data in ")?.1.split_once(", gone at the end"));
    PathBuf::from(named.unwrap_or_else(|| panic!("no directory in {output}")).0)
}

#[test]
fn a_hundred_come_and_go() {
    let directory = paths::scratch("virtual-clusters");
    let port = port::free();
    let mut command = Command::new(paths::milena());
    command.current_dir(directory.path()).env_remove("TMPDIR").args(["--ephemeral", "--override"]);
    command.args(["listeners=PLAINTEXT://127.0.0.1:0", "--override"]);
    command.arg(format!("milena.http.listener=127.0.0.1:{port}"));
    let mut broker = Guarded::start(&mut command, &directory.path().join("output.txt"));
    wait::until(PATIENCE, "the broker", || broker.output().contains("Kafka Server started").then_some(()));
    let data = directory_of(&broker);
    assert!(data.is_dir(), "{}", data.display());
    let before = broker.memory_bytes("RssAnon");
    let http = Http::at((Ipv4Addr::LOCALHOST, port).into());
    for _ in 0..2 {
        round(http);
        assert_eq!(http.told(200, "GET", "/v1/clusters", ""), json!({"clusters": []}));
        wait::until(PATIENCE, "the memory of the dropped clusters", || {
            (broker.memory_bytes("RssAnon") < before + KEPT_MAX).then_some(())
        });
    }
    broker.terminate(PATIENCE);
    assert!(fs::metadata(&data).is_err(), "{} is left", data.display());
}
