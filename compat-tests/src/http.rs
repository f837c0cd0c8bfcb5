//! The broker's HTTP port, asked as curl would ask it, and the rules for faults that are set there.
//!
//! It must never take an answer for granted that the port did not give: whoever asks says which status is right.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// Beyond the time that the port gives itself for an answer.
const PATIENCE: Duration = Duration::from_secs(90);

/// A port of a broker, or of `milena cluster`.
#[derive(Clone, Copy, Debug)]
pub struct Http {
    address: SocketAddr,
}

/// A rule that stands. It stays when this is dropped: its broker goes with the test.
#[derive(Debug)]
pub struct Rule {
    port: Http,
    path: String,
}

/// What a rule has counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    pub seen: u64,
    pub hits: u64,
}

impl Http {
    #[must_use]
    pub fn at(address: SocketAddr) -> Self {
        Self { address }
    }

    /// Status and body of one request; a body that is no JSON is a string.
    ///
    /// # Errors
    /// When nobody listens, or the answer does not come.
    pub fn ask(&self, method: &str, path: &str, body: &str) -> io::Result<(u16, Value)> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let head = format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n");
        write!(stream, "{head}content-length: {}\r\n\r\n{body}", body.len())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
        Ok((status, serde_json::from_str(body).unwrap_or_else(|_| Value::String(body.to_owned()))))
    }

    /// A request that must be answered with this status.
    ///
    /// # Panics
    /// When it is not.
    pub fn told(&self, status: u16, method: &str, path: &str, body: &str) -> Value {
        let answer = self.ask(method, path, body);
        let (told, answer) = answer.unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        assert_eq!(told, status, "{method} {path} {body}: {answer}");
        answer
    }

    /// Moves the broker's clock on.
    ///
    /// # Panics
    /// When that is refused.
    pub fn advance(&self, by: Duration) {
        self.told(200, "POST", "/v1/clock/advance", &format!(r#"{{"ms": {}}}"#, by.as_millis()));
    }

    /// Sets a rule.
    ///
    /// # Panics
    /// When it is refused.
    #[must_use]
    pub fn rule(&self, rule: &Value) -> Rule {
        let set = self.told(201, "POST", "/v1/faults", &rule.to_string());
        Rule { port: *self, path: format!("/v1/faults/{}", set["id"]) }
    }
}

impl Rule {
    /// # Panics
    /// When the rule is gone.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts::of(&self.port.told(200, "GET", &self.path, ""))
    }

    /// Takes it away.
    ///
    /// # Panics
    /// When the rule is gone.
    pub fn remove(self) -> Counts {
        Counts::of(&self.port.told(200, "DELETE", &self.path, ""))
    }
}

impl Counts {
    fn of(rule: &Value) -> Self {
        let number = |name: &str| rule[name].as_u64().unwrap_or_else(|| panic!("{name} of {rule}"));
        Self { seen: number("seen"), hits: number("hits") }
    }
}
