//! What the controller does by itself when brokers come and go.
//!
//! It looks at the image and not at events: a broker that is not there is in no in-sync set and leads nothing, and a partition
//! without a leader gets one as soon as somebody may lead. So it can be asked again at any time, by any controller, and
//! nothing is missed. Must never let a restarted broker keep what its earlier process had (`restart`).

use std::collections::BTreeSet;

use kafka_protocol::error::ResponseError;
use milena_storage::ids::BrokerId;

use super::features::keeps_eligible_replicas;
use super::next_state::{Ground, Live, is_live, next_state, write};
use super::{Ctx, Item, Plan, Refusal, fence, is_registered};
use crate::image::nodes::{BrokerNode, to_json};
use crate::image::{BrokerImage, MetadataImage, PartitionImage, TopicImage, paths};
use crate::plant::{self, Bug};
use crate::tree::{ANY_VERSION, Op};

/// Partitions that change together in one multi; each is checked, so that one that has changed meanwhile fails no more than these.
pub(super) const PARTITIONS_TOGETHER: usize = 500;

/// The changes that the image's live brokers ask for; none when all is as it should be.
pub fn fail_over(ctx: &Ctx<'_>) -> Plan<()> {
    let mut ops = Vec::new();
    for topic in ctx.image.topics() {
        changes(ctx, topic, &|_| true, &|partition, id| is_live(ctx.image, partition, id), None, &mut ops);
    }
    together(ctx, &ops)
}

/// What has to be committed before a broker is registered whose earlier process may not have been seen leaving: it leads nothing
/// any more and is in sync nowhere, and if it did not stop cleanly, its word for what it has counts for nothing. Partitions that
/// are nowhere else it takes up itself afterwards (`take_up_leadership`).
pub fn restart(ctx: &Ctx<'_>, broker: BrokerId, clean: bool) -> Plan<()> {
    let mut ops = Vec::new();
    if plant::is_planted(Bug::IgnoresBrokerEpochs) {
        return Plan::new();
    }
    for topic in ctx.image.topics() {
        let live = |partition: &PartitionImage, id| id != broker && is_live(ctx.image, partition, id);
        changes(ctx, topic, &|_| true, &live, (!clean).then_some(broker), &mut ops);
    }
    together(ctx, &ops)
}

/// A broker that is about to stop is fenced, so that nobody elects it or takes it in, and leads nothing any more where others can
/// (`ControlledShutdown`).
///
/// # Errors
/// BROKER_ID_NOT_REGISTERED if it is not there.
pub fn shut_down(ctx: &Ctx<'_>, broker: BrokerId) -> Result<Plan<()>, Refusal> {
    let leaving = ctx.image.broker(broker).ok_or(Refusal::bare(ResponseError::BrokerIdNotRegistered))?;
    let fenced = put(ctx, BrokerImage { fenced: true, suspect: false, ..(**leaving).clone() });
    let mut plan = vec![Item { ops: vec![fence(ctx.image), fenced], result: () }];
    plan.extend(restart(ctx, broker, true));
    Ok(plan)
}

/// Fences brokers whose links have closed (`silent`), and takes those back that are heard again, which `doubted` says they are not.
/// A broker that is fenced for another reason stays so.
pub fn suspect(ctx: &Ctx<'_>, silent: &BTreeSet<BrokerId>, doubted: &BTreeSet<BrokerId>) -> Plan<()> {
    let brokers = ctx.image.brokers.iter().map(|(_, broker)| broker);
    let changed = brokers.filter_map(|broker| {
        let falls_silent = silent.contains(&broker.id) && !broker.fenced;
        let is_back = broker.suspect && !doubted.contains(&broker.id);
        let changes = falls_silent || is_back;
        changes.then(|| BrokerImage { fenced: falls_silent, suspect: falls_silent, ..(**broker).clone() })
    });
    changed.map(|broker| Item { ops: vec![fence(ctx.image), put(ctx, broker)], result: () }).collect()
}

