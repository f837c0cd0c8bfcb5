//! What classic consumers put into JoinGroup and get from SyncGroup: the embedded consumer protocol.
//!
//! Must never trust a length in it.
//!
//! Kafka: `ConsumerProtocolSubscription` and `ConsumerProtocolAssignment`, versions 0 to 3; later ones begin the same.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::group::records::wire::{Reader, Writer};
use crate::group::records::{Owned, Partitions, WireError};
use crate::image::MetadataImage;

const NEWEST: i16 = 3;

pub(super) struct Subscription {
    pub(super) topics: Vec<String>,
    pub(super) owned: BTreeMap<String, Vec<i32>>,
    pub(super) rack_id: Option<String>,
}

impl Subscription {
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(bytes);
        let version = reader.i16("version")?;
        let mut topics = Vec::new();
        for _ in 0..reader.array_len("topics", false)? {
            topics.push(reader.string("topic")?);
        }
        skip_user_data(&mut reader)?;
        let mut subscription = Self { topics, owned: BTreeMap::new(), rack_id: None };
        if version >= 1 {
            subscription.owned = read_partitions(&mut reader)?;
        }
        if version >= 2 {
            reader.i32("generation")?;
        }
        if version >= 3 {
            subscription.rack_id = reader.nullable_string("rack id")?.filter(|rack| !rack.is_empty());
        }
        Ok(subscription)
    }
}

/// Partitions by topic name, and whether an assignor of the user's own added something that nobody here can read.
pub(super) fn decode_assignment(bytes: &[u8]) -> Result<(BTreeMap<String, Vec<i32>>, bool), WireError> {
    let mut reader = Reader::new(bytes);
    reader.i16("version")?;
    let partitions = read_partitions(&mut reader)?;
    let user_data = skip_user_data(&mut reader)?;
    Ok((partitions, user_data > 0))
}

/// The assignment in the version of the subscription that it answers.
pub(super) fn encode_assignment(
    image: &MetadataImage,
    partitions: &Partitions,
    subscription: &[u8],
) -> Result<Bytes, WireError> {
    let version = Reader::new(subscription).i16("version")?.clamp(0, NEWEST);
    let known: Vec<_> = partitions
        .iter()
        .filter_map(|(id, indexes)| image.topic_by_id(*id).map(|topic| (&topic.name, indexes)))
        .collect();
    let mut writer = Writer::new(64);
    writer.i16(version);
    writer.array_len("topics", known.len())?;
    for (name, indexes) in known {
        writer.string("topic", name)?;
        writer.array_len("partitions", indexes.len())?;
        indexes.iter().for_each(|index| writer.i32(*index));
    }
    // No user data.
    writer.i32(-1);
    Ok(writer.finish())
}

pub(super) fn without_epochs(owned: &Owned) -> Partitions {
    owned.iter().map(|(topic, partitions)| (*topic, partitions.keys().copied().collect())).collect()
}

fn read_partitions(reader: &mut Reader<'_>) -> Result<BTreeMap<String, Vec<i32>>, WireError> {
    let mut partitions: BTreeMap<String, Vec<i32>> = BTreeMap::new();
    for _ in 0..reader.array_len("topics", false)? {
        let topic = reader.string("topic")?;
        let indexes = partitions.entry(topic).or_default();
        for _ in 0..reader.array_len("partitions", false)? {
            indexes.push(reader.i32("partition")?);
        }
    }
    Ok(partitions)
}

/// Tells how many bytes there were.
fn skip_user_data(reader: &mut Reader<'_>) -> Result<usize, WireError> {
    match reader.nullable_array_len("user data", false)? {
        None => Ok(0),
        Some(length) => {
            for _ in 0..length {
                reader.i8("user data")?;
            }
            Ok(length)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subscriptions_of_every_version_are_read() {
        let v0 = b"\x00\x00\x00\x00\x00\x01\x00\x01a\xff\xff\xff\xff";
        assert_eq!(Subscription::decode(v0).unwrap().topics, ["a"]);
        let v3 =
            b"\x00\x03\x00\x00\x00\x01\x00\x01a\x00\x00\x00\x01u\x00\x00\x00\x01\x00\x01a\x00\x00\x00\x02\
            \x00\x00\x00\x00\x00\x00\x00\x05\x00\x00\x00\x07\x00\x02r1";
        let read = Subscription::decode(v3).unwrap();
        assert_eq!(read.owned, BTreeMap::from([("a".to_owned(), vec![0, 5])]));
        assert_eq!(read.rack_id.as_deref(), Some("r1"));
        assert!(Subscription::decode(b"\x00\x01\x7f\xff\xff\xff").is_err());
    }

    #[test]
    fn assignments_tell_of_user_data() {
        let plain = b"\x00\x00\x00\x00\x00\x01\x00\x01a\x00\x00\x00\x01\x00\x00\x00\x02\xff\xff\xff\xff";
        assert_eq!(decode_assignment(plain).unwrap(), (BTreeMap::from([("a".to_owned(), vec![2])]), false));
        let custom = b"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01u";
        assert!(decode_assignment(custom).unwrap().1);
    }
}
