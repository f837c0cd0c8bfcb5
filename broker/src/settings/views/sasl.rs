//! Who may prove to be whom on a listener.
//!
//! Must never be printed: it holds secrets.

use std::time::Duration;

use super::super::Settings;

/// SASL of one listener.
pub struct SaslSettings {
    pub listener: String,
    pub mechanisms: Vec<MechanismSettings>,
    /// The login line of PLAIN.
    pub plain_jaas: Option<String>,
    /// A file of logins for everything.
    pub jaas_file: Option<String>,
    pub max_receive: usize,
    pub failure_delay: Duration,
}

/// One mechanism that is to be served.
pub struct MechanismSettings {
    pub name: String,
    /// `None`: whoever has proved who it is need not do so again.
    pub max_reauth: Option<Duration>,
}

impl Settings {
    /// SASL of the listener of this name.
    pub fn sasl(&self, listener: &str) -> SaslSettings {
        let names = self.of_listener(listener, "sasl.enabled.mechanisms").unwrap_or_default();
        let names = names.split(',').map(str::trim).filter(|name| !name.is_empty());
        let mechanism = |name: &str| {
            let text = self.of_mechanism(listener, name, "connections.max.reauth.ms");
            let millis = text.and_then(|text| text.parse().ok()).filter(|millis: &u64| *millis > 0);
            MechanismSettings { name: name.to_owned(), max_reauth: millis.map(Duration::from_millis) }
        };
        // Without the mechanism in front Kafka leaves the line aside, too.
        let plain_jaas = ["listener.name.", ""].into_iter().find_map(|prefix| {
            let own = if prefix.is_empty() {
                String::new()
            } else {
                format!("{prefix}{}.", listener.to_lowercase())
            };
            self.find(&format!("{own}plain.sasl.jaas.config")).map(|found| found.text.to_owned())
        });
        SaslSettings {
            listener: listener.to_owned(),
            mechanisms: names.map(mechanism).collect(),
            plain_jaas,
            jaas_file: self.text("milena.jaas.file").filter(|path| !path.is_empty()),
            max_receive: self.count("sasl.server.max.receive.size"),
            failure_delay: self.millis("connection.failed.authentication.delay.ms"),
        }
    }

    /// The value that one mechanism of a listener has for itself, or the listener's, or the broker's.
    fn of_mechanism(&self, listener: &str, mechanism: &str, name: &str) -> Option<String> {
        let own = format!("listener.name.{}.{}.{name}", listener.to_lowercase(), mechanism.to_lowercase());
        let found = self.find(&own).map(|found| found.text.trim().to_owned());
        found.or_else(|| self.of_listener(listener, name))
    }
}
