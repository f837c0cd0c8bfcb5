//! Who votes: told and changed by the leader, asked for anywhere.
//!
//! Must never answer from a node that does not lead: only the leader knows how far the others are.

use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use kafka_protocol::error::ResponseError;
use milena_coordinator::controller::Refusal;
use milena_coordinator::ensemble::{self, Member, MembersError, Replica};
use uuid::Uuid;

use super::Quorum;
use super::forward::own;
use crate::partition::disk::uuid_text;

/// Pause before a node asks again for a vote, in milliseconds.
const JOIN_PAUSE_MS: i64 = 500;

/// A change that an operator asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VoterChange {
    Add { id: i32, directory: Uuid, address: String },
    Remove { id: i32, directory: Uuid },
}

impl Quorum {
    /// The quorum as its leader knows it.
    pub async fn describe(&self) -> Result<ensemble::Quorum, Refusal> {
        while !self.controls() {
            let Some(answer) = self.ask_controller(own::QUORUM, 0, &[]).await? else { continue };
            return decode_quorum(answer).ok_or_else(|| Refusal::bare(ResponseError::UnknownServerError));
        }
        Ok(self.shared.ensemble.quorum())
    }

    /// Asks for a vote of this node's own (`controller.quorum.auto.join.enable`), until it has one.
    pub async fn join_voters(&self, address: String, directory: Uuid) {
        let id = self.shared.node.0;
        let clock = &self.shared.clock;
        while !self.shared.ensemble.quorum().voters.iter().any(|voter| voter.id == id) {
            let change = VoterChange::Add { id, directory, address: address.clone() };
            match self.change_voters(change).await {
                Err(refusal) if refusal.code != ResponseError::DuplicateVoter => {
                    tracing::info!(error = %refusal, "this node has no vote yet");
                }
                _ => {}
            }
            clock.sleep_until(clock.steady_ms() + JOIN_PAUSE_MS).await;
        }
    }

    /// Adds a voter or removes one; returns when that is committed.
    pub async fn change_voters(&self, change: VoterChange) -> Result<(), Refusal> {
        while !self.controls() {
            if self.ask_controller(own::MEMBERS, 0, &change.encode()).await?.is_some() {
                return Ok(());
            }
        }
        check(&change, &self.shared.ensemble.quorum())?;
        let ensemble = &self.shared.ensemble;
        if matches!(change, VoterChange::Remove { id, .. } if id == self.shared.node.0) {
            // Another takes over first, so that there is never a leader without a vote; it is asked to go on.
            self.hand_over().await;
            if self.controls() {
                let message = "No other voter could take over the lead.";
                return Err(Refusal::new(ResponseError::RequestTimedOut, message));
            }
            if self.caller != self.shared.node {
                return Err(Refusal::bare(ResponseError::NotController));
            }
            let done = self.ask_controller(own::MEMBERS, 0, &change.encode()).await?;
            return done.map(|_| ()).ok_or_else(|| Refusal::bare(ResponseError::NotController));
        }
        let changed = match change {
            VoterChange::Add { id, directory, address } => {
                ensemble.add_voter(Member { id, address, directory }).await
            }
            VoterChange::Remove { id, .. } => ensemble.remove_voter(id).await,
        };
        changed.map_err(refusal)
    }

    /// Changes where a voter is reached, as the leader (UpdateVoterHandler); returns when that is committed.
    pub async fn update_voter(&self, member: Member) -> Result<(), Refusal> {
        let ensemble = &self.shared.ensemble;
        let voters = ensemble.quorum().voters;
        let is_it = |voter: &&Replica| voter.id == member.id && fits(voter, member.directory);
        if !voters.iter().any(|voter| is_it(&voter)) {
            return Err(Refusal::bare(ResponseError::VoterNotFound));
        }
        ensemble.update_voter(member).await.map_err(refusal)
    }
}

