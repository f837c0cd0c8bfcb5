//! The one thread that writes the ensemble's log: a sync takes milliseconds and may not stop a runtime.
//!
//! Appends that wait while a sync runs go into the next one together. Must never answer an append before its sync, nor
//! change the order of jobs. After a failed write or sync every later job fails: what a disk holds after a failed
//! sync is not known, so only a restart can tell.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use milena_storage::StorageError;
use openraft::storage::IOFlushed;
use tokio::sync::oneshot;

use super::entry_log::EntryLog;
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

/// The way to the writer thread; it ends when the last clone is gone. What can wait in it is bounded by the
/// proposals under way, each of which has a waiting caller.
#[derive(Clone)]
pub(super) struct Writer {
    jobs: Sender<Job>,
    committed: Arc<AtomicU64>,
    syncs: Arc<AtomicU64>,
}

impl Writer {
    pub(super) fn start(log: EntryLog) -> io::Result<Self> {
        let (jobs, queue) = channel();
        let committed = Arc::new(AtomicU64::new(0));
        let syncs = Arc::new(AtomicU64::new(0));
        let mut work = Work {
            log: Some(log),
            failed: None,
            committed: Arc::clone(&committed),
            syncs: Arc::clone(&syncs),
        };
        thread::Builder::new().name("ensemble-log".to_owned()).spawn(move || work.run(&queue))?;
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
struct Work {
    log: Option<EntryLog>,
    failed: Option<String>,
    committed: Arc<AtomicU64>,
    syncs: Arc<AtomicU64>,
}

impl Work {
    fn run(&mut self, queue: &Receiver<Job>) {
        let mut held = None;
        while let Some(job) = held.take().or_else(|| queue.recv().ok()) {
            match job {
                Job::Append { entries, done } => held = self.append(entries, done, queue),
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
        }
    }

    /// Writes these entries and all that wait behind them, syncs once, answers in order. Returns the first job
    /// behind them that is no append.
    fn append(
        &mut self,
        mut entries: Vec<Entry>,
        done: IOFlushed<TreeRaft>,
        queue: &Receiver<Job>,
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
