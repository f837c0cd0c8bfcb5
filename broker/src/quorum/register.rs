//! How a broker enters the cluster: what an older cluster left, its session, its registration, its partitions.
//!
//! Must never leave a registration of an earlier run behind: its session is closed before the new one writes.

use std::sync::atomic::Ordering;

use bytes::{Buf, BufMut, Bytes};
use kafka_protocol::error::ResponseError::{
    DuplicateBrokerRegistration, InvalidRegistration, NotController, UnsupportedVersion,
};
use milena_coordinator::controller::{self, Adopted, Ctx, FirstContent, Item, Refusal, Registration};
use milena_coordinator::ensemble::ProposeError;
use milena_coordinator::image::{Endpoint, SupportedFeatures, paths};
use milena_coordinator::tree::{Owner, SessionId, Tree};
use milena_storage::ids::BrokerId;
use uuid::Uuid;

use super::forward::own;
use super::{Quorum, QuorumError, refusal};

/// Partition states that go into one proposal when a broker takes up leadership.
const STATES_TOGETHER: usize = 1500;
/// Pause before a registration that came to nothing is tried again, in milliseconds.
const RETRY_MS: i64 = 50;

/// Under which addresses a broker registers.
#[derive(Clone, Debug, Default)]
pub struct Listeners {
    pub endpoints: Vec<Endpoint>,
    pub rack: Option<String>,
    /// The id of the metadata log directory.
    pub directory: Option<Uuid>,
    /// The ids of its log directories that serve, if it has several.
    pub log_dirs: Vec<Uuid>,
    /// All of its log directories are cordoned.
    pub cordoned: bool,
    /// What it supports of features.
    pub features: SupportedFeatures,
}

/// A registration on its way to the controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Registering {
    pub(super) session: SessionId,
    /// The last run ended cleanly.
    pub(super) clean: bool,
    pub(super) registration: Registration,
}

impl Quorum {
    /// The mark of what was taken over before; empty if nothing was. `None` for a cluster that is not made yet.
    #[must_use]
    pub fn adopted(&self) -> Option<String> {
        self.shared.ensemble.with_tree(|tree| {
            let mark = tree.get(paths::ADOPTED).map(|(data, _)| String::from_utf8_lossy(data).into_owned());
            let made = tree.stat(paths::CLUSTER_ID).is_some();
            if made { Some(mark.unwrap_or_default()) } else { None }
        })
    }

    /// Enters what an older cluster left in this broker's directories, or did there since.
    pub async fn adopt(&self, adopted: Adopted) -> Result<(), QuorumError> {
        let ensemble = &self.shared.ensemble;
        let image = self.newest_image();
        let exists = |tree: &Tree, path: &str| tree.stat(path).is_some();
        let groups = ensemble.with_tree(|tree| controller::adopt(&image, |path| exists(tree, path), adopted));
        for group in groups {
            ensemble.propose(group).await?;
        }
        self.wait_until_published().await;
        Ok(())
    }

    /// Lets whoever leads become the controller, which makes the cluster's first nodes if they are missing; returns when
    /// the cluster has a controller.
    pub async fn bootstrap(&self, first: FirstContent) -> Result<(), QuorumError> {
        if let Some(begin) = self.shared.begin.lock().take() {
            // The other end lives as long as the service.
            let _ = begin.send(first);
        }
        let mut published = self.shared.published.clone();
        let has_controller = |quorum: &Self| {
            let image = quorum.newest_image();
            image.controller.is_some() && !image.cluster_id.is_empty()
        };
        let wait = published.wait_for(|_| has_controller(self));
        wait.await.map(|_| ()).map_err(|_| QuorumError::Stopped)?;
        self.wait_until_published().await;
        Ok(())
    }

    /// Registers this broker as alive and takes up the partitions that it may lead. After an unclean end (`clean` is
    /// false) the leader epochs of its partitions grow.
    pub async fn register(&self, listeners: Listeners, clean: bool) -> Result<(), QuorumError> {
        let clock = &self.shared.clock;
        let deadline = clock.steady_ms() + self.shared.registration_timeout_ms;
        let Listeners { endpoints, rack, directory, log_dirs, cordoned, features } = listeners;
        let broker = self.shared.node;
        let registration = Registration { broker, endpoints, rack, directory, log_dirs, cordoned, features };
        let mut is_told = false;
        loop {
            let done = match self.shared.session.open(&self.shared.ensemble).await {
                Ok(session) => {
                    let registration = registration.clone();
                    self.ask_to_register(Registering { session, clean, registration }).await
                }
                // A node that is cut off for a while: what became of the session shows later.
                Err(error @ (ProposeError::NotLeader { .. } | ProposeError::Unknown)) => Err(refusal(&error)),
                Err(error) => return Err(error.into()),
            };
            match done {
                Ok(()) => {
                    self.wait_until_published().await;
                    return Ok(());
                }
                Err(refusal) if clock.steady_ms() < deadline => {
                    let lasts = [DuplicateBrokerRegistration, InvalidRegistration, UnsupportedVersion];
                    if lasts.contains(&refusal.code) && !std::mem::replace(&mut is_told, true) {
                        tracing::warn!(error = %refusal, "not registered; this node tries again");
                    }
                    tracing::debug!(error = %refusal, "not registered yet");
                    clock.sleep_until(clock.steady_ms() + RETRY_MS).await;
                }
                Err(refusal) => return Err(QuorumError::Register(refusal)),
            }
        }
    }

