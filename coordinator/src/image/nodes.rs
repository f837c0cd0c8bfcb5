//! The JSON that Kafka's classic layout keeps in each node, as `ZkData` writes it.
//!
//! Must never reject a field it does not know: the classic decoders ignore those, and ours are added that way.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use milena_storage::ids::BrokerId;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{BrokerImage, Configs, Endpoint, PartitionImage, SecurityProtocol};

/// `/cluster/id`
#[derive(Debug, Serialize, Deserialize)]
pub struct ClusterIdNode {
    version: String,
    pub id: String,
}

/// `/controller`
#[derive(Debug, Serialize, Deserialize)]
pub struct ControllerNode {
    version: i32,
    pub brokerid: i32,
    timestamp: String,
    #[serde(rename = "kraftControllerEpoch", default = "minus_one")]
    kraft_controller_epoch: i32,
}

/// `/brokers/ids/<id>`
#[derive(Debug, Serialize, Deserialize)]
pub struct BrokerNode {
    version: i32,
    host: Option<String>,
    port: i32,
    jmx_port: i32,
    timestamp: String,
    endpoints: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rack: Option<String>,
    #[serde(default)]
    listener_security_protocol_map: BTreeMap<String, String>,
    #[serde(default)]
    features: BTreeMap<String, FeatureRange>,
    /// Ours: the broker is registered but must not lead.
    #[serde(default, skip_serializing_if = "is_false")]
    fenced: bool,
    /// Ours: it is fenced for as long as nobody hears it, and its session is not over.
    #[serde(default, skip_serializing_if = "is_false")]
    suspect: bool,
    /// Ours: see `BrokerImage`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    directory: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    log_dirs: Vec<String>,
    #[serde(default, skip_serializing_if = "is_false")]
    cordoned: bool,
}

/// The levels of a feature that a broker supports.
#[derive(Debug, Serialize, Deserialize)]
struct FeatureRange {
    min_version: i16,
    max_version: i16,
}

/// `/brokers/topics/<name>`
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct TopicNode {
    pub version: i32,
    pub partitions: BTreeMap<i32, Vec<i32>>,
    #[serde(default)]
    pub adding_replicas: BTreeMap<i32, Vec<i32>>,
    #[serde(default)]
    pub removing_replicas: BTreeMap<i32, Vec<i32>>,
    #[serde(default)]
    pub topic_id: String,
}

/// `/brokers/topics/<name>/partitions/<index>/state`
#[derive(Debug, Serialize, Deserialize)]
pub struct StateNode {
    pub version: i32,
    pub leader: i32,
    pub leader_epoch: i32,
    pub controller_epoch: i32,
    pub isr: Vec<i32>,
    /// 1: elected unclean and not yet recovered (KIP-704).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub leader_recovery_state: i8,
    /// Ours (KIP-966 came after the classic layout).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub elr: Vec<i32>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub last_known_elr: Vec<i32>,
    /// Ours (KIP-858 came after it, too): the ids of log directories by broker.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    directories: BTreeMap<i32, String>,
}

/// `/config/<kind>/<name>`
#[derive(Debug, Serialize, Deserialize)]
pub struct ConfigNodeJson {
    version: i32,
    pub config: Configs,
}

/// `/feature`
#[derive(Debug, Serialize, Deserialize)]
pub struct FeatureNode {
    version: i32,
    status: i32,
    pub features: BTreeMap<String, FeatureLevel>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct FeatureLevel {
    pub max_version_level: i16,
}

/// `/latest_producer_id_block`
#[derive(Debug, Serialize, Deserialize)]
pub struct ProducerIdsNode {
    version: i32,
    broker: i32,
    /// Decimal text, as JavaScript readers would round a 64-bit number.
    block_start: String,
    block_end: String,
}

impl ClusterIdNode {
    pub fn new(id: &str) -> Self {
        Self { version: "1".into(), id: id.into() }
    }
}

impl ControllerNode {
    pub fn new(broker: BrokerId, now: i64) -> Self {
        Self { version: 2, brokerid: broker.0, timestamp: now.to_string(), kraft_controller_epoch: -1 }
    }
}

impl BrokerNode {
    /// The classic host and port are those of the first plaintext listener, or none.
    pub fn new(broker: &BrokerImage, now: i64) -> Self {
        let BrokerImage { endpoints, rack, fenced, suspect, directory, log_dirs, cordoned, features, .. } =
            broker;
        let range = |levels: &RangeInclusive<i16>| FeatureRange {
            min_version: *levels.start(),
            max_version: *levels.end(),
        };
        let plain = endpoints.iter().find(|e| e.protocol == SecurityProtocol::Plaintext);
        Self {
            version: 5,
            host: plain.map(|e| e.host.clone()),
            port: plain.map_or(-1, |e| i32::from(e.port)),
            jmx_port: -1,
            timestamp: now.to_string(),
            endpoints: endpoints.iter().map(endpoint_uri).collect(),
            rack: rack.clone(),
            listener_security_protocol_map: endpoints
                .iter()
                .map(|e| (e.listener.clone(), e.protocol.name().into()))
                .collect(),
            features: features.iter().map(|(name, levels)| (name.clone(), range(levels))).collect(),
            fenced: *fenced,
            suspect: *suspect,
            directory: directory.map(topic_id_text),
            log_dirs: log_dirs.iter().copied().map(topic_id_text).collect(),
            cordoned: *cordoned,
        }
    }

