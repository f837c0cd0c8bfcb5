//! ListTransactions: 66, v0–2. The transactional ids whose coordinators are on this broker (KIP-664).
//!
//! Behaviour: one coordinator that is loading fails the whole list. Names of states that do not exist are told back.
//! Versions: 1 duration, 2 a pattern of ids (KIP-1152). A pattern is a Java regular expression in Kafka; here those
//! without look-around and back references are taken, others are INVALID_REGULAR_EXPRESSION.

use std::ops::RangeInclusive;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::list_transactions_response::TransactionState;
use kafka_protocol::messages::{
    ListTransactionsRequest, ListTransactionsResponse, ProducerId, TransactionalId,
};
use kafka_protocol::protocol::StrBytes;
use milena_coordinator::transaction::{Input, ListFilter, Listed, Reply, Request, State};
use milena_storage::ids::ProducerId as Id;
use regex::{Regex, RegexBuilder};

use super::{Cx, Outcome};
use crate::shard::gather;

pub const VERSIONS: RangeInclusive<i16> = 0..=2;

/// Memory that a compiled pattern may take; patterns of ids are short.
const PATTERN_BYTES_MAX: usize = 1 << 20;

pub fn handle(cx: &Cx<'_>, request: ListTransactionsRequest) -> Outcome<ListTransactionsResponse> {
    let pattern = match pattern(&request) {
        Ok(pattern) => pattern,
        Err(error) => return refuse(&request, error.code()).into(),
    };
    let filter = ListFilter {
        producer_ids: request.producer_id_filters.iter().map(|id| Id(id.0)).collect(),
        states: request.state_filters.iter().map(ToString::to_string).collect(),
        duration_ms: request.duration_filter,
    };
    let unknown = request.state_filters.into_iter().filter(|name| State::from_name(name).is_none());
    let unknown: Vec<StrBytes> = unknown.collect();
    let list = |ticket| Input::Request(ticket, Request::List(filter.clone()));
    gather(cx.broker.transactions.shards.put_to_all(list), move |answers| {
        let response = ListTransactionsResponse::default().with_unknown_state_filters(unknown);
        let mut found = Vec::new();
        for answer in answers {
            match answer {
                Ok(Reply::List(listed)) => found.extend(listed),
                // The partition has moved; its new leader lists these.
                Ok(_) | Err(ResponseError::NotCoordinator) => {}
                Err(error) => return response.with_error_code(error.code()),
            }
        }
        let matching = found.iter().filter(|one| pattern.as_ref().is_none_or(|it| it.is_match(&one.id)));
        response.with_transaction_states(matching.map(state).collect())
    })
}

pub fn refuse(_request: &ListTransactionsRequest, code: i16) -> ListTransactionsResponse {
    ListTransactionsResponse::default().with_error_code(code)
}

/// The pattern has to match the whole id.
fn pattern(request: &ListTransactionsRequest) -> Result<Option<Regex>, ResponseError> {
    let Some(pattern) = request.transactional_id_pattern.as_deref().filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let whole = format!("^(?:{pattern})$");
    let built = RegexBuilder::new(&whole).size_limit(PATTERN_BYTES_MAX).build();
    built.map(Some).map_err(|_| ResponseError::InvalidRegularExpression)
}

fn state(one: &Listed) -> TransactionState {
    TransactionState::default()
        .with_transactional_id(TransactionalId(StrBytes::from_string(one.id.to_string())))
        .with_producer_id(ProducerId(one.producer_id.0))
        .with_transaction_state(StrBytes::from_static_str(one.state.name()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_whole_ids() {
        let asked = |text: &'static str| {
            let text = Some(StrBytes::from_static_str(text));
            pattern(&ListTransactionsRequest::default().with_transactional_id_pattern(text))
        };
        let some = asked("a.*|b").unwrap().unwrap();
        assert!(some.is_match("abc") && some.is_match("b"));
        assert!(!some.is_match("xb") && !some.is_match("bx"));
        assert!(asked("").unwrap().is_none());
        assert_eq!(asked("(").err(), Some(ResponseError::InvalidRegularExpression));
    }
}
