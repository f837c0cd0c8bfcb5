//! The ensemble from its handle: restarts, group commit, crashes at every step, damage.

mod sim;

use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};

use milena_storage::StorageError;
use milena_storage::fs::{Open, RealFs, SimFault, SimFs};
use parking_lot::Mutex;
use proptest::prelude::*;
use tokio::runtime::{Builder, Runtime};

use super::*;
use crate::tree::{ANY_VERSION, Change, Code, Guards, Mode, MultiError, open_acl};

type Heard = (Zxid, Vec<Change>);

/// Keeps what an observer heard.
#[derive(Clone, Default)]
struct Ear(Arc<Mutex<Vec<Heard>>>);

impl Observer for Ear {
    fn applied(&mut self, tree: &Tree, changes: &[Change], zxid: Zxid) {
        assert_eq!(tree.zxid(), zxid);
        self.0.lock().push((zxid, changes.to_vec()));
    }
}

fn runtime() -> Rt {
    Rt(tokio_runtime())
}

/// A runtime in which openraft's random numbers follow from a seed.
struct Rt(Runtime);

impl Rt {
    fn block_on<F: Future>(&self, work: F) -> F::Output {
        self.0.block_on(raft_types::Runtime::scope(1, work))
    }
}

fn tokio_runtime() -> Runtime {
    Builder::new_current_thread().enable_time().build().unwrap()
}

fn settings(fs: Arc<dyn Fs>, dir: &Path) -> raft::Settings {
    let ticks = AtomicI64::new(0);
    let now = Arc::new(move || Timestamp(ticks.fetch_add(1, Ordering::Relaxed)));
    raft::Settings { node_id: 1, dir: dir.join(DIRECTORY), fs, now, ..raft::Settings::default() }
}

async fn start(fs: &SimFs) -> Result<Ensemble, StartError> {
    start_heard(fs, Ear::default()).await
}

async fn start_heard(fs: &SimFs, ear: Ear) -> Result<Ensemble, StartError> {
    fs.create_dir_all(Path::new("/data")).unwrap();
    Ensemble::start_with(settings(Arc::new(fs.clone()), Path::new("/data")), Box::new(ear)).await
}

fn names(ensemble: &Ensemble, path: &str) -> Vec<String> {
    ensemble.with_tree(|tree| tree.children(path).map(str::to_owned).collect())
}

#[test]
fn a_lone_voter_leads_at_once_and_keeps_everything_over_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let begin = || Ensemble::start_with(settings(Arc::new(RealFs), dir.path()), Box::new(Ear::default()));
    let mut last = Zxid::default();
    let mut before = Vec::new();
    for round in 0..5 {
        runtime().block_on(async {
            let ensemble = begin().await.unwrap();
            assert_eq!(
                ensemble.with_tree(Tree::encode),
                if round == 0 { Tree::new().encode() } else { before.clone() }
            );
            for item in 0..10 {
                let ops = vec![Op::create(format!("/{round}-{item}"), "x"), Op::check("/", ANY_VERSION)];
                let applied = ensemble.propose(ops).await.unwrap();
                assert!(applied.zxid > last);
                last = applied.zxid;
            }
            let quorum = ensemble.quorum();
            assert_eq!((quorum.leader, quorum.voters.len()), (Some(1), 1));
            before = ensemble.with_tree(Tree::encode);
            // Every other round ends like a kill: the runtime is dropped with everything in it.
            if round % 2 == 0 {
                ensemble.stop().await.unwrap();
            }
        });
    }
}

fn created(path: &str) -> Change {
    let open = Guards { node: open_acl(), parent: open_acl() };
    Change::Created(path.into(), open)
}

