//! Syncs and removals over a disk that holds them back until it is told.
//!
//! Must never wait for time: a sync that is held is seen to be held.

use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use milena_storage::batch::{BatchBuilder, Record};
use milena_storage::compress::Codec;
use milena_storage::fs::{Entry, File, Fs, Lock, Meta, Open, SimFs};
use milena_storage::ids::TopicPartition;
use milena_storage::log::{LogConfig, OpenHow};
use milena_storage::validate::Origin;
use parking_lot::{Condvar, Mutex};
use tokio::sync::Notify;
use uuid::Uuid;

use super::*;
use crate::partition::health::{DirHealth, Failures};
use crate::partition::waiters::Wakes;
use crate::partition::{AppendAs, Place, TopicRules};

const PATIENCE: Duration = Duration::from_secs(30);

/// A disk whose syncs of segments and removals of deleted files are counted, and held while it is shut.
#[derive(Debug)]
struct Slow {
    disk: SimFs,
    door: Arc<Door>,
}

#[derive(Debug, Default)]
struct Door {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    shut: bool,
    begun: usize,
}

impl Door {
    fn set_shut(&self, shut: bool) {
        self.state.lock().shut = shut;
        self.changed.notify_all();
    }

    fn pass(&self) {
        let mut state = self.state.lock();
        state.begun += 1;
        self.changed.notify_all();
        self.changed.wait_while(&mut state, |state| state.shut);
    }

    /// Returns once so many syncs have begun.
    fn await_begun(&self, count: usize) {
        let mut state = self.state.lock();
        let late = self.changed.wait_while_for(&mut state, |state| state.begun < count, PATIENCE);
        assert!(!late.timed_out(), "no sync began");
    }

    fn begun(&self) -> usize {
        self.state.lock().begun
    }
}

#[derive(Debug)]
struct SlowFile {
    file: Arc<dyn File>,
    door: Arc<Door>,
}

impl File for SlowFile {
    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        self.file.read_at(buf, at)
    }
    fn write_at(&self, buf: &[u8], at: u64) -> io::Result<()> {
        self.file.write_at(buf, at)
    }
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.door.pass();
        self.file.sync_data()
    }
    fn set_modified(&self, at: Timestamp) -> io::Result<()> {
        self.file.set_modified(at)
    }
    fn allocate(&self, at: u64, len: u64) -> io::Result<()> {
        self.file.allocate(at, len)
    }
    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        self.file.as_fd()
    }
}

impl Fs for Slow {
    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn File>> {
        let file = self.disk.open(path, how)?;
        let segment = path.extension().is_some_and(|extension| extension == "log");
        Ok(if segment { Arc::new(SlowFile { file, door: self.door.clone() }) } else { file })
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        if path.extension().is_some_and(|extension| extension == "deleted") {
            self.door.pass();
        }
        self.disk.remove_file(path)
    }
    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.disk.remove_dir_all(path)
    }
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.disk.create_dir_all(path)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.disk.list(dir)
    }
    fn meta(&self, path: &Path) -> io::Result<Option<Meta>> {
        self.disk.meta(path)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.sync_dir(dir)
    }
    fn try_lock(&self, path: &Path) -> io::Result<Option<Box<dyn Lock>>> {
        self.disk.try_lock(path)
    }
}

fn partition(config: LogConfig) -> (Arc<Partition>, Arc<Door>) {
    let disk = Slow { disk: SimFs::new(), door: Arc::default() };
    let door = disk.door.clone();
    let rules = TopicRules { validation: config.rules(), min_insync_replicas: 1, only_compacted: false };
    let (log, _) =
        Log::open(Arc::new(disk), Path::new("/d/t-0"), config, OpenHow::default(), Timestamp(0)).unwrap();
    let at = Place {
        dir: 0,
        health: DirHealth::new(Path::new("/d"), Failures::default()),
        cleaner_wake: Arc::new(Notify::new()),
        roll_wake: Arc::new(Notify::new()),
        peers: crate::partition::testing::peers(1),
    };
    let partition =
        Partition::new(TopicPartition::new("t", 0), Uuid::from_u128(1), at, log, Offset(0), Arc::new(rules));
    let alone = crate::partition::testing::state(1, 0, 0, &[1], &[1]);
    partition.follow_image(&alone, Timestamp(0)).unwrap();
    // A log whose clean stop nobody promised is synced when it is opened.
    door.state.lock().begun = 0;
    (Arc::new(partition), door)
}

/// Appends one record; gives the offset behind it, and whether a sync is owed.
fn append(partition: &Partition, now: i64) -> (Offset, bool) {
    let now = Timestamp(now);
    let mut builder = BatchBuilder::new();
    builder.push(Record { timestamp: now, key: None, value: Some(b"v"), headers: &[] });
    let how = AppendAs { origin: Origin::Client { produce_version: 9 }, all_replicas: false, now };
    let appended = partition.append(builder.finish(Codec::None, None), how, &mut Wakes::default()).unwrap();
    (appended.last.plus(1), appended.flush_due)
}

