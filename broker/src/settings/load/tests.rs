//! Sources merged, faults gathered, stock files taken.

use std::path::Path;

use super::super::problem::NoteLevel;
use super::*;

/// A directory with one settings file, and its sources.
fn with_file(name: &str, text: &str) -> (tempfile::TempDir, Sources) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join(name);
    std::fs::write(&path, text).expect("a writable directory");
    (directory, Sources { file: Some(path), ..Sources::default() })
}

fn load(name: &str, text: &str) -> Loaded {
    let (_directory, sources) = with_file(name, text);
    sources.load().unwrap_or_else(|error| panic!("{error}"))
}

fn refused(name: &str, text: &str) -> Vec<Problem> {
    let (_directory, sources) = with_file(name, text);
    sources.load().expect_err("a refusal").problems
}

fn text(loaded: &Loaded, name: &str) -> String {
    loaded.settings.find(name).map(|found| found.text.to_owned()).unwrap_or_default()
}

#[test]
fn later_sources_win_over_earlier_ones_and_each_value_keeps_its_place() {
    let (_directory, mut sources) =
        with_file("server.properties", "num.partitions=2\nnode.id=3\nlog.dirs=/a");
    sources.environment = vec![
        ("KAFKA_NUM_PARTITIONS".to_owned(), "4".to_owned()),
        ("KAFKA_LOG_DIRS".to_owned(), "/b".to_owned()),
        ("HOME".to_owned(), "/root".to_owned()),
    ];
    sources.overrides = vec!["log.dirs=/c".to_owned()];
    let loaded = sources.load().expect("good settings");
    assert_eq!(text(&loaded, "num.partitions"), "4");
    assert_eq!(text(&loaded, "log.dirs"), "/c");
    assert_eq!(loaded.settings.given()["log.dirs"].source, Source::Override);
    let variable = "KAFKA_NUM_PARTITIONS".to_owned();
    assert_eq!(loaded.settings.given()["num.partitions"].source, Source::Environment { variable });
    assert!(matches!(loaded.settings.given()["node.id"].source, Source::File { line: 2, .. }));
    assert_eq!(loaded.settings.node().id.0, 3);
    assert_eq!(text(&loaded, "broker.id"), "3");
    assert_eq!(loaded.notes, []);
}

#[test]
fn every_wrong_value_is_named_at_once_with_line_value_and_remedy() {
    let problems = refused(
        "server.properties",
        "num.network.threads=many\n\nlog.segment.bytes=10\nauto.create.topics.enable=yes\ncompression.type=rar\nlistener.name.a.max.connections=few\nlisteners=HOST://:1\n",
    );
    let shown: Vec<String> =
        problems.iter().map(|problem| format!("{}: {}", problem.key, problem.what)).collect();
    assert_eq!(
        shown,
        [
            "num.network.threads: Not a number of type INT",
            "log.segment.bytes: Value must be at least 1048576",
            "auto.create.topics.enable: Expected value to be either true or false",
            "compression.type: String must be one of: uncompressed, zstd, lz4, snappy, gzip, producer",
            "listener.name.a.max.connections: Not a number of type INT",
            "listeners: No security protocol defined for listener HOST",
        ]
    );
    assert!(problems.iter().all(|problem| !problem.remedy.is_empty()));
    let error = SettingsError { problems }.to_string();
    assert!(error.starts_with("6 settings are wrong\n"), "{error}");
    assert!(error.contains("server.properties:3: log.segment.bytes=10: "), "{error}");
}

#[test]
fn secrets_are_not_repeated() {
    let problems = refused("server.properties", "ssl.key.password=hunter2\nssl.keystore.type=x\nnode.id=-4");
    assert!(problems.iter().all(|problem| !problem.to_string().contains("hunter2")));
    assert_eq!(shown("listener.name.a.ssl.keystore.password", "x"), "[hidden]");
    assert_eq!(shown("node.id", "1"), "1");
}

#[test]
fn unknown_names_are_kept_with_one_warning_and_the_nearest_name() {
    let loaded = load("server.properties", "log.retention.hour=5\nsuper.users=User:a");
    assert_eq!(loaded.notes.len(), 1);
    assert_eq!(loaded.notes[0].level, NoteLevel::Warning);
    assert!(loaded.notes[0].text.contains("did you mean log.retention.hours?"), "{:?}", loaded.notes);
    assert_eq!(text(&loaded, "log.retention.hour"), "5");
}

#[test]
fn zookeeper_keys_are_left_aside_with_one_warning() {
    let loaded = load(
        "server.properties",
        "broker.id=5\nzookeeper.connect=localhost:2181\nzookeeper.connection.timeout.ms=18000\n\
         inter.broker.protocol.version=3.5\n",
    );
    assert_eq!(loaded.notes.len(), 1, "{:?}", loaded.notes);
    assert!(loaded.notes[0].text.contains("zookeeper.connect,"));
    assert_eq!(loaded.settings.node().id.0, 5);
}

#[test]
fn a_name_set_twice_is_warned_of_and_the_last_holds() {
    let loaded = load("server.properties", "num.partitions=1\nnum.partitions=2");
    assert_eq!(loaded.settings.topic_defaults().partitions, 2);
    assert!(loaded.notes[0].text.contains("set twice"));
}

#[test]
fn trailing_commas_and_empty_variables_are_forgiven() {
    let (_directory, mut sources) = with_file("server.properties", "log.dirs=/a, /b,\n");
    sources.environment = vec![("KAFKA_NUM_PARTITIONS".to_owned(), String::new())];
    let loaded = sources.load().expect("good settings");
    assert_eq!(loaded.settings.storage().dirs, [PathBuf::from("/a"), PathBuf::from("/b")]);
    assert_eq!(loaded.settings.topic_defaults().partitions, 1);
}

