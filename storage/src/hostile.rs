//! What fuzz targets do with arbitrary bytes: a directory of a log is made of them and opened, or a small file is read.
//!
//! Must never depend on anything but the input, and never be used by a broker.

use std::path::Path;
use std::sync::Arc;

use crate::batch::{BatchBuilder, HEADER_LEN, OVERHEAD_LEN, Record, crc32c};
use crate::compress::Codec;
use crate::dirs;
use crate::fs::{Fs, Open, SimFs};
use crate::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Timestamp};
use crate::log::{Log, LogConfig, OpenHow};
use crate::validate::ValidBatch;

const DIR: &str = "/d/t-0";
/// Suffixes of the files that recovery looks at.
const SUFFIXES: [&str; 12] = [
    ".log",
    ".index",
    ".timeindex",
    ".txnindex",
    ".snapshot",
    ".log.swap",
    ".log.cleaned",
    ".index.swap",
    ".log.deleted",
    ".txnindex.swap",
    ".snapshot.tmp",
    ".unknown",
];
/// The first input byte with this bit: the directory counts as stopped cleanly.
const CLEAN: u8 = 1;

/// Makes files of the input and opens them as a log: it must open or refuse, and an open one must append, read what it
/// tells, and open again with the same content.
pub fn open_directory(input: &[u8]) {
    let Some((&how, mut rest)) = input.split_first() else { return };
    let fs = SimFs::new();
    fs.create_dir_all(Path::new(DIR)).expect("an empty simulated disk");
    while let Some(([choice, base, len], after)) = rest.split_first_chunk::<3>().map(|(h, a)| (*h, a)) {
        let (content, after) = after.split_at(after.len().min(usize::from(len)));
        rest = after;
        put(&fs, choice, base, content);
    }
    let config = LogConfig { segment_bytes: 4096, index_interval_bytes: 64, ..LogConfig::default() };
    let how = OpenHow {
        clean: how & CLEAN != 0,
        recovery_point: Offset(i64::from(how >> 4)),
        log_start: Offset(0),
    };
    let open = |how| Log::open(Arc::new(fs.clone()), Path::new(DIR), config.clone(), how, Timestamp(0));
    let Ok((mut log, _)) = open(how) else { return };
    let end = log.log_end_offset();
    sweep(&log, false);
    let mut builder = BatchBuilder::new();
    builder.push(Record { value: Some(b"appended"), ..Record::default() });
    let epoch = log.latest_epoch().unwrap_or(LeaderEpoch(0));
    let batch = ValidBatch::built(builder.finish(Codec::None, None));
    if log.append_as_leader(batch, epoch, Timestamp(0)).is_err() {
        return;
    }
    assert_eq!(log.log_end_offset(), end.plus(1));
    drop(log);
    if let Ok((log, _)) = open(OpenHow { clean: false, recovery_point: Offset(0), log_start: Offset(0) }) {
        sweep(&log, true);
    }
}

/// Reads a log through all its doors; errors are fine. `checked`: recovery saw every batch.
fn sweep(log: &Log, checked: bool) {
    let (mut next, end) = (log.log_start_offset(), log.log_end_offset());
    while next < end {
        let Ok(slice) = log.read(next, 1 << 20, end, true) else { break };
        let Ok(bytes) = slice.read_all() else { break };
        let Some(Ok(last)) = crate::batch::walk(&bytes).last() else { break };
        if last.next_offset() <= next {
            // A clean stop promised whole files, so nothing looked whether these go forward.
            assert!(!checked, "reading goes forward");
            break;
        }
        next = last.next_offset();
        let _ = log.aborted_in(log.log_start_offset(), &slice);
    }
    let _ = (log.max_timestamp(), log.offset_for_timestamp(Timestamp(5), end));
}

