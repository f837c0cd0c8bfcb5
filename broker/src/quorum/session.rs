//! The node's session with the ensemble: its registration and, while it is the controller, `/controller` hang on it.
//!
//! Must never hold more than one session at a time.

use milena_coordinator::ensemble::{Ensemble, ProposeError};
use milena_coordinator::tree::SessionId;
use tokio::sync::Mutex;

/// Opened when it is first needed, and again if it has expired.
pub(super) struct NodeSession {
    timeout_ms: i32,
    current: Mutex<Option<SessionId>>,
}

impl NodeSession {
    pub(super) fn new(timeout_ms: i32) -> Self {
        Self { timeout_ms, current: Mutex::new(None) }
    }

    /// The session, which lives as long as this node does.
    pub(super) async fn open(&self, ensemble: &Ensemble) -> Result<SessionId, ProposeError> {
        let mut current = self.current.lock().await;
        let lives = |id: &SessionId| ensemble.with_tree(|tree| tree.session(*id).is_some());
        if let Some(id) = current.filter(|id| lives(id)) {
            return Ok(id);
        }
        let id = ensemble.open_session(self.timeout_ms).await?;
        ensemble.keep_session(id);
        *current = Some(id);
        Ok(id)
    }

    /// Ends it, and with it the registration.
    pub(super) async fn close(&self, ensemble: &Ensemble) {
        if let Some(id) = self.current.lock().await.take()
            && let Err(error) = ensemble.close_session(id).await
        {
            tracing::debug!(%error, "the session was not closed");
        }
    }
}
