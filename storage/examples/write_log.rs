//! Writes a partition with every codec, producers, a transaction and several segments, to be read by
//! `kafka-dump-log`. The first argument is the directory; a second one, `kill`, leaves it as a killed broker would,
//! `recover` opens what a killed one left.
//!
//! It must never be needed by the tests.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use milena_storage::batch::{BatchBuilder, EndTransaction, Record};
use milena_storage::compress::Codec;
use milena_storage::fs::RealFs;
use milena_storage::ids::{LeaderEpoch, ProducerEpoch, ProducerId, Timestamp};
use milena_storage::log::{Log, LogConfig, OpenHow};
use milena_storage::validate::{Origin, ValidBatch, validate};

const START: Timestamp = Timestamp(1_700_000_000_000);
const ROUNDS: i64 = 400;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let dir = arguments.first().ok_or("name a directory")?;
    let config = LogConfig { segment_bytes: 64 * 1024, ..LogConfig::default() };
    let (mut log, _) =
        Log::open(Arc::new(RealFs), Path::new(dir), config.clone(), OpenHow::default(), START)?;
    let ending = arguments.get(1).map(String::as_str);
    if ending != Some("recover") {
        for round in 0..ROUNDS {
            append(&mut log, &config, round)?;
        }
    }
    if ending != Some("kill") {
        log.close_clean()?;
    }
    Ok(())
}

fn append(log: &mut Log, config: &LogConfig, round: i64) -> Result<(), Box<dyn Error>> {
    let now = Timestamp(START.0 + round * 1000);
    let codec = Codec::ALL[usize::try_from(round)? % 5];
    let epoch = LeaderEpoch(i32::try_from(round / 100)?);
    let mut builder = BatchBuilder::new();
    for n in 0..1 + round % 7 {
        let value = format!("record {n} of batch {round}, {}", "word ".repeat(50));
        builder.push(Record {
            timestamp: Timestamp(now.0 + n),
            key: (n % 2 == 0).then_some(b"key".as_slice()),
            value: Some(value.as_bytes()),
            headers: &[(b"codec", Some(codec.to_string().as_bytes())), (b"null", None)],
        });
    }
    let sequence = |id: i64| {
        let known = log.producers().into_iter().find(|entry| entry.producer_id.0 == id);
        known.map_or(0, |entry| entry.last_sequence + 1)
    };
    match round % 10 {
        3 | 5 => builder = builder.producer(ProducerId(1), ProducerEpoch(0), sequence(1)),
        4 | 7 => builder = builder.producer(ProducerId(2), ProducerEpoch(1), sequence(2)).transactional(),
        _ => {}
    }
    let origin = Origin::Client { produce_version: 12 };
    let batch = validate(builder.finish(codec, None), &config.rules(), now, origin)?;
    log.append_as_leader(batch, epoch, now)?;
    if round % 10 == 8 {
        let (key, value) = EndTransaction { commit: round % 20 == 8, coordinator_epoch: 3 }.encode();
        let mut marker =
            BatchBuilder::new().producer(ProducerId(2), ProducerEpoch(1), -1).transactional().control();
        marker.push(Record { timestamp: now, key: Some(&key), value: Some(&value), headers: &[] });
        log.append_as_leader(ValidBatch::built(marker.finish(Codec::None, None)), epoch, now)?;
    }
    Ok(())
}
