//! `--dev-security`: keys, certificates, users and what clients need to know, made for a test environment.
//!
//! Must never replace a key that is there, and never be taken for protection: the passwords are in Kafka's documentation.

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use kafka_protocol::messages::AlterUserScramCredentialsRequest;
use kafka_protocol::messages::alter_user_scram_credentials_request::ScramCredentialUpsertion;
use kafka_protocol::protocol::StrBytes;
use milena_coordinator::controller::{ScramMechanism, scram_credential};
use thiserror::Error;
use uuid::Uuid;

use super::authority::{Authority, AuthorityError, Signed};
use super::sasl::salted_password;
use crate::settings::DEV_USERS;
use crate::state::BrokerState;

/// The password of the PKCS#12 files; Java's own for its trust store.
const STORE_PASSWORD: &str = "changeit";
const ITERATIONS: u32 = 4096;
/// Names that a broker on this machine, or in a container on it, goes by.
const HOSTS: [&str; 5] =
    ["localhost", "127.0.0.1", "::1", "host.docker.internal", "host.testcontainers.internal"];

/// Why the files are not there.
#[derive(Debug, Error)]
pub enum DevError {
    #[error("cannot write {}: {error}; set milena.dev.security.dir", path.display())]
    Io { path: PathBuf, error: io::Error },
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    #[error("the users of milena.dev.security cannot be added: {0}")]
    Users(String),
}

/// Makes what is missing in a directory: a broker that starts again keeps its keys, so that clients go on trusting it. The
/// certificate of the broker is made anew when it is to bear other names.
pub fn make_keys(dir: &Path, hosts: &[String]) -> Result<(), DevError> {
    fs::create_dir_all(dir).map_err(|error| DevError::Io { path: dir.to_owned(), error })?;
    let files = Files(dir);
    let authority = match (files.read("ca.pem"), files.read("ca.key")) {
        (Some(certificate), Some(key)) => Authority::load(Signed { certificate, key })?,
        _ => {
            let authority = Authority::create()?;
            files.write_secret("ca.key", authority.own.key.as_bytes())?;
            files.write("ca.pem", authority.own.certificate.as_bytes())?;
            files.write("truststore.p12", &authority.trust_store(STORE_PASSWORD)?)?;
            // Whom another authority vouched for is not believed any more.
            files.remove(&["client.pem", "server.pem"]);
            authority
        }
    };
    let mut names: Vec<String> = HOSTS.map(str::to_owned).to_vec();
    names.extend(hosts.iter().filter(|host| !HOSTS.contains(&host.as_str())).cloned());
    let first_line = format!("# {}\n", names.join(" "));
    if files.read("server.pem").is_none_or(|text| !text.starts_with(&first_line)) {
        let server = authority.sign("milena", &names)?;
        let Signed { certificate, key } = &server;
        files.write_secret("server.pem", format!("{first_line}{key}{certificate}").as_bytes())?;
        files.write_secret("server.p12", &authority.key_store("server", &server, STORE_PASSWORD)?)?;
    }
    if files.read("client.pem").is_none() {
        let client = authority.sign("client", &[])?;
        files.write_secret("client.key", client.key.as_bytes())?;
        files.write_secret("client.p12", &authority.key_store("client", &client, STORE_PASSWORD)?)?;
        files.write("client.pem", client.certificate.as_bytes())?;
    }
    Ok(())
}

/// Gives the users their credentials for SCRAM, where they have none.
pub async fn add_users(state: &BrokerState) -> Result<(), DevError> {
    if state.settings.load().dev_security_dir().is_none() {
        return Ok(());
    }
    let image = state.image.load_full();
    let mechanisms = ScramMechanism::ALL.into_iter();
    for mechanism in mechanisms {
        let missing =
            DEV_USERS.iter().filter(|(user, _)| scram_credential(&image, user, mechanism).is_none());
        let upsertions: Vec<_> =
            missing.map(|(user, password)| upsertion(user, password, mechanism)).collect();
        if upsertions.is_empty() {
            continue;
        }
        let request = AlterUserScramCredentialsRequest::default().with_upsertions(upsertions);
        let quorum = state.quorum().map_err(|refusal| DevError::Users(refusal.to_string()))?;
        let results = quorum.alter_user_scram_credentials(request).await;
        let results = results.map_err(|refusal| DevError::Users(refusal.to_string()))?;
        if let Some(refused) = results.iter().find(|result| result.error_code != 0) {
            return Err(DevError::Users(refused.error_message.as_deref().unwrap_or_default().to_owned()));
        }
    }
    Ok(())
}

