//! The cluster itself: its first nodes, a broker's registration, blocks of producer ids.
//!
//! Must never give out an id twice: blocks are written with the version of the node they follow.

use kafka_protocol::error::ResponseError;
use milena_storage::ids::{BrokerId, ProducerId, Timestamp};
use uuid::Uuid;

use super::{Refusal, fence};
use crate::image::nodes::{
    BrokerNode, ClusterIdNode, ConfigNodeJson, ControllerNode, FeatureNode, ProducerIdsNode, to_json,
    topic_id_text,
};
use crate::image::{BrokerImage, ConfigKind, Configs, Endpoint, MetadataImage, SupportedFeatures, paths};
use crate::tree::{Mode, Op};

/// Ids per block (`ProducerIdsBlock.PRODUCER_ID_BLOCK_SIZE`).
pub const PRODUCER_ID_BLOCK: i64 = 1000;

/// A broker that has started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    pub broker: BrokerId,
    pub endpoints: Vec<Endpoint>,
    pub rack: Option<String>,
    /// The id of its metadata log directory.
    pub directory: Option<Uuid>,
    /// The ids of its log directories that serve, if it has several.
    pub log_dirs: Vec<Uuid>,
    /// All of its log directories are cordoned.
    pub cordoned: bool,
    /// What it supports of features.
    pub features: SupportedFeatures,
}

impl Registration {
    /// As it travels to the controller: the node that it becomes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        to_json(&BrokerNode::new(&self.image(), 0))
    }

    /// Reads what [`Registration::to_bytes`] wrote; `None` if it is something else.
    #[must_use]
    pub fn from_bytes(broker: BrokerId, bytes: &[u8]) -> Option<Self> {
        let node: BrokerNode = serde_json::from_slice(bytes).ok()?;
        let BrokerImage { endpoints, rack, directory, log_dirs, cordoned, features, .. } =
            node.image(broker, 0)?;
        Some(Self { broker, endpoints, rack, directory, log_dirs, cordoned, features })
    }

    fn image(&self) -> BrokerImage {
        let Self { broker: id, endpoints, rack, directory, log_dirs, cordoned, features } = self.clone();
        let (epoch, fenced, suspect) = (0, false, false);
        BrokerImage { id, epoch, endpoints, rack, fenced, suspect, directory, log_dirs, cordoned, features }
    }
}

/// What a cluster begins with.
#[derive(Clone, Debug, Default)]
pub struct FirstContent {
    pub cluster_id: String,
    /// Finalized feature levels.
    pub features: Vec<(String, i16)>,
    /// Cluster-wide configs of brokers.
    pub broker_defaults: Configs,
    /// Users with their credentials (`kafka-storage format --add-scram`).
    pub users: Vec<(String, Configs)>,
}

/// The first operations of a cluster: one multi, so a cluster is either not there or complete. `exists` tells
/// which nodes are already there, made by hand or by an older version.
pub fn bootstrap(exists: impl Fn(&str) -> bool, first: FirstContent) -> Vec<Op> {
    let mut ops: Vec<_> = paths::FOLDERS
        .iter()
        .filter(|folder| !exists(folder))
        .map(|folder| Op::create(*folder, ""))
        .collect();
    if !exists(paths::CLUSTER_ID) {
        ops.push(Op::create(paths::CLUSTER_ID, to_json(&ClusterIdNode::new(&first.cluster_id))));
        let defaults = paths::config(ConfigKind::Broker, "");
        // Only a new cluster gets them: deleted ones must not come back.
        if !first.broker_defaults.is_empty() && !exists(&defaults) {
            ops.push(Op::create(defaults, to_json(&ConfigNodeJson::new(first.broker_defaults))));
        }
        for (user, credentials) in first.users {
            let path = paths::config(ConfigKind::User, &user);
            if !exists(&path) {
                ops.push(Op::create(path, to_json(&ConfigNodeJson::new(credentials))));
            }
        }
    }
    if !exists(paths::CONTROLLER_EPOCH) {
        ops.push(Op::create(paths::CONTROLLER_EPOCH, "0"));
    }
    if !exists(paths::FEATURE) {
        ops.push(Op::create(paths::FEATURE, to_json(&FeatureNode::new(first.features))));
    }
    ops
}

/// Makes the new leader of the ensemble the controller, under the session that proposes this: the next epoch begins, and
/// whatever an earlier controller still proposes is refused.
pub fn take_over(image: &MetadataImage, node: BrokerId, now: Timestamp) -> Vec<Op> {
    let epoch = (image.controller_epoch + 1).to_string();
    let mut ops = vec![fence(image), Op::set(paths::CONTROLLER_EPOCH, epoch, image.controller_epoch_version)];
    if image.controller.is_some() {
        ops.push(Op::delete(paths::CONTROLLER, crate::tree::ANY_VERSION));
    }
    let content = to_json(&ControllerNode::new(node, now.0));
    ops.push(Op::create_as(paths::CONTROLLER, content, Mode::Ephemeral));
    ops
}

/// Registers a broker under the session that proposes this. Earlier sessions of this broker must have been closed.
pub fn register(image: &MetadataImage, registration: &Registration, now: Timestamp) -> Vec<Op> {
    let node = to_json(&BrokerNode::new(&registration.image(), now.0));
    vec![fence(image), Op::create_as(paths::broker(registration.broker), node, Mode::Ephemeral)]
}

