//! What keeps in step with the image from the beginning: settings, partitions, the machines of internal topics.
//!
//! Must never decide anything: followers do what the image says.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::cleaner::Cleaner;
use crate::clock::Clock;
use crate::live_settings::FollowSettings;
use crate::partition::set::Partitions;
use crate::quorum::{Follower, ImageChange};
use crate::settings::Settings;
use crate::shard::{ShardFollower, Shards};
use crate::transactions::Transactions;

/// All of them, in the order in which they are told: partitions need the settings, machines the partitions.
pub(super) fn first(
    settings: FollowSettings,
    partitions: FollowPartitions,
    groups: &Arc<Shards>,
    transactions: &Transactions,
) -> Vec<Box<dyn Follower>> {
    vec![
        Box::new(settings),
        Box::new(partitions),
        Box::new(ShardFollower(groups.clone())),
        Box::new(ShardFollower(transactions.shards.clone())),
    ]
}

/// Logs are there before handlers see their partitions, and go after handlers saw them gone.
pub(super) struct FollowPartitions {
    partitions: Arc<Partitions>,
    cleaner: Arc<Cleaner>,
    settings: Arc<ArcSwap<Settings>>,
    clock: Arc<Clock>,
}

impl FollowPartitions {
    pub(super) fn new(
        partitions: &Arc<Partitions>,
        cleaner: &Arc<Cleaner>,
        settings: &Arc<ArcSwap<Settings>>,
        clock: &Arc<Clock>,
    ) -> Self {
        let (partitions, cleaner) = (partitions.clone(), cleaner.clone());
        Self { partitions, cleaner, settings: settings.clone(), clock: clock.clone() }
    }
}

impl Follower for FollowPartitions {
    fn prepare(&mut self, change: &ImageChange) {
        let gone = self.partitions.follow(&change.new, &self.settings.load_full(), self.clock.now());
        self.cleaner.forget(&gone);
    }

    fn published(&mut self, change: &ImageChange) {
        let gone = self.partitions.remove_gone(&change.new, self.clock.now());
        self.cleaner.forget(&gone);
    }
}
