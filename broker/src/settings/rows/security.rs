//! TLS, principals, authorization and delegation tokens.
//!
//! Must never hold a value that was set; names, types and defaults are those of Kafka 4.3.1 (BrokerSecurityConfigs, SslConfigs, DelegationTokenManagerConfigs).

use super::super::row::{Kind, Row};

#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    Row::text("authorizer.class.name", "").low().accepted()
        .doc(""),
    Row::long("delegation.token.expiry.check.interval.ms", "3600000").at_least(1.0).low().accepted()
        .doc(""),
    Row::long("delegation.token.expiry.time.ms", "86400000").at_least(1.0).accepted()
        .doc(""),
    Row::long("delegation.token.max.lifetime.ms", "604800000").at_least(1.0).accepted()
        .doc(""),
    Row::unset("delegation.token.secret.key", Kind::Password).accepted()
        .doc(""),
    Row::class("principal.builder.class", "org.apache.kafka.common.security.authenticator.DefaultKafkaPrincipalBuilder").per_broker().accepted()
        .doc(""),
    Row::text("security.inter.broker.protocol", "PLAINTEXT").one_of(&["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]).accepted()
        .doc(""),
    Row::unset("security.providers", Kind::String).low().accepted()
        .doc(""),
    Row::boolean("ssl.allow.dn.changes", "false").low().accepted()
        .doc(""),
    Row::boolean("ssl.allow.san.changes", "false").low().accepted()
        .doc(""),
    Row::list("ssl.cipher.suites", "").distinct(true).per_broker().accepted()
        .doc(""),
    Row::text("ssl.client.auth", "none").one_of(&["required", "requested", "none"]).per_broker().accepted()
        .doc(""),
    Row::list("ssl.enabled.protocols", "TLSv1.2,TLSv1.3").distinct(true).per_broker().accepted()
        .doc(""),
    Row::text("ssl.endpoint.identification.algorithm", "https").low().per_broker().accepted()
        .doc(""),
    Row::unset("ssl.engine.factory.class", Kind::Class).low().per_broker().accepted()
        .doc(""),
    Row::unset("ssl.key.password", Kind::Password).per_broker().accepted()
        .doc(""),
    Row::text("ssl.keymanager.algorithm", "SunX509").per_broker().accepted()
        .doc(""),
    Row::unset("ssl.keystore.certificate.chain", Kind::Password).per_broker().accepted()
        .doc(""),
    Row::unset("ssl.keystore.key", Kind::Password).per_broker().accepted()
        .doc(""),
    Row::unset("ssl.keystore.location", Kind::String).per_broker().accepted()
        .doc(""),
    Row::unset("ssl.keystore.password", Kind::Password).per_broker().accepted()
        .doc(""),
    Row::text("ssl.keystore.type", "JKS").per_broker().accepted()
        .doc(""),
    Row::text("ssl.principal.mapping.rules", "DEFAULT").low().accepted()
        .doc(""),
    Row::text("ssl.protocol", "TLSv1.3").per_broker().accepted()
        .doc(""),
    Row::unset("ssl.provider", Kind::String).per_broker().accepted()
        .doc(""),
    Row::unset("ssl.secure.random.implementation", Kind::String).low().per_broker().accepted()
        .doc(""),
    Row::text("ssl.trustmanager.algorithm", "PKIX").per_broker().accepted()
        .doc(""),
    Row::unset("ssl.truststore.certificates", Kind::Password).per_broker().accepted()
        .doc(""),
    Row::unset("ssl.truststore.location", Kind::String).per_broker().accepted()
        .doc(""),
    Row::unset("ssl.truststore.password", Kind::Password).per_broker().accepted()
        .doc(""),
    Row::text("ssl.truststore.type", "JKS").per_broker().accepted()
        .doc(""),
];
