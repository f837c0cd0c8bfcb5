//! The HTTP port: health, metrics, and what tests may do to the broker. Off unless `milena.http.listener` asks for it.
//!
//! Must never cost anything while it is off, nor serve without a limit: connections, sizes and times all have one.
//! `route` is a request and an answer, `routes` the one table, from which `openapi` describes the API.

mod clock;
mod clusters;
mod faults;
mod groups;
mod health;
pub(crate) mod local;
mod metrics;
mod openapi;
mod reset;
mod route;
mod routes;

use std::convert::Infallible;
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};

use crate::api::{Caller, Cx, EndpointKind, Principal};
use crate::net::listener::{Bound, LiveLimits};
use crate::net::stream::{self, TcpListener, TcpStream};
use crate::net::workers::Workers;
use crate::state::BrokerState;
use clusters::Clusters;
use local::LocalCluster;
use route::{Asked, Reply, Route};

/// A request's head has to come within this, and so has the next request of a connection that is kept.
const HEAD_WAIT: Duration = Duration::from_secs(30);
/// And its body within this.
const BODY_WAIT: Duration = Duration::from_secs(10);
/// What takes longer is given up: clients have gone by then.
const ANSWER_WAIT: Duration = Duration::from_secs(60);
/// The largest body: rules and names are short.
const BODY_MAX: usize = 1 << 20;
/// Bytes of a request's head.
const HEAD_MAX: usize = 16 << 10;
/// Connections of a local cluster's port.
const LOCAL_CONNECTIONS: usize = 64;
/// Pause after a failed accept, which mostly means that the process has no descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What handlers reach.
pub(crate) struct Port {
    state: Arc<BrokerState>,
    connections: LiveLimits,
    clusters: Clusters,
}

impl Port {
    /// Who asks is the broker itself.
    fn caller(&self) -> Caller {
        Caller {
            client_id: None,
            principal: Principal::anonymous(),
            host: Ipv4Addr::LOCALHOST.into(),
            listener: "".into(),
            endpoint: EndpointKind::Broker,
            java_host: "/127.0.0.1".into(),
            connection: 0,
            software: Arc::default(),
            sasl: None,
        }
    }

    fn cx<'a>(&'a self, caller: &'a Caller, version: i16) -> Cx<'a> {
        let (image, now) = (self.state.image.load_full(), self.state.clock.now());
        Cx { version, image, caller, now, broker: &self.state, meter: None }
    }
}

/// What handlers of one kind of port reach, and what it serves.
pub(crate) trait Desk: Send + Sync + Sized + 'static {
    fn routes() -> &'static [Route<Self>];
}

impl Desk for Port {
    fn routes() -> &'static [Route<Self>] {
        routes::ROUTES
    }
}

/// A running port; it ends when this is dropped.
pub struct Http {
    _stop: watch::Sender<()>,
    port: Arc<Port>,
}

impl Http {
    /// Serves on `core`, away from the thread that runs the metadata.
    pub(crate) fn start(
        bound: Bound,
        state: Arc<BrokerState>,
        connections: LiveLimits,
        workers: Arc<Workers>,
        core: &Handle,
    ) -> io::Result<Self> {
        let (stop, stopped) = watch::channel(());
        let room = Arc::new(Semaphore::new(state.settings.load().http().connections));
        let clusters = Clusters::new(workers, Handle::current());
        let port = Arc::new(Port { state, connections, clusters });
        accept(bound, &port, &room, &stopped, core)?;
        Ok(Self { _stop: stop, port })
    }

    /// Ends it, and the clusters that were made through it.
    pub(crate) async fn stop(self) {
        let Self { _stop, port } = self;
        drop(_stop);
        port.clusters.stop().await;
    }
}

/// Serves a local cluster's port on this runtime, until what is returned is dropped.
pub(crate) fn serve_local(bound: Bound, cluster: LocalCluster) -> io::Result<watch::Sender<()>> {
    let (stop, stopped) = watch::channel(());
    let room = Arc::new(Semaphore::new(LOCAL_CONNECTIONS));
    accept(bound, &Arc::new(cluster), &room, &stopped, &Handle::current())?;
    Ok(stop)
}

