//! Listeners, sockets and connection limits.
//!
//! Must never hold a value that was set; names, types and defaults are those of Kafka 4.3.1 (SocketServerConfigs).

use super::super::row::{Kind, Row};

#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    Row::unset("advertised.listeners", Kind::List).distinct(false).high()
        .doc(""),
    Row::int("connection.failed.authentication.delay.ms", "100").at_least(0.0).low().accepted()
        .doc(""),
    Row::long("connections.max.idle.ms", "600000")
        .doc(""),
    Row::long("connections.max.reauth.ms", "0").accepted().kip(368)
        .doc(""),
    Row::unset("early.start.listeners", Kind::List).distinct(true).high().accepted().kip(801)
        .doc(""),
    Row::text("listener.security.protocol.map", "SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT").low().per_broker().kip(103)
        .doc(""),
    Row::list("listeners", "PLAINTEXT://:9092").own("PLAINTEXT://127.0.0.1:9092").distinct(false).high().per_broker()
        .doc(""),
    Row::int("max.connection.creation.rate", "2147483647").at_least(0.0).cluster_wide().accepted().kip(612)
        .doc(""),
    Row::int("max.connections", "2147483647").at_least(0.0).cluster_wide().kip(402)
        .doc(""),
    Row::int("max.connections.per.ip", "2147483647").at_least(0.0).cluster_wide()
        .doc(""),
    Row::text("max.connections.per.ip.overrides", "").cluster_wide()
        .doc(""),
    Row::int("num.io.threads", "8").at_least(1.0).high().cluster_wide().accepted()
        .doc(""),
    Row::int("num.network.threads", "3").at_least(1.0).high().cluster_wide().accepted()
        .doc(""),
    Row::long("queued.max.request.bytes", "-1")
        .doc(""),
    Row::int("queued.max.requests", "500").at_least(1.0).high().accepted()
        .doc(""),
    Row::long("socket.connection.setup.timeout.max.ms", "30000").accepted()
        .doc(""),
    Row::long("socket.connection.setup.timeout.ms", "10000").accepted()
        .doc(""),
    Row::int("socket.listen.backlog.size", "50").at_least(1.0)
        .doc(""),
    Row::int("socket.receive.buffer.bytes", "102400").high()
        .doc(""),
    Row::int("socket.request.max.bytes", "104857600").at_least(1.0).high()
        .doc(""),
    Row::int("socket.send.buffer.bytes", "102400").high()
        .doc(""),
];