#[test]
fn toml_and_properties_mean_the_same() {
    let toml = load("milena.toml", "node.id = 7\n[log]\nretention.ms = -1\ndirs = [\"/a\", \"/b\"]\n");
    let properties = load("x.properties", "node.id=7\nlog.retention.ms=-1\nlog.dirs=/a,/b");
    let texts = |loaded: &Loaded| {
        let given = loaded.settings.given().iter();
        given.map(|(name, given)| (name.clone(), given.text.clone())).collect::<Vec<_>>()
    };
    assert_eq!(texts(&toml), texts(&properties));
}

#[test]
fn what_is_not_there_yet_is_refused_and_never_pretended() {
    let keys = |text: &str| {
        refused("server.properties", text).into_iter().map(|problem| problem.key).collect::<Vec<_>>()
    };
    let of_controllers = "listeners=PLAINTEXT://:9092,SSL://:9093\ncontroller.listener.names=SSL";
    assert_eq!(keys(of_controllers), ["listeners"]);
    assert_eq!(keys("authorizer.class.name=x.Y"), ["authorizer.class.name"]);
    assert_eq!(keys("config.providers=env"), ["config.providers"]);
    assert_eq!(keys("node.id=1\nbroker.id=2"), ["broker.id"]);
}

#[test]
fn roles_voters_and_listeners_have_to_fit_and_other_machines_need_a_secret() {
    let keys = |text: &str| {
        refused("server.properties", text).into_iter().map(|problem| problem.key).collect::<Vec<_>>()
    };
    let controller =
        "controller.listener.names=C\nlistener.security.protocol.map=C:PLAINTEXT,PLAINTEXT:PLAINTEXT\n";
    let combined = format!("{controller}listeners=PLAINTEXT://:1,C://:2\n");
    let voters = "controller.quorum.voters=1@a:1,2@b:1,3@c:1\n";
    assert_eq!(keys(&format!("{combined}{voters}")), ["milena.cluster.secret"]);
    let local = "controller.quorum.voters=1@localhost:1,2@127.0.0.1:3,3@[::1]:1\n";
    assert_eq!(load("server.properties", &format!("{combined}{local}")).notes, []);
    assert_eq!(load("server.properties", &format!("{combined}{voters}milena.cluster.secret=x")).notes, []);
    assert_eq!(keys(&format!("{combined}controller.quorum.voters=2@a:1")), ["controller.quorum.voters"]);
    assert_eq!(keys(&format!("{combined}controller.quorum.voters=1@a")), ["controller.quorum.voters"]);
    assert_eq!(keys(local), ["listeners"], "nobody could reach this voter");
    assert_eq!(keys("process.roles=controller"), ["listeners"]);
    assert_eq!(keys(&format!("process.roles=controller\n{combined}")), ["listeners"]);
    let alone = format!("process.roles=controller\n{controller}listeners=C://:2");
    assert_eq!(load("server.properties", &alone).notes, []);
    assert_eq!(keys("process.roles=broker"), ["process.roles"]);
    assert_eq!(keys(&format!("process.roles=broker\nnode.id=3\n{local}")), ["controller.quorum.voters"]);
    let broker = "process.roles=broker\nnode.id=4\ncontroller.listener.names=C\n";
    assert_eq!(load("server.properties", &format!("{broker}{local}")).notes, []);
    assert_eq!(
        keys(&format!("process.roles=broker\nnode.id=4\n{combined}{local}")),
        ["controller.listener.names"]
    );
}

#[test]
fn a_file_that_is_missing_or_malformed_is_one_fault_with_a_remedy() {
    let sources =
        Sources { file: Some(PathBuf::from("/nonexistent/server.properties")), ..Sources::default() };
    let problems = sources.load().expect_err("no file").problems;
    assert!(problems[0].to_string().contains("/nonexistent/server.properties"), "{}", problems[0]);
    assert_eq!(refused("milena.toml", "a = \nb = 1").len(), 1);
    let bad = Sources { overrides: vec!["nothing".to_owned()], ..Sources::default() };
    assert!(bad.load().expect_err("no pair").problems[0].what.contains("nothing"));
}

#[test]
fn settings_without_effect_are_named_when_they_differ_from_their_defaults() {
    let loaded =
        load("server.properties", "num.io.threads=8\nnum.replica.fetchers=1\nlog.cleaner.enable=true");
    assert_eq!(loaded.notes, []);
    let loaded = load("server.properties", "kafka.metrics.polling.interval.secs=5");
    assert_eq!(loaded.notes[0].level, NoteLevel::Info);
    assert!(loaded.notes[0].text.contains("kafka.metrics.polling.interval.secs"));
}

#[test]
fn every_file_that_is_shipped_starts_a_broker_without_a_warning() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config");
    let mut count = 0;
    let entries = std::fs::read_dir(folder).expect("the folder of shipped files");
    let paths = entries.map(|entry| entry.expect("a readable folder").path());
    for path in paths.filter(|path| path.is_file()) {
        let sources = Sources { file: Some(path.clone()), ..Sources::default() };
        let loaded = sources.load().unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(loaded.notes.iter().all(|note| note.level == NoteLevel::Info), "{:?}", loaded.notes);
        count += 1;
    }
    assert!(count >= 2, "only {count} files in config/");
}

#[test]
fn the_own_address_is_one_that_a_client_can_use() {
    assert!(!own_address().is_unspecified());
}
