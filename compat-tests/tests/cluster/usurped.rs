//! A broker that was paused, and comes back when another process has its id: it must not serve in the other's name.
//!
//! A test must never ask the paused process for anything before it can have heard of the other.

use std::net::SocketAddr;
use std::process::Command;

use kafka_protocol::messages::ProduceRequest;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use milena_compat_tests::process::Guarded;
use milena_compat_tests::wait::{self, PATIENCE};
use milena_compat_tests::wire::{Wire, batch, record};
use milena_compat_tests::{Cluster, Role, paths, port};
use rustix::process::Signal;

use crate::suspects::{leader, port_of};
use crate::text;

const NOT_LEADER_OR_FOLLOWER: i16 = 6;

/// What a process answers to a write that all in sync are to acknowledge; none if it is not reached.
fn produce(address: SocketAddr, topic: &str) -> Option<i16> {
    let partition = PartitionProduceData::default().with_records(Some(batch([record("value")])));
    let data = TopicProduceData::default().with_name(text(topic).into()).with_partition_data(vec![partition]);
    let request = ProduceRequest::default().with_acks(-1).with_timeout_ms(5000).with_topic_data(vec![data]);
    let answer = Wire::try_connect(address).ok()?.try_call(9, &request).ok()?;
    Some(answer.responses[0].partition_responses[0].error_code)
}

#[test]
fn a_paused_broker_whose_id_was_taken_gives_way_and_serves_again_when_it_is_free() {
    let mut cluster = Cluster::start();
    cluster.add(4, Role::Broker);
    cluster.kill(4);
    let folder = paths::scratch("first");
    let address = SocketAddr::from(([127, 0, 0, 1], port::free()));
    let mut command = Command::new(paths::milena());
    command.current_dir(folder.path()).arg("start").arg("--config").arg(cluster.config(4));
    command.arg("--override").arg(format!("listeners=PLAINTEXT://{address}"));
    command.arg("--override").arg(format!("log.dirs={}", folder.path().join("data").display()));
    let mut first = Guarded::start(&mut command, &folder.path().join("output.txt"));
    let is_at = |cluster: &Cluster, port: u16| port_of(cluster, 1, 4) == Some(i32::from(port));
    wait::until(PATIENCE, "the first process", || is_at(&cluster, address.port()).then_some(()));
    cluster.tool("kafka-topics", 1).line("--create --topic t --replica-assignment 4").ok();
    wait::until(PATIENCE, "its topic", || (produce(address, "t") == Some(0)).then_some(()));

    first.signal(Signal::STOP);
    wait::until(PATIENCE, "nobody has the id", || port_of(&cluster, 1, 4).is_none().then_some(()));
    cluster.restart(4);
    let second = cluster.address(4);
    wait::until(PATIENCE, "the second process", || is_at(&cluster, second.port()).then_some(()));
    first.signal(Signal::CONT);
    let said = "another process is registered with this broker's id";
    wait::until(PATIENCE, "the first hears of the second", || first.output().contains(said).then_some(()));
    let refused = || (produce(address, "t") == Some(NOT_LEADER_OR_FOLLOWER)).then_some(());
    wait::until(PATIENCE, "the first gives way", refused);
    wait::until(PATIENCE, "the second leads", || {
        (leader(&cluster, 1, "t", 1) == Some(4) && produce(second, "t") == Some(0)).then_some(())
    });
    assert!(is_at(&cluster, second.port()), "it keeps its registration");

    cluster.kill(4);
    wait::until(PATIENCE, "the first has its id again", || is_at(&cluster, address.port()).then_some(()));
    wait::until(PATIENCE, "the first serves again", || (produce(address, "t") == Some(0)).then_some(()));
}
