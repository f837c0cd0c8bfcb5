//! What Milena does besides Kafka's part, for test environments.
//!
//! Must never hold a value that was set. Kafka has none of these.

use super::super::row::{Kind, Row};

#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    Row::text("milena.create.topics", "").hidden()
        .doc("Topics that are made before the broker says that it is ready, as name:partitions:replicas:cleanup.policy with commas or lines between; what is left out is the broker's default. A topic that is there stays as it is. Also KAFKA_CREATE_TOPICS, as in wurstmeister's image."),
    Row::unset("milena.create.topics.file", Kind::String).hidden()
        .doc("A TOML file (or JSON, if its name does not end in .toml) of further such topics: each with name, partitions, replication-factor, configs and first records (partition, key, value, headers)."),
    Row::boolean("milena.dev.security", "false").hidden()
        .doc("For tests: listeners SSL, SASL_PLAINTEXT and SASL_SSL beside the first one that there is (two, three and four ports behind it), with a generated CA, the users admin (admin-secret) and alice (alice-secret) for PLAIN and SCRAM, and files for clients. Also --dev-security and MILENA_DEV_SECURITY. Every setting that it adds can be given otherwise."),
    Row::unset("milena.dev.security.dir", Kind::String).hidden()
        .doc("Where the switch keeps keys, certificates and files for clients; what is there stays. By default below the metadata's log directory. Also --dev-security-dir and MILENA_DEV_SECURITY_DIR."),
    Row::text("milena.http.listener", "").hidden()
        .doc("Where the HTTP port listens, as host:port: health, metrics, and what tests may do to the broker (docs/HTTP.md). A port without a host is on 127.0.0.1; port 0 is a free one. Empty, there is no such port. It asks nobody who they are, so it belongs on a loopback or private address."),
    Row::int("milena.http.max.connections", "64").between(1.0, 10000.0).hidden()
        .doc("The most connections of the HTTP port at a time; further ones wait to be accepted."),
    Row::unset("milena.jaas.file", Kind::String).hidden()
        .doc("A file of JAAS contexts: listener.KafkaServer or KafkaServer holds the users for PLAIN of listeners that have no sasl.jaas.config. In a container the file of -Djava.security.auth.login.config in KAFKA_OPTS."),
];
