//! What a node can do: write, read for sure, change the members; as the leader itself, otherwise through the leader.
//!
//! A proposal is sent to a leader once: if it may be in a log and its answer is lost, the proposer hears "unknown" and
//! nothing is tried again. Must never let one of openraft's types out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{
    ChangeMembershipError, ClientWriteError, Fatal, ForwardReason, ForwardToLeader, LinearizableReadError,
    RaftError,
};
use openraft::{ChangeMembers, Raft, ReadPolicy, ServerState};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use uuid::Uuid;

use super::link::Links;
use super::local::Local;
use super::log_store::LogStore;
use super::machine::Machine;
use super::message::{self, MemberChange, Refused, kind};
use super::plant::Plant;
use super::raft_types::{MemberNode, Proposal, Reply, TreeRaft};
use super::sessions::Sessions;
use super::{Leadership, MAX_COMMAND_BYTES, ProposeError};
use crate::tree::{Command, Outcome, Zxid};

/// After an election, and after a disk stall longer than the lease, a leader refuses writes until a quorum has
/// answered it: a round trip, or a heartbeat.
const RETRY: Duration = Duration::from_millis(5);
/// How long a proposal waits for a leader, and then for its answer: several elections.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a new voter may take to get the log before it has a vote.
const CATCH_UP_PATIENCE: Duration = Duration::from_secs(60);

/// The parts of a running node.
pub(super) struct Core {
    pub(super) node_id: i32,
    pub(super) raft: Raft<TreeRaft, Machine>,
    pub(super) local: Arc<Local>,
    pub(super) store: LogStore,
    pub(super) sessions: Arc<Sessions>,
    /// None for a node on its own.
    pub(super) links: Option<Links>,
    pub(super) leadership: watch::Sender<Leadership>,
    /// The leader's end has closed its links.
    pub(super) hung_up: Notify,
    #[cfg_attr(not(test), expect(dead_code, reason = "only simulations plant bugs"))]
    pub(super) plant: Plant,
}

impl Core {
    pub(super) fn leadership(&self) -> Leadership {
        *self.leadership.borrow()
    }

    /// Looks at who leads.
    pub(super) fn refresh_leadership(&self) {
        let metrics = self.raft.server_metrics().borrow_watched().clone();
        let leads = metrics.state == ServerState::Leader && metrics.current_leader == Some(self.node_id);
        let term = metrics.vote.leader_id.term;
        let now = Leadership { term, leader: metrics.current_leader, leads };
        let before = self.leadership.send_replace(now);
        if (now.leads, now.term) == (before.leads, before.term) {
            return;
        }
        if now.leads {
            self.local.read(|state| self.sessions.lead(&state.tree, Instant::now()));
        } else if before.leads {
            self.sessions.follow();
        }
    }

    pub(super) async fn propose(&self, command: Command) -> Result<(Zxid, Outcome), ProposeError> {
        let proposal = Proposal::new(command);
        let bytes = proposal.bytes.len();
        if bytes > MAX_COMMAND_BYTES {
            return Err(ProposeError::TooLarge { bytes, limit: MAX_COMMAND_BYTES });
        }
        let patience = Instant::now() + PATIENCE;
        loop {
            let refused = match self.write(proposal.clone()).await {
                Ok((_, reply)) => return answered(reply),
                Err(Refused::NotLeader { leader: Some(leader) }) if self.links.is_some() => {
                    match self.forward(leader, &proposal).await {
                        Ok(index) => return self.outcome(index).await,
                        Err(refused) => refused,
                    }
                }
                Err(refused) => refused,
            };
            match refused {
                Refused::Unknown => return Err(ProposeError::Unknown),
                Refused::Never(reason) if reason == STOPPED => return Err(ProposeError::Stopped),
                Refused::Never(reason) => return Err(ProposeError::Failed { reason }),
                Refused::NotLeader { leader } if self.links.is_none() || Instant::now() > patience => {
                    return Err(ProposeError::NotLeader { leader });
                }
                Refused::Later(_) if Instant::now() > patience => {
                    return Err(ProposeError::NotLeader { leader: None });
                }
                Refused::NotLeader { .. } | Refused::Later(_) => sleep(RETRY).await,
            }
        }
    }

