//! A small blocking client: any broker, a certain broker, the leader of a partition, the coordinator of a group.
//!
//! Must never give up on what may pass before the call's time is up, nor try again what may have been done twice to harm.

mod connection;
mod login;
mod offsets;
mod properties;
mod refused;
mod secure;
mod stream;

use std::collections::BTreeMap;
use std::io;
use std::thread;
use std::time::Duration;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::MetadataResponseTopic;
use kafka_protocol::messages::{
    ApiVersionsResponse, BrokerId, DescribeClusterRequest, DescribeClusterResponse, FindCoordinatorRequest,
    MetadataRequest, MetadataResponse, TopicName,
};
use kafka_protocol::protocol::{Request, StrBytes};

use crate::clock::Clock;
use connection::Connection;
pub(super) use offsets::{EARLIEST, LATEST, NO_OFFSET, Partition};
use properties::Connecting;
pub(super) use properties::{Properties, wrong};
pub(super) use refused::Refused;

/// Connecting takes no longer than Kafka's clients let it (`socket.connection.setup.timeout.ms`).
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// What DescribeCluster calls controllers.
const CONTROLLERS: i8 = 2;

/// Which broker is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum At {
    /// Whichever answers.
    Any,
    Node(i32),
    /// The one that metadata call the controller.
    Controller,
}

/// A broker, as metadata name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    pub id: i32,
    pub host: String,
    pub port: i32,
    pub rack: Option<String>,
}

/// Why one attempt came to nothing.
enum Missed {
    /// Worth another one.
    Io(io::Error),
    Refused(Refused),
}

impl From<io::Error> for Missed {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<Refused> for Missed {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

pub(super) struct Client {
    connecting: Connecting,
    clock: Clock,
    nodes: Vec<Node>,
    controller: Option<i32>,
    open: BTreeMap<Option<i32>, Open>,
}

struct Open {
    connection: Connection,
    /// When the broker wants to know again who the client is.
    until_ms: i64,
}

impl Client {
    /// Whether controllers are asked (`bootstrap.controllers`), who know of no topic, group or quota.
    pub(super) fn asks_controllers(&self) -> bool {
        self.connecting.to_controllers
    }

    /// Refuses what cannot be asked of controllers.
    pub(super) fn require_brokers(&self) -> Result<(), Refused> {
        if !self.connecting.to_controllers {
            return Ok(());
        }
        let class = "org.apache.kafka.common.errors.UnsupportedEndpointTypeException";
        let told =
            "This Admin API is not yet supported when communicating directly with the controller quorum.";
        Err(Refused::own(class, told))
    }

    /// Reads the properties; nobody is asked yet.
    pub(super) fn new(properties: &Properties) -> Result<Self, Refused> {
        let connecting = Connecting::from(properties)?;
        let clock = Clock::new();
        Ok(Self { connecting, clock, nodes: Vec::new(), controller: None, open: BTreeMap::new() })
    }

    /// Milliseconds of a clock that only goes forward.
    pub(super) fn steady_ms(&self) -> i64 {
        self.clock.steady_ms()
    }

    /// Milliseconds since 1970.
    pub(super) fn now_ms(&self) -> i64 {
        self.clock.now().0
    }

    /// When a call that begins now has to be over.
    pub(super) fn deadline(&self) -> i64 {
        let limit = i64::try_from(self.connecting.api_timeout.as_millis()).unwrap_or(i64::MAX);
        self.steady_ms().saturating_add(limit)
    }

    /// Lets the brokers have a moment before the next attempt; false if there is no time for one.
    pub(super) fn has_another(&self, deadline: i64) -> bool {
        thread::sleep(self.connecting.retry_backoff);
        self.steady_ms() < deadline
    }

