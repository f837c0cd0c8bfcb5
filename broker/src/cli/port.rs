//! `milena faults`, `milena reset`: what the HTTP port of a running broker is asked for.
//!
//! Must never know more than its description does: bodies go as they are given, answers are printed as they come.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::process::ExitCode;
use std::time::Duration;

use super::arguments::{FaultsArguments, FaultsCommand, ResetArguments};
use super::complain;

/// The port gives up before that.
const PATIENCE: Duration = Duration::from_secs(70);
/// Answers are short.
const ANSWER_MAX: u64 = 16 << 20;

pub(super) fn faults(arguments: &FaultsArguments) -> ExitCode {
    let rules = "/v1/faults";
    match &arguments.command {
        FaultsCommand::List => tell(&arguments.http, "GET", rules, ""),
        FaultsCommand::Add { rule } => tell(&arguments.http, "POST", rules, rule),
        FaultsCommand::Show { id } => tell(&arguments.http, "GET", &format!("{rules}/{id}"), ""),
        FaultsCommand::Remove { id } => tell(&arguments.http, "DELETE", &format!("{rules}/{id}"), ""),
        FaultsCommand::Clear => tell(&arguments.http, "DELETE", rules, ""),
    }
}

pub(super) fn reset(arguments: &ResetArguments) -> ExitCode {
    let body = if arguments.start_topics { r#"{"start_topics": true}"# } else { "" };
    tell(&arguments.http, "POST", "/v1/reset", body)
}

/// Asks, prints the answer, and says by the exit code whether it was one.
fn tell(address: &str, method: &str, path: &str, body: &str) -> ExitCode {
    match ask(address, method, path, body) {
        Ok((200..300, answer)) => {
            // Without a reader there is nobody to tell.
            let _ = writeln!(io::stdout().lock(), "{}", answer.trim_end());
            ExitCode::SUCCESS
        }
        Ok((status, answer)) => {
            complain(&format!("{address} answered {status}: {}", answer.trim_end()));
            ExitCode::FAILURE
        }
        Err(error) => {
            complain(&format!("{address}: {error}; does the broker run with milena.http.listener set?"));
            ExitCode::FAILURE
        }
    }
}

/// One request on a connection of its own: status and body.
fn ask(address: &str, method: &str, path: &str, body: &str) -> io::Result<(u16, String)> {
    let at = address.to_socket_addrs()?.next().ok_or(io::ErrorKind::NotFound)?;
    let mut stream = TcpStream::connect_timeout(&at, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    )?;
    let mut answer = String::new();
    stream.take(ANSWER_MAX).read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Ok((status.ok_or(io::ErrorKind::InvalidData)?, body.to_owned()))
}
