//! What a voter does when the leader's process has ended: its kernel closes its links at once, long before its lease is over.
//!
//! The lease keeps voters from helping a candidate while they hear a leader. A voter whose link to the leader was closed by the other
//! end, and whose next connection is refused there, waits no longer, and asks for a pre-vote. Must never decide that a leader is
//! gone: a voter that still hears it refuses, the vote itself is Raft's, and reads never go by a lease.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver;
use openraft::raft::TransferLeaderRequest;
use tokio::time::sleep;

use super::link::Links;
use super::node::Core;
use super::raft_types::Vote;

/// Between the voters' turns to stand, in the order of their ids: one is elected, vote on disk and all, before the next asks.
const TURN: Duration = Duration::from_millis(50);
/// Rounds until this is left to the election time-out.
const ROUNDS: u32 = 8;

/// Waits for the leader to hang up, and stands for election then.
pub(super) async fn succeed(core: Arc<Core>, links: Links) {
    loop {
        core.hung_up.notified().await;
        let metrics = core.raft.server_metrics().borrow_watched().clone();
        if let Some(leader) = metrics.current_leader.filter(|leader| *leader != core.node_id)
            && metrics.vote.committed
        {
            stand(&core, &links, leader, metrics.vote).await;
        }
    }
}

/// Asks for pre-votes, one round after the other, while nobody else has stood and the leader's place is empty.
async fn stand(core: &Core, links: &Links, leader: i32, vote: Vote) {
    let membership = core.raft.server_metrics().borrow_watched().membership_config.clone();
    let mut voters: Vec<i32> = membership.membership().voter_ids().filter(|id| *id != leader).collect();
    voters.sort_unstable();
    // An observer has no vote, and nothing to lift.
    let Some(turn) = voters.iter().position(|id| *id == core.node_id) else { return };
    let mut turns = turn;
    let has_moved_on = || core.raft.server_metrics().borrow_watched().vote != vote;
    for _ in 0..ROUNDS {
        match links.reach(leader, &core.address_of(leader)).await {
            Ok(_) => return,
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
            // Its listener may be the last that the kernel closes.
            Err(_) => {
                sleep(TURN).await;
                if has_moved_on() {
                    return;
                }
                continue;
            }
        }
        // As if the leader had asked this node to vote for another: the lease is over, and nothing else changes.
        let lift = TransferLeaderRequest::new(vote, leader, None);
        if core.raft.handle_transfer_leader(lift).await.is_err() {
            return;
        }
        sleep(TURN * u32::try_from(turns).unwrap_or(u32::MAX)).await;
        turns = voters.len();
        if has_moved_on() {
            return;
        }
        tracing::info!(leader, "the leader of the ensemble has hung up; this node stands for election");
        if core.raft.trigger().elect(true).await.is_err() {
            return;
        }
    }
}
