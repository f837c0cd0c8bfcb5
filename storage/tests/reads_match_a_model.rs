//! Reading from any offset, with any limit and bound, in any shape of segments and index, against a plain list.

use std::path::Path;
use std::sync::Arc;

use milena_storage::batch::{BatchBuilder, Record, walk};
use milena_storage::compress::Codec;
use milena_storage::fs::SimFs;
use milena_storage::ids::{LeaderEpoch, Offset, Timestamp};
use milena_storage::log::{Log, LogConfig, OpenHow};
use milena_storage::validate::ValidBatch;
use proptest::prelude::*;

/// First and last offset, size and largest time of a batch.
#[derive(Clone, Debug)]
struct Batch {
    first: i64,
    last: i64,
    size: usize,
    times: Vec<i64>,
}

#[derive(Clone, Debug)]
struct Shape {
    batches: Vec<(u8, u16, i64)>,
    segment_bytes: u32,
    interval: u32,
    codec: Codec,
    reopen: bool,
}

fn shape() -> impl Strategy<Value = Shape> {
    let batch = (1u8..5, 0u16..400, 0i64..500);
    (
        proptest::collection::vec(batch, 0..60),
        2500u32..20_000,
        0u32..2000,
        proptest::sample::select(vec![Codec::None, Codec::Lz4, Codec::Zstd]),
        any::<bool>(),
    )
        .prop_map(|(batches, segment_bytes, interval, codec, reopen)| Shape {
            batches,
            segment_bytes,
            interval,
            codec,
            reopen,
        })
}

fn build(shape: &Shape) -> (Log, Vec<Batch>) {
    let fs = SimFs::new();
    let config = LogConfig {
        segment_bytes: shape.segment_bytes,
        index_interval_bytes: shape.interval,
        ..LogConfig::default()
    };
    let open = |clean| {
        let how = OpenHow { clean, ..OpenHow::default() };
        Log::open(Arc::new(fs.clone()), Path::new("/d/t-0"), config.clone(), how, Timestamp(0))
            .expect("the simulated disk has no fault")
            .0
    };
    let mut log = open(false);
    let mut model = Vec::new();
    for (count, len, time) in &shape.batches {
        let mut builder = BatchBuilder::new();
        let value: Vec<u8> = (0..*len).map(|n| (n * 31 % 251) as u8).collect();
        let times: Vec<i64> = (0..i64::from(*count)).map(|n| time + n * 3).collect();
        for time in &times {
            builder.push(Record { timestamp: Timestamp(*time), value: Some(&value), ..Record::default() });
        }
        let batch = ValidBatch::built(builder.finish(shape.codec, None));
        let size = batch.size();
        let appended = log
            .append_as_leader(batch, LeaderEpoch(0), Timestamp(0))
            .expect("the simulated disk has no fault");
        model.push(Batch { first: appended.first.0, last: appended.last.0, size, times });
    }
    if shape.reopen {
        log.close_clean().expect("the simulated disk has no fault");
        log = open(true);
    }
    (log, model)
}

/// Offset and bound as parts of the log, limit, and whether a first batch above it is wanted.
fn asks() -> impl Strategy<Value = Vec<(f64, f64, usize, bool)>> {
    proptest::collection::vec((0f64..=1.0, 0f64..=1.0, 0usize..3000, any::<bool>()), 60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn seek_and_read(shape in shape(), asks in asks()) {
        let (log, model) = build(&shape);
        let end = log.log_end_offset().0;
        for (from, upper, max_bytes, at_least_one) in asks {
            let (from, upper) = ((from * end as f64) as i64, (upper * end as f64) as i64);
            let slice = log.read(Offset(from), max_bytes, Offset(upper), at_least_one).unwrap();
            let bytes = slice.read_all().unwrap();
            let first = model.iter().find(|batch| batch.last >= from);
            let expect_some = first.is_some_and(|first| {
                from < upper && first.last < upper && (at_least_one || first.size <= max_bytes)
            });
            prop_assert_eq!(expect_some, !slice.is_empty(), "from {} upper {} max {}", from, upper, max_bytes);
            if !expect_some {
                continue;
            }
            let first = first.unwrap();
            prop_assert_eq!(slice.first.0, first.first);
            prop_assert!(slice.len <= max_bytes.max(first.size));
            let mut expected = first.first;
            for batch in walk(&bytes) {
                let batch = batch.unwrap();
                prop_assert_eq!(batch.base_offset.0, expected);
                prop_assert!(batch.last_offset().0 < upper);
                expected = batch.next_offset().0;
            }
            prop_assert!(expected > from);
        }
    }

    #[test]
    fn seek_by_time(shape in shape(), targets in proptest::collection::vec(-5i64..520, 30)) {
        let (log, model) = build(&shape);
        let records: Vec<(i64, i64)> = model
            .iter()
            .flat_map(|batch| batch.times.iter().enumerate().map(|(n, time)| (batch.first + n as i64, *time)))
            .collect();
        for target in targets {
            let expected = records.iter().find(|(_, time)| *time >= target).copied();
            let found = log.offset_for_timestamp(Timestamp(target), log.log_end_offset()).unwrap();
            prop_assert_eq!(found.map(|found| (found.offset.0, found.timestamp.0)), expected, "{}", target);
        }
        let largest = records.iter().map(|(_, time)| *time).max();
        let found = log.max_timestamp().unwrap();
        prop_assert_eq!(found.map(|found| found.timestamp.0), largest);
    }
}
