//! What listeners and connections get.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::Settings;

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
}

impl Settings {
    pub fn network(&self) -> NetworkSettings {
        NetworkSettings {
            listen_backlog: self.int("socket.listen.backlog.size"),
            send_buffer_bytes: self.positive("socket.send.buffer.bytes"),
            receive_buffer_bytes: self.positive("socket.receive.buffer.bytes"),
            request_max_bytes: self.count("socket.request.max.bytes"),
            queued_max_bytes: self.positive("queued.max.request.bytes"),
            connections: ConnectionSettings {
                max_idle: self.optional_millis("connections.max.idle.ms"),
                max: self.count("max.connections"),
                max_per_ip: self.count("max.connections.per.ip"),
                max_per_ip_overrides: self.limits_by_host(),
                max_creation_rate: self.count("max.connection.creation.rate"),
            },
            request_timeout: self.millis("request.timeout.ms"),
        }
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
