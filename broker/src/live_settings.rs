//! Settings that are changed while the broker runs: the view that everybody asks, and those who keep a value of it.
//!
//! Must never decide what may be changed: the controller's rules have checked it. Logs are reconfigured by
//! `Partitions::follow`, which is told of each new view.

use std::sync::Arc;

use arc_swap::ArcSwap;
use milena_coordinator::image::{ConfigKind, MetadataImage};
use milena_storage::ids::BrokerId;

use crate::net::listener::LiveLimits;
use crate::partition::set::Partitions;
use crate::partition::throttle::Side;
use crate::quorum::{Follower, ImageChange};
use crate::settings::Settings;

/// Keeps the view in step with the image: what operators set at run time lies in the tree.
pub struct FollowSettings {
    broker: BrokerId,
    settings: Arc<ArcSwap<Settings>>,
}

impl FollowSettings {
    #[must_use]
    pub fn new(broker: BrokerId, settings: Arc<ArcSwap<Settings>>) -> Self {
        Self { broker, settings }
    }
}

impl Follower for FollowSettings {
    fn prepare(&mut self, change: &ImageChange) {
        let version = |image: &MetadataImage, name: &str| image.config_version(ConfigKind::Broker, name);
        let own = self.broker.0.to_string();
        let changed = ["", &own].iter().any(|name| version(&change.old, name) != version(&change.new, name));
        if changed {
            self.settings.store(Arc::new(self.settings.load().with_image(&change.new)));
        }
    }
}

/// Hands changed values to those who keep them. Has to stand behind [`FollowSettings`].
pub struct LiveSettings {
    settings: Arc<ArcSwap<Settings>>,
    /// The view whose values are in force; none has been handed on yet.
    in_force: Option<Arc<Settings>>,
    connections: LiveLimits,
    partitions: Arc<Partitions>,
}

impl LiveSettings {
    #[must_use]
    pub fn new(
        settings: Arc<ArcSwap<Settings>>,
        connections: LiveLimits,
        partitions: Arc<Partitions>,
    ) -> Self {
        Self { settings, in_force: None, connections, partitions }
    }
}

impl Follower for LiveSettings {
    fn prepare(&mut self, change: &ImageChange) {
        if change.delta.quotas {
            self.connections.set_quotas(change.new.quotas().map(AsRef::as_ref));
        }
        let settings = self.settings.load_full();
        if self.in_force.as_ref().is_some_and(|in_force| Arc::ptr_eq(in_force, &settings)) {
            return;
        }
        self.connections.set(&settings.connections());
        self.partitions.disk.cordon(&settings.storage().cordoned_dirs);
        self.partitions.moved_wake.notify_one();
        let replication = settings.replication();
        let throttles = &self.partitions.peers.throttles;
        throttles.set(Side::Leader, replication.leader_throttled_rate, replication.throttle_window);
        throttles.set(Side::Follower, replication.follower_throttled_rate, replication.throttle_window);
        self.in_force = Some(settings);
    }
}
