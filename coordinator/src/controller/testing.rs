//! A tree with its image and lenient config rules, on which the controller's tests act.
//!
//! Must never be compiled into the broker.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::CreateTopicsRequest;
use kafka_protocol::messages::create_topics_request::{CreatableReplicaAssignment, CreatableTopic};
use kafka_protocol::protocol::StrBytes;
use milena_storage::ids::{BrokerId, Timestamp};

use super::{
    ConfigRules, Ctx, Dice, EffectiveConfig, FirstContent, Plan, Refusal, Registration, bootstrap,
    create_topics, fence, register, supported_features, take_over,
};
use crate::image::{BrokerImage, ConfigKind, Configs, Endpoint, MetadataImage, SecurityProtocol};
use crate::tree::{Command, CommandKind, MultiError, Op, Outcome, SessionId, Tree};

/// An image that holds nothing but brokers: id, rack, fenced.
pub(super) fn brokers(list: &[(i32, Option<&str>, bool)]) -> MetadataImage {
    let mut image = MetadataImage::default();
    for (id, rack, fenced) in list {
        let (id, rack) = (BrokerId(*id), rack.map(Into::into));
        image.brokers.insert(
            id,
            BrokerImage {
                id,
                epoch: 1,
                endpoints: Vec::new(),
                rack,
                fenced: *fenced,
                suspect: false,
                directory: None,
                log_dirs: Vec::new(),
                cordoned: false,
                features: supported_features(),
            }
            .into(),
        );
    }
    image
}

/// A broker with one listener and one log directory.
pub(super) fn registration(id: i32) -> Registration {
    let endpoint = Endpoint {
        listener: "L".into(),
        host: "h".into(),
        port: 9092,
        protocol: SecurityProtocol::Plaintext,
    };
    Registration {
        broker: BrokerId(id),
        endpoints: vec![endpoint],
        rack: None,
        directory: None,
        log_dirs: Vec::new(),
        cordoned: false,
        features: supported_features(),
    }
}

/// Knows `cleanup.policy` (a list), `retention.ms` and `min.insync.replicas` (numbers) and `k`.
pub(super) struct Rules;

impl ConfigRules for Rules {
    fn check(&self, _: ConfigKind, _: &str, new: &Configs, _: &Configs) -> Result<(), Refusal> {
        for (key, value) in new {
            let refuse = |message: String| Err(Refusal::new(ResponseError::InvalidConfig, message));
            match key.as_str() {
                "cleanup.policy" | "k" => {}
                "retention.ms" | "min.insync.replicas" if value.parse::<i64>().is_ok() => {}
                "retention.ms" => return refuse(format!("Invalid value {value} for configuration {key}")),
                _ => return refuse(format!("Unknown topic config name: {key}")),
            }
        }
        Ok(())
    }

    fn is_list(&self, _: ConfigKind, key: &str) -> Option<bool> {
        ["cleanup.policy", "retention.ms", "k"].contains(&key).then_some(key == "cleanup.policy")
    }

    fn default_text(&self, _: ConfigKind, key: &str) -> Option<String> {
        (key == "cleanup.policy").then(|| "delete".into())
    }

    fn topic_configs(&self, _: &MetadataImage, overrides: &Configs) -> Vec<EffectiveConfig> {
        let line = |(name, value): (&String, &String)| EffectiveConfig {
            name: name.clone(),
            value: Some(value.clone()),
            read_only: false,
            source: 1,
            sensitive: false,
        };
        overrides.iter().map(line).collect()
    }

    fn default_partitions(&self) -> i32 {
        2
    }

    fn default_replication_factor(&self) -> i16 {
        1
    }
}

/// The tree, and the image that follows it change by change.
pub(crate) struct Stage {
    pub(crate) tree: Tree,
    pub(crate) image: MetadataImage,
    session: SessionId,
}

impl Stage {
    /// A cluster with these brokers; the first is the controller.
    pub(crate) fn with_brokers(ids: &[i32]) -> Self {
        let mut stage = Self { tree: Tree::new(), image: MetadataImage::default(), session: SessionId::NONE };
        let first = FirstContent { cluster_id: "AAAAAAAAAAAAAAAAAAAAAA".into(), ..FirstContent::default() };
        stage.commit(bootstrap(|_| false, first));
        for (i, id) in ids.iter().enumerate() {
            stage.start_broker(*id, i == 0);
        }
        stage
    }

