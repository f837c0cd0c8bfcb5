//! Connections to other brokers for single requests, kept for the next one.
//!
//! It must never keep a connection on which something failed, nor ask twice by itself: the request may have been carried out.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use kafka_protocol::protocol::Request;
use milena_coordinator::image::MetadataImage;
use milena_storage::ids::BrokerId;
use parking_lot::Mutex;

use super::fetcher::endpoint_of;
use super::peer::{Peer, PeerError};
use crate::settings::Settings;

/// Idle connections kept for each broker; requests beyond them open their own.
const IDLE_MAX: usize = 4;

#[derive(Debug)]
pub struct PeerPool {
    local: BrokerId,
    image: Arc<ArcSwap<MetadataImage>>,
    settings: Arc<ArcSwap<Settings>>,
    idle: Mutex<HashMap<BrokerId, Vec<Idle>>>,
}

/// A connection, to the process of that broker epoch.
#[derive(Debug)]
struct Idle {
    epoch: i64,
    peer: Peer,
}

impl PeerPool {
    #[must_use]
    pub fn new(
        local: BrokerId,
        image: Arc<ArcSwap<MetadataImage>>,
        settings: Arc<ArcSwap<Settings>>,
    ) -> Arc<Self> {
        Arc::new(Self { local, image, settings, idle: Mutex::default() })
    }

    /// Asks a broker, on its listener for brokers.
    pub async fn ask<R: Request>(
        &self,
        broker: BrokerId,
        version: i16,
        request: &R,
    ) -> Result<R::Response, PeerError> {
        let settings = self.settings.load().replication();
        let image = self.image.load_full();
        let unknown = || PeerError::Malformed("the broker is not registered".into());
        let epoch = image.broker(broker).ok_or_else(unknown)?.epoch;
        let kept = self.idle.lock().get_mut(&broker).and_then(Vec::pop).filter(|idle| idle.epoch == epoch);
        let mut peer = match kept {
            Some(idle) => idle.peer,
            None => {
                let endpoint =
                    endpoint_of(&image, broker, &settings.inter_broker_listener).ok_or_else(unknown)?;
                let id = format!("broker-{}", self.local);
                Peer::connect(endpoint, id, settings.socket_timeout).await?
            }
        };
        let answer = peer.ask(version, request).await?;
        let mut idle = self.idle.lock();
        let kept = idle.entry(broker).or_default();
        if kept.len() < IDLE_MAX {
            kept.push(Idle { epoch, peer });
        }
        Ok(answer)
    }
}
