//! `milena-storage` keeps bytes on one disk: record batches, the partition log, indexes, recovery, retention.
//!
//! It must never contain `async`, a socket, a leader, or a high watermark.

pub mod batch;
pub mod compress;
pub mod dirs;
mod error;
pub mod fs;
pub mod hostile;
pub mod ids;
pub mod log;
pub mod validate;

pub use error::StorageError;
