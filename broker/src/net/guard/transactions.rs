//! Request shapes of transactions.
//!
//! Facts of Kafka 4.3.1 only; must never say what a field means.

use super::shape::{INT32, INT64, STRING, Shape, array, boolean, int8, int16, int32, int64, list, string};

/// AddPartitionsToTxn.
pub(super) const ADD_PARTITIONS_TO_TXN: Shape = Shape::new(
    24,
    3,
    &[
        array(
            "transactions",
            &[
                string("transactional_id").from(4),
                int64("producer_id").from(4),
                int16("producer_epoch").from(4),
                boolean("verify_only").from(4),
                array("topics", &[string("name"), list("partitions", &INT32)]).from(4),
            ],
        )
        .from(4),
        string("v3_and_below_transactional_id").to(3),
        int64("v3_and_below_producer_id").to(3),
        int16("v3_and_below_producer_epoch").to(3),
        array("v3_and_below_topics", &[string("name"), list("partitions", &INT32)]).to(3),
    ],
);

/// AddOffsetsToTxn.
pub(super) const ADD_OFFSETS_TO_TXN: Shape = Shape::new(
    25,
    3,
    &[string("transactional_id"), int64("producer_id"), int16("producer_epoch"), string("group_id")],
);

/// EndTxn.
pub(super) const END_TXN: Shape = Shape::new(
    26,
    3,
    &[string("transactional_id"), int64("producer_id"), int16("producer_epoch"), boolean("committed")],
);

/// WriteTxnMarkers.
pub(super) const WRITE_TXN_MARKERS: Shape = Shape::new(
    27,
    1,
    &[array(
        "markers",
        &[
            int64("producer_id"),
            int16("producer_epoch"),
            boolean("transaction_result"),
            array("topics", &[string("name"), list("partition_indexes", &INT32)]),
            int32("coordinator_epoch"),
            int8("transaction_version").from(2),
        ],
    )],
);

/// TxnOffsetCommit.
pub(super) const TXN_OFFSET_COMMIT: Shape = Shape::new(
    28,
    3,
    &[
        string("transactional_id"),
        string("group_id"),
        int64("producer_id"),
        int16("producer_epoch"),
        int32("generation_id").from(3),
        string("member_id").from(3),
        string("group_instance_id").from(3).null(),
        array(
            "topics",
            &[
                string("name"),
                array(
                    "partitions",
                    &[
                        int32("partition_index"),
                        int64("committed_offset"),
                        int32("committed_leader_epoch").from(2),
                        string("committed_metadata").null(),
                    ],
                ),
            ],
        ),
    ],
);

/// DescribeTransactions.
pub(super) const DESCRIBE_TRANSACTIONS: Shape = Shape::new(65, 0, &[list("transactional_ids", &STRING)]);

/// ListTransactions.
pub(super) const LIST_TRANSACTIONS: Shape = Shape::new(
    66,
    0,
    &[
        list("state_filters", &STRING),
        list("producer_id_filters", &INT64),
        int64("duration_filter").from(1),
        string("transactional_id_pattern").from(2).null(),
    ],
);
