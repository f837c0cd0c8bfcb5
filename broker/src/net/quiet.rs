//! Keeps hostile or broken clients from filling the log: a few lines per period, then a count.
//!
//! Must never be used for the broker's own errors.

use std::time::Duration;

use parking_lot::Mutex;

/// Lines that may be written per period.
const LINES: u32 = 20;
const PERIOD: Duration = Duration::from_secs(10);

/// Decides whether a line is written.
#[derive(Debug, Default)]
pub(super) struct Gate {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    since: Duration,
    written: u32,
    suppressed: u64,
}

impl Gate {
    /// `Some(n)`: write the line, `n` were left out before it.
    pub(super) fn pass(&self, now: Duration) -> Option<u64> {
        let mut state = self.state.lock();
        if now.saturating_sub(state.since) >= PERIOD {
            state.since = now;
            state.written = 0;
        }
        if state.written == LINES {
            state.suppressed += 1;
            return None;
        }
        state.written += 1;
        Some(std::mem::take(&mut state.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_counted_and_told_in_the_next_period() {
        let gate = Gate::default();
        let written = (0..1000).filter(|_| gate.pass(Duration::from_secs(1)).is_some()).count();
        assert_eq!(written, LINES as usize);
        assert_eq!(gate.pass(Duration::from_secs(11)), Some(1000 - u64::from(LINES)));
        assert_eq!(gate.pass(Duration::from_secs(11)), Some(0));
    }
}
