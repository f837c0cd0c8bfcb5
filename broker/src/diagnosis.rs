//! Clients that were told an advertised address and never come there: named once, with the remedy.
//!
//! A client opens a connection to the address that Metadata has told it, or goes on where it is if it is there already. One that cannot
//! reach it asks for metadata again and again where it began, and for nothing else. Must never cost a request more than one load
//! while nobody is waited for, nor speak of the same client twice.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use kafka_protocol::protocol::StrBytes;
use parking_lot::Mutex;

/// Whoever could come would have come by then: connections are opened at once.
const SUSPICIOUS_MS: i64 = 5_000;
/// Clients that are well ask for metadata every few minutes.
const FORGOTTEN_MS: i64 = 60_000;
/// How often one asks at least that cannot get on.
const ASKED_MIN: u32 = 3;
/// Clients that are waited for, those that got on, and those that were named; beyond them nobody is watched.
const CLIENTS_MAX: usize = 1_000;

/// What a broker knows of those who were told where to go.
#[derive(Debug, Default)]
pub struct Diagnosis {
    waiting: AtomicBool,
    clients: Mutex<Clients>,
}

/// Whoever asks: an address and a client id.
pub type Client = (IpAddr, StrBytes);

/// A copy that does not hold on to the request that the name came with.
fn kept((host, id): &Client) -> Client {
    (*host, StrBytes::from_string(id.as_str().to_owned()))
}

#[derive(Debug, Default)]
struct Clients {
    waiting: BTreeMap<Client, Waiting>,
    /// They are not waited for again: what they do between two requests for metadata would have to be looked at, request by request.
    well: BTreeSet<Client>,
    named: BTreeSet<Client>,
}

/// Somebody who was told, and has not come yet.
#[derive(Debug)]
struct Waiting {
    connection: u64,
    since_ms: i64,
    asked: u32,
}

impl Diagnosis {
    /// Whether anybody is waited for.
    #[inline]
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.waiting.load(Ordering::Relaxed)
    }

    /// A client asks for metadata. For how many seconds it has, if it is to be named now.
    #[must_use]
    pub fn asks_for_metadata(&self, client: Client, connection: u64, now_ms: i64) -> Option<i64> {
        let mut clients = self.clients.lock();
        let lost = clients.asks_for_metadata(client, connection, now_ms);
        self.waiting.store(!clients.waiting.is_empty(), Ordering::Relaxed);
        lost
    }

    /// A client asks for something else: it got on.
    pub fn asks_for_more(&self, client: &Client) {
        let mut clients = self.clients.lock();
        if clients.waiting.remove(client).is_some() && clients.well.len() < CLIENTS_MAX {
            clients.well.insert(kept(client));
        }
        self.waiting.store(!clients.waiting.is_empty(), Ordering::Relaxed);
    }
}

impl Clients {
    fn asks_for_metadata(&mut self, client: Client, connection: u64, now_ms: i64) -> Option<i64> {
        if self.well.contains(&client) || self.named.contains(&client) {
            return None;
        }
        self.waiting.retain(|_, each| now_ms - each.since_ms < FORGOTTEN_MS);
        let sizes = [self.waiting.len(), self.well.len(), self.named.len()];
        let room = sizes.iter().all(|size| *size < CLIENTS_MAX);
        let new = || Waiting { connection, since_ms: now_ms, asked: 0 };
        let waiting = match self.waiting.get_mut(&client) {
            Some(waiting) => waiting,
            None if room => self.waiting.entry(kept(&client)).or_insert_with(new),
            None => return None,
        };
        if waiting.connection != connection {
            // It came, or began anew: either way this is another story.
            *waiting = new();
        }
        waiting.asked += 1;
        let waited = now_ms - waiting.since_ms;
        if waited < SUSPICIOUS_MS || waiting.asked < ASKED_MIN {
            return None;
        }
        self.waiting.remove(&client);
        self.named.insert(kept(&client));
        Some(waited / 1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(id: &str) -> Client {
        ("10.0.0.7".parse().expect("an address"), StrBytes::from_string(id.to_owned()))
    }

    #[test]
    fn who_asks_again_and_again_and_for_nothing_else_is_named_once() {
        let diagnosis = Diagnosis::default();
        let ask = |now| diagnosis.asks_for_metadata(client("app"), 1, now);
        assert!(!diagnosis.is_waiting());
        assert_eq!([0, 100, 4_999].map(ask), [None; 3]);
        assert!(diagnosis.is_waiting());
        assert_eq!(ask(5_000), Some(5));
        assert_eq!([6_000, 12_000, 90_000].map(ask), [None; 3]);
        assert!(!diagnosis.is_waiting());
    }

    #[test]
    fn who_gets_on_is_not() {
        let diagnosis = Diagnosis::default();
        let ask = |connection, now| diagnosis.asks_for_metadata(client("app"), connection, now);
        assert_eq!([ask(1, 0), ask(1, 10)], [None; 2]);
        diagnosis.asks_for_more(&client("app"));
        assert!(!diagnosis.is_waiting());
        assert_eq!(
            [ask(1, 20), ask(1, 5_500), ask(1, 5_600), ask(1, 5_700)],
            [None; 4],
            "it was elsewhere before"
        );
        assert!(!diagnosis.is_waiting(), "so its requests cost nothing from here on");
    }

    #[test]
    fn who_asks_seldom_or_elsewhere_is_not() {
        let diagnosis = Diagnosis::default();
        let ask = |connection, now| diagnosis.asks_for_metadata(client("app"), connection, now);
        assert_eq!([ask(1, 20), ask(1, 5_500), ask(2, 5_600), ask(2, 5_700)], [None; 4]);
        diagnosis.asks_for_more(&client("other"));
        assert!(diagnosis.is_waiting());
        // Refreshes of a client that works elsewhere.
        assert_eq!([ask(3, 100_000), ask(3, 400_000), ask(3, 700_000), ask(3, 1_000_000)], [None; 4]);
    }

    #[test]
    fn there_is_a_limit() {
        let diagnosis = Diagnosis::default();
        for index in 0..2 * CLIENTS_MAX {
            assert_eq!(diagnosis.asks_for_metadata(client(&index.to_string()), 1, 0), None);
        }
        assert_eq!(diagnosis.clients.lock().waiting.len(), CLIENTS_MAX);
    }
}
