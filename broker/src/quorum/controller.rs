//! What the controller is asked: by this broker's handlers, which need not know where it is, and by other brokers.
//!
//! Must never decide; and must never answer before the broker that was asked has published what was decided.

use bytes::Buf;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::alter_client_quotas_response::EntryData;
use kafka_protocol::messages::alter_configs_response::AlterConfigsResourceResponse as LegacyResponse;
use kafka_protocol::messages::alter_partition_reassignments_response::ReassignableTopicResponse;
use kafka_protocol::messages::alter_user_scram_credentials_response::AlterUserScramCredentialsResult;
use kafka_protocol::messages::assign_replicas_to_dirs_response::PartitionData;
use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::create_topics_response::CreatableTopicResult;
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse;
use kafka_protocol::messages::{
    AlterClientQuotasRequest, AlterConfigsRequest, AlterPartitionReassignmentsRequest, AlterPartitionRequest,
    AlterPartitionResponse, AlterUserScramCredentialsRequest, AssignReplicasToDirsRequest,
    AssignReplicasToDirsResponse, CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest,
    ElectLeadersRequest, ElectLeadersResponse, IncrementalAlterConfigsRequest, UnregisterBrokerRequest,
    UnregisterBrokerResponse, UpdateFeaturesRequest, UpdateFeaturesResponse,
};
use kafka_protocol::protocol::Request;
use milena_coordinator::controller::{self, Altered, Assigned, Ctx, Item, Plan, Refusal};
use milena_coordinator::tree::SessionId;
use milena_storage::ids::{BrokerId, ProducerId};
use tokio::sync::oneshot;

use super::Quorum;
use super::forward::{PATIENCE_MS, RETRY_MS, own};
use super::turns::{Decided, Job};
use crate::api::BoxFuture;

