//! One member of a group by the consumer protocol (KIP-848): heartbeats, what the coordinator assigns, commits, leaves.
//!
//! Must never read a partition that the coordinator did not assign, nor give one up before what was read of it is committed.

use std::collections::BTreeMap;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use kafka_protocol::messages::{ConsumerGroupHeartbeatRequest, GroupId, TopicName};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::fetch::Fetcher;
use super::offsets::{self, Owner};
use crate::tools::client::{At, Partition, Properties, Refused, topic_name, wrong};
use crate::tools::console::Console;

/// Properties that this protocol has no use for (`ConsumerConfig.CONSUMER_PROTOCOL_UNSUPPORTED_CONFIGS`).
const FOREIGN: [&str; 5] = [
    "partition.assignment.strategy",
    "heartbeat.interval.ms",
    "session.timeout.ms",
    "share.acknowledgement.mode",
    "share.acquire.mode",
];
/// From this version on a member names itself.
const NAMES_ITSELF: i16 = 1;
/// Epochs that say that a member goes: for good, or to come again.
const LEAVES: i32 = -1;
const LEAVES_FOR_NOW: i32 = -2;

/// Partitions by the ids of their topics.
type Assignment = BTreeMap<Uuid, Vec<i32>>;

pub(super) struct Member {
    group: String,
    instance: Option<String>,
    rack: Option<String>,
    assignor: Option<String>,
    poll_interval_ms: i32,
    commit_ms: Option<i64>,
    coordinator: Option<At>,
    id: String,
    /// 0 while it is no member.
    epoch: i32,
    heartbeat_ms: i64,
    topics: Vec<String>,
    owned: Assignment,
    /// What the coordinator wants it to own.
    target: Option<Assignment>,
    /// What the next heartbeat has to tell.
    tells_topics: bool,
    tells_owned: bool,
    beaten_at: i64,
    committed_at: i64,
    committed: BTreeMap<Partition, i64>,
}

/// Refuses properties that do not go with the protocol that they name; whether that is this one.
pub(super) fn is_asked_for(properties: &Properties) -> Result<bool, Refused> {
    let protocol = properties.get("group.protocol").unwrap_or("classic").trim();
    let (name, foreign): (&str, &[&str]) = match protocol.to_lowercase().as_str() {
        "consumer" => ("CONSUMER", &FOREIGN),
        "classic" => ("CLASSIC", &["group.remote.assignor", FOREIGN[3], FOREIGN[4]]),
        _ => {
            let known = "String must be one of (case insensitive): CLASSIC, CONSUMER";
            return Err(wrong(format!("Invalid value {protocol} for configuration group.protocol: {known}")));
        }
    };
    let is_set = |name: &&&str| properties.get(name).is_some_and(|text| !text.trim().is_empty());
    let unfit: Vec<&str> = foreign.iter().filter(is_set).copied().collect();
    if unfit.is_empty() {
        return Ok(name == "CONSUMER");
    }
    Err(wrong(format!("{} cannot be set when group.protocol={name}", unfit.join(", "))))
}

impl Member {
    pub(super) fn new(group: &str, properties: &Properties) -> Result<Self, Refused> {
        let commits =
            properties.get("enable.auto.commit").is_none_or(|text| text.trim().eq_ignore_ascii_case("true"));
        let commit_ms = properties.number("auto.commit.interval.ms", 5_000_i64)?;
        let named = |name: &str| properties.get(name).filter(|text| !text.is_empty()).map(str::to_owned);
        Ok(Self {
            group: group.to_owned(),
            instance: named("group.instance.id"),
            rack: named("client.rack"),
            assignor: named("group.remote.assignor"),
            poll_interval_ms: properties.number("max.poll.interval.ms", 300_000)?,
            commit_ms: commits.then_some(commit_ms),
            coordinator: None,
            id: Uuid::new_v4().to_string(),
            epoch: 0,
            heartbeat_ms: 0,
            topics: Vec::new(),
            owned: Assignment::new(),
            target: None,
            tells_topics: true,
            tells_owned: true,
            beaten_at: 0,
            committed_at: 0,
            committed: BTreeMap::new(),
        })
    }

    /// Keeps the membership: says that it is alive, takes what it is given, commits when it is time.
    pub(super) fn keep(
        &mut self,
        fetcher: &mut Fetcher,
        topics: &[(String, i32)],
        changed: bool,
        console: &mut Console,
    ) -> Result<(), Refused> {
        let names: Vec<String> = topics.iter().map(|(name, _)| name.clone()).collect();
        if changed && names != self.topics {
            self.topics = names;
            self.tells_topics = true;
        }
        if self.topics.is_empty() {
            return Ok(());
        }
        let deadline = fetcher.client.deadline();
        loop {
            let Err(refused) = self.step(fetcher) else { return Ok(()) };
            if !self.recovers(&refused, fetcher) {
                return Err(refused);
            }
            console.flush();
            if !fetcher.client.has_another(deadline) {
                return Err(refused);
            }
        }
    }

