//! Key and trust stores: PEM texts, PEM files, PKCS#12 and JKS files (`DefaultSslEngineFactory`).
//!
//! Must never take a store for less than was asked: what cannot be read stops the start.

use std::fs;
use std::path::Path;

use p12_keystore::{KeyStore, KeyStoreEntry};
use pkcs8::EncryptedPrivateKeyInfo;
use rustls::pki_types::{
    CertificateDer, PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer,
};

use super::Flaw;
use super::jks;
use super::pem::{self, Block};
use crate::settings::StoreSettings;

const PEM: &str = "PEM";
const CERTIFICATE: &str = "CERTIFICATE";
const NO_KEY: &str = "there is no private key with a certificate";

/// A file of Java's tools.
enum Opened {
    Pkcs12(KeyStore),
    Jks(jks::Contents),
}

/// Who the broker is.
pub(super) struct Identity {
    pub key: PrivateKeyDer<'static>,
    pub chain: Vec<CertificateDer<'static>>,
}

/// The private key and certificates of a key store.
pub(super) fn identity(store: &StoreSettings, key_password: Option<&str>) -> Result<Identity, Flaw> {
    let is_pem = store.kind == PEM;
    let kind = &store.kind;
    match (&store.key, &store.certificates, &store.location) {
        (Some(_), ..) if !is_pem => refuse(format!(
            "SSL private key can be specified only for PEM, but key store type is {kind}. Set ssl.keystore.type=PEM"
        )),
        (Some(_), None, _) => {
            refuse("SSL private key is specified, but certificate chain is not specified.".to_owned())
        }
        (Some(_), _, Some(_)) => {
            refuse("Both SSL key store location and separate private key are specified.".to_owned())
        }
        (None, Some(_), _) => {
            refuse("SSL certificate chain is specified, but private key is not specified".to_owned())
        }
        (None, None, None) => refuse(
            "it wants TLS, and the broker has no key: set ssl.keystore.location, or ssl.keystore.key and \
             ssl.keystore.certificate.chain"
                .to_owned(),
        ),
        _ if is_pem && store.password.is_some() => refuse(
            "SSL key store password cannot be specified with PEM format, only key password may be specified."
                .to_owned(),
        ),
        (Some(key), Some(chain), None) => {
            of_pem("ssl.keystore.key", &format!("{key}\n{chain}"), key_password)
        }
        (None, None, Some(path)) if is_pem => {
            let text = String::from_utf8_lossy(&read(path)?).into_owned();
            of_pem(path, &text, key_password)
        }
        (None, None, Some(path)) => of_file(path, store, key_password),
    }
}

/// The certificates of a trust store; `None` if there is no store.
pub(super) fn trusted(store: &StoreSettings) -> Result<Option<Vec<CertificateDer<'static>>>, Flaw> {
    let is_pem = store.kind == PEM;
    if is_pem && store.password.is_some() {
        return refuse("SSL trust store password cannot be specified for PEM format.".to_owned());
    }
    match (&store.certificates, &store.location) {
        (Some(_), _) if !is_pem => refuse(format!(
            "SSL trust store certs can be specified only for PEM, but trust store type is {}.",
            store.kind
        )),
        (Some(_), Some(_)) => {
            refuse("Both SSL trust store location and separate trust certificates are specified.".to_owned())
        }
        (Some(text), None) => certificates("ssl.truststore.certificates", text).map(Some),
        (None, Some(path)) if is_pem => certificates(path, &String::from_utf8_lossy(&read(path)?)).map(Some),
        (None, Some(path)) => {
            let certificate = |entry: &KeyStoreEntry| match entry {
                KeyStoreEntry::Certificate(certificate) => Some(owned(certificate.as_der())),
                _ => None,
            };
            Ok(Some(match open(path, &store.kind, store.password.as_deref())? {
                Opened::Pkcs12(keystore) => {
                    keystore.entries().filter_map(|(_, entry)| certificate(entry)).collect()
                }
                Opened::Jks(contents) => contents.certificates,
            }))
        }
        (None, None) => Ok(None),
    }
}

fn refuse<T>(what: String) -> Result<T, Flaw> {
    Err(Flaw::Settings(what))
}

fn store(what: &str, why: impl ToString) -> Flaw {
    Flaw::Store { what: what.to_owned(), why: why.to_string() }
}

fn read(path: &str) -> Result<Vec<u8>, Flaw> {
    fs::read(path).map_err(|error| Flaw::Unreadable { path: Path::new(path).to_owned(), error })
}

fn owned(der: &[u8]) -> CertificateDer<'static> {
    CertificateDer::from(der.to_vec())
}

