//! The one table of settings, split by subject, and the look-up by name.
//!
//! Must never be changed while running: rows are constants, values live in `Settings`.

mod client_metrics;
mod compaction;
mod group_level;
mod groups;
mod log;
mod metrics;
mod network;
mod own;
mod quorum;
mod quota;
mod remote;
mod replication;
mod sasl;
mod security;
mod server;
mod share;
mod topic;
mod topics;
mod transactions;
mod zookeeper;

use std::sync::LazyLock;

use super::row::Row;
pub(in crate::settings) use replication::{LEADER, RACK_AWARE};

/// The settings of a broker under the heading of their subject, in the order of the reference page.
pub static BROKER_SUBJECTS: &[(&str, &[Row])] = &[
    ("Roles and quorum", quorum::ROWS),
    ("Listeners and connections", network::ROWS),
    ("Topics, messages and fetching", topics::ROWS),
    ("Log", log::ROWS),
    ("Compaction", compaction::ROWS),
    ("Replication", replication::ROWS),
    ("Groups and offsets", groups::ROWS),
    ("Share groups", share::ROWS),
    ("Transactions and producers", transactions::ROWS),
    ("Quotas", quota::ROWS),
    ("Metrics and telemetry", metrics::ROWS),
    ("Server", server::ROWS),
    ("Security", security::ROWS),
    ("SASL", sasl::ROWS),
    ("Tiered storage", remote::ROWS),
    ("ZooKeeper's protocol", zookeeper::ROWS),
    ("Test environments", own::ROWS),
];

pub static TOPIC_ROWS: &[Row] = topic::ROWS;
pub static GROUP_ROWS: &[Row] = group_level::ROWS;
pub static CLIENT_METRICS_ROWS: &[Row] = client_metrics::ROWS;

/// Every setting of a broker.
pub fn broker_rows() -> impl Iterator<Item = &'static Row> {
    BROKER_SUBJECTS.iter().flat_map(|(_, rows)| rows.iter())
}

/// Every setting of a broker by name: a start looks several hundred of them up, and would search each subject for each.
static BY_NAME: LazyLock<Box<[&Row]>> = LazyLock::new(|| {
    let mut rows: Box<[_]> = broker_rows().collect();
    rows.sort_unstable_by_key(|row| row.name);
    rows
});

pub fn broker_row(name: &str) -> Option<&'static Row> {
    BY_NAME.binary_search_by(|row| row.name.cmp(name)).ok().map(|at| BY_NAME[at])
}

pub fn topic_row(name: &str) -> Option<&'static Row> {
    find(TOPIC_ROWS, name)
}

pub fn group_row(name: &str) -> Option<&'static Row> {
    find(GROUP_ROWS, name)
}

pub fn client_metrics_row(name: &str) -> Option<&'static Row> {
    find(CLIENT_METRICS_ROWS, name)
}

fn find(rows: &'static [Row], name: &str) -> Option<&'static Row> {
    rows.binary_search_by(|row| row.name.cmp(name)).ok().map(|at| &rows[at])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn tables() -> impl Iterator<Item = &'static [Row]> {
        let broker = BROKER_SUBJECTS.iter().map(|(_, rows)| *rows);
        broker.chain([TOPIC_ROWS, GROUP_ROWS, CLIENT_METRICS_ROWS])
    }

    #[test]
    fn every_table_is_sorted_so_that_look_ups_find_every_row() {
        for rows in tables() {
            assert!(rows.is_sorted_by(|a, b| a.name < b.name), "not sorted near {}", rows[0].name);
        }
    }

    #[test]
    fn no_setting_stands_in_two_subjects() {
        let mut seen = BTreeSet::new();
        for row in broker_rows() {
            assert!(seen.insert(row.name), "{} stands twice", row.name);
        }
    }

    #[test]
    fn every_default_passes_its_own_check() {
        for row in tables().flatten() {
            for default in [row.default, row.own_default].into_iter().flatten() {
                row.parse(default).unwrap_or_else(|message| panic!("{message}"));
            }
        }
    }

    #[test]
    fn every_synonym_names_a_setting_of_the_broker() {
        for row in tables().flatten() {
            if let Some(name) = row.synonym {
                let broker = broker_row(name).unwrap_or_else(|| panic!("{} falls back to {name}", row.name));
                assert_eq!(broker.kind, row.kind, "{}", row.name);
            }
        }
    }

    /// A row as the list has it that Kafka's own definitions were printed to.
    fn as_in_kafka(kind: &str, row: &Row) -> String {
        let (update, kind) = match kind {
            "broker" if row.hidden && row.is_dynamic() => (row.update.name(), "quota"),
            "broker" => (row.update.name(), kind),
            _ => ("-", kind),
        };
        let internal = if row.hidden && kind != "quota" { "internal" } else { "-" };
        let importance = format!("{:?}", row.importance).to_lowercase();
        // An empty list of allowed values is printed as nothing, like no check at all.
        let valid = super::super::reference::valid_values(row).replace("non-null string", "");
        let default = row.default.unwrap_or("null");
        format!("{kind}|{}|{}|{default}|{valid}|{importance}|{internal}|{update}", row.name, row.kind.name())
    }

    #[test]
    fn the_table_is_that_of_kafka_4_3_1() {
        let theirs: BTreeSet<String> =
            include_str!("kafka-4.3.1.txt").lines().map(|line| line.replace("non-null string", "")).collect();
        let own = |row: &&Row| !row.is_milenas();
        let ours: BTreeSet<String> = broker_rows()
            .filter(own)
            .map(|row| as_in_kafka("broker", row))
            .chain(TOPIC_ROWS.iter().map(|row| as_in_kafka("topic", row)))
            .chain(GROUP_ROWS.iter().map(|row| as_in_kafka("group", row)))
            .chain(CLIENT_METRICS_ROWS.iter().map(|row| as_in_kafka("metrics", row)))
            .collect();
        let differ: Vec<&String> = ours.symmetric_difference(&theirs).collect();
        assert!(differ.is_empty(), "{differ:#?}");
    }

    #[test]
    fn the_counts_are_those_of_kafka_4_3_1() {
        let public = |rows: &[Row]| rows.iter().filter(|row| !row.hidden).count();
        assert_eq!(public(TOPIC_ROWS), 33);
        assert_eq!(public(GROUP_ROWS), 17);
        assert_eq!(public(CLIENT_METRICS_ROWS), 3);
        assert_eq!(broker_rows().filter(|row| !row.hidden).count(), 340);
    }
}