    /// Asks until there is an answer or the time is up. `make` gets the version that both sides know.
    pub(super) fn call<R: Request>(
        &mut self,
        at: At,
        what: &str,
        make: impl Fn(i16) -> R,
    ) -> Result<R::Response, Refused> {
        let deadline = self.deadline();
        let mut attempts = 0;
        loop {
            let left = u64::try_from(deadline - self.steady_ms()).unwrap_or(0);
            let limit = self.connecting.request_timeout.min(Duration::from_millis(left.max(1)));
            let missed = match self.attempt(at, &make, limit) {
                Ok(answer) => return Ok(answer),
                Err(Missed::Refused(refused)) => return Err(refused),
                Err(Missed::Io(error)) => error,
            };
            attempts += 1;
            if !self.has_another(deadline) {
                return Err(Refused::timeout(if self.nodes.is_empty() {
                    format!("Timed out waiting for a node assignment. Call: {what}")
                } else {
                    format!("Call {what} timed out after {attempts} attempt(s): {missed}")
                }));
            }
        }
    }

    /// Asks the controller, and its successor where it is not one any more. `codes` are those of the answer.
    pub(super) fn call_controller<R: Request>(
        &mut self,
        what: &str,
        make: impl Fn(i16) -> R,
        codes: impl Fn(&R::Response) -> Vec<i16>,
    ) -> Result<R::Response, Refused> {
        let deadline = self.deadline();
        loop {
            let answer = self.call(At::Controller, what, &make)?;
            if !codes(&answer).contains(&ResponseError::NotController.code()) || !self.has_another(deadline) {
                return Ok(answer);
            }
            self.forget();
        }
    }

    /// How long one request may take.
    pub(super) fn request_timeout(&self) -> Duration {
        self.connecting.request_timeout
    }

    /// How long a broker may take over a request that it was asked to see through, in milliseconds.
    pub(super) fn timeout_ms(&self) -> i32 {
        i32::try_from(self.connecting.request_timeout.as_millis()).unwrap_or(i32::MAX)
    }

    fn attempt<R: Request>(
        &mut self,
        at: At,
        make: &impl Fn(i16) -> R,
        limit: Duration,
    ) -> Result<R::Response, Missed> {
        let whom = self.connect(at, limit)?;
        let connection = &mut self.open.get_mut(&whom).expect("it was just opened").connection;
        let Some(version) = connection.version::<R>() else {
            let name = kafka_protocol::messages::ApiKey::try_from(R::KEY);
            let name = name.map_or_else(|()| R::KEY.to_string(), |key| in_capitals(&format!("{key:?}")));
            let message = format!("The node does not support {name}");
            let refused = Refused::of(ResponseError::UnsupportedVersion.code(), Some(&message));
            return Err(Missed::Refused(refused.expect("an error's code")));
        };
        let request = make(version);
        connection.call(&request, version, limit).map_err(|error| {
            self.open.remove(&whom);
            Missed::Io(error)
        })
    }

    /// One request and one wait, by a caller that minds its own time: for long polls.
    pub(super) fn try_call<R: Request>(
        &mut self,
        at: At,
        make: impl Fn(i16) -> R,
        limit: Duration,
    ) -> Result<R::Response, Refused> {
        self.attempt(at, &make, limit).map_err(|missed| match missed {
            Missed::Refused(refused) => refused,
            Missed::Io(_) => {
                Refused::of(ResponseError::NetworkException.code(), None).expect("an error's code")
            }
        })
    }

    /// Sends what nobody answers.
    pub(super) fn send<R: Request>(&mut self, at: At, make: impl Fn(i16) -> R) -> Result<(), Refused> {
        let network = || Refused::of(ResponseError::NetworkException.code(), None).expect("an error's code");
        let whom = self.connect(at, self.connecting.request_timeout).map_err(|missed| match missed {
            Missed::Refused(refused) => refused,
            Missed::Io(_) => network(),
        })?;
        let connection = &mut self.open.get_mut(&whom).expect("it was just opened").connection;
        let version = connection.version::<R>().ok_or_else(network)?;
        connection.send(&make(version), version).map_err(|_| {
            self.open.remove(&whom);
            network()
        })
    }

