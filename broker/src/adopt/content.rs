//! What the records of a metadata log add up to: topics with their partitions, configs, the next producer id.
//!
//! It must never depend on how the records were stored.

use std::collections::{BTreeMap, BTreeSet};

use milena_coordinator::controller::{Adopted, AdoptedPartition, AdoptedTopic};
use milena_coordinator::image::{ConfigKind, Configs, QuotaEntity};
use milena_storage::ids::BrokerId;
use uuid::Uuid;

use super::record::{MetadataRecord, PartitionState};

/// The state after the records so far.
#[derive(Debug, Default)]
pub(super) struct Content {
    topics: BTreeMap<Uuid, Topic>,
    configs: BTreeMap<(ConfigKind, String), Configs>,
    /// Those of users are among the configs.
    quotas: BTreeMap<QuotaEntity, Configs>,
    next_producer_id: i64,
    /// Records of a metadata transaction that has not ended (KIP-868).
    pending: Option<Vec<MetadataRecord>>,
    pub not_taken: BTreeSet<&'static str>,
}

#[derive(Debug, Default)]
struct Topic {
    name: String,
    partitions: BTreeMap<i32, PartitionState>,
}

impl Content {
    pub(super) fn apply(&mut self, record: MetadataRecord) {
        match (record, &mut self.pending) {
            (MetadataRecord::BeginTransaction, pending) => *pending = Some(Vec::new()),
            (MetadataRecord::AbortTransaction, pending) => *pending = None,
            (MetadataRecord::EndTransaction, pending) => {
                let records = pending.take().unwrap_or_default();
                records.into_iter().for_each(|record| self.apply(record));
            }
            (record, Some(pending)) => pending.push(record),
            (record, None) => self.enter(record),
        }
    }

    fn enter(&mut self, record: MetadataRecord) {
        match record {
            MetadataRecord::Topic { name, id } => {
                self.topics.insert(id, Topic { name, ..Topic::default() });
            }
            MetadataRecord::RemoveTopic(id) => {
                if let Some(topic) = self.topics.remove(&id) {
                    self.configs.remove(&(ConfigKind::Topic, topic.name));
                }
            }
            MetadataRecord::Partition(state) => {
                if let Some(topic) = self.topics.get_mut(&state.topic) {
                    topic.partitions.insert(state.index, state);
                }
            }
            MetadataRecord::PartitionChange { topic, index, isr, leader, replicas } => {
                let topic = self.topics.get_mut(&topic);
                let Some(state) = topic.and_then(|topic| topic.partitions.get_mut(&index)) else { return };
                // A change that names a leader, even the same one, is an election (PartitionRegistration.merge).
                state.leader_epoch += i32::from(leader.is_some());
                state.isr = isr.unwrap_or_else(|| std::mem::take(&mut state.isr));
                state.replicas = replicas.unwrap_or_else(|| std::mem::take(&mut state.replicas));
            }
            MetadataRecord::Config { kind, name, key, value } => {
                let configs = self.configs.entry((kind, name)).or_default();
                match value {
                    Some(value) => configs.insert(key, value),
                    None => configs.remove(&key),
                };
            }
            MetadataRecord::Quota { entity, key, value } => {
                let configs = match &entity {
                    QuotaEntity::User(user) => {
                        self.configs.entry((ConfigKind::User, user.to_string())).or_default()
                    }
                    _ => self.quotas.entry(entity).or_default(),
                };
                match value {
                    Some(value) => configs.insert(key, value.to_string()),
                    None => configs.remove(&key),
                };
            }
            MetadataRecord::ProducerIds(next) => self.next_producer_id = self.next_producer_id.max(next),
            MetadataRecord::NotTaken(what) => {
                self.not_taken.insert(what);
            }
            MetadataRecord::BeginTransaction
            | MetadataRecord::EndTransaction
            | MetadataRecord::AbortTransaction
            | MetadataRecord::Ignored => {}
        }
    }

    /// The configs of one kind, by name.
    pub(super) fn of_kind(self, of: ConfigKind) -> Vec<(String, Configs)> {
        let configs =
            self.configs.into_iter().filter(|((kind, _), configs)| *kind == of && !configs.is_empty());
        configs.map(|((_, name), configs)| (name, configs)).collect()
    }

