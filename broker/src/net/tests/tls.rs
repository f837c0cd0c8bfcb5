//! The same over TLS.

use std::io::ErrorKind;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::*;
use crate::security::authority::{Authority, Signed};
use crate::security::{pem, server_config};
use crate::settings::Settings;

type Client = StreamOwned<ClientConnection, TcpStream>;

struct Keys {
    authority: Authority,
    server: Signed,
}

fn keys() -> Keys {
    let authority = Authority::create().unwrap();
    let server = authority.sign("broker", &["localhost".to_owned()]).unwrap();
    Keys { authority, server }
}

impl Keys {
    fn start(&self, toy: Toy, client_auth: &str) -> Server {
        let pairs = Settings::from_pairs(&[
            ("ssl.keystore.type", "PEM"),
            ("ssl.keystore.key", &self.server.key),
            ("ssl.keystore.certificate.chain", &self.server.certificate),
            ("ssl.truststore.type", "PEM"),
            ("ssl.truststore.certificates", &self.authority.own.certificate),
            ("ssl.client.auth", client_auth),
        ]);
        let tls = server_config(&pairs.unwrap().tls("SSL")).unwrap();
        let bound = bind(&listener("127.0.0.1", 0), 1024).unwrap();
        serve_protected(&settings(), toy, bound, 2, &Protection { tls: Some(tls), sasl: None })
    }

    fn connect(&self, server: &Server, identity: Option<&Signed>) -> Client {
        let mut roots = RootCertStore::empty();
        roots.add(der(&self.authority.own.certificate).into()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match identity {
            None => builder.with_no_client_auth(),
            Some(signed) => builder
                .with_client_auth_cert(
                    vec![der(&signed.certificate).into()],
                    rustls::pki_types::PrivatePkcs8KeyDer::from(der(&signed.key)).into(),
                )
                .unwrap(),
        };
        let socket = TcpStream::connect(server.address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), socket)
    }
}

fn der(text: &str) -> Vec<u8> {
    pem::blocks(text).unwrap().swap_remove(0).bytes
}

fn ask(client: &mut Client, request: &[u8]) {
    client.write_all(&frame(request)).unwrap();
}

#[test]
fn a_connection_over_tls_goes_to_another_core_with_what_it_has_read() {
    let keys = keys();
    let server = keys.start(Toy::default(), "none");
    server.net.shared.cores.set_used(2);
    let mut clients = [keys.connect(&server, None), keys.connect(&server, None)];
    let sent = |name: u8| [frame(&[b'l', name]), frame(&[b'n', name])].concat();
    for (client, name) in clients.iter_mut().zip(*b"ab") {
        // The first piece of the second request comes in one record with the first one, and is decrypted before the connection can go.
        let sent = sent(name);
        client.write_all(&sent[..sent.len() - 1]).unwrap();
    }
    server.toy.wait_for_started(2);
    server.net.shared.cores.set_used(1);
    for (client, name) in clients.iter_mut().zip(*b"ab") {
        server.toy.release(&[name]);
        assert_eq!(answer(client), [name]);
        client.write_all(&sent(name)[sent(name).len() - 1..]).unwrap();
        assert_eq!(answer(client), [name]);
        ask(client, b"nlast");
        assert_eq!(answer(client), b"last");
    }
    let threads = server.toy.threads.lock();
    assert_ne!(threads[0], threads[1]);
    assert_eq!(threads.last().unwrap(), "milena-0");
    assert_eq!(threads.iter().filter(|thread| *thread == "milena-1").count(), 1, "{threads:?}");
}

#[test]
fn requests_are_answered_over_tls_in_order() {
    let keys = keys();
    let server = keys.start(Toy::default(), "none");
    let mut client = keys.connect(&server, None);
    ask(&mut client, b"lslow");
    ask(&mut client, b"nquick");
    server.toy.wait_for_started(2);
    server.toy.release(b"slow");
    assert_eq!(answer(&mut client), b"slow");
    assert_eq!(answer(&mut client), b"quick");
    let large = [&b"n"[..], &vec![b'x'; 700_000]].concat();
    ask(&mut client, &large);
    assert!(answer(&mut client) == large[1..], "a large request comes back");
}

#[test]
fn file_data_is_encrypted_and_whole() {
    let content: Vec<u8> = (0..300_000_u32).map(|n| (n % 251) as u8).collect();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    std::fs::write(&path, [b"head", &content[..]].concat()).unwrap();
    let file: Arc<dyn milena_storage::fs::File> = RealFs.open(&path, Open::Read).unwrap();
    let slice = FileSlice { file, position: 4, len: content.len() };
    let keys = keys();
    let server = keys.start(Toy { file: Some(slice), ..Toy::default() }, "none");
    let mut client = keys.connect(&server, None);
    for _ in 0..3 {
        ask(&mut client, b"f");
        let body = answer(&mut client);
        assert!(body[0] == b'<' && body[body.len() - 1] == b'>' && body[1..body.len() - 1] == content);
    }
}

#[test]
fn a_client_in_plaintext_is_let_go_and_holds_up_nobody() {
    let keys = keys();
    let server = keys.start(Toy::default(), "none");
    // One that says nothing, and one that speaks Kafka's protocol.
    let silent = TcpStream::connect(server.address).unwrap();
    let mut plain = TcpStream::connect(server.address).unwrap();
    plain.set_read_timeout(Some(PATIENCE)).unwrap();
    plain.write_all(&[0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 0xff, 0xff]).unwrap();
    let mut client = keys.connect(&server, None);
    ask(&mut client, b"nhello");
    assert_eq!(answer(&mut client), b"hello");
    let mut rest = Vec::new();
    match plain.read_to_end(&mut rest) {
        // An alert, perhaps, and the end.
        Ok(_) => assert!(rest.len() <= 16, "{rest:?}"),
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
    assert_eq!(server.toy.started.load(Ordering::SeqCst), 1, "nothing of it was a request");
    drop(silent);
}

#[test]
fn clients_show_certificates_where_they_must() {
    let keys = keys();
    let server = keys.start(Toy::default(), "required");
    let known = keys.authority.sign("client", &[]).unwrap();
    let mut client = keys.connect(&server, Some(&known));
    ask(&mut client, b"nhello");
    assert_eq!(answer(&mut client), b"hello");
    let unknown = Authority::create().unwrap().sign("client", &[]).unwrap();
    for identity in [None, Some(&unknown)] {
        let mut client = keys.connect(&server, identity);
        let _ = client.write_all(&[0, 0, 0, 2, b'n', b'x']);
        let mut byte = [0];
        assert!(client.read(&mut byte).map_or(true, |count| count == 0), "nobody else is served");
    }
    let server = keys.start(Toy::default(), "requested");
    let mut client = keys.connect(&server, None);
    ask(&mut client, b"nhello");
    assert_eq!(answer(&mut client), b"hello");
}

#[test]
fn a_stop_sends_what_is_due_and_takes_leave() {
    let keys = keys();
    let server = keys.start(Toy::default(), "none");
    let mut client = keys.connect(&server, None);
    ask(&mut client, b"nhello");
    assert_eq!(answer(&mut client), b"hello");
    server.stop(Duration::ZERO);
    let mut rest = Vec::new();
    assert_eq!(client.read_to_end(&mut rest).unwrap(), 0, "closed as TLS wants it");
}
