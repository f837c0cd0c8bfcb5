//! The controller's decisions: a request and the image in, tree operations and answers out.
//!
//! Must never apply anything: a decision counts only once the ensemble has committed its operations, and every
//! group of them checks `/controller_epoch`, so that a deposed controller changes nothing.

mod adopt;
mod allowance;
mod alter_partition;
mod answer;
mod cluster;
mod configs;
mod create_topics;
mod delete_topics;
mod directories;
mod elections;
mod fail_over;
mod features;
mod names;
mod next_state;
mod partitions;
mod placement;
mod quotas;
mod reassign;
mod rules;
mod scram;

use std::collections::BTreeSet;

use milena_storage::ids::{BrokerId, Timestamp};

use crate::image::{MetadataImage, paths};
use crate::tree::Op;

pub use adopt::{Adopted, AdoptedPartition, AdoptedTopic, adopt};
pub use allowance::Allowance;
pub use alter_partition::{Altered, alter_partition, altered};
pub use answer::{Dice, Item, Plan, Refusal};
pub use cluster::{
    FirstContent, PRODUCER_ID_BLOCK, Registration, allocate_producer_ids, bootstrap, check_duplicate,
    register, take_over,
};
pub use configs::{alter_configs, incremental_alter_configs};
pub use create_topics::create_topics;
pub use delete_topics::delete_topics;
pub use directories::{Assigned, assign_replicas_to_dirs, assigned, keep_log_dirs};
pub use elections::{elect_leaders, take_up_leadership};
pub use fail_over::{fail_over, prefer, restart, shut_down, suspect, unregister_broker};
pub use features::{SUPPORTED_FEATURES, check_features, refused, supported_features, update_features};
pub use names::check_topic_name;
pub use partitions::create_partitions;
pub use quotas::{MAX_OPS, alter_client_quotas, printed, refused_quotas};
pub use reassign::alter_partition_reassignments;
pub use rules::{ConfigRules, EffectiveConfig, ReplicationRules};
pub use scram::{
    ScramCredential, ScramMechanism, alter_user_scram_credentials, iterations, scram_credential,
};

/// What a decision may look at besides the request.
pub struct Ctx<'a> {
    pub image: &'a MetadataImage,
    pub rules: &'a dyn ConfigRules,
    /// The broker that took the request: it alone may change its own configs.
    pub node: BrokerId,
    pub now: Timestamp,
    pub dice: Dice,
    /// What the client may still have created and deleted; `None`: whatever it likes.
    pub allowance: Option<Allowance>,
}

impl Ctx<'_> {
    /// Takes what so many partitions cost the client.
    fn charge(&mut self, partitions: usize) -> Result<(), Refusal> {
        self.allowance.as_mut().map_or(Ok(()), |allowance| allowance.take(partitions))
    }
}

/// The first operation of every multi: fails it when another controller has taken over.
#[must_use]
pub fn fence(image: &MetadataImage) -> Op {
    Op::check(paths::CONTROLLER_EPOCH, image.controller_epoch_version)
}

/// Brokers that may lead, in the order given.
fn active(image: &MetadataImage, replicas: &[BrokerId]) -> Vec<BrokerId> {
    replicas.iter().copied().filter(|id| image.broker(*id).is_some_and(|b| !b.fenced)).collect()
}

/// Whether Kafka would call a broker registered (`ClusterControlManager.brokerRegistrations`), there until somebody unregisters it. Here a
/// registration goes with its session, so one that stopped counts while partitions name it.
fn is_registered(image: &MetadataImage, broker: BrokerId) -> bool {
    let mut partitions = image.topics().flat_map(|topic| &topic.partitions);
    image.broker(broker).is_some() || partitions.any(|partition| partition.replicas.contains(&broker))
}

/// The registered brokers that are not there.
fn stopped(image: &MetadataImage) -> BTreeSet<BrokerId> {
    let partitions = image.topics().flat_map(|topic| &topic.partitions);
    let named = partitions.flat_map(|partition| partition.replicas.iter().copied());
    named.filter(|id| image.broker(*id).is_none()).collect()
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
