//! What images of Kafka promise without saying: lines, places, commands, variables, a user, a clean stop.
//!
//! It must never depend on the port 9092 of the machine being free.

use std::fs;
use std::time::{Duration, Instant};

use milena_compat_tests::program::Program;
use milena_compat_tests::wait::{self, PATIENCE};
use milena_compat_tests::{paths, port};

use crate::engine::{BARE, IMAGE, docker, images};

/// A running container. Dropping it removes it.
pub(crate) struct Container(String);

impl Container {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut all = vec!["run", "--detach"];
        all.extend_from_slice(arguments);
        Self(docker(&all))
    }

    pub(crate) fn id(&self) -> &str {
        &self.0
    }

    pub(crate) fn log(&self) -> String {
        docker(&["logs", &self.0])
    }

    pub(crate) fn wait_ready(&self) -> String {
        let ready = || Some(self.log()).filter(|log| log.contains("Kafka Server started"));
        wait::until(PATIENCE, &format!("a ready line of the container; it said {}", self.log()), ready)
    }

    pub(crate) fn exec(&self, command: &str) -> String {
        docker(&["exec", &self.0, "sh", "-c", command])
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = Program::new("docker").args(["rm", "--force", "--volumes", &self.0]).run();
    }
}

/// What kcat says of the broker that is advertised on this port.
fn metadata(port: u16) -> String {
    Program::new("kcat").args(["-b", &format!("127.0.0.1:{port}"), "-L"]).ok()
}

#[test]
fn without_a_word_it_is_a_broker_that_answers_and_stops() {
    let Some(()) = images() else { return };
    let container = Container::start(&[IMAGE]);
    let log = container.wait_ready();
    for line in
        ["Transitioning from RECOVERY to RUNNING", "[KafkaServer id=1] started", "Kafka Server started"]
    {
        assert_eq!(log.matches(line).count(), 1, "{line}: {log}");
    }
    assert!(log.lines().count() <= 10, "{log}");
    assert_eq!(container.exec("milena healthcheck --bootstrap-server 127.0.0.1:9092; echo $?"), "0");
    let healthy = || docker(&["inspect", "--format", "{{.State.Health.Status}}", &container.0]) == "healthy";
    wait::until(PATIENCE, "a healthy container", || healthy().then_some(()));

    let asked = Instant::now();
    docker(&["stop", &container.0]);
    assert!(
        asked.elapsed() < Duration::from_secs(5),
        "the first process does not stop: {:?}",
        asked.elapsed()
    );
    assert!(container.log().contains("stopped"), "{}", container.log());
    let config =
        docker(&["inspect", "--format", "{{.Config.Entrypoint}} {{.Config.Cmd}} {{.Config.User}}", IMAGE]);
    assert_eq!(config, "[] [/etc/kafka/docker/run] 1000:0");
}

#[test]
fn what_scripts_and_health_checks_use_is_there() {
    let Some(()) = images() else { return };
    let container = Container::start(&[IMAGE]);
    container.wait_ready();
    let uses = "set -e; /bin/bash -c true; /usr/bin/env bash -c true; sleep 0.01; hostname -i | cut -d' ' -f1; \
                echo a b | awk '{print $2}' | grep -c b | wc -l; id -u; nc -z 127.0.0.1 9092; \
                f=/etc/confluent/docker/configure; sed -i '/KAFKA_ZOOKEEPER_CONNECT/d' $f; echo '# more' >> $f; tail -n 1 $f; \
                for d in /tmp /opt/kafka /opt/kafka/config /etc/kafka/secrets /mnt/shared/config /var/lib/kafka/data .; do \
                  touch $d/probe; rm $d/probe; done; \
                /opt/kafka/bin/kafka-storage.sh random-uuid | wc -c; kafka-storage random-uuid | wc -c";
    let said = container.exec(uses);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(&lines[1..], ["1", "1000", "# more", "23", "23"], "{said}");
}

