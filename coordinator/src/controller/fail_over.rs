//! What the controller does by itself when brokers come and go.
//!
//! It looks at the image and not at events: a broker that is not there is in no in-sync set and leads nothing, and a partition
//! without a leader gets one as soon as somebody may lead. So it can be asked again at any time, by any controller, and
//! nothing is missed. Must never let a restarted broker keep what its earlier process had (`restart`).

use kafka_protocol::error::ResponseError;
use milena_storage::ids::BrokerId;

use super::next_state::{Ground, is_live, next_state, write};
use super::{ConfigRules, Ctx, Item, Plan, Refusal, fence};
use crate::image::nodes::{BrokerNode, to_json};
use crate::image::{MetadataImage, PartitionImage, TopicImage, paths};
use crate::tree::{ANY_VERSION, Op};

/// Partitions that change together in one multi; each is checked, so that one that has changed meanwhile fails no more than these.
const PARTITIONS_TOGETHER: usize = 500;

/// The changes that the image's live brokers ask for; none when all is as it should be.
pub fn fail_over(ctx: &Ctx<'_>) -> Plan<()> {
    let mut ops = Vec::new();
    for topic in ctx.image.topics() {
        changes(ctx.image, ctx.rules, topic, &|id| is_live(ctx.image, id), None, &mut ops);
    }
    together(ctx, &ops)
}

/// What has to be committed before a broker is registered whose earlier process may not have been seen leaving: it leads nothing
/// any more and is in sync nowhere, and if it did not stop cleanly, its word for what it has counts for nothing. Partitions that
/// are nowhere else it takes up itself afterwards (`take_up_leadership`).
pub fn restart(ctx: &Ctx<'_>, broker: BrokerId, clean: bool) -> Plan<()> {
    let mut ops = Vec::new();
    for topic in ctx.image.topics() {
        let live = |id| id != broker && is_live(ctx.image, id);
        changes(ctx.image, ctx.rules, topic, &live, (!clean).then_some(broker), &mut ops);
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
    let node = BrokerNode::new(&leaving.endpoints, leaving.rack.as_deref(), true, ctx.now.0);
    let fenced = Op::set(paths::broker(broker), to_json(&node), ANY_VERSION);
    let mut plan = vec![Item { ops: vec![fence(ctx.image), fenced], result: () }];
    plan.extend(restart(ctx, broker, true));
    Ok(plan)
}

/// Gives leadership back to the first replica of each partition where that is in sync (`auto.leader.rebalance.enable`).
pub fn prefer(ctx: &Ctx<'_>) -> Plan<()> {
    let mut ops = Vec::new();
    for topic in ctx.image.topics() {
        for partition in &topic.partitions {
            let Some(preferred) = partition.replicas.first().copied() else { continue };
            let moves = partition.leader.is_some_and(|leader| leader != preferred);
            if moves && partition.isr.contains(&preferred) && is_live(ctx.image, preferred) {
                ops.push(super::elections::lead(ctx.image, &topic.name, partition, preferred));
            }
        }
    }
    together(ctx, &ops)
}

fn together(ctx: &Ctx<'_>, ops: &[Op]) -> Plan<()> {
    let item = |ops: &[Op]| Item { ops: [&[fence(ctx.image)], ops].concat(), result: () };
    ops.chunks(PARTITIONS_TOGETHER).map(item).collect()
}

fn changes(
    image: &MetadataImage,
    rules: &dyn ConfigRules,
    topic: &TopicImage,
    live: &dyn Fn(BrokerId) -> bool,
    distrusted: Option<BrokerId>,
    ops: &mut Vec<Op>,
) {
    let mut ground = None;
    for partition in topic.partitions.iter().filter(|partition| partition.replicas.len() > 1) {
        if is_settled(partition, live, distrusted) {
            continue;
        }
        let ground = ground.get_or_insert_with(|| {
            let rules = rules.replication(image, &topic.name);
            Ground {
                controller_epoch: image.controller_epoch,
                live,
                min_in_sync: rules.min_in_sync,
                unclean: rules.unclean_election,
            }
        });
        let isr = partition.isr.iter().copied().filter(|id| live(*id)).collect();
        if let Some(state) = next_state(ground, partition, isr, distrusted) {
            ops.push(write(&topic.name, partition, &state));
        }
    }
}

fn is_settled(
    partition: &PartitionImage,
    live: &dyn Fn(BrokerId) -> bool,
    distrusted: Option<BrokerId>,
) -> bool {
    partition.leader.is_some_and(live)
        && partition.isr.iter().all(|id| live(*id))
        && distrusted.is_none_or(|id| !partition.elr.contains(&id) && !partition.isr.contains(&id))
}
