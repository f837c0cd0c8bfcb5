//! Walks over the batches that stand behind each other in a buffer.
//!
//! Must never copy a batch, and never go on behind one that it cannot measure.

use super::{BatchError, BatchView, MAGIC_END, size_and_magic};

/// The batches in `bytes`. A last batch that is cut ends the walk without an error, as in Kafka's
/// `ByteBufferLogInputStream`; [`Walker::rest`] tells how many bytes it left.
pub fn walk(bytes: &[u8]) -> Walker<'_> {
    Walker { rest: bytes, broken: false }
}

/// See [`walk`].
#[derive(Clone, Debug)]
pub struct Walker<'a> {
    rest: &'a [u8],
    broken: bool,
}

impl Walker<'_> {
    /// Bytes not walked over yet.
    pub fn rest(&self) -> usize {
        self.rest.len()
    }
}

impl<'a> Iterator for Walker<'a> {
    type Item = Result<BatchView<'a>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.broken || self.rest.len() < MAGIC_END {
            return None;
        }
        let batch = match size_and_magic(self.rest) {
            Ok((size, _)) if size > self.rest.len() => return None,
            Ok((size, _)) => BatchView::parse(&self.rest[..size]),
            Err(error) => Err(error),
        };
        match &batch {
            Ok(batch) => self.rest = &self.rest[batch.size()..],
            Err(_) => self.broken = true,
        }
        Some(batch)
    }
}
