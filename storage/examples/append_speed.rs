//! Times appends, tail reads and reopening of one log on the real disk; prints, judges nothing.
//!
//! The first argument is an empty directory, the second the size of a batch's value. It must never be a test.

use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use milena_storage::batch::{BatchBuilder, Record};
use milena_storage::compress::Codec;
use milena_storage::fs::RealFs;
use milena_storage::ids::{LeaderEpoch, Offset, Timestamp};
use milena_storage::log::{Log, LogConfig, OpenHow};
use milena_storage::validate::{Origin, validate};

const TOTAL: usize = 512 << 20;
const VALUE_LEN: usize = 1000;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let dir = arguments.next().ok_or("name a directory")?;
    let size: usize = arguments.next().unwrap_or("65536".into()).parse()?;
    let config = LogConfig::default();
    let open = |clean| {
        let how = OpenHow { clean, ..OpenHow::default() };
        Log::open(Arc::new(RealFs), Path::new(&dir), config.clone(), how, Timestamp(0))
    };
    let mut out = std::io::stdout().lock();
    let (mut log, _) = open(false)?;
    let mut builder = BatchBuilder::new();
    let value = [7; VALUE_LEN];
    for _ in 0..size.div_ceil(VALUE_LEN) {
        builder.push(Record {
            timestamp: Timestamp(0),
            value: Some(&value[..size.min(VALUE_LEN)]),
            ..Record::default()
        });
    }
    let bytes = builder.finish(Codec::None, None);
    let count = (TOTAL / bytes.len()).min(400_000);
    let origin = Origin::Client { produce_version: 9 };
    let started = Instant::now();
    for _ in 0..count {
        drop(validate(bytes.clone(), &config.rules(), Timestamp(0), origin)?);
    }
    let per = |started: Instant| started.elapsed().as_secs_f64() * 1e6 / count as f64;
    writeln!(out, "validate {:.2} us a batch of {} bytes", per(started), bytes.len())?;
    let valid = validate(bytes.clone(), &config.rules(), Timestamp(0), origin)?;
    let started = Instant::now();
    for _ in 0..count {
        log.append_as_leader(valid.clone(), LeaderEpoch(0), Timestamp(0))?;
    }
    let each = per(started);
    writeln!(out, "append {each:.2} us, {:.3} s per GB", each * 1e-6 / bytes.len() as f64 * 1e9)?;
    let started = Instant::now();
    let end = log.log_end_offset();
    for _ in 0..count {
        log.read(end.plus(-1), 1 << 20, end, true)?;
    }
    writeln!(out, "read at the tail {:.2} us", per(started))?;
    let started = Instant::now();
    for n in 0..count {
        log.read(Offset(end.0 * n as i64 / count as i64), 1 << 20, end, true)?;
    }
    writeln!(out, "read anywhere {:.2} us", per(started))?;
    drop(log);
    let started = Instant::now();
    let (log, report) = open(false)?;
    writeln!(out, "recovery {:.3} s, {} segments", started.elapsed().as_secs_f64(), report.scanned_segments)?;
    let started = Instant::now();
    log.close_clean()?;
    writeln!(out, "clean stop {:.3} s", started.elapsed().as_secs_f64())?;
    let started = Instant::now();
    drop(open(true)?);
    writeln!(out, "clean start {:.6} s", started.elapsed().as_secs_f64())?;
    Ok(())
}
