//! Where an encoded answer tells a client how long to wait.
//!
//! Must never be guessed: an answer whose place is not listed keeps what its handler said.

use super::Head;
use crate::net::frame::{Chunk, Frame, PREFIX};

/// Where an answer has its throttle time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    /// Right behind the header.
    First,
    /// Behind the error, which is behind the header.
    Second,
    /// At the end.
    Last,
}

use Place::{First, Last, Second};

/// APIs whose answers have one, from which version on, and where.
const PLACES: &[(i16, i16, Place)] = &[
    (0, 1, Last),
    (1, 1, First),
    (2, 2, First),
    (3, 3, First),
    (8, 3, First),
    (9, 3, First),
    (10, 1, First),
    (11, 2, First),
    (12, 1, First),
    (13, 1, First),
    (14, 1, First),
    (15, 1, First),
    (16, 1, First),
    (19, 2, First),
    (20, 1, First),
    (21, 0, First),
    (22, 0, First),
    (23, 2, First),
    (24, 0, First),
    (25, 0, First),
    (26, 0, First),
    (28, 0, First),
    (29, 0, First),
    (30, 0, First),
    (31, 0, First),
    (32, 0, First),
    (33, 0, First),
    (34, 0, First),
    (35, 0, First),
    (37, 0, First),
    (42, 0, First),
    (43, 0, First),
    (44, 0, First),
    (45, 0, First),
    (46, 0, First),
    (47, 0, Second),
    (48, 0, First),
    (49, 0, First),
    (50, 0, First),
    (51, 0, First),
    (57, 0, First),
    (60, 0, First),
    (61, 0, First),
    (64, 0, First),
    (65, 0, First),
    (66, 0, First),
    (68, 0, First),
    (69, 0, First),
    (71, 0, First),
    (72, 0, First),
    (73, 0, First),
    (74, 0, First),
    (75, 0, First),
    (80, 0, First),
    (81, 0, First),
    (82, 0, First),
];

/// Bytes of a correlation id, of an error, and of a throttle time.
const CORRELATION: usize = 4;
const ERROR: usize = 2;
const TIME: usize = 4;

/// Whether answers of this API have one.
pub(super) fn is_known(key: i16) -> bool {
    PLACES.iter().any(|(each, ..)| *each == key)
}

/// What an answer says, in milliseconds.
pub(super) fn read(frame: &mut Frame, key: i16, head: Head) -> u32 {
    let told = field(frame, key, head).map(|field| i32::from_be_bytes(*field));
    told.and_then(|ms| u32::try_from(ms).ok()).unwrap_or(0)
}

/// Has an answer say this, if it can.
pub(super) fn write(frame: &mut Frame, key: i16, head: Head, ms: i32) {
    if let Some(field) = field(frame, key, head) {
        *field = ms.to_be_bytes();
    }
}

fn field(frame: &mut Frame, key: i16, head: Head) -> Option<&mut [u8; TIME]> {
    let (_, _, place) = PLACES.iter().find(|(each, from, _)| *each == key && head.version >= *from)?;
    let chunk = match place {
        First | Second => frame.chunks.first_mut(),
        Last => frame.chunks.last_mut(),
    };
    let Some(Chunk::Bytes(bytes)) = chunk else { return None };
    let behind_header = PREFIX + CORRELATION + usize::from(head.flexible);
    let at = match place {
        First => behind_header,
        Second => behind_header + ERROR,
        // Before the tags, of which an answer without an error has none.
        Last => bytes.len().checked_sub(TIME + usize::from(head.flexible))?,
    };
    bytes.get_mut(at..at + TIME)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::*;
    use kafka_protocol::protocol::Encodable;

    use super::*;
    use crate::api::{TABLE, row};
    use crate::net::frame::FrameBuilder;

    /// What is read from an answer of each version that says 77.
    fn check<R: Encodable>(key: i16, answer: &R) {
        let row = row(key).unwrap();
        for version in row.versions.clone() {
            let flexible = row.shape.is_flexible(version);
            let head = Head { api: row.name, version, correlation_id: 1, flexible };
            let mut builder = FrameBuilder::new(1, flexible, 0);
            // Some old versions are written here by hand only.
            let Ok(()) = answer.encode(builder.buffer(), version) else { continue };
            let mut frame = builder.finish().unwrap();
            let says = PLACES.iter().any(|(each, from, _)| *each == key && version >= *from);
            assert_eq!(read(&mut frame, key, head), if says { 77 } else { 0 }, "{} v{version}", row.name);
            write(&mut frame, key, head, 78);
            assert_eq!(read(&mut frame, key, head), if says { 78 } else { 0 }, "{} v{version}", row.name);
        }
    }

    macro_rules! checked {
        ($($key:literal $response:ty),* $(,)?) => {{
            $(check($key, &<$response>::default().with_throttle_time_ms(77));)*
            [$($key),*]
        }};
    }

    #[test]
    fn the_places_are_where_the_schemas_have_them() {
        let checked: &[i16] = &checked!(
            0 ProduceResponse, 2 ListOffsetsResponse, 3 MetadataResponse, 8 OffsetCommitResponse,
            10 FindCoordinatorResponse, 11 JoinGroupResponse, 12 HeartbeatResponse, 13 LeaveGroupResponse, 14 SyncGroupResponse,
            15 DescribeGroupsResponse, 16 ListGroupsResponse, 19 CreateTopicsResponse, 20 DeleteTopicsResponse,
            21 DeleteRecordsResponse, 22 InitProducerIdResponse, 23 OffsetForLeaderEpochResponse, 25 AddOffsetsToTxnResponse,
            26 EndTxnResponse, 28 TxnOffsetCommitResponse, 29 DescribeAclsResponse, 30 CreateAclsResponse, 31 DeleteAclsResponse,
            32 DescribeConfigsResponse, 33 AlterConfigsResponse, 34 AlterReplicaLogDirsResponse, 35 DescribeLogDirsResponse,
            37 CreatePartitionsResponse, 42 DeleteGroupsResponse, 43 ElectLeadersResponse, 44 IncrementalAlterConfigsResponse,
            45 AlterPartitionReassignmentsResponse, 46 ListPartitionReassignmentsResponse, 47 OffsetDeleteResponse,
            48 DescribeClientQuotasResponse, 49 AlterClientQuotasResponse, 50 DescribeUserScramCredentialsResponse,
            51 AlterUserScramCredentialsResponse, 57 UpdateFeaturesResponse, 60 DescribeClusterResponse,
            61 DescribeProducersResponse, 64 UnregisterBrokerResponse, 65 DescribeTransactionsResponse,
            66 ListTransactionsResponse, 68 ConsumerGroupHeartbeatResponse, 69 ConsumerGroupDescribeResponse,
            71 GetTelemetrySubscriptionsResponse, 72 PushTelemetryResponse, 73 AssignReplicasToDirsResponse,
            74 ListConfigResourcesResponse, 75 DescribeTopicPartitionsResponse, 80 AddRaftVoterResponse,
            81 RemoveRaftVoterResponse, 82 UpdateRaftVoterResponse,
        );
        // The contents of these depend on the version.
        let others = [1, 9, 24];
        for row in TABLE.iter().filter(|row| is_known(row.key)) {
            assert!(checked.contains(&row.key) || others.contains(&row.key), "{}", row.name);
        }
    }
}
