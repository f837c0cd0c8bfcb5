//! Ports for servers that must be told theirs.
//!
//! It must never give one that the system may hand to an outgoing connection meanwhile: a server that is stopped and started
//! again would find its port taken.

use std::net::{Ipv4Addr, TcpListener};
use std::process;
use std::sync::atomic::{AtomicU16, Ordering};

/// Below the ports that Linux gives to outgoing connections (32768 and up), above those that well-known servers use.
const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

/// A port of the loopback that nobody listens on, and that this process did not give before.
///
/// # Panics
/// When no port of the range is free.
#[must_use]
pub fn free() -> u16 {
    static GIVEN: AtomicU16 = AtomicU16::new(0);
    // Processes that run at once begin at different places.
    let begin = process::id().wrapping_mul(97);
    (0..COUNT)
        .find_map(|_| {
            let turn = begin.wrapping_add(u32::from(GIVEN.fetch_add(1, Ordering::Relaxed)));
            let port = FIRST + u16::try_from(turn % u32::from(COUNT)).expect("below the count");
            TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok().map(|_| port)
        })
        .expect("a port of the range is free")
}

/// The first of so many ports in a row, on terms as those of `free`.
///
/// # Panics
/// When there is no such row.
#[must_use]
pub fn free_row(count: u16) -> u16 {
    let mut row = Vec::new();
    for _ in 0..COUNT {
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