#[test]
fn the_observer_hears_the_whole_tree_first_and_each_change_before_its_proposer() {
    let fs = SimFs::new();
    for restarted in [false, true] {
        runtime().block_on(async {
            let ear = Ear::default();
            let ensemble = start_heard(&fs, ear.clone()).await.unwrap();
            let heard = ear.0.lock().clone();
            assert_eq!(heard, [(ensemble.with_tree(Tree::zxid), vec![])]);
            let path = format!("/restarted-{restarted}");
            let applied = ensemble.propose(vec![Op::create(path.as_str(), "")]).await.unwrap();
            let heard = ear.0.lock().last().cloned().unwrap();
            assert_eq!(heard, (applied.zxid, vec![created(&path)]));
            ensemble.propose(vec![Op::create(path.as_str(), "")]).await.unwrap_err();
            assert_eq!(ear.0.lock().len(), 2, "a refused multi changes nothing and is not told");
            ensemble.stop().await.unwrap();
        });
    }
}

#[test]
fn a_refused_multi_names_the_operation_and_changes_nothing() {
    runtime().block_on(async {
        let ensemble = start(&SimFs::new()).await.unwrap();
        let ops = vec![Op::create("/a", ""), Op::delete("/none", ANY_VERSION)];
        let error = ensemble.propose(ops).await.unwrap_err();
        assert!(
            matches!(&error, ProposeError::Multi(MultiError { index: 1, code: Code::NoNode, .. })),
            "{error}"
        );
        assert_eq!(error.to_string(), "operation 1 on /none: no node");
        assert_eq!(names(&ensemble, "/"), ["zookeeper"]);
    });
}

#[test]
fn sessions_own_ephemerals_over_a_restart_until_they_are_closed() {
    let fs = SimFs::new();
    let session = runtime().block_on(async {
        let ensemble = start(&fs).await.unwrap();
        let session = ensemble.open_session(9000).await.unwrap();
        let ops = vec![Op::create_as("/e", "", Mode::Ephemeral)];
        ensemble.propose_as(session, ops).await.unwrap();
        session
    });
    runtime().block_on(async {
        let ensemble = start(&fs).await.unwrap();
        assert_eq!(names(&ensemble, "/"), ["e", "zookeeper"]);
        ensemble.close_session(session).await.unwrap();
        assert_eq!(names(&ensemble, "/"), ["zookeeper"]);
        let error = ensemble.close_session(session).await.unwrap_err();
        assert!(matches!(error, ProposeError::Refused(Code::UnknownSession)));
        let error = ensemble.propose_as(session, vec![Op::create("/x", "")]).await.unwrap_err();
        assert!(matches!(error, ProposeError::Refused(Code::SessionExpired)));
    });
}