fn accept<D: Desk>(
    bound: Bound,
    port: &Arc<D>,
    room: &Arc<Semaphore>,
    stopped: &watch::Receiver<()>,
    core: &Handle,
) -> io::Result<()> {
    for socket in bound.into_sockets() {
        let listener = {
            let _inside = core.enter();
            stream::listener(socket)?
        };
        let (room, port) = (room.clone(), port.clone());
        core.spawn(Acceptor { listener, room, port, stopped: stopped.clone() }.run());
    }
    Ok(())
}

struct Acceptor<D> {
    listener: TcpListener,
    room: Arc<Semaphore>,
    port: Arc<D>,
    stopped: watch::Receiver<()>,
}

impl<D: Desk> Acceptor<D> {
    async fn run(self) {
        let mut stopped = self.stopped.clone();
        loop {
            let room = self.room.clone();
            let accepted = tokio::select! {
                // Nothing is ever sent: the sender is gone.
                _ = stopped.changed() => return,
                accepted = async { (room.acquire_owned().await, self.listener.accept().await) } => accepted,
            };
            match accepted {
                (Ok(permit), Ok((stream, _))) => {
                    let (port, mut stopped) = (self.port.clone(), self.stopped.clone());
                    tokio::spawn(async move {
                        let _permit = permit;
                        tokio::select! {
                            _ = stopped.changed() => {}
                            () = serve(stream, port) => {}
                        }
                    });
                }
                (_, Err(error)) => {
                    tracing::warn!(%error, "cannot accept a connection of the HTTP port");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
                (Err(_), _) => return,
            }
        }
    }
}

async fn serve<D: Desk>(stream: TcpStream, port: Arc<D>) {
    let answer = service_fn(move |request| {
        let port = port.clone();
        async move { Ok::<_, Infallible>(respond(port, request).await) }
    });
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEAD_WAIT).max_buf_size(HEAD_MAX);
    if let Err(error) = server.serve_connection(TokioIo::new(stream), answer).await {
        tracing::debug!(%error, "a connection of the HTTP port was lost");
    }
}

async fn respond<D: Desk>(port: Arc<D>, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let is_head = request.method() == Method::HEAD;
    let reply = match read(request).await {
        Ok((route, asked)) => {
            let handled = tokio::time::timeout(ANSWER_WAIT, (route.handle)(port, asked)).await;
            handled.unwrap_or_else(|_| Reply::problem(StatusCode::GATEWAY_TIMEOUT, "it takes too long"))
        }
        Err(refused) => refused,
    };
    let mut response = Response::builder()
        .status(reply.status)
        .header(header::CONTENT_TYPE, reply.kind)
        .header(header::CACHE_CONTROL, "no-store");
    if let Some(allowed) = &reply.allowed {
        response = response.header(header::ALLOW, allowed);
    }
    if is_head {
        response = response.header(header::CONTENT_LENGTH, reply.body.len());
    }
    let body = if is_head { Bytes::new() } else { Bytes::from(reply.body) };
    response.body(Full::new(body)).expect("every header is plain text")
}

/// The route of a request and what it asks; or the answer that refuses it.
async fn read<D: Desk>(request: Request<Incoming>) -> Result<(&'static Route<D>, Asked), Reply> {
    let (head, body) = request.into_parts();
    let (route, path) = route::find(D::routes(), &head.method, head.uri.path())?;
    // A page in somebody's browser may send requests to a loopback address; browsers say where such a page is from.
    if route.method != Method::GET && head.headers.contains_key(header::ORIGIN) {
        let why = "requests of web pages change nothing here";
        return Err(Reply::problem(StatusCode::FORBIDDEN, why));
    }
    let read = tokio::time::timeout(BODY_WAIT, Limited::new(body, BODY_MAX).collect()).await;
    let body = match read {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) => return Err(Reply::problem(StatusCode::PAYLOAD_TOO_LARGE, &error.to_string())),
        Err(_) => return Err(Reply::problem(StatusCode::REQUEST_TIMEOUT, "the body does not come")),
    };
    Ok((route, Asked { path, body }))
}

#[cfg(test)]
mod tests;
