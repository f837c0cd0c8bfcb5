//! The broker's clock: what it shows, and moving it on.
//!
//! Must never move it back: deadlines that have passed are over.

use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use serde::{Deserialize, Serialize};

use super::Port;
use super::route::{Asked, Reply};
use crate::api::BoxFuture;

/// The furthest that one request moves the clock: ten years, more than any time-out.
const STEP_MAX_MS: u64 = 10 * 365 * 86_400_000;

#[derive(Serialize)]
struct Shown {
    now_ms: i64,
    ahead_ms: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    ms: u64,
}

pub(super) fn show(port: Arc<Port>, _: Asked) -> BoxFuture<Reply> {
    Box::pin(async move { shown(&port) })
}

pub(super) fn advance(port: Arc<Port>, asked: Asked) -> BoxFuture<Reply> {
    Box::pin(async move {
        let step: Step = match asked.json() {
            Ok(step) => step,
            Err(refused) => return refused,
        };
        if step.ms > STEP_MAX_MS {
            let what = format!("ms is {}, more than {STEP_MAX_MS}", step.ms);
            return Reply::problem(StatusCode::BAD_REQUEST, &what);
        }
        port.state.clock.advance(Duration::from_millis(step.ms));
        tracing::info!(ms = step.ms, "the clock was moved on");
        shown(&port)
    })
}

fn shown(port: &Port) -> Reply {
    let clock = &port.state.clock;
    Reply::json(StatusCode::OK, &Shown { now_ms: clock.now().0, ahead_ms: clock.ahead_ms() })
}
