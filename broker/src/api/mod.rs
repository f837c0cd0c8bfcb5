//! The one table of APIs, and the dispatch that derives from it.
//!
//! Adding an API is one file and one row. Must never hold behaviour of a particular API.

pub mod add_offsets_to_txn;
pub mod add_partitions_to_txn;
pub mod add_raft_voter;
pub mod alter_client_quotas;
pub mod alter_configs;
pub mod alter_partition_reassignments;
pub mod alter_replica_log_dirs;
pub mod alter_user_scram_credentials;
pub mod api_versions;
pub mod assign_replicas_to_dirs;
pub mod consumer_group_describe;
pub mod consumer_group_heartbeat;
pub mod context;
mod counts;
pub mod create_acls;
pub mod create_partitions;
pub mod create_topics;
pub mod delete_acls;
pub mod delete_groups;
pub mod delete_records;
pub mod delete_topics;
pub mod describe_acls;
pub mod describe_client_quotas;
pub mod describe_cluster;
pub mod describe_configs;
pub mod describe_groups;
pub mod describe_log_dirs;
pub mod describe_producers;
pub mod describe_quorum;
pub mod describe_topic_partitions;
pub mod describe_transactions;
pub mod describe_user_scram_credentials;
mod dispatch;
pub mod elect_leaders;
pub mod end_txn;
pub mod fetch;
pub mod find_coordinator;
pub mod get_telemetry_subscriptions;
pub mod heartbeat;
pub mod incremental_alter_configs;
pub mod init_producer_id;
pub mod join_group;
pub mod leave_group;
pub mod list_config_resources;
pub mod list_groups;
pub mod list_offsets;
pub mod list_partition_reassignments;
pub mod list_transactions;
pub mod message;
pub mod metadata;
pub mod offset_commit;
pub mod offset_delete;
pub mod offset_fetch;
pub mod offset_for_leader_epoch;
pub mod operations;
pub mod partition_view;
pub mod produce;
pub mod push_telemetry;
pub mod remove_raft_voter;
pub mod sasl_authenticate;
pub mod sasl_handshake;
pub mod sync_group;
#[cfg(test)]
pub(crate) mod testing;
pub mod txn_offset_commit;
pub mod unregister_broker;
pub mod update_features;
pub mod update_raft_voter;
pub mod write_txn_markers;

use std::ops::RangeInclusive;

use bytes::Bytes;
use kafka_protocol::messages::*;

pub use context::{BoxFuture, Caller, Cx, EndpointKind, Outcome, Principal, Software};
pub use counts::RequestCounts;
pub use dispatch::{Dispatch, can_refuse, can_throttle, probe};
pub use message::{Answer, Ask, Encoded, MessageError};

use crate::codec::fetch_request::FetchRequest;
use crate::codec::fetch_response::FetchAnswer;
use crate::codec::produce_request::ProduceRequest;
use crate::codec::produce_response::ProduceAnswer;
use crate::codec::txn_markers::{TxnMarkers, TxnMarkersAnswer};
use crate::net::Served;
use crate::net::guard::{self, Shape};
use dispatch::Head;