    /// A connection to whom is asked; gives the key that it is kept by.
    fn connect(&mut self, at: At, limit: Duration) -> Result<Option<i32>, Missed> {
        let limit = limit.min(CONNECT_TIMEOUT);
        if self.nodes.is_empty() && at != At::Any {
            self.refresh(limit)?;
        }
        let whom = match at {
            At::Any => None,
            At::Node(id) => Some(id),
            At::Controller => self.controller.filter(|id| self.node(*id).is_some()),
        };
        if self.open.get(&whom).is_some_and(|open| self.steady_ms() < open.until_ms) {
            return Ok(whom);
        }
        let addresses = match whom {
            None => self.everybody(),
            Some(id) => match self.node(id) {
                Some(node) => vec![(node.host.clone(), u16::try_from(node.port).unwrap_or(0))],
                None => {
                    self.nodes.clear();
                    let what = format!("node {id} is not there");
                    return Err(Missed::Io(io::Error::new(io::ErrorKind::NotFound, what)));
                }
            },
        };
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for (host, port) in addresses {
            match Connection::open(&host, port, &self.connecting, limit) {
                Ok(connection) => {
                    let until_ms = match connection.session_ms {
                        // Java's clients prove themselves anew at 85 to 95 % of it; a new connection does as well.
                        session @ 1.. => self.steady_ms().saturating_add(session / 100 * 85),
                        _ => i64::MAX,
                    };
                    self.open.insert(whom, Open { connection, until_ms });
                    return Ok(whom);
                }
                Err(Missed::Io(error)) => last = error,
                Err(refused) => return Err(refused),
            }
        }
        // Its address may have changed.
        self.nodes.clear();
        Err(Missed::Io(last))
    }

    fn everybody(&self) -> Vec<(String, u16)> {
        let known = self.nodes.iter().map(|node| (node.host.clone(), u16::try_from(node.port).unwrap_or(0)));
        self.connecting.bootstrap.iter().cloned().chain(known).collect()
    }

    fn node(&self, id: i32) -> Option<&Node> {
        self.nodes.iter().find(|node| node.id == id)
    }

    fn refresh(&mut self, limit: Duration) -> Result<(), Missed> {
        if self.connecting.to_controllers {
            let controllers = |_| DescribeClusterRequest::default().with_endpoint_type(CONTROLLERS);
            let answer = self.attempt(At::Any, &controllers, limit)?;
            Refused::check(answer.error_code, answer.error_message.as_deref())?;
            self.learn(&answer);
            return Ok(());
        }
        let nothing = |_| {
            MetadataRequest::default().with_topics(Some(Vec::new())).with_allow_auto_topic_creation(false)
        };
        let answer = self.attempt(At::Any, &nothing, limit)?;
        self.note(&answer);
        Ok(())
    }

    fn note(&mut self, answer: &MetadataResponse) {
        self.controller = Some(answer.controller_id.0).filter(|id| *id >= 0);
        let node = |broker: &kafka_protocol::messages::metadata_response::MetadataResponseBroker| Node {
            id: broker.node_id.0,
            host: broker.host.to_string(),
            port: broker.port,
            rack: broker.rack.as_ref().map(ToString::to_string),
        };
        self.nodes = answer.brokers.iter().map(node).collect();
    }

    /// Who is where by the word of controllers, who have no metadata.
    pub(super) fn learn(&mut self, answer: &DescribeClusterResponse) {
        self.controller = Some(answer.controller_id.0).filter(|id| *id >= 0);
        let node =
            |broker: &kafka_protocol::messages::describe_cluster_response::DescribeClusterBroker| Node {
                id: broker.broker_id.0,
                host: broker.host.to_string(),
                port: broker.port,
                rack: broker.rack.as_ref().map(ToString::to_string),
            };
        self.nodes = answer.brokers.iter().map(node).collect();
    }

