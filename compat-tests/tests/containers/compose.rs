//! Services of compose files that people start beside Kafka: those of kafka-ui (kafbat) and AKHQ, with their variables, health checks and
//! the containers that wait for the broker.
//!
//! It must never publish a port: the files' own may be taken.

use std::fs;
use std::path::Path;

use milena_compat_tests::paths;
use milena_compat_tests::program::Program;
use milena_compat_tests::wait::{self, PATIENCE};

use crate::contract::Container;
use crate::engine::{IMAGE, docker, images};

/// `documentation/compose/kafbat-ui.yaml` and `e2e-tests.yaml`, service `kafka0`.
const KAFBAT: &[&str] = &[
    "KAFKA_BROKER_ID=1",
    "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,PLAINTEXT_HOST:PLAINTEXT",
    "KAFKA_ADVERTISED_LISTENERS=PLAINTEXT://kafka0:29092,PLAINTEXT_HOST://localhost:9092",
    "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR=1",
    "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS=0",
    "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR=1",
    "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR=1",
    "KAFKA_JMX_PORT=9997",
    "KAFKA_JMX_HOSTNAME=localhost",
    "KAFKA_JMX_OPTS=-Dcom.sun.management.jmxremote -Djava.rmi.server.hostname=kafka0",
    "KAFKA_PROCESS_ROLES=broker,controller",
    "KAFKA_NODE_ID=1",
    "KAFKA_CONTROLLER_QUORUM_VOTERS=1@kafka0:29093",
    "KAFKA_LISTENERS=PLAINTEXT://kafka0:29092,CONTROLLER://kafka0:29093,PLAINTEXT_HOST://0.0.0.0:9092",
    "KAFKA_INTER_BROKER_LISTENER_NAME=PLAINTEXT",
    "KAFKA_CONTROLLER_LISTENER_NAMES=CONTROLLER",
    "KAFKA_LOG_DIRS=/tmp/kraft-combined-logs",
    "CLUSTER_ID=MkU3OEVBNTcwNTJENDM2Qk",
];

/// `documentation/compose/kafka-ssl.yml`: what it has of its own.
const KAFBAT_SSL: &[&str] = &[
    "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP=CONTROLLER:PLAINTEXT,SSL:SSL,PLAINTEXT_HOST:PLAINTEXT",
    "KAFKA_ADVERTISED_LISTENERS=SSL://kafka0:29092,PLAINTEXT_HOST://localhost:9092",
    "KAFKA_LISTENERS=SSL://kafka0:29092,CONTROLLER://kafka0:29093,PLAINTEXT_HOST://0.0.0.0:9092",
    "KAFKA_INTER_BROKER_LISTENER_NAME=SSL",
    "KAFKA_SECURITY_PROTOCOL=SSL",
    "KAFKA_SSL_ENABLED_MECHANISMS=PLAIN,SSL",
    "KAFKA_SSL_KEYSTORE_FILENAME=kafka.keystore.jks",
    "KAFKA_SSL_KEYSTORE_CREDENTIALS=creds",
    "KAFKA_SSL_KEY_CREDENTIALS=creds",
    "KAFKA_SSL_TRUSTSTORE_FILENAME=kafka.truststore.jks",
    "KAFKA_SSL_TRUSTSTORE_CREDENTIALS=creds",
    "KAFKA_SSL_CLIENT_AUTH=requested",
    "KAFKA_SSL_ENDPOINT_IDENTIFICATION_ALGORITHM=",
];

/// AKHQ's `docker-compose.yml`, service `kafka`.
const AKHQ: &[&str] = &[
    "KAFKA_BROKER_ID=0",
    "KAFKA_ZOOKEEPER_CONNECT=zookeeper:2181",
    "KAFKA_NUM_PARTITIONS=12",
    "KAFKA_COMPRESSION_TYPE=gzip",
    "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR=1",
    "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR=1",
    "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR=1",
    "KAFKA_ADVERTISED_LISTENERS=PLAINTEXT://kafka:9092",
    "KAFKA_CONFLUENT_SUPPORT_METRICS_ENABLE=false",
    "KAFKA_JMX_PORT=9091",
    "KAFKA_AUTO_CREATE_TOPICS_ENABLE=true",
    "KAFKA_ALLOW_EVERYONE_IF_NO_ACL_FOUND=true",
];

/// As its container's start command says, which is Confluent's own.
const RUN: &str = "/etc/confluent/docker/run";

fn start(hostname: &str, more: &[&str], variables: &[&str]) -> Container {
    let variables = variables.iter().flat_map(|variable| ["--env", variable]);
    let arguments = ["--hostname", hostname].into_iter().chain(more.iter().copied()).chain(variables);
    Container::start(&arguments.chain([IMAGE, RUN]).collect::<Vec<_>>())
}

/// A container of the image beside another, in its network, that runs a command to its end.
fn beside(container: &Container, more: &[&str], command: &str) -> String {
    let network = format!("container:{}", container.id());
    let arguments = [&["run", "--rm", "--network", &network], more, &[IMAGE, "bash", "-c", command]];
    docker(&arguments.concat())
}

