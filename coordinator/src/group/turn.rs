//! One step in progress: the time, the settings, and the output that grows.
//!
//! Must never outlive its step.

use milena_storage::ids::Timestamp;

use super::consumer::{GroupLimits, TopicHashes};
use super::records::{GroupMetadata, WireError};
use super::{GroupConfig, Name, Output, Record, Reply, Ticket, TimerKey};
use crate::image::MetadataImage;

pub(super) struct Turn<'a> {
    pub(super) now: Timestamp,
    pub(super) config: &'a GroupConfig,
    pub(super) image: &'a MetadataImage,
    pub(super) hashes: TopicHashes,
    /// The version of the metadata in which topics were created last.
    pub(super) topics_version: i64,
    pub(super) out: Output,
}

/// How far the output of a step was.
pub(super) struct Mark {
    records: usize,
    replies: usize,
    timers: usize,
}

impl<'a> Turn<'a> {
    pub(super) fn new(
        now: Timestamp,
        config: &'a GroupConfig,
        image: &'a MetadataImage,
        hashes: TopicHashes,
        topics_version: i64,
    ) -> Self {
        Self { now, config, image, hashes, topics_version, out: Output::default() }
    }

    pub(super) fn mark(&self) -> Mark {
        let out = &self.out;
        Mark { records: out.records.len(), replies: out.replies.len(), timers: out.timers.len() }
    }

    /// Takes back what has come since; for a request that is refused after all.
    pub(super) fn back_to(&mut self, mark: &Mark) {
        self.out.records.truncate(mark.records);
        self.out.replies.truncate(mark.replies);
        self.out.timers.truncate(mark.timers);
    }

    /// What holds for a consumer group.
    pub(super) fn consumer_config(&self, group: &str) -> GroupLimits {
        self.config.consumer.of_group(self.image, group)
    }

    pub(super) fn reply(&mut self, ticket: Ticket, reply: Reply) {
        self.out.replies.push((ticket, reply));
    }

    pub(super) fn record(&mut self, record: Record) {
        self.out.records.push(record);
    }

    /// `precheck` keeps out names that do not fit a record, so this fails only for a group that was loaded from a
    /// foreign log with longer ones; such a group goes on without being saved.
    pub(super) fn group_record(&mut self, group: &str, value: &GroupMetadata) {
        self.record_or_log(group, Record::group(group, value));
    }

    pub(super) fn record_or_log(&mut self, group: &str, record: Result<Record, WireError>) {
        match record {
            Ok(record) => self.record(record),
            Err(error) => tracing::error!(group, %error, "a group's change cannot be written"),
        }
    }

    /// Sets or moves a deadline. A negative delay, which a client may send, is no delay.
    pub(super) fn set_timer(&mut self, key: TimerKey, delay_ms: i64) {
        let at = self.now.0.saturating_add(delay_ms.max(0));
        self.out.timers.push((key, Some(Timestamp(at))));
    }

    pub(super) fn cancel_timer(&mut self, key: TimerKey) {
        self.out.timers.push((key, None));
    }

    pub(super) fn set_session(&mut self, group: &Name, member: &Name, timeout_ms: i32) {
        self.set_timer(
            TimerKey::Session { group: group.clone(), member: member.clone() },
            i64::from(timeout_ms),
        );
    }

    pub(super) fn cancel_session(&mut self, group: &Name, member: &Name) {
        self.cancel_timer(TimerKey::Session { group: group.clone(), member: member.clone() });
    }
}
