//! How a client of one listener sees a partition: its leader there, and which replicas it cannot reach
//! (`KRaftMetadataCache`).
//!
//! Must never name a leader that has no endpoint on the caller's listener.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::BrokerId as WireBroker;
use milena_coordinator::image::{BrokerImage, MetadataImage, PartitionImage};
use milena_storage::ids::BrokerId;

/// What differs between versions of Metadata.
#[derive(Clone, Copy, Debug)]
pub struct Strictness {
    /// v0: unreachable replicas are left out and are an error.
    pub missing_replicas: bool,
    /// v6+: a leader without this listener is told from no leader at all.
    pub missing_listener: bool,
}

/// A partition as one listener's clients see it.
#[derive(Debug)]
pub struct View {
    pub error: Option<ResponseError>,
    /// −1: none that can be reached.
    pub leader: WireBroker,
    pub replicas: Vec<WireBroker>,
    pub isr: Vec<WireBroker>,
    pub offline: Vec<WireBroker>,
}

impl View {
    /// `lost` is the broker whose log directory with this partition failed, as far as this broker knows.
    pub fn of(
        image: &MetadataImage,
        listener: &str,
        partition: &PartitionImage,
        lost: Option<BrokerId>,
        strict: Strictness,
    ) -> Self {
        let serves = |broker: &BrokerImage| broker.has_online_dir(partition.directory(broker.id));
        let reachable = |id: &BrokerId| {
            lost != Some(*id)
                && image.broker(*id).is_some_and(|broker| {
                    !broker.fenced && broker.endpoint(listener).is_some() && serves(broker)
                })
        };
        let seen = |ids: &[BrokerId]| -> Vec<WireBroker> {
            ids.iter().filter(|id| !strict.missing_replicas || reachable(id)).map(wire).collect()
        };
        let (replicas, isr) = (seen(&partition.replicas), seen(&partition.isr));
        let leader = partition.leader.filter(|id| lost != Some(*id)).and_then(|id| image.broker(id));
        let leader = leader.filter(|broker| serves(broker));
        let error = match leader {
            None => Some(ResponseError::LeaderNotAvailable),
            Some(broker) if broker.endpoint(listener).is_none() => Some(if strict.missing_listener {
                ResponseError::ListenerNotFound
            } else {
                ResponseError::LeaderNotAvailable
            }),
            Some(_) if replicas.len() < partition.replicas.len() || isr.len() < partition.isr.len() => {
                Some(ResponseError::ReplicaNotAvailable)
            }
            Some(_) => None,
        };
        let leader = leader.filter(|broker| broker.endpoint(listener).is_some());
        Self {
            error,
            leader: leader.map_or(WireBroker(-1), |broker| wire(&broker.id)),
            replicas,
            isr,
            offline: partition.replicas.iter().filter(|id| !reachable(id)).map(wire).collect(),
        }
    }
}

/// A broker id as messages carry it.
pub fn wire(id: &BrokerId) -> WireBroker {
    WireBroker(id.0)
}

