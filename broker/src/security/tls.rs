//! The TLS side of a listener, and of a client (`client`): versions, suites, the broker's key and whose certificates are trusted.
//!
//! Must never fall back to less than the settings ask for.

mod client;

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use rustls::{
    CipherSuite, Error, InconsistentKeys, RootCertStore, ServerConfig, SupportedCipherSuite,
    SupportedProtocolVersion,
};

use super::stores::{Identity, identity, trusted};
use super::{Flaw, SecurityError};
use crate::settings::{ClientAuth, TlsSettings};
pub use client::client_config;

/// What rustls needs for one listener. Reads files.
pub fn server_config(settings: &TlsSettings) -> Result<Arc<ServerConfig>, SecurityError> {
    build(settings).map_err(|flaw| SecurityError { listener: settings.listener.clone(), flaw })
}

fn build(settings: &TlsSettings) -> Result<Arc<ServerConfig>, Flaw> {
    let provider = Arc::new(provider(&settings.cipher_suites)?);
    let versions = versions(&settings.protocols)?;
    let Identity { key, chain } = identity(&settings.keystore, settings.key_password.as_deref())?;
    let key = CertifiedKey::new(chain, provider.key_provider.load_private_key(key)?);
    // A certificate of X.509's first version cannot be compared, and Java takes it.
    if let Err(error @ Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) = key.keys_match() {
        return Err(error.into());
    }
    let verifier = verifier(settings, &provider)?;
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions)?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
    Ok(Arc::new(config))
}

fn verifier(
    settings: &TlsSettings,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, Flaw> {
    if settings.client_auth == ClientAuth::None {
        return Ok(WebPkiClientVerifier::no_client_auth());
    }
    let Some(certificates) = trusted(&settings.truststore)? else {
        let what = "clients are to show certificates (ssl.client.auth), and none is trusted: set ssl.truststore.location";
        return Err(Flaw::Settings(what.to_owned()));
    };
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        roots.add(certificate)?;
    }
    let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    if settings.client_auth == ClientAuth::Requested {
        builder = builder.allow_unauthenticated();
    }
    builder.build().map_err(|error| Flaw::Settings(format!("the trust store is of no use: {error}")))
}

fn versions(names: &[String]) -> Result<Vec<&'static SupportedProtocolVersion>, Flaw> {
    let version = |name: &String| match name.as_str() {
        "TLSv1.2" => Some(&TLS12),
        "TLSv1.3" => Some(&TLS13),
        // Left out: whoever only speaks these is refused, as by today's Java.
        _ => None,
    };
    let known: Vec<_> = names.iter().filter_map(version).collect();
    if known.is_empty() {
        let what = format!("ssl.enabled.protocols={} has neither TLSv1.2 nor TLSv1.3", names.join(","));
        return Err(Flaw::Settings(what));
    }
    Ok(known)
}

fn provider(suites: &[String]) -> Result<CryptoProvider, Flaw> {
    let mut provider = ring::default_provider();
    if !suites.is_empty() {
        provider.cipher_suites.retain(|suite| suites.iter().any(|name| is_called(suite, name)));
        if provider.cipher_suites.is_empty() {
            return Err(Flaw::Settings(format!(
                "ssl.cipher.suites={} has none that is known",
                suites.join(",")
            )));
        }
    }
    Ok(provider)
}

/// Java's names are IANA's; those of TLS 1.3 have their version in rustls.
fn is_called(suite: &SupportedCipherSuite, name: &str) -> bool {
    let iana = |suite: CipherSuite| format!("{suite:?}").replace("TLS13_", "TLS_");
    iana(suite.suite()) == name
}

#[cfg(test)]
mod tests;
