//! Quotas of clients in a cluster: any node sets them, all hold to them, and changes of metadata are charged in one place.

use kafka_protocol::messages::CreateTopicsRequest;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use milena_compat_tests::Cluster;
use milena_compat_tests::wait::{self, PATIENCE};
use milena_compat_tests::wire::Wire;

use crate::text;

const EXCEEDED: i16 = 89;

/// Error and throttle time of a topic that a client asks a node for.
fn create(cluster: &Cluster, node: i32, client: &'static str, topic: &str, partitions: i32) -> (i16, i32) {
    let topic = CreatableTopic::default()
        .with_name(text(topic).into())
        .with_num_partitions(partitions)
        .with_replication_factor(1);
    let request = CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(30_000);
    let answer = Wire::connect(cluster.address(node)).named(client).call(7, &request);
    (answer.topics[0].error_code, answer.throttle_time_ms)
}

#[test]
fn who_asks_another_node_has_no_more_than_who_asks_one() {
    let cluster = Cluster::start();
    for (asked, client) in [(1, "a"), (2, "b"), (3, "c")] {
        let line = format!("--alter --client {client} --add-config controller_mutation_rate=0.5");
        cluster.tool("kafka-configs", asked).line(&line).ok();
        for node in [1, 2, 3] {
            let describe =
                || cluster.tool("kafka-configs", node).line("--describe --entity-type clients").ok();
            let quota = format!("client-id '{client}' are controller_mutation_rate=0.5");
            wait::until_like(PATIENCE, "every node to know", describe, |told| told.contains(&quota));
        }
    }
    // Five and a half are free at once, and the last may overdraw.
    for (client, nodes) in [("a", [1, 2, 3]), ("b", [2, 3, 1]), ("c", [3, 1, 2])] {
        let topic = |which: &str| format!("{client}-{which}");
        assert_eq!(create(&cluster, nodes[0], client, &topic("first"), 30), (0, 0), "{client}");
        for node in &nodes[1..] {
            let (code, wait) = create(&cluster, *node, client, &topic("second"), 1);
            assert!(
                code == EXCEEDED && (10_000..=60_000).contains(&wait),
                "{client} at {node}: {code} {wait}"
            );
        }
    }
    assert_eq!(create(&cluster, 1, "another", "free", 30), (0, 0));
    let gone = "--alter --client a --delete-config controller_mutation_rate";
    cluster.tool("kafka-configs", 2).line(gone).ok();
    for node in [1, 2, 3] {
        wait::until(PATIENCE, "the quota is gone", || {
            let told = cluster.tool("kafka-configs", node).line("--describe --entity-type clients").ok();
            (!told.contains("'a'")).then_some(())
        });
    }
    assert_eq!(create(&cluster, 3, "a", "a-third", 1), (0, 0));
}
