//! Binds listeners and deals accepted connections to the cores that serve them.
//!
//! Must never read from a connection: its task does, on the core that it was dealt to.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use milena_coordinator::image::ClientQuotas;
use rustls::ServerConfig;
use thiserror::Error;
use tokio::sync::{Notify, Semaphore};
use tracing::{debug, warn};

use super::Service;
use super::addresses::AddressRates;
use super::connection::{Connection, Moving};
use super::connections::Connections;
use super::cores::Cores;
use super::inbox::Inbox;
use super::limits::FrameMemory;
use super::quiet::Gate;
use super::stream::{self, Reserved, TcpListener, TcpStream};
use super::tls::{Refused, TlsStream};
use super::transport::Transport;
use super::workers::Workers;
use crate::api::context::{Caller, EndpointKind, Principal, java_address};
use crate::security::sasl::{Sasl, SaslListener};
use crate::settings::{ConnectionSettings, NetworkSettings};

/// Memory for large requests when the settings do not limit it: five of the largest that Kafka allows.
const FRAME_MEMORY: usize = 512 << 20;
/// The socket buffers that Kafka sets by default. They are small enough to slow a connection down and cannot grow,
/// so this value means "the system's choice" here.
const KAFKA_BUFFER: usize = 100 << 10;
/// The send buffer of clients on this machine, which are never far enough away to need more. What is on its way then stays in the processor's
/// cache: with the system's choice, 64 consumers cost twice as much a byte. Smaller ones, as Kafka's, slow a single consumer down (measured).
pub(super) const NEAR_BUFFER: usize = 200 << 10;
/// Pause after a failed accept, which mostly means that the process has no descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Refused connections that are kept waiting at a time; more are closed at once, so that they leave descriptors to others.
const MAX_LATE: usize = 256;
/// How long a TLS handshake may take. Kafka gives it as long as a connection may be idle.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// A listener as configured: `name://host:port`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListenerConfig {
    pub name: Arc<str>,
    /// Empty or a wildcard address: all interfaces, IPv6 and IPv4.
    pub host: String,
    /// 0: the system chooses.
    pub port: u16,
}

impl fmt::Display for ListenerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}", self.name, self.host, self.port)
    }
}

/// What a client of a listener has to do before it is served; by default nothing.
#[derive(Clone, Default, Debug)]
pub struct Protection {
    pub tls: Option<Arc<ServerConfig>>,
    pub sasl: Option<Arc<SaslListener>>,
}

/// Why a listener could not be bound.
#[derive(Debug, Error)]
pub enum BindError {
    #[error("listener {listener}: port {port} is in use already; stop who holds it or change `listeners`")]
    InUse { listener: ListenerConfig, port: u16 },
    #[error("listener {listener}: the host has no address: {source}")]
    Host { listener: ListenerConfig, source: io::Error },
    #[error("listener {listener}: cannot listen on {address}: {source}")]
    Other { listener: ListenerConfig, address: SocketAddr, source: io::Error },
}

/// A bound listener: nobody answers yet, and clients are refused until it listens.
#[derive(Debug)]
pub struct Bound {
    config: ListenerConfig,
    sockets: Vec<Reserved>,
    /// Where it listens, with the port that the system chose.
    pub address: SocketAddr,
}

/// All listeners and connections of a broker.
pub struct Net {
    pub(super) shared: Arc<Shared>,
}

/// What connections share.
pub(super) struct Shared {
    pub(super) service: Arc<dyn Service>,
    pub(super) max_idle: Option<Duration>,
    pub(super) stop: Notify,
    pub(super) gate: Gate,
    stopping: AtomicBool,
    /// How long answers may take once the broker stops; set when it does.
    grace: OnceLock<Duration>,
    memory: FrameMemory,
    pub(super) max_frame: usize,
    /// As configured.
    send_buffer: Option<usize>,
    receive_buffer: Option<usize>,
    connections: Arc<Connections>,
    /// How long who failed to authenticate is kept waiting.
    pub(super) failed_authentication: Duration,
    /// For connections that are to be closed late.
    late: Arc<Semaphore>,
    next_connection: AtomicU64,
    pub(super) cores: Cores,
}

impl Shared {
    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    pub(super) fn stop_grace(&self) -> Duration {
        self.grace.get().copied().unwrap_or_default()
    }
}

/// Binds a listener that clients may connect to at once.
pub fn bind(listener: &ListenerConfig, backlog: i32) -> Result<Bound, BindError> {
    let bound = reserve(listener)?;
    bound.listen(backlog)?;
    Ok(bound)
}

