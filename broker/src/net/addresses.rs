//! Quotas of addresses: how many connections one may open per second (KIP-612; `ConnectionQuotas.recordIpConnectionMaybeThrottle`).
//!
//! Must never grow with the addresses that come: quiet ones are forgotten.

use std::collections::BTreeMap;
use std::net::{IpAddr, ToSocketAddrs};
use std::time::Duration;

use milena_coordinator::image::ClientQuotas;

use crate::quotas::rate::{Rate, RateWindow};

/// So many addresses are counted; while all of them are busy, others are not.
const MAX_COUNTED: usize = 10_000;

/// Connections per second that hold at the moment.
#[derive(Debug, Default)]
pub(super) struct AddressRates {
    by_address: BTreeMap<IpAddr, f64>,
    others: Option<f64>,
}

/// What addresses have opened of late.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    rates: AddressRates,
    counted: BTreeMap<IpAddr, (Rate, Duration)>,
}

impl AddressRates {
    /// Host names are resolved, which may block; one that has no address limits nobody.
    pub(super) fn of(quotas: Option<&ClientQuotas>) -> Self {
        let Some(quotas) = quotas else { return Self::default() };
        let resolved = quotas.connection_rates().filter_map(|(host, rate)| {
            let address = (&**host, 0).to_socket_addrs().ok()?.next()?;
            Some((address.ip().to_canonical(), rate))
        });
        Self { by_address: resolved.collect(), others: quotas.default_connection_rate() }
    }
}

impl Addresses {
    pub(super) fn set(&mut self, rates: AddressRates) {
        self.rates = rates;
    }

    /// Counts a connection, or tells for how long it came too soon; one that is refused does not count.
    pub(super) fn too_fast(&mut self, ip: IpAddr, now: Duration, window: RateWindow) -> Option<Duration> {
        let limit = self.rates.by_address.get(&ip).copied().or(self.rates.others)?;
        if !self.counted.contains_key(&ip) && self.counted.len() >= MAX_COUNTED {
            self.counted.retain(|_, (_, last)| now.saturating_sub(*last) < window.whole());
            if self.counted.len() >= MAX_COUNTED {
                return None;
            }
        }
        let (rate, last) = self.counted.entry(ip).or_default();
        *last = now;
        let pause = rate.count(now, limit, window);
        if pause.is_zero() {
            return None;
        }
        rate.record(-1.0, now, window);
        Some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quotas::meter::testing::image;

    const WINDOW: RateWindow = RateWindow { samples: 11, length: Duration::from_secs(1) };

    #[test]
    fn an_address_has_its_rate_and_all_others_share_a_default_but_not_a_count() {
        let image = image(&[
            ("/config/ips/127.0.0.1", r#"{"connection_creation_rate":"2"}"#),
            ("/config/ips/<default>", r#"{"connection_creation_rate":"1"}"#),
        ]);
        let mut addresses = Addresses::default();
        addresses.set(AddressRates::of(image.quotas().map(AsRef::as_ref)));
        let now = Duration::from_secs(9);
        let mut free = |ip: &str| {
            let ip = ip.parse().unwrap();
            (0..100).filter(|_| addresses.too_fast(ip, now, WINDOW).is_none()).count()
        };
        assert_eq!((free("127.0.0.1"), free("127.0.0.2"), free("127.0.0.3")), (20, 10, 10));
        assert_eq!(free("127.0.0.1"), 0);
        addresses.set(AddressRates::of(None));
        assert_eq!(addresses.too_fast("127.0.0.1".parse().unwrap(), now, WINDOW), None);
    }

    #[test]
    fn addresses_without_end_do_not_take_memory_without_end() {
        let image = image(&[("/config/ips/<default>", r#"{"connection_creation_rate":"1"}"#)]);
        let mut addresses = Addresses::default();
        addresses.set(AddressRates::of(image.quotas().map(AsRef::as_ref)));
        for seconds in 0..3 {
            for n in 0..u32::try_from(MAX_COUNTED).unwrap() {
                let ip = IpAddr::from((n + seconds * 1_000_000).to_be_bytes());
                assert_eq!(
                    addresses.too_fast(ip, Duration::from_secs(u64::from(seconds) * 60), WINDOW),
                    None
                );
            }
        }
        assert_eq!(addresses.counted.len(), MAX_COUNTED);
    }
}
