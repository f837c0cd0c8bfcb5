//! Brings the changes of all connections of this node into the ensemble's log.
//!
//! One batch is under way at a time and holds all that arrived meanwhile, so the order in which clients asked is the order
//! in which it happens, and a slow disk makes larger batches instead of a longer queue. Must never propose a change
//! twice: if it is not known what became of a batch, its connections are cut, and their clients ask again.

use std::collections::VecDeque;
use std::sync::Arc;

use milena_coordinator::ensemble::{Ensemble, ProposeError};
use milena_coordinator::tree::ClientRequest;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::mailbox::ReplyTo;

/// Requests in one batch, so that applying one does not hold up readers for long.
const BATCH_REQUESTS_MAX: usize = 1000;
/// Bytes in one batch, unless a single request is larger; well below the largest command.
const BATCH_BYTES_MAX: usize = 1 << 20;

/// A change that waits for its turn.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) request: ClientRequest,
    /// Of the frame that it came in.
    pub(super) bytes: usize,
    pub(super) reply_to: ReplyTo,
}

/// The queue; bounded by the windows of the connections.
#[derive(Debug, Default)]
pub(super) struct Proposer {
    jobs: Mutex<VecDeque<Job>>,
    wake: Notify,
}

impl Proposer {
    pub(super) fn push(&self, job: Job) {
        self.jobs.lock().push_back(job);
        self.wake.notify_one();
    }

    /// Changes that wait.
    pub(super) fn waiting(&self) -> usize {
        self.jobs.lock().len()
    }

    /// Runs until the ensemble stops.
    pub(super) async fn run(self: Arc<Self>, ensemble: Ensemble) {
        loop {
            let (requests, reply_to) = self.batch();
            if requests.is_empty() {
                self.wake.notified().await;
                continue;
            }
            let result = ensemble.propose_clients(requests).await;
            let stopped = matches!(result, Err(ProposeError::Stopped));
            settle(result, reply_to);
            if stopped {
                return;
            }
        }
    }

    fn batch(&self) -> (Vec<ClientRequest>, Vec<ReplyTo>) {
        let mut jobs = self.jobs.lock();
        let (mut requests, mut reply_to, mut bytes) = (Vec::new(), Vec::new(), 0);
        while let Some(job) = jobs.front() {
            bytes += job.bytes;
            if requests.len() == BATCH_REQUESTS_MAX || bytes > BATCH_BYTES_MAX && !requests.is_empty() {
                break;
            }
            let Some(job) = jobs.pop_front() else { break };
            requests.push(job.request);
            reply_to.push(job.reply_to);
        }
        (requests, reply_to)
    }
}

fn settle(
    result: Result<Vec<(milena_coordinator::tree::Zxid, milena_coordinator::tree::Outcome)>, ProposeError>,
    reply_to: Vec<ReplyTo>,
) {
    match result {
        Ok(outcomes) => {
            assert_eq!(outcomes.len(), reply_to.len(), "a batch has an outcome for each of its requests");
            for ((zxid, outcome), mailbox) in outcomes.into_iter().zip(reply_to) {
                if let Some(mailbox) = mailbox {
                    mailbox.put_outcome(zxid, outcome);
                }
            }
        }
        Err(error) => {
            tracing::info!(%error, requests = reply_to.len(), "changes of ZooKeeper's clients are lost");
            reply_to.into_iter().flatten().for_each(|mailbox| mailbox.end());
        }
    }
}