impl Quorum {
    /// Takes its turn when it is called, before it is waited for.
    pub fn create_topics(
        &self,
        request: CreateTopicsRequest,
    ) -> impl Future<Output = Result<Vec<CreatableTopicResult>, Refusal>> + Send + 'static {
        let fail = |result: CreatableTopicResult, refusal: &Refusal| {
            CreatableTopicResult::default()
                .with_name(result.name)
                .with_error_code(refusal.code.code())
                .with_error_message(refusal.wire_message())
        };
        self.at_controller(request, controller::create_topics, fail, |response| response.topics)
    }

    pub async fn delete_topics(
        &self,
        request: DeleteTopicsRequest,
    ) -> Result<Vec<DeletableTopicResult>, Refusal> {
        let decide =
            |ctx: &mut Ctx<'_>, request: &DeleteTopicsRequest| Ok(controller::delete_topics(ctx, request));
        let fail = |result: DeletableTopicResult, refusal: &Refusal| {
            result.with_error_code(refusal.code.code()).with_error_message(refusal.wire_message())
        };
        self.at_controller(request, decide, fail, |response| response.responses).await
    }

    pub async fn create_partitions(
        &self,
        request: CreatePartitionsRequest,
    ) -> Result<Vec<CreatePartitionsTopicResult>, Refusal> {
        let decide = |ctx: &mut Ctx<'_>, request: &CreatePartitionsRequest| {
            Ok(controller::create_partitions(ctx, request))
        };
        let fail = |result: CreatePartitionsTopicResult, refusal: &Refusal| {
            result.with_error_code(refusal.code.code()).with_error_message(refusal.wire_message())
        };
        self.at_controller(request, decide, fail, |response| response.results).await
    }

    pub async fn incremental_alter_configs(
        &self,
        request: IncrementalAlterConfigsRequest,
    ) -> Result<Vec<AlterConfigsResourceResponse>, Refusal> {
        let decide = |ctx: &mut Ctx<'_>, request: &IncrementalAlterConfigsRequest| {
            Ok(controller::incremental_alter_configs(ctx, request))
        };
        let fail = |result: AlterConfigsResourceResponse, refusal: &Refusal| {
            result.with_error_code(refusal.code.code()).with_error_message(refusal.wire_message())
        };
        self.at_controller(request, decide, fail, |response| response.responses).await
    }

    pub async fn alter_configs(&self, request: AlterConfigsRequest) -> Result<Vec<LegacyResponse>, Refusal> {
        let decide =
            |ctx: &mut Ctx<'_>, request: &AlterConfigsRequest| Ok(controller::alter_configs(ctx, request));
        let fail = |result: LegacyResponse, refusal: &Refusal| {
            result.with_error_code(refusal.code.code()).with_error_message(refusal.wire_message())
        };
        self.at_controller(request, decide, fail, |response| response.responses).await
    }

    pub async fn alter_user_scram_credentials(
        &self,
        request: AlterUserScramCredentialsRequest,
    ) -> Result<Vec<AlterUserScramCredentialsResult>, Refusal> {
        let decide = |ctx: &mut Ctx<'_>, request: &AlterUserScramCredentialsRequest| {
            Ok(controller::alter_user_scram_credentials(ctx, request))
        };
        let fail = |result: AlterUserScramCredentialsResult, refusal: &Refusal| {
            result.with_error_code(refusal.code.code()).with_error_message(refusal.wire_message())
        };
        self.at_controller(request, decide, fail, |response| response.results).await
    }

    pub async fn alter_client_quotas(
        &self,
        request: AlterClientQuotasRequest,
    ) -> Result<Vec<EntryData>, Refusal> {
        let decide = |ctx: &mut Ctx<'_>, request: &AlterClientQuotasRequest| {
            controller::alter_client_quotas(ctx, request)
        };
        let fail = |entries: Vec<EntryData>, refusal: &Refusal| {
            let fail = |entry: EntryData| {
                let entry = entry.with_error_code(refusal.code.code());
                entry.with_error_message(refusal.wire_message())
            };
            entries.into_iter().map(fail).collect()
        };
        Ok(self.at_controller(request, decide, fail, |response| vec![response.entries]).await?.concat())
    }

    pub async fn elect_leaders(&self, request: ElectLeadersRequest) -> Result<ElectLeadersResponse, Refusal> {
        let decide = |ctx: &mut Ctx<'_>, request: &ElectLeadersRequest| {
            Ok(vec![controller::elect_leaders(ctx, request)?])
        };
        let fail = |_: ElectLeadersResponse, refusal: &Refusal| {
            ElectLeadersResponse::default().with_error_code(refusal.code.code())
        };
        let mut answers = self.at_controller(request, decide, fail, |response| vec![response]).await?;
        Ok(answers.pop().expect("one item was decided"))
    }

    pub async fn update_features(
        &self,
        request: UpdateFeaturesRequest,
    ) -> Result<UpdateFeaturesResponse, Refusal> {
        let decide = |ctx: &mut Ctx<'_>, request: &UpdateFeaturesRequest| {
            Ok(vec![controller::update_features(ctx, request)])
        };
        let fail = |_: UpdateFeaturesResponse, refusal: &Refusal| controller::refused(refusal);
        let mut answers = self.at_controller(request, decide, fail, |response| vec![response]).await?;
        Ok(answers.pop().expect("one item was decided"))
    }

    pub async fn unregister_broker(
        &self,
        request: UnregisterBrokerRequest,
    ) -> Result<UnregisterBrokerResponse, Refusal> {
        let decide = |ctx: &mut Ctx<'_>, request: &UnregisterBrokerRequest| {
            let ops = controller::unregister_broker(ctx, BrokerId(request.broker_id.0))?;
            Ok(vec![Item { ops, result: UnregisterBrokerResponse::default().with_error_message(None) }])
        };
        let fail = |answer: UnregisterBrokerResponse, refusal: &Refusal| {
            answer.with_error_code(refusal.code.code()).with_error_message(refusal.wire_message())
        };
        let mut answers = self.at_controller(request, decide, fail, |response| vec![response]).await?;
        Ok(answers.pop().expect("one item was decided"))
    }

    /// Has others lead what this broker leads, before it stops; it is fenced from then on.
    pub async fn hand_over_partitions(&self) -> Result<(), Refusal> {
        if !self.controls() {
            return self.ask_controller(own::SHUT_DOWN, 0, &[]).await.map(|_| ());
        }
        let broker = self.caller;
        let decide = move |ctx: &mut Ctx<'_>| {
            let plan = controller::shut_down(ctx, broker)?.into_iter();
            Ok(plan.map(|item| Item { ops: item.ops, result: Ok(()) }).collect())
        };
        let done = self.decide(decide, |_, refusal| Err(refusal.clone())).await?;
        done.into_iter().collect()
    }

    /// A leader's proposals of other in-sync sets.
    pub async fn alter_partition(&self, request: AlterPartitionRequest) -> Result<Vec<Altered>, Refusal> {
        let decide =
            |ctx: &mut Ctx<'_>, request: &AlterPartitionRequest| controller::alter_partition(ctx, request);
        let fail = |(topic, answer): Altered, refusal: &Refusal| {
            (topic, answer.with_error_code(refusal.code.code()))
        };
        let read = |response: AlterPartitionResponse| {
            let topics = response.topics.into_iter();
            topics
                .flat_map(|topic| topic.partitions.into_iter().map(move |each| (topic.topic_id, each)))
                .collect()
        };
        self.at_controller(request, decide, fail, read).await
    }

    /// Notes in which log directories a broker's replicas lie.
    pub async fn assign_replicas_to_dirs(
        &self,
        request: AssignReplicasToDirsRequest,
    ) -> Result<Vec<Assigned>, Refusal> {
        let decide = |ctx: &mut Ctx<'_>, request: &AssignReplicasToDirsRequest| {
            controller::assign_replicas_to_dirs(ctx, request)
        };
        let fail = |answers: Vec<Assigned>, refusal: &Refusal| {
            let error = refusal.code.code();
            answers.into_iter().map(|answer| Assigned { error, ..answer }).collect()
        };
        let read = |response: AssignReplicasToDirsResponse| {
            let directories = response.directories.into_iter().flat_map(|directory| {
                let id = directory.id;
                directory.topics.into_iter().map(move |topic| (id, topic))
            });
            let answers = directories.flat_map(|(directory, topic)| {
                let id = topic.topic_id;
                let answer = move |it: PartitionData| Assigned {
                    directory,
                    topic: id,
                    partition: it.partition_index,
                    error: it.error_code,
                };
                topic.partitions.into_iter().map(answer)
            });
            vec![answers.collect()]
        };
        Ok(self.at_controller(request, decide, fail, read).await?.concat())
    }

    pub async fn alter_partition_reassignments(
        &self,
        request: AlterPartitionReassignmentsRequest,
    ) -> Result<Vec<ReassignableTopicResponse>, Refusal> {
        let decide = |ctx: &mut Ctx<'_>, request: &AlterPartitionReassignmentsRequest| {
            Ok(vec![controller::alter_partition_reassignments(ctx, request)])
        };
        let fail = |topics: Vec<ReassignableTopicResponse>, refusal: &Refusal| {
            let fail = |topic: ReassignableTopicResponse| {
                let failed = topic.partitions.iter().map(|each| {
                    let each = each.clone().with_error_code(refusal.code.code());
                    each.with_error_message(refusal.wire_message())
                });
                let failed = failed.collect();
                topic.with_partitions(failed)
            };
            topics.into_iter().map(fail).collect()
        };
        let mut answers =
            self.at_controller(request, decide, fail, |response| vec![response.responses]).await?;
        Ok(answers.pop().expect("one item was decided"))
    }

    /// The first of [`controller::PRODUCER_ID_BLOCK`] ids that nobody else has or gets.
    pub async fn allocate_producer_ids(&self) -> Result<ProducerId, Refusal> {
        while !self.controls() {
            let Some(mut first) = self.ask_controller(own::PRODUCER_IDS, 0, &[]).await? else { continue };
            let first = first.try_get_i64().map_err(|_| Refusal::bare(ResponseError::UnknownServerError))?;
            return Ok(ProducerId(first));
        }
        let node = self.caller;
        let decide = move |ctx: &mut Ctx<'_>| {
            let (ops, start) = controller::allocate_producer_ids(ctx.image, node)?;
            Ok(vec![Item { ops, result: Ok(start) }])
        };
        let mut answers = self.decide(decide, |_, refusal| Err(refusal.clone())).await?;
        answers.pop().expect("one item was decided")
    }

    /// A handle for what another broker was asked.
    pub(super) fn on_behalf_of(&self, caller: BrokerId) -> Self {
        Self { caller, ..self.clone() }
    }

    /// Has the controller decide, wherever it is: here, if this node leads, or through the leader. While leadership moves it
    /// is asked again, unless it may have looked at the request.
    fn at_controller<Q, R>(
        &self,
        request: Q,
        decide: impl Fn(&mut Ctx<'_>, &Q) -> Result<Plan<R>, Refusal> + Copy + Send + Sync + 'static,
        fail: impl Fn(R, &Refusal) -> R + Copy + Send + Sync + 'static,
        read: impl Fn(Q::Response) -> Vec<R> + Send + 'static,
    ) -> impl Future<Output = Result<Vec<R>, Refusal>> + Send + 'static
    where
        Q: Request + Clone + Send + Sync + 'static,
        Q::Response: Send,
        R: Send + 'static,
    {
        let turn = move |quorum: &Self, request: &Q| -> BoxFuture<Turn<R>> {
            let (request, bill) = (request.clone(), quorum.bill());
            let decide = move |ctx: &mut Ctx<'_>| bill.pay(ctx, |ctx| decide(ctx, &request));
            Box::pin(quorum.take_turn(SessionId::NONE, decide, fail))
        };
        let mut taken = self.controls().then(|| turn(self, &request));
        let quorum = self.clone();
        async move {
            let clock = &quorum.shared.clock;
            let deadline = clock.steady_ms() + PATIENCE_MS;
            loop {
                match taken.take() {
                    // Who asked for another broker knows better where the controller is now.
                    None if quorum.caller != quorum.shared.node => return Err(not_controller()),
                    None => match quorum.forward(&request).await {
                        Ok(Some(response)) => return Ok(read(response)),
                        Ok(None) => {}
                        Err(refusal) => return Err(refusal),
                    },
                    Some(turn) => match turn.await {
                        Turn::Came(decided) => return decided,
                        Turn::Missed if clock.steady_ms() >= deadline => return Err(not_controller()),
                        Turn::Missed => clock.sleep_until(clock.steady_ms() + RETRY_MS).await,
                    },
                }
                taken = quorum.controls().then(|| turn(&quorum, &request));
            }
        }
    }

    /// Takes a turn on behalf of no session.
    pub(super) fn decide<R: Send + 'static>(
        &self,
        decide: impl FnOnce(&mut Ctx<'_>) -> Result<Plan<R>, Refusal> + Send + 'static,
        fail: impl Fn(R, &Refusal) -> R + Send + 'static,
    ) -> impl Future<Output = Result<Vec<R>, Refusal>> + Send + 'static {
        self.decide_as(SessionId::NONE, decide, fail)
    }

    /// Takes a turn, or is refused if it does not come.
    pub(super) fn decide_as<R: Send + 'static>(
        &self,
        session: SessionId,
        decide: impl FnOnce(&mut Ctx<'_>) -> Result<Plan<R>, Refusal> + Send + 'static,
        fail: impl Fn(R, &Refusal) -> R + Send + 'static,
    ) -> impl Future<Output = Result<Vec<R>, Refusal>> + Send + 'static {
        let turn = self.take_turn(session, decide, fail);
        async move {
            match turn.await {
                Turn::Came(decided) => decided,
                Turn::Missed => Err(not_controller()),
            }
        }
    }

    /// Takes a turn; `fail` makes the answer of an item whose operations were not committed.
    fn take_turn<R: Send + 'static>(
        &self,
        session: SessionId,
        decide: impl FnOnce(&mut Ctx<'_>) -> Result<Plan<R>, Refusal> + Send + 'static,
        fail: impl Fn(R, &Refusal) -> R + Send + 'static,
    ) -> impl Future<Output = Turn<R>> + Send + 'static {
        let (answer, answered) = oneshot::channel();
        let decide: Box<dyn FnOnce(&mut Ctx<'_>) -> Decided + Send> =
            Box::new(move |ctx| match decide(ctx) {
                Ok(plan) => {
                    let (items, results): (Vec<_>, Vec<_>) =
                        plan.into_iter().map(|item| (item.ops, item.result)).unzip();
                    let finish = move |outcomes: Vec<Result<(), Refusal>>, zxid| {
                        let results = results.into_iter().zip(outcomes);
                        let results = results.map(|(result, outcome)| match outcome {
                            Ok(()) => result,
                            Err(refusal) => fail(result, &refusal),
                        });
                        // Whoever asked may have hung up.
                        let _ = answer.send(Ok((results.collect(), zxid)));
                    };
                    Decided { items, session, finish: Box::new(finish) }
                }
                Err(refusal) => {
                    let _ = answer.send(Err(refusal));
                    Decided { items: Vec::new(), session, finish: Box::new(|_, _| {}) }
                }
            });
        // Kafka's own queue is unbounded; a client that hears of a time-out tries again later.
        let queued = self.shared.jobs.try_send(Job::Decide { node: self.caller, decide }).map_err(|_| {
            let message = "The controller has too many requests waiting.";
            Refusal::new(ResponseError::RequestTimedOut, message)
        });
        let quorum = self.clone();
        async move {
            if let Err(refusal) = queued {
                return Turn::Came(Err(refusal));
            }
            match answered.await {
                Ok(Ok((results, zxid))) => {
                    // Whoever asks for another broker waits there, where the client will look; many logs take their time.
                    if quorum.caller == quorum.shared.node {
                        quorum.wait_published(zxid).await;
                    }
                    Turn::Came(Ok(results))
                }
                Ok(Err(refusal)) => Turn::Came(Err(refusal)),
                // Dropped: nothing was decided, or nothing of it could take effect.
                Err(_) => Turn::Missed,
            }
        }
    }
}

/// What became of a turn.
enum Turn<R> {
    Came(Result<Vec<R>, Refusal>),
    /// This node is not the controller any more, and nothing was changed.
    Missed,
}

fn not_controller() -> Refusal {
    Refusal::bare(ResponseError::NotController)
}
