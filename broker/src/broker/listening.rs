//! The sockets of a broker, and what clients are told of them.
//!
//! It must never serve a connection: a bound listener is handed on.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use milena_coordinator::image::{Endpoint, SecurityProtocol};

use super::StartError;
use crate::http::Http;
use crate::net::listener::{self, BindError, Bound, ListenerConfig, Net, Protection};
use crate::net::workers::Workers;
use crate::quorum::place::ControllerListener;
use crate::security::sasl::SaslListener;
use crate::security::{dev, server_config};
use crate::settings::{Listener, Settings, ZooKeeperSettings};
use crate::state::BrokerState;

/// What the listener of ZooKeeper's protocol is called where listeners are told.
pub(super) const ZOOKEEPER: &str = "ZOOKEEPER";

/// What the HTTP port is called there.
const HTTP: &str = "HTTP";

/// One listener that serves.
#[derive(Clone, Debug)]
pub struct Listening {
    pub name: String,
    pub bound: SocketAddr,
    /// `host:port` as clients are told; `None` for a listener that is not advertised.
    pub advertised: Option<String>,
}

pub(super) fn bind_controllers(
    listeners: Vec<Listener>,
    backlog: i32,
) -> Result<Vec<ControllerListener>, BindError> {
    let bind = |listener: Listener| {
        let bound = listener::bind(&config_of(&listener), backlog)?;
        let address = endpoint(&listener, &bound).map(|endpoint| host_and_port(&endpoint));
        Ok(ControllerListener { listener, bound, address: address.unwrap_or_default() })
    };
    listeners.into_iter().map(bind).collect()
}

/// The listener of ZooKeeper's protocol, if one is asked for.
pub(super) fn reserve_zookeeper(
    settings: &Settings,
) -> Result<Option<(ZooKeeperSettings, Bound)>, StartError> {
    let zookeeper = settings.zookeeper();
    let Some((host, port)) = zookeeper.listener.clone() else { return Ok(None) };
    let listener = ListenerConfig { name: ZOOKEEPER.into(), host, port };
    Ok(Some((zookeeper, listener::reserve(&listener)?)))
}

/// The HTTP port, if one is asked for.
pub(super) fn reserve_http(settings: &Settings) -> Result<Option<Bound>, StartError> {
    let Some((host, port)) = settings.http().listener else { return Ok(None) };
    Ok(Some(listener::reserve(&ListenerConfig { name: HTTP.into(), host, port })?))
}

/// What each listener asks of its clients. Reads keys where one speaks TLS.
pub(super) fn protect(settings: &Settings, listeners: &[Listener]) -> Result<Vec<Protection>, StartError> {
    if let Some(dir) = settings.dev_security_dir() {
        let told = listeners.iter().filter_map(|listener| listener.advertised.as_ref());
        let hosts: Vec<String> = told.map(|advertised| advertised.host.clone()).collect();
        dev::make_keys(&dir, &hosts)?;
    }
    let protection = |listener: &Listener| {
        let tls = match listener.protocol {
            SecurityProtocol::Ssl | SecurityProtocol::SaslSsl => {
                Some(server_config(&settings.tls(&listener.name))?)
            }
            SecurityProtocol::Plaintext | SecurityProtocol::SaslPlaintext => None,
        };
        let sasl = match listener.protocol {
            SecurityProtocol::SaslPlaintext | SecurityProtocol::SaslSsl => {
                Some(SaslListener::new(&settings.sasl(&listener.name))?)
            }
            SecurityProtocol::Plaintext | SecurityProtocol::Ssl => None,
        };
        Ok(Protection { tls, sasl })
    };
    listeners.iter().map(protection).collect()
}

/// Takes the ports of brokers' listeners.
pub(super) fn reserve(listeners: &[Listener]) -> Result<Vec<Bound>, BindError> {
    listeners.iter().map(|each| listener::reserve(&config_of(each))).collect()
}

/// Lets clients connect to what was reserved.
pub(super) fn listen<'a>(
    reserved: impl IntoIterator<Item = &'a Bound>,
    backlog: i32,
) -> Result<(), BindError> {
    reserved.into_iter().try_for_each(|bound| bound.listen(backlog))
}

/// Accepts on each listener from now on.
pub(super) fn serve(net: &Net, bound: Vec<Bound>, protections: &[Protection]) -> io::Result<()> {
    bound.into_iter().zip(protections).try_for_each(|(bound, protection)| net.serve(bound, protection))
}

/// Serves the HTTP port, if there is one, from the moment on when everything else is served.
pub(super) fn serve_http(
    bound: Option<Bound>,
    state: &Arc<BrokerState>,
    net: &Net,
    workers: &Arc<Workers>,
    listening: &mut Vec<Listening>,
) -> Result<Option<Http>, StartError> {
    let (Some(bound), Some(core)) = (bound, workers.handles().next()) else { return Ok(None) };
    bound.listen(state.settings.load().network().listen_backlog)?;
    listening.push(untold(HTTP, bound.address));
    Ok(Some(Http::start(bound, state.clone(), net.limits(), workers.clone(), core)?))
}

fn config_of(listener: &Listener) -> ListenerConfig {
    ListenerConfig {
        name: listener.name.as_str().into(),
        host: listener.host.clone().unwrap_or_default(),
        port: listener.port,
    }
}

/// What is told of listeners that have their ports; with `--dev-security` to clients, too, in files.
pub(super) fn tell(
    settings: &Settings,
    listeners: &[Listener],
    bound: &[Bound],
) -> Result<Vec<Listening>, StartError> {
    let listening: Vec<_> = listeners.iter().zip(bound).map(|(each, bound)| told(each, bound)).collect();
    if let Some(dir) = settings.dev_security_dir() {
        let told = listeners.iter().zip(&listening).filter_map(|(listener, listening)| {
            Some((listener.protocol.name().to_owned(), listening.advertised.clone()?))
        });
        dev::write_client_files(&dir, &told.collect::<Vec<_>>())?;
    }
    Ok(listening)
}

fn told(listener: &Listener, bound: &Bound) -> Listening {
    let endpoint = endpoint(listener, bound);
    Listening {
        name: listener.name.clone(),
        bound: bound.address,
        advertised: endpoint.map(|endpoint| host_and_port(&endpoint)),
    }
}

pub(super) fn untold(name: &str, bound: SocketAddr) -> Listening {
    Listening { name: name.to_owned(), bound, advertised: None }
}

/// What clients are told; the port that the system chose takes the place of 0.
pub(super) fn endpoint(listener: &Listener, bound: &Bound) -> Option<Endpoint> {
    let advertised = listener.advertised.as_ref()?;
    Some(Endpoint {
        listener: listener.name.clone(),
        host: advertised.host.clone(),
        port: if advertised.port == 0 { bound.address.port() } else { advertised.port },
        protocol: listener.protocol,
    })
}

pub(super) fn host_and_port(endpoint: &Endpoint) -> String {
    if endpoint.host.contains(':') {
        format!("[{}]:{}", endpoint.host, endpoint.port)
    } else {
        format!("{}:{}", endpoint.host, endpoint.port)
    }
}
