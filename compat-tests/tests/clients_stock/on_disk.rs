//! Which codec a topic's batches have, from the segment files that Kafka and Milena share the format of.
//!
//! It must never look into a record: what a client reads back is the client's to compare.

use std::fmt;
use std::fs;

use milena_compat_tests::Server;

/// The codecs by their numbers in a batch's attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Codec {
    None = 0,
    Gzip = 1,
    Snappy = 2,
    Lz4 = 3,
    Zstd = 4,
}

impl Codec {
    pub(crate) const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        })
    }
}

/// Asserts that every batch of the topic's first partition was compressed by the client with `codec`.
pub(crate) fn is_written_with(server: &Server, topic: &str, codec: Codec) {
    let mut batches = 0;
    for path in server.partition_files(topic, 0, ".log") {
        let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        for attributes in attributes(&bytes) {
            assert_eq!(attributes & 7, codec as u16, "the codec of a batch in {}", path.display());
            batches += 1;
        }
    }
    assert!(batches > 0, "{topic} has no batch on disk");
}

/// The attributes of each batch of a segment. A segment may be preallocated: zeros end it.
fn attributes(segment: &[u8]) -> Vec<u16> {
    const LENGTH_AT: usize = 8;
    const ATTRIBUTES_AT: usize = 21;
    const HEADER: usize = 61;
    let mut found = Vec::new();
    let mut rest = segment;
    while rest.len() >= HEADER {
        let length = u32::from_be_bytes(rest[LENGTH_AT..LENGTH_AT + 4].try_into().expect("four bytes"));
        if length == 0 {
            break;
        }
        found.push(u16::from_be_bytes([rest[ATTRIBUTES_AT], rest[ATTRIBUTES_AT + 1]]));
        rest = rest.get(LENGTH_AT + 4 + length as usize..).expect("a batch ends within its segment");
    }
    found
}
