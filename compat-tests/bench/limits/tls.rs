//! TLS for the load and for a bare loop, with a certificate that is made for the run.
//!
//! It must never accept another certificate than that one.

use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig};

/// Whom the certificate is for.
const NAME: &str = "localhost";

/// The files of a certificate: itself, its key, and both in one.
pub(crate) struct Files {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) both: PathBuf,
}

impl Files {
    /// Makes a certificate in a folder.
    pub(crate) fn make(folder: &Path) -> io::Result<Self> {
        let made = rcgen::generate_simple_self_signed(vec![NAME.to_owned(), "127.0.0.1".to_owned()]);
        let made = made.map_err(io::Error::other)?;
        let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        let file = |name: &str| folder.join(name);
        fs::write(file("certificate.pem"), &certificate)?;
        fs::write(file("key.pem"), &key)?;
        fs::write(file("both.pem"), format!("{key}{certificate}"))?;
        let (certificate, key) = (file("certificate.pem"), file("key.pem"));
        Ok(Self { certificate, key, both: file("both.pem") })
    }

    pub(crate) fn client(&self) -> io::Result<Arc<ClientConfig>> {
        let mut roots = RootCertStore::empty();
        roots.add(certificate(&self.certificate)?).map_err(io::Error::other)?;
        Ok(Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()))
    }
}

/// What a server shows with these files.
pub(crate) fn server(chain: &Path, key: &Path) -> io::Result<Arc<ServerConfig>> {
    let key = PrivateKeyDer::from_pem_file(key).map_err(io::Error::other)?;
    let config = ServerConfig::builder().with_no_client_auth();
    let config = config.with_single_cert(vec![certificate(chain)?], key);
    Ok(Arc::new(config.map_err(io::Error::other)?))
}

fn certificate(file: &Path) -> io::Result<CertificateDer<'static>> {
    CertificateDer::from_pem_file(file).map_err(io::Error::other)
}

/// The client's end of a connection.
pub(crate) struct Encrypted {
    socket: TcpStream,
    session: ClientConnection,
}

impl Encrypted {
    /// Shakes hands on a socket that blocks.
    pub(crate) fn of(mut socket: TcpStream, config: Arc<ClientConfig>) -> io::Result<Self> {
        let name = ServerName::try_from(NAME).map_err(io::Error::other)?;
        let mut session = ClientConnection::new(config, name).map_err(io::Error::other)?;
        while session.is_handshaking() {
            session.complete_io(&mut socket)?;
        }
        Ok(Self { socket, session })
    }

    pub(crate) fn socket(&self) -> &TcpStream {
        &self.socket
    }

    pub(crate) fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.session.reader().read(into) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                other => return other,
            }
            if self.session.read_tls(&mut self.socket)? == 0 {
                return Ok(0);
            }
            self.session.process_new_packets().map_err(io::Error::other)?;
        }
    }

    /// Takes what the session takes; what the socket does not take now goes with the next write.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.session.writer().write(bytes)?;
        while self.session.wants_write() {
            match self.session.write_tls(&mut self.socket) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        if count == 0 { Err(ErrorKind::WouldBlock.into()) } else { Ok(count) }
    }
}
