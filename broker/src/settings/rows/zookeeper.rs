//! The listener of ZooKeeper's client protocol.
//!
//! Must never hold a value that was set. Kafka has none of these: names and defaults are near ZooKeeper's own.

use super::super::row::{Kind, Row};

#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    Row::list("zookeeper.4lw.commands.whitelist", "envi,isro,ruok,srvr").distinct(true).hidden()
        .doc("The four-letter words that are answered, of conf, cons, envi, isro, mntr, ruok, srvr, stat and wchs; * is all of them. ZooKeeper's 4lw.commands.whitelist."),
    Row::int("zookeeper.container.check.interval.ms", "60000").at_least(1.0).hidden()
        .doc("How often the leader removes empty container nodes and TTL nodes whose time has passed. ZooKeeper's znode.container.checkIntervalMs."),
    Row::int("zookeeper.jute.maxbuffer", "1048575").between(1024.0, 1048575.0).hidden()
        .doc("The largest request of a client; a larger one closes its connection. ZooKeeper's jute.maxbuffer."),
    Row::text("zookeeper.listener", "").hidden()
        .doc("Where clients of ZooKeeper find this node, as host:port; port 0 is a free one. Empty, ZooKeeper's protocol is not served. It is not encrypted, so it belongs on a loopback or private address."),
    Row::int("zookeeper.max.client.connections", "60").at_least(0.0).hidden()
        .doc("The most connections from one address at a time; 0 is no limit. ZooKeeper's maxClientCnxns."),
    Row::int("zookeeper.max.connections", "10000").at_least(0.0).hidden()
        .doc("The most connections at a time; 0 is no limit. ZooKeeper's maxCnxns."),
    Row::int("zookeeper.max.session.timeout.ms", "40000").at_least(1.0).hidden()
        .doc("The longest session time-out that a client gets. ZooKeeper's maxSessionTimeout, which is 20 ticks of 2 seconds."),
    Row::int("zookeeper.min.session.timeout.ms", "4000").at_least(1.0).hidden()
        .doc("The shortest session time-out that a client gets. ZooKeeper's minSessionTimeout, which is 2 ticks of 2 seconds."),
    Row::int("zookeeper.outstanding.limit", "1000").at_least(1.0).hidden()
        .doc("The most requests of one connection that are not answered yet; further ones are not read. ZooKeeper's globalOutstandingLimit."),
    Row::unset("zookeeper.super.digest", Kind::Password).hidden()
        .doc("user:digest of the super user, who may do everything, also below the nodes that are Kafka's; unset, there is none. The digest is the base64 of the SHA-1 of user:password, as ZooKeeper's DigestAuthenticationProvider.superDigest."),
];