fn upsertion(user: &str, password: &str, mechanism: ScramMechanism) -> ScramCredentialUpsertion {
    let salt = Uuid::new_v4().into_bytes();
    let salted = salted_password(mechanism, password, &salt, ITERATIONS);
    ScramCredentialUpsertion::default()
        .with_name(StrBytes::from_string(user.to_owned()))
        .with_mechanism(mechanism.code())
        .with_iterations(i32::try_from(ITERATIONS).expect("a constant"))
        .with_salt(salt.to_vec().into())
        .with_salted_password(salted.into())
}

/// Files for clients, one for each listener (a security protocol and where it is) and mechanism: Java's properties, and the
/// same for librdkafka and what is built on it.
pub fn write_client_files(dir: &Path, listeners: &[(String, String)]) -> Result<(), DevError> {
    let shown = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    let files = Files(dir);
    let mut list = String::from(READ_ME);
    for (protocol, address) in listeners {
        let mechanisms: &[&str] = match protocol.as_str() {
            "SSL" => &[""],
            "SASL_PLAINTEXT" | "SASL_SSL" => &["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"],
            _ => continue,
        };
        for mechanism in mechanisms {
            let client = Client { dir: &shown, protocol, address, mechanism };
            let name = client.name();
            files.write(&format!("{name}.properties"), client.java().as_bytes())?;
            files.write(
                &format!("librdkafka-{}.conf", &name["client-".len()..]),
                client.librdkafka().as_bytes(),
            )?;
            let _ = writeln!(list, "{address}  {protocol} {mechanism}: {name}.properties");
        }
    }
    files.write("README.txt", list.as_bytes())
}

const READ_ME: &str = "Keys and client files of milena --dev-security. For tests only: anybody can read the passwords in Kafka's documentation.

ca.pem           the authority that signed everything; trust it in clients that take PEM
truststore.p12   the same for Java (password changeit)
client.pem/.key  a client's certificate, where listener.name.ssl.ssl.client.auth=required (client.p12 for Java)
server.pem       the broker's key and certificate (server.p12, password changeit)

Users for PLAIN and SCRAM: admin / admin-secret, alice / alice-secret

client-*.properties are for Java clients and Kafka's tools, librdkafka-*.conf for librdkafka (kcat -F, and the same names in Python, Go, .NET,
Node and Rust clients that build on it).

";

struct Client<'a> {
    dir: &'a Path,
    protocol: &'a str,
    address: &'a str,
    /// Empty: there is no SASL.
    mechanism: &'a str,
}

