//! Listeners, sockets and connection limits.
//!
//! Must never hold a value that was set; names, types and defaults are those of Kafka 4.3.1 (SocketServerConfigs).

use super::super::row::{Kind, Row};

#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    Row::unset("advertised.listeners", Kind::List).distinct(false).high()
        .doc("The addresses that clients are told, by listener name, where they differ from those that the broker binds. Needs a host that clients reach; a listener left out is known to nobody. Unset, the bound addresses are told, with a literal address in place of a wildcard."),
    Row::int("connection.failed.authentication.delay.ms", "100").at_least(0.0).low()
        .doc("How long the answer to a failed authentication is held back."),
    Row::long("connections.max.idle.ms", "600000")
        .doc("A connection without requests for this long is closed; negative keeps it for ever."),
    Row::long("connections.max.reauth.ms", "0").kip(368)
        .doc("After this time a SASL client must authenticate anew, or it is cut off with its next request; 0 is never. As listener.name.<name>.<mechanism>. it holds for one mechanism of a listener."),
    Row::unset("early.start.listeners", Kind::List).distinct(true).high().accepted().kip(801)
        .doc("Listeners that open before the authorizer is ready."),
    Row::text("listener.security.protocol.map", "SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT").low().per_broker().kip(103)
        .doc("The security protocol of each listener name: PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL. Listeners of controllers, and those that several brokers use among themselves, are PLAINTEXT only."),
    Row::list("listeners", "PLAINTEXT://:9092").own("PLAINTEXT://127.0.0.1:9092").distinct(false).high().per_broker()
        .doc("Where the broker listens: NAME://host:port, with commas between. An empty host is every interface, port 0 a free one."),
    Row::int("max.connection.creation.rate", "2147483647").at_least(0.0).cluster_wide().kip(612)
        .doc("New connections per second that are accepted; others wait. Ten seconds' worth may come at once after a quiet time. As listener.name.<name>. it holds for one listener."),
    Row::int("max.connections", "2147483647").at_least(0.0).cluster_wide().kip(402)
        .doc("The most connections at a time; others wait. As listener.name.<name>. it holds for one listener."),
    Row::int("max.connections.per.ip", "2147483647").at_least(0.0).cluster_wide()
        .doc("The most connections from one address at a time."),
    Row::text("max.connections.per.ip.overrides", "").cluster_wide()
        .doc("Exceptions from that, as host:number with commas between."),
    Row::int("num.io.threads", "8").at_least(1.0).high().cluster_wide().accepted()
        .doc("Threads that serve requests. Milena has one per core."),
    Row::int("num.network.threads", "3").at_least(1.0).high().cluster_wide().accepted()
        .doc("Threads that serve connections. Milena has one per core."),
    Row::long("queued.max.request.bytes", "-1")
        .doc("The most bytes of requests in memory; -1 leaves it to the broker."),
    Row::int("queued.max.requests", "500").at_least(1.0).high().accepted()
        .doc("How many requests may wait for a thread."),
    Row::long("socket.connection.setup.timeout.max.ms", "30000").accepted()
        .doc("The longest that connecting to another node may take after failures."),
    Row::long("socket.connection.setup.timeout.ms", "10000").accepted()
        .doc("How long connecting to another node may take."),
    Row::int("socket.listen.backlog.size", "50").at_least(1.0)
        .doc("How many new connections the operating system holds before they are accepted."),
    Row::int("socket.receive.buffer.bytes", "102400").high()
        .doc("The receive buffer of connections; -1 leaves it to the operating system."),
    Row::int("socket.request.max.bytes", "104857600").at_least(1.0).high()
        .doc("The largest request that is read; a larger one closes its connection."),
    Row::int("socket.send.buffer.bytes", "102400").high()
        .doc(
            "The send buffer of connections; -1 leaves it to the operating system, and so does the default, but for clients on this \
             machine, which get 200 KiB.",
        ),
];