fn refusal(error: MembersError) -> Refusal {
    match error {
        MembersError::NotLeader { .. } | MembersError::Unknown => Refusal::bare(ResponseError::NotController),
        MembersError::Later(why) => Refusal::new(ResponseError::RequestTimedOut, why),
        MembersError::Refused(why) => Refusal::new(ResponseError::InvalidRequest, why),
    }
}

/// A directory id counts where it is known.
fn fits(voter: &Replica, directory: Uuid) -> bool {
    voter.directory.is_nil() || directory.is_nil() || voter.directory == directory
}

/// As Kafka's `ReplicaKey` shows itself.
fn key(id: i32, directory: Uuid) -> String {
    let directory = if directory.is_nil() { "<undefined>".to_owned() } else { uuid_text(directory) };
    format!("ReplicaKey(id={id}, directoryId={directory})")
}

fn keys(voters: &[Replica]) -> String {
    let keys: Vec<_> = voters.iter().map(|voter| key(voter.id, voter.directory)).collect();
    format!("[{}]", keys.join(", "))
}

/// What Kafka's AddVoterHandler and RemoveVoterHandler check; the last voter cannot be removed (`VoterSet.removeVoter`).
fn check(change: &VoterChange, quorum: &ensemble::Quorum) -> Result<(), Refusal> {
    let voters = &quorum.voters;
    match change {
        VoterChange::Add { id, directory, .. } if voters.iter().any(|voter| voter.id == *id) => {
            let message = format!(
                "The voter id for {} is already part of the set of voters {}.",
                key(*id, *directory),
                keys(voters)
            );
            Err(Refusal::new(ResponseError::DuplicateVoter, message))
        }
        VoterChange::Remove { id, directory }
            if voters.len() < 2 || !voters.iter().any(|voter| voter.id == *id && fits(voter, *directory)) =>
        {
            let message = format!(
                "Cannot remove voter {} from the set of voters {}",
                key(*id, *directory),
                keys(voters)
            );
            Err(Refusal::new(ResponseError::VoterNotFound, message))
        }
        VoterChange::Add { .. } | VoterChange::Remove { .. } => Ok(()),
    }
}

impl VoterChange {
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Add { id, directory, address } => {
                out.put_u8(0);
                out.put_i32(*id);
                out.put_u128(directory.as_u128());
                out.put_slice(address.as_bytes());
            }
            Self::Remove { id, directory } => {
                out.put_u8(1);
                out.put_i32(*id);
                out.put_u128(directory.as_u128());
            }
        }
        out
    }

    pub(super) fn decode(input: &mut Bytes) -> Option<Self> {
        let kind = input.try_get_u8().ok()?;
        let id = input.try_get_i32().ok()?;
        let directory = Uuid::from_u128(input.try_get_u128().ok()?);
        match kind {
            0 => Some(Self::Add { id, directory, address: String::from_utf8(input.to_vec()).ok()? }),
            1 => Some(Self::Remove { id, directory }),
            _ => None,
        }
    }
}

pub(super) fn encode_quorum(quorum: &ensemble::Quorum) -> Bytes {
    let mut out = Vec::new();
    out.put_i32(quorum.leader.unwrap_or(-1));
    out.put_u64(quorum.term);
    out.put_u64(quorum.committed_end);
    for replicas in [&quorum.voters, &quorum.learners] {
        out.put_u16(u16::try_from(replicas.len()).unwrap_or(u16::MAX));
        for replica in replicas.iter().take(usize::from(u16::MAX)) {
            out.put_i32(replica.id);
            out.put_i64(replica.log_end.and_then(|end| i64::try_from(end).ok()).unwrap_or(-1));
            let heard = replica.heard.and_then(|heard| i64::try_from(heard.as_millis()).ok());
            out.put_i64(heard.unwrap_or(-1));
            out.put_u128(replica.directory.as_u128());
            out.put_u8(u8::from(replica.is_linked));
            out.put_u16(u16::try_from(replica.address.len()).unwrap_or(0));
            out.put_slice(&replica.address.as_bytes()[..replica.address.len().min(usize::from(u16::MAX))]);
        }
    }
    out.into()
}

