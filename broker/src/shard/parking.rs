//! Answers that wait until the high watermark has passed the records they rest on.
//!
//! Must never let an answer overtake an older one: a client could see what may still be undone.

use std::collections::VecDeque;

use milena_coordinator::group::{Reply, Ticket};
use milena_storage::ids::Offset;

#[derive(Debug, Default)]
pub(super) struct Parking {
    /// In the order of the offsets.
    waiting: VecDeque<(Offset, Vec<(Ticket, Reply)>)>,
}

impl Parking {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Answers that may go once the high watermark is at `end`.
    pub(super) fn park(&mut self, end: Offset, replies: Vec<(Ticket, Reply)>) {
        self.waiting.push_back((end, replies));
    }

    /// What the high watermark sets free.
    pub(super) fn release(&mut self, high_watermark: Offset) -> Vec<(Ticket, Reply)> {
        let mut free = Vec::new();
        while self.waiting.front().is_some_and(|(end, _)| *end <= high_watermark) {
            free.extend(self.waiting.pop_front().into_iter().flat_map(|(_, replies)| replies));
        }
        free
    }

    /// The high watermark that the oldest of them waits for.
    pub(super) fn next(&self) -> Option<Offset> {
        self.waiting.front().map(|(end, _)| *end)
    }

    /// Everybody who waits up to `end`, to be told that it took too long.
    pub(super) fn give_up(&mut self, end: Offset) -> Vec<Ticket> {
        self.release(end).into_iter().map(|(ticket, _)| ticket).collect()
    }

    pub(super) fn clear(&mut self) {
        self.waiting.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka_protocol::messages::HeartbeatResponse;

    fn reply(ticket: u64) -> Vec<(Ticket, Reply)> {
        vec![(Ticket(ticket), Reply::Heartbeat(HeartbeatResponse::default()))]
    }

    #[test]
    fn answers_go_when_their_records_are_committed_and_not_before() {
        let mut parking = Parking::default();
        parking.park(Offset(3), reply(1));
        parking.park(Offset(5), reply(2));
        parking.park(Offset(5), reply(3));
        let tickets =
            |replies: Vec<(Ticket, Reply)>| replies.iter().map(|(ticket, _)| ticket.0).collect::<Vec<_>>();
        assert_eq!(tickets(parking.release(Offset(2))), Vec::<u64>::new());
        assert_eq!(tickets(parking.release(Offset(3))), vec![1]);
        assert_eq!(parking.next(), Some(Offset(5)));
        assert_eq!(tickets(parking.release(Offset(9))), vec![2, 3]);
        assert!(parking.is_empty());
    }
}
