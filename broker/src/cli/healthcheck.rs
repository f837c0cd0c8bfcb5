//! `milena healthcheck`: one request to a broker, for images that have no other tools.
//!
//! Must never wait longer than it was told to.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::process::ExitCode;
use std::time::Duration;

use super::arguments::HealthcheckArguments;
use super::{complain, container};

/// ApiVersions 0 with the correlation id 1 and the client id `health`: every broker answers it without a log-in.
const REQUEST: [u8; 20] = [0, 0, 0, 16, 0, 18, 0, 0, 0, 0, 0, 1, 0, 6, b'h', b'e', b'a', b'l', b't', b'h'];

pub(super) fn run(arguments: &HealthcheckArguments) -> ExitCode {
    let asked = arguments.bootstrap_server.clone().map_or_else(own_listener, Ok);
    let healthy = asked.and_then(|address| {
        ask(&address, Duration::from_millis(arguments.timeout_ms))
            .map_err(|error| format!("{address} does not serve: {error}"))
    });
    match healthy {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => {
            complain(&what);
            ExitCode::FAILURE
        }
    }
}

/// The first listener that the broker of this container was told of.
fn own_listener() -> Result<String, String> {
    let loaded = container::sources().load().map_err(|error| error.to_string())?;
    let listeners = loaded.settings.checked_listeners().map_err(|error| error.to_string())?;
    let first = listeners.broker.first().or(listeners.controller.first()).ok_or("there is no listener")?;
    let host = first.host.clone().filter(|host| host != "0.0.0.0" && host != "::");
    Ok(format!("{}:{}", host.as_deref().unwrap_or("127.0.0.1"), first.port))
}

fn ask(address: &str, limit: Duration) -> io::Result<()> {
    let address = address.to_socket_addrs()?.next().ok_or(io::ErrorKind::NotFound)?;
    let mut stream = TcpStream::connect_timeout(&address, limit)?;
    stream.set_read_timeout(Some(limit))?;
    stream.set_write_timeout(Some(limit))?;
    stream.write_all(&REQUEST)?;
    let mut head = [0; 10];
    stream.read_exact(&mut head)?;
    // Length, correlation id, error code.
    if head[4..] == [0, 0, 0, 1, 0, 0] { Ok(()) } else { Err(io::Error::other("an unexpected answer")) }
}
