//! Brokers whose links have closed: fenced after a moment, and taken back when they are heard again.
//!
//! A process that is killed leaves nothing behind but closed connections, long before its session is over. Must never take a closed link
//! for a closed session: what a suspect has, it keeps.

use std::collections::{BTreeMap, BTreeSet};

use milena_coordinator::ensemble::Ensemble;
use milena_coordinator::image::{MetadataImage, paths};
use milena_coordinator::tree::{Owner, SessionId};
use milena_storage::ids::BrokerId;

/// How long a link may be gone before its broker is fenced, in milliseconds: it is made again after 100.
const GRACE_MS: i64 = 200;

/// Since when sessions are suspect.
#[derive(Default)]
pub(super) struct Suspicion {
    since: BTreeMap<SessionId, i64>,
}

/// What follows from the suspicion, now.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    /// To be fenced.
    pub(super) silent: BTreeSet<BrokerId>,
    /// Not to be taken back.
    pub(super) doubted: BTreeSet<BrokerId>,
}

impl Suspicion {
    pub(super) fn judge(
        &mut self,
        suspects: &BTreeSet<SessionId>,
        owners: &BTreeMap<SessionId, BrokerId>,
        now: i64,
    ) -> Verdict {
        self.since.retain(|id, _| suspects.contains(id));
        suspects.iter().for_each(|id| {
            self.since.entry(*id).or_insert(now);
        });
        let mut verdict = Verdict::default();
        for (id, since) in &self.since {
            let Some(broker) = owners.get(id).copied() else { continue };
            verdict.doubted.insert(broker);
            if since + GRACE_MS <= now {
                verdict.silent.insert(broker);
            }
        }
        verdict
    }

    /// When there may be more to do; never, if nobody is within the grace.
    pub(super) fn next(&self, now: i64) -> Option<i64> {
        self.since.values().map(|since| since + GRACE_MS).filter(|due| *due > now).min()
    }
}

/// The sessions that registrations hang on.
pub(super) fn owners(ensemble: &Ensemble, image: &MetadataImage) -> BTreeMap<SessionId, BrokerId> {
    ensemble.with_tree(|tree| {
        let brokers = image.brokers.iter().map(|(id, _)| *id);
        let owner = |id| match Owner::from_field(tree.stat(&paths::broker(id))?.ephemeral_owner) {
            Owner::Session(session) => Some((session, id)),
            _ => None,
        };
        brokers.filter_map(owner).collect()
    })
}

/// Suspects the brokers that this node, which leads from now on, has no link to.
pub(super) fn doubt_unlinked(ensemble: &Ensemble, image: &MetadataImage) {
    let quorum = ensemble.quorum();
    let nodes = quorum.voters.iter().chain(&quorum.learners);
    let linked: BTreeSet<_> = nodes.filter(|node| node.is_linked).map(|node| BrokerId(node.id)).collect();
    let owners = owners(ensemble, image);
    let unlinked = owners.iter().filter(|(_, broker)| !linked.contains(broker)).map(|(id, _)| *id);
    ensemble.doubt_sessions(&unlinked.collect::<Vec<_>>());
}

#[cfg(test)]
mod tests {
    use super::*;

    const BROKER: BrokerId = BrokerId(7);
    const SESSION: SessionId = SessionId(70);

    fn judged(suspicion: &mut Suspicion, is_suspect: bool, now: i64) -> (bool, bool) {
        let suspects = if is_suspect { BTreeSet::from([SESSION]) } else { BTreeSet::new() };
        let verdict = suspicion.judge(&suspects, &[(SESSION, BROKER)].into(), now);
        (verdict.silent.contains(&BROKER), verdict.doubted.contains(&BROKER))
    }

    #[test]
    fn a_link_that_is_back_within_the_grace_fences_nobody() {
        let mut suspicion = Suspicion::default();
        assert_eq!(judged(&mut suspicion, true, 1000), (false, true));
        assert_eq!(suspicion.next(1000), Some(1000 + GRACE_MS));
        assert_eq!(judged(&mut suspicion, false, 1100), (false, false));
        assert_eq!(suspicion.next(1100), None);
        // Once more: the time begins again.
        assert_eq!(judged(&mut suspicion, true, 1150), (false, true));
        assert_eq!(judged(&mut suspicion, true, 1000 + GRACE_MS), (false, true));
    }

    #[test]
    fn a_link_that_stays_away_fences_its_broker_until_it_is_heard() {
        let mut suspicion = Suspicion::default();
        assert_eq!(judged(&mut suspicion, true, 1000), (false, true));
        assert_eq!(judged(&mut suspicion, true, 1000 + GRACE_MS), (true, true));
        assert_eq!(suspicion.next(1000 + GRACE_MS), None, "there is nothing to wait for but events");
        assert_eq!(judged(&mut suspicion, false, 2000), (false, false));
    }
}
