//! Kafka's commands of the binary itself over TLS and SASL: with the files of `--dev-security`, and next to the official ones where
//! something in these files is wrong.
//!
//! A file must never be changed that another test reads: each has names of its own.

use std::fs;
use std::path::Path;

use milena_compat_tests::Tool;

use super::native::{self, Ended, words};
use super::security::Secured;
use super::{numbers, sorted};

const EVERY: [&str; 7] = [
    "ssl",
    "sasl-plain",
    "sasl-scram",
    "sasl-scram-512",
    "sasl-ssl-plain",
    "sasl-ssl-scram",
    "sasl-ssl-scram-512",
];

/// The words of a line, then where to go and how.
fn arguments(line: &str, properties: &Path) -> Vec<String> {
    let text = fs::read_to_string(properties).expect("the file is there");
    let address = text.lines().find_map(|line| line.strip_prefix("bootstrap.servers=")).expect("an address");
    let mut arguments = words(line);
    arguments.extend(["--bootstrap-server", address, "--command-config"].map(str::to_owned));
    arguments.push(properties.display().to_string());
    arguments
}

fn own(tool: &str, line: &str, input: &str, properties: &Path) -> Ended {
    native::run(tool, &arguments(line, properties), input)
}

fn own_ok(tool: &str, line: &str, input: &str, properties: &Path) -> String {
    let ended = own(tool, line, input, properties);
    let shown = format!("{tool} {line} ({}):\n{}{}", properties.display(), ended.stdout, ended.stderr);
    assert!(ended.status == 0, "exit code {} of {shown}", ended.status);
    ended.stdout
}

#[test]
fn every_client_file_will_do() {
    let secured = Secured::shared();
    for name in EVERY {
        let file = secured.file(&format!("client-{name}.properties"));
        let ok = |tool: &str, line: &str, input: &str| own_ok(tool, line, input, &file);
        let topic = format!("native-{name}");
        ok("kafka-topics", &format!("--create --topic {topic} --partitions 2"), "");
        ok("kafka-console-producer", &format!("--topic {topic}"), &numbers(50));
        let group = format!("group-{name}");
        let line = format!("--topic {topic} --group {group} --from-beginning --max-messages 50");
        let read = ok("kafka-console-consumer", &line, "");
        assert_eq!(sorted(&read), sorted(&numbers(50)), "{name}");
        let told = ok("kafka-consumer-groups", &format!("--describe --group {group}"), "");
        assert_eq!(told.lines().filter(|line| line.starts_with(&group)).count(), 2, "{name}: {told}");
        let told = ok("kafka-get-offsets", &format!("--topic {topic}"), "");
        let ends = told.lines().filter_map(|line| line.rsplit(':').next()?.parse::<u32>().ok());
        assert_eq!(ends.sum::<u32>(), 50, "{name}: {told}");
    }
}

#[test]
fn every_tool_takes_a_client_file() {
    let secured = Secured::shared();
    let file = secured.file("client-sasl-ssl-scram.properties");
    let ok = |tool: &str, line: &str| own_ok(tool, line, "", &file);
    assert!(ok("kafka-cluster", "cluster-id").starts_with("Cluster ID: "));
    let address = secured.address("client-sasl-ssl-scram.properties").to_string();
    assert!(ok("kafka-broker-api-versions", "").starts_with(&address));
    assert!(ok("kafka-log-dirs", "--describe").contains("\"broker\":1"));
    let told = ok("kafka-configs", "--describe --entity-type brokers --entity-name 1 --all");
    assert!(told.contains("milena.dev.security") || told.contains("log.retention.ms"), "{told}");
}

/// A file like one of those there, with this in the place of that.
fn changed(name: &str, from: &str, to: &str, as_name: &str) -> std::path::PathBuf {
    let secured = Secured::shared();
    let text = secured.text(name);
    assert!(text.contains(from), "{name} has no {from}:\n{text}");
    let path = secured.file(as_name);
    fs::write(&path, text.replace(from, to)).expect("written");
    path
}

#[test]
fn an_authority_comes_as_pem_too() {
    let secured = Secured::shared();
    let store = format!("ssl.truststore.location={}", secured.file("truststore.p12").display());
    let pem = format!("ssl.truststore.location={}", secured.file("ca.pem").display());
    let file = changed("client-ssl.properties", &store, &pem, "native-pem.properties");
    let text = fs::read_to_string(&file).expect("just written");
    let text = text.replace("type=PKCS12", "type=PEM").replace("ssl.truststore.password=changeit\n", "");
    fs::write(&file, text).expect("written");
    own_ok("kafka-topics", "--list", "", &file);
}

/// What our own command and the official one write to stdout and end with.
fn compare(tool: &str, line: &str, input: &str, properties: &Path) {
    let own = own(tool, line, input, properties);
    let official = Tool::new(tool).args(arguments(line, properties)).input(input).run();
    let shown = format!(
        "{tool} {line} ({})\n--- Kafka's\n{official}\n--- ours, exit code {}\n{}\n[stderr]\n{}",
        properties.display(),
        own.status,
        own.stdout,
        own.stderr
    );
    assert_eq!(own.status, official.status, "{shown}");
    // Behind the first line there may be a stack trace.
    let first = |text: &str| text.lines().next().unwrap_or_default().to_owned();
    assert_eq!(first(&own.stdout), first(&official.text()), "{shown}");
}

#[test]
fn wrong_passwords_end_as_with_the_official_tools() {
    for name in ["sasl-plain", "sasl-ssl-scram-512"] {
        let file = format!("client-{name}.properties");
        let wrong = changed(&file, "alice-secret", "wrong", &format!("native-wrong-{name}.properties"));
        for (tool, line) in [
            ("kafka-topics", "--list"),
            ("kafka-configs", "--describe --entity-type brokers --entity-name 1"),
            ("kafka-consumer-groups", "--list"),
            ("kafka-get-offsets", "--topic nothing"),
            ("kafka-log-dirs", "--describe"),
            ("kafka-broker-api-versions", ""),
            ("kafka-cluster", "cluster-id"),
            ("kafka-console-producer", "--topic native-wrong"),
            ("kafka-console-producer", "--topic native-wrong --sync"),
            ("kafka-console-consumer", "--topic native-wrong --max-messages 1"),
        ] {
            compare(tool, line, "a\n", &wrong);
        }
    }
}

#[test]
fn what_is_not_trusted_or_not_spoken_ends_as_with_the_official_tools() {
    let name = "client-sasl-ssl-plain.properties";
    let untrusting = changed(name, "ssl.truststore.", "unknown.", "native-untrusting.properties");
    compare("kafka-topics", "--list", "", &untrusting);
    compare("kafka-console-consumer", "--topic native-wrong --max-messages 1", "", &untrusting);
    let missing = changed(name, "truststore.p12", "missing.p12", "native-missing.properties");
    let locked = changed(name, "=changeit", "=wrong", "native-locked.properties");
    let nobody = changed(name, "sasl.jaas.config", "unknown.config", "native-nobody.properties");
    let spoken = changed(name, "=SASL_SSL", "=TLS", "native-spoken.properties");
    for file in [missing, locked, nobody, spoken] {
        let own = own("kafka-topics", "--list", "", &file);
        let official = Tool::new("kafka-topics").args(arguments("--list", &file)).run();
        assert_eq!(own.status, official.status, "{}\n{official}\n{}", file.display(), own.stderr);
    }
}
