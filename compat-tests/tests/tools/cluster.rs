//! kafka-cluster, kafka-broker-api-versions, kafka-metadata-quorum, kafka-features: what the broker says of itself.

use milena_compat_tests::{Server, Tool};

#[test]
fn the_cluster_id_is_told_and_looks_like_one() {
    let server = Server::shared();
    let told = Tool::new("kafka-cluster").arg("cluster-id").at(server).ok();
    let id = told.trim().strip_prefix("Cluster ID: ").expect("the tool's wording");
    assert_eq!(id.len(), 22, "{id}");
    assert!(id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'), "{id}");
}

#[test]
fn the_endpoints_are_those_of_the_one_broker() {
    let server = Server::shared();
    let told = Tool::new("kafka-cluster").arg("list-endpoints").at(server).ok();
    let row: Vec<&str> = told.lines().nth(1).expect("a row").split_whitespace().collect();
    let (host, port) =
        server.bootstrap().rsplit_once(':').map(|(h, p)| (h.to_owned(), p.to_owned())).expect("host:port");
    assert_eq!(row[..3], ["1", host.as_str(), port.as_str()], "{told}");
}

/// What 4.3.1 answers and every client may use; the versions are the reference's.
const SERVED: &[(&str, i16, i16, i16)] = &[
    ("Produce", 0, 0, 13),
    ("Fetch", 1, 4, 18),
    ("ListOffsets", 2, 1, 11),
    ("Metadata", 3, 0, 13),
    ("OffsetCommit", 8, 2, 10),
    ("OffsetFetch", 9, 1, 10),
    ("FindCoordinator", 10, 0, 6),
    ("JoinGroup", 11, 0, 9),
    ("Heartbeat", 12, 0, 4),
    ("LeaveGroup", 13, 0, 5),
    ("SyncGroup", 14, 0, 5),
    ("DescribeGroups", 15, 0, 6),
    ("ListGroups", 16, 0, 5),
    ("ApiVersions", 18, 0, 4),
    ("CreateTopics", 19, 2, 7),
    ("DeleteTopics", 20, 1, 6),
    ("DeleteRecords", 21, 0, 2),
    ("InitProducerId", 22, 0, 5),
    ("OffsetForLeaderEpoch", 23, 2, 4),
    ("DescribeConfigs", 32, 1, 4),
    ("AlterConfigs", 33, 0, 2),
    ("DescribeLogDirs", 35, 1, 5),
    ("CreatePartitions", 37, 0, 3),
    ("DeleteGroups", 42, 0, 2),
    ("IncrementalAlterConfigs", 44, 0, 1),
    ("OffsetDelete", 47, 0, 0),
    ("DescribeCluster", 60, 0, 2),
    ("DescribeProducers", 61, 0, 0),
    ("DescribeTopicPartitions", 75, 0, 0),
    ("ListConfigResources", 74, 0, 1),
];

#[test]
fn every_api_of_a_plain_broker_is_advertised_in_its_versions() {
    let server = Server::shared();
    let told = server.tool("kafka-broker-api-versions").ok();
    assert!(
        told.starts_with(&format!("{} (id: 1 rack: null isFenced: false) -> (\n", server.bootstrap())),
        "{told}"
    );
    for (name, key, lowest, highest) in SERVED {
        let versions = if lowest == highest { lowest.to_string() } else { format!("{lowest} to {highest}") };
        let line = format!("\t{name}({key}): {versions} [usable: {highest}]");
        assert!(told.contains(&line), "{line:?} in {told}");
    }
}
