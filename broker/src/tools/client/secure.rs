//! How safely brokers are asked: `security.protocol`, and what of `ssl.*` and `sasl.*` belongs to it.
//!
//! Must never speak less safely than the properties say, nor show a password.

use std::sync::Arc;

use rustls::ClientConfig;

use super::{Properties, Refused, wrong};
use crate::security::sasl::{Login, Mechanism, jaas};
use crate::security::{Flaw, client_config};
use crate::settings::Settings;

const KAFKA_EXCEPTION: &str = "org.apache.kafka.common.KafkaException";
const ILLEGAL_ARGUMENT: &str = "java.lang.IllegalArgumentException";
const AUTHENTICATION: &str = "org.apache.kafka.common.errors.SaslAuthenticationException";
const MODULES: &str = "org.apache.kafka.common.security.";
/// How a JVM is told of a file of logins, and what clients are called there.
const JAAS_FILE: &str = "-Djava.security.auth.login.config=";
const CONTEXT: &str = "KafkaClient";

/// TLS and SASL of every connection, as far as they are wanted.
#[derive(Clone, Default)]
pub(super) struct Security {
    pub(super) tls: Option<Arc<ClientConfig>>,
    pub(super) login: Option<Arc<Login>>,
}

impl Security {
    /// `options` is what a JVM would be started with (`KAFKA_OPTS`). Reads files.
    pub(super) fn from(properties: &Properties, options: Option<&str>) -> Result<Self, Refused> {
        let given = properties.get("security.protocol").unwrap_or("PLAINTEXT").trim();
        let (with_tls, with_sasl) = match given.to_uppercase().as_str() {
            "PLAINTEXT" => (false, false),
            "SSL" => (true, false),
            "SASL_PLAINTEXT" => (false, true),
            "SASL_SSL" => (true, true),
            _ => {
                let known =
                    "String must be one of (case insensitive): PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL";
                return Err(wrong(format!(
                    "Invalid value {given} for configuration security.protocol: {known}"
                )));
            }
        };
        let tls = if with_tls { Some(tls(properties)?) } else { None };
        let login = if with_sasl { Some(Arc::new(login(properties, options)?)) } else { None };
        Ok(Self { tls, login })
    }
}

fn tls(properties: &Properties) -> Result<Arc<ClientConfig>, Refused> {
    let given: Vec<(&str, &str)> = properties.below("ssl.").filter(|(_, text)| !text.is_empty()).collect();
    // A client's are a listener's that has no name.
    let settings = Settings::from_pairs(&given).map_err(wrong)?.tls("");
    let checks_names = match properties.get("ssl.endpoint.identification.algorithm").map(str::trim) {
        None => true,
        Some("") => false,
        Some(given) if given.eq_ignore_ascii_case("https") => true,
        Some(given) => {
            return Err(wrong(format!(
                "Invalid value {given} for configuration ssl.endpoint.identification.algorithm: https, or nothing"
            )));
        }
    };
    client_config(&settings, checks_names)
        .map_err(|flaw: Flaw| Refused::own(KAFKA_EXCEPTION, flaw.to_string()))
}

