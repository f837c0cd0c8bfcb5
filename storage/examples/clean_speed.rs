//! Times a cleaning of one log on the real disk next to a plain copy of its bytes; prints, judges nothing.
//!
//! The first argument is an empty directory, the second the codec's number (0 to 4), the third how many records share a
//! key. It must never be a test.

use std::error::Error;
use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use milena_storage::batch::{BatchBuilder, Record};
use milena_storage::compress::Codec;
use milena_storage::fs::RealFs;
use milena_storage::ids::{LeaderEpoch, Timestamp};
use milena_storage::log::{CleanError, Log, LogConfig, Means, OffsetMap, OpenHow, Pace};
use milena_storage::validate::ValidBatch;

const RECORDS: usize = 4_000_000;
const RECORDS_PER_BATCH: usize = 100;
const VALUE_LEN: usize = 200;
/// Kafka's default of `log.cleaner.io.buffer.size`, of which a thread uses half to read.
const BUFFER_LEN: usize = 256 << 10;

struct Free;

impl Pace for Free {
    fn passed(&self, _bytes: u64) -> Result<(), CleanError> {
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let dir = arguments.next().ok_or("name a directory")?;
    let codec = Codec::from_id(arguments.next().unwrap_or("0".into()).parse()?).ok_or("no such codec")?;
    let sharing: usize = arguments.next().unwrap_or("2".into()).parse()?;
    let config = LogConfig {
        compact: true,
        delete: false,
        segment_bytes: 256 << 20,
        file_delete_delay_ms: 0,
        ..LogConfig::default()
    };
    let (mut log, _) =
        Log::open(Arc::new(RealFs), Path::new(&dir), config, OpenHow::default(), Timestamp(0))?;
    fill(&mut log, codec, RECORDS / sharing.max(1))?;
    let size = log.size();
    let mut out = std::io::stdout().lock();
    let per_second = |bytes: u64, started: Instant| bytes as f64 / 1e9 / started.elapsed().as_secs_f64();
    let started = Instant::now();
    copy(Path::new(&dir))?;
    writeln!(out, "{codec}: {} MB; plain copy {:.2} GB/s", size / 1_000_000, per_second(size, started))?;
    let now = Timestamp(1);
    let what = log.cleanable(None, log.log_end_offset(), now)?;
    let mut cleaning = log.begin_cleaning(&what, now)?;
    let map = OffsetMap::new(128 << 20, 0.9, cleaning.keys_max(), (1, 2));
    let mut means = Means { map, buffer: BUFFER_LEN, pace: &Free };
    let started = Instant::now();
    cleaning.index(&mut means)?;
    writeln!(out, "index keys  {:.2} GB/s", per_second(cleaning.stats().indexed_bytes, started))?;
    let second = Instant::now();
    while let Some(cleaned) = cleaning.next_group(&mut means)? {
        log.swap_in(cleaned, now)?;
    }
    let stats = cleaning.stats();
    writeln!(out, "write anew  {:.2} GB/s", per_second(stats.read_bytes, second))?;
    writeln!(
        out,
        "both        {:.2} GB/s; {} of {} records, {} of {} MB are left",
        per_second(stats.read_bytes, started),
        stats.written_records,
        stats.read_records,
        stats.written_bytes / 1_000_000,
        stats.read_bytes / 1_000_000
    )?;
    Ok(())
}

/// Appends records whose keys come again and again, in closed segments.
fn fill(log: &mut Log, codec: Codec, keys: usize) -> Result<(), Box<dyn Error>> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut value = [0; VALUE_LEN];
    for batch in 0..RECORDS / RECORDS_PER_BATCH {
        let mut builder = BatchBuilder::new();
        for index in 0..RECORDS_PER_BATCH {
            let key = ((batch * RECORDS_PER_BATCH + index).wrapping_mul(2_654_435_761) % keys).to_be_bytes();
            for byte in &mut value {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                *byte = b'a' + (state % 16) as u8;
            }
            builder.push(Record {
                timestamp: Timestamp(1),
                key: Some(&key),
                value: Some(&value),
                headers: &[],
            });
        }
        let batch = ValidBatch::built(builder.finish(codec, None));
        log.append_as_leader(batch, LeaderEpoch(0), Timestamp(1))?;
    }
    log.roll(Timestamp(1))?;
    log.flush()?;
    Ok(())
}

/// Reads and writes every segment through a buffer of the same size, and syncs.
fn copy(dir: &Path) -> Result<(), Box<dyn Error>> {
    let mut buffer = vec![0; BUFFER_LEN];
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "log") {
            continue;
        }
        let target = path.with_extension("copy");
        let (mut from, mut to) = (fs::File::open(&path)?, fs::File::create(&target)?);
        loop {
            let count = from.read(&mut buffer)?;
            if count == 0 {
                break;
            }
            to.write_all(&buffer[..count])?;
        }
        to.sync_data()?;
        fs::remove_file(target)?;
    }
    Ok(())
}
