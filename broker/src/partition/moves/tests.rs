//! Moves over a simulated disk with two directories: asked for, replaced, given up, cut short anywhere, and through failures.

use std::path::Path;

use milena_coordinator::image::MetadataImage;
use milena_storage::batch::{BatchBuilder, Record};
use milena_storage::compress::Codec;
use milena_storage::fs::{Fs, SimFault, SimFs};
use milena_storage::ids::{BrokerId, Offset};
use milena_storage::validate::Origin;
use uuid::Uuid;

use super::*;
use crate::partition::disk::{Disk, Identity};
use crate::partition::peers::Peers;
use crate::partition::testing::image_of;
use crate::partition::waiters::Wakes;
use crate::partition::{AppendAs, ReadFrom};
use crate::settings::Settings;

const NOW: Timestamp = Timestamp(1000);

/// A broker's partitions over a disk.
struct Host {
    partitions: Partitions,
    image: Arc<MetadataImage>,
    settings: Arc<Settings>,
}

fn name() -> TopicPartition {
    TopicPartition::new("t", 0)
}

impl Host {
    /// Starts on what the disk has; `t-0` is led here.
    fn start(fs: &SimFs) -> Self {
        let settings = Settings::from_pairs(&[("log.dirs", "/a,/b")]).unwrap();
        let who = Identity { node_id: BrokerId(1), cluster_id: None, fresh_cluster_id: Some("test".into()) };
        let disk = Disk::open(Arc::new(fs.clone()), &settings.storage(), &who).unwrap();
        let image = Arc::new(image_of("t", Uuid::from_u128(1)));
        let peers = Peers::new(BrokerId(1), Arc::new(arc_swap::ArcSwap::new(image.clone())));
        let host = Self { partitions: Partitions::new(peers, disk), image, settings: Arc::new(settings) };
        let _ = host.partitions.follow(&host.image, &host.settings, NOW);
        host.partitions.set_strays_aside(&host.image, NOW);
        host
    }

    fn partition(&self) -> Arc<Partition> {
        self.partitions.get("t", 0).unwrap()
    }

    fn append(&self, count: usize) {
        for _ in 0..count {
            let mut batch = BatchBuilder::new();
            batch.push(Record { timestamp: NOW, key: None, value: Some(&[7; 100]), headers: &[] });
            let how =
                AppendAs { origin: Origin::Client { produce_version: 9 }, all_replicas: false, now: NOW };
            let mut wakes = Wakes::default();
            self.partition().append(batch.finish(Codec::None, None), how, &mut wakes).unwrap();
            wakes.fire();
        }
    }

    fn ask(&self, dir: &str) -> Result<(), PartitionError> {
        self.partitions.ask_for_dir(&self.image, &name(), dir, NOW)
    }

    /// One round of all moves, a few batches each.
    fn round(&self) -> Vec<Moved> {
        self.partitions.moves().iter().map(|each| self.partitions.advance(each, 500, NOW)).collect()
    }

    fn until_moved(&self) {
        for _ in 0..10_000 {
            if self.partitions.moves().is_empty() {
                return;
            }
            self.round();
        }
        panic!("the move does not end");
    }

    /// All records, as a consumer reads them.
    fn bytes(&self) -> Vec<u8> {
        let at = ReadFrom {
            offset: self.partition().log_start_offset(),
            max_bytes: 1 << 20,
            at_least_one: true,
            committed: false,
            whole: false,
            any_replica: false,
            current_leader_epoch: -1,
            last_fetched_epoch: -1,
        };
        let read = self.partition().read(at).unwrap();
        read.slice.unwrap().read_all().unwrap()
    }
}

/// What lies in a log directory that belongs to the partition, by the ends of the names.
fn found(fs: &SimFs, dir: &str) -> Vec<String> {
    let entries = fs.list(Path::new(dir)).unwrap();
    let names = entries.into_iter().map(|entry| entry.name).filter(|name| name.starts_with("t-0"));
    names.map(|name| name.rsplit_once('-').unwrap().1.to_owned()).collect()
}

fn other(dir: usize) -> (&'static str, &'static str) {
    if dir == 0 { ("/a", "/b") } else { ("/b", "/a") }
}

