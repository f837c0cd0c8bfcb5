//! Requests that are started together, over real sockets.
//!
//! As all tests of connections, they must never know an API.

use super::*;

/// Sends all of these at once: so little comes in one piece.
fn send(client: &mut TcpStream, bodies: &[&[u8]]) {
    let sent: Vec<u8> = bodies.iter().flat_map(|body| frame(body)).collect();
    client.write_all(&sent).unwrap();
}

#[test]
fn requests_of_a_kind_are_started_together_and_answered_in_order() {
    let server = start(&settings(), Toy::default());
    let mut client = server.connect();
    send(&mut client, &[b"+na", b"+lb", b"+0", b"+nc", b"nd", b"+ne", b"nf"]);
    assert_eq!(answer(&mut client), b"a");
    server.toy.wait_for_started(7);
    server.toy.release(b"b");
    for expected in [b"b", b"c", b"d", b"e", b"f"] {
        assert_eq!(answer(&mut client), expected);
    }
    assert_eq!(*server.toy.runs.lock(), [4], "one alone is no run");
}

#[test]
fn a_run_is_bounded_and_the_next_begins_where_it_ended() {
    let server = start(&settings(), Toy::default());
    let mut client = server.connect();
    let names: Vec<String> = (0..150).map(|name| format!("+n{name}")).collect();
    send(&mut client, &names.iter().map(|name| name.as_bytes()).collect::<Vec<_>>());
    for name in &names {
        assert_eq!(answer(&mut client), name.as_bytes()[2..]);
    }
    assert_eq!(*server.toy.runs.lock(), [64, 64, 22]);
}

#[test]
fn a_run_has_no_more_requests_than_the_window_has_room() {
    let server = start(&settings(), Toy::default());
    let mut client = server.connect();
    let name = |index: usize| format!("{index:03}");
    let waiting: Vec<String> = (0..window::MAX_WAITING + 20).map(|n| format!("+l{}", name(n))).collect();
    send(&mut client, &waiting.iter().map(|name| name.as_bytes()).collect::<Vec<_>>());
    server.toy.wait_for_started(window::MAX_WAITING);
    assert_eq!(server.toy.runs.lock().iter().sum::<usize>(), window::MAX_WAITING);
    for index in 0..waiting.len() {
        server.toy.release(name(index).as_bytes());
        assert_eq!(answer(&mut client), name(index).as_bytes());
    }
}

#[test]
fn a_refusal_inside_a_run_closes_after_the_answers_before_it() {
    let server = start(&settings(), Toy::default());
    let mut client = server.connect();
    send(&mut client, &[b"+na", b"+nb", b"+c", b"+nz"]);
    assert_eq!(answer(&mut client), b"a");
    assert_eq!(answer(&mut client), b"b");
    assert!(is_closed(&mut client));
}

#[test]
fn a_frame_that_cannot_be_closes_after_the_run_before_it() {
    let server = start(&settings(), Toy::default());
    let mut client = server.connect();
    let sent = [&frame(b"+na")[..], &frame(b"+nb"), &[0xFF; 4], b"+nz"].concat();
    client.write_all(&sent).unwrap();
    assert_eq!(answer(&mut client), b"a");
    assert_eq!(answer(&mut client), b"b");
    assert!(is_closed(&mut client));
}