/// Ends a broker's registration (`ReplicationControlManager.unregisterBroker`); one that lives registers again. A registration here goes
/// with its session, so a broker that stopped and is named by partitions still counts as one that is ended.
///
/// # Errors
/// BROKER_ID_NOT_REGISTERED if nobody knows it.
pub fn unregister_broker(ctx: &Ctx<'_>, broker: BrokerId) -> Result<Vec<Op>, Refusal> {
    if ctx.image.broker(broker).is_some() {
        Ok(vec![fence(ctx.image), Op::delete(paths::broker(broker), ANY_VERSION)])
    } else if is_registered(ctx.image, broker) {
        Ok(Vec::new())
    } else {
        let message = format!("Broker ID {} is not currently registered", broker.0);
        Err(Refusal::new(ResponseError::BrokerIdNotRegistered, message))
    }
}

/// Gives leadership back to the first replica of each partition where that is in sync (`auto.leader.rebalance.enable`).
pub fn prefer(ctx: &Ctx<'_>) -> Plan<()> {
    let mut ops = Vec::new();
    for topic in ctx.image.topics() {
        for partition in &topic.partitions {
            let Some(preferred) = partition.replicas.first().copied() else { continue };
            let moves = partition.leader.is_some_and(|leader| leader != preferred);
            if moves && partition.isr.contains(&preferred) && is_live(ctx.image, partition, preferred) {
                ops.push(super::elections::lead(ctx.image, &topic.name, partition, preferred));
            }
        }
    }
    together(ctx, &ops)
}

pub(super) fn put(ctx: &Ctx<'_>, broker: BrokerImage) -> Op {
    Op::set(paths::broker(broker.id), to_json(&BrokerNode::new(&broker, ctx.now.0)), ANY_VERSION)
}

pub(super) fn together(ctx: &Ctx<'_>, ops: &[Op]) -> Plan<()> {
    let item = |ops: &[Op]| Item { ops: [&[fence(ctx.image)], ops].concat(), result: () };
    ops.chunks(PARTITIONS_TOGETHER).map(item).collect()
}

pub(super) fn changes(
    ctx: &Ctx<'_>,
    topic: &TopicImage,
    which: &dyn Fn(&PartitionImage) -> bool,
    live: Live<'_>,
    distrusted: Option<BrokerId>,
    ops: &mut Vec<Op>,
) {
    let (image, rules) = (ctx.image, ctx.rules);
    let mut known = None;
    for partition in topic.partitions.iter().filter(|partition| partition.replicas.len() > 1) {
        if !which(partition) || is_settled(partition, live, distrusted) {
            continue;
        }
        let (rules, eligible) = known
            .get_or_insert_with(|| (rules.replication(image, &topic.name), keeps_eligible_replicas(image)));
        let ground = Ground {
            controller_epoch: image.controller_epoch,
            eligible: *eligible,
            live,
            min_in_sync: rules.min_in_sync,
            unclean: rules.unclean_election && !may_return(image, partition),
        };
        let isr = partition.isr.iter().copied().filter(|id| live(partition, *id)).collect();
        if let Some(state) = next_state(&ground, partition, isr, distrusted) {
            ops.push(write(&topic.name, partition, &state));
        }
    }
}

/// One who has everything that was committed may be back at once, so that nothing need be given up.
fn may_return(image: &MetadataImage, partition: &PartitionImage) -> bool {
    let mut complete = partition.isr.iter().chain(&partition.elr).chain(&partition.last_known_elr);
    complete.any(|id| image.broker(*id).is_some_and(|broker| broker.suspect))
}

fn is_settled(partition: &PartitionImage, live: Live<'_>, distrusted: Option<BrokerId>) -> bool {
    partition.leader.is_some_and(|id| live(partition, id))
        && partition.isr.iter().all(|id| live(partition, *id))
        && distrusted.is_none_or(|id| !partition.elr.contains(&id) && !partition.isr.contains(&id))
}

#[cfg(test)]
mod tests {
    use super::super::testing::Stage;
    use super::*;

    const BOTH: [BrokerId; 2] = [BrokerId(2), BrokerId(3)];

    fn stage() -> Stage {
        let mut stage = Stage::with_brokers(&[1, 2, 3]);
        stage.finalize("eligible.leader.replicas.version", 1);
        stage.create_on("t", &[2, 3]);
        stage
    }

    fn put_in_order(stage: &mut Stage, silent: &[BrokerId]) {
        let silent: BTreeSet<_> = silent.iter().copied().collect();
        let plan = suspect(&stage.ctx(), &silent, &silent);
        stage.run(plan);
        let plan = fail_over(&stage.ctx());
        stage.run(plan);
    }

