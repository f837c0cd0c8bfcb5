//! Sessions as a client sees them: taken up, moved, expired, closed; and what goes with them.
//!
//! Must never assume when a session expires, only that it does and not too early.

use std::time::{Duration, Instant};

use milena_compat_tests::wait::{self, PATIENCE};
use milena_compat_tests::zoo::client::{
    Body, CLOSE_SESSION, CREATE, CREATE_CONTAINER, CREATE_TTL, DELETE, EXISTS, GET_DATA, OPEN, PING,
    SET_DATA, SET_WATCHES, four_letters,
};
use milena_compat_tests::zoo::{Client, Kind, Zoo};

const DELETED: i32 = 2;

fn exists(client: &mut Client, path: &str) -> bool {
    client.ask(EXISTS, &Body::path(path, false)).code == 0
}

#[test]
fn a_time_out_is_clamped_and_a_wrong_password_gets_none() {
    let zoo = Zoo::start(Kind::Milena);
    assert_eq!(Client::open(zoo.address(), 1).timeout_millis, 400);
    assert_eq!(Client::open(zoo.address(), 999_999).timeout_millis, 4000);
    let one = zoo.client();
    let attach =
        |session, password: &[u8]| Client::attach(zoo.address(), 4000, session, password, 0).unwrap();
    assert_eq!(attach(one.session, &[7; 16]).timeout_millis, 0);
    assert_eq!(attach(one.session, &[]).timeout_millis, 0);
    assert_eq!(attach(one.session + 100, &one.password).timeout_millis, 0);
    assert_eq!(attach(one.session, &one.password).session, one.session);
}

#[test]
fn a_session_that_moved_is_served_by_its_new_connection_only() {
    let zoo = Zoo::start(Kind::Milena);
    let mut old = zoo.client();
    old.ask(CREATE, &Body::create("/mine", b"", 1));
    let mut new = old.again(0).unwrap();
    assert!(old.reply().is_err(), "the old connection is closed");
    assert!(exists(&mut new, "/mine"));
    new.ask(CLOSE_SESSION, &Body::default());
    assert!(!exists(&mut zoo.client(), "/mine"));
}

#[test]
fn a_client_that_has_seen_more_is_sent_away() {
    let zoo = Zoo::start(Kind::Milena);
    let one = zoo.client();
    one.again(i64::MAX).unwrap_err();
    one.again(0).unwrap();
}

#[test]
fn silence_expires_a_session_and_pings_keep_it() {
    let zoo = Zoo::start(Kind::Milena);
    let mut watcher = zoo.client();
    let (mut silent, mut alive) = (Client::open(zoo.address(), 1000), Client::open(zoo.address(), 1000));
    silent.ask(CREATE, &Body::create("/silent", b"", 1));
    alive.ask(CREATE, &Body::create("/alive", b"", 1));
    watcher.ask(EXISTS, &Body::path("/silent", true));
    let since = Instant::now();
    wait::until(PATIENCE, "the silent session to expire", || {
        alive.ask(PING, &Body::default());
        watcher.ask(PING, &Body::default());
        (!watcher.events.is_empty()).then_some(())
    });
    assert!(since.elapsed() > Duration::from_millis(900), "it expired after {:?}", since.elapsed());
    assert_eq!(watcher.take_events(), [(DELETED, "/silent".to_owned())]);
    assert!(exists(&mut watcher, "/alive"));
    assert!(silent.reply().is_err(), "the connection of an expired session is closed");
    assert_eq!(silent.again(0).unwrap().timeout_millis, 0, "and the session is no more");
}

#[test]
fn a_session_outlives_the_server_and_its_watches_are_set_again() {
    let mut zoo = Zoo::start(Kind::Milena);
    let mut one = zoo.client();
    let seen = one.ask(CREATE, &Body::create("/mine", b"", 1)).zxid;
    one.ask(CREATE, &Body::create("/watched", b"", 0));
    zoo.kill_and_restart();
    let mut one = Client::attach(zoo.address(), 4000, one.session, &one.password, seen).unwrap();
    assert!(exists(&mut one, "/mine"));
    let lists = Body::default().long(seen).strings(&["/mine"]).strings(&["/watched"]).strings::<&str>(&[]);
    one.ask(SET_WATCHES, &lists);
    assert_eq!(one.take_events(), [(1, "/watched".to_owned())]);
    one.ask(SET_DATA, &Body::set("/mine", b"1"));
    assert_eq!(one.take_events(), [(3, "/mine".to_owned())]);
}

#[test]
fn pipelined_requests_are_answered_in_order_and_reads_see_the_writes_before_them() {
    let zoo = Zoo::start(Kind::Milena);
    let mut one = zoo.client();
    one.ask(CREATE, &Body::create("/p", b"", 0));
    let mut xids = Vec::new();
    for number in 0..400 {
        let data = format!("{number}");
        xids.push(one.send(SET_DATA, &Body::set("/p", data.as_bytes())).unwrap());
        xids.push(one.send(GET_DATA, &Body::path("/p", true)).unwrap());
    }
    for (at, xid) in xids.into_iter().enumerate() {
        let reply = one.reply().unwrap();
        assert_eq!(reply.xid, xid);
        if at % 2 == 1 {
            let expected = format!("{}", at / 2);
            assert_eq!(&reply.body[4..4 + expected.len()], expected.as_bytes());
        } else if at > 0 {
            assert_eq!(one.take_events(), [(3, "/p".to_owned())], "before the answer to the change");
        }
    }
}

#[test]
fn containers_and_ttl_nodes_go_by_themselves() {
    let zoo = Zoo::start_with(Kind::Milena, 200, 100);
    let mut one = zoo.client();
    one.ask(CREATE_CONTAINER, &Body::create("/c", b"", 4));
    one.ask(CREATE_CONTAINER, &Body::create("/never-used", b"", 4));
    one.ask(CREATE, &Body::create("/c/x", b"", 0));
    let ttl = Body::default().string("/t").buffer(None).acls(OPEN).int(5).long(300);
    assert_eq!(one.ask(CREATE_TTL, &ttl).code, 0);
    one.ask(DELETE, &Body::default().string("/c/x").int(-1));
    wait::until(PATIENCE, "both are gone", || {
        (!exists(&mut one, "/c") && !exists(&mut one, "/t")).then_some(())
    });
    assert!(exists(&mut one, "/never-used"), "a container goes with its last child, not before its first");
}

#[test]
fn four_letter_words_are_answered_by_the_white_list() {
    let zoo = Zoo::start(Kind::Milena);
    let ask = |word: &str| four_letters(zoo.address(), word).unwrap();
    assert_eq!(ask("ruok"), "imok");
    assert_eq!(ask("isro"), "rw");
    assert!(ask("srvr").starts_with("Zookeeper version: 3.8"));
    assert!(ask("mntr").contains("zk_server_state\tstandalone\n"));
    assert!(ask("envi").contains("\nzookeeper.version=3.8"));
    assert!(ask("conf").contains("minSessionTimeout=400\n"));
    assert!(ask("wchs").contains("Total watches:0\n"));
    let _one = zoo.client();
    assert!(ask("cons").contains("to=4000"));
    assert!(ask("stat").contains("Clients:\n /127.0.0.1:"));
    assert_eq!(ask("dump"), "dump is not executed because it is not in the whitelist.\n");
}