    /// Writes as the leader: the entry's index and what it led to.
    pub(super) async fn write(&self, proposal: Proposal) -> Result<(u64, Reply), Refused> {
        let patience = Instant::now() + PATIENCE;
        loop {
            let writing = self.raft.client_write(proposal.clone());
            // A node on its own waits for its disk as long as it takes; a leader that was cut off might wait for ever.
            let written = match &self.links {
                None => writing.await,
                Some(_) => timeout(PATIENCE, writing).await.map_err(|_| Refused::Unknown)?,
            };
            match written {
                Ok(answer) => return Ok((answer.log_id.index, answer.data)),
                Err(error) if is_for_a_moment(&error) && Instant::now() < patience => sleep(RETRY).await,
                Err(error) => return Err(refusal(error)),
            }
        }
    }

    async fn forward(&self, leader: i32, proposal: &Proposal) -> Result<u64, Refused> {
        self.ask_node(leader, kind::PROPOSE, proposal.bytes.clone())
            .await?
            .try_get_u64()
            .map_err(|_| Refused::Unknown)
    }

    /// Asks one node, once.
    pub(super) async fn ask_node(&self, node: i32, kind: u8, body: Bytes) -> Result<Bytes, Refused> {
        let unreachable =
            |why: &dyn std::fmt::Display| Refused::Later(format!("node {node} cannot be reached: {why}"));
        let links = self.links.as_ref().ok_or_else(|| unreachable(&"this node is on its own"))?;
        let connection =
            links.reach(node, &self.address_of(node)).await.map_err(|error| unreachable(&error))?;
        match timeout(PATIENCE, connection.ask(kind, body)).await {
            Ok(Ok(answer)) => message::decode_result(answer).map_err(|_| Refused::Unknown)?,
            Ok(Err(lost @ super::link::Lost::Unsent)) => Err(unreachable(&lost)),
            Ok(Err(super::link::Lost::Unanswered)) => Err(Refused::Unknown),
            Err(_) => {
                connection.doubt();
                Err(Refused::Unknown)
            }
        }
    }

    /// What an entry that another node wrote led to here.
    async fn outcome(&self, index: u64) -> Result<(Zxid, Outcome), ProposeError> {
        if !self.wait_applied(index + 1, Instant::now() + PATIENCE).await {
            return Err(ProposeError::Unknown);
        }
        // A snapshot that was installed meanwhile holds the change, but not what it was told.
        self.local.reply(index).map_or(Err(ProposeError::Unknown), answered)
    }

    /// Returns when the entries before `end` are applied here; false if that takes too long.
    pub(super) async fn wait_applied(&self, end: u64, deadline: Instant) -> bool {
        let mut applied = self.local.applied_end();
        matches!(timeout_at(deadline, applied.wait_for(|reached| *reached >= end)).await, Ok(Ok(_)))
    }

    /// As the leader: one past the index that a read must have been applied to see all that was acknowledged before.
    pub(super) async fn read_index(&self) -> Result<u64, Refused> {
        let reading = self.raft.get_read_linearizer(ReadPolicy::ReadIndex);
        match timeout(PATIENCE, reading).await.map_err(|_| Refused::Later("no quorum answers".to_owned()))? {
            Ok(linearizer) => Ok(linearizer.read_log_id().index() + 1),
            Err(RaftError::APIError(LinearizableReadError::ForwardToLeader(to))) => {
                Err(Refused::NotLeader { leader: to.leader_id })
            }
            Err(RaftError::APIError(LinearizableReadError::QuorumNotEnough(error))) => {
                Err(Refused::Later(error.to_string()))
            }
            Err(RaftError::Fatal(Fatal::Stopped)) => Err(Refused::Never(STOPPED.to_owned())),
            Err(RaftError::Fatal(error)) => Err(Refused::Never(error.to_string())),
        }
    }

