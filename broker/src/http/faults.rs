//! `/v1/faults`: rules that tests set, and what they have struck.
//!
//! Must never judge a rule: `crate::faults` does.

use std::sync::Arc;

use hyper::StatusCode;
use serde::Serialize;

use super::Port;
use super::route::{Asked, Reply};
use crate::api::BoxFuture;
use crate::faults::{Counted, Rule};

#[derive(Serialize)]
struct Rules {
    rules: Vec<Counted>,
}

pub(super) fn list(port: Arc<Port>, _: Asked) -> BoxFuture<Reply> {
    Box::pin(async move { Reply::json(StatusCode::OK, &Rules { rules: port.state.faults.all() }) })
}

pub(super) fn add(port: Arc<Port>, asked: Asked) -> BoxFuture<Reply> {
    Box::pin(async move {
        let rule: Rule = match asked.json() {
            Ok(rule) => rule,
            Err(refused) => return refused,
        };
        match port.state.faults.add(rule) {
            Ok(added) => {
                tracing::info!(rule = added.id, action = ?added.rule.action, "a fault is set");
                Reply::json(StatusCode::CREATED, &added)
            }
            Err(error) => Reply::problem(StatusCode::BAD_REQUEST, &error.to_string()),
        }
    })
}

pub(super) fn clear(port: Arc<Port>, _: Asked) -> BoxFuture<Reply> {
    Box::pin(async move { Reply::json(StatusCode::OK, &Rules { rules: port.state.faults.clear() }) })
}

pub(super) fn show(port: Arc<Port>, asked: Asked) -> BoxFuture<Reply> {
    Box::pin(async move { told(id(&asked).and_then(|id| port.state.faults.get(id))) })
}

pub(super) fn remove(port: Arc<Port>, asked: Asked) -> BoxFuture<Reply> {
    Box::pin(async move { told(id(&asked).and_then(|id| port.state.faults.remove(id))) })
}

fn id(asked: &Asked) -> Option<u64> {
    asked.path.first()?.parse().ok()
}

fn told(rule: Option<Counted>) -> Reply {
    rule.map_or_else(
        || Reply::problem(StatusCode::NOT_FOUND, "there is no such rule"),
        |rule| Reply::json(StatusCode::OK, &rule),
    )
}
