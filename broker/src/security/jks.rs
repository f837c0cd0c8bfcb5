//! Java's own older format of key and trust stores, JKS (`sun.security.provider.JavaKeyStore`, `KeyProtector`): reading only.
//!
//! Must never believe a length before its bytes are there, nor give a key or a certificate of a file whose digest is wrong.

use pkcs8::der::asn1::OctetStringRef;
use pkcs8::der::{Decode, Reader, SliceReader};
use pkcs8::spki::{AlgorithmIdentifierRef, ObjectIdentifier};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use sha1::{Digest, Sha1};

/// How such a file begins.
pub(super) const MAGIC: [u8; 4] = [0xfe, 0xed, 0xfe, 0xed];

/// What a private key is scrambled with: `KeyProtector`'s own.
const PROTECTOR: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.42.2.17.1.1");
/// Stands between the password and the file in the digest, so that one without a password is none of the file alone.
const WHITENER: &[u8] = b"Mighty Aphrodite";
const DIGEST: usize = 20;
const SALT: usize = 20;
const KEY: u32 = 1;
const CERTIFICATE: u32 = 2;

/// What is in a file.
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// Private keys as they are scrambled, with their certificates.
    pub(super) keys: Vec<(Sealed, Vec<CertificateDer<'static>>)>,
    /// Certificates that are trusted.
    pub(super) certificates: Vec<CertificateDer<'static>>,
}

/// A private key that has a password of its own.
#[derive(Debug)]
pub(super) struct Sealed(Vec<u8>);

/// Reads a file; without a password its digest is not looked at, as Java does it.
pub(super) fn read(bytes: &[u8], password: Option<&str>) -> Result<Contents, &'static str> {
    const SHORT: &str = "the file is cut off";
    let (body, digest) = bytes.split_last_chunk::<DIGEST>().ok_or(SHORT)?;
    if let Some(password) = password {
        let all = Sha1::new().chain_update(wide(password)).chain_update(WHITENER).chain_update(body);
        if all.finalize()[..] != digest[..] {
            return Err("Keystore was tampered with, or password was incorrect");
        }
    }
    let mut rest = Rest(body.strip_prefix(&MAGIC).ok_or("Invalid keystore format")?);
    let version = rest.u32().ok_or(SHORT)?;
    if !matches!(version, 1 | 2) {
        return Err("Invalid keystore format");
    }
    let mut contents = Contents::default();
    for _ in 0..rest.u32().ok_or(SHORT)? {
        let tag = rest.u32().ok_or(SHORT)?;
        let (_alias, _created) = (rest.text().ok_or(SHORT)?, rest.take(8).ok_or(SHORT)?);
        match tag {
            KEY => {
                let key = Sealed(rest.long().ok_or(SHORT)?.to_vec());
                let count = rest.u32().ok_or(SHORT)?;
                let chain = (0..count).map(|_| rest.certificate(version).ok_or(SHORT));
                contents.keys.push((key, chain.collect::<Result<_, _>>()?));
            }
            CERTIFICATE => contents.certificates.push(rest.certificate(version).ok_or(SHORT)?),
            _ => return Err("Unrecognized keystore entry"),
        }
    }
    Ok(contents)
}

impl Sealed {
    /// The key in PKCS#8.
    pub(super) fn open(&self, password: &str) -> Result<PrivatePkcs8KeyDer<'static>, &'static str> {
        let sealed = self.scrambled().map_err(|_| "the private key is no EncryptedPrivateKeyInfo")?;
        let (algorithm, bytes) = sealed;
        if algorithm != PROTECTOR {
            return Err("Unsupported key protection algorithm");
        }
        let (salt, rest) = bytes.split_at_checked(SALT).ok_or("the private key is cut off")?;
        let (key, digest) = rest.split_last_chunk::<DIGEST>().ok_or("the private key is cut off")?;
        let password = wide(password);
        let mut pad = salt.to_vec();
        let mut plain = Vec::with_capacity(key.len());
        for block in key.chunks(DIGEST) {
            pad = Sha1::new().chain_update(&password).chain_update(&pad).finalize().to_vec();
            plain.extend(block.iter().zip(&pad).map(|(byte, pad)| byte ^ pad));
        }
        if Sha1::new().chain_update(&password).chain_update(&plain).finalize()[..] != digest[..] {
            return Err(
                "Cannot recover key: ssl.key.password, or ssl.keystore.password without it, is not its password",
            );
        }
        Ok(plain.into())
    }

    fn scrambled(&self) -> pkcs8::der::Result<(ObjectIdentifier, &[u8])> {
        SliceReader::new(&self.0)?.sequence(|info| {
            let algorithm = AlgorithmIdentifierRef::decode(info)?;
            Ok((algorithm.oid, OctetStringRef::decode(info)?.as_bytes()))
        })
    }
}

/// A password's characters in two bytes each, as Java has them.
fn wide(password: &str) -> Vec<u8> {
    password.encode_utf16().flat_map(u16::to_be_bytes).collect()
}

