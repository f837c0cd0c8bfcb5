//! The shapes against the crate's codec: both must read the same bytes in the same way.

use bytes::{BufMut, Bytes};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Message, Request};
use proptest::prelude::*;

use super::shape::{Field, Kind};
use super::*;

/// What the tests need of one of the crate's requests.
struct Codec {
    key: i16,
    versions: std::ops::RangeInclusive<i16>,
    header_version: fn(i16) -> i16,
    /// Decodes and encodes again; returns how many bytes were read, and the new bytes.
    recode: fn(Bytes, i16) -> (usize, Vec<u8>),
}

fn codec<T: Request>() -> Codec {
    Codec {
        key: T::KEY,
        versions: <T as Message>::VERSIONS.min..=<T as Message>::VERSIONS.max,
        header_version: <T as HeaderVersion>::header_version,
        recode: |body, version| {
            let mut rest = body.clone();
            let value = <T as Decodable>::decode(&mut rest, version).expect("a well-shaped body decodes");
            let mut out = Vec::new();
            Encodable::encode(&value, &mut out, version).expect("what was decoded encodes");
            (body.len() - rest.len(), out)
        },
    }
}

fn codecs() -> Vec<Codec> {
    macro_rules! of {
        ($($request:ident),* $(,)?) => { vec![$(codec::<$request>()),*] };
    }
    of![
        ProduceRequest,
        FetchRequest,
        ListOffsetsRequest,
        MetadataRequest,
        OffsetCommitRequest,
        OffsetFetchRequest,
        FindCoordinatorRequest,
        JoinGroupRequest,
        HeartbeatRequest,
        LeaveGroupRequest,
        SyncGroupRequest,
        ConsumerGroupHeartbeatRequest,
        ConsumerGroupDescribeRequest,
        DescribeGroupsRequest,
        ListGroupsRequest,
        SaslHandshakeRequest,
        SaslAuthenticateRequest,
        ApiVersionsRequest,
        CreateTopicsRequest,
        DeleteTopicsRequest,
        DeleteRecordsRequest,
        InitProducerIdRequest,
        OffsetForLeaderEpochRequest,
        AddPartitionsToTxnRequest,
        AddOffsetsToTxnRequest,
        EndTxnRequest,
        WriteTxnMarkersRequest,
        TxnOffsetCommitRequest,
        DescribeAclsRequest,
        CreateAclsRequest,
        DeleteAclsRequest,
        DescribeConfigsRequest,
        AlterConfigsRequest,
        AlterReplicaLogDirsRequest,
        DescribeLogDirsRequest,
        CreatePartitionsRequest,
        DeleteGroupsRequest,
        ElectLeadersRequest,
        UnregisterBrokerRequest,
        AssignReplicasToDirsRequest,
        AlterPartitionReassignmentsRequest,
        AlterPartitionRequest,
        IncrementalAlterConfigsRequest,
        ListPartitionReassignmentsRequest,
        OffsetDeleteRequest,
        DescribeClientQuotasRequest,
        AlterClientQuotasRequest,
        DescribeUserScramCredentialsRequest,
        AlterUserScramCredentialsRequest,
        DescribeQuorumRequest,
        UpdateFeaturesRequest,
        DescribeClusterRequest,
        DescribeProducersRequest,
        DescribeTransactionsRequest,
        ListTransactionsRequest,
        GetTelemetrySubscriptionsRequest,
        PushTelemetryRequest,
        ListConfigResourcesRequest,
        DescribeTopicPartitionsRequest,
        AddRaftVoterRequest,
        RemoveRaftVoterRequest,
        UpdateRaftVoterRequest,
    ]
}

/// Writes bodies of a shape; every choice comes from one list of numbers, so that proptest can shrink it.
struct Writer<'a> {
    choices: &'a [u8],
    at: usize,
    version: i16,
    flexible: bool,
    out: Vec<u8>,
}

