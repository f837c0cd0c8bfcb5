//! What tests of handlers need: a caller, a context, and the way of a frame through the dispatch.
//!
//! Must never be compiled into the broker.

use std::net::Ipv4Addr;
use std::sync::Arc;

use bytes::Bytes;
use kafka_protocol::messages::CreateTopicsRequest;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::protocol::StrBytes;
use milena_coordinator::controller::FirstContent;
use milena_coordinator::image::{Endpoint, SecurityProtocol};

use super::{Caller, Cx, Dispatch, EndpointKind, Outcome, Principal};
use crate::net::frame::Chunk;
use crate::net::{Closing, Served, Service};
use crate::quorum::{Listeners, OffsetsTopic, Quorum, QuorumConfig, TransactionsTopic};
use crate::settings::Settings;
use crate::state::BrokerState;

pub(crate) fn caller() -> Caller {
    Caller {
        client_id: Some(StrBytes::from_static_str("test")),
        principal: Principal::anonymous(),
        host: Ipv4Addr::LOCALHOST.into(),
        java_host: "/127.0.0.1".into(),
        listener: "PLAINTEXT".into(),
        endpoint: EndpointKind::Broker,
        connection: 1,
        software: Arc::default(),
        sasl: None,
    }
}

pub(crate) fn cx<'a>(broker: &'a Arc<BrokerState>, caller: &'a Caller, version: i16) -> Cx<'a> {
    Cx { version, image: broker.image.load_full(), caller, now: broker.clock.now(), broker, meter: None }
}

/// A broker with the coordination service, registered on `PLAINTEXT` at 127.0.0.1:9092; nothing is on a real disk.
pub(crate) async fn with_quorum() -> Arc<BrokerState> {
    with_quorum_and(&[]).await
}

/// As [`with_quorum`], with these settings.
pub(crate) async fn with_quorum_and(settings: &[(&str, &str)]) -> Arc<BrokerState> {
    let broker = BrokerState::idle();
    broker.settings.store(Arc::new(Settings::from_pairs(settings).unwrap()));
    let quorum = Quorum::start(QuorumConfig {
        mutation_window: Settings::default().mutation_window(),
        node: broker.id,
        dir: "/ensemble".into(),
        fs: Arc::clone(&broker.partitions.disk.fs),
        clock: Arc::clone(&broker.clock),
        image: Arc::clone(&broker.image),
        rules: broker.settings.load_full(),
        followers: Vec::new(),
        seed: 1,
        expected_brokers: 1,
        rebalance_ms: None,
        unclean_ms: i64::MAX,
        offsets_topic: OffsetsTopic { partitions: 2, replication_factor: 1, ..OffsetsTopic::default() },
        watcher: None,
        cluster: None,
        on_ensemble: Box::new(|_| {}),
        session_timeout: std::time::Duration::from_secs(9),
        registration_timeout: std::time::Duration::from_secs(60),
        transactions_topic: TransactionsTopic {
            partitions: 2,
            replication_factor: 1,
            min_isr: 1,
            ..TransactionsTopic::default()
        },
    });
    let quorum = quorum.await.unwrap();
    let first = FirstContent {
        cluster_id: "AAAAAAAAAAAAAAAAAAAAAA".into(),
        features: vec![
            ("group.version".into(), 1),
            ("metadata.version".into(), 30),
            ("transaction.version".into(), 2),
        ],
        ..FirstContent::default()
    };
    quorum.bootstrap(first).await.unwrap();
    let protocol = SecurityProtocol::Plaintext;
    let endpoint = Endpoint { listener: "PLAINTEXT".into(), host: "127.0.0.1".into(), port: 9092, protocol };
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
            true,
        )
        .await
        .unwrap();
    broker.transactions.connect(quorum.clone());
    broker.quorum.set(quorum).unwrap();
    broker
}

/// Creates topics with one replica each.
pub(crate) async fn create(broker: &Arc<BrokerState>, topics: &[(&str, i32)]) {
    let topics = topics.iter().map(|(name, partitions)| {
        CreatableTopic::default()
            .with_name(StrBytes::from_string((*name).into()).into())
            .with_num_partitions(*partitions)
            .with_replication_factor(1)
    });
    let request = CreateTopicsRequest::default().with_topics(topics.collect());
    let results = broker.quorum().unwrap().create_topics(request).await.unwrap();
    assert!(results.iter().all(|result| result.error_code == 0), "{results:?}");
}

/// The answer of a handler, waited for if need be.
pub(crate) async fn answer<R>(outcome: Outcome<R>) -> R {
    match outcome {
        Outcome::Now(answer) => answer,
        Outcome::Later(future) => future.await,
        Outcome::Nothing | Outcome::Close => panic!("the handler does not answer"),
    }
}

/// What the dispatch makes of a frame.
pub(crate) fn dispatched(broker: &Arc<BrokerState>, frame: &[u8]) -> Served {
    Dispatch::new(Arc::clone(broker)).serve(&caller(), Bytes::copy_from_slice(frame))
}

/// The bytes of an answer that comes at once.
pub(crate) fn served(broker: &Arc<BrokerState>, frame: &[u8]) -> Vec<u8> {
    let Served::Now(frame) = dispatched(broker, frame) else { panic!("not answered at once") };
    frame
        .chunks
        .iter()
        .flat_map(|chunk| match chunk {
            Chunk::Bytes(bytes) => bytes.to_vec(),
            Chunk::File(_) => panic!("file data in the answer"),
        })
        .collect()
}

/// Why the dispatch closes the connection.
pub(crate) fn closed(broker: &Arc<BrokerState>, frame: &[u8]) -> Closing {
    match dispatched(broker, frame) {
        Served::Close(closing) => closing,
        _ => panic!("the connection stays open"),
    }
}
