//! Stores in Java's older format, made by keytool: those of the broker and those of its clients, in Java and of our own.
//!
//! It must never read a store that keytool would have made in another format when asked for this one.

use std::fs;
use std::path::Path;

use milena_compat_tests::server::{Setup, Target};
use milena_compat_tests::{Program, Server, Tool, paths, port};

use super::native;

/// Of both stores; the key has one of its own.
const PASSWORD: &str = "changeit";
const KEY_PASSWORD: &str = "another";

fn keytool(folder: &Path, line: &str) {
    let words = native::words(line);
    Program::new("keytool").args(words).current_dir(folder).ok();
}

/// `server.jks` with a key of 2,048 bits, and `trust.jks` with its certificate.
fn stores(folder: &Path) {
    keytool(
        folder,
        &format!(
            "-genkeypair -alias broker -keyalg RSA -dname CN=broker -ext SAN=dns:localhost,ip:127.0.0.1 -validity 3650 \
             -storetype JKS -keystore server.jks -storepass {PASSWORD} -keypass {KEY_PASSWORD}"
        ),
    );
    keytool(
        folder,
        &format!("-exportcert -alias broker -keystore server.jks -storepass {PASSWORD} -file broker.crt"),
    );
    keytool(
        folder,
        &format!(
            "-importcert -noprompt -alias broker -file broker.crt -storetype JKS -keystore trust.jks -storepass {PASSWORD}"
        ),
    );
    for store in ["server.jks", "trust.jks"] {
        let bytes = fs::read(folder.join(store)).expect("keytool has made it");
        assert!(bytes.starts_with(&[0xfe, 0xed, 0xfe, 0xed]), "{store} is not of the older format");
    }
}

fn broker(folder: &Path, port: u16) -> Server {
    let store = folder.join("server.jks");
    let trust = folder.join("trust.jks");
    Setup::of(Target::Milena)
        .set("listeners", &format!("PLAINTEXT://127.0.0.1:0,SSL://127.0.0.1:{port}"))
        .set("ssl.keystore.location", &store.display().to_string())
        .set("ssl.keystore.password", PASSWORD)
        .set("ssl.key.password", KEY_PASSWORD)
        .set("ssl.truststore.location", &trust.display().to_string())
        .set("ssl.truststore.password", PASSWORD)
        .set("ssl.client.auth", "requested")
        .start()
}

/// With a certificate of its own the client shows it, which the broker asks for.
#[test]
fn stores_of_keytool_do_for_brokers_and_clients() {
    let folder = paths::scratch("jks");
    let folder = folder.path();
    stores(folder);
    let port = port::free();
    let _broker = broker(folder, port);
    let address = format!("127.0.0.1:{port}");
    let anonymous = format!(
        "security.protocol=SSL\nssl.truststore.location={}\nssl.truststore.password={PASSWORD}\n",
        folder.join("trust.jks").display()
    );
    let own = format!(
        "{anonymous}ssl.keystore.location={}\nssl.keystore.password={PASSWORD}\nssl.key.password={KEY_PASSWORD}\n",
        folder.join("server.jks").display()
    );
    for (name, text) in [("anonymous", anonymous), ("own", own)] {
        let file = folder.join(format!("{name}.properties"));
        fs::write(&file, text).expect("a writable directory");
        let file = file.display().to_string();
        let at = ["--bootstrap-server", &address, "--command-config", &file];
        let create = ["--create", "--topic", name, "--partitions", "3"];
        Tool::new("kafka-topics").args(at).args(create).ok();
        let list: Vec<String> = at.iter().chain(&["--list"]).map(|&word| word.to_owned()).collect();
        let told = native::run("kafka-topics", &list, "");
        assert!(
            told.status == 0 && told.stdout.lines().any(|line| line == name),
            "{}{}",
            told.stdout,
            told.stderr
        );
    }
}
