//! An image that follows the tree equals one that is built from it, whatever happens to the tree.
//!
//! Must never assume that the controller wrote the tree: hand-made and unreadable nodes are part of it.

use milena_storage::ids::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::tree::{ANY_VERSION, Command, Op, Tree};

/// The ids get letters for the topic's name: two topics never have the same.
const TOPIC_0: &str = r#"{"version":3,"partitions":{"0":[1],"1":[1,2]},"topic_id":"ID__v4ZyTdyRHoXTtgxK9w"}"#;
const TOPIC_1: &str =
    r#"{"version":3,"partitions":{"0":[2]},"topic_id":"ID__MpGlS2-16sigHrAypg","adding_replicas":{"0":[3]}}"#;
const STATE: &str = r#"{"version":1,"leader":1,"leader_epoch":2,"controller_epoch":1,"isr":[1]}"#;
const BROKER: &str =
    r#"{"version":5,"host":"h","port":9,"jmx_port":-1,"timestamp":"0","endpoints":["PLAINTEXT://h:9"]}"#;

/// Paths that matter, and what may be written there; the last of each is unreadable.
fn writes() -> impl Strategy<Value = (String, String)> {
    let topic = prop_oneof![Just("a.b"), Just("a_b"), Just("c")];
    let data = |all: &'static [&'static str]| proptest::sample::select(all);
    prop_oneof![
        (topic.clone(), data(&[TOPIC_0, TOPIC_1, "{"])).prop_map(|(t, d)| (paths::topic(t), d)),
        topic.clone().prop_map(|t| (paths::partitions(t), "")),
        (topic.clone(), 0..3i32).prop_map(|(t, p)| (paths::partition(t, p), "")),
        (topic.clone(), 0..3i32, data(&[STATE, "null"]))
            .prop_map(|(t, p, d)| (paths::partition_state(t, p), d)),
        (0..3i32, data(&[BROKER, "[]"])).prop_map(|(id, d)| (paths::broker(BrokerId(id)), d)),
        (
            proptest::sample::select(&ConfigKind::ALL[..]),
            topic,
            data(&[r#"{"version":1,"config":{"k":"v"}}"#, ""])
        )
            .prop_map(|(kind, name, d)| (paths::config(kind, name), d)),
        (0..5usize, data(&[r#"{"version":1,"config":{"producer_byte_rate":"5"}}"#, "x"])).prop_map(
            |(n, d)| {
                let entity = [
                    QuotaEntity::Client("c".into()),
                    QuotaEntity::Ip("".into()),
                    QuotaEntity::User("c".into()),
                    QuotaEntity::UserClient("c".into(), "d".into()),
                    QuotaEntity::UserClient("c".into(), "".into()),
                ];
                (paths::quotas(&entity[n]), d)
            }
        ),
        Just((paths::clients_of("c"), "")),
        data(&["1", "x"]).prop_map(|d| (paths::CONTROLLER_EPOCH.to_owned(), d)),
        data(&[r#"{"version":2,"brokerid":1,"timestamp":"0"}"#, ""])
            .prop_map(|d| (paths::CONTROLLER.to_owned(), d)),
        data(&[r#"{"version":1,"broker":1,"block_start":"0","block_end":"999"}"#, "{}"])
            .prop_map(|d| (paths::PRODUCER_IDS.to_owned(), d)),
        data(&[r#"{"version":2,"status":1,"features":{"f":{"max_version_level":3}}}"#, "7"])
            .prop_map(|d| (paths::FEATURE.to_owned(), d)),
    ]
    .prop_map(|(path, data)| {
        let letter = path.chars().last().filter(|last| last.is_alphabetic()).unwrap_or('0');
        let id = format!("{}{letter}{letter}", path.chars().filter(|c| *c == '.').count() + 10);
        (path, data.replace("ID__", &id))
    })
}

#[derive(Clone, Debug)]
enum Step {
    Create,
    Set,
    /// With everything below it.
    Delete,
}

fn ops(tree: &Tree, path: &str, data: &str, step: &Step) -> Vec<Op> {
    let data = data.to_owned();
    match step {
        Step::Create => vec![Op::create(path, data)],
        Step::Set => vec![Op::set(path, data, ANY_VERSION)],
        Step::Delete => {
            let mut below: Vec<_> =
                tree.subtree(path).map(|(path, ..)| Op::delete(path.as_ref(), ANY_VERSION)).collect();
            below.reverse();
            below
        }
    }
}

proptest! {
    #[test]
    fn following_the_tree_ends_where_reading_it_does(
        steps in proptest::collection::vec(
            (writes(), prop_oneof![3 => Just(Step::Create), 2 => Just(Step::Set), 1 => Just(Step::Delete)]),
            1..60,
        ),
        together in 1..5usize,
    ) {
        let mut tree = Tree::new();
        let folders = paths::FOLDERS.iter().map(|path| Op::create(*path, "")).collect();
        tree.apply(tree.zxid().next(1), &Command::multi(Timestamp(0), folders));
        let mut image = MetadataImage::from_tree(&tree);
        for batch in steps.chunks(together) {
            let mut changes = Vec::new();
            for ((path, data), step) in batch {
                let ops = ops(&tree, path, data, step);
                let (_, changed) = tree.apply(tree.zxid().next(1), &Command::multi(Timestamp(0), ops));
                changes.extend(changed);
            }
            let before = image.clone();
            let (next, delta) = image.apply(&tree, &changes);
            for topic in before.topics().filter(|topic| !delta.topics.contains(&topic.name)) {
                prop_assert!(Arc::ptr_eq(next.topic(&topic.name).unwrap(), topic), "an untouched topic is shared");
            }
            image = next;
            prop_assert_eq!(&image, &MetadataImage::from_tree(&tree));
        }
    }
}

#[test]
fn names_that_differ_by_dots_only_collide_while_both_or_one_are_there() {
    let mut tree = Tree::new();
    let mut image = MetadataImage::default();
    let mut commit = |ops| {
        let (_, changes) = tree.apply(tree.zxid().next(1), &Command::multi(Timestamp(0), ops));
        image = image.apply(&tree, &changes).0;
        image.clone()
    };
    commit(paths::FOLDERS.iter().map(|path| Op::create(*path, "")).collect());
    let image =
        commit(vec![Op::create(paths::topic("a.b"), TOPIC_0), Op::create(paths::topic("ab"), TOPIC_1)]);
    assert_eq!(image.colliding_topic("a_b").map(AsRef::as_ref), Some("a.b"));
    assert_eq!((image.colliding_topic("a.b"), image.colliding_topic("ab")), (None, None));
    let image = commit(vec![Op::delete(paths::topic("a.b"), ANY_VERSION)]);
    assert_eq!(image.colliding_topic("a_b"), None);
}
