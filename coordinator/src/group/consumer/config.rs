//! The settings of consumer groups, and what one group has of its own.
//!
//! Must never let a group leave the limits of the broker.

use std::ops::RangeInclusive;

use super::Assignor;
use crate::image::{ConfigKind, Configs, MetadataImage};

/// Defaults are Kafka's.
#[derive(Clone, Debug)]
pub struct ConsumerConfig {
    /// `group.consumer.session.timeout.ms`
    pub session_timeout_ms: i32,
    /// `group.consumer.min.session.timeout.ms`, `group.consumer.max.session.timeout.ms`
    pub session_timeout_range: RangeInclusive<i32>,
    /// `group.consumer.heartbeat.interval.ms`
    pub heartbeat_interval_ms: i32,
    /// `group.consumer.min.heartbeat.interval.ms`, `group.consumer.max.heartbeat.interval.ms`
    pub heartbeat_interval_range: RangeInclusive<i32>,
    /// `group.consumer.assignment.interval.ms`
    pub assignment_interval_ms: i32,
    /// `group.consumer.min.assignment.interval.ms`, `group.consumer.max.assignment.interval.ms`
    pub assignment_interval_range: RangeInclusive<i32>,
    /// `group.consumer.max.size`
    pub max_size: usize,
    /// `group.consumer.assignors`; the first is for groups whose members ask for none. Never empty.
    pub assignors: Vec<Assignor>,
    /// `group.consumer.migration.policy`
    pub migration: MigrationPolicy,
    /// `group.consumer.regex.refresh.interval.ms`
    pub regex_refresh_ms: i64,
}

/// Which way a group may change while it has members.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MigrationPolicy {
    pub upgrade: bool,
    pub downgrade: bool,
}

impl Default for ConsumerConfig {
    fn default() -> Self {
        Self {
            session_timeout_ms: 45_000,
            session_timeout_range: 45_000..=60_000,
            heartbeat_interval_ms: 5_000,
            heartbeat_interval_range: 5_000..=15_000,
            assignment_interval_ms: 1_000,
            assignment_interval_range: 0..=15_000,
            max_size: i32::MAX as usize,
            assignors: vec![Assignor::Uniform, Assignor::Range],
            migration: MigrationPolicy { upgrade: true, downgrade: true },
            regex_refresh_ms: 600_000,
        }
    }
}

/// What holds for one group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::group) struct GroupLimits {
    pub(in crate::group) session_timeout_ms: i32,
    pub(in crate::group) heartbeat_interval_ms: i32,
    pub(in crate::group) assignment_interval_ms: i32,
}

impl ConsumerConfig {
    /// What a group set (`GroupConfig`), brought within the limits; or the broker's values.
    pub(in crate::group) fn of_group(&self, image: &MetadataImage, group: &str) -> GroupLimits {
        let own = image.config(ConfigKind::Group, group);
        let of = |name, range: &RangeInclusive<i32>| {
            let set = number(own?, name)?;
            Some(set.clamp(*range.start(), (*range.end()).max(*range.start())))
        };
        // The only one of them that operators may change while the broker runs.
        let interval = image
            .config(ConfigKind::Broker, "")
            .and_then(|configs| number(configs, "group.consumer.assignment.interval.ms"))
            .unwrap_or(self.assignment_interval_ms);
        GroupLimits {
            session_timeout_ms: of("consumer.session.timeout.ms", &self.session_timeout_range)
                .unwrap_or(self.session_timeout_ms),
            heartbeat_interval_ms: of("consumer.heartbeat.interval.ms", &self.heartbeat_interval_range)
                .unwrap_or(self.heartbeat_interval_ms),
            assignment_interval_ms: of("consumer.assignment.interval.ms", &self.assignment_interval_range)
                .unwrap_or(interval),
        }
    }
}

fn number(configs: &Configs, name: &str) -> Option<i32> {
    configs.get(name)?.trim().parse().ok()
}
