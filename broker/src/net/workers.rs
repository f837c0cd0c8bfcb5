//! The threads of a broker: one tokio runtime per core, none of which takes work from another.
//!
//! Must never run anything that blocks; that is what each runtime's blocking pool is for.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use super::cores::idle::Idle;
use super::inbox::Pool;

/// Threads that a runtime may add for cold reads, syncs and deletions.
const BLOCKING_THREADS: usize = 16;
/// How long a blocking operation may hold up the end of its runtime.
const LAST_OPERATION: Duration = Duration::from_secs(10);

/// Running threads; they end when this is stopped or dropped.
#[derive(Debug)]
pub struct Workers {
    workers: Vec<Worker>,
}

#[derive(Debug)]
struct Worker {
    core: Core,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

/// Where connections of one core run, and what they share there.
#[derive(Clone, Debug)]
pub(super) struct Core {
    pub(super) handle: Handle,
    pub(super) pool: Arc<Pool>,
    pub(super) idle: Arc<Idle>,
}

impl Workers {
    /// Starts `count` threads, at least one.
    pub fn start(count: usize) -> io::Result<Self> {
        #[cfg(test)]
        if turmoil::in_simulation() {
            let core = Core { handle: Handle::current(), pool: Arc::default(), idle: Arc::default() };
            return Ok(Self { workers: vec![Worker { core, stop: None, thread: None }] });
        }
        let workers = (0..count.max(1)).map(Worker::start).collect::<io::Result<_>>()?;
        Ok(Self { workers })
    }

    /// The runtimes, for tasks other than connections.
    pub fn handles(&self) -> impl Iterator<Item = &Handle> {
        self.workers.iter().map(|worker| &worker.core.handle)
    }

    pub(super) fn cores(&self) -> Vec<Core> {
        self.workers.iter().map(|worker| worker.core.clone()).collect()
    }
}

impl Worker {
    fn start(index: usize) -> io::Result<Self> {
        let pool = Arc::new(Pool::default());
        let idle = Arc::new(Idle::default());
        let (resting, falls_asleep, wakes) = (Arc::clone(&pool), Arc::clone(&idle), Arc::clone(&idle));
        let runtime = Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(BLOCKING_THREADS)
            .on_thread_park(move || {
                resting.rest();
                falls_asleep.begin();
            })
            .on_thread_unpark(move || wakes.end())
            .build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let thread = thread::Builder::new().name(format!("milena-{index}")).spawn(move || {
            // An error means that the sender is gone, which stops the worker as well.
            let _ = runtime.block_on(stopped);
            runtime.shutdown_timeout(LAST_OPERATION);
        })?;
        let core = Core { handle, pool, idle };
        Ok(Self { core, stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Workers {
    /// Ends all threads and waits for them, unless it runs on one of them.
    fn drop(&mut self) {
        for worker in &mut self.workers {
            worker.stop.take();
        }
        for worker in &mut self.workers {
            if let Some(thread) = worker.thread.take()
                && thread.thread().id() != thread::current().id()
            {
                // A worker that panicked has said so already.
                let _ = thread.join();
            }
        }
    }
}
