//! Carries out what rules of tests ask for (`crate::faults` decides): errors, delays, cuts, silence, throttling.
//!
//! Must never change the order of answers on a connection, nor apply a request that a rule keeps from being applied.

use std::sync::Arc;

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use smallvec::SmallVec;
use uuid::Uuid;

use super::{Head, answer, refusals, throttle_field};
use crate::api::{BoxFuture, Cx, FETCH, Outcome, Row, fetch};
use crate::codec::fetch_request::FetchRequest;
use crate::codec::fetch_response::{FetchAnswer, PartitionAnswer, TopicAnswer};
use crate::faults::{Act, Asked, Hit, Subjects};
use crate::net::frame::Frame;
use crate::net::{Closing, Served};

/// The rule that a request meets, if any.
pub(super) fn met(cx: &Cx<'_>, row: &Row, body: &Bytes) -> Option<Hit> {
    let subjects = || {
        let mut subjects = Subjects::of(row.shape, cx.version, body, &cx.image);
        if row.key == FETCH
            && let Ok(request) = <FetchRequest as crate::api::Ask>::decode(body.clone(), cx.version)
        {
            let of_session = cx.broker.fetch_sessions.partitions(request.session_id);
            subjects.topics.extend(of_session.into_iter().map(|(topic, index)| (topic, Some(index))));
        }
        subjects
    };
    let client_id = cx.caller.client_id.as_deref().unwrap_or_default();
    let asked = Asked { key: row.key, client_id, connection: cx.caller.connection, subjects: &subjects };
    let hit = cx.broker.faults.judge(&asked);
    if let Some(hit) = &hit {
        tracing::debug!(rule = hit.rule, api = row.name, client_id, act = ?hit.act, "a fault strikes");
    }
    hit
}

/// Does to a request what the rule says.
pub(super) fn carry_out(
    hit: Hit,
    cx: &Cx<'_>,
    row: &Row,
    head: Head,
    body: Bytes,
) -> Result<Served, Closing> {
    Ok(match hit.act {
        Act::Error(code) if row.key == FETCH => refuse_fetch(cx, head, body, code, &hit.partitions),
        Act::Error(code) => refusals::refuse(cx, head, row.key, body, error_of(code)),
        Act::Delay(ms) => {
            let clock = cx.broker.clock.clone();
            let until = clock.steady_ms() + i64::try_from(ms).unwrap_or(i64::MAX);
            let answer = settled(row.start(cx, head, body)?);
            Served::Later(Box::pin(async move {
                let answer = answer.await;
                clock.sleep_until(until).await;
                answer
            }))
        }
        Act::CutBefore => Served::Close(Closing::Asked),
        Act::CutAfter => {
            let answer = settled(row.start(cx, head, body)?);
            Served::Later(Box::pin(async move { answer.await.and(Err(Closing::Asked)) }))
        }
        Act::Silence => {
            let mut gone = hit.gone;
            Served::Later(Box::pin(async move {
                // Nothing is ever sent: it ends with the rule.
                let _ = gone.changed().await;
                Err(Closing::Asked)
            }))
        }
        Act::Throttle(ms) => {
            let answer = settled(row.start(cx, head, body)?);
            let key = row.key;
            Served::Later(Box::pin(async move { answer.await.map(|frame| throttled(frame, key, head, ms)) }))
        }
    })
}

fn error_of(code: i16) -> ResponseError {
    ResponseError::try_from_code(code).expect("a rule's code is an error, as it was checked")
}

/// What becomes of a request, whenever it does; a frame without bytes where there is no answer.
fn settled(served: Served) -> BoxFuture<Result<Frame, Closing>> {
    match served {
        Served::Now(frame) => Box::pin(std::future::ready(Ok(frame))),
        Served::Later(answer) => answer,
        Served::Nothing => {
            Box::pin(std::future::ready(Ok(Frame { chunks: SmallVec::new(), len: 0, pause_ms: 0 })))
        }
        Served::Close(closing) => Box::pin(std::future::ready(Err(closing))),
        Served::Last(last) => Box::pin(std::future::ready(Err(last.why))),
    }
}

/// Fetches as asked, without waiting, so that the session goes on; the answer tells an error of the partitions that are meant.
fn refuse_fetch(cx: &Cx<'_>, head: Head, body: Bytes, code: i16, meant: &[(String, i32)]) -> Served {
    let image = cx.image.clone();
    answer::<FetchRequest, FetchAnswer>(cx, head, body, |cx, request| {
        let fetched = fetch::handle(cx, FetchRequest { max_wait_ms: 0, ..request });
        let topics: Vec<(Arc<str>, Uuid, i32)> = meant
            .iter()
            .filter_map(|(name, index)| image.topic(name).map(|topic| (topic.name.clone(), topic.id, *index)))
            .collect();
        let spoil = move |mut answer: FetchAnswer| {
            if answer.error_code == 0 {
                topics.iter().for_each(|(name, id, index)| spoil_one(&mut answer, name, *id, *index, code));
            }
            answer
        };
        match fetched {
            Outcome::Now(answer) => spoil(answer).into(),
            Outcome::Later(answer) => Outcome::later(async move { spoil(answer.await) }),
            other => other,
        }
    })
}

fn spoil_one(answer: &mut FetchAnswer, name: &Arc<str>, id: Uuid, index: i32, code: i16) {
    let spoiled = PartitionAnswer {
        index,
        error_code: code,
        high_watermark: -1,
        last_stable_offset: -1,
        log_start_offset: -1,
        aborted: None,
        preferred_read_replica: -1,
        records: None,
        diverging: None,
        current_leader: None,
    };
    let Some(topic) = answer.topics.iter_mut().find(|topic| topic.topic == *name) else {
        answer.topics.push(TopicAnswer { topic: name.clone(), topic_id: id, partitions: vec![spoiled] });
        return;
    };
    match topic.partitions.iter_mut().find(|partition| partition.index == index) {
        Some(partition) => *partition = spoiled,
        None => topic.partitions.push(spoiled),
    }
}

/// Writes the throttle time into an answer that is encoded.
fn throttled(mut frame: Frame, key: i16, head: Head, ms: i32) -> Frame {
    throttle_field::write(&mut frame, key, head, ms);
    frame
}
