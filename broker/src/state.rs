//! What every handler can reach: one value per broker, handles only.
//!
//! Must never hold logic; a broker is a value, so nothing here may be global to the process.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::api::api_versions::EncodedVersions;
use crate::clock::Clock;

/// Handles of one running broker.
#[derive(Debug)]
pub struct BrokerState {
    pub clock: Clock,
    /// The newest metadata image; taken once per request by the dispatch.
    pub image: ArcSwap<MetadataImage>,
    /// Answers to ApiVersions, encoded once per version and feature epoch.
    pub encoded_versions: EncodedVersions,
}

/// Stands in until the coordinator's image is here.
#[derive(Debug, Default)]
pub struct MetadataImage {}

impl BrokerState {
    #[must_use]
    pub fn new(clock: Clock) -> Arc<Self> {
        Arc::new(Self { clock, image: ArcSwap::default(), encoded_versions: EncodedVersions::default() })
    }
}
