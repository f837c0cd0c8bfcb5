//! The controller's turns: while this node leads the ensemble it is the controller, and decides one request after the other.
//!
//! Must never decide before it has taken over: only then the image holds all that earlier controllers committed, and their
//! later proposals are refused.

use std::collections::BTreeSet;
use std::sync::Arc;

use kafka_protocol::error::ResponseError;
use milena_coordinator::controller::{self, ConfigRules, Ctx, Dice, FirstContent, Refusal};
use milena_coordinator::ensemble::{Ensemble, Leadership, ProposeError};
use milena_coordinator::image::{MetadataImage, paths};
use milena_coordinator::tree::{Op, SessionId, Zxid};
use milena_storage::ids::BrokerId;
use tokio::sync::{mpsc, oneshot, watch};

use super::publish;
use super::refusal;
use super::session::NodeSession;
use super::suspicion::{Suspicion, Verdict, doubt_unlinked, owners};
use crate::clock::Clock;

/// Operations that go into one proposal: many small items share one entry of the log, and so one sync.
const MAX_OPS_TOGETHER: usize = 2000;
/// Pause before a take-over that came to nothing is tried again, in milliseconds.
const RETRY_MS: i64 = 20;

/// Takes its turn.
pub(super) enum Job {
    Decide {
        /// The broker that took the request.
        node: BrokerId,
        /// Decides on the newest image. Dropped without a call on a node that is not the controller.
        decide: Box<dyn FnOnce(&mut Ctx<'_>) -> Decided + Send>,
    },
    /// Another node becomes the controller, between two turns, so that none is cut in two.
    HandOver(oneshot::Sender<()>),
}

/// Takes what became of each item, and the zxid to wait for. Dropped without a call if another controller has taken over and
/// nothing was changed.
pub(super) type Finish = Box<dyn FnOnce(Vec<Result<(), Refusal>>, Zxid) + Send>;

/// A decision whose operations are still to be committed.
pub(super) struct Decided {
    /// One multi per item.
    pub(super) items: Vec<Vec<Op>>,
    /// On whose behalf: a registration's node belongs to the broker's session.
    pub(super) session: SessionId,
    pub(super) finish: Finish,
}

/// What the queue's task works with.
pub(super) struct Turns {
    pub(super) node: BrokerId,
    pub(super) clock: Arc<Clock>,
    pub(super) ensemble: Ensemble,
    pub(super) slot: Arc<publish::Slot>,
    pub(super) rules: Arc<dyn ConfigRules>,
    pub(super) session: Arc<NodeSession>,
    pub(super) seed: u64,
    pub(super) published: watch::Receiver<Zxid>,
    /// How often leadership goes back to where it is preferred, in milliseconds; `None` for never.
    pub(super) rebalance_ms: Option<i64>,
    /// How often partitions without a leader are looked at again (`unclean.leader.election.interval.ms`).
    pub(super) unclean_ms: i64,
}

/// For what the partitions were last put in order: the brokers with their epochs, and the configs, which may ask for unclean
/// elections.
struct Seen {
    brokers: Vec<(BrokerId, i64, bool)>,
    image: Arc<MetadataImage>,
}

impl Turns {
    /// Runs until every handle of the service is gone; `begin` says what a new cluster holds.
    pub(super) async fn run(self, mut queue: mpsc::Receiver<Job>, begin: oneshot::Receiver<FirstContent>) {
        let Ok(first) = begin.await else { return };
        let mut seeds = Dice::new(self.seed);
        let mut leadership = self.ensemble.watch_leadership();
        let mut controls: Option<u64> = None;
        let mut published = self.published.clone();
        let mut seen: Option<Seen> = None;
        let (mut rebalanced, mut looked) = (self.clock.steady_ms(), self.clock.steady_ms());
        let (mut suspects, mut suspicion) = (self.ensemble.suspects(), Suspicion::default());
        loop {
            let Leadership { term, leads, .. } = *leadership.borrow_and_update();
            if !leads {
                controls = None;
                seen = None;
            } else if controls != Some(term) || !self.is_named() {
                controls = None;
                match self.take_over(&first).await {
                    Ok(()) => {
                        controls = Some(term);
                        suspicion = Suspicion::default();
                        doubt_unlinked(&self.ensemble, &self.slot.newest());
                    }
                    // This node stops, and others are to take over.
                    Err(ProposeError::Stopped) => return,
                    Err(error) => {
                        tracing::debug!(%error, "not the controller yet");
                        self.clock.sleep_until(self.clock.steady_ms() + RETRY_MS).await;
                        continue;
                    }
                }
            }
            let mut suspicion_due = None;
            if controls.is_some() {
                let silent = suspects.borrow_and_update().clone();
                suspicion_due = self.suspect(&mut suspicion, &silent).await;
                self.fail_over(&mut seen).await;
            }
            tokio::select! {
                biased;
                changed = leadership.changed() => if changed.is_err() { return },
                changed = published.changed(), if controls.is_some() => if changed.is_err() { return },
                changed = suspects.changed(), if controls.is_some() => if changed.is_err() { return },
                () = self.due(suspicion_due), if suspicion_due.is_some() => {}
                () = self.periodic_due(looked, Some(self.unclean_ms)), if controls.is_some() => {
                    looked = self.clock.steady_ms();
                    seen = None;
                }
                () = self.periodic_due(rebalanced, self.rebalance_ms), if controls.is_some() => {
                    rebalanced = self.clock.steady_ms();
                    self.put_in_order(controller::prefer, "leaders are preferred again").await;
                }
                job = queue.recv() => match job {
                    None => return,
                    Some(Job::HandOver(done)) => {
                        self.ensemble.hand_over().await;
                        let _ = done.send(());
                    }
                    Some(Job::Decide { node, decide }) if controls.is_some() => {
                        self.turn(node, decide, seeds.roll()).await;
                    }
                    Some(Job::Decide { .. }) => {}
                },
            }
        }
    }

