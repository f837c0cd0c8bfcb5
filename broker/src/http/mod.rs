//! The HTTP port: health, metrics, and what tests may do to the broker. Off unless `milena.http.listener` asks for it.
//!
//! Must never cost anything while it is off, nor serve without a limit: connections, sizes and times all have one.
//! `route` is a request and an answer, `routes` the one table, from which `openapi` describes the API.

mod clock;
mod health;
mod metrics;
mod openapi;
mod route;
mod routes;

use std::convert::Infallible;
use std::io;
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

use crate::net::listener::{Bound, LiveLimits};
use crate::net::stream::{self, TcpListener, TcpStream};
use crate::state::BrokerState;
use route::{Asked, Reply};

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
/// Pause after a failed accept, which mostly means that the process has no descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What handlers reach.
pub(crate) struct Port {
    state: Arc<BrokerState>,
    connections: LiveLimits,
}

/// A running port; it ends when this is dropped.
#[derive(Debug)]
pub struct Http {
    _stop: watch::Sender<()>,
}

impl Http {
    /// Serves on `core`, away from the thread that runs the metadata.
    pub(crate) fn start(
        bound: Bound,
        state: Arc<BrokerState>,
        connections: LiveLimits,
        core: &Handle,
    ) -> io::Result<Self> {
        let (stop, stopped) = watch::channel(());
        let room = Arc::new(Semaphore::new(state.settings.load().http().connections));
        let port = Arc::new(Port { state, connections });
        for socket in bound.into_sockets() {
            let listener = {
                let _inside = core.enter();
                stream::listener(socket)?
            };
            let acceptor =
                Acceptor { listener, room: room.clone(), port: port.clone(), stopped: stopped.clone() };
            core.spawn(acceptor.run());
        }
        Ok(Self { _stop: stop })
    }
}

struct Acceptor {
    listener: TcpListener,
    room: Arc<Semaphore>,
    port: Arc<Port>,
    stopped: watch::Receiver<()>,
}

impl Acceptor {
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

async fn serve(stream: TcpStream, port: Arc<Port>) {
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

async fn respond(port: Arc<Port>, request: Request<Incoming>) -> Response<Full<Bytes>> {
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
async fn read(request: Request<Incoming>) -> Result<(&'static route::Route, Asked), Reply> {
    let (head, body) = request.into_parts();
    let (route, path) = route::find(routes::ROUTES, &head.method, head.uri.path())?;
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
