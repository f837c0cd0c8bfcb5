//! The topics in a consumer's embedded subscription.
//!
//! Must never reject a group for a subscription that it cannot read: then the topics are unknown, no more.

use std::collections::BTreeSet;

use super::ClassicGroup;
use crate::group::records::WireError;
use crate::group::records::wire::Reader;

impl ClassicGroup {
    /// Kafka's `ClassicGroup.computeSubscribedTopics`.
    pub(super) fn refresh_subscription(&mut self) {
        self.subscribed = self.compute_subscription();
    }

    fn compute_subscription(&self) -> Option<BTreeSet<String>> {
        if !self.uses_consumer_protocol() {
            return None;
        }
        let mut topics = BTreeSet::new();
        if self.members.is_empty() {
            return Some(topics);
        }
        let protocol = self.protocol.as_deref()?;
        for member in self.members.values() {
            read_topics(&member.metadata(protocol), &mut topics).ok()?;
        }
        Some(topics)
    }
}

/// Every version of ConsumerProtocolSubscription begins with version 0, so that is enough: an int16 version and an
/// array of strings.
fn read_topics(subscription: &[u8], topics: &mut BTreeSet<String>) -> Result<(), WireError> {
    let mut reader = Reader::new(subscription);
    reader.i16("subscription version")?;
    for _ in 0..reader.array_len("topics", false)? {
        topics.insert(reader.string("topic")?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::read_topics;

    #[test]
    fn topics_are_read_from_any_version() {
        let mut topics = BTreeSet::new();
        read_topics(b"\x00\x03\x00\x00\x00\x02\x00\x01a\x00\x01b\xff\xff\xff\xffwhatever", &mut topics)
            .unwrap();
        assert_eq!(topics, BTreeSet::from(["a".to_owned(), "b".to_owned()]));
    }

    #[test]
    fn a_subscription_that_lies_is_an_error_and_not_an_allocation() {
        assert!(read_topics(b"\x00\x00\x7f\xff\xff\xff\x00\x01a", &mut BTreeSet::new()).is_err());
        assert!(read_topics(b"\x00", &mut BTreeSet::new()).is_err());
    }
}
