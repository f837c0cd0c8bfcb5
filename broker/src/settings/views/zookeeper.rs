//! What the front end for ZooKeeper's clients gets.

use std::time::Duration;

use super::super::Settings;

/// See the rows of the same names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZooKeeperSettings {
    /// Host and port; `None`: not served.
    pub listener: Option<(String, u16)>,
    pub timeout_min: i32,
    pub timeout_max: i32,
    pub frame_bytes: usize,
    /// Requests of one connection that are not answered yet.
    pub outstanding: usize,
    /// 0 is no limit.
    pub connections: usize,
    /// 0 is no limit.
    pub connections_per_ip: usize,
    pub container_check: Duration,
    pub super_digest: Option<String>,
    /// Four-letter words that are answered.
    pub words: Vec<String>,
}

impl Settings {
    pub fn zookeeper(&self) -> ZooKeeperSettings {
        let timeout_min = self.int("zookeeper.min.session.timeout.ms");
        ZooKeeperSettings {
            listener: self.text("zookeeper.listener").as_deref().and_then(host_and_port),
            timeout_min,
            timeout_max: self.int("zookeeper.max.session.timeout.ms").max(timeout_min),
            frame_bytes: self.count("zookeeper.jute.maxbuffer"),
            outstanding: self.count("zookeeper.outstanding.limit"),
            connections: self.count("zookeeper.max.connections"),
            connections_per_ip: self.count("zookeeper.max.client.connections"),
            container_check: self.millis("zookeeper.container.check.interval.ms"),
            super_digest: self.text("zookeeper.super.digest"),
            words: self.list("zookeeper.4lw.commands.whitelist"),
        }
    }
}

/// `host:port`, `[::1]:port`, `:port` or a port alone.
pub(super) fn host_and_port(text: &str) -> Option<(String, u16)> {
    let text = text.trim();
    let (host, port) = text.rsplit_once(':').unwrap_or(("", text));
    Some((host.to_owned(), port.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_a_host_and_a_port() {
        for (text, expected) in [
            ("", None),
            ("127.0.0.1:2181", Some(("127.0.0.1", 2181))),
            ("[::1]:0", Some(("[::1]", 0))),
            (":2181", Some(("", 2181))),
            ("2181", Some(("", 2181))),
            ("host:x", None),
        ] {
            let expected = expected.map(|(host, port): (&str, u16)| (host.to_owned(), port));
            assert_eq!(host_and_port(text), expected, "{text}");
        }
    }
}
