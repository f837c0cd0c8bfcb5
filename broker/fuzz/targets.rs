//! What the fuzz targets do with an input; shared with the test that replays the corpus.
//!
//! Must never depend on anything but the input, or a finding could not be repeated.
#![allow(dead_code, reason = "each fuzz target uses one of them")]

use bytes::Bytes;
use milena::settings::Sources;
use milena::settings::source::{properties, toml_file};
use milena_storage::batch::{self, TimestampType};
use milena_storage::compress::Codec;
use milena_storage::ids::Timestamp;
use milena_storage::validate::{CompressionRule, Origin, Rules, validate};

/// A request frame without its size: header, guard, decoder.
pub(crate) fn frame(data: &[u8]) {
    // Both outcomes are right; what may not happen is a panic or memory without bound.
    let _ = milena::api::probe(&Bytes::copy_from_slice(data));
}

/// A byte that chooses the topic's rules, then what a partition was sent.
pub(crate) fn batch(data: &[u8]) {
    let Some((choice, records)) = data.split_first() else { return };
    let mut records = records.to_vec();
    seal(&mut records);
    for batch in batch::walk(&records) {
        let Ok(batch) = batch else { break };
        let _ = batch.check_crc();
        let mut scratch = Vec::new();
        if let Ok(records) = batch.records(&mut scratch, DECOMPRESSED) {
            for record in records {
                let Ok(record) = record else { break };
                record.headers.iter().for_each(drop);
            }
        }
    }
    let rules = rules(*choice);
    let version = if choice & 0x40 == 0 { 9 } else { 3 };
    let now = Timestamp(1_700_000_000_000);
    let _ = validate(records.into(), &rules, now, Origin::Client { produce_version: version });
}

/// A first byte that chooses the format, then the text of a settings file.
pub(crate) fn settings(data: &[u8]) {
    let Some((choice, text)) = data.split_first() else { return };
    let text = String::from_utf8_lossy(text);
    let parsed = if choice % 2 == 0 { toml_file::parse(&text) } else { properties::parse(&text) };
    let Ok(lines) = parsed else { return };
    let overrides = lines.into_iter().map(|line| format!("{}={}", line.name, line.text)).collect();
    let _ = Sources { overrides, ..Sources::default() }.load();
}

/// As much as a reader would allow; small, so that a bomb is cheap to refuse.
const DECOMPRESSED: usize = 16 << 20;

/// Makes length and checksum of a first batch right: chance would not get past them.
fn seal(records: &mut [u8]) {
    if records.len() < batch::HEADER_LEN {
        return;
    }
    let length = u32::try_from(records.len() - batch::OVERHEAD_LEN).unwrap_or(u32::MAX);
    // A zero length asks for it, so that wrong lengths can be tried too.
    if records[8..12] == [0; 4] {
        records[8..12].copy_from_slice(&length.to_be_bytes());
    }
    let size = u32::from_be_bytes([records[8], records[9], records[10], records[11]]) as usize;
    let end = (size.saturating_add(batch::OVERHEAD_LEN)).clamp(batch::HEADER_LEN, records.len());
    let crc = crc32c::crc32c(&records[21..end]);
    records[17..21].copy_from_slice(&crc.to_be_bytes());
}

fn rules(choice: u8) -> Rules {
    let compression = match choice & 7 {
        0 => CompressionRule::Always(Codec::None, None),
        1 => CompressionRule::Always(Codec::Gzip, None),
        2 => CompressionRule::Always(Codec::Snappy, None),
        3 => CompressionRule::Always(Codec::Lz4, None),
        4 => CompressionRule::Always(Codec::Zstd, None),
        _ => CompressionRule::Producer,
    };
    Rules {
        max_message_bytes: 1 << 20,
        compact: choice & 0x08 != 0,
        timestamp_type: if choice & 0x10 == 0 {
            TimestampType::CreateTime
        } else {
            TimestampType::LogAppendTime
        },
        before_max_ms: i64::MAX,
        after_max_ms: if choice & 0x20 == 0 { i64::MAX } else { 3_600_000 },
        compression,
    }
}
