//! The cleaner over real partitions on a simulated disk.
//!
//! Must never wait for time: the clock is moved, and every wait is for something that happens.

use std::path::Path;

use milena_storage::batch::{BatchBuilder, Record};
use milena_storage::compress::Codec;
use milena_storage::dirs::{CLEANER_CHECKPOINT, read_checkpoint};
use milena_storage::fs::Open;
use milena_storage::ids::Offset;
use milena_storage::validate::Origin;
use tokio::task::JoinHandle;

use super::*;
use crate::api::testing::{create, with_quorum_and};
use crate::partition::AppendAs;
use crate::partition::waiters::Wakes;
use crate::quorum::{Follower, ImageChange};
use crate::state::BrokerState;

struct Follow(Arc<BrokerState>);

impl Follower for Follow {
    fn prepare(&mut self, change: &ImageChange) {
        let broker = &self.0;
        let gone = broker.partitions.follow(&change.new, &broker.settings.load_full(), broker.clock.now());
        broker.cleaner.forget(&gone);
    }

    fn published(&mut self, change: &ImageChange) {
        let gone = self.0.partitions.remove_gone(&change.new, self.0.clock.now());
        self.0.cleaner.forget(&gone);
    }
}

/// A broker that compacts everything, with further settings.
async fn broker(settings: &[(&str, &str)]) -> Arc<BrokerState> {
    let compact = [("log.cleanup.policy", "compact"), ("log.segment.bytes", "1048576")];
    let own = [("log.cleaner.backoff.ms", "0"), ("log.cleaner.min.cleanable.ratio", "0")];
    let all: Vec<_> = compact.iter().chain(&own).chain(settings).copied().collect();
    let broker = with_quorum_and(&all).await;
    broker.quorum().unwrap().follow(Box::new(Follow(broker.clone()))).await;
    broker
}

/// A cleaner at work, and what stops it.
struct Running {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

fn start(broker: &Arc<BrokerState>) -> Running {
    let (stop, stopped) = watch::channel(false);
    Running { stop, task: tokio::spawn(broker.cleaner.clone().run(stopped)) }
}

impl Running {
    async fn stop(self) {
        self.stop.send_replace(true);
        tokio::time::timeout(Duration::from_secs(30), self.task).await.unwrap().unwrap();
    }
}

/// Appends so many values of one key, 200 KiB each, so that five fill a segment.
fn put(broker: &BrokerState, topic: &str, count: usize) {
    let partition = broker.partitions.get(topic, 0).unwrap();
    for _ in 0..count {
        let now = broker.clock.now();
        let mut builder = BatchBuilder::new();
        builder.push(Record { timestamp: now, key: Some(b"k"), value: Some(&[7; 200 << 10]), headers: &[] });
        let how = AppendAs { origin: Origin::Client { produce_version: 9 }, all_replicas: false, now };
        partition.append(builder.finish(Codec::None, None), how, &mut Wakes::default()).unwrap();
    }
}

fn size(broker: &BrokerState, topic: &str) -> u64 {
    broker.partitions.get(topic, 0).map_or(0, |partition| partition.size())
}

/// Waits until something holds.
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let wait = async {
        while !holds() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), wait).await.unwrap_or_else(|_| panic!("{what}"));
}

fn checkpoint(broker: &BrokerState, topic: &str) -> Option<Offset> {
    let disk = &broker.partitions.disk;
    let offsets = read_checkpoint(disk.fs.as_ref(), &disk.dirs[0].path, CLEANER_CHECKPOINT).unwrap();
    offsets.get(&TopicPartition::new(topic, 0)).copied()
}

#[tokio::test]
async fn a_closed_segment_wakes_the_cleaner() {
    let broker = broker(&[]).await;
    create(&broker, &[("t", 1)]).await;
    let running = start(&broker);
    put(&broker, "t", 7);
    // The first segment keeps its last batch alone, the second is written to.
    until("the log is cleaned", || checkpoint(&broker, "t") == Some(Offset(5))).await;
    assert!(size(&broker, "t") < 4 * (200 << 10), "{}", size(&broker, "t"));
    put(&broker, "t", 5);
    until("the log is cleaned again", || checkpoint(&broker, "t") == Some(Offset(10))).await;
    let metrics = broker.cleaner.metrics();
    assert!(metrics.recopy_percent > 0 && metrics.recopy_percent < 60, "{metrics:?}");
    assert_eq!((metrics.dead_thread_count, metrics.uncleanable[0].1), (0, 0));
    running.stop().await;
}

#[tokio::test]
async fn the_passing_of_time_alone_is_enough() {
    let broker = broker(&[("log.cleaner.min.compaction.lag.ms", "3600000")]).await;
    create(&broker, &[("t", 1)]).await;
    let running = start(&broker);
    put(&broker, "t", 7);
    let before = size(&broker, "t");
    until("the cleaner has looked", || broker.cleaner.metrics().max_dirty_percent == 0).await;
    assert_eq!((size(&broker, "t"), checkpoint(&broker, "t")), (before, None));
    broker.clock.advance(Duration::from_secs(3601));
    until("the log is cleaned", || checkpoint(&broker, "t") == Some(Offset(5))).await;
    running.stop().await;
}

