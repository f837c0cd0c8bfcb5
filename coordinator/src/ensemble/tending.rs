//! What a node of an ensemble does by itself: keeps links to the voters, asks to be let in, tells the leader which of its
//! sessions live, ends those that have expired, ticks only while it is not alone.
//!
//! Must never end a session unless this node leads.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver;
use openraft::{ChangeMembers, ServerState};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use uuid::Uuid;

use super::Member;
use super::link::{Connection, Links};
use super::message::{self, MemberChange, kind};
use super::node::Core;
use super::raft::voter_directories;
use super::raft_types::{MemberNode, Proposal, spawn};
use super::serve::put_session_ids;
use crate::tree::{Command, CommandKind, SessionId};

/// How often links that are gone are made again, and an observer that is not let in asks again.
const RELINK: Duration = Duration::from_millis(100);
/// Turns of that between two pings.
const PING_EVERY: u32 = 20;
/// How long a question to another node may take here: all of them are asked again.
const PATIENCE: Duration = Duration::from_secs(2);
/// Bytes of entries that are kept though the snapshot has them, for nodes that were away for a moment.
const KEPT_BYTES: usize = 16 << 20;

/// Follows what Raft says about itself: leadership, members, snapshots.
pub(super) async fn follow_raft(core: Arc<Core>) {
    let mut metrics = core.raft.server_metrics();
    loop {
        core.refresh_leadership();
        if let Some(links) = &core.links {
            let now = metrics.borrow_watched().clone();
            links.set_voters(voter_directories(now.membership_config.membership()));
            let members = now.membership_config.membership().nodes().count();
            let is_alone = members <= 1 && now.state == ServerState::Leader;
            core.raft.runtime_config().tick(!is_alone);
        }
        if metrics.changed().await.is_err() {
            return;
        }
    }
}

/// Drops entries that a snapshot holds and that are too many to keep for others.
pub(super) async fn bound_log(core: Arc<Core>) {
    let mut metrics = core.raft.data_metrics();
    let mut seen = None;
    loop {
        let snapshot = metrics.borrow_watched().snapshot;
        if let Some(covered) = snapshot.filter(|_| snapshot != seen) {
            seen = snapshot;
            if let Some(upto) = core.store.start_within(covered.index, KEPT_BYTES)
                && core.raft.trigger().purge_log(upto).await.is_err()
            {
                return;
            }
        }
        if metrics.changed().await.is_err() {
            return;
        }
    }
}

/// Ends sessions whose time is over.
pub(super) async fn expire(
    core: Arc<Core>,
    now: Arc<dyn Fn() -> milena_storage::ids::Timestamp + Send + Sync>,
) {
    loop {
        match core.sessions.next_deadline() {
            None => core.sessions.changed().await,
            Some(deadline) => tokio::select! {
                biased;
                () = core.sessions.changed() => {}
                () = sleep_until(deadline) => {}
            },
        }
        for id in core.sessions.expired(Instant::now()) {
            let command =
                Command { session: SessionId::NONE, time: now(), kind: CommandKind::CloseSession { id } };
            spawn(end_session(Arc::clone(&core), id, command));
        }
    }
}

/// Ends a session as the leader, once a quorum has said that this node still leads: one that hears nobody finds everybody silent, and what
/// it then thinks of them must neither be written when it is heard again, nor be asked of its successor.
async fn end_session(core: Arc<Core>, id: SessionId, command: Command) {
    if core.read_index().await.is_err() || !core.sessions.is_over(id) {
        return;
    }
    tracing::info!(session = %id, "a session has expired");
    if let Err(error) = core.write(Proposal::new(command)).await {
        tracing::warn!(session = %id, ?error, "an expired session could not be ended yet");
    }
}

/// Keeps a link to every voter, and asks the leader to be let in until it has been.
pub(super) async fn keep_links(core: Arc<Core>, links: Links, voters: Vec<Member>, bootstrap: Vec<String>) {
    for turn in 0u32.. {
        enter_directories(&core, &links).await;
        wait_for_others(&core).await;
        if turn.is_multiple_of(PING_EVERY) {
            links.connected().into_iter().for_each(|connection| {
                if !links.is_itself(&connection) {
                    let (node, directory) = (connection.peer, connection.directory);
                    tracing::warn!(
                        node,
                        %directory,
                        "a voter came with a new disk and does not count: remove it as a controller, then add it again"
                    );
                }
                spawn(ping(connection));
            });
        }
        let known = known_voters(&core, &voters);
        for Member { id, address, .. } in &known {
            if links.current(*id).is_none() && !address.is_empty() {
                let (links, id, address) = (links.clone(), *id, address.clone());
                spawn(async move { links.reach(id, &address).await.map(|_| ()) });
            }
        }
        if !core.is_member(core.node_id) {
            for address in bootstrap.iter().filter(|_| known.is_empty()) {
                if let Err(error) = links.dial(address, None).await {
                    tracing::debug!(address, %error, "a bootstrap server cannot be reached");
                }
            }
            for connection in links.connected() {
                if join(&connection).await.is_ok() {
                    break;
                }
            }
        }
        sleep(RELINK).await;
    }
}

