//! Names that Kafka once knew: taken as their successors, or taken and left, so that old files start unchanged.
//!
//! Must never hold a name that the table knows.

use super::rows;

/// What becomes of an old name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Legacy {
    /// The value counts for this name, unless that is given too.
    Renamed(&'static str),
    /// Nothing is left to set.
    Obsolete,
}

const RENAMED: &[(&str, &str)] = &[
    ("delegation.token.master.key", "delegation.token.secret.key"),
    ("socket.listen.backlog", "socket.listen.backlog.size"),
];

/// Removed with ZooKeeper mode and the old message formats in Kafka 4.0, or earlier.
const OBSOLETE: &[&str] = &[
    "auto.include.jmx.reporter",
    "broker.id.generation.enable",
    "control.plane.listener.name",
    "controlled.shutdown.max.retries",
    "controlled.shutdown.retry.backoff.ms",
    "controller.metadata.migration.enable",
    "eligible.leader.replicas.enable",
    "fetch.purgatory.purge.interval",
    "group.coordinator.new.enable",
    "group.consumer.enable",
    "inter.broker.protocol.version",
    "leader.imbalance.per.broker.percentage",
    "log.message.downconversion.enable",
    "log.message.format.version",
    "log.message.timestamp.difference.max.ms",
    "offsets.commit.required.acks",
    "offsets.storage",
    "quota.consumer.default",
    "quota.producer.default",
    "replica.lag.max.messages",
    "reserved.broker.max.id",
];

const OBSOLETE_PREFIXES: &[&str] = &["zookeeper.", "confluent.", "password.encoder."];

/// What an old name means today; `None` if it is none that we know.
pub(super) fn legacy(name: &str) -> Option<Legacy> {
    if let Some((_, new)) = RENAMED.iter().find(|(old, _)| *old == name) {
        return Some(Legacy::Renamed(new));
    }
    // Kafka's old names of this prefix are gone; Milena's own are in the table.
    if rows::broker_row(name).is_some() {
        return None;
    }
    let obsolete =
        OBSOLETE.contains(&name) || OBSOLETE_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
    obsolete.then_some(Legacy::Obsolete)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_old_name_is_a_setting_of_today_and_every_new_one_is() {
        for name in OBSOLETE.iter().chain(RENAMED.iter().map(|(old, _)| old)) {
            assert!(rows::broker_row(name).is_none(), "{name} is in the table");
        }
        for (_, new) in RENAMED {
            assert!(rows::broker_row(new).is_some(), "{new} is not in the table");
        }
    }

    #[test]
    fn zookeeper_keys_are_obsolete() {
        assert_eq!(legacy("zookeeper.connect"), Some(Legacy::Obsolete));
        assert_eq!(legacy("log.dirs"), None);
        assert_eq!(legacy("zookeeper.listener"), None, "it is Milena's own");
    }
}
