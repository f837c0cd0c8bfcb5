//! What `--dev-security` adds beneath everything that was given: listeners with TLS and SASL beside the one in plaintext, their
//! keys and their users.
//!
//! Must never win over a value that somebody gave, and never take the plaintext listener away.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::super::effective::{Given, Source};

/// Users with their passwords, for PLAIN and SCRAM; those of Kafka's own documentation.
pub const USERS: [(&str, &str); 2] = [("admin", "admin-secret"), ("alice", "alice-secret")];
pub const SWITCH: &str = "milena.dev.security";
pub const DIR: &str = "milena.dev.security.dir";
/// Behind the port in plaintext; the next one is a controller's by custom.
const LISTENERS: [(&str, u16); 3] = [("SSL", 2), ("SASL_PLAINTEXT", 3), ("SASL_SSL", 4)];
const MAP: &str = "listener.security.protocol.map";

/// Adds everything, if the switch is on.
pub fn complete(given: &mut BTreeMap<String, Given>) {
    if given.get(SWITCH).is_none_or(|given| !given.text.trim().eq_ignore_ascii_case("true")) {
        return;
    }
    let dir =
        given.get(DIR).map(|given| PathBuf::from(given.text.trim())).unwrap_or_else(|| below_logs(given));
    put(given, DIR, dir.display().to_string());
    add_listeners(given);
    for listener in ["ssl", "sasl_ssl"] {
        let key = |name: &str| format!("listener.name.{listener}.ssl.{name}");
        put(given, &key("keystore.type"), "PEM".to_owned());
        put(given, &key("keystore.location"), dir.join("server.pem").display().to_string());
        put(given, &key("truststore.type"), "PEM".to_owned());
        put(given, &key("truststore.location"), dir.join("ca.pem").display().to_string());
        put(given, &key("client.auth"), "requested".to_owned());
    }
    let users = USERS.map(|(user, password)| format!(" user_{user}=\"{password}\"")).concat();
    for listener in ["sasl_plaintext", "sasl_ssl"] {
        let key = |name: &str| format!("listener.name.{listener}.{name}");
        put(given, &key("sasl.enabled.mechanisms"), "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512".to_owned());
        let line = format!("org.apache.kafka.common.security.plain.PlainLoginModule required{users};");
        put(given, &key("plain.sasl.jaas.config"), line);
    }
}

fn put(given: &mut BTreeMap<String, Given>, name: &str, text: String) {
    given.entry(name.to_owned()).or_insert(Given { text, source: Source::DevSecurity });
}

/// Beside the metadata, in a directory whose like Kafka leaves alone when it starts there.
fn below_logs(given: &BTreeMap<String, Given>) -> PathBuf {
    let first = ["metadata.log.dir", "log.dirs", "log.dir"]
        .iter()
        .filter_map(|name| given.get(*name))
        .map(|given| given.text.split(',').next().unwrap_or_default().trim())
        .find(|dir| !dir.is_empty());
    PathBuf::from(first.unwrap_or("./milena-data")).join("__cluster_metadata-1").join("dev-security")
}

