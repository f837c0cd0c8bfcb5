//! What listeners ask of their clients: TLS with the broker's keys, and SASL.
//!
//! Must never know a socket or an API. Nothing of it runs, and no key is read, while no listener asks for it.

pub mod authority;
pub mod dev;
mod jks;
pub(crate) mod pem;
pub mod sasl;
mod stores;
mod tls;

use std::path::PathBuf;

use thiserror::Error;

pub use tls::{client_config, server_config};

/// Why a listener cannot be protected as its settings say.
#[derive(Debug, Error)]
#[error("listener {listener}: {flaw}")]
pub struct SecurityError {
    pub listener: String,
    pub flaw: Flaw,
}

/// What is wrong; Kafka's words where it has some (`DefaultSslEngineFactory`).
#[derive(Debug, Error)]
pub enum Flaw {
    #[error("{0}")]
    Settings(String),
    #[error("cannot read {}: {error}", path.display())]
    Unreadable { path: PathBuf, error: std::io::Error },
    #[error("{what}: {why}")]
    Store { what: String, why: String },
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
}
