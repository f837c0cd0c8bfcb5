//! What test environments ask for.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use super::super::Settings;
use super::super::start_topics::{self, StartTopic};
use super::zookeeper::host_and_port;

/// The keys whose values name topics to be made.
pub(in crate::settings) const TOPICS: &str = "milena.create.topics";
pub(in crate::settings) const TOPICS_FILE: &str = "milena.create.topics.file";

/// What the HTTP port gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpSettings {
    /// Host and port; `None`: there is no such port.
    pub listener: Option<(String, u16)>,
    pub connections: usize,
}

/// Host and port of an HTTP port. Without a host it is the loopback address, and not every interface.
#[must_use]
pub fn http_address(text: &str) -> Option<(String, u16)> {
    let (host, port) = host_and_port(text)?;
    Some((if host.is_empty() { Ipv4Addr::LOCALHOST.to_string() } else { host }, port))
}

impl Settings {
    /// See the rows of the same names.
    pub fn http(&self) -> HttpSettings {
        let listener = self.text("milena.http.listener").as_deref().and_then(http_address);
        HttpSettings { listener, connections: self.count("milena.http.max.connections") }
    }

    /// Where the files of `--dev-security` are; `None` without it.
    pub fn dev_security_dir(&self) -> Option<PathBuf> {
        let dir = || self.text("milena.dev.security.dir").unwrap_or_default().into();
        self.boolean("milena.dev.security").then(dir)
    }

    /// Topics to be made at the start; what does not parse was refused when the settings were loaded.
    pub fn start_topics(&self) -> Vec<StartTopic> {
        let listed = self.text(TOPICS).map(|text| start_topics::parse(&text));
        [listed, self.topics_file()].into_iter().flatten().flat_map(Result::unwrap_or_default).collect()
    }

    /// The topics of the file; `None` if there is no such setting.
    pub(in crate::settings) fn topics_file(&self) -> Option<Result<Vec<StartTopic>, String>> {
        let path = self.text(TOPICS_FILE).filter(|path| !path.is_empty())?;
        let path = Path::new(&path);
        let read = fs::read_to_string(path).map_err(|error| error.to_string());
        Some(read.and_then(|text| start_topics::parse_file(path, &text)))
    }
}
