//! What the image says of this broker's id, and whether it is said of this process.

use milena_coordinator::image::BrokerImage;
use milena_storage::batch::{BatchBuilder, Record};
use milena_storage::compress::Codec;
use milena_storage::fs::SimFs;
use milena_storage::validate::Origin;

use super::*;
use crate::partition::AppendAs;
use crate::partition::disk::Identity;
use crate::partition::testing::image_of;
use crate::partition::waiters::Wakes;

const NOW: Timestamp = Timestamp(1000);

fn append(partitions: &Partitions) -> Result<(), PartitionError> {
    let mut batch = BatchBuilder::new();
    batch.push(Record { timestamp: NOW, key: None, value: Some(b"v"), headers: &[] });
    let how = AppendAs { origin: Origin::Client { produce_version: 9 }, all_replicas: true, now: NOW };
    let partition = partitions.get("t", 0).expect("it is hosted");
    partition.append(batch.finish(Codec::None, None), how, &mut Wakes::default()).map(drop)
}

#[test]
fn a_process_whose_id_was_taken_leads_nothing_until_it_has_it_back() {
    let settings = Arc::new(Settings::from_pairs(&[("log.dirs", "/a")]).unwrap());
    let who = Identity { node_id: BrokerId(1), cluster_id: None, fresh_cluster_id: Some("test".into()) };
    let disk = Disk::open(Arc::new(SimFs::new()), &settings.storage(), &who).unwrap();
    let own = disk.identity().expect("the metadata is in a log directory");
    let peers = Peers::new(BrokerId(1), Arc::default());
    let partitions = Partitions::new(peers, disk);
    let registered = |directory: Option<Uuid>| {
        let mut image = image_of("t", Uuid::from_u128(1));
        if directory.is_some() {
            let (id, endpoints) = (BrokerId(1), Vec::new());
            let (rack, fenced, suspect) = (None, false, false);
            let (epoch, log_dirs, cordoned, features) = (7, Vec::new(), false, Default::default());
            let broker = BrokerImage {
                id,
                epoch,
                endpoints,
                rack,
                fenced,
                suspect,
                directory,
                log_dirs,
                cordoned,
                features,
            };
            image.brokers.insert(id, broker.into());
        }
        image
    };
    let mut image = registered(Some(own));
    let mut follow = |partitions: &Partitions, next: MetadataImage| {
        // The topic is the very same, as when only brokers have changed.
        let brokers = next.brokers.clone();
        image.brokers = brokers;
        let _ = partitions.follow(&image, &settings, NOW);
    };
    follow(&partitions, registered(Some(own)));
    append(&partitions).unwrap();
    follow(&partitions, registered(None));
    append(&partitions).unwrap();
    follow(&partitions, registered(Some(Uuid::from_u128(99))));
    assert!(partitions.peers.is_usurped());
    assert!(matches!(append(&partitions), Err(PartitionError::NotLeader)));
    follow(&partitions, registered(Some(own)));
    assert!(!partitions.peers.is_usurped());
    append(&partitions).unwrap();
    assert_eq!(partitions.get("t", 0).unwrap().log_end_offset(), Offset(3));
}

/// The image changes again after the start: when the controller hears of the failed directory it takes the leaders away.
#[test]
fn what_lies_in_a_failed_directory_is_never_made_anew() {
    let own = tempfile::tempdir().unwrap();
    let (bad, good) = (own.path().join("bad"), own.path().join("good"));
    let dirs = format!("{},{}", bad.display(), good.display());
    let metadata = good.display().to_string();
    let pairs = [("log.dirs", dirs.as_str()), ("metadata.log.dir", metadata.as_str())];
    let settings = Arc::new(Settings::from_pairs(&pairs).unwrap());
    let start = || {
        let who = Identity { node_id: BrokerId(1), cluster_id: None, fresh_cluster_id: Some("test".into()) };
        let fs = Arc::new(milena_storage::fs::RealFs);
        let disk = Disk::open(fs, &settings.storage(), &who).unwrap();
        Partitions::new(Peers::new(BrokerId(1), Arc::default()), disk)
    };
    let image = || image_of("t", Uuid::from_u128(1));
    let partitions = start();
    let _ = partitions.follow(&image(), &settings, NOW);
    append(&partitions).unwrap();
    drop(partitions);
    assert!(bad.join("t-0").is_dir(), "the first directory gets the first partition");
    std::fs::rename(&bad, own.path().join("aside")).unwrap();
    std::fs::write(&bad, "").unwrap();
    let partitions = start();
    let _ = partitions.follow(&image(), &settings, NOW);
    partitions.set_strays_aside(&image(), NOW);
    let _ = partitions.follow(&image(), &settings, NOW);
    assert!(partitions.get("t", 0).is_none() && !good.join("t-0").exists(), "an empty log in its place");
    // Another topic of the name was never there.
    let _ = partitions.follow(&image_of("t", Uuid::from_u128(2)), &settings, NOW);
    assert!(partitions.get("t", 0).is_some() && good.join("t-0").is_dir());
}
