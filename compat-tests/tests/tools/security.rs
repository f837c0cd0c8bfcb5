//! Listeners with TLS and SASL: the files of `--dev-security` in Java's tools and in kcat, and what both are told when they come
//! with the wrong thing.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use kafka_protocol::messages::{
    ApiVersionsRequest, HeartbeatRequest, MetadataRequest, SaslAuthenticateRequest, SaslHandshakeRequest,
};
use kafka_protocol::protocol::StrBytes;
use milena_compat_tests::server::{Setup, Target};
use milena_compat_tests::wire::Wire;
use milena_compat_tests::{Server, Tool};
use tempfile::TempDir;

const UNSUPPORTED_SASL_MECHANISM: i16 = 33;
const ILLEGAL_SASL_STATE: i16 = 34;
const SASL_AUTHENTICATION_FAILED: i16 = 58;
/// Nothing here takes nearly as long.
const SOON: Duration = Duration::from_secs(20);
/// kcat tries again for so long where it is refused.
const REFUSED: [&str; 3] = ["-L", "-m", "2"];

/// A broker with every kind of listener, shared by these tests.
pub(super) struct Secured {
    server: Server,
    files: TempDir,
}

impl Secured {
    pub(super) fn shared() -> &'static Self {
        static SHARED: OnceLock<Secured> = OnceLock::new();
        SHARED.get_or_init(|| {
            let files = tempfile::tempdir().expect("a directory");
            let server = Setup::of(Target::Milena)
                .set("milena.dev.security", "true")
                .set("milena.dev.security.dir", files.path().to_str().expect("plain text"))
                .set("listener.name.sasl_ssl.plain.connections.max.reauth.ms", "1500")
                .start();
            Self { server, files }
        })
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    pub(super) fn text(&self, name: &str) -> String {
        fs::read_to_string(self.file(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Where the clients of a properties file go.
    pub(super) fn address(&self, properties: &str) -> SocketAddr {
        let text = self.text(properties);
        let address = text.lines().find_map(|line| line.strip_prefix("bootstrap.servers="));
        address.expect("told where to go").parse().expect("an address")
    }

    /// One of Java's tools, as this file says.
    fn tool(&self, name: &str, properties: &str) -> Tool {
        let file = self.file(properties);
        let address = self.address(properties).to_string();
        Tool::new(name).args([
            "--bootstrap-server",
            &address,
            "--command-config",
            file.to_str().expect("plain text"),
        ])
    }

    /// kcat with one of librdkafka's files and these settings over it.
    fn kcat(&self, file: &str, more: &[&str], arguments: &[&str]) -> Result<String, String> {
        let mut command = Command::new("timeout");
        command.args(["20", "kcat", "-F"]).arg(self.file(file));
        for setting in more {
            command.args(["-X", setting]);
        }
        let output = command.args(arguments).output().expect("kcat is installed (apt-get install kcat)");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }
}

fn handshake(mechanism: &'static str) -> SaslHandshakeRequest {
    SaslHandshakeRequest::default().with_mechanism(StrBytes::from_static_str(mechanism))
}

fn token(text: &'static [u8]) -> SaslAuthenticateRequest {
    SaslAuthenticateRequest::default().with_auth_bytes(text.into())
}

#[test]
fn javas_tools_work_over_every_protocol() {
    let secured = Secured::shared();
    let produce = |properties: &str, line: &str| {
        secured.tool("kafka-console-producer", properties).line("--topic sec-java").input(line).ok();
    };
    produce("client-ssl.properties", "over TLS\n");
    produce("client-sasl-plain.properties", "by PLAIN\n");
    produce("client-sasl-ssl-scram-512.properties", "by SCRAM over TLS\n");
    let consumer = secured.tool("kafka-console-consumer", "client-sasl-scram.properties");
    let told = consumer.line("--topic sec-java --from-beginning --max-messages 3").ok();
    assert_eq!(told, "over TLS\nby PLAIN\nby SCRAM over TLS\n");
}

#[test]
fn librdkafka_works_over_every_protocol() {
    let secured = Secured::shared();
    // Not SCRAM: the librdkafka of Debian 12 sends its own nonce twice, which Kafka refuses since CVE-2024-56128, too.
    for name in ["ssl", "sasl-plain", "sasl-ssl-plain"] {
        let file = format!("librdkafka-{name}.conf");
        let listed = secured.kcat(&file, &[], &["-L"]).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(listed.contains("1 brokers"), "{name}: {listed}");
    }
    // More than a TLS record, and more than is read at a time.
    let large = "x".repeat(300_000);
    fs::write(secured.file("large"), &large).expect("written");
    let path = secured.file("large");
    let path = path.to_str().expect("plain text");
    secured.kcat("librdkafka-sasl-ssl-plain.conf", &[], &["-P", "-t", "sec-large", path]).expect("produced");
    let read =
        secured.kcat("librdkafka-ssl.conf", &[], &["-C", "-t", "sec-large", "-o", "beginning", "-e", "-q"]);
    assert!(read.expect("consumed").trim_end() == large, "a record over TLS comes back whole");
}

#[test]
fn a_client_certificate_is_taken_and_a_foreign_one_is_not() {
    let secured = Secured::shared();
    let own = |name: &str| secured.file(name).display().to_string();
    let certificate = format!("ssl.certificate.location={}", own("client.pem"));
    let key = format!("ssl.key.location={}", own("client.key"));
    secured.kcat("librdkafka-ssl.conf", &[&certificate, &key], &["-L"]).expect("known");
    let unsigned = "ssl.ca.location=/etc/ssl/certs/ca-certificates.crt";
    let error =
        secured.kcat("librdkafka-ssl.conf", &[unsigned], &REFUSED).expect_err("the broker is not trusted");
    assert!(error.to_lowercase().contains("certificate"), "{error}");
}

#[test]
fn wrong_credentials_are_told_as_such() {
    let secured = Secured::shared();
    let java = secured.text("client-sasl-plain.properties").replace("alice-secret", "wrong");
    fs::write(secured.file("wrong.properties"), java).expect("written");
    let told = secured.tool("kafka-topics", "wrong.properties").arg("--list").run().fails();
    assert!(
        told.contains("SaslAuthenticationException: Authentication failed: Invalid username or password"),
        "{told}"
    );
    for file in ["librdkafka-sasl-plain.conf", "librdkafka-sasl-ssl-plain.conf"] {
        let error = secured.kcat(file, &["sasl.password=wrong"], &REFUSED).expect_err("refused");
        assert!(error.contains("uthentication fail"), "{error}");
    }
    // TLS where none is spoken, and the other way round.
    let plain = secured.address("client-sasl-plain.properties");
    let encrypted = secured.address("client-ssl.properties");
    let at = |address: SocketAddr| format!("bootstrap.servers={address}");
    let error = secured.kcat("librdkafka-ssl.conf", &[&at(plain)], &REFUSED).expect_err("no TLS there");
    assert!(error.contains("SSL handshake failed") || error.contains("isconnected"), "{error}");
    let error =
        secured.kcat("librdkafka-sasl-plain.conf", &[&at(encrypted)], &REFUSED).expect_err("TLS there");
    assert!(error.contains("isconnected") || error.contains("ailed"), "{error}");
}

#[test]
fn users_that_are_added_may_log_in_at_once() {
    let secured = Secured::shared();
    let plain = secured.address("client-sasl-plain.properties").to_string();
    let admin = secured.text("client-sasl-plain.properties");
    let admin =
        admin.replace("username=\"alice\"", "username=\"admin\"").replace("alice-secret", "admin-secret");
    fs::write(secured.file("admin.properties"), admin).expect("written");
    let added = Tool::new("kafka-configs").args(["--bootstrap-server", &plain, "--command-config"]);
    let added = added.arg(secured.file("admin.properties").to_str().expect("plain text"));
    let added = added.line("--alter --entity-type users --entity-name bob");
    added.args(["--add-config", "SCRAM-SHA-256=[iterations=4096,password=bobs]"]).ok();
    let list_as_bob = |mechanism: &str| {
        let name = format!("client-sasl-ssl-{mechanism}.properties");
        let text = secured.text(&name).replace("username=\"alice\"", "username=\"bob\"");
        fs::write(secured.file("bob.properties"), text.replace("alice-secret", "bobs")).expect("written");
        secured.tool("kafka-topics", "bob.properties").arg("--list").run()
    };
    list_as_bob("scram").ok();
    let told = list_as_bob("scram-512").fails();
    assert!(
        told.contains("invalid credentials with SASL mechanism SCRAM-SHA-512"),
        "for one mechanism only: {told}"
    );
}

#[test]
fn requests_wait_for_the_proof() {
    let secured = Secured::shared();
    let address = secured.address("client-sasl-plain.properties");
    let mut wire = Wire::connect(address);
    assert_eq!(wire.call(2, &ApiVersionsRequest::default()).error_code, 0);
    assert!(wire.try_call(2, &ApiVersionsRequest::default()).is_err(), "versions are told once");

    let mut wire = Wire::connect(address);
    assert!(wire.try_call(9, &MetadataRequest::default()).is_err(), "nothing else is answered");

    let mut wire = Wire::connect(address);
    let told = wire.call(1, &handshake("GSSAPI"));
    assert_eq!(told.error_code, UNSUPPORTED_SASL_MECHANISM);
    assert_eq!(told.mechanisms, ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"].map(StrBytes::from_static_str));
    assert!(wire.is_closed_within(SOON));

    let mut wire = Wire::connect(address);
    assert_eq!(wire.call(1, &handshake("PLAIN")).error_code, 0);
    let told = wire.call(2, &token(b"\0alice\0wrong"));
    assert_eq!(told.error_code, SASL_AUTHENTICATION_FAILED);
    assert_eq!(told.error_message.as_deref(), Some("Authentication failed: Invalid username or password"));
    assert!(wire.is_closed_within(SOON));

    let mut wire = Wire::connect(address);
    assert_eq!(wire.call(1, &handshake("PLAIN")).error_code, 0);
    let told = wire.call(1, &token(b"\0alice\0alice-secret"));
    assert_eq!((told.error_code, told.session_lifetime_ms), (0, 0));
    assert_eq!(wire.call(9, &MetadataRequest::default()).brokers.len(), 1);
    assert_eq!(wire.call(1, &handshake("PLAIN")).error_code, ILLEGAL_SASL_STATE);
    assert_eq!(wire.call(2, &token(b"\0alice\0alice-secret")).error_code, ILLEGAL_SASL_STATE);

    // In the middle of an exchange a request is told so, and nothing else is told.
    let mut wire = Wire::connect(address);
    assert_eq!(wire.call(1, &handshake("PLAIN")).error_code, 0);
    assert_eq!(wire.call(4, &HeartbeatRequest::default()).error_code, ILLEGAL_SASL_STATE);
    assert!(wire.is_closed_within(SOON));
    let mut wire = Wire::connect(address);
    assert_eq!(wire.call(1, &handshake("PLAIN")).error_code, 0);
    assert_eq!(wire.call(1, &handshake("PLAIN")).error_code, ILLEGAL_SASL_STATE);
    assert!(wire.is_closed_within(SOON));
    let mut wire = Wire::connect(address);
    assert_eq!(wire.call(1, &handshake("PLAIN")).error_code, 0);
    let told = wire.call(3, &ApiVersionsRequest::default());
    assert_eq!((told.error_code, told.api_keys.len()), (ILLEGAL_SASL_STATE, 0));
    assert!(wire.is_closed_within(SOON));

    // A frame that is too large before the proof ends the connection.
    let mut wire = Wire::connect(address);
    wire.send_raw(&(600_000_i32).to_be_bytes()).expect("sent");
    assert!(wire.is_closed_within(SOON));
}

#[test]
fn tokens_come_bare_after_the_first_handshake() {
    let secured = Secured::shared();
    let address = secured.address("client-sasl-plain.properties");
    let mut wire = Wire::connect(address);
    assert_eq!(wire.call(0, &handshake("PLAIN")).error_code, 0);
    wire.send_frame(b"\0alice\0alice-secret").expect("sent");
    assert!(wire.read_frame().expect("an answer").is_empty());
    assert_eq!(wire.call(9, &MetadataRequest::default()).brokers.len(), 1);

    let mut wire = Wire::connect(address);
    assert_eq!(wire.call(0, &handshake("PLAIN")).error_code, 0);
    wire.send_frame(b"\0alice\0wrong").expect("sent");
    assert!(wire.is_closed_within(SOON), "a failure has no words");
}

#[test]
fn nobody_has_to_prove_anything_in_plaintext() {
    let secured = Secured::shared();
    let mut wire = secured.server.wire();
    assert_eq!(wire.call(1, &handshake("PLAIN")).error_code, ILLEGAL_SASL_STATE);
    let told = wire.call(2, &token(b"\0alice\0alice-secret"));
    assert_eq!(told.error_code, ILLEGAL_SASL_STATE);
    // Whoever speaks TLS there is named in the log.
    let mut tls = TcpStream::connect(secured.server.address()).expect("connected");
    std::io::Write::write_all(&mut tls, &[0x16, 3, 1, 2, 0, 1, 0]).expect("sent");
    let what = "the hint about TLS";
    milena_compat_tests::wait::until(SOON, what, || {
        secured.server.output().contains("this looks like TLS on a plaintext listener").then_some(())
    });
}