    async fn ask_to_register(&self, registering: Registering) -> Result<(), Refusal> {
        if self.controls() {
            return self.register_here(registering).await;
        }
        let asked = self.ask_controller(own::REGISTER, 0, &registering.encode()).await;
        asked.and_then(|answer| answer.map(|_| ()).ok_or_else(|| Refusal::bare(NotController)))
    }

    /// Registers again whenever the registration is gone though the broker lives: it was cut off, or paused, for longer
    /// than its session lasts.
    pub async fn stay_registered(&self, listeners: Listeners) {
        let mut published = self.shared.published.clone();
        let node = self.shared.node;
        let directory = listeners.directory;
        let is_registered = || {
            let image = self.newest_image();
            image
                .broker(node)
                .is_some_and(|broker| broker.directory.is_none() || broker.directory == directory)
        };
        while published.wait_for(|_| !is_registered()).await.is_ok() {
            if self.shared.stopping.load(Ordering::Acquire) {
                return;
            }
            tracing::warn!("this broker's session has expired, or its id was taken; it registers again");
            // What another one with this id was in sync with, this one need not have.
            let taken = self.newest_image().broker(node).is_some();
            if let Err(error) = self.register(listeners.clone(), !taken).await {
                tracing::error!(%error, "the broker could not be registered again");
                continue;
            }
            // After a failure there may be no change that would wake it: nobody but this broker may be doing anything.
            let clock = &self.shared.clock;
            clock.sleep_until(clock.steady_ms() + RETRY_MS).await;
        }
    }

    /// Registers a broker as the controller.
    pub(super) async fn register_here(&self, registering: Registering) -> Result<(), Refusal> {
        let Registering { session, clean, registration } = registering;
        let broker = registration.broker;
        // An answer was lost, and the broker asks again.
        let path = paths::broker(broker);
        let owner = self.shared.ensemble.with_tree(|tree| {
            match Owner::from_field(tree.stat(&path)?.ephemeral_owner) {
                Owner::Session(id) => Some(id),
                _ => None,
            }
        });
        if owner == Some(session) {
            return self.take_up_leadership(broker, clean).await;
        }
        self.make_room(owner, &registration).await?;
        let departed = move |ctx: &mut Ctx<'_>| {
            let plan = controller::restart(ctx, broker, clean).into_iter();
            Ok(plan.map(|item| Item { ops: item.ops, result: Ok(()) }).collect())
        };
        let departed = self.decide(departed, |_, refusal| Err(refusal.clone())).await?;
        departed.into_iter().collect::<Result<(), Refusal>>()?;
        let decide = move |ctx: &mut Ctx<'_>| {
            // Levels may have been finalized since the first look.
            controller::check_features(ctx.image, &registration.features)?;
            let ops = controller::register(ctx.image, &registration, ctx.now);
            Ok(vec![Item { ops, result: Ok(()) }])
        };
        self.decide_as(session, decide, |_, refusal| Err(refusal.clone())).await?.remove(0)?;
        self.take_up_leadership(broker, clean).await
    }

    async fn take_up_leadership(&self, broker: BrokerId, clean: bool) -> Result<(), Refusal> {
        let decide = move |ctx: &mut Ctx<'_>| {
            let states = controller::take_up_leadership(ctx.image, broker, clean);
            let fence = controller::fence(ctx.image);
            let groups = states.chunks(STATES_TOGETHER).map(|states| {
                let ops = std::iter::once(fence.clone()).chain(states.iter().cloned()).collect();
                Item { ops, result: Ok(()) }
            });
            Ok(groups.collect())
        };
        let taken = self.decide(decide, |_, refusal| Err(refusal.clone())).await?;
        taken.into_iter().collect()
    }

    /// Ends the session of an earlier process of this broker, with the nodes that it owns, before anything new is written.
    async fn make_room(&self, owner: Option<SessionId>, registration: &Registration) -> Result<(), Refusal> {
        let ensemble = &self.shared.ensemble;
        let is_silent = owner.is_none_or(|old| ensemble.suspects().borrow().contains(&old));
        let image = self.newest_image();
        controller::check_duplicate(&image, registration, is_silent)?;
        controller::check_features(&image, &registration.features)?;
        let Some(old) = owner else { return Ok(()) };
        match ensemble.close_session(old).await {
            // It has expired meanwhile.
            Ok(()) | Err(ProposeError::Refused(_)) => Ok(()),
            Err(error) => Err(refusal(&error)),
        }
    }
}

impl Registering {
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.put_i64(self.session.0);
        out.put_u8(u8::from(self.clean));
        out.put_slice(&self.registration.to_bytes());
        out
    }

    pub(super) fn decode(broker: BrokerId, input: &mut Bytes) -> Option<Self> {
        let session = SessionId(input.try_get_i64().ok()?);
        let clean = input.try_get_u8().ok()? != 0;
        Some(Self { session, clean, registration: Registration::from_bytes(broker, input)? })
    }
}
