//! Answers that wait until the high watermark has passed the records they rest on.
//!
//! Must never let an answer overtake an older one: a client could see what may still be undone.

use std::collections::VecDeque;

use milena_coordinator::group::Ticket;
use milena_storage::ids::Offset;

use super::machine::Machine;

#[derive(Debug)]
pub(super) struct Parking<M: Machine> {
    /// In the order of the offsets.
    waiting: VecDeque<(Offset, Parked<M>)>,
}

/// What one step leaves to be done once its records are committed.
#[derive(Debug)]
pub(super) struct Parked<M: Machine> {
    pub replies: Vec<(Ticket, M::Reply)>,
    pub orders: Vec<M::Order>,
}

impl<M: Machine> Default for Parking<M> {
    fn default() -> Self {
        Self { waiting: VecDeque::new() }
    }
}

impl<M: Machine> Parking<M> {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// What may be done once the high watermark is at `end`.
    pub(super) fn park(&mut self, end: Offset, parked: Parked<M>) {
        self.waiting.push_back((end, parked));
    }

    /// The oldest that the high watermark sets free.
    pub(super) fn release(&mut self, high_watermark: Offset) -> Option<Parked<M>> {
        self.waiting.pop_front_if(|(end, _)| *end <= high_watermark).map(|(_, parked)| parked)
    }

    /// The high watermark that the oldest of them waits for.
    pub(super) fn next(&self) -> Option<Offset> {
        self.waiting.front().map(|(end, _)| *end)
    }

    /// Everybody who waits up to `end`, to be told that it took too long. What is to be carried out stays.
    pub(super) fn give_up(&mut self, end: Offset) -> Vec<Ticket> {
        let late = self.waiting.iter_mut().take_while(|(at, _)| *at <= end);
        late.flat_map(|(_, parked)| parked.replies.drain(..)).map(|(ticket, _)| ticket).collect()
    }

    pub(super) fn clear(&mut self) {
        self.waiting.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka_protocol::messages::HeartbeatResponse;
    use milena_coordinator::group::Reply;

    use crate::shard::GroupMachine;

    fn reply(ticket: u64) -> Parked<GroupMachine> {
        let replies = vec![(Ticket(ticket), Reply::Heartbeat(HeartbeatResponse::default()))];
        Parked { replies, orders: Vec::new() }
    }

    #[test]
    fn answers_go_when_their_records_are_committed_and_not_before() {
        let mut parking = Parking::default();
        parking.park(Offset(3), reply(1));
        parking.park(Offset(5), reply(2));
        parking.park(Offset(5), reply(3));
        let tickets = |parking: &mut Parking<GroupMachine>, mark: i64| {
            let free = std::iter::from_fn(|| parking.release(Offset(mark)));
            free.flat_map(|parked| parked.replies).map(|(ticket, _)| ticket.0).collect::<Vec<_>>()
        };
        assert_eq!(tickets(&mut parking, 2), Vec::<u64>::new());
        assert_eq!(tickets(&mut parking, 3), vec![1]);
        assert_eq!(parking.next(), Some(Offset(5)));
        assert_eq!(tickets(&mut parking, 9), vec![2, 3]);
        assert!(parking.is_empty());
    }
}