    /// What `node` takes up, and what must be said of it. The brokers of the cluster that was are not there, so a
    /// partition that the node has is led by it alone.
    pub(super) fn adopted(self, node: BrokerId) -> (Adopted, Vec<String>) {
        let mut notes = Vec::new();
        let mut elsewhere = 0;
        let mut topics = Vec::new();
        for (id, Topic { name, partitions }) in self.topics {
            if !partitions.keys().copied().eq((0..).take(partitions.len())) || partitions.is_empty() {
                notes.push(format!("topic {name} is left out: its partitions are not numbered from 0"));
                continue;
            }
            let mut take = |state: PartitionState| {
                let here = state.replicas.contains(&node.0);
                elsewhere += usize::from(!here);
                if here && !state.isr.contains(&node.0) {
                    notes.push(format!(
                        "{name}-{}: this node was not in sync and may lack records",
                        state.index
                    ));
                }
                let replicas =
                    if here { vec![node] } else { state.replicas.into_iter().map(BrokerId).collect() };
                AdoptedPartition { replicas, leader_epoch: state.leader_epoch, in_sync_here: here }
            };
            let partitions = partitions.into_values().map(&mut take).collect();
            topics.push(AdoptedTopic { name, id, partitions });
        }
        if elsewhere > 0 {
            notes.push(format!("{elsewhere} partitions lie on other nodes only and have no leader"));
        }
        if !self.not_taken.is_empty() {
            let names: Vec<_> = self.not_taken.into_iter().collect();
            notes.push(format!("not taken over: {}", names.join(", ")));
        }
        let configs = self.configs.into_iter().filter(|(_, configs)| !configs.is_empty());
        let configs = configs.map(|((kind, name), configs)| (kind, name, configs)).collect();
        let quotas = self.quotas.into_iter().filter(|(_, configs)| !configs.is_empty()).collect();
        let next_producer_id = self.next_producer_id;
        (Adopted { node, topics, configs, quotas, next_producer_id, mark: String::new() }, notes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: Uuid = Uuid::from_u128(5);

    fn partition(index: i32, replicas: &[i32], isr: &[i32]) -> MetadataRecord {
        MetadataRecord::Partition(PartitionState {
            topic: ID,
            index,
            replicas: replicas.to_vec(),
            isr: isr.to_vec(),
            leader_epoch: 3,
        })
    }

    fn topic(name: &str) -> MetadataRecord {
        MetadataRecord::Topic { name: name.into(), id: ID }
    }

    fn change(index: i32, leader: Option<i32>) -> MetadataRecord {
        MetadataRecord::PartitionChange { topic: ID, index, isr: None, leader, replicas: None }
    }

    fn content(records: impl IntoIterator<Item = MetadataRecord>) -> Content {
        let mut content = Content::default();
        records.into_iter().for_each(|record| content.apply(record));
        content
    }

    #[test]
    fn topics_are_taken_up_with_their_newest_epochs() {
        let records =
            [topic("t"), partition(0, &[1], &[1]), change(0, Some(-1)), change(0, Some(1)), change(0, None)];
        let (adopted, notes) = content(records).adopted(BrokerId(1));
        assert!(notes.is_empty(), "{notes:?}");
        let expected = AdoptedPartition { replicas: vec![BrokerId(1)], leader_epoch: 5, in_sync_here: true };
        assert_eq!(adopted.topics[0].partitions, [expected]);
    }

    #[test]
    fn what_was_removed_or_aborted_is_not_there() {
        let records = [
            topic("gone"),
            MetadataRecord::RemoveTopic(ID),
            MetadataRecord::BeginTransaction,
            topic("never"),
            MetadataRecord::AbortTransaction,
            MetadataRecord::BeginTransaction,
            MetadataRecord::ProducerIds(3000),
            MetadataRecord::EndTransaction,
            MetadataRecord::BeginTransaction,
            topic("not yet"),
        ];
        let (adopted, _) = content(records).adopted(BrokerId(1));
        assert!(adopted.topics.is_empty());
        assert_eq!(adopted.next_producer_id, 3000);
    }

    #[test]
    fn partitions_of_other_nodes_and_late_replicas_are_told() {
        let records = [topic("t"), partition(0, &[2, 3], &[2]), partition(1, &[1, 2], &[2])];
        let (adopted, notes) = content(records).adopted(BrokerId(1));
        assert_eq!(notes.len(), 2, "{notes:?}");
        let here: Vec<_> = adopted.topics[0].partitions.iter().map(|each| each.in_sync_here).collect();
        assert_eq!(here, [false, true]);
        assert_eq!(adopted.topics[0].partitions[0].replicas, [BrokerId(2), BrokerId(3)]);
    }
}
