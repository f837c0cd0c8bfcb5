//! Where partitions begin and end, asked of their leaders.
//!
//! Must never take silence for an offset.

use std::collections::BTreeMap;

use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::{BrokerId, ListOffsetsRequest};

use super::{At, Client, Refused, topic_name};

/// Times that are not times (`ListOffsetsRequest`).
pub(in crate::tools) const LATEST: i64 = -1;
pub(in crate::tools) const EARLIEST: i64 = -2;
/// No offset has that time or a later one.
pub(in crate::tools) const NO_OFFSET: i64 = -1;

/// A partition by name.
pub(in crate::tools) type Partition = (String, i32);

/// The offset of each partition, or why there is none.
pub(in crate::tools) type Offsets = BTreeMap<Partition, Result<i64, Refused>>;

impl Client {
    /// The leaders of all partitions of these topics; those that have none are left out.
    pub(in crate::tools) fn leaders(&mut self, topics: &[&str]) -> Result<BTreeMap<Partition, i32>, Refused> {
        let mut leaders = BTreeMap::new();
        for topic in self.metadata(Some(topics), false)? {
            let name = topic.name.as_ref().map_or_else(String::new, |name| name.to_string());
            let led = topic.partitions.iter().filter(|partition| partition.leader_id.0 >= 0);
            leaders.extend(led.map(|led| ((name.clone(), led.partition_index), led.leader_id.0)));
        }
        Ok(leaders)
    }

    /// The offsets of these partitions at these times. What may pass is asked again until the time is up.
    pub(in crate::tools) fn offsets(
        &mut self,
        wanted: &[(Partition, i64)],
        read_committed: bool,
    ) -> Result<Offsets, Refused> {
        let deadline = self.deadline();
        let mut found = Offsets::new();
        let mut left: Vec<(Partition, i64)> = wanted.to_vec();
        while !left.is_empty() {
            let mut topics: Vec<&str> = left.iter().map(|((topic, _), _)| topic.as_str()).collect();
            topics.dedup();
            let leaders = self.leaders(&topics)?;
            let mut by_leader: BTreeMap<i32, Vec<(Partition, i64)>> = BTreeMap::new();
            let mut again = Vec::new();
            for one in left {
                match leaders.get(&one.0) {
                    Some(leader) => by_leader.entry(*leader).or_default().push(one),
                    None => again.push(one),
                }
            }
            for (leader, partitions) in by_leader {
                self.offsets_of(leader, &partitions, read_committed, &mut found)?;
                let may_pass = |(partition, _): &(Partition, i64)| {
                    let told = found.get(partition);
                    told.is_none_or(|told| {
                        told.as_ref()
                            .is_err_and(|refused| refused.error.is_some_and(|error| error.is_retriable()))
                    })
                };
                again.extend(partitions.iter().filter(|one| may_pass(one)).cloned());
            }
            left = again;
            if !left.is_empty() && !self.has_another(deadline) {
                let nothing =
                    || Err(Refused::timeout("Timed out waiting for a node assignment. Call: listOffsets"));
                for (partition, _) in left.drain(..) {
                    found.entry(partition).or_insert_with(nothing);
                }
            }
        }
        Ok(found)
    }

    fn offsets_of(
        &mut self,
        leader: i32,
        partitions: &[(Partition, i64)],
        read_committed: bool,
        found: &mut Offsets,
    ) -> Result<(), Refused> {
        let mut topics: BTreeMap<&str, Vec<ListOffsetsPartition>> = BTreeMap::new();
        for ((topic, index), time) in partitions {
            let partition =
                ListOffsetsPartition::default().with_partition_index(*index).with_timestamp(*time);
            topics.entry(topic).or_default().push(partition);
        }
        let topic = |(name, partitions): (&str, Vec<ListOffsetsPartition>)| {
            ListOffsetsTopic::default().with_name(topic_name(name)).with_partitions(partitions)
        };
        let request = ListOffsetsRequest::default()
            .with_replica_id(BrokerId(-1))
            .with_isolation_level(i8::from(read_committed))
            .with_topics(topics.into_iter().map(topic).collect());
        let timeout = self.timeout_ms();
        let answer = self.call(At::Node(leader), "listOffsets", |version| {
            let request = request.clone();
            if version >= 10 { request.with_timeout_ms(timeout) } else { request }
        })?;
        for topic in answer.topics {
            for partition in topic.partitions {
                let told = Refused::check(partition.error_code, None).map(|()| partition.offset);
                found.insert((topic.name.to_string(), partition.partition_index), told);
            }
        }
        Ok(())
    }
}