#[test]
fn kafka_uis_compose_files_start_and_fill_a_broker() {
    let Some(()) = images() else { return };
    let check = "unset JMX_PORT && KAFKA_JMX_OPTS=\"-Dcom.sun.management.jmxremote -Dcom.sun.management.jmxremote.rmi.port=9999\" \
                 && kafka-broker-api-versions --bootstrap-server=localhost:9092";
    let health = ["--health-cmd", check, "--health-interval", "1s", "--health-timeout", "10s"];
    let broker = start("kafka0", &health, KAFBAT);
    let folder = paths::scratch("compose");
    let records = folder.path().join("message.json");
    fs::write(&records, "{}\n{\"a\": 1}\n").expect("a writable directory");
    // `kafka-init-topics`, which there may be before the broker is.
    let mount = format!("{}:/data/message.json", records.display());
    beside(
        &broker,
        &["--volume", &mount],
        "echo Waiting for Kafka to be ready... && cub kafka-ready -b kafka0:29092 1 30 && \
         kafka-topics --create --topic users --partitions 3 --replication-factor 1 --if-not-exists --bootstrap-server kafka0:29092 && \
         kafka-topics --create --topic messages --partitions 2 --replication-factor 1 --if-not-exists --bootstrap-server kafka0:29092 && \
         kafka-console-producer --bootstrap-server kafka0:29092 --topic users < /data/message.json",
    );
    let read = "kafka-console-consumer --bootstrap-server localhost:9092 --topic users --from-beginning --max-messages 2 2>/dev/null | sort";
    assert_eq!(broker.exec(read), "{\"a\": 1}\n{}");
    assert!(broker.exec("ls /tmp/kraft-combined-logs").contains("users-2"));
    let healthy = || docker(&["inspect", "--format", "{{.State.Health.Status}}", broker.id()]) == "healthy";
    wait::until(PATIENCE, "a broker that its health check finds well", || healthy().then_some(()));
}

/// Their stores are of Java's older format, as these.
#[test]
fn kafka_uis_compose_file_for_tls_starts_a_broker() {
    let Some(()) = images() else { return };
    let folder = paths::scratch("compose-tls");
    stores(folder.path());
    let mount = |file: &str| format!("{}:/etc/kafka/secrets/{file}", folder.path().join(file).display());
    let mounts = ["creds", "kafka.keystore.jks", "kafka.truststore.jks"].map(mount);
    let mounts: Vec<&str> = mounts.iter().flat_map(|mount| ["--volume", mount]).collect();
    let broker = start("kafka0", &mounts, &[KAFBAT, KAFBAT_SSL].concat());
    broker.wait_ready();
    let client = "security.protocol=SSL\\nssl.truststore.location=/etc/kafka/secrets/kafka.truststore.jks\\nssl.truststore.password=secret\\n";
    broker.exec(&format!(
        "printf '{client}' > /tmp/c && kafka-topics --bootstrap-server kafka0:29092 --command-config /tmp/c --create --topic secured"
    ));
    assert_eq!(broker.exec("kafka-topics --bootstrap-server localhost:9092 --list"), "secured");
}

/// The files that `generate_certs.sh` makes, for a name that the client looks for.
fn stores(folder: &Path) {
    let keytool = |line: &str| {
        let words = line.split_whitespace().chain(["-storepass", "secret"]);
        Program::new("keytool").args(words).current_dir(folder).ok()
    };
    keytool(
        "-genkeypair -alias kafka0 -keyalg RSA -dname CN=kafka0 -ext SAN=dns:kafka0 -validity 3650 -storetype JKS \
         -keystore kafka.keystore.jks -keypass secret",
    );
    keytool("-exportcert -alias kafka0 -keystore kafka.keystore.jks -file kafka.crt");
    keytool(
        "-importcert -noprompt -alias kafka0 -file kafka.crt -storetype JKS -keystore kafka.truststore.jks",
    );
    fs::write(folder.join("creds"), "secret").expect("a writable directory");
    // The container's user is another.
    Program::new("chmod").args(["-R", "a+rX", "."]).current_dir(folder).ok();
}

#[test]
fn akhqs_compose_file_starts_a_broker_but_for_its_authorizer() {
    let Some(()) = images() else { return };
    let broker = start("kafka", &[], AKHQ);
    broker.wait_ready();
    broker.exec("echo hello | kafka-console-producer --bootstrap-server kafka:9092 --topic made");
    let told = broker.exec("kafka-topics --bootstrap-server kafka:9092 --describe --topic made");
    assert!(told.contains("PartitionCount: 12"), "{told}");
    // A class of the ZooKeeper mode, which Kafka 4 does not have either.
    let authorizer = ["KAFKA_AUTHORIZER_CLASS_NAME=kafka.security.authorizer.AclAuthorizer"];
    let refused = start("kafka", &[], &[AKHQ, &authorizer].concat());
    let ended = || docker(&["inspect", "--format", "{{.State.Running}}", refused.id()]) == "false";
    wait::until(PATIENCE, "the end of a broker that was asked for what it cannot do", || {
        ended().then_some(())
    });
    assert!(refused.log().contains("authorizer.class.name"), "{}", refused.log());
}
