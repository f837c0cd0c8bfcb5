//! `milena-storage` keeps bytes on one disk: record batches, the partition log, indexes, recovery, retention.
//!
//! It must never contain `async`, a socket, a leader, or a high watermark.

pub mod ids;