impl Writer<'_> {
    fn choose(&mut self, below: u8) -> u8 {
        let choice = self.choices[self.at % self.choices.len()];
        self.at += 1;
        choice % below
    }

    fn fields(&mut self, fields: &'static [Field]) {
        for field in fields {
            if field.is_in(self.version) && field.tag.is_none() {
                self.field(field);
            }
        }
        if self.flexible {
            self.tags(fields);
        }
    }

    fn tags(&mut self, fields: &'static [Field]) {
        let mut tags = Vec::new();
        for field in fields {
            let Some(tag) = field.tag else { continue };
            if field.is_in(self.version) && self.choose(2) == 0 {
                let outer = std::mem::take(&mut self.out);
                // A default in a tag would be left out when it is encoded again.
                self.value(field.kind);
                tags.push((tag, std::mem::replace(&mut self.out, outer)));
            }
        }
        if self.choose(4) == 0 {
            tags.push((1000, vec![7; 3]));
        }
        self.varint(tags.len());
        for (tag, value) in tags {
            self.varint(tag as usize);
            self.varint(value.len());
            self.out.extend(value);
        }
    }

    fn field(&mut self, field: &'static Field) {
        let null = field.may_be_null(self.version) && self.choose(3) == 0;
        match (field.kind, null) {
            (Kind::Structure(_), true) => self.out.put_i8(-1),
            (Kind::String, true) if !self.flexible => self.out.put_i16(-1),
            (_, true) if self.flexible => self.varint(0),
            (_, true) => self.out.put_i32(-1),
            (Kind::Structure(fields), false) if field.may_be_null(self.version) => {
                self.out.put_i8(1);
                self.fields(fields);
            }
            (kind, false) => self.value(kind),
        }
    }

    fn value(&mut self, kind: Kind) {
        match kind {
            // One for a byte: the decoders make a boolean of it.
            Kind::Fixed(size) => self.out.put_bytes(1, size),
            Kind::String => {
                let length = usize::from(self.choose(200)) + 1;
                if self.flexible {
                    self.varint(length + 1);
                } else {
                    self.out.put_i16(i16::try_from(length).unwrap());
                }
                self.out.put_bytes(b'a', length);
            }
            Kind::Bytes => {
                let length = usize::from(self.choose(250));
                self.count(length);
                self.out.put_bytes(9, length);
            }
            Kind::List(of) => {
                let count = usize::from(self.choose(4));
                self.count(count);
                (0..count).for_each(|_| self.value(*of));
            }
            Kind::Array(of) => {
                let count = usize::from(self.choose(4));
                self.count(count);
                (0..count).for_each(|_| self.fields(of));
            }
            Kind::Structure(of) => self.fields(of),
        }
    }

    fn count(&mut self, count: usize) {
        if self.flexible {
            self.varint(count + 1);
        } else {
            self.out.put_i32(i32::try_from(count).unwrap());
        }
    }

    fn varint(&mut self, mut value: usize) {
        while value >= 0x80 {
            self.out.put_u8((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.out.put_u8(value as u8);
    }
}

fn write(shape: &Shape, version: i16, choices: &[u8]) -> Vec<u8> {
    let flexible = shape.is_flexible(version);
    let mut writer = Writer { choices, at: 0, version, flexible, out: Vec::new() };
    writer.fields(shape.fields);
    writer.out
}

#[test]
fn every_shape_has_a_codec_and_the_same_flexible_versions() {
    let codecs = codecs();
    assert_eq!(SHAPES.len(), codecs.len());
    for codec in codecs {
        let shape = shape(codec.key);
        for version in codec.versions {
            let flexible = (codec.header_version)(version) >= 2;
            assert_eq!(shape.is_flexible(version), flexible, "key {} v{version}", codec.key);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn shapes_and_codec_agree_on_every_byte(choices in prop::collection::vec(any::<u8>(), 16..64)) {
        for codec in codecs() {
            let shape = shape(codec.key);
            for version in codec.versions {
                let bytes = Bytes::from(write(shape, version, &choices));
                let what = format!("key {} v{version}: {bytes:02x?}", codec.key);
                prop_assert_eq!(body(shape, version, &bytes), Ok(bytes.len()), "{}", what);
                let (read, again) = (codec.recode)(bytes.clone(), version);
                prop_assert_eq!(read, bytes.len(), "{}", what);
                prop_assert_eq!(&again[..], &bytes[..], "{}", what);
            }
        }
    }

    #[test]
    fn every_truncation_is_refused(choices in prop::collection::vec(any::<u8>(), 16..64)) {
        for codec in codecs() {
            let shape = shape(codec.key);
            for version in codec.versions {
                let bytes = write(shape, version, &choices);
                for cut in 0..bytes.len() {
                    prop_assert!(body(shape, version, &bytes[..cut]).is_err(), "key {} v{version}", codec.key);
                }
            }
        }
    }
}

/// One frame per API and end of its version range, with every kind of field in it: where fuzzing begins.
#[test]
fn the_seeds_for_fuzzing_are_what_the_shapes_say() {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/frame");
    let rewrite = std::env::var_os("MILENA_REWRITE").is_some();
    for codec in codecs() {
        let shape = shape(codec.key);
        for version in [*codec.versions.start(), *codec.versions.end()] {
            let mut frame = [codec.key.to_be_bytes(), version.to_be_bytes()].concat();
            frame.extend([0, 0, 0, 1, 0, 1, b'c']);
            frame.extend(shape.is_flexible(version).then_some(0));
            frame.extend(write(shape, version, &[1, 2, 4, 5, 7, 8, 10, 11]));
            let path = dir.join(format!("{}-v{version}", codec.key));
            if rewrite {
                std::fs::create_dir_all(&dir).unwrap();
                std::fs::write(&path, &frame).unwrap();
            }
            let seed = std::fs::read(&path).unwrap_or_default();
            assert!(seed == frame, "{} differs; run with MILENA_REWRITE=1", path.display());
        }
    }
}

#[test]
fn what_follows_the_body_is_ignored_like_kafka_does() {
    let shape = shape(18);
    assert_eq!(body(shape, 0, b"rest"), Ok(0));
}

#[test]
fn five_bytes_do_not_reserve_309_gigabytes() {
    let lie = [0xff, 0xff, 0xff, 0xff, 0x0f];
    let flaw = body(shape(3), 12, &lie).unwrap_err().flaw;
    assert_eq!(flaw, Flaw::Count(0xffff_fffe));
    let flaw = body(shape(3), 1, &[0x7f, 0xff, 0xff, 0xff]).unwrap_err().flaw;
    assert_eq!(flaw, Flaw::Count(0x7fff_ffff));
}

#[test]
fn a_million_empty_topics_are_refused_for_their_memory() {
    // Transactional id null, acks, timeout, 1,000,000 topics of three bytes each: 100 MB once decoded.
    let mut bytes = vec![0, 0, 1, 0, 0, 0, 1];
    bytes.extend([0xc1, 0x84, 0x3d]);
    bytes.extend([1, 1, 0].repeat(1_000_000));
    bytes.push(0);
    assert_eq!(body(shape(0), 9, &bytes).unwrap_err().flaw, Flaw::Memory);
}

#[test]
fn a_hundred_thousand_real_names_pass() {
    let mut bytes = 100_000i32.to_be_bytes().to_vec();
    for topic in 0..100_000 {
        let name = format!("orders-{topic:06}");
        bytes.extend((name.len() as i16).to_be_bytes());
        bytes.extend(name.as_bytes());
    }
    assert_eq!(body(shape(3), 1, &bytes), Ok(bytes.len()));
}

#[test]
fn a_known_tag_must_fill_the_size_that_it_claims() {
    // Fetch v12 up to the rack, then tag 0 (cluster id "a", two bytes) that claims three.
    let mut bytes = vec![0; 4 + 4 + 4 + 4 + 1 + 4 + 4];
    bytes.extend([1, 1, 1]);
    bytes.extend([1, 0, 3, 2, b'a', 0]);
    assert_eq!(body(shape(1), 12, &bytes).unwrap_err().flaw, Flaw::TagSize(0));
}

#[test]
fn numbers_longer_than_five_bytes_are_refused() {
    for lie in [[0xff; 5], [0x80, 0x80, 0x80, 0x80, 0x10]] {
        assert_eq!(body(shape(3), 12, &lie).unwrap_err().flaw, Flaw::Varint);
    }
}

#[test]
fn headers_are_read_in_both_versions_and_never_past_their_end() {
    let mut frame = vec![0, 3, 0, 9, 0, 0, 0, 5, 0, 2, b'm', b'e'];
    frame.extend([1, 0, 1, 0xee]); // One unknown tag.
    frame.extend([0, 1]);
    let bytes = Bytes::from(frame);
    let (header, at) = header(shape(3), &bytes).unwrap();
    assert_eq!((header.api_key, header.api_version, header.correlation_id), (3, 9, 5));
    assert_eq!(header.client_id.as_deref(), Some("me"));
    assert_eq!(at, 16);
    for cut in 0..at {
        assert!(super::header(shape(3), &bytes.slice(..cut)).is_err(), "cut at {cut}");
    }
}