impl Client<'_> {
    /// `client-ssl`, `client-sasl-plain`, `client-sasl-scram`, `client-sasl-ssl-scram-512` and the like.
    fn name(&self) -> String {
        let mechanism = match self.mechanism {
            "" => "",
            "PLAIN" => "-plain",
            "SCRAM-SHA-256" => "-scram",
            _ => "-scram-512",
        };
        let protocol = match self.protocol {
            "SSL" => "ssl",
            "SASL_SSL" => "sasl-ssl",
            _ => "sasl",
        };
        format!("client-{protocol}{mechanism}")
    }

    fn is_encrypted(&self) -> bool {
        self.protocol.ends_with("SSL")
    }

    fn java(&self) -> String {
        let mut text = format!("bootstrap.servers={}\nsecurity.protocol={}\n", self.address, self.protocol);
        if self.is_encrypted() {
            let store = self.dir.join("truststore.p12");
            let _ = writeln!(
                text,
                "ssl.truststore.type=PKCS12\nssl.truststore.location={}\nssl.truststore.password={STORE_PASSWORD}",
                store.display()
            );
        }
        if !self.mechanism.is_empty() {
            let module = match self.mechanism {
                "PLAIN" => "org.apache.kafka.common.security.plain.PlainLoginModule",
                _ => "org.apache.kafka.common.security.scram.ScramLoginModule",
            };
            let (user, password) = DEV_USERS[1];
            let _ = writeln!(
                text,
                "sasl.mechanism={}\nsasl.jaas.config={module} required username=\"{user}\" password=\"{password}\";",
                self.mechanism
            );
        }
        text
    }

    fn librdkafka(&self) -> String {
        let mut text = format!("bootstrap.servers={}\nsecurity.protocol={}\n", self.address, self.protocol);
        if self.is_encrypted() {
            let _ = writeln!(text, "ssl.ca.location={}", self.dir.join("ca.pem").display());
        }
        if !self.mechanism.is_empty() {
            let (user, password) = DEV_USERS[1];
            let _ = writeln!(
                text,
                "sasl.mechanisms={}\nsasl.username={user}\nsasl.password={password}",
                self.mechanism
            );
        }
        text
    }
}

struct Files<'a>(&'a Path);

impl Files<'_> {
    fn read(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.0.join(name)).ok()
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), DevError> {
        let path = self.0.join(name);
        fs::write(&path, bytes).map_err(|error| DevError::Io { path, error })
    }

    /// For the owner alone.
    fn write_secret(&self, name: &str, bytes: &[u8]) -> Result<(), DevError> {
        let path = self.0.join(name);
        let written = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path);
        written.and_then(|mut file| file.write_all(bytes)).map_err(|error| DevError::Io { path, error })
    }

    fn remove(&self, names: &[&str]) {
        for name in names {
            // It may not be there.
            let _ = fs::remove_file(self.0.join(name));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(dir: &Path, name: &str) -> String {
        fs::read_to_string(dir.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    #[test]
    fn keys_are_made_once_and_a_certificate_anew_for_other_names() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("deep/er");
        let hosts = ["kafka".to_owned()];
        make_keys(&dir, &hosts).unwrap();
        let before = ["ca.pem", "server.pem", "client.pem"].map(|name| text(&dir, name));
        make_keys(&dir, &hosts).unwrap();
        assert_eq!(["ca.pem", "server.pem", "client.pem"].map(|name| text(&dir, name)), before);
        make_keys(&dir, &["other".to_owned()]).unwrap();
        assert_eq!(text(&dir, "ca.pem"), before[0]);
        assert!(text(&dir, "server.pem") != before[1] && text(&dir, "client.pem") == before[2]);
        fs::remove_file(dir.join("ca.key")).unwrap();
        make_keys(&dir, &hosts).unwrap();
        assert!(text(&dir, "ca.pem") != before[0] && text(&dir, "client.pem") != before[2]);
    }

    #[test]
    fn clients_are_told_what_they_need() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str, port: u16| (name.to_owned(), format!("localhost:{port}"));
        let listeners = [at("PLAINTEXT", 1), at("SSL", 2), at("SASL_PLAINTEXT", 3), at("SASL_SSL", 4)];
        write_client_files(dir.path(), &listeners).unwrap();
        let ssl = text(dir.path(), "client-ssl.properties");
        assert!(ssl.starts_with(
            "bootstrap.servers=localhost:2\nsecurity.protocol=SSL\nssl.truststore.type=PKCS12\n"
        ));
        assert!(!ssl.contains("sasl"));
        let plain = text(dir.path(), "client-sasl-plain.properties");
        assert!(plain.contains("PlainLoginModule required username=\"alice\" password=\"alice-secret\";"));
        assert!(!plain.contains("ssl.truststore"));
        let scram = text(dir.path(), "librdkafka-sasl-ssl-scram-512.conf");
        assert!(scram.contains("localhost:4") && scram.contains("sasl.mechanisms=SCRAM-SHA-512\n"));
        assert!(scram.contains("ssl.ca.location=/"));
        assert!(text(dir.path(), "README.txt").contains("client-sasl-scram.properties"));
    }
}
