//! A host that runs a broker: the real one, on a disk in memory, with sockets of the simulated network.
//!
//! Must never do anything for the broker that a process would not do.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use milena_storage::fs::SimFs;
use tokio::sync::Notify;

use super::client::PORT;
use super::shared::Shared;
use crate::Broker;
use crate::settings::Settings;

const CONTROLLER_PORT: u16 = 9093;
/// Brokers that vote; any further ones observe.
const VOTERS: i32 = 3;

#[derive(Clone)]
pub(super) struct Node {
    pub(super) id: i32,
    pub(super) disk: SimFs,
    pub(super) shared: Shared,
    /// Asks the process to stop by itself.
    pub(super) stop: Rc<Notify>,
    /// By how much the machine's clock is wrong, in milliseconds.
    pub(super) skew_ms: Rc<Cell<i64>>,
}

/// What a process ends with.
pub(super) type Ended = Result<(), Box<dyn std::error::Error>>;

fn settings(id: i32) -> Result<Settings, String> {
    let voters: Vec<String> = (1..=VOTERS).map(|id| format!("{id}@b{id}:{CONTROLLER_PORT}")).collect();
    let votes = id <= VOTERS;
    let roles = if votes { "broker,controller" } else { "broker" };
    let plaintext = format!("PLAINTEXT://:{PORT}");
    let listeners = if votes { format!("{plaintext},CONTROLLER://:{CONTROLLER_PORT}") } else { plaintext };
    let mut advertised = format!("PLAINTEXT://b{id}:{PORT}");
    if votes {
        advertised.push_str(&format!(",CONTROLLER://b{id}:{CONTROLLER_PORT}"));
    }
    let (id, voters) = (id.to_string(), voters.join(","));
    Settings::from_pairs(&[
        ("node.id", &id),
        ("process.roles", roles),
        ("controller.quorum.voters", &voters),
        ("controller.listener.names", "CONTROLLER"),
        ("milena.cluster.secret", "between simulated brokers"),
        ("listeners", &listeners),
        ("advertised.listeners", &advertised),
        ("listener.security.protocol.map", "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT"),
        ("log.dirs", "/data/log"),
        ("num.recovery.threads.per.data.dir", "1"),
        ("min.insync.replicas", "2"),
        ("default.replication.factor", "3"),
        ("offsets.topic.replication.factor", "3"),
        ("offsets.topic.num.partitions", "2"),
        ("transaction.state.log.replication.factor", "3"),
        ("transaction.state.log.min.isr", "2"),
        ("transaction.state.log.num.partitions", "2"),
        ("broker.session.timeout.ms", "3000"),
        ("broker.heartbeat.interval.ms", "500"),
        ("replica.lag.time.max.ms", "2000"),
        ("replica.socket.timeout.ms", "3000"),
        ("replica.fetch.wait.max.ms", "300"),
        ("group.consumer.session.timeout.ms", "5000"),
        ("group.consumer.min.session.timeout.ms", "5000"),
        ("group.consumer.heartbeat.interval.ms", "1000"),
        ("group.consumer.min.heartbeat.interval.ms", "1000"),
        ("leader.imbalance.check.interval.seconds", "5"),
        // Or a broker whose clock is behind would refuse what clients send, as Kafka's does.
        ("log.message.timestamp.after.max.ms", "604800000"),
    ])
}

impl Node {
    pub(super) fn host(&self) -> String {
        format!("b{}", self.id)
    }

    /// The life of one process.
    pub(super) async fn run(self) -> Ended {
        let settings = settings(self.id)?;
        match Broker::start_on(Arc::new(self.disk.clone()), settings).await {
            Ok(broker) => {
                self.shared.note(|| format!("b{} runs", self.id));
                broker.state().clock.skew(self.skew_ms.get());
                self.shared.started(self.id, broker.state().clone());
                tokio::select! {
                    biased;
                    () = self.stop.notified() => {
                        self.shared.stopped(self.id);
                        broker.stop().await;
                        self.shared.note(|| format!("b{} has stopped", self.id));
                    }
                    () = broker.failed() => {
                        self.shared.fault(format!("b{} gave itself up", self.id));
                    }
                }
            }
            Err(error) => self.shared.note(|| format!("b{} does not start: {error}", self.id)),
        }
        self.shared.stopped(self.id);
        Ok(())
    }
}
