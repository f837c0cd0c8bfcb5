//! DescribeTransactions: 65, v0. The state of transactional ids (KIP-664).

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::describe_transactions_response::{TopicData, TransactionState};
use kafka_protocol::messages::{
    DescribeTransactionsRequest, DescribeTransactionsResponse, ProducerId, TopicName, TransactionalId,
};
use kafka_protocol::protocol::StrBytes;
use milena_coordinator::transaction::{Described, Reply, Request};

use super::{Cx, Outcome};
use crate::shard::gather;

pub const VERSIONS: RangeInclusive<i16> = 0..=0;

pub fn handle(cx: &Cx<'_>, request: DescribeTransactionsRequest) -> Outcome<DescribeTransactionsResponse> {
    let asked = request.transactional_ids.iter().map(|id| {
        let request = Request::Describe(id.as_str().into());
        cx.broker.transactions.ask(&cx.image, id, request)
    });
    let asked = asked.collect();
    gather(asked, move |answers: Vec<Result<Reply, ResponseError>>| {
        let states = request.transactional_ids.into_iter().zip(answers).map(|(id, answer)| {
            let described = answer.and_then(|reply| match reply {
                Reply::Describe(described) => described,
                _ => unreachable!("a reply is of its request's kind"),
            });
            match described {
                Ok(described) => state(id, &described),
                Err(error) => refused(id, error.code()),
            }
        });
        DescribeTransactionsResponse::default().with_transaction_states(states.collect())
    })
}

pub fn refuse(request: &DescribeTransactionsRequest, code: i16) -> DescribeTransactionsResponse {
    let states = request.transactional_ids.iter().map(|id| refused(id.clone(), code));
    DescribeTransactionsResponse::default().with_transaction_states(states.collect())
}

fn refused(id: TransactionalId, code: i16) -> TransactionState {
    TransactionState::default().with_transactional_id(id).with_error_code(code)
}

fn state(id: TransactionalId, described: &Described) -> TransactionState {
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for partition in &described.partitions {
        topics.entry(&partition.topic).or_default().push(partition.partition.0);
    }
    let topics = topics.into_iter().map(|(topic, partitions)| {
        let name = TopicName(StrBytes::from_string(topic.to_owned()));
        TopicData::default().with_topic(name).with_partitions(partitions)
    });
    TransactionState::default()
        .with_transactional_id(id)
        .with_transaction_state(StrBytes::from_static_str(described.state.name()))
        .with_transaction_timeout_ms(described.timeout_ms)
        .with_transaction_start_time_ms(described.started.0)
        .with_producer_id(ProducerId(described.producer_id.0))
        .with_producer_epoch(described.epoch.0)
        .with_topics(topics.collect())
}
