//! Properties of clients: files and `name=value` of the command line, and what of them is honoured.
//!
//! Must never pass over a property that would change who is asked, or how safely.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use super::Refused;
use super::secure::Security;
use crate::settings::source::properties;

const CONFIG_EXCEPTION: &str = "org.apache.kafka.common.config.ConfigException";

const SERVERS: &str = "bootstrap.servers";
const CONTROLLERS: &str = "bootstrap.controllers";

/// Names and values, later ones over earlier ones.
#[derive(Clone, Debug, Default)]
pub(in crate::tools) struct Properties(BTreeMap<String, String>);

impl Properties {
    /// Those of a file (`Utils.loadProps`).
    pub(in crate::tools) fn load(file: &str) -> Result<Self, Refused> {
        let text = std::fs::read_to_string(Path::new(file)).map_err(|error| match error.kind() {
            ErrorKind::NotFound => Refused::own("java.nio.file.NoSuchFileException", file),
            ErrorKind::PermissionDenied => Refused::own("java.nio.file.AccessDeniedException", file),
            ErrorKind::IsADirectory => Refused::own("java.io.IOException", "Is a directory"),
            _ => Refused::own("java.io.IOException", error.to_string()),
        })?;
        let lines = properties::parse(&text).map_err(|bad| {
            let first = bad.first().map(|bad| format!("{file}:{}: {}", bad.line, bad.what));
            Refused::own("java.lang.IllegalArgumentException", first.unwrap_or_default())
        })?;
        Ok(Self(lines.into_iter().map(|line| (line.name, line.text)).collect()))
    }

    /// Adds `name=value` texts; a value may be missing (`CommandLineUtils.parseKeyValueArgs`).
    pub(in crate::tools) fn add(&mut self, pairs: &[&str]) {
        for pair in pairs {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            self.set(name, value);
        }
    }

    pub(in crate::tools) fn set(&mut self, name: &str, value: &str) {
        self.0.insert(name.to_owned(), value.to_owned());
    }

    /// Whom to ask: brokers, or controllers (`CommandLineUtils.initializeBootstrapProperties`).
    pub(in crate::tools) fn connect_to(&mut self, servers: Option<&str>, controllers: Option<&str>) {
        self.0.remove(SERVERS);
        self.0.remove(CONTROLLERS);
        match (servers, controllers) {
            (None, Some(controllers)) => self.set(CONTROLLERS, controllers),
            (servers, _) => self.set(SERVERS, servers.unwrap_or_default()),
        }
    }

    /// Those whose names begin so, without blanks around the values.
    pub(super) fn below(&self, prefix: &str) -> impl Iterator<Item = (&str, &str)> {
        let named = self.0.iter().filter(move |(name, _)| name.starts_with(prefix));
        named.map(|(name, text)| (name.as_str(), text.trim()))
    }

    pub(in crate::tools) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// A number, or what it is without being set.
    pub(in crate::tools) fn number<T: FromStr>(&self, name: &str, default: T) -> Result<T, Refused> {
        let Some(text) = self.get(name) else { return Ok(default) };
        text.trim().parse().map_err(|_| {
            let kind = if size_of::<T>() == 4 { "INT" } else { "LONG" };
            wrong(format!("Invalid value {text} for configuration {name}: Not a number of type {kind}"))
        })
    }
}

impl IntoIterator for Properties {
    type Item = (String, String);
    type IntoIter = std::collections::btree_map::IntoIter<String, String>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// A setting that cannot be.
pub(in crate::tools) fn wrong(message: String) -> Refused {
    Refused::own(CONFIG_EXCEPTION, message)
}

/// What a connection needs to know.
pub(super) struct Connecting {
    pub(super) bootstrap: Vec<(String, u16)>,
    /// These are controllers, who know of no topic.
    pub(super) to_controllers: bool,
    pub(super) client_id: String,
    /// How long one request may take.
    pub(super) request_timeout: Duration,
    /// How long a call with all its attempts may take.
    pub(super) api_timeout: Duration,
    pub(super) retry_backoff: Duration,
    pub(super) security: Security,
}

impl Connecting {
    pub(super) fn from(properties: &Properties) -> Result<Self, Refused> {
        let request_timeout = millis(properties, "request.timeout.ms", 30_000)?;
        let api_timeout = millis(properties, "default.api.timeout.ms", 60_000)?;
        if properties.get("default.api.timeout.ms").is_some() && api_timeout < request_timeout {
            return Err(wrong(
                "The specified value of default.api.timeout.ms must be no smaller than the value of request.timeout.ms."
                    .to_owned(),
            ));
        }
        let to_controllers = properties.get(CONTROLLERS).is_some();
        let name = if to_controllers { CONTROLLERS } else { SERVERS };
        Ok(Self {
            bootstrap: addresses(properties.get(name).unwrap_or_default(), name)?,
            to_controllers,
            client_id: properties.get("client.id").unwrap_or("adminclient-1").to_owned(),
            request_timeout,
            api_timeout: api_timeout.max(request_timeout),
            retry_backoff: millis(properties, "retry.backoff.ms", 100)?,
            security: Security::from(properties, std::env::var("KAFKA_OPTS").ok().as_deref())?,
        })
    }
}

fn millis(properties: &Properties, name: &str, default: u32) -> Result<Duration, Refused> {
    properties.number(name, default).map(|millis| Duration::from_millis(millis.into()))
}

/// `host:port` with commas between (`ClientUtils.parseAndValidateAddresses`).
fn addresses(text: &str, name: &str) -> Result<Vec<(String, u16)>, Refused> {
    let mut found = Vec::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let plain = part.split_once("://").map_or(part, |(_, rest)| rest);
        let address = plain.rsplit_once(':').and_then(|(host, port)| {
            let host = host.trim_start_matches('[').trim_end_matches(']');
            (!host.is_empty()).then_some((host.to_owned(), port.parse().ok()?))
        });
        found.push(address.ok_or_else(|| wrong(format!("Invalid url in {name}: {part}")))?);
    }
    if found.is_empty() {
        return Err(wrong(format!("No resolvable bootstrap urls given in {name}")));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_split_and_checked() {
        let one = |host: &str, port| (host.to_owned(), port);
        let found = addresses("a:1, PLAINTEXT://b:2,[::1]:3", SERVERS).expect("good addresses");
        assert_eq!(found, [one("a", 1), one("b", 2), one("::1", 3)]);
        for bad in ["", "a", "a:x", ":1"] {
            assert!(addresses(bad, SERVERS).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_cannot_be_honoured_is_refused() {
        let mut given = Properties::default();
        given.add(&["bootstrap.servers=a:1", "security.protocol=TLS"]);
        let refused = Connecting::from(&given).err().expect("not known");
        assert!(refused.message.contains("security.protocol"), "{refused}");
        given.add(&["security.protocol=plaintext", "request.timeout.ms=x"]);
        let refused = Connecting::from(&given).err().expect("no number");
        assert!(refused.message.ends_with("Not a number of type INT"), "{refused}");
    }
}
