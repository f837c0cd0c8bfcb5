//! A certificate authority for development: made once, it signs certificates for brokers and clients.
//!
//! Must never sign for anybody outside this machine's tests: its key lies in a file beside the certificates.

use p12_keystore::{Certificate, KeyStore, KeyStoreEntry, PrivateKeyChain};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls::pki_types::CertificateDer;

use super::pem;

/// Someone that this authority vouches for, or itself; both parts are PEM.
#[derive(Clone)]
pub struct Signed {
    pub certificate: String,
    pub key: String,
}

/// The authority with its key.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub own: Signed,
}

/// Why something could not be made or read.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    #[error("certificates cannot be made: {0}")]
    Certificate(#[from] rcgen::Error),
    #[error("PKCS#12 cannot be written: {0}")]
    Pkcs12(#[from] p12_keystore::error::Error),
    #[error("{0}")]
    Pem(String),
}

impl Authority {
    /// A new one.
    pub fn create() -> Result<Self, AuthorityError> {
        let key = KeyPair::generate()?;
        let params = own_params();
        let own = Signed { certificate: params.self_signed(&key)?.pem(), key: key.serialize_pem() };
        Ok(Self { issuer: Issuer::new(params, key), own })
    }

    /// The one that was made before.
    pub fn load(own: Signed) -> Result<Self, AuthorityError> {
        let key = KeyPair::from_pem(&own.key)?;
        Ok(Self { issuer: Issuer::new(own_params(), key), own })
    }

    /// A certificate for this name, and for these hosts, which may be addresses.
    pub fn sign(&self, name: &str, hosts: &[String]) -> Result<Signed, AuthorityError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(hosts.to_vec())?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        limit(&mut params);
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Signed { certificate: certificate.pem(), key: key.serialize_pem() })
    }

    /// PKCS#12 with this certificate alone as trusted, as Java's trust stores are.
    pub fn trust_store(&self, password: &str) -> Result<Vec<u8>, AuthorityError> {
        let mut store = KeyStore::new();
        store.add_entry("milena-ca", KeyStoreEntry::Certificate(certificate(&self.own.certificate)?));
        Ok(store.writer(password).write()?)
    }

    /// PKCS#12 with a key, its certificate and this authority's.
    pub fn key_store(&self, alias: &str, of: &Signed, password: &str) -> Result<Vec<u8>, AuthorityError> {
        let chain = [certificate(&of.certificate)?, certificate(&self.own.certificate)?];
        let mut store = KeyStore::new();
        let chain = PrivateKeyChain::new(der(&of.key)?, alias, chain);
        store.add_entry(alias, KeyStoreEntry::PrivateKeyChain(chain));
        Ok(store.writer(password).write()?)
    }
}

fn own_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "Milena development CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    limit(&mut params);
    params
}

/// No clock is asked: a container's may be wrong by years.
fn limit(params: &mut CertificateParams) {
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2049, 12, 31);
}

fn der(pem: &str) -> Result<Vec<u8>, AuthorityError> {
    let mut blocks = pem::blocks(pem).map_err(AuthorityError::Pem)?;
    if blocks.is_empty() {
        return Err(AuthorityError::Pem("there is no PEM block".to_owned()));
    }
    Ok(blocks.swap_remove(0).bytes)
}

fn certificate(pem: &str) -> Result<Certificate, AuthorityError> {
    Ok(Certificate::from_der(&CertificateDer::from(der(pem)?))?)
}
