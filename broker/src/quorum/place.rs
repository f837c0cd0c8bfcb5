//! A node's place among others, from its settings: whom it dials, who may dial it, how its log begins.
//!
//! Must never let nodes of other machines in without a secret.

use std::sync::Arc;

use milena_coordinator::ensemble::{Cluster, ClusterSecret, Ensemble, Member};
use tokio::sync::watch;
use uuid::Uuid;

use super::port::{self, Dealers, NodeDialer};
use crate::net::listener::{Bound, Dealer};
use crate::settings::{Beginning, Listener, Settings};

/// Shared by nodes that were given no secret, which only link on one machine.
const NO_SECRET: &str = "milena: nodes of one machine";

/// A controller's listener that is bound.
pub struct ControllerListener {
    pub listener: Listener,
    pub bound: Bound,
    /// `host:port` under which other nodes reach it.
    pub address: String,
}

/// See the module.
pub struct Place {
    pub beginning: Beginning,
    /// None for a node that stays on its own.
    pub cluster: Option<Cluster>,
    pub only_local: bool,
    /// Where other voters reach this node; empty without a listener.
    pub address: String,
    listeners: Vec<ControllerListener>,
    dealers: watch::Sender<Option<Dealer>>,
}

impl Place {
    /// `directory` and `cluster_id` are those of the metadata log directory, the latter empty if it is new.
    #[must_use]
    pub fn of(
        settings: &Settings,
        listeners: Vec<ControllerListener>,
        directory: Uuid,
        cluster_id: &str,
    ) -> Self {
        let (node, quorum) = (settings.node(), settings.quorum());
        let own = listeners.first();
        let beginning = quorum.beginning(node.id.0, node.is_controller, own.map(|own| &own.listener));
        let only_local = quorum.secret.is_none();
        let address = own.map(|own| own.address.clone()).unwrap_or_default();
        let voters = match beginning {
            Beginning::Founder => vec![Member::at(node.id.0, address.clone())],
            Beginning::Voter | Beginning::Guest => {
                quorum.voters.iter().map(|(id, address)| Member::at(*id, address.clone())).collect()
            }
        };
        let is_alone = beginning == Beginning::Founder && listeners.is_empty();
        let cluster = (!is_alone).then(|| Cluster {
            voters,
            bootstrap: quorum.bootstrap.clone(),
            dialer: Arc::new(NodeDialer { only_local }),
            secret: ClusterSecret::new(quorum.secret.as_deref().unwrap_or(NO_SECRET)),
            directory,
            id: cluster_id.to_owned(),
            heartbeat: node.heartbeat_interval,
        });
        if only_local && beginning != Beginning::Founder {
            tracing::warn!(
                "milena.cluster.secret is not set: every program on this machine could pose as a node of this cluster"
            );
        }
        Self { beginning, cluster, only_local, address, listeners, dealers: watch::Sender::new(None) }
    }

    /// What serves the controller's listeners once the ensemble is there; Kafka's connections wait for
    /// [`Place::deal_with`].
    pub fn opening(&mut self) -> Box<dyn FnOnce(&Ensemble) + Send> {
        let sockets: Vec<_> = self.listeners.drain(..).flat_map(|each| each.bound.into_sockets()).collect();
        let (dealers, only_local): (Dealers, _) = (self.dealers.subscribe(), self.only_local);
        Box::new(move |ensemble| {
            for socket in sockets {
                if let Err(error) = port::serve(socket, ensemble.clone(), only_local, dealers.clone()) {
                    tracing::error!(%error, "a controller's listener cannot be served");
                }
            }
        })
    }

    /// Says who takes Kafka's connections.
    pub fn deal_with(&self, dealer: Dealer) {
        self.dealers.send_replace(Some(dealer));
    }
}