/// As the leader: enters the directories of voters that have none yet, as soon as they are linked. A lone voter, which has
/// nobody to deceive, goes by the one that it has now.
async fn enter_directories(core: &Core, links: &Links) {
    if !core.leadership().leads {
        return;
    }
    let metrics = core.raft.server_metrics().borrow_watched().clone();
    let membership = metrics.membership_config.membership();
    let is_alone = membership.voter_ids().eq([core.node_id]);
    let unknown = |id: i32| {
        let node = membership.get_node(&id)?;
        let directory = match id == core.node_id {
            true => links.me().directory,
            false => links.current(id)?.directory,
        };
        let is_new = !directory.is_nil() && directory != node.directory;
        (is_new && (node.directory.is_nil() || is_alone))
            .then(|| (id, MemberNode { directory, ..node.clone() }))
    };
    let nodes: std::collections::BTreeMap<_, _> = membership.voter_ids().filter_map(unknown).collect();
    if nodes.is_empty() {
        return;
    }
    let directories: Vec<(i32, Uuid)> = nodes.iter().map(|(id, node)| (*id, node.directory)).collect();
    let entered = timeout(PATIENCE, core.change(ChangeMembers::SetNodes(nodes))).await;
    if !matches!(entered, Ok(Ok(()))) {
        tracing::debug!(?entered, "the voters' directories are not entered yet");
        return;
    }
    for (node, directory) in directories.into_iter().filter(|_| !is_alone) {
        tracing::info!(node, %directory, "a voter's directory is entered: with another disk it is no voter");
    }
}

/// Returns once this node is not the only one: until then there is nothing to tend, and no timer runs.
async fn wait_for_others(core: &Core) {
    let mut metrics = core.raft.server_metrics();
    loop {
        let now = metrics.borrow_watched().clone();
        let mut nodes = now.membership_config.membership().nodes().map(|(id, _)| *id);
        if (nodes.next(), nodes.next()) != (Some(core.node_id), None) || metrics.changed().await.is_err() {
            return;
        }
    }
}

/// Finds out whether the other end is still there, though nothing may have to be said.
async fn ping(connection: Arc<Connection>) {
    let ask = connection.ask(kind::TOUCH, put_session_ids(&[]));
    if timeout(PATIENCE, ask).await.is_err() {
        connection.doubt();
    }
}

/// The other voters: those of the membership, or before there is one, those that were configured.
fn known_voters(core: &Core, configured: &[Member]) -> Vec<Member> {
    let metrics = core.raft.server_metrics().borrow_watched().clone();
    let membership = metrics.membership_config.membership();
    let address = |id: i32| {
        let known = membership.get_node(&id).map(|node| node.addr.clone()).filter(|addr| !addr.is_empty());
        known.or_else(|| configured.iter().find(|each| each.id == id).map(|each| each.address.clone()))
    };
    let mut ids: Vec<i32> = membership.voter_ids().collect();
    if ids.is_empty() {
        ids = configured.iter().map(|each| each.id).collect();
    }
    ids.retain(|id| *id != core.node_id);
    ids.into_iter().map(|id| Member::at(id, address(id).unwrap_or_default())).collect()
}

/// Asks a node to be let in; only the leader can.
async fn join(connection: &Connection) -> io::Result<()> {
    let ask = connection.ask(kind::MEMBERS, MemberChange::Join.encode());
    let answer = timeout(PATIENCE, ask).await?.map_err(io::Error::other)?;
    let answer = message::decode_result(answer).map_err(io::Error::other)?;
    answer.map(|_| ()).map_err(|refused| io::Error::other(format!("{refused:?}")))
}

/// Tells the leader, every so often, which sessions of this node live.
pub(super) async fn tell_sessions(core: Arc<Core>, links: Links, interval: Duration) {
    let mut leadership = core.leadership.subscribe();
    loop {
        let now = *leadership.borrow_and_update();
        if let Some(leader) = now.leader.filter(|_| !now.leads) {
            let ids = core.sessions.to_tell();
            if !ids.is_empty()
                && let Ok(connection) = links.reach(leader, &core.address_of(leader)).await
            {
                let ask = connection.ask(kind::TOUCH, put_session_ids(&ids));
                if timeout(PATIENCE, ask).await.is_err() {
                    connection.doubt();
                }
            }
        }
        if now.leads {
            // Nobody has to be told.
            if leadership.changed().await.is_err() {
                return;
            }
            continue;
        }
        tokio::select! {
            biased;
            // A new leader gave everybody the full time, but it shall know soon who speaks for whom.
            changed = leadership.changed() => if changed.is_err() { return },
            // A link that is back, or a session that is new: nobody shall be suspected longer than needed.
            () = core.sessions.untold() => {}
            () = sleep(interval) => {}
        }
    }
}
