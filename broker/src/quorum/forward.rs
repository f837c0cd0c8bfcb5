//! Requests for the controller on their way to it: a broker that does not lead passes them on over its link.
//!
//! What travels is the request itself, so that the leader plans on its own image. It is Kafka's message at the newest
//! version that this build knows, with the broker that took it; whether the caller may ask was decided there. Must never
//! send a request twice that may have been looked at.

use std::pin::Pin;
use std::sync::Weak;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{
    AlterClientQuotasRequest, AlterClientQuotasResponse, AlterConfigsRequest, AlterConfigsResponse,
    AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse, AlterPartitionRequest,
    AlterUserScramCredentialsRequest, AlterUserScramCredentialsResponse, AssignReplicasToDirsRequest,
    CreatePartitionsRequest, CreatePartitionsResponse, CreateTopicsRequest, CreateTopicsResponse,
    DeleteTopicsRequest, DeleteTopicsResponse, ElectLeadersRequest, IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse, UnregisterBrokerRequest, UpdateFeaturesRequest,
};
use kafka_protocol::protocol::{Decodable, Encodable, Request};
use milena_coordinator::controller::{self, Refusal};
use milena_coordinator::ensemble::{Answerer, AskError};
use milena_coordinator::tree::SessionId;
use milena_storage::ids::BrokerId;

use super::register::Registering;
use super::{Quorum, Shared};
use crate::net::guard;

/// How long a request is kept while there is no leader: several elections.
pub(super) const PATIENCE_MS: i64 = 10_000;
/// Pause before it is asked again.
pub(super) const RETRY_MS: i64 = 20;

/// Keys of what is not Kafka's.
pub(super) mod own {
    pub(crate) const REGISTER: i16 = -1;
    pub(crate) const PRODUCER_IDS: i16 = -2;
    pub(crate) const QUORUM: i16 = -3;
    pub(crate) const MEMBERS: i16 = -4;
    pub(crate) const HEARD: i16 = -5;
    pub(crate) const SHUT_DOWN: i16 = -6;
    pub(crate) const LOG_DIRS: i16 = -7;
    pub(crate) const CHARGED: i16 = -8;
}

const DONE: u8 = 0;
const REFUSED: u8 = 1;

impl Quorum {
    /// Whether requests for the controller are decided here.
    #[must_use]
    pub fn controls(&self) -> bool {
        self.shared.ensemble.leadership().leads
    }

    /// Has the leader answer one of Kafka's requests; returns when this broker has published what was decided. Nothing if this
    /// node has become the controller itself.
    pub(super) async fn forward<R: Request>(&self, request: &R) -> Result<Option<R::Response>, Refusal> {
        let version = R::VERSIONS.max;
        let mut body = BytesMut::new();
        request.encode(&mut body, version).map_err(|error| broken(&error))?;
        let answer = match &self.payer {
            None => self.ask_controller(R::KEY, version, &body).await?,
            Some(payer) => self.ask_charged(payer, R::KEY, version, &body).await?,
        };
        let Some(mut answer) = answer else { return Ok(None) };
        R::Response::decode(&mut answer, version).map(Some).map_err(|error| broken(&error))
    }

    /// As [`Quorum::forward`], for any question.
    pub(super) async fn ask_controller(
        &self,
        key: i16,
        version: i16,
        body: &[u8],
    ) -> Result<Option<Bytes>, Refusal> {
        let question = self.question(key, version, body);
        let clock = &self.shared.clock;
        let deadline = clock.steady_ms() + PATIENCE_MS;
        loop {
            let answer = match self.shared.ensemble.ask_leader(question.clone()).await {
                Ok(answer) => read_answer(answer),
                Err(AskError::NoLeader(_)) if !self.controls() => {
                    Err(Refusal::bare(ResponseError::NotController))
                }
                Err(AskError::NoLeader(_)) => return Ok(None),
                // Clients ask again, and find out what became of it.
                Err(AskError::Unknown) => return Err(Refusal::bare(ResponseError::NotController)),
            };
            match answer {
                Ok(answer) => {
                    if self.shared.ensemble.barrier().await.is_ok() {
                        self.wait_until_published().await;
                    }
                    return Ok(Some(answer));
                }
                Err(refusal)
                    if refusal.code == ResponseError::NotController && clock.steady_ms() < deadline =>
                {
                    clock.sleep_until(clock.steady_ms() + RETRY_MS).await;
                }
                Err(refusal) => return Err(refusal),
            }
        }
    }

