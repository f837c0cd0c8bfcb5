//! What differs between two images, by name.
//!
//! Must never hold the parts themselves: who cares looks them up in the older and the newer image.

use std::collections::BTreeSet;
use std::sync::Arc;

use milena_storage::ids::BrokerId;

use super::{ConfigKind, ConfigResource, MetadataImage};

/// Names of the parts that may differ. A part named here can be the same after all, and one created and deleted
/// between the images is in neither.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delta {
    pub topics: BTreeSet<Arc<str>>,
    pub configs: BTreeSet<ConfigResource>,
    pub brokers: BTreeSet<BrokerId>,
    pub features: bool,
    /// Quotas of clients.
    pub quotas: bool,
}

impl Delta {
    /// Everything that an image holds, for whoever sees it first.
    #[must_use]
    pub fn everything(image: &MetadataImage) -> Self {
        let configs =
            |kind| image.configs(kind).map(move |(name, _)| ConfigResource::new(kind, name.as_ref()));
        Self {
            topics: image.topics().map(|topic| Arc::clone(&topic.name)).collect(),
            configs: ConfigKind::ALL.into_iter().flat_map(configs).collect(),
            brokers: image.brokers.keys().copied().collect(),
            features: true,
            quotas: image.quotas().is_some(),
        }
    }

    /// What differs after both.
    pub fn merge(&mut self, mut later: Self) {
        self.topics.append(&mut later.topics);
        self.configs.append(&mut later.configs);
        self.brokers.append(&mut later.brokers);
        self.features |= later.features;
        self.quotas |= later.quotas;
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        let is_empty = self.topics.is_empty() && self.configs.is_empty() && self.brokers.is_empty();
        is_empty && !self.features && !self.quotas
    }
}
