//! What the tests here share: starting a broker, running the official tools, speaking the protocol, waiting.
//!
//! Every test runs against Milena or, with `MILENA_TARGET=kafka`, against Apache Kafka from its published jars; that is
//! how a test is known to be right. It must never know anything of the broker that a user could not know.

pub mod cluster;
pub mod dice;
pub mod fetched;
pub mod history;
pub mod http;
pub mod java;
pub mod links;
pub mod members;
pub mod paths;
pub mod port;
pub mod process;
pub mod program;
pub mod runner;
pub mod server;
pub mod tool;
pub mod wait;
pub mod wire;
pub mod zoo;

pub use cluster::{Cluster, Role, Shape};
pub use program::Program;
pub use server::{Server, Target};
pub use tool::{Running, Tool, Transcript};