#[tokio::test]
async fn compacted_logs_lose_old_segments_where_the_policy_says_so() {
    let settings = [("log.cleanup.policy", "compact,delete"), ("log.retention.ms", "3600000")];
    let broker = broker(&settings).await;
    create(&broker, &[("t", 1)]).await;
    let running = start(&broker);
    put(&broker, "t", 7);
    until("the log is cleaned", || checkpoint(&broker, "t") == Some(Offset(5))).await;
    broker.clock.advance(Duration::from_secs(3601));
    let partition = broker.partitions.get("t", 0).unwrap();
    until("the old segments are gone", || partition.log_start_offset() == Offset(7)).await;
    running.stop().await;
}

#[tokio::test]
async fn a_damaged_log_is_left_alone_and_the_others_are_cleaned() {
    let broker = broker(&[]).await;
    create(&broker, &[("bad", 1), ("good", 1)]).await;
    put(&broker, "bad", 7);
    put(&broker, "good", 7);
    let disk = &broker.partitions.disk;
    let path = disk.dirs[0].path.join("bad-0/00000000000000000000.log");
    disk.fs.open(Path::new(&path), Open::Write).unwrap().write_at(b"!!", 5000).unwrap();
    let running = start(&broker);
    until("it is noted", || broker.cleaner.metrics().uncleanable[0].1 == 1).await;
    until("the other is cleaned", || checkpoint(&broker, "good") == Some(Offset(5))).await;
    assert_eq!(checkpoint(&broker, "bad"), None);
    assert!(broker.cleaner.metrics().uncleanable[0].2 > 1_000_000);
    // It serves on.
    put(&broker, "bad", 1);
    running.stop().await;
}

#[tokio::test]
async fn a_cleaning_that_is_held_back_ends_when_the_broker_stops() {
    let broker = broker(&[("log.cleaner.io.max.bytes.per.second", "1")]).await;
    create(&broker, &[("t", 1)]).await;
    put(&broker, "t", 7);
    // What passes before the first comparison with the rate is not held back, and could be all of it.
    broker.clock.advance(Duration::from_secs(1));
    let running = start(&broker);
    until("it is under way", || !broker.cleaner.state.lock().in_progress.is_empty()).await;
    running.stop().await;
    assert_eq!(checkpoint(&broker, "t"), None);
}

#[tokio::test]
async fn a_topic_made_anew_does_not_inherit_what_was_clean() {
    let broker = broker(&[]).await;
    create(&broker, &[("t", 1)]).await;
    let running = start(&broker);
    put(&broker, "t", 12);
    until("the log is cleaned", || checkpoint(&broker, "t") == Some(Offset(10))).await;
    let names = kafka_protocol::protocol::StrBytes::from_static_str("t").into();
    let request = kafka_protocol::messages::DeleteTopicsRequest::default().with_topic_names(vec![names]);
    broker.quorum().unwrap().delete_topics(request).await.unwrap();
    until("the checkpoint forgets it", || checkpoint(&broker, "t").is_none()).await;
    create(&broker, &[("t", 1)]).await;
    put(&broker, "t", 7);
    until("the new log is cleaned", || checkpoint(&broker, "t") == Some(Offset(5))).await;
    running.stop().await;
}

#[tokio::test]
async fn the_checkpoint_follows_a_deletion_and_a_truncation_at_once() {
    let broker = broker(&[]).await;
    create(&broker, &[("cut", 1), ("gone", 1)]).await;
    let running = start(&broker);
    put(&broker, "cut", 12);
    put(&broker, "gone", 12);
    for topic in ["cut", "gone"] {
        until("the log is cleaned", || checkpoint(&broker, topic) == Some(Offset(10))).await;
    }
    // No cleaner runs any more that could look after it.
    running.stop().await;
    let names = kafka_protocol::protocol::StrBytes::from_static_str("gone").into();
    let request = kafka_protocol::messages::DeleteTopicsRequest::default().with_topic_names(vec![names]);
    broker.quorum().unwrap().delete_topics(request).await.unwrap();
    assert_eq!(checkpoint(&broker, "gone"), None);
    let partition = broker.partitions.get("cut", 0).unwrap();
    let now = broker.clock.now();
    broker.cleaner.truncated(&partition);
    assert_eq!(checkpoint(&broker, "cut"), Some(Offset(10)), "nothing was cut yet");
    partition.tend(|log| log.truncate_to(Offset(4), now).map(drop)).unwrap();
    broker.cleaner.truncated(&partition);
    assert_eq!(checkpoint(&broker, "cut"), Some(partition.active_base()));
    assert!(partition.active_base() < Offset(10));
}

#[test]
fn changes_are_looked_at_after_the_back_off_and_foretold_times_when_they_come() {
    let backoff = Duration::from_millis(100);
    let mut agenda = Agenda::default();
    agenda.begin_look(1000);
    agenda.look_in(5000, backoff);
    assert_eq!(agenda.look_at, Some(6000));
    agenda.look_after(backoff);
    assert_eq!(agenda.look_at, Some(1100));
    agenda.look_in(0, backoff);
    assert_eq!(agenda.look_at, Some(1100));
    agenda.want();
    assert!(agenda.wanted && agenda.look_at.is_none());
}
