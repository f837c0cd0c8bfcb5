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
    Row::list("ssl.cipher.suites", "").distinct(true).per_broker()
        .doc("Cipher suites that may be used, as Java names them; empty is all that are known (ECDHE with AES-GCM or ChaCha20)."),
    Row::text("ssl.client.auth", "none").one_of(&["required", "requested", "none"]).per_broker()
        .doc("Whether clients must, may or do not show a certificate."),
    Row::list("ssl.enabled.protocols", "TLSv1.2,TLSv1.3").distinct(true).per_broker()
        .doc("Versions of TLS that may be used. Those before 1.2 are not known."),
    Row::text("ssl.endpoint.identification.algorithm", "https").low().per_broker().accepted()
        .doc("How the name in a server's certificate is checked; empty does not check it."),
    Row::unset("ssl.engine.factory.class", Kind::Class).low().per_broker().accepted()
        .doc("The Java class that makes TLS engines."),
    Row::unset("ssl.key.password", Kind::Password).per_broker()
        .doc("The password of the private key: of the encrypted PEM key, of the key in a JKS file, or of the key in a PKCS#12 file, which must be the file's."),
    Row::text("ssl.keymanager.algorithm", "SunX509").per_broker().accepted()
        .doc("The Java algorithm of the key manager."),
    Row::unset("ssl.keystore.certificate.chain", Kind::Password).per_broker()
        .doc("The certificate chain as PEM text; ssl.keystore.type is PEM then."),
    Row::unset("ssl.keystore.key", Kind::Password).per_broker()
        .doc("The private key as PEM text; ssl.keystore.type is PEM then."),
    Row::unset("ssl.keystore.location", Kind::String).per_broker()
        .doc("The file with private key and certificates. Read at the start."),
    Row::unset("ssl.keystore.password", Kind::Password).per_broker()
        .doc("The password of that file; PEM files have none."),
    Row::text("ssl.keystore.type", "JKS").per_broker()
        .doc("The format of that file: PEM, PKCS12 or JKS. Under either of the last two names a file may be of both, as Java reads them."),
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
    Row::unset("ssl.truststore.certificates", Kind::Password).per_broker()
        .doc("Trusted certificates as PEM text; ssl.truststore.type is PEM then."),
    Row::unset("ssl.truststore.location", Kind::String).per_broker()
        .doc("The file with certificates that clients' certificates may be signed by. Read at the start."),
    Row::unset("ssl.truststore.password", Kind::Password).per_broker()
        .doc("The password of that file."),
    Row::text("ssl.truststore.type", "JKS").per_broker()
        .doc("The format of that file, as for the key store."),
];
