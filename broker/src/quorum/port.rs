//! A controller's listener: links of other nodes and Kafka's protocol arrive on one port, told apart by the first byte.
//!
//! Without a secret only nodes of this machine may link. Must never read what belongs to whoever serves the connection.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use milena_coordinator::ensemble::{Dialer, Dialled, Ensemble, MAGIC, Stream};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use crate::net::listener::Dealer;
use crate::net::stream::{self, Reserved, TcpStream};

/// Pause after a failed accept, which mostly means that the process has no descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long a connection may say nothing before it has to have shown what it is.
const SILENCE: Duration = Duration::from_secs(10);
/// Connections that have said nothing yet.
const MAX_SILENT: usize = 256;

/// Who takes Kafka's connections, once there is somebody.
pub type Dealers = watch::Receiver<Option<Dealer>>;

/// Serves a controller's listener. Must be called on the runtime that shall run it.
pub fn serve(socket: Reserved, ensemble: Ensemble, only_local: bool, dealers: Dealers) -> io::Result<()> {
    let listener = stream::listener(socket)?;
    let port = Arc::new(Port { ensemble, only_local, dealers, silent: Semaphore::new(MAX_SILENT) });
    tokio::spawn(async move {
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => {
                    tokio::spawn(Arc::clone(&port).meet(stream, peer));
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection of the quorum");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    });
    Ok(())
}

struct Port {
    ensemble: Ensemble,
    only_local: bool,
    dealers: Dealers,
    silent: Semaphore,
}

impl Port {
    async fn meet(self: Arc<Self>, mut stream: TcpStream, peer: SocketAddr) {
        let first = {
            let Ok(_silent) = self.silent.try_acquire() else { return };
            let mut first = [0];
            match timeout(SILENCE, stream::peek(&mut stream, &mut first)).await {
                Ok(Ok(1)) => first[0],
                _ => return,
            }
        };
        // As the first byte of a length it would be beyond every limit.
        if first == MAGIC[0] {
            return self.link(stream, peer).await;
        }
        let mut dealers = self.dealers.clone();
        let Ok(dealer) = dealers.wait_for(Option::is_some).await.map(|dealer| dealer.clone()) else { return };
        if let Some(dealer) = dealer {
            dealer.deal(stream, peer.ip());
        }
    }

    async fn link(&self, stream: TcpStream, peer: SocketAddr) {
        if self.only_local && !peer.ip().to_canonical().is_loopback() {
            tracing::warn!(%peer, "a node of another machine is not linked: milena.cluster.secret is not set");
            return;
        }
        let _ = stream.set_nodelay(true);
        if let Err(error) = self.ensemble.accept(Box::new(stream)).await {
            tracing::warn!(%peer, %error, "a node was not linked");
        }
    }
}

/// Dials other nodes over TCP.
#[derive(Clone, Copy, Debug)]
pub struct NodeDialer {
    /// There is no secret.
    pub only_local: bool,
}

impl Dialer for NodeDialer {
    fn dial(&self, address: &str) -> Dialled {
        let (address, only_local) = (address.to_owned(), self.only_local);
        Box::pin(async move {
            let stream = stream::connect_to(&address).await?;
            if only_local && !stream.peer_addr()?.ip().to_canonical().is_loopback() {
                let what = format!("{address} is another machine, and milena.cluster.secret is not set");
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, what));
            }
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as Box<dyn Stream>)
        })
    }
}