    fn step(&mut self, fetcher: &mut Fetcher) -> Result<(), Refused> {
        let now = fetcher.client.steady_ms();
        if self.epoch > 0 && self.commit_ms.is_some_and(|every| now - self.committed_at >= every) {
            self.committed_at = now;
            fetcher.pass_all();
            self.commit(fetcher)?;
        }
        let is_due = self.epoch == 0 || self.tells_topics || now - self.beaten_at >= self.heartbeat_ms;
        if is_due {
            self.beaten_at = now;
            self.beat(fetcher)?;
        }
        // What it has given up may be given to another, and what it has taken is noted.
        while let Some(target) = self.target.clone() {
            self.reconcile(&target, fetcher)?;
            self.target = None;
            self.tells_owned = true;
            self.beat(fetcher)?;
        }
        Ok(())
    }

    /// Whether to go on after this, with what is to be done anew.
    fn recovers(&mut self, refused: &Refused, fetcher: &mut Fetcher) -> bool {
        use ResponseError as E;
        match refused.error {
            Some(E::FencedMemberEpoch | E::UnknownMemberId) => {
                self.epoch = 0;
                self.target = None;
                self.owned.clear();
                fetcher.assign(Vec::new());
            }
            // The next heartbeat tells the epoch.
            Some(E::StaleMemberEpoch) => self.beaten_at = i64::MIN / 2,
            Some(E::NotCoordinator | E::CoordinatorNotAvailable | E::NetworkException) => {
                self.coordinator = None;
            }
            Some(E::CoordinatorLoadInProgress) => {}
            _ => return false,
        }
        true
    }

    fn at(&mut self, fetcher: &mut Fetcher) -> Result<At, Refused> {
        if let Some(at) = self.coordinator {
            return Ok(at);
        }
        let at = fetcher.client.coordinator(&self.group)?;
        self.coordinator = Some(at);
        Ok(at)
    }

    /// One heartbeat, and what it is answered with.
    fn beat(&mut self, fetcher: &mut Fetcher) -> Result<(), Refused> {
        let at = self.at(fetcher)?;
        let joins = self.epoch == 0;
        let limit = fetcher.client.request_timeout();
        let answer = fetcher.client.try_call(at, |version| self.heartbeat(self.epoch, version), limit);
        let answer = answer.map_err(|refused| {
            if refused.is(ResponseError::UnsupportedVersion) {
                refused.saying(
                    "The cluster does not support the new CONSUMER group protocol. Set group.protocol=classic on the \
                     consumer configs to revert to the CLASSIC protocol until the cluster is upgraded."
                        .to_owned(),
                )
            } else {
                refused
            }
        })?;
        Refused::check(answer.error_code, answer.error_message.as_deref())?;
        if let Some(id) = answer.member_id {
            self.id = id.to_string();
        }
        self.epoch = answer.member_epoch;
        self.heartbeat_ms = answer.heartbeat_interval_ms.into();
        (self.tells_topics, self.tells_owned) = (false, false);
        if joins {
            self.committed_at = fetcher.client.steady_ms();
        }
        if let Some(assignment) = answer.assignment {
            let partitions = assignment.topic_partitions.into_iter();
            let target: Assignment = partitions.map(|topic| (topic.topic_id, topic.partitions)).collect();
            self.target = Some(target).filter(|target| *target != self.owned);
        }
        Ok(())
    }

    fn heartbeat(&self, epoch: i32, version: i16) -> ConsumerGroupHeartbeatRequest {
        let joins = epoch == 0;
        let id = if joins && version < NAMES_ITSELF { "" } else { &self.id };
        let request = ConsumerGroupHeartbeatRequest::default()
            .with_group_id(self.group_id())
            .with_member_id(text(id))
            .with_member_epoch(epoch)
            .with_instance_id(self.instance.as_deref().map(text))
            .with_rebalance_timeout_ms(if joins { self.poll_interval_ms } else { -1 });
        if epoch < 0 {
            return request;
        }
        let names = || self.topics.iter().map(|name| topic_name(name)).collect::<Vec<TopicName>>();
        let owned = || {
            let topic = |(id, partitions): (&Uuid, &Vec<i32>)| {
                TopicPartitions::default().with_topic_id(*id).with_partitions(partitions.clone())
            };
            self.owned.iter().map(topic).collect()
        };
        let of_joining = |text: Option<&str>| text.filter(|_| joins).map(self::text);
        request
            .with_rack_id(of_joining(self.rack.as_deref()))
            .with_server_assignor(of_joining(self.assignor.as_deref()))
            .with_subscribed_topic_names((joins || self.tells_topics).then(names))
            .with_topic_partitions((joins || self.tells_owned).then(owned))
    }