    /// Returns when this node has applied all that was acknowledged anywhere before the call.
    pub(super) async fn barrier(&self, deadline: Instant) -> Result<(), ProposeError> {
        loop {
            let refused = match self.read_index_anywhere().await {
                Ok(end) if self.wait_applied(end, deadline).await => return Ok(()),
                Ok(_) => Refused::Later("what is committed does not come".to_owned()),
                Err(refused) => refused,
            };
            match refused {
                Refused::Never(reason) if reason == STOPPED => return Err(ProposeError::Stopped),
                Refused::Never(reason) => return Err(ProposeError::Failed { reason }),
                _ if Instant::now() > deadline => {
                    return Err(ProposeError::NotLeader { leader: self.leadership().leader });
                }
                _ => sleep(RETRY).await,
            }
        }
    }

    async fn read_index_anywhere(&self) -> Result<u64, Refused> {
        match self.leadership() {
            Leadership { leads: true, .. } => self.read_index().await,
            Leadership { leader: Some(leader), .. } => {
                let mut answer = self.ask_node(leader, kind::BARRIER, Bytes::new()).await?;
                answer.try_get_u64().map_err(|_| Refused::Unknown)
            }
            Leadership { leader: None, .. } => Err(Refused::Later("there is no leader".to_owned())),
        }
    }

    /// What a learner makes of an append that does not wait for the commit.
    #[cfg(test)]
    pub(super) fn planted(
        &self,
        mut rpc: openraft::raft::AppendEntriesRequest<TreeRaft>,
    ) -> openraft::raft::AppendEntriesRequest<TreeRaft> {
        if self.plant == Plant::LearnersDoNotWait && !self.is_voter(self.node_id) {
            let last = rpc.entries.last().map(|entry| entry.log_id);
            rpc.leader_commit = rpc.leader_commit.max(last);
        }
        rpc
    }

    /// Where a member is reached; empty if it keeps the link itself, or is unknown.
    pub(super) fn address_of(&self, node: i32) -> String {
        self.known(node).map(|node| node.addr).unwrap_or_default()
    }

    /// Changes the members as the leader.
    pub(super) async fn change_members(&self, asker: i32, change: MemberChange) -> Result<(), Refused> {
        if !self.leadership().leads {
            return Err(Refused::NotLeader { leader: self.leadership().leader });
        }
        match change {
            MemberChange::Join => self.admit(asker).await,
            MemberChange::AddVoter { id, address, directory } => {
                let directory = self.linked_directory(id, &address, directory).await?;
                self.set_node(id, MemberNode { addr: address, directory }).await?;
                self.wait_caught_up(id).await?;
                self.change(ChangeMembers::AddVoterIds(BTreeSet::from([id]))).await
            }
            MemberChange::UpdateVoter { id, address, directory } => {
                if !self.is_voter(id) {
                    return Err(Refused::Never(format!("node {id} is no voter")));
                }
                self.set_node(id, MemberNode { addr: address, directory }).await
            }
            MemberChange::RemoveVoter { id } => {
                self.change(ChangeMembers::RemoveVoters(BTreeSet::from([id]))).await
            }
        }
    }

    /// The directory of a node that is to become a voter, which has to be the given one unless that is zero.
    async fn linked_directory(&self, id: i32, address: &str, given: Uuid) -> Result<Uuid, Refused> {
        let later = |why: String| Refused::Later(format!("node {id} is not ready: {why}"));
        let linked = match &self.links {
            Some(links) if id == self.node_id => links.me().directory,
            Some(links) => {
                links.reach(id, address).await.map_err(|error| later(error.to_string()))?.directory
            }
            None => return Err(later("this node is on its own".to_owned())),
        };
        if given.is_nil() || given == linked {
            Ok(linked)
        } else {
            Err(later(format!("its directory is {linked}, not {given}")))
        }
    }

    /// Enters what is known of a node. A voter keeps the directory that it has.
    async fn set_node(&self, id: i32, node: MemberNode) -> Result<(), Refused> {
        let known = self.known(id);
        if self.is_voter(id)
            && let Some(known) = known.as_ref().filter(|known| !known.directory.is_nil())
            && known.directory != node.directory
        {
            return Err(Refused::Never(format!("the directory of voter {id} is {}", known.directory)));
        }
        if known.as_ref() == Some(&node) {
            return Ok(());
        }
        self.change(ChangeMembers::SetNodes(BTreeMap::from([(id, node)]))).await
    }

