//! Request shapes of topics and configurations.
//!
//! Facts of Kafka 4.3.1 only; must never say what a field means.

use super::shape::{
    INT32, STRING, Shape, array, boolean, int8, int16, int32, int64, list, string, structure, uuid,
};

/// Metadata.
pub(super) const METADATA: Shape = Shape::new(
    3,
    9,
    &[
        array("topics", &[uuid("topic_id").from(10), string("name").null_from(10)]).null_from(1),
        boolean("allow_auto_topic_creation").from(4),
        boolean("include_cluster_authorized_operations").from(8).to(10),
        boolean("include_topic_authorized_operations").from(8),
    ],
);

/// CreateTopics.
pub(super) const CREATE_TOPICS: Shape = Shape::new(
    19,
    5,
    &[
        array(
            "topics",
            &[
                string("name"),
                int32("num_partitions"),
                int16("replication_factor"),
                array("assignments", &[int32("partition_index"), list("broker_ids", &INT32)]),
                array("configs", &[string("name"), string("value").null()]),
            ],
        ),
        int32("timeout_ms"),
        boolean("validate_only"),
    ],
);

/// DeleteTopics.
pub(super) const DELETE_TOPICS: Shape = Shape::new(
    20,
    4,
    &[
        array("topics", &[string("name").from(6).null(), uuid("topic_id").from(6)]).from(6),
        list("topic_names", &STRING).to(5),
        int32("timeout_ms"),
    ],
);

/// CreatePartitions.
pub(super) const CREATE_PARTITIONS: Shape = Shape::new(
    37,
    2,
    &[
        array(
            "topics",
            &[string("name"), int32("count"), array("assignments", &[list("broker_ids", &INT32)]).null()],
        ),
        int32("timeout_ms"),
        boolean("validate_only"),
    ],
);

/// ElectLeaders.
pub(super) const ELECT_LEADERS: Shape = Shape::new(
    43,
    2,
    &[
        int8("election_type").from(1),
        array("topic_partitions", &[string("topic"), list("partitions", &INT32)]).null(),
        int32("timeout_ms"),
    ],
);

/// ListPartitionReassignments.
pub(super) const LIST_PARTITION_REASSIGNMENTS: Shape = Shape::new(
    46,
    0,
    &[int32("timeout_ms"), array("topics", &[string("name"), list("partition_indexes", &INT32)]).null()],
);

/// AlterPartitionReassignments.
pub(super) const ALTER_PARTITION_REASSIGNMENTS: Shape = Shape::new(
    45,
    0,
    &[
        int32("timeout_ms"),
        boolean("allow_replication_factor_change").from(1),
        array(
            "topics",
            &[
                string("name"),
                array("partitions", &[int32("partition_index"), list("replicas", &INT32).null()]),
            ],
        ),
    ],
);

/// AlterPartition, which only brokers send.
pub(super) const ALTER_PARTITION: Shape = Shape::new(
    56,
    0,
    &[
        int32("broker_id"),
        int64("broker_epoch"),
        array(
            "topics",
            &[
                uuid("topic_id"),
                array(
                    "partitions",
                    &[
                        int32("partition_index"),
                        int32("leader_epoch"),
                        list("new_isr", &INT32).to(2),
                        array("new_isr_with_epochs", &[int32("broker_id"), int64("broker_epoch")]).from(3),
                        int8("leader_recovery_state"),
                        int32("partition_epoch"),
                    ],
                ),
            ],
        ),
    ],
);

/// DescribeTopicPartitions.
pub(super) const DESCRIBE_TOPIC_PARTITIONS: Shape = Shape::new(
    75,
    0,
    &[
        array("topics", &[string("name")]),
        int32("response_partition_limit"),
        structure("cursor", &[string("topic_name"), int32("partition_index")]).null(),
    ],
);

/// DescribeConfigs.
pub(super) const DESCRIBE_CONFIGS: Shape = Shape::new(
    32,
    4,
    &[
        array(
            "resources",
            &[int8("resource_type"), string("resource_name"), list("configuration_keys", &STRING).null()],
        ),
        boolean("include_synonyms"),
        boolean("include_documentation").from(3),
    ],
);

/// AlterConfigs.
pub(super) const ALTER_CONFIGS: Shape = Shape::new(
    33,
    2,
    &[
        array(
            "resources",
            &[
                int8("resource_type"),
                string("resource_name"),
                array("configs", &[string("name"), string("value").null()]),
            ],
        ),
        boolean("validate_only"),
    ],
);

/// IncrementalAlterConfigs.
pub(super) const INCREMENTAL_ALTER_CONFIGS: Shape = Shape::new(
    44,
    1,
    &[
        array(
            "resources",
            &[
                int8("resource_type"),
                string("resource_name"),
                array("configs", &[string("name"), int8("config_operation"), string("value").null()]),
            ],
        ),
        boolean("validate_only"),
    ],
);
