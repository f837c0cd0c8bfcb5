//! The TLS side of a client: whom it trusts, whether the broker's name has to fit, and the client's own key.
//!
//! Must never take a certificate that no trusted one vouches for, whatever else is switched off.

use std::fs;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::super::pem;
use super::super::stores::{Identity, identity, trusted};
use super::{Flaw, provider, versions};
use crate::settings::TlsSettings;

/// Where systems keep the authorities that everybody trusts.
const SYSTEM: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// What rustls needs for a client with these settings. Without a trust store the system's authorities are trusted, as those of
/// Java by Java's clients. Reads files.
pub fn client_config(settings: &TlsSettings, checks_names: bool) -> Result<Arc<ClientConfig>, Flaw> {
    let provider = Arc::new(provider(&settings.cipher_suites)?);
    let versions = versions(&settings.protocols)?;
    let mut roots = RootCertStore::empty();
    let trusted = match trusted(&settings.truststore)? {
        Some(certificates) => {
            certificates.iter().try_for_each(|certificate| roots.add(certificate.clone()))?;
            certificates
        }
        None => {
            roots.add_parsable_certificates(system());
            Vec::new()
        }
    };
    let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let none =
        |error| Flaw::Settings(format!("no broker would be trusted: {error}; set ssl.truststore.location"));
    let verifier = Verifier { inner: inner.build().map_err(none)?, trusted, checks_names };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let has_key = settings.keystore.key.is_some() || settings.keystore.location.is_some();
    let config = if has_key {
        let Identity { key, chain } = identity(&settings.keystore, settings.key_password.as_deref())?;
        builder.with_client_auth_cert(chain, key)?
    } else {
        builder.with_no_client_auth()
    };
    Ok(Arc::new(config))
}

fn system() -> Vec<CertificateDer<'static>> {
    let text = SYSTEM.iter().find_map(|path| fs::read_to_string(path).ok()).unwrap_or_default();
    let blocks = pem::blocks(&text).unwrap_or_default();
    blocks.into_iter().map(|block| CertificateDer::from(block.bytes)).collect()
}

/// As Java judges: a certificate that is trusted itself is, whoever signed it; and names count only if they are to.
#[derive(Debug)]
struct Verifier {
    inner: Arc<WebPkiServerVerifier>,
    trusted: Vec<CertificateDer<'static>>,
    checks_names: bool,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.trusted.contains(end_entity) {
            if self.checks_names {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
            }
            return Ok(ServerCertVerified::assertion());
        }
        // The name is compared last, so that what else is wrong has been told before.
        match self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if !self.checks_names => Ok(ServerCertVerified::assertion()),
            judged => judged,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use rustls::{ClientConnection, ServerConnection};

    use super::super::super::authority::{Authority, Signed};
    use super::super::server_config;
    use super::*;
    use crate::settings::{Settings, StoreSettings};

    /// Shakes hands in memory: a client that trusts this and asks for `asked`, with a broker of this key.
    fn handshake(trusted: &str, of: &Signed, asked: &str, checks_names: bool) -> Result<(), String> {
        let pairs = [
            ("ssl.keystore.type", "PEM"),
            ("ssl.keystore.key", of.key.as_str()),
            ("ssl.keystore.certificate.chain", of.certificate.as_str()),
        ];
        let mut settings = Settings::from_pairs(&pairs).expect("texts of the right type").tls("EXTERNAL");
        let mut server = ServerConnection::new(server_config(&settings).expect("a key")).expect("a server");
        settings.keystore = StoreSettings::default();
        settings.truststore.kind = "PEM".to_owned();
        settings.truststore.certificates = Some(trusted.to_owned());
        let config = client_config(&settings, checks_names).map_err(|flaw| flaw.to_string())?;
        let name = ServerName::try_from(asked.to_owned()).expect("a name");
        let mut client = ClientConnection::new(config, name).expect("a client");
        while client.is_handshaking() {
            let mut bytes = Vec::new();
            client.write_tls(&mut bytes).expect("memory");
            server.read_tls(&mut bytes.as_slice()).expect("memory");
            server.process_new_packets().map_err(|error| error.to_string())?;
            bytes.clear();
            server.write_tls(&mut bytes).expect("memory");
            client.read_tls(&mut bytes.as_slice()).expect("memory");
            client.process_new_packets().map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    #[test]
    fn whom_nobody_vouches_for_is_refused_and_names_count_unless_told_otherwise() {
        let authority = Authority::create().expect("an authority");
        let broker = authority.sign("broker", &["kafka".to_owned(), "127.0.0.1".to_owned()]).expect("signed");
        let known = authority.own.certificate.as_str();
        handshake(known, &broker, "kafka", true).expect("a name of the broker");
        handshake(known, &broker, "127.0.0.1", true).expect("an address of the broker");
        assert!(handshake(known, &broker, "other", true).expect_err("another name").contains("certificate"));
        handshake(known, &broker, "other", false).expect("names do not count");
        let foreign = Authority::create().expect("an authority");
        for checks_names in [true, false] {
            let refused = handshake(&foreign.own.certificate, &broker, "kafka", checks_names);
            assert!(refused.expect_err("a stranger").contains("certificate"));
        }
        // The certificate itself is trusted, and whoever signed it is not.
        handshake(&broker.certificate, &broker, "kafka", true).expect("known itself");
        handshake(&broker.certificate, &broker, "other", true).expect_err("another name");
    }
}