    /// Lets a node observe: it gets the log from now on.
    async fn admit(&self, id: i32) -> Result<(), Refused> {
        if self.is_member(id) {
            return Ok(());
        }
        let node = MemberNode::default();
        self.change(ChangeMembers::AddNodes(BTreeMap::from([(id, node)]))).await
    }

    pub(super) fn is_member(&self, id: i32) -> bool {
        self.known(id).is_some()
    }

    fn is_voter(&self, id: i32) -> bool {
        let metrics = self.raft.server_metrics().borrow_watched().clone();
        metrics.membership_config.membership().voter_ids().any(|voter| voter == id)
    }

    fn known(&self, id: i32) -> Option<MemberNode> {
        let metrics = self.raft.server_metrics().borrow_watched().clone();
        metrics.membership_config.membership().get_node(&id).cloned()
    }

    /// Returns when a node has nearly all of the log: as a voter it must not hold up the others.
    async fn wait_caught_up(&self, id: i32) -> Result<(), Refused> {
        let deadline = Instant::now() + CATCH_UP_PATIENCE;
        let mut metrics = self.raft.metrics();
        loop {
            let now = metrics.borrow_watched().clone();
            let own = now.last_log_index.unwrap_or(0);
            let has = now.replication.as_ref().and_then(|all| all.get(&id).copied().flatten());
            if has.is_some_and(|has| has.index + MAX_LAG >= own) {
                return Ok(());
            }
            if now.replication.is_none() {
                return Err(Refused::NotLeader { leader: now.current_leader });
            }
            if !matches!(timeout_at(deadline, metrics.changed()).await, Ok(Ok(()))) {
                return Err(Refused::Later(format!("node {id} does not take the log")));
            }
        }
    }

    pub(super) async fn change(&self, change: ChangeMembers<i32, MemberNode>) -> Result<(), Refused> {
        let changing = timeout(CATCH_UP_PATIENCE, self.raft.change_membership(change, true));
        match changing.await.map_err(|_| Refused::Unknown)? {
            Ok(_) => Ok(()),
            Err(RaftError::APIError(ClientWriteError::ChangeMembershipError(error))) => Err(match error {
                ChangeMembershipError::InProgress(error) => Refused::Later(error.to_string()),
                other => Refused::Never(other.to_string()),
            }),
            Err(error) => Err(refusal(error)),
        }
    }
}

/// Entries that a node may be behind and still become a voter.
const MAX_LAG: u64 = 100;
/// The reason of refusals by a node that has stopped.
const STOPPED: &str = "the ensemble has stopped";

type WriteError = RaftError<TreeRaft, ClientWriteError<TreeRaft>>;

/// Nothing was written, and soon it can be: by this node, or by one that is just taking over from it.
fn is_for_a_moment(error: &WriteError) -> bool {
    matches!(
        error,
        RaftError::APIError(ClientWriteError::ForwardToLeader(ForwardToLeader {
            reason: ForwardReason::LeaseExpired,
            ..
        }))
    )
}

fn refusal(error: WriteError) -> Refused {
    match error {
        // Others may have got the entry before this node stopped.
        RaftError::Fatal(Fatal::Stopped) => Refused::Unknown,
        RaftError::Fatal(error) => Refused::Never(error.to_string()),
        RaftError::APIError(ClientWriteError::ForwardToLeader(to)) => {
            Refused::NotLeader { leader: to.leader_id }
        }
        RaftError::APIError(ClientWriteError::LogEntryDiscarded(_)) => Refused::Unknown,
        RaftError::APIError(other) => Refused::Never(other.to_string()),
    }
}

fn answered(Reply(reply): Reply) -> Result<(Zxid, Outcome), ProposeError> {
    reply.ok_or_else(|| ProposeError::Failed {
        reason: "a command was answered like an entry without one".to_owned(),
    })
}