    /// Reads what it is to own, and no more. Partitions that it keeps go on where they are.
    fn reconcile(&mut self, target: &Assignment, fetcher: &mut Fetcher) -> Result<(), Refused> {
        let mut named: Vec<Partition> = Vec::new();
        for (id, partitions) in target {
            // Its name comes with the next metadata.
            let unknown =
                || Refused::of(ResponseError::UnknownTopicId.code(), None).expect("an error's code");
            let name = fetcher.name_of(*id).ok_or_else(unknown)?.to_owned();
            named.extend(partitions.iter().map(|index| (name.clone(), *index)));
        }
        fetcher.pass_all();
        if self.owned.iter().any(|(id, partitions)| target.get(id) != Some(partitions)) {
            self.commit(fetcher)?;
        }
        let kept: BTreeMap<Partition, i64> = fetcher
            .positions()
            .filter(|(partition, _)| named.contains(partition))
            .map(|(partition, offset)| (partition.clone(), offset))
            .collect();
        let taken: Vec<Partition> =
            named.into_iter().filter(|partition| !kept.contains_key(partition)).collect();
        let at = self.at(fetcher)?;
        let committed = offsets::committed(fetcher, at, &self.group_id(), &taken)?;
        let starts = offsets::starts(fetcher, &committed, taken)?;
        self.committed.retain(|partition, _| kept.contains_key(partition));
        self.committed.extend(committed);
        fetcher.assign(kept.into_iter().chain(starts).collect());
        self.owned = target.clone();
        Ok(())
    }

    fn commit(&mut self, fetcher: &mut Fetcher) -> Result<(), Refused> {
        if self.commit_ms.is_none() || self.epoch <= 0 {
            return Ok(());
        }
        let at = self.at(fetcher)?;
        let instance = self.instance.as_deref().map(text);
        let owner = Owner { group: self.group_id(), member: text(&self.id), instance, epoch: self.epoch };
        offsets::commit(fetcher, at, &owner, &mut self.committed)
    }

    /// Commits what was read, and goes; a static member is expected again.
    pub(super) fn leave(&mut self, fetcher: &mut Fetcher) {
        if self.epoch <= 0 {
            return;
        }
        if self.commit(fetcher).is_err() {
            self.coordinator = None;
            // Once more, elsewhere and with the epoch of now; after that what was read is read again.
            let _ = self.beat(fetcher).and_then(|()| self.commit(fetcher));
        }
        let epoch = if self.instance.is_some() { LEAVES_FOR_NOW } else { LEAVES };
        let Ok(at) = self.at(fetcher) else { return };
        let limit = fetcher.client.request_timeout();
        let _ = fetcher.client.try_call(at, |version| self.heartbeat(epoch, version), limit);
    }

    fn group_id(&self) -> GroupId {
        GroupId(text(&self.group))
    }
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_of_another_protocol_are_refused() {
        let asked = |pairs: &[&str]| {
            let mut properties = Properties::default();
            properties.add(pairs);
            is_asked_for(&properties).map_err(|refused| refused.message)
        };
        assert_eq!(asked(&[]), Ok(false));
        assert_eq!(asked(&["group.protocol=Classic", "session.timeout.ms=5000"]), Ok(false));
        assert_eq!(asked(&["group.protocol=CONSUMER"]), Ok(true));
        let told = "heartbeat.interval.ms, session.timeout.ms cannot be set when group.protocol=CONSUMER";
        let pairs = ["group.protocol=consumer", "session.timeout.ms=5000", "heartbeat.interval.ms=1"];
        assert_eq!(asked(&pairs), Err(told.to_owned()));
        assert!(asked(&["group.remote.assignor=range"]).is_err());
        assert!(asked(&["group.protocol=share"]).is_err());
    }

    #[test]
    fn a_heartbeat_tells_what_is_new() {
        let mut member = Member::new("g", &Properties::default()).expect("good properties");
        member.topics = vec!["t".to_owned()];
        let joining = member.heartbeat(0, 1);
        assert_eq!((joining.member_epoch, joining.rebalance_timeout_ms), (0, 300_000));
        assert_eq!(joining.topic_partitions.as_deref(), Some(&[][..]));
        assert_eq!(member.heartbeat(0, 0).member_id.as_str(), "", "the coordinator names it");
        (member.tells_topics, member.tells_owned) = (false, false);
        let idle = member.heartbeat(3, 1);
        assert_eq!((idle.subscribed_topic_names, idle.topic_partitions), (None, None));
        assert_eq!(idle.rebalance_timeout_ms, -1);
        assert_eq!(member.heartbeat(LEAVES, 1).member_epoch, -1);
    }
}