/// One API that is served.
#[derive(Debug)]
pub struct Row {
    pub key: i16,
    pub name: &'static str,
    pub versions: RangeInclusive<i16>,
    /// Served, but left out of ApiVersions (telemetry without a plugin).
    pub hidden: bool,
    shape: &'static Shape,
    decode: fn(Bytes, i16) -> Result<(), MessageError>,
    serve: fn(&Cx<'_>, Head, Bytes) -> Served,
}

/// `row!(key, "Name", module, XRequest, XResponse)`, with `, hidden` where ApiVersions leaves it out.
macro_rules! row {
    ($key:literal, $name:literal, $module:ident, $request:ty, $response:ty) => {
        row!(@row $key, $name, $module, $request, $response, false)
    };
    ($key:literal, $name:literal, $module:ident, $request:ty, $response:ty, hidden) => {
        row!(@row $key, $name, $module, $request, $response, true)
    };
    (@row $key:literal, $name:literal, $module:ident, $request:ty, $response:ty, $hidden:literal) => {
        Row {
            key: $key,
            name: $name,
            versions: $module::VERSIONS,
            hidden: $hidden,
            shape: const { guard::shape($key) },
            decode: |body, version| <$request>::decode(body, version).map(drop),
            serve: |cx, head, body| dispatch::answer::<$request, $response>(cx, head, body, $module::handle),
        }
    };
}

/// Key of the API that tells a client what it may ask.
const API_VERSIONS: i16 = 18;

/// Keys of the APIs by which clients prove who they are.
const SASL_HANDSHAKE: i16 = 17;
const SASL_AUTHENTICATE: i16 = 36;

/// Key of the API that tells a client where brokers are.
const METADATA: i16 = 3;
/// Key of the API that brings records.
const PRODUCE: i16 = 0;
/// Key of the API whose answers tell of what its session follows.
pub const FETCH: i16 = 1;

/// What Kafka serves on listeners of controllers too, as far as it is there ("listeners" in its schemas); its Fetch there is
/// that of the quorum's log.
const ON_CONTROLLERS: &[i16] =
    &[17, 18, 19, 20, 29, 30, 31, 32, 33, 36, 37, 43, 44, 46, 49, 50, 51, 55, 57, 60, 64, 73, 80, 81, 82];

/// What only controllers serve.
const ONLY_ON_CONTROLLERS: &[i16] = &[73, 82];

/// Every API that is served, by key.
pub static TABLE: &[Row] = &[
    row!(0, "Produce", produce, ProduceRequest, ProduceAnswer),
    row!(1, "Fetch", fetch, FetchRequest, FetchAnswer),
    row!(2, "ListOffsets", list_offsets, list_offsets::Asked, list_offsets::Told),
    row!(3, "Metadata", metadata, MetadataRequest, MetadataResponse),
    row!(8, "OffsetCommit", offset_commit, offset_commit::Asked, OffsetCommitResponse),
    row!(9, "OffsetFetch", offset_fetch, offset_fetch::Asked, OffsetFetchResponse),
    row!(10, "FindCoordinator", find_coordinator, FindCoordinatorRequest, FindCoordinatorResponse),
    row!(11, "JoinGroup", join_group, JoinGroupRequest, JoinGroupResponse),
    row!(12, "Heartbeat", heartbeat, HeartbeatRequest, HeartbeatResponse),
    row!(13, "LeaveGroup", leave_group, LeaveGroupRequest, LeaveGroupResponse),
    row!(14, "SyncGroup", sync_group, SyncGroupRequest, SyncGroupResponse),
    row!(15, "DescribeGroups", describe_groups, DescribeGroupsRequest, DescribeGroupsResponse),
    row!(16, "ListGroups", list_groups, ListGroupsRequest, ListGroupsResponse),
    row!(17, "SaslHandshake", sasl_handshake, SaslHandshakeRequest, SaslHandshakeResponse),
    row!(18, "ApiVersions", api_versions, ApiVersionsRequest, Encoded),
    row!(19, "CreateTopics", create_topics, CreateTopicsRequest, CreateTopicsResponse),
    row!(20, "DeleteTopics", delete_topics, DeleteTopicsRequest, DeleteTopicsResponse),
    row!(21, "DeleteRecords", delete_records, DeleteRecordsRequest, DeleteRecordsResponse),
    row!(22, "InitProducerId", init_producer_id, InitProducerIdRequest, InitProducerIdResponse),
    row!(
        23,
        "OffsetForLeaderEpoch",
        offset_for_leader_epoch,
        OffsetForLeaderEpochRequest,
        OffsetForLeaderEpochResponse
    ),
    row!(
        24,
        "AddPartitionsToTxn",
        add_partitions_to_txn,
        AddPartitionsToTxnRequest,
        AddPartitionsToTxnResponse
    ),
    row!(25, "AddOffsetsToTxn", add_offsets_to_txn, AddOffsetsToTxnRequest, AddOffsetsToTxnResponse),
    row!(26, "EndTxn", end_txn, EndTxnRequest, EndTxnResponse),
    row!(27, "WriteTxnMarkers", write_txn_markers, TxnMarkers, TxnMarkersAnswer),
    row!(28, "TxnOffsetCommit", txn_offset_commit, TxnOffsetCommitRequest, TxnOffsetCommitResponse),
    row!(29, "DescribeAcls", describe_acls, DescribeAclsRequest, DescribeAclsResponse),
    row!(30, "CreateAcls", create_acls, CreateAclsRequest, CreateAclsResponse),
    row!(31, "DeleteAcls", delete_acls, DeleteAclsRequest, DeleteAclsResponse),
    row!(32, "DescribeConfigs", describe_configs, DescribeConfigsRequest, DescribeConfigsResponse),
    row!(33, "AlterConfigs", alter_configs, AlterConfigsRequest, AlterConfigsResponse),
    row!(
        34,
        "AlterReplicaLogDirs",
        alter_replica_log_dirs,
        AlterReplicaLogDirsRequest,
        AlterReplicaLogDirsResponse
    ),
    row!(35, "DescribeLogDirs", describe_log_dirs, describe_log_dirs::Asked, describe_log_dirs::Told),
    row!(36, "SaslAuthenticate", sasl_authenticate, SaslAuthenticateRequest, SaslAuthenticateResponse),
    row!(37, "CreatePartitions", create_partitions, CreatePartitionsRequest, CreatePartitionsResponse),
    row!(42, "DeleteGroups", delete_groups, DeleteGroupsRequest, DeleteGroupsResponse),
    row!(43, "ElectLeaders", elect_leaders, ElectLeadersRequest, ElectLeadersResponse),
    row!(
        44,
        "IncrementalAlterConfigs",
        incremental_alter_configs,
        IncrementalAlterConfigsRequest,
        IncrementalAlterConfigsResponse
    ),
    row!(
        45,
        "AlterPartitionReassignments",
        alter_partition_reassignments,
        AlterPartitionReassignmentsRequest,
        AlterPartitionReassignmentsResponse
    ),
    row!(
        46,
        "ListPartitionReassignments",
        list_partition_reassignments,
        ListPartitionReassignmentsRequest,
        ListPartitionReassignmentsResponse
    ),
    row!(47, "OffsetDelete", offset_delete, OffsetDeleteRequest, OffsetDeleteResponse),
    row!(
        48,
        "DescribeClientQuotas",
        describe_client_quotas,
        DescribeClientQuotasRequest,
        DescribeClientQuotasResponse
    ),
    row!(49, "AlterClientQuotas", alter_client_quotas, AlterClientQuotasRequest, AlterClientQuotasResponse),
    row!(
        50,
        "DescribeUserScramCredentials",
        describe_user_scram_credentials,
        DescribeUserScramCredentialsRequest,
        DescribeUserScramCredentialsResponse
    ),
    row!(
        51,
        "AlterUserScramCredentials",
        alter_user_scram_credentials,
        AlterUserScramCredentialsRequest,
        AlterUserScramCredentialsResponse
    ),
    row!(55, "DescribeQuorum", describe_quorum, DescribeQuorumRequest, DescribeQuorumResponse),
    row!(57, "UpdateFeatures", update_features, UpdateFeaturesRequest, UpdateFeaturesResponse),
    row!(60, "DescribeCluster", describe_cluster, DescribeClusterRequest, DescribeClusterResponse),
    row!(61, "DescribeProducers", describe_producers, DescribeProducersRequest, DescribeProducersResponse),
    row!(64, "UnregisterBroker", unregister_broker, UnregisterBrokerRequest, UnregisterBrokerResponse),
    row!(
        65,
        "DescribeTransactions",
        describe_transactions,
        DescribeTransactionsRequest,
        DescribeTransactionsResponse
    ),
    row!(66, "ListTransactions", list_transactions, ListTransactionsRequest, ListTransactionsResponse),
    row!(
        68,
        "ConsumerGroupHeartbeat",
        consumer_group_heartbeat,
        ConsumerGroupHeartbeatRequest,
        ConsumerGroupHeartbeatResponse
    ),
    row!(
        69,
        "ConsumerGroupDescribe",
        consumer_group_describe,
        ConsumerGroupDescribeRequest,
        ConsumerGroupDescribeResponse
    ),
    row!(
        71,
        "GetTelemetrySubscriptions",
        get_telemetry_subscriptions,
        GetTelemetrySubscriptionsRequest,
        GetTelemetrySubscriptionsResponse,
        hidden
    ),
    row!(72, "PushTelemetry", push_telemetry, PushTelemetryRequest, PushTelemetryResponse, hidden),
    row!(
        73,
        "AssignReplicasToDirs",
        assign_replicas_to_dirs,
        AssignReplicasToDirsRequest,
        AssignReplicasToDirsResponse
    ),
    row!(
        74,
        "ListConfigResources",
        list_config_resources,
        ListConfigResourcesRequest,
        ListConfigResourcesResponse
    ),
    row!(
        75,
        "DescribeTopicPartitions",
        describe_topic_partitions,
        DescribeTopicPartitionsRequest,
        DescribeTopicPartitionsResponse
    ),
    row!(80, "AddRaftVoter", add_raft_voter, add_raft_voter::Asked, add_raft_voter::Told),
    row!(81, "RemoveRaftVoter", remove_raft_voter, RemoveRaftVoterRequest, RemoveRaftVoterResponse),
    row!(82, "UpdateRaftVoter", update_raft_voter, UpdateRaftVoterRequest, UpdateRaftVoterResponse),
];

impl Row {
    /// Whether a listener of this kind serves it.
    #[must_use]
    pub fn is_at(&self, endpoint: EndpointKind) -> bool {
        match endpoint {
            EndpointKind::Broker => !ONLY_ON_CONTROLLERS.contains(&self.key),
            EndpointKind::Controller => ON_CONTROLLERS.contains(&self.key),
        }
    }
}

/// The row of an API key.
#[must_use]
pub fn row(key: i16) -> Option<&'static Row> {
    TABLE.iter().find(|row| row.key == key)
}
