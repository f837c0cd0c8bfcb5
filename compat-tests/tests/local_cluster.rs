//! `milena cluster`: three brokers by one command, one killed and started again, all stopped together.
//!
//! It must never know more than the command's output: bootstrap servers, process ids, and how to start a broker again.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::process::Command;

use kafka_protocol::messages::MetadataRequest;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::protocol::StrBytes;
use milena_compat_tests::process::Guarded;
use milena_compat_tests::wait::{self, PATIENCE};
use milena_compat_tests::wire::Wire;
use milena_compat_tests::{Tool, paths};
use rustix::process::{Pid, Signal, kill_process};

const TOPIC: &str = "seed";
/// Leaders return soon to where they are preferred.
const QUICK: &str = "leader.imbalance.check.interval.seconds=1";

struct Local {
    process: Guarded,
    folder: tempfile::TempDir,
    addresses: Vec<SocketAddr>,
}

impl Local {
    fn start() -> Self {
        let folder = paths::scratch("local-cluster");
        let mut command = Command::new(paths::milena());
        command.args(["cluster", "--brokers", "3", "--first-id", "101", "--port", "0", "--ephemeral"]);
        command.args(["--override", QUICK]).env("TMPDIR", folder.path());
        let process = Guarded::start(&mut command, &folder.path().join("output"));
        let line = wait::until(PATIENCE, "the line with the bootstrap servers", || {
            let output = process.output();
            output.lines().find(|line| line.starts_with("Cluster of 3 started")).map(str::to_owned)
        });
        let (_, servers) = line.split_once("bootstrap.servers=").expect("the line names the servers");
        let addresses: Vec<SocketAddr> =
            servers.split(',').map(|server| server.parse().expect("an address")).collect();
        assert_eq!(addresses.len(), 3);
        Self { process, folder, addresses }
    }

    fn bootstrap(&self) -> String {
        self.addresses.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(",")
    }

    fn pid(&self, broker: i32) -> Pid {
        let begin = format!("broker {broker} is process ");
        let output = self.process.output();
        let line = output.lines().find_map(|line| line.strip_prefix(&begin)).expect("each broker is told of");
        Pid::from_raw(line.parse().expect("a process id")).expect("not 0")
    }

    /// Leader and in-sync set of a partition, by the word of broker 103.
    fn state(&self, partition: i32) -> Option<(i32, BTreeSet<i32>)> {
        let topic = MetadataRequestTopic::default().with_name(Some(StrBytes::from_static_str(TOPIC).into()));
        let request = MetadataRequest::default().with_topics(Some(vec![topic]));
        let told = Wire::try_connect(self.addresses[2]).ok()?.try_call(12, &request).ok()?;
        let found = told.topics.first()?.partitions.iter().find(|each| each.partition_index == partition)?;
        Some((found.leader_id.0, found.isr_nodes.iter().map(|id| id.0).collect()))
    }

    fn stands(&self, partition: i32, leader: i32, in_sync: &[i32]) {
        let wanted = (leader, in_sync.iter().copied().collect());
        wait::until_like(
            PATIENCE,
            "the partition's leader and in-sync set",
            || self.state(partition),
            |told| told.as_ref() == Some(&wanted),
        );
    }

    fn produce(&self, lines: &str) {
        let tool = Tool::new("kafka-console-producer").args(["--bootstrap-server", &self.bootstrap()]);
        tool.args(["--topic", TOPIC, "--command-property", "acks=all"]).input(lines).ok();
    }
}

/// It has ended, though nobody may have asked how.
fn is_gone(pid: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
    stat.map_or(true, |stat| stat.contains(") Z "))
}

#[test]
fn three_brokers_start_lose_one_get_it_back_and_stop_together() {
    let mut local = Local::start();
    let tool = Tool::new("kafka-topics").args(["--bootstrap-server", &local.bootstrap(), "--create"]);
    tool.args(["--topic", TOPIC, "--replica-assignment", "101:102,102:103"]).ok();
    local.stands(0, 101, &[101, 102]);
    local.stands(1, 102, &[102, 103]);
    local.produce("a\nb\nc\n");
    kill_process(local.pid(101), Signal::KILL).expect("the broker runs");
    local.stands(0, 102, &[102]);
    local.produce("d\ne\n");
    // It is started again with the file that the command names.
    let output = wait::until(PATIENCE, "word of the broker's end", || {
        let output = local.process.output();
        output.contains("broker 101 has ended").then_some(output)
    });
    let (_, file) = output.split_once("broker 101 has ended").expect("it was found");
    let (_, file) = file.split_once("milena start --config ").expect("it says how");
    let file = file.lines().next().expect("a line").trim();
    let mut command = Command::new(paths::milena());
    command.args(["start", "--config", file]);
    let mut again = Guarded::start(&mut command, &local.folder.path().join("again"));
    local.stands(0, 101, &[101, 102]);
    let reader = Tool::new("kafka-console-consumer").args(["--bootstrap-server", &local.bootstrap()]);
    let reader = reader.args(["--topic", TOPIC, "--from-beginning", "--max-messages", "5"]);
    let said = reader.args(["--timeout-ms", "30000"]).ok();
    let read: BTreeSet<&str> = said.lines().filter(|line| line.len() == 1).collect();
    assert_eq!(read, BTreeSet::from(["a", "b", "c", "d", "e"]), "{said}");
    assert!(again.terminate(PATIENCE).success());
    let others = [local.pid(102), local.pid(103)];
    assert!(local.process.terminate(PATIENCE).success(), "{}", local.process.output());
    for pid in others {
        assert!(is_gone(pid), "a broker outlived the command");
    }
    let left: Vec<_> =
        std::fs::read_dir(local.folder.path()).expect("the folder is there").flatten().collect();
    let left = left.iter().filter(|entry| entry.file_name().to_string_lossy().starts_with("milena-cluster"));
    assert_eq!(left.count(), 0, "the temporary directory is gone");
}

#[test]
fn brokers_do_not_outlive_a_command_that_is_killed() {
    let mut local = Local::start();
    let brokers = [101, 102, 103].map(|broker| local.pid(broker));
    local.process.kill();
    wait::until(PATIENCE, "the brokers' end", || brokers.iter().all(|pid| is_gone(*pid)).then_some(()));
}