#[test]
fn variables_of_every_image_people_use_are_taken() {
    let Some(()) = images() else { return };
    // As in compose files for apache/kafka, confluentinc/cp-kafka, bitnami/kafka and wurstmeister/kafka.
    let apache = |port: u16| {
        format!(
            "KAFKA_NODE_ID=1 KAFKA_PROCESS_ROLES=broker,controller KAFKA_LISTENERS=CONTROLLER://localhost:9093,HOST://0.0.0.0:{port},DOCKER://0.0.0.0:29092 \
             KAFKA_LISTENER_SECURITY_PROTOCOL_MAP=HOST:PLAINTEXT,DOCKER:PLAINTEXT,CONTROLLER:PLAINTEXT \
             KAFKA_ADVERTISED_LISTENERS=HOST://127.0.0.1:{port},DOCKER://broker:29092 KAFKA_INTER_BROKER_LISTENER_NAME=DOCKER \
             KAFKA_CONTROLLER_LISTENER_NAMES=CONTROLLER KAFKA_CONTROLLER_QUORUM_VOTERS=1@localhost:9093 \
             KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR=1 KAFKA_HEAP_OPTS=-Xmx1g KAFKA_JMX_PORT=9101"
        )
    };
    let confluent = |port: u16| apache(port) + " CLUSTER_ID=MkU3OEVBNTcwNTJENDM2Qk KAFKA_BROKER_ID=1";
    let bitnami = |port: u16| {
        format!(
            "KAFKA_CFG_NODE_ID=0 KAFKA_CFG_PROCESS_ROLES=controller,broker KAFKA_CFG_LISTENERS=PLAINTEXT://:{port},CONTROLLER://:9093 \
             KAFKA_CFG_ADVERTISED_LISTENERS=PLAINTEXT://127.0.0.1:{port} ALLOW_PLAINTEXT_LISTENER=yes \
             KAFKA_CFG_LISTENER_SECURITY_PROTOCOL_MAP=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT \
             KAFKA_CFG_CONTROLLER_QUORUM_VOTERS=0@localhost:9093 KAFKA_CFG_CONTROLLER_LISTENER_NAMES=CONTROLLER"
        )
    };
    let wurstmeister = |port: u16| {
        format!(
            "KAFKA_ADVERTISED_HOST_NAME=127.0.0.1 KAFKA_ADVERTISED_PORT={port} KAFKA_ZOOKEEPER_CONNECT=zookeeper:2181 \
             KAFKA_CREATE_TOPICS=orders:3:1,state:1:1:compact"
        )
    };
    let images: [(&dyn Fn(u16) -> String, &str); 4] = [
        (&apache, "/etc/kafka/docker/run"),
        (&confluent, "/etc/confluent/docker/run"),
        (&bitnami, "/etc/kafka/docker/run"),
        (&wurstmeister, "/etc/kafka/docker/run"),
    ];
    for (variables, command) in images {
        let port = port::free();
        let publish = format!("127.0.0.1:{port}:{port}");
        let variables = variables(port);
        let mut arguments = vec!["--publish", publish.as_str()];
        for variable in variables.split_whitespace() {
            arguments.extend_from_slice(&["--env", variable]);
        }
        arguments.extend_from_slice(&[IMAGE, command]);
        let container = Container::start(&arguments);
        container.wait_ready();
        let said = metadata(port);
        assert!(said.contains(&format!("at 127.0.0.1:{port}")), "{command} {variables}: {said}");
        if variables.contains("CREATE_TOPICS") {
            assert!(said.contains("topic \"orders\" with 3 partitions"), "{said}");
        }
    }
}

