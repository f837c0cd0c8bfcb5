//! Connections that go from one core to another while they are used.
//!
//! As all tests of connections, they must never know an API.

use super::*;

/// Both cores serve; connections are dealt to them in turn.
fn start_on_both(settings: &NetworkSettings, toy: Toy) -> Server {
    let server = start(settings, toy);
    server.net.shared.cores.set_used(2);
    server
}

fn ask(client: &mut TcpStream, name: &str) {
    client.write_all(&frame(format!("n{name}").as_bytes())).unwrap();
    assert_eq!(answer(client), name.as_bytes());
}

/// The thread that served the last request.
fn last_thread(server: &Server) -> String {
    server.toy.threads.lock().last().unwrap().clone()
}

#[test]
fn new_connections_are_dealt_to_the_first_core_until_more_are_used() {
    let server = start(&settings(), Toy::default());
    for _ in 0..4 {
        ask(&mut server.connect(), "one");
    }
    assert_eq!(*server.toy.threads.lock(), ["milena-0"; 4]);
    server.net.shared.cores.set_used(2);
    for _ in 0..4 {
        ask(&mut server.connect(), "two");
    }
    let threads = server.toy.threads.lock().clone();
    assert_eq!(threads.iter().filter(|thread| *thread == "milena-1").count(), 2, "{threads:?}");
}

#[test]
fn a_connection_of_a_core_that_is_not_used_any_more_goes_when_it_is_used_next() {
    let server = start_on_both(&settings(), Toy::default());
    let mut clients = [server.connect(), server.connect()];
    clients.iter_mut().for_each(|client| ask(client, "before"));
    server.net.shared.cores.set_used(1);
    clients.iter_mut().for_each(|client| ask(client, "leaves"));
    server.toy.threads.lock().clear();
    clients.iter_mut().for_each(|client| ask(client, "after"));
    assert_eq!(*server.toy.threads.lock(), ["milena-0"; 2]);
    assert_eq!(server.net.connections(), 2);
}

#[test]
fn a_connection_with_something_under_way_stays_until_it_is_answered() {
    let server = start_on_both(&settings(), Toy::default());
    let mut first = server.connect();
    ask(&mut first, "first");
    let mut client = server.connect();
    ask(&mut client, "second");
    let mut client = if last_thread(&server) == "milena-1" { client } else { first };
    client.write_all(&frame(b"la")).unwrap();
    server.toy.wait_for_started(3);
    server.net.shared.cores.set_used(1);
    client.write_all(&frame(b"nb")).unwrap();
    server.toy.wait_for_started(4);
    assert_eq!(last_thread(&server), "milena-1");
    server.toy.release(b"a");
    assert_eq!([answer(&mut client), answer(&mut client)], [b"a", b"b"]);
    ask(&mut client, "c");
    assert_eq!(last_thread(&server), "milena-0");
}

/// Has the connections of each core go to the other, again and again, until `done`; a round at a time, as what has not worked in two windows stays.
fn stir(server: &Server, done: &AtomicUsize, clients: usize) {
    let clock = Clock::new();
    while done.load(Ordering::SeqCst) < clients {
        assert!(clock.uptime() < PATIENCE);
        for from in [0, 1] {
            server.net.shared.cores.order(from, 1 - from);
            let started = server.toy.started.load(Ordering::SeqCst);
            while server.toy.started.load(Ordering::SeqCst) < started + 10
                && done.load(Ordering::SeqCst) < clients
            {
                std::thread::yield_now();
            }
        }
    }
}

#[test]
fn nothing_is_lost_or_overtaken_on_the_way() {
    const CLIENTS: usize = 6;
    const ROUNDS: usize = 300;
    let server = start_on_both(&settings(), Toy::default());
    let done = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for number in 0..CLIENTS {
            let (server, done) = (&server, &done);
            scope.spawn(move || {
                let mut client = server.connect();
                for round in 0..ROUNDS {
                    // Requests that go together, single ones, and one that comes in two pieces and takes more than one read.
                    let large = format!("n{}", "x".repeat(40_000));
                    let names =
                        ["+n1", "+n2", "n3", &large, "n5"].map(|name| format!("{name}-{number}-{round}"));
                    let sent: Vec<u8> = names.iter().flat_map(|name| frame(name.as_bytes())).collect();
                    let (now, later) = sent.split_at(20_000 + round);
                    client.write_all(now).unwrap();
                    client.write_all(later).unwrap();
                    for name in &names {
                        assert_eq!(answer(&mut client), name.trim_start_matches('+').as_bytes()[1..]);
                    }
                }
                done.fetch_add(1, Ordering::SeqCst);
            });
        }
        stir(&server, &done, CLIENTS);
    });
    let threads = server.toy.threads.lock();
    let changes = threads.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert!(changes > 50, "{changes}");
    assert_eq!(server.toy.started.load(Ordering::SeqCst), CLIENTS * ROUNDS * 5);
    drop(threads);
    wait_for_connections(&server, 0);
}

#[test]
fn one_that_has_gone_is_ended_and_stopped_like_the_others() {
    let server = start_on_both(&settings(), Toy::default());
    let mut clients = [server.connect(), server.connect()];
    clients.iter_mut().for_each(|client| ask(client, "before"));
    server.net.shared.cores.set_used(1);
    for client in &mut clients {
        ask(client, "leaves");
        server.toy.later();
        ask(client, "after");
        server.toy.later();
    }
    assert_eq!(last_thread(&server), "milena-0");
    server.net.limits().set(&ConnectionSettings { max: 1, ..settings().connections });
    assert!(is_closed(&mut clients[0]), "used least recently");
    clients[1].write_all(&frame(b"la")).unwrap();
    server.toy.wait_for_started(7);
    std::thread::scope(|scope| {
        let stopping = scope.spawn(|| server.stop(PATIENCE));
        server.toy.release(b"a");
        assert_eq!(answer(&mut clients[1]), b"a");
        assert!(is_closed(&mut clients[1]));
        stopping.join().unwrap();
    });
    assert_eq!(server.net.connections(), 0);
}

#[test]
fn who_is_silent_is_closed_on_the_other_core_too() {
    let mut settings = settings();
    settings.connections.max_idle = Some(Duration::from_millis(200));
    let server = start_on_both(&settings, Toy::default());
    let mut clients = [server.connect(), server.connect()];
    clients.iter_mut().for_each(|client| ask(client, "before"));
    server.net.shared.cores.set_used(1);
    clients.iter_mut().for_each(|client| ask(client, "leaves"));
    assert!(clients.iter_mut().all(is_closed));
}