    fn state(stage: &Stage) -> (Option<BrokerId>, Vec<BrokerId>, Vec<BrokerId>) {
        let partition = &stage.image.topic("t").unwrap().partitions[0];
        (partition.leader, partition.isr.clone(), partition.elr.clone())
    }

    #[test]
    fn a_suspect_leads_nothing_and_keeps_its_epoch_when_it_is_heard_again() {
        let mut stage = stage();
        let epoch = stage.image.broker(BOTH[0]).unwrap().epoch;
        assert_eq!(state(&stage), (Some(BOTH[0]), BOTH.to_vec(), vec![]));
        put_in_order(&mut stage, &BOTH[..1]);
        assert!(stage.image.broker(BOTH[0]).unwrap().fenced);
        assert_eq!(state(&stage), (Some(BOTH[1]), vec![BOTH[1]], vec![]));
        put_in_order(&mut stage, &[]);
        let back = stage.image.broker(BOTH[0]).unwrap();
        assert_eq!((back.epoch, back.fenced, back.suspect), (epoch, false, false));
        assert_eq!(state(&stage).0, Some(BOTH[1]), "it has to catch up first");
    }

    #[test]
    fn nobody_is_elected_unclean_while_one_that_has_everything_may_return() {
        let mut stage = stage();
        stage.unclean("t");
        put_in_order(&mut stage, &BOTH[1..]);
        assert_eq!(state(&stage), (Some(BOTH[0]), vec![BOTH[0]], vec![]));
        put_in_order(&mut stage, &[]);
        // In sync is only the leader; now its link goes.
        put_in_order(&mut stage, &BOTH[..1]);
        assert_eq!(state(&stage), (None, vec![], vec![BOTH[0]]));
        put_in_order(&mut stage, &[]);
        assert_eq!(state(&stage), (Some(BOTH[0]), vec![BOTH[0]], vec![]));
        // Its session is over: the topic asks for the one that is left.
        let gone = |partition: &PartitionImage, id| id != BOTH[0] && is_live(&stage.image, partition, id);
        let mut ops = Vec::new();
        changes(&stage.ctx(), stage.image.topic("t").unwrap(), &|_| true, &gone, None, &mut ops);
        stage.commit(ops);
        assert_eq!(state(&stage), (Some(BOTH[1]), vec![BOTH[1]], vec![]));
    }

    #[test]
    fn a_partition_without_a_leader_gets_one_when_its_topic_comes_to_ask_for_it() {
        let mut stage = stage();
        put_in_order(&mut stage, &BOTH[1..]);
        // The one in sync goes for good, the other comes back.
        let ops = unregister_broker(&stage.ctx(), BOTH[0]).unwrap();
        stage.commit(ops);
        put_in_order(&mut stage, &[]);
        assert_eq!(state(&stage), (None, vec![], vec![BOTH[0]]));
        let before = stage.image.clone();
        stage.unclean("t");
        assert!(before.has_configs_of(&before) && !stage.image.has_configs_of(&before));
        put_in_order(&mut stage, &[]);
        assert_eq!(state(&stage), (Some(BOTH[1]), vec![BOTH[1]], vec![]));
    }

    #[test]
    fn an_unregistered_broker_is_gone_and_one_that_nobody_knows_is_refused() {
        let mut stage = stage();
        let refusal = unregister_broker(&stage.ctx(), BrokerId(9)).unwrap_err();
        assert_eq!(refusal.code, ResponseError::BrokerIdNotRegistered);
        let ops = unregister_broker(&stage.ctx(), BOTH[0]).unwrap();
        stage.commit(ops);
        put_in_order(&mut stage, &[]);
        assert!(stage.image.broker(BOTH[0]).is_none());
        assert_eq!(state(&stage).0, Some(BOTH[1]));
        assert_eq!(unregister_broker(&stage.ctx(), BOTH[0]).unwrap(), vec![], "partitions still name it");
    }

    #[test]
    fn a_broker_that_stops_is_not_taken_back_because_it_is_heard() {
        let mut stage = stage();
        let plan = shut_down(&stage.ctx(), BOTH[0]).unwrap();
        stage.run(plan);
        put_in_order(&mut stage, &[]);
        assert!(stage.image.broker(BOTH[0]).unwrap().fenced);
        put_in_order(&mut stage, &BOTH[..1]);
        put_in_order(&mut stage, &[]);
        assert!(stage.image.broker(BOTH[0]).unwrap().fenced);
    }
}
