//! The coordination service end to end in one process: requests in, images and followers out.
//!
//! Must never wait for time: every step has something to await.

use std::collections::BTreeSet;
use std::sync::mpsc;
use std::time::Duration;

use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::{CreateTopicsRequest, DeleteTopicsRequest};
use kafka_protocol::protocol::StrBytes;
use milena_coordinator::controller::{EffectiveConfig, FirstContent};
use milena_coordinator::image::{ConfigKind, Configs, Endpoint, SecurityProtocol};
use milena_coordinator::tree::SessionId;
use milena_storage::ids::ProducerId;

use super::*;

struct AnythingGoes;

impl ConfigRules for AnythingGoes {
    fn check(&self, _: ConfigKind, _: &str, _: &Configs, _: &Configs) -> Result<(), Refusal> {
        Ok(())
    }

    fn is_list(&self, _: ConfigKind, _: &str) -> Option<bool> {
        Some(false)
    }

    fn default_text(&self, _: ConfigKind, _: &str) -> Option<String> {
        None
    }

    fn topic_configs(&self, _: &MetadataImage, _: &Configs) -> Vec<EffectiveConfig> {
        Vec::new()
    }

    fn default_partitions(&self) -> i32 {
        3
    }

    fn default_replication_factor(&self) -> i16 {
        1
    }
}

/// Tells what it was told, and whether handlers saw the new image at that moment.
struct Recorder {
    seen: mpsc::Sender<(&'static str, BTreeSet<String>, bool)>,
    image: Arc<ArcSwap<MetadataImage>>,
}

impl Recorder {
    fn record(&self, when: &'static str, change: &ImageChange) {
        let topics = change.delta.topics.iter().map(|name| name.to_string()).collect();
        let visible = self.image.load().zxid == change.new.zxid;
        self.seen.send((when, topics, visible)).unwrap();
    }
}

impl Follower for Recorder {
    fn prepare(&mut self, change: &ImageChange) {
        self.record("prepare", change);
    }

