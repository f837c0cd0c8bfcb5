//! How many partitions somebody may still create and delete (KIP-599): a bucket that fills at the quota's rate
//! (`StrictControllerMutationQuota`, `PermissiveControllerMutationQuota`, `TokenBucket`).
//!
//! Must never fill it: time passes outside, between decisions.

use std::time::Duration;

use kafka_protocol::error::ResponseError;

use super::Refusal;

/// What is left for one request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Allowance {
    tokens: f64,
    /// Partitions per second.
    limit: f64,
    /// Refuses what comes once nothing is left; else the client is only told to wait.
    strict: bool,
    wait: Duration,
}

impl Allowance {
    #[must_use]
    pub fn new(tokens: f64, limit: f64, strict: bool) -> Self {
        Self { tokens, limit, strict, wait: Duration::ZERO }
    }

    /// What is left; less than nothing is owed.
    #[must_use]
    pub fn tokens(&self) -> f64 {
        self.tokens
    }

    /// How long the client has to wait until nothing is owed; zero if it did not ask for too much.
    #[must_use]
    pub fn wait(&self) -> Duration {
        self.wait
    }

    /// Takes what creating or deleting so many partitions costs. The last that is allowed may cost more than there is.
    pub(super) fn take(&mut self, partitions: usize) -> Result<(), Refusal> {
        if self.strict && self.tokens < 0.0 {
            self.wait = self.until_full();
            return Err(Refusal::bare(ResponseError::ThrottlingQuotaExceeded));
        }
        #[expect(clippy::cast_precision_loss, reason = "topics have fewer partitions than 2^52")]
        let cost = partitions as f64;
        self.tokens -= cost;
        if !self.strict && self.tokens < 0.0 {
            self.wait = self.until_full();
        }
        Ok(())
    }

    fn until_full(&self) -> Duration {
        Duration::try_from_secs_f64(-self.tokens / self.limit).unwrap_or(Duration::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_that_is_allowed_may_overdraw_and_then_a_strict_one_refuses() {
        let mut strict = Allowance::new(5.0, 2.0, true);
        assert_eq!((strict.take(9), strict.wait()), (Ok(()), Duration::ZERO));
        let refused = strict.take(1).unwrap_err();
        assert_eq!(refused.code, ResponseError::ThrottlingQuotaExceeded);
        assert_eq!((strict.wait(), strict.tokens()), (Duration::from_secs(2), -4.0));
        let mut permissive = Allowance::new(5.0, 2.0, false);
        assert_eq!((permissive.take(9), permissive.wait()), (Ok(()), Duration::from_secs(2)));
        assert_eq!((permissive.take(2), permissive.wait()), (Ok(()), Duration::from_secs(3)));
    }
}
