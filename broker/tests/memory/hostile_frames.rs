//! Request frames that lie, from every seed of the fuzz corpus: each is refused or decoded in bounded memory.
//!
//! Must never be satisfied by "no crash": what counts is the memory that one frame can make the broker take.

use std::path::Path;

use bytes::Bytes;
use milena::api::probe;

use super::counting;

/// What the guard allows: a megabyte, eight bytes per byte sent, and some for errors that are written.
fn bound(frame: usize) -> isize {
    ((1 << 20) + 8 * frame + (16 << 10)) as isize
}

fn check(frame: &Bytes) -> bool {
    let (passed, taken) = counting::highest(|| probe(frame).is_ok());
    assert!(taken <= bound(frame.len()), "{taken} bytes for a frame of {}: {frame:02x?}", frame.len());
    passed
}

fn seeds() -> Vec<(String, Vec<u8>)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/frame");
    let mut seeds: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap()))
        .collect();
    seeds.sort();
    seeds
}

#[test]
fn seeds_of_served_apis_pass() {
    let served = |frame: &[u8]| milena::api::row(i16::from_be_bytes([frame[0], frame[1]])).is_some();
    // What fuzzing found is mostly not well-formed.
    let well_formed = seeds().into_iter().filter(|(name, _)| !name.starts_with("found-"));
    for (name, frame) in well_formed.filter(|(_, frame)| served(frame)) {
        let version = i16::from_be_bytes([frame[2], frame[3]]);
        let row = milena::api::row(i16::from_be_bytes([frame[0], frame[1]])).unwrap();
        assert_eq!(check(&frame.into()), row.versions.contains(&version), "{name}");
    }
}

#[test]
fn truncations_take_little_memory() {
    for (_, frame) in seeds() {
        let frame = Bytes::from(frame);
        for cut in 0..frame.len() {
            check(&frame.slice(..cut));
        }
    }
}

#[test]
fn lies_at_every_byte_take_little_memory() {
    for (_, frame) in seeds() {
        for at in 0..frame.len() {
            for lie in [0, 1, 0x7f, 0x80, 0xff] {
                let mut lying = frame.clone();
                lying[at] = lie;
                check(&lying.into());
            }
            // Counts of two billion, in both encodings.
            for lie in [&[0x7f, 0xff, 0xff, 0xff][..], &[0xff, 0xff, 0xff, 0xff, 0x0f], &[0xff; 5]] {
                let mut lying = frame.clone();
                lying.splice(at..(at + lie.len()).min(frame.len()), lie.iter().copied());
                check(&lying.into());
            }
        }
    }
}

#[test]
fn large_frames_of_tiny_elements_take_a_bounded_multiple() {
    for (key, version, element) in [
        (3i16, 12i16, &[0u8; 18][..]),
        (3, 9, &[1, 0]),
        (42, 2, &[1]),
        (32, 4, &[2, 1, 0, 0]),
        (19, 7, &[1; 11]),
    ] {
        let mut frame = [key.to_be_bytes(), version.to_be_bytes()].concat();
        frame.extend([0, 0, 0, 1, 0xff, 0xff, 0]);
        frame.extend([0xc1, 0x84, 0x3d]);
        frame.extend(element.repeat(1_000_000));
        frame.extend([0; 16]);
        check(&frame.into());
    }
}

#[test]
fn unknown_tags_do_not_multiply() {
    // Metadata v12: topics that each carry one empty unknown tag, which costs a node of a tree when decoded.
    let mut frame = vec![0, 3, 0, 12, 0, 0, 0, 1, 0xff, 0xff, 0, 0xc1, 0x84, 0x3d];
    let topic = [&[0; 16][..], &[0, 1, 9, 0]].concat();
    frame.extend(topic.repeat(1_000_000));
    frame.extend([0, 0, 0]);
    check(&frame.into());
}
