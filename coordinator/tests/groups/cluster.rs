//! The cluster that a group shard sees: topics, racks and configs, made through the tree as a controller makes them.
//!
//! Must never make an image by hand: what cannot come from the tree is no image.

use milena_coordinator::image::nodes::{BrokerNode, ConfigNodeJson, TopicNode, to_json, topic_id_text};
use milena_coordinator::image::{
    BrokerImage, ConfigKind, Configs, Endpoint, MetadataImage, SecurityProtocol, paths,
};
use milena_coordinator::tree::{ANY_VERSION, Command, Op, Tree, Zxid};
use milena_storage::ids::{BrokerId, Timestamp};
use uuid::Uuid;

#[derive(Clone)]
pub(crate) struct Cluster {
    tree: Tree,
    image: MetadataImage,
    topics: u128,
}

impl Default for Cluster {
    fn default() -> Self {
        Self { tree: Tree::new(), image: MetadataImage::default(), topics: 0 }
    }
}

impl Cluster {
    pub(crate) fn image(&self) -> &MetadataImage {
        &self.image
    }

    pub(crate) fn topic_id(&self, name: &str) -> Option<Uuid> {
        self.image.topic(name).map(|topic| topic.id)
    }

    /// Ids count up from 1; without partitions the topic goes. Partition `p` is on broker `p` modulo 2.
    pub(crate) fn put_topic(&mut self, name: &str, partitions: i32) {
        if partitions == 0 {
            self.apply(vec![Op::delete(paths::topic(name), ANY_VERSION)]);
            return;
        }
        let id = self.topic_id(name).unwrap_or_else(|| {
            self.topics += 1;
            Uuid::from_u128(self.topics)
        });
        let node = TopicNode {
            version: 3,
            partitions: (0..partitions).map(|index| (index, vec![index % 2])).collect(),
            topic_id: topic_id_text(id),
            ..TopicNode::default()
        };
        self.put(&paths::topic(name), to_json(&node));
    }

    pub(crate) fn put_rack(&mut self, broker: i32, rack: &str) {
        let endpoint = Endpoint {
            listener: "PLAINTEXT".to_owned(),
            host: "h".to_owned(),
            port: 9092,
            protocol: SecurityProtocol::Plaintext,
        };
        let broker = BrokerImage {
            id: BrokerId(broker),
            epoch: 0,
            endpoints: vec![endpoint],
            rack: Some(rack.to_owned()),
            fenced: false,
            suspect: false,
            directory: None,
            log_dirs: Vec::new(),
            cordoned: false,
            features: Default::default(),
        };
        self.put(&paths::broker(broker.id), to_json(&BrokerNode::new(&broker, 0)));
    }

    pub(crate) fn put_config(&mut self, kind: ConfigKind, name: &str, configs: Configs) {
        self.put(&paths::config(kind, name), to_json(&ConfigNodeJson::new(configs)));
    }

    fn put(&mut self, path: &str, data: Vec<u8>) {
        let mut ops = Vec::new();
        let ends = path.match_indices('/').map(|(at, _)| at).skip(1);
        for parent in ends.map(|end| &path[..end]).filter(|parent| self.tree.get(parent).is_none()) {
            ops.push(Op::create(parent, Vec::new()));
        }
        let known = self.tree.get(path).is_some();
        ops.push(if known { Op::set(path, data, ANY_VERSION) } else { Op::create(path, data) });
        self.apply(ops);
    }

    fn apply(&mut self, ops: Vec<Op>) {
        let zxid = Zxid(self.tree.zxid().0 + 1);
        let (outcome, changes) = self.tree.apply(zxid, &Command::multi(Timestamp(0), ops));
        assert!(!changes.is_empty(), "{outcome:?}");
        self.image = self.image.apply(&self.tree, &changes).0;
    }
}
