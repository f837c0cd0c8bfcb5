//! Who pays for what the controller creates and deletes (KIP-599): the client's name on its way to the controller, and there how many
//! partitions it may still have (`ControllerMutationQuotaManager`).
//!
//! Must never refuse anything: the controller's decisions do.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use kafka_protocol::protocol::StrBytes;
use milena_coordinator::controller::Allowance;
use milena_coordinator::image::{ClientQuotas, QuotaKey};
use parking_lot::Mutex;

use super::meter::milliseconds;
use super::rate::RateWindow;
use super::usage::{Client, Counted};

/// A client that asked for changes, and what it will be told.
#[derive(Clone, Debug)]
pub struct Payer {
    client: Client,
    /// It knows the error that refuses what is too much.
    strict: bool,
    wait_ms: Arc<AtomicU32>,
}

/// What clients have left at the controller.
#[derive(Debug)]
pub struct Mutations {
    window: RateWindow,
    left: Mutex<Counted<Bucket>>,
}

/// Partitions that may be changed at once, at a time; a new one is full.
#[derive(Clone, Copy, Debug, Default)]
struct Bucket(Option<(f64, Duration)>);

impl Payer {
    #[must_use]
    pub fn new(client: Client, strict: bool) -> Self {
        Self { client, strict, wait_ms: Arc::default() }
    }

    /// How long it has to wait, in milliseconds.
    #[must_use]
    pub fn wait_ms(&self) -> i32 {
        i32::try_from(self.wait_ms.load(Ordering::Relaxed)).unwrap_or(i32::MAX)
    }

    pub(crate) fn has_to_wait(&self, ms: u32) {
        self.wait_ms.store(ms, Ordering::Relaxed);
    }

    /// As it travels to the controller.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.put_u8(u8::from(self.strict));
        let id = self.client.id.as_deref();
        for text in [Some(&*self.client.user), id] {
            // Names in requests have 16-bit lengths already.
            out.put_i32(text.map_or(-1, |text| i32::try_from(text.len()).unwrap_or(i32::MAX)));
            out.put_slice(text.unwrap_or_default().as_bytes());
        }
    }

    /// Reads what [`Payer::encode`] wrote; `None` if it is something else.
    pub(crate) fn decode(from: &mut Bytes) -> Option<Self> {
        let strict = from.try_get_u8().ok()? != 0;
        let user = text(from)??;
        let id = text(from)?;
        Some(Self::new(Client { user: user.as_str().into(), id }, strict))
    }
}

fn text(from: &mut Bytes) -> Option<Option<StrBytes>> {
    let Ok(length) = usize::try_from(from.try_get_i32().ok()?) else { return Some(None) };
    if from.len() < length {
        return None;
    }
    let text = String::from_utf8(from.split_to(length).to_vec()).ok()?;
    Some(Some(StrBytes::from_string(text)))
}

impl Mutations {
    #[must_use]
    pub fn new(window: RateWindow) -> Self {
        Self { window, left: Mutex::default() }
    }

    /// What a client has left; `None` if it may change what it likes.
    #[must_use]
    pub fn open(&self, quotas: &ClientQuotas, payer: &Payer, now: Duration) -> Option<Allowance> {
        const KEY: QuotaKey = QuotaKey::ControllerMutationRate;
        let limit = quotas.limits_any(KEY).then(|| payer.client.limit(quotas, KEY)).flatten()?;
        let burst = limit * self.window.whole().as_secs_f64();
        let mut left = self.left.lock();
        let bucket = left.of(&payer.client, quotas, KEY, now, self.window.whole());
        let tokens = match bucket.0 {
            None => burst,
            Some((tokens, then)) => (tokens + limit * now.saturating_sub(then).as_secs_f64()).min(burst),
        };
        Some(Allowance::new(tokens, limit, payer.strict))
    }

    /// What it has left after the decision.
    pub fn close(&self, quotas: &ClientQuotas, payer: &Payer, allowance: &Allowance, now: Duration) {
        let mut left = self.left.lock();
        let quiet = self.window.whole();
        let bucket = left.of(&payer.client, quotas, QuotaKey::ControllerMutationRate, now, quiet);
        *bucket = Bucket(Some((allowance.tokens(), now)));
        payer.has_to_wait(milliseconds(allowance.wait()));
    }
}

#[cfg(test)]
mod tests {
    use super::super::meter::testing::image;
    use super::*;

    fn payer(id: Option<&str>) -> Payer {
        let id = id.map(|id| StrBytes::from_string(id.to_owned()));
        Payer::new(Client { user: "u".into(), id }, true)
    }

    #[test]
    fn what_was_used_comes_back_at_the_rate_of_the_quota() {
        let image = image(&[("/config/users/u", r#"{"controller_mutation_rate":"2"}"#)]);
        let quotas = image.quotas().unwrap();
        let mutations = Mutations::new(RateWindow { samples: 11, length: Duration::from_secs(1) });
        let at = Duration::from_secs;
        let left = |now| mutations.open(quotas, &payer(Some("c")), now).map(|left| left.tokens());
        assert_eq!(left(at(5)), Some(22.0));
        mutations.close(quotas, &payer(Some("c")), &Allowance::new(-4.0, 2.0, true), at(5));
        assert_eq!((left(at(5)), left(at(7)), left(at(60))), (Some(-4.0), Some(0.0), Some(22.0)));
        let other = Payer::new(Client { user: "v".into(), id: None }, true);
        assert_eq!(mutations.open(quotas, &other, at(5)), None);
    }

    #[test]
    fn a_payer_arrives_as_it_left() {
        for id in [None, Some(""), Some("client")] {
            let mut bytes = Vec::new();
            payer(id).encode(&mut bytes);
            let read = Payer::decode(&mut bytes.clone().into()).unwrap();
            assert_eq!((read.client.id.as_deref(), &*read.client.user, read.strict), (id, "u", true));
            bytes.pop();
            assert!(id.is_none_or(str::is_empty) || Payer::decode(&mut bytes.into()).is_none());
        }
    }
}