    /// Tells the leader which sessions of ZooKeeper's clients this node has heard; false if it was not told.
    pub async fn tell_heard(&self, sessions: &[SessionId]) -> bool {
        let mut body = Vec::with_capacity(8 * sessions.len());
        sessions.iter().for_each(|id| body.put_i64(id.0));
        let asked = self.shared.ensemble.ask_leader(self.question(own::HEARD, 0, &body)).await;
        asked.is_ok_and(|answer| read_answer(answer).is_ok())
    }

    fn question(&self, key: i16, version: i16, body: &[u8]) -> Bytes {
        let mut question = Vec::with_capacity(body.len() + 8);
        question.put_i16(key);
        question.put_i16(version);
        question.put_i32(self.shared.node.0);
        question.put_slice(body);
        question.into()
    }

    /// Decides what another broker passed on.
    async fn answer(&self, from: i32, mut question: Bytes) -> Result<Bytes, Refusal> {
        let malformed = || Refusal::bare(ResponseError::InvalidRequest);
        let key = question.try_get_i16().map_err(|_| malformed())?;
        let version = question.try_get_i16().map_err(|_| malformed())?;
        let node = BrokerId(question.try_get_i32().map_err(|_| malformed())?);
        if !self.controls() {
            return Err(Refusal::bare(ResponseError::NotController));
        }
        if node.0 != from {
            return Err(malformed());
        }
        let on_behalf = self.on_behalf_of(node);
        match key {
            own::REGISTER => {
                let registering = Registering::decode(node, &mut question).ok_or_else(malformed)?;
                on_behalf.register_here(registering).await.map(|()| Bytes::new())
            }
            own::PRODUCER_IDS => {
                let first = on_behalf.allocate_producer_ids().await?;
                Ok(Bytes::copy_from_slice(&first.0.to_be_bytes()))
            }
            own::HEARD => {
                let (ids, rest) = question.as_chunks::<8>();
                if !rest.is_empty() {
                    return Err(malformed());
                }
                let ids: Vec<_> = ids.iter().map(|id| SessionId(i64::from_be_bytes(*id))).collect();
                if let Some(watcher) = &self.shared.watcher {
                    watcher.heard(&ids);
                }
                Ok(Bytes::new())
            }
            own::SHUT_DOWN => on_behalf.hand_over_partitions().await.map(|()| Bytes::new()),
            own::LOG_DIRS => {
                let (online, cordoned) = super::directories::decode(&question).ok_or_else(malformed)?;
                on_behalf.keep_log_dirs(&online, cordoned).await.map(|()| Bytes::new())
            }
            own::QUORUM => Ok(super::members::encode_quorum(&self.shared.ensemble.quorum())),
            own::CHARGED => on_behalf.answer_charged(question).await,
            own::MEMBERS => {
                let change = super::members::VoterChange::decode(&mut question).ok_or_else(malformed)?;
                on_behalf.change_voters(change).await.map(|()| Bytes::new())
            }
            key => on_behalf.answer_kafkas(key, version, question).await,
        }
    }