/// Whether a registration may take the place of the one that is there, whose session is not over. It may when that broker's link has
/// closed, and when it comes from the same directory: that is locked, so whoever had it is gone. A directory that another broker is
/// registered with is a copy of that one's.
///
/// # Errors
/// DUPLICATE_BROKER_REGISTRATION, INVALID_REGISTRATION (`ClusterControlManager.registerBroker`).
pub fn check_duplicate(
    image: &MetadataImage,
    registration: &Registration,
    is_silent: bool,
) -> Result<(), Refusal> {
    for (id, other) in image.brokers.iter().filter(|(id, _)| **id != registration.broker) {
        let is_theirs =
            |directory: &&Uuid| other.log_dirs.contains(directory) || other.directory == Some(**directory);
        let told = registration.log_dirs.iter().chain(&registration.directory);
        if let Some(copied) = told.filter(|directory| !directory.is_nil()).find(is_theirs) {
            let copied = topic_id_text(*copied);
            let message = format!("Broker {} is already registered with directory {copied}", id.0);
            return Err(Refusal::new(ResponseError::InvalidRegistration, message));
        }
    }
    let Some(present) = image.broker(registration.broker) else { return Ok(()) };
    let is_same = match (present.directory, registration.directory) {
        (Some(present), Some(new)) => present == new,
        _ => true,
    };
    if is_silent || is_same {
        return Ok(());
    }
    let message =
        format!("Another broker is registered with that broker id: node {} is alive.", registration.broker.0);
    Err(Refusal::new(ResponseError::DuplicateBrokerRegistration, message))
}

/// Takes the next block of producer ids for a broker: the operations and the block's first id.
pub fn allocate_producer_ids(
    image: &MetadataImage,
    broker: BrokerId,
) -> Result<(Vec<Op>, ProducerId), Refusal> {
    let start = image.next_producer_id;
    if start > i64::MAX - PRODUCER_ID_BLOCK {
        let message =
            "Exhausted all producerIds as the next block's end producerId has exceeded the int64 type limit";
        return Err(Refusal::new(ResponseError::UnknownServerError, message));
    }
    let node = to_json(&ProducerIdsNode::new(broker, start, PRODUCER_ID_BLOCK));
    let write = match image.producer_block_version {
        Some(version) => Op::set(paths::PRODUCER_IDS, node, version),
        None => Op::create(paths::PRODUCER_IDS, node),
    };
    Ok((vec![fence(image), write], ProducerId(start)))
}

#[cfg(test)]
mod tests {
    use super::super::supported_features;
    use super::super::testing::Stage;
    use super::*;

    #[test]
    fn each_block_of_producer_ids_follows_the_last() {
        let mut stage = Stage::with_brokers(&[1]);
        for expected in [0, 1000, 2000] {
            let (ops, start) = allocate_producer_ids(&stage.image, BrokerId(1)).unwrap();
            stage.commit(ops);
            assert_eq!(start, ProducerId(expected));
        }
    }

    #[test]
    fn a_block_decided_on_an_old_image_is_refused_by_the_tree() {
        let mut stage = Stage::with_brokers(&[1]);
        let (first, _) = allocate_producer_ids(&stage.image, BrokerId(1)).unwrap();
        let (second, _) = allocate_producer_ids(&stage.image, BrokerId(1)).unwrap();
        stage.commit(first);
        assert!(stage.try_commit(second).is_err());
        assert_eq!(stage.image.next_producer_id, 1000);
    }

    #[test]
    fn a_second_process_is_refused_unless_the_first_is_silent_or_had_the_same_directory() {
        let mut stage = Stage::with_brokers(&[1]);
        let directory = |number| Some(Uuid::from_u128(number));
        let of = |directory| Registration {
            broker: BrokerId(5),
            endpoints: Vec::new(),
            rack: None,
            directory,
            log_dirs: vec![Uuid::from_u128(1 << 100)],
            cordoned: false,
            features: supported_features(),
        };
        let first = of(directory(1));
        assert_eq!(Registration::from_bytes(BrokerId(5), &first.to_bytes()), Some(first.clone()));
        assert!(check_duplicate(&stage.image, &first, false).is_ok());
        let ops = register(&stage.image, &first, Timestamp(1));
        stage.commit(ops);
        let refused = |second: &Registration, is_silent| {
            check_duplicate(&stage.image, second, is_silent).err().map(|refusal| refusal.code)
        };
        let second = of(directory(2));
        assert_eq!(refused(&second, false), Some(ResponseError::DuplicateBrokerRegistration));
        assert_eq!(
            (refused(&second, true), refused(&first, false), refused(&of(None), false)),
            (None, None, None)
        );
        let copy = Registration { broker: BrokerId(6), ..of(directory(3)) };
        assert_eq!(refused(&copy, true), Some(ResponseError::InvalidRegistration));
        let copy = Registration { log_dirs: Vec::new(), cordoned: false, ..copy };
        assert_eq!(refused(&copy, false), None);
        assert_eq!(
            refused(&Registration { directory: directory(1), ..copy }, false),
            Some(ResponseError::InvalidRegistration)
        );
    }

    #[test]
    fn a_restarted_broker_has_a_greater_epoch_and_fences_the_old_controller() {
        let mut stage = Stage::with_brokers(&[1]);
        let before = stage.image.clone();
        let stale = allocate_producer_ids(&before, BrokerId(1)).unwrap().0;
        stage.restart_broker(1);
        assert!(stage.image.broker(BrokerId(1)).unwrap().epoch > before.broker(BrokerId(1)).unwrap().epoch);
        assert_eq!(stage.image.controller_epoch, before.controller_epoch + 1);
        assert!(stage.try_commit(stale).is_err(), "decided by the controller of the epoch before");
    }
}
