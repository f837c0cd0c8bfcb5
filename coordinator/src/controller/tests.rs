//! What holds of every decision, whatever it is about: it rests on the epoch of the controller that made it (rule 3 of replication).
//!
//! Must never reach around the decision: operations are applied to a real tree.

use kafka_protocol::messages::alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::alter_partition_reassignments_request::{
    ReassignablePartition, ReassignableTopic,
};
use kafka_protocol::messages::alter_partition_request::{
    BrokerState, PartitionData as Proposed, TopicData as ProposedTopic,
};
use kafka_protocol::messages::alter_user_scram_credentials_request::ScramCredentialUpsertion;
use kafka_protocol::messages::assign_replicas_to_dirs_request as assigning;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::update_features_request::FeatureUpdateKey;
use kafka_protocol::messages::{
    AlterConfigsRequest, AlterPartitionReassignmentsRequest, AlterPartitionRequest,
    AlterUserScramCredentialsRequest, AssignReplicasToDirsRequest, CreatePartitionsRequest,
    CreateTopicsRequest, DeleteTopicsRequest, ElectLeadersRequest, IncrementalAlterConfigsRequest, TopicName,
    UpdateFeaturesRequest, incremental_alter_configs_request as incremental,
};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::testing::{Stage, registration};
use super::*;
use crate::image::nodes::{StateNode, to_json};
use crate::tree::ANY_VERSION;

const TOPIC_CONFIG: i8 = 2;
const UPGRADE: i8 = 1;
const DIRECTORY: Uuid = Uuid::from_u128(1 << 100);

fn text(text: &'static str) -> StrBytes {
    StrBytes::from_static_str(text)
}

fn name(name: &'static str) -> TopicName {
    text(name).into()
}

fn ops<R>(plan: Plan<R>) -> Vec<Op> {
    plan.into_iter().flat_map(|item| item.ops).collect()
}

/// `t` on brokers 2 and 3, which 2 leads; `moved`, whose preferred leader 1 does not lead; `lost`, whose leader 4 is not there.
fn stage() -> Stage {
    let mut stage = Stage::with_brokers(&[1, 2, 3]);
    stage.create_on("t", &[2, 3]);
    stage.create_on("moved", &[1, 2]);
    stage.create_on("lost", &[3, 2]);
    for (topic, leader, isr) in [("moved", 2, [1, 2]), ("lost", 4, [4, 2])] {
        let state = StateNode::new(BrokerId(leader), 1, 1, &isr.map(BrokerId));
        stage.commit(vec![Op::set(paths::partition_state(topic, 0), to_json(&state), ANY_VERSION)]);
    }
    let plan = keep_log_dirs(&stage.ctx(), BrokerId(2), &[DIRECTORY], false).unwrap();
    stage.run(plan);
    stage
}

/// What each of the controller's decisions would have done, by what was asked.
fn decisions(stage: &Stage) -> Vec<(&'static str, Vec<Op>)> {
    let (ctx, image) = (stage.ctx(), &stage.image);
    let silent = BTreeSet::from([BrokerId(3)]);
    let registration = registration(4);
    let mut all = of_topics(stage);
    all.extend(of_replicas(stage));
    all.extend([
        ("a broker's registration", register(image, &registration, Timestamp(1))),
        ("a take-over", take_over(image, BrokerId(2), Timestamp(1))),
        ("a block of producer ids", allocate_producer_ids(image, BrokerId(1)).unwrap().0),
        ("a start", ops(restart(&ctx, BrokerId(2), false))),
        ("a stop", ops(shut_down(&ctx, BrokerId(2)).unwrap())),
        ("a closed link", ops(suspect(&ctx, &silent, &silent))),
        ("a broker that is gone", ops(fail_over(&ctx))),
        ("a broker that is dismissed", unregister_broker(&ctx, BrokerId(3)).unwrap()),
        ("the turn of preferred leaders", ops(prefer(&ctx))),
        ("a lost directory", ops(keep_log_dirs(&ctx, BrokerId(2), &[], false).unwrap())),
    ]);
    all
}

