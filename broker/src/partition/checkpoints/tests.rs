//! Checkpoint files over partitions on a simulated disk, and what a start makes of them.
//!
//! Must never read a file by anything but Kafka's format.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use milena_storage::batch::{BatchBuilder, Record};
use milena_storage::compress::Codec;
use milena_storage::dirs::read_checkpoint;
use milena_storage::fs::{Fs, Open, SimFs};
use milena_storage::ids::{BrokerId, Timestamp};
use milena_storage::log::LogConfig;
use milena_storage::validate::Origin;
use uuid::Uuid;

use super::*;
use crate::api::testing::{create, with_quorum};
use crate::partition::AppendAs;
use crate::partition::disk::{Disk, Identity, Opened};
use crate::partition::testing::state;
use crate::partition::waiters::Wakes;
use crate::quorum::{Follower, ImageChange};
use crate::settings::Settings;
use crate::state::BrokerState;

struct Follow(Arc<BrokerState>);

impl Follower for Follow {
    fn prepare(&mut self, change: &ImageChange) {
        let broker = &self.0;
        broker.partitions.follow(&change.new, &broker.settings.load_full(), broker.clock.now());
    }

    fn published(&mut self, change: &ImageChange) {
        self.0.partitions.remove_gone(&change.new, self.0.clock.now());
    }
}

async fn broker() -> Arc<BrokerState> {
    let broker = with_quorum().await;
    broker.quorum().unwrap().follow(Box::new(Follow(broker.clone()))).await;
    broker
}

fn append(partition: &Partition, records: usize) {
    for _ in 0..records {
        let mut builder = BatchBuilder::new();
        builder.push(Record { timestamp: Timestamp(1), key: None, value: Some(b"v"), headers: &[] });
        let how = AppendAs {
            origin: Origin::Client { produce_version: 9 },
            all_replicas: false,
            now: Timestamp(1),
        };
        partition.append(builder.finish(Codec::None, None), how, &mut Wakes::default()).unwrap();
    }
}

fn read(broker: &BrokerState, point: Point) -> BTreeMap<String, i64> {
    let disk = &broker.partitions.disk;
    let offsets = read_checkpoint(disk.fs.as_ref(), &disk.dirs[0].path, point.file()).unwrap();
    offsets.into_iter().map(|(name, offset)| (name.to_string(), offset.0)).collect()
}

fn entries(pairs: &[(&str, i64)]) -> BTreeMap<String, i64> {
    pairs.iter().map(|(name, offset)| ((*name).to_owned(), *offset)).collect()
}

#[tokio::test]
async fn each_file_tells_its_own_and_is_written_when_something_changed() {
    let broker = broker().await;
    create(&broker, &[("a", 1), ("b", 1)]).await;
    let (a, b) = (broker.partitions.get("a", 0).unwrap(), broker.partitions.get("b", 0).unwrap());
    append(&a, 5);
    append(&b, 7);
    b.sync().unwrap();
    a.delete_records(2).unwrap();
    broker.partitions.checkpoint(Point::Recovery);
    // Inside the segment whose indexes were not synced with it.
    assert_eq!(read(&broker, Point::Recovery), entries(&[("a-0", 0), ("b-0", 6)]));
    assert_eq!(read(&broker, Point::LogStart), entries(&[]), "it was not asked for");
    broker.partitions.checkpoint(Point::LogStart);
    assert_eq!(read(&broker, Point::LogStart), entries(&[("a-0", 2)]));
    broker.partitions.checkpoint(Point::HighWatermark);
    assert_eq!(read(&broker, Point::HighWatermark), entries(&[("a-0", 5), ("b-0", 7)]));
    // Nothing changed: the file is not touched.
    let disk = &broker.partitions.disk;
    disk.fs.remove_file(&disk.dirs[0].path.join(Point::HighWatermark.file())).unwrap();
    broker.partitions.checkpoint(Point::HighWatermark);
    assert_eq!(read(&broker, Point::HighWatermark), entries(&[]));
    append(&a, 1);
    broker.partitions.checkpoint(Point::HighWatermark);
    assert_eq!(read(&broker, Point::HighWatermark), entries(&[("a-0", 6), ("b-0", 7)]));
}