    pub(crate) fn ctx(&self) -> Ctx<'_> {
        // Topics get ids of their own.
        let seed = u64::try_from(self.image.topics().count()).unwrap_or(0) + 1;
        let (rules, dice) = (&Rules, Dice::new(seed));
        Ctx { image: &self.image, rules, node: BrokerId(1), now: Timestamp(1), dice, allowance: None }
    }

    /// Applies a decision's operations; the tree must take them.
    pub(crate) fn commit(&mut self, ops: Vec<Op>) {
        if !ops.is_empty() {
            self.try_commit(ops).unwrap();
        }
    }

    pub(crate) fn try_commit(&mut self, ops: Vec<Op>) -> Result<(), MultiError> {
        match self.apply(CommandKind::Multi(ops)) {
            Outcome::Multi(result) => result.map(|_| ()),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn restart_broker(&mut self, id: i32) {
        self.apply(CommandKind::CloseSession { id: self.session });
        self.session = SessionId::NONE;
        self.start_broker(id, true);
    }

    /// Applies the operations of every item, each of which has to begin with the fence, and returns the answers.
    pub(crate) fn run<R>(&mut self, plan: Plan<R>) -> Vec<R> {
        let fence = fence(&self.image);
        plan.into_iter()
            .map(|item| {
                assert!(item.ops.first().is_none_or(|op| *op == fence), "rule 3: {:?}", item.ops);
                self.commit(item.ops);
                item.result
            })
            .collect()
    }

    /// Creates a topic with as many partitions, one replica each.
    pub(crate) fn create(&mut self, name: &str, partitions: i32) {
        let topic = CreatableTopic::default()
            .with_name(StrBytes::from_string(name.into()).into())
            .with_num_partitions(partitions)
            .with_replication_factor(1);
        let plan =
            create_topics(&mut self.ctx(), &CreateTopicsRequest::default().with_topics(vec![topic])).unwrap();
        assert_eq!(self.run(plan)[0].error_code, 0);
    }

    /// Creates a topic with one partition on these brokers.
    pub(crate) fn create_on(&mut self, name: &str, replicas: &[i32]) {
        let replicas = replicas.iter().map(|id| (*id).into()).collect();
        let assignment =
            CreatableReplicaAssignment::default().with_partition_index(0).with_broker_ids(replicas);
        let topic = CreatableTopic::default()
            .with_name(StrBytes::from_string(name.into()).into())
            .with_num_partitions(-1)
            .with_replication_factor(-1)
            .with_assignments(vec![assignment]);
        let plan =
            create_topics(&mut self.ctx(), &CreateTopicsRequest::default().with_topics(vec![topic])).unwrap();
        assert_eq!(self.run(plan)[0].error_code, 0);
    }

    pub(crate) fn finalize(&mut self, feature: &str, level: i16) {
        let levels = [(feature.to_owned(), level)];
        let node = crate::image::nodes::to_json(&crate::image::nodes::FeatureNode::new(levels));
        self.commit(vec![Op::set(crate::image::paths::FEATURE, node, crate::tree::ANY_VERSION)]);
    }

    /// The topic asks for unclean elections from now on.
    pub(crate) fn unclean(&mut self, name: &str) {
        let configs = Configs::from([("unclean.leader.election.enable".to_owned(), "true".to_owned())]);
        let node = crate::image::nodes::ConfigNodeJson::new(configs);
        let path = crate::image::paths::config(ConfigKind::Topic, name);
        self.commit(vec![Op::create(path, crate::image::nodes::to_json(&node))]);
    }

    fn start_broker(&mut self, id: i32, controls: bool) {
        let Outcome::SessionOpened(session) = self.apply(CommandKind::OpenSession { timeout_millis: 1000 })
        else {
            panic!("a session opens")
        };
        self.session = session;
        if controls {
            let ops = take_over(&self.image, BrokerId(id), Timestamp(1));
            self.commit(ops);
        }
        let ops = register(&self.image, &registration(id), Timestamp(1));
        self.commit(ops);
    }

    fn apply(&mut self, kind: CommandKind) -> Outcome {
        let zxid = self.tree.zxid().next(1);
        let session = if matches!(kind, CommandKind::Multi(_)) { self.session } else { SessionId::NONE };
        let command = Command { session, time: Timestamp(1), kind };
        let (outcome, changes) = self.tree.apply(zxid, &command);
        (self.image, _) = self.image.apply(&self.tree, &changes);
        assert_eq!(self.image, MetadataImage::from_tree(&self.tree), "the image followed {changes:?}");
        outcome
    }
}
