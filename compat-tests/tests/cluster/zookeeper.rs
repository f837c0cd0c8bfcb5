//! ZooKeeper's protocol at every node: sessions that move, and live as long as they are heard wherever they are served.

use std::io;
use std::time::{Duration, Instant};

use milena_compat_tests::Cluster;
use milena_compat_tests::wait::{self, PATIENCE};
use milena_compat_tests::zoo::client::{Body, CREATE, CREATE2, EXISTS, GET_DATA, PING, SET_DATA, SYNC};
use milena_compat_tests::zoo::{Client, Reply};

/// The shortest time-out that the nodes give.
const TIMEOUT_MILLIS: i32 = 4000;
const EPHEMERAL: i32 = 1;
const NO_NODE: i32 = -101;

fn open(cluster: &Cluster, node: i32) -> Client {
    Client::open(cluster.zookeeper_address(node), TIMEOUT_MILLIS)
}

/// What a node shows once it has all that was acknowledged before.
fn after_sync(client: &mut Client, op: i32, path: &str) -> Reply {
    assert_eq!(client.ask(SYNC, &Body::default().string(path)).code, 0);
    client.ask(op, &Body::path(path, false))
}

/// Takes the session up at another node.
fn move_to(client: &Client, cluster: &Cluster, node: i32) -> io::Result<Client> {
    let address = cluster.zookeeper_address(node);
    Client::attach(address, client.timeout_millis, client.session, &client.password, 0)
}

#[test]
fn every_node_takes_writes_and_shows_them_after_a_sync() {
    let cluster = Cluster::start();
    let mut clients: Vec<Client> = (1..=3).map(|node| open(&cluster, node)).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        let path = format!("/from-{number}");
        assert_eq!(client.ask(CREATE2, &Body::create(&path, b"a", 0)).code, 0);
        assert_eq!(client.ask(SET_DATA, &Body::set(&path, path.as_bytes())).code, 0);
        assert_eq!(client.ask(GET_DATA, &Body::path(&path, false)).code, 0, "its own write");
    }
    for client in &mut clients {
        for number in 0..3 {
            assert_eq!(after_sync(client, GET_DATA, &format!("/from-{number}")).code, 0);
        }
    }
}

#[test]
fn a_session_moves_with_its_nodes_when_its_server_is_killed() {
    let mut cluster = Cluster::start();
    let leader = cluster.leader();
    let (home, refuge) = (leader % 3 + 1, (leader + 1) % 3 + 1);
    let mut client = open(&cluster, home);
    assert_eq!(client.ask(CREATE, &Body::create("/mine", b"", EPHEMERAL)).code, 0);
    cluster.kill(home);
    let mut moved =
        wait::until(PATIENCE, "the session is taken up", || move_to(&client, &cluster, refuge).ok());
    assert_eq!((moved.session, moved.timeout_millis), (client.session, TIMEOUT_MILLIS));
    assert_eq!(after_sync(&mut moved, EXISTS, "/mine").code, 0);
    // And on, when the leader is lost too, to the node that has come back.
    cluster.restart(home);
    cluster.kill(leader);
    let mut moved = wait::until(PATIENCE, "the session is taken up", || {
        move_to(&client, &cluster, home).ok().filter(|moved| moved.session == client.session)
    });
    assert_eq!(after_sync(&mut moved, EXISTS, "/mine").code, 0);
    let mut forged =
        Client::attach(cluster.zookeeper_address(refuge), TIMEOUT_MILLIS, client.session, &[7; 16], 0);
    assert!(forged.as_mut().is_ok_and(|forged| forged.timeout_millis == 0), "a wrong password");
}

#[test]
fn a_session_at_a_follower_lives_while_it_is_heard_and_ends_after_that() {
    let mut cluster = Cluster::start();
    let leader = cluster.leader();
    let home = leader % 3 + 1;
    let mut heard = open(&cluster, home);
    let mut silent = open(&cluster, home);
    assert_eq!(heard.ask(CREATE, &Body::create("/heard", b"", EPHEMERAL)).code, 0);
    assert_eq!(silent.ask(CREATE, &Body::create("/silent", b"", EPHEMERAL)).code, 0);
    let mut watcher = open(&cluster, leader);
    let began = Instant::now();
    let lasting = Duration::from_millis(u64::try_from(TIMEOUT_MILLIS).expect("positive"));
    let ended = wait::until(PATIENCE, "the silent session ends", || {
        assert_eq!(heard.ask(PING, &Body::default()).code, 0);
        (watcher.ask(EXISTS, &Body::path("/silent", false)).code == NO_NODE).then(|| began.elapsed())
    });
    assert!(ended > lasting * 9 / 10, "after {ended:?}");
    wait::until(PATIENCE, "twice its time-out", || {
        assert_eq!(heard.ask(PING, &Body::default()).code, 0);
        assert_eq!(watcher.ask(EXISTS, &Body::path("/heard", false)).code, 0, "after {:?}", began.elapsed());
        (began.elapsed() > lasting * 2).then_some(())
    });
    // The node that served it is gone, and nobody takes it up.
    cluster.kill(home);
    let gone = || watcher.ask(EXISTS, &Body::path("/heard", false)).code == NO_NODE;
    let mut gone = gone;
    wait::until(PATIENCE, "the session of a lost node ends", || gone().then_some(()));
}
