//! The transaction machine as the shards' runtime drives it.
//!
//! Must never keep an image: the level of `transaction.version` is looked up at each step.

use std::sync::Arc;

use arc_swap::ArcSwap;
use milena_coordinator::group::records::WireError;
use milena_coordinator::image::MetadataImage;
use milena_coordinator::transaction::{
    Input, MarkerOrder, Reply, TimerKey, TransactionConfig, TransactionShard,
};
use milena_storage::ids::{ProducerId, Timestamp};

use crate::shard::{Effects, Machine};

/// One partition of `__transaction_state`.
#[derive(Debug)]
pub struct TransactionMachine {
    shard: TransactionShard,
    image: Arc<ArcSwap<MetadataImage>>,
}

/// What each of them is made of.
#[derive(Debug)]
pub struct TransactionSetup {
    pub config: TransactionConfig,
    pub image: Arc<ArcSwap<MetadataImage>>,
}

/// What a transaction machine wants carried out.
#[derive(Debug)]
pub enum Order {
    Mark(MarkerOrder),
    FetchProducerId,
}

impl Machine for TransactionMachine {
    type Settings = TransactionSetup;
    type Input = Input;
    type Reply = Reply;
    type Timer = TimerKey;
    type Order = Order;

    fn fresh(settings: &TransactionSetup) -> Self {
        Self { shard: TransactionShard::new(settings.config.clone()), image: settings.image.clone() }
    }

    fn step(&mut self, now: Timestamp, input: Input) -> Effects<Self> {
        let version = super::version(&self.image.load());
        let output = self.shard.step(now, version, input);
        let wanted = output.wants_producer_id.then_some(Order::FetchProducerId);
        Effects {
            records: output.records,
            transaction: None,
            replies: output.replies,
            orders: output.orders.into_iter().map(Order::Mark).chain(wanted).collect(),
            timers: output.timers,
        }
    }

    /// Nobody writes these records in a transaction.
    fn apply(
        &mut self,
        _producer: Option<ProducerId>,
        key: &[u8],
        value: Option<&[u8]>,
    ) -> Result<(), WireError> {
        self.shard.apply(key, value)
    }

    fn end_transaction(&mut self, _producer: ProducerId, _commit: bool) {}

    fn fired(timer: TimerKey) -> Input {
        Input::Timer(timer)
    }

    fn loaded() -> Input {
        Input::Loaded
    }
}
