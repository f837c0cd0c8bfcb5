//! The ZooKeeper client protocol on a listener of its own, so that zkCli, kazoo and the Java client can use the tree.
//!
//! A connection reads its requests in `connection`; changes go through `write` and `proposer` into the ensemble's log,
//! reads are answered by `read` from this node's tree; `hub` knows who watches what and serves which session; `sessions`
//! expires those that fell silent. The protocol is that of ZooKeeper 3.8. Not served: reconfig, SASL, quotas, read-only
//! mode. Must never decide what a change does to the tree, nor let a client write what is Kafka's.

mod admission;
mod auth;
mod connection;
mod four_letters;
mod handshake;
mod hub;
mod jute;
mod kafka_nodes;
mod mailbox;
mod op_code;
mod proposer;
mod read;
mod sessions;
mod write;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use milena_coordinator::ensemble::{Ensemble, ProposeError};
use milena_coordinator::tree::Secret;
use tokio::runtime::Handle;
use tokio::sync::watch;
use uuid::Uuid;

use self::admission::{Admission, Admitted};
use self::connection::Connection;
pub use self::hub::Hub;
use self::proposer::Proposer;
use crate::clock::Clock;
use crate::net::listener::Bound;
use crate::net::stream::{self, TcpListener, TcpStream};
use crate::quorum::Quorum;
use crate::settings::ZooKeeperSettings as Limits;
use crate::state::BrokerState;

/// Pause after a failed accept, which mostly means that the process has no descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What all connections share.
struct Shared {
    quorum: Quorum,
    ensemble: Ensemble,
    hub: Arc<Hub>,
    proposer: Arc<Proposer>,
    clock: Arc<Clock>,
    limits: Limits,
    secret: Secret,
    node: i32,
    port: AtomicU16,
}

/// What the front end needs to start.
pub struct Config {
    pub node: i32,
    pub quorum: Quorum,
    /// The one that the ensemble's observer tells.
    pub hub: Arc<Hub>,
    pub clock: Arc<Clock>,
    pub settings: Limits,
    /// Becomes the secret of session passwords if the tree has none yet: 32 random bytes.
    pub fresh_secret: [u8; 32],
}

impl Config {
    pub(crate) fn of(state: &BrokerState, quorum: &Quorum, hub: Arc<Hub>, settings: Limits) -> Self {
        Self {
            node: state.id.0,
            quorum: quorum.clone(),
            hub,
            clock: state.clock.clone(),
            settings,
            fresh_secret: random_bytes(),
        }
    }
}

/// Makes the tree's secret if there is none, ahead of [`ZooKeeper::start`], which would do it too.
pub(crate) async fn prepare(
    bound: Option<(Limits, Bound)>,
    state: &BrokerState,
    quorum: &Quorum,
    hub: Arc<Hub>,
) -> Result<Option<(Config, Bound)>, StartError> {
    let Some((settings, bound)) = bound else { return Ok(None) };
    let config = Config::of(state, quorum, hub, settings);
    secret(quorum.ensemble(), config.fresh_secret).await?;
    Ok(Some((config, bound)))
}

/// Not to be guessed: two random UUIDs after each other, of which six bits each are fixed.
pub(crate) fn random_bytes() -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[..16].copy_from_slice(&Uuid::new_v4().into_bytes());
    bytes[16..].copy_from_slice(&Uuid::new_v4().into_bytes());
    bytes
}