#[test]
fn proposals_made_together_share_syncs() {
    let dir = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let settings = settings(Arc::new(RealFs), dir.path());
        let ensemble = Ensemble::start_with(settings, Box::new(Ear::default())).await.unwrap();
        let before = ensemble.log_syncs();
        let mut tasks = Vec::new();
        for client in 0..64 {
            let ensemble = ensemble.clone();
            tasks.push(raft_types::spawn(async move {
                for item in 0..10 {
                    ensemble.propose(vec![Op::create(format!("/{client}-{item}"), "")]).await.unwrap();
                }
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
        let syncs = ensemble.log_syncs() - before;
        assert!(syncs <= 64, "640 proposals of 64 clients took {syncs} syncs");
        assert_eq!(names(&ensemble, "/").len(), 641);
        ensemble.stop().await.unwrap();
    });
}

#[test]
fn a_proposal_after_stop_is_an_error() {
    runtime().block_on(async {
        let ensemble = start(&SimFs::new()).await.unwrap();
        ensemble.stop().await.unwrap();
        ensemble.stop().await.unwrap();
        let error = ensemble.propose(vec![Op::create("/a", "")]).await.unwrap_err();
        assert!(matches!(error, ProposeError::Stopped), "{error}");
    });
}

#[test]
fn a_command_beyond_the_limit_is_refused_before_it_is_written() {
    runtime().block_on(async {
        let ensemble = start(&SimFs::new()).await.unwrap();
        let megabyte = vec![b'x'; 1 << 20];
        let ops = (0..9).map(|n| Op::create(format!("/{n}"), megabyte.clone())).collect();
        let error = ensemble.propose(ops).await.unwrap_err();
        assert!(matches!(error, ProposeError::TooLarge { limit: MAX_COMMAND_BYTES, .. }), "{error}");
    });
}

#[test]
fn a_failed_disk_ends_proposals_with_its_error() {
    let fs = SimFs::new();
    runtime().block_on(async {
        let ensemble = start(&fs).await.unwrap();
        fs.fault_after(0, SimFault::Full);
        let error = ensemble.propose(vec![Op::create("/a", "")]).await.unwrap_err();
        assert!(matches!(error, ProposeError::Failed { .. }), "{error}");
        fs.heal();
        let error = ensemble.propose(vec![Op::create("/b", "")]).await.unwrap_err();
        assert!(matches!(error, ProposeError::Failed { .. } | ProposeError::Stopped), "{error}");
    });
    runtime().block_on(async {
        let ensemble = start(&fs).await.unwrap();
        ensemble.propose(vec![Op::create("/c", "")]).await.unwrap();
    });
}

#[test]
fn snapshots_keep_the_log_small_and_a_start_needs_nothing_else() {
    let fs = SimFs::new();
    let small = |fs: &SimFs| raft::Settings {
        snapshot_bytes: 20_000,
        ..settings(Arc::new(fs.clone()), Path::new("/data"))
    };
    fs.create_dir_all(Path::new("/data")).unwrap();
    let log_bytes = || -> u64 {
        let dir = Path::new("/data").join(DIRECTORY).join("log");
        fs.list(&dir).unwrap().iter().map(|entry| entry.len).sum()
    };
    let mut before = Vec::new();
    for round in 0i32..3 {
        runtime().block_on(async {
            let ensemble = Ensemble::start_with(small(&fs), Box::new(Ear::default())).await.unwrap();
            if round > 0 {
                assert!(ensemble.with_tree(Tree::encode) == before, "round {round}");
            }
            if round == 0 {
                ensemble.propose(vec![Op::create("/node", "")]).await.unwrap();
            }
            for item in 0..2000 {
                let ops = vec![Op::set("/node", vec![b'x'; 1000], item + round * 2000)];
                ensemble.propose(ops).await.unwrap();
            }
            before = ensemble.with_tree(Tree::encode);
            ensemble.stop().await.unwrap();
        });
        assert!(fs.meta(&Path::new("/data").join(DIRECTORY).join("snapshot")).unwrap().is_some());
        assert!(log_bytes() < 1_500_000, "{} bytes of log are left of 2 MB", log_bytes());
    }
}

/// Proposes until the disk dies; returns how many were acknowledged.
async fn propose_until_death(fs: &SimFs, first: u32) -> u32 {
    propose_until(fs, first, 20, u64::MAX).await
}

async fn propose_until(fs: &SimFs, first: u32, count: u32, snapshot_bytes: u64) -> u32 {
    let settings = raft::Settings { snapshot_bytes, ..settings(Arc::new(fs.clone()), Path::new("/data")) };
    let Ok(ensemble) = Ensemble::start_with(settings, Box::new(Ear::default())).await else { return first };
    for item in first..first + count {
        if ensemble.propose(vec![Op::create(format!("/{item:06}"), "")]).await.is_err() {
            return item;
        }
    }
    let _ = ensemble.stop().await;
    first + count
}

/// What was acknowledged is there, in order; at most one more, whose answer was lost.
async fn check_acknowledged(fs: &SimFs, acknowledged: u32, context: &str) -> u32 {
    let ensemble = start(fs).await.unwrap_or_else(|error| panic!("{context}: {error}"));
    let mut found = names(&ensemble, "/");
    found.retain(|name| name != "zookeeper");
    let count = u32::try_from(found.len()).unwrap();
    assert!(found.iter().zip(0..).all(|(name, item)| *name == format!("{item:06}")), "{context}: {found:?}");
    assert!(
        count == acknowledged || count == acknowledged + 1,
        "{context}: {count} found, {acknowledged} acknowledged"
    );
    ensemble.propose(vec![Op::check("/", ANY_VERSION)]).await.unwrap();
    count
}

#[test]
fn a_kill_at_any_step_of_the_first_start_does_not_brick_the_node() {
    for step in 0..60 {
        let fs = SimFs::new();
        fs.create_dir_all(Path::new("/data")).unwrap();
        fs.fault_after(step, SimFault::Death);
        let acknowledged = runtime().block_on(propose_until_death(&fs, 0));
        fs.heal();
        runtime().block_on(check_acknowledged(&fs, acknowledged, &format!("kill at step {step}")));
    }
}

#[test]
fn a_loss_of_power_at_any_step_of_the_first_start_does_not_brick_the_node() {
    for step in 0..60 {
        for seed in 0..8 {
            let fs = SimFs::new();
            fs.create_dir_all(Path::new("/data")).unwrap();
            fs.sync_dir(Path::new("/")).unwrap();
            fs.fault_after(step, SimFault::Death);
            let acknowledged = runtime().block_on(propose_until_death(&fs, 0));
            fs.power_loss(seed);
            runtime().block_on(check_acknowledged(&fs, acknowledged, &format!("step {step}, seed {seed}")));
        }
    }
}

#[test]
fn a_loss_of_power_after_a_kill_during_the_first_start_loses_nothing() {
    for step in 0..24 {
        for seed in 0..8 {
            let fs = SimFs::new();
            fs.create_dir_all(Path::new("/data")).unwrap();
            fs.sync_dir(Path::new("/")).unwrap();
            fs.fault_after(step, SimFault::Death);
            runtime().block_on(propose_until_death(&fs, 0));
            fs.heal();
            let found = runtime().block_on(async { names(&start(&fs).await.unwrap(), "/").len() - 1 });
            let acknowledged = runtime().block_on(propose_until_death(&fs, u32::try_from(found).unwrap()));
            fs.power_loss(seed);
            runtime().block_on(check_acknowledged(&fs, acknowledged, &format!("step {step}, seed {seed}")));
        }
    }
}

/// The offset of a batch is not under its checksum: found by a loss of power that took the eight bytes before a sector's end.
#[test]
fn an_entry_whose_offset_was_lost_with_the_power_is_a_torn_end() {
    let fs = SimFs::new();
    fs.create_dir_all(Path::new("/data")).unwrap();
    runtime().block_on(propose_until(&fs, 0, 20, u64::MAX));
    let dir = Path::new("/data").join(DIRECTORY).join("log");
    let names = fs.list(&dir).unwrap();
    let segment = names.iter().map(|entry| &entry.name).filter(|name| name.ends_with(".log")).max().unwrap();
    let path = dir.join(segment);
    let bytes = fs.read(&path, 1 << 20).unwrap();
    let mut last = 0;
    let mut at = 0;
    while at < bytes.len() {
        last = at;
        at += milena_storage::batch::size_and_magic(&bytes[at..]).unwrap().0;
    }
    assert_ne!(last, 0, "an entry that is not the first");
    let whole = scan::scan(&fs, &dir, 0).unwrap();
    fs.open(&path, Open::Write).unwrap().write_at(&[0; 8], last as u64).unwrap();
    let cut = scan::scan(&fs, &dir, 0).unwrap();
    assert_eq!(cut.entries.len() + 1, whole.entries.len());
    assert_eq!(cut.torn.map(|torn| torn.at), Some(last as u64));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn no_acknowledged_proposal_is_lost_over_crashes(crashes in prop::collection::vec((0u64..120, any::<u64>(), any::<bool>()), 1..5)) {
        let fs = SimFs::new();
        fs.create_dir_all(Path::new("/data")).unwrap();
        fs.sync_dir(Path::new("/")).unwrap();
        let mut count = 0;
        for (step, seed, power) in crashes {
            fs.fault_after(step, SimFault::Death);
            let acknowledged = runtime().block_on(propose_until_death(&fs, count));
            if power { fs.power_loss(seed) } else { fs.heal() }
            let context = format!("step {step}, seed {seed}, power lost: {power}");
            count = runtime().block_on(check_acknowledged(&fs, acknowledged, &context));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn no_acknowledged_proposal_is_lost_over_crashes_around_snapshots(
        crashes in prop::collection::vec((0u64..700, any::<u64>(), any::<bool>()), 1..5)
    ) {
        let fs = SimFs::new();
        fs.create_dir_all(Path::new("/data")).unwrap();
        fs.sync_dir(Path::new("/")).unwrap();
        let mut count = 0;
        for (step, seed, power) in crashes {
            fs.fault_after(step, SimFault::Death);
            let acknowledged = runtime().block_on(propose_until(&fs, count, 200, 1));
            if power { fs.power_loss(seed) } else { fs.heal() }
            let context = format!("step {step}, seed {seed}, power lost: {power}");
            count = runtime().block_on(check_acknowledged(&fs, acknowledged, &context));
        }
    }
}

/// A stopped node with 30 entries, and its only segment.
fn stopped_node() -> (SimFs, PathBuf, u64) {
    let fs = SimFs::new();
    runtime().block_on(async {
        let ensemble = start(&fs).await.unwrap();
        for item in 0..30 {
            ensemble.propose(vec![Op::create(format!("/{item:06}"), "")]).await.unwrap();
        }
    });
    let segment = Path::new("/data").join(DIRECTORY).join("log").join("00000000000000000000.log");
    let bytes = fs.read(&segment, usize::MAX).unwrap();
    let len = bytes.iter().rposition(|byte| *byte != 0).unwrap() as u64 + 1;
    (fs, segment, len)
}

fn flip(fs: &SimFs, path: &Path, at: u64) {
    let file = fs.open(path, Open::Write).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_at(&[byte[0] ^ 0x40], at).unwrap();
}

#[test]
fn damage_in_the_middle_of_the_log_stops_the_start_with_the_place() {
    let (_, _, len) = stopped_node();
    for at in (0..len / 2).step_by(97) {
        let (fs, segment, _) = stopped_node();
        flip(&fs, &segment, at);
        let error =
            runtime().block_on(start(&fs)).err().unwrap_or_else(|| panic!("started with byte {at} flipped"));
        let StartError::Storage(StorageError::Corrupt { path, at: place, .. }) = &error else {
            panic!("{error}")
        };
        assert_eq!(path, &segment);
        assert!(*place <= at, "byte {at} was damaged, byte {place} is blamed");
    }
}

#[test]
fn a_torn_end_is_cut_and_the_rest_is_kept() {
    let (fs, segment, len) = stopped_node();
    fs.open(&segment, Open::Write).unwrap().set_len(len - 5).unwrap();
    runtime().block_on(async {
        let ensemble = start(&fs).await.unwrap();
        assert_eq!(names(&ensemble, "/").len(), 30, "29 of ours and /zookeeper");
        ensemble.propose(vec![Op::create("/000029", "")]).await.unwrap();
        ensemble.stop().await.unwrap();
    });
    runtime().block_on(async { assert_eq!(names(&start(&fs).await.unwrap(), "/").len(), 31) });
}

#[test]
fn a_log_that_lost_what_the_vote_file_knows_as_committed_is_refused() {
    let (fs, segment, len) = stopped_node();
    runtime().block_on(async { start(&fs).await.unwrap().stop().await.unwrap() });
    fs.open(&segment, Open::Write).unwrap().set_len(len - 5).unwrap();
    let error = runtime().block_on(start(&fs)).err().unwrap();
    assert!(error.to_string().contains("were committed"), "{error}");
}

#[test]
fn another_nodes_directory_is_refused() {
    let (fs, ..) = stopped_node();
    let settings = raft::Settings { node_id: 2, ..settings(Arc::new(fs), Path::new("/data")) };
    let error = runtime().block_on(Ensemble::start_with(settings, Box::new(Ear::default()))).err().unwrap();
    assert_eq!(error.to_string(), "/data/.milena-ensemble/vote belongs to node 1, this is node 2");
}
