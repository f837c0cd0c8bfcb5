//! Records of Kafka's internal topics: their fields, as Kafka 4.3.1 declares them.
//!
//! Must never differ from what is on disk: the order of fields is the order of bytes.

/// The type of a field.
pub(super) enum Kind {
    Int8,
    Int16,
    Int32,
    Int64,
    Text,
    Bytes,
    Id,
    List(&'static Kind),
    Struct(&'static [Field]),
}

pub(super) struct Field {
    /// As it is written in JSON.
    pub name: &'static str,
    pub kind: Kind,
    /// The versions that have it.
    pub since: i16,
    pub until: i16,
    pub nullable: bool,
    /// Its tag, and the text in JSON of what it is where it is left out: then JSON leaves it out as well.
    pub tag: Option<(u32, &'static str)>,
}

impl Field {
    const fn since(mut self, version: i16) -> Self {
        self.since = version;
        self
    }

    const fn until(mut self, version: i16) -> Self {
        self.until = version;
        self
    }

    const fn nullable(mut self) -> Self {
        self.nullable = true;
        self
    }

    const fn tagged(mut self, tag: u32, default: &'static str) -> Self {
        self.tag = Some((tag, default));
        self
    }
}

const fn field(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, since: 0, until: i16::MAX, nullable: false, tag: None }
}

/// A kind of record: what its key begins with, and what is in key and value.
pub(super) struct Record {
    pub number: i16,
    pub key: &'static [Field],
    pub value: &'static [Field],
    /// The newest version of the value.
    pub newest: i16,
    /// The first version with compact lengths and tags; keys have none.
    pub flexible: i16,
}

impl Record {
    const fn new(number: i16, key: &'static [Field], value: &'static [Field]) -> Self {
        Self { number, key, value, newest: 0, flexible: 0 }
    }

    const fn versions(mut self, newest: i16, flexible: i16) -> Self {
        self.newest = newest;
        self.flexible = flexible;
        self
    }
}

use Kind::{Bytes, Id, Int8, Int16, Int32, Int64, List, Struct, Text};

const NO_ID: &str = "\"AAAAAAAAAAAAAAAAAAAAAA\"";

const PLACE: &[Field] = &[field("group", Text), field("topic", Text), field("partition", Int32)];
const GROUP: &[Field] = &[field("groupId", Text)];
const MEMBER: &[Field] = &[field("groupId", Text), field("memberId", Text)];

pub(super) const OFFSETS: &[Record] = &[
    Record::new(
        0,
        PLACE,
        &[field("offset", Int64), field("metadata", Text), field("commitTimestamp", Int64)],
    )
    .versions(0, i16::MAX),
    Record::new(
        1,
        PLACE,
        &[
            field("offset", Int64),
            field("leaderEpoch", Int32).since(3),
            field("metadata", Text),
            field("commitTimestamp", Int64),
            field("expireTimestamp", Int64).since(1).until(1),
            field("topicId", Id).since(4).tagged(0, NO_ID),
        ],
    )
    .versions(4, 4),
];

pub(super) const GROUPS: &[Record] = &[Record::new(
    2,
    &[field("group", Text)],
    &[
        field("protocolType", Text),
        field("generation", Int32),
        field("protocol", Text).nullable(),
        field("leader", Text).nullable(),
        field("currentStateTimestamp", Int64).since(2),
        field(
            "members",
            List(&Struct(&[
                field("memberId", Text),
                field("groupInstanceId", Text).since(3).nullable(),
                field("clientId", Text),
                field("clientHost", Text),
                field("rebalanceTimeout", Int32).since(1),
                field("sessionTimeout", Int32),
                field("subscription", Bytes),
                field("assignment", Bytes),
            ])),
        ),
    ],
)
.versions(4, 4)];

const ASSIGNED: Kind = List(&Struct(&[field("topicId", Id), field("partitions", List(&Int32))]));
const NAMED: Kind =
    List(&Struct(&[field("topicId", Id), field("topicName", Text), field("partitions", List(&Int32))]));

pub(super) const SHARE_GROUPS: &[Record] = &[
    Record::new(
        10,
        MEMBER,
        &[
            field("rackId", Text).nullable(),
            field("clientId", Text),
            field("clientHost", Text),
            field("subscribedTopicNames", List(&Text)),
        ],
    ),
    Record::new(11, GROUP, &[field("epoch", Int32), field("metadataHash", Int64)]),
    Record::new(
        12,
        GROUP,
        &[field("assignmentEpoch", Int32), field("assignmentTimestamp", Int64).tagged(0, "0")],
    ),
    Record::new(13, MEMBER, &[field("topicPartitions", ASSIGNED)]),
    Record::new(
        14,
        MEMBER,
        &[
            field("memberEpoch", Int32),
            field("previousMemberEpoch", Int32),
            field("state", Int8),
            field("assignedPartitions", ASSIGNED),
        ],
    ),
    Record::new(
        15,
        GROUP,
        &[
            field("initializingTopics", NAMED),
            field("initializedTopics", NAMED),
            field("deletingTopics", List(&Struct(&[field("topicId", Id), field("topicName", Text)]))),
        ],
    ),
];

pub(super) const TRANSACTIONS: &[Record] = &[Record::new(
    0,
    &[field("transactionalId", Text)],
    &[
        field("producerId", Int64),
        field("previousProducerId", Int64).since(1).tagged(0, "-1"),
        field("nextProducerId", Int64).since(1).tagged(1, "-1"),
        field("producerEpoch", Int16),
        field("nextProducerEpoch", Int16).since(1).tagged(3, "-1"),
        field("transactionTimeoutMs", Int32),
        field("transactionStatus", Int8),
        field(
            "transactionPartitions",
            List(&Struct(&[field("topic", Text), field("partitionIds", List(&Int32))])),
        )
        .nullable(),
        field("transactionLastUpdateTimestampMs", Int64),
        field("transactionStartTimestampMs", Int64),
        field("clientTransactionVersion", Int16).since(1).tagged(2, "0"),
    ],
)
.versions(1, 1)];

const SHARED: &[Field] = &[field("groupId", Text), field("topicId", Id), field("partition", Int32)];
const BATCHES: Kind = List(&Struct(&[
    field("firstOffset", Int64),
    field("lastOffset", Int64),
    field("deliveryState", Int8),
    field("deliveryCount", Int16),
]));

pub(super) const SHARE_STATE: &[Record] = &[
    Record::new(
        0,
        SHARED,
        &[
            field("snapshotEpoch", Int32),
            field("stateEpoch", Int32),
            field("leaderEpoch", Int32),
            field("startOffset", Int64),
            field("deliveryCompleteCount", Int32).tagged(0, "-1"),
            field("createTimestamp", Int64),
            field("writeTimestamp", Int64),
            field("stateBatches", BATCHES),
        ],
    ),
    Record::new(
        1,
        SHARED,
        &[
            field("snapshotEpoch", Int32),
            field("leaderEpoch", Int32),
            field("startOffset", Int64),
            field("deliveryCompleteCount", Int32).tagged(0, "-1"),
            field("stateBatches", BATCHES),
        ],
    ),
];
