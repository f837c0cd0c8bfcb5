//! A voter whose disk is new: it has forgotten its votes and what it has acknowledged.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::super::super::{Ensemble, Member, MembersError};
use super::bugs::Bug;
use super::{World, pass, simulate};
use crate::tree::Op;

/// Something is acknowledged by the leader and one more voter; then the leader is down, and the other has a new disk. Returns the
/// world, the voter that was away, the leader, and the one with the new disk.
async fn lose(seed: u64, bug: Bug) -> (World, [i32; 3]) {
    let mut world = World::new(seed, &[1, 2, 3]);
    world.bug = bug;
    world.start_all(&[1, 2, 3, 4]).await;
    world.settle().await;
    world.wait_directories().await;
    let leader = world.leader().expect("a settled world has a leader");
    let mut others = [1, 2, 3].into_iter().filter(|id| *id != leader);
    let (away, wiped) = (others.next().unwrap(), others.next().unwrap());
    world.kill(away, false).await;
    world.node(leader).propose(vec![Op::create("/kept", "x")]).await.unwrap();
    world.kill(leader, false).await;
    world.kill(4, false).await;
    world.wipe(wiped).await;
    world.start_all(&[away, wiped]).await;
    pass(Duration::from_secs(20)).await;
    (world, [away, leader, wiped])
}

fn holds(node: &Ensemble) -> bool {
    node.with_tree(|tree| tree.stat("/kept").is_some())
}

#[test]
fn a_voter_with_a_new_disk_does_not_count_until_it_is_removed_and_added() {
    for seed in 0..3 {
        simulate(seed, async move {
            let (mut world, [away, leader, wiped]) = lose(seed, Bug::None).await;
            assert_eq!(world.leader(), None, "neither of the two has what was acknowledged");
            world.start_all(&[leader, 4]).await;
            let deadline = Instant::now() + Duration::from_secs(60);
            while !timeout(Duration::from_secs(5), world.node(away).barrier())
                .await
                .is_ok_and(|done| done.is_ok())
            {
                assert!(Instant::now() < deadline, "two whole voters are a quorum");
            }
            assert!(holds(world.node(away)) && holds(world.node(leader)));
            let leads = world.leader().unwrap();
            let told = world.node(leads).quorum();
            let voter = told.voters.iter().find(|voter| voter.id == wiped).unwrap();
            assert_ne!(voter.directory, world.directory(wiped), "the voter is the one with the former disk");
            assert!(!voter.is_linked);
            let (address, directory) = (format!("sim:{wiped}"), world.directory(wiped));
            let again = Member { id: wiped, address, directory };
            let refused = world.node(leads).add_voter(again.clone()).await;
            assert!(matches!(refused, Err(MembersError::Refused(_))), "{refused:?}");

            world.node(leads).remove_voter(wiped).await.unwrap();
            let another = Member { directory: voter.directory, ..again.clone() };
            let refused = world.node(leads).add_voter(another).await;
            assert!(matches!(refused, Err(MembersError::Later(_))), "no such node runs: {refused:?}");
            world.node(leads).add_voter(again).await.unwrap();
            world.settle().await;
            world.wait_directories().await;
            assert!(holds(world.node(wiped)));
            // It counts: with the former leader gone the two are a quorum.
            world.kill(leader, true).await;
            world.settle().await;
            world.check(&format!("seed {seed}"));
        });
    }
}

#[test]
fn without_the_rule_what_was_acknowledged_is_lost() {
    simulate(0, async {
        let (world, [away, ..]) = lose(0, Bug::AnyDirectory).await;
        assert!(world.leader().is_some() && !holds(world.node(away)));
    });
}
