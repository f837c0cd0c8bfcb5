//! kafka-metadata-quorum and its kin tell and change the real quorum, at brokers and at controllers.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::describe_quorum_request::{PartitionData, TopicData};
use kafka_protocol::messages::update_raft_voter_request::{KRaftVersionFeature, Listener};
use kafka_protocol::messages::{DescribeQuorumRequest, UpdateRaftVoterRequest};
use milena_compat_tests::wait::{self, PATIENCE};
use milena_compat_tests::wire::Wire;
use milena_compat_tests::{Cluster, Role, Tool};
use uuid::Uuid;

use crate::text;

fn at_controller(address: SocketAddr) -> Tool {
    Tool::new("kafka-metadata-quorum").args(["--bootstrap-controller", &address.to_string()])
}

/// Id and status of each replica, with its lag.
fn replicas(told: &str) -> BTreeMap<i32, (String, i64)> {
    let row = |line: &str| {
        let cells: Vec<&str> = line.split_whitespace().collect();
        let id = cells.first()?.parse().ok()?;
        Some((id, ((*cells.last()?).to_owned(), cells[3].parse().ok()?)))
    };
    told.lines().filter_map(row).collect()
}

fn directory_id(cluster: &Cluster, id: i32) -> String {
    let text = fs::read_to_string(cluster.log_dir(id).join("meta.properties")).expect("the node wrote it");
    let id = text.lines().find_map(|line| line.strip_prefix("directory.id="));
    id.expect("a directory has an id").to_owned()
}

/// The ids of the voters as the status tells them.
fn voters(told: &str) -> Vec<i32> {
    let line = told.lines().find_map(|line| line.strip_prefix("CurrentVoters:")).expect("the tool's wording");
    let ids = line.split("\"id\": ").skip(1);
    ids.map(|rest| rest.split(&[',', '}']).next().expect("a part").parse().expect("a number")).collect()
}

#[test]
fn the_quorum_is_told_at_brokers_and_at_controllers() {
    let cluster = Cluster::start();
    let leader = cluster.leader();
    for node in 1..=3 {
        let status = cluster.tool("kafka-metadata-quorum", node).line("describe --status").ok();
        assert!(status.contains(&format!("LeaderId:               {leader}\n")), "{status}");
        assert_eq!(voters(&status), [1, 2, 3], "{status}");
        for voter in 1..=3 {
            let id = directory_id(&cluster, voter);
            let address = cluster.controller_address(voter);
            let line = format!(
                "{{\"id\": {voter}, \"directoryId\": \"{id}\", \"endpoints\": [\"CONTROLLER://{address}\"]}}"
            );
            assert!(status.contains(&line), "{line} in {status}");
        }
    }
    for node in 1..=3 {
        let caught_up = |told: &String| replicas(told).values().all(|(_, lag)| *lag == 0);
        let ask = || at_controller(cluster.controller_address(node)).line("describe --replication").ok();
        let told = wait::until_like(PATIENCE, "no replica behind", ask, caught_up);
        for (id, (status, _)) in replicas(&told) {
            assert_eq!(status, if id == leader { "Leader" } else { "Follower" }, "{told}");
        }
        assert_eq!(replicas(&told).len(), 3, "{told}");
    }
    let address = cluster.controller_address(leader).to_string();
    let told = Tool::new("kafka-cluster").line("list-endpoints --bootstrap-controller").arg(&address).ok();
    assert_eq!(told.matches("controller").count(), 3, "{told}");
    let of_brokers = Tool::new("kafka-topics").args(["--bootstrap-server", &address, "--list"]);
    let said = of_brokers.run().fails();
    assert!(said.contains("Unsupported") || said.contains("UNSUPPORTED") || said.contains("imed"), "{said}");
}

