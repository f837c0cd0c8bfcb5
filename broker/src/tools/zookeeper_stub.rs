//! `zookeeper-server-start`: scripts for older images start it and look whether its port is open; Kafka 4 needs none.
//!
//! Must never answer: who really speaks to ZooKeeper is to see at once that there is none.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::process::ExitCode;

/// ZooKeeper's port where the file names none.
const CLIENT_PORT: u16 = 2181;

/// Opens the port that the file names as `clientPort`, and closes every connection to it, until it is killed.
pub(super) fn run(arguments: &[OsString]) -> ExitCode {
    let file = arguments.iter().skip(1).find(|argument| *argument != "-daemon");
    let text = file.and_then(|file| fs::read_to_string(file).ok()).unwrap_or_default();
    match serve(client_port(&text)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "zookeeper-server-start: {error}");
            ExitCode::FAILURE
        }
    }
}

fn client_port(properties: &str) -> u16 {
    let values = properties.lines().filter_map(|line| line.trim().strip_prefix("clientPort="));
    values.filter_map(|value| value.trim().parse().ok()).next_back().unwrap_or(CLIENT_PORT)
}

fn serve(port: u16) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))?;
    let _ = writeln!(io::stdout(), "port {port} is open; there is no ZooKeeper here, and Kafka 4 needs none");
    for connection in listener.incoming() {
        drop(connection?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_that_of_the_file() {
        assert_eq!(client_port("clientPort=2182\ndataDir=/x\n"), 2182);
        assert_eq!(client_port("dataDir=/x\n"), CLIENT_PORT);
    }
}
