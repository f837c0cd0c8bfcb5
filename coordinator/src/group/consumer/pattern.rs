//! Subscriptions by pattern: which topics they match, looked up for the whole group at once.
//!
//! Must never look them up while a member waits: they are taken up right after the step that asked for them.
//!
//! Kafka: `GroupMetadataManager.maybeUpdateRegularExpressions`, `TopicRegexResolver`. Patterns are RE2's: `syntax`
//! refuses what RE2 would, and the regex crate matches.

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::error::ResponseError;

use super::ConsumerGroup;
use super::member::Member;
use super::refused::Refused;
use super::{Refresh, syntax};
use crate::group::TimerKey;
use crate::group::groups::{self, Groups};
use crate::group::records::{ConsumerChange, GroupEpoch, Regex};
use crate::group::turn::Turn;

/// Patterns are not looked up more often than this (`REGEX_BATCH_REFRESH_MIN_INTERVAL_MS`).
const REFRESH_MIN_MS: i64 = 10_000;

/// How much memory one pattern may take when it is compiled; a client's pattern must not fill the broker's.
const COMPILED_BYTES_MAX: usize = 1 << 20;

/// What a request did to a member's pattern.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum PatternChange {
    None,
    /// To one whose topics are not known yet.
    ToUnknown,
    /// To one whose topics are known, or to none: the assignment can be made anew.
    ToKnown,
}

impl ConsumerGroup {
    pub(super) fn change_pattern(
        &mut self,
        turn: &mut Turn<'_>,
        old: &Member,
        updated: &Member,
    ) -> Result<PatternChange, Refused> {
        let (before, after) = (old.pattern(), updated.pattern());
        let mut change = PatternChange::None;
        let mut needed = false;
        if before != after {
            change = PatternChange::ToUnknown;
            if let Some(before) = before.filter(|before| self.subscriptions.subscribers(before) == 1) {
                self.write(turn, &ConsumerChange::Regex(before.to_owned(), None));
            }
            match after {
                Some(after) if self.subscriptions.subscribers(after) == 0 => {
                    check(after)?;
                    needed = true;
                }
                Some(after) if self.subscriptions.resolved(after).is_none() => {}
                _ => change = PatternChange::ToKnown,
            }
        }
        self.refresh_patterns(turn, before, after, needed);
        Ok(change)
    }

    fn refresh_patterns(
        &mut self,
        turn: &mut Turn<'_>,
        before: Option<&str>,
        after: Option<&str>,
        mut needed: bool,
    ) {
        let idle = !needed && self.subscriptions.patterns().next().is_none();
        if idle || self.resolving.is_some() {
            return;
        }
        let last = self.subscriptions.some_resolved();
        let (last_at, last_version) = last.map_or((i64::MIN, 0), |regex| (regex.at.0, regex.version));
        // Below 0 where a clock was set back, or another broker's is ahead.
        let since = turn.now.0.saturating_sub(last_at);
        if (0..=REFRESH_MIN_MS).contains(&since) {
            return;
        }
        let mut patterns: BTreeSet<String> = self.subscriptions.patterns().map(str::to_owned).collect();
        if let Some(before) = before.filter(|before| Some(*before) != after)
            && self.subscriptions.subscribers(before) <= 1
        {
            patterns.remove(before);
        }
        patterns.extend(after.map(str::to_owned));
        needed |= patterns.len() != self.subscriptions.resolved_patterns().count();
        needed |= last_version < turn.topics_version;
        needed |= !(0..=turn.config.consumer.regex_refresh_ms).contains(&since);
        if needed && !patterns.is_empty() {
            self.resolving = Some(patterns);
            turn.set_timer(TimerKey::Patterns { group: self.id.clone() }, 0);
        }
    }

    fn resolve_patterns(&mut self, turn: &mut Turn<'_>) {
        let Some(patterns) = self.resolving.take() else { return };
        let version = turn.image.zxid.0;
        let mut next = self.subscriptions.clone();
        let mut bump = false;
        for (pattern, topics) in matches(turn, &patterns) {
            if self.subscriptions.subscribers(&pattern) == 0 {
                continue;
            }
            bump |= match self.subscriptions.resolved(&pattern) {
                Some(before) => before.topics != topics,
                None => !topics.is_empty(),
            };
            let regex = Regex { topics, version, at: turn.now };
            next.resolve(&pattern, Some(regex.clone()));
            self.write(turn, &ConsumerChange::Regex(pattern, Some(regex)));
        }
        let metadata_hash = turn.hashes.of_group(turn.image, next.topics());
        if bump || metadata_hash != self.metadata_hash {
            let epoch = self.epoch.saturating_add(1);
            self.write(turn, &ConsumerChange::Epoch(Some(GroupEpoch { epoch, metadata_hash })));
            self.refresh = Refresh { needed: false, epoch };
        }
    }
}

/// The patterns of a group are to be looked up.
pub(in crate::group) fn patterns_due(groups: &mut Groups, turn: &mut Turn<'_>, id: &str) {
    if let Some(group) = groups::consumer_mut(groups, id) {
        group.resolve_patterns(turn);
    }
}

/// The topics that each pattern matches as a whole.
fn matches(turn: &Turn<'_>, patterns: &BTreeSet<String>) -> BTreeMap<String, BTreeSet<String>> {
    let compiled = patterns.iter().map(|pattern| {
        let topics = match compile(pattern) {
            Ok(regex) => {
                let names = turn.image.topics().map(|topic| &topic.name);
                names.filter(|name| regex.is_match(name)).map(|name| name.to_string()).collect()
            }
            // Of a member that another broker let in.
            Err(_) => BTreeSet::new(),
        };
        (pattern.clone(), topics)
    });
    compiled.collect()
}

/// The pattern, to be matched against whole names.
fn compile(pattern: &str) -> Result<regex::Regex, regex::Error> {
    let build = |pattern: &str| regex::RegexBuilder::new(pattern).size_limit(COMPILED_BYTES_MAX).build();
    // Alone first: a pattern that closes our group is not one. The line feed ends a comment of `(?x)`.
    build(pattern)?;
    build(&format!("\\A(?:{pattern})\\z")).or_else(|_| build(&format!("\\A(?:{pattern}\n)\\z")))
}

fn check(pattern: &str) -> Result<(), Refused> {
    let refused = |fault: &str| {
        let message = format!("SubscribedTopicRegex `{pattern}` is not a valid regular expression: {fault}.");
        Refused::new(ResponseError::InvalidRegularExpression, message)
    };
    syntax::check(pattern).map_err(refused)?;
    compile(pattern).map(drop).map_err(|_| refused("it is too large"))
}

#[cfg(test)]
mod tests {
    use super::compile;

    #[test]
    fn a_pattern_matches_whole_names() {
        let matches = |pattern: &str, name: &str| compile(pattern).unwrap().is_match(name);
        assert!(matches("foo|bar", "foo"));
        assert!(!matches("foo|bar", "foobar"));
        assert!(!matches("fo", "foo"));
        assert!(matches("fo.*", "foo"));
        assert!(matches("(?i)FOO", "foo"));
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for pattern in ["[", "a)(b", "(", "*", "(?P<a", "a{1000}{1000}{1000}"] {
            assert!(compile(pattern).is_err(), "{pattern}");
        }
    }
}
