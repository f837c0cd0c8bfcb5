//! Request shapes of consumer groups and their offsets.
//!
//! Facts of Kafka 4.3.1 only; must never say what a field means.

use super::shape::{
    INT32, NEVER, STRING, Shape, array, boolean, bytes, int8, int32, int64, list, string, uuid,
};

/// OffsetCommit.
pub(super) const OFFSET_COMMIT: Shape = Shape::new(
    8,
    8,
    &[
        string("group_id"),
        int32("generation_id_or_member_epoch"),
        string("member_id"),
        string("group_instance_id").from(7).null(),
        int64("retention_time_ms").to(4),
        array(
            "topics",
            &[
                string("name").to(9),
                uuid("topic_id").from(10),
                array(
                    "partitions",
                    &[
                        int32("partition_index"),
                        int64("committed_offset"),
                        int32("committed_leader_epoch").from(6),
                        string("committed_metadata").null(),
                    ],
                ),
            ],
        ),
    ],
);

/// OffsetFetch.
pub(super) const OFFSET_FETCH: Shape = Shape::new(
    9,
    6,
    &[
        string("group_id").to(7),
        array("topics", &[string("name").to(7), list("partition_indexes", &INT32).to(7)]).to(7).null_from(2),
        array(
            "groups",
            &[
                string("group_id").from(8),
                string("member_id").from(9).null(),
                int32("member_epoch").from(9),
                array(
                    "topics",
                    &[
                        string("name").from(8).to(9),
                        uuid("topic_id").from(10),
                        list("partition_indexes", &INT32).from(8),
                    ],
                )
                .from(8)
                .null(),
            ],
        )
        .from(8),
        boolean("require_stable").from(7),
    ],
);

/// FindCoordinator.
pub(super) const FIND_COORDINATOR: Shape = Shape::new(
    10,
    3,
    &[string("key").to(3), int8("key_type").from(1), list("coordinator_keys", &STRING).from(4)],
);

/// JoinGroup.
pub(super) const JOIN_GROUP: Shape = Shape::new(
    11,
    6,
    &[
        string("group_id"),
        int32("session_timeout_ms"),
        int32("rebalance_timeout_ms").from(1),
        string("member_id"),
        string("group_instance_id").from(5).null(),
        string("protocol_type"),
        array("protocols", &[string("name"), bytes("metadata")]),
        string("reason").from(8).null(),
    ],
);

/// Heartbeat.
pub(super) const HEARTBEAT: Shape = Shape::new(
    12,
    4,
    &[
        string("group_id"),
        int32("generation_id"),
        string("member_id"),
        string("group_instance_id").from(3).null(),
    ],
);

/// LeaveGroup.
pub(super) const LEAVE_GROUP: Shape = Shape::new(
    13,
    4,
    &[
        string("group_id"),
        string("member_id").to(2),
        array(
            "members",
            &[
                string("member_id").from(3),
                string("group_instance_id").from(3).null(),
                string("reason").from(5).null(),
            ],
        )
        .from(3),
    ],
);

/// SyncGroup.
pub(super) const SYNC_GROUP: Shape = Shape::new(
    14,
    4,
    &[
        string("group_id"),
        int32("generation_id"),
        string("member_id"),
        string("group_instance_id").from(3).null(),
        string("protocol_type").from(5).null(),
        string("protocol_name").from(5).null(),
        array("assignments", &[string("member_id"), bytes("assignment")]),
    ],
);

/// DescribeGroups.
pub(super) const DESCRIBE_GROUPS: Shape =
    Shape::new(15, 5, &[list("groups", &STRING), boolean("include_authorized_operations").from(3)]);

/// ListGroups.
pub(super) const LIST_GROUPS: Shape =
    Shape::new(16, 3, &[list("states_filter", &STRING).from(4), list("types_filter", &STRING).from(5)]);

/// DeleteGroups.
pub(super) const DELETE_GROUPS: Shape = Shape::new(42, 2, &[list("groups_names", &STRING)]);

/// OffsetDelete.
pub(super) const OFFSET_DELETE: Shape = Shape::new(
    47,
    NEVER,
    &[
        string("group_id"),
        array("topics", &[string("name"), array("partitions", &[int32("partition_index")])]),
    ],
);

/// ConsumerGroupHeartbeat.
pub(super) const CONSUMER_GROUP_HEARTBEAT: Shape = Shape::new(
    68,
    0,
    &[
        string("group_id"),
        string("member_id"),
        int32("member_epoch"),
        string("instance_id").null(),
        string("rack_id").null(),
        int32("rebalance_timeout_ms"),
        list("subscribed_topic_names", &STRING).null(),
        string("subscribed_topic_regex").from(1).null(),
        string("server_assignor").null(),
        array("topic_partitions", &[uuid("topic_id"), list("partitions", &INT32)]).null(),
    ],
);

/// ConsumerGroupDescribe.
pub(super) const CONSUMER_GROUP_DESCRIBE: Shape =
    Shape::new(69, 0, &[list("group_ids", &STRING), boolean("include_authorized_operations")]);
