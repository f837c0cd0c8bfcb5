//! Stores in every form, good and bad.

use std::fs;
use std::path::Path;

use super::super::authority::{Authority, Signed};
use super::super::{jks, pem};
use super::*;
use crate::settings::Settings;

/// An RSA key of `openssl pkcs8 -topk8 -v2 aes-256-cbc`, password `secret`, would be long; this is a P-256 one.
struct Made {
    authority: Authority,
    server: Signed,
    dir: tempfile::TempDir,
}

fn made() -> Made {
    let authority = Authority::create().unwrap();
    let server = authority.sign("broker", &["localhost".to_owned()]).unwrap();
    Made { authority, server, dir: tempfile::tempdir().unwrap() }
}

impl Made {
    fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        let path = self.dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

fn config(pairs: &[(&str, &str)]) -> Result<Arc<ServerConfig>, String> {
    let settings = Settings::from_pairs(pairs).expect("texts of the right type");
    server_config(&settings.tls("EXTERNAL")).map_err(|error| error.to_string())
}

fn check_refused(pairs: &[(&str, &str)], expected: &str) {
    let error = config(pairs).expect_err("a refusal");
    assert!(error.starts_with("listener EXTERNAL: ") && error.contains(expected), "{error}");
}

#[test]
fn keys_come_as_text_or_in_a_file_and_a_listeners_own_win() {
    let made = made();
    let Signed { certificate, key } = &made.server;
    config(&[
        ("ssl.keystore.type", "PEM"),
        ("ssl.keystore.key", key),
        ("ssl.keystore.certificate.chain", certificate),
    ])
    .unwrap();
    let file = made.file("server.pem", format!("{key}{certificate}"));
    let own = [
        ("ssl.keystore.location", "/nowhere"),
        ("listener.name.external.ssl.keystore.type", "PEM"),
        ("listener.name.external.ssl.keystore.location", file.as_str()),
    ];
    config(&own).unwrap();
    let store = made.authority.key_store("broker", &made.server, "changeit").unwrap();
    let file = made.file("server.p12", store);
    // Kafka's default type is JKS, and Java reads PKCS#12 under that name.
    for kind in ["JKS", "PKCS12", "pkcs12"] {
        let pairs = [
            ("ssl.keystore.type", kind),
            ("ssl.keystore.location", file.as_str()),
            ("ssl.keystore.password", "changeit"),
            ("ssl.key.password", "changeit"),
        ];
        config(&pairs).unwrap();
    }
}

#[test]
fn clients_are_asked_for_what_the_trust_store_knows() {
    let made = made();
    let (key, chain) = (made.server.key.as_str(), made.server.certificate.as_str());
    let store = made.file("trust.p12", made.authority.trust_store("changeit").unwrap());
    let base = [
        ("ssl.keystore.type", "PEM"),
        ("ssl.keystore.key", key),
        ("ssl.keystore.certificate.chain", chain),
        ("ssl.client.auth", "required"),
    ];
    let with = |more: &[(&'static str, &str)]| -> Result<(), String> {
        let pairs: Vec<(&str, &str)> = base.iter().copied().chain(more.iter().copied()).collect();
        config(&pairs).map(drop)
    };
    assert!(with(&[]).unwrap_err().contains("none is trusted"));
    with(&[
        ("ssl.truststore.type", "PKCS12"),
        ("ssl.truststore.location", &store),
        ("ssl.truststore.password", "changeit"),
    ])
    .unwrap();
    let ca = made.authority.own.certificate.as_str();
    with(&[("ssl.truststore.type", "PEM"), ("ssl.truststore.certificates", ca)]).unwrap();
    let refused = with(&[("ssl.truststore.certificates", ca)]).unwrap_err();
    assert!(
        refused.contains("trust certs can be specified only for PEM, but trust store type is JKS")
            || refused.contains("SSL trust store certs can be specified only for PEM"),
        "{refused}"
    );
}

#[test]
fn what_does_not_fit_is_refused_in_kafkas_words() {
    let made = made();
    let other = made.authority.sign("other", &[]).unwrap();
    let (key, chain) = (made.server.key.as_str(), made.server.certificate.as_str());
    let pem = ("ssl.keystore.type", "PEM");
    check_refused(&[], "the broker has no key");
    check_refused(
        &[("ssl.keystore.key", key)],
        "SSL private key can be specified only for PEM, but key store type is JKS",
    );
    check_refused(&[pem, ("ssl.keystore.key", key)], "but certificate chain is not specified");
    check_refused(&[pem, ("ssl.keystore.certificate.chain", chain)], "but private key is not specified");
    let both = [pem, ("ssl.keystore.key", key), ("ssl.keystore.certificate.chain", chain)];
    let with = |more: (&'static str, &'static str)| [both[0], both[1], both[2], more];
    check_refused(
        &with(("ssl.keystore.location", "/x")),
        "Both SSL key store location and separate private key",
    );
    check_refused(
        &with(("ssl.keystore.password", "x")),
        "SSL key store password cannot be specified with PEM",
    );
    check_refused(&with(("ssl.enabled.protocols", "TLSv1.1")), "neither TLSv1.2 nor TLSv1.3");
    check_refused(&with(("ssl.cipher.suites", "TLS_RSA_WITH_NULL_MD5")), "none that is known");
    config(&with(("ssl.cipher.suites", "TLS_AES_128_GCM_SHA256"))).unwrap();
    let mixed = [pem, ("ssl.keystore.key", other.key.as_str()), both[2]];
    check_refused(&mixed, "TLS cannot be set up");
    let nowhere = Path::new("/nowhere/at/all").to_str().unwrap();
    check_refused(&[pem, ("ssl.keystore.location", nowhere)], "cannot read /nowhere/at/all");
}

/// Java takes files of either kind under both names, and keys of JKS files with passwords of their own.
#[test]
fn javas_older_stores_are_read_under_both_names() {
    let made = made();
    let der = |text: &str| pem::blocks(text).unwrap().remove(0).bytes;
    let (key, certificate) = (der(&made.server.key), der(&made.server.certificate));
    let file = |of_key: &str| {
        let store = jks::testing::store("changeit", Some((&key, of_key, &certificate)), &[]);
        made.file(&format!("{of_key}.jks"), store)
    };
    let (same, own) = (file("changeit"), file("another"));
    let trusted = made.file("trusted.jks", jks::testing::store("secret", None, &[&certificate]));
    for kind in ["JKS", "PKCS12"] {
        let with = |file: &str, more: &[(&str, &str)]| {
            let store = [
                ("ssl.keystore.type", kind),
                ("ssl.keystore.location", file),
                ("ssl.keystore.password", "changeit"),
                ("ssl.truststore.location", &trusted),
                ("ssl.client.auth", "required"),
            ];
            config(&[&store[..], more].concat())
        };
        with(&same, &[]).unwrap();
        with(&own, &[("ssl.key.password", "another"), ("ssl.truststore.password", "secret")]).unwrap();
        let refused = with(&own, &[]).unwrap_err();
        assert!(refused.contains("Cannot recover key"), "{refused}");
    }
}

#[test]
fn files_that_are_no_stores_are_refused() {
    let made = made();
    let store = made.authority.key_store("broker", &made.server, "changeit").unwrap();
    let good = made.file("good.p12", store);
    let cut = made.file("cut.jks", [0xfe, 0xed, 0xfe, 0xed, 0, 0, 0, 2]);
    let keyless = made.file("keyless.jks", jks::testing::store("x", None, &[b"ca"]));
    let refused = |file: &str, password: &str, expected: &str| {
        check_refused(&[("ssl.keystore.location", file), ("ssl.keystore.password", password)], expected);
    };
    refused(&cut, "x", "the file is cut off");
    refused(&keyless, "x", "there is no private key with a certificate");
    refused(&keyless, "y", "Keystore was tampered with, or password was incorrect");
    refused(&good, "wrong!", "Failed to load SSL keystore");
    check_refused(&[("ssl.keystore.location", &good)], "but key store password is not specified");
    check_refused(
        &[("ssl.keystore.type", "BKS"), ("ssl.keystore.location", &good), ("ssl.keystore.password", "x")],
        "stores of type BKS are not supported",
    );
    let empty = made.file("empty.pem", "nothing");
    check_refused(
        &[("ssl.keystore.type", "PEM"), ("ssl.keystore.location", &empty)],
        "No matching CERTIFICATE",
    );
}

#[test]
fn an_encrypted_key_is_opened_with_its_password() {
    // openssl ecparam -genkey -name prime256v1 | openssl pkcs8 -topk8 -v2 aes-256-cbc -passout pass:secret
    let sealed = include_str!("encrypted-key.pem");
    let made = made();
    let pairs = |password: &'static str| {
        [
            ("ssl.keystore.type", "PEM"),
            ("ssl.keystore.key", sealed),
            ("ssl.keystore.certificate.chain", made.server.certificate.as_str()),
            ("ssl.key.password", password),
        ]
    };
    // Opened, it turns out not to be the certificate's.
    check_refused(&pairs("secret"), "TLS cannot be set up");
    check_refused(&pairs("wrong"), "cannot be decrypted with ssl.key.password");
    check_refused(&pairs("secret")[..3], "set ssl.key.password");
}
