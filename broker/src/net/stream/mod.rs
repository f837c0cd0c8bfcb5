//! The sockets: made, accepted, handed to another core and written to here, and nowhere else.
//!
//! They are tokio's. In tests each may be one of a simulated network as well, so that whole clusters run in one thread
//! (`crate::tests::simulation`). Must never decide when something is read or sent.

pub mod tcp;

#[cfg(not(test))]
pub use tcp::*;

#[cfg(test)]
mod either;
#[cfg(test)]
pub use either::*;