#[tokio::test]
async fn a_deleted_partition_leaves_the_files_at_once() {
    let broker = broker().await;
    create(&broker, &[("gone", 1), ("kept", 1)]).await;
    let gone = broker.partitions.get("gone", 0).unwrap();
    append(&gone, 5);
    gone.sync().unwrap();
    gone.delete_records(3).unwrap();
    broker.partitions.checkpoint(Point::Recovery);
    broker.partitions.checkpoint(Point::LogStart);
    assert_eq!(read(&broker, Point::Recovery), entries(&[("gone-0", 4), ("kept-0", 0)]));
    let names = kafka_protocol::protocol::StrBytes::from_static_str("gone").into();
    let request = kafka_protocol::messages::DeleteTopicsRequest::default().with_topic_names(vec![names]);
    broker.quorum().unwrap().delete_topics(request).await.unwrap();
    assert_eq!(read(&broker, Point::Recovery), entries(&[("kept-0", 0)]));
    assert_eq!(read(&broker, Point::LogStart), entries(&[]));
}

fn opened(fs: &SimFs) -> (Disk, Opened) {
    let settings = Settings::from_pairs(&[]).unwrap().storage();
    let who = Identity { node_id: BrokerId(1), cluster_id: None, fresh_cluster_id: Some("test".into()) };
    let disk = Disk::open(Arc::new(fs.clone()), &settings, &who).unwrap();
    let name = TopicPartition::new("t", 0);
    let opened = disk.open_log(&name, Uuid::from_u128(1), LogConfig::default(), Timestamp(1)).unwrap();
    (disk, opened)
}

#[test]
fn a_high_watermark_is_read_where_a_log_is_opened() {
    let fs = SimFs::new();
    let (disk, mut first) = opened(&fs);
    assert_eq!(first.high_watermark, Offset(0));
    let mut records = BatchBuilder::new();
    (0..10).for_each(|_| {
        records.push(Record { timestamp: Timestamp(1), key: None, value: Some(b"v"), headers: &[] });
    });
    first.log.append_as_follower(records.finish(Codec::None, None), Timestamp(1)).unwrap();
    let dir = disk.dirs[0].path.clone();
    let point = |offset| {
        let name = TopicPartition::new("t", 0);
        dirs::write_checkpoint(&fs, &dir, HIGH_WATERMARK_CHECKPOINT, [(&name, Offset(offset))]).unwrap();
    };
    drop((disk, first));
    for (checkpointed, expected) in [(6, 6), (99, 10)] {
        point(checkpointed);
        let (disk, again) = opened(&fs);
        let at = crate::partition::Place {
            dir: 0,
            health: disk.dirs[0].health.clone(),
            cleaner_wake: Arc::default(),
            roll_wake: Arc::default(),
            peers: crate::partition::testing::peers(1),
        };
        let rules = crate::partition::TopicRules {
            validation: again.log.config().rules(),
            min_insync_replicas: 1,
            only_compacted: false,
        };
        let name = TopicPartition::new("t", 0);
        let partition =
            Partition::new(name, Uuid::from_u128(1), at, again.log, again.high_watermark, Arc::new(rules));
        assert_eq!(partition.high_watermark(), Offset(expected));
        // A leader with others in sync waits for them; alone it commits what it has.
        let now = Timestamp(1);
        partition.follow_image(&state(1, 1, 1, &[1, 2], &[1, 2]), now).unwrap();
        assert_eq!(partition.high_watermark(), Offset(expected));
        // The other has had its time.
        partition.follow_image(&state(1, 1, 2, &[1], &[1, 2]), Timestamp(60_000)).unwrap();
        assert_eq!(partition.high_watermark(), Offset(10));
    }
    // A damaged file costs nothing but the watermark.
    fs.open(&dir.join(Path::new(HIGH_WATERMARK_CHECKPOINT)), Open::Truncate)
        .unwrap()
        .write_at(b"0\n1\nt", 0)
        .unwrap();
    assert_eq!(opened(&fs).1.high_watermark, Offset(0));
}
