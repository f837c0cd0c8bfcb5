//! SASL settings of a broker.
//!
//! Must never hold a value that was set; names, types and defaults are those of Kafka 4.3.1 (BrokerSecurityConfigs, SaslConfigs).

use super::super::row::{Check, Kind, Row};

#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    Row::unset("sasl.client.callback.handler.class", Kind::Class).accepted()
        .doc(""),
    Row::list("sasl.enabled.mechanisms", "GSSAPI").distinct(false).per_broker().accepted()
        .doc(""),
    Row::unset("sasl.jaas.config", Kind::Password).per_broker().accepted()
        .doc(""),
    Row::text("sasl.kerberos.kinit.cmd", "/usr/bin/kinit").per_broker().accepted()
        .doc(""),
    Row::long("sasl.kerberos.min.time.before.relogin", "60000").per_broker().accepted()
        .doc(""),
    Row::list("sasl.kerberos.principal.to.local.rules", "DEFAULT").distinct(false).per_broker().accepted()
        .doc(""),
    Row::unset("sasl.kerberos.service.name", Kind::String).per_broker().accepted()
        .doc(""),
    Row::double("sasl.kerberos.ticket.renew.jitter", "0.05").per_broker().accepted()
        .doc(""),
    Row::double("sasl.kerberos.ticket.renew.window.factor", "0.8").per_broker().accepted()
        .doc(""),
    Row::unset("sasl.login.callback.handler.class", Kind::Class).accepted()
        .doc(""),
    Row::unset("sasl.login.class", Kind::Class).accepted()
        .doc(""),
    Row::unset("sasl.login.connect.timeout.ms", Kind::Int).low().accepted()
        .doc(""),
    Row::unset("sasl.login.read.timeout.ms", Kind::Int).low().accepted()
        .doc(""),
    Row::short("sasl.login.refresh.buffer.seconds", "300").per_broker().accepted()
        .doc(""),
    Row::short("sasl.login.refresh.min.period.seconds", "60").per_broker().accepted()
        .doc(""),
    Row::double("sasl.login.refresh.window.factor", "0.8").per_broker().accepted()
        .doc(""),
    Row::double("sasl.login.refresh.window.jitter", "0.05").per_broker().accepted()
        .doc(""),
    Row::long("sasl.login.retry.backoff.max.ms", "10000").low().accepted()
        .doc(""),
    Row::long("sasl.login.retry.backoff.ms", "100").low().accepted()
        .doc(""),
    Row::text("sasl.mechanism.controller.protocol", "GSSAPI").high().accepted()
        .doc(""),
    Row::text("sasl.mechanism.inter.broker.protocol", "GSSAPI").per_broker().accepted()
        .doc(""),
    Row::text("sasl.oauthbearer.assertion.algorithm", "RS256").check(Check::OneOfIgnoringCase(&["ES256", "RS256"])).accepted()
        .doc(""),
    Row::unset("sasl.oauthbearer.assertion.claim.aud", Kind::String).accepted()
        .doc(""),
    Row::int("sasl.oauthbearer.assertion.claim.exp.seconds", "300").between(0.0, 86400.0).low().accepted()
        .doc(""),
    Row::unset("sasl.oauthbearer.assertion.claim.iss", Kind::String).accepted()
        .doc(""),
    Row::boolean("sasl.oauthbearer.assertion.claim.jti.include", "false").accepted()
        .doc(""),
    Row::int("sasl.oauthbearer.assertion.claim.nbf.seconds", "60").between(0.0, 3600.0).low().accepted()
        .doc(""),
    Row::unset("sasl.oauthbearer.assertion.claim.sub", Kind::String).accepted()
        .doc(""),
    Row::unset("sasl.oauthbearer.assertion.file", Kind::String).accepted()
        .doc(""),
    Row::unset("sasl.oauthbearer.assertion.private.key.file", Kind::String).accepted()
        .doc(""),
    Row::unset("sasl.oauthbearer.assertion.private.key.passphrase", Kind::Password).accepted()
        .doc(""),
    Row::unset("sasl.oauthbearer.assertion.template.file", Kind::String).accepted()
        .doc(""),
    Row::unset("sasl.oauthbearer.client.credentials.client.id", Kind::String).accepted()
        .doc(""),
    Row::unset("sasl.oauthbearer.client.credentials.client.secret", Kind::Password).accepted()
        .doc(""),
    Row::int("sasl.oauthbearer.clock.skew.seconds", "30").low().accepted()
        .doc(""),
    Row::list("sasl.oauthbearer.expected.audience", "").distinct(true).high().accepted()
        .doc(""),
    Row::unset("sasl.oauthbearer.expected.issuer", Kind::String).high().accepted()
        .doc(""),
    Row::long("sasl.oauthbearer.jwks.endpoint.refresh.ms", "3600000").low().accepted()
        .doc(""),
    Row::long("sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms", "10000").low().accepted()
        .doc(""),
    Row::long("sasl.oauthbearer.jwks.endpoint.retry.backoff.ms", "100").low().accepted()
        .doc(""),
    Row::unset("sasl.oauthbearer.jwks.endpoint.url", Kind::String).accepted()
        .doc(""),
    Row::class("sasl.oauthbearer.jwt.retriever.class", "org.apache.kafka.common.security.oauthbearer.DefaultJwtRetriever").accepted()
        .doc(""),
    Row::class("sasl.oauthbearer.jwt.validator.class", "org.apache.kafka.common.security.oauthbearer.DefaultJwtValidator").accepted()
        .doc(""),
    Row::unset("sasl.oauthbearer.scope", Kind::String).accepted()
        .doc(""),
    Row::text("sasl.oauthbearer.scope.claim.name", "scope").low().accepted()
        .doc(""),
    Row::text("sasl.oauthbearer.sub.claim.name", "sub").low().accepted()
        .doc(""),
    Row::unset("sasl.oauthbearer.token.endpoint.url", Kind::String).accepted()
        .doc(""),
    Row::unset("sasl.server.callback.handler.class", Kind::Class).accepted()
        .doc(""),
    Row::int("sasl.server.max.receive.size", "524288").accepted()
        .doc(""),
];