    fn published(&mut self, change: &ImageChange) {
        self.record("published", change);
    }
}

struct Stage {
    quorum: Quorum,
    image: Arc<ArcSwap<MetadataImage>>,
    told: mpsc::Receiver<(&'static str, BTreeSet<String>, bool)>,
    dir: tempfile::TempDir,
}

async fn stage() -> Stage {
    start(tempfile::tempdir().unwrap(), true).await
}

async fn start(dir: tempfile::TempDir, clean: bool) -> Stage {
    let image: Arc<ArcSwap<MetadataImage>> = Arc::default();
    let (seen, told) = mpsc::channel();
    let quorum = Quorum::start(QuorumConfig {
        mutation_window: crate::settings::Settings::default().mutation_window(),
        node: BrokerId(1),
        dir: dir.path().join("ensemble"),
        fs: Arc::new(milena_storage::fs::RealFs),
        clock: Arc::new(Clock::new()),
        image: Arc::clone(&image),
        rules: Arc::new(AnythingGoes),
        followers: vec![Box::new(Recorder { seen, image: Arc::clone(&image) })],
        seed: 1,
        expected_brokers: 1,
        rebalance_ms: None,
        unclean_ms: i64::MAX,
        offsets_topic: OffsetsTopic { partitions: 4, replication_factor: 1, ..OffsetsTopic::default() },
        watcher: None,
        cluster: None,
        on_ensemble: Box::new(|_| {}),
        session_timeout: std::time::Duration::from_secs(9),
        registration_timeout: std::time::Duration::from_secs(60),
        transactions_topic: TransactionsTopic {
            partitions: 4,
            replication_factor: 1,
            min_isr: 1,
            ..TransactionsTopic::default()
        },
    })
    .await
    .unwrap();
    let first = FirstContent {
        cluster_id: "AAAAAAAAAAAAAAAAAAAAAA".into(),
        features: vec![("metadata.version".into(), 30)],
        ..FirstContent::default()
    };
    quorum.bootstrap(first).await.unwrap();
    let endpoint = Endpoint {
        listener: "PLAINTEXT".into(),
        host: "127.0.0.1".into(),
        port: 9092,
        protocol: SecurityProtocol::Plaintext,
    };
    quorum
        .register(
            Listeners {
                endpoints: vec![endpoint],
                rack: None,
                directory: None,
                log_dirs: Vec::new(),
                cordoned: false,
                features: milena_coordinator::controller::supported_features(),
            },
            clean,
        )
        .await
        .unwrap();
    while told.try_recv().is_ok() {}
    Stage { quorum, image, told, dir }
}

fn topic(name: &str) -> CreatableTopic {
    CreatableTopic::default()
        .with_name(StrBytes::from_string(name.into()).into())
        .with_num_partitions(-1)
        .with_replication_factor(-1)
}

#[tokio::test]
async fn a_registered_broker_is_in_the_image_and_controls() {
    let stage = stage().await;
    let image = stage.image.load();
    assert_eq!(image.cluster_id.as_ref(), "AAAAAAAAAAAAAAAAAAAAAA");
    assert_eq!(image.controller, Some(BrokerId(1)));
    assert_eq!(image.broker(BrokerId(1)).unwrap().endpoints[0].port, 9092);
    assert_eq!(image.features.levels["metadata.version"], 30);
}

#[tokio::test]
async fn a_controller_whose_session_has_ended_is_named_again() {
    let stage = stage().await;
    let before = stage.image.load().controller_epoch;
    let ensemble = stage.quorum.ensemble();
    let owner = ensemble.with_tree(|tree| tree.stat("/controller").unwrap().ephemeral_owner);
    ensemble.close_session(SessionId(owner)).await.unwrap();
    let waited = async {
        while stage.quorum.newest_image().controller.is_none() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), waited).await.expect("the controller is named again");
    assert_eq!(stage.quorum.newest_image().controller, Some(BrokerId(1)));
    assert!(stage.quorum.newest_image().controller_epoch > before);
    // And it decides.
    stage.quorum.allocate_producer_ids().await.unwrap();
}

#[tokio::test]
async fn a_broker_that_nobody_asks_for_anything_stays_registered() {
    let stage = stage().await;
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(3600)).await;
    tokio::time::resume();
    // A session that has expired would be ended before this is decided.
    tokio::task::yield_now().await;
    stage.quorum.allocate_producer_ids().await.unwrap();
    stage.quorum.allocate_producer_ids().await.unwrap();
    assert!(stage.image.load().broker(BrokerId(1)).is_some());
}

#[tokio::test]
async fn an_answered_topic_is_published_and_followers_were_ready_first() {
    let stage = stage().await;
    let request = CreateTopicsRequest::default().with_topics(vec![topic("a"), topic("b"), topic("a/b")]);
    let codes: Vec<_> =
        stage.quorum.create_topics(request).await.unwrap().iter().map(|r| r.error_code).collect();
    assert_eq!(codes, [0, 0, 17]);
    assert_eq!(stage.image.load().topic("a").unwrap().partition_count(), 3);
    let both: BTreeSet<_> = ["a".to_owned(), "b".to_owned()].into();
    assert_eq!(stage.told.try_recv(), Ok(("prepare", both.clone(), false)));
    assert_eq!(stage.told.try_recv(), Ok(("published", both, true)));
    assert!(stage.told.try_recv().is_err(), "one round for one request");
    let request =
        DeleteTopicsRequest::default().with_topic_names(vec![StrBytes::from_static_str("a").into()]);
    assert_eq!(stage.quorum.delete_topics(request).await.unwrap()[0].error_code, 0);
    assert!(stage.image.load().topic("a").is_none());
}

#[tokio::test]
async fn of_many_requests_for_one_name_one_creates_it() {
    let stage = stage().await;
    let asks = (0..50).map(|_| {
        let quorum = stage.quorum.clone();
        tokio::spawn(async move {
            let request = CreateTopicsRequest::default().with_topics(vec![topic("t")]);
            quorum.create_topics(request).await.unwrap()[0].error_code
        })
    });
    let mut codes = Vec::new();
    for ask in asks.collect::<Vec<_>>() {
        codes.push(ask.await.unwrap());
    }
    codes.sort_unstable();
    assert_eq!((codes[0], &codes[1..]), (0, &[36; 49][..]));
}