/// What of the file is not read yet.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    fn text(&mut self) -> Option<&'a [u8]> {
        let length = u16::from_be_bytes(self.take(2)?.try_into().ok()?);
        self.take(length.into())
    }

    fn long(&mut self) -> Option<&'a [u8]> {
        let length = self.u32()?;
        self.take(usize::try_from(length).ok()?)
    }

    fn certificate(&mut self, version: u32) -> Option<CertificateDer<'static>> {
        if version == 2 {
            // Always X.509.
            self.text()?;
        }
        Some(CertificateDer::from(self.long()?.to_vec()))
    }
}

/// Writes such files for tests.
#[cfg(test)]
pub(super) mod testing {
    use super::*;

    /// A private key with its password and one certificate, if any, and certificates that are trusted.
    pub(crate) fn store(
        password: &str,
        key: Option<(&[u8], &str, &[u8])>,
        certificates: &[&[u8]],
    ) -> Vec<u8> {
        let long = |to: &mut Vec<u8>, bytes: &[u8]| {
            to.extend_from_slice(&u32::try_from(bytes.len()).expect("tests write little").to_be_bytes());
            to.extend_from_slice(bytes);
        };
        let certificate = |to: &mut Vec<u8>, der: &[u8]| {
            to.extend_from_slice(b"\0\x05X.509");
            long(to, der);
        };
        let number = |count: usize| u32::try_from(count).expect("tests write little").to_be_bytes();
        let mut body =
            [&MAGIC[..], &2_u32.to_be_bytes(), &number(key.iter().len() + certificates.len())].concat();
        if let Some((key, password, der)) = key {
            body.extend_from_slice(b"\0\0\0\x01\0\x02me\0\0\0\0\0\0\0\0");
            long(&mut body, &sealed(key, password));
            body.extend_from_slice(&number(1));
            certificate(&mut body, der);
        }
        for der in certificates {
            body.extend_from_slice(b"\0\0\0\x02\0\x02ca\0\0\0\0\0\0\0\0");
            certificate(&mut body, der);
        }
        let digest = Sha1::new().chain_update(wide(password)).chain_update(WHITENER).chain_update(&body);
        [body, digest.finalize().to_vec()].concat()
    }

    fn sealed(key: &[u8], password: &str) -> Vec<u8> {
        let password = wide(password);
        let mut bytes = vec![7; SALT];
        let mut pad = bytes.clone();
        for block in key.chunks(DIGEST) {
            pad = Sha1::new().chain_update(&password).chain_update(&pad).finalize().to_vec();
            bytes.extend(block.iter().zip(&pad).map(|(byte, pad)| byte ^ pad));
        }
        bytes.extend(Sha1::new().chain_update(&password).chain_update(key).finalize());
        let oid = [&[6, 10], PROTECTOR.as_bytes(), &[5, 0]].concat();
        der(0x30, &[der(0x30, &oid), der(4, &bytes)].concat())
    }

    fn der(tag: u8, bytes: &[u8]) -> Vec<u8> {
        let length = u16::try_from(bytes.len()).expect("tests write little").to_be_bytes();
        let head = match bytes.len() {
            0..128 => vec![tag, length[1]],
            128..256 => vec![tag, 0x81, length[1]],
            _ => vec![tag, 0x82, length[0], length[1]],
        };
        [&head[..], bytes].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_gives_what_it_has_to_whoever_knows_the_passwords() {
        let key = [9; 150];
        let bytes = testing::store("säcret", Some((&key, "other", b"one")), &[b"ca"]);
        let contents = read(&bytes, Some("säcret")).unwrap();
        assert_eq!(contents.certificates, [CertificateDer::from(b"ca".to_vec())]);
        let (sealed, chain) = &contents.keys[0];
        assert_eq!(*chain, [CertificateDer::from(b"one".to_vec())]);
        assert_eq!(sealed.open("other").unwrap().secret_pkcs8_der(), key);
        assert!(sealed.open("säcret").unwrap_err().starts_with("Cannot recover key"));
        assert!(read(&bytes, Some("secret")).unwrap_err().contains("tampered with"));
        assert_eq!(read(&bytes, None).unwrap().certificates.len(), 1, "as Java does it");
    }

    #[test]
    fn no_byte_of_a_broken_file_is_believed() {
        let bytes = testing::store("x", Some((&[9; 40], "x", b"one")), &[b"ca"]);
        for length in 0..bytes.len() {
            assert!(read(&bytes[..length], Some("x")).is_err(), "{length}");
            let _ = read(&bytes[..length], None);
        }
        for at in 0..bytes.len() {
            let mut broken = bytes.clone();
            broken[at] ^= 0xff;
            assert!(read(&broken, Some("x")).is_err(), "{at}");
            for (sealed, _) in read(&broken, None).unwrap_or_default().keys {
                let _ = sealed.open("x");
            }
        }
    }
}