fn login(properties: &Properties, options: Option<&str>) -> Result<Login, Refused> {
    let name = properties.get("sasl.mechanism").unwrap_or("GSSAPI").trim();
    let mechanism = Mechanism::parse(name).ok_or_else(|| match name {
        "GSSAPI" => {
            let known = "this tool knows PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512";
            wrong(format!("Invalid value {name} for configuration sasl.mechanism: {known}"))
        }
        // Kafka's tools try for a minute before they end so.
        _ => Refused::own(AUTHENTICATION, format!("Failed to create SaslClient with mechanism {name}")),
    })?;
    let illegal = |what: String| Refused::own(ILLEGAL_ARGUMENT, what);
    let modules = match (properties.get("sasl.jaas.config"), options.and_then(jaas_file)) {
        (Some(line), _) => jaas::modules(line).map_err(illegal)?,
        (None, Some(file)) => {
            let text = std::fs::read_to_string(file).map_err(|error| illegal(format!("{file}: {error}")))?;
            let mut contexts = jaas::contexts(&text).map_err(|what| illegal(format!("{file}: {what}")))?;
            contexts.remove(CONTEXT).ok_or_else(|| {
                illegal(format!("Could not find a '{CONTEXT}' entry in the JAAS configuration {file}"))
            })?
        }
        (None, None) => {
            return Err(illegal(format!(
                "Could not find a '{CONTEXT}' entry in the JAAS configuration: set sasl.jaas.config"
            )));
        }
    };
    let [module] = modules.as_slice() else {
        let count = modules.len();
        return Err(illegal(format!(
            "JAAS config property contains {count} login modules, should be 1 module"
        )));
    };
    let fitting = match mechanism {
        Mechanism::Plain => "plain.PlainLoginModule",
        Mechanism::Scram(_) => "scram.ScramLoginModule",
    };
    if module.class.strip_prefix(MODULES) != Some(fitting) {
        return Err(illegal(format!("{name} logs in by {MODULES}{fitting}, not by {}", module.class)));
    }
    let option = |name: &str| {
        let what = || illegal(format!("{name} not specified in sasl.jaas.config"));
        module.options.get(name).cloned().ok_or_else(what)
    };
    Ok(Login { mechanism, user: option("username")?, password: option("password")? })
}

fn jaas_file(options: &str) -> Option<&str> {
    options.split_whitespace().find_map(|option| option.strip_prefix(JAAS_FILE))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str = "sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \
                         username=\"alice\" password=\"s=1\";";

    fn security(pairs: &[&str], options: Option<&str>) -> Result<Security, String> {
        let mut properties = Properties::default();
        properties.add(pairs);
        Security::from(&properties, options).map_err(|refused| refused.message)
    }

    fn check_refused(pairs: &[&str], expected: &str) {
        let error = security(pairs, None).err().unwrap_or_else(|| panic!("{pairs:?} is taken"));
        assert!(error.contains(expected), "{error}");
    }

    #[test]
    fn a_login_comes_from_the_line_or_from_a_file() {
        let found = security(&["security.protocol=sasl_plaintext", "sasl.mechanism=PLAIN", PLAIN], None);
        let login = found.expect("a login").login.expect("there is one");
        assert_eq!((login.user.as_str(), login.password.as_str()), ("alice", "s=1"));
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("jaas.conf");
        let module = "org.apache.kafka.common.security.scram.ScramLoginModule";
        let text = format!("KafkaClient {{ {module} required username=bob password=b; }};");
        std::fs::write(&file, text).expect("written");
        let options = format!("-Xmx1g {JAAS_FILE}{}", file.display());
        let pairs = ["security.protocol=SASL_PLAINTEXT", "sasl.mechanism=SCRAM-SHA-512"];
        let found = security(&pairs, Some(&options)).expect("a login");
        assert_eq!(found.login.expect("there is one").user, "bob");
        assert!(security(&["security.protocol=plaintext"], None).expect("nothing").login.is_none());
    }

    #[test]
    fn what_cannot_be_honoured_is_refused() {
        check_refused(&["security.protocol=TLS"], "security.protocol");
        check_refused(&["security.protocol=SASL_SSL", "sasl.mechanism=PLAIN"], "KafkaClient");
        check_refused(&["security.protocol=SASL_PLAINTEXT", PLAIN], "Invalid value GSSAPI");
        let unknown = ["security.protocol=SASL_PLAINTEXT", "sasl.mechanism=SCRAM-SHA-1", PLAIN];
        check_refused(&unknown, "Failed to create SaslClient with mechanism SCRAM-SHA-1");
        check_refused(&["security.protocol=SSL", "ssl.enabled.protocols=x"], "ssl.enabled.protocols");
        let scram = ["security.protocol=SASL_PLAINTEXT", "sasl.mechanism=SCRAM-SHA-256", PLAIN];
        check_refused(&scram, "scram.ScramLoginModule");
        check_refused(&["security.protocol=SSL", "ssl.truststore.location=/nowhere"], "/nowhere");
        let named = ["security.protocol=SSL", "ssl.endpoint.identification.algorithm=LDAPS"];
        check_refused(&named, "ssl.endpoint.identification.algorithm");
    }
}
