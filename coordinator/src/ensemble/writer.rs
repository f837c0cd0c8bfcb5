//! The one thread that writes the ensemble's log: a sync takes milliseconds and may not stop a runtime.
//!
//! Appends that wait while a sync runs go into the next one together. Must never answer an append before its sync, nor
//! change the order of jobs. After a failed write or sync every later job fails: what a disk holds after a failed
//! sync is not known, so only a restart can tell.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use milena_storage::StorageError;
use openraft::storage::IOFlushed;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

use super::entry_log::EntryLog;
use super::raft_types::spawn;
use super::raft_types::{Entry, TreeRaft};
use super::vote_file::Promises;

/// Appends are joined up to this many entries, so that the first of them does not wait long.
const GROUP_ENTRIES: usize = 4096;

type Done = oneshot::Sender<Result<(), io::Error>>;

enum Job {
    Append { entries: Vec<Entry>, done: IOFlushed<TreeRaft> },
    Promise { promises: Promises, done: Done },
    Truncate { from: u64, done: Done },
    Purge { promises: Promises },
    Close { promises: Promises, done: Done },
}

/// Where the disk's work is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    /// By a thread of its own, and by the runtime's blocking pool.
    Threads,
    /// By tasks of the runtime, each sync taking so long: for simulations, which have one thread and their own time.
    #[cfg_attr(
        not(any(test, feature = "simulated")),
        expect(dead_code, reason = "only simulations have no threads")
    )]
    Tasks { sync: Duration },
}

impl Work {
    /// Runs what may block.
    pub(super) async fn run<T: Send + 'static>(
        self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, tokio::task::JoinError> {
        match self {
            Self::Threads => tokio::task::spawn_blocking(work).await,
            Self::Tasks { .. } => Ok(work()),
        }
    }
}

/// The way to the writer thread; it ends when the log is closed, or the last clone is gone. What can wait in it is bounded by the
/// proposals under way, each of which has a waiting caller.
#[derive(Clone)]
pub(super) struct Writer {
    jobs: UnboundedSender<Job>,
    committed: Arc<AtomicU64>,
    syncs: Arc<AtomicU64>,
}

impl Writer {
    pub(super) fn start(log: EntryLog, how: Work) -> io::Result<Self> {
        let (jobs, mut queue) = unbounded_channel();
        let committed = Arc::new(AtomicU64::new(0));
        let syncs = Arc::new(AtomicU64::new(0));
        let mut work = Writing {
            log: Some(log),
            failed: None,
            committed: Arc::clone(&committed),
            syncs: Arc::clone(&syncs),
        };
        match how {
            Work::Threads => {
                let run = move || work.run(&mut queue);
                thread::Builder::new().name("ensemble-log".to_owned()).spawn(run)?;
            }
            Work::Tasks { sync } => {
                spawn(async move { work.run_slowly(&mut queue, sync).await });
            }
        }
        Ok(Self { jobs, committed, syncs })
    }

    /// Queues entries; `done` is called after their sync.
    pub(super) fn append(&self, entries: Vec<Entry>, done: IOFlushed<TreeRaft>) -> io::Result<()> {
        self.send(Job::Append { entries, done })
    }

    /// Returns when the promises are on the medium.
    pub(super) async fn promise(&self, promises: Promises) -> io::Result<()> {
        self.ask(|done| Job::Promise { promises, done }).await
    }

    /// Returns when the entries from `from` on are gone.
    pub(super) async fn truncate(&self, from: u64) -> io::Result<()> {
        self.ask(|done| Job::Truncate { from, done }).await
    }

    /// Queues the removal of entries that a snapshot holds; nobody has to wait for the space.
    pub(super) fn purge(&self, promises: Promises) -> io::Result<()> {
        self.send(Job::Purge { promises })
    }

    /// Ends the log cleanly. Later jobs fail.
    pub(super) async fn close(&self, promises: Promises) -> io::Result<()> {
        self.ask(|done| Job::Close { promises, done }).await
    }

    /// Notes how far entries are committed, for the marks of those written next.
    pub(super) fn set_committed_end(&self, end: u64) {
        self.committed.store(end, Ordering::Relaxed);
    }

    /// Syncs of appended entries so far.
    pub(super) fn syncs(&self) -> u64 {
        self.syncs.load(Ordering::Relaxed)
    }

