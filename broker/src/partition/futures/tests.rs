//! What a scan of two directories finds. How Kafka's moves come and go is seen in the compat tests.
//!
//! Must never open a log.

use std::path::Path;
use std::sync::Arc;

use milena_storage::fs::{Fs, SimFs};
use milena_storage::ids::BrokerId;

use crate::partition::disk::{Disk, DiskError, Identity};
use crate::settings::Settings;

fn scan(names: &[&str]) -> Result<Disk, DiskError> {
    let fs = SimFs::new();
    names.iter().for_each(|name| fs.create_dir_all(Path::new(name)).unwrap());
    let settings = Settings::from_pairs(&[("log.dirs", "/a,/b")]).unwrap().storage();
    let who = Identity { node_id: BrokerId(1), cluster_id: None, fresh_cluster_id: Some("test".into()) };
    Disk::open(Arc::new(fs), &settings, &who)
}

const FUTURE: &str = "t-0.0123456789abcdef0123456789abcdef-future";

#[test]
fn a_log_that_is_moved_is_kept_apart_from_the_partitions_own() {
    let disk = scan(&["/a/t-0", &format!("/b/{FUTURE}"), "/b/t-1"]).unwrap();
    let mut found: Vec<_> = disk.found().iter().map(ToString::to_string).collect();
    found.sort();
    assert_eq!(found, ["t-0", "t-1"]);
    let futures = disk.take_futures();
    assert_eq!(futures.len(), 1);
    assert_eq!((futures[0].partition.to_string().as_str(), futures[0].dir), ("t-0", 1));
    assert_eq!(disk.dir_of(&futures[0].partition), Some(0));
}

#[test]
fn a_partition_in_two_directories_is_refused_with_both() {
    for twice in ["t-0", FUTURE] {
        let refused = scan(&[&format!("/a/{twice}"), &format!("/b/{twice}")]).unwrap_err();
        assert!(matches!(refused, DiskError::Duplicate { .. }), "{refused}");
        let said = refused.to_string();
        assert!(said.contains("t-0") && said.contains("/a/") && said.contains("/b/"), "{said}");
    }
}
