//! `kafka-broker-api-versions`: what each broker serves (`BrokerApiVersionsCommand` of Kafka 4.3.1).
//!
//! Must never call a version usable that Kafka's own clients of 4.3.1 do not speak.

use std::collections::BTreeMap;

use kafka_protocol::messages::ApiVersionsResponse;

use super::client::{Client, Properties, Refused};
use super::console::Console;
use super::options::{Exit, Options, Spec};

pub(super) const OPTIONS: &[Spec] = &[
    Spec::value("command-config", "command config property file", "Properties of the admin client."),
    Spec::value(
        "bootstrap-server",
        "server(s) to use for bootstrapping",
        "REQUIRED: The server to connect to.",
    ),
];

/// Key, name, the versions of Kafka 4.3.1's clients, and whether brokers serve it to clients (`ApiKeys`).
#[rustfmt::skip]
const APIS: &[(i16, &str, i16, i16, bool)] = &[
    (0, "Produce", 3, 13, true),
    (1, "Fetch", 4, 18, true),
    (2, "ListOffsets", 1, 11, true),
    (3, "Metadata", 0, 13, true),
    (8, "OffsetCommit", 2, 10, true),
    (9, "OffsetFetch", 1, 10, true),
    (10, "FindCoordinator", 0, 6, true),
    (11, "JoinGroup", 0, 9, true),
    (12, "Heartbeat", 0, 4, true),
    (13, "LeaveGroup", 0, 5, true),
    (14, "SyncGroup", 0, 5, true),
    (15, "DescribeGroups", 0, 6, true),
    (16, "ListGroups", 0, 5, true),
    (17, "SaslHandshake", 0, 1, true),
    (18, "ApiVersions", 0, 4, true),
    (19, "CreateTopics", 2, 7, true),
    (20, "DeleteTopics", 1, 6, true),
    (21, "DeleteRecords", 0, 2, true),
    (22, "InitProducerId", 0, 6, true),
    (23, "OffsetForLeaderEpoch", 2, 4, true),
    (24, "AddPartitionsToTxn", 0, 5, true),
    (25, "AddOffsetsToTxn", 0, 4, true),
    (26, "EndTxn", 0, 5, true),
    (27, "WriteTxnMarkers", 1, 2, true),
    (28, "TxnOffsetCommit", 0, 5, true),
    (29, "DescribeAcls", 1, 3, true),
    (30, "CreateAcls", 1, 3, true),
    (31, "DeleteAcls", 1, 3, true),
    (32, "DescribeConfigs", 1, 4, true),
    (33, "AlterConfigs", 0, 2, true),
    (34, "AlterReplicaLogDirs", 1, 2, true),
    (35, "DescribeLogDirs", 1, 5, true),
    (36, "SaslAuthenticate", 0, 2, true),
    (37, "CreatePartitions", 0, 3, true),
    (38, "CreateDelegationToken", 1, 3, true),
    (39, "RenewDelegationToken", 1, 2, true),
    (40, "ExpireDelegationToken", 1, 2, true),
    (41, "DescribeDelegationToken", 1, 3, true),
    (42, "DeleteGroups", 0, 2, true),
    (43, "ElectLeaders", 0, 2, true),
    (44, "IncrementalAlterConfigs", 0, 1, true),
    (45, "AlterPartitionReassignments", 0, 1, true),
    (46, "ListPartitionReassignments", 0, 0, true),
    (47, "OffsetDelete", 0, 0, true),
    (48, "DescribeClientQuotas", 0, 1, true),
    (49, "AlterClientQuotas", 0, 1, true),
    (50, "DescribeUserScramCredentials", 0, 0, true),
    (51, "AlterUserScramCredentials", 0, 0, true),
    (52, "Vote", 0, 2, false),
    (53, "BeginQuorumEpoch", 0, 1, false),
    (54, "EndQuorumEpoch", 0, 1, false),
    (55, "DescribeQuorum", 0, 2, true),
    (56, "AlterPartition", 2, 3, false),
    (57, "UpdateFeatures", 0, 2, true),
    (58, "Envelope", 0, 0, false),
    (59, "FetchSnapshot", 0, 1, false),
    (60, "DescribeCluster", 0, 2, true),
    (61, "DescribeProducers", 0, 0, true),
    (62, "BrokerRegistration", 0, 4, false),
    (63, "BrokerHeartbeat", 0, 2, false),
    (64, "UnregisterBroker", 0, 0, true),
    (65, "DescribeTransactions", 0, 0, true),
    (66, "ListTransactions", 0, 2, true),
    (67, "AllocateProducerIds", 0, 0, false),
    (68, "ConsumerGroupHeartbeat", 0, 1, true),
    (69, "ConsumerGroupDescribe", 0, 1, true),
    (70, "ControllerRegistration", 0, 0, false),
    (71, "GetTelemetrySubscriptions", 0, 0, true),
    (72, "PushTelemetry", 0, 0, true),
    (73, "AssignReplicasToDirs", 0, 0, false),
    (74, "ListConfigResources", 0, 1, true),
    (75, "DescribeTopicPartitions", 0, 0, true),
    (76, "ShareGroupHeartbeat", 1, 1, true),
    (77, "ShareGroupDescribe", 1, 1, true),
    (78, "ShareFetch", 1, 2, true),
    (79, "ShareAcknowledge", 1, 2, true),
    (80, "AddRaftVoter", 0, 1, true),
    (81, "RemoveRaftVoter", 0, 0, true),
    (82, "UpdateRaftVoter", 0, 0, false),
    (83, "InitializeShareGroupState", 0, 0, true),
    (84, "ReadShareGroupState", 0, 0, true),
    (85, "WriteShareGroupState", 0, 1, true),
    (86, "DeleteShareGroupState", 0, 0, true),
    (87, "ReadShareGroupStateSummary", 0, 1, true),
    (88, "StreamsGroupHeartbeat", 0, 0, true),
    (89, "StreamsGroupDescribe", 0, 0, true),
    (90, "DescribeShareGroupOffsets", 0, 1, true),
    (91, "AlterShareGroupOffsets", 0, 0, true),
    (92, "DeleteShareGroupOffsets", 0, 0, true),
];