#[tokio::test]
async fn the_offsets_topic_is_made_with_its_own_partitions_and_configs() {
    let stage = stage().await;
    stage.quorum.ensure_topic("__consumer_offsets").await.unwrap();
    stage.quorum.ensure_topic("__consumer_offsets").await.unwrap();
    let image = stage.image.load();
    assert_eq!(image.topic("__consumer_offsets").unwrap().partition_count(), 4);
    let configs = image.topic_config("__consumer_offsets").unwrap();
    assert_eq!(
        (configs["cleanup.policy"].as_str(), configs["segment.bytes"].as_str()),
        ("compact", "104857600")
    );
}

#[tokio::test]
async fn topics_asked_for_by_metadata_come_into_being_behind_its_back() {
    let stage = stage().await;
    stage.quorum.auto_create(["x", "y", "not/allowed", "x"].into_iter());
    stage.quorum.auto_create(["y"].into_iter());
    // Decisions are taken in the order of the calls, so this one is answered after those.
    stage.quorum.create_topics(CreateTopicsRequest::default().with_topics(vec![topic("z")])).await.unwrap();
    let names: Vec<_> = stage.image.load().topics().map(|t| t.name.to_string()).collect();
    assert_eq!(names, ["x", "y", "z"]);
}

#[tokio::test]
async fn producer_id_blocks_never_overlap() {
    let stage = stage().await;
    for block in 0..3 {
        assert_eq!(stage.quorum.allocate_producer_ids().await.unwrap(), ProducerId(block * 1000));
    }
}

#[tokio::test]
async fn a_follower_that_comes_later_sees_everything_first() {
    let stage = stage().await;
    stage.quorum.create_topics(CreateTopicsRequest::default().with_topics(vec![topic("t")])).await.unwrap();
    while stage.told.try_recv().is_ok() {}
    let (seen, told) = mpsc::channel();
    stage.quorum.follow(Box::new(Recorder { seen, image: Arc::clone(&stage.image) })).await;
    stage.quorum.create_topics(CreateTopicsRequest::default().with_topics(vec![topic("u")])).await.unwrap();
    let told: Vec<_> =
        told.try_iter().map(|(when, topics, _)| (when, topics.into_iter().collect::<Vec<_>>())).collect();
    assert_eq!(told[..2], [("prepare", vec!["t".to_owned()]), ("published", vec!["t".to_owned()])]);
    assert_eq!(told[2..], [("prepare", vec!["u".to_owned()]), ("published", vec!["u".to_owned()])]);
}

#[tokio::test]
async fn after_the_stop_no_registration_is_left() {
    let stage = stage().await;
    let ensemble = stage.quorum.ensemble().clone();
    stage.quorum.stop().await;
    assert!(
        ensemble
            .with_tree(|tree| tree.stat("/brokers/ids/1").is_none() && tree.stat("/controller").is_none())
    );
}

#[tokio::test]
async fn a_restart_finds_everything_and_an_unclean_one_raises_leader_epochs() {
    let stage = stage().await;
    stage.quorum.create_topics(CreateTopicsRequest::default().with_topics(vec![topic("t")])).await.unwrap();
    stage.quorum.allocate_producer_ids().await.unwrap();
    let before = stage.image.load_full();
    stage.quorum.stop().await;
    let mut dir = stage.dir;
    for (clean, leader_epoch) in [(true, 0), (false, 1)] {
        let stage = start(dir, clean).await;
        let image = stage.image.load_full();
        assert_eq!(image.cluster_id, before.cluster_id);
        assert_eq!(image.topic("t").unwrap().id, before.topic("t").unwrap().id);
        assert!(image.topic("t").unwrap().partitions.iter().all(|p| p.leader_epoch.0 == leader_epoch));
        assert!(image.broker(BrokerId(1)).unwrap().epoch > before.broker(BrokerId(1)).unwrap().epoch);
        assert!(image.controller_epoch > before.controller_epoch);
        assert_eq!(image.next_producer_id, 1000);
        stage.quorum.stop().await;
        dir = stage.dir;
    }
}
