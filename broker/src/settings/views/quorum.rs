//! What the node's place in the quorum is: who votes, where somebody is who knows, which secret nodes share.

use std::time::Duration;

use super::super::{Listener, Settings};

/// See the rows of the same names.
#[derive(Clone, PartialEq, Eq)]
pub struct QuorumSettings {
    /// Id and `host:port` of each voter (`controller.quorum.voters`).
    pub voters: Vec<(i32, String)>,
    /// `host:port` each (`controller.quorum.bootstrap.servers`).
    pub bootstrap: Vec<String>,
    /// The first is the one that controllers use among themselves (`controller.listener.names`).
    pub listener_names: Vec<String>,
    /// This controller asks for a vote of its own.
    pub auto_join: bool,
    pub secret: Option<String>,
    pub registration_timeout: Duration,
}

/// How a node begins that has no data yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beginning {
    /// As the only voter of a new cluster.
    Founder,
    /// As one of the configured voters.
    Voter,
    /// It is let in by others.
    Guest,
}

impl Settings {
    pub fn quorum(&self) -> QuorumSettings {
        QuorumSettings {
            voters: self.list("controller.quorum.voters").iter().filter_map(|text| voter(text)).collect(),
            bootstrap: self.list("controller.quorum.bootstrap.servers"),
            listener_names: self.list("controller.listener.names"),
            auto_join: self.boolean("controller.quorum.auto.join.enable"),
            secret: self.text("milena.cluster.secret").filter(|secret| !secret.is_empty()),
            registration_timeout: self.millis("initial.broker.registration.timeout.ms"),
        }
    }
}

impl QuorumSettings {
    /// Kafka has new clusters made by `kafka-storage format`. Here the configured voters make one; or, where only
    /// bootstrap servers are named, the controller that is named first.
    pub fn beginning(&self, node: i32, is_controller: bool, own: Option<&Listener>) -> Beginning {
        if !is_controller {
            return Beginning::Guest;
        }
        match (self.voters.as_slice(), self.bootstrap.as_slice()) {
            ([_], _) | ([], [] | [_]) => Beginning::Founder,
            ([], [first, ..]) if own.is_some_and(|own| is_at(own, first)) => Beginning::Founder,
            (voters, _) if voters.iter().any(|(id, _)| *id == node) => Beginning::Voter,
            _ => Beginning::Guest,
        }
    }

    /// Whether every node that is named is on this machine, so that no other machine has to be kept out.
    pub fn is_local(&self) -> bool {
        self.voters
            .iter()
            .map(|(_, address)| address)
            .chain(&self.bootstrap)
            .all(|address| is_loopback(address))
    }
}

/// `id@host:port`
pub(in super::super) fn voter(text: &str) -> Option<(i32, String)> {
    let (id, address) = text.trim().split_once('@')?;
    let (host, port) = address.rsplit_once(':')?;
    let _: u16 = port.parse().ok()?;
    (!host.is_empty()).then_some((id.trim().parse().ok().filter(|id| *id >= 0)?, address.to_owned()))
}

fn is_loopback(address: &str) -> bool {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Whether an address leads to this listener, as far as names tell.
fn is_at(listener: &Listener, address: &str) -> bool {
    let Some((host, port)) = address.rsplit_once(':') else { return false };
    let told = listener.advertised.as_ref();
    let same = told.is_some_and(|told| told.host == host && told.port.to_string() == port);
    let bound = listener.host.as_deref().unwrap_or_default();
    let everywhere = bound.is_empty() || bound == "0.0.0.0" || is_loopback(&format!("{bound}:0"));
    same || (listener.port.to_string() == port && (bound == host || (everywhere && is_loopback(address))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beginning(pairs: &[(&str, &str)]) -> Beginning {
        let settings = Settings::from_pairs(pairs).expect("texts of the right type");
        let node = settings.node();
        let own = settings.checked_listeners().expect("sound listeners").controller.into_iter().next();
        settings.quorum().beginning(node.id.0, node.is_controller, own.as_ref())
    }

    #[test]
    fn a_node_on_its_own_founds_and_configured_voters_begin_together() {
        assert_eq!(beginning(&[]), Beginning::Founder);
        assert_eq!(beginning(&[("controller.quorum.voters", "1@localhost:9093")]), Beginning::Founder);
        let three = ("controller.quorum.voters", "1@a:1,2@b:1,3@c:1");
        let names = ("controller.listener.names", "C");
        let listeners = ("listeners", "PLAINTEXT://:1,C://:2");
        let protocols = ("listener.security.protocol.map", "C:PLAINTEXT,PLAINTEXT:PLAINTEXT");
        assert_eq!(beginning(&[three, names, listeners, protocols]), Beginning::Voter);
        let broker = [three, names, ("process.roles", "broker"), ("node.id", "4")];
        assert_eq!(beginning(&broker), Beginning::Guest);
    }

    #[test]
    fn of_several_bootstrap_servers_the_first_founds() {
        let servers = ("controller.quorum.bootstrap.servers", "localhost:9093,localhost:9094");
        let names = ("controller.listener.names", "CONTROLLER");
        let at = |port| {
            (
                "listeners",
                if port == 9093 {
                    "PLAINTEXT://:1,CONTROLLER://:9093"
                } else {
                    "PLAINTEXT://:2,CONTROLLER://:9094"
                },
            )
        };
        assert_eq!(beginning(&[servers, names, at(9093)]), Beginning::Founder);
        assert_eq!(beginning(&[servers, names, at(9094)]), Beginning::Guest);
    }

    #[test]
    fn voters_are_read_strictly() {
        assert_eq!(voter("3@host:9093"), Some((3, "host:9093".to_owned())));
        for text in ["", "3", "3@host", "x@host:1", "-1@host:1", "3@host:x", "3@:1"] {
            assert_eq!(voter(text), None, "{text}");
        }
    }
}
