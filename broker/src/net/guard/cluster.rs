//! Request shapes of the cluster itself: versions, access rules, quotas, features, telemetry.
//!
//! Facts of Kafka 4.3.1 only; must never say what a field means.

use super::shape::{
    INT8, INT32, NEVER, Shape, array, boolean, bytes, int8, int16, int32, int64, list, string, structure,
    uuid,
};

/// ApiVersions.
pub(super) const API_VERSIONS: Shape =
    Shape::new(18, 3, &[string("client_software_name").from(3), string("client_software_version").from(3)]);

/// DescribeAcls.
pub(super) const DESCRIBE_ACLS: Shape = Shape::new(
    29,
    2,
    &[
        int8("resource_type_filter"),
        string("resource_name_filter").null(),
        int8("pattern_type_filter"),
        string("principal_filter").null(),
        string("host_filter").null(),
        int8("operation"),
        int8("permission_type"),
    ],
);

/// CreateAcls.
pub(super) const CREATE_ACLS: Shape = Shape::new(
    30,
    2,
    &[array(
        "creations",
        &[
            int8("resource_type"),
            string("resource_name"),
            int8("resource_pattern_type"),
            string("principal"),
            string("host"),
            int8("operation"),
            int8("permission_type"),
        ],
    )],
);

/// DeleteAcls.
pub(super) const DELETE_ACLS: Shape = Shape::new(
    31,
    2,
    &[array(
        "filters",
        &[
            int8("resource_type_filter"),
            string("resource_name_filter").null(),
            int8("pattern_type_filter"),
            string("principal_filter").null(),
            string("host_filter").null(),
            int8("operation"),
            int8("permission_type"),
        ],
    )],
);

/// AlterReplicaLogDirs.
pub(super) const ALTER_REPLICA_LOG_DIRS: Shape = Shape::new(
    34,
    2,
    &[array("dirs", &[string("path"), array("topics", &[string("name"), list("partitions", &INT32)])])],
);

/// DescribeLogDirs.
pub(super) const DESCRIBE_LOG_DIRS: Shape =
    Shape::new(35, 2, &[array("topics", &[string("topic"), list("partitions", &INT32)]).null()]);

/// DescribeClientQuotas.
pub(super) const DESCRIBE_CLIENT_QUOTAS: Shape = Shape::new(
    48,
    1,
    &[
        array("components", &[string("entity_type"), int8("match_type"), string("match").null()]),
        boolean("strict"),
    ],
);

/// AlterClientQuotas.
pub(super) const ALTER_CLIENT_QUOTAS: Shape = Shape::new(
    49,
    1,
    &[
        array(
            "entries",
            &[
                array("entity", &[string("entity_type"), string("entity_name").null()]),
                array("ops", &[string("key"), int64("value"), boolean("remove")]),
            ],
        ),
        boolean("validate_only"),
    ],
);

/// SaslHandshake.
pub(super) const SASL_HANDSHAKE: Shape = Shape::new(17, NEVER, &[string("mechanism")]);

/// SaslAuthenticate.
pub(super) const SASL_AUTHENTICATE: Shape = Shape::new(36, 2, &[bytes("auth_bytes")]);

/// DescribeUserScramCredentials.
pub(super) const DESCRIBE_USER_SCRAM_CREDENTIALS: Shape =
    Shape::new(50, 0, &[array("users", &[string("name")]).null()]);

/// AlterUserScramCredentials.
pub(super) const ALTER_USER_SCRAM_CREDENTIALS: Shape = Shape::new(
    51,
    0,
    &[
        array("deletions", &[string("name"), int8("mechanism")]),
        array(
            "upsertions",
            &[
                string("name"),
                int8("mechanism"),
                int32("iterations"),
                bytes("salt"),
                bytes("salted_password"),
            ],
        ),
    ],
);

/// DescribeQuorum.
pub(super) const DESCRIBE_QUORUM: Shape = Shape::new(
    55,
    0,
    &[array("topics", &[string("topic_name"), array("partitions", &[int32("partition_index")])])],
);

/// UnregisterBroker.
pub(super) const UNREGISTER_BROKER: Shape = Shape::new(64, 0, &[int32("broker_id")]);

/// UpdateFeatures.
pub(super) const UPDATE_FEATURES: Shape = Shape::new(
    57,
    0,
    &[
        int32("timeout_ms"),
        array(
            "feature_updates",
            &[
                string("feature"),
                int16("max_version_level"),
                boolean("allow_downgrade").to(0),
                int8("upgrade_type").from(1),
            ],
        ),
        boolean("validate_only").from(1),
    ],
);

/// DescribeCluster.
pub(super) const DESCRIBE_CLUSTER: Shape = Shape::new(
    60,
    0,
    &[
        boolean("include_cluster_authorized_operations"),
        int8("endpoint_type").from(1),
        boolean("include_fenced_brokers").from(2),
    ],
);

/// GetTelemetrySubscriptions.
pub(super) const GET_TELEMETRY_SUBSCRIPTIONS: Shape = Shape::new(71, 0, &[uuid("client_instance_id")]);

/// PushTelemetry.
pub(super) const PUSH_TELEMETRY: Shape = Shape::new(
    72,
    0,
    &[
        uuid("client_instance_id"),
        int32("subscription_id"),
        boolean("terminating"),
        int8("compression_type"),
        bytes("metrics"),
    ],
);

/// AssignReplicasToDirs.
pub(super) const ASSIGN_REPLICAS_TO_DIRS: Shape = Shape::new(
    73,
    0,
    &[
        int32("broker_id"),
        int64("broker_epoch"),
        array(
            "directories",
            &[
                uuid("id"),
                array("topics", &[uuid("topic_id"), array("partitions", &[int32("partition_index")])]),
            ],
        ),
    ],
);

/// ListConfigResources.
pub(super) const LIST_CONFIG_RESOURCES: Shape = Shape::new(74, 0, &[list("resource_types", &INT8).from(1)]);

/// AddRaftVoter.
pub(super) const ADD_RAFT_VOTER: Shape = Shape::new(
    80,
    0,
    &[
        string("cluster_id").null(),
        int32("timeout_ms"),
        int32("voter_id"),
        uuid("voter_directory_id"),
        array("listeners", &[string("name"), string("host"), int16("port")]),
        boolean("ack_when_committed").from(1),
    ],
);

/// RemoveRaftVoter.
pub(super) const REMOVE_RAFT_VOTER: Shape =
    Shape::new(81, 0, &[string("cluster_id").null(), int32("voter_id"), uuid("voter_directory_id")]);

/// UpdateRaftVoter.
pub(super) const UPDATE_RAFT_VOTER: Shape = Shape::new(
    82,
    0,
    &[
        string("cluster_id").null(),
        int32("current_leader_epoch"),
        int32("voter_id"),
        uuid("voter_directory_id"),
        array("listeners", &[string("name"), string("host"), int16("port")]),
        structure(
            "k_raft_version_feature",
            &[int16("min_supported_version"), int16("max_supported_version")],
        ),
    ],
);
