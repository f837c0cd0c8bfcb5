//! One shard: a machine, its partition's log, and who waits.
//!
//! Must never hold its lock across an await, nor wake anybody while holding it.

use std::collections::HashMap;
use std::sync::Arc;

use kafka_protocol::error::ResponseError;
use milena_coordinator::group::{Record, Ticket};
use milena_storage::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Timestamp};
use milena_storage::log::Guard;
use parking_lot::{Mutex, MutexGuard};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::append::{Target, append, as_coordinator_error, as_producer_error};
use super::deadlines::Deadlines;
use super::machine::{Effects, Machine};
use super::parking::{Parked, Parking};
use super::pending::Pending;
use super::{Env, load};
use crate::partition::marker::Marker;
use crate::partition::waiters::Wakes;
use crate::partition::{Partition, PartitionError};

/// The machine's reply, or why there is none.
pub(super) type Answer<M> = Result<<M as Machine>::Reply, ResponseError>;

#[derive(Debug)]
pub struct Slot<M: Machine> {
    env: Arc<Env<M>>,
    partition: Arc<Partition>,
    leader_epoch: LeaderEpoch,
    state: Mutex<State<M>>,
}

#[derive(Debug)]
enum Phase<M> {
    /// The log is being read.
    Loading,
    Live(Box<M>),
    /// Another broker has the partition, or its log cannot be read.
    Gone,
}

#[derive(Debug)]
struct State<M: Machine> {
    phase: Phase<M>,
    last_ticket: u64,
    /// Who waits, by ticket. Bounded by the connections of the broker times their request window.
    tickets: HashMap<Ticket, oneshot::Sender<Answer<M>>>,
    /// Who asks just now, and the answer once it is there: most never wait.
    asking: Option<(Ticket, Option<Answer<M>>)>,
    deadlines: Deadlines<M::Timer>,
    /// What is applied and not written yet.
    pending: Pending<M>,
    parking: Parking<M>,
    /// A task waits for the high watermark.
    draining: bool,
    /// The end of what this shard has written.
    written: Offset,
    /// Under what the step in progress may write records of a transaction.
    guard: Option<Guard>,
    /// What the machine is to hear that came while the log was being read.
    late: Vec<M::Input>,
}

/// What is to be done once the lock is free.
struct After<M: Machine> {
    answers: Vec<(oneshot::Sender<Answer<M>>, Answer<M>)>,
    orders: Vec<M::Order>,
    wakes: Wakes,
    reload: bool,
}

impl<M: Machine> Default for After<M> {
    fn default() -> Self {
        Self { answers: Vec::new(), orders: Vec::new(), wakes: Wakes::default(), reload: false }
    }
}

impl<M: Machine> Slot<M> {
    /// A shard for a partition that this broker leads. An empty one lives at once, others load on the runtime.
    pub(super) fn open(
        env: Arc<Env<M>>,
        partition: Arc<Partition>,
        leader_epoch: LeaderEpoch,
        runtime: &Handle,
    ) -> Arc<Self> {
        let state = State {
            phase: Phase::Loading,
            last_ticket: 0,
            tickets: HashMap::new(),
            asking: None,
            deadlines: Deadlines::default(),
            pending: Pending::default(),
            parking: Parking::default(),
            draining: false,
            written: Offset(0),
            guard: None,
            late: Vec::new(),
        };
        let empty = partition.log_start_offset() == partition.log_end_offset();
        let slot = Arc::new(Self { env, partition, leader_epoch, state: Mutex::new(state) });
        if empty {
            slot.loaded(slot.env.fresh());
        } else {
            runtime.spawn(load::load(slot.clone()));
        }
        slot
    }

    pub(crate) fn partition(&self) -> &Arc<Partition> {
        &self.partition
    }

    /// Whether this is the shard of that log in that epoch, and of use.
    pub(super) fn serves(&self, partition: &Arc<Partition>, leader_epoch: LeaderEpoch) -> bool {
        Arc::ptr_eq(partition, &self.partition) && leader_epoch == self.leader_epoch && !self.is_gone()
    }

    pub(super) fn env(&self) -> &Env<M> {
        &self.env
    }

    /// The epoch in which this broker leads the partition; Kafka's "coordinator epoch".
    pub(crate) fn leader_epoch(&self) -> LeaderEpoch {
        self.leader_epoch
    }

