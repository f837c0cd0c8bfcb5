//! `/v1/groups/{group}/rebalance`: has the members of a group join again, or be assigned anew.
//!
//! Must never decide how: the group's machine does.

use std::sync::Arc;

use hyper::StatusCode;
use kafka_protocol::error::ResponseError;
use milena_coordinator::group::{Reply as GroupReply, Request};
use serde_json::json;

use super::Port;
use super::route::{Asked, Reply};
use crate::api::BoxFuture;
use crate::shard::Question;

pub(super) fn rebalance(port: Arc<Port>, asked: Asked) -> BoxFuture<Reply> {
    Box::pin(async move {
        let group = asked.path.first().cloned().unwrap_or_default();
        let caller = port.caller();
        let asked = {
            let cx = port.cx(&caller, 0);
            let question = Question::new(&cx, Request::Rebalance { group: group.clone() });
            port.state.shards.ask(&cx, &group, question)
        };
        let problem = |status, what: &str| Reply::problem(status, &format!("group {group:?}: {what}"));
        match asked.wait().await {
            GroupReply::Rebalance(None) => Reply::json(StatusCode::OK, &json!({ "group": group })),
            GroupReply::Rebalance(Some(ResponseError::GroupIdNotFound)) => {
                problem(StatusCode::NOT_FOUND, "this broker knows none of that name")
            }
            GroupReply::Rebalance(Some(ResponseError::UnknownMemberId)) => {
                problem(StatusCode::CONFLICT, "it has no members")
            }
            GroupReply::Rebalance(Some(error)) => {
                problem(StatusCode::SERVICE_UNAVAILABLE, &format!("its coordinator says {error}"))
            }
            _ => problem(StatusCode::INTERNAL_SERVER_ERROR, "an answer of another kind"),
        }
    })
}