/// The broker that answers as the controller: any live one, since every broker passes requests on. Never −1 while
/// one lives, or admin clients look for it for ever.
pub fn controller(image: &MetadataImage) -> WireBroker {
    let live = |id: &BrokerId| image.broker(*id).is_some_and(|broker| !broker.fenced);
    let named = image.controller.filter(live);
    named.or_else(|| image.brokers.keys().copied().find(live)).map_or(WireBroker(-1), |id| wire(&id))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use milena_coordinator::image::{Endpoint, SecurityProtocol};
    use milena_storage::ids::{LeaderEpoch, PartitionIndex};

    use super::*;

    const V0: Strictness = Strictness { missing_replicas: true, missing_listener: false };
    const V9: Strictness = Strictness { missing_replicas: false, missing_listener: true };

    fn image() -> MetadataImage {
        let mut image = MetadataImage::default();
        for (id, listener, fenced) in [(1, "PLAINTEXT", false), (2, "OTHER", false), (3, "PLAINTEXT", true)] {
            let endpoint = Endpoint {
                listener: listener.into(),
                host: "h".into(),
                port: 9092,
                protocol: SecurityProtocol::Plaintext,
            };
            let broker = BrokerImage {
                id: BrokerId(id),
                epoch: 1,
                endpoints: vec![endpoint],
                rack: None,
                fenced,
                suspect: false,
                directory: None,
                log_dirs: Vec::new(),
                cordoned: false,
                features: Default::default(),
            };
            image.brokers.insert(BrokerId(id), Arc::new(broker));
        }
        image
    }

    fn partition(leader: Option<i32>, replicas: &[i32]) -> PartitionImage {
        let ids: Vec<_> = replicas.iter().copied().map(BrokerId).collect();
        PartitionImage {
            index: PartitionIndex(0),
            leader: leader.map(BrokerId),
            leader_epoch: LeaderEpoch(0),
            partition_epoch: 0,
            replicas: ids.clone(),
            isr: ids,
            adding: Vec::new(),
            removing: Vec::new(),
            elr: Vec::new(),
            last_known_elr: Vec::new(),
            recovering: false,
            directories: Vec::new(),
        }
    }

    #[test]
    fn a_leader_without_the_callers_listener_is_named_from_version_6() {
        let partition = partition(Some(2), &[2]);
        let old =
            View::of(&image(), "PLAINTEXT", &partition, None, Strictness { missing_listener: false, ..V9 });
        assert_eq!((old.error, old.leader), (Some(ResponseError::LeaderNotAvailable), WireBroker(-1)));
        let new = View::of(&image(), "PLAINTEXT", &partition, None, V9);
        assert_eq!((new.error, new.leader), (Some(ResponseError::ListenerNotFound), WireBroker(-1)));
    }

    #[test]
    fn unreachable_replicas_are_offline_and_an_error_in_version_0_only() {
        let partition = partition(Some(1), &[1, 3, 9]);
        let new = View::of(&image(), "plaintext", &partition, None, V9);
        assert_eq!((new.error, new.leader, new.replicas.len()), (None, WireBroker(1), 3));
        assert_eq!(new.offline, [WireBroker(3), WireBroker(9)]);
        let old = View::of(&image(), "PLAINTEXT", &partition, None, V0);
        assert_eq!(
            (old.error, old.replicas),
            (Some(ResponseError::ReplicaNotAvailable), vec![WireBroker(1)])
        );
    }

    #[test]
    fn a_partition_in_a_failed_directory_has_no_leader_and_an_offline_replica() {
        let view = View::of(&image(), "PLAINTEXT", &partition(Some(1), &[1]), Some(BrokerId(1)), V9);
        assert_eq!((view.error, view.leader), (Some(ResponseError::LeaderNotAvailable), WireBroker(-1)));
        assert_eq!(view.offline, [WireBroker(1)]);
    }

    #[test]
    fn a_replica_in_another_brokers_failed_directory_is_offline() {
        let mut image = image();
        let (good, bad) = (uuid::Uuid::from_u128(1 << 100), uuid::Uuid::from_u128(2 << 100));
        let broker =
            BrokerImage { log_dirs: vec![good], ..BrokerImage::clone(image.broker(BrokerId(1)).unwrap()) };
        image.brokers.insert(BrokerId(1), Arc::new(broker));
        let of = |directory| PartitionImage {
            directories: vec![(BrokerId(1), directory)],
            ..partition(Some(1), &[1])
        };
        let view = |directory| View::of(&image, "PLAINTEXT", &of(directory), None, V9);
        assert_eq!((view(good).leader, view(good).offline), (WireBroker(1), vec![]));
        assert_eq!((view(bad).leader, view(bad).offline), (WireBroker(-1), vec![WireBroker(1)]));
    }

    #[test]
    fn the_controller_is_a_live_broker() {
        let mut image = image();
        assert_eq!(controller(&image), WireBroker(1));
        image.controller = Some(BrokerId(3));
        assert_eq!(controller(&image), WireBroker(1), "3 is fenced");
        image.controller = Some(BrokerId(2));
        assert_eq!(controller(&image), WireBroker(2));
        assert_eq!(controller(&MetadataImage::default()), WireBroker(-1));
    }
}