#[test]
fn a_controller_is_added_and_removed_and_brokers_only_observe() {
    let mut cluster = Cluster::start();
    cluster.add(4, Role::Controller);
    cluster.add(5, Role::Broker);
    let told = cluster.tool("kafka-metadata-quorum", 5).line("describe --replication").ok();
    let status = |id: i32| replicas(&told).get(&id).map(|(status, _)| status.clone()).unwrap_or_default();
    assert_eq!([status(4), status(5)], ["Observer", "Observer"], "{told}");
    let at_5 = cluster.address(5).to_string();
    let told = Tool::new("kafka-cluster").arg("list-endpoints").args(["--bootstrap-server", &at_5]).ok();
    assert_eq!(told.matches("broker").count(), 4, "node 4 is no broker: {told}");

    let config = cluster.config(4).display().to_string();
    let add =
        || cluster.tool("kafka-metadata-quorum", 5).args(["--command-config", &config, "add-controller"]);
    let told = add().ok();
    assert!(told.starts_with("Added controller 4 with directory id "), "{told}");
    let status = at_controller(cluster.controller_address(4)).line("describe --status").ok();
    assert_eq!(voters(&status), [1, 2, 3, 4], "{status}");
    assert!(add().run().fails().contains("DuplicateVoterException"));

    let remove = |id: i32, directory: &str| {
        let arguments =
            format!("remove-controller --controller-id {id} --controller-directory-id {directory}");
        at_controller(cluster.controller_address(4)).line(&arguments).run()
    };
    let directory = directory_id(&cluster, 4);
    let other = directory_id(&cluster, 3);
    let said = remove(4, &other).fails();
    assert!(said.contains("VoterNotFoundException"), "another directory: {said}");
    remove(4, &directory).ok();
    assert!(remove(4, &directory).fails().contains("VoterNotFoundException"));
    // The leader may be removed too: another takes over.
    let leader = cluster.leader();
    remove(leader, &directory_id(&cluster, leader)).ok();
    let status = wait::until_like(
        PATIENCE,
        "two voters, of which one leads",
        || cluster.tool("kafka-metadata-quorum", 5).line("describe --status").ok(),
        |status| {
            voters(status).len() == 2 && !status.contains(&format!("LeaderId:               {leader}\n"))
        },
    );
    assert!(!voters(&status).contains(&leader), "{status}");
    cluster.tool("kafka-topics", leader).line("--create --topic after --replication-factor 1").ok();
}

/// The voter as a node tells it: where it is reached.
fn host_of(cluster: &Cluster, voter: i32) -> Option<(String, u16)> {
    let partition = PartitionData::default().with_partition_index(0);
    let topic = TopicData::default()
        .with_topic_name(text("__cluster_metadata").into())
        .with_partitions(vec![partition]);
    let request = DescribeQuorumRequest::default().with_topics(vec![topic]);
    let told = cluster.wire(voter).call(2, &request);
    let node = told.nodes.into_iter().find(|node| node.node_id.0 == voter)?;
    let listener = node.listeners.into_iter().next()?;
    Some((listener.host.to_string(), listener.port))
}

#[test]
fn a_voter_tells_the_leader_where_it_is_reached() {
    let cluster = Cluster::start();
    let leader = cluster.leader();
    let voter = (1..=3).find(|id| *id != leader).expect("there are three");
    let status = cluster.tool("kafka-metadata-quorum", leader).line("describe --status").ok();
    let epoch =
        status.lines().find_map(|line| line.strip_prefix("LeaderEpoch:")).expect("the tool's wording");
    let port = cluster.controller_address(voter).port();
    let update = |directory: &str| {
        let listener =
            Listener::default().with_name(text("CONTROLLER")).with_host(text("localhost")).with_port(port);
        UpdateRaftVoterRequest::default()
            .with_cluster_id(None)
            .with_current_leader_epoch(epoch.trim().parse().expect("a number"))
            .with_voter_id(voter)
            .with_voter_directory_id(uuid(directory))
            .with_listeners(vec![listener])
            .with_k_raft_version_feature(KRaftVersionFeature::default().with_max_supported_version(1))
    };
    let ask = |node: i32, request: &UpdateRaftVoterRequest| {
        let told = Wire::connect(cluster.controller_address(node)).call(0, request);
        let port = i32::from(cluster.controller_address(leader).port());
        assert_eq!((told.current_leader.leader_id.0, told.current_leader.port), (leader, port), "{told:?}");
        told.error_code
    };
    let own = update(&directory_id(&cluster, voter));
    assert_eq!(ask(voter, &own), ResponseError::NotLeaderOrFollower.code());
    let another = update(&directory_id(&cluster, leader));
    assert_eq!(ask(leader, &another), ResponseError::VoterNotFound.code());
    assert_eq!(host_of(&cluster, voter), Some(("127.0.0.1".to_owned(), port)));
    assert_eq!(ask(leader, &own), 0);
    assert_eq!(host_of(&cluster, voter), Some(("localhost".to_owned(), port)));
    assert_eq!(ask(leader, &own), 0, "nothing changes");
}

