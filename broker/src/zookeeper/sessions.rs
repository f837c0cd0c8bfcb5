//! What the leader does in time: ends sessions that fell silent, and removes containers and TTL nodes that are due. Other nodes
//! tell it which sessions they have heard.
//!
//! Acts by proposing alone; whether it is still so is decided where the proposal is applied. Must never end anything on a
//! node that does not lead.

use std::sync::Arc;
use std::time::Duration;

use milena_coordinator::tree::{ClientKind, ClientRequest, Ids, Op, SessionId, Zxid};
use tokio::sync::watch;

use super::Shared;
use super::proposer::Job;

/// Sessions are looked at so many times during the shortest time-out; one ends at most that part of it late.
const LOOKS_PER_TIMEOUT: i64 = 20;
const LOOK_MIN_MILLIS: i64 = 10;
/// How long the leader may take to hear; then it is told again, with what was heard meanwhile.
const TELL_PATIENCE: Duration = Duration::from_secs(1);
/// Due nodes that are removed in one look, as `ContainerManager` spreads them.
const REMOVALS_MAX: usize = 1000;

/// Looks at sessions and perishable nodes until the front end stops.
pub(super) async fn run(shared: Arc<Shared>, mut stopped: watch::Receiver<bool>) {
    let every = (i64::from(shared.limits.timeout_min) / LOOKS_PER_TIMEOUT).max(LOOK_MIN_MILLIS);
    let mut led = false;
    let mut told_until = 0;
    let mut removals_at = shared.clock.steady_ms();
    loop {
        let next = shared.clock.steady_ms() + every;
        tokio::select! {
            _ = stopped.wait_for(|stopped| *stopped) => return,
            () = shared.clock.sleep_until(next) => {}
        }
        let leads = shared.ensemble.quorum().leader == Some(shared.node);
        if leads && !led {
            shared.hub.hear_all();
        }
        led = leads;
        if !leads {
            let now = shared.clock.steady_ms();
            let heard = shared.hub.heard_here(told_until);
            let told = async { heard.is_empty() || shared.quorum.tell_heard(&heard).await };
            if tokio::time::timeout(TELL_PATIENCE, told).await == Ok(true) {
                told_until = now;
            }
            continue;
        }
        expire(&shared);
        let now = shared.clock.steady_ms();
        if now >= removals_at {
            removals_at = now + millis(shared.limits.container_check);
            remove_perished(&shared).await;
        }
    }
}

fn expire(shared: &Shared) {
    for (id, attached) in shared.hub.overdue() {
        tracing::info!(session = %id, "a session of ZooKeeper's protocol has expired");
        let request = ClientRequest {
            session: SessionId::NONE,
            attached: Zxid::default(),
            ids: Ids::from([]),
            kind: ClientKind::Expire { id, attached },
        };
        shared.proposer.push(Job { request, bytes: 0, reply_to: None });
    }
}

/// Each removal stands for itself: one that came too late fails alone.
async fn remove_perished(shared: &Shared) {
    let now = shared.clock.now();
    let due: Vec<Op> = shared.ensemble.with_tree(|tree| {
        let paths = tree.perished(now).take(REMOVALS_MAX);
        paths.map(|path| Op::DeleteContainer { path: path.to_string() }).collect()
    });
    for op in due {
        if let Err(error) = shared.ensemble.propose(vec![op]).await {
            tracing::debug!(%error, "a container or TTL node stays");
        }
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
