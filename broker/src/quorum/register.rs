//! How a broker enters the cluster: the first nodes of a new one, its session, its registration, its partitions.
//!
//! Must never leave a registration of an earlier run behind: its session is closed before the new one writes.

use milena_coordinator::controller::{self, Adopted, FirstContent, Registration};
use milena_coordinator::image::{Endpoint, MetadataImage, paths};
use milena_coordinator::tree::{Owner, SessionId, Tree};

use super::{Quorum, QuorumError};

/// How long the ensemble keeps a silent broker's session (`broker.session.timeout.ms` by default).
const SESSION_TIMEOUT_MS: i32 = 9000;
/// Partition states that go into one proposal when a broker takes up leadership.
const STATES_TOGETHER: usize = 5000;

/// Under which addresses a broker registers.
#[derive(Clone, Debug, Default)]
pub struct Listeners {
    pub endpoints: Vec<Endpoint>,
    pub rack: Option<String>,
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

    /// Makes the cluster's first nodes if they are missing.
    pub async fn bootstrap(&self, first: FirstContent) -> Result<(), QuorumError> {
        let ensemble = &self.shared.ensemble;
        let ops = ensemble.with_tree(|tree| controller::bootstrap(|path| tree.stat(path).is_some(), first));
        if !ops.is_empty() {
            ensemble.propose(ops).await?;
            self.wait_until_published().await;
        }
        Ok(())
    }

    /// Registers this broker as alive and as the controller, and takes up the partitions that it may lead. After an
    /// unclean end (`clean` is false) the leader epochs of its partitions grow.
    pub async fn register(&self, listeners: Listeners, clean: bool) -> Result<(), QuorumError> {
        let (node, ensemble) = (self.shared.node, &self.shared.ensemble);
        let session = self.open_session().await?;
        *self.shared.session.lock() = Some(session);
        let mut image = MetadataImage::clone(&self.newest_image());
        let Listeners { endpoints, rack } = listeners;
        let registration = Registration { broker: node, endpoints, rack };
        let mut ops = controller::register(&image, &registration, true, self.shared.clock.now());
        // The states are written by the controller of the epoch that begins here.
        image.controller_epoch += 1;
        let mut states = controller::take_up_leadership(&image, node, clean);
        let rest = states.split_off(states.len().min(STATES_TOGETHER));
        ops.extend(states);
        ensemble.propose_as(session, ops).await?;
        for states in rest.chunks(STATES_TOGETHER) {
            ensemble.propose(states.to_vec()).await?;
        }
        self.wait_until_published().await;
        Ok(())
    }

    /// Opens a session; those of earlier runs go, with the nodes that they own, before anything new is written.
    async fn open_session(&self) -> Result<SessionId, QuorumError> {
        let ensemble = &self.shared.ensemble;
        let own = [paths::broker(self.shared.node), paths::CONTROLLER.to_owned()];
        let mut old: Vec<_> = ensemble.with_tree(|tree| {
            let owner = |path: &String| match Owner::from_field(tree.stat(path)?.ephemeral_owner) {
                Owner::Session(id) => Some(id),
                _ => None,
            };
            own.iter().filter_map(owner).collect()
        });
        old.dedup();
        for session in old {
            ensemble.close_session(session).await?;
        }
        let session = ensemble.open_session(SESSION_TIMEOUT_MS).await?;
        // It lives as long as this process: the ensemble speaks for it.
        ensemble.keep_session(session);
        Ok(session)
    }
}
