//! What a node is, and what replication and transactions get.

use std::time::Duration;

use milena_storage::ids::BrokerId;

use super::super::Settings;
use super::QuotaWindow;

/// Who this node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeSettings {
    pub id: BrokerId,
    pub rack: Option<String>,
    /// For a new data directory; a directory that has an id keeps it.
    pub cluster_id: Option<String>,
    pub is_broker: bool,
    pub is_controller: bool,
    pub session_timeout: Duration,
    pub heartbeat_interval: Duration,
}

/// Replication and leadership.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicationSettings {
    pub lag_time_max: Duration,
    pub fetchers: usize,
    pub fetch_max_bytes: usize,
    pub fetch_min_bytes: usize,
    pub fetch_wait_max: Duration,
    pub fetch_response_max_bytes: usize,
    pub fetch_backoff: Duration,
    pub socket_timeout: Duration,
    /// Bytes per second of throttled replicas (KIP-73).
    pub leader_throttled_rate: i64,
    pub follower_throttled_rate: i64,
    pub throttle_window: QuotaWindow,
    /// The listener that brokers use among themselves.
    pub inter_broker_listener: String,
    pub auto_leader_rebalance: bool,
    pub leader_imbalance_check_interval: Duration,
    pub unclean_election_interval_ms: i64,
}

/// Producers and transactions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionSettings {
    pub topic_partitions: i32,
    pub topic_replication_factor: i16,
    /// The operator has set it.
    pub topic_replication_given: bool,
    pub topic_min_isr: i32,
    pub topic_segment_bytes: i32,
    /// `request.timeout.ms`: how long an answer waits for its records to be committed.
    pub commit_timeout: Duration,
    pub max_timeout: Duration,
    pub id_expiration: Duration,
    pub abort_check_interval: Duration,
    pub remove_expired_interval: Duration,
    pub load_buffer_bytes: usize,
    pub verify_partitions: bool,
    pub two_phase_commit: bool,
    pub producer_id_expiration: Duration,
    pub producer_id_expiration_check_interval: Duration,
}

impl ReplicationSettings {
    /// How often leadership goes back to where it is preferred; `None` for never.
    pub fn rebalance_ms(&self) -> Option<i64> {
        let every = i64::try_from(self.leader_imbalance_check_interval.as_millis()).unwrap_or(i64::MAX);
        self.auto_leader_rebalance.then_some(every)
    }
}

impl Settings {
    /// Brokers that there will be when all voters of both roles run; 0 where nothing is known of them.
    pub fn expected_brokers(&self) -> usize {
        let node = self.node();
        if node.is_broker && node.is_controller { self.quorum().voters.len() } else { 0 }
    }

    pub fn node(&self) -> NodeSettings {
        let roles = self.list("process.roles");
        let has = |role: &str| roles.is_empty() || roles.iter().any(|one| one == role);
        NodeSettings {
            id: BrokerId(self.int("node.id")),
            rack: self.text("broker.rack").filter(|rack| !rack.is_empty()),
            cluster_id: self.text("cluster.id").filter(|id| !id.is_empty()),
            is_broker: has("broker"),
            is_controller: has("controller"),
            // Kafka takes zero and less, with which no broker lives.
            session_timeout: self.millis("broker.session.timeout.ms").max(Duration::from_millis(1)),
            heartbeat_interval: self.millis("broker.heartbeat.interval.ms").max(Duration::from_millis(1)),
        }
    }

    pub fn replication(&self) -> ReplicationSettings {
        let imbalance_seconds = u64::try_from(self.long("leader.imbalance.check.interval.seconds"));
        ReplicationSettings {
            lag_time_max: self.millis("replica.lag.time.max.ms"),
            fetchers: self.count("num.replica.fetchers"),
            fetch_max_bytes: self.count("replica.fetch.max.bytes"),
            fetch_min_bytes: self.count("replica.fetch.min.bytes"),
            fetch_wait_max: self.millis("replica.fetch.wait.max.ms"),
            fetch_response_max_bytes: self.count("replica.fetch.response.max.bytes"),
            fetch_backoff: self.millis("replica.fetch.backoff.ms"),
            socket_timeout: self.millis("replica.socket.timeout.ms"),
            leader_throttled_rate: self.long("leader.replication.throttled.rate"),
            follower_throttled_rate: self.long("follower.replication.throttled.rate"),
            throttle_window: QuotaWindow {
                samples: self.count("replication.quota.window.num"),
                sample_ms: self.long("replication.quota.window.size.seconds").saturating_mul(1000),
            },
            inter_broker_listener: self.connections().inter_broker_listener,
            auto_leader_rebalance: self.boolean("auto.leader.rebalance.enable"),
            leader_imbalance_check_interval: Duration::from_secs(imbalance_seconds.unwrap_or_default()),
            unclean_election_interval_ms: self.long("unclean.leader.election.interval.ms"),
        }
    }

    pub fn transactions(&self) -> TransactionSettings {
        TransactionSettings {
            topic_partitions: self.int("transaction.state.log.num.partitions"),
            topic_replication_factor: self.short("transaction.state.log.replication.factor"),
            topic_replication_given: self.given().contains_key("transaction.state.log.replication.factor"),
            topic_min_isr: self.int("transaction.state.log.min.isr"),
            topic_segment_bytes: self.int("transaction.state.log.segment.bytes"),
            commit_timeout: self.millis("request.timeout.ms"),
            max_timeout: self.millis("transaction.max.timeout.ms"),
            id_expiration: self.millis("transactional.id.expiration.ms"),
            abort_check_interval: self.millis("transaction.abort.timed.out.transaction.cleanup.interval.ms"),
            remove_expired_interval: self
                .millis("transaction.remove.expired.transaction.cleanup.interval.ms"),
            load_buffer_bytes: self.count("transaction.state.log.load.buffer.size"),
            verify_partitions: self.boolean("transaction.partition.verification.enable"),
            two_phase_commit: self.boolean("transaction.two.phase.commit.enable"),
            producer_id_expiration: self.millis("producer.id.expiration.ms"),
            producer_id_expiration_check_interval: self.millis("producer.id.expiration.check.interval.ms"),
        }
    }
}
