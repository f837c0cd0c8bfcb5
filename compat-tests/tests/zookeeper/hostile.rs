//! Bytes that no client would send: a connection may close, the server serves on and keeps no memory.
//!
//! Every seed is printed. A test must never be satisfied with a server that only still lives.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use milena_compat_tests::zoo::client::{Body, CREATE, EXISTS, GET_CHILDREN, MULTI, MULTI_READ, SET_WATCHES2};
use milena_compat_tests::zoo::{Client, Kind, Zoo};

use milena_compat_tests::dice::{Dice, rounds};

/// How much memory all of one test's garbage may cost for good.
const ALLOWANCE: u64 = 64 << 20;

fn serves(zoo: &Zoo) {
    let mut client = zoo.client();
    assert_eq!(client.ask(EXISTS, &Body::path("/", false)).code, 0);
    assert!(!zoo.output().contains("panicked"), "{}", zoo.output());
}

fn under_attack(attack: impl FnOnce(&Zoo)) {
    let zoo = Zoo::start(Kind::Milena);
    serves(&zoo);
    let before = zoo.resident_bytes();
    attack(&zoo);
    serves(&zoo);
    let cost = zoo.resident_bytes().saturating_sub(before);
    assert!(cost < ALLOWANCE, "garbage cost {} MiB", cost >> 20);
}

#[test]
fn lengths_that_nobody_sends_close_the_connection() {
    under_attack(|zoo| {
        for length in [-1, i32::MIN, i32::MAX, 0x10_0000] {
            for greeted in [false, true] {
                let closed = if greeted {
                    let mut client = zoo.client();
                    client.set_patience(Duration::from_secs(10));
                    client.send_raw(&length.to_be_bytes()).unwrap();
                    client.read_frame().is_err()
                } else {
                    let mut stream = TcpStream::connect(zoo.address()).unwrap();
                    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
                    stream.write_all(&length.to_be_bytes()).unwrap();
                    std::io::copy(&mut stream, &mut std::io::sink()).map_or(true, |read| read == 0)
                };
                assert!(closed, "{length}");
            }
        }
    });
}

#[test]
fn counts_beyond_the_frame_are_refused() {
    under_attack(|zoo| {
        let mut client = zoo.client();
        for count in [i32::MAX, 0x7fff_fff0, 1000, i32::MIN, -2] {
            for (op, body) in [
                (SET_WATCHES2, Body::default().long(0).int(count)),
                (CREATE, Body::default().string("/x").buffer(None).int(count)),
                (CREATE, Body::default().int(count)),
                (
                    MULTI,
                    Body::default().int(CREATE).boolean(false).int(-1).string("/x").buffer(None).int(count),
                ),
                (MULTI_READ, Body::default().int(GET_CHILDREN).boolean(false).int(-1).int(count)),
            ] {
                assert_eq!(client.ask(op, &body).code, -5, "operation {op} with {count}");
            }
        }
    });
}

#[test]
fn random_bytes_in_every_request_cost_nothing() {
    let seed = Dice::seed("random_bytes_in_every_request_cost_nothing");
    under_attack(|zoo| {
        let mut dice = Dice::of(seed);
        let mut client = zoo.client();
        for _ in 0..rounds(3000, 100_000) {
            let op = dice.one_of(&[
                1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 14, 15, 17, 18, 19, 21, 22, 100, 101, 103, 104, 105, 106,
            ]);
            let mut body = Body::default();
            for _ in 0..dice.below(8) {
                body = match dice.below(4) {
                    0 => body.int(dice.one_of(&[-1, 0, 1, 2, 5, 255, i32::MAX])),
                    1 => body.string(dice.one_of(&["/", "/x", "", "digest", "/\u{0}"])),
                    2 => body.boolean(dice.chance(2)),
                    _ => body.long(dice.any().cast_signed()),
                };
            }
            let sent = client.send(op, &body).and_then(|_| client.reply());
            // A failed authentication ends a connection, as it should.
            if sent.is_err() {
                client = Client::open(zoo.address(), 4000);
            }
        }
    });
}

#[test]
fn a_client_that_never_reads_is_not_waited_for() {
    under_attack(|zoo| {
        let mut writer = zoo.client();
        writer.ask(CREATE, &Body::create("/big", &vec![b'x'; 900_000], 0));
        let mut deaf = zoo.client();
        // Far more answers than sockets hold; the server must stop reading instead of keeping them.
        let ask = Body::path("/big", false);
        deaf.set_write_patience(Duration::from_secs(2));
        for _ in 0..100_000 {
            if deaf.send(4, &ask).is_err() {
                break;
            }
        }
        assert_eq!(writer.ask(EXISTS, &Body::path("/big", false)).code, 0, "others are served meanwhile");
    });
}