/// Takes a listener's port, so that it is known before anything else of the broker runs. Clients are refused there: one that waited
/// for a broker that is not ready could not ask another meanwhile.
pub fn reserve(listener: &ListenerConfig) -> Result<Bound, BindError> {
    let addresses = addresses(listener)?;
    let mut sockets: Vec<Reserved> = Vec::new();
    let mut port = listener.port;
    for mut address in addresses {
        address.set_port(port);
        match stream::reserve(address) {
            Ok(socket) => {
                port = socket.local_addr().map_err(|source| other(listener, address, source))?.port();
                sockets.push(socket);
            }
            // A name may have an address of a family that this machine does not speak.
            Err(_) if !sockets.is_empty() => debug!(%listener, %address, "address left out"),
            Err(source) if source.kind() == io::ErrorKind::AddrInUse => {
                return Err(BindError::InUse { listener: listener.clone(), port: address.port() });
            }
            Err(source) => return Err(other(listener, address, source)),
        }
    }
    let first = sockets.first().expect("addresses are never empty, and the first one bound");
    let address = first
        .local_addr()
        .map_err(|source| other(listener, SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)), source))?;
    Ok(Bound { config: listener.clone(), sockets, address })
}

impl Bound {
    /// Lets clients connect; they wait for an answer until somebody serves.
    pub fn listen(&self, backlog: i32) -> Result<(), BindError> {
        let listener = || self.config.clone();
        for socket in &self.sockets {
            stream::listen(socket, backlog).map_err(|error| match error.kind() {
                // Another process took it, too, and was faster.
                io::ErrorKind::AddrInUse => {
                    BindError::InUse { listener: listener(), port: self.address.port() }
                }
                _ => BindError::Other { listener: listener(), address: self.address, source: error },
            })?;
        }
        Ok(())
    }

    /// The sockets, for whoever accepts by itself.
    pub fn into_sockets(self) -> Vec<Reserved> {
        self.sockets
    }
}

/// Deals connections of one listener to the cores.
#[derive(Clone)]
pub struct Dealer {
    name: Arc<str>,
    endpoint: EndpointKind,
    protection: Protection,
    shared: Arc<Shared>,
}

impl Net {
    /// Nothing listens yet; bound listeners are added by [`Net::serve`].
    #[must_use]
    pub fn new(settings: &NetworkSettings, service: Arc<dyn Service>, workers: &Workers) -> Self {
        let memory = settings.queued_max_bytes.unwrap_or(FRAME_MEMORY);
        let shared = Shared {
            service,
            max_idle: settings.connections.max_idle,
            stop: Notify::new(),
            gate: Gate::default(),
            stopping: AtomicBool::new(false),
            grace: OnceLock::new(),
            memory: FrameMemory::new(memory, settings.request_max_bytes),
            max_frame: settings.request_max_bytes,
            send_buffer: settings.send_buffer_bytes,
            receive_buffer: settings.receive_buffer_bytes.filter(|size| *size != KAFKA_BUFFER),
            connections: Connections::new(&settings.connections),
            failed_authentication: settings.failed_authentication_delay,
            late: Arc::new(Semaphore::new(MAX_LATE)),
            next_connection: AtomicU64::new(0),
            cores: Cores::new(workers.cores()),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Accepts from now on.
    pub fn serve(&self, bound: Bound, protection: &Protection) -> io::Result<()> {
        for socket in bound.sockets {
            let core = self.shared.cores.first();
            let _inside = core.handle.enter();
            let listener = stream::listener(socket)?;
            let dealer = self.dealer(&bound.config.name, EndpointKind::Broker);
            let dealer = Dealer { protection: protection.clone(), ..dealer };
            core.handle.spawn(Acceptor { listener, dealer }.run());
        }
        Ok(())
    }

    /// For a listener in plaintext whose connections somebody else accepts.
    #[must_use]
    pub fn dealer(&self, name: &Arc<str>, endpoint: EndpointKind) -> Dealer {
        self.shared.connections.add_listener(name);
        Dealer {
            name: Arc::clone(name),
            endpoint,
            protection: Protection::default(),
            shared: Arc::clone(&self.shared),
        }
    }

    /// Open connections.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.connections.open()
    }

    /// What changes the limits on connections while they are served.
    #[must_use]
    pub fn limits(&self) -> LiveLimits {
        LiveLimits(Arc::clone(&self.shared.connections))
    }

    /// Stops accepting and reading at once; answers that are started may take until `grace` is over.
    pub async fn stop(&self, grace: Duration) {
        // The first stop decides; a second one waits for the same end.
        let _ = self.shared.grace.set(grace);
        self.shared.stopping.store(true, Ordering::Release);
        self.shared.stop.notify_waiters();
        // Every connection ends by itself when the grace is over; the second is for scheduling them.
        let _ = tokio::time::timeout(grace + Duration::from_secs(1), self.shared.connections.empty()).await;
    }
}

/// Sets the limits on connections of a running broker.
#[derive(Clone, Debug)]
pub struct LiveLimits(Arc<Connections>);

impl LiveLimits {
    /// They hold when this returns. May block, where an exception names a host.
    pub fn set(&self, settings: &ConnectionSettings) {
        self.0.set(settings);
    }