    /// Puts a request to the machine. The answer is there at once, or comes through the receiver.
    pub(super) fn ask(
        self: &Arc<Self>,
        guard: Option<Guard>,
        request: impl FnOnce(Ticket) -> M::Input,
    ) -> Result<Answer<M>, oneshot::Receiver<Answer<M>>> {
        let mut state = self.state.lock();
        match state.phase {
            Phase::Loading => return Ok(Err(ResponseError::CoordinatorLoadInProgress)),
            Phase::Gone => return Ok(Err(ResponseError::NotCoordinator)),
            Phase::Live(_) => {}
        }
        state.last_ticket += 1;
        let ticket = Ticket(state.last_ticket);
        // Known before the step, so that a failing step answers it like all others.
        state.asking = Some((ticket, None));
        let mut after = After::default();
        state.guard = guard;
        self.step(&mut state, request(ticket), &mut after);
        state.guard = None;
        let answered = match state.asking.take() {
            Some((_, Some(answer))) => Ok(answer),
            _ => {
                let (sender, receiver) = oneshot::channel();
                state.tickets.insert(ticket, sender);
                Err(receiver)
            }
        };
        let next = state.deadlines.next();
        self.release(state, after);
        if let Some(next) = next {
            self.env.alarm.at_latest(next);
        }
        answered
    }

    /// Fires what is due and tells the next deadline.
    pub(super) fn fire_deadlines(self: &Arc<Self>) -> Option<i64> {
        let mut state = self.state.lock();
        let mut after = After::default();
        let now = self.env.clock.steady_ms();
        while let Some(key) = state.deadlines.take_due(now) {
            self.step(&mut state, M::fired(key), &mut after);
        }
        let next = state.deadlines.next();
        self.release(state, after);
        next
    }

    /// Tells the machine something that nobody waits for; a shard that is gone does not hear it.
    pub(crate) fn tell(self: &Arc<Self>, news: M::Input) {
        let mut state = self.state.lock();
        let mut after = After::default();
        match state.phase {
            Phase::Loading => state.late.push(news),
            Phase::Live(_) => self.step(&mut state, news, &mut after),
            Phase::Gone => {}
        }
        let next = state.deadlines.next();
        self.release(state, after);
        if let Some(next) = next {
            self.env.alarm.at_latest(next);
        }
    }

    /// Writes the end of a transaction into the partition and tells the machine; gives the offset behind the marker.
    pub(crate) fn end_transaction(self: &Arc<Self>, marker: &Marker) -> Result<Offset, PartitionError> {
        let mut state = self.state.lock();
        let mut after = After::default();
        self.write_pending(&mut state, &mut after);
        let State { phase: Phase::Live(machine), .. } = &mut *state else {
            self.release(state, after);
            return Err(PartitionError::NotLeader);
        };
        let written = self.partition.append_marker(marker, self.env.clock.now(), &mut after.wakes);
        if let Ok(end) = &written {
            machine.end_transaction(marker.producer_id, marker.end.commit);
            state.written = *end;
        }
        self.release(state, after);
        written
    }