    /// Forgets who is where, since somebody was not who he was taken for.
    pub(super) fn forget(&mut self) {
        self.nodes.clear();
    }

    /// All brokers, or controllers where these are asked, asked anew.
    pub(super) fn brokers(&mut self) -> Result<Vec<Node>, Refused> {
        if self.connecting.to_controllers {
            let answer = self.call(At::Any, "listNodes", |_| {
                DescribeClusterRequest::default().with_endpoint_type(CONTROLLERS)
            })?;
            Refused::check(answer.error_code, answer.error_message.as_deref())?;
            self.learn(&answer);
            return Ok(self.nodes.clone());
        }
        self.metadata(Some(&[]), false)?;
        Ok(self.nodes.clone())
    }

    /// Topics by name, or all.
    pub(super) fn metadata(
        &mut self,
        topics: Option<&[&str]>,
        create: bool,
    ) -> Result<Vec<MetadataResponseTopic>, Refused> {
        self.require_brokers()?;
        let named = topics.map(|topics| topics.iter().map(|topic| asked(topic)).collect::<Vec<_>>());
        let request =
            |_| MetadataRequest::default().with_topics(named.clone()).with_allow_auto_topic_creation(create);
        let answer =
            self.call(At::Any, if topics.is_none() { "listTopics" } else { "describeTopics" }, request)?;
        self.note(&answer);
        Ok(answer.topics)
    }

    /// What a broker says of its versions.
    pub(super) fn versions(&mut self, node: i32) -> Result<ApiVersionsResponse, Refused> {
        let limit = self.connecting.request_timeout;
        match self.connect(At::Node(node), limit) {
            Ok(whom) => Ok(self.open[&whom].connection.versions.clone()),
            Err(Missed::Refused(refused)) => Err(refused),
            Err(Missed::Io(error)) => {
                Err(Refused::own("org.apache.kafka.common.errors.DisconnectException", error.to_string()))
            }
        }
    }

    /// Who coordinates this group; asked until there is one or the time is up.
    pub(super) fn coordinator(&mut self, group: &str) -> Result<At, Refused> {
        let deadline = self.deadline();
        loop {
            let key = StrBytes::from_string(group.to_owned());
            let answer = self.call(At::Any, "findCoordinator", |version| {
                let request = FindCoordinatorRequest::default().with_key_type(0);
                if version >= 4 {
                    request.with_coordinator_keys(vec![key.clone()])
                } else {
                    request.with_key(key.clone())
                }
            })?;
            let first = answer.coordinators.first();
            let (code, message, node) = first.map_or_else(
                || (answer.error_code, answer.error_message.clone(), answer.node_id),
                |first| (first.error_code, first.error_message.clone(), first.node_id),
            );
            match Refused::of(code, message.as_deref()) {
                None => return self.known(node),
                Some(refused) if refused.error.is_some_and(|error| error.is_retriable()) => {
                    if !self.has_another(deadline) {
                        return Err(Refused::timeout(refused.message));
                    }
                }
                Some(refused) => return Err(refused),
            }
        }
    }

    fn known(&mut self, node: BrokerId) -> Result<At, Refused> {
        if self.node(node.0).is_none() {
            self.brokers()?;
        }
        Ok(At::Node(node.0))
    }
}

/// As Java names an API: `LIST_GROUPS`.
fn in_capitals(name: &str) -> String {
    let mut capitals = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !capitals.is_empty() {
            capitals.push('_');
        }
        capitals.push(c.to_ascii_uppercase());
    }
    capitals
}

fn asked(topic: &str) -> MetadataRequestTopic {
    MetadataRequestTopic::default().with_name(Some(topic_name(topic)))
}

pub(super) fn topic_name(topic: &str) -> TopicName {
    TopicName(StrBytes::from_string(topic.to_owned()))
}
