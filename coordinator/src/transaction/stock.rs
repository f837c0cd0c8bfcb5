//! Fresh producer ids at hand: a machine cannot allocate them, and few steps need one.
//!
//! Must never give an id away twice.

use kafka_protocol::error::ResponseError;
use milena_storage::ids::ProducerId;

/// More than this are never needed at once; what is brought beyond it is given up, as a crash gives up its block.
const CAPACITY: usize = 4;

#[derive(Debug, Default)]
pub(super) struct Stock {
    ids: Vec<ProducerId>,
}

impl Stock {
    pub(super) fn add(&mut self, id: ProducerId) {
        if self.ids.len() < CAPACITY {
            self.ids.push(id);
        }
    }

    /// # Errors
    /// COORDINATOR_LOAD_IN_PROGRESS when there is none, as Kafka's `RPCProducerIdManager` between two blocks.
    pub(super) fn take(&mut self) -> Result<ProducerId, ResponseError> {
        self.ids.pop().ok_or(ResponseError::CoordinatorLoadInProgress)
    }
}