    /// The log has been applied to its end.
    pub(super) fn loaded(self: &Arc<Self>, machine: M) {
        let mut state = self.state.lock();
        let mut after = After::default();
        if let Phase::Loading = state.phase {
            state.phase = Phase::Live(Box::new(machine));
            state.written = self.partition.log_end_offset();
            self.step(&mut state, M::loaded(), &mut after);
            for news in std::mem::take(&mut state.late) {
                self.step(&mut state, news, &mut after);
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

    pub(crate) fn is_gone(&self) -> bool {
        matches!(self.state.lock().phase, Phase::Gone)
    }

    pub(super) fn is_loading(&self) -> bool {
        matches!(self.state.lock().phase, Phase::Loading)
    }

    /// One turn of the machine: its records go back into it and to the log, its answers to those who wait.
    fn step(&self, state: &mut State<M>, input: M::Input, after: &mut After<M>) {
        let Phase::Live(machine) = &mut state.phase else { return };
        let now = self.env.clock.now();
        let may_share = M::may_share(&input);
        let effects = machine.step(now, input);
        if let Some(transaction) = effects.transaction {
            return self.step_in_transaction(state, effects, transaction, now, after);
        }
        if !state.pending.has_room(&effects.records) && !self.write_pending(state, after) {
            return;
        }
        self.apply(state, None, &effects.records);
        let records = self.take_over(state, effects, now, after);
        state.pending.add(records);
        if !may_share {
            self.write_pending(state, after);
        }
    }

    /// Records of a transaction are written by themselves, and before they are applied: the producer may be refused.
    fn step_in_transaction(
        &self,
        state: &mut State<M>,
        effects: Effects<M>,
        transaction: (ProducerId, ProducerEpoch),
        now: Timestamp,
        after: &mut After<M>,
    ) {
        if !self.write_pending(state, after) {
            return;
        }
        let codec = self.env.pace.codec;
        let target = Target { partition: &self.partition, codec, now, guard: state.guard };
        match append(target, &effects.records, Some(transaction), &mut after.wakes) {
            Ok(end) => state.written = end.unwrap_or(state.written),
            Err(error) => match as_producer_error(&error) {
                Some(refused) => {
                    for (ticket, _) in effects.replies {
                        state.answer(ticket, Err(refused), after);
                    }
                    return;
                }
                None => return self.load_anew(state, &error, after),
            },
        }
        self.apply(state, Some(transaction.0), &effects.records);
        self.take_over(state, effects, now, after);
    }

    fn apply(&self, state: &mut State<M>, producer: Option<ProducerId>, records: &[Record]) {
        let Phase::Live(machine) = &mut state.phase else { return };
        for record in records {
            if let Err(error) = machine.apply(producer, &record.key, record.value.as_deref()) {
                tracing::error!(partition = %self.partition.name, %error, "a record of ours cannot be read");
            }
        }
    }

    /// Sets the deadlines and parks the answers of a step; gives its records back.
    fn take_over(
        &self,
        state: &mut State<M>,
        effects: Effects<M>,
        now: Timestamp,
        after: &mut After<M>,
    ) -> Vec<Record> {
        let steady = self.env.clock.steady_ms();
        for (key, at) in effects.timers {
            match at {
                Some(at) => state.deadlines.set(key, steady.saturating_add(at.0.saturating_sub(now.0))),
                None => state.deadlines.cancel(key),
            }
        }
        let Effects { records, transaction, replies, orders, .. } = effects;
        let unwritten = !state.pending.is_empty() || (transaction.is_none() && !records.is_empty());
        if !replies.is_empty() || !orders.is_empty() {
            let parked = Parked { replies, orders };
            if unwritten { state.pending.leave(parked) } else { state.parking.park(state.written, parked) }
        }
        state.free(self.partition.high_watermark(), after);
        records
    }

    /// Writes what steps have left; `false` if the log does not take it, and the machine is gone.
    fn write_pending(&self, state: &mut State<M>, after: &mut After<M>) -> bool {
        if state.pending.is_empty() {
            return true;
        }
        let (records, left) = state.pending.take();
        let (codec, now) = (self.env.pace.codec, self.env.clock.now());
        let target = Target { partition: &self.partition, codec, now, guard: None };
        match append(target, &records, None, &mut after.wakes) {
            Ok(end) => state.written = end.unwrap_or(state.written),
            Err(error) => {
                self.load_anew(state, &error, after);
                return false;
            }
        }
        for parked in left {
            state.parking.park(state.written, parked);
        }
        state.free(self.partition.high_watermark(), after);
        true
    }

    /// The machine has what the log refused.
    fn load_anew(&self, state: &mut State<M>, error: &PartitionError, after: &mut After<M>) {
        tracing::warn!(partition = %self.partition.name, %error, "a coordinator's records are refused; loading anew");
        state.fail(as_coordinator_error(error), after);
        state.phase = Phase::Loading;
        after.reload = true;
    }

    /// Runs behind the tasks that are ready now, whose records it writes too.
    async fn write_soon(self: Arc<Self>) {
        let mut state = self.state.lock();
        let mut after = After::default();
        state.pending.expected = false;
        self.write_pending(&mut state, &mut after);
        self.release(state, after);
    }

    /// Frees the lock, then wakes whoever has something to do.
    fn release(self: &Arc<Self>, mut state: MutexGuard<'_, State<M>>, after: After<M>) {
        let drain = !state.parking.is_empty() && !state.draining;
        state.draining |= drain;
        let write = !state.pending.is_empty() && !state.pending.expected;
        state.pending.expected |= write;
        drop(state);
        after.wakes.fire();
        for (sender, answer) in after.answers {
            // Nobody listens any more if the client is gone.
            let _ = sender.send(answer);
        }
        for order in after.orders {
            (self.env.carry_out)(self, order);
        }
        if drain {
            tokio::spawn(self.clone().drain());
        }
        if write {
            tokio::spawn(self.clone().write_soon());
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
                late = tokio::time::timeout(self.env.pace.commit_timeout, moved.notified()).await.is_err();
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

impl<M: Machine> State<M> {
    fn answer(&mut self, ticket: Ticket, answer: Answer<M>, after: &mut After<M>) {
        match &mut self.asking {
            Some((asking, slot)) if *asking == ticket => *slot = Some(answer),
            _ => {
                if let Some(sender) = self.tickets.remove(&ticket) {
                    after.answers.push((sender, answer));
                }
            }
        }
    }

    fn free(&mut self, high_watermark: Offset, after: &mut After<M>) {
        while let Some(parked) = self.parking.release(high_watermark) {
            for (ticket, reply) in parked.replies {
                self.answer(ticket, Ok(reply), after);
            }
            after.orders.extend(parked.orders);
        }
    }

    /// Tells everybody that the machine they wait for is no more.
    fn fail(&mut self, error: ResponseError, after: &mut After<M>) {
        // Nobody was told of it.
        drop(self.pending.take());
        self.parking.clear();
        self.deadlines.clear();
        if let Some((_, slot @ None)) = &mut self.asking {
            *slot = Some(Err(error));
        }
        after.answers.extend(self.tickets.drain().map(|(_, sender)| (sender, Err(error))));
    }
}