    /// Whether the cluster knows this node for its controller. It does not when the session has ended that `/controller` hangs on, or somebody
    /// has removed the node; then nobody would be told of a controller, and who starts would wait for one.
    fn is_named(&self) -> bool {
        self.slot.newest().controller == Some(self.node)
    }

    /// Fences brokers whose links are gone, and takes back those that are heard again; returns when to look again.
    async fn suspect(&self, suspicion: &mut Suspicion, suspects: &BTreeSet<SessionId>) -> Option<i64> {
        let (image, now) = (self.slot.newest(), self.clock.steady_ms());
        if !suspects.is_empty() || image.brokers.values().any(|broker| broker.suspect) {
            let owners = owners(&self.ensemble, &image);
            let Verdict { silent, doubted } = suspicion.judge(suspects, &owners, now);
            let decide = |ctx: &Ctx<'_>| controller::suspect(ctx, &silent, &doubted);
            let what = "brokers are fenced or taken back as their links close and open";
            if !self.put_in_order(decide, what).await {
                return Some(now + RETRY_MS);
            }
        }
        suspicion.next(now)
    }

    async fn due(&self, at: Option<i64>) {
        match at {
            Some(at) => self.clock.sleep_until(at).await,
            None => std::future::pending().await,
        }
    }

    /// Puts the partitions in order for the brokers that there are, when these or the configs have changed.
    async fn fail_over(&self, seen: &mut Option<Seen>) {
        let image = self.slot.newest();
        let brokers = image.brokers.iter().map(|(id, each)| (*id, each.epoch, each.fenced)).collect();
        let now = Seen { brokers, image };
        let is_seen = |seen: &Seen| seen.brokers == now.brokers && now.image.has_configs_of(&seen.image);
        if seen.as_ref().is_some_and(is_seen) {
            return;
        }
        // What failed, because a partition had changed meanwhile, is decided again on the newer image.
        if self.put_in_order(controller::fail_over, "partitions follow the brokers").await {
            *seen = Some(now);
        }
    }

    /// Resolves when something is to be done again; with one broker there is nothing to do, ever.
    async fn periodic_due(&self, last: i64, every: Option<i64>) {
        match every {
            Some(every) if self.slot.newest().brokers.len() > 1 => {
                self.clock.sleep_until(last.saturating_add(every)).await;
            }
            _ => std::future::pending().await,
        }
    }