    /// Connections per second of addresses hold when this returns. May block, where one is the name of a host.
    pub fn set_quotas(&self, quotas: Option<&ClientQuotas>) {
        self.0.set_address_rates(AddressRates::of(quotas));
    }

    /// Open connections of each listener, for metrics.
    #[must_use]
    pub fn open(&self) -> Vec<(Arc<str>, usize)> {
        self.0.by_listener()
    }
}

struct Acceptor {
    listener: TcpListener,
    dealer: Dealer,
}

impl Acceptor {
    async fn run(self) {
        let stop = self.dealer.shared.stop.notified();
        tokio::pin!(stop);
        stop.as_mut().enable();
        if self.dealer.shared.is_stopping() {
            return;
        }
        tokio::select! {
            () = stop => {}
            () = self.accept_all() => {}
        }
    }

    async fn accept_all(&self) {
        loop {
            match self.listener.accept().await {
                Ok((stream, peer)) => {
                    self.dealer.wait_for_turn().await;
                    self.dealer.deal(stream, peer.ip());
                }
                Err(error) => {
                    warn!(listener = %self.dealer.name, %error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

impl Dealer {
    /// While one client waits for its turn the others wait in the backlog, as in Kafka.
    async fn wait_for_turn(&self) {
        let connections = &self.shared.connections;
        let pause = connections.pace(&self.name, self.shared.service.uptime());
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        connections.room(&self.name).await;
    }

    /// Hands a connection to a core, where it stays until others have less to do.
    pub fn deal(&self, stream: TcpStream, ip: IpAddr) {
        let ip = ip.to_canonical();
        let now = self.shared.service.uptime();
        if let Some(pause) = self.shared.connections.too_fast(ip, now) {
            self.refuse_late(stream, pause);
            return;
        }
        let Some(counted) = self.shared.connections.admit(&self.name, ip, now) else {
            if let Some(left_out) = self.shared.gate.pass(self.shared.service.uptime()) {
                let left_out = (left_out > 0).then_some(left_out);
                warn!(peer = %ip, listener = %self.name, left_out, "too many connections from this address");
            }
            return;
        };
        if let Err(error) = self.prepare(&stream, ip) {
            debug!(peer = %ip, %error, "cannot set socket options");
        }
        // The socket leaves this core's event queue and enters the other's.
        let Ok(parked) = Transport::Plain(stream).park() else { return };
        let place = self.shared.cores.deal();
        let caller = Caller {
            client_id: None,
            principal: Principal::anonymous(),
            host: ip,
            java_host: java_address(ip).into(),
            listener: Arc::clone(&self.name),
            endpoint: self.endpoint,
            connection: self.shared.next_connection.fetch_add(1, Ordering::Relaxed),
            software: Arc::default(),
            sasl: self.protection.sasl.as_ref().map(Sasl::new),
        };
        let life = Arc::clone(counted.life());
        let tls = self.protection.tls.clone();
        let core = self.shared.cores.core(&place).clone();
        let inbox = Inbox::new(core.pool, caller.connection, self.shared.memory.clone());
        let moving = Moving { parked, caller, shared: Arc::clone(&self.shared), inbox, place, counted };
        life.served_by(|| core.handle.spawn(connect(moving, tls)).abort_handle());
    }

    /// Kafka, too, keeps a connection that came too soon waiting before it closes it, so that its client does not come again at once.
    fn refuse_late(&self, stream: TcpStream, pause: Duration) {
        let Ok(waiting) = Arc::clone(&self.shared.late).try_acquire_owned() else { return };
        tokio::spawn(async move {
            tokio::time::sleep(pause).await;
            drop((stream, waiting));
        });
    }

    pub(super) fn prepare(&self, stream: &TcpStream, ip: IpAddr) -> io::Result<()> {
        let near = stream.local_addr().is_ok_and(|own| own.ip().to_canonical() == ip);
        stream::set_options(stream, send_buffer(self.shared.send_buffer, near), self.shared.receive_buffer)
    }
}

/// What is configured, unless it is Kafka's default: then `None` for the system's choice, and what is enough on this machine.
fn send_buffer(configured: Option<usize>, near: bool) -> Option<usize> {
    if configured == Some(KAFKA_BUFFER) { near.then_some(NEAR_BUFFER) } else { configured }
}

/// Serves a connection on the core that this runs on, after a handshake where it has yet to be made.
pub(super) async fn connect(moving: Moving, tls: Option<Arc<ServerConfig>>) {
    let Moving { parked, caller, shared, inbox, place, counted } = moving;
    let transport = match (parked.unpark(), tls) {
        // In a box, so that connections in plaintext have no room for it.
        (Ok(Transport::Plain(stream)), Some(config)) => {
            match Box::pin(shake_hands(stream, config, &caller, &shared)).await {
                Some(tls) => Transport::Tls(Box::new(tls)),
                None => return,
            }
        }
        (Ok(transport), _) => transport,
        (Err(error), _) => {
            warn!(peer = %caller.host, %error, "cannot register a connection");
            return;
        }
    };
    Connection::new(transport, caller, shared, inbox, place, counted).run().await;
}

/// Who does it wrong is kept waiting, like everybody who fails to authenticate (`Selector.pollSelectionKeys`).
async fn shake_hands(
    stream: TcpStream,
    config: Arc<ServerConfig>,
    caller: &Caller,
    shared: &Shared,
) -> Option<TlsStream> {
    let stop = shared.stop.notified();
    tokio::pin!(stop);
    stop.as_mut().enable();
    if shared.is_stopping() {
        return None;
    }
    let shaking = async {
        let Refused { error, socket } =
            match tokio::time::timeout(HANDSHAKE, TlsStream::accept(stream, config)).await {
                Ok(Ok(tls)) => return Some(tls),
                Ok(Err(refused)) => refused,
                Err(_) => {
                    debug!(peer = %caller.host, listener = %caller.listener, "no TLS handshake in time");
                    return None;
                }
            };
        if let Some(left_out) = shared.gate.pass(shared.service.uptime()) {
            let left_out = (left_out > 0).then_some(left_out);
            warn!(peer = %caller.host, listener = %caller.listener, left_out, "TLS handshake failed: {error}");
        }
        tokio::time::sleep(shared.failed_authentication).await;
        drop(socket);
        None
    };
    tokio::select! {
        () = stop => None,
        tls = shaking => tls,
    }
}

/// The addresses of a host; for a wildcard the one that takes both families, as Java binds it.
fn addresses(listener: &ListenerConfig) -> Result<Vec<SocketAddr>, BindError> {
    let host = listener.host.trim_start_matches('[').trim_end_matches(']');
    let ip: Option<IpAddr> = host.parse().ok();
    if host.is_empty() || ip.is_some_and(|ip| ip.is_unspecified()) {
        let both: IpAddr = Ipv6Addr::UNSPECIFIED.into();
        let four: IpAddr = Ipv4Addr::UNSPECIFIED.into();
        let wildcard = if speaks_ipv6() { both } else { four };
        return Ok(vec![SocketAddr::new(wildcard, listener.port)]);
    }
    if let Some(ip) = ip {
        return Ok(vec![SocketAddr::new(ip, listener.port)]);
    }
    let found = (host, listener.port).to_socket_addrs().map(Iterator::collect::<Vec<_>>);
    let none = || io::Error::from(io::ErrorKind::AddrNotAvailable);
    let mut found = found
        .and_then(|found| if found.is_empty() { Err(none()) } else { Ok(found) })
        .map_err(|source| BindError::Host { listener: listener.clone(), source })?;
    // IPv4 first: it is the address that gets reported.
    found.sort_by_key(|address| !address.is_ipv4());
    found.dedup();
    Ok(found)
}

fn speaks_ipv6() -> bool {
    stream::reserve(SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0))).is_ok()
}

fn other(listener: &ListenerConfig, address: SocketAddr, source: io::Error) -> BindError {
    BindError::Other { listener: listener.clone(), address, source }
}