pub(super) fn run(options: &Options, console: &mut Console) -> Result<(), Exit> {
    options.help_or_version("This tool helps to retrieve broker version information.")?;
    options.require(&["bootstrap-server"])?;
    let failed = |refused: Refused| Exit::Failed(refused.message);
    let file = options.value("command-config").map_err(Exit::Failed)?;
    let mut properties = file.map_or_else(|| Ok(Properties::default()), Properties::load).map_err(failed)?;
    properties.set(
        "bootstrap.servers",
        options.value("bootstrap-server").map_err(Exit::Failed)?.unwrap_or_default(),
    );
    let mut client = Client::new(&properties).map_err(failed)?;
    for node in client.brokers().map_err(failed)? {
        let rack = node.rack.as_deref().unwrap_or("null");
        let shown = format!("{}:{} (id: {} rack: {rack} isFenced: false)", node.host, node.port, node.id);
        match client.versions(node.id) {
            Ok(versions) => console.say(format_args!("{shown} -> {}", text(&versions))),
            Err(refused) => console.say(format_args!("{shown} -> ERROR: {}", refused.message)),
        }
    }
    Ok(())
}

/// As `NodeApiVersions.toString` with line breaks.
fn text(versions: &ApiVersionsResponse) -> String {
    let missing = APIS.iter().filter(|(.., served)| *served);
    let mut lines: BTreeMap<i16, String> =
        missing.map(|(key, name, ..)| (*key, format!("{name}({key}): UNSUPPORTED"))).collect();
    for api in &versions.api_keys {
        let (key, least, most) = (api.api_key, api.min_version, api.max_version);
        let known = APIS.iter().find(|(known, ..)| *known == key);
        let range = if least == most { least.to_string() } else { format!("{least} to {most}") };
        let line = match known {
            None => format!("UNKNOWN({key}): {range}"),
            Some((_, name, _, newest, _)) if *newest < least => {
                format!("{name}({key}): {range} [unusable: node too new]")
            }
            Some((_, name, oldest, _, _)) if most < *oldest => {
                format!("{name}({key}): {range} [unusable: node too old]")
            }
            Some((_, name, _, newest, _)) => {
                format!("{name}({key}): {range} [usable: {}]", most.min(*newest))
            }
        };
        lines.insert(key, line);
    }
    let lines: Vec<String> = lines.into_values().collect();
    format!("(\n\t{}\n)", lines.join(",\n\t"))
}
