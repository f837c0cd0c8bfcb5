//! kafka-metadata-quorum and its kin tell and change the real quorum, at brokers and at controllers.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;

use milena_compat_tests::wait::{self, PATIENCE};
use milena_compat_tests::{Cluster, Role, Tool};

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
    assert!(remove(4, &other).fails().contains("VoterNotFoundException"), "another directory");
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
