//! What goes into a group machine and what comes out.
//!
//! Plain values only: nothing here may refer to a connection, a task or a clock.

use std::sync::Arc;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::consumer_group_describe_response::DescribedGroup as DescribedConsumerGroup;
use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::describe_groups_response::DescribedGroup;
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
use kafka_protocol::messages::offset_fetch_response::OffsetFetchResponseGroup;
use kafka_protocol::messages::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, HeartbeatRequest, HeartbeatResponse,
    JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, LeaveGroupResponse, ListGroupsResponse,
    OffsetCommitRequest, OffsetCommitResponse, OffsetDeleteRequest, OffsetDeleteResponse, SyncGroupRequest,
    SyncGroupResponse, TxnOffsetCommitRequest, TxnOffsetCommitResponse,
};
use kafka_protocol::protocol::StrBytes;
use milena_storage::ids::{ProducerEpoch, ProducerId, Timestamp};
use uuid::Uuid;

use super::{Record, TimerKey};

/// Stands for a client that waits for an answer. Each ticket is answered exactly once.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Ticket(pub u64);

/// Who asks, as far as a group has to know it.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Empty if the request header carried none.
    pub client_id: StrBytes,
    /// As Kafka's tools print it: a slash and the address, `/127.0.0.1`.
    pub client_host: Arc<str>,
    pub api_version: i16,
    /// A random value for this request, used if the caller is given a member id.
    pub fresh_id: Uuid,
}

/// A request for one group, or for several groups of one shard.
#[derive(Clone, Debug)]
pub enum Request {
    Join(JoinGroupRequest),
    Sync(SyncGroupRequest),
    Heartbeat(HeartbeatRequest),
    Leave(LeaveGroupRequest),
    ConsumerHeartbeat(ConsumerGroupHeartbeatRequest),
    /// Topics carry name and id, whichever of them the client sent.
    Commit(OffsetCommitRequest),
    /// The runtime has seen to it that the transaction knows this partition of the internal topic.
    CommitInTransaction(TxnOffsetCommitRequest),
    FetchOffsets {
        group: OffsetFetchRequestGroup,
        require_stable: bool,
    },
    DeleteOffsets(OffsetDeleteRequest),
    List {
        states: Vec<String>,
        types: Vec<String>,
    },
    Describe {
        groups: Vec<String>,
    },
    DescribeConsumer {
        groups: Vec<String>,
    },
    Delete {
        groups: Vec<String>,
    },
    /// All members have to join again, or are assigned anew. No request of Kafka's: tests ask for it.
    Rebalance {
        group: String,
    },
}

/// The answer to the request of the same name.
#[derive(Clone, PartialEq, Debug)]
pub enum Reply {
    Join(JoinGroupResponse),
    Sync(SyncGroupResponse),
    Heartbeat(HeartbeatResponse),
    Leave(LeaveGroupResponse),
    ConsumerHeartbeat(ConsumerGroupHeartbeatResponse),
    Commit(OffsetCommitResponse),
    CommitInTransaction(TxnOffsetCommitResponse),
    FetchOffsets(OffsetFetchResponseGroup),
    DeleteOffsets(OffsetDeleteResponse),
    List(ListGroupsResponse),
    Describe(Vec<DescribedGroup>),
    DescribeConsumer(Vec<DescribedConsumerGroup>),
    Delete(Vec<DeletableGroupResult>),
    /// Why there is none to be.
    Rebalance(Option<ResponseError>),
}

/// A topic that is gone, with the id that it had.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeletedTopic {
    pub name: String,
    pub id: Uuid,
}

/// How the cluster's topics have changed.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct ChangedTopics {
    /// By name: those that are new, gone, or have other partitions or replicas.
    pub changed: Vec<String>,
    pub deleted: Vec<DeletedTopic>,
    /// Some are new.
    pub created: bool,
}

#[derive(Clone, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "made and consumed one at a time; a box would cost each heartbeat one"
)]
pub enum Input {
    Request(Ticket, Caller, Request),
    /// The deadline of this key has passed. Keys that were cancelled or moved meanwhile must not be brought.
    Timer(TimerKey),
    TopicsChanged(ChangedTopics),
    /// The whole log has been applied; from now on the shard is alive.
    Loaded,
}

/// What a step wants done. All records belong into one batch.
#[derive(Debug, Default)]
pub struct Output {
    pub records: Vec<Record>,
    /// Set if the records belong to a transaction: they are appended as such, and applied with `apply_in_transaction`.
    pub transaction: Option<(ProducerId, ProducerEpoch)>,
    /// To be sent once the records of this output, or if it has none those written before, are committed.
    pub replies: Vec<(Ticket, Reply)>,
    /// `Some` sets or moves a deadline, `None` cancels it; later entries win.
    pub timers: Vec<(TimerKey, Option<Timestamp>)>,
}

/// The response inside a reply; the reply itself if it is of another kind.
macro_rules! response {
    ($($kind:ident => $response:ty),* $(,)?) => {
        $(impl TryFrom<Reply> for $response {
            type Error = Reply;

            fn try_from(reply: Reply) -> Result<Self, Reply> {
                if let Reply::$kind(response) = reply { Ok(response) } else { Err(reply) }
            }
        })*
    };
}

response! {
    Join => JoinGroupResponse,
    Sync => SyncGroupResponse,
    Heartbeat => HeartbeatResponse,
    Leave => LeaveGroupResponse,
    ConsumerHeartbeat => ConsumerGroupHeartbeatResponse,
    Commit => OffsetCommitResponse,
    CommitInTransaction => TxnOffsetCommitResponse,
    FetchOffsets => OffsetFetchResponseGroup,
    DeleteOffsets => OffsetDeleteResponse,
}
