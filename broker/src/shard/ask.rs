//! What handlers say to the shards and hear from them.
//!
//! Must never let an error of the runtime reach a handler raw: it becomes the answer that the request's version has.

use std::sync::Arc;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::ListGroupsResponse;
use milena_coordinator::group::{Caller as GroupCaller, Input, Reply, Request, Ticket, precheck, refusal};
use milena_coordinator::image::MetadataImage;
use milena_storage::log::Guard;
use uuid::Uuid;

use super::{GroupMachine, Machine, Shards, slot::Slot};
use crate::api::{BoxFuture, Cx, Outcome};

/// A request with who asks it.
pub struct Question {
    caller: GroupCaller,
    request: Request,
    /// Under what the records of a transaction may be written (KIP-890).
    guard: Option<Guard>,
}

/// An answer that is there, or will be.
pub enum Asked<R = Reply> {
    Now(R),
    Later(BoxFuture<R>),
}

impl Question {
    #[must_use]
    pub fn new(cx: &Cx<'_>, request: Request) -> Self {
        // Only who has no id yet may be given one made of it.
        let new = match &request {
            Request::Join(join) => join.member_id.is_empty(),
            Request::ConsumerHeartbeat(heartbeat) => heartbeat.member_id.is_empty(),
            _ => false,
        };
        let fresh_id = if new { Uuid::new_v4() } else { Uuid::nil() };
        let caller = GroupCaller {
            client_id: cx.caller.client_id.clone().unwrap_or_default(),
            client_host: cx.caller.java_host.clone(),
            api_version: cx.version,
            fresh_id,
        };
        Self { caller, request, guard: None }
    }

    /// The records of the request's transaction are written under this guard.
    #[must_use]
    pub fn under(self, guard: Guard) -> Self {
        Self { guard: Some(guard), ..self }
    }

    fn refuse(&self, error: ResponseError) -> Reply {
        refusal(self.caller.api_version, &self.request, error)
    }
}

impl<M: Machine> Shards<M> {
    /// Puts a question to the shard of an id.
    pub fn put(
        &self,
        image: &MetadataImage,
        id: &str,
        request: impl FnOnce(Ticket) -> M::Input,
    ) -> Asked<Result<M::Reply, ResponseError>> {
        let asked = match self.slot(image, id) {
            Ok(slot) => slot.ask(None, request),
            Err(error) => Ok(Err(error)),
        };
        match asked {
            Ok(answer) => Asked::Now(answer),
            // A sender is dropped unanswered only when the broker ends.
            Err(receiver) => {
                Asked::Later(Box::pin(
                    async move { receiver.await.unwrap_or(Err(ResponseError::NotCoordinator)) },
                ))
            }
        }
    }

    /// Puts a question to every shard of this broker.
    pub fn put_to_all(
        &self,
        request: impl Fn(Ticket) -> M::Input,
    ) -> Vec<Asked<Result<M::Reply, ResponseError>>> {
        let asked =
            self.all().into_iter().map(|slot| match slot.ask(None, &request) {
                Ok(answer) => Asked::Now(answer),
                Err(receiver) => Asked::Later(Box::pin(async move {
                    receiver.await.unwrap_or(Err(ResponseError::NotCoordinator))
                }) as BoxFuture<_>),
            });
        asked.collect()
    }
}

impl Shards {
    /// Asks the shard of a group.
    pub fn ask(&self, cx: &Cx<'_>, group: &str, question: Question) -> Asked {
        self.ask_with(&cx.image, group, question)
    }

    /// As above, for who no longer has the context of the request.
    pub fn ask_with(&self, image: &MetadataImage, group: &str, question: Question) -> Asked {
        if let Some(refused) = precheck(&self.env.settings.config, &question.caller, &question.request) {
            return Asked::Now(refused);
        }
        match self.slot(image, group) {
            Ok(slot) => slot.put(question),
            Err(error) => Asked::Now(question.refuse(error)),
        }
    }

    /// Asks every shard of this broker for its groups; one that is loading fails the whole list, as in Kafka.
    pub fn list(&self, cx: &Cx<'_>, states: &[String], types: &[String]) -> Outcome<ListGroupsResponse> {
        let mut list = ListGroupsResponse::default();
        let mut later = Vec::new();
        for slot in self.all() {
            let request = Request::List { states: states.to_vec(), types: types.to_vec() };
            match slot.put(Question::new(cx, request)) {
                Asked::Now(reply) => add(&mut list, reply),
                Asked::Later(reply) => later.push(reply),
            }
        }
        if later.is_empty() {
            return Outcome::Now(list);
        }
        Outcome::later(async move {
            for reply in later {
                add(&mut list, reply.await);
            }
            list
        })
    }
}

/// One outcome of several questions, in their order.
pub fn gather<A: Send + 'static, R: 'static>(
    asked: Vec<Asked<A>>,
    response: impl FnOnce(Vec<A>) -> R + Send + 'static,
) -> Outcome<R> {
    if asked.iter().all(|asked| matches!(asked, Asked::Now(_))) {
        let replies = asked
            .into_iter()
            .filter_map(|asked| if let Asked::Now(reply) = asked { Some(reply) } else { None });
        return Outcome::Now(response(replies.collect()));
    }
    Outcome::later(async move {
        let mut replies = Vec::with_capacity(asked.len());
        for asked in asked {
            replies.push(asked.wait().await);
        }
        response(replies)
    })
}

fn add(list: &mut ListGroupsResponse, reply: Reply) {
    let Reply::List(part) = reply else { return };
    match ResponseError::try_from_code(part.error_code) {
        // The partition has moved; its new leader lists these.
        Some(ResponseError::NotCoordinator) => {}
        Some(error) => {
            list.error_code = error.code();
            list.groups.clear();
        }
        None if list.error_code == 0 => list.groups.extend(part.groups),
        None => {}
    }
}

impl Slot<GroupMachine> {
    fn put(self: &Arc<Self>, question: Question) -> Asked {
        let Question { caller, request, guard } = question;
        let question = Question { caller: caller.clone(), request: request.clone(), guard };
        let answer = move |answer: Option<Result<Reply, ResponseError>>| {
            // A sender is dropped unanswered only when the broker ends.
            let answer = answer.unwrap_or(Err(ResponseError::NotCoordinator));
            answer.unwrap_or_else(|error| question.refuse(error))
        };
        match self.ask(guard, |ticket| Input::Request(ticket, caller, request)) {
            Ok(now) => Asked::Now(answer(Some(now))),
            Err(receiver) => Asked::Later(Box::pin(async move { answer(receiver.await.ok()) })),
        }
    }
}

impl<A: 'static> Asked<A> {
    /// The outcome of a handler that makes its response of the reply.
    pub fn then<R: 'static>(self, response: impl FnOnce(A) -> R + Send + 'static) -> Outcome<R> {
        match self {
            Self::Now(reply) => Outcome::Now(response(reply)),
            Self::Later(reply) => Outcome::later(async move { response(reply.await) }),
        }
    }

    /// The reply, for who waits anyway.
    pub async fn wait(self) -> A {
        match self {
            Self::Now(reply) => reply,
            Self::Later(reply) => reply.await,
        }
    }
}

impl Asked {
    /// As above, for a reply that is the response.
    ///
    /// # Panics
    /// If the reply is not of the kind that was asked for.
    pub fn answer<R: TryFrom<Reply> + 'static>(self) -> Outcome<R> {
        self.then(|reply| {
            let Ok(response) = R::try_from(reply) else { unreachable!("a reply is of its request's kind") };
            response
        })
    }
}
