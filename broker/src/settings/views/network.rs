//! What listeners and connections get.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::Settings;
use crate::quotas::rate::RateWindow;

/// Sockets and request frames.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkSettings {
    pub listen_backlog: i32,
    /// `None` leaves the operating system's choice.
    pub send_buffer_bytes: Option<usize>,
    pub receive_buffer_bytes: Option<usize>,
    pub request_max_bytes: usize,
    /// Bytes of requests in memory at a time; `None` leaves it to the broker's memory budget.
    pub queued_max_bytes: Option<usize>,
    pub connections: ConnectionSettings,
    pub request_timeout: Duration,
    /// How long the answer to a failed authentication is held back.
    pub failed_authentication_delay: Duration,
}

/// Limits on connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionSettings {
    /// `None`: never closed for idleness.
    pub max_idle: Option<Duration>,
    pub max: usize,
    pub max_per_ip: usize,
    /// Host name or address to its own limit.
    pub max_per_ip_overrides: BTreeMap<String, usize>,
    /// New connections per second.
    pub max_creation_rate: usize,
    /// Limits of single listeners, by name in lower case.
    pub by_listener: BTreeMap<String, ListenerLimits>,
    /// The listener between brokers, for which the broker's limits do not hold if there are others.
    pub inter_broker_listener: String,
    /// Over what the rate is measured.
    pub rate_window: RateWindow,
}

/// What one listener may have: its own value of a setting, or the broker's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenerLimits {
    pub max: usize,
    pub max_creation_rate: usize,
}

impl Default for ConnectionSettings {
    fn default() -> Self {
        Settings::default().connections()
    }
}

impl Settings {
    pub fn network(&self) -> NetworkSettings {
        NetworkSettings {
            listen_backlog: self.int("socket.listen.backlog.size"),
            send_buffer_bytes: self.positive("socket.send.buffer.bytes"),
            receive_buffer_bytes: self.positive("socket.receive.buffer.bytes"),
            request_max_bytes: self.count("socket.request.max.bytes"),
            queued_max_bytes: self.positive("queued.max.request.bytes"),
            connections: self.connections(),
            request_timeout: self.millis("request.timeout.ms"),
            failed_authentication_delay: self.millis("connection.failed.authentication.delay.ms"),
        }
    }

    pub fn connections(&self) -> ConnectionSettings {
        ConnectionSettings {
            max_idle: self.optional_millis("connections.max.idle.ms"),
            max: self.count("max.connections"),
            max_per_ip: self.count("max.connections.per.ip"),
            max_per_ip_overrides: self.limits_by_host(),
            max_creation_rate: self.count("max.connection.creation.rate"),
            by_listener: self.limits_by_listener(),
            inter_broker_listener: self
                .text("inter.broker.listener.name")
                .or_else(|| self.text("security.inter.broker.protocol"))
                .unwrap_or_default(),
            rate_window: self.quota_window(),
        }
    }

    /// Over what quotas of clients are measured.
    pub fn quota_window(&self) -> RateWindow {
        self.rate_window("quota.window.num", "quota.window.size.seconds")
    }

    /// Over what quotas on changes of metadata are measured.
    pub fn mutation_window(&self) -> RateWindow {
        self.rate_window("controller.quota.window.num", "controller.quota.window.size.seconds")
    }

    fn rate_window(&self, samples: &str, seconds: &str) -> RateWindow {
        let seconds = u64::try_from(self.long(seconds)).unwrap_or_default();
        RateWindow {
            samples: u32::try_from(self.count(samples)).unwrap_or(u32::MAX).max(1),
            length: Duration::from_secs(seconds.max(1)),
        }
    }

    /// `listener.name.<name>.max.connections` and `listener.name.<name>.max.connection.creation.rate`.
    fn limits_by_listener(&self) -> BTreeMap<String, ListenerLimits> {
        let keys = self.given().keys().chain(self.cluster_wide().keys()).chain(self.per_broker().keys());
        let names = keys.filter_map(|key| {
            let (listener, base) = key.strip_prefix("listener.name.")?.split_once('.')?;
            matches!(base, "max.connections" | "max.connection.creation.rate").then(|| listener.to_owned())
        });
        let of_listener = |listener: String| {
            let own = |base: &str| {
                let found = self.find(&format!("listener.name.{listener}.{base}"));
                found.and_then(|found| found.text.trim().parse().ok()).unwrap_or_else(|| self.count(base))
            };
            let limits = ListenerLimits {
                max: own("max.connections"),
                max_creation_rate: own("max.connection.creation.rate"),
            };
            (listener, limits)
        };
        names.map(of_listener).collect()
    }

    fn positive(&self, name: &str) -> Option<usize> {
        Some(self.count(name)).filter(|&count| count > 0)
    }

    fn limits_by_host(&self) -> BTreeMap<String, usize> {
        let text = self.text("max.connections.per.ip.overrides").unwrap_or_default();
        text.split(',')
            .filter_map(|pair| {
                // The last colon divides, so that an IPv6 address may stand before it.
                let (host, limit) = pair.trim().rsplit_once(':')?;
                Some((host.trim().to_owned(), limit.trim().parse().ok()?))
            })
            .collect()
    }
}
