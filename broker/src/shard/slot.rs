//! One shard: a machine, its partition's log, and who waits.
//!
//! Must never hold its lock across an await, nor wake anybody while holding it.

use std::collections::HashMap;
use std::sync::Arc;

use kafka_protocol::error::ResponseError;
use milena_coordinator::group::{Caller, DeletedTopic, GroupShard, Input, Output, Reply, Request, Ticket};
use milena_storage::ids::{LeaderEpoch, Offset, Timestamp};
use parking_lot::{Mutex, MutexGuard};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::append::{append, as_coordinator_error};
use super::deadlines::Deadlines;
use super::parking::Parking;
use super::{Env, load};
use crate::partition::Partition;
use crate::partition::waiters::Wakes;

/// The machine's reply, or why there is none.
pub(super) type Answer = Result<Reply, ResponseError>;

#[derive(Debug)]
pub(super) struct Slot {
    env: Arc<Env>,
    partition: Arc<Partition>,
    leader_epoch: LeaderEpoch,
    state: Mutex<State>,
}

#[derive(Debug)]
enum Phase {
    /// The log is being read.
    Loading,
    Live(Box<GroupShard>),
    /// Another broker has the partition, or its log cannot be read.
    Gone,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    last_ticket: u64,
    /// Who waits, by ticket. Bounded by the connections of the broker times their request window.
    tickets: HashMap<Ticket, oneshot::Sender<Answer>>,
    deadlines: Deadlines,
    parking: Parking,
    /// A task waits for the high watermark.
    draining: bool,
    /// The end of what this shard has written.
    written: Offset,
    /// Topics that went while the log was being read.
    deleted: Vec<DeletedTopic>,
}

/// What is to be done once the lock is free.
#[derive(Default)]
struct After {
    answers: Vec<(oneshot::Sender<Answer>, Answer)>,
    wakes: Wakes,
    reload: bool,
}

impl Slot {
    /// A shard for a partition that this broker leads. An empty one lives at once, others load on the runtime.
    pub(super) fn open(
        env: Arc<Env>,
        partition: Arc<Partition>,
        leader_epoch: LeaderEpoch,
        runtime: &Handle,
    ) -> Arc<Self> {
        let state = State {
            phase: Phase::Loading,
            last_ticket: 0,
            tickets: HashMap::new(),
            deadlines: Deadlines::default(),
            parking: Parking::default(),
            draining: false,
            written: Offset(0),
            deleted: Vec::new(),
        };
        let empty = partition.log_start_offset() == partition.log_end_offset();
        let slot = Arc::new(Self { env, partition, leader_epoch, state: Mutex::new(state) });
        if empty {
            slot.loaded(GroupShard::new(slot.env.config.group.clone()));
        } else {
            runtime.spawn(load::load(slot.clone()));
        }
        slot
    }

    pub(super) fn partition(&self) -> &Arc<Partition> {
        &self.partition
    }

    /// Whether this is the shard of that log in that epoch, and of use.
    pub(super) fn serves(&self, partition: &Arc<Partition>, leader_epoch: LeaderEpoch) -> bool {
        Arc::ptr_eq(partition, &self.partition) && leader_epoch == self.leader_epoch && !self.is_gone()
    }

    pub(super) fn env(&self) -> &Env {
        &self.env
    }

    /// Puts a request to the machine. The answer is there at once, or comes through the receiver.
    pub(super) fn ask(
        self: &Arc<Self>,
        caller: Caller,
        request: Request,
    ) -> Result<Answer, oneshot::Receiver<Answer>> {
        let mut state = self.state.lock();
        match state.phase {
            Phase::Loading => return Ok(Err(ResponseError::CoordinatorLoadInProgress)),
            Phase::Gone => return Ok(Err(ResponseError::NotCoordinator)),
            Phase::Live(_) => {}
        }
        state.last_ticket += 1;
        let ticket = Ticket(state.last_ticket);
        // In the map before the step, so that a failing step answers it like all others.
        let (sender, mut receiver) = oneshot::channel();
        state.tickets.insert(ticket, sender);
        let mut after = After::default();
        self.step(&mut state, Input::Request(ticket, caller, request), &mut after);
        let next = state.deadlines.next();
        self.release(state, after);
        if let Some(next) = next {
            self.env.alarm.at_latest(next);
        }
        receiver.try_recv().map_err(|_| receiver)
    }

    /// Fires what is due and tells the next deadline.
    pub(super) fn fire_deadlines(self: &Arc<Self>) -> Option<i64> {
        let mut state = self.state.lock();
        let mut after = After::default();
        let now = self.env.clock.steady_ms();
        while let Some(key) = state.deadlines.take_due(now) {
            self.step(&mut state, Input::Timer(key), &mut after);
        }
        let next = state.deadlines.next();
        self.release(state, after);
        next
    }

    pub(super) fn topics_deleted(self: &Arc<Self>, deleted: &[DeletedTopic]) {
        let mut state = self.state.lock();
        let mut after = After::default();
        match state.phase {
            Phase::Loading => state.deleted.extend_from_slice(deleted),
            Phase::Live(_) => self.step(&mut state, Input::TopicsDeleted(deleted.to_vec()), &mut after),
            Phase::Gone => {}
        }
        self.release(state, after);
    }

