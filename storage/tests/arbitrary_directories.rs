//! Recovery over directories with arbitrary content: files that a log may have, with bytes that it never wrote.
//!
//! It must never expect more than a log that opens or refuses with an error, and then goes on as a log does.

use std::path::Path;

use milena_storage::hostile::{open_directory, read_small_files};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_log_opens_over_anything(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        open_directory(&bytes);
    }

    #[test]
    fn small_files_may_hold_anything(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        read_small_files(&bytes);
    }
}

#[test]
fn the_corpora_of_the_fuzz_targets_are_replayed() {
    for (name, target) in [("recovery", open_directory as fn(&[u8])), ("files", read_small_files)] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../broker/fuzz/corpus").join(name);
        let entries =
            std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let mut count = 0;
        for entry in entries {
            target(&std::fs::read(entry.expect("readable").path()).expect("readable"));
            count += 1;
        }
        assert!(count > 0, "{name} has a corpus");
    }
}
