//! Request shapes of the data path: records, offsets and producers.
//!
//! Facts of Kafka 4.3.1 only; must never say what a field means.

use super::shape::{
    INT32, Shape, array, boolean, bytes, int8, int16, int32, int64, list, string, structure, uuid,
};

/// Produce.
pub(super) const PRODUCE: Shape = Shape::new(
    0,
    9,
    &[
        string("transactional_id").null(),
        int16("acks"),
        int32("timeout_ms"),
        array(
            "topic_data",
            &[
                string("name").to(12),
                uuid("topic_id").from(13),
                array("partition_data", &[int32("index"), bytes("records").null()]),
            ],
        ),
    ],
);

/// Fetch.
pub(super) const FETCH: Shape = Shape::new(
    1,
    12,
    &[
        string("cluster_id").from(12).null().tag(0),
        int32("replica_id").to(14),
        structure("replica_state", &[int32("replica_id").from(15), int64("replica_epoch").from(15)])
            .from(15)
            .tag(1),
        int32("max_wait_ms"),
        int32("min_bytes"),
        int32("max_bytes"),
        int8("isolation_level"),
        int32("session_id").from(7),
        int32("session_epoch").from(7),
        array(
            "topics",
            &[
                string("topic").to(12),
                uuid("topic_id").from(13),
                array(
                    "partitions",
                    &[
                        int32("partition"),
                        int32("current_leader_epoch").from(9),
                        int64("fetch_offset"),
                        int32("last_fetched_epoch").from(12),
                        int64("log_start_offset").from(5),
                        int32("partition_max_bytes"),
                        uuid("replica_directory_id").from(17).tag(0),
                        int64("high_watermark").from(18).tag(1),
                    ],
                ),
            ],
        ),
        array(
            "forgotten_topics_data",
            &[string("topic").from(7).to(12), uuid("topic_id").from(13), list("partitions", &INT32).from(7)],
        )
        .from(7),
        string("rack_id").from(11),
    ],
);

/// ListOffsets.
pub(super) const LIST_OFFSETS: Shape = Shape::new(
    2,
    6,
    &[
        int32("replica_id"),
        int8("isolation_level").from(2),
        array(
            "topics",
            &[
                string("name"),
                array(
                    "partitions",
                    &[int32("partition_index"), int32("current_leader_epoch").from(4), int64("timestamp")],
                ),
            ],
        ),
        int32("timeout_ms").from(10),
    ],
);

/// DeleteRecords.
pub(super) const DELETE_RECORDS: Shape = Shape::new(
    21,
    2,
    &[
        array("topics", &[string("name"), array("partitions", &[int32("partition_index"), int64("offset")])]),
        int32("timeout_ms"),
    ],
);

/// InitProducerId.
pub(super) const INIT_PRODUCER_ID: Shape = Shape::new(
    22,
    2,
    &[
        string("transactional_id").null(),
        int32("transaction_timeout_ms"),
        int64("producer_id").from(3),
        int16("producer_epoch").from(3),
        boolean("enable2_pc").from(6),
        boolean("keep_prepared_txn").from(6),
    ],
);

/// OffsetForLeaderEpoch.
pub(super) const OFFSET_FOR_LEADER_EPOCH: Shape = Shape::new(
    23,
    4,
    &[
        int32("replica_id").from(3),
        array(
            "topics",
            &[
                string("topic"),
                array(
                    "partitions",
                    &[int32("partition"), int32("current_leader_epoch"), int32("leader_epoch")],
                ),
            ],
        ),
    ],
);

/// DescribeProducers.
pub(super) const DESCRIBE_PRODUCERS: Shape =
    Shape::new(61, 0, &[array("topics", &[string("name"), list("partition_indexes", &INT32)])]);