/// One file: its kind and place by `choice` and `base`, its bytes as they are or as a batch with the right checksum.
fn put(fs: &SimFs, choice: u8, base: u8, content: &[u8]) {
    let suffix = SUFFIXES[usize::from(choice) % SUFFIXES.len()];
    let name = match choice / 128 {
        0 => format!("{:020}{suffix}", base % 16),
        _ if base.is_multiple_of(2) => "leader-epoch-checkpoint".to_owned(),
        _ => "partition.metadata".to_owned(),
    };
    let mut bytes = content.to_vec();
    if suffix.starts_with(".log") {
        bytes = if content.len() >= HEADER_LEN { sealed(bytes) } else { built(base, content) };
    } else if suffix.starts_with(".snapshot") && bytes.len() >= 6 {
        // Chance would not get past version and checksum.
        bytes[..2].copy_from_slice(&[0, 1]);
        let crc = crc32c(&bytes[6..]);
        bytes[2..6].copy_from_slice(&crc.to_be_bytes());
    }
    let file = fs.open(&Path::new(DIR).join(name), Open::Create);
    file.and_then(|file| file.write_at(&bytes, 0)).expect("an empty simulated disk");
}

/// Good batches, one for each byte, with whatever follows from it.
fn built(base: u8, content: &[u8]) -> Vec<u8> {
    let mut offset = i64::from(base % 16);
    let mut bytes = Vec::new();
    for byte in content {
        let mut builder =
            BatchBuilder::new().base_offset(Offset(offset)).leader_epoch(LeaderEpoch(i32::from(*byte >> 4)));
        if byte & 1 != 0 {
            builder =
                builder.producer(ProducerId(i64::from(*byte >> 6)), ProducerEpoch(0), i32::from(*byte & 6));
        }
        builder.push(Record {
            timestamp: Timestamp(i64::from(*byte)),
            value: Some(b"v"),
            ..Record::default()
        });
        bytes.extend_from_slice(&builder.finish(Codec::None, None));
        offset += i64::from(1 + (byte & 8));
    }
    bytes
}

/// The bytes with a length and checksum that fit a first batch.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    const MAGIC_AT: usize = 16;
    const CRC_AT: usize = 17;
    let length = u32::try_from(bytes.len() - OVERHEAD_LEN).unwrap_or(u32::MAX);
    bytes[OVERHEAD_LEN - 4..OVERHEAD_LEN].copy_from_slice(&length.to_be_bytes());
    bytes[MAGIC_AT] = 2;
    let crc = crc32c(&bytes[CRC_AT + 4..]);
    bytes[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_be_bytes());
    bytes
}

/// Reads the input as each of the small files of a log directory; errors are fine.
pub fn read_small_files(input: &[u8]) {
    let fs = SimFs::new();
    let dir = Path::new("/");
    for name in [
        dirs::RECOVERY_POINT_CHECKPOINT,
        dirs::META_PROPERTIES_FILE,
        dirs::PARTITION_METADATA_FILE,
        dirs::CLEAN_SHUTDOWN_FILE,
    ] {
        let file = fs.open(&dir.join(name), Open::Create);
        file.and_then(|file| file.write_at(input, 0)).expect("an empty simulated disk");
    }
    let read = dirs::read_checkpoint(&fs, dir, dirs::RECOVERY_POINT_CHECKPOINT);
    if let Ok(offsets) = read {
        // What was read is written and read back the same.
        let entries = offsets.iter().map(|(name, offset)| (name, *offset));
        dirs::write_checkpoint(&fs, dir, dirs::LOG_START_CHECKPOINT, entries).expect("a simulated disk");
        let again = dirs::read_checkpoint(&fs, dir, dirs::LOG_START_CHECKPOINT).expect("our own file");
        assert_eq!(again, offsets);
    }
    let _ = dirs::MetaProperties::read(&fs, dir);
    let _ = dirs::read_partition_metadata(&fs, dir);
    let _ = dirs::take_clean_shutdown(&fs, dir);
}
