//! What protects a listener: its keys and certificates, and who may prove to be whom.
//!
//! Must never be printed: it holds secrets.

use super::super::Settings;

/// TLS of one listener.
pub struct TlsSettings {
    pub listener: String,
    pub keystore: StoreSettings,
    /// `None`: the store's password, or none at all.
    pub key_password: Option<String>,
    pub truststore: StoreSettings,
    pub client_auth: ClientAuth,
    /// As Java names them: `TLSv1.3`.
    pub protocols: Vec<String>,
    /// As Java names them; empty is all.
    pub cipher_suites: Vec<String>,
}

/// Where keys or certificates are.
#[derive(Default)]
pub struct StoreSettings {
    /// In upper case.
    pub kind: String,
    pub location: Option<String>,
    pub password: Option<String>,
    /// PEM text.
    pub key: Option<String>,
    pub certificates: Option<String>,
}

/// Whether clients show a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    None,
    Requested,
    Required,
}

impl Settings {
    /// TLS of the listener of this name; `listener.name.<name>.` wins over the broker's own values.
    pub fn tls(&self, listener: &str) -> TlsSettings {
        let text = |name: &str| self.of_listener(listener, name).filter(|text| !text.is_empty());
        let list = |name: &str| -> Vec<String> {
            let text = text(name).unwrap_or_default();
            text.split(',').map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect()
        };
        TlsSettings {
            listener: listener.to_owned(),
            keystore: StoreSettings {
                kind: text("ssl.keystore.type").unwrap_or_default().to_uppercase(),
                location: text("ssl.keystore.location"),
                password: text("ssl.keystore.password"),
                key: text("ssl.keystore.key"),
                certificates: text("ssl.keystore.certificate.chain"),
            },
            key_password: text("ssl.key.password"),
            truststore: StoreSettings {
                kind: text("ssl.truststore.type").unwrap_or_default().to_uppercase(),
                location: text("ssl.truststore.location"),
                password: text("ssl.truststore.password"),
                key: None,
                certificates: text("ssl.truststore.certificates"),
            },
            client_auth: match text("ssl.client.auth").unwrap_or_default().to_lowercase().as_str() {
                "required" => ClientAuth::Required,
                "requested" => ClientAuth::Requested,
                _ => ClientAuth::None,
            },
            protocols: list("ssl.enabled.protocols"),
            cipher_suites: list("ssl.cipher.suites"),
        }
    }

    /// The value that one listener has for itself, or the broker's.
    pub(super) fn of_listener(&self, listener: &str, name: &str) -> Option<String> {
        let own = format!("listener.name.{}.{name}", listener.to_lowercase());
        self.find(&own).map(|found| found.text.trim().to_owned()).or_else(|| self.text(name))
    }
}