/// The listeners that are missing, beside the first that there is.
fn add_listeners(given: &mut BTreeMap<String, Given>) {
    let listeners = given
        .get("listeners")
        .map_or_else(|| "PLAINTEXT://127.0.0.1:9092".to_owned(), |given| given.text.clone());
    let advertised = given.get("advertised.listeners").map(|given| given.text.clone());
    let Some((_, host, port)) = endpoint(&listeners) else { return };
    let missing: Vec<_> = LISTENERS
        .into_iter()
        .filter(|(name, _)| !has(&listeners, name))
        .map(|(name, after)| (name, if port == 0 { 0 } else { port.saturating_add(after) }))
        .collect();
    let extended = |text: &str, host: &str| {
        let added = missing.iter().map(|(name, port)| format!(",{name}://{host}:{port}"));
        format!("{text}{}", added.collect::<String>())
    };
    let replace = |given: &mut BTreeMap<String, Given>, name: &str, text: String| {
        let source = given.get(name).map_or(Source::DevSecurity, |given| given.source.clone());
        given.insert(name.to_owned(), Given { text, source });
    };
    let text = extended(&listeners, &host);
    replace(given, "listeners", text);
    if let Some(text) = advertised.filter(|text| !text.trim().is_empty())
        && let Some((_, host, _)) = endpoint(&text)
    {
        let text = extended(text.trim().trim_end_matches(','), &host);
        replace(given, "advertised.listeners", text);
    }
    if let Some(map) = given.get(MAP).map(|given| given.text.trim().trim_end_matches(',').to_owned()) {
        let known: Vec<String> =
            map.split(',').filter_map(|pair| Some(pair.split_once(':')?.0.trim().to_uppercase())).collect();
        let added: String = LISTENERS
            .iter()
            .filter(|(name, _)| !known.iter().any(|known| known == name))
            .map(|(name, _)| format!(",{name}:{name}"))
            .collect();
        replace(given, MAP, format!("{map}{added}"));
    }
}

fn has(listeners: &str, name: &str) -> bool {
    let begin = format!("{name}://");
    listeners.split(',').any(|each| each.trim().to_uppercase().starts_with(&begin))
}

/// Name, host and port of the first listener.
fn endpoint(listeners: &str) -> Option<(String, String, u16)> {
    let (name, address) = listeners.split(',').next()?.trim().split_once("://")?;
    let (host, port) = address.rsplit_once(':')?;
    Some((name.to_owned(), host.to_owned(), port.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn completed(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        let given = |(name, text): &(&str, &str)| {
            ((*name).to_owned(), Given { text: (*text).to_owned(), source: Source::Override })
        };
        let mut given: BTreeMap<_, _> = pairs.iter().map(given).collect();
        complete(&mut given);
        given.into_iter().map(|(name, given)| (name, given.text)).collect()
    }

    #[test]
    fn nothing_is_added_without_the_switch() {
        assert_eq!(completed(&[("log.dirs", "/d"), (SWITCH, "false")]).len(), 2);
    }

    #[test]
    fn listeners_stand_behind_the_one_that_there_is() {
        let given = completed(&[(SWITCH, "true"), ("log.dirs", "/d")]);
        assert_eq!(
            given["listeners"],
            "PLAINTEXT://127.0.0.1:9092,SSL://127.0.0.1:9094,SASL_PLAINTEXT://127.0.0.1:9095,SASL_SSL://127.0.0.1:9096"
        );
        assert_eq!(given[DIR], "/d/__cluster_metadata-1/dev-security");
        assert_eq!(
            given["listener.name.ssl.ssl.keystore.location"],
            "/d/__cluster_metadata-1/dev-security/server.pem"
        );
        assert!(
            given["listener.name.sasl_ssl.plain.sasl.jaas.config"].contains("user_alice=\"alice-secret\"")
        );
    }

    #[test]
    fn what_was_given_holds() {
        let given = completed(&[
            (SWITCH, "TRUE"),
            (DIR, "/s"),
            ("listeners", "PLAINTEXT://0.0.0.0:0,SASL_SSL://:19096"),
            ("advertised.listeners", "PLAINTEXT://kafka:0,SASL_SSL://kafka:19096"),
            (MAP, "PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL"),
            ("listener.name.ssl.ssl.client.auth", "required"),
        ]);
        assert_eq!(
            given["listeners"],
            "PLAINTEXT://0.0.0.0:0,SASL_SSL://:19096,SSL://0.0.0.0:0,SASL_PLAINTEXT://0.0.0.0:0"
        );
        assert_eq!(
            given["advertised.listeners"],
            "PLAINTEXT://kafka:0,SASL_SSL://kafka:19096,SSL://kafka:0,SASL_PLAINTEXT://kafka:0"
        );
        assert_eq!(given[MAP], "PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT");
        assert_eq!(given["listener.name.ssl.ssl.client.auth"], "required");
        assert_eq!(given["listener.name.ssl.ssl.keystore.location"], "/s/server.pem");
    }
}