#[test]
fn a_log_is_moved_while_it_is_written_to() {
    let fs = SimFs::new();
    let host = Host::start(&fs);
    host.append(20);
    let (from, to) = other(host.partition().dir());
    host.ask(to).unwrap();
    host.ask(to).unwrap();
    assert_eq!(host.partitions.moves().len(), 1, "asked for twice, moved once");
    assert!(matches!(host.round()[..], [Moved::Some(bytes)] if bytes > 0 && bytes <= 500));
    let usage = &host.partitions.future_usage()[0];
    assert!(usage.lag > 10 && usage.size > 0, "{usage:?}");
    host.append(5);
    let (epoch, mark) = (host.partition().leader_epoch(), host.partition().high_watermark());
    let before = host.bytes();
    host.until_moved();
    assert_eq!(host.bytes(), before);
    assert_eq!((host.partition().leader_epoch(), host.partition().high_watermark()), (epoch, mark));
    assert_eq!((found(&fs, from), found(&fs, to)), (vec!["delete".to_owned()], vec!["0".to_owned()]));
    host.append(1);
    assert_eq!(host.partition().log_end_offset(), Offset(26));
    host.partitions.disk.remove_doomed(Timestamp(i64::MAX));
    assert!(found(&fs, from).is_empty());
    // And back, after a clean stop.
    assert!(host.partitions.close(1));
    drop(host);
    let host = Host::start(&fs);
    assert_eq!(host.partition().log_end_offset(), Offset(26));
    host.ask(from).unwrap();
    host.until_moved();
    assert_eq!(found(&fs, from), ["0"]);
}

#[test]
fn a_move_is_given_up_for_another_or_for_the_present_directory() {
    let fs = SimFs::new();
    let host = Host::start(&fs);
    host.append(20);
    let (from, to) = other(host.partition().dir());
    host.ask(from).unwrap();
    assert!(host.partitions.moves().is_empty(), "it is there");
    host.ask(to).unwrap();
    host.round();
    assert!(host.partition().is_moving());
    host.ask(from).unwrap();
    assert!(host.partitions.moves().is_empty() && !host.partition().is_moving());
    assert_eq!((found(&fs, from), found(&fs, to)), (vec!["0".to_owned()], vec!["delete".to_owned()]));
    host.ask(to).unwrap();
    host.until_moved();
    assert_eq!(host.partition().log_end_offset(), Offset(20));
}

#[test]
fn only_a_marked_directory_speaks_for_what_it_had() {
    let fs = SimFs::new();
    let host = Host::start(&fs);
    assert!(!host.partitions.disk.was_stopped_cleanly(), "the disks may be new");
    assert!(host.partitions.close(1));
    drop(host);
    let host = Host::start(&fs);
    assert!(host.partitions.disk.was_stopped_cleanly());
    assert!(host.partitions.close(1));
    drop(host);
    fs.remove_dir_all(Path::new("/b")).unwrap();
    assert!(!Host::start(&fs).partitions.disk.was_stopped_cleanly(), "one of them is new");
}

#[test]
fn bad_requests_get_the_errors_of_kafka() {
    let host = Host::start(&SimFs::new());
    let code = |error: Result<(), PartitionError>| error.unwrap_err().code();
    assert_eq!(code(host.ask("/c")), 57, "LOG_DIR_NOT_FOUND");
    assert_eq!(code(host.ask("a")), 57, "paths are absolute");
    let ask = |topic: &str, index| {
        let name = TopicPartition::new(topic, index);
        host.partitions.ask_for_dir(&host.image, &name, "/a", NOW)
    };
    assert_eq!(code(ask("none", 0)), 3, "UNKNOWN_TOPIC_OR_PARTITION");
    assert_eq!(code(ask(&"x".repeat(240), 0)), 17, "INVALID_TOPIC_EXCEPTION");
    let to = Path::new(other(host.partition().dir()).1).to_owned();
    host.partitions.disk.cordon(std::slice::from_ref(&to));
    assert_eq!(code(host.ask(to.to_str().unwrap())), 39, "INVALID_REPLICA_ASSIGNMENT");
    host.partitions.disk.cordon(&[]);
    let cause = std::io::Error::other("broken");
    host.partitions.disk.dirs[1 - host.partition().dir()].health.fail(&StorageError::io("write", &to, cause));
    assert_eq!(code(host.ask(to.to_str().unwrap())), 56, "KAFKA_STORAGE_ERROR");
}

