//! Runs the controller: decisions one after the other, each on the image that holds all decisions before it.
//!
//! Must never decide; and must never answer before this broker has published what was decided.

use std::sync::Arc;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::alter_configs_response::AlterConfigsResourceResponse as LegacyResponse;
use kafka_protocol::messages::alter_user_scram_credentials_response::AlterUserScramCredentialsResult;
use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::create_topics_response::CreatableTopicResult;
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse;
use kafka_protocol::messages::{
    AlterConfigsRequest, AlterUserScramCredentialsRequest, CreatePartitionsRequest, CreateTopicsRequest,
    DeleteTopicsRequest, ElectLeadersRequest, ElectLeadersResponse, IncrementalAlterConfigsRequest,
};
use milena_coordinator::controller::{self, ConfigRules, Ctx, Dice, Item, Plan, Refusal};
use milena_coordinator::ensemble::Ensemble;
use milena_coordinator::tree::{Op, Zxid};
use milena_storage::ids::{BrokerId, ProducerId};
use tokio::sync::{mpsc, oneshot};

use super::{Quorum, publish, refusal};
use crate::clock::Clock;

/// Operations that go into one proposal: many small items share one entry of the log, and so one sync.
const MAX_OPS_TOGETHER: usize = 2000;

/// Takes its turn: decides on the newest image.
pub(super) type Job = Box<dyn FnOnce(&mut Ctx<'_>) -> Decided + Send>;

/// Takes what became of each item, and the zxid to wait for.
type Finish = Box<dyn FnOnce(Vec<Result<(), Refusal>>, Zxid) + Send>;

/// A decision whose operations are still to be committed.
pub(super) struct Decided {
    /// One multi per item.
    items: Vec<Vec<Op>>,
    finish: Finish,
}

/// What the queue's task works with.
pub(super) struct Turns {
    pub(super) node: BrokerId,
    pub(super) clock: Arc<Clock>,
    pub(super) ensemble: Ensemble,
    pub(super) slot: Arc<publish::Slot>,
    pub(super) rules: Arc<dyn ConfigRules>,
    pub(super) seed: u64,
}

impl Turns {
    /// Runs until every handle of the service is gone.
    pub(super) async fn run(self, mut queue: mpsc::Receiver<Job>) {
        let mut seeds = Dice::new(self.seed);
        while let Some(job) = queue.recv().await {
            let image = self.slot.newest();
            let (rules, dice) = (self.rules.as_ref(), Dice::new(seeds.roll()));
            let mut ctx = Ctx { image: &image, rules, node: self.node, now: self.clock.now(), dice };
            let decided = job(&mut ctx);
            let outcomes = commit(&self.ensemble, decided.items).await;
            (decided.finish)(outcomes, self.slot.newest().zxid);
        }
    }
}

/// Commits items in as few proposals as is sensible. If the tree refuses several together, each is tried alone, so
/// that one does not take the others with it.
async fn commit(ensemble: &Ensemble, items: Vec<Vec<Op>>) -> Vec<Result<(), Refusal>> {
    let mut outcomes = vec![Ok(()); items.len()];
    let mut batch: Vec<(usize, Vec<Op>)> = Vec::new();
    let mut size = 0;
    for (index, ops) in items.into_iter().enumerate().filter(|(_, ops)| !ops.is_empty()) {
        if size + ops.len() > MAX_OPS_TOGETHER && !batch.is_empty() {
            commit_batch(ensemble, std::mem::take(&mut batch), &mut outcomes).await;
            size = 0;
        }
        size += ops.len();
        batch.push((index, ops));
    }
    if !batch.is_empty() {
        commit_batch(ensemble, batch, &mut outcomes).await;
    }
    outcomes
}

async fn commit_batch(
    ensemble: &Ensemble,
    mut batch: Vec<(usize, Vec<Op>)>,
    outcomes: &mut [Result<(), Refusal>],
) {
    if batch.len() > 1 {
        let together = batch.iter().flat_map(|(_, ops)| ops.iter().cloned()).collect();
        if ensemble.propose(together).await.is_ok() {
            return;
        }
    }
    for (index, ops) in batch.drain(..) {
        outcomes[index] = ensemble.propose(ops).await.map(|_| ()).map_err(|error| refusal(&error));
    }
}

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
        self.decide(move |ctx| controller::create_topics(ctx, &request), fail)
    }

    pub async fn delete_topics(
        &self,
        request: DeleteTopicsRequest,
    ) -> Result<Vec<DeletableTopicResult>, Refusal> {
        let fail = |result: DeletableTopicResult, refusal: &Refusal| {
            result.with_error_code(refusal.code.code()).with_error_message(refusal.wire_message())
        };
        self.decide(move |ctx| Ok(controller::delete_topics(ctx, &request)), fail).await
    }

    pub async fn create_partitions(
        &self,
        request: CreatePartitionsRequest,
    ) -> Result<Vec<CreatePartitionsTopicResult>, Refusal> {
        let fail = |result: CreatePartitionsTopicResult, refusal: &Refusal| {
            result.with_error_code(refusal.code.code()).with_error_message(refusal.wire_message())
        };
        self.decide(move |ctx| Ok(controller::create_partitions(ctx, &request)), fail).await
    }

    pub async fn incremental_alter_configs(
        &self,
        request: IncrementalAlterConfigsRequest,
    ) -> Result<Vec<AlterConfigsResourceResponse>, Refusal> {
        let fail = |result: AlterConfigsResourceResponse, refusal: &Refusal| {
            result.with_error_code(refusal.code.code()).with_error_message(refusal.wire_message())
        };
        self.decide(move |ctx| Ok(controller::incremental_alter_configs(ctx, &request)), fail).await
    }

    pub async fn alter_configs(&self, request: AlterConfigsRequest) -> Result<Vec<LegacyResponse>, Refusal> {
        let fail = |result: LegacyResponse, refusal: &Refusal| {
            result.with_error_code(refusal.code.code()).with_error_message(refusal.wire_message())
        };
        self.decide(move |ctx| Ok(controller::alter_configs(ctx, &request)), fail).await
    }

    pub async fn alter_user_scram_credentials(
        &self,
        request: AlterUserScramCredentialsRequest,
    ) -> Result<Vec<AlterUserScramCredentialsResult>, Refusal> {
        let fail = |result: AlterUserScramCredentialsResult, refusal: &Refusal| {
            result.with_error_code(refusal.code.code()).with_error_message(refusal.wire_message())
        };
        self.decide(move |ctx| Ok(controller::alter_user_scram_credentials(ctx, &request)), fail).await
    }

    pub async fn elect_leaders(&self, request: ElectLeadersRequest) -> Result<ElectLeadersResponse, Refusal> {
        let fail = |_: ElectLeadersResponse, refusal: &Refusal| {
            ElectLeadersResponse::default().with_error_code(refusal.code.code())
        };
        let mut answers =
            self.decide(move |ctx| Ok(vec![controller::elect_leaders(ctx, &request)]), fail).await?;
        Ok(answers.pop().expect("one item was decided"))
    }

    /// The first of [`controller::PRODUCER_ID_BLOCK`] ids that nobody else has or gets.
    pub async fn allocate_producer_ids(&self) -> Result<ProducerId, Refusal> {
        let node = self.shared.node;
        let decide = move |ctx: &mut Ctx<'_>| {
            let (ops, start) = controller::allocate_producer_ids(ctx.image, node)?;
            Ok(vec![Item { ops, result: Ok(start) }])
        };
        let mut answers = self.decide(decide, |_, refusal| Err(refusal.clone())).await?;
        answers.pop().expect("one item was decided")
    }

    /// Takes a turn; `fail` makes the answer of an item whose operations were not committed.
    fn decide<R: Send + 'static>(
        &self,
        decide: impl FnOnce(&mut Ctx<'_>) -> Result<Plan<R>, Refusal> + Send + 'static,
        fail: impl Fn(R, &Refusal) -> R + Send + 'static,
    ) -> impl Future<Output = Result<Vec<R>, Refusal>> + Send + 'static {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |ctx| match decide(ctx) {
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
                Decided { items, finish: Box::new(finish) }
            }
            Err(refusal) => {
                let _ = answer.send(Err(refusal));
                Decided { items: Vec::new(), finish: Box::new(|_, _| {}) }
            }
        });
        // Kafka's own queue is unbounded; a client that hears of a time-out tries again later.
        let queued = self.shared.jobs.try_send(job).map_err(|_| {
            let message = "The controller has too many requests waiting.";
            Refusal::new(ResponseError::RequestTimedOut, message)
        });
        let quorum = self.clone();
        async move {
            queued?;
            let (results, zxid) =
                answered.await.map_err(|_| Refusal::bare(ResponseError::NotController))??;
            quorum.wait_published(zxid).await;
            Ok(results)
        }
    }
}