/// Appends while work is held at the door, which is opened then; an error if the append had to wait for it.
fn append_during(
    partition: &Arc<Partition>,
    door: &Door,
    now: i64,
    work: impl FnOnce() + Send,
) -> Result<Offset, mpsc::RecvTimeoutError> {
    let before = door.begun();
    door.set_shut(true);
    std::thread::scope(|scope| {
        let working = scope.spawn(work);
        door.await_begun(before + 1);
        let (done, came) = mpsc::channel();
        let partition = partition.clone();
        std::thread::spawn(move || done.send(append(&partition, now).0));
        let appended = came.recv_timeout(PATIENCE);
        door.set_shut(false);
        working.join().unwrap();
        appended
    })
}

fn recovery_point(partition: &Partition) -> Offset {
    partition.peek(Log::recovery_point).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_appends_share_one_sync() {
    let (partition, door) = partition(LogConfig { flush_messages: 1, ..LogConfig::default() });
    door.set_shut(true);
    let mut waiting = tokio::task::JoinSet::new();
    let mut append_and_sync = || {
        let (end, owed) = append(&partition, 0);
        assert!(owed);
        let partition = partition.clone();
        waiting.spawn(async move {
            partition.sync_to(end).await.unwrap();
            assert!(recovery_point(&partition) >= end);
        });
    };
    append_and_sync();
    door.await_begun(1);
    (0..100).for_each(|_| append_and_sync());
    door.set_shut(false);
    waiting.join_all().await;
    assert_eq!(recovery_point(&partition), Offset(101));
    assert_eq!(door.begun(), 2, "the one that was under way, and one for all that came meanwhile");
}

#[test]
fn appends_go_on_during_a_sync_and_are_not_promised_by_it() {
    let (partition, door) = partition(LogConfig::default());
    append(&partition, 0);
    let appended = append_during(&partition, &door, 0, || partition.sync().unwrap());
    assert_eq!(appended, Ok(Offset(2)), "an append waited for the sync");
    assert_eq!((recovery_point(&partition), partition.log_end_offset()), (Offset(1), Offset(2)));
    partition.sync().unwrap();
    assert_eq!(recovery_point(&partition), Offset(2));
}

#[test]
fn deleted_files_go_when_their_delay_has_passed_and_hold_up_no_append() {
    let config = LogConfig { segment_bytes: 100, retention_ms: 0, ..LogConfig::default() };
    let due = Timestamp(100_000 + config.file_delete_delay_ms);
    for delay in [0, config.file_delete_delay_ms] {
        let (partition, door) = partition(LogConfig { file_delete_delay_ms: delay, ..config.clone() });
        for _ in 0..5 {
            append(&partition, 0);
        }
        let before = door.begun();
        if delay > 0 {
            partition.retain(Timestamp(100_000)).unwrap();
            partition.remove_deleted(Timestamp(due.0 - 1)).unwrap();
            assert_eq!(door.begun(), before, "removed too early");
        }
        assert!(delay == 0 || partition.log_start_offset() > Offset(0));
        let appended = append_during(&partition, &door, 100_000, || match delay {
            0 => partition.retain(Timestamp(100_000)).unwrap(),
            _ => partition.remove_deleted(due).unwrap(),
        });
        assert_eq!(appended, Ok(Offset(6)), "an append waited for a removal");
    }
}

#[test]
fn what_waits_as_long_as_flush_ms_is_synced() {
    let (partition, door) = partition(LogConfig { flush_ms: 100, ..LogConfig::default() });
    partition.sync().unwrap();
    let before = door.begun();
    append(&partition, 1000);
    partition.sync_overdue(Timestamp(1099)).unwrap();
    assert_eq!(door.begun(), before);
    // What comes while a sync runs waits from its own time on.
    door.set_shut(true);
    std::thread::scope(|scope| {
        let sync = scope.spawn(|| partition.sync_overdue(Timestamp(1100)).unwrap());
        door.await_begun(before + 1);
        append(&partition, 1100);
        append(&partition, 1150);
        door.set_shut(false);
        sync.join().unwrap();
    });
    assert_eq!(recovery_point(&partition), Offset(1));
    partition.sync_overdue(Timestamp(1199)).unwrap();
    assert_eq!(recovery_point(&partition), Offset(1));
    partition.sync_overdue(Timestamp(1200)).unwrap();
    assert_eq!(recovery_point(&partition), Offset(3));
    partition.sync_overdue(Timestamp(9000)).unwrap();
    assert_eq!(door.begun(), before + 2, "nothing new, nothing synced");
}
