//! `kafka-dump-log` over every kind of file that a partition has: of a log with transactions, of a compacted one, and of
//! the internal topics.
//!
//! Must never leave a file out: one of an unknown kind fails the test.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use milena_compat_tests::{Server, Target, wait};

use super::transactions::{KEYS, Producer};
use super::{COMPLAINTS, assert_sound, await_cleaned, dump, setup};

const ROUNDS: usize = 12;
/// Records of one round and its marker.
const ROUND: usize = KEYS + 1;

/// The files of a partition by the end of their names.
fn files(server: &Server, topic: &str) -> BTreeMap<String, Vec<PathBuf>> {
    let mut kinds: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for entry in fs::read_dir(server.log_dir().join(format!("{topic}-0"))).expect("the partition") {
        let path = entry.expect("a readable folder").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        // Kafka leaves to its next start what was replaced just before it stopped.
        if name.ends_with(".deleted") && server.target() == Target::Kafka {
            continue;
        }
        let kind = name.split_once('.').map_or(name.as_str(), |(_, kind)| kind).to_owned();
        kinds.entry(kind).or_default().push(path);
    }
    kinds.values_mut().for_each(|paths| paths.sort());
    kinds
}

/// What the tool says of all files of one kind.
fn told(kinds: &BTreeMap<String, Vec<PathBuf>>, kind: &str, arguments: &str) -> String {
    let files = kinds.get(kind).unwrap_or_else(|| panic!("no {kind} in {kinds:?}"));
    let said = dump(files, arguments);
    for complaint in COMPLAINTS {
        assert!(!said.contains(complaint), "{complaint:?} in {said}");
    }
    assert_eq!(said.matches("Dumping ").count(), files.len(), "{said}");
    said
}

/// Offsets of the first record and of the marker of each aborted transaction that the index tells of.
fn aborted(said: &str) -> Vec<(usize, usize)> {
    let number = |line: &str, name: &str| {
        let (_, after) = line.split_once(name)?;
        after.split_whitespace().next()?.parse().ok()
    };
    let lines = said.lines().filter(|line| line.contains("producerId: "));
    lines.filter_map(|line| Some((number(line, "firstOffset: ")?, number(line, "lastOffset: ")?))).collect()
}

#[test]
fn every_kind_of_file_is_read_by_kafkas_tool() {
    let internal = ["offsets.topic.num.partitions", "transaction.state.log.num.partitions"];
    let mut server =
        internal.iter().fold(setup(Target::chosen()), |setup, name| setup.set(name, "1")).start();
    for (topic, policy) in [("kept", "delete"), ("compacted", "compact")] {
        let create = server.tool("kafka-topics").args(["--create", "--topic", topic, "--partitions", "1"]);
        create.args(["--config", &format!("cleanup.policy={policy}")]).ok();
    }
    let mut producer = Producer::new(&server);
    for round in 0..ROUNDS {
        for topic in ["kept", "compacted"] {
            producer.send(topic, &format!("round{round}"));
        }
        producer.end(round % 3 != 0);
    }
    server
        .tool("kafka-console-consumer")
        .line("--topic kept --group g --from-beginning --max-messages 10")
        .ok();
    await_cleaned(&server, "compacted", (ROUND * 6) as u64);
    wait::until(wait::PATIENCE, "the group's commit", || {
        let said = server.tool("kafka-consumer-groups").line("--describe --group g --offsets").run().text();
        said.contains("kept").then_some(())
    });
    server.stop();

    const KNOWN: [&str; 7] =
        ["log", "index", "timeindex", "txnindex", "snapshot", "leader-epoch-checkpoint", "metadata"];
    let of = |topic: &str| {
        let kinds = files(&server, topic);
        assert!(kinds.keys().all(|kind| KNOWN.contains(&kind.as_str())), "{topic}: {kinds:?}");
        kinds
    };
    let kept = of("kept");
    assert_sound(&server, "kept", ROUNDS * KEYS..ROUNDS * KEYS + 1);
    let log = told(&kept, "log", "--deep-iteration --print-data-log");
    let ends = |kind: &str| log.lines().filter(|line| line.contains(kind)).count();
    assert_eq!((ends("endTxnMarker: COMMIT"), ends("endTxnMarker: ABORT")), (8, 4), "{log}");
    let expected: Vec<_> =
        (0..ROUNDS).step_by(3).map(|round| (round * ROUND, round * ROUND + KEYS)).collect();
    assert_eq!(aborted(&told(&kept, "txnindex", "")), expected);
    let snapshot = told(&kept, "snapshot", "");
    let last = snapshot.lines().rfind(|line| line.starts_with("producerId: ")).expect("a producer");
    assert!(last.contains("currentTxnFirstOffset: OptionalLong.empty"), "{last}");

    let compacted = of("compacted");
    assert_sound(&server, "compacted", KEYS..ROUNDS * KEYS);
    told(&compacted, "log", "--deep-iteration --print-data-log");
    let left = aborted(&told(&compacted, "txnindex", ""));
    assert!(left.iter().all(|aborted| expected.contains(aborted)), "{left:?}");
    told(&compacted, "snapshot", "");

    let offsets = told(&of("__consumer_offsets"), "log", "--offsets-decoder --deep-iteration");
    assert!(offsets.contains(r#"{"group":"g","topic":"kept","partition":0}"#), "{offsets}");
    let states = told(&of("__transaction_state"), "log", "--transaction-log-decoder --deep-iteration");
    assert!(states.contains(r#""transactionalId":"t""#) && states.contains("transactionStatus"), "{states}");
    for topic in ["__consumer_offsets", "__transaction_state"] {
        let kinds = of(topic);
        told(&kinds, "index", "--index-sanity-check");
        told(&kinds, "timeindex", "--index-sanity-check");
        told(&kinds, "snapshot", "");
    }
}