fn decode_quorum(mut input: Bytes) -> Option<ensemble::Quorum> {
    let leader = Some(input.try_get_i32().ok()?).filter(|leader| *leader >= 0);
    let (term, committed_end) = (input.try_get_u64().ok()?, input.try_get_u64().ok()?);
    let voters = replicas(&mut input)?;
    let learners = replicas(&mut input)?;
    Some(ensemble::Quorum { leader, term, committed_end, voters, learners })
}

fn replicas(input: &mut Bytes) -> Option<Vec<Replica>> {
    (0..input.try_get_u16().ok()?).map(|_| replica(input)).collect()
}

fn replica(input: &mut Bytes) -> Option<Replica> {
    let id = input.try_get_i32().ok()?;
    let log_end = u64::try_from(input.try_get_i64().ok()?).ok();
    let heard = u64::try_from(input.try_get_i64().ok()?).ok().map(Duration::from_millis);
    let directory = Uuid::from_u128(input.try_get_u128().ok()?);
    let is_linked = input.try_get_u8().ok()? != 0;
    let length = usize::from(input.try_get_u16().ok()?);
    if length > input.len() {
        return None;
    }
    let address = String::from_utf8(input.split_to(length).to_vec()).ok()?;
    Some(Replica { id, log_end, heard, directory, address, is_linked })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quorum() -> ensemble::Quorum {
        let replica = |id: i32| Replica {
            id,
            log_end: (id != 2).then_some(7),
            heard: Some(Duration::from_millis(3)),
            directory: Uuid::from_u128(id.unsigned_abs().into()),
            address: format!("h:{id}"),
            is_linked: id == 1,
        };
        let voters = vec![replica(1), replica(2)];
        ensemble::Quorum { leader: Some(1), term: 4, committed_end: 9, voters, learners: vec![replica(3)] }
    }

    #[test]
    fn a_quorum_and_changes_survive_their_bytes() {
        assert_eq!(decode_quorum(encode_quorum(&quorum())), Some(quorum()));
        let whole = encode_quorum(&quorum());
        assert!((0..whole.len()).all(|cut| decode_quorum(whole.slice(..cut)).is_none()));
        for change in [
            VoterChange::Add { id: 3, directory: Uuid::from_u128(5), address: "h:1".into() },
            VoterChange::Remove { id: 3, directory: Uuid::nil() },
        ] {
            assert_eq!(VoterChange::decode(&mut change.encode().into()), Some(change));
        }
    }

    #[test]
    fn impossible_changes_are_refused_as_kafka_does() {
        let code = |change| check(&change, &quorum()).map_err(|refusal| refusal.code);
        let add = |id| VoterChange::Add { id, directory: Uuid::nil(), address: String::new() };
        let remove = |id, directory| VoterChange::Remove { id, directory: Uuid::from_u128(directory) };
        assert_eq!(code(add(1)), Err(ResponseError::DuplicateVoter));
        assert_eq!(code(add(3)), Ok(()));
        assert_eq!(code(remove(3, 3)), Err(ResponseError::VoterNotFound));
        assert_eq!(code(remove(2, 9)), Err(ResponseError::VoterNotFound), "another directory");
        assert_eq!(code(remove(2, 2)), Ok(()));
        let mut last = quorum();
        last.voters.truncate(1);
        let refused = check(&remove(1, 1), &last).unwrap_err();
        assert_eq!(refused.code, ResponseError::VoterNotFound);
        let told = "Cannot remove voter ReplicaKey(id=1, directoryId=AAAAAAAAAAAAAAAAAAAAAQ) from the set of voters \
                    [ReplicaKey(id=1, directoryId=AAAAAAAAAAAAAAAAAAAAAQ)]";
        assert_eq!(refused.wire_message().as_deref(), Some(told));
    }
}
