//! Ports for servers that must be told theirs.
//!
//! It must never give one that the system may hand to an outgoing connection meanwhile: a server that is stopped and started
//! again would find its port taken.

use std::env;
use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::process;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};

use rustix::fs::{FlockOperation, flock};

/// Below the ports that Linux gives to outgoing connections (32768 and up), above those that well-known servers use.
const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;
/// How many of them a process takes for itself.
const BAND: u16 = 1_000;

/// A port of the loopback that nobody listens on, and that this process did not give before.
///
/// # Panics
/// When no port of the range is free.
#[must_use]
pub fn free() -> u16 {
    static GIVEN: AtomicU16 = AtomicU16::new(0);
    let first = band();
    (0..BAND)
        .find_map(|_| {
            let port = first + GIVEN.fetch_add(1, Ordering::Relaxed) % BAND;
            TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok().map(|_| port)
        })
        .expect("a port of the band is free")
}

/// The first port of this process: its band is nobody else's as long as it runs, since a port that a stopped server shall have again
/// looks free to others meanwhile.
fn band() -> u16 {
    static TAKEN: OnceLock<(u16, Option<File>)> = OnceLock::new();
    TAKEN
        .get_or_init(|| {
            let take = |number: u16| {
                let file = File::create(env::temp_dir().join(format!("milena-ports-{number}"))).ok()?;
                flock(&file, FlockOperation::NonBlockingLockExclusive).ok()?;
                Some((FIRST + number * BAND, Some(file)))
            };
            // With more processes than bands they begin at different places at least.
            let anywhere = || {
                let number = process::id().wrapping_mul(97) % u32::from(COUNT - BAND);
                (FIRST + u16::try_from(number).expect("below the count"), None)
            };
            (0..COUNT / BAND).find_map(take).unwrap_or_else(anywhere)
        })
        .0
}

/// The first of so many ports in a row, on terms as those of `free`.
///
/// # Panics
/// When there is no such row.
#[must_use]
pub fn free_row(count: u16) -> u16 {
    let mut row = Vec::new();
    for _ in 0..BAND {
        let next = free();
        if row.last().is_some_and(|last| last + 1 != next) {
            row.clear();
        }
        row.push(next);
        if row.len() == usize::from(count) {
            return row[0];
        }
    }
    panic!("no {count} ports in a row are free");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_ports_are_given_once() {
        let (first, second) = (free_row(6), free_row(6));
        assert!((FIRST..FIRST + COUNT - 5).contains(&first) && first.abs_diff(second) >= 6);
    }
}
