//! What clients have used of late: bytes and time, each counted with whom it shares its quota (`ClientQuotaManager`).
//!
//! Must never grow with the names that clients give themselves: who was quiet for as long as is looked back is forgotten, which makes no
//! difference, and above a limit newcomers are counted together.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::protocol::StrBytes;
use milena_coordinator::image::{ClientQuotas, QuotaKey};
use parking_lot::Mutex;

use super::rate::{Rate, RateWindow};

/// So many are counted apart for each quota; one takes about half a kilobyte.
const MAX_COUNTED: usize = 10_000;
/// With fewer nobody is forgotten: to look for them costs a walk.
const FORGET_FROM: usize = 256;
/// However many newcomers there are, the walk is not made more often.
const FORGET_EVERY: Duration = Duration::from_secs(1);

/// Who asks.
#[derive(Clone, Debug)]
pub struct Client {
    pub user: Arc<str>,
    pub id: Option<StrBytes>,
}

/// Who is counted together.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Sharers {
    user: Arc<str>,
    client: StrBytes,
}

/// What sharers have used, until they have been quiet for long enough.
#[derive(Debug)]
pub(super) struct Counted<S> {
    by_sharers: HashMap<Sharers, (S, Duration)>,
    /// Among so many the quiet ones are looked for, but not before this time.
    forget_at: usize,
    forget_after: Duration,
    nobody: Sharers,
}

/// What the clients of a broker have used.
#[derive(Debug)]
pub struct Usage {
    window: RateWindow,
    rates: [Mutex<Counted<Rate>>; RATES],
}

/// Keys that are rates of what a broker does.
const RATES: usize = 3;

impl Client {
    /// The limit that holds for it.
    #[must_use]
    pub fn limit(&self, quotas: &ClientQuotas, key: QuotaKey) -> Option<f64> {
        quotas.limit(key, &self.user, self.id.as_deref())
    }
}

impl<S: Default> Default for Counted<S> {
    fn default() -> Self {
        let nobody = Sharers { user: "".into(), client: StrBytes::default() };
        Self { by_sharers: HashMap::new(), forget_at: FORGET_FROM, forget_after: Duration::ZERO, nobody }
    }
}

impl<S: Default> Counted<S> {
    /// What the sharers of a client have used; quiet ones are forgotten after `quiet`.
    pub(super) fn of(
        &mut self,
        client: &Client,
        quotas: &ClientQuotas,
        key: QuotaKey,
        now: Duration,
        quiet: Duration,
    ) -> &mut S {
        let mut sharers = self.sharers(client, quotas, key);
        if !self.by_sharers.contains_key(&sharers) {
            if self.by_sharers.len() >= self.forget_at && now >= self.forget_after {
                self.by_sharers.retain(|_, (_, last)| now.saturating_sub(*last) < quiet);
                self.forget_at = (self.by_sharers.len() * 2).clamp(FORGET_FROM, MAX_COUNTED);
                self.forget_after = now + FORGET_EVERY;
            }
            if self.by_sharers.len() >= MAX_COUNTED {
                sharers = self.nobody.clone();
            }
            // A name that came in a request would keep the whole request in memory.
            sharers.client = StrBytes::from_string(sharers.client.to_string());
        }
        let (used, last) = self.by_sharers.entry(sharers).or_default();
        *last = now;
        used
    }

    fn sharers(&self, client: &Client, quotas: &ClientQuotas, key: QuotaKey) -> Sharers {
        let sharing = quotas.sharing(key, &client.user, client.id.as_deref());
        let user = if sharing.by_user { &client.user } else { &self.nobody.user };
        let id = client.id.as_ref().filter(|_| sharing.by_client).unwrap_or(&self.nobody.client);
        Sharers { user: Arc::clone(user), client: id.clone() }
    }
}

impl Usage {
    #[must_use]
    pub fn new(window: RateWindow) -> Self {
        Self { window, rates: Default::default() }
    }

    /// Counts what a client used and tells how long it has to wait for it; whoever may use what it likes is not counted.
    pub fn record(
        &self,
        quotas: &ClientQuotas,
        key: QuotaKey,
        client: &Client,
        amount: f64,
        now: Duration,
    ) -> Duration {
        let Some(limit) = client.limit(quotas, key) else { return Duration::ZERO };
        let mut counted = self.rates[key as usize].lock();
        let rate = counted.of(client, quotas, key, now, self.window.whole());
        rate.record(amount, now, self.window);
        let pause = rate.pause(now, limit, self.window);
        match key {
            // Longer than a window would not be fair to who did something costly once.
            QuotaKey::RequestPercentage => pause.min(self.window.length),
            _ => pause,
        }
    }

