//! Takes partitions out of service when their log directory fails, and has others lead them.
//!
//! Must never stop telling the controller before it has answered: it hears of a lost partition from nobody else.

use std::sync::Arc;

use milena_coordinator::controller::Lost;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::quorum::Quorum;
use crate::state::BrokerState;

/// Pause before the controller is told again, in milliseconds.
const RETRY_MS: i64 = 200;

pub(super) async fn watch(state: Arc<BrokerState>, quorum: Quorum, dying: watch::Sender<bool>) {
    let metadata_dir = state.settings.load().storage().metadata_dir;
    let partitions = &state.partitions;
    let mut failures = partitions.disk.failures.watch();
    failures.mark_changed();
    let mut untold = Lost::new();
    loop {
        tokio::select! {
            biased;
            changed = failures.changed() => {
                if changed.is_err() {
                    return;
                }
                if !partitions.withdraw_failed(&metadata_dir) {
                    dying.send_replace(true);
                }
                untold = partitions.in_failed_dirs();
            }
            () = tell(&quorum, &state.clock, &untold), if !untold.is_empty() => untold = Lost::new(),
        }
    }
}

/// Returns when the controller has answered.
async fn tell(quorum: &Quorum, clock: &Clock, lost: &Lost) {
    while let Err(error) = quorum.lose(lost).await {
        tracing::debug!(%error, "the controller does not know yet which partitions are lost");
        clock.sleep_until(clock.steady_ms() + RETRY_MS).await;
    }
    let count: usize = lost.values().map(std::collections::BTreeSet::len).sum();
    tracing::info!(count, "others take over the partitions of failed directories");
}