fn certificates(what: &str, text: &str) -> Result<Vec<CertificateDer<'static>>, Flaw> {
    let blocks = pem::blocks(text).map_err(|why| store(what, why))?;
    let found = blocks.into_iter().filter(|block| block.label == CERTIFICATE);
    let found: Vec<_> = found.map(|block| CertificateDer::from(block.bytes)).collect();
    if found.is_empty() { Err(store(what, "No matching CERTIFICATE entries in PEM file")) } else { Ok(found) }
}

fn of_pem(what: &str, text: &str, password: Option<&str>) -> Result<Identity, Flaw> {
    let chain = certificates(what, text)?;
    let blocks = pem::blocks(text).map_err(|why| store(what, why))?;
    let mut keys = blocks.into_iter().filter(|block| block.label.ends_with("PRIVATE KEY"));
    match (keys.next(), keys.next()) {
        (Some(block), None) => Ok(Identity { key: key(what, block, password)?, chain }),
        (Some(_), Some(_)) => Err(store(what, "Expected one private key, but found more")),
        (None, _) => Err(store(what, "No matching PRIVATE KEY entries in PEM file")),
    }
}

fn key(what: &str, block: Block, password: Option<&str>) -> Result<PrivateKeyDer<'static>, Flaw> {
    let Block { label, bytes } = block;
    match (label.as_str(), password) {
        ("PRIVATE KEY", _) => Ok(PrivatePkcs8KeyDer::from(bytes).into()),
        ("RSA PRIVATE KEY", _) => Ok(PrivatePkcs1KeyDer::from(bytes).into()),
        ("EC PRIVATE KEY", _) => Ok(PrivateSec1KeyDer::from(bytes).into()),
        ("ENCRYPTED PRIVATE KEY", Some(password)) => {
            let sealed =
                EncryptedPrivateKeyInfo::try_from(bytes.as_slice()).map_err(|error| store(what, error))?;
            let wrong =
                |error| store(what, format!("the key cannot be decrypted with ssl.key.password: {error}"));
            let opened = sealed.decrypt(password).map_err(wrong)?;
            Ok(PrivatePkcs8KeyDer::from(opened.as_bytes().to_vec()).into())
        }
        ("ENCRYPTED PRIVATE KEY", None) => Err(store(what, "the key is encrypted: set ssl.key.password")),
        _ => Err(store(what, format!("no such key is known: {label}"))),
    }
}

fn of_file(path: &str, settings: &StoreSettings, key_password: Option<&str>) -> Result<Identity, Flaw> {
    let Some(password) = settings.password.as_deref() else {
        return refuse("SSL key store is specified, but key store password is not specified.".to_owned());
    };
    let keystore = match open(path, &settings.kind, Some(password))? {
        Opened::Pkcs12(keystore) => keystore,
        Opened::Jks(contents) => return of_jks(path, contents, key_password.unwrap_or(password)),
    };
    // Keys of a PKCS#12 file have the file's password; Java's tools make none with two.
    if key_password.is_some_and(|of_key| of_key != password) {
        return refuse(format!("{path} is PKCS#12: ssl.key.password must be ssl.keystore.password"));
    }
    let (_, found) = keystore.private_key_chain().ok_or_else(|| store(path, NO_KEY))?;
    let chain: Vec<_> = found.chain().iter().map(|certificate| owned(certificate.as_der())).collect();
    Ok(Identity { key: PrivatePkcs8KeyDer::from(found.key().to_vec()).into(), chain })
}

fn of_jks(path: &str, contents: jks::Contents, password: &str) -> Result<Identity, Flaw> {
    let (sealed, chain) = contents.keys.into_iter().next().ok_or_else(|| store(path, NO_KEY))?;
    Ok(Identity { key: sealed.open(password).map_err(|why| store(path, why))?.into(), chain })
}

/// Either type takes files of both, so the file says which it is (`DualFormatJKS`).
fn open(path: &str, kind: &str, password: Option<&str>) -> Result<Opened, Flaw> {
    if !matches!(kind, "JKS" | "PKCS12") {
        return refuse(format!("stores of type {kind} are not supported: use PEM, PKCS12 or JKS"));
    }
    let bytes = read(path)?;
    let what = format!("Failed to load SSL keystore {path} of type {kind}");
    if bytes.starts_with(&jks::MAGIC) {
        return jks::read(&bytes, password).map(Opened::Jks).map_err(|why| store(&what, why));
    }
    let keystore = KeyStore::from_pkcs12(&bytes, password.unwrap_or_default());
    keystore.map(Opened::Pkcs12).map_err(|error| store(&what, error))
}
