//! Appends, reads, recovers and idles, next to plain write and sendfile loops in the same run, each pair in both orders;
//! prints, judges nothing.
//!
//! The first argument is a directory on the disk in question, where it makes and removes one of its own:
//!
//!     cargo run --release -p milena-storage --example storage_bench -- /var/tmp
//!
//! It must never be a test.

use std::error::Error;
use std::fs;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use milena_storage::batch::{BatchBuilder, Record};
use milena_storage::compress::Codec;
use milena_storage::fs::RealFs;
use milena_storage::ids::{LeaderEpoch, Offset, Timestamp};
use milena_storage::log::{Log, LogConfig, OpenHow};
use milena_storage::validate::{Origin, validate};

const TOTAL: usize = 1 << 30;
const VALUE_LEN: usize = 1000;
const IDLE: usize = 10_000;
const FETCH_LEN: usize = 1 << 20;

/// The processor time of this thread.
fn processor() -> Result<Duration, Box<dyn Error>> {
    let text = fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(Duration::from_nanos(text.split(' ').next().ok_or("no time")?.parse()?))
}

/// Resident bytes that are not of files.
fn resident() -> Result<u64, Box<dyn Error>> {
    let text = fs::read_to_string("/proc/self/status")?;
    let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:")).ok_or("no RssAnon")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
}

/// Runs and prints GB per second of the processor and of the wall.
fn measured(
    what: &str,
    bytes: u64,
    run: impl FnOnce() -> Result<(), Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    let (wall, before) = (Instant::now(), processor()?);
    run()?;
    let (wall, used) = (wall.elapsed(), processor()?.saturating_sub(before));
    let per = |time: Duration| bytes as f64 / 1e9 / time.as_secs_f64();
    let mut out = std::io::stdout().lock();
    writeln!(out, "{what:<34} {:6.2} GB per CPU-second  {:6.2} GB/s", per(used), per(wall))?;
    Ok(())
}

fn open(dir: &Path, clean: bool) -> Result<Log, Box<dyn Error>> {
    let how = OpenHow { clean, ..OpenHow::default() };
    Ok(Log::open(Arc::new(RealFs), dir, LogConfig::default(), how, Timestamp(0))?.0)
}

fn main() -> Result<(), Box<dyn Error>> {
    let parent = std::env::args().nth(1).ok_or("name a directory")?;
    let scratch = Path::new(&parent).join(format!("storage-bench-{}", std::process::id()));
    fs::create_dir_all(&scratch)?;
    let done = bench(&scratch);
    fs::remove_dir_all(&scratch)?;
    done
}

fn bench(scratch: &Path) -> Result<(), Box<dyn Error>> {
    for size in [16 << 10, 256 << 10] {
        writeln!(std::io::stdout(), "batches of {} KiB", size >> 10)?;
        appends(scratch, size)?;
    }
    let dir = scratch.join(format!("log-{}", 256 << 10));
    let bytes = open(&dir, true)?.size();
    measured("recovery (scan, checksum, indexes)", bytes, || open(&dir, false).map(drop))?;
    let started = Instant::now();
    drop(open(&dir, true)?);
    writeln!(std::io::stdout(), "open after a clean stop             {:?}", started.elapsed())?;
    reads(&dir)?;
    idle(scratch)
}

fn appends(scratch: &Path, size: usize) -> Result<(), Box<dyn Error>> {
    let mut builder = BatchBuilder::new();
    let value = [7; VALUE_LEN];
    for _ in 0..size / VALUE_LEN {
        builder.push(Record { timestamp: Timestamp(0), value: Some(&value), ..Record::default() });
    }
    let bytes = builder.finish(Codec::None, None);
    let count = TOTAL / bytes.len();
    let all = (count * bytes.len()) as u64;
    let plain = scratch.join("plain");
    let write_plain = || {
        measured("plain write loop", all, || {
            let file = fs::File::create(&plain)?;
            for n in 0..count {
                file.write_all_at(&bytes, (n * bytes.len()) as u64)?;
            }
            Ok(())
        })?;
        fs::remove_file(&plain).map_err(Box::<dyn Error>::from)
    };
    let dir = scratch.join(format!("log-{size}"));
    let append = || {
        let mut log = open(&dir, true)?;
        let rules = log.config().rules();
        measured("append: check, offsets, index", all, || {
            for _ in 0..count {
                let origin = Origin::Client { produce_version: 9 };
                let batch = validate(bytes.clone(), &rules, Timestamp(0), origin)?;
                log.append_as_leader(batch, LeaderEpoch(0), Timestamp(0))?;
            }
            Ok(())
        })?;
        log.close_clean().map(drop).map_err(Box::<dyn Error>::from)
    };
    write_plain()?;
    append()?;
    fs::remove_dir_all(&dir)?;
    append()?;
    write_plain()
}

/// Both loops give the same bytes to a sink that costs nothing, so that only the way there is compared.
fn reads(dir: &Path) -> Result<(), Box<dyn Error>> {
    let log = open(dir, true)?;
    let sink = fs::File::options().write(true).open("/dev/null")?;
    let segment = fs::File::open(dir.join("00000000000000000000.log"))?;
    let len = segment.metadata()?.len();
    let plain = || {
        measured("plain sendfile loop", len, || {
            let mut at = 0;
            while at < len {
                rustix::fs::sendfile(&sink, &segment, Some(&mut at), FETCH_LEN)?;
            }
            Ok(())
        })
    };
    plain()?;
    read_all(&log, &sink)?;
    read_all(&log, &sink)?;
    plain()
}

fn read_all(log: &Log, sink: &fs::File) -> Result<(), Box<dyn Error>> {
    measured("read: find, slice, sendfile", log.size(), || {
        let (mut next, end) = (Offset(0), log.log_end_offset());
        let records = (256 << 10) / VALUE_LEN as i64;
        let size = i64::try_from(log.size())? / (end.0 / records);
        while next < end {
            let slice = log.read(next, FETCH_LEN, end, true)?;
            let file = slice.file.as_fd().ok_or("a real file")?;
            let (mut at, behind) = (slice.position, slice.position + slice.len as u64);
            while at < behind {
                let left = usize::try_from(behind - at)?;
                rustix::fs::sendfile(sink, file, Some(&mut at), left)?;
            }
            // Whole batches of one size: a reader goes on behind the last one.
            next = next.plus(records * (slice.len as i64 / size).max(1));
        }
        Ok(())
    })
}

fn idle(scratch: &Path) -> Result<(), Box<dyn Error>> {
    let mut logs = Vec::with_capacity(IDLE);
    let before = resident()?;
    let started = Instant::now();
    for n in 0..IDLE {
        logs.push(open(&scratch.join(format!("idle-{n}")), true)?);
    }
    let each = (resident()? - before) / IDLE as u64;
    let mut out = std::io::stdout();
    writeln!(out, "{IDLE} idle partitions made in {:?}, {each} bytes of memory each", started.elapsed())?;
    for log in logs.drain(..) {
        log.close_clean()?;
    }
    let before = resident()?;
    let started = Instant::now();
    for n in 0..IDLE {
        logs.push(open(&scratch.join(format!("idle-{n}")), true)?);
    }
    let each = resident()?.saturating_sub(before) / IDLE as u64;
    writeln!(out, "opened after a clean stop in {:?}, {each} bytes more", started.elapsed())?;
    Ok(())
}