fn of_topics(stage: &Stage) -> Vec<(&'static str, Vec<Op>)> {
    let mut ctx = stage.ctx();
    let topic = CreatableTopic::default().with_name(name("new")).with_num_partitions(1);
    let created = CreateTopicsRequest::default().with_topics(vec![topic.with_replication_factor(1)]);
    let grown = CreatePartitionsTopic::default().with_name(name("t")).with_count(2).with_assignments(None);
    let grown = CreatePartitionsRequest::default().with_topics(vec![grown]);
    let deleted = DeleteTopicsRequest::default().with_topic_names(vec![name("t")]);
    let config = AlterableConfig::default().with_name(text("k")).with_value(Some(text("v")));
    let configs =
        AlterConfigsResource::default().with_resource_type(TOPIC_CONFIG).with_resource_name(text("t"));
    let configs = AlterConfigsRequest::default().with_resources(vec![configs.with_configs(vec![config])]);
    let set = incremental::AlterableConfig::default().with_name(text("k")).with_value(Some(text("v")));
    let one = incremental::AlterConfigsResource::default().with_resource_type(TOPIC_CONFIG);
    let one = one.with_resource_name(text("t")).with_configs(vec![set]);
    let one = IncrementalAlterConfigsRequest::default().with_resources(vec![one]);
    let user = ScramCredentialUpsertion::default().with_name(text("u")).with_mechanism(1);
    let user = user.with_iterations(4096).with_salt(vec![1].into()).with_salted_password(vec![1; 32].into());
    let user = AlterUserScramCredentialsRequest::default().with_upsertions(vec![user]);
    let feature = FeatureUpdateKey::default().with_feature(text("group.version"));
    let feature = feature.with_max_version_level(1).with_upgrade_type(UPGRADE);
    let feature = UpdateFeaturesRequest::default().with_feature_updates(vec![feature]);
    vec![
        ("a new topic", ops(create_topics(&mut ctx, &created).unwrap())),
        ("more partitions", ops(create_partitions(&mut ctx, &grown))),
        ("the end of a topic", ops(delete_topics(&mut ctx, &deleted))),
        ("all configs", ops(alter_configs(&ctx, &configs))),
        ("one config", ops(incremental_alter_configs(&ctx, &one))),
        ("a password", ops(alter_user_scram_credentials(&mut ctx, &user))),
        ("a feature", update_features(&ctx, &feature).ops),
    ]
}

fn of_replicas(stage: &Stage) -> Vec<(&'static str, Vec<Op>)> {
    let (ctx, image) = (stage.ctx(), &stage.image);
    let (topic, leader) = (image.topic("t").unwrap(), image.broker(BrokerId(2)).unwrap());
    let member = BrokerState::default().with_broker_id(2.into()).with_broker_epoch(leader.epoch);
    let alone = Proposed::default()
        .with_leader_epoch(topic.partitions[0].leader_epoch.0)
        .with_partition_epoch(topic.partitions[0].partition_epoch)
        .with_new_isr_with_epochs(vec![member]);
    let alone = ProposedTopic::default().with_topic_id(topic.id).with_partitions(vec![alone]);
    let alone = AlterPartitionRequest::default()
        .with_broker_id(2.into())
        .with_broker_epoch(leader.epoch)
        .with_topics(vec![alone]);
    let moved = ReassignablePartition::default().with_replicas(Some(vec![1.into(), 2.into()]));
    let moved = ReassignableTopic::default().with_name(name("t")).with_partitions(vec![moved]);
    let moved = AlterPartitionReassignmentsRequest::default().with_topics(vec![moved]);
    let placed = assigning::TopicData::default()
        .with_topic_id(topic.id)
        .with_partitions(vec![assigning::PartitionData::default()]);
    let placed = assigning::DirectoryData::default().with_id(DIRECTORY).with_topics(vec![placed]);
    let placed = AssignReplicasToDirsRequest::default()
        .with_broker_id(2.into())
        .with_broker_epoch(leader.epoch)
        .with_directories(vec![placed]);
    let preferred = ElectLeadersRequest::default().with_topic_partitions(None);
    vec![
        ("an in-sync set", ops(alter_partition(&ctx, &alone).unwrap())),
        ("a move", alter_partition_reassignments(&ctx, &moved).ops),
        ("a replica's directory", ops(assign_replicas_to_dirs(&ctx, &placed).unwrap())),
        ("an election", elect_leaders(&ctx, &preferred).unwrap().ops),
    ]
}

#[test]
fn what_a_deposed_controller_decided_changes_nothing() {
    let mut stage = stage();
    let decided = decisions(&stage);
    for (what, ops) in &decided {
        assert!(!ops.is_empty(), "{what}: nothing was decided");
        self::stage().commit(ops.clone());
    }
    let next = take_over(&stage.image, BrokerId(2), Timestamp(1));
    stage.commit(next);
    let mut before = stage.image.clone();
    for (what, ops) in decided {
        let refused = stage.try_commit(ops).expect_err(what);
        assert_eq!((refused.index, refused.path.as_str()), (0, paths::CONTROLLER_EPOCH), "rule 3: {what}");
    }
    // Refused operations are in the log, too.
    before.zxid = stage.image.zxid;
    assert_eq!(stage.image, before);
}