    /// The log has been applied to its end.
    pub(super) fn loaded(self: &Arc<Self>, machine: GroupShard) {
        let mut state = self.state.lock();
        let mut after = After::default();
        if let Phase::Loading = state.phase {
            state.phase = Phase::Live(Box::new(machine));
            state.written = self.partition.log_end_offset();
            self.step(&mut state, Input::Loaded, &mut after);
            let deleted = std::mem::take(&mut state.deleted);
            if !deleted.is_empty() {
                self.step(&mut state, Input::TopicsDeleted(deleted), &mut after);
            }
        }
        let next = state.deadlines.next();
        self.release(state, after);
        if let Some(next) = next {
            self.env.alarm.at_latest(next);
        }
    }

    /// Gives the partition up; everybody who waits has to find the new coordinator.
    pub(super) fn unload(self: &Arc<Self>) {
        let mut state = self.state.lock();
        let mut after = After::default();
        state.fail(ResponseError::NotCoordinator, &mut after);
        state.phase = Phase::Gone;
        self.release(state, after);
    }

    pub(super) fn is_gone(&self) -> bool {
        matches!(self.state.lock().phase, Phase::Gone)
    }

    #[cfg(test)]
    pub(super) fn is_loading(&self) -> bool {
        matches!(self.state.lock().phase, Phase::Loading)
    }

    /// One turn of the machine: its records go to the log and back into it, its answers to those who wait.
    fn step(&self, state: &mut State, input: Input, after: &mut After) {
        let Phase::Live(machine) = &mut state.phase else { return };
        let now = self.env.clock.now();
        let output = machine.step(now, input);
        let codec = self.env.config.codec;
        match append(&self.partition, &output.records, codec, now, &mut after.wakes) {
            Ok(end) => state.written = end.unwrap_or(state.written),
            Err(error) => {
                tracing::warn!(partition = %self.partition.name, %error, "group records refused; loading anew");
                state.fail(as_coordinator_error(&error), after);
                state.phase = Phase::Loading;
                after.reload = true;
                return;
            }
        }
        for record in &output.records {
            if let Err(error) = machine.apply(&record.key, record.value.as_deref()) {
                tracing::error!(partition = %self.partition.name, %error, "a record of ours cannot be read");
            }
        }
        self.take_over(state, output, now, after);
    }

    fn take_over(&self, state: &mut State, output: Output, now: Timestamp, after: &mut After) {
        let steady = self.env.clock.steady_ms();
        for (key, at) in output.timers {
            match at {
                Some(at) => state.deadlines.set(key, steady.saturating_add(at.0.saturating_sub(now.0))),
                None => state.deadlines.cancel(key),
            }
        }
        if !output.replies.is_empty() {
            state.parking.park(state.written, output.replies);
        }
        state.free(self.partition.high_watermark(), after);
    }

    /// Frees the lock, then wakes whoever has something to do.
    fn release(self: &Arc<Self>, mut state: MutexGuard<'_, State>, after: After) {
        let drain = !state.parking.is_empty() && !state.draining;
        state.draining |= drain;
        drop(state);
        after.wakes.fire();
        for (sender, answer) in after.answers {
            // Nobody listens any more if the client is gone.
            let _ = sender.send(answer);
        }
        if drain {
            tokio::spawn(self.clone().drain());
        }
        if after.reload {
            tokio::spawn(load::load(self.clone()));
        }
    }

    /// Lets answers go as the high watermark moves; ends when none is left.
    async fn drain(self: Arc<Self>) {
        loop {
            let Some(end) = self.next_parked() else { return };
            let mut late = false;
            if let Some(moved) = self.partition.park(end) {
                late = tokio::time::timeout(self.env.config.commit_timeout, moved.notified()).await.is_err();
            }
            let mut state = self.state.lock();
            let mut after = After::default();
            state.free(self.partition.high_watermark(), &mut after);
            if late {
                // The records stay: they may be committed yet. Kafka, too, only stops waiting.
                for ticket in state.parking.give_up(end) {
                    state.answer(ticket, Err(ResponseError::CoordinatorNotAvailable), &mut after);
                }
            }
            if self.partition.is_offline() {
                state.fail(ResponseError::NotCoordinator, &mut after);
            }
            self.release(state, after);
        }
    }

    fn next_parked(&self) -> Option<Offset> {
        let mut state = self.state.lock();
        let next = state.parking.next();
        state.draining = next.is_some();
        next
    }
}

impl State {
    fn answer(&mut self, ticket: Ticket, answer: Answer, after: &mut After) {
        if let Some(sender) = self.tickets.remove(&ticket) {
            after.answers.push((sender, answer));
        }
    }

    fn free(&mut self, high_watermark: Offset, after: &mut After) {
        for (ticket, reply) in self.parking.release(high_watermark) {
            self.answer(ticket, Ok(reply), after);
        }
    }

    /// Tells everybody that the machine they wait for is no more.
    fn fail(&mut self, error: ResponseError, after: &mut After) {
        self.parking.clear();
        self.deadlines.clear();
        after.answers.extend(self.tickets.drain().map(|(_, sender)| (sender, Err(error))));
    }
}
