//! The node's session with the ensemble: its registration and, while it is the controller, `/controller` hang on it.
//!
//! Must never hold more than one session at a time.

use milena_coordinator::ensemble::{Ensemble, ProposeError};
use milena_coordinator::tree::{Op, Secret, SessionId};
use tokio::sync::Mutex;

/// Opened when it is first needed, and again if it has expired.
pub(super) struct NodeSession {
    timeout_ms: i32,
    /// For passwords of ZooKeeper's clients, should the cluster have none yet.
    secret: Secret,
    current: Mutex<Current>,
}

#[derive(Clone, Copy)]
enum Current {
    None,
    Open(SessionId),
    /// For good: this node stops.
    Closed,
}

impl NodeSession {
    pub(super) fn new(timeout_ms: i32, secret: Secret) -> Self {
        Self { timeout_ms, secret, current: Mutex::new(Current::None) }
    }

    /// The session, which lives as long as this node does.
    pub(super) async fn open(&self, ensemble: &Ensemble) -> Result<SessionId, ProposeError> {
        let mut current = self.current.lock().await;
        if let Some(id) = living(ensemble, *current)? {
            return Ok(id);
        }
        let id = ensemble.open_session(self.timeout_ms).await?;
        ensemble.keep_session(id);
        *current = Current::Open(id);
        Ok(id)
    }

    /// Proposes on behalf of the session, which is opened in the same step if need be: both together take one sync.
    pub(super) async fn propose(&self, ensemble: &Ensemble, ops: Vec<Op>) -> Result<(), ProposeError> {
        let mut current = self.current.lock().await;
        if let Some(id) = living(ensemble, *current)? {
            return ensemble.propose_as(id, ops).await.map(|_| ());
        }
        let id = ensemble.begin_session(self.timeout_ms, self.secret.clone(), ops).await?;
        ensemble.keep_session(id);
        *current = Current::Open(id);
        Ok(())
    }

    /// Whether it was ended for good; waits for an end that is under way.
    pub(super) async fn is_closed(&self) -> bool {
        matches!(*self.current.lock().await, Current::Closed)
    }

    /// Ends it for good, and with it the registration.
    pub(super) async fn close(&self, ensemble: &Ensemble) {
        if let Current::Open(id) = std::mem::replace(&mut *self.current.lock().await, Current::Closed)
            && let Err(error) = ensemble.close_session(id).await
        {
            tracing::debug!(%error, "the session was not closed");
        }
    }
}

/// The session, if there is one that has not expired.
fn living(ensemble: &Ensemble, current: Current) -> Result<Option<SessionId>, ProposeError> {
    match current {
        Current::None => Ok(None),
        Current::Open(id) => Ok(ensemble.with_tree(|tree| tree.session(id).map(|_| id))),
        Current::Closed => Err(ProposeError::Stopped),
    }
}