    /// Commits what is decided on the newest image; true if all of it could be.
    async fn put_in_order(&self, decide: impl FnOnce(&Ctx<'_>) -> controller::Plan<()>, what: &str) -> bool {
        let image = self.slot.newest();
        let (rules, dice) = (self.rules.as_ref(), Dice::new(0));
        let ctx = Ctx { image: &image, rules, node: self.node, now: self.clock.now(), dice, allowance: None };
        let items: Vec<_> = decide(&ctx).into_iter().map(|item| item.ops).collect();
        // Each begins with the fence.
        let changes = items.iter().map(|ops| ops.len().saturating_sub(1)).sum::<usize>();
        let outcomes = commit(&self.ensemble, SessionId::NONE, items).await;
        let done = outcomes.iter().all(|outcome| matches!(outcome, Outcome::Done | Outcome::Nothing));
        if changes > 0 {
            tracing::info!(changes, done, "{what}");
        }
        done
    }

    async fn turn(&self, node: BrokerId, decide: Box<dyn FnOnce(&mut Ctx<'_>) -> Decided + Send>, seed: u64) {
        let image = self.slot.newest();
        let (rules, dice) = (self.rules.as_ref(), Dice::new(seed));
        let mut ctx = Ctx { image: &image, rules, node, now: self.clock.now(), dice, allowance: None };
        let Decided { items, session, finish } = decide(&mut ctx);
        let outcomes = commit(&self.ensemble, session, items).await;
        // Another has taken over, and is to be asked instead; what was done before that has to be told.
        if !outcomes.is_empty() && outcomes.iter().all(|outcome| matches!(outcome, Outcome::Fenced)) {
            return;
        }
        let outcomes = outcomes.into_iter().map(|outcome| match outcome {
            Outcome::Done | Outcome::Nothing => Ok(()),
            Outcome::Fenced => Err(Refusal::bare(ResponseError::NotController)),
            Outcome::Failed(refusal) => Err(refusal),
        });
        finish(outcomes.collect(), self.slot.newest().zxid);
    }

    /// Makes the cluster if it is not there, and begins the next controller's epoch.
    async fn take_over(&self, first: &FirstContent) -> Result<(), ProposeError> {
        match self.try_take_over(first).await {
            // The image was older than the tree: sessions of an earlier run ended meanwhile.
            Err(ProposeError::Multi(error)) => {
                tracing::debug!(%error, "taking over again");
                self.try_take_over(first).await
            }
            tried => tried,
        }
    }

    async fn try_take_over(&self, first: &FirstContent) -> Result<(), ProposeError> {
        // Asking an ensemble that is about to stop would leave an error in the log of every clean stop.
        if self.session.is_closed().await {
            return Err(ProposeError::Stopped);
        }
        // What earlier leaders committed has to be in the image that is decided on.
        self.ensemble.barrier().await?;
        // In one step: each takes a sync, and a new cluster shall be there soon.
        let mut ops = self
            .ensemble
            .with_tree(|tree| controller::bootstrap(|path| tree.stat(path).is_some(), first.clone()));
        let image = self.slot.newest();
        ops.extend(controller::take_over(&image, self.node, self.clock.now()));
        self.session.propose(&self.ensemble, ops).await?;
        tracing::info!(epoch = image.controller_epoch + 1, "this node is the controller");
        Ok(())
    }
}

/// What became of an item.
#[derive(Clone)]
enum Outcome {
    Done,
    /// There was nothing to do.
    Nothing,
    /// Another controller has taken over: surely nothing was changed.
    Fenced,
    Failed(Refusal),
}

impl Outcome {
    fn of<T>(proposed: Result<T, ProposeError>) -> Self {
        match proposed {
            Ok(_) => Self::Done,
            Err(ProposeError::Multi(failed)) if failed.path == paths::CONTROLLER_EPOCH => Self::Fenced,
            Err(error) => Self::Failed(refusal(&error)),
        }
    }
}

/// Commits items in as few proposals as is sensible. If the tree refuses several together, each is tried alone, so
/// that one does not take the others with it.
async fn commit(ensemble: &Ensemble, session: SessionId, items: Vec<Vec<Op>>) -> Vec<Outcome> {
    let mut outcomes = vec![Outcome::Nothing; items.len()];
    let mut batch: Vec<(usize, Vec<Op>)> = Vec::new();
    let mut size = 0;
    for (index, ops) in items.into_iter().enumerate().filter(|(_, ops)| !ops.is_empty()) {
        if size + ops.len() > MAX_OPS_TOGETHER && !batch.is_empty() {
            commit_batch(ensemble, session, std::mem::take(&mut batch), &mut outcomes).await;
            size = 0;
        }
        size += ops.len();
        batch.push((index, ops));
    }
    if !batch.is_empty() {
        commit_batch(ensemble, session, batch, &mut outcomes).await;
    }
    outcomes
}

async fn commit_batch(
    ensemble: &Ensemble,
    session: SessionId,
    mut batch: Vec<(usize, Vec<Op>)>,
    outcomes: &mut [Outcome],
) {
    if batch.len() > 1 {
        let together = batch.iter().flat_map(|(_, ops)| ops.iter().cloned()).collect();
        match ensemble.propose_as(session, together).await {
            // Only what surely changed nothing may be tried in parts.
            Err(ProposeError::Multi(failed)) if failed.path != paths::CONTROLLER_EPOCH => {}
            Err(ProposeError::TooLarge { .. }) => {}
            proposed => {
                let outcome = Outcome::of(proposed);
                batch.iter().for_each(|(index, _)| outcomes[*index] = outcome.clone());
                return;
            }
        }
    }
    for (index, ops) in batch.drain(..) {
        outcomes[index] = Outcome::of(ensemble.propose_as(session, ops).await);
    }
}
