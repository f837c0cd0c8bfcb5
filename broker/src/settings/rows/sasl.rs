//! SASL settings of a broker.
//!
//! Must never hold a value that was set; names, types and defaults are those of Kafka 4.3.1 (BrokerSecurityConfigs, SaslConfigs).

use super::super::row::{Check, Kind, Row};

#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    Row::unset("sasl.client.callback.handler.class", Kind::Class).accepted()
        .doc("The Java class that answers a SASL client's questions."),
    Row::list("sasl.enabled.mechanisms", "GSSAPI").distinct(false).per_broker()
        .doc("SASL mechanisms that clients may use, of PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512. A listener with another one is refused. As listener.name.<name>. it holds for one listener. Read at the start."),
    Row::unset("sasl.jaas.config", Kind::Password).per_broker().accepted()
        .doc("The login of a listener and mechanism in JAAS form, as listener.name.<name>.<mechanism>.sasl.jaas.config; by itself it has no effect, as in Kafka. For PLAIN its options user_NAME=\"PASSWORD\" are the users; SCRAM needs none."),
    Row::text("sasl.kerberos.kinit.cmd", "/usr/bin/kinit").per_broker().accepted()
        .doc("Where kinit lies."),
    Row::long("sasl.kerberos.min.time.before.relogin", "60000").per_broker().accepted()
        .doc("The least time between two attempts to renew a ticket."),
    Row::list("sasl.kerberos.principal.to.local.rules", "DEFAULT").distinct(false).per_broker().accepted()
        .doc("Rules that shorten Kerberos principals to names."),
    Row::unset("sasl.kerberos.service.name", Kind::String).per_broker().accepted()
        .doc("The Kerberos principal of the brokers."),
    Row::double("sasl.kerberos.ticket.renew.jitter", "0.05").per_broker().accepted()
        .doc("The random share of the time to a ticket's renewal."),
    Row::double("sasl.kerberos.ticket.renew.window.factor", "0.8").per_broker().accepted()
        .doc("The share of a ticket's life after which it is renewed."),
    Row::unset("sasl.login.callback.handler.class", Kind::Class).accepted()
        .doc("The Java class that answers the questions of a login."),
    Row::unset("sasl.login.class", Kind::Class).accepted()
        .doc("The Java class that performs a login."),
    Row::unset("sasl.login.connect.timeout.ms", Kind::Int).low().accepted()
        .doc("How long connecting to the identity provider may take."),
    Row::unset("sasl.login.read.timeout.ms", Kind::Int).low().accepted()
        .doc("How long reading from the identity provider may take."),
    Row::short("sasl.login.refresh.buffer.seconds", "300").per_broker().accepted()
        .doc("Seconds before its end by which a credential is to be renewed."),
    Row::short("sasl.login.refresh.min.period.seconds", "60").per_broker().accepted()
        .doc("The least seconds between two renewals."),
    Row::double("sasl.login.refresh.window.factor", "0.8").per_broker().accepted()
        .doc("The share of a credential's life after which it is renewed."),
    Row::double("sasl.login.refresh.window.jitter", "0.05").per_broker().accepted()
        .doc("The random share of that time."),
    Row::long("sasl.login.retry.backoff.max.ms", "10000").low().accepted()
        .doc("The longest pause between attempts to log in."),
    Row::long("sasl.login.retry.backoff.ms", "100").low().accepted()
        .doc("The first pause between attempts to log in."),
    Row::text("sasl.mechanism.controller.protocol", "GSSAPI").high().accepted()
        .doc("The SASL mechanism towards controllers."),
    Row::text("sasl.mechanism.inter.broker.protocol", "GSSAPI").per_broker().accepted()
        .doc("The SASL mechanism between brokers."),
    Row::text("sasl.oauthbearer.assertion.algorithm", "RS256").check(Check::OneOfIgnoringCase(&["ES256", "RS256"])).accepted()
        .doc("The algorithm that signs an assertion."),
    Row::unset("sasl.oauthbearer.assertion.claim.aud", Kind::String).accepted()
        .doc("The audience of an assertion."),
    Row::int("sasl.oauthbearer.assertion.claim.exp.seconds", "300").between(0.0, 86400.0).low().accepted()
        .doc("Seconds that an assertion is valid."),
    Row::unset("sasl.oauthbearer.assertion.claim.iss", Kind::String).accepted()
        .doc("The issuer of an assertion."),
    Row::boolean("sasl.oauthbearer.assertion.claim.jti.include", "false").accepted()
        .doc("Whether an assertion bears an id of its own."),
    Row::int("sasl.oauthbearer.assertion.claim.nbf.seconds", "60").between(0.0, 3600.0).low().accepted()
        .doc("Seconds before now from which an assertion is valid."),
    Row::unset("sasl.oauthbearer.assertion.claim.sub", Kind::String).accepted()
        .doc("The subject of an assertion."),
    Row::unset("sasl.oauthbearer.assertion.file", Kind::String).accepted()
        .doc("A file with a finished assertion."),
    Row::unset("sasl.oauthbearer.assertion.private.key.file", Kind::String).accepted()
        .doc("A file with the key that signs assertions."),
    Row::unset("sasl.oauthbearer.assertion.private.key.passphrase", Kind::Password).accepted()
        .doc("The pass phrase of that key."),
    Row::unset("sasl.oauthbearer.assertion.template.file", Kind::String).accepted()
        .doc("A file with the fixed parts of an assertion."),
    Row::unset("sasl.oauthbearer.client.credentials.client.id", Kind::String).accepted()
        .doc("The client id towards the identity provider."),
    Row::unset("sasl.oauthbearer.client.credentials.client.secret", Kind::Password).accepted()
        .doc("The client secret towards the identity provider."),
    Row::int("sasl.oauthbearer.clock.skew.seconds", "30").low().accepted()
        .doc("Seconds by which the clocks of broker and identity provider may differ."),
    Row::list("sasl.oauthbearer.expected.audience", "").distinct(true).high().accepted()
        .doc("Audiences that a token may be meant for."),
    Row::unset("sasl.oauthbearer.expected.issuer", Kind::String).high().accepted()
        .doc("The issuer that a token must come from."),
    Row::long("sasl.oauthbearer.jwks.endpoint.refresh.ms", "3600000").low().accepted()
        .doc("How often the identity provider's keys are fetched anew."),
    Row::long("sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms", "10000").low().accepted()
        .doc("The longest pause between attempts to fetch them."),
    Row::long("sasl.oauthbearer.jwks.endpoint.retry.backoff.ms", "100").low().accepted()
        .doc("The first pause between attempts to fetch them."),
    Row::unset("sasl.oauthbearer.jwks.endpoint.url", Kind::String).accepted()
        .doc("Where the identity provider's keys are."),
    Row::class("sasl.oauthbearer.jwt.retriever.class", "org.apache.kafka.common.security.oauthbearer.DefaultJwtRetriever").accepted()
        .doc("The Java class that gets tokens."),
    Row::class("sasl.oauthbearer.jwt.validator.class", "org.apache.kafka.common.security.oauthbearer.DefaultJwtValidator").accepted()
        .doc("The Java class that checks tokens."),
    Row::unset("sasl.oauthbearer.scope", Kind::String).accepted()
        .doc("The scope that a token is asked for with."),
    Row::text("sasl.oauthbearer.scope.claim.name", "scope").low().accepted()
        .doc("The claim that holds the scope."),
    Row::text("sasl.oauthbearer.sub.claim.name", "sub").low().accepted()
        .doc("The claim that holds the subject."),
    Row::unset("sasl.oauthbearer.token.endpoint.url", Kind::String).accepted()
        .doc("Where tokens are to be had, or the file with one."),
    Row::unset("sasl.server.callback.handler.class", Kind::Class).accepted()
        .doc("The Java class that answers a SASL server's questions."),
    Row::int("sasl.server.max.receive.size", "524288")
        .doc("The most bytes of a frame before a client has authenticated."),
];