    fn send(&self, job: Job) -> io::Result<()> {
        self.jobs.send(job).map_err(|_| closed())
    }

    async fn ask(&self, job: impl FnOnce(Done) -> Job) -> io::Result<()> {
        let (done, answer) = oneshot::channel();
        self.send(job(done))?;
        answer.await.unwrap_or_else(|_| Err(closed()))
    }
}

fn closed() -> io::Error {
    io::Error::other("the ensemble's log is closed")
}

/// The thread's side.
struct Writing {
    log: Option<EntryLog>,
    failed: Option<String>,
    committed: Arc<AtomicU64>,
    syncs: Arc<AtomicU64>,
}

impl Writing {
    fn run(&mut self, queue: &mut UnboundedReceiver<Job>) {
        let mut held = None;
        // Not until the last handle is gone: whoever stops a node may keep one, and a thread costs more than that.
        while self.log.is_some()
            && let Some(job) = held.take().or_else(|| queue.blocking_recv())
        {
            held = self.job(job, queue);
        }
    }

    /// As `run`, in a task; what comes during the time of a sync shares it.
    async fn run_slowly(&mut self, queue: &mut UnboundedReceiver<Job>, sync: Duration) {
        while let Some(job) = queue.recv().await {
            tokio::time::sleep(sync).await;
            let mut held = Some(job);
            while let Some(job) = held {
                held = self.job(job, queue);
            }
        }
    }

    /// Returns a job that was taken from the queue and is still to be done.
    fn job(&mut self, job: Job, queue: &mut UnboundedReceiver<Job>) -> Option<Job> {
        match job {
            Job::Append { entries, done } => return self.append(entries, done, queue),
            Job::Promise { promises, done } => answer(done, self.with_log(|log| log.promise(&promises))),
            Job::Truncate { from, done } => answer(done, self.with_log(|log| log.truncate_from(from))),
            Job::Purge { promises } => {
                if let Err(error) = self.with_log(|log| log.purge(&promises)) {
                    tracing::error!(%error, "cannot drop the start of the ensemble's log");
                }
            }
            Job::Close { promises, done } => {
                let result = match (self.log.take(), &self.failed) {
                    (Some(log), None) => log.close(&promises).map_err(io::Error::other),
                    _ => Err(self.why_not()),
                };
                answer(done, result);
            }
        }
        None
    }

    /// Writes these entries and all that wait behind them, syncs once, answers in order. Returns the first job
    /// behind them that is no append.
    fn append(
        &mut self,
        mut entries: Vec<Entry>,
        done: IOFlushed<TreeRaft>,
        queue: &mut UnboundedReceiver<Job>,
    ) -> Option<Job> {
        let mut waiting = vec![done];
        let mut held = None;
        while entries.len() < GROUP_ENTRIES {
            match queue.try_recv() {
                Ok(Job::Append { entries: more, done }) => {
                    entries.extend(more);
                    waiting.push(done);
                }
                Ok(other) => {
                    held = Some(other);
                    break;
                }
                Err(_) => break,
            }
        }
        let committed = self.committed.load(Ordering::Relaxed);
        let result = self.with_log(|log| log.append(&entries, committed));
        self.syncs.fetch_add(1, Ordering::Relaxed);
        for done in waiting {
            // An io::Error cannot be cloned; every waiter gets the same words.
            done.io_completed(result.as_ref().copied().map_err(|error| io::Error::other(error.to_string())));
        }
        held
    }

    fn with_log(&mut self, work: impl FnOnce(&mut EntryLog) -> Result<(), StorageError>) -> io::Result<()> {
        let (Some(log), None) = (&mut self.log, &self.failed) else { return Err(self.why_not()) };
        work(log).map_err(|error| {
            tracing::error!(%error, "the ensemble's log failed");
            self.failed = Some(error.to_string());
            io::Error::other(error)
        })
    }

    fn why_not(&self) -> io::Error {
        self.failed
            .as_ref()
            .map_or_else(closed, |reason| io::Error::other(format!("an earlier write failed: {reason}")))
    }
}

fn answer(done: Done, result: io::Result<()>) {
    // Whoever asked may have been dropped; the job was done all the same.
    let _ = done.send(result);
}
