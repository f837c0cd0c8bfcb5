//! The transactional batches of a Produce request: which partitions have to ask the coordinator, and what it said.
//!
//! Must never ask for a partition whose transaction is open already: that is every batch but the first.

use std::collections::{BTreeMap, BTreeSet};

use milena_storage::batch::Header;
use milena_storage::ids::TopicPartition;
use milena_storage::log::Guard;
use milena_storage::validate::Origin;

use super::TOPIC_IDS;
use crate::api::Cx;
use crate::codec::produce_request::{ProduceRequest, TopicData};
use crate::partition::PartitionError;
use crate::shard::Asked;
use crate::transactions::verify::{Client, Verdicts, as_produce_error, ask, is_asked_for};

/// From here on the request adds its partitions to the transaction.
const ADDS_PARTITIONS: i16 = 12;
/// From here on clients know TRANSACTION_ABORTABLE.
const KNOWS_ABORTABLE: i16 = 11;

/// What there is to ask.
pub(super) struct Question {
    pub client: Client,
    pub guards: BTreeMap<TopicPartition, Guard>,
    pub asked: Asked<Verdicts>,
}

/// What is known when the batches are appended; nothing for requests without transactions.
#[derive(Default)]
pub(super) struct Known {
    pub guards: BTreeMap<TopicPartition, Guard>,
    pub verdicts: Verdicts,
    pub client: Option<Client>,
}

impl Known {
    /// How the batch of a partition is appended.
    pub(super) fn origin(&self, version: i16, at: &TopicPartition) -> Result<Origin, PartitionError> {
        if let (Some(error), Some(client)) = (self.verdicts.get(at), &self.client) {
            return Err(PartitionError::Transaction(as_produce_error(*error, client)));
        }
        Ok(match self.guards.get(at) {
            Some(guard) => Origin::Transaction { produce_version: version, guard: *guard },
            None => Origin::Client { produce_version: version },
        })
    }
}

/// The transactional batches of a request.
pub(super) fn batches(request: &ProduceRequest) -> impl Iterator<Item = ((&TopicData, i32), Header)> {
    request.topics.iter().flat_map(|topic| {
        topic.partitions.iter().filter_map(move |partition| {
            let header = Header::parse(partition.records.as_ref()?).ok()?;
            header.is_transactional().then_some(((topic, partition.index), header))
        })
    })
}

/// Asks the coordinator about the partitions that do not know the transaction to be open.
pub(super) fn question(cx: &Cx<'_>, request: &ProduceRequest) -> Option<Question> {
    let id = request.transactional_id.as_ref()?;
    if !is_asked_for(cx) {
        return None;
    }
    let adds = cx.version >= ADDS_PARTITIONS;
    let mut client = None;
    let mut guards = BTreeMap::new();
    let mut unsure = BTreeSet::new();
    for ((topic, index), header) in batches(request) {
        let found = if cx.version >= TOPIC_IDS {
            cx.image.topic_by_id(topic.id)
        } else {
            cx.image.topic(&topic.name)
        };
        // What cannot be appended is refused when it comes to that.
        let Some(found) = found else { continue };
        let Ok(partition) = cx.broker.partitions.find(&cx.image, &found.name, index) else { continue };
        let Ok(guard) = partition.begin_verification(&header, adds, cx.now) else { continue };
        guards.insert(partition.name.clone(), guard);
        if guard != Guard::NOT_ASKED {
            unsure.insert(partition.name.clone());
        }
        client.get_or_insert_with(|| Client {
            id: id.as_str().into(),
            producer_id: header.producer_id,
            epoch: header.producer_epoch,
            adds,
            knows_abortable: cx.version >= KNOWS_ABORTABLE,
        });
    }
    let client = client?;
    let asked = if unsure.is_empty() { Asked::Now(Verdicts::new()) } else { ask(cx, &client, unsure) };
    Some(Question { client, guards, asked })
}