/// Why the front end did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("cannot serve ZooKeeper's protocol: {0}")]
    Io(#[from] io::Error),
    #[error("the secret of ZooKeeper's sessions cannot be kept: {0}")]
    Secret(#[from] ProposeError),
}

/// A running front end.
pub struct ZooKeeper {
    /// `true` ends everything.
    stop: watch::Sender<bool>,
    shared: Arc<Shared>,
}

impl ZooKeeper {
    /// Serves what is bound, with connections dealt to `cores` in turn. Must be called on the ensemble's runtime.
    pub async fn start(config: Config, bound: Bound, cores: Vec<Handle>) -> Result<Self, StartError> {
        let Config { node, quorum, hub, clock, settings, fresh_secret } = config;
        let ensemble = quorum.ensemble().clone();
        let secret = secret(&ensemble, fresh_secret).await?;
        let proposer = Arc::new(Proposer::default());
        let port = AtomicU16::new(bound.address.port());
        let admission = Admission::new(settings.connections, settings.connections_per_ip);
        let shared =
            Arc::new(Shared { quorum, ensemble, hub, proposer, clock, limits: settings, secret, node, port });
        tokio::spawn(Arc::clone(&shared.proposer).run(shared.ensemble.clone()));
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(sessions::run(Arc::clone(&shared), stopped.clone()));
        let core = cores.first().cloned().unwrap_or_else(Handle::current);
        for socket in bound.into_sockets() {
            let listener = {
                let _inside = core.enter();
                stream::listener(socket)?
            };
            let acceptor = Acceptor {
                listener,
                shared: Arc::clone(&shared),
                admission: Arc::clone(&admission),
                cores: cores.clone(),
                stopped: stopped.clone(),
            };
            core.spawn(acceptor.run());
        }
        Ok(Self { stop, shared })
    }

    /// Accepts no more and cuts every connection. Sessions stay, and can be taken up when the node is back.
    pub fn stop(&self) {
        let _ = self.stop.send(true);
        for peer in self.shared.hub.peers() {
            peer.mailbox.end();
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.shared.port.load(Ordering::Relaxed)
    }
}

/// The tree's secret, which is made if there is none.
async fn secret(ensemble: &Ensemble, fresh: [u8; 32]) -> Result<Secret, ProposeError> {
    if let Some(secret) = ensemble.with_tree(|tree| tree.secret().cloned()) {
        return Ok(secret);
    }
    ensemble.keep_secret(Secret(fresh)).await?;
    Ok(ensemble.with_tree(|tree| tree.secret().cloned()).expect("it was kept before that returned"))
}

impl Shared {
    /// What this node is to ZooKeeper's tools.
    fn mode(&self) -> &'static str {
        let quorum = self.ensemble.quorum();
        if quorum.voters.len() <= 1 && quorum.leader == Some(self.node) {
            "standalone"
        } else if quorum.leader == Some(self.node) {
            "leader"
        } else if quorum.voters.iter().any(|voter| voter.id == self.node) {
            "follower"
        } else {
            "observer"
        }
    }
}

struct Acceptor {
    listener: TcpListener,
    shared: Arc<Shared>,
    admission: Arc<Admission>,
    cores: Vec<Handle>,
    stopped: watch::Receiver<bool>,
}

impl Acceptor {
    async fn run(self) {
        let mut next = 0;
        let mut stopped = self.stopped.clone();
        loop {
            let accepted = tokio::select! {
                _ = stopped.wait_for(|stopped| *stopped) => return,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => match self.admission.admit(peer.ip()) {
                    Some(admitted) => {
                        self.deal(stream, peer, admitted, next);
                        next += 1;
                    }
                    None => tracing::warn!(%peer, "too many connections of ZooKeeper's protocol"),
                },
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection of ZooKeeper's protocol");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Moves the connection to its core, where its socket is watched too.
    fn deal(&self, stream: TcpStream, peer: SocketAddr, admitted: Admitted, next: usize) {
        let shared = Arc::clone(&self.shared);
        let Ok(stream) = stream.set_nodelay(true).and_then(|()| stream::park(stream)) else { return };
        let serve = async move {
            let _admitted = admitted;
            if let Ok(stream) = stream::unpark(stream) {
                Connection::new(shared, stream, peer).run().await;
            }
        };
        match self.cores.get(next % self.cores.len().max(1)) {
            Some(core) => drop(core.spawn(serve)),
            None => drop(tokio::spawn(serve)),
        }
    }
}