#[test]
fn a_replica_that_comes_later_is_made_where_it_was_wished() {
    for dir in ["/a", "/b"] {
        let fs = SimFs::new();
        let host = Host::start(&fs);
        let name = TopicPartition::new("new", 0);
        let asked = host.partitions.ask_for_dir(&host.image, &name, dir, NOW);
        assert_eq!(asked.unwrap_err().code(), 3);
        let image = image_of("new", Uuid::from_u128(2));
        let _ = host.partitions.follow(&image, &host.settings, NOW);
        assert!(fs.meta(&Path::new(dir).join("new-0")).unwrap().is_some(), "{dir}");
        assert_eq!(host.partitions.disk.dir_of(&name), Some(usize::from(dir == "/b")));
    }
}

#[test]
fn a_move_goes_on_after_a_start_and_ends_with_its_topic() {
    let fs = SimFs::new();
    let host = Host::start(&fs);
    host.append(20);
    let (_, to) = other(host.partition().dir());
    host.ask(to).unwrap();
    host.round();
    assert!(host.partitions.close(1));
    drop(host);
    let host = Host::start(&fs);
    let usage = &host.partitions.future_usage()[0];
    assert!(usage.lag > 0 && usage.size > 0, "what was copied is kept: {usage:?}");
    assert!(host.partition().is_moving());
    let gone = host.partitions.remove_gone(&MetadataImage::default(), NOW);
    assert_eq!(gone.len(), 1);
    assert!(host.partitions.moves().is_empty());
    assert_eq!((found(&fs, "/a"), found(&fs, "/b")), (vec!["delete".to_owned()], vec!["delete".to_owned()]));
}

#[test]
fn no_cleaning_runs_beside_an_exchange() {
    let host = Host::start(&SimFs::new());
    host.append(3);
    let (_, to) = other(host.partition().dir());
    assert!(host.partition().begin_cleaning());
    host.ask(to).unwrap();
    for _ in 0..5 {
        host.round();
    }
    assert_eq!(host.partitions.moves().len(), 1, "the copy is level and waits");
    assert!(!host.partition().begin_cleaning(), "another does not begin");
    host.ask(to).unwrap();
    host.until_moved();
    assert!(host.partition().begin_cleaning());
}

#[test]
fn a_full_or_failed_destination_leaves_the_log_as_it_was() {
    let fs = SimFs::new();
    let host = Host::start(&fs);
    host.append(20);
    let before = host.bytes();
    let (_, to) = other(host.partition().dir());
    host.ask(to).unwrap();
    host.round();
    fs.fault_after(0, SimFault::Full);
    assert_eq!(host.round(), [Moved::Stuck]);
    fs.heal();
    assert!(!host.partition().is_offline());
    assert!(matches!(host.round()[..], [Moved::Some(_)]), "a shortage passes");
    fs.fault_after(0, SimFault::Error);
    assert_eq!(host.round(), [Moved::Stuck]);
    assert!(host.partitions.withdraw_failed(Path::new("/elsewhere")), "one directory is left");
    assert!(host.partitions.moves().is_empty() && !host.partition().is_moving());
    assert_eq!(host.bytes(), before);
    host.append(1);
}

/// A loss of power at every step of the disk, from the request to the end: the partition is there once, with all that was flushed, and
/// the move ends after the next start.
#[test]
fn nothing_is_lost_wherever_a_move_is_cut_short() {
    for step in 0..400 {
        let fs = SimFs::new();
        // The directories themselves are an operator's.
        ["/a", "/b"].iter().for_each(|dir| fs.create_dir_all(Path::new(dir)).unwrap());
        fs.sync_dir(Path::new("/")).unwrap();
        let host = Host::start(&fs);
        host.append(12);
        host.partition().sync().unwrap();
        host.partitions.checkpoint(Point::Recovery);
        let (_, to) = other(host.partition().dir());
        let before = host.bytes();
        fs.fault_after(step, SimFault::Death);
        let _ = host.ask(to);
        for _ in 0..100 {
            host.round();
        }
        let ended = host.partitions.moves().is_empty()
            && host.partitions.disk.dir_of(&name()).is_some_and(|dir| ["/a", "/b"][dir] == to);
        drop(host);
        fs.heal();
        fs.power_loss(step);
        let host = Host::start(&fs);
        assert!(host.bytes() == before, "step {step}: the log ends at {}", host.partition().log_end_offset());
        host.ask(to).unwrap();
        host.until_moved();
        assert!(host.bytes() == before, "step {step}: the log ends at {}", host.partition().log_end_offset());
        assert_eq!(found(&fs, to).iter().filter(|kind| *kind == "0").count(), 1, "step {step}");
        if ended {
            assert!(step > 20, "a move takes steps");
            return;
        }
    }
    panic!("the move never ended");
}
