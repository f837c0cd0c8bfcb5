//! Work that may block, away from the threads that serve: in the runtime's pool.
//!
//! In a simulation, which has one thread and a time of its own, it is done at once by a task. Must never be used for what waits for
//! another task.

use tokio::task::{JoinHandle, JoinSet};

/// Starts work in the pool.
pub(crate) fn spawn<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    #[cfg(test)]
    if turmoil::in_simulation() {
        return tokio::spawn(async move { work() });
    }
    tokio::task::spawn_blocking(work)
}

/// Starts work in the pool as one of a set.
pub(crate) fn spawn_in<T: Send + 'static>(set: &mut JoinSet<T>, work: impl FnOnce() -> T + Send + 'static) {
    #[cfg(test)]
    if turmoil::in_simulation() {
        set.spawn(async move { work() });
        return;
    }
    set.spawn_blocking(work);
}
