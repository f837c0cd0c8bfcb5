//! TLS, principals, authorization and delegation tokens.
//!
//! Must never hold a value that was set; names, types and defaults are those of Kafka 4.3.1 (BrokerSecurityConfigs, SslConfigs, DelegationTokenManagerConfigs).

use super::super::row::{Kind, Row};

#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    Row::text("authorizer.class.name", "").low().accepted()
        .doc("A Java class that decides who may do what. Empty lets everybody do everything."),
    Row::long("delegation.token.expiry.check.interval.ms", "3600000").at_least(1.0).low().accepted()
        .doc("How often expired delegation tokens are removed."),
    Row::long("delegation.token.expiry.time.ms", "86400000").at_least(1.0).accepted()
        .doc("How long a delegation token is valid before it must be renewed."),
    Row::long("delegation.token.max.lifetime.ms", "604800000").at_least(1.0).accepted()
        .doc("After this time a delegation token cannot be renewed."),
    Row::unset("delegation.token.secret.key", Kind::Password).accepted()
        .doc("The key that signs delegation tokens; the same on every node."),
    Row::class("principal.builder.class", "org.apache.kafka.common.security.authenticator.DefaultKafkaPrincipalBuilder").per_broker().accepted()
        .doc("The Java class that names the principal of a connection."),
    Row::text("security.inter.broker.protocol", "PLAINTEXT").one_of(&["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]).accepted()
        .doc("The security protocol between brokers, where inter.broker.listener.name is not set."),
    Row::unset("security.providers", Kind::String).low().accepted()
        .doc("Java classes that provide security algorithms."),
    Row::boolean("ssl.allow.dn.changes", "false").low().accepted()
        .doc("Whether a new certificate may bear another name."),
    Row::boolean("ssl.allow.san.changes", "false").low().accepted()
        .doc("Whether a new certificate may lose alternative names."),
    Row::list("ssl.cipher.suites", "").distinct(true).per_broker().accepted()
        .doc("Cipher suites that may be used; empty is all."),
    Row::text("ssl.client.auth", "none").one_of(&["required", "requested", "none"]).per_broker().accepted()
        .doc("Whether clients must, may or do not show a certificate."),
    Row::list("ssl.enabled.protocols", "TLSv1.2,TLSv1.3").distinct(true).per_broker().accepted()
        .doc("Versions of TLS that may be used."),
    Row::text("ssl.endpoint.identification.algorithm", "https").low().per_broker().accepted()
        .doc("How the name in a server's certificate is checked; empty does not check it."),
    Row::unset("ssl.engine.factory.class", Kind::Class).low().per_broker().accepted()
        .doc("The Java class that makes TLS engines."),
    Row::unset("ssl.key.password", Kind::Password).per_broker().accepted()
        .doc("The password of the private key."),
    Row::text("ssl.keymanager.algorithm", "SunX509").per_broker().accepted()
        .doc("The Java algorithm of the key manager."),
    Row::unset("ssl.keystore.certificate.chain", Kind::Password).per_broker().accepted()
        .doc("The certificate chain as PEM text."),
    Row::unset("ssl.keystore.key", Kind::Password).per_broker().accepted()
        .doc("The private key as PEM text."),
    Row::unset("ssl.keystore.location", Kind::String).per_broker().accepted()
        .doc("The file with private key and certificates."),
    Row::unset("ssl.keystore.password", Kind::Password).per_broker().accepted()
        .doc("The password of that file."),
    Row::text("ssl.keystore.type", "JKS").per_broker().accepted()
        .doc("The format of that file."),
    Row::text("ssl.principal.mapping.rules", "DEFAULT").low().accepted()
        .doc("Rules that shorten the names in clients' certificates."),
    Row::text("ssl.protocol", "TLSv1.3").per_broker().accepted()
        .doc("The version of TLS that contexts are made for."),
    Row::unset("ssl.provider", Kind::String).per_broker().accepted()
        .doc("The Java provider of TLS."),
    Row::unset("ssl.secure.random.implementation", Kind::String).low().per_broker().accepted()
        .doc("The Java source of random numbers for TLS."),
    Row::text("ssl.trustmanager.algorithm", "PKIX").per_broker().accepted()
        .doc("The Java algorithm of the trust manager."),
    Row::unset("ssl.truststore.certificates", Kind::Password).per_broker().accepted()
        .doc("Trusted certificates as PEM text."),
    Row::unset("ssl.truststore.location", Kind::String).per_broker().accepted()
        .doc("The file with trusted certificates."),
    Row::unset("ssl.truststore.password", Kind::Password).per_broker().accepted()
        .doc("The password of that file."),
    Row::text("ssl.truststore.type", "JKS").per_broker().accepted()
        .doc("The format of that file."),
];
