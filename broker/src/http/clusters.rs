//! `/v1/clusters`: fresh, empty clusters in this process, each of one broker on a port of its own, dropped on request.
//!
//! Must never let two of them share anything but threads.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::StatusCode;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::sleep;

use super::Port;
use super::route::{Asked, Reply};
use crate::api::BoxFuture;
use crate::broker::Broker;
use crate::net::workers::Workers;
use crate::resident;

/// Clusters at a time: each has a port and some dozens of descriptors.
const CLUSTERS_MAX: usize = 256;
/// Memory of dropped clusters is given back after the first of these, when others that are dropped too are gone, and after the second, when
/// the runtimes have ended the threads that these made for files: each keeps some.
const GIVE_BACK_AFTER: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(11)];

/// Those that run.
pub(super) struct Clusters {
    running: Mutex<BTreeMap<u64, Broker>>,
    last_id: AtomicU64,
    workers: Arc<Workers>,
    /// The runtime that their metadata runs on, which lives as long as this broker.
    home: Handle,
    dropped: watch::Sender<()>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    /// By Kafka's names.
    #[serde(default)]
    settings: BTreeMap<String, String>,
}

#[derive(Serialize)]
struct Told {
    id: u64,
    cluster_id: String,
    bootstrap_servers: String,
}

#[derive(Serialize)]
struct All {
    clusters: Vec<Told>,
}

impl Clusters {
    pub(super) fn new(workers: Arc<Workers>, home: Handle) -> Self {
        let dropped = watch::Sender::new(());
        let runtimes = workers.handles().chain([&home]).cloned().collect();
        home.spawn(give_back(dropped.subscribe(), runtimes));
        Self { running: Mutex::default(), last_id: AtomicU64::new(0), workers, home, dropped }
    }

    /// Stops all of them, for the end of this broker.
    pub(super) async fn stop(&self) {
        let running = std::mem::take(&mut *self.running.lock());
        for broker in running.into_values() {
            stop_one(broker).await;
        }
    }

    async fn start(&self, settings: BTreeMap<String, String>) -> Result<Told, String> {
        let workers = self.workers.clone();
        let started = self.home.spawn(async move {
            let pairs: Vec<(&str, &str)> =
                settings.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
            Broker::ephemeral_among(workers, &pairs).await.map_err(|error| error.to_string())
        });
        let broker = started.await.map_err(|error| error.to_string())??;
        let id = self.last_id.fetch_add(1, Ordering::Relaxed) + 1;
        let told = told(id, &broker);
        self.running.lock().insert(id, broker);
        Ok(told)
    }
}

/// What dropped clusters held is free then, but the allocator keeps it for later: megabytes after a hundred of them. The code that
/// starts and drops them stays mapped besides.
async fn give_back(mut dropped: watch::Receiver<()>, runtimes: Vec<Handle>) {
    while dropped.changed().await.is_ok() {
        for wait in GIVE_BACK_AFTER {
            sleep(wait).await;
            resident::give_heap_back(&runtimes).await;
        }
        if let Err(error) = resident::give_code_back() {
            tracing::debug!("the code of dropped clusters stays mapped: {error}");
        }
    }
}

/// Stopping a broker stops those that were made through it, each of which might have some of its own.
fn stop_one(broker: Broker) -> BoxFuture<()> {
    Box::pin(broker.stop())
}

fn told(id: u64, broker: &Broker) -> Told {
    Told { id, cluster_id: broker.cluster_id(), bootstrap_servers: broker.bootstrap_servers() }
}

pub(super) fn create(port: Arc<Port>, asked: Asked) -> BoxFuture<Reply> {
    Box::pin(async move {
        let wish: Wish = match asked.json() {
            Ok(wish) => wish,
            Err(refused) => return refused,
        };
        if port.clusters.running.lock().len() >= CLUSTERS_MAX {
            let what = format!("there are {CLUSTERS_MAX} clusters; drop some");
            return Reply::problem(StatusCode::CONFLICT, &what);
        }
        match port.clusters.start(wish.settings).await {
            Ok(told) => Reply::json(StatusCode::CREATED, &told),
            Err(what) => Reply::problem(StatusCode::BAD_REQUEST, &what),
        }
    })
}

pub(super) fn list(port: Arc<Port>, _: Asked) -> BoxFuture<Reply> {
    Box::pin(async move {
        let running = port.clusters.running.lock();
        let clusters = running.iter().map(|(id, broker)| told(*id, broker)).collect();
        Reply::json(StatusCode::OK, &All { clusters })
    })
}

pub(super) fn drop_one(port: Arc<Port>, asked: Asked) -> BoxFuture<Reply> {
    Box::pin(async move {
        let id: Option<u64> = asked.path.first().and_then(|id| id.parse().ok());
        let broker = id.and_then(|id| Some((id, port.clusters.running.lock().remove(&id)?)));
        let Some((id, broker)) = broker else {
            return Reply::problem(StatusCode::NOT_FOUND, "there is no such cluster");
        };
        let told = told(id, &broker);
        match port.clusters.home.spawn(stop_one(broker)).await {
            Ok(()) => {
                port.clusters.dropped.send_replace(());
                Reply::json(StatusCode::OK, &told)
            }
            Err(error) => Reply::problem(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
        }
    })
}
