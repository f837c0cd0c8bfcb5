//! The group machine as the shards' runtime drives it.
//!
//! Must never keep an image: each step looks at the one that handlers see.

use std::sync::Arc;

use arc_swap::ArcSwap;
use milena_coordinator::group::records::WireError;
use milena_coordinator::group::{ChangedTopics, GroupConfig, GroupShard, Input, Reply, TimerKey};
use milena_coordinator::image::MetadataImage;
use milena_storage::ids::{ProducerId, Timestamp};

use super::machine::{Effects, Machine};

/// One partition of `__consumer_offsets`.
#[derive(Debug)]
pub struct GroupMachine {
    shard: GroupShard,
    image: Arc<ArcSwap<MetadataImage>>,
}

/// What each of them is made of.
#[derive(Clone, Debug)]
pub struct GroupSetup {
    pub config: GroupConfig,
    pub image: Arc<ArcSwap<MetadataImage>>,
    /// `group.coordinator.rebalance.protocols` lists `consumer`.
    pub consumer_protocol: bool,
}

impl Machine for GroupMachine {
    type Settings = GroupSetup;
    type Input = Input;
    type Reply = Reply;
    type Timer = TimerKey;
    type Order = std::convert::Infallible;

    fn fresh(settings: &GroupSetup) -> Self {
        Self { shard: GroupShard::new(settings.config.clone()), image: settings.image.clone() }
    }

    fn step(&mut self, now: Timestamp, input: Input) -> Effects<Self> {
        let output = self.shard.step(now, &self.image.load(), input);
        Effects {
            records: output.records,
            transaction: output.transaction,
            replies: output.replies,
            orders: Vec::new(),
            timers: output.timers,
        }
    }

    fn apply(
        &mut self,
        producer: Option<ProducerId>,
        key: &[u8],
        value: Option<&[u8]>,
    ) -> Result<(), WireError> {
        match producer {
            None => self.shard.apply(key, value),
            Some(producer) => self.shard.apply_in_transaction(producer, key, value),
        }
    }

    fn end_transaction(&mut self, producer: ProducerId, commit: bool) {
        self.shard.end_transaction(producer, commit);
    }

    fn fired(timer: TimerKey) -> Input {
        Input::Timer(timer)
    }

    fn loaded() -> Input {
        Input::Loaded
    }

    fn may_share(input: &Input) -> bool {
        matches!(input, Input::Request(..) | Input::Timer(_))
    }

    fn topics_changed(changed: &ChangedTopics) -> Option<Input> {
        Some(Input::TopicsChanged(changed.clone()))
    }
}