    /// Bytes that a client could have at once without having to wait (`maxValueInQuotaWindow`).
    #[must_use]
    pub fn most_at_once(&self, quotas: &ClientQuotas, key: QuotaKey, client: &Client) -> usize {
        let most = client.limit(quotas, key).map_or(f64::INFINITY, |limit| {
            limit * f64::from(self.window.samples - 1) * self.window.length.as_secs_f64()
        });
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "casts saturate")]
        let most = most as usize;
        most
    }
}

#[cfg(test)]
mod tests {
    use milena_coordinator::image::MetadataImage;

    use super::*;

    const KEY: QuotaKey = QuotaKey::ProducerByteRate;
    const WINDOW: RateWindow = RateWindow { samples: 11, length: Duration::from_secs(1) };

    fn client(user: &str, id: &str) -> Client {
        Client { user: user.into(), id: Some(StrBytes::from_string(id.to_owned())) }
    }

    fn quotas(entities: &[(&str, &str)]) -> Arc<ClientQuotas> {
        let image = super::super::meter::testing::image(entities);
        Arc::clone(MetadataImage::quotas(&image).unwrap())
    }

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn who_shares_a_quota_is_counted_together_and_others_are_not() {
        let usage = Usage::new(WINDOW);
        let of_users = quotas(&[("/config/users/u", r#"{"producer_byte_rate":"100"}"#)]);
        let record =
            |quotas: &ClientQuotas, client: &Client| usage.record(quotas, KEY, client, 1000.0, seconds(1));
        assert_eq!(record(&of_users, &client("u", "a")), Duration::ZERO);
        assert_eq!(record(&of_users, &client("u", "b")), seconds(10), "another client of the same user");
        assert_eq!(record(&of_users, &client("v", "a")), Duration::ZERO);
        let of_clients = quotas(&[("/config/clients/<default>", r#"{"producer_byte_rate":"100"}"#)]);
        assert_eq!(record(&of_clients, &client("u", "a")), Duration::ZERO);
        assert_eq!(
            record(&of_clients, &client("v", "a")),
            seconds(10),
            "another user's client of the same name"
        );
        assert_eq!(record(&of_clients, &client("u", "b")), Duration::ZERO);
    }

    #[test]
    fn a_changed_quota_holds_at_once() {
        let usage = Usage::new(WINDOW);
        let quota = |limit: u32| {
            let config = format!(r#"{{"producer_byte_rate":"{limit}"}}"#);
            quotas(&[("/config/clients/c", &config)])
        };
        let client = client("u", "c");
        assert_eq!(usage.record(&quota(100), KEY, &client, 2000.0, seconds(1)), seconds(10));
        assert_eq!(usage.record(&quota(200), KEY, &client, 0.0, seconds(1)), Duration::ZERO);
        assert_eq!(usage.record(&quota(50), KEY, &client, 0.0, seconds(1)), seconds(30));
        assert_eq!(usage.most_at_once(&quota(50), KEY, &client), 500);
    }

    #[test]
    fn request_time_never_waits_longer_than_a_window() {
        let usage = Usage::new(WINDOW);
        let quotas = quotas(&[("/config/clients/c", r#"{"request_percentage":"1"}"#)]);
        let key = QuotaKey::RequestPercentage;
        assert_eq!(usage.record(&quotas, key, &client("u", "c"), 100.0, seconds(1)), seconds(1));
        assert_eq!(usage.record(&quotas, KEY, &client("u", "c"), 1e9, seconds(1)), Duration::ZERO);
    }

    #[test]
    fn names_without_end_do_not_take_memory_without_end() {
        let usage = Usage::new(WINDOW);
        let quotas = quotas(&[("/config/clients/<default>", r#"{"producer_byte_rate":"100"}"#)]);
        let counted = || usage.rates[KEY as usize].lock().by_sharers.len();
        let come = |names: std::ops::Range<usize>, now| {
            let come = |name: usize| usage.record(&quotas, KEY, &client("u", &name.to_string()), 600.0, now);
            names.map(come).filter(|pause| !pause.is_zero()).count()
        };
        assert_eq!(come(0..MAX_COUNTED, seconds(1)), 0);
        assert_eq!(come(MAX_COUNTED..MAX_COUNTED + 10, seconds(1)), 9, "the first of them is free");
        assert_eq!(counted(), MAX_COUNTED + 1);
        assert_eq!(come(0..FORGET_FROM, seconds(60)), 0);
        come(MAX_COUNTED * 2..MAX_COUNTED * 3, seconds(60));
        assert!(counted() <= MAX_COUNTED + 1, "{}", counted());
        come(0..1, seconds(120));
        come(MAX_COUNTED * 4..MAX_COUNTED * 5, seconds(200));
        assert!(counted() <= MAX_COUNTED + 1, "{}", counted());
    }
}