    /// `None` when an endpoint cannot be read.
    pub fn image(self, id: BrokerId, epoch: i64) -> Option<BrokerImage> {
        let protocols = &self.listener_security_protocol_map;
        let endpoints =
            self.endpoints.iter().map(|uri| parse_endpoint(uri, protocols)).collect::<Option<Vec<_>>>()?;
        let directory = self.directory.as_deref().and_then(parse_topic_id);
        let log_dirs = self.log_dirs.iter().filter_map(|text| parse_topic_id(text)).collect();
        let Self { rack, fenced, suspect, cordoned, features, .. } = self;
        let features = features.into_iter();
        let features = features.map(|(name, range)| (name, range.min_version..=range.max_version)).collect();
        let image = BrokerImage {
            id,
            epoch,
            endpoints,
            rack,
            fenced,
            suspect,
            directory,
            log_dirs,
            cordoned,
            features,
        };
        Some(image)
    }
}

impl StateNode {
    /// The state of a partition that has just been created or elected cleanly.
    pub fn new(leader: BrokerId, leader_epoch: i32, controller_epoch: i32, isr: &[BrokerId]) -> Self {
        Self {
            version: 1,
            leader: leader.0,
            leader_epoch,
            controller_epoch,
            isr: isr.iter().map(|b| b.0).collect(),
            leader_recovery_state: 0,
            elr: Vec::new(),
            last_known_elr: Vec::new(),
            directories: BTreeMap::new(),
        }
    }

    /// The next state of a partition, whose replicas stay where they lie.
    pub fn of(
        partition: &PartitionImage,
        leader: BrokerId,
        leader_epoch: i32,
        controller_epoch: i32,
        isr: &[BrokerId],
    ) -> Self {
        let mut state = Self::new(leader, leader_epoch, controller_epoch, isr);
        state.set_directories(partition);
        state
    }

    /// The state that a partition has, where only its directories change.
    pub fn unchanged(partition: &PartitionImage, controller_epoch: i32) -> Self {
        let leader = partition.leader.unwrap_or(BrokerId(-1));
        let epoch = partition.leader_epoch.0;
        let mut state = Self::of(partition, leader, epoch, controller_epoch, &partition.isr);
        state.elr = partition.elr.iter().map(|id| id.0).collect();
        state.last_known_elr = partition.last_known_elr.iter().map(|id| id.0).collect();
        state.leader_recovery_state = i8::from(partition.recovering);
        state
    }

    /// Of replicas that it does not have any more nothing is kept.
    fn set_directories(&mut self, partition: &PartitionImage) {
        let kept = partition.directories.iter().filter(|(id, _)| partition.replicas.contains(id));
        self.directories = kept.map(|(id, directory)| (id.0, topic_id_text(*directory))).collect();
    }

    /// Those that can be read.
    pub fn directories(&self) -> Vec<(BrokerId, Uuid)> {
        let read = |(id, text): (&i32, &String)| Some((BrokerId(*id), parse_topic_id(text)?));
        self.directories.iter().filter_map(read).collect()
    }

    /// Stands for a state node that is not there: no leader, no epoch.
    pub(super) fn absent() -> Self {
        Self::new(BrokerId(-1), -1, -1, &[])
    }
}

impl ConfigNodeJson {
    pub fn new(config: Configs) -> Self {
        Self { version: 1, config }
    }
}

impl FeatureNode {
    pub fn new(levels: impl IntoIterator<Item = (String, i16)>) -> Self {
        let features =
            levels.into_iter().map(|(name, level)| (name, FeatureLevel { max_version_level: level }));
        Self { version: 2, status: 1, features: features.collect() }
    }
}

impl ProducerIdsNode {
    /// A block of `count` ids from `start`.
    pub fn new(broker: BrokerId, start: i64, count: i64) -> Self {
        Self {
            version: 1,
            broker: broker.0,
            block_start: start.to_string(),
            block_end: (start + count - 1).to_string(),
        }
    }