    pub(super) async fn answer_kafkas(&self, key: i16, version: i16, body: Bytes) -> Result<Bytes, Refusal> {
        match key {
            CreateTopicsRequest::KEY => {
                let topics = self.create_topics(read(version, body)?).await?;
                write(version, &CreateTopicsResponse::default().with_topics(topics))
            }
            DeleteTopicsRequest::KEY => {
                let responses = self.delete_topics(read(version, body)?).await?;
                write(version, &DeleteTopicsResponse::default().with_responses(responses))
            }
            CreatePartitionsRequest::KEY => {
                let results = self.create_partitions(read(version, body)?).await?;
                write(version, &CreatePartitionsResponse::default().with_results(results))
            }
            AlterConfigsRequest::KEY => {
                let responses = self.alter_configs(read(version, body)?).await?;
                write(version, &AlterConfigsResponse::default().with_responses(responses))
            }
            IncrementalAlterConfigsRequest::KEY => {
                let responses = self.incremental_alter_configs(read(version, body)?).await?;
                write(version, &IncrementalAlterConfigsResponse::default().with_responses(responses))
            }
            AlterClientQuotasRequest::KEY => {
                let entries = self.alter_client_quotas(read(version, body)?).await?;
                write(version, &AlterClientQuotasResponse::default().with_entries(entries))
            }
            AlterUserScramCredentialsRequest::KEY => {
                let results = self.alter_user_scram_credentials(read(version, body)?).await?;
                write(version, &AlterUserScramCredentialsResponse::default().with_results(results))
            }
            AlterPartitionRequest::KEY => {
                let answers = self.alter_partition(read(version, body)?).await?;
                write(version, &controller::altered(answers))
            }
            AssignReplicasToDirsRequest::KEY => {
                let answers = self.assign_replicas_to_dirs(read(version, body)?).await?;
                write(version, &controller::assigned(answers))
            }
            AlterPartitionReassignmentsRequest::KEY => {
                let responses = self.alter_partition_reassignments(read(version, body)?).await?;
                write(version, &AlterPartitionReassignmentsResponse::default().with_responses(responses))
            }
            ElectLeadersRequest::KEY => {
                let response = self.elect_leaders(read(version, body)?).await?;
                write(version, &response)
            }
            UpdateFeaturesRequest::KEY => {
                let response = self.update_features(read(version, body)?).await?;
                write(version, &response)
            }
            UnregisterBrokerRequest::KEY => {
                let response = self.unregister_broker(read(version, body)?).await?;
                write(version, &response)
            }
            _ => Err(Refusal::bare(ResponseError::InvalidRequest)),
        }
    }
}

/// Reads a request behind the same guard as one from a client.
fn read<R: Request>(version: i16, mut body: Bytes) -> Result<R, Refusal> {
    let malformed = || Refusal::bare(ResponseError::InvalidRequest);
    if version != R::VERSIONS.max {
        return Err(Refusal::bare(ResponseError::UnsupportedVersion));
    }
    guard::body(guard::shape(R::KEY), version, &body).map_err(|_| malformed())?;
    R::decode(&mut body, version).map_err(|_| malformed())
}

fn write<T: Encodable>(version: i16, response: &T) -> Result<Bytes, Refusal> {
    let mut out = BytesMut::new();
    response.encode(&mut out, version).map_err(|error| broken(&error))?;
    Ok(out.freeze())
}

fn broken(error: &dyn std::fmt::Display) -> Refusal {
    tracing::error!(%error, "a request for the controller cannot be passed on");
    Refusal::bare(ResponseError::UnknownServerError)
}

fn read_answer(mut answer: Bytes) -> Result<Bytes, Refusal> {
    let broken = || Refusal::bare(ResponseError::UnknownServerError);
    match answer.try_get_u8() {
        Ok(DONE) => Ok(answer),
        Ok(REFUSED) => {
            let code = answer.try_get_i16().map_err(|_| broken())?;
            let code = ResponseError::try_from_code(code).ok_or_else(broken)?;
            let message = String::from_utf8_lossy(&answer).into_owned();
            Err(Refusal::new(code, message))
        }
        _ => Err(broken()),
    }
}

/// The leader's end. Holds the service weakly: the service holds the ensemble, which holds this.
pub(super) struct Desk(pub(super) Weak<Shared>);

impl Answerer for Desk {
    fn answer(&self, from: i32, question: Bytes) -> Pin<Box<dyn Future<Output = Bytes> + Send>> {
        let shared = self.0.upgrade();
        Box::pin(async move {
            let answer = match shared {
                Some(shared) => Quorum::of(shared).answer(from, question).await,
                None => Err(Refusal::bare(ResponseError::NotController)),
            };
            let mut out = Vec::new();
            match answer {
                Ok(answer) => {
                    out.put_u8(DONE);
                    out.put_slice(&answer);
                }
                Err(refusal) => {
                    out.put_u8(REFUSED);
                    out.put_i16(refusal.code.code());
                    out.put_slice(refusal.message.as_bytes());
                }
            }
            out.into()
        })
    }
}
