//! What the members of a consumer group subscribe to, counted.
//!
//! Must never forget a topic while a member names it, or a pattern that somebody subscribes to has matched it.

use std::collections::BTreeMap;

use super::assignor::SubscriptionType;
use super::member::pattern_of;
use crate::group::records::{ConsumerMember, Regex};

#[derive(Clone, Default, Debug)]
pub(super) struct Subscriptions {
    topics: BTreeMap<String, Count>,
    /// How many members subscribe to each pattern.
    patterns: BTreeMap<String, usize>,
    resolved: BTreeMap<String, Regex>,
}

/// How many members name a topic, and how many patterns match it.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
struct Count {
    by_name: usize,
    by_pattern: usize,
}

impl Subscriptions {
    pub(super) fn has_topic(&self, topic: &str) -> bool {
        self.topics.contains_key(topic)
    }

    pub(super) fn topics(&self) -> impl Iterator<Item = &str> {
        self.topics.keys().map(String::as_str)
    }

    pub(super) fn patterns(&self) -> impl Iterator<Item = &str> {
        self.patterns.keys().map(String::as_str)
    }

    pub(super) fn subscribers(&self, pattern: &str) -> usize {
        self.patterns.get(pattern).copied().unwrap_or(0)
    }

    pub(super) fn resolved(&self, pattern: &str) -> Option<&Regex> {
        self.resolved.get(pattern)
    }

    pub(super) fn resolved_patterns(&self) -> impl Iterator<Item = &str> {
        self.resolved.keys().map(String::as_str)
    }

    /// Any of the resolved patterns: they are all looked up at once.
    pub(super) fn some_resolved(&self) -> Option<&Regex> {
        self.resolved.values().next()
    }

    /// A member has changed, come (`None` before) or gone (`None` after).
    pub(super) fn change(&mut self, before: Option<&ConsumerMember>, after: Option<&ConsumerMember>) {
        // Up before down, so that what stays is not taken out in between.
        for topic in after.into_iter().flat_map(|member| &member.topics) {
            self.count(topic, |count| count.by_name += 1);
        }
        for topic in before.into_iter().flat_map(|member| &member.topics) {
            self.count(topic, |count| count.by_name = count.by_name.saturating_sub(1));
        }
        if let Some(pattern) = after.and_then(pattern_of) {
            *self.patterns.entry(pattern.to_owned()).or_default() += 1;
        }
        if let Some(pattern) = before.and_then(pattern_of)
            && let Some(count) = self.patterns.get_mut(pattern)
        {
            *count -= 1;
            if *count == 0 {
                self.patterns.remove(pattern);
            }
        }
    }

    /// The topics of a pattern are known, or known no more.
    pub(super) fn resolve(&mut self, pattern: &str, regex: Option<Regex>) {
        for topic in regex.iter().flat_map(|regex| &regex.topics) {
            self.count(topic, |count| count.by_pattern += 1);
        }
        let before = match regex {
            Some(regex) => self.resolved.insert(pattern.to_owned(), regex),
            None => self.resolved.remove(pattern),
        };
        for topic in before.iter().flat_map(|regex| &regex.topics) {
            self.count(topic, |count| count.by_pattern = count.by_pattern.saturating_sub(1));
        }
    }

    /// As they are once a member has changed, with the patterns that nobody subscribes to any more gone.
    pub(super) fn after(
        &self,
        changes: impl Iterator<Item = (Option<ConsumerMember>, Option<ConsumerMember>)>,
    ) -> Self {
        let mut next = self.clone();
        for (before, after) in changes {
            next.change(before.as_ref(), after.as_ref());
        }
        let unused: Vec<String> =
            next.resolved.keys().filter(|pattern| !next.patterns.contains_key(*pattern)).cloned().collect();
        for pattern in unused {
            next.resolve(&pattern, None);
        }
        next
    }

    /// Whether all members subscribe to the same topics, as far as counts can tell (`ConsumerGroup.subscriptionType`).
    pub(super) fn kind(&self, members: usize) -> SubscriptionType {
        let same = match self.patterns.values().next() {
            None => self.topics.values().all(|count| count.by_name == members),
            Some(&subscribers) => {
                subscribers == members
                    && self.topics.values().all(|count| count.by_pattern == 1 && count.by_name == 0)
            }
        };
        if same { SubscriptionType::Homogeneous } else { SubscriptionType::Heterogeneous }
    }

    fn count(&mut self, topic: &str, change: impl FnOnce(&mut Count)) {
        if !self.topics.contains_key(topic) {
            self.topics.insert(topic.to_owned(), Count::default());
        }
        let Some(count) = self.topics.get_mut(topic) else { return };
        change(count);
        if *count == Count::default() {
            self.topics.remove(topic);
        }
    }
}