    /// First id after the block; `None` when the block's end is no number or the last one.
    pub fn next(&self) -> Option<i64> {
        self.block_end.parse::<i64>().ok()?.checked_add(1)
    }
}

/// Compact JSON bytes.
pub fn to_json(node: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(node).expect("these structs hold only strings, numbers and string-keyed maps")
}

/// A topic id as Kafka writes it: base64 for URLs, without padding.
pub fn topic_id_text(id: Uuid) -> String {
    URL_SAFE_NO_PAD.encode(id.as_bytes())
}

pub fn parse_topic_id(text: &str) -> Option<Uuid> {
    Uuid::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()
}

fn endpoint_uri(endpoint: &Endpoint) -> String {
    let (open, close) = if endpoint.host.contains(':') { ("[", "]") } else { ("", "") };
    format!("{}://{open}{}{close}:{}", endpoint.listener, endpoint.host, endpoint.port)
}

fn parse_endpoint(uri: &str, protocols: &BTreeMap<String, String>) -> Option<Endpoint> {
    let (listener, address) = uri.split_once("://")?;
    let (host, port) = address.rsplit_once(':')?;
    let protocol = protocols.get(listener).map_or(listener, String::as_str);
    Some(Endpoint {
        listener: listener.into(),
        host: host.trim_start_matches('[').trim_end_matches(']').into(),
        port: port.parse().ok()?,
        protocol: SecurityProtocol::parse(protocol)?,
    })
}

fn minus_one() -> i32 {
    -1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes the field by reference")]
fn is_false(value: &bool) -> bool {
    !value
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes the field by reference")]
fn is_zero(value: &i8) -> bool {
    *value == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_node_reads_as_the_endpoints_it_was_written_from() {
        let endpoints = vec![
            Endpoint {
                listener: "SECURE".into(),
                host: "b1.example".into(),
                port: 9093,
                protocol: SecurityProtocol::Ssl,
            },
            Endpoint {
                listener: "PLAINTEXT".into(),
                host: "::1".into(),
                port: 9092,
                protocol: SecurityProtocol::Plaintext,
            },
        ];
        let broker = BrokerImage {
            id: BrokerId(3),
            epoch: 77,
            endpoints,
            rack: Some("r1".into()),
            fenced: false,
            suspect: false,
            directory: None,
            log_dirs: vec![Uuid::from_u128(1 << 100)],
            cordoned: true,
            features: BTreeMap::from([("group.version".to_owned(), 0..=1)]),
        };
        let json = to_json(&BrokerNode::new(&broker, 1_700_000_000_000));
        let text = String::from_utf8(json.clone()).unwrap();
        assert!(text.starts_with(
            r#"{"version":5,"host":"::1","port":9092,"jmx_port":-1,"timestamp":"1700000000000","endpoints":["SECURE://b1.example:9093","PLAINTEXT://[::1]:9092"],"rack":"r1""#
        ));
        assert!(text.contains(r#""features":{"group.version":{"min_version":0,"max_version":1}}"#), "{text}");
        let node: BrokerNode = serde_json::from_slice(&json).unwrap();
        assert_eq!(node.image(BrokerId(3), 77), Some(broker));
    }

    #[test]
    fn nodes_that_kafka_wrote_are_read() {
        let topic: TopicNode = serde_json::from_str(
            r#"{"removing_replicas":{},"partitions":{"0":[1],"10":[2,1]},"topic_id":"0QgSv4ZyTdyRHoXTtgxK9w","adding_replicas":{},"version":3}"#,
        )
        .unwrap();
        assert_eq!(topic.partitions[&10], vec![2, 1]);
        assert_eq!(topic_id_text(parse_topic_id(&topic.topic_id).unwrap()), topic.topic_id);
        let state: StateNode = serde_json::from_str(
            r#"{"controller_epoch":1,"leader":1,"version":1,"leader_epoch":0,"isr":[1]}"#,
        )
        .unwrap();
        assert_eq!((state.leader, state.leader_recovery_state), (1, 0));
        let block: ProducerIdsNode =
            serde_json::from_str(r#"{"version":1,"broker":1,"block_start":"0","block_end":"999"}"#).unwrap();
        assert_eq!(block.next(), Some(1000));
    }
}
