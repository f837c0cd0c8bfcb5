//! Tests of logs whose file is longer than what they hold (`LogConfig::length_step`).
//!
//! Like all tests of the log, they must never look at more than its files and its public face, but for what it calls active.

use super::*;

#[test]
fn a_length_ahead_of_the_log_outlives_a_kill_unless_something_stands_there() {
    let fs = SimFs::new();
    let config = || LogConfig { length_step: 10_000, segment_bytes: 100_000, ..LogConfig::default() };
    let mut log = open(&fs, config());
    append(&mut log, 1, 2, 1);
    let path = log.active().path(&log.place);
    let length = || fs.open(&path, Open::Read).unwrap().len().unwrap();
    let ahead = length();
    assert!(ahead >= log.active().size + 9_000);
    drop(log);

    let (mut log, report) = open_as(&fs, config(), OpenHow::default());
    assert_eq!((report.cut_bytes, length()), (0, ahead), "zeros are kept");
    append(&mut log, 2, 2, 2);
    assert_eq!(length(), ahead, "and filled");
    assert_eq!(offsets(&log, 0), [0, 1, 2, 3]);
    let end = log.active().size;
    drop(log);

    // One byte far behind the end: a later write reached the disk and what came before it did not.
    fs.open(&path, Open::Write).unwrap().write_at(&[1], ahead - 1).unwrap();
    let (mut log, report) = open_as(&fs, config(), OpenHow::default());
    assert_eq!((report.cut_bytes, length()), (ahead - end, end));
    append(&mut log, 3, 2, 3);
    assert_eq!(offsets(&log, 0), [0, 1, 2, 3, 4, 5]);
    let end = log.active().size;
    log.close_clean().unwrap();
    assert_eq!(length(), end);
    assert_eq!(offsets(&open_as(&fs, config(), clean()).0, 0), [0, 1, 2, 3, 4, 5]);
}