#[test]
fn a_mounted_file_holds_and_variables_win_over_it() {
    let Some(()) = images() else { return };
    let directory = paths::scratch("mounted");
    let port = port::free();
    let text = format!(
        "node.id=7\nlisteners=PLAINTEXT://:{port}\nadvertised.listeners=PLAINTEXT://127.0.0.1:{port}\nnum.partitions=4\n"
    );
    fs::write(directory.path().join("server.properties"), text).expect("a writable directory");
    let mount = format!("{}:/mnt/shared/config:ro", directory.path().display());
    let publish = format!("127.0.0.1:{port}:{port}");
    let topics = "KAFKA_CREATE_TOPICS=some";
    for (variable, partitions) in [("A=b", 4), ("KAFKA_NUM_PARTITIONS=2", 2)] {
        let arguments =
            ["--volume", &mount, "--publish", &publish, "--env", topics, "--env", variable, IMAGE];
        let container = Container::start(&arguments);
        container.wait_ready();
        let said = metadata(port);
        assert!(
            said.contains("broker 7 at") && said.contains(&format!("\"some\" with {partitions} partitions")),
            "{said}"
        );
    }
}

/// .NET's module ends its list of addresses with a comma, and copies a script as root.
#[test]
fn the_start_of_dotnets_module_works() {
    let Some(()) = images() else { return };
    let directory = paths::scratch("dotnet");
    let port = port::free();
    let script = directory.path().join("testcontainers.sh");
    let text = format!(
        "#!/bin/bash\nexport KAFKA_ADVERTISED_LISTENERS=PLAINTEXT://127.0.0.1:{port},BROKER://$(hostname -i):9093,\nexec /etc/kafka/docker/run\n"
    );
    fs::write(&script, text).expect("a writable directory");
    Program::new("chmod").args(["0755"]).arg(&script).ok();
    let publish = format!("127.0.0.1:{port}:9092");
    let mut arguments = vec!["--publish", publish.as_str(), "--entrypoint", "/bin/sh"];
    for variable in [
        "CLUSTER_ID=4L6g3nShT-eMCtK--X86sw",
        "KAFKA_LISTENERS=PLAINTEXT://0.0.0.0:9092,BROKER://0.0.0.0:9093,CONTROLLER://0.0.0.0:9094",
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP=BROKER:PLAINTEXT,PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "KAFKA_INTER_BROKER_LISTENER_NAME=BROKER",
        "KAFKA_PROCESS_ROLES=broker,controller",
        "KAFKA_CONTROLLER_LISTENER_NAMES=CONTROLLER",
        "KAFKA_NODE_ID=1",
        "KAFKA_BROKER_ID=1",
        "KAFKA_CONTROLLER_QUORUM_VOTERS=1@localhost:9094",
        "KAFKA_LOG_FLUSH_INTERVAL_MESSAGES=9223372036854775807",
    ] {
        arguments.extend_from_slice(&["--env", variable]);
    }
    let wait = "while [ ! -f /testcontainers.sh ]; do sleep 0.1; done; /testcontainers.sh";
    arguments.extend_from_slice(&[IMAGE, "-c", wait]);
    let container = Container::start(&arguments);
    docker(&["cp", &script.display().to_string(), &format!("{}:/testcontainers.sh", container.0)]);
    container.wait_ready();
    assert!(metadata(port).contains(&format!("at 127.0.0.1:{port}")), "{}", metadata(port));
}

#[test]
fn the_binary_alone_is_an_image_too() {
    let Some(()) = images() else { return };
    let port = port::free();
    let publish = format!("127.0.0.1:{port}:{port}");
    let advertised = format!("KAFKA_ADVERTISED_LISTENERS=PLAINTEXT://127.0.0.1:{port}");
    // Where the binary under test is not static, its libraries are in the other image only.
    if docker(&["inspect", "--format", "{{.Config.Labels.static}}", BARE]) != "true" {
        return;
    }
    let container = Container::start(&["--publish", &publish, "--env", &advertised, BARE]);
    container.wait_ready();
    assert!(metadata(port).contains("1 brokers"));
}