/// A directory id as files have it: base64 for URLs, without padding.
fn uuid(text: &str) -> Uuid {
    let value = |byte: u8| match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'-' => 62,
        _ => 63,
    };
    let bits = text.bytes().take(21).fold(0_u128, |bits, byte| bits << 6 | u128::from(value(byte)));
    let last = text.as_bytes().get(21).copied().map_or(0, value);
    Uuid::from_u128(bits << 2 | u128::from(last >> 4))
}

/// A voter is an id and a directory (KIP-853): one whose disk is new is nobody until the voter is removed and it is added.
#[test]
fn a_voter_with_a_new_disk_is_none_until_it_is_removed_and_added() {
    let mut cluster = Cluster::start();
    let leader = cluster.leader();
    let wiped = (1..=3).find(|id| *id != leader).expect("there are three");
    let third = (1..=3).find(|id| *id != leader && *id != wiped).expect("there are three");
    let described =
        |cluster: &Cluster, at: i32| cluster.tool("kafka-metadata-quorum", at).line("describe --status").ok();
    let former = directory_id(&cluster, wiped);
    // Until then nobody could tell its new disk from its first.
    wait::until(PATIENCE, "its directory is known", || {
        let entered =
            format!("a voter's directory is entered: with another disk it is no voter node={wiped} ");
        (1..=3).any(|node| cluster.output(node).contains(&entered)).then_some(())
    });
    cluster.tool("kafka-topics", leader).line("--create --topic before --replication-factor 1").ok();
    cluster.kill(wiped);
    fs::remove_dir_all(cluster.log_dir(wiped)).expect("the directory is the test's own");
    cluster.launch(wiped);
    wait::until(PATIENCE, "the leader notices the new disk", || {
        cluster.output(leader).contains("a voter came with a new disk").then_some(())
    });
    // It waits for a vote that it does not get, and keeps no client waiting with it: a tool would ask it for half a minute.
    assert!(Wire::try_connect(cluster.address(wiped)).is_err(), "who is not ready does not listen");
    let status = described(&cluster, leader);
    assert!(status.contains(&former), "the voter is the one with the former disk: {status}");

    // With another voter gone there is no quorum: the new disk is not counted.
    cluster.kill(third);
    let address = cluster.address(leader).to_string();
    let create =
        Tool::new("kafka-topics").args(["--bootstrap-server", &address, "--create", "--topic", "alone"]);
    let config = cluster.log_dir(wiped).with_file_name("impatient.properties");
    fs::write(&config, "default.api.timeout.ms=4000\nrequest.timeout.ms=3000\n")
        .expect("the directory is writable");
    create.args(["--command-config", &config.display().to_string()]).run().fails();
    cluster.restart(third);

    // The third may have taken over the lead; the node with the new disk knows of none.
    let leader = wait::until(PATIENCE, "a leader", || {
        let named = [leader, third].map(|id| cluster.leader_by(id));
        named[0].filter(|named_0| Some(*named_0) == named[1])
    });
    let own = cluster.log_dir(wiped).with_file_name("own.properties");
    let address = cluster.controller_address(wiped);
    let log_dir = cluster.log_dir(wiped);
    let text = format!(
        "process.roles=controller\nnode.id={wiped}\ncontroller.listener.names=CONTROLLER\n\
         listeners=CONTROLLER://{address}\nlog.dirs={}\n",
        log_dir.display()
    );
    fs::write(&own, text).expect("the directory is writable");
    let own = own.display().to_string();
    let add = |cluster: &Cluster| {
        let tool = cluster.tool("kafka-metadata-quorum", leader);
        tool.args(["--command-config", &own, "add-controller"]).run()
    };
    let line = format!("remove-controller --controller-id {wiped} --controller-directory-id {former}");
    cluster.tool("kafka-metadata-quorum", leader).line(&line).ok();
    cluster.wait_ready(wiped);
    let told = add(&cluster).ok();
    let present = directory_id(&cluster, wiped);
    assert!(told.contains(&present) && present != former, "{told}");
    let status = described(&cluster, leader);
    assert_eq!(voters(&status), [1, 2, 3], "{status}");
    assert!(status.contains(&present) && !status.contains(&former), "{status}");
    // Now it counts.
    cluster.kill(third);
    cluster.tool("kafka-topics", wiped).line("--create --topic after --replication-factor 1").ok();
    let topics = cluster.tool("kafka-topics", wiped).line("--list").ok();
    assert!(topics.contains("before") && topics.contains("after"), "{topics}");
}
