//! Waiting for a condition with a deadline: the only way in which a test may wait.
//!
//! It must never wait beyond its deadline; all but `until_or` panic then and say what did not happen.

use std::thread;
use std::time::{Duration, Instant};

/// Long enough for a JVM's start on a busy machine with two cores.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Asks again and again until there is an answer.
///
/// # Panics
/// When there is none after `patience`.
pub fn until<T>(patience: Duration, what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    let deadline = begin + patience;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "not within {patience:?}: {what}");
        // A tenth of the time so far: what takes milliseconds is seen in milliseconds.
        thread::sleep((begin.elapsed() / 10).clamp(Duration::from_micros(500), Duration::from_millis(100)));
    }
}

/// Comes back at this moment, or at once when it is over: for a load at a fixed rate, where nothing is waited for but the time.
pub fn at(moment: Instant) {
    thread::sleep(moment.saturating_duration_since(Instant::now()));
}

/// As `until`, for a caller that has more to say when the time is up.
pub fn until_or<T>(patience: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + patience;
    loop {
        let answer = ask();
        if answer.is_some() || Instant::now() > deadline {
            return answer;
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// Asks until the answer satisfies, and shows the last answer when the deadline passes.
///
/// # Panics
/// When no answer satisfied within `patience`.
pub fn until_like<T: std::fmt::Debug>(
    patience: Duration,
    what: &str,
    mut ask: impl FnMut() -> T,
    satisfied: impl Fn(&T) -> bool,
) -> T {
    let deadline = Instant::now() + patience;
    loop {
        let answer = ask();
        if satisfied(&answer) {
            return answer;
        }
        assert!(
            Instant::now() < deadline,
            "not within {patience:?}: {what}; the last answer was {answer:#?}"
        );
        thread::sleep(Duration::from_millis(50));
    }
}
